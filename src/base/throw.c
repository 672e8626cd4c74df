/* SPDX-License-Identifier: MIT */
/*
 * throw.c - the last words of a broken runtime, and reference counts.
 *
 * ag__throw must work with a full heap, a held lock and a damaged scheduler, so it takes no
 * memory and no lock of ours: unbuffered writes to stderr, then the end.
 */
#include "base/base.h"
#include <stdio.h>
#include <stdlib.h>

void ag__throw(const char *text) {
    char line[256];
    int n = snprintf(line, sizeof line, "fatal error: %s\n", text);
    if (n > (int)sizeof line - 1)
        n = (int)sizeof line - 1;
    if (n > 0)
        fwrite(line, 1, (size_t)n, stderr);
    _Exit(2);
}

AG__EXPORT void ag__ref(const void *x);
AG__EXPORT void ag_unref(const void *x);

void ag__ref(const void *x) {
    if (!x)
        return;
    ag__object *o = (ag__object *)x;
    int32_t before = atomic_fetch_add_explicit(&o->refs, 1, memory_order_relaxed);
    if (before <= 0)
        ag__throw("ag_ref of an object that was freed");
}

void ag_unref(const void *x) {
    if (!x)
        return;
    ag__object *o = (ag__object *)x;
    AG__HB_RELEASE(o);
    /* Release: our writes come before the free. Acquire, of the last drop: those of all others. */
    int32_t before = atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel);
    if (before <= 0)
        ag__throw("ag_unref of an object that was freed");
    if (before == 1) {
        AG__HB_ACQUIRE(o);
        o->free(o);
    }
}
