/* SPDX-License-Identifier: MIT */
/* A timer's function and the one that started it. */
// bug: a timer's function and its starter write
// thread: data race
// procs: 1
#include <aglet.h>

int shared; /* not static: a variable that nobody reads would be gone */

static void fire(ag_chan(int) c) {
    shared = 1;
    ag_send(c, 1);
}

static int app(void *arg) {
    (void)arg;
    ag_chan(int) c = ag_make(int, 1);
    ag_timer *t = ag_timer_start(AG_MS, fire, c);
    ag_sleep(3 * AG_MS);
    shared = 2;
    ag_recv(c, NULL);
    ag_unref(t);
    ag_unref(c);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
