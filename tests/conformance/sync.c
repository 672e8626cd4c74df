/* SPDX-License-Identifier: MIT */
/*
 * Mutex, wait group, once: exclusion, waking, misuse, memory order; from goroutines and threads.
 */
#include "common.h"

/* ---- Mutex ---------------------------------------------------------------------------------- */

struct shared {
    ag_mutex mutex;
    long plain; /* guarded by mutex */
    atomic_int inside;
};

static void add_many(struct shared *s, int rounds, ag_wg *wg) {
    for (int i = 0; i < rounds; i++) {
        ag_mutex_lock(&s->mutex);
        ag_check_int(atomic_fetch_add(&s->inside, 1), 0);
        s->plain++;
        if (i % 64 == 0)
            ag_yield(); /* holding it */
        if (i % 512 == 0)
            ag_sleep(AG_US);
        atomic_fetch_sub(&s->inside, 1);
        ag_mutex_unlock(&s->mutex);
    }
    ag_wg_done(wg);
}

AG_TEST_RUN(a_mutex_excludes) {
    static struct shared s; /* usable when zero */
    int rounds = 2000 / ag_test_slow();
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 10);
    for (int i = 0; i < 10; i++)
        ag_go(add_many, &s, rounds, &wg);
    ag_wg_wait(&wg);
    ag_check_int(s.plain, 10L * rounds);
    ag_check(ag_mutex_try_lock(&s.mutex));
    ag_mutex_unlock(&s.mutex);
}

struct thread_args {
    struct shared *shared;
    int rounds;
    ag_wg *wg;
};

static void *add_many_on_thread(void *arg) {
    struct thread_args *a = arg;
    add_many(a->shared, a->rounds, a->wg);
    return NULL;
}

AG_TEST_RUN(a_mutex_excludes_goroutines_and_threads_alike) {
    static struct shared s;
    int rounds = 1000 / ag_test_slow();
    ag_wg wg = AG_WG_INIT;
    struct thread_args args = {&s, rounds, &wg};
    pthread_t threads[3];
    ag_wg_add(&wg, 8);
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, add_many_on_thread, &args);
    for (int i = 0; i < 5; i++)
        ag_go(add_many, &s, rounds, &wg);
    ag_wg_wait(&wg);
    ag_check_int(s.plain, 8L * rounds);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
}

AG_TEST(a_mutex_excludes_threads_without_a_runtime) {
    static struct shared s;
    ag_wg wg = AG_WG_INIT;
    struct thread_args args = {&s, 2000 / ag_test_slow(), &wg};
    pthread_t threads[3];
    ag_wg_add(&wg, 3);
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, add_many_on_thread, &args);
    ag_wg_wait(&wg);
    ag_check_int(s.plain, 3L * args.rounds);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
}

static void lock_and_note(ag_mutex *m, ag_chan(int) log, int me) {
    ag_mutex_lock(m);
    ag_send(log, me);
    ag_mutex_unlock(m);
}

AG_TEST_RUN(lock_waits_and_try_lock_does_not) {
    ag_mutex m = AG_MUTEX_INIT;
    ag_chan(int) log = ag_make(int, 10);
    ag_mutex_lock(&m);
    ag_check(!ag_mutex_try_lock(&m));
    int64_t id = ag_go(lock_and_note, &m, log, 1);
    until_waits_for(id, "sync.Mutex.Lock");
    ag_check_int(ag_len(log), 0);
    ag_mutex_unlock(&m);
    ag_check(ag_recv(log, NULL));
    eventually(ag_count() == 1);
    ag_check(ag_mutex_try_lock(&m));
    ag_check(!ag_mutex_try_lock(&m));
    ag_mutex_unlock(&m);
    ag_unref(log);
}

static void unlock_it(ag_mutex *m, atomic_int *done) {
    ag_mutex_unlock(m);
    atomic_store(done, 1);
}

AG_TEST_RUN(any_goroutine_may_unlock) {
    ag_mutex m = AG_MUTEX_INIT;
    atomic_int done = 0;
    ag_mutex_lock(&m);
    ag_go(unlock_it, &m, &done);
    ag_mutex_lock(&m); /* waits for the unlock of the other */
    eventually(atomic_load(&done));
    ag_mutex_unlock(&m);
}

static void keeps_taking_it(ag_mutex *m, atomic_int *stop) {
    while (!atomic_load(stop)) {
        ag_mutex_lock(m);
        for (volatile int i = 0; i < 2000; i++)
            continue;
        ag_mutex_unlock(m);
    }
}

