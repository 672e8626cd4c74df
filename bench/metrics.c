/* SPDX-License-Identifier: MIT */
/*
 * A counter, a counter with two labels that is looked up each time, and a histogram of 12 buckets:
 * argument 3 goroutines share the work.
 */
#include "common.h"

AG_COUNTER(plain, "bench_plain_total", "Without labels.");
AG_COUNTER_VEC(labelled, "bench_labelled_total", "With labels.", 16, "method", "code");
AG_HISTOGRAM(sizes, "bench_sizes_seconds", "Of 12 buckets.", AG_BUCKETS_EXP(0.001, 2, 12));

static void add(ag_wg *wg, long n) {
    for (long i = 0; i < n; i++)
        ag_counter_add(&plain, 1);
    ag_wg_done(wg);
}

static void add_with(ag_wg *wg, long n) {
    for (long i = 0; i < n; i++)
        ag_counter_add(ag_counter_with(&labelled, "GET", i & 1 ? "200" : "404"), 1);
    ag_wg_done(wg);
}

static void observe(ag_wg *wg, long n) {
    for (long i = 0; i < n; i++)
        ag_histogram_observe(&sizes, 0.001 * (double)(i & 1023));
    ag_wg_done(wg);
}

static void shared(void (*work)(ag_wg *, long), long n) {
    const long sharers = bench_arg(3, 1);
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, (int)sharers);
    for (long s = 0; s < sharers; s++)
        ag_go(work, &wg, n / sharers);
    ag_wg_wait(&wg);
}

static void counter(long n) {
    const int64_t before = ag_counter_value(&plain);
    shared(add, n);
    bench_must(ag_counter_value(&plain) - before == n / bench_arg(3, 1) * bench_arg(3, 1));
}

static void counter_with(long n) {
    shared(add_with, n);
}

static void histogram(long n) {
    const int64_t before = ag_histogram_count(&sizes);
    shared(observe, n);
    bench_must(ag_histogram_count(&sizes) - before == n / bench_arg(3, 1) * bench_arg(3, 1));
}

static int bench(void *arg) {
    const long n = bench_arg(2, 20000000);
    (void)arg;
    bench_per_op("counter", n, 1, counter);
    bench_per_op("counter_with", n / 4, 1, counter_with);
    bench_per_op("histogram", n / 2, 1, histogram);
    return 0;
}

int main(int argc, char **argv) {
    return bench_run(argc, argv, bench);
}
