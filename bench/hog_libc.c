/* SPDX-License-Identifier: MIT */
/*
 * A 1 ms ticker beside two callers of libc's usleep(50 ms) for every processor, which do not tell
 * the runtime that they block.
 */
#include "common.h"
#include <unistd.h>

static void hog(void) {
    for (;;)
        usleep(50000);
}

static int bench(void *arg) {
    (void)arg;
    for (long i = 2 * bench_arg(1, 1); i > 0; i--)
        ag_go(hog);
    bench_gaps("hog_libc");
    return 0;
}

int main(int argc, char **argv) {
    return bench_run(argc, argv, bench);
}
