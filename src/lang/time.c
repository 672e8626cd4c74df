/* SPDX-License-Identifier: MIT */
/*
 * time.c - sleep, timers that call, tickers.
 *
 * A sleeping goroutine uses the timer inside its own record. Public timers and tickers are
 * recycled records of one type that are never freed: the heaps drop stopped entries lazily and
 * may look at one long after its owner let go (sched/timer.c).
 *
 * A public timer is armed by any thread, so its own lock makes it the single owner that
 * sched/timer.c asks for. `generation` tells a call under way that the timer was stopped or armed
 * anew in the meantime.
 */
#include "lang/chan.h"
#include <limits.h>
#include <stdlib.h>

ag_time ag_now(void) {
    return ag__os_now();
}
ag_time ag_wall(void) {
    return ag__os_wall();
}

static int64_t point(int64_t now, int64_t ns) {
    if (ns < 0)
        ns = 0;
    return ns > INT64_MAX - 1 - now ? INT64_MAX - 1 : now + ns;
}

int ag_sleep(ag_time ns) {
    if (ns <= 0)
        return 0;
    int64_t until = point(ag__os_now(), ns);
    ag__m *m = ag__enter();
    int err = ag__ended(m->g);
    if (err == 0) {
        uint64_t epoch = ag__claim_begin(m->g);
        m = ag__park_until(m, AG__WAIT_SLEEP, NULL, NULL, epoch, until);
        if (AG__UNLIKELY(m->g->woken == AG__WOKEN_ENDED))
            err = ag__end_of(m->g);
    }
    ag__leave(m);
    return err;
}

/* --- Timers and tickers. --- */

struct ag_timer {
    ag__object object;
    ag__timer timer;
    ag__lock lock; /* Guards what follows, and arming. */
    uint64_t generation;
    bool pending;
    int64_t period; /* 0: once */
    ag__chan *chan; /* sends the time there, or */
    const struct ag__site *site;
    ag__fn fn; /* calls this in a goroutine */
    intptr_t args[6];
    struct ag_timer *link; /* Guarded by pool_lock while free. */
};
struct ag_ticker {
    struct ag_timer timer;
};

static ag__lock pool_lock;
static struct ag_timer *pool; /* Guarded by pool_lock. */

static void timer_free(ag__object *o) {
    struct ag_timer *t = ag__container_of(o, struct ag_timer, object);
    ag__lock_acquire(&t->lock);
    t->generation++;
    t->pending = false;
    ag__timer_forget(&t->timer);
    ag__chan *c = t->chan;
    t->chan = NULL;
    ag__lock_release(&t->lock);
    ag_unref(c);
    ag__lock_acquire(&pool_lock);
    t->link = pool;
    pool = t;
    ag__lock_release(&pool_lock);
}

static struct ag_timer *timer_new(void) {
    ag__lock_acquire(&pool_lock);
    struct ag_timer *t = pool;
    if (t)
        pool = t->link;
    ag__lock_release(&pool_lock);
    if (!t) {
        t = calloc(1, sizeof *t);
        if (!t)
            return NULL;
        t->timer.when = INT64_MAX;
    }
    ag__object_init(&t->object, timer_free);
    return t;
}

static void fire(ag__m *m, ag__timer *inner, uint64_t generation, int64_t now);

/* False when out of memory. A timer that runs once keeps itself while it is pending; a periodic
 * one does not, so that its last unref stops it. t->lock held. */
static bool arm(ag__m *m, struct ag_timer *t, int64_t when) {
    AG__HB_RELEASE(&t->fn);
    if (!ag__timer_try_arm(m, &t->timer, when, fire, ++t->generation))
        return false;
    if (!t->pending && !t->period)
        ag__ref(t);
    t->pending = true;
    return true;
}

/* Arms a new one. Returns NULL when out of memory; then t is gone. */
static struct ag_timer *start(struct ag_timer *t, int64_t when) {
    ag__m *m = ag__enter();
    ag__lock_acquire(&t->lock);
    bool armed = arm(m, t, when);
    ag__lock_release(&t->lock);
    ag__leave(m);
    if (armed)
        return t;
    ag_unref(t);
    return NULL;
}

