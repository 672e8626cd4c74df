/* SPDX-License-Identifier: MIT */
/*
 * prof_wait.c - profiles of what is over: waits, by who waited (block) and by who made others wait
 * (mutex); threads that were made.
 *
 * The scheduler tells of a wait when it has ended, in the goroutine that waited; a lock tells when
 * it is given up and somebody had waited for it. Both happen inside the runtime, where nothing may
 * allocate or wait: the stack is walked from there and counted in a table that was taken before
 * (prof_stacks.h). Both are off at first, and then nobody calls.
 *
 * Which waits are recorded is chosen as in Go: those at least as long as the rate, and of shorter
 * ones a share as great as their share of the rate. Those stand for others, so they are counted
 * with the inverse of that share. Of locks every n-th is chosen, by chance, and counted n times.
 */
#include "ctx/ctx.h"
#include "debug/prof_stacks.h"
#include "os/unwind.h"
#include <aglet/profile.h>
#include <errno.h>

enum { STACKS = AG__SIZE(4096, 64), THREAD_STACKS = 64 };

const ag__prof_kind ag__prof_block = {
    .name = "block",
    .values = {{"contentions", "count"}, {"delay", "nanoseconds"}},
    .period_type = "contentions",
    .period_unit = "count",
    .shown = 1,
    .hides_runtime = true};
const ag__prof_kind ag__prof_mutex = {
    .name = "mutex",
    .values = {{"contentions", "count"}, {"delay", "nanoseconds"}},
    .period_type = "contentions",
    .period_unit = "count",
    .shown = 1,
    .hides_runtime = true};
const ag__prof_kind ag__prof_threadcreate = {.name = "threadcreate",
                                             .values = {{"threadcreate", "count"}},
                                             .period_type = "threadcreate",
                                             .period_unit = "count"};

static ag__lock lock; /* of changes */
static ag__stacks waits, locks, threads;
static _Atomic int64_t block_rate;     /* Written under lock, read relaxed. */
static _Atomic int64_t mutex_fraction; /* Likewise. */
static _Atomic bool threads_tried;     /* to open `threads` */

/* --- Recording. --- */

static uint64_t *random_of(ag__m *m) {
    return m->p ? &m->p->random : &m->foreign_random;
}

/* Whether other goroutines can end such a wait: not the clock, nor the world outside. */
static bool counts(int reason) {
    switch (reason) {
    case AG__WAIT_NONE:
    case AG__WAIT_SLEEP:
    case AG__WAIT_IO:
    case AG__WAIT_YIELD:
    case AG__WAIT_BLOCKING:
        return false;
    default:
        return true;
    }
}

static AG__NOINLINE void record(ag__stacks *s, ag__m *m, const char *state, int64_t count,
                                int64_t ns) {
    uintptr_t pcs[AG__PROF_FRAMES];
    char labels[AG__LABEL_BYTES];
    const ag__g *g = m ? m->g : NULL;
    ag__prof_sample sample = {.pcs = pcs, .state = state};
    if (g && !(g->flags & AG__GF_FOREIGN)) {
        sample.name = g->name;
        if (ag__labels_copy(g, labels))
            sample.labels = labels;
        sample.site = g->id == 1 ? NULL : g->site;
    }
    sample.frames = ag__unwind_here(pcs, AG__PROF_FRAMES, 1);
    ag__stacks_add(s, &sample, (int64_t[AG__PROF_VALUES]){count, ns});
}

AG__COLD void ag__prof_waited(ag__m *m, int reason, int64_t ns) {
    int64_t rate = atomic_load_explicit(&block_rate, AG__RLX), count = 1;
    if (rate <= 0 || !counts(reason))
        return;
    ns = ns > 0 ? ns : 1;
    if (ns < rate) {
        if ((int64_t)(((uint64_t)ag__random(random_of(m)) << 32 | ag__random(random_of(m))) %
                      (uint64_t)rate) > ns)
            return;
        count = rate / ns;
        ns = rate;
    }
    record(&waits, m, ag__reason_name(reason), count, ns);
}

AG__COLD void ag__prof_contended(ag__m *m, int64_t ns) {
    int64_t n = atomic_load_explicit(&mutex_fraction, AG__RLX);
    if (n <= 0 || (n > 1 && ag__random_below(random_of(m), (uint32_t)n) != 0))
        return;
    record(&locks, m, NULL, n, ns * n);
}

AG__COLD void ag__prof_thread_made(void) {
    if (!atomic_exchange(&threads_tried, true))
        ag__stacks_open(&threads, THREAD_STACKS);
    record(&threads, NULL, NULL, 1, 0);
}

/* --- Switching on and off. --- */

/* Sets the value, after taking memory the first time; what was counted stays. */
static int64_t change(ag__stacks *s, _Atomic int64_t *value, int64_t to) {
    AG__TSAN_LOOK_AWAY();
    ag__lock_acquire(&lock);
    int64_t before = atomic_load_explicit(value, AG__RLX);
    if (to > 0 && !s->at && ag__stacks_open(s, STACKS) != 0) {
        before = -ENOMEM;
    } else if (to >= 0) {
        atomic_store_explicit(value, to, AG__RLX);
        atomic_store_explicit(&ag__watch_waits,
                              atomic_load_explicit(&block_rate, AG__RLX) > 0 ||
                                  atomic_load_explicit(&mutex_fraction, AG__RLX) > 0,
                              AG__RLX);
    }
    ag__lock_release(&lock);
    AG__TSAN_LOOK();
    return before;
}

int64_t ag_profile_block_rate(int64_t ns) {
    return change(&waits, &block_rate, ns);
}
int ag_profile_mutex_fraction(int n) {
    return (int)change(&locks, &mutex_fraction, n);
}

/* --- Writing. --- */

int ag__prof_gather_block(ag__prof *p, int times) {
    ag__prof_set_period(p, 1);
    ag__stacks_gather(&waits, p, times);
    return 0;
}
int ag__prof_gather_mutex(ag__prof *p, int times) {
    ag__prof_set_period(p, 1);
    ag__stacks_gather(&locks, p, times);
    return 0;
}
int ag__prof_gather_threadcreate(ag__prof *p, int times) {
    ag__stacks_gather(&threads, p, times);
    return 0;
}
