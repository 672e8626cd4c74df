/* SPDX-License-Identifier: MIT */
/* A reference parameter would bind to a copy. */
// c++
// expect: aglet: a parameter must be an integer or a pointer
#include <aglet.h>

static void f(int &n) {
    n++;
}

void g(int &n);
void g(int &n) {
    ag_defer(f, n);
}
