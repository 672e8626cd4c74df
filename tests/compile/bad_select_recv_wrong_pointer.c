/* SPDX-License-Identifier: MIT */
/* A case is typed as a receive is. */
// warn: pointer type mismatch
#include <aglet.h>

int g(ag_chan(int) c, double *p);
int g(ag_chan(int) c, double *p) {
    return ag_select(AG_RECV(c, p), AG_DEFAULT);
}
