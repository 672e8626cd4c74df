/* SPDX-License-Identifier: MIT */
/* What another goroutine sent was never written: it is copied without a word, and used. */
// bug: a value never written, that was sent
// valgrind: Conditional jump or move depends on uninitialised value
#include <aglet.h>

#include <stdlib.h>

static volatile int sink;

static void use(ag_chan(int) c, ag_wg *wg) {
    int v = 0;
    ag_recv(c, &v);
    if (v > 5)
        sink++;
    ag_wg_done(wg);
}

static int app(void *arg) {
    (void)arg;
    ag_chan(int) c = ag_make(int, 1);
    ag_wg wg = AG_WG_INIT;
    int *volatile p = malloc(sizeof *p);
    ag_wg_add(&wg, 1);
    ag_go(use, c, &wg);
    ag_send(c, *p);
    ag_wg_wait(&wg);
    free(p);
    ag_unref(c);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
