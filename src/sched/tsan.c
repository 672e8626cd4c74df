/* SPDX-License-Identifier: MIT */
/*
 * tsan.c - what the thread sanitizer is told of goroutines. Empty in other builds.
 *
 * To TSan each goroutine that has run is a fibre: a thread of its own, with its own clock. Only
 * the program's order counts, so nothing that the scheduler does may order two goroutines:
 *
 *   - Switching is no synchronisation, and a fibre is not made by the goroutine that happens to
 *     run: TSan orders a fibre behind its maker. One fibre that does nothing else makes them all.
 *   - The runtime is not watched, but the C library's functions that it calls are. So inside the
 *     runtime (ag__enter to ag__leave) and on its threads TSan looks away.
 *   - A stack that is used again is new memory, as far as the program may know, and so is errno.
 *     TSan has one interface to say so: that of garbage-collected heaps.
 *   - A thread of ours is made by that fibre, too, and what runs there comes after its making.
 *
 * With AG_TSAN_SELF the runtime is watched like any program: its own locks and atomics order it,
 * a switch is what it is, the same thread going on, and who makes a fibre or a thread comes before
 * it. Only this file is not watched: a function that TSan has seen begin on one fibre must not end
 * on another.
 *
 * TSan knows some 8,000 threads at a time, so a program may have as many started goroutines.
 */
#include "sched/inner.h"

#if AG__TSAN
#include <stdio.h>

enum { NO_SYNC = AG__TSAN_SELF ? 0 : 1 };

static ag__lock maker_lock;
static void *maker; /* Used under maker_lock. */

void ag__tsan_init(void) {
    if (!maker)
        maker = __tsan_create_fiber(0);
}

static void new_memory(void *at, unsigned long size) {
    __tsan_java_free((unsigned long)at, size);
    __tsan_java_alloc((unsigned long)at, size);
}

static void new_errno(const int *at) {
    new_memory((void *)((uintptr_t)at & ~(uintptr_t)7), 8);
}

void *ag__tsan_neutral_begin(void) {
    void *self = __tsan_get_current_fiber();
    if (AG__TSAN_SELF)
        return self;
    ag__lock_acquire(&maker_lock);
    new_errno(ag__os_errno());
    __tsan_switch_to_fiber(maker, 1);
    return self;
}

void ag__tsan_neutral_end(void *self) {
    if (AG__TSAN_SELF)
        return;
    new_errno(ag__os_errno());
    __tsan_switch_to_fiber(self, 1);
    ag__lock_release(&maker_lock);
}

static void name_fiber(const ag__g *g) {
    char name[64];
    snprintf(name, sizeof name, "goroutine %lld %s", (long long)g->id,
             g->name   ? g->name
             : g->site ? g->site->call
                       : "");
    __tsan_set_fiber_name(g->tsan_fiber, name);
}

static void make_fiber(ag__g *g) {
    void *self = ag__tsan_neutral_begin();
    g->tsan_fiber = __tsan_create_fiber(0);
    ag__tsan_neutral_end(self);
    name_fiber(g);
}

void ag__tsan_to(ag__m *m, ag__g *to) {
    if (to && !to->tsan_fiber)
        make_fiber(to);
    new_errno(m->errno_at);
    __tsan_switch_to_fiber(to ? to->tsan_fiber : m->tsan_fiber, NO_SYNC);
    if (to)
        AG__HB_ACQUIRE(m);
}

void ag__tsan_leave(ag__m *m, ag__g *to) {
    if (to && !to->tsan_fiber)
        make_fiber(to);
    AG__TSAN_LOOK();
    ag__tsan_to(m, to);
}

void ag__tsan_become(ag__m *m, ag__g *from, ag__g *next) {
    if (AG__TSAN_SELF) {
        next->tsan_fiber = from->tsan_fiber;
        from->tsan_fiber = NULL;
        name_fiber(next);
        return;
    }
    make_fiber(next);
    ag__tsan_new_stack(next);
    AG__TSAN_LOOK();
    ag__tsan_to(m, next);
    AG__TSAN_LOOK_AWAY();
}

void ag__tsan_end(ag__g *g) {
    if (!g->tsan_fiber)
        return;
    __tsan_destroy_fiber(g->tsan_fiber);
    g->tsan_fiber = NULL;
}

void ag__tsan_drop(ag__g *g) {
    if (!g->tsan_fiber)
        return;
    void *self = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(g->tsan_fiber, 1);
    AG__TSAN_LOOK();
    __tsan_switch_to_fiber(self, 1);
    ag__tsan_end(g);
}

void ag__tsan_new_stack(ag__g *g) {
    char *lo = g->stack_lo + ag__os_page();
    new_memory(lo, (unsigned long)(g->stack_hi - lo));
}

#endif
