/* SPDX-License-Identifier: MIT */
/* A receive needs the address. */
// warn: pointer/integer type mismatch in conditional
#include <aglet.h>

bool g(ag_chan(int) c, int v);
bool g(ag_chan(int) c, int v) {
    return ag_recv(c, v);
}
