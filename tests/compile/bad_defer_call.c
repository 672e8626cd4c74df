/* SPDX-License-Identifier: MIT */
/* The function and its arguments are given apart, not as a call. */
// expect gcc: void
// expect clang: void
#include <aglet.h>

static void f(int n) {
    (void)n;
}

void g(void);
void g(void) {
    ag_defer(f(1));
}
