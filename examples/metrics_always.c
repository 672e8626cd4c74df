/* SPDX-License-Identifier: MIT */
/* What must be counted whatever happens is counted in a deferred call: requests that are answered,
 * refused by an early return, and those that panic, a hundred at a time. */
#include <aglet.h>
#include <stdatomic.h>

static atomic_int in_flight, finished, answered, failed;

static void leave(void) {
    atomic_fetch_sub(&in_flight, 1);
    atomic_fetch_add(&finished, 1);
}

static void handle(int id) {
    atomic_fetch_add(&in_flight, 1);
    ag_defer(leave);
    ag_sleep(id % 5 * AG_MS / 5);
    if (id % 10 == 3)
        return; /* refused */
    if (id % 10 == 7)
        ag_panic("request %d: out of luck", id);
    atomic_fetch_add(&answered, 1);
}

static void serve(int id) {
    if (ag_try(NULL, handle, id) == AG_PANICKED)
        atomic_fetch_add(&failed, 1); /* one request, not the server */
}

static int app(void *arg) {
    (void)arg;
    ag_wg wg = AG_WG_INIT;
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 100; i++)
            ag_wg_go(&wg, serve, i);
        ag_wg_wait(&wg);
    }
    printf("%d finished, %d answered, %d failed, %d in flight\n", atomic_load(&finished),
           atomic_load(&answered), atomic_load(&failed), atomic_load(&in_flight));
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
/* Output:
 * 500 finished, 400 answered, 50 failed, 0 in flight
 */
