/* SPDX-License-Identifier: MIT */
/* Each goroutine defers for itself: what it opened is closed whatever way it ends - at its end, by
 * an early return, by a panic. Arguments are evaluated at the go statement, so no goroutine closes
 * another's resource. */
#include <aglet.h>
#include <stdatomic.h>

static atomic_int open_now;

static void close_resource(int id) {
    printf("resource %d closed\n", id);
    atomic_fetch_sub(&open_now, 1);
}

static void stop_panic(void) {
    ag_recover();
}

static void task(int id) {
    ag_defer(stop_panic);
    atomic_fetch_add(&open_now, 1);
    ag_defer(close_resource, id);
    if (id % 4 == 1)
        return;
    if (id % 4 == 2)
        ag_panic("task %d failed", id);
    if (id % 4 == 3)
        ag_goexit();
    ag_yield();
}

static int app(void *arg) {
    (void)arg;
    ag_wg wg = AG_WG_INIT;
    for (int i = 0; i < 8; i++)
        ag_wg_go(&wg, task, i);
    ag_wg_wait(&wg);
    printf("%d open\n", atomic_load(&open_now));
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
/* Unordered output:
 * resource 0 closed
 * resource 1 closed
 * resource 2 closed
 * resource 3 closed
 * resource 4 closed
 * resource 5 closed
 * resource 6 closed
 * resource 7 closed
 * 0 open
 */
