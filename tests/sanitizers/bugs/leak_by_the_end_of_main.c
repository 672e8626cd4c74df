/* SPDX-License-Identifier: MIT */
/* When main returns, other goroutines are dropped where they stand; nobody frees what they held. */
// bug: what a goroutine held that main's return has dropped
// leak: leaked in 1 allocation
// procs: 1
#include <aglet.h>

#include <stdlib.h>

static void hold(void) {
    char *volatile p = malloc(100);
    ag_sleep(AG_MIN);
    free(p);
}

static int app(void *arg) {
    (void)arg;
    ag_go(hold);
    ag_yield();
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
