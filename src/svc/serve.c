/* SPDX-License-Identifier: MIT */
/*
 * serve.c - ag_serve: from the start of a service to the end of its stop.
 *
 *     listen --> start the parts --> serve, say so --> wait --> stop (stop.c)
 *       |              |                                 |
 *       +--- failed ---+--- a signal --------------------+--- signal, context, listener's error,
 *                                                             a successor that is ready
 *
 * Listening comes first: a port that is taken is noticed before anything else has been done, and
 * who connects meanwhile waits in the queue.
 *
 * Whoever waits here waits for channels, so a signal is heard in every phase. The waits are not
 * bounded by the caller's context, whose end is an event among others: a stop needs its time.
 */
#include "svc/svc.h"

#include <aglet/log.h>
#include <aglet/run.h>
#include <aglet/signal.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUDGET_NS (25 * AG_SEC)
#define RESTART_NS (60 * AG_SEC)
#define SAME_SIGNAL_NS (100 * AG_MS) /* some send a signal to a process and to its group */
#define PROXY_IDLE_NS (60 * AG_SEC)  /* keepalive_timeout of nginx's upstreams */

static ag_mutex lock;
static ag__svc *current; /* Guarded by lock; without a reference. */

/* ---- Life ----------------------------------------------------------------------------------- */

ag__svc *ag__svc_ref(ag__svc *s) {
    atomic_fetch_add(&s->refs, 1);
    return s;
}

void ag__svc_unref(ag__svc *s) {
    if (!s || atomic_fetch_sub(&s->refs, 1) > 1)
        return;
    for (int i = 0; i < s->server_count && s->listeners; i++)
        ag_unref(s->listeners[i]);
    free(s->listeners);
    free(s->https);
    ag_unref(s->signals);
    ag_unref(s->restart);
    ag_unref(s->ended);
    ag_unref(s->outcome);
    ag_unref(s->over);
    ag_unref(s->caller_over);
    ag_unref(s->caller_call);
    ag_unref(s->stopped);
    for (int i = 0; i < AG__SVC_WORKS; i++)
        ag_unref(s->works[i].done);
    ag_unref(s->start_ctx);
    ag_unref(s->force_ctx);
    ag_unref(s->parts_ctx);
    ag_unref(s->restart_ctx);
    free(s);
}

ag__svc *ag__svc_current(void) {
    ag_mutex_lock(&lock);
    ag__svc *s = current ? ag__svc_ref(current) : NULL;
    ag_mutex_unlock(&lock);
    return s;
}

static ag_time option(const char *variable, ag_time given, ag_time usual) {
    const char *text = getenv(variable);
    char *end;
    if (text && text[0] >= '0' && text[0] <= '9') {
        long long ms = strtoll(text, &end, 10);
        if (!*end && ms < INT64_MAX / AG_MS)
            return ms ? ms * AG_MS : usual;
    }
    return given > 0 ? given : usual;
}

static void note_http(ag__svc *s, ag_http_server *http) {
    for (int i = 0; i < s->http_count; i++)
        if (s->https[i] == http)
            return;
    s->https[s->http_count++] = http;
}

/* ag_make that returns NULL without memory. */
#define TRY_MAKE(T, cap) ((ag_chan(T))ag__chan_try_new(sizeof(T), (cap)))

static bool make_channels(ag__svc *s) {
    s->signals = TRY_MAKE(int, 16);
    s->restart = TRY_MAKE(int, 1);
    s->ended = TRY_MAKE(ag__svc_ended, s->server_count + 1);
    s->outcome = TRY_MAKE(ag__svc_outcome, 1);
    s->over = TRY_MAKE(char, 0);
    s->caller_over = TRY_MAKE(char, 1);
    s->stopped = TRY_MAKE(char, 0);
    bool ok = s->signals && s->restart && s->ended && s->outcome && s->over && s->caller_over &&
              s->stopped;
    for (int i = 0; i < AG__SVC_WORKS; i++) {
        s->works[i].done = TRY_MAKE(char, 0);
        ok = ok && s->works[i].done;
    }
    return ok;
}

static bool make_contexts(ag__svc *s) {
    s->start_ctx = ag_ctx_with_cancel(NULL);
    s->force_ctx = ag_ctx_with_cancel(NULL);
    s->parts_ctx = ag_ctx_with_cancel(NULL);
    s->restart_ctx = ag_ctx_with_cancel(NULL);
    return s->start_ctx && s->force_ctx && s->parts_ctx && s->restart_ctx;
}

