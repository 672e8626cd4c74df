/* SPDX-License-Identifier: MIT */
/*
 * Argument 2 goroutines sleep for 0..1 s each, evenly random: milliseconds over the second that
 * would be ideal. The random numbers are the same for every system.
 */
#include "common.h"

static ag_wg wg;

static void sleeper(ag_time wait) {
    ag_sleep(wait);
    ag_wg_done(&wg);
}

static int bench(void *arg) {
    const long n = bench_arg(2, 1000000);
    uint64_t seed = 88172645463325252u;
    (void)arg;
    ag_wg_add(&wg, (int)n);
    ag_time start = ag_now();
    for (long i = 0; i < n; i++) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        bench_must(ag_go(sleeper, (ag_time)(seed % 1000000000u)) > 0);
    }
    ag_wg_wait(&wg);
    bench_report("sleepers", (double)(ag_now() - start) / 1e6 - 1000, "ms");
    return 0;
}

int main(int argc, char **argv) {
    return bench_run(argc, argv, bench);
}
