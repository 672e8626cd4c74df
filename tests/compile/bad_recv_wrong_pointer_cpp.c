/* SPDX-License-Identifier: MIT */
/* A receive goes to a variable of the element's type. */
// c++
// expect gcc: distinct pointer types
// expect clang: incompatible operand types
#include <aglet.h>

bool g(ag_chan(int) c, double *p);
bool g(ag_chan(int) c, double *p) {
    return ag_recv(c, p);
}
