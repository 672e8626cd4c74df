/* SPDX-License-Identifier: MIT */
/* The call is checked against the prototype. */
// warn: incompatible pointer type
#include <aglet.h>

static void f(ag_chan(int) c) {
    (void)c;
}

void g(ag_chan(long) c);
void g(ag_chan(long) c) {
    ag_go(f, c);
}
