/* SPDX-License-Identifier: MIT */
/* A buffered send orders the receiver after the sender, not the other way round. */
// bug: a write behind a buffered send
// thread: data race
// procs: 1
#include <aglet.h>

int shared; /* not static: a variable that nobody reads would be gone */

static void receive(ag_chan(int) c, ag_wg *wg) {
    ag_recv(c, NULL);
    ag_recv(c, NULL);
    shared = 1; /* after the sends; the sender's own write is not before this */
    ag_wg_done(wg);
}

static int app(void *arg) {
    (void)arg;
    ag_chan(int) c = ag_make(int, 2);
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 1);
    ag_go(receive, c, &wg);
    ag_send(c, 1);
    ag_send(c, 2);
    shared = 2;
    ag_yield();
    ag_wg_wait(&wg);
    ag_unref(c);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
