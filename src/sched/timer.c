/* SPDX-License-Identifier: MIT */
/*
 * timer.c - timers: one heap a P, lazy in everything that can wait.
 *
 * A timer has at most one live entry, in the heap it points to. Stopping it only marks it
 * (when = never); arming it for later only raises `when` and leaves the entry where it is, so a
 * deadline that moves forward with every read costs two stores. An entry that comes to the top
 * is dropped (stopped, or its seq is stale), pushed again (raised), or fired. When more than
 * half of a heap is dead it is rebuilt, so churn can't make it grow.
 *
 * Only the owner of a timer arms and stops it; any M may fire it, under the heap's lock, which
 * is what the owner takes, too. Functions run after the lock is released.
 *
 *     t->heap   set by the owner under that heap's lock; cleared under it by whoever drops the
 *               last entry
 *     t->when   under the lock of t->heap
 *     t->seq    bumped by the owner when it leaves an entry behind in another heap
 *
 * No clock is read here but by callers that have a reason.
 */
#include "sched/inner.h"
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define NEVER INT64_MAX

static bool entry_is_stale(const ag__heap_entry *e) {
    return atomic_load_explicit(&e->timer->seq, AG__RLX) != e->seq;
}

static void sift_up(ag__heap_entry *a, uint32_t i) {
    ag__heap_entry e = a[i];
    while (i > 0) {
        uint32_t parent = (i - 1) / 4;
        if (a[parent].when <= e.when)
            break;
        a[i] = a[parent];
        i = parent;
    }
    a[i] = e;
}

static void sift_down(ag__heap_entry *a, uint32_t n, uint32_t i) {
    ag__heap_entry e = a[i];
    for (;;) {
        uint32_t child = 4 * i + 1, last = child + 4 < n ? child + 4 : n, best = child;
        if (child >= n)
            break;
        for (uint32_t c = child + 1; c < last; c++)
            if (a[c].when < a[best].when)
                best = c;
        if (a[best].when >= e.when)
            break;
        a[i] = a[best];
        i = best;
    }
    a[i] = e;
}

static void note_first(ag__heap *h) {
    atomic_store_explicit(&h->first, h->count ? h->entries[0].when : NEVER, AG__RLX);
}

static void pop(ag__heap *h) {
    h->entries[0] = h->entries[--h->count];
    if (h->count > 0)
        sift_down(h->entries, h->count, 0);
}

/* Throws the dead entries away. Lock held. */
static void rebuild(ag__heap *h) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < h->count; i++) {
        ag__heap_entry e = h->entries[i];
        if (entry_is_stale(&e))
            continue;
        if (e.timer->when == NEVER) {
            atomic_store_explicit(&e.timer->heap, NULL, memory_order_release);
            continue;
        }
        e.when = e.timer->when;
        h->entries[n++] = e;
    }
    h->count = n;
    h->dead = 0;
    for (uint32_t i = n / 4 + 1; i-- > 0;)
        if (i < n)
            sift_down(h->entries, n, i);
}

/* False when out of memory; not where one was popped before. */
static bool insert(ag__heap *h, ag__heap_entry e) {
    if (h->count == h->size) {
        uint32_t size = h->size ? h->size * 2 : AG__SIZE(64, 2);
        ag__heap_entry *more = realloc(h->entries, size * sizeof *more);
        if (!more)
            return false;
        h->entries = more;
        h->size = size;
    }
    h->entries[h->count] = e;
    sift_up(h->entries, h->count++);
    return true;
}

static bool push(ag__heap *h, ag__heap_entry e) {
    if (h->dead > 64 && h->dead > h->count / 2)
        rebuild(h);
    return insert(h, e);
}

/* Makes t's entry stale, so that t may get another. Lock held. */
static void leave_behind(ag__timer *t, ag__heap *h) {
    if (t->when != NEVER)
        h->dead++;
    t->when = NEVER;
    atomic_store_explicit(&t->seq, atomic_load_explicit(&t->seq, AG__RLX) + 1, AG__RLX);
    atomic_store_explicit(&t->heap, NULL, AG__RLX);
}

