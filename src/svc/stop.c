/* SPDX-License-Identifier: MIT */
/*
 * stop.c - the four phases of a stop.
 *
 *     phase   until            what goes on
 *       1     delay            not ready; every answer ends its connection, more may come
 *     2, 3    5.5 s before end listeners closed; what has come is answered. Then contexts end
 *       3     3 s before it    as before; then connections are cut
 *             1 s before it    the parts drain; then they are forced
 *       4     the end          exit hooks, log, report
 *
 * Of a budget below 20 s these five seconds are a quarter.
 * Each step that ends early leaves its time to the next. When a second signal forces the end, all
 * that is left is a second, of which handlers and parts have a fifth to notice.
 *
 * A goroutine of its own stops each HTTP server: ag_http_stop, whose cut comes when its context
 * ends, is called again to wait for the handlers whose connections were cut. What never returns is
 * left where it is: nothing here waits for it for ever.
 *
 * In a restart phase 1 is left out, since who comes meets the successor; and the sockets are closed
 * by us and not stopped by the server, because what stops a socket stops it for the successor, too.
 */
#include "svc/svc.h"

#include <aglet/debug.h>
#include <aglet/io.h>
#include <aglet/log.h>
#include <aglet/run.h>
#include <aglet/signal.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LATE_MAX = 32 }; /* whose stacks are shown */
#define TAIL_NS (5 * AG_SEC)
#define FORCED_NS AG_SEC
#define FLUSH_NS AG_SEC
#define HOOKS_NS (200 * AG_MS) /* at least, although the budget is used up */

struct plan {
    ag_time begin, cancel_at, cut_at, parts_at, end;
};

/* The contexts end before ag_http_stop, which has all the time there is, would end them by itself.
 */
static struct plan plan_of(const ag__svc *s, ag_time now) {
    ag_time b = s->opt.budget_ns, end = now + b, tail = b / 4 < TAIL_NS ? b / 4 : TAIL_NS;
    return (struct plan){now, end - tail - b / 50, end - tail * 3 / 5, end - tail / 5, end};
}

/* A second signal has come. */
static void hurry(ag__svc *s, struct plan *p) {
    if (!s->forced)
        return;
    ag_time now = ag_now(), end = now + FORCED_NS < p->end ? now + FORCED_NS : p->end;
    if (p->cut_at <= now) /* done already */
        now = p->cut_at;
    *p = (struct plan){p->begin, now, now, end - (end - now) * 4 / 5, end};
    ag_ctx_cancel(s->force_ctx);
}

/* ---- What is left --------------------------------------------------------------------------- */

static int64_t answered(const ag__svc *s) {
    int64_t sum = 0;
    for (int i = 0; i < s->http_count; i++) {
        ag_http_stats st;
        ag_http_stats_read(s->https[i], &st);
        for (int c = 0; c < 6; c++)
            sum += st.requests[c];
    }
    return sum;
}

static size_t running(const ag__svc *s, int64_t ids[LATE_MAX]) {
    size_t n = 0;
    for (int i = 0; i < s->http_count; i++) {
        size_t room = n < LATE_MAX ? LATE_MAX - n : 0;
        n += ag_http_running(s->https[i], room ? ids + n : NULL, room);
    }
    return n;
}

/* Shows where they are, on stderr and in the report. */
static void show_late(ag__svc *s, const char *what, const int64_t *ids, size_t n) {
    char *text = NULL;
    size_t size = 0, at = strlen(s->report.late);
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return;
    fprintf(out, "%zu %s did not end in time\n", n, what);
    for (size_t i = 0; i < n && i < LATE_MAX; i++)
        ag_dump_goroutine(out, ids[i]);
    if (fclose(out) == 0 && text) {
        fprintf(stderr, "aglet: %s", text);
        snprintf(s->report.late + at, sizeof s->report.late - at, "%s", text);
    }
    free(text);
}

static void note_late(ag__svc *s, int which, const char *what) {
    int64_t id = atomic_load(&s->works[which].goroutine);
    s->report.killed++;
    show_late(s, what, &id, 1);
}

/* ---- HTTP ----------------------------------------------------------------------------------- */

static int64_t stop_http(ag__svc *s, ag_http_server *http, ag_time end) {
    ag_ctx_enter(s->force_ctx);
    ag_time left = end - ag_now();
    return ag_http_stop(http, left > 0 ? left : 1);
}

