/* SPDX-License-Identifier: MIT */
/* The call is checked against the prototype. */
// c++
// expect gcc: too few arguments
// expect clang: too few arguments
#include <aglet.h>

static void f(int a, int b) {
    (void)a, (void)b;
}

void g(void);
void g(void) {
    ag_go(f, 1);
}
