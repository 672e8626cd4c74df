/* SPDX-License-Identifier: MIT */
/*
 * runtime.c - metrics of the runtime and of the process; runtime.def lists them.
 *
 * The scheduler counts for itself what costs nothing there, in the records of its processors, or
 * where something expensive happens anyway. Here it is read, without stopping anybody: each number
 * is right, together they are no snapshot. What only a walk tells - the states of goroutines - is
 * counted by walking, two nanoseconds a record.
 *
 * Not counted: operations on channels. One that need not wait is a few nanoseconds, of which a
 * counter would be a good part. Those that wait are in the sample by reason, and goroutines that
 * wait now are counted exactly.
 */
#include "lang/report.h"
#include "obs/log.h"
#include "obs/obs.h"
#include "sched/sched.h"
#include <string.h>

struct snapshot {
    int64_t created, ended, procs, procs_idle, queued, queued_globally, steps, stolen;
    int64_t handed_on, burning, announced, detached_running, detached_blocked;
    int64_t threads, threads_idle, stacks, stack_bytes, timers, timers_fired;
    int64_t polls, poll_events, poll_waiting;
    int64_t states[AG__G_WISH + 1], reasons[AG__WAIT_REASONS], sampled[AG__WAIT_REASONS];
    int64_t waits[AG__SAMPLE_BUCKETS + 1], wait_ns;
    int64_t log_lines[AG__LEVELS], log_dropped;
    ag__os_process process;
};

/* --- Reading. --- */

static int64_t of(_Atomic int64_t *at) {
    return atomic_load_explicit(at, AG__RLX);
}

static bool count_goroutine(ag__g *g, void *arg) {
    struct snapshot *x = arg;
    int state = atomic_load_explicit(&g->state, AG__RLX);
    int reason = atomic_load_explicit(&g->reason, AG__RLX);
    if (state > AG__G_WISH)
        return true;
    x->states[state]++;
    if (state == AG__G_WAITING && reason < AG__WAIT_REASONS)
        x->reasons[reason]++;
    return true;
}

static void read_processor(struct snapshot *x, ag__p *p) {
    x->created += of(&p->created);
    x->stolen += of(&p->stolen);
    x->announced += of(&p->announced);
    x->steps += of(&p->steps);
    uint32_t queued =
        atomic_load_explicit(&p->tail, AG__RLX) - atomic_load_explicit(&p->head, AG__RLX);
    /* Two loads, and a thief may come between. */
    x->queued += (queued <= AG__RING ? queued : 0) + (atomic_load_explicit(&p->next, AG__RLX) != 0);
    ag__lock_acquire(&p->heap.lock);
    x->timers += p->heap.count - p->heap.dead;
    ag__lock_release(&p->heap.lock);
    x->timers_fired += of(&p->heap.fired);
    for (int i = 0; i <= AG__SAMPLE_BUCKETS; i++)
        x->waits[i] += of(&p->samples.waits[i]);
    for (int i = 0; i < AG__WAIT_REASONS; i++)
        x->sampled[i] += of(&p->samples.by_reason[i]);
    x->wait_ns += of(&p->samples.wait_ns);
}

static void read_world(struct snapshot *x) {
    struct ag__sched *s = &ag__sched;
    /* Ended first: one that starts and ends in between is counted as created only. */
    x->ended = atomic_load_explicit(&s->ended, memory_order_acquire);
    for (int i = 0; i < s->p_made; i++)
        x->ended += atomic_load_explicit(&s->p_all[i]->ended, memory_order_acquire);
    x->created = of(&s->created);
    for (int i = 0; i < s->p_made; i++)
        read_processor(x, s->p_all[i]);
    x->procs = atomic_load(&s->p_count);
    x->procs_idle = atomic_load_explicit(&s->idle_count, AG__RLX);
    x->queued_globally = atomic_load_explicit(&s->queue_count, AG__RLX);
    x->detached_running = atomic_load_explicit(&s->detached_running, AG__RLX);
    x->detached_blocked = atomic_load_explicit(&s->detached_blocked, AG__RLX);
    x->poll_waiting = of(&s->poll_waiters);
    ag__lock_acquire(&s->lock);
    x->threads = s->m_count;
    x->threads_idle = s->m_idle;
    ag__lock_release(&s->lock);
    ag__stack_stats(&x->stacks, &x->stack_bytes);
    ag__g_each(count_goroutine, x);
}

