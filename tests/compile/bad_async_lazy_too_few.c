/* SPDX-License-Identifier: MIT */
/* The call is checked against the prototype. */
// expect: too few arguments to function
#include <aglet.h>

static void *f(int a, int b) {
    return a > b ? NULL : (void *)1;
}

ag_job *g(void);
ag_job *g(void) {
    return ag_async_lazy(f, 1);
}
