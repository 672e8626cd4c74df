/* SPDX-License-Identifier: MIT */
/* The call is checked against the prototype. */
// warn: incompatible pointer type
#include <aglet.h>

static void f(const char *text) {
    (void)text;
}

void g(ag_once *once, int *p);
void g(ag_once *once, int *p) {
    ag_once_do(once, f, p);
}
