/* SPDX-License-Identifier: MIT */
/*
 * cancel.c - ending the waits of the goroutines of a context. The protocol is in sched.h.
 *
 * Telling is linear in the members and goes in batches: under the lock the members are marked and
 * their waits claimed, without it they are readied. Whoever is told moves to another list, so the
 * next batch begins where the last one ended, and those who join an ended context are never looked
 * at. A member is linked through its record, which is never freed.
 *
 * Refused: a list of waiters instead of members (a lock, contended by all who share the context,
 * for every wait); a look at all goroutines for those of a context (a cancel would cost as much
 * as there are goroutines in the process, and servers cancel for every request).
 */
#include "sched/inner.h"
#include <errno.h>

enum { BATCH = AG__SIZE(64, 4) };

/* Lock held, both. */
static inline void link_member(ag__g **list, ag__g *g) {
    g->member_next = *list;
    g->member_at = list;
    if (*list)
        (*list)->member_at = &g->member_next;
    *list = g;
}
static inline void unlink_member(ag__g *g) {
    *g->member_at = g->member_next;
    if (g->member_next)
        g->member_next->member_at = g->member_at;
}

void ag__cancel_join(ag__cancel *c, ag__g *g) {
    ag__assert(!g->cancel);
    ag__lock_acquire(&c->lock);
    bool ended = atomic_load_explicit(&c->err, AG__RLX) != 0;
    link_member(ended ? &c->told : &c->members, g);
    atomic_store_explicit(&g->told, ended, AG__RLX);
    ag__lock_release(&c->lock);
    g->cancel = c;
    g->bound = true;
}

void ag__cancel_leave(ag__g *g) {
    ag__cancel *c = g->cancel;
    ag__lock_acquire(&c->lock);
    unlink_member(g);
    atomic_store_explicit(&g->told, 0, AG__RLX);
    ag__lock_release(&c->lock);
    g->cancel = NULL;
    g->bound = g->until != 0;
}

/* Lock held. Returns true if g is ours to ready. */
static bool tell(ag__g *g) {
    /* Sequential with the one who waits; sched.h. */
    atomic_store(&g->told, 1);
    uintptr_t pd = atomic_load(&g->open_pd);
    if (pd && ag__pd_take(pd, g))
        return true;
    uint64_t epoch = atomic_load(&g->open_epoch);
    if (epoch == 0 || !ag__claim(g, epoch))
        return false;
    g->woken = AG__WOKEN_ENDED;
    return true;
}

void ag__cancel_tell(ag__m *m, ag__cancel *c) {
    ag__g *batch[BATCH];
    int looked;
    do {
        int n = 0;
        looked = 0;
        ag__lock_acquire(&c->lock);
        for (ag__g *g; looked < BATCH && (g = c->members) != NULL; looked++) {
            unlink_member(g);
            link_member(&c->told, g);
            if (tell(g))
                batch[n++] = g;
        }
        ag__lock_release(&c->lock);
        for (int i = 0; i < n; i++)
            ag__ready(m, batch[i]);
    } while (looked == BATCH);
}

void ag__cancel_open(ag__m *m, ag__g *g, uint64_t epoch) {
    uint64_t was = atomic_load_explicit(&g->open_epoch, AG__RLX);
    while (was < epoch && !atomic_compare_exchange_weak(&g->open_epoch, &was, epoch))
        continue;
    /* g may be elsewhere by now; then the epoch has moved and the claim fails. */
    if (atomic_load(&g->told) && ag__claim(g, epoch)) {
        g->woken = AG__WOKEN_ENDED;
        ag__ready(m, g);
    }
}

int ag__end_of(ag__g *g) {
    if (!atomic_load_explicit(&g->told, memory_order_acquire))
        return -ETIMEDOUT;
    AG__HB_ACQUIRE(g->cancel);
    return atomic_load_explicit(&g->cancel->err, AG__RLX);
}

AG__COLD int ag__ended_slow(ag__g *g) {
    if (atomic_load_explicit(&g->told, memory_order_acquire))
        return ag__end_of(g);
    return g->until && ag__os_now() >= g->until ? -ETIMEDOUT : 0;
}
