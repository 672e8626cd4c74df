/* SPDX-License-Identifier: MIT */
/* Two goroutines write the same variable, one after the other on the same
 * thread. That the scheduler ran them so is no order of the program's. */
// bug: two goroutines write, one after the other on one processor
// thread: data race
// procs: 1
#include <aglet.h>

int shared; /* not static: a variable that nobody reads would be gone */

static void write_it(int v, ag_wg *wg) {
    ag_yield();
    shared = v;
    ag_yield();
    ag_wg_done(wg);
}

static int app(void *arg) {
    (void)arg;
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 2);
    ag_go(write_it, 1, &wg);
    ag_go(write_it, 2, &wg);
    ag_wg_wait(&wg);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
