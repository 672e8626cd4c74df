/* SPDX-License-Identifier: MIT */
/* A thread that aglet did not start, of a library for example, sends into a channel, starts a
 * goroutine and waits for its answer. A call that must wait blocks that thread only. */
#include <aglet.h>
#include <pthread.h>

static ag_chan(int) to_app, to_thread;

static ag_wg wg;

static void add_one(int v) {
    ag_send(to_thread, v + 1);
}

static void *thread(void *arg) {
    for (int i = 1; i <= 3; i++)
        ag_send(to_app, i);
    ag_wg_go(&wg, add_one, 41);
    int v;
    ag_recv(to_thread, &v);
    ag_send(to_app, v);
    ag_close(to_app);
    return arg;
}

static int app(void *arg) {
    (void)arg;
    pthread_t id;
    to_app = ag_make(int, 0);
    ag_defer(ag_unref, to_app);
    to_thread = ag_make(int, 0);
    ag_defer(ag_unref, to_thread);
    if (pthread_create(&id, NULL, thread, NULL) != 0)
        return 1;
    for (int v; ag_recv(to_app, &v);)
        printf("from the thread: %d\n", v);
    ag_blocking(pthread_join, id, NULL);
    ag_wg_wait(&wg);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
/* Output:
 * from the thread: 1
 * from the thread: 2
 * from the thread: 3
 * from the thread: 42
 */