static ag__svc *svc_new(const ag_service *service) {
    ag__svc *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->refs = 1;
    s->alive = -1;
    s->opt = *service;
    s->opt.budget_ns = option("AGLET_STOP_MS", service->budget_ns, BUDGET_NS);
    s->opt.delay_ns = option("AGLET_STOP_DELAY_MS", service->delay_ns, 0);
    s->opt.restart_ns = option("AGLET_RESTART_MS", service->restart_ns, RESTART_NS);
    while (s->opt.servers && s->opt.servers[s->server_count].http)
        s->server_count++;
    while (s->opt.parts && s->opt.parts[s->part_count].name)
        s->part_count++;
    s->listeners = calloc((size_t)s->server_count + 1, sizeof *s->listeners);
    s->https = calloc((size_t)s->server_count + 1, sizeof *s->https);
    if (!s->listeners || !s->https || !make_channels(s) || !make_contexts(s)) {
        ag__svc_unref(s);
        return NULL;
    }
    for (int i = 0; i < s->server_count; i++)
        note_http(s, s->opt.servers[i].http);
    return s;
}

/* ---- Waiting -------------------------------------------------------------------------------- */

/* Returns: whether it forces the end. */
static bool note_signal(ag__svc *s, int sig) {
    ag_time now = ag_now();
    if (s->stop_signals++ == 0) {
        s->first_signal = now;
        return false;
    }
    if (s->forced || now - s->first_signal < SAME_SIGNAL_NS)
        return false;
    s->forced = s->report.forced = true;
    ag_log_warn("forced to stop by a second signal", ag_kv("signal", sig));
    ag_notify_reset(SIGTERM, SIGINT);
    return true;
}

bool ag__svc_wait(ag__svc *s, ag_chan(char) done, ag_time until) {
    for (;;) {
        int sig = 0;
        ag_time now = ag_now();
        switch (ag_select_ordered(AG_RECV(done, NULL), AG_RECV(s->signals, &sig),
                                  AG_RECV(s->restart, NULL),
                                  AG_AFTER(until > now ? until - now : 0))) {
        case 0:
            return true;
        case 1:
            if (note_signal(s, sig))
                return false;
            break;
        case 2:
            ag_log_warn("no restart: the service stops");
            break;
        default:
            return false;
        }
    }
}

/* Owns a reference of s. */
static void work_over(ag__svc *s, int which) {
    ag_close(s->works[which].done);
    ag__svc_unref(s);
}

static void work_run(ag__svc *s, int which) {
    ag__svc_work_of *w = &s->works[which];
    ag_defer(work_over, s, which);
    ag_ctx_enter(w->ctx);
    atomic_store(&w->goroutine, ag_id());
    w->fn(s);
}

ag_chan(char) ag__svc_work(ag__svc *s, int which, ag_ctx *ctx, ag__svc_fn fn) {
    static const char *const names[] = {"service start", "service parts", "service force",
                                        "service exit"};
    const ag_go_opts opts = {.name = names[which]};
    ag__svc_work_of *w = &s->works[which];
    w->fn = fn;
    w->ctx = ctx;
    ag__svc_ref(s);
    if (ag_go_with(&opts, work_run, s, which) < 0)
        work_run(s, which);
    return w->done;
}

/* ---- Starting ------------------------------------------------------------------------------- */

void ag__svc_warn(const char *text) {
    const char *quiet = getenv("AGLET_QUIET");
    ag_log_warn(text);
    if (!quiet || strcmp(quiet, "1") != 0)
        fprintf(stderr, "aglet: warning: %s\n", text);
}

/* A proxy that keeps a connection for longer than we do sends its next request into our close. */
static void check_idle(const ag__svc *s) {
    static _Atomic bool said;
    for (int i = 0; i < s->http_count; i++) {
        ag_http_options o;
        char text[160];
        ag_http_options_read(s->https[i], &o);
        if (o.idle_ns >= PROXY_IDLE_NS || atomic_exchange(&said, true))
            continue;
        snprintf(text, sizeof text,
                 "idle_ns is %.1f s: proxies keep connections for 60 s, and a request that meets a "
                 "close is lost",
                 (double)o.idle_ns / (double)AG_SEC);
        ag__svc_warn(text);
    }
}

