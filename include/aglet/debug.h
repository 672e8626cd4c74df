/* SPDX-License-Identifier: MIT */
/*
 * aglet/debug.h - seeing inside a running program. ag_dump is in aglet/run.h; SIGQUIT prints it
 * on stderr and goes on, a second one within 2 s ends the process.
 *
 * A process that ends by SIGSEGV, SIGBUS, SIGFPE, SIGILL or SIGABRT first prints the goroutine that
 * did it, its labels, its backtrace and where it was created; then the signal does what it would
 * have done otherwise. A handler that was there before ag_run gets it instead, and nothing is
 * printed; one that is installed later stays. A stack overflow is printed in any case and ends the
 * process with status 2, or with AGLET_TRACEBACK=crash by its signal.
 */
#ifndef AGLET_DEBUG_H
#define AGLET_DEBUG_H

#include <aglet/base.h>
#include <aglet/profile.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

AG__BEGIN

/**
 * How a dump shows many goroutines.
 * AG_DUMP_EACH: an entry for each: number, name, state, since how many minutes; labels
 * (aglet/ctx.h); what it waits for, and who has that or could end the wait, as far as it is known:
 * a mutex's owner, a wait group's count and who was started into it, a channel's length and who
 * waits at it, the children of a scope, a descriptor and its peer, a timer; its stack; its frames;
 * the deferred calls that are pending; where and by whom it was started. AG_DUMP_GROUPS: one entry
 * for all that stand at the same place for the same reason, the largest group first, with their
 * numbers, and a line for each of the first 20 that have a name, labels or an object of their own.
 * AG_DUMP_AUTO: each, or groups if there are more than 250. So do ag_dump, SIGQUIT and the report
 *   of a deadlock. Go: debug=2 of the goroutine profile is each, debug=1 groups.
 */
enum { AG_DUMP_AUTO = 0, AG_DUMP_EACH = 1, AG_DUMP_GROUPS = 2 };

/** Writes all goroutines in this form. Waits for nobody and stops nobody; works when every thread
 * is stuck. What changes meanwhile is shown as it was at one moment or another, each goroutine for
 * itself. From: goroutine, any thread. */
AG_API void ag_dump_as(FILE *out, int form);

/** Writes the goroutine with this number. Returns: 0, -ESRCH if there is none. */
AG_API int ag_dump_goroutine(FILE *out, int64_t id);

/** Counters of the runtime since its start. All-zero when none runs. */
typedef struct ag_stats {
    int64_t goroutines;  /* live now */
    int64_t created;     /* ever */
    int64_t threads;     /* that can run goroutines, now */
    int64_t procs;       /* processors */
    int64_t handed_on;   /* processors taken from threads outside the runtime */
    int64_t stolen;      /* goroutines taken from another processor's queue */
    int64_t stacks;      /* stacks in use now */
    int64_t stack_bytes; /* address space of those */
    int64_t polls;       /* looks at the poller */
} ag_stats;

/** Reads the counters; each is exact, together they are no snapshot. */
AG_API void ag_stats_read(ag_stats *ret_stats);

/**
 * Looks now for goroutines that can never go on, and writes a finding for each circle of such and
 * for each other one; `out` may be NULL: only counts. Says nothing about what it can't know: see
 * ag_on_report.
 * Returns: how many goroutines there are that can never go on; 0 outside of ag_run.
 * From: goroutine, any thread. Waits: some milliseconds, on this thread.
 */
AG_API int ag_leaks(FILE *out);

/** A finding about the program. `count` goroutines are concerned; 0 stands for a thread that is
 * none. All of it is valid until the hook returns. */
typedef struct ag_report {
    /* `deadlock`, `leak`, `stall`, `lock order`, `lock held at exit`, `lost error` */
    const char *kind;
    const char *text;
    int count;
    const int64_t *ids;
} ag_report;

