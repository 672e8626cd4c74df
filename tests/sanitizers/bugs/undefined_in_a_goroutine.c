/* SPDX-License-Identifier: MIT */
/* An int overflows, in a goroutine that was switched to another. */
// bug: an int that overflows in a goroutine that was switched
// undefined: signed integer overflow
#include <aglet.h>

#include <limits.h>

static volatile int sum = INT_MAX;

static void add(int n, ag_wg *wg) {
    ag_yield();
    sum = sum + n;
    ag_wg_done(wg);
}

static int app(void *arg) {
    (void)arg;
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 2);
    ag_go(add, 0, &wg);
    ag_go(add, 1, &wg);
    ag_wg_wait(&wg);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
