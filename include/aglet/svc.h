/* SPDX-License-Identifier: MIT */
/*
 * aglet/svc.h - the life of a service: starting, being ready, stopping in phases, and restarting
 * without closing its port. Link with -laglet-svc as well (pkg-config aglet-svc).
 *
 *     static int app(void *arg) {
 *         ag_http_server *web = ag_http_server_new(NULL);
 *         ag_http_handle(web, "GET /hello", hello, NULL);
 *         ag_http_handle(web, "GET /readyz", ag_svc_readyz, NULL);
 *         ag_http_handle(web, "GET /livez", ag_svc_livez, NULL);
 *         const ag_svc_server servers[] = {{.http = web, .addr = ":8080"}, {.http = NULL}};
 *         int r = ag_serve(&(ag_service){.servers = servers});
 *         ag_http_server_free(web);
 *         return r == 0 ? 0 : 1;
 *     }
 *
 * A stop, by SIGTERM, SIGINT or the end of the caller's context, has four phases in one budget:
 *
 *     0 s          delay                                 19.5 s     22 s    24 s      25 s
 *     |- not ready --|- listeners closed, answering -------|- told ----|- cut --|- end ---|
 *         1              2, 3                              contexts     4
 *                                                          end
 *
 *  1. /readyz answers 503; connections are still accepted, each answer says "Connection: close".
 *  2. The listeners stop and close; nobody who has connected is lost. Parts are told.
 *  3. What has arrived is answered. 5.5 s before the end (of a budget below 20 s, a quarter) the
 *     handlers' contexts end, so that they can still answer.
 *  4. What is left is cut; the log is written; the exit hooks run; the report is made.
 *
 * A second signal goes to phase 4 at once; a third has its default action, whatever the program is
 * doing. One that comes within 100 ms of the first counts as the same, also if the stop is over by
 * then. Afterwards the signals have their old action.
 *
 * A restart, by SIGUSR2, starts the program anew and hands it the listening sockets. Only when that
 * one serves does this one stop (phases 2 to 4); if it fails, this one goes on. At no time is the
 * port closed. docs/guide/service.md has the protocol, units for systemd, Kubernetes and nginx.
 */
#ifndef AGLET_SVC_H
#define AGLET_SVC_H

#include <aglet/http.h>

AG__BEGIN

/* ---- What a service is made of -------------------------------------------------------------- */

/** An HTTP server and where it listens. A server may stand in several, to listen in several places.
 * Plain; kept by the caller until ag_serve returns. */
typedef struct ag_svc_server {
    ag_http_server *http;  /* the caller's, before and after */
    const char *net;       /* as for ag_listen; NULL: "tcp" */
    const char *addr;      /* likewise */
    const char *name;      /* the socket's, for ag_svc_listen_with; may be NULL */
    bool reuse_port;       /* likewise */
    ag_listener *listener; /* or this one instead of all that; it stays the caller's, closed. Handed
                              to a successor if it is of ag_svc_listen, which see */
} ag_svc_server;

/**
 * Something else that lives as long as the service: a database, a queue, workers. Each function may
 * be NULL. Plain; kept by the caller until ag_serve returns.
 *
 * In start, drain and force the current context ends when there is no more time for them. One that
 * does not return in spite of that is left behind, reported, and may still run.
 * A goroutine that start leaves running is handed that context, too: it begins with
 * ag_ctx_enter(NULL).
 */
typedef struct ag_svc_part {
    const char *name;         /* for the log */
    int (*start)(void *arg);  /* before anything is served, in the order of the list. Below 0: the
                                 service does not start; those before it are drained */
    int (*check)(void *arg);  /* asked by each readiness probe: 0, or why not. Must not wait long */
    void (*stop)(void *arg);  /* at the beginning of phase 2, in order: take no new work. Must not
                                 wait */
    void (*drain)(void *arg); /* when no HTTP handler runs any more, in reverse order, each after
                                 the one before has returned: finish what is there, and end */
    void (*force)(void *arg); /* in phase 4, if drain has not returned */
    void *arg;
} ag_svc_part;

/** What became of a stop. A plain value. */
typedef struct ag_svc_report {
    int cause;         /* the signal; 0: the context's end, or `error` */
    int error;         /* why it could not start, or not go on; 0 otherwise */
    bool handed_over;  /* to a successor */
    bool forced;       /* by a second signal */
    ag_time took_ns;   /* from the signal to the end */
    int64_t drained;   /* requests answered after it, in time */
    int64_t cancelled; /* handlers that ended because their contexts ended, or their connections */
    int64_t killed;    /* handlers, parts and hooks that never ended */
    int64_t cut;       /* connections that were cut */
    char late[4096];   /* where those that never ended are: their stacks, or the first of them */
} ag_svc_report;

/** A service. All-zero but for what it is made of means the defaults; AGLET_STOP_MS,
 * AGLET_STOP_DELAY_MS and AGLET_RESTART_MS of the environment win. Kept by the caller until
 * ag_serve returns. */
