/* SPDX-License-Identifier: MIT */
/* Both hold the lock for reading, and write. */
// thread: data race
// procs: 1
#include <aglet.h>

int shared; /* not static: a variable that nobody reads would be gone */

static void write_it(ag_rwmutex *rw, ag_wg *wg) {
    ag_rwmutex_rlock(rw);
    shared++;
    ag_rwmutex_runlock(rw);
    ag_wg_done(wg);
}

static int app(void *arg) {
    (void)arg;
    static ag_rwmutex rw;
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 2);
    ag_go(write_it, &rw, &wg);
    ag_go(write_it, &rw, &wg);
    ag_wg_wait(&wg);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
