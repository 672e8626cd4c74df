/* SPDX-License-Identifier: MIT */
/* Two goroutines that burn and switch, for perf to sample. */
#include <aglet.h>

static volatile long rounds;

__attribute__((noinline)) static void burn(void) {
    for (int i = 0; i < 20000; i++)
        rounds++;
}

static void busy(ag_wg *wg) {
    for (int i = 0; i < 2000; i++) {
        burn();
        ag_yield();
    }
    ag_wg_done(wg);
}

static int app(void *arg) {
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 2);
    ag_go(busy, &wg);
    ag_go(busy, &wg);
    ag_wg_wait(&wg);
    return arg != NULL;
}

int main(void) {
    return ag_run(app, NULL);
}
