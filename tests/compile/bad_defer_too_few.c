/* SPDX-License-Identifier: MIT */
/* The call is checked against the prototype. */
// expect: too few arguments to function
#include <aglet.h>

static void f(int a, int b) {
    (void)a, (void)b;
}

void g(void);
void g(void) {
    ag_defer(f, 1);
}
