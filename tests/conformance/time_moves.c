/* SPDX-License-Identifier: MIT */
/*
 * Timers that are moved, stopped and started by many at once, and what Go's tests of package time
 * look at: order, races of stop and firing, no tick or call lost or run twice, times that overflow.
 * Nothing is expected to be early; nothing is failed for being late, but what never comes.
 */
#include "common.h"

static void count(atomic_int *n) {
    atomic_fetch_add(n, 1);
}

/* ---- Order ---------------------------------------------------------------------------------- */

struct arrival {
    int slot;
    ag_time at;
};

static void await(int slot, ag_chan(ag_time) after, ag_chan(struct arrival) arrivals) {
    ag_time at = 0;
    ag_check(ag_recv(after, &at));
    ag_send(arrivals, {slot, at});
    ag_unref(after);
}

AG_TEST_RUN(the_times_that_after_sends_are_in_the_order_of_the_durations) {
    static const int slots[] = {5, 3, 6, 6, 6, 1, 1, 2, 7, 9, 4, 8, 0};
    ag_chan(struct arrival) arrivals = ag_make(struct arrival, COUNT(slots));
    ag_time start = ag_now(), at[10] = {0};
    for (size_t i = 0; i < COUNT(slots); i++)
        ag_go(await, slots[i], ag_after(slots[i] * 2 * AG_MS), arrivals);
    for (size_t i = 0; i < COUNT(slots); i++) {
        struct arrival a;
        ag_recv(arrivals, &a);
        ag_check(a.at >= start + a.slot * 2 * AG_MS);
        ag_check(a.at <= ag_now());
        at[a.slot] = a.at > at[a.slot] ? a.at : at[a.slot];
    }
    for (int slot = 0; slot < 10; slot++)
        ag_check(at[slot] != 0);
    ag_unref(arrivals);
}

AG_TEST_RUN(after_gives_the_time_it_fired_at_however_late_it_is_read) {
    ag_time at = 0;
    ag_chan(ag_time) c = ag_after(AG_MS);
    eventually(ag_len(c) == 1);
    ag_time seen = ag_now();
    ag_sleep(20 * AG_MS);
    ag_recv(c, &at);
    ag_check(at <= seen);
    ag_unref(c);
}

AG_TEST_RUN(a_tick_gives_the_time_it_was_sent_at_however_late_it_is_read) {
    ag_ticker *t = ag_ticker_start(AG_MS);
    ag_time at = 0;
    eventually(ag_len(ag_ticker_chan(t)) == 1);
    ag_time seen = ag_now();
    ag_sleep(20 * AG_MS);
    ag_recv(ag_ticker_chan(t), &at);
    ag_check(at <= seen);
    ag_unref(t);
}

AG_TEST_RUN(one_after_the_other_takes_at_least_the_sum) {
    ag_time start = ag_now();
    for (int i = 0; i < 10; i++) {
        ag_chan(ag_time) c = ag_after(AG_MS);
        ag_recv(c, NULL);
        ag_unref(c);
    }
    ag_check(ag_now() - start >= 10 * AG_MS);
}

/* ---- Moving --------------------------------------------------------------------------------- */

AG_TEST_RUN(a_stopped_timer_stays_stopped_while_others_fire) {
    atomic_int early = 0, stopped = 0, late = 0;
    ag_unref(ag_timer_start(AG_MS, count, &early));
    ag_timer *a = ag_timer_start(20 * AG_SEC, count, &stopped);
    ag_timer *b = ag_timer_start(2 * AG_MS + 20 * AG_SEC, count, &stopped);
    ag_timer_reset(b, 21 * AG_SEC);
    ag_unref(ag_timer_start(3 * AG_MS, count, &late));
    ag_check(ag_timer_stop(a));
    ag_check(ag_timer_stop(b));
    eventually(atomic_load(&late) == 1 && atomic_load(&early) == 1);
    ag_check_int(atomic_load(&stopped), 0);
    ag_check(!ag_timer_stop(a)); /* no second time */
    ag_unref(a);
    ag_unref(b);
}

AG_TEST_RUN(a_timer_that_is_moved_to_the_past_again_and_again_fires) {
    for (int i = 0; i < 300 / ag_test_slow(); i++) {
        atomic_int n = 0;
        int fired = 0;
        ag_timer *t = ag_timer_start(AG_MIN, count, &n);
        for (int j = 0; j < 10; j++) {
            fired += !ag_timer_stop(t) && j > 0; /* it fired since the last move */
            ag_timer_reset(t, -AG_MIN);
        }
        eventually(atomic_load(&n) == fired + 1);
        ag_check(!ag_timer_stop(t));
        ag_unref(t);
    }
}

