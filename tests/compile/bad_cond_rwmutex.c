/* SPDX-License-Identifier: MIT */
/* A condition waits with a mutex. */
// warn: incompatible pointer type
#include <aglet.h>

void g(ag_cond *c, ag_rwmutex *rw);
void g(ag_cond *c, ag_rwmutex *rw) {
    ag_cond_wait(c, rw);
}
