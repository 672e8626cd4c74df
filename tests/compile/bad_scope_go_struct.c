/* SPDX-License-Identifier: MIT */
/* A struct is passed by pointer. */
// expect: aglet: an argument must be an integer or a pointer
#include <aglet.h>

struct pair {
    int a, b;
};

static int f(struct pair p) {
    return p.a;
}

void g(ag_scope *s, struct pair p);
void g(ag_scope *s, struct pair p) {
    ag_scope_go(s, f, p);
}
