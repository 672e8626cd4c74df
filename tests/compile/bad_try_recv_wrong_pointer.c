/* SPDX-License-Identifier: MIT */
/* A receive goes to a variable of the element's type. */
// warn: pointer type mismatch
#include <aglet.h>

int g(ag_chan(int) c, char *p);
int g(ag_chan(int) c, char *p) {
    return ag_try_recv(c, p);
}
