/* SPDX-License-Identifier: MIT */
/* A channel of longs is no channel of integers. */
// warn gcc: incompatible return type
// warn clang: incompatible pointer type
#include <aglet.h>

ag_chan(int) g(ag_chan(long) c);
ag_chan(int) g(ag_chan(long) c) {
    return c;
}
