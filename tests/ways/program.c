/* SPDX-License-Identifier: MIT */
/*
 * A program to be looked into: main waits for a line on stdin, ten goroutines wait for a channel;
 * with `burn` as its argument every processor is kept by an endless loop.
 */
#include <aglet.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void waits(ag_chan(int) c) {
    ag_recv(c, NULL);
}
static void burns(void) {
    for (volatile long i = 0;; i++) {
    }
}
static int reads(void) {
    char byte;
    return (int)read(0, &byte, 1);
}

static int app(void *how) {
    ag_chan(int) c = ag_make(int, 0);
    for (int i = 0; i < 10; i++)
        ag_go(waits, c);
    ag_sleep(AG_MS);
    for (int i = 0; how && strcmp(how, "burn") == 0 && i < 8; i++)
        ag_go(burns);
    puts("ready");
    fflush(stdout);
    ag_blocking(reads);
    return 7;
}

int main(int argc, char **argv) {
    return ag_run(app, argc > 1 ? argv[1] : NULL);
}
