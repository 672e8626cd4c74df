/* SPDX-License-Identifier: MIT */
/* A goroutine reads a local variable it never wrote, where one before it wrote its own. */
// bug: a local variable never written, on a used stack
// valgrind: Conditional jump or move depends on uninitialised value
#include <aglet.h>

static volatile int sink;

static __attribute__((noinline)) void use(volatile int *room, int write) {
    for (int i = 0; write && i < 100; i++)
        room[i] = i;
    if (room[50] > 5)
        sink++;
}

static void live(int write, ag_wg *wg) {
    volatile int room[100];
    use(room, write);
    ag_sleep(AG_US);
    ag_wg_done(wg);
}

static int app(void *arg) {
    (void)arg;
    ag_wg wg = AG_WG_INIT;
    for (int write = 1; write >= 0; write--) {
        ag_wg_add(&wg, 1);
        ag_go(live, write, &wg);
        ag_wg_wait(&wg);
        while (ag_count() > 1)
            ag_yield();
    }
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
