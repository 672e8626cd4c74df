/* SPDX-License-Identifier: MIT */
/* A receive writes. */
// c++
// expect gcc: invalid conversion
// expect clang: no matching function
#include <aglet.h>

bool g(ag_chan(int) c, const int *p);
bool g(ag_chan(int) c, const int *p) {
    return ag_recv(c, p);
}