typedef struct ag_service {
    const ag_svc_server *servers; /* ended by one without `http`; NULL: none */
    const ag_svc_part *parts;     /* ended by one without `name`; NULL: none */
    ag_time budget_ns;        /* of all phases together: 25 s, because Kubernetes kills after 30 */
    ag_time delay_ns;         /* of phase 1: 0. Not after SIGINT, nor in a restart */
    ag_time restart_ns;       /* for a successor to be ready: 60 s */
    const char *program;      /* of the successor; NULL: the file that this one was started by */
    const char *const *argv;  /* its words, ended by NULL; NULL: those of this one */
    bool no_restart;          /* SIGUSR2 keeps its action */
    void (*ready)(void *arg); /* called once it serves; may be NULL */
    void *arg;                /* of that */
    ag_svc_report *report;    /* filled before ag_serve returns; may be NULL */
} ag_service;

/* ---- Running -------------------------------------------------------------------------------- */

/**
 * Runs a service: listens, starts the parts, serves, says so (to systemd and to a predecessor),
 * until SIGTERM, SIGINT or the end of the caller's current context; then stops it, in the phases
 * above. What it does is told to the log (aglet/log.h), and what never ended on stderr, too. A
 * handler, a part or a hook that never ends does not keep it.
 * One at a time in a process.
 * Waits: for the whole life of the service.
 * Returns: 0 after a stop in which nothing was cut or killed; 1 if something was; a negative error
 * value if it could not start, or a listener failed later: of ag_listen, of a part's start; -EBUSY
 * while another runs; -ENOMEM. From: goroutine.
 * Limit: the signals are its own while it runs; ag_notify for them works beside it.
 */
AG_API int ag_serve(const ag_service *service);

/** Asks the service that runs to restart, as SIGUSR2 does. Returns: 0, -ESRCH if none runs, -EBUSY
 * while a successor starts or while it stops, -EPERM for process 1, whose end would be that of its
 * container. From: goroutine, any thread. */
AG_API int ag_svc_restart(void);

/** A handler that answers 200 while the service is ready, else 503 with the reason: it starts, it
 * stops, or a part's check says no. For ag_http_handle(s, "GET /readyz", ag_svc_readyz, NULL). */
AG_API void ag_svc_readyz(ag_http_request *req, ag_http_response *res);
/** A handler that answers 200: who can answer is alive. Also while the service stops. */
AG_API void ag_svc_livez(ag_http_request *req, ag_http_response *res);

/**
 * An exit hook: fn(arg) runs once, whatever way the process ends: at the end of ag_serve, by
 * exit(), ag_exit and a return from main, or by an unrecovered panic; the one that was added last
 * runs first. Not by a signal's default action, _exit, abort or a fatal error of the runtime. In a
 * panic or in exit() the hook runs where that came up: it must not wait for other goroutines.
 * Returns: 0, -ENOMEM. From: goroutine, any thread.
 * Limit: a hook set by ag_on_panic later must call the one before.
 */
AG_API int ag_svc_at_exit(void (*fn)(void *arg), void *arg);

/* ---- Sockets -------------------------------------------------------------------------------- */

/**
 * A listener for `net` and `addr`, as ag_listen makes it, but from a socket that the process was
 * given, if one fits: by its predecessor in a restart, by systemd's socket activation (LISTEN_FDS)
 * or by who does the same (systemd-socket-activate). One fits that was asked for by the same words
 * before the restart, or whose name is `name`, or that listens at this address. A successor gets
 * every listener made this way that is open then, so that its own call finds it.
 * ag_serve closes what was given and nobody asked for, with a warning, once it is ready.
 * Returns: as ag_listen. Owns: the caller has one reference; the library keeps one, until ag_serve
 * returns. From: goroutine, any thread.
 * Limit: what is no listening stream socket is left alone.
 */
AG_API int ag_svc_listen(const char *net, const char *addr, ag_listener **ret_listener);

/** See ag_svc_listen_with; all-zero is ag_svc_listen. */
typedef struct ag_svc_listen_opts {
    const char *name; /* what the socket is called: FileDescriptorName= of a systemd socket */
    bool
        reuse_port; /* as in ag_listen_opts, and not handed over: the successor listens by itself */
} ag_svc_listen_opts;

/** ag_svc_listen with options; `opts` may be NULL. Returns: the same. */
AG_API int ag_svc_listen_with(const ag_svc_listen_opts *opts, const char *net, const char *addr,
                              ag_listener **ret_listener);

/* ---- systemd -------------------------------------------------------------------------------- */

/** Tells the service manager something, "STATUS=importing": one or more lines of sd_notify(3).
 * ag_serve itself says READY, RELOADING, STOPPING, MAINPID, STATUS and, if the manager wants it,
 * WATCHDOG, from a goroutine, so that a scheduler that is stuck is noticed.
 * Waits: 1 s at most. Returns: 1, 0 if there is no manager (no NOTIFY_SOCKET), or a negative error
 * value. From: goroutine. */
AG_API int ag_svc_notify(const char *state);

AG__END
#endif
