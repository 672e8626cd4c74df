/* SPDX-License-Identifier: MIT */
/* A deferred call belongs to a block; without braces there is none. */
// expect gcc: expected expression before
// expect clang: expected expression
#include <aglet.h>

static void f(void) {
}

void g(int n);
void g(int n) {
    for (int i = 0; i < n; i++)
        ag_defer(f);
}
