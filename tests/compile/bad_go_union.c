/* SPDX-License-Identifier: MIT */
/* A union is passed by pointer. */
// expect: aglet: an argument must be an integer or a pointer
#include <aglet.h>

union either {
    int a;
    float b;
};

static void f(union either u) {
    (void)u;
}

void g(union either u);
void g(union either u) {
    ag_go(f, u);
}