AG_TEST_RUN(a_waiter_gets_the_lock_although_others_take_it_again_and_again) {
    static ag_mutex m;
    static atomic_int stop;
    for (int i = 0; i < 3; i++)
        ag_go(keeps_taking_it, &m, &stop);
    for (int i = 0; i < 50; i++) {
        ag_mutex_lock(&m);
        ag_mutex_unlock(&m);
        ag_sleep(AG_US * 50);
    }
    atomic_store(&stop, 1);
    eventually(ag_count() == 1);
}

static void unlock(ag_mutex *m) {
    ag_mutex_unlock(m);
}

AG_TEST_RUN(unlock_of_an_unlocked_mutex_panics) {
    ag_mutex m = AG_MUTEX_INIT;
    ag_panic_info info;
    ag_check_int(ag_try(&info, unlock, &m), AG_PANICKED);
    ag_check_str(info.msg, "sync: unlock of unlocked mutex");
    ag_mutex_lock(&m); /* it is as it was */
    ag_check(!ag_mutex_try_lock(&m));
    ag_mutex_unlock(&m);
    ag_check_int(ag_try(&info, unlock, &m), AG_PANICKED);
}

static int main_unlocks(void *arg) {
    ag_mutex m = AG_MUTEX_INIT;
    (void)arg;
    ag_mutex_unlock(&m);
    return 0;
}

AG_TEST_DEATH(unlock_of_unlocked_mutex_ends_the_process, 2, "sync: unlock of unlocked mutex\n") {
    ag_run(main_unlocks, NULL);
}

static void panics_holding(ag_mutex *m) {
    ag_mutex_lock(m);
    ag_defer(ag_mutex_unlock, m);
    ag_panic("holding");
}

AG_TEST_RUN(a_deferred_unlock_runs_in_a_panic) {
    ag_mutex m = AG_MUTEX_INIT;
    ag_check_int(ag_try(NULL, panics_holding, &m), AG_PANICKED);
    ag_check(ag_mutex_try_lock(&m));
    ag_mutex_unlock(&m);
}

/* ---- Wait group ----------------------------------------------------------------------------- */

static void write_slot(int *slot, int v, ag_wg *wg) {
    *slot = v; /* plain: done happens before the end of the wait */
    ag_wg_done(wg);
}

AG_TEST_RUN(wait_returns_when_all_are_done_and_sees_what_they_wrote) {
    enum { MANY = 500 };
    static int slots[MANY];
    static ag_wg wg;
    for (int round = 1; round <= 3; round++) { /* and it may be used again */
        ag_wg_add(&wg, MANY);
        for (int i = 0; i < MANY; i++)
            ag_go(write_slot, &slots[i], i * round, &wg);
        ag_wg_wait(&wg);
        for (int i = 0; i < MANY; i++)
            ag_check_int(slots[i], i * round);
    }
    ag_wg_wait(&wg); /* at zero: at once */
}

static void wait_and_count(ag_wg *wg, atomic_int *n) {
    ag_wg_wait(wg);
    atomic_fetch_add(n, 1);
}

AG_TEST_RUN(all_waiters_wait_and_all_go_on) {
    ag_wg wg = AG_WG_INIT;
    atomic_int n = 0;
    ag_wg_add(&wg, 3);
    for (int i = 0; i < 10; i++)
        until_waits_for(ag_go(wait_and_count, &wg, &n), "sync.WaitGroup.Wait");
    ag_wg_done(&wg);
    ag_wg_add(&wg, -1);
    ag_check_int(atomic_load(&n), 0);
    ag_wg_done(&wg);
    eventually(atomic_load(&n) == 10);
}

static void add_to(ag_wg *wg, int n) {
    ag_wg_add(wg, n);
}

AG_TEST_RUN(a_negative_counter_panics) {
    ag_wg a = AG_WG_INIT, b = AG_WG_INIT;
    ag_panic_info info;
    ag_check_int(ag_try(&info, ag_wg_done, &a), AG_PANICKED);
    ag_check_str(info.msg, "sync: negative WaitGroup counter");
    ag_wg_add(&b, 2);
    ag_check_int(ag_try(&info, add_to, &b, -3), AG_PANICKED);
    ag_check_str(info.msg, "sync: negative WaitGroup counter");
}

static int main_is_done_too_often(void *arg) {
    ag_wg wg = AG_WG_INIT;
    (void)arg;
    ag_wg_done(&wg);
    return 0;
}

AG_TEST_DEATH(negative_wait_group_counter_ends_the_process, 2,
              "panic: sync: negative WaitGroup counter\n\ngoroutine 1 [running]:\n") {
    ag_run(main_is_done_too_often, NULL);
}

