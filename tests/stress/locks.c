/* SPDX-License-Identifier: MIT */
/*
 * Storms on mutexes, conditions, wait groups and once, by goroutines and threads, with short, long
 * and waiting critical sections.
 */
#include "stress.h"

struct account {
    ag_mutex mutex;
    long plain;
    atomic_int inside;
};

static void enter(struct account *a) {
    ag_check_int(atomic_fetch_add(&a->inside, 1), 0);
    a->plain++;
}

static void leave(struct account *a) {
    atomic_fetch_sub(&a->inside, 1);
    ag_mutex_unlock(&a->mutex);
}

static void use(struct account *a, int rounds, int seed, ag_wg *wg) {
    struct dice d = {(uint64_t)seed};
    for (int i = 0; i < rounds; i++) {
        if (roll(&d, 4) == 0)
            while (!ag_mutex_try_lock(&a->mutex))
                ag_yield();
        else
            ag_mutex_lock(&a->mutex);
        enter(a);
        switch (roll(&d, 200)) {
        case 0:
            ag_sleep(AG_US * 10);
            break;
        case 1:
            usleep(20);
            break;
        case 2:
        case 3:
            ag_yield();
            break;
        default:
            break;
        }
        leave(a);
    }
    ag_wg_done(wg);
}

static void storm(int goroutines, int rounds) {
    static struct account a;
    ag_wg wg = AG_WG_INIT;
    memset(&a, 0, sizeof a);
    ag_wg_add(&wg, goroutines);
    for (int i = 0; i < goroutines; i++)
        ag_go(use, &a, rounds, i, &wg);
    ag_wg_wait(&wg);
    ag_check_int(a.plain, (long)goroutines * rounds);
    ag_check(ag_mutex_try_lock(&a.mutex));
}

AG_TEST_RUN(a_few_that_fight_much) {
    storm(4, scaled(50000));
}

AG_TEST_RUN(thousands_that_fight_for_one_mutex) {
    storm(3000, scaled(50));
}

AG_TEST_RUN(more_processors_than_there_are) {
    ag_procs(16);
    storm(32, scaled(1500));
}

struct thread_job {
    struct account *account;
    int rounds, seed;
    ag_wg *wg;
};

static void *use_on_thread(void *arg) {
    struct thread_job *j = arg;
    use(j->account, j->rounds, j->seed, j->wg);
    return NULL;
}

AG_TEST_RUN(threads_and_goroutines_fight_for_one_mutex) {
    static struct account a;
    int rounds = scaled(4000);
    ag_wg wg = AG_WG_INIT;
    struct thread_job jobs[6];
    pthread_t threads[6];
    ag_wg_add(&wg, 26);
    for (int i = 0; i < 6; i++) {
        jobs[i] = (struct thread_job){&a, rounds, i, &wg};
        pthread_create(&threads[i], NULL, use_on_thread, &jobs[i]);
    }
    for (int i = 0; i < 20; i++)
        ag_go(use, &a, rounds, i + 10, &wg);
    ag_wg_wait(&wg);
    for (int i = 0; i < 6; i++)
        pthread_join(threads[i], NULL);
    ag_check_int(a.plain, 26L * rounds);
}

/* Dining philosophers, each taking the lower numbered fork first. */
static void dine(struct account *forks, int n, int me, int rounds, ag_wg *wg) {
    int a = me, b = (me + 1) % n;
    struct account *first = &forks[a < b ? a : b], *second = &forks[a < b ? b : a];
    for (int i = 0; i < rounds; i++) {
        ag_mutex_lock(&first->mutex);
        ag_mutex_lock(&second->mutex);
        enter(first);
        enter(second);
        if (i % 50 == 0)
            ag_yield();
        leave(second);
        leave(first);
    }
    ag_wg_done(wg);
}

AG_TEST_RUN(philosophers_dine) {
    enum { FORKS = 101 };
    static struct account forks[FORKS];
    int rounds = scaled(2000);
    long total = 0;
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, FORKS);
    for (int i = 0; i < FORKS; i++)
        ag_go(dine, forks, FORKS, i, rounds, &wg);
    ag_wg_wait(&wg);
    for (int i = 0; i < FORKS; i++)
        total += forks[i].plain;
    ag_check_int(total, 2L * FORKS * rounds);
}

/* ---- Conditions ----------------------------------------------------------------------------- */

