/* SPDX-License-Identifier: MIT */
/* Signals are integers. */
// warn: incompatible pointer type
#include <aglet.h>

int g(ag_chan(long) c);
int g(ag_chan(long) c) {
    return ag_notify(c, SIGINT);
}