/* Owns a reference of s. */
static void stop_one(ag__svc *s, int i, ag_time end, ag_time grace) {
    int64_t cut = stop_http(s, s->https[i], end);
    atomic_fetch_add(&s->cut, cut);
    if (cut) /* until the handlers have noticed */
        ag_http_stop(s->https[i], grace);
    if (atomic_fetch_sub(&s->stopping, 1) == 1)
        ag_close(s->stopped);
    ag__svc_unref(s);
}

static void begin_stopping(ag__svc *s, const struct plan *p) {
    static const ag_go_opts opts = {.name = "service stop"};
    ag_time grace = (p->parts_at - p->cut_at) / 2;
    atomic_store(&s->stopping, s->http_count + 1);
    for (int i = 0; i < s->http_count; i++)
        if (ag_go_with(&opts, stop_one, ag__svc_ref(s), i, p->end, grace) < 0)
            stop_one(s, i, p->end, grace);
    if (atomic_fetch_sub(&s->stopping, 1) == 1)
        ag_close(s->stopped);
}

/* Returns: whether all have stopped. */
static bool wait_stopped(ag__svc *s, struct plan *p, const ag_time *until) {
    if (ag__svc_wait(s, s->stopped, *until))
        return true;
    if (!s->forced || *until <= ag_now())
        return false;
    hurry(s, p); /* a second signal came just now: *until has changed */
    return ag__svc_wait(s, s->stopped, *until);
}

static void drain_http(ag__svc *s, struct plan *p) {
    int64_t ids[LATE_MAX], before = answered(s), in_time;
    size_t told = 0, left = 0;
    begin_stopping(s, p);
    bool done = ag__svc_wait(s, s->stopped, p->cancel_at);
    hurry(s, p);
    in_time = answered(s) - before;
    if (!done) {
        told = running(s, ids);
        for (int i = 0; i < s->http_count; i++)
            ag_http_cancel(s->https[i]);
        done = wait_stopped(s, p, &p->cut_at);
    }
    if (!done) {
        ag_ctx_cancel(s->force_ctx); /* cuts */
        wait_stopped(s, p, &p->parts_at);
        left = running(s, ids);
    }
    if (left)
        show_late(s, "handlers", ids, left);
    s->report.drained = in_time;
    s->report.killed += (int64_t)left;
    s->report.cancelled = told > left ? (int64_t)(told - left) : 0;
    s->report.cut = atomic_load(&s->cut);
}

/* ---- Parts ---------------------------------------------------------------------------------- */

static void drain_all(ag__svc *s) {
    for (int i = atomic_load(&s->parts_left) - 1; i >= 0; i--) {
        const ag_svc_part *p = &s->opt.parts[i];
        if (p->drain)
            p->drain(p->arg);
        atomic_store(&s->parts_left, i);
    }
}

static void force_parts(ag__svc *s) {
    for (int i = atomic_load(&s->parts_left) - 1; i >= 0; i--) {
        const ag_svc_part *p = &s->opt.parts[i];
        if (p->force)
            p->force(p->arg);
    }
}

/* They have been told, in vain. Half of what is left is for the hooks. */
static void force_late_parts(ag__svc *s, ag_chan(char) drained, ag_time until) {
    ag__svc_wait(s, ag__svc_work(s, AG__SVC_FORCE, s->parts_ctx, force_parts), until);
    if (!ag__svc_wait(s, drained, until))
        note_late(s, AG__SVC_PARTS, "part");
}

static void drain_parts(ag__svc *s, struct plan *p) {
    atomic_store(&s->parts_left, s->parts_started);
    if (s->parts_started == 0)
        return;
    if (s->forced)
        ag_ctx_cancel(s->parts_ctx);
    ag_chan(char) done = ag__svc_work(s, AG__SVC_PARTS, s->parts_ctx, drain_all);
    bool ended = ag__svc_wait(s, done, p->parts_at);
    hurry(s, p);
    if (!ended) {
        ag_time now = ag_now(), left = p->end > now ? p->end - now : 0;
        ag_ctx_cancel(s->parts_ctx);
        if (!ag__svc_wait(s, done, now + left / 4))
            force_late_parts(s, done, now + left / 2);
    }
}

