/* SPDX-License-Identifier: MIT */
/* A struct is passed by pointer. */
// c++
// expect: aglet: an argument must be an integer or a pointer
#include <aglet.h>

struct pair {
    int a, b;
};

static void f(struct pair p) {
    (void)p;
}

void g(struct pair p);
void g(struct pair p) {
    ag_go(f, p);
}