enum { TABLES = 3 };
struct table {
    struct account account;
    int turn; /* guarded by its mutex */
};

static void await_turns(ag_cond *c, struct table *t, int turns, atomic_int *seen, ag_wg *wg) {
    ag_mutex_lock(&t->account.mutex);
    enter(&t->account);
    for (int i = 0; i < turns; i++) {
        while (t->turn == i) {
            atomic_fetch_sub(&t->account.inside, 1);
            ag_cond_wait(c, &t->account.mutex);
            enter(&t->account);
        }
        atomic_fetch_add(seen, 1);
    }
    leave(&t->account);
    ag_wg_done(wg);
}

/* One condition, several mutexes, which others use, too; the broadcast with and without one. */
AG_TEST_RUN(broadcasts_to_those_who_need_several_mutexes) {
    enum { WAITERS = 60, USERS = 2 };
    int turns = scaled(300);
    static struct table tables[TABLES];
    static ag_cond c;
    atomic_int seen = 0;
    ag_wg wg = AG_WG_INIT;
    memset(tables, 0, sizeof tables);
    ag_wg_add(&wg, WAITERS + USERS * TABLES);
    for (int i = 0; i < WAITERS; i++)
        ag_go(await_turns, &c, &tables[i % 7 % TABLES], turns, &seen, &wg);
    for (int i = 0; i < USERS * TABLES; i++)
        ag_go(use, &tables[i % TABLES].account, turns * 10, i, &wg);
    for (int i = 1; i <= turns; i++) {
        for (int k = 0; k < TABLES; k++) {
            ag_mutex_lock(&tables[k].account.mutex);
            tables[k].turn++;
            if (k == TABLES - 1 && i % 2)
                ag_cond_broadcast(&c);
            ag_mutex_unlock(&tables[k].account.mutex);
        }
        if (i % 2 == 0)
            ag_cond_broadcast(&c);
        eventually(atomic_load(&seen) == i * WAITERS);
    }
    ag_wg_wait(&wg);
}

/* ---- Wait groups ---------------------------------------------------------------------------- */

static void done(ag_wg *wg) {
    ag_wg_done(wg);
}

static void wait_too(ag_wg *wg, atomic_int *waited) {
    ag_wg_wait(wg);
    atomic_fetch_add(waited, 1);
}

AG_TEST_RUN(many_wait_for_many) {
    for (int i = 0; i < scaled(300); i++) {
        static ag_wg wg;
        atomic_int waited = 0;
        ag_wg_add(&wg, 100);
        for (int k = 0; k < 100; k++) {
            if (k % 5 == 0)
                ag_go(wait_too, &wg, &waited);
            ag_go(done, &wg);
        }
        ag_wg_wait(&wg);
        eventually(atomic_load(&waited) == 20);
    }
}

static void add_and_go(ag_wg *wg, int depth, atomic_int *n) {
    atomic_fetch_add(n, 1);
    if (depth > 0)
        for (int i = 0; i < 3; i++)
            ag_wg_go(wg, add_and_go, wg, depth - 1, n);
}

AG_TEST_RUN(a_group_that_grows_while_it_is_waited_for) {
    for (int i = 0; i < scaled(20); i++) {
        ag_wg wg = AG_WG_INIT;
        atomic_int n = 0;
        ag_wg_go(&wg, add_and_go, &wg, 7, &n);
        ag_wg_wait(&wg);
        ag_check_int(atomic_load(&n), 3280);
    }
}

/* ---- Once ----------------------------------------------------------------------------------- */

static void init(atomic_int *runs, long *value) {
    ag_yield();
    atomic_fetch_add(runs, 1);
    *value = 7;
}

static void use_once(ag_once *once, atomic_int *runs, long *value, ag_wg *wg) {
    ag_once_do(once, init, runs, value);
    ag_check_int(*value, 7);
    ag_wg_done(wg);
}

AG_TEST_RUN(once_among_many_again_and_again) {
    for (int i = 0; i < scaled(2000); i++) {
        ag_once once = AG_ONCE_INIT;
        atomic_int runs = 0;
        long value = 0;
        ag_wg wg = AG_WG_INIT;
        ag_wg_add(&wg, 16);
        for (int k = 0; k < 16; k++)
            ag_go(use_once, &once, &runs, &value, &wg);
        ag_wg_wait(&wg);
        ag_check_int(atomic_load(&runs), 1);
    }
}
