/* SPDX-License-Identifier: MIT */
/* Settings that many read and one changes now and then: readers do not wait for each other. */
#include <aglet.h>

static struct settings {
    ag_rwmutex rw;
    int version, limit; /* guarded by rw; limit is 10 times the version */
} settings;

static void serve(int requests) {
    for (int i = 0; i < requests; i++) {
        ag_rwmutex_rlock(&settings.rw);
        ag_defer(ag_rwmutex_runlock, &settings.rw);
        if (settings.limit != 10 * settings.version)
            printf("half a change was seen\n");
    }
}

static void change(int times) {
    for (int i = 0; i < times; i++) {
        ag_rwmutex_lock(&settings.rw);
        settings.version++;
        ag_yield(); /* nobody sees it half done */
        settings.limit = 10 * settings.version;
        ag_rwmutex_unlock(&settings.rw);
        ag_yield();
    }
}

static int app(void *arg) {
    (void)arg;
    ag_wg wg = AG_WG_INIT;
    for (int i = 0; i < 20; i++)
        ag_wg_go(&wg, serve, 1000);
    ag_wg_go(&wg, change, 100);
    ag_wg_wait(&wg);
    printf("version %d, limit %d\n", settings.version, settings.limit);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
/* Output:
 * version 100, limit 1000
 */
