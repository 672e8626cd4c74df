/* SPDX-License-Identifier: MIT */
/*
 * block.c - calls that are known to block: the processor goes before, not after.
 *
 * The thread drops its P as if the monitor had taken it, so coming back is the ordinary slow
 * entry: an idle P, or the global queue.
 */
#include "sched/inner.h"

intptr_t ag__blocking(ag__fn fn, intptr_t a, intptr_t b, intptr_t c, intptr_t d, intptr_t e,
                      intptr_t f) {
    const intptr_t args[6] = {a, b, c, d, e, f};
    ag__m *m = ag__enter();
    if (AG__UNLIKELY(m->foreign)) {
        ag__leave(m);
        return ag__call(fn, args);
    }
    ag__p *p = NULL;
    ag__lock_acquire(&m->hand);
    /* A world that ends has said STOP: the next entry will find it. */
    if (atomic_load_explicit(&m->revoked, AG__RLX) == AG__NONE) {
        ag__note_hand_on(m, m->p, m, AG__HAND_ASKED);
        p = ag__m_drop_p(m);
        atomic_store_explicit(&p->announced, atomic_load_explicit(&p->announced, AG__RLX) + 1,
                              AG__RLX);
        m->detached = 2;
        m->out_since = 0;
        atomic_fetch_add_explicit(&ag__s.detached_blocked, 1, AG__RLX);
        atomic_store_explicit(&m->revoked, AG__TAKEN, AG__RLX);
    }
    ag__lock_release(&m->hand);
    if (p)
        ag__p_release(m, p);
    ag__leave(m);
    intptr_t result = ag__call(fn, args);
    ag__leave(ag__enter());
    return result;
}

void ag__outside_waits(int delta) {
    if (atomic_fetch_add(&ag__s.outside_waits, delta) + delta == 0)
        ag__suspect_deadlock();
}
