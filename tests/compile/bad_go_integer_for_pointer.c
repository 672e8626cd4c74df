/* SPDX-License-Identifier: MIT */
/* The call is checked against the prototype. */
// warn gcc: makes pointer from integer
// warn clang: incompatible integer to pointer conversion
#include <aglet.h>

static void f(const char *text) {
    (void)text;
}

void g(int n);
void g(int n) {
    ag_go(f, n);
}