static void done_after_a_while(ag_wg *wg) {
    ag_yield();
    ag_wg_done(wg);
}

AG_TEST_RUN(a_wait_group_may_be_freed_right_after_wait) {
    for (int i = 0; i < 2000 / ag_test_slow(); i++) {
        ag_wg *wg = calloc(1, sizeof *wg);
        ag_wg_add(wg, 2);
        ag_go(ag_wg_done, wg);
        ag_go(done_after_a_while, wg);
        ag_wg_wait(wg);
        memset(wg, 0xff, sizeof *wg); /* whoever still looks is lost */
        free(wg);
    }
}

static void exits(atomic_int *n) {
    atomic_fetch_add(n, 1);
    ag_goexit();
}

static void recovers(void) {
    ag_recover();
}

static void panics_and_recovers(atomic_int *n) {
    ag_defer(recovers);
    atomic_fetch_add(n, 1);
    ag_panic("recovered");
}

static void adds(atomic_int *n) {
    atomic_fetch_add(n, 1);
}

AG_TEST_RUN(wg_go_is_done_however_the_function_ends) {
    ag_wg wg = AG_WG_INIT;
    atomic_int n = 0;
    for (int i = 0; i < 50; i++) {
        ag_check(ag_wg_go(&wg, exits, &n) > 0);
        ag_check(ag_wg_go(&wg, panics_and_recovers, &n) > 0);
        ag_check(ag_wg_go(&wg, adds, &n) > 0);
    }
    ag_wg_wait(&wg);
    ag_check_int(atomic_load(&n), 150);
}

AG_TEST(wg_go_without_a_runtime_adds_nothing) {
    ag_wg wg = AG_WG_INIT;
    ag_check_int(ag_wg_go(&wg, ag_yield), -ECANCELED);
    ag_wg_wait(&wg);
}

static void *done_on_thread(void *arg) {
    ag_sleep(AG_MS);
    ag_wg_done(arg);
    return NULL;
}

AG_TEST_RUN(a_thread_may_end_a_wait_and_wait) {
    ag_wg wg = AG_WG_INIT;
    pthread_t thread;
    ag_wg_add(&wg, 1);
    pthread_create(&thread, NULL, done_on_thread, &wg);
    ag_wg_wait(&wg);
    pthread_join(thread, NULL);
}

/* ---- Once ----------------------------------------------------------------------------------- */

static void set_up(int *value, atomic_int *runs) {
    ag_sleep(AG_MS);
    atomic_fetch_add(runs, 1);
    *value = 42;
}

static void use_after_once(ag_once *once, int *value, atomic_int *runs, ag_wg *wg) {
    ag_once_do(once, set_up, value, runs);
    ag_check_int(*value, 42); /* nobody gets past it before it has returned */
    ag_wg_done(wg);
}

AG_TEST_RUN(once_runs_once_and_the_others_wait_for_its_end) {
    static ag_once once; /* usable when zero */
    static int value;
    atomic_int runs = 0;
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 50);
    for (int i = 0; i < 50; i++)
        ag_go(use_after_once, &once, &value, &runs, &wg);
    ag_wg_wait(&wg);
    ag_check_int(atomic_load(&runs), 1);
}

static void panics(void) {
    ag_panic("in once");
}

static void once_panics(ag_once *once) {
    ag_once_do(once, panics);
}

AG_TEST_RUN(a_panic_counts_as_having_run) {
    ag_once once = AG_ONCE_INIT;
    ag_panic_info info;
    ag_check_int(ag_try(&info, once_panics, &once), AG_PANICKED);
    ag_check_str(info.msg, "in once");
    ag_check_int(ag_try(&info, once_panics, &once), 0);
}

AG_TEST_RUN(once_passes_its_arguments_to_the_call_that_runs) {
    ag_once once = AG_ONCE_INIT;
    static atomic_int n[2];
    int i = 0;
    ag_once_do(&once, adds, &n[i++]);
    ag_check(atomic_load(&n[0]) == 1 && i == 1);
    ag_once_do(&once, adds, &n[1]);
    ag_check_int(atomic_load(&n[1]), 0);
}

static void *once_on_thread(void *arg) {
    static int value;
    static atomic_int runs;
    ag_once_do(arg, set_up, &value, &runs);
    ag_check(value == 42 && atomic_load(&runs) == 1);
    return NULL;
}

AG_TEST_RUN(threads_and_goroutines_share_a_once) {
    static ag_once once;
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, once_on_thread, &once);
    once_on_thread(&once);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}
