/* SPDX-License-Identifier: MIT */
/*
 * Storms on the readers' and writers' mutex, conditions, semaphores, pools and flights, by
 * goroutines and threads; sums must be right, and nobody may be left behind.
 */
#include "stress.h"

/* ---- The readers' and writers' mutex -------------------------------------------------------- */

struct ledger {
    ag_rwmutex rw;
    long left, right; /* guarded by rw; equal whenever nobody writes */
    atomic_int readers, writers;
    atomic_long reads;
};

static void pause_a_little(struct dice *d) {
    switch (roll(d, 200)) {
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
}

static void read_ledger(struct ledger *l, struct dice *d) {
    if (roll(d, 4) == 0)
        while (!ag_rwmutex_try_rlock(&l->rw))
            ag_yield();
    else
        ag_rwmutex_rlock(&l->rw);
    atomic_fetch_add(&l->readers, 1);
    ag_check_int(atomic_load(&l->writers), 0);
    long left = l->left;
    pause_a_little(d);
    ag_check_int(l->right, left);
    atomic_fetch_sub(&l->readers, 1);
    atomic_fetch_add(&l->reads, 1);
    ag_rwmutex_runlock(&l->rw);
}

static void write_ledger(struct ledger *l, struct dice *d) {
    if (roll(d, 4) == 0)
        while (!ag_rwmutex_try_lock(&l->rw))
            ag_yield();
    else
        ag_rwmutex_lock(&l->rw);
    ag_check_int(atomic_fetch_add(&l->writers, 1), 0);
    ag_check_int(atomic_load(&l->readers), 0);
    l->left++;
    pause_a_little(d);
    l->right++;
    atomic_fetch_sub(&l->writers, 1);
    ag_rwmutex_unlock(&l->rw);
}

static void keep_books(struct ledger *l, int rounds, int seed) {
    struct dice d = {(uint64_t)seed};
    for (int i = 0; i < rounds; i++)
        if (i % 8 == seed % 8)
            write_ledger(l, &d);
        else
            read_ledger(l, &d);
}

static void books(int goroutines, int rounds) {
    static struct ledger l;
    ag_wg wg = AG_WG_INIT;
    memset(&l, 0, sizeof l);
    rounds = (rounds + 7) / 8 * 8;
    for (int i = 0; i < goroutines; i++)
        ag_wg_go(&wg, keep_books, &l, rounds, i);
    ag_wg_wait(&wg);
    ag_check_int(l.left, (long)goroutines * rounds / 8);
    ag_check_int(l.right, l.left);
    ag_check_int(atomic_load(&l.reads), (long)goroutines * rounds / 8 * 7);
    ag_check(ag_rwmutex_try_lock(&l.rw));
    ag_rwmutex_unlock(&l.rw);
}

AG_TEST_RUN(a_few_readers_and_writers) {
    books(4, scaled(8000));
}

AG_TEST_RUN(thousands_of_readers_and_writers) {
    books(2000, scaled(16));
}

AG_TEST_RUN(more_processors_than_there_are) {
    ag_procs(16);
    books(32, scaled(300));
}

struct thread_job {
    struct ledger *ledger;
    int rounds, seed;
};

static void *keep_books_on_thread(void *arg) {
    struct thread_job *j = arg;
    keep_books(j->ledger, j->rounds, j->seed);
    return NULL;
}

AG_TEST_RUN(threads_and_goroutines_read_and_write) {
    static struct ledger l;
    int rounds = (scaled(1200) + 7) / 8 * 8;
    ag_wg wg = AG_WG_INIT;
    struct thread_job jobs[4];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        jobs[i] = (struct thread_job){&l, rounds, i};
        pthread_create(&threads[i], NULL, keep_books_on_thread, &jobs[i]);
    }
    for (int i = 0; i < 12; i++)
        ag_wg_go(&wg, keep_books, &l, rounds, i);
    ag_wg_wait(&wg);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    ag_check_int(l.left, 16L * rounds / 8);
}

static void reads_all_the_time(struct ledger *l, atomic_int *stop) {
    while (!atomic_load(stop)) {
        ag_rwmutex_rlock(&l->rw);
        ag_yield(); /* another reader comes before this one leaves */
        ag_rwmutex_runlock(&l->rw);
    }
}

static void writes_all_the_time(struct ledger *l, atomic_int *stop) {
    while (!atomic_load(stop)) {
        ag_rwmutex_lock(&l->rw);
        l->left++;
        ag_yield(); /* another writer comes before this one leaves */
        ag_rwmutex_unlock(&l->rw);
    }
}

