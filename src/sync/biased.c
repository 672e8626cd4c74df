/* SPDX-License-Identifier: MIT */
/*
 * biased.c - the rare sides of a biased word: the first use, making it shared, marks.
 */
#include "sync/biased.h"

AG__COLD bool ag__biased_adopt(ag__m *m, ag__biased *w) {
    uintptr_t fresh = 0;
    return m->p && atomic_load_explicit(&w->bias, memory_order_relaxed) == fresh &&
           atomic_compare_exchange_strong(&w->bias, &fresh, (uintptr_t)m->p);
}

AG__COLD void ag__biased_share(ag__biased *w) {
    ag__m *m = ag__enter();
    ag__lock_acquire(&w->lock);
    uintptr_t bias = atomic_load_explicit(&w->bias, memory_order_relaxed);
    if (!(bias & AG__SHARED)) {
        bias = atomic_exchange(&w->bias, AG__REVOKING);
        ag__fence_heavy();
        if (bias != 0 && (ag__p *)bias != m->p)
            ag__bias_wait_out((ag__p *)bias);
        /* Release: the state word is as the last section left it. Partner: ag__is_shared. */
        atomic_store_explicit(&w->bias, AG__SHARED, memory_order_release);
    }
    ag__lock_release(&w->lock);
    ag__leave(m);
}

AG__COLD void ag__biased_mark(ag__biased *w, uintptr_t bit) {
    if (!ag__is_shared(w))
        ag__biased_share(w);
    atomic_fetch_or_explicit(&w->bias, bit, AG__RLX);
}
