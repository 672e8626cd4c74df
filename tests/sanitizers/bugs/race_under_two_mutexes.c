/* SPDX-License-Identifier: MIT */
/* Each has a lock, but not the same. */
// bug: writes under two different mutexes
// thread: data race
// procs: 1,2,8
#include "../apart.h"

int shared; /* not static: a variable that nobody reads would be gone */

static void write_it(int n, ag_mutex *m, ag_wg *wg) {
    ag_mutex_lock(m);
    apart_wait(n);
    shared++;
    apart_pass();
    ag_mutex_unlock(m);
    ag_wg_done(wg);
}

static int app(void *arg) {
    (void)arg;
    static ag_mutex a, b;
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 2);
    ag_go(write_it, 0, &a, &wg);
    ag_go(write_it, 1, &b, &wg);
    ag_wg_wait(&wg);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
