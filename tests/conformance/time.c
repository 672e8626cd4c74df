/* SPDX-License-Identifier: MIT */
/*
 * Clocks, sleep, timers, tickers. Nothing here asks for an upper bound on a delay, except a
 * minute where a millisecond is meant: tests run on busy machines.
 */
#include "common.h"

#include <time.h>

AG_TEST(now_is_monotonic_and_wall_is_the_time_of_day) {
    ag_time last = ag_now();
    ag_check(last > 0);
    for (int i = 0; i < 100000; i++) {
        ag_time now = ag_now();
        ag_check(now >= last);
        last = now;
    }
    ag_check(ag_now() > 0 && last > 0);
    ag_time wall = ag_wall(), seconds = (ag_time)time(NULL);
    ag_check(wall / AG_SEC >= seconds - 1 && wall / AG_SEC <= seconds + 1);
    ag_check(AG_NS == 1 && AG_US == 1000 && AG_MS == 1000000 && AG_SEC == 1000000000 &&
             AG_MIN == 60 * AG_SEC);
}

/* ---- Sleep ---------------------------------------------------------------------------------- */

static void sleep_and_check(ag_time ns, ag_wg *wg) {
    ag_time begin = ag_now();
    ag_check_int(ag_sleep(ns), 0);
    ag_time took = ag_now() - begin;
    ag_check(took >= ns && took < AG_MIN);
    ag_wg_done(wg);
}

AG_TEST_RUN(sleep_takes_at_least_its_time) {
    ag_wg wg = AG_WG_INIT;
    ag_time times[] = {1, AG_US, 77 * AG_US, AG_MS, 3 * AG_MS, 30 * AG_MS, 0, -1, INT64_MIN};
    for (size_t i = 0; i < COUNT(times); i++) {
        ag_wg_add(&wg, 2);
        sleep_and_check(times[i], &wg);
        ag_go(sleep_and_check, times[i], &wg);
    }
    ag_wg_wait(&wg);
}

static void sleep_forever(void) {
    ag_sleep(INT64_MAX);
}

AG_TEST_RUN(the_longest_sleep_does_not_overflow) {
    int64_t id = ag_go(sleep_forever);
    until_waits_for(id, "sleep");
    ag_sleep(2 * AG_MS);
    ag_check(waits(id, "sleep"));
}

AG_TEST_RUN(many_sleepers_wake_each_not_before_its_time) {
    int many = 5000 / ag_test_slow();
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, many);
    for (int i = 0; i < many; i++)
        ag_go(sleep_and_check, (i * 7919) % 40000 * AG_US, &wg);
    ag_wg_wait(&wg);
}

static void *sleep_on_thread(void *arg) {
    sleep_and_check(5 * AG_MS, arg);
    return NULL;
}

AG_TEST(sleep_works_on_a_foreign_thread_and_without_a_runtime) {
    ag_time begin = ag_now();
    ag_check_int(ag_sleep(2 * AG_MS), 0);
    ag_check(ag_now() - begin >= 2 * AG_MS);
}

AG_TEST_RUN(a_foreign_thread_sleeps_for_itself) {
    ag_wg wg = AG_WG_INIT;
    pthread_t thread;
    ag_wg_add(&wg, 1);
    pthread_create(&thread, NULL, sleep_on_thread, &wg);
    ag_wg_wait(&wg);
    pthread_join(thread, NULL);
}

static void burn(atomic_int *stop) {
    while (!atomic_load(stop))
        continue;
}

AG_TEST_RUN(sleepers_wake_while_every_processor_is_kept_by_a_loop) {
    static atomic_int stop;
    ag_wg wg = AG_WG_INIT;
    for (int i = 0; i < ag_procs(0) && i < 3; i++)
        ag_go(burn, &stop);
    ag_wg_add(&wg, 3);
    for (int i = 1; i <= 3; i++)
        ag_go(sleep_and_check, i * 5 * AG_MS, &wg);
    ag_wg_wait(&wg);
    atomic_store(&stop, 1);
}

/* ---- ag_after ------------------------------------------------------------------------------- */

