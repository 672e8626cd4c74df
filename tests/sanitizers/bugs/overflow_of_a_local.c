/* SPDX-License-Identifier: MIT */
/* Writes behind an array on a goroutine's stack. */
// bug: an array overflown in a goroutine's frame
// address: stack-buffer-overflow
// procs: 1,2,8
#include <aglet.h>

static void fill(int n, ag_wg *wg) {
    volatile char room[16];
    for (int i = 0; i <= n; i++)
        room[i] = 'x';
    (void)room[0];
    ag_wg_done(wg);
}

static int app(void *arg) {
    (void)arg;
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 1);
    ag_go(fill, 16, &wg);
    ag_wg_wait(&wg);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
