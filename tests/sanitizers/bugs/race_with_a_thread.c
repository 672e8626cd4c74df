/* SPDX-License-Identifier: MIT */
/* A goroutine and a foreign thread. */
// bug: a goroutine and a thread write
// thread: data race
#include <aglet.h>
#include <pthread.h>

int shared; /* not static: a variable that nobody reads would be gone */
static int written;

static void *write_it(void *arg) {
    while (!__atomic_load_n(&written, __ATOMIC_RELAXED)) /* orders nothing */
        continue;
    shared = 1;
    return arg;
}

static int app(void *arg) {
    (void)arg;
    pthread_t thread;
    pthread_create(&thread, NULL, write_it, NULL);
    shared = 2;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    __atomic_store_n(&written, 1, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
