/* SPDX-License-Identifier: MIT */
/*
 * A scope of 10 children that end at once: begin, start them, wait for all.
 */
#include "common.h"

static int child(long *counter) {
    ++*counter;
    return 0;
}

static void scopes(long n) {
    for (long i = 0; i < n; i++) {
        long counters[10] = {0}, sum = 0;
        ag_scope s;
        ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
        for (int k = 0; k < 10; k++)
            ag_scope_go(&s, child, &counters[k]);
        bench_must(ag_scope_end(&s) == 0);
        for (int k = 0; k < 10; k++)
            sum += counters[k];
        bench_must(sum == 10);
    }
}

static int bench(void *arg) {
    (void)arg;
    bench_per_op("scope", bench_arg(2, 300000), 1, scopes);
    return 0;
}

int main(int argc, char **argv) {
    return bench_run(argc, argv, bench);
}
