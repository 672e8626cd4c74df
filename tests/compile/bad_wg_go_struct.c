/* SPDX-License-Identifier: MIT */
/* A struct is passed by pointer. */
// expect: aglet: an argument must be an integer or a pointer
#include <aglet.h>

struct pair {
    int a, b;
};

static void f(struct pair p) {
    (void)p;
}

void g(ag_wg *wg, struct pair p);
void g(ag_wg *wg, struct pair p) {
    ag_wg_go(wg, f, p);
}
