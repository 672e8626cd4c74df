/* SPDX-License-Identifier: MIT */
/* What a child returns is its failure. */
// expect: aglet: a function of ag_scope_go returns int
#include <aglet.h>

static void f(int a) {
    (void)a;
}

void g(ag_scope *s);
void g(ag_scope *s) {
    ag_scope_go(s, f, 1);
}
