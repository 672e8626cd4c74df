/* SPDX-License-Identifier: MIT */
/*
 * Storms of timers: every one runs exactly as often as start, stop and reset said.
 */
#include "stress.h"

static void count(atomic_int *n) {
    atomic_fetch_add(n, 1);
}

static void start_and_stop(int rounds, int seed, atomic_int *ran, atomic_int *expected, ag_wg *wg) {
    struct dice d = {(uint64_t)seed};
    int due = 0;
    for (int i = 0; i < rounds; i++) {
        ag_timer *t = ag_timer_start(roll(&d, 200) * AG_US, count, ran);
        due++;
        if (roll(&d, 4) == 0)
            ag_sleep(roll(&d, 200) * AG_US);
        if (roll(&d, 2) && ag_timer_stop(t))
            due--;
        else if (roll(&d, 3) == 0 && !ag_timer_reset(t, roll(&d, 200) * AG_US))
            due++; /* it had run, and runs again */
        if (roll(&d, 8) == 0 && ag_timer_stop(t))
            due--;
        ag_unref(t);
    }
    atomic_fetch_add(expected, due);
    ag_wg_done(wg);
}

AG_TEST_RUN(starts_stops_and_resets_of_many_add_up) {
    static atomic_int ran, expected;
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 100);
    for (int i = 0; i < 100; i++)
        ag_go(start_and_stop, scaled(300), i, &ran, &expected, &wg);
    ag_wg_wait(&wg);
    eventually(atomic_load(&ran) == atomic_load(&expected));
    ag_sleep(5 * AG_MS);
    ag_check_int(atomic_load(&ran), atomic_load(&expected));
}

struct fight {
    ag_timer *timer;
    atomic_int ran, starts;
    ag_wg wg;
};

/* Many stop and reset the same timer. A start is a reset that found it idle. */
static void fight(struct fight *f, int rounds, int seed) {
    struct dice d = {(uint64_t)seed};
    int starts = 0;
    for (int i = 0; i < rounds; i++) {
        if (roll(&d, 2))
            starts -= ag_timer_stop(f->timer);
        else
            starts += !ag_timer_reset(f->timer, roll(&d, 50) * AG_US);
        if (roll(&d, 16) == 0)
            ag_sleep(roll(&d, 100) * AG_US);
    }
    atomic_fetch_add(&f->starts, starts);
    ag_wg_done(&f->wg);
}

AG_TEST_RUN(many_fight_over_one_timer) {
    static struct fight f;
    f.timer = ag_timer_start(AG_US, count, &f.ran);
    atomic_store(&f.starts, 1);
    ag_wg_add(&f.wg, 20);
    for (int i = 0; i < 20; i++)
        ag_go(fight, &f, scaled(3000), i);
    ag_wg_wait(&f.wg);
    if (ag_timer_stop(f.timer))
        atomic_fetch_sub(&f.starts, 1);
    eventually(atomic_load(&f.ran) == atomic_load(&f.starts));
    ag_unref(f.timer);
}

static void sleep_often(int rounds, int seed, ag_wg *wg) {
    struct dice d = {(uint64_t)seed};
    for (int i = 0; i < rounds; i++) {
        ag_time ns = roll(&d, 3000) * AG_US, begin = ag_now();
        ag_sleep(ns);
        ag_check(ag_now() - begin >= ns);
    }
    ag_wg_done(wg);
}

AG_TEST_RUN(ten_thousand_sleepers) {
    int many = scaled(10000);
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, many);
    for (int i = 0; i < many; i++)
        ag_go(sleep_often, 10, i, &wg);
    ag_wg_wait(&wg);
}

static void yield_until(atomic_int *end, ag_wg *wg) {
    while (!atomic_load(end))
        ag_yield();
    ag_wg_done(wg);
}

/* The queues are never empty, and none of those in them gets anywhere before the sleeper wakes. */
AG_TEST_RUN(a_sleeper_wakes_while_a_thousand_yield) {
    atomic_int end = 0;
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 1000);
    for (int i = 0; i < 1000; i++)
        ag_go(yield_until, &end, &wg);
    for (int i = 0; i < scaled(20); i++)
        ag_sleep(AG_US * 10);
    atomic_store(&end, 1);
    ag_wg_wait(&wg);
}

