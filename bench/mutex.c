/* SPDX-License-Identifier: MIT */
/*
 * Lock, add one, unlock: argument 3 goroutines share the work.
 */
#include "common.h"

static ag_mutex mutex;
static long counter;

static void share(ag_wg *wg, long n) {
    for (long i = 0; i < n; i++) {
        ag_mutex_lock(&mutex);
        counter++;
        ag_mutex_unlock(&mutex);
    }
    ag_wg_done(wg);
}

static void locks(long n) {
    const long sharers = bench_arg(3, 1);
    ag_wg wg = AG_WG_INIT;
    counter = 0;
    ag_wg_add(&wg, (int)sharers);
    for (long s = 0; s < sharers; s++)
        ag_go(share, &wg, n / sharers);
    ag_wg_wait(&wg);
    bench_must(counter == n / sharers * sharers);
}

static int bench(void *arg) {
    (void)arg;
    bench_per_op("mutex", bench_arg(2, 20000000), 1, locks);
    return 0;
}

int main(int argc, char **argv) {
    return bench_run(argc, argv, bench);
}
