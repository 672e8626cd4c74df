/* SPDX-License-Identifier: MIT */
/* One writes under the mutex, the other reads without it. */
// bug: a read beside the mutex
// thread: data race
// procs: 1,2,8
#include "../apart.h"

static int shared;
static ag_mutex m;

static void write_it(ag_wg *wg) {
    ag_mutex_lock(&m);
    shared++;
    ag_mutex_unlock(&m);
    apart_pass();
    ag_wg_done(wg);
}

static void read_it(ag_wg *wg) {
    apart_wait(1);
    volatile int v = shared;
    (void)v;
    ag_wg_done(wg);
}

static int app(void *arg) {
    (void)arg;
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 2);
    ag_go(write_it, &wg);
    ag_go(read_it, &wg);
    ag_wg_wait(&wg);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
