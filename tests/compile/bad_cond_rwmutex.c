/* SPDX-License-Identifier: MIT */
/* A condition waits with a mutex. */
// expect: incompatible pointer type
#include <aglet.h>

void g(ag_cond *c, ag_rwmutex *rw);
void g(ag_cond *c, ag_rwmutex *rw) {
    ag_cond_wait(c, rw);
}
