/* SPDX-License-Identifier: MIT */
/*
 * svc.h - what the files of the service share: the service that runs, and the seams between them.
 *
 *     serve.c     from the start to the end; waits for signals and events
 *     stop.c      the four phases
 *     restart.c   the successor
 *     sockets.c   listeners that are given, and those to give
 *     notify.c    systemd        hooks.c     at exit        probe.c     readiness
 *
 * One goroutine, that of ag_serve, decides everything; it waits for channels alone. Others work for
 * it: one for each listener, one for each server that stops, one for the parts, the hooks and the
 * successor. They may outlive it, if what they call never returns, so the service is counted.
 */
#ifndef AG_SVC_SVC_H
#define AG_SVC_SVC_H

#include <aglet/svc.h>

#include <aglet/process.h>
#include <aglet/sync.h>
#include <aglet/time.h>
#include <stdatomic.h>

/* STARTING -> SERVING -> STOPPING; a restart goes to HANDED, which is ready to the last. */
enum { AG__SVC_STARTING, AG__SVC_SERVING, AG__SVC_STOPPING, AG__SVC_HANDED };

/* A listener's goroutine has ended. */
typedef struct ag__svc_ended {
    int server, error;
} ag__svc_ended;

/* What became of a successor: error 0, it is ready. */
typedef struct ag__svc_outcome {
    int error;
    int alive;     /* our end of the pipe that tells it that our sockets are closed, or -1 */
    ag_process *p; /* with a reference, or NULL */
    char why[160]; /* of an error */
} ag__svc_outcome;

/* Calls that may never return have a goroutine each; at most one of a kind at a time. */
enum { AG__SVC_START, AG__SVC_PARTS, AG__SVC_FORCE, AG__SVC_HOOKS, AG__SVC_WORKS };

typedef struct ag__svc ag__svc;
typedef void (*ag__svc_fn)(ag__svc *s);

typedef struct ag__svc_work_of {
    ag__svc_fn fn;
    ag_ctx *ctx;
    ag_chan(char) done;        /* closed when it has returned */
    _Atomic int64_t goroutine; /* where it is, for its stack */
} ag__svc_work_of;

struct ag__svc {
    _Atomic int refs;
    _Atomic int state;

    /* Constant once it serves. */
    ag_service opt;
    ag_http_server **https;  /* each once */
    ag_listener **listeners; /* of opt.servers, with references */
    int server_count, http_count, part_count;
    ag_ctx_call *caller_call;  /* the end of the caller's context is ours */
    ag_chan(char) caller_over; /* gets one then */
    ag_chan(int) signals;
    ag_chan(ag__svc_ended) ended;
    ag_chan(ag__svc_outcome) outcome;
    ag_chan(int) restart; /* SIGUSR2 */
    ag_chan(char) over;   /* closed at the end: the watchdog goes */

    /* Of ag_serve's goroutine. */
    int parts_started;
    int serving;      /* goroutines of listeners */
    int stop_signals; /* SIGTERM and SIGINT so far */
    ag_time first_signal;
    bool forced;
    int alive; /* as in the outcome */
    ag_svc_report report;

    ag_ctx *start_ctx, *force_ctx, *parts_ctx, *restart_ctx;
    _Atomic bool successor; /* one starts */
    _Atomic int64_t cut;    /* connections */
    _Atomic int stopping;   /* servers that have not stopped yet */
    _Atomic int parts_left; /* that are not drained */
    ag_chan(char) stopped;  /* closed when all servers have stopped */
    ag__svc_work_of works[AG__SVC_WORKS];
};

/* serve.c */
ag__svc *ag__svc_ref(ag__svc *s);
void ag__svc_unref(ag__svc *s);
/* The one that runs, with a reference; NULL. */
ag__svc *ag__svc_current(void);
/* Waits until `done` is closed or the time has come. Signals that come meanwhile count. Returns:
   whether it is closed; false also when a signal has forced the end. */
bool ag__svc_wait(ag__svc *s, ag_chan(char) done, ag_time until);
/* Calls fn(s) in a goroutine, in this context. Returns: the channel that is closed at its end,
   which is the service's. Without memory for that it is called here. */
ag_chan(char) ag__svc_work(ag__svc *s, int which, ag_ctx *ctx, ag__svc_fn fn);
/* Says something once, on stderr and in the log. */
void ag__svc_warn(const char *text);

/* stop.c: everything from the first signal to the report. */
void ag__svc_stop(ag__svc *s);

/* restart.c */
void ag__svc_restart_init(void); /* remembers how this program was started */
/* Starts a successor; its outcome comes by s->outcome. Returns: 0, -EBUSY, -EPERM, -ENOMEM. */
int ag__svc_restart_begin(ag__svc *s);
/* It serves. Tells who started us, if that was a predecessor. */
void ag__svc_tell_predecessor(void);

/* sockets.c */
typedef struct ag__svc_handed {
    int *fds;
    int count;
    char *words; /* what a successor has to know of them */
} ag__svc_handed;
/* The listeners to hand over. Returns: 0, -ENOMEM. */
int ag__svc_sockets_collect(ag__svc_handed *ret_handed);
void ag__svc_handed_free(ag__svc_handed *h);
/* Those that nobody has asked for are closed. */
void ag__svc_sockets_close_unused(void);
/* A successor has them: closes ours. */
void ag__svc_sockets_hand_on(void);
/* The predecessor has closed its own. */
void ag__svc_sockets_are_ours(void);
/* Drops all of it. */
void ag__svc_sockets_forget(void);
/* The pipes of a predecessor, and forgets them: -1 without one. */
void ag__svc_predecessor(int *ret_ready, int *ret_alive);

/* notify.c */
void ag__svc_watchdog_start(ag__svc *s);

/* hooks.c */
void ag__svc_hooks_run(void);

/* probe.c: why it is not ready; NULL: it is. */
const char *ag__svc_not_ready(ag__svc *s, char *buf, size_t size);

#endif
