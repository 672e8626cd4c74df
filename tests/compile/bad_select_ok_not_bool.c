/* SPDX-License-Identifier: MIT */
/* What tells a value from the end is a bool. */
// warn: incompatible pointer type
#include <aglet.h>

int g(ag_chan(int) c, int *ok);
int g(ag_chan(int) c, int *ok) {
    return ag_select(AG_RECV_OK(c, NULL, ok));
}
