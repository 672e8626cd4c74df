/* SPDX-License-Identifier: MIT */
/* The call is checked against the prototype. */
// expect: too few arguments to function
#include <aglet.h>

static int f(int a, int b) {
    return a + b;
}

void g(ag_scope *s);
void g(ag_scope *s) {
    ag_scope_go(s, f, 1);
}
