/* SPDX-License-Identifier: MIT */
/* What moves stacks about without a fault of the program: panics over frames with arrays,
 * goexit, deep calls, stacks used again, sleeps in between. */
// clean: address leak valgrind
// procs: 1,2,8
#include <aglet.h>

#include <string.h>

static volatile int sink; /* racy on purpose: not read under the thread sanitizer */

static __attribute__((noinline)) void deep(int n, int how) {
    char room[200];
    memset(room, n, sizeof room);
    sink += room[n % 200];
    if (n > 0) {
        deep(n - 1, how);
        sink += room[0];
        return;
    }
    if (how == 1)
        ag_panic("over many frames");
    if (how == 2)
        ag_goexit();
    if (how == 3)
        ag_sleep(AG_US);
}

static void touch(char *room) {
    room[0] = 1;
}

static void live(int how, ag_wg *wg) {
    char room[300];
    ag_defer(ag_wg_done, wg);
    ag_defer(touch, room);
    memset(room, how, sizeof room);
    ag_try(NULL, deep, 50, how);
    deep(50, 0);
    sink += room[299];
}

static int app(void *arg) {
    (void)arg;
    ag_wg wg = AG_WG_INIT;
    for (int i = 0; i < 2000; i++) {
        ag_wg_add(&wg, 1);
        ag_go(live, i % 4, &wg);
        if (i % 50 == 0)
            ag_wg_wait(&wg);
    }
    ag_wg_wait(&wg);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
