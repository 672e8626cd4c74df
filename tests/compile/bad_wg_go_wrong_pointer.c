/* SPDX-License-Identifier: MIT */
/* The call is checked against the prototype. */
// warn: incompatible pointer type
#include <aglet.h>

static void f(const char *text) {
    (void)text;
}

void g(ag_wg *wg, int *p);
void g(ag_wg *wg, int *p) {
    ag_wg_go(wg, f, p);
}