AG_TEST_RUN(timers_that_are_moved_to_and_fro_fire_once_for_each_time_they_were_due) {
    enum { TIMERS = 100 };
    static atomic_int fired[TIMERS];
    ag_timer *timers[TIMERS];
    unsigned seed = 7;
    for (int i = 0; i < TIMERS; i++)
        timers[i] = ag_timer_start(0, count, &fired[i]);
    for (int i = 0; i < TIMERS; i++)
        eventually(atomic_load(&fired[i]) == 1);
    for (int step = 0; step < 20 * TIMERS; step++) { /* far away, and stopped */
        seed = seed * 1103515245u + 12345u;
        int i = (int)(seed >> 16) % TIMERS;
        if (step % 3 == 2)
            ag_timer_stop(timers[i]);
        else
            ag_timer_reset(timers[i], (1 + step % 5) * AG_MIN);
    }
    for (int i = 0; i < TIMERS; i++)
        ag_timer_reset(timers[i], i % 2 * AG_MS);
    for (int i = 0; i < TIMERS; i++) {
        eventually(atomic_load(&fired[i]) == 2);
        ag_check(!ag_timer_reset(timers[i], AG_MIN));
        ag_check(ag_timer_stop(timers[i]));
        ag_check_int(atomic_load(&fired[i]), 2);
        ag_unref(timers[i]);
    }
}

static void race_two(int rounds, ag_wg *wg) {
    for (int i = 0; i < rounds; i++) {
        atomic_int ran[2] = {0, 0};
        ag_timer *t[2] = {ag_timer_start(100 * AG_US, count, &ran[0]),
                          ag_timer_start(100 * AG_US, count, &ran[1])};
        int stopped[2] = {0, 0};
        while (!atomic_load(&ran[0]) && !atomic_load(&ran[1]))
            ag_sleep(20 * AG_US);
        for (int k = 0; k < 2; k++)
            stopped[k] = i % 2 ? ag_timer_stop(t[k])
                               : (ag_timer_reset(t[k], AG_MIN) ? ag_timer_stop(t[k]) : 0);
        for (int k = 0; k < 2; k++) {
            ag_time end = ag_now() + 20 * AG_SEC * ag_test_slow();
            while (atomic_load(&ran[k]) + stopped[k] == 0 && ag_now() < end)
                ag_sleep(20 * AG_US); /* it said that it would run */
            ag_check_int(atomic_load(&ran[k]) + stopped[k], 1);
            ag_timer_stop(t[k]);
            ag_unref(t[k]);
        }
    }
    ag_wg_done(wg);
}

AG_TEST_RUN(stop_and_reset_tell_the_truth_while_timers_fire) {
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 20);
    for (int i = 0; i < 20; i++)
        ag_go(race_two, 20 / ag_test_slow() + 2, &wg);
    ag_wg_wait(&wg);
}

static void move_shared(ag_timer *t, int rounds, ag_wg *wg) {
    for (int i = 0; i < rounds; i++)
        if (i % 7 == 6)
            ag_timer_stop(t);
        else
            ag_timer_reset(t, i % 3 * AG_US);
    ag_wg_done(wg);
}

AG_TEST_RUN(many_may_move_the_same_timer_at_the_same_time) {
    static atomic_int n;
    ag_wg wg = AG_WG_INIT;
    ag_timer *t = ag_timer_start(AG_MIN, count, &n);
    ag_wg_add(&wg, 8);
    for (int i = 0; i < 8; i++)
        ag_go(move_shared, t, 1000 / ag_test_slow(), &wg);
    ag_wg_wait(&wg);
    ag_timer_stop(t);
    eventually(ag_count() == 1); /* calls that were under way */
    int before = atomic_load(&n);
    ag_timer_reset(t, 0);
    eventually(atomic_load(&n) == before + 1);
    ag_unref(t);
}

struct chain {
    atomic_int left;
    ag_wg done;
};

static void next_link(struct chain *c) {
    if (atomic_fetch_sub(&c->left, 1) > 0)
        ag_unref(ag_timer_start(0, next_link, c));
    else
        ag_wg_done(&c->done);
}

AG_TEST_RUN(a_timer_s_function_may_start_the_next_timer) {
    struct chain c = {100, AG_WG_INIT};
    ag_wg_add(&c.done, 1);
    ag_unref(ag_timer_start(0, next_link, &c));
    ag_wg_wait(&c.done);
    eventually(ag_count() == 1);
}

static void move_itself(ag_timer *_Atomic *self, atomic_int *n, ag_wg *wg) {
    while (!*self)
        ag_yield();
    if (atomic_fetch_add(n, 1) < 9)
        ag_check(!ag_timer_reset(*self, 0));
    else
        ag_wg_done(wg);
}

AG_TEST_RUN(a_timer_s_function_may_move_its_own_timer) {
    ag_timer *_Atomic self = NULL;
    atomic_int n = 0;
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 1);
    self = ag_timer_start(0, move_itself, &self, &n, &wg);
    ag_wg_wait(&wg);
    ag_check_int(atomic_load(&n), 10);
    eventually(ag_count() == 1);
    ag_unref(self);
}