/* Returns a goroutine to ready. */
static ag__g *send_time(ag__m *m, ag__chan *c, int64_t now) {
    ag__g *wake = NULL;
    bool cheap = ag__bias_lock(m, &c->lock);
    ag__chan_send_locked(c, &now, &wake);
    ag__bias_unlock(m, &c->lock, cheap);
    return wake;
}

enum { NO_MEMORY_PAUSE = 1000000 };

/* Inside the runtime. */
static void fire(ag__m *m, ag__timer *inner, uint64_t generation, int64_t now) {
    struct ag_timer *t = ag__container_of(inner, struct ag_timer, timer);
    ag__lock_acquire(&t->lock);
    if (t->generation != generation || !t->pending) {
        ag__lock_release(&t->lock);
        return;
    }
    ag__g *starts = NULL, *wakes = NULL;
    /* Under the lock, so that ticks arrive in order. */
    if (t->chan)
        wakes = send_time(m, t->chan, now);
    else
        starts = ag__g_new(m, t->site, t->fn, t->args);
    if (!t->chan && !starts) {
        /* No memory for the goroutine: better late. The heap has the room of the entry that came
         * off it. */
        ag__timer_arm(m, inner, now + NO_MEMORY_PAUSE, fire, ++t->generation);
        ag__lock_release(&t->lock);
        return;
    }
    if (starts)
        ag__hb_start_after(starts, &t->fn);
    if (t->period) {
        int64_t missed = (now - t->timer.pushed) / t->period;
        ag__timer_arm(m, inner, t->timer.pushed + (missed + 1) * t->period, fire, ++t->generation);
    } else {
        t->pending = false;
    }
    bool drop = !t->pending;
    ag__lock_release(&t->lock);
    if (wakes)
        ag__ready(m, wakes);
    if (starts)
        ag__g_start(m, starts);
    if (drop)
        ag_unref(t);
}

ag_timer *ag__timer_start(ag_time ns, const struct ag__site *site, ag__fn fn,
                          const intptr_t args[6]) {
    struct ag_timer *t = timer_new();
    if (!t)
        return NULL;
    t->site = site;
    t->fn = fn;
    memcpy(t->args, args, sizeof t->args);
    t->period = 0;
    return start(t, point(ag__os_now(), ns));
}

bool ag_timer_stop(ag_timer *t) {
    if (!t)
        return false;
    ag__m *m = ag__enter();
    ag__lock_acquire(&t->lock);
    bool was = t->pending;
    t->pending = false;
    t->generation++;
    if (was)
        ag__timer_stop(&t->timer);
    ag__lock_release(&t->lock);
    ag__leave(m);
    if (was && !t->period)
        ag_unref(t);
    return was;
}

bool ag_timer_reset(ag_timer *t, ag_time ns) {
    int64_t when = point(ag__os_now(), ns);
    ag__m *m = ag__enter();
    ag__lock_acquire(&t->lock);
    bool was = t->pending;
    if (!arm(m, t, when))
        ag__throw("out of memory for timers");
    ag__lock_release(&t->lock);
    ag__leave(m);
    return was;
}

static struct ag_timer *start_sender(int64_t ns, int64_t period) {
    struct ag_timer *t = timer_new();
    if (!t)
        return NULL;
    t->period = period;
    t->chan = ag__chan_try_new(sizeof(ag_time), 1);
    if (!t->chan) {
        ag_unref(t);
        return NULL;
    }
    return start(t, point(ag__os_now(), ns));
}

ag_chan(ag_time) ag_after(ag_time ns) {
    struct ag_timer *t = start_sender(ns, 0);
    if (!t)
        ag__throw("out of memory for a timer");
    ag__chan *c = ag_ref(t->chan);
    ag_unref(t); /* the pending timer keeps itself */
    return (ag_chan(ag_time))c;
}

ag_ticker *ag_ticker_start(ag_time ns) {
    if (ns <= 0)
        ag__panic_text(__builtin_return_address(0), "non-positive interval for ag_ticker_start");
    return (ag_ticker *)start_sender(ns, ns);
}

ag_chan(ag_time) ag_ticker_chan(ag_ticker *t) {
    return (ag_chan(ag_time))t->timer.chan;
}

void ag_ticker_stop(ag_ticker *t) {
    if (t)
        ag_timer_stop(&t->timer);
}
