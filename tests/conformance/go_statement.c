/* SPDX-License-Identifier: MIT */
/*
 * The go statement and the scheduler, as the specification and package runtime promise them: what
 * is evaluated where, what becomes of results, what Gosched, Goexit and NumGoroutine do.
 */
#include "common.h"

static atomic_int ran;

static int evaluated_by(int64_t expected_id, int v) {
    ag_check_int(ag_id(), expected_id);
    return v;
}

static void take(int a, int b, ag_wg *wg) {
    ag_check(a == 1 && b == 2);
    atomic_fetch_add(&ran, 1);
    ag_wg_done(wg);
}

static void (*chosen_by(int64_t expected_id))(int, int, ag_wg *) {
    ag_check_int(ag_id(), expected_id);
    return take;
}

AG_TEST_RUN(function_and_arguments_are_evaluated_by_the_goroutine_that_says_go) {
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 1);
    ag_go(chosen_by(1), evaluated_by(1, 1), evaluated_by(1, 2), &wg);
    ag_wg_wait(&wg);
    ag_check_int(atomic_load(&ran), 1);
}

static int returns_something(ag_wg *wg) {
    ag_wg_done(wg);
    return 42;
}

AG_TEST_RUN(a_result_is_dropped) {
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 1);
    ag_check(ag_go(returns_something, &wg) > 1);
    ag_wg_wait(&wg);
}

static void add_up(int v, atomic_long *sum, ag_wg *wg) {
    atomic_fetch_add(sum, v);
    ag_wg_done(wg);
}

AG_TEST_RUN(each_goroutine_of_a_loop_has_the_value_of_its_round) {
    atomic_long sum = 0;
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 1000);
    for (int i = 1; i <= 1000; i++)
        ag_go(add_up, i, &sum, &wg);
    ag_wg_wait(&wg);
    ag_check_int(atomic_load(&sum), 500500);
}

static void live_on(ag_chan(int) gate, ag_wg *wg) {
    ag_recv(gate, NULL);
    ag_wg_done(wg);
}

static void start_and_return(ag_chan(int) gate, ag_wg *wg) {
    ag_go(live_on, gate, wg);
}

AG_TEST_RUN(a_goroutine_outlives_the_function_and_the_goroutine_that_started_it) {
    ag_chan(int) gate = ag_make(int, 0);
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 1);
    ag_go(start_and_return, gate, &wg);
    eventually(ag_count() == 2); /* who started it has gone */
    ag_send(gate, 1);
    ag_wg_wait(&wg);
    ag_unref(gate);
}

static void start_two(int depth, ag_wg *wg) {
    atomic_fetch_add(&ran, 1);
    if (depth > 0)
        for (int i = 0; i < 2; i++) {
            ag_wg_add(wg, 1);
            ag_go(start_two, depth - 1, wg);
        }
    ag_wg_done(wg);
}

AG_TEST_RUN(a_tree_of_goroutines_comes_to_an_end) {
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 1);
    ag_go(start_two, 10, &wg);
    ag_wg_wait(&wg);
    ag_check_int(atomic_load(&ran), 2047);
    eventually(ag_count() == 1);
}

/* ---- The package runtime -------------------------------------------------------------------- */

static void note_once(atomic_int *flag) {
    atomic_store(flag, 1);
}

AG_TEST_RUN(who_yields_again_and_again_lets_a_new_goroutine_run) {
    atomic_int flag = 0;
    ag_go(note_once, &flag);
    for (ag_time end = ag_now() + 20 * AG_SEC; !atomic_load(&flag);) {
        ag_check(ag_now() < end);
        ag_yield();
    }
}

static void note_turn(atomic_int *turns, int *at, ag_wg *wg) {
    *at = atomic_fetch_add(turns, 1);
    ag_wg_done(wg);
}

static int starts_a_lazy_one(void *unused) {
    enum { OTHERS = 40 };
    atomic_int turns = 0;
    int lazy = -1, others[OTHERS];
    ag_wg wg = AG_WG_INIT;
    (void)unused;
    ag_wg_add(&wg, OTHERS + 1);
    for (int i = 0; i < OTHERS / 2; i++)
        ag_go(note_turn, &turns, &others[i], &wg);
    ag_go_with(&(ag_go_opts){.lazy = true}, note_turn, &turns, &lazy, &wg);
    for (int i = OTHERS / 2; i < OTHERS; i++)
        ag_go(note_turn, &turns, &others[i], &wg);
    ag_wg_wait(&wg);
    for (int i = 0; i < OTHERS / 2; i++)
        ag_check(others[i] < lazy);
    return 0;
}

