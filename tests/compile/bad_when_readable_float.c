/* SPDX-License-Identifier: MIT */
/* A floating argument does not travel in an integer register. */
// expect: aglet: an argument must be an integer or a pointer
#include <aglet.h>

static void f(double x) {
    (void)x;
}

void g(ag_conn *c);
void g(ag_conn *c) {
    ag_conn_when_readable(c, f, 0.5);
}
