/* SPDX-License-Identifier: MIT */
/* A floating argument does not travel in an integer register. */
// expect: aglet: an argument must be an integer or a pointer
#include <aglet/websocket.h>

static void f(double x) {
    (void)x;
}

void g(ag_ws *c);
void g(ag_ws *c) {
    ag_ws_when_readable(c, f, 0.5);
}
