/* SPDX-License-Identifier: MIT */
/* One frees what it has sent to the other. */
// bug: a block freed after it was sent
// address: heap-use-after-free
// procs: 1,2,8
// valgrind: Invalid write of size 4
#include <aglet.h>

#include <stdlib.h>

static void use_late(ag_chan(int *) c, ag_chan(int) freed, ag_wg *wg) {
    int *p = NULL;
    ag_recv(c, &p);
    ag_recv(freed, NULL);
    *p = 5;
    ag_wg_done(wg);
}

static int app(void *arg) {
    (void)arg;
    ag_chan(int *) c = ag_make(int *, 1);
    ag_chan(int) freed = ag_make(int, 1);
    ag_wg wg = AG_WG_INIT;
    int *p = malloc(sizeof *p);
    ag_wg_add(&wg, 1);
    ag_go(use_late, c, freed, &wg);
    ag_send(c, p);
    free(p);
    ag_send(freed, 1);
    ag_wg_wait(&wg);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