/* Raises a pending or stopped entry in place, or leaves it behind. True when raised. */
static bool rearm_in_place(ag__timer *t, ag__heap *h, int64_t when, ag__timer_fn fn, uint64_t arg) {
    ag__lock_acquire(&h->lock);
    bool done = false;
    if (atomic_load_explicit(&t->heap, AG__RLX) == h) {
        bool dead = t->when == NEVER;
        if (when >= t->pushed) {
            h->dead -= dead;
            t->when = when;
            t->fn = fn;
            t->arg = arg;
            done = true;
        } else {
            leave_behind(t, h);
        }
    }
    ag__lock_release(&h->lock);
    return done;
}

static AG__COLD void tell_sleepers(int64_t when) {
    if (atomic_load_explicit(&ag__s.polling, AG__RLX) &&
        when < atomic_load_explicit(&ag__s.poll_until, AG__RLX)) {
        ag__wake_one();
        return;
    }
    ag__maybe_wake();
}

bool ag__timer_try_arm(ag__m *m, ag__timer *t, int64_t when, ag__timer_fn fn, uint64_t arg) {
    if (when >= NEVER)
        when = NEVER - 1;
    ag__heap *h = atomic_load_explicit(&t->heap, memory_order_acquire);
    if (h && rearm_in_place(t, h, when, fn, arg))
        return true;
    ag__p *p = m->p ? m->p : ag__s.p_all[0];
    h = &p->heap;
    ag__lock_acquire(&h->lock);
    if (!push(h, (ag__heap_entry){when, t, atomic_load_explicit(&t->seq, AG__RLX)})) {
        ag__lock_release(&h->lock);
        return false;
    }
    t->when = t->pushed = when;
    t->fn = fn;
    t->arg = arg;
    atomic_store_explicit(&t->heap, h, AG__RLX);
    bool first = h->entries[0].timer == t;
    note_first(h);
    ag__lock_release(&h->lock);
    /* A thread without a P leaves its timer to others; they may sleep too long. */
    if (first && !m->p)
        tell_sleepers(when);
    return true;
}

void ag__timer_arm(ag__m *m, ag__timer *t, int64_t when, ag__timer_fn fn, uint64_t arg) {
    if (!ag__timer_try_arm(m, t, when, fn, arg))
        ag__throw("out of memory for timers");
}

/* One that was pending. */
static void is_gone(void) {
    if (AG__UNLIKELY(ag__is_foreign(ag__m_now())))
        ag__suspect_deadlock();
}

bool ag__timer_stop(ag__timer *t) {
    /* Acquire. Partner: the release stores that clear it after the timer fired. */
    ag__heap *h = atomic_load_explicit(&t->heap, memory_order_acquire);
    if (!h)
        return false;
    bool was = false;
    ag__lock_acquire(&h->lock);
    if (atomic_load_explicit(&t->heap, AG__RLX) == h && t->when != NEVER) {
        t->when = NEVER;
        h->dead++;
        was = true;
    }
    ag__lock_release(&h->lock);
    if (was)
        is_gone();
    return was;
}

void ag__timer_forget(ag__timer *t) {
    ag__heap *h;
    bool was = false;
    while ((h = atomic_load_explicit(&t->heap, memory_order_acquire)) != NULL) {
        ag__lock_acquire(&h->lock);
        if (atomic_load_explicit(&t->heap, AG__RLX) == h) {
            was = t->when != NEVER;
            leave_behind(t, h);
        }
        ag__lock_release(&h->lock);
    }
    if (was)
        is_gone();
}

enum { BATCH = AG__SIZE(64, 2) };

struct due {
    ag__timer *timer;
    ag__timer_fn fn;
    uint64_t arg;
};

/* What was a goroutine's record has left the caches and the TLB long ago. Asked for together the
 * misses overlap; one by one each costs several hundred nanoseconds. */
