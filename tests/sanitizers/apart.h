/* SPDX-License-Identifier: MIT */
/* One access after the other on any number of processors, and no order between them: of two in the
 * same instant ThreadSanitizer may see neither's trace. */
#ifndef APART_H
#define APART_H

#include <aglet.h>

static int apart_passed;

/* Waits until `n` have passed. */
static inline void apart_wait(int n) {
    while (__atomic_load_n(&apart_passed, __ATOMIC_RELAXED) < n)
        ag_yield();
}

static inline void apart_pass(void) {
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    __atomic_fetch_add(&apart_passed, 1, __ATOMIC_RELAXED); /* orders nothing */
}

#endif