/* ---- The rest ------------------------------------------------------------------------------- */

static void tell_parts(ag__svc *s) {
    for (int i = 0; i < s->parts_started; i++)
        if (s->opt.parts[i].stop)
            s->opt.parts[i].stop(s->opt.parts[i].arg);
}

static void run_hooks(ag__svc *s) {
    (void)s;
    ag__svc_hooks_run();
}

static void end_hooks(ag__svc *s, const struct plan *p) {
    ag_chan(char) done = ag__svc_work(s, AG__SVC_HOOKS, NULL, run_hooks);
    ag_time least = ag_now() + HOOKS_NS, until = p->end > least ? p->end : least;
    if (!ag__svc_wait(s, done, until) && !ag__svc_wait(s, done, until))
        note_late(s, AG__SVC_HOOKS, "exit hook");
}

/* A successor that was starting must not outlive us, nor take over. */
static void end_successor(ag__svc *s, const struct plan *p) {
    ag__svc_outcome o;
    ag_time left = p->end - ag_now();
    if (!atomic_load(&s->successor) ||
        ag_select(AG_RECV(s->outcome, &o), AG_AFTER(left > 0 ? left : 0)) != 0)
        return;
    if (o.p)
        ag_process_signal(o.p, SIGTERM);
    ag_unref(o.p);
    if (o.alive >= 0)
        ag_fd_close(o.alive);
}

/* The goroutines of the listeners end by themselves, now that the servers have stopped. */
static void end_serving(ag__svc *s, const struct plan *p) {
    for (int i = 0; i < s->server_count; i++)
        if (s->listeners[i])
            ag_listener_close(s->listeners[i]);
    for (; s->serving > 0; s->serving--) {
        ag_time left = p->end - ag_now();
        if (ag_select_ordered(AG_RECV(s->ended, NULL), AG_AFTER(left > 0 ? left : 0)) != 0)
            return;
    }
}

static void tell(ag__svc *s) {
    ag_svc_report *r = &s->report;
    const char *why = r->handed_over        ? "restart"
                      : r->cause == SIGTERM ? "SIGTERM"
                      : r->cause == SIGINT  ? "SIGINT"
                      : r->error            ? "error"
                                            : "context";
    ag_log(r->cut || r->killed || r->error ? AG_LOG_WARN : AG_LOG_INFO, "stopped",
           ag_kv("cause", why), ag_kv("forced", r->forced), ag_kv_ns("took", r->took_ns),
           ag_kv("drained", r->drained), ag_kv("cancelled", r->cancelled),
           ag_kv("killed", r->killed), ag_kv("cut", r->cut));
}

static void phase_1(ag__svc *s, struct plan *p) {
    bool handover = s->report.handed_over;
    for (int i = 0; i < s->http_count; i++)
        ag_http_lame_duck(s->https[i]);
    if (!handover)
        ag_svc_notify("STOPPING=1\nSTATUS=stopping");
    ag_time delay = s->opt.delay_ns;
    if (delay > 0 && !handover && s->report.cause != SIGINT && !s->report.error)
        ag__svc_wait(s, NULL,
                     p->begin + (delay < s->opt.budget_ns / 2 ? delay : s->opt.budget_ns / 2));
    hurry(s, p);
}

void ag__svc_stop(ag__svc *s) {
    struct plan p = plan_of(s, ag_now());
    bool served = atomic_load(&s->state) == AG__SVC_SERVING, handover = s->report.handed_over;
    if (served) {
        atomic_store(&s->state, handover ? AG__SVC_HANDED : AG__SVC_STOPPING);
        ag_log_info("stopping", ag_kv("restart", handover));
    }
    ag_ctx_cancel(s->restart_ctx);
    hurry(s, &p);
    if (served)
        phase_1(s, &p);
    tell_parts(s);
    if (handover)
        ag__svc_sockets_hand_on();
    if (s->alive >= 0)
        ag_fd_close(s->alive);
    drain_http(s, &p);
    drain_parts(s, &p);
    end_serving(s, &p);
    end_successor(s, &p);
    end_hooks(s, &p);
    s->report.took_ns = ag_now() - p.begin;
    tell(s);
    ag_log_flush(FLUSH_NS);
}
