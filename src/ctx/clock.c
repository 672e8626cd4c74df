/* SPDX-License-Identifier: MIT */
/*
 * clock.c - the time of a context: the timer that ends it, or lifts its shield.
 *
 * A clock is a recycled record that is never freed, because a heap may look at a timer long after
 * it was stopped (sched/timer.c). Its lock makes whoever arms or stops it the timer's one owner;
 * `generation` tells a call under way that it comes too late, so that it never looks at a context
 * that is gone.
 *
 * Timers live in a world. A context that was made before it, or outlives it, has its clock armed
 * again when a goroutine gets it as its current one; ag_ctx_err looks at the time by itself.
 */
#include "ctx/ctx.h"
#include <errno.h>
#include <stdlib.h>

struct ag__ctx_clock {
    ag__timer timer;
    ag__lock lock;              /* Guards what follows, and arming. */
    uint64_t generation;        /* of the arming that counts */
    ag_ctx *ctx;                /* NULL: stopped */
    _Atomic uint32_t world;     /* Atomic, written under lock: in which it is armed */
    struct ag__ctx_clock *link; /* Guarded by pool_lock while free. */
};

static ag__lock pool_lock;
static struct ag__ctx_clock *pool; /* Guarded by pool_lock. */

bool ag__ctx_clock_new(ag_ctx *c) {
    ag__lock_acquire(&pool_lock);
    struct ag__ctx_clock *k = pool;
    if (k)
        pool = k->link;
    ag__lock_release(&pool_lock);
    if (!k) {
        k = calloc(1, sizeof *k);
        if (!k)
            return false;
        k->timer.when = INT64_MAX;
    }
    ag__lock_acquire(&k->lock);
    k->ctx = c;
    ag__lock_release(&k->lock);
    c->clock = k;
    return true;
}

static void ring(ag__m *m, ag__timer *t, uint64_t generation, int64_t now) {
    struct ag__ctx_clock *k = ag__container_of(t, struct ag__ctx_clock, timer);
    (void)now;
    ag__lock_acquire(&k->lock);
    ag_ctx *c = k->generation == generation ? k->ctx : NULL;
    if (c && !ag__object_try_ref(&c->object))
        c = NULL;
    ag__lock_release(&k->lock);
    if (!c)
        return;
    if (c->shield_until)
        ag__ctx_uncover(m, c);
    else
        ag__ctx_end(m, c, -ETIMEDOUT, 0);
    ag_unref(c);
}

bool ag__ctx_clock_arm(ag__m *m, ag_ctx *c) {
    struct ag__ctx_clock *k = c->clock;
    bool armed = true;
    if (!ag__ctx_in_world())
        return true;
    ag__lock_acquire(&k->lock);
    if (k->ctx) {
        int64_t when = c->shield_until ? c->shield_until : c->deadline;
        armed = ag__timer_try_arm(m, &k->timer, when, ring, ++k->generation);
        if (armed)
            atomic_store_explicit(&k->world, ag__sched.world, AG__RLX);
    }
    ag__lock_release(&k->lock);
    return armed;
}

void ag__ctx_clock_check(ag__m *m, ag_ctx *c) {
    for (; c && (c->deadline || c->shield_until);
         c = atomic_load_explicit(&c->above, memory_order_acquire))
        if (c->clock && atomic_load_explicit(&c->clock->world, AG__RLX) != ag__sched.world &&
            !ag__ctx_clock_arm(m, c))
            ag__throw("out of memory for timers");
}

void ag__ctx_clock_stop(struct ag__ctx_clock *k) {
    ag__lock_acquire(&k->lock);
    k->generation++;
    k->ctx = NULL;
    ag__timer_forget(&k->timer);
    ag__lock_release(&k->lock);
}

void ag__ctx_clock_free(struct ag__ctx_clock *k) {
    ag__ctx_clock_stop(k);
    ag__lock_acquire(&pool_lock);
    k->link = pool;
    pool = k;
    ag__lock_release(&pool_lock);
}
