/* SPDX-License-Identifier: MIT */
/* A floating argument does not travel in an integer register. */
// c++
// expect: aglet: an argument must be an integer or a pointer
#include <aglet.h>

static void f(double x) {
    (void)x;
}

void g(void);
void g(void) {
    ag_go(f, 1.5);
}
