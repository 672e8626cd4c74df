/* SPDX-License-Identifier: MIT */
/* A long double would stay on the processor's floating-point stack. */
// expect: aglet: a function that returns a struct or long double
#include <aglet.h>

static long double f(int n) {
    return n;
}

void g(void);
void g(void) {
    ag_defer(f, 1);
}
