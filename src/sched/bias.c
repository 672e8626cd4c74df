/* SPDX-License-Identifier: MIT */
/*
 * bias.c - the rare side of the biased lock: revoking, and biasing again.
 *
 * Invariant under b->lock: owner is NULL, or nobody holds b as an ordinary lock beyond the
 * instructions that set it.
 */
#include "sched/inner.h"

void ag__bias_wait_out(ag__p *p) {
    for (int spins = 0; atomic_load_explicit(&p->bias_in, memory_order_acquire); spins++) {
        if (spins > 200)
            ag__os_yield();
        else
            ag__cpu_pause();
    }
}

AG__COLD void ag__bias_lock_shared(ag__m *m, ag__bias *b) {
    ag__p *p = m->p;
    ag__lock_acquire(&b->lock);
    ag__p *owner = atomic_load_explicit(&b->owner, AG__RLX);
    if (owner) {
        atomic_store_explicit(&b->owner, NULL, AG__RLX);
        if (owner != p) {
            ag__fence_heavy();
            ag__bias_wait_out(owner);
            atomic_store_explicit(&owner->bias_doubts, AG__DOUBTS, AG__RLX);
            if (p)
                atomic_store_explicit(&p->bias_doubts, AG__DOUBTS, AG__RLX);
        }
        b->streak = 0;
        if (b->lost < AG__LOST_MAX)
            b->lost++;
    }
    if (p != b->last || !p) {
        b->last = p;
        b->streak = 0;
    } else if (++b->streak >= (AG__STREAK << b->lost)) {
        b->streak = 0;
        /* Release: the next one on this P goes the cheap way and sees all of ours, which it does
         * anyhow; other shared holders are kept out by the lock and find the owner under it. */
        atomic_store_explicit(&b->owner, p, memory_order_release);
    }
}
