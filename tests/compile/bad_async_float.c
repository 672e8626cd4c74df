/* SPDX-License-Identifier: MIT */
/* A floating argument does not travel in an integer register. */
// expect: aglet: an argument must be an integer or a pointer
#include <aglet.h>

static void *f(double x) {
    return x > 0 ? NULL : (void *)1;
}

ag_job *g(double x);
ag_job *g(double x) {
    return ag_async(f, x);
}
