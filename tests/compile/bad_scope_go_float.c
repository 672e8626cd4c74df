/* SPDX-License-Identifier: MIT */
/* A floating argument does not travel in an integer register. */
// expect: aglet: an argument must be an integer or a pointer
#include <aglet.h>

static int f(double x) {
    return x > 0;
}

void g(ag_scope *s, double x);
void g(ag_scope *s, double x) {
    ag_scope_go(s, f, x);
}
