/* SPDX-License-Identifier: MIT */
/* The child of a vector of gauges is no counter. */
#include <aglet/metric.h>
static AG_GAUGE_VEC(rooms, "rooms", "Rooms.", 10, "floor");
ag_counter *bad(void);
ag_counter *bad(void) {
    // warn gcc: incompatible pointer type
    // warn clang: incompatible pointer types
    return ag_counter_with(&rooms, "1");
}
