/* SPDX-License-Identifier: MIT */
/* Writes behind a heap block. */
// bug: a heap block overflown in a goroutine
// address: heap-buffer-overflow
// valgrind: Invalid write of size 1
#include <aglet.h>

#include <stdlib.h>

static void fill(char *p, int n, ag_wg *wg) {
    for (int i = 0; i <= n; i++) /* one too many */
        p[i] = 'x';
    ag_wg_done(wg);
}

static int app(void *arg) {
    (void)arg;
    ag_wg wg = AG_WG_INIT;
    char *p = malloc(10);
    ag_wg_add(&wg, 1);
    ag_go(fill, p, 10, &wg);
    ag_wg_wait(&wg);
    free(p);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
