/* SPDX-License-Identifier: MIT */
/* The call is checked against the prototype. */
// expect: too many arguments to function
#include <aglet.h>

static void f(int a, int b) {
    (void)a, (void)b;
}

void g(void);
void g(void) {
    ag_try(NULL, f, 1, 2, 3);
}
