/* SPDX-License-Identifier: MIT */
/* A case is written by one of the AG_ macros. */
// warn: braces around
#include <aglet.h>

int g(void);
int g(void) {
    return ag_select(5);
}