static void come_near(const ag__heap_entry *e, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        const char *t = (const char *)e[i].timer;
        __builtin_prefetch(t - offsetof(ag__g, timer), 1);
        __builtin_prefetch(t, 1);
        __builtin_prefetch(t + sizeof(ag__timer) - 1, 1);
    }
}

/* Takes the entries whose time has come, at most max, and returns how many timers are due by
 * them. Lock held. */
static uint32_t take_due(ag__heap *h, int64_t now, uint32_t max, struct due *ret_due) {
    ag__heap_entry taken[BATCH];
    uint32_t n = 0, count = 0;
    for (; n < max && h->count > 0 && h->entries[0].when <= now; n++) {
        taken[n] = h->entries[0];
        pop(h);
    }
    come_near(taken, n);
    for (uint32_t i = 0; i < n; i++) {
        ag__heap_entry e = taken[i];
        ag__timer *t = e.timer;
        if (entry_is_stale(&e)) {
            h->dead--;
        } else if (t->when == NEVER) {
            h->dead--;
            atomic_store_explicit(&t->heap, NULL, memory_order_release);
        } else if (t->when > e.when) {
            /* Not by push: a rebuild would not know of the dead ones among those taken. */
            e.when = t->pushed = t->when;
            insert(h, e);
        } else {
            t->when = NEVER;
            ret_due[count++] = (struct due){t, t->fn, t->arg};
            /* Last: from here on the owner may arm it again, which is why fn and arg are
             * copied: a late call with the old arg does nothing. */
            atomic_store_explicit(&t->heap, NULL, memory_order_release);
        }
    }
    return count;
}

/* How many more the local queue can take without handing over others to the global one: there
 * they would stand behind all that was never run, and keep their stacks meanwhile. */
static uint32_t room(ag__m *m) {
    uint32_t queued = m->p ? ag__rq_len(m->p) : 0;
    return queued < AG__RING / 2 ? AG__RING / 2 - queued : 0;
}

int64_t ag__timers_run(ag__m *m, ag__p *p, int64_t now) {
    enum { LEAST = AG__SIZE(16, 1) };
    ag__heap *h = &p->heap;
    struct due due[BATCH];
    /* Some even if there is no room: a queue that is full all the time, of goroutines that yield,
     * may wait for just these. */
    uint32_t max = room(m) > LEAST ? room(m) : LEAST;
    while (max > 0 && atomic_load_explicit(&h->first, AG__RLX) <= now) {
        ag__lock_acquire(&h->lock);
        uint32_t count = take_due(h, now, max < BATCH ? max : BATCH, due);
        note_first(h);
        atomic_store_explicit(&h->fired, atomic_load_explicit(&h->fired, AG__RLX) + count, AG__RLX);
        ag__lock_release(&h->lock);
        if (count > 0 && ag__probe_traces())
            ag__note_count(m, AG__EV_TIMERS, count);
        for (uint32_t i = 0; i < count; i++)
            due[i].fn(m, due[i].timer, due[i].arg, now);
        max = room(m);
    }
    return atomic_load_explicit(&h->first, AG__RLX);
}

int64_t ag__first_timer(void) {
    int64_t first = NEVER;
    for (int i = 0; i < ag__s.p_made; i++) {
        int64_t t = atomic_load_explicit(&ag__s.p_all[i]->heap.first, AG__RLX);
        if (t < first)
            first = t;
    }
    return first;
}

void ag__heap_free(ag__heap *h) {
    for (uint32_t i = 0; i < h->count; i++) {
        if (entry_is_stale(&h->entries[i]))
            continue;
        h->entries[i].timer->when = NEVER;
        atomic_store_explicit(&h->entries[i].timer->heap, NULL, memory_order_release);
    }
    free(h->entries);
    memset(h, 0, sizeof *h);
    h->first = NEVER;
}

void ag__timer_wakes(ag__m *m, ag__timer *t, uint64_t epoch, int64_t now) {
    (void)now;
    ag__g *g = ag__container_of(t, ag__g, timer);
    if (ag__claim(g, epoch)) {
        g->woken = AG__WOKEN_LATE;
        ag__ready(m, g);
    }
}
