/* SPDX-License-Identifier: MIT */
/* A floating parameter does not travel in an integer register. */
// c++
// expect: aglet: a parameter must be an integer or a pointer
#include <aglet.h>

static void f(double x) {
    (void)x;
}

void g(void);
void g(void) {
    ag_go(f, 1);
}
