/* SPDX-License-Identifier: MIT */
/* A goroutine leaves a pointer to its local variable behind and ends. (Elsewhere the variable would
 * lie in pages that are unmapped then, and perhaps soon another's.) */
// bug: a local variable of a goroutine that has ended
// address: use-after-poison
// locals: stack
// valgrind: Invalid write of size 4
#include <aglet.h>

static void leave_pointer(int *volatile *where) {
    volatile int local = 5;
    *where = (int *)&local;
    ag_yield();
}

static int app(void *arg) {
    (void)arg;
    int *volatile dangling = NULL;
    ag_wg wg = AG_WG_INIT;
    ag_wg_go(&wg, leave_pointer, &dangling);
    ag_wg_wait(&wg);
    while (ag_count() > 1)
        ag_yield();
    ag_sleep(AG_MS);
    *dangling = 6;
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
