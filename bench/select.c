/* SPDX-License-Identifier: MIT */
/*
 * Select of 2 and of 4 receive cases. Ready: the same goroutine sends into one of the buffered
 * channels, in turn, and selects. Blocked: another one sends on unbuffered channels in turn and the
 * selecting goroutine waits for each item.
 */
#include "common.h"

typedef ag_chan(long) channel;

static long pick2(channel *c) {
    long v = -1;
    ag_select(AG_RECV(c[0], &v), AG_RECV(c[1], &v));
    return v;
}

static long pick4(channel *c) {
    long v = -1;
    ag_select(AG_RECV(c[0], &v), AG_RECV(c[1], &v), AG_RECV(c[2], &v), AG_RECV(c[3], &v));
    return v;
}

static void ready(int k, long n, long (*pick)(channel *)) {
    channel c[4];
    for (int i = 0; i < k; i++)
        c[i] = ag_make(long, 1);
    for (long i = 0; i < n; i++) {
        ag_send(c[i & (k - 1)], i);
        bench_must(pick(c) == i);
    }
    for (int i = 0; i < k; i++)
        ag_unref(c[i]);
}

static void send_in_turn(channel *c, int k, long n, ag_wg *wg) {
    for (long i = 0; i < n; i++)
        ag_send(c[i & (k - 1)], i);
    ag_wg_done(wg);
}

static void blocked(int k, long n, long (*pick)(channel *)) {
    channel c[4];
    ag_wg wg = AG_WG_INIT;
    for (int i = 0; i < k; i++)
        c[i] = ag_make(long, 0);
    ag_wg_add(&wg, 1);
    ag_go(send_in_turn, c, k, n, &wg);
    for (long i = 0; i < n; i++)
        bench_must(pick(c) == i);
    ag_wg_wait(&wg);
    for (int i = 0; i < k; i++)
        ag_unref(c[i]);
}

static void ready2(long n) {
    ready(2, n, pick2);
}
static void blocked2(long n) {
    blocked(2, n, pick2);
}
static void ready4(long n) {
    ready(4, n, pick4);
}
static void blocked4(long n) {
    blocked(4, n, pick4);
}

static int bench(void *arg) {
    const long n = bench_arg(2, 3000000);
    (void)arg;
    bench_per_op("select2_ready", n, 1, ready2);
    bench_per_op("select2_blocked", n, 1, blocked2);
    bench_per_op("select4_ready", n, 1, ready4);
    bench_per_op("select4_blocked", n, 1, blocked4);
    return 0;
}

int main(int argc, char **argv) {
    return bench_run(argc, argv, bench);
}
