/* SPDX-License-Identifier: MIT */
/*
 * A token goes round 503 goroutines linked by unbuffered channels: one hop.
 */
#include "common.h"

#define MEMBERS 503

static ag_chan(long) first;
static ag_chan(char) over;

static void member(ag_chan(long) in, ag_chan(long) out) {
    long v;
    while (ag_recv(in, &v)) {
        if (v == 0)
            ag_send(over, 1);
        else
            ag_send(out, v - 1);
    }
}

static void hops(long n) {
    ag_send(first, n);
    ag_recv(over, NULL);
}

static int bench(void *arg) {
    (void)arg;
    first = ag_make(long, 0);
    over = ag_make(char, 0);
    ag_chan(long) in = first;
    for (int i = 0; i < MEMBERS; i++) {
        ag_chan(long) out = i < MEMBERS - 1 ? ag_make(long, 0) : first;
        ag_go(member, in, out);
        in = out;
    }
    bench_per_op("ring", bench_arg(2, 3000000), 1, hops);
    return 0;
}

int main(int argc, char **argv) {
    return bench_run(argc, argv, bench);
}