AG_TEST_RUN(after_sends_the_time_at_which_it_fired) {
    ag_time begin = ag_now(), at = 0;
    ag_chan(ag_time) c = ag_after(3 * AG_MS);
    ag_check_int(ag_cap(c), 1);
    ag_check(ag_recv(c, &at));
    ag_check(at >= begin + 3 * AG_MS && at <= ag_now());
    ag_check_int(ag_select(AG_RECV(c, NULL), AG_AFTER(AG_MS)), 1); /* once, and not closed */
    ag_unref(c);
}

AG_TEST_RUN(an_after_nobody_waits_for_can_be_dropped) {
    for (int i = 0; i < 1000 / ag_test_slow(); i++)
        ag_unref(ag_after(i % 3 * AG_MS));
    ag_sleep(5 * AG_MS);
}

/* ---- Timers --------------------------------------------------------------------------------- */

static void count(atomic_int *n, ag_time not_before) {
    ag_check(ag_now() >= not_before);
    ag_check(ag_id() > 1); /* in a goroutine of its own */
    atomic_fetch_add(n, 1);
}

AG_TEST_RUN(a_timer_runs_its_function_once_in_a_goroutine) {
    atomic_int n = 0;
    ag_timer *t = ag_timer_start(2 * AG_MS, count, &n, ag_now() + 2 * AG_MS);
    ag_check(t != NULL);
    eventually(atomic_load(&n) == 1);
    ag_sleep(5 * AG_MS);
    ag_check_int(atomic_load(&n), 1);
    ag_check(!ag_timer_stop(t));
    ag_unref(t);
}

AG_TEST_RUN(a_stopped_timer_does_not_run) {
    atomic_int n = 0;
    ag_timer *t = ag_timer_start(100 * AG_MS, count, &n, 0);
    ag_check(ag_timer_stop(t));
    ag_check(!ag_timer_stop(t));
    ag_sleep(110 * AG_MS);
    ag_check_int(atomic_load(&n), 0);
    ag_check(!ag_timer_stop(NULL));
    ag_unref(t);
}

AG_TEST_RUN(stop_tells_whether_the_function_will_run) {
    static atomic_int n;
    int stopped = 0, many = 2000 / ag_test_slow();
    for (int i = 0; i < many; i++) {
        ag_timer *t = ag_timer_start(i % 5 * 10 * AG_US, count, &n, 0);
        if (i % 3 == 0)
            ag_yield();
        stopped += ag_timer_stop(t);
        ag_unref(t);
    }
    eventually(atomic_load(&n) + stopped >= many);
    ag_sleep(2 * AG_MS);
    ag_check_int(atomic_load(&n) + stopped, many);
}

AG_TEST_RUN(reset_moves_a_pending_timer_and_starts_a_finished_one) {
    atomic_int n = 0;
    ag_time begin = ag_now();
    ag_timer *t = ag_timer_start(AG_MIN, count, &n, begin + 3 * AG_MS);
    ag_check(ag_timer_reset(t, 3 * AG_MS));
    eventually(atomic_load(&n) == 1);
    ag_check(!ag_timer_reset(t, AG_MS));
    eventually(atomic_load(&n) == 2);
    ag_check(!ag_timer_reset(t, AG_MIN));
    ag_check(ag_timer_stop(t));
    ag_check(!ag_timer_reset(t, AG_MS)); /* also after a stop */
    eventually(atomic_load(&n) == 3);
    ag_unref(t);
}

AG_TEST_RUN(a_reset_further_away_delays) {
    atomic_int n = 0;
    ag_timer *t = ag_timer_start(AG_MIN, count, &n, 0);
    ag_check(ag_timer_reset(t, 2 * AG_MIN));
    ag_sleep(5 * AG_MS);
    ag_check_int(atomic_load(&n), 0);
    ag_check(ag_timer_stop(t));
    ag_unref(t);
}

AG_TEST_RUN(dropping_the_reference_does_not_stop_a_timer) {
    atomic_int n = 0;
    ag_unref(ag_timer_start(3 * AG_MS, count, &n, 0));
    ag_unref(ag_timer_start(0, count, &n, 0));
    ag_unref(ag_timer_start(-AG_SEC, count, &n, 0));
    eventually(atomic_load(&n) == 3);
}

static void take_six(int a, long b, const char *c, bool d, unsigned char e, atomic_int *done) {
    ag_check(a == -1 && b == INT64_MAX && d && e == 200);
    ag_check_str(c, "text");
    atomic_store(done, 1);
}

