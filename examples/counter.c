/* SPDX-License-Identifier: MIT */
/* One counter, a hundred goroutines, twice: shared under a mutex, and owned by one goroutine that
 * hears of every change by a channel. */
#include <aglet.h>

enum { GOROUTINES = 100, EACH = 100 };

static ag_mutex mutex;
static long shared;

static void add_locked(void) {
    for (int i = 0; i < EACH; i++) {
        ag_mutex_lock(&mutex);
        ag_defer(ag_mutex_unlock, &mutex);
        shared++;
    }
}

static void add_sent(ag_chan(int) changes) {
    for (int i = 0; i < EACH; i++)
        ag_send(changes, 1);
}

static void own(ag_chan(int) changes, long *ret_total) {
    for (int change; ag_recv(changes, &change);)
        *ret_total += change;
}

static int app(void *arg) {
    (void)arg;
    static ag_wg wg;
    for (int i = 0; i < GOROUTINES; i++)
        ag_wg_go(&wg, add_locked);
    ag_wg_wait(&wg);
    printf("under a mutex: %ld\n", shared);

    ag_chan(int) changes = ag_make(int, 16);
    ag_defer(ag_unref, changes);
    static ag_wg owner;
    long total = 0;
    ag_wg_go(&owner, own, changes, &total);
    for (int i = 0; i < GOROUTINES; i++)
        ag_wg_go(&wg, add_sent, changes);
    ag_wg_wait(&wg);
    ag_close(changes);
    ag_wg_wait(&owner);
    printf("by a channel: %ld\n", total);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
/* Output:
 * under a mutex: 10000
 * by a channel: 10000
 */
