/* SPDX-License-Identifier: MIT */
/* A value is converted to the element type or refused. */
// warn gcc: makes integer from pointer
// warn clang: incompatible pointer to integer conversion
#include <aglet.h>

int g(ag_chan(int) c, int *p);
int g(ag_chan(int) c, int *p) {
    return ag_send(c, p);
}
