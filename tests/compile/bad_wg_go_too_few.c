/* SPDX-License-Identifier: MIT */
/* The call is checked against the prototype. */
// expect: too few arguments to function
#include <aglet.h>

static void f(int a, int b) {
    (void)a, (void)b;
}

void g(ag_wg *wg);
void g(ag_wg *wg) {
    ag_wg_go(wg, f, 1);
}
