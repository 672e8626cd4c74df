/* SPDX-License-Identifier: MIT */
/* A goroutine says that it is done, and writes then. */
// bug: a write after `ag_wg_done`
// thread: data race
// procs: 1
#include <aglet.h>

int shared; /* not static: a variable that nobody reads would be gone */

static void work(ag_wg *wg, ag_chan(int) end) {
    ag_wg_done(wg);
    shared = 1;
    ag_send(end, 1);
}

static int app(void *arg) {
    (void)arg;
    ag_chan(int) end = ag_make(int, 0);
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 1);
    ag_go(work, &wg, end);
    ag_wg_wait(&wg);
    shared = 2;
    ag_recv(end, NULL);
    ag_unref(end);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
