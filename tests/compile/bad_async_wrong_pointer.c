/* SPDX-License-Identifier: MIT */
/* The call is checked against the prototype. */
// warn: incompatible pointer type
#include <aglet.h>

static void *f(const char *text) {
    return (void *)text;
}

ag_job *g(int *p);
ag_job *g(int *p) {
    return ag_async(f, p);
}