/* There is a reader inside nearly always: only a writer that stops new ones ever gets in. */
AG_TEST_RUN(readers_do_not_starve_a_writer_nor_writers_a_reader) {
    static struct ledger l;
    atomic_int stop = 0;
    ag_wg wg = AG_WG_INIT;
    for (int i = 0; i < 6; i++)
        ag_wg_go(&wg, reads_all_the_time, &l, &stop);
    for (int i = 0; i < scaled(2000); i++) {
        ag_rwmutex_lock(&l.rw);
        ag_rwmutex_unlock(&l.rw);
    }
    for (int i = 0; i < 3; i++)
        ag_wg_go(&wg, writes_all_the_time, &l, &stop);
    for (int i = 0; i < scaled(2000); i++) {
        ag_rwmutex_rlock(&l.rw);
        ag_rwmutex_runlock(&l.rw);
    }
    atomic_store(&stop, 1);
    ag_wg_wait(&wg);
}

/* ---- Conditions ----------------------------------------------------------------------------- */

struct buffer {
    ag_mutex mutex;
    ag_cond not_empty, not_full;
    int items[4];
    int count, at; /* guarded by mutex, as items and sum */
    long sum;
};

static void produce(struct buffer *b, int from, int n) {
    for (int i = from; i < from + n; i++) {
        ag_mutex_lock(&b->mutex);
        while (b->count == 4)
            ag_cond_wait(&b->not_full, &b->mutex);
        b->items[(b->at + b->count++) % 4] = i;
        ag_cond_signal(&b->not_empty);
        ag_mutex_unlock(&b->mutex);
    }
}

static void consume(struct buffer *b, int n) {
    for (int i = 0; i < n; i++) {
        ag_mutex_lock(&b->mutex);
        while (b->count == 0)
            ag_cond_wait(&b->not_empty, &b->mutex);
        b->sum += b->items[b->at];
        b->at = (b->at + 1) % 4;
        b->count--;
        ag_mutex_unlock(&b->mutex);
        ag_cond_signal(&b->not_full);
    }
}

static void *consume_on_thread(void *arg) {
    consume(arg, scaled(2000));
    return NULL;
}

AG_TEST_RUN(a_small_buffer_between_many) {
    enum { SIDES = 20, THREADS = 3 };
    static struct buffer b;
    int n = scaled(2000);
    ag_wg wg = AG_WG_INIT;
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, consume_on_thread, &b);
    for (int i = 0; i < SIDES; i++)
        ag_wg_go(&wg, produce, &b, i * n, n);
    for (int i = 0; i < SIDES - THREADS; i++)
        ag_wg_go(&wg, consume, &b, n);
    ag_wg_wait(&wg);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    long all = (long)SIDES * n;
    ag_check_int(b.sum, all * (all - 1) / 2);
    ag_check_int(b.count, 0);
}

struct barrier {
    ag_mutex mutex;
    ag_cond all_here;
    int count, members;
    long round;
};

static void meet(struct barrier *x, int rounds) {
    for (int i = 0; i < rounds; i++) {
        ag_mutex_lock(&x->mutex);
        long round = x->round;
        ag_check_int(round, i);
        if (++x->count == x->members) {
            x->count = 0;
            x->round++;
            ag_cond_broadcast(&x->all_here);
        }
        while (x->round == round)
            ag_cond_wait(&x->all_here, &x->mutex);
        ag_mutex_unlock(&x->mutex);
    }
}

AG_TEST_RUN(broadcasts_to_all_again_and_again) {
    static struct barrier x = {.members = 100};
    ag_wg wg = AG_WG_INIT;
    for (int i = 0; i < 100; i++)
        ag_wg_go(&wg, meet, &x, scaled(1500));
    ag_wg_wait(&wg);
    ag_check_int(x.round, scaled(1500));
}

/* ---- Semaphores ----------------------------------------------------------------------------- */

enum { SIZE = 10 };

static void take_some(ag_sem *s, atomic_long *taken, int rounds, int seed) {
    struct dice d = {(uint64_t)seed};
    for (int i = 0; i < rounds; i++) {
        int n = 1 + (int)roll(&d, i % 16 ? 3 : SIZE);
        if (roll(&d, 5) == 0) {
            while (!ag_sem_try_acquire(s, n))
                ag_yield();
        } else {
            ag_check_int(ag_sem_acquire(s, n), 0);
        }
        ag_check(atomic_fetch_add(taken, n) + n <= SIZE);
        pause_a_little(&d);
        atomic_fetch_sub(taken, n);
        ag_sem_release(s, n / 2);
        ag_sem_release(s, n - n / 2);
    }
}

