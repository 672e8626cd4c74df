/* SPDX-License-Identifier: MIT */
/* A goroutine ends without freeing its block. */
// bug: a block that a goroutine did not free
// leak: leaked in 1 allocation
// procs: 1,2,8
#include <aglet.h>

#include <stdlib.h>

static void forget(ag_wg *wg) {
    char *volatile p = malloc(100);
    p[0] = 1;
    p = NULL;
    ag_wg_done(wg);
}

static int app(void *arg) {
    (void)arg;
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 1);
    ag_go(forget, &wg);
    ag_wg_wait(&wg);
    while (ag_count() > 1) /* its stack is nobody's then */
        ag_yield();
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
