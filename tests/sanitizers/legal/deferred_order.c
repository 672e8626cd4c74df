/* SPDX-License-Identifier: MIT */
/* Deferred calls unlock, count down and send, also where a panic or ag_goexit runs them: plain
 * variables behind each. */
// clean: thread self address undefined leak valgrind
// procs: 1,2,8
#include <aglet.h>

static ag_mutex m;
static int counted, ended;

static void count(int *n) {
    *n += 1;
}

static void recover(void) {
    ag_recover();
}

static void under_the_lock(int how) {
    ag_mutex_lock(&m);
    ag_defer(ag_mutex_unlock, &m);
    ag_defer(count, &counted);
    if (how == 1)
        ag_panic("over the lock");
    if (how == 2)
        ag_goexit();
}

static void tell(ag_chan(int) end) {
    ag_send(end, 1);
}

static void work(int how, ag_chan(int) turns, ag_wg *wg) {
    ag_defer(ag_wg_done, wg);
    ag_recv(turns, NULL);
    ag_defer(tell, turns);
    ag_defer(count, &ended);
    ag_defer(recover);
    if (how < 3)
        under_the_lock(how);
    else
        ag_try(NULL, under_the_lock, how - 3);
}

static int app(void *arg) {
    (void)arg;
    ag_chan(int) turns = ag_make(int, 1);
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 60);
    for (int i = 0; i < 60; i++)
        ag_go(work, i % 6, turns, &wg);
    for (int i = 0; i < 60; i++) {
        under_the_lock(0);
        if (i == 0)
            ag_send(turns, 1);
    }
    ag_wg_wait(&wg);
    ag_unref(turns);
    return counted != 120 || ended != 60;
}

int main(void) {
    return ag_run(app, NULL);
}
