/* SPDX-License-Identifier: MIT */
/* A lock and its deferred unlock in a loop that never ends. In Go the deferred call waits for the
 * end of the function, so the lock is never released; here it waits for the end of the round. */
#include <aglet.h>

static ag_mutex mutex;
static long balance; /* guarded by mutex */

static void earn(void) {
    for (;;) {
        ag_mutex_lock(&mutex);
        ag_defer(ag_mutex_unlock, &mutex);
        if (balance < 1000)
            balance++;
        else
            ag_yield(); /* with the lock: no harm */
    }
}

static long look(void) {
    ag_mutex_lock(&mutex);
    ag_defer(ag_mutex_unlock, &mutex);
    return balance;
}

static int app(void *arg) {
    (void)arg;
    ag_go(earn);
    while (look() < 1000)
        ag_sleep(AG_MS);
    printf("balance %ld, and the other one still goes on\n", look());
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
/* Output:
 * balance 1000, and the other one still goes on
 */
