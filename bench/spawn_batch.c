/* SPDX-License-Identifier: MIT */
/*
 * Spawns 1000 goroutines, waits for all, again and again: cost of one.
 */
#include "common.h"

static ag_wg wg;

static void batches(long n) {
    for (long i = 0; i < n; i++) {
        ag_wg_add(&wg, 1000);
        for (int j = 0; j < 1000; j++)
            ag_go(ag_wg_done, &wg);
        ag_wg_wait(&wg);
    }
}

static int bench(void *arg) {
    (void)arg;
    bench_per_op("spawn_batch", bench_arg(2, 2000), 1000, batches);
    return 0;
}

int main(int argc, char **argv) {
    return bench_run(argc, argv, bench);
}
