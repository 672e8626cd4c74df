/* SPDX-License-Identifier: MIT */
/* The call is checked against the prototype. */
// expect: too few arguments to function
#include <aglet.h>

static void *f(int a, int b) {
    (void)a, (void)b;
    return NULL;
}

void g(ag_flight *flight);
void g(ag_flight *flight) {
    ag_flight_do(flight, "key", NULL, f, 1);
}
