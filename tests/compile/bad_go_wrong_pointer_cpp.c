/* SPDX-License-Identifier: MIT */
/* The call is checked against the prototype. */
// c++
// expect gcc: cannot convert
// expect clang: cannot initialize
#include <aglet.h>

static void f(const char *text) {
    (void)text;
}

void g(int *p);
void g(int *p) {
    ag_go(f, p);
}