AG_TEST(a_lazy_one_runs_after_those_that_were_queued) {
    unsetenv("AGLET_PROCS"); /* on one processor, whatever the others have */
    ag_check_int(ag_run_with(&(ag_config){.procs = 1}, starts_a_lazy_one, NULL), 0);
}

static void ping(ag_chan(int) c, atomic_int *stop) {
    while (!atomic_load(stop))
        ag_send(c, 1);
    ag_close(c);
}

static void pong(ag_chan(int) c) {
    while (ag_recv(c, NULL))
        continue;
}

static void set_stop(atomic_int *stop) {
    atomic_store(stop, 1);
}

/* One of the two can always run; the timer's goroutine must get its turn all the same. */
AG_TEST_RUN(two_that_are_always_ready_do_not_starve_a_timer) {
    int before = ag_procs(1);
    for (int round = 0; round < 20; round++) {
        ag_chan(int) c = ag_make(int, 1);
        atomic_int stop = 0;
        ag_wg wg = AG_WG_INIT;
        ag_wg_go(&wg, ping, c, &stop);
        ag_wg_go(&wg, pong, c);
        ag_unref(ag_timer_start(AG_US, set_stop, &stop));
        ag_wg_wait(&wg);
        ag_unref(c);
    }
    ag_procs(before);
}

static void wait_at(ag_chan(int) gate) {
    ag_recv(gate, NULL);
}

AG_TEST_RUN(count_counts_those_that_wait_and_forgets_those_that_ended) {
    ag_chan(int) gate = ag_make(int, 0);
    for (int i = 0; i < 100; i++)
        ag_go(wait_at, gate);
    ag_check_int(ag_count(), 101);
    for (int i = 0; i < 40; i++)
        ag_send(gate, 1);
    eventually(ag_count() == 61);
    ag_close(gate);
    eventually(ag_count() == 1);
    ag_unref(gate);
}

static void exits_deep(int depth) {
    ag_defer(set_stop, &ran); /* any deferred call */
    if (depth == 0)
        ag_goexit();
    exits_deep(depth - 1);
    ag_fail("went on after goexit");
}

AG_TEST_RUN(goexit_ends_the_goroutine_from_any_depth_and_no_other) {
    ag_wg wg = AG_WG_INIT;
    for (int i = 0; i < 100; i++)
        ag_wg_go(&wg, exits_deep, i);
    ag_wg_wait(&wg);
    eventually(ag_count() == 1);
}

static void same_thread(pthread_t *first, int rounds, ag_wg *wg) {
    ag_lock_thread();
    *first = pthread_self();
    for (int i = 0; i < rounds; i++) {
        ag_yield();
        ag_sleep(10 * AG_US);
        ag_check(pthread_equal(*first, pthread_self()));
    }
    ag_unlock_thread();
    ag_wg_done(wg);
}

AG_TEST_RUN(a_locked_goroutine_is_always_on_its_thread_and_alone_there) {
    pthread_t threads[4];
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 4);
    for (int i = 0; i < 4; i++)
        ag_go(same_thread, &threads[i], 100 / ag_test_slow() + 5, &wg);
    ag_wg_wait(&wg);
    for (int i = 1; i < 4; i++)
        ag_check(!pthread_equal(threads[0], threads[i]));
}

static void panics_in_a_group(void) {
    ag_panic("of a worker");
}

static int main_waits_for_one_that_panics(void *arg) {
    ag_wg wg = AG_WG_INIT;
    (void)arg;
    ag_wg_go(&wg, panics_in_a_group);
    ag_wg_wait(&wg);
    fputs("the wait returned\n", stderr);
    return 0;
}

AG_TEST_DEATH(an_unrecovered_panic_ends_the_process, 2, "panic: of a worker\n") {
    ag_run(main_waits_for_one_that_panics, NULL);
}

AG_TEST(an_unrecovered_panic_does_not_end_the_wait_for_its_goroutine) {
    static struct child child;
    for (int i = 0; i < 20 / ag_test_slow() + 2; i++) {
        run_child(&child, "an_unrecovered_panic_ends_the_process");
        ag_check_int(child.status, 2);
        ag_check_ptr(strstr(child.text, "the wait returned"), NULL);
    }
}
