/* SPDX-License-Identifier: MIT */
/* The function of a job returns a pointer. */
// warn gcc: makes pointer from integer without a cast
// warn clang: incompatible integer to pointer conversion
#include <aglet.h>

static int f(int a) {
    return a;
}

ag_job *g(void);
ag_job *g(void) {
    return ag_async(f, 1);
}
