/* SPDX-License-Identifier: MIT */
/* The call is checked against the prototype. */
// warn: incompatible pointer type
#include <aglet.h>

static int f(const char *text) {
    return text[0];
}

void g(ag_scope *s, int *p);
void g(ag_scope *s, int *p) {
    ag_scope_go(s, f, p);
}
