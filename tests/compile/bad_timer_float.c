/* SPDX-License-Identifier: MIT */
/* A floating argument does not travel in an integer register. */
// expect: aglet: an argument must be an integer or a pointer
#include <aglet.h>

static void f(double x) {
    (void)x;
}

void g(double x);
void g(double x) {
    ag_timer_start(AG_SEC, f, x);
}
