/* SPDX-License-Identifier: MIT */
/* What ag_make returns has its type. */
// warn gcc: incompatible return type
// warn clang: incompatible pointer type
#include <aglet.h>

ag_chan(int) g(void);
ag_chan(int) g(void) {
    return ag_make(long, 1);
}
