/* SPDX-License-Identifier: MIT */
/* A case is written by one of the AG_ macros. */
// warn: braces around
#include <aglet.h>

int g(ag_chan(int) c);
int g(ag_chan(int) c) {
    return ag_select(c);
}
