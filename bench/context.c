/* SPDX-License-Identifier: MIT */
/*
 * A tree of contexts: 1,000 below one, made, ended by a cancel of that, dropped; and a block whose
 * waits are bounded.
 */
#include "common.h"

enum { CHILDREN = 1000 };

static void trees(long n) {
    static ag_ctx *below[CHILDREN];
    for (long i = 0; i < n; i++) {
        ag_ctx *top = ag_ctx_with_cancel(NULL);
        for (int k = 0; k < CHILDREN; k++)
            below[k] = ag_ctx_with_cancel(top);
        ag_ctx_cancel(top);
        for (int k = 0; k < CHILDREN; k++) {
            bench_must(ag_ctx_err(below[k]) != 0);
            ag_unref(below[k]);
        }
        ag_unref(top);
    }
}

static void blocks(long n) {
    for (long i = 0; i < n; i++) {
        ag_within(AG_MIN);
    }
}

static int bench(void *arg) {
    const long n = bench_arg(2, 2000);
    (void)arg;
    bench_per_op("context_tree", n, CHILDREN, trees);
    bench_per_op("within", 1000 * n, 1, blocks);
    return 0;
}

int main(int argc, char **argv) {
    return bench_run(argc, argv, bench);
}
