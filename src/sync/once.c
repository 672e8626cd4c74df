/* SPDX-License-Identifier: MIT */
/*
 * once.c - once: a flag in front of a mutex. A deferred call sets the flag, so that a function
 * that panics or ends its goroutine has run, too.
 */
#include "lang/lang.h"
#include <aglet/sync.h>

static void set_done(ag_once *once) {
    AG__HB_RELEASE(once);
    /* Release: fn's effects. Partner: the acquire load in ag_once_do. */
    __atomic_store_n(&once->ag__done, 1, __ATOMIC_RELEASE);
}

void ag__once_do(ag_once *once, ag__fn fn, const intptr_t args[6]) {
    ag_mutex_lock(&once->ag__mutex);
    ag_defer(ag_mutex_unlock, &once->ag__mutex);
    if (__atomic_load_n(&once->ag__done, __ATOMIC_RELAXED) == 0) {
        ag_defer(set_done, once);
        ag__call(fn, args);
    }
    AG__HB_ACQUIRE(once);
}
