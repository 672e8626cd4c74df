/* SPDX-License-Identifier: MIT */
/* A goroutine and a foreign thread. */
// thread: data race
#include <aglet.h>
#include <pthread.h>

int shared; /* not static: a variable that nobody reads would be gone */

static void *write_it(void *arg) {
    shared = 1;
    return arg;
}

static int app(void *arg) {
    (void)arg;
    pthread_t thread;
    pthread_create(&thread, NULL, write_it, NULL);
    shared = 2;
    pthread_join(thread, NULL);
    return 0;
}

int main(void) {
    return ag_run(app, NULL);
}
