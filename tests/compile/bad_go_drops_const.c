/* SPDX-License-Identifier: MIT */
/* The call is checked against the prototype. */
// warn: discards
#include <aglet.h>

static void f(char *text) {
    (void)text;
}

void g(const char *p);
void g(const char *p) {
    ag_go(f, p);
}
