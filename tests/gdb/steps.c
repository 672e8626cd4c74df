/* SPDX-License-Identifier: MIT */
/* Goroutines that start, switch to and fro and end, for tests/gdb/run.py to walk through
 * instruction by instruction; and one that gets a signal. While it is stepped one thread runs
 * alone: whatever became of its processor while gdb looked, it takes an idle one, and has it for
 * itself. */
#include <aglet.h>

#include <signal.h>

static volatile int rounds, caught;

__attribute__((noinline)) static void on_usr1(int sig) {
    caught = sig;
}

__attribute__((noinline)) static void step_here(void) {
    rounds++;
}

static void warm_up(void) {
    ag_yield();
}

static void other(void) {
    for (int i = 0; i < 3; i++) {
        ag_yield();
        rounds++;
    }
}

static void walker(ag_wg *wg) {
    step_here();
    ag_go(other);
    for (int i = 0; i < 3; i++) {
        ag_yield();
        rounds++;
    }
    raise(SIGUSR1);
    ag_wg_done(wg);
}

static int app(void *arg) {
    ag_wg wg = AG_WG_INIT;
    ag_wg_go(&wg, warm_up); /* leave stacks behind, so that nothing need be made */
    ag_wg_go(&wg, warm_up);
    ag_wg_wait(&wg);
    ag_wg_add(&wg, 1);
    ag_go(walker, &wg);
    ag_wg_wait(&wg);
    return arg != NULL || caught != SIGUSR1;
}

int main(void) {
    signal(SIGUSR1, on_usr1);
    return ag_run(app, NULL);
}
