/* SPDX-License-Identifier: MIT */
/*
 * prof_cpu.c - the CPU profile: where threads are while they use CPU time.
 *
 * Each thread is asked once a period of its own CPU time (os/cpu_timer.h). The handler walks the
 * stack it interrupted, wherever that is, in libc too, and counts it (prof_stacks.h), with the name
 * of the goroutine and where it was made. It takes no lock and no memory. What is known of a
 * goroutine's stack bounds the walk; on another one - a thread's own, or while a switch is under
 * way - each page is asked for before it is read.
 *
 * TSan does not watch what is under the lock: it sees half of what makes that one.
 *
 * One profile at a time, as in Go. Its counts stay after its end, until the next one begins.
 */
#include "ctx/ctx.h"
#include "debug/prof_stacks.h"
#include "os/cpu_timer.h"
#include "os/unwind.h"
#include <aglet/profile.h>
#include <errno.h>

enum { STACKS = AG__SIZE(4096, 64), HZ = 100, HZ_MAX = 1000 };

const ag__prof_kind ag__prof_cpu = {.name = "profile",
                                    .values = {{"samples", "count"}, {"cpu", "nanoseconds"}},
                                    .period_type = "cpu",
                                    .period_unit = "nanoseconds",
                                    .shown = 1};

static ag__stacks stacks;
static ag__lock lock;
static bool is_on;             /* Guarded by lock. */
static int64_t began, ended;   /* Guarded by lock: by ag__os_now. */
static int64_t began_wall;     /* Guarded by lock. */
static int64_t refused;        /* Guarded by lock. */
static _Atomic int64_t period; /* Relaxed: it is set before there are samples. */

static AG__NO_SANITIZE void on_tick(const void *context, int64_t periods) {
    uintptr_t pcs[AG__PROF_FRAMES];
    char name[AG__NAME_BYTES], labels[AG__LABEL_BYTES];
    ag__regs regs;
    ag__regs_of_signal(context, &regs);
    ag__prof_sample s = {.pcs = pcs, .is_exact = true};
    ag__g *g = ag__m_now()->g;
    ag__stack_view live, *view = NULL;
    if (g && !(g->flags & AG__GF_FOREIGN)) {
        uintptr_t lo = (uintptr_t)g->stack_lo, hi = (uintptr_t)g->stack_hi;
        if (regs.sp > lo && regs.sp < hi) {
            live = (ag__stack_view){regs.sp, hi, NULL};
            view = &live;
        }
        s.site = g->id == 1 ? NULL : g->site;
        ag__look_at_own_name(g, name);
        s.name = name;
        if (ag__labels_copy(g, labels))
            s.labels = labels;
    }
    s.frames = ag__unwind(&regs, view, pcs, AG__PROF_FRAMES);
    int64_t values[AG__PROF_VALUES] = {periods, periods * atomic_load_explicit(&period, AG__RLX)};
    ag__stacks_add(&stacks, &s, values);
}

static int start(int hz) {
    int r = ag__stacks_open(&stacks, STACKS);
    if (r != 0)
        return r;
    atomic_store_explicit(&period, 1000000000 / hz, AG__RLX);
    began = ended = ag__os_now();
    began_wall = ag__os_wall();
    refused = 0;
    r = ag__cpu_timers_start(1000000000 / hz, on_tick);
    if (r != 0)
        ag__stacks_close(&stacks);
    return r;
}

int ag_profile_start(int hz) {
    if (hz < 0 || hz > HZ_MAX)
        return -EINVAL;
    ag__symbol_prepare();
    AG__TSAN_LOOK_AWAY();
    ag__lock_acquire(&lock);
    int r = is_on ? -EBUSY : start(hz ? hz : HZ);
    if (r == 0)
        is_on = true;
    ag__lock_release(&lock);
    AG__TSAN_LOOK();
    return r;
}

int ag_profile_stop(void) {
    int r = -ESRCH;
    AG__TSAN_LOOK_AWAY();
    ag__lock_acquire(&lock);
    if (is_on) {
        refused = ag__cpu_timers_refused();
        ag__cpu_timers_stop();
        ag__stacks_close(&stacks);
        ended = ag__os_now();
        is_on = false;
        r = 0;
    }
    ag__lock_release(&lock);
    AG__TSAN_LOOK();
    return r;
}

int ag__prof_gather_cpu(ag__prof *p, int times) {
    AG__TSAN_LOOK_AWAY();
    ag__lock_acquire(&lock);
    ag__stacks_gather(&stacks, p, times);
    ag__prof_set_period(p, atomic_load_explicit(&period, AG__RLX));
    if (began)
        ag__prof_set_time(p, began_wall, (is_on ? ag__os_now() : ended) - began);
    int64_t n = is_on ? ag__cpu_timers_refused() : refused;
    ag__lock_release(&lock);
    AG__TSAN_LOOK();
    ag__prof_note(p, n, "threads could not be asked: no timers left");
    return 0;
}
