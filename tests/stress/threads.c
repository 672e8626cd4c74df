/* SPDX-License-Identifier: MIT */
/*
 * Foreign threads and goroutines, all of them on the same channels, mutexes and wait groups.
 */
#include "stress.h"

struct shared {
    ag_chan(int) a, b;
    ag_mutex mutex;
    long guarded;
    atomic_llong balance;
    atomic_int spawned, ran;
    ag_wg wg;
    int rounds;
};

static void count(struct shared *s) {
    atomic_fetch_add(&s->ran, 1);
}

/* The same deeds on a thread and in a goroutine. Nobody waits for ever: a select has a time. */
static void live(struct shared *s, int seed) {
    struct dice d = {(uint64_t)seed};
    for (int i = 0; i < s->rounds; i++) {
        int v = (int)roll(&d, 100) + 1, got = 0, chosen;
        switch (roll(&d, 6)) {
        case 0:
            chosen = ag_select(AG_SEND(s->a, v), AG_RECV(s->b, &got), AG_AFTER(AG_MS));
            atomic_fetch_add(&s->balance, chosen == 0 ? v : -got);
            break;
        case 1:
            chosen = ag_select(AG_RECV(s->a, &got), AG_SEND(s->b, v), AG_AFTER(AG_MS));
            atomic_fetch_add(&s->balance, chosen == 1 ? v : -got);
            break;
        case 2:
            if (ag_try_send(s->b, v))
                atomic_fetch_add(&s->balance, v);
            break;
        case 3:
            ag_mutex_lock(&s->mutex);
            s->guarded++;
            ag_mutex_unlock(&s->mutex);
            break;
        case 4:
            atomic_fetch_add(&s->spawned, 1);
            ag_check(ag_go(count, s) > 0);
            break;
        default:
            ag_sleep(roll(&d, 50) * AG_US);
            break;
        }
    }
    ag_wg_done(&s->wg);
}

struct seat {
    struct shared *shared;
    int seed;
};

static void *live_on_thread(void *arg) {
    struct seat *seat = arg;
    live(seat->shared, seat->seed);
    return NULL;
}

AG_TEST_RUN(threads_and_goroutines_live_together) {
    static struct shared s;
    enum { THREADS = 8, GOROUTINES = 50 };
    struct seat seats[THREADS];
    pthread_t threads[THREADS];
    s.a = ag_make(int, 0);
    s.b = ag_make(int, 5);
    s.rounds = scaled(1000);
    ag_wg_add(&s.wg, THREADS + GOROUTINES);
    for (int i = 0; i < THREADS; i++) {
        seats[i] = (struct seat){&s, i};
        pthread_create(&threads[i], NULL, live_on_thread, &seats[i]);
    }
    for (int i = 0; i < GOROUTINES; i++)
        ag_go(live, &s, 100 + i);
    ag_wg_wait(&s.wg);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int v; ag_try_recv(s.b, &v) == 1;)
        atomic_fetch_sub(&s.balance, v);
    ag_check_int(atomic_load(&s.balance), 0);
    eventually(atomic_load(&s.ran) == atomic_load(&s.spawned));
    ag_unref(s.a);
    ag_unref(s.b);
}

static void *short_life(void *arg) {
    struct shared *s = arg;
    ag_wg wg = AG_WG_INIT;
    ag_wg_go(&wg, count, s);
    ag_send(s->a, 1);
    ag_wg_wait(&wg);
    return NULL;
}

AG_TEST_RUN(threads_that_come_and_go) {
    static struct shared s;
    int many = scaled(1000);
    s.a = ag_make(int, 0);
    for (int i = 0; i < many; i++) {
        pthread_t threads[4];
        for (int k = 0; k < 4; k++)
            pthread_create(&threads[k], NULL, short_life, &s);
        for (int k = 0; k < 4; k++)
            ag_check(ag_recv(s.a, NULL));
        for (int k = 0; k < 4; k++)
            pthread_join(threads[k], NULL);
        i += 3;
    }
    ag_check(atomic_load(&s.ran) >= many);
    ag_unref(s.a);
}

static void bound(struct shared *s, int rounds) {
    ag_lock_thread();
    for (int i = 0; i < rounds; i++) {
        int v;
        ag_check(ag_recv(s->a, &v));
        ag_send(s->b, v);
    }
    if (rounds % 2)
        ag_unlock_thread(); /* the others end bound, and their threads with them */
    ag_wg_done(&s->wg);
}

AG_TEST_RUN(goroutines_bound_to_threads_among_others) {
    static struct shared s;
    int rounds = scaled(400), sent = 0, received = 0, total = 0;
    s.a = ag_make(int, 0);
    s.b = ag_make(int, 0);
    ag_wg_add(&s.wg, 20);
    for (int i = 0; i < 20; i++) {
        ag_go(bound, &s, rounds + i % 2);
        total += rounds + i % 2;
    }
    while (received < total) {
        ag_chan(int) to = sent < total ? s.a : NULL;
        if (ag_select(AG_SEND(to, sent), AG_RECV(s.b, NULL)) == 0)
            sent++;
        else
            received++;
    }
    ag_wg_wait(&s.wg);
    ag_unref(s.a);
    ag_unref(s.b);
}
