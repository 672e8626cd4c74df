/* SPDX-License-Identifier: MIT */
/* A floating argument does not travel in an integer register. */
// expect: aglet: an argument must be an integer or a pointer
#include <aglet.h>

static void f(double x) {
    (void)x;
}

void g(ag_wg *wg, double x);
void g(ag_wg *wg, double x) {
    ag_wg_go(wg, f, x);
}
