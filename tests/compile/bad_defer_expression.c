/* SPDX-License-Identifier: MIT */
/* A deferred call is a statement. */
// expect: expected expression
#include <aglet.h>

static void f(void) {
}

int g(void);
int g(void) {
    return ag_defer(f);
}
