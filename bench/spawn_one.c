/* SPDX-License-Identifier: MIT */
/*
 * Spawns one goroutine and waits for it, again and again.
 */
#include "common.h"

static ag_wg wg;

static void ones(long n) {
    for (long i = 0; i < n; i++) {
        ag_wg_add(&wg, 1);
        ag_go(ag_wg_done, &wg);
        ag_wg_wait(&wg);
    }
}

static int bench(void *arg) {
    (void)arg;
    bench_per_op("spawn_one", bench_arg(2, 2000000), 1, ones);
    return 0;
}

int main(int argc, char **argv) {
    return bench_run(argc, argv, bench);
}
