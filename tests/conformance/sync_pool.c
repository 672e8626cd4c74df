/* SPDX-License-Identifier: MIT */
/*
 * The pool: what comes back, what is made, what is destroyed; goroutines and threads.
 */
#include "common.h"

static atomic_int created, destroyed;

static void *make_int(void) {
    atomic_fetch_add(&created, 1);
    return calloc(1, sizeof(int));
}

static void free_int(void *p) {
    atomic_fetch_add(&destroyed, 1);
    free(p);
}

AG_TEST_RUN(what_was_put_comes_back_as_it_was) {
    ag_pool pool = AG_POOL_INIT(make_int, free_int);
    int *a = ag_pool_get(&pool);
    ag_check_int(atomic_load(&created), 1);
    *a = 42;
    ag_pool_put(&pool, a);
    ag_pool_put(&pool, NULL); /* ignored */
    int *b = ag_pool_get(&pool);
    ag_check(b == a && *b == 42);
    ag_check_int(atomic_load(&created), 1);
    ag_pool_put(&pool, b);
    ag_pool_done(&pool);
    ag_check_int(atomic_load(&destroyed), 1);
    b = ag_pool_get(&pool); /* and it may be used again */
    ag_pool_put(&pool, b);
    ag_pool_done(&pool);
    ag_check(atomic_load(&created) == 2 && atomic_load(&destroyed) == 2);
}

AG_TEST_RUN(a_zero_pool_creates_nothing_and_keeps_what_is_put) {
    static ag_pool pool;
    int things[100];
    bool seen[100] = {false};
    ag_check(ag_pool_get(&pool) == NULL);
    for (int i = 0; i < 100; i++)
        ag_pool_put(&pool, &things[i]);
    for (int i = 0; i < 100; i++) {
        int *p = ag_pool_get(&pool);
        ag_check(p >= things && p < things + 100);
        ag_check(!seen[p - things]); /* each once */
        seen[p - things] = true;
    }
    ag_check(ag_pool_get(&pool) == NULL);
    ag_pool_done(&pool);
}

static void put_many(ag_pool *pool, int n) {
    for (int i = 0; i < n; i++)
        ag_pool_put(pool, calloc(1, sizeof(int)));
}

static void *put_many_on_thread(void *pool) {
    put_many(pool, 200);
    return NULL;
}

AG_TEST_RUN(what_one_puts_another_gets) {
    static ag_pool pool = {.destroy = free};
    pthread_t thread;
    int n = 0;
    pthread_create(&thread, NULL, put_many_on_thread, &pool);
    pthread_join(thread, NULL);
    for (void *p; (p = ag_pool_get(&pool)) != NULL; n++)
        free(p);
    ag_check(n >= 150 && n <= 200); /* but for what is in the caches of others */
    ag_pool_done(&pool);
}

AG_TEST(a_pool_without_a_runtime) {
    ag_pool pool = AG_POOL_INIT(make_int, free_int);
    int *a = ag_pool_get(&pool);
    ag_pool_put(&pool, a);
    ag_check(ag_pool_get(&pool) == (void *)a);
    ag_pool_put(&pool, a);
    put_many(&pool, 99);
    ag_pool_done(&pool);
    ag_check_int(atomic_load(&destroyed), 100);
}

AG_TEST_RUN(objects_that_are_not_needed_are_destroyed_after_a_while) {
    static ag_pool pool = {.create = make_int, .destroy = free_int};
    enum { MANY = 2000, FEW = 100 };
    static int *held[MANY];
    put_many(&pool, MANY);
    for (ag_time end = ag_now() + 30 * AG_SEC; atomic_load(&destroyed) < MANY / 2;) {
        ag_check(ag_now() < end);
        for (int i = 0; i < FEW; i++)
            held[i] = ag_pool_get(&pool);
        for (int i = 0; i < FEW; i++)
            ag_pool_put(&pool, held[i]);
        ag_sleep(AG_MS);
    }
    ag_check_int(atomic_load(&created), 0); /* those in use never were */
    ag_pool_done(&pool);
    ag_check_int(atomic_load(&destroyed), MANY);
}

static void use(ag_pool *pool, int rounds) {
    for (int i = 0; i < rounds; i++) {
        int *p = ag_pool_get(pool);
        ag_check_int(*p, 0); /* nobody else has it */
        *p = 1;
        if (i % 16 == 0)
            ag_yield();
        *p = 0;
        ag_pool_put(pool, p);
    }
}

static void *use_on_thread(void *pool) {
    use(pool, 2000 / ag_test_slow());
    return NULL;
}

AG_TEST_RUN(an_object_has_one_owner) {
    static ag_pool pool = {.create = make_int, .destroy = free_int};
    ag_wg wg = AG_WG_INIT;
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, use_on_thread, &pool);
    for (int i = 0; i < 20; i++)
        ag_wg_go(&wg, use, &pool, 2000 / ag_test_slow());
    ag_wg_wait(&wg);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    ag_pool_done(&pool);
    ag_check_int(atomic_load(&created), atomic_load(&destroyed));
}