static int listen_all(ag__svc *s) {
    for (int i = 0; i < s->server_count; i++) {
        const ag_svc_server *v = &s->opt.servers[i];
        const ag_svc_listen_opts opts = {v->name, v->reuse_port};
        int r = 0;
        if (v->listener)
            s->listeners[i] = ag_ref(v->listener);
        else
            r = ag_svc_listen_with(&opts, v->net ? v->net : "tcp", v->addr, &s->listeners[i]);
        if (r != 0) {
            ag_log_error("can't listen", ag_kv("addr", v->addr), ag_kv_err(r));
            return r;
        }
    }
    return 0;
}

static void start_parts(ag__svc *s) {
    for (int i = 0; i < s->part_count && s->report.error == 0; i++) {
        const ag_svc_part *p = &s->opt.parts[i];
        int r = p->start ? p->start(p->arg) : 0;
        if (r < 0) {
            if (ag_ctx_err(ag_ctx_current()) == 0) /* nobody has told it to give up */
                ag_log_error("a part does not start", ag_kv("part", p->name), ag_kv_err(r));
            s->report.error = r;
        } else {
            s->parts_started = i + 1;
        }
    }
}

/* Returns: whether all of them run, and nobody wants the end. */
static bool start(ag__svc *s) {
    ag_chan(char) done = ag__svc_work(s, AG__SVC_START, s->start_ctx, start_parts);
    int sig = 0;
    int which = ag_select_ordered(AG_RECV(done, NULL), AG_RECV(s->signals, &sig),
                                  AG_RECV(s->caller_over, NULL));
    if (which != 0) {
        if (sig)
            note_signal(s, sig);
        s->report.cause = sig;
        ag_ctx_cancel(s->start_ctx);
        if (!ag__svc_wait(s, done, ag_now() + s->opt.budget_ns))
            s->report.killed++;
        s->report.error = 0; /* it was told to end */
    }
    return which == 0 && s->report.error == 0;
}

/* Owns a reference of s. */
static void serve_one(ag__svc *s, int i) {
    ag__svc_ended e = {i, ag_http_serve(s->opt.servers[i].http, s->listeners[i])};
    ag_send(s->ended, e);
    ag__svc_unref(s);
}

static int serve_all(ag__svc *s) {
    for (int i = 0; i < s->server_count; i++) {
        if (ag_go(serve_one, ag__svc_ref(s), i) < 0) {
            ag__svc_unref(s);
            return -ENOMEM;
        }
        s->serving++;
        ag_log_info("serving", ag_kv("addr", ag_listener_addr(s->listeners[i])));
    }
    return 0;
}

static void announce(ag__svc *s) {
    atomic_store(&s->state, AG__SVC_SERVING);
    ag__svc_sockets_close_unused();
    ag__svc_tell_predecessor();
    ag_svc_notify("READY=1\nSTATUS=serving");
    ag__svc_watchdog_start(s);
    if (s->opt.ready)
        s->opt.ready(s->opt.arg);
}

/* ---- Living --------------------------------------------------------------------------------- */

static void try_restart(ag__svc *s) {
    char text[128];
    int r = ag__svc_restart_begin(s);
    if (r == -EBUSY)
        ag_log_warn("no restart: a successor starts already");
    else if (r == -EPERM)
        ag_log_warn("no restart: the end of process 1 would be that of its container");
    else if (r != 0)
        ag_log_warn("no restart", ag_kv_err(r));
    if (r != 0)
        return;
    ag_log_info("restarting: a successor starts");
    snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%lld\nSTATUS=a successor starts",
             (long long)(ag_now() / AG_US));
    ag_svc_notify(text);
}

/* Returns: whether it takes over. */
static bool succeeded(ag__svc *s, const ag__svc_outcome *o) {
    char text[256];
    atomic_store(&s->successor, false);
    if (o->error != 0) {
        ag_log_error("no restart: the successor has failed, this process goes on",
                     ag_kv("why", (const char *)o->why));
        snprintf(text, sizeof text, "READY=1\nSTATUS=restart failed: %s", o->why);
        ag_svc_notify(text);
        return false;
    }
    ag_log_info("the successor serves", ag_kv("pid", ag_process_pid(o->p)));
    snprintf(text, sizeof text, "MAINPID=%d\nREADY=1\nSTATUS=serving", ag_process_pid(o->p));
    ag_svc_notify(text);
    s->alive = o->alive;
    s->report.handed_over = true;
    ag_unref(o->p);
    return true;
}

