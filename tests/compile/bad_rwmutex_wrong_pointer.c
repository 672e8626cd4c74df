/* SPDX-License-Identifier: MIT */
/* A mutex is no readers' and writers' mutex. */
// warn: incompatible pointer type
#include <aglet.h>

void g(ag_mutex *m);
void g(ag_mutex *m) {
    ag_rwmutex_rlock(m);
}
