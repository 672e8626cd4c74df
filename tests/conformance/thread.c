/* SPDX-License-Identifier: MIT */
/*
 * Foreign threads: any pthread may use the library. A call that must wait blocks that thread only.
 */
#include "common.h"

struct job {
    ag_chan(int) in, out;
    ag_mutex *mutex;
    ag_wg *wg;
    int rounds;
    atomic_int *counter;
};

static void start(pthread_t *thread, void *(*fn)(void *), void *arg) {
    ag_check_int(pthread_create(thread, NULL, fn, arg), 0);
}

static void *has_no_number(void *arg) {
    ag_check_int(ag_id(), 0);
    ag_check(ag_count() >= 1);
    ag_check(ag_procs(0) >= 1);
    ag_yield();
    ag_unlock_thread();
    ag_lock_thread();
    ag_unlock_thread();
    return arg;
}

AG_TEST_RUN(a_foreign_thread_has_no_number_and_sees_the_runtime) {
    pthread_t thread;
    start(&thread, has_no_number, NULL);
    pthread_join(thread, NULL);
}

static void add_one(atomic_int *counter, int n) {
    ag_check(ag_id() > 1);
    atomic_fetch_add(counter, n);
}

static void *starts_goroutines(void *arg) {
    struct job *j = arg;
    for (int i = 0; i < j->rounds; i++)
        ag_check(ag_go(add_one, j->counter, 1) > 1);
    return NULL;
}

AG_TEST_RUN(threads_start_goroutines) {
    atomic_int counter = 0;
    struct job j = {.rounds = 1000 / ag_test_slow(), .counter = &counter};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        start(&threads[i], starts_goroutines, &j);
    eventually(atomic_load(&counter) == 4 * j.rounds);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}

static void *echoes(void *arg) {
    struct job *j = arg;
    int v;
    while (ag_recv(j->in, &v))
        ag_check_int(ag_send(j->out, v + 1), 0);
    ag_close(j->out);
    return NULL;
}

AG_TEST_RUN(threads_and_goroutines_talk_over_channels) {
    for (int cap = 0; cap < 2; cap++) {
        struct job j = {.in = ag_make(int, cap), .out = ag_make(int, cap)};
        pthread_t thread;
        start(&thread, echoes, &j);
        for (int i = 0, v = 0; i < 500 / ag_test_slow(); i++) {
            ag_send(j.in, i);
            ag_check(ag_recv(j.out, &v) && v == i + 1);
        }
        ag_close(j.in);
        ag_check(!ag_recv(j.out, NULL));
        pthread_join(thread, NULL);
        ag_unref(j.in);
        ag_unref(j.out);
    }
}

static void *pumps(void *arg) {
    struct job *j = arg;
    for (int i = 1; i <= j->rounds; i++) {
        if (i % 3 == 0)
            ag_check_int(ag_select(AG_SEND(j->out, i), AG_AFTER(AG_MIN)), 0);
        else
            ag_send(j->out, i);
    }
    ag_wg_done(j->wg);
    return NULL;
}

static void *sums(void *arg) {
    struct job *j = arg;
    int v;
    while (ag_recv(j->out, &v))
        atomic_fetch_add(j->counter, v);
    return NULL;
}

AG_TEST(threads_use_channels_without_a_runtime) {
    atomic_int total = 0;
    ag_wg wg = AG_WG_INIT;
    struct job j = {
        .out = ag_make(int, 3), .rounds = 1000 / ag_test_slow(), .counter = &total, .wg = &wg};
    pthread_t senders[3], receivers[3];
    ag_wg_add(&wg, 3);
    for (int i = 0; i < 3; i++) {
        start(&receivers[i], sums, &j);
        start(&senders[i], pumps, &j);
    }
    ag_wg_wait(&wg);
    ag_close(j.out);
    for (int i = 0; i < 3; i++) {
        pthread_join(senders[i], NULL);
        pthread_join(receivers[i], NULL);
    }
    ag_check_int(atomic_load(&total), 3 * (j.rounds * (j.rounds + 1) / 2));
    ag_unref(j.out);
}

AG_TEST_RUN(threads_and_goroutines_mix_on_both_sides_of_a_channel) {
    atomic_int total = 0;
    ag_wg wg = AG_WG_INIT;
    struct job j = {
        .out = ag_make(int, 2), .rounds = 500 / ag_test_slow(), .counter = &total, .wg = &wg};
    pthread_t threads[4];
    ag_wg_add(&wg, 4);
    for (int i = 0; i < 4; i++)
        start(&threads[i], i % 2 ? pumps : sums, &j);
    for (int i = 0; i < 4; i++)
        ag_go(i % 2 ? pumps : sums, &j);
    ag_wg_wait(&wg);
    ag_close(j.out);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    eventually(ag_count() == 1);
    ag_check_int(atomic_load(&total), 4 * (j.rounds * (j.rounds + 1) / 2));
    ag_unref(j.out);
}

