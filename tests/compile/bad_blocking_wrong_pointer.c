/* SPDX-License-Identifier: MIT */
/* The call is checked against the prototype. */
// warn: incompatible pointer type
#include <aglet.h>

static void f(const char *text) {
    (void)text;
}

void g(int *p);
void g(int *p) {
    ag_blocking(f, p);
}
