/* SPDX-License-Identifier: MIT */
/* A long would be cut. */
// expect: aglet: a function of ag_scope_go returns int
#include <aglet.h>

static long f(int a) {
    return a;
}

void g(ag_scope *s);
void g(ag_scope *s) {
    ag_scope_go(s, f, 1);
}
