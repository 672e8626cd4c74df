/* SPDX-License-Identifier: MIT */
/*
 * Two goroutines, two unbuffered channels: one round trip.
 */
#include "common.h"

static void echo(ag_chan(long) ping, ag_chan(long) pong) {
    long v;
    while (ag_recv(ping, &v))
        ag_send(pong, v);
    ag_unref(ping);
    ag_unref(pong);
}

static void trips(long n) {
    ag_chan(long) ping = ag_make(long, 0);
    ag_chan(long) pong = ag_make(long, 0);
    ag_go(echo, ag_ref(ping), ag_ref(pong));
    for (long i = 0; i < n; i++) {
        long v = -1;
        ag_send(ping, i);
        bench_must(ag_recv(pong, &v) && v == i);
    }
    ag_close(ping);
    ag_unref(ping);
    ag_unref(pong);
}

static int bench(void *arg) {
    (void)arg;
    bench_per_op("unbuffered", bench_arg(2, 2000000), 1, trips);
    return 0;
}

int main(int argc, char **argv) {
    return bench_run(argc, argv, bench);
}
