/* SPDX-License-Identifier: MIT */
/* A value is converted to the element type or refused. */
// c++
// expect gcc: invalid conversion
// expect clang: cannot initialize a variable
#include <aglet.h>

int g(ag_chan(int) c, int *p);
int g(ag_chan(int) c, int *p) {
    return ag_send(c, p);
}
