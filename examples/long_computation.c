/* SPDX-License-Identifier: MIT */
/* A computation that never calls the runtime, beside a goroutine that wants to run, on one
 * processor. Go's remedy is runtime.Gosched now and then, ag_yield here; but without it nobody
 * starves either: the processor is handed on to another thread. */
#include <aglet.h>
#include <stdatomic.h>

static atomic_int turns, stop;

static void wants_to_run(void) {
    while (!atomic_load(&stop)) {
        atomic_fetch_add(&turns, 1);
        ag_sleep(AG_MS);
    }
}

static void compute(bool yields) {
    atomic_store(&turns, 0);
    for (unsigned i = 0; atomic_load(&turns) < 10; i++) /* it ends because the other one runs */
        if (yields && i % 1000 == 0)
            ag_yield();
    printf("%s: the other one ran meanwhile\n", yields ? "with ag_yield" : "without");
}

static int app(void *arg) {
    (void)arg;
    ag_go(wants_to_run);
    compute(true);
    compute(false);
    atomic_store(&stop, 1);
    return 0;
}

int main(void) {
    const ag_config one = {.procs = 1};
    return ag_run_with(&one, app, NULL);
}
/* Output:
 * with ag_yield: the other one ran meanwhile
 * without: the other one ran meanwhile
 */
