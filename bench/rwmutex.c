/* SPDX-License-Identifier: MIT */
/*
 * Lock for reading, look, unlock: argument 3 goroutines share the work; every 1000th time one
 * locks for writing and adds one.
 */
#include "common.h"

static ag_rwmutex rw;
static long counter;

static void share(ag_wg *wg, long n, long *seen) {
    for (long i = 1; i <= n; i++) {
        if (i % 1000 == 0) {
            ag_rwmutex_lock(&rw);
            counter++;
            ag_rwmutex_unlock(&rw);
        }
        ag_rwmutex_rlock(&rw);
        *seen = counter;
        ag_rwmutex_runlock(&rw);
    }
    ag_wg_done(wg);
}

static void locks(long n) {
    const long sharers = bench_arg(3, 1), each = n / sharers;
    static long seen[1024];
    ag_wg wg = AG_WG_INIT;
    counter = 0;
    bench_must(sharers <= 1024);
    ag_wg_add(&wg, (int)sharers);
    for (long s = 0; s < sharers; s++)
        ag_go(share, &wg, each, &seen[s]);
    ag_wg_wait(&wg);
    bench_must(counter == each / 1000 * sharers && (each < 1000 || seen[0] > 0));
}

static int bench(void *arg) {
    (void)arg;
    bench_per_op("rwmutex", bench_arg(2, 20000000), 1, locks);
    return 0;
}

int main(int argc, char **argv) {
    return bench_run(argc, argv, bench);
}