AG_TEST_RUN(timers_of_no_duration_are_not_missed) {
    for (int i = 0; i < 10000 / ag_test_slow(); i++) {
        ag_chan(ag_time) c = ag_after(0);
        ag_check(ag_recv(c, NULL));
        ag_unref(c);
    }
}

AG_TEST_RUN(a_thousand_that_fire_at_the_same_time_all_run) {
    atomic_int n = 0;
    ag_time at = ag_now() + 5 * AG_MS;
    for (int i = 0; i < 1000; i++)
        ag_unref(ag_timer_start(at - ag_now(), count, &n));
    eventually(atomic_load(&n) == 1000);
}

/* ---- Sleeping ------------------------------------------------------------------------------- */

static void sleep_for(ag_time ns, atomic_int *woken) {
    ag_sleep(ns);
    atomic_fetch_add(woken, 1);
}

AG_TEST_RUN(durations_beyond_all_times_never_end_and_disturb_nobody) {
    static atomic_int woken;
    until_waits_for(ag_go(sleep_for, INT64_MAX, &woken), "sleep");
    ag_chan(ag_time) never = ag_after(INT64_MAX), now = ag_after(INT64_MIN);
    ag_check_int(ag_select(AG_RECV(never, NULL), AG_AFTER(5 * AG_MS)), 1);
    ag_check_int(ag_select(AG_RECV(never, NULL), AG_RECV(now, NULL)), 1);
    ag_check_int(ag_select(AG_AFTER(INT64_MAX), AG_AFTER(AG_MS)), 1);
    ag_check_int(ag_sleep(INT64_MIN), 0);
    ag_check_int(atomic_load(&woken), 0);
    ag_unref(never);
    ag_unref(now);
}

AG_TEST_RUN(sleeping_for_nothing_keeps_the_goroutine_in_order) {
    for (int i = 0; i < 1000; i++) {
        ag_chan(int) c = ag_make(int, 1);
        int v = 0;
        ag_check_int(ag_sleep(0), 0);
        ag_send(c, i);
        ag_check_int(ag_sleep(-1), 0);
        ag_check(ag_recv(c, &v) && v == i);
        ag_unref(c);
    }
}

AG_TEST_RUN(a_heap_of_thousands_of_short_sleeps_empties_while_others_work) {
    static atomic_int woken;
    const int n = 5000 / ag_test_slow();
    for (int i = 0; i < n; i++)
        ag_go(sleep_for, i % 50 * 10 * AG_US, &woken);
    ag_chan(int) c = ag_make(int, 1);
    for (int i = 0; i < 5000 / ag_test_slow(); i++) {
        ag_send(c, i);
        ag_check_int(ag_select(AG_RECV(c, NULL), AG_AFTER(20 * AG_SEC)), 0);
    }
    eventually(atomic_load(&woken) == n);
    ag_unref(c);
}

/* ---- Tickers -------------------------------------------------------------------------------- */

AG_TEST_RUN(a_ticker_is_stopped_and_dropped_between_ticks) {
    for (int i = 0; i < 20; i++) {
        ag_ticker *t = ag_ticker_start(200 * AG_US);
        ag_check(ag_recv(ag_ticker_chan(t), NULL));
        ag_ticker_stop(t);
        ag_unref(t);
    }
}

static void read_ticks(ag_ticker *t, int rounds, atomic_int *ticks, ag_wg *wg) {
    for (int i = 0; i < rounds; i++)
        if (ag_select(AG_RECV(ag_ticker_chan(t), NULL), AG_AFTER(AG_MS)) == 0)
            atomic_fetch_add(ticks, 1);
    ag_wg_done(wg);
}

AG_TEST_RUN(many_may_read_one_fast_ticker) {
    static atomic_int ticks;
    ag_ticker *t = ag_ticker_start(AG_US);
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 8);
    for (int i = 0; i < 8; i++)
        ag_go(read_ticks, t, 200 / ag_test_slow() + 10, &ticks, &wg);
    ag_wg_wait(&wg);
    ag_check(atomic_load(&ticks) > 0);
    ag_unref(t);
}

static void start_and_stop(int rounds, ag_wg *wg) {
    for (int i = 0; i < rounds; i++) {
        ag_ticker *t = ag_ticker_start(AG_US * (1 + i % 3));
        ag_yield();
        if (i % 2)
            ag_ticker_stop(t);
        ag_unref(t);
    }
    ag_wg_done(wg);
}

AG_TEST_RUN(tickers_come_and_go_on_all_processors) {
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 8);
    for (int i = 0; i < 8; i++)
        ag_go(start_and_stop, 200 / ag_test_slow() + 10, &wg);
    ag_wg_wait(&wg);
}
