/* SPDX-License-Identifier: MIT */
/* The call is checked against the prototype. */
// expect: too few arguments to function
#include <aglet.h>

static void f(int a, int b) {
    (void)a, (void)b;
}

void g(ag_once *once);
void g(ag_once *once) {
    ag_once_do(once, f, 1);
}
