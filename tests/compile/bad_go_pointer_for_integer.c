/* SPDX-License-Identifier: MIT */
/* The call is checked against the prototype. */
// warn gcc: makes integer from pointer
// warn clang: incompatible pointer to integer conversion
#include <aglet.h>

static void f(int n) {
    (void)n;
}

void g(int *p);
void g(int *p) {
    ag_go(f, p);
}
