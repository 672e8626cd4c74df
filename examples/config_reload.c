/* SPDX-License-Identifier: MIT */
/* Settings that are read all the time and changed by a signal: SIGHUP makes one goroutine load them
 * anew and replace them under the writer's lock, while readers go on reading the old ones. */
#include <aglet.h>
#include <unistd.h>

struct config {
    int version, limit;
};

static ag_rwmutex rw;
static struct config current = {1, 10};

static struct config config(void) {
    ag_rwmutex_rlock(&rw);
    ag_defer(ag_rwmutex_runlock, &rw);
    return current;
}

static void reload_on_signal(ag_chan(int) signals, ag_chan(int) reloaded) {
    while (ag_recv(signals, NULL)) {
        struct config fresh = config();
        fresh.version++;
        fresh.limit *= 2; /* a program would read a file here, without any lock */
        ag_rwmutex_lock(&rw);
        current = fresh;
        ag_rwmutex_unlock(&rw);
        ag_send(reloaded, fresh.version);
    }
}

static int app(void *arg) {
    (void)arg;
    ag_chan(int) signals = ag_make(int, 1), reloaded = ag_make(int, 0);
    ag_notify(signals, SIGHUP);
    ag_wg wg = AG_WG_INIT;
    ag_wg_go(&wg, reload_on_signal, signals, reloaded);
    for (int i = 0; i < 3; i++) {
        struct config c = config();
        printf("version %d: limit %d\n", c.version, c.limit);
        kill(getpid(), SIGHUP);
        ag_recv(reloaded, NULL);
    }
    ag_notify_stop(signals);
    ag_close(signals);
    ag_wg_wait(&wg);
    ag_unref(signals);
    ag_unref(reloaded);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
/* Output:
 * version 1: limit 10
 * version 2: limit 20
 * version 3: limit 40
 */