static void read_all(struct snapshot *x) {
    struct ag__sched *s = &ag__sched;
    memset(x, 0, sizeof *x);
    if (atomic_load_explicit(&s->running, memory_order_acquire) == 1)
        read_world(x);
    x->handed_on = of(&s->handed_on);
    x->burning = of(&s->handed_on_burning);
    x->polls = of(&s->polls);
    x->poll_events = of(&s->poll_events);
    ag__log_counts(x->log_lines, &x->log_dropped);
    ag__os_process_read(&x->process);
}

/* --- Writing. --- */

static void put_states(ag__out *o, const char *name, const struct snapshot *x) {
    for (int i = AG__G_FREE + 1; i < AG__G_WISH; i++)
        ag__out_value(o, name, "state", ag__state_name(i), (double)x->states[i]);
}

/* The first reason with the words of this one: in words some are the same. */
static int first_alike(int reason) {
    int i = AG__WAIT_NONE + 1;
    while (strcmp(ag__reason_name(i), ag__reason_name(reason)) != 0)
        i++;
    return i;
}

/* A series for each of the words. */
static void put_by_reason(ag__out *o, const char *name, const int64_t counts[AG__WAIT_REASONS]) {
    int64_t sums[AG__WAIT_REASONS] = {0};
    for (int i = AG__WAIT_NONE + 1; i < AG__WAIT_REASONS; i++)
        sums[first_alike(i)] += counts[i];
    for (int i = AG__WAIT_NONE + 1; i < AG__WAIT_REASONS; i++)
        if (first_alike(i) == i)
            ag__out_value(o, name, "reason", ag__reason_name(i), (double)sums[i]);
}

static void put_reasons(ag__out *o, const char *name, const struct snapshot *x) {
    put_by_reason(o, name, x->reasons);
}

static void put_sampled(ag__out *o, const char *name, const struct snapshot *x) {
    ag__out_value(o, name, "reason", "start", (double)x->sampled[AG__WAIT_NONE]);
    put_by_reason(o, name, x->sampled);
}

static void put_waits(ag__out *o, const char *name, const struct snapshot *x) {
    double bounds[AG__SAMPLE_BUCKETS];
    for (int i = 0; i < AG__SAMPLE_BUCKETS; i++)
        bounds[i] = (double)((int64_t)1 << (AG__SAMPLE_FIRST + i)) / 1e9;
    ag__out_histogram(o, name, bounds, x->waits, AG__SAMPLE_BUCKETS, (double)x->wait_ns / 1e9);
}

static void put_handed_on(ag__out *o, const char *name, const struct snapshot *x) {
    ag__out_value(o, name, "reason", "running", (double)x->burning);
    ag__out_value(o, name, "reason", "blocked", (double)(x->handed_on - x->burning));
    ag__out_value(o, name, "reason", "announced", (double)x->announced);
}

static void put_detached(ag__out *o, const char *name, const struct snapshot *x) {
    ag__out_value(o, name, "reason", "running", (double)x->detached_running);
    ag__out_value(o, name, "reason", "blocked", (double)x->detached_blocked);
}

static void put_findings(ag__out *o, const char *name, const struct snapshot *x) {
    const char *kinds[AG__REPORT_KINDS];
    int64_t counts[AG__REPORT_KINDS];
    (void)x;
    int n = ag__reports_sent(kinds, counts, AG__REPORT_KINDS);
    for (int i = 0; i < n; i++)
        ag__out_value(o, name, "kind", kinds[i], (double)counts[i]);
}

static void put_log_lines(ag__out *o, const char *name, const struct snapshot *x) {
    static const char *const levels[AG__LEVELS] = {"debug", "info", "warn", "error"};
    for (int i = 0; i < AG__LEVELS; i++)
        ag__out_value(o, name, "level", levels[i], (double)x->log_lines[i]);
}

static void put_one(ag__out *o, int type, const char *name, const char *help, double v) {
    if (v == -1)
        return;
    ag__out_head(o, name, help, type);
    ag__out_value(o, name, NULL, NULL, v);
}

void ag__runtime_write(ag__out *o) {
    struct snapshot all, *x = &all;
    read_all(x);
#define METRIC(type, name, value, help) put_one(o, AG__##type, name, help, (double)(value));
#define LIST(name, type, fn, help)                                                                 \
    ag__out_head(o, name, help, AG__##type);                                                       \
    fn(o, name, x);
#include "obs/runtime.def"
#undef METRIC
#undef LIST
}
