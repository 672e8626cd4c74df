/* SPDX-License-Identifier: MIT */
/* A receive writes. */
// warn: discards
#include <aglet.h>

bool g(ag_chan(int) c, const int *p);
bool g(ag_chan(int) c, const int *p) {
    return ag_recv(c, p);
}