AG_TEST_RUN(a_timer_passes_six_arguments) {
    atomic_int done = 0;
    ag_unref(ag_timer_start(AG_US, take_six, -1, INT64_MAX, "text", true, 200, &done));
    eventually(atomic_load(&done));
}

static void blocks_long(atomic_int *n, ag_chan(int) gate) {
    atomic_fetch_add(n, 1);
    ag_recv(gate, NULL);
}

AG_TEST_RUN(timers_do_not_wait_for_each_others_functions) {
    atomic_int n = 0;
    ag_chan(int) gate = ag_make(int, 0);
    for (int i = 0; i < 100; i++)
        ag_unref(ag_timer_start(AG_MS, blocks_long, &n, gate));
    eventually(atomic_load(&n) == 100);
    ag_close(gate);
    eventually(ag_count() == 1);
    ag_unref(gate);
}

static void *timers_on_thread(void *arg) {
    ag_unref(ag_timer_start(AG_MS, count, (atomic_int *)arg, 0));
    ag_timer *t = ag_timer_start(AG_MIN, count, (atomic_int *)arg, 0);
    ag_check(ag_timer_stop(t));
    ag_unref(t);
    return NULL;
}

AG_TEST_RUN(a_foreign_thread_may_start_and_stop_timers) {
    atomic_int n = 0;
    pthread_t thread;
    pthread_create(&thread, NULL, timers_on_thread, &n);
    pthread_join(thread, NULL);
    eventually(atomic_load(&n) == 1);
}

/* ---- Tickers -------------------------------------------------------------------------------- */

AG_TEST_RUN(a_ticker_ticks_not_faster_than_its_period) {
    ag_time begin = ag_now(), at = 0, last = 0;
    ag_ticker *t = ag_ticker_start(2 * AG_MS);
    for (int i = 1; i <= 5; i++) {
        ag_check(ag_recv(ag_ticker_chan(t), &at));
        ag_check(at >= begin + i * 2 * AG_MS && at > last && at <= ag_now());
        last = at;
    }
    ag_ticker_stop(t);
    ag_unref(t);
}

AG_TEST_RUN(a_slow_reader_loses_ticks) {
    ag_ticker *t = ag_ticker_start(AG_MS);
    ag_chan(ag_time) c = ag_ticker_chan(t);
    ag_check_int(ag_cap(c), 1);
    eventually(ag_len(c) == 1);
    ag_sleep(20 * AG_MS);
    ag_check_int(ag_len(c), 1);
    ag_ticker_stop(t);
    ag_unref(t);
}

AG_TEST_RUN(a_stopped_ticker_sends_no_more_and_is_not_closed) {
    ag_ticker *t = ag_ticker_start(AG_MS);
    ag_chan(ag_time) c = ag_ticker_chan(t);
    ag_recv(c, NULL);
    ag_ticker_stop(t);
    ag_try_recv(c, NULL);
    ag_check_int(ag_select(AG_RECV(c, NULL), AG_AFTER(10 * AG_MS)), 1);
    ag_ticker_stop(t);
    ag_ticker_stop(NULL);
    ag_unref(t);
}

AG_TEST_RUN(the_last_reference_stops_a_ticker) {
    for (int i = 0; i < 50; i++)
        ag_unref(ag_ticker_start(AG_US * 100));
    ag_ticker *t = ag_ticker_start(AG_MS);
    ag_chan(ag_time) c = ag_ref(ag_ticker_chan(t));
    ag_recv(c, NULL);
    ag_unref(t);
    ag_try_recv(c, NULL);
    ag_check_int(ag_select(AG_RECV(c, NULL), AG_AFTER(10 * AG_MS)), 1);
    ag_unref(c);
}

static void start_ticker(ag_time ns) {
    ag_ticker_start(ns);
}

AG_TEST_RUN(a_ticker_without_a_period_panics) {
    ag_panic_info info;
    ag_check_int(ag_try(&info, start_ticker, 0), AG_PANICKED);
    ag_check_contains(info.msg, "non-positive interval");
    ag_check_int(ag_try(&info, start_ticker, -AG_SEC), AG_PANICKED);
}
