/* SPDX-License-Identifier: MIT */
/* Arguments are words. */
// expect: an argument must be an integer or a pointer
#include <aglet.h>

static void *f(double a) {
    (void)a;
    return NULL;
}

void g(ag_flight *flight);
void g(ag_flight *flight) {
    ag_flight_do(flight, "key", NULL, f, 1.5);
}
