/* SPDX-License-Identifier: MIT */
/* Both hold the lock for reading, and write. */
// bug: writes under a read lock
// thread: data race
// procs: 1,2,8
#include "../apart.h"

int shared; /* not static: a variable that nobody reads would be gone */

static void write_it(int n, ag_rwmutex *rw, ag_wg *wg) {
    ag_rwmutex_rlock(rw);
    apart_wait(n);
    shared++;
    apart_pass();
    ag_rwmutex_runlock(rw);
    ag_wg_done(wg);
}

static int app(void *arg) {
    (void)arg;
    static ag_rwmutex rw;
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 2);
    ag_go(write_it, 0, &rw, &wg);
    ag_go(write_it, 1, &rw, &wg);
    ag_wg_wait(&wg);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