/** Called for every finding instead of printing it on stderr; NULL prints again. A finding is
 * printed as `aglet: KIND: TEXT`, then one line `  goroutine N [STATE] FUNCTION created at
 * FILE:LINE` for each goroutine concerned, with more details below. Returns: the hook before.
 * From: goroutine, any thread. The hook must not lock what the finding is about.
 *
 * What is looked for while the program runs, every AGLET_DETECT_MS milliseconds (1000; 0: not at
 * all), each once, on a thread that is no goroutine:
 * - `deadlock`: goroutines that wait for each other for ever, through locks of aglet/sync.h, wait
 *   groups with ag_wg_go, ag_once, single flights, scopes, jobs; one that locks what it holds.
 * - `leak`: a goroutine that nobody can wake any more: it waits for a nil channel, for one to which
 *   nobody has a reference, for more of a semaphore than there is. Main may do so.
 * A legal program is never reported: what the runtime can't know - who else has a channel, a
 * condition, a group counted by hand - counts as something that may still happen. A lock that was
 * ever unlocked by another goroutine than its locker takes no part. With AGLET_SCAN=heap memory is
 * searched for who could still reach what is waited for, while all threads sleep and there are none
 * besides the runtime's: then one is a leak if nobody who may go on can reach its channels, nor the
 * condition, semaphore, group or lock that it waits for, if that is on a goroutine's stack, nor a
 * context that could end its wait. For that an address must be stored as such, at an aligned place.
 *
 * With AGLET_STALL_MS set, to a number of milliseconds, also:
 * - `stall`: a goroutine has kept its thread outside the library for at least so long, in a call
 *   that blocks or in a loop; each stay is told once, and how far it is off by then: it may be half
 *   as long again. Nobody else waits for such a goroutine, but its thread is one more. Calls
 * through ag_blocking, which says so beforehand, are none.
 *
 * Other findings are told by aglet/sync.h and aglet/bufio.h. */
typedef void (*ag_report_hook)(const ag_report *);
AG_API ag_report_hook ag_on_report(ag_report_hook hook);

/** Who asks ag_debug_answer: how the answer gets to it. Kept by the caller until the call returns.
 * Each function returns 0, or a negative error value when the asker has gone: nothing more is sent
 * then, and ag_debug_answer returns that value. */
typedef struct ag_debug_client {
    void *arg;
    /* First, once: the answer's HTTP status and content type. */
    int (*begin)(void *arg, int status, const char *content_type);
    /* Then any number of times, also never: the next bytes. */
    int (*write)(void *arg, const void *data, size_t n);
    /* Whether the asker has gone, asked now and then during long answers. May be NULL. */
    bool (*is_gone)(void *arg);
} ag_debug_client;

/** Answers one question about this program, as `GET target` does over HTTP: the target is a path
 * below /debug/ with its query, "/debug/goroutines?id=7"; "/debug/list" tells which there are. What
 * is wrong with the question is part of the answer, as a status and a text.
 * Waits: as long as the question says (`seconds=`), and in the client's functions.
 * Returns: 0; -ENOMEM without having called anything; what a client's function returned; another
 * negative error value when the answer broke off. From: goroutine, any thread. */
AG_API int ag_debug_answer(const char *target, const ag_debug_client *client);
/** The same for a client whose request has the field Accept with this value, which decides where an
 * answer comes in several formats: the metrics. NULL: it has none. */
AG_API int ag_debug_answer_to(const char *target, const char *accept,
                              const ag_debug_client *client);

/** What an HTTP request says about who sends it; a member is NULL where it says nothing. */
typedef struct ag_debug_caller {
    const char *method;        /* "GET" */
    const char *remote;        /* the address it comes from, "127.0.0.1:50000" */
    const char *host;          /* the field Host, with its port */
    const char *origin;        /* the field Origin */
    const char *fetch_site;    /* the field Sec-Fetch-Site */
    const char *authorization; /* the field Authorization */
    const char *forwarded;     /* any of Forwarded, X-Forwarded-For, Via */
} ag_debug_caller;

/** Judges whether such a request may look into this program: GET alone; no page of another site or
 * origin. With AGLET_DEBUG_TOKEN in the environment: who has that token, as a bearer or as the
 * password of any user. Without: from this machine, not by a proxy, to localhost or a number as
 * Host, so that no page can give us its own name (DNS rebinding).
 * Returns: 0; else an HTTP status, with *ret_why a line that says why. From: any thread. */
AG_API int ag_debug_admit(const ag_debug_caller *caller, const char **ret_why);

/** The header field number `i`, from 0, that every answer over HTTP should have: it is not stored,
 * uses nothing from outside and is shown in no frame. Returns: false behind the last one. */
AG_API bool ag_debug_header_at(size_t i, const char **ret_name, const char **ret_value);

/**
 * Answers HTTP at `addr`, "HOST:PORT", until the runtime ends: for programs without a server of
 * their own; others mount ag_http_debug (aglet/http.h). Threads that run no goroutines do it, so it
 * works when every processor is stuck, and it keeps no goroutine alive. Who is answered:
 * ag_debug_admit. HOST is a number; nothing and "localhost" mean 127.0.0.1, also in ":6060".
 * Returns: the port (that the system chose, for 0); -EACCES for an address that other machines can
 * reach, without AGLET_DEBUG_TOKEN; -EINVAL for no address, -EADDRINUSE …; -EMFILE also for more
 * than 7 of them; -ECANCELED when no runtime runs; -ENOMEM, -EAGAIN without a thread.
 * From: goroutine, any thread.
 */
AG_API int ag_debug_serve(const char *addr);

AG__END
#endif
