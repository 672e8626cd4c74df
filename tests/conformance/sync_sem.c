/* SPDX-License-Identifier: MIT */
/*
 * The weighted semaphore: how much, in which order, misuse, threads.
 */
#include "common.h"

static void take(ag_sem *s, int64_t n, ag_chan(int) log) {
    ag_check_int(ag_sem_acquire(s, n), 0);
    ag_send(log, (int)n);
}

AG_TEST_RUN(no_more_is_taken_than_there_is) {
    ag_sem s = AG_SEM_INIT(5), zero = {0};
    ag_check_int(ag_sem_acquire(&s, 3), 0);
    ag_check(!ag_sem_try_acquire(&s, 3));
    ag_check(ag_sem_try_acquire(&s, 2));
    ag_check(!ag_sem_try_acquire(&s, 1));
    ag_check(ag_sem_try_acquire(&s, 0));
    ag_sem_release(&s, 1); /* in parts */
    ag_sem_release(&s, 3);
    ag_check(ag_sem_try_acquire(&s, 4));
    ag_sem_release(&s, 5);
    ag_check(ag_sem_try_acquire(&zero, 0));
    ag_check(!ag_sem_try_acquire(&zero, 1));
    ag_sem_init(&zero, 1);
    ag_check(ag_sem_try_acquire(&zero, 1));
}

AG_TEST_RUN(who_waits_is_served_in_arrival_order) {
    ag_sem s = AG_SEM_INIT(10);
    ag_chan(int) log = ag_make(int, 10);
    int got[3] = {0};
    ag_sem_acquire(&s, 10);
    for (int n = 1; n <= 3; n++)
        until_waits_for(ag_go(take, &s, n, log), "semaphore.Acquire");
    for (int i = 0; i < 3; i++) {
        ag_sem_release(&s, i + 1);
        ag_recv(log, &got[i]);
        ag_check_int(got[i], i + 1);
    }
    ag_unref(log);
}

AG_TEST_RUN(one_that_wants_much_is_not_passed_by_many_that_want_little) {
    ag_sem s = AG_SEM_INIT(4);
    ag_chan(int) log = ag_make(int, 10);
    int got = 0;
    ag_sem_acquire(&s, 3);
    int64_t large = ag_go(take, &s, 4, log);
    until_waits_for(large, "semaphore.Acquire");
    ag_check(!ag_sem_try_acquire(&s, 1)); /* one is free, but somebody waits */
    int64_t small = ag_go(take, &s, 1, log);
    until_waits_for(small, "semaphore.Acquire");
    ag_sem_release(&s, 2);
    ag_check(waits(large, "semaphore.Acquire") && waits(small, "semaphore.Acquire"));
    ag_sem_release(&s, 1);
    ag_recv(log, &got);
    ag_check_int(got, 4);
    ag_check(waits(small, "semaphore.Acquire"));
    ag_sem_release(&s, 4);
    ag_recv(log, &got);
    ag_check_int(got, 1);
    ag_unref(log);
}

AG_TEST_RUN(one_release_lets_several_go_on) {
    ag_sem s = AG_SEM_INIT(6);
    ag_chan(int) log = ag_make(int, 10);
    ag_sem_acquire(&s, 6);
    for (int i = 0; i < 3; i++)
        until_waits_for(ag_go(take, &s, 2, log), "semaphore.Acquire");
    ag_sem_release(&s, 6);
    for (int i = 0; i < 3; i++)
        ag_check(ag_recv(log, NULL)); /* the length tells before the send is over */
    ag_unref(log);
}

AG_TEST_RUN(one_that_wants_more_than_there_is_stands_in_nobodys_way) {
    ag_sem s = AG_SEM_INIT(2);
    ag_chan(int) log = ag_make(int, 10);
    int64_t doomed = ag_go(take, &s, 3, log);
    until_waits_for(doomed, "semaphore.Acquire");
    ag_check(ag_sem_try_acquire(&s, 2));
    ag_sem_release(&s, 2);
    ag_check(waits(doomed, "semaphore.Acquire"));
    ag_unref(log);
}

static void releases(ag_sem *s, int64_t n) {
    ag_sem_release(s, n);
}

static void acquires(ag_sem *s, int64_t n) {
    ag_sem_acquire(s, n);
}

AG_TEST_RUN(misuse_panics) {
    ag_sem s = AG_SEM_INIT(3);
    ag_panic_info info;
    ag_sem_acquire(&s, 2);
    ag_check_int(ag_try(&info, releases, &s, 3), AG_PANICKED);
    ag_check_str(info.msg, "semaphore: released more than held");
    ag_check_int(ag_try(&info, releases, &s, -1), AG_PANICKED);
    ag_check_str(info.msg, "semaphore: negative weight");
    ag_check_int(ag_try(&info, acquires, &s, -1), AG_PANICKED);
    ag_check_str(info.msg, "semaphore: negative weight");
    ag_check_int(ag_try(&info, ag_sem_init, &s, -1), AG_PANICKED);
    ag_check_str(info.msg, "semaphore: negative size");
    ag_sem_release(&s, 2); /* it is as it was */
    ag_check(ag_sem_try_acquire(&s, 3));
}

struct limited {
    ag_sem sem;
    atomic_int inside, most;
};

static void work(struct limited *l, int rounds) {
    for (int i = 0; i < rounds; i++) {
        ag_sem_acquire(&l->sem, 1);
        int n = atomic_fetch_add(&l->inside, 1) + 1;
        for (int most = atomic_load(&l->most);
             n > most && !atomic_compare_exchange_weak(&l->most, &most, n);)
            continue;
        ag_yield();
        atomic_fetch_sub(&l->inside, 1);
        ag_sem_release(&l->sem, 1);
    }
}

static void *work_on_thread(void *arg) {
    work(arg, 200 / ag_test_slow());
    return NULL;
}

AG_TEST_RUN(it_limits_goroutines_and_threads_together) {
    static struct limited l = {.sem = AG_SEM_INIT(3)};
    ag_wg wg = AG_WG_INIT;
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, work_on_thread, &l);
    for (int i = 0; i < 10; i++)
        ag_wg_go(&wg, work, &l, 200 / ag_test_slow());
    ag_wg_wait(&wg);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    ag_check(atomic_load(&l.most) >= 1 && atomic_load(&l.most) <= 3);
    ag_check(ag_sem_try_acquire(&l.sem, 3));
}
