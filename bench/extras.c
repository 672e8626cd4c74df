/* SPDX-License-Identifier: MIT */
/*
 * Deferred call, panic and recover, timer start and stop. The panic is recovered by a deferred call
 * as in Go; ag_try marks where control goes on.
 */
#include "common.h"

static long counter;

static void count(void) {
    counter++;
}

static void __attribute__((noinline)) deferred(void) {
    ag_defer(count);
    counter++;
}

static void defers(long n) {
    counter = 0;
    for (long i = 0; i < n; i++)
        deferred();
    bench_must(counter == 2 * n);
}

static void recovered(void) {
    bench_must(ag_recover() != NULL);
}

static void panics(void) {
    ag_defer(recovered);
    ag_panic("boom");
}

static void tries(long n) {
    for (long i = 0; i < n; i++)
        bench_must(ag_try(NULL, panics) == AG_PANICKED);
}

static void timers(long n) {
    for (long i = 0; i < n; i++) {
        ag_timer *t = ag_timer_start(AG_SEC, count);
        bench_must(ag_timer_stop(t));
        ag_unref(t);
    }
}

static int bench(void *arg) {
    const long n = bench_arg(2, 1000000);
    (void)arg;
    bench_per_op("defer", 10 * n, 1, defers);
    bench_per_op("panic_recover", n, 1, tries);
    bench_per_op("timer", n, 1, timers);
    return 0;
}

int main(int argc, char **argv) {
    return bench_run(argc, argv, bench);
}
