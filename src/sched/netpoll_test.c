/* SPDX-License-Identifier: MIT */
/*
 * Waits for descriptors whose deadline comes while the waiter is being published.
 */
#include "ag_test.h"
#include "sched/inner.h"
#include <aglet.h>
#include <errno.h>
#include <pthread.h>
#include <unistd.h>

static _Atomic int waits; /* that have come back */
static _Atomic bool done;

/* Runs due timers all the time, as a thread that searches does, and sees to it that waits end. */
static void *timer_thread(void *unused) {
    enum { PATIENCE = 10 };
    int seen = 0;
    int64_t since = ag__os_now();
    while (!atomic_load(&done)) {
        ag__m *m = ag__enter();
        int64_t now = ag__os_now();
        for (int i = 0; i < atomic_load(&ag__s.p_made); i++)
            ag__timers_run(m, ag__s.p_all[i], now);
        ag__leave(m);
        if (seen != atomic_load(&waits)) {
            seen = atomic_load(&waits);
            since = now;
        } else if (now - since > PATIENCE * INT64_C(1000000000)) {
            ag_fail("wait %d has not ended at its deadline", seen);
        }
    }
    return unused;
}

/* Deadlines that half of the time come before the waiter parks, half of the time just after. */
static int64_t next_deadline(int i, bool parked) {
    enum { SPREAD = 256 };
    static int64_t from_now = 1000;
    from_now += parked ? -1 : 1;
    return ag__os_now() + from_now + i % SPREAD;
}

AG_TEST_RUN(a_deadline_that_comes_while_the_waiter_is_published_ends_the_wait) {
    enum { ROUNDS = 1000000 };
    int pipe_fds[2];
    ag__pd *pd;
    pthread_t thread;
    ag_check_int(pipe(pipe_fds), 0);
    ag_check_int(ag__pd_open(pipe_fds[0], &pd), 0);
    ag__pd_consume(pd, AG__READ);
    ag_check_int(pthread_create(&thread, NULL, timer_thread, NULL), 0);
    bool parked = false;
    for (int i = 0; i < ROUNDS / ag_test_slow(); i++) {
        uint64_t resumes = ag__m_now()->g->resumes;
        ag__pd_set_deadline(pd, AG__READ, next_deadline(i, parked));
        ag_check_int(ag__pd_wait(pd, AG__READ), -ETIMEDOUT);
        parked = ag__m_now()->g->resumes != resumes;
        atomic_store(&waits, i);
    }
    atomic_store(&done, true);
    ag_check_int(pthread_join(thread, NULL), 0);
    ag__pd_close(pd);
    ag__pd_free(pd);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}
