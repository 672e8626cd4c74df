/* SPDX-License-Identifier: MIT */
/*
 * One producer, one consumer, a channel of capacity 128: one item.
 */
#include "common.h"

static void produce(ag_chan(long) c, long n) {
    for (long i = 0; i < n; i++)
        ag_send(c, i);
    ag_close(c);
    ag_unref(c);
}

static void items(long n) {
    ag_chan(long) c = ag_make(long, 128);
    long sum = 0, v;
    ag_go(produce, ag_ref(c), n);
    while (ag_recv(c, &v))
        sum += v;
    ag_unref(c);
    bench_must(sum == n * (n - 1) / 2);
}

static int bench(void *arg) {
    (void)arg;
    bench_per_op("buffered", bench_arg(2, 10000000), 1, items);
    return 0;
}

int main(int argc, char **argv) {
    return bench_run(argc, argv, bench);
}