static void *closes_later(void *arg) {
    struct job *j = arg;
    ag_sleep(2 * AG_MS);
    ag_close(j->out);
    return NULL;
}

AG_TEST_RUN(a_thread_closes_what_a_goroutine_waits_for) {
    struct job j = {.out = ag_make(int, 0)};
    pthread_t thread;
    start(&thread, closes_later, &j);
    ag_check(!ag_recv(j.out, NULL));
    pthread_join(thread, NULL);
    ag_unref(j.out);
}

static void *waits_for_goroutines(void *arg) {
    struct job *j = arg;
    ag_wg wg = AG_WG_INIT;
    for (int i = 0; i < 20; i++)
        ag_wg_go(&wg, add_one, j->counter, 1);
    ag_wg_wait(&wg);
    ag_check_int(atomic_load(j->counter), 20);
    return NULL;
}

AG_TEST_RUN(a_thread_waits_for_goroutines) {
    atomic_int counter = 0;
    struct job j = {.counter = &counter};
    pthread_t thread;
    start(&thread, waits_for_goroutines, &j);
    eventually(atomic_load(&counter) == 20);
    pthread_join(thread, NULL);
}

static void *panics_in_a_try(void *arg) {
    ag_chan(int) closed = ag_make(int, 0);
    ag_panic_info info;
    ag_close(closed);
    ag_check_int(ag_try(&info, ag_close, closed), AG_PANICKED);
    ag_check_str(info.msg, "close of closed channel");
    ag_unref(closed);
    return arg;
}

AG_TEST_RUN(a_thread_may_stop_a_panic) {
    pthread_t thread;
    start(&thread, panics_in_a_try, NULL);
    pthread_join(thread, NULL);
}

static void *never_gets_anything(void *arg) {
    struct job *j = arg;
    atomic_fetch_add(j->counter, 1);
    ag_recv(j->in, NULL);
    atomic_fetch_sub(j->counter, 1);
    return NULL;
}

AG_TEST_RUN(a_waiting_thread_blocks_nobody_else) {
    atomic_int waiting = 0;
    struct job j = {.in = ag_make(int, 0), .counter = &waiting};
    pthread_t threads[8];
    for (int i = 0; i < 8; i++)
        start(&threads[i], never_gets_anything, &j);
    eventually(atomic_load(&waiting) == 8);
    for (int i = 0; i < 20; i++)
        ag_sleep(AG_MS / 10);
    ag_close(j.in);
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    ag_check_int(atomic_load(&waiting), 0);
    ag_unref(j.in);
}

static void *short_lived(void *arg) {
    struct job *j = arg;
    ag_send(j->out, 1);
    return NULL;
}

AG_TEST_RUN(threads_come_and_go) {
    struct job j = {.out = ag_make(int, 0)};
    for (int i = 0; i < 200 / ag_test_slow(); i++) {
        pthread_t thread;
        start(&thread, short_lived, &j);
        ag_check(ag_recv(j.out, NULL));
        pthread_join(thread, NULL);
    }
    ag_unref(j.out);
}

static void *outlives_the_run(void *arg) {
    struct job *j = arg;
    int v = 0;
    ag_check(ag_recv(j->in, &v) && v == 1);
    eventually(ag_go(ag_yield) == -ECANCELED); /* the run has ended */
    ag_check_int(ag_count(), 0);
    atomic_store(j->counter, 1);
    ag_check(ag_recv(j->in, &v) && v == 2); /* sent by the next run */
    return NULL;
}

static int main_sends(void *arg) {
    struct job *j = arg;
    ag_send(j->in, j->rounds);
    return 0;
}

AG_TEST(a_thread_and_its_channels_outlive_a_run) {
    atomic_int between = 0;
    struct job j = {.in = ag_make(int, 0), .rounds = 1, .counter = &between};
    pthread_t thread;
    start(&thread, outlives_the_run, &j);
    ag_check_int(ag_run(main_sends, &j), 0);
    eventually(atomic_load(&between));
    j.rounds = 2;
    ag_check_int(ag_run(main_sends, &j), 0);
    pthread_join(thread, NULL);
    ag_unref(j.in);
}
