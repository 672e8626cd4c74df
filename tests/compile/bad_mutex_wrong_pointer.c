/* SPDX-License-Identifier: MIT */
/* A wait group is no mutex. */
// warn: incompatible pointer type
#include <aglet.h>

void g(ag_wg *wg);
void g(ag_wg *wg) {
    ag_mutex_lock(wg);
}
