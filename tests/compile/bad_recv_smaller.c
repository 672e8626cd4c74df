/* SPDX-License-Identifier: MIT */
/* A receive goes to a variable of the element's type, not to a smaller one. */
// warn: pointer type mismatch
#include <aglet.h>

bool g(ag_chan(long) c, int *p);
bool g(ag_chan(long) c, int *p) {
    return ag_recv(c, p);
}
