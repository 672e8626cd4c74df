/* SPDX-License-Identifier: MIT */
/*
 * Argument 2 goroutines wait on one channel: memory and time for each of them.
 */
#include "common.h"
#include <stdatomic.h>

static ag_chan(char) gate;
static _Atomic long started;

static void wait_at_gate(void) {
    atomic_fetch_add_explicit(&started, 1, memory_order_relaxed);
    ag_recv(gate, NULL);
}

static int bench(void *arg) {
    const long n = bench_arg(2, 100000);
    (void)arg;
    gate = ag_make(char, 0);
    const double before = bench_memory();
    ag_time start = ag_now();
    for (long i = 0; i < n; i++)
        bench_must(ag_go(wait_at_gate) > 0);
    while (atomic_load_explicit(&started, memory_order_relaxed) < n)
        ag_yield();
    const double spent = (double)(ag_now() - start);
    bench_report("parked_memory", (bench_memory() - before) / (double)n, "bytes");
    bench_report("parked_time", spent / (double)n, "ns");
    return 0;
}

int main(int argc, char **argv) {
    return bench_run(argc, argv, bench);
}
