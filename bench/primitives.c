/* SPDX-License-Identifier: MIT */
/*
 * Semaphore, free and beside 100 goroutines; condition with 1,000 waiters; single flight of 1,000
 * callers; pool.
 */
#include "common.h"
#include <stdatomic.h>

enum { MANY = 1000, SHARERS = 100, PLACES = 10 };

static ag_sem sem;
static _Atomic long held;

static void sem_free(long n) {
    for (long i = 0; i < n; i++) {
        ag_sem_acquire(&sem, 1);
        ag_sem_release(&sem, 1);
    }
}

static void sem_share(ag_wg *wg, long n) {
    for (long i = 0; i < n; i++) {
        ag_sem_acquire(&sem, 1);
        bench_must(atomic_fetch_add(&held, 1) < PLACES);
        ag_yield();
        atomic_fetch_sub(&held, 1);
        ag_sem_release(&sem, 1);
    }
    ag_wg_done(wg);
}

static void sem_busy(long n) {
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, SHARERS);
    for (int i = 0; i < SHARERS; i++)
        ag_go(sem_share, &wg, n / SHARERS);
    ag_wg_wait(&wg);
}

static ag_mutex mutex;
static ag_cond go_on = {0}, all_wait = {0};
static long turn, waiting;

static void wait_for_turns(ag_wg *wg, long turns) {
    ag_mutex_lock(&mutex);
    for (long seen = 0; seen < turns; seen++) {
        if (++waiting == MANY)
            ag_cond_signal(&all_wait);
        while (turn == seen)
            ag_cond_wait(&go_on, &mutex);
    }
    ag_mutex_unlock(&mutex);
    ag_wg_done(wg);
}

static void broadcasts(long n) {
    ag_wg wg = AG_WG_INIT;
    turn = waiting = 0;
    ag_wg_add(&wg, MANY);
    for (int i = 0; i < MANY; i++)
        ag_go(wait_for_turns, &wg, n);
    ag_mutex_lock(&mutex);
    for (long i = 0; i < n; i++) {
        while (waiting < MANY)
            ag_cond_wait(&all_wait, &mutex);
        waiting = 0;
        turn++;
        ag_cond_broadcast(&go_on);
    }
    ag_mutex_unlock(&mutex);
    ag_wg_wait(&wg);
}

static ag_flight flight;
static long runs;

static void *look_up(void) {
    ag_sleep(AG_US * 100);
    runs++;
    return &runs;
}

static void ask(ag_wg *wg) {
    void *value = NULL;
    ag_flight_do(&flight, "key", &value, look_up);
    bench_must(value == &runs);
    ag_wg_done(wg);
}

static void flights(long n) {
    runs = 0;
    for (long i = 0; i < n; i++) {
        ag_wg wg = AG_WG_INIT;
        ag_wg_add(&wg, MANY);
        for (int j = 0; j < MANY; j++)
            ag_go(ask, &wg);
        ag_wg_wait(&wg);
    }
    bench_must(runs >= n && runs < n * MANY / 10);
}

static void *new_buffer(void) {
    return malloc(1024);
}

static ag_pool pool = AG_POOL_INIT(new_buffer, free);

static void pooled(long n) {
    for (long i = 0; i < n; i++) {
        void *buffer = ag_pool_get(&pool);
        *(volatile char *)buffer = 1;
        ag_pool_put(&pool, buffer);
    }
}

static int bench(void *arg) {
    const long n = bench_arg(2, 1000000);
    (void)arg;
    ag_sem_init(&sem, PLACES);
    bench_per_op("sem", 10 * n, 1, sem_free);
    bench_per_op("sem_busy", n, 1, sem_busy);
    bench_per_op("cond", n / 1000, MANY, broadcasts);
    bench_per_op("flight", n / 2000, MANY, flights);
    bench_per_op("pool", 10 * n, 1, pooled);
    ag_pool_done(&pool);
    return 0;
}

int main(int argc, char **argv) {
    return bench_run(argc, argv, bench);
}
