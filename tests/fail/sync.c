/* SPDX-License-Identifier: MIT */
/*
 * Locks, conditions, semaphores, pools, flights and the reports of debug checks while memory,
 * threads and system calls fail.
 */
#include "inject.h"

#include <aglet/debug.h>

/* ---- What takes nothing, and must not fail -------------------------------------------------- */

static void *give(void *value) {
    return value;
}

static void without_memory(void) {
    static ag_mutex m;
    static ag_rwmutex rw;
    static ag_cond c;
    static ag_sem s = AG_SEM_INIT(2);
    static ag_pool empty;
    static ag_flight flight;
    static int value;
    void *got = NULL;
    ag_rwmutex_rlock(&rw);
    ag_check(!ag_rwmutex_try_lock(&rw));
    ag_check(ag_rwmutex_try_rlock(&rw));
    ag_rwmutex_runlock(&rw);
    ag_rwmutex_runlock(&rw);
    ag_rwmutex_lock(&rw);
    ag_check(!ag_rwmutex_try_rlock(&rw));
    ag_rwmutex_unlock(&rw);
    ag_mutex_lock(&m);
    ag_cond_signal(&c);
    ag_mutex_unlock(&m);
    ag_cond_broadcast(&c);
    ag_check_int(ag_sem_acquire(&s, 2), 0);
    ag_check(!ag_sem_try_acquire(&s, 1));
    ag_sem_release(&s, 2);
    ag_check_ptr(ag_pool_get(&empty), NULL);
    ag_check_int(ag_flight_do(&flight, "key", &got, give, &value), 0);
    ag_check_ptr(got, &value);
    ag_flight_forget(&flight, "key");
}
AG_TEST_RUN(what_takes_nothing_does_not_fail) {
    without_memory();
    walk(MEMORY | GROW | THREAD | SYSTEM | QUIET, without_memory);
}

/* ---- Waiting -------------------------------------------------------------------------------- */

static struct house {
    ag_mutex m;
    ag_cond opened;
    bool open; /* Guarded by m. */
    ag_rwmutex rw;
    int readers_seen; /* Guarded by rw. */
    ag_sem seats;
    ag_flight flight;
} house = {.seats = AG_SEM_INIT(2)};

static void *slowly(struct house *h) {
    for (int i = 0; i < 10; i++)
        ag_yield();
    return h;
}

static void visit(struct house *h) {
    void *got = NULL;
    ag_mutex_lock(&h->m);
    while (!h->open)
        ag_cond_wait(&h->opened, &h->m);
    ag_mutex_unlock(&h->m);
    ag_check_int(ag_sem_acquire(&h->seats, 1), 0);
    ag_rwmutex_rlock(&h->rw);
    ag_yield();
    ag_rwmutex_runlock(&h->rw);
    ag_sem_release(&h->seats, 1);
    ag_rwmutex_lock(&h->rw);
    h->readers_seen++;
    ag_yield();
    ag_rwmutex_unlock(&h->rw);
    ag_check(ag_flight_do(&h->flight, "key", &got, slowly, h) >= 0);
    ag_check_ptr(got, h);
}

static void many_visit(void) {
    ag_wg wg = AG_WG_INIT;
    int started = 0;
    house.open = false;
    house.readers_seen = 0;
    for (int i = 0; i < 100; i++)
        started += ok(ag_wg_go(&wg, visit, &house));
    for (int i = 0; i < 10; i++)
        ag_yield(); /* so that some wait, most of the time */
    ag_mutex_lock(&house.m);
    house.open = true;
    ag_cond_broadcast(&house.opened);
    ag_mutex_unlock(&house.m);
    ag_wg_wait(&wg);
    ag_check_int(house.readers_seen, started);
    ag_check(ag_sem_try_acquire(&house.seats, 2));
    ag_sem_release(&house.seats, 2);
}
AG_TEST_RUN(who_waits_goes_on_whatever_fails) {
    WALK(MEMORY | THREAD | QUIET, many_visit);
}

/* ---- Pools ---------------------------------------------------------------------------------- */

static atomic_int objects;

static void *new_object(void) {
    void *object = malloc(16);
    if (object)
        atomic_fetch_add(&objects, 1);
    return object;
}
static void free_object(void *object) {
    free(object);
    atomic_fetch_sub(&objects, 1);
}

/* What there is no room for is destroyed at once. */
static void use_pool(void) {
    enum { MANY = 100 };
    ag_pool pool = AG_POOL_INIT(new_object, free_object);
    void *object[MANY];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < MANY; i++)
            ok_ptr(object[i] = ag_pool_get(&pool));
        for (int i = 0; i < MANY; i++)
            ag_pool_put(&pool, object[i]);
    }
    ag_pool_done(&pool);
    ag_check_int(atomic_load(&objects), 0);
}
AG_TEST_RUN(a_pool_without_memory_keeps_or_destroys_what_is_put) {
    WALK(MEMORY, use_pool);
}
AG_TEST(a_pool_without_memory_works_outside_of_the_runtime) {
    use_pool();
    inject("malloc", ENOMEM, 50, true);
    use_pool();
    ag_check(inject_end() > 0);
    inject("aligned_alloc", ENOMEM, 1, true);
    use_pool();
    ag_check(inject_end() > 0);
}

/* ---- Reports -------------------------------------------------------------------------------- */

static atomic_int reports;

static void count_report(const ag_report *r) {
    ag_check_str(r->kind, "lock order");
    atomic_fetch_add(&reports, 1);
}

/* One place for all, which is reported once. */
static __attribute__((noinline)) void lock(ag_mutex *m) {
    ag_mutex_lock(m);
    __asm__ volatile(""); /* no tail call: it has a frame */
}

/* So many that the record of locks grows. */
static void in_both_orders(void) {
    enum { MANY = 6 };
    ag_mutex m[MANY] = {AG_MUTEX_INIT};
    for (int i = 0; i < MANY; i++)
        lock(&m[i]);
    for (int i = 0; i < MANY; i++)
        ag_mutex_unlock(&m[i]);
    for (int i = MANY; i-- > 0;)
        lock(&m[i]);
    for (int i = MANY; i-- > 0;)
        ag_mutex_unlock(&m[i]);
}
AG_TEST_RUN(locks_work_without_memory_for_their_checks) {
    ag_on_report(count_report);
    if (walk(MEMORY | GROW, in_both_orders) == 0)
        ag_skip("a library with debug checks");
    ag_on_report(NULL);
}

/* What was found while there was no memory to tell it is told when it is found again. */
AG_TEST_RUN(a_report_that_was_lost_comes_the_next_time) {
    ag_on_report(count_report);
    for (int i = 1; i < 100; i++) {
        inject("malloc", ENOMEM, i, true);
        in_both_orders();
        if (inject_end() == 0)
            break;
    }
    in_both_orders();
    if (atomic_load(&reports) == 0)
        ag_skip("a library with debug checks");
    ag_check_int(atomic_load(&reports), 1);
    ag_on_report(NULL);
}
