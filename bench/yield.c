/* SPDX-License-Identifier: MIT */
/*
 * Two goroutines yield to each other: cost of one switch.
 */
#include "common.h"

static void yields(ag_wg *wg, long n) {
    for (long i = 0; i < n; i++)
        ag_yield();
    ag_wg_done(wg);
}

static void pair(long n) {
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 2);
    ag_go(yields, &wg, n);
    ag_go(yields, &wg, n);
    ag_wg_wait(&wg);
}

static int bench(void *arg) {
    (void)arg;
    bench_per_op("yield", bench_arg(2, 5000000), 2, pair);
    return 0;
}

int main(int argc, char **argv) {
    return bench_run(argc, argv, bench);
}
