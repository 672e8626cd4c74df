/* SPDX-License-Identifier: MIT */
/* What is written after the signal of a condition is not before the wait that it ends. */
// bug: a write after the signal of a condition
// thread: data race
// procs: 1
#include <aglet.h>

int shared; /* not static: a variable that nobody reads would be gone */
static int told;
static ag_mutex m;
static ag_cond c;

static void tell(ag_wg *wg) {
    ag_mutex_lock(&m);
    told = 1;
    ag_mutex_unlock(&m);
    ag_cond_signal(&c);
    shared = 1;
    ag_wg_done(wg);
}

static int app(void *arg) {
    (void)arg;
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 1);
    ag_go(tell, &wg);
    ag_mutex_lock(&m);
    while (!told)
        ag_cond_wait(&c, &m);
    ag_mutex_unlock(&m);
    shared = 2;
    ag_wg_wait(&wg);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
