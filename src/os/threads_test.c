/* SPDX-License-Identifier: MIT */
/*
 * The count of threads that are not ours, on which the report of a deadlock depends: none is missed
 * while others come and go.
 */
#include "os/os.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "ag_test.h"

enum { ROUNDS = 500 };

static atomic_int running;

static void run(void *arg) {
    (void)arg;
    atomic_fetch_sub(&running, 1);
}

/* One of ours that ends may count as one of the others, but never the other way round. A count that
 * walks through a list of threads fails here: it stops at one that ends. */
AG_TEST(our_own_threads_do_not_count) {
    int before = ag__os_threads_beside();
    for (int i = 0; i < ROUNDS; i++) {
        atomic_fetch_add(&running, 1);
        ag_check_int(ag__os_thread_start(run, NULL, "short"), 0);
        ag_check(ag__os_threads_beside() >= before);
    }
    while (atomic_load(&running) > 0 || ag__os_threads_beside() > before)
        usleep(1000);
    ag_check_int(ag__os_threads_beside(), before);
}

static void *start_many(void *done) {
    for (int i = 0; i < ROUNDS; i++) {
        atomic_fetch_add(&running, 1);
        ag_check_int(ag__os_thread_start(run, NULL, "short"), 0);
    }
    atomic_store((atomic_int *)done, 1);
    return NULL;
}

/* One of ours that is not there yet must not stand for one that is. */
AG_TEST(others_are_counted_while_our_own_are_started) {
    static atomic_int done;
    pthread_t starter;
    ag_check_int(pthread_create(&starter, NULL, start_many, &done), 0);
    int least = INT32_MAX;
    while (!atomic_load(&done)) {
        int beside = ag__os_threads_beside();
        if (beside < least && !atomic_load(&done))
            least = beside;
    }
    ag_check(least >= 2);
    pthread_join(starter, NULL);
    while (atomic_load(&running) > 0)
        usleep(1000);
}
