/* SPDX-License-Identifier: MIT */
/* A goroutine reads what it has freed, after it has waited. */
// bug: a block freed before a wait, used after it
// address: heap-use-after-free
// valgrind: Invalid read of size 4
#include <aglet.h>

#include <stdlib.h>

static volatile int sink;

static void read_late(ag_wg *wg) {
    int *volatile p = malloc(sizeof *p); /* volatile: the compiler sees it, too */
    *p = 5;
    free(p);
    ag_sleep(AG_MS);
    sink = *p;
    ag_wg_done(wg);
}

static int app(void *arg) {
    (void)arg;
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 1);
    ag_go(read_late, &wg);
    ag_wg_wait(&wg);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
