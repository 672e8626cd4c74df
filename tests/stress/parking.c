/* SPDX-License-Identifier: MIT */
/*
 * Park and ready at the same moment: pairs that wake each other as fast as they can, wakers that
 * race with time-outs, wait groups that are gone at once. A lost wake-up hangs here.
 */
#include "stress.h"

struct pair {
    ag_chan(int) ping, pong;
    ag_wg wg;
};

static void answer(struct pair *p, int rounds, int spin_us) {
    int v;
    for (int i = 0; i < rounds; i++) {
        ag_check(ag_recv(p->ping, &v) && v == i);
        if (spin_us)
            burn_us(spin_us);
        ag_send(p->pong, v);
    }
    ag_wg_done(&p->wg);
}

static void call(struct pair *p, int rounds) {
    int v;
    for (int i = 0; i < rounds; i++) {
        ag_send(p->ping, i);
        ag_check(ag_recv(p->pong, &v) && v == i);
    }
    ag_wg_done(&p->wg);
}

static void ping_pong(int pairs, int rounds, int spin_us) {
    struct pair *all = calloc((size_t)pairs, sizeof *all);
    for (int i = 0; i < pairs; i++) {
        all[i].ping = ag_make(int, i % 2);
        all[i].pong = ag_make(int, i % 3);
        ag_wg_add(&all[i].wg, 2);
        ag_go(answer, &all[i], rounds, spin_us);
        ag_go(call, &all[i], rounds);
    }
    for (int i = 0; i < pairs; i++) {
        ag_wg_wait(&all[i].wg);
        ag_unref(all[i].ping);
        ag_unref(all[i].pong);
    }
    free(all);
}

AG_TEST_RUN(one_pair) {
    ping_pong(1, scaled(300000), 0);
}

AG_TEST_RUN(a_few_pairs) {
    ping_pong(3, scaled(100000), 0);
}

AG_TEST_RUN(thousands_of_pairs) {
    ping_pong(2000, scaled(200), 0);
}

AG_TEST_RUN(pairs_that_stay_a_little_outside) {
    ping_pong(2, scaled(4000), 60); /* about the time after which idle threads fall asleep */
    ping_pong(1, scaled(3000), 200);
}

static void done(ag_wg *wg) {
    ag_wg_done(wg);
}

static void fork_and_join(int rounds, int width, atomic_int *left) {
    for (int i = 0; i < rounds; i++) {
        ag_wg wg = AG_WG_INIT; /* on this stack, gone right after the wait */
        ag_wg_add(&wg, width);
        for (int k = 0; k < width; k++)
            ag_go(done, &wg);
        ag_wg_wait(&wg);
    }
    atomic_fetch_sub(left, 1);
}

AG_TEST_RUN(wait_groups_on_stacks_that_go_away) {
    static atomic_int left;
    atomic_store(&left, 20);
    for (int i = 0; i < 20; i++)
        ag_go(fork_and_join, scaled(2000), 1 + i % 5, &left);
    eventually(atomic_load(&left) == 0);
}

static void yield_often(int rounds, atomic_llong *sum) {
    for (int i = 0; i < rounds; i++)
        ag_yield();
    atomic_fetch_add(sum, rounds);
}

AG_TEST_RUN(thousands_that_only_yield) {
    static atomic_llong sum;
    int many = 2000, rounds = scaled(1000);
    for (int i = 0; i < many; i++)
        ag_go(yield_often, rounds, &sum);
    eventually(atomic_load(&sum) == (long long)many * rounds);
}

static void send_when_told(ag_chan(int) c, ag_time at) {
    while (ag_now() < at)
        continue;
    ag_try_send(c, 1);
    ag_unref(c);
}

AG_TEST_RUN(a_value_and_a_time_out_at_the_same_moment) {
    int values = 0, timeouts = 0, rounds = scaled(5000);
    for (int i = 0; i < rounds; i++) {
        ag_chan(int) c = ag_make(int, 1);
        ag_time wait = 20 * AG_US;
        ag_go(send_when_told, ag_ref(c), ag_now() + wait);
        int v = 0;
        if (ag_select(AG_RECV(c, &v), AG_AFTER(wait)) == 0) {
            ag_check_int(v, 1);
            values++;
        } else {
            timeouts++;
        }
        ag_unref(c);
    }
    ag_check_int(values + timeouts, rounds);
}

static void sleep_once(ag_time ns, atomic_int *n) {
    ag_sleep(ns);
    atomic_fetch_add(n, 1);
}

AG_TEST_RUN(bursts_of_work_with_idle_time_between) {
    static atomic_int n;
    int rounds = scaled(300);
    for (int i = 0; i < rounds; i++) { /* threads fall asleep and are woken again and again */
        for (int k = 0; k < 20; k++)
            ag_go(sleep_once, k % 3 * AG_US * 30, &n);
        ag_sleep(AG_US * (i % 50) * 10);
    }
    eventually(atomic_load(&n) == rounds * 20);
}

/* Writes down to about `pages` pages below, waits there, and finds all as it was. */
static void wait_deep(int pages, int seed, ag_wg *all, ag_wg *wg) {
    volatile unsigned char page[4096];
    for (size_t i = 0; i < sizeof page; i += 64)
        page[i] = (unsigned char)(seed + pages + (int)i);
    if (pages > 0) {
        wait_deep(pages - 1, seed, all, wg);
    } else {
        ag_wg_done(all);
        ag_wg_wait(all);
        ag_wg_done(wg);
    }
    for (size_t i = 0; i < sizeof page; i += 64)
        ag_check_int(page[i], (unsigned char)(seed + pages + (int)i));
}

/* Stacks are made, given back, trimmed and handed out again in batches: never one to two. */
AG_TEST_RUN(waves_of_deep_goroutines_share_their_stacks) {
    struct dice d = {7};
    for (int wave = 0; wave < 6; wave++) {
        int many = live_at_most(scaled(300 + 300 * (int)roll(&d, 6)));
        ag_wg all = AG_WG_INIT, wg = AG_WG_INIT;
        ag_wg_add(&all, many);
        ag_wg_add(&wg, many);
        for (int i = 0; i < many; i++)
            ag_go(wait_deep, (int)roll(&d, 30), i, &all, &wg);
        ag_wg_wait(&wg);
        eventually(ag_count() == 1);
    }
}
