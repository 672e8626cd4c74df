/* SPDX-License-Identifier: MIT */
/* The function of a flight returns a pointer. */
// warn gcc: makes pointer from integer without a cast
// warn clang: incompatible integer to pointer conversion
#include <aglet.h>

static int f(int a) {
    return a;
}

void g(ag_flight *flight);
void g(ag_flight *flight) {
    void *value;
    ag_flight_do(flight, "key", &value, f, 1);
}
