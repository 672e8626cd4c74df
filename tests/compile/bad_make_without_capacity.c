/* SPDX-License-Identifier: MIT */
/* The capacity is always written. */
// expect gcc: requires 2 arguments
// expect clang: too few arguments provided to function-like macro
#include <aglet.h>

void g(void);
void g(void) {
    (void)ag_make(int);
}
