/* SPDX-License-Identifier: MIT */
/* ag_ref keeps the type. */
// warn gcc: incompatible return type
// warn clang: incompatible pointer type
#include <aglet.h>

ag_chan(int) g(ag_chan(long) c);
ag_chan(int) g(ag_chan(long) c) {
    return ag_ref(c);
}
