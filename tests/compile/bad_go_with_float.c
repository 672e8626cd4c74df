/* SPDX-License-Identifier: MIT */
/* A floating argument does not travel in an integer register. */
// expect: aglet: an argument must be an integer or a pointer
#include <aglet.h>

static void f(double x) {
    (void)x;
}

void g(float x);
void g(float x) {
    ag_go_with(NULL, f, x);
}
