/* SPDX-License-Identifier: MIT */
/*
 * A 1 ms ticker beside two endless loops for every processor.
 */
#include "common.h"

static void hog(void) {
    for (volatile unsigned long turns = 0;; turns++) {
    }
}

static int bench(void *arg) {
    (void)arg;
    for (long i = 2 * bench_arg(1, 1); i > 0; i--)
        ag_go(hog);
    bench_gaps("hog_loop");
    return 0;
}

int main(int argc, char **argv) {
    return bench_run(argc, argv, bench);
}
