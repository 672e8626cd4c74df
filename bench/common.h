/* SPDX-License-Identifier: MIT */
/*
 * common.h - what the benchmark programs share: arguments, start of the runtime, the clock around
 * a loop, the memory of the process.
 *
 * Every program is run as `NAME WORKERS NUMBERS...` and prints lines `NAME VALUE UNIT`. The
 * programs of the other systems (bench/peers) do the same work in the same shape.
 */
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H

#include <aglet.h>
#include <stdio.h>
#include <stdlib.h>

static int bench_count;
static char **bench_values;

/** Argument i as a number, or what to use without it; 1 is the number of processors. */
static inline long bench_arg(int i, long otherwise) {
    return i < bench_count ? atol(bench_values[i]) : otherwise;
}

/** Runs fn as the main goroutine on as many processors as argument 1 says. */
static inline int bench_run(int argc, char **argv, int (*fn)(void *)) {
    bench_count = argc;
    bench_values = argv;
    const ag_config config = {.procs = (int)bench_arg(1, 1)};
    return ag_run_with(&config, fn, NULL);
}

static inline void bench_report(const char *name, double value, const char *unit) {
    printf("%s %.3f %s\n", name, value, unit);
    fflush(stdout);
}

/** Warms up with a tenth of the work, then times fn(n) and reports the nanoseconds of one of its
 * n operations, each counted `each` times. */
static inline void bench_per_op(const char *name, long n, long each, void (*fn)(long n)) {
    fn(n / 10 + 1);
    ag_time start = ag_now();
    fn(n);
    bench_report(name, (double)(ag_now() - start) / (double)n / (double)each, "ns");
}

/** A wrong result is no result. */
static inline void bench_must(bool truth) {
    if (!truth) {
        fprintf(stderr, "wrong result\n");
        abort();
    }
}

/** The resident set and the page tables of this process, in bytes. */
static inline double bench_memory(void) {
    char line[256];
    long kib, sum = 0;
    FILE *f = fopen("/proc/self/status", "r");
    bench_must(f != NULL);
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "VmRSS: %ld", &kib) == 1 || sscanf(line, "VmPTE: %ld", &kib) == 1)
            sum += kib * 1024;
    fclose(f);
    return (double)sum;
}

static inline int bench_compare(const void *a, const void *b) {
    const ag_time x = *(const ag_time *)a, y = *(const ag_time *)b;
    return (x > y) - (x < y);
}

/** Sleeps 1 ms again and again for argument 2 seconds and reports how far apart the wake-ups
 * were. */
static inline void bench_gaps(const char *name) {
    static ag_time gaps[1 << 20];
    char line[64];
    const ag_time end = ag_now() + bench_arg(2, 10) * AG_SEC;
    size_t n = 0;
    for (ag_time last = ag_now(); last < end && n < sizeof gaps / sizeof gaps[0];) {
        ag_sleep(AG_MS);
        ag_time now = ag_now();
        gaps[n++] = now - last;
        last = now;
    }
    qsort(gaps, n, sizeof gaps[0], bench_compare);
    snprintf(line, sizeof line, "%s_p50", name);
    bench_report(line, (double)gaps[n / 2] / 1e3, "us");
    snprintf(line, sizeof line, "%s_p99", name);
    bench_report(line, (double)gaps[n * 99 / 100] / 1e3, "us");
    snprintf(line, sizeof line, "%s_max", name);
    bench_report(line, (double)gaps[n - 1] / 1e3, "us");
}

#endif
