/* SPDX-License-Identifier: MIT */
/* The creator goes on writing what it has handed to the goroutine. */
// bug: the creator writes what it gave its goroutine
// thread: data race
// procs: 1,2,8
#include "../apart.h"

static void read_it(const int *p, ag_wg *wg) {
    apart_wait(1);
    volatile int v = *p;
    (void)v;
    ag_wg_done(wg);
}

static int app(void *arg) {
    (void)arg;
    int n = 1;
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 1);
    ag_go(read_it, &n, &wg);
    n = 2;
    apart_pass();
    ag_wg_wait(&wg);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