static void read_ticks(int ticks, int us, ag_wg *wg) {
    ag_time begin = ag_now(), at = 0, last = 0;
    ag_ticker *t = ag_ticker_start(us * AG_US);
    for (int i = 1; i <= ticks; i++) {
        ag_check(ag_recv(ag_ticker_chan(t), &at));
        ag_check(at > last);
        ag_check(at - begin >= (ag_time)i * us * AG_US);
        last = at;
    }
    if (us % 2)
        ag_ticker_stop(t);
    ag_unref(t);
    ag_wg_done(wg);
}

AG_TEST_RUN(hundreds_of_tickers) {
    ag_wg wg = AG_WG_INIT;
    int many = scaled(300);
    ag_wg_add(&wg, many);
    for (int i = 0; i < many; i++)
        ag_go(read_ticks, 20, 500 + i * 7, &wg);
    ag_wg_wait(&wg);
}

static void stop_tickers(int rounds, int seed, ag_wg *wg) {
    struct dice d = {(uint64_t)seed};
    for (int i = 0; i < rounds; i++) {
        ag_ticker *t = ag_ticker_start(20 * AG_US);
        ag_chan(ag_time) c = ag_ticker_chan(t);
        if (roll(&d, 4))
            burn_us((int)roll(&d, 60));
        else
            ag_sleep(roll(&d, 200) * AG_US);
        ag_ticker_stop(t);
        ag_try_recv(c, NULL);
        burn_us((int)roll(&d, 60));
        ag_yield();
        ag_check_int(ag_try_recv(c, NULL), -EAGAIN);
        ag_unref(t);
    }
    ag_wg_done(wg);
}

AG_TEST_RUN(after_the_stop_of_a_ticker_nothing_is_sent) {
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 8);
    for (int i = 0; i < 8; i++)
        ag_go(stop_tickers, scaled(1000), i, &wg);
    ag_wg_wait(&wg);
}

static void drop_afters(int rounds, int seed, ag_wg *wg) {
    struct dice d = {(uint64_t)seed};
    for (int i = 0; i < rounds; i++) {
        ag_chan(ag_time) c = ag_after(roll(&d, 500) * AG_US);
        if (roll(&d, 2)) {
            ag_time at = 0;
            ag_check(ag_recv(c, &at) && at > 0);
        }
        ag_unref(c);
    }
    ag_wg_done(wg);
}

AG_TEST_RUN(afters_waited_for_and_forgotten) {
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 200);
    for (int i = 0; i < 200; i++)
        ag_go(drop_afters, scaled(300), i, &wg);
    ag_wg_wait(&wg);
}

static void *storm_on_thread(void *arg) {
    struct fight *f = arg;
    for (int i = 0; i < scaled(2000); i++) {
        ag_unref(ag_timer_start(i % 50 * AG_US, count, &f->ran));
        atomic_fetch_add(&f->starts, 1);
    }
    return NULL;
}

AG_TEST_RUN(timers_of_foreign_threads) {
    static struct fight f;
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, storm_on_thread, &f);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    eventually(atomic_load(&f.ran) == atomic_load(&f.starts));
}

AG_TEST_RUN(a_hundred_thousand_pending_timers_are_stopped_in_any_order) {
    int many = scaled(100000), stopped = 0;
    static atomic_int ran;
    ag_timer **timers = malloc((size_t)many * sizeof *timers);
    struct dice d = {1};
    for (int i = 0; i < many; i++)
        timers[i] = ag_timer_start(AG_MIN + roll(&d, 1000000) * AG_US, count, &ran);
    for (int i = many - 1; i > 0; i--) { /* shuffle */
        int k = (int)roll(&d, (uint32_t)i + 1);
        ag_timer *t = timers[i];
        timers[i] = timers[k];
        timers[k] = t;
    }
    for (int i = 0; i < many; i++) {
        stopped += ag_timer_stop(timers[i]);
        ag_unref(timers[i]);
    }
    ag_check_int(stopped, many);
    ag_check_int(atomic_load(&ran), 0);
    free(timers);
}
