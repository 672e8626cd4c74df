/* SPDX-License-Identifier: MIT */
/*
 * A tree of goroutines, ten children each, 1,000,000 leaves, sums their numbers over unbuffered
 * channels. Every child holds its own reference, because it may still be in its send when the
 * parent has the number.
 */
#include "common.h"

static void skynet(ag_chan(long) up, long num, long size) {
    long sum = num;
    if (size > 1) {
        ag_chan(long) c = ag_make(long, 0);
        for (long i = 0; i < 10; i++)
            ag_go(skynet, ag_ref(c), num + i * (size / 10), size / 10);
        sum = 0;
        for (int i = 0; i < 10; i++) {
            long v = 0;
            ag_recv(c, &v);
            sum += v;
        }
        ag_unref(c);
    }
    ag_send(up, sum);
    ag_unref(up);
}

static int bench(void *arg) {
    const long size = bench_arg(2, 1000000);
    long sum = -1;
    (void)arg;
    ag_time start = ag_now();
    ag_chan(long) c = ag_make(long, 0);
    ag_go(skynet, ag_ref(c), 0L, size);
    ag_recv(c, &sum);
    const double spent = (double)(ag_now() - start) / 1e6;
    ag_unref(c);
    bench_must(sum == size * (size - 1) / 2);
    bench_report("skynet", spent, "ms");
    return 0;
}

int main(int argc, char **argv) {
    return bench_run(argc, argv, bench);
}
