/* SPDX-License-Identifier: MIT */
/* A deferred call belongs to a block; without braces there is none. */
// expect gcc: expected expression before
// expect clang: expected expression
#include <aglet.h>

static void f(int n) {
    (void)n;
}

void g(int n);
void g(int n) {
    if (n)
        ag_defer(f, n);
}