AG_TEST_RUN(many_take_more_or_less_of_a_semaphore) {
    static ag_sem s = AG_SEM_INIT(SIZE);
    atomic_long taken = 0;
    ag_wg wg = AG_WG_INIT;
    for (int i = 0; i < 50; i++)
        ag_wg_go(&wg, take_some, &s, &taken, scaled(1000), i);
    ag_wg_wait(&wg);
    ag_check(ag_sem_try_acquire(&s, SIZE));
}

static void takes_one_all_the_time(ag_sem *s, atomic_int *stop) {
    while (!atomic_load(stop)) {
        ag_sem_acquire(s, 1);
        ag_yield();
        ag_sem_release(s, 1);
    }
}

AG_TEST_RUN(who_wants_all_of_it_gets_it_although_others_want_a_little) {
    static ag_sem s = AG_SEM_INIT(SIZE);
    atomic_int stop = 0;
    ag_wg wg = AG_WG_INIT;
    for (int i = 0; i < 2 * SIZE; i++)
        ag_wg_go(&wg, takes_one_all_the_time, &s, &stop);
    for (int i = 0; i < scaled(2000); i++) {
        ag_sem_acquire(&s, SIZE);
        ag_sem_release(&s, SIZE);
    }
    atomic_store(&stop, 1);
    ag_wg_wait(&wg);
}

/* ---- Pools ---------------------------------------------------------------------------------- */

static atomic_long alive;

static void *new_block(void) {
    atomic_fetch_add(&alive, 1);
    return calloc(1, 64);
}

static void free_block(void *block) {
    atomic_fetch_sub(&alive, 1);
    free(block);
}

static void borrow(ag_pool *pool, int rounds, int seed) {
    struct dice d = {(uint64_t)seed};
    unsigned char *blocks[40];
    for (int i = 0; i < rounds; i++) {
        int n = 1 + (int)roll(&d, 40);
        for (int k = 0; k < n; k++) {
            blocks[k] = ag_pool_get(pool);
            ag_check_int(blocks[k][0], 0);
            memset(blocks[k], seed + 1, 64); /* plain: one owner */
        }
        pause_a_little(&d);
        for (int k = 0; k < n; k++) {
            ag_check_int(blocks[k][63], (seed + 1) % 256);
            memset(blocks[k], 0, 64);
            ag_pool_put(pool, blocks[k]);
        }
    }
}

static void *borrow_on_thread(void *pool) {
    borrow(pool, scaled(1000), 77);
    return NULL;
}

AG_TEST_RUN(blocks_go_round) {
    static ag_pool pool = {.create = new_block, .destroy = free_block};
    ag_wg wg = AG_WG_INIT;
    pthread_t threads[3];
    ag_procs(12); /* more than have caches of their own */
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, borrow_on_thread, &pool);
    for (int i = 0; i < 50; i++)
        ag_wg_go(&wg, borrow, &pool, scaled(1000), i);
    ag_wg_wait(&wg);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    ag_pool_done(&pool);
    ag_check_int(atomic_load(&alive), 0);
}

/* ---- Single flight -------------------------------------------------------------------------- */

static ag_flight flight;
static atomic_int under_way[8];
static atomic_long flown, gained;

static void *look_up(int key) {
    ag_check_int(atomic_fetch_add(&under_way[key], 1), 0); /* one at a time */
    ag_yield();
    atomic_fetch_add(&flown, 1);
    atomic_fetch_sub(&under_way[key], 1);
    return (void *)(intptr_t)(key + 1);
}

static void ask(int rounds, int seed) {
    struct dice d = {(uint64_t)seed};
    for (int i = 0; i < rounds; i++) {
        char key[16]; /* gone when the call has returned */
        int n = (int)roll(&d, 8);
        void *value = NULL;
        snprintf(key, sizeof key, "key %d", n);
        int r = ag_flight_do(&flight, key, &value, look_up, n);
        ag_check((intptr_t)value == n + 1 && r >= 0);
        atomic_fetch_add(&gained, r);
    }
}

static void *ask_on_thread(void *unused) {
    (void)unused;
    ask(scaled(1000), 99);
    return NULL;
}

AG_TEST_RUN(flights_never_overlap_and_serve_all) {
    ag_wg wg = AG_WG_INIT;
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, ask_on_thread, NULL);
    for (int i = 0; i < 60; i++)
        ag_wg_go(&wg, ask, scaled(1000), i);
    ag_wg_wait(&wg);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    ag_check_int(atomic_load(&flown) + atomic_load(&gained), 63L * scaled(1000));
}