/* Until something ends it. */
static void live(ag__svc *s) {
    for (;;) {
        int sig = 0;
        ag__svc_ended e;
        ag__svc_outcome o;
        switch (ag_select_ordered(AG_RECV(s->signals, &sig), AG_RECV(s->caller_over, NULL),
                                  AG_RECV(s->ended, &e), AG_RECV(s->outcome, &o),
                                  AG_RECV(s->restart, NULL))) {
        case 0:
            note_signal(s, sig);
            s->report.cause = sig;
            return;
        case 2:
            s->serving--;
            s->report.error = e.error;
            ag_log_error("a listener has failed",
                         ag_kv("addr", ag_listener_addr(s->listeners[e.server])),
                         ag_kv_err(e.error));
            return;
        case 3:
            if (succeeded(s, &o)) {
                s->report.cause = SIGUSR2;
                return;
            }
            break;
        case 4:
            try_restart(s);
            break;
        default: /* the context */
            return;
        }
    }
}

static void run(ag__svc *s) {
    s->report.error = listen_all(s);
    if (s->report.error == 0 && start(s)) {
        s->report.error = serve_all(s);
        if (s->report.error == 0) {
            announce(s);
            live(s);
        }
    }
    ag__svc_stop(s);
}

/* ---- ag_serve ------------------------------------------------------------------------------- */

static bool become_current(ag__svc *s) {
    ag_mutex_lock(&lock);
    bool ok = !current;
    if (ok)
        current = s;
    ag_mutex_unlock(&lock);
    return ok;
}

/* Owns references; NULL: none. */
static void end_signals(ag_chan(int) stops, ag_chan(int) restarts, ag_time when) {
    ag_sleep(when - ag_now());
    ag_notify_stop(stops);
    if (restarts)
        ag_notify_stop(restarts);
    ag_unref(stops);
    ag_unref(restarts);
}

/* What follows in main must not be cut by the same signal, sent twice, when the stop was quick;
 * nor, once there is a successor, by a SIGUSR2 that was meant for that. */
static void give_signals_back(ag__svc *s) {
    ag_chan(int) restarts = s->opt.no_restart || s->report.handed_over ? NULL : s->restart;
    ag_time when = s->first_signal + SAME_SIGNAL_NS;
    if (s->report.handed_over)
        ag_notify_ignore(SIGUSR2);
    ag_ref(s->signals);
    ag_ref(restarts);
    if (s->stop_signals == 0 || s->forced || when <= ag_now() ||
        ag_go(end_signals, s->signals, restarts, when) < 0)
        end_signals(s->signals, restarts, 0);
}

/* In whatever way ag_serve is left. */
static void leave(ag__svc *s) {
    ag_mutex_lock(&lock);
    current = NULL;
    ag_mutex_unlock(&lock);
    give_signals_back(s);
    if (ag_ctx_call_stop(s->caller_call))
        ag__svc_unref(s); /* that of the call */
    ag_close(s->over);
    ag__svc_hooks_run();
    ag__svc_sockets_forget();
    ag__svc_unref(s);
}

/* Owns a reference of s. */
static void caller_ended(ag__svc *s) {
    ag_try_send(s->caller_over, 1);
    ag__svc_unref(s);
}

static int listen_to_caller(ag__svc *s) {
    ag_ctx *caller = ag_ctx_current();
    if (caller == ag_ctx_background())
        return 0;
    s->caller_call = ag_ctx_after(caller, caller_ended, ag__svc_ref(s));
    if (s->caller_call)
        return 0;
    ag__svc_unref(s);
    return -ENOMEM;
}

static int listen_to_signals(ag__svc *s) {
    int r = ag_notify(s->signals, SIGTERM, SIGINT);
    if (r == 0 && !s->opt.no_restart)
        r = ag_notify(s->restart, SIGUSR2);
    return r;
}

int ag_serve(const ag_service *service) {
    ag__svc *s = svc_new(service);
    if (!s)
        return -ENOMEM;
    if (!become_current(s)) {
        ag__svc_unref(s);
        return -EBUSY;
    }
    int r = listen_to_caller(s);
    ag_ctx_enter(NULL);
    ag_defer(leave, s);
    if (r == 0)
        r = listen_to_signals(s);
    if (r != 0)
        return r;
    ag__svc_restart_init();
    check_idle(s);
    run(s);
    if (service->report)
        *service->report = s->report;
    if (s->report.error != 0)
        return s->report.error;
    return s->report.cut || s->report.killed ? 1 : 0;
}
