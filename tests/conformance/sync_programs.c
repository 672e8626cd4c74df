/* SPDX-License-Identifier: MIT */
/*
 * What Go's tests of package sync look at, beyond one promise at a time: barriers of two wait
 * groups, generations of waiters at a condition, readers and writers counted while they are
 * inside, misuse of each kind, and that once is once whatever happens in it.
 */
#include "common.h"

/* ---- Mutex ---------------------------------------------------------------------------------- */

static void hammer_mutex(ag_mutex *m, int *counter, int loops) {
    for (int i = 0; i < loops; i++) {
        if (i % 3 == 0) {
            if (ag_mutex_try_lock(m))
                ag_mutex_unlock(m);
            continue;
        }
        ag_mutex_lock(m);
        ++*counter;
        ag_mutex_unlock(m);
    }
}

AG_TEST_RUN(locks_and_tries_mix) {
    ag_mutex m = AG_MUTEX_INIT;
    ag_wg wg = AG_WG_INIT;
    const int loops = 3000 / ag_test_slow() / 3 * 3;
    int counter = 0;
    for (int i = 0; i < 10; i++)
        ag_wg_go(&wg, hammer_mutex, &m, &counter, loops);
    ag_wg_wait(&wg);
    ag_check_int(counter, 10 * loops / 3 * 2);
    ag_check(ag_mutex_try_lock(&m)); /* it is free again */
    ag_check(!ag_mutex_try_lock(&m));
    ag_mutex_unlock(&m);
}

static void keep_and_take_again(ag_mutex *m, atomic_int *stop) {
    while (!atomic_load(stop)) {
        ag_mutex_lock(m);
        ag_sleep(100 * AG_US);
        ag_mutex_unlock(m);
    }
}

AG_TEST_RUN(who_sleeps_with_the_lock_and_takes_it_again_at_once_shuts_nobody_out) {
    ag_mutex m = AG_MUTEX_INIT;
    ag_wg wg = AG_WG_INIT;
    atomic_int stop = 0;
    ag_wg_go(&wg, keep_and_take_again, &m, &stop);
    for (int i = 0; i < 10; i++) { /* starved, the test would run into its time limit */
        ag_sleep(100 * AG_US);
        ag_mutex_lock(&m);
        ag_mutex_unlock(&m);
    }
    atomic_store(&stop, 1);
    ag_wg_wait(&wg);
}

/* ---- Readers' and writers' mutex ------------------------------------------------------------ */

/* How many are inside: a writer counts 10000. */
static void read_inside(ag_rwmutex *rw, atomic_int *inside, int loops) {
    for (int i = 0; i < loops; i++) {
        if (i % 4 != 3)
            ag_rwmutex_rlock(rw);
        else if (!ag_rwmutex_try_rlock(rw))
            continue;
        int n = atomic_fetch_add(inside, 1) + 1;
        ag_check(n >= 1 && n < 10000);
        if (i % 16 == 0)
            ag_yield();
        atomic_fetch_sub(inside, 1);
        ag_rwmutex_runlock(rw);
    }
}

static void write_inside(ag_rwmutex *rw, atomic_int *inside, int loops) {
    for (int i = 0; i < loops; i++) {
        if (i % 4 != 3)
            ag_rwmutex_lock(rw);
        else if (!ag_rwmutex_try_lock(rw))
            continue;
        ag_check_int(atomic_fetch_add(inside, 10000), 0);
        if (i % 16 == 0)
            ag_yield();
        atomic_fetch_sub(inside, 10000);
        ag_rwmutex_unlock(rw);
    }
}

static void hammer_rwmutex(int readers, int loops) {
    ag_rwmutex rw = AG_RWMUTEX_INIT;
    ag_wg wg = AG_WG_INIT;
    atomic_int inside = 0;
    ag_wg_go(&wg, write_inside, &rw, &inside, loops);
    for (int i = 0; i < readers; i++) {
        ag_wg_go(&wg, read_inside, &rw, &inside, loops);
        if (i == readers / 2)
            ag_wg_go(&wg, write_inside, &rw, &inside, loops);
    }
    ag_wg_wait(&wg);
    ag_check_int(atomic_load(&inside), 0);
}

AG_TEST_RUN(readers_are_never_inside_with_a_writer_nor_two_writers) {
    hammer_rwmutex(1, 500 / ag_test_slow());
    hammer_rwmutex(3, 500 / ag_test_slow());
    hammer_rwmutex(10, 500 / ag_test_slow());
}

static void read_until_told(ag_rwmutex *rw, ag_chan(int) in, ag_chan(int) out) {
    ag_rwmutex_rlock(rw);
    ag_send(in, 1);
    ag_recv(out, NULL);
    ag_rwmutex_runlock(rw);
}

AG_TEST_RUN(all_readers_are_inside_at_the_same_time) {
    for (int readers = 1; readers <= 20; readers *= 4) {
        ag_rwmutex rw = AG_RWMUTEX_INIT;
        ag_chan(int) in = ag_make(int, 0), out = ag_make(int, 0);
        ag_wg wg = AG_WG_INIT;
        for (int i = 0; i < readers; i++)
            ag_wg_go(&wg, read_until_told, &rw, in, out);
        for (int i = 0; i < readers; i++)
            ag_recv(in, NULL);
        ag_check(!ag_rwmutex_try_lock(&rw));
        for (int i = 0; i < readers; i++)
            ag_send(out, 1);
        ag_wg_wait(&wg);
        ag_check(ag_rwmutex_try_lock(&rw));
        ag_rwmutex_unlock(&rw);
        ag_unref(in);
        ag_unref(out);
    }
}

static void unlock_twice(ag_rwmutex *rw) {
    ag_rwmutex_lock(rw);
    ag_rwmutex_unlock(rw);
    ag_rwmutex_unlock(rw);
}

static void unlock_what_is_locked_for_reading(ag_rwmutex *rw) {
    ag_rwmutex_rlock(rw);
    ag_rwmutex_unlock(rw);
}

static void runlock_twice(ag_rwmutex *rw) {
    ag_rwmutex_rlock(rw);
    ag_rwmutex_runlock(rw);
    ag_rwmutex_runlock(rw);
}

static void runlock_what_is_locked_for_writing(ag_rwmutex *rw) {
    ag_rwmutex_lock(rw);
    ag_rwmutex_runlock(rw);
}

AG_TEST_RUN(an_unlock_of_the_wrong_kind_or_once_too_often_panics) {
    void (*const wrong[])(ag_rwmutex *) = {
        ag_rwmutex_unlock,  unlock_twice,  unlock_what_is_locked_for_reading,
        ag_rwmutex_runlock, runlock_twice, runlock_what_is_locked_for_writing};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        ag_rwmutex rw = AG_RWMUTEX_INIT;
        ag_panic_info info;
        ag_check_int(ag_try(&info, wrong[i], &rw), AG_PANICKED);
        ag_check_str(info.msg, i < 3 ? "sync: Unlock of unlocked RWMutex"
                                     : "sync: RUnlock of unlocked RWMutex");
    }
}

/* ---- Wait group ----------------------------------------------------------------------------- */

static void through_the_barrier(ag_wg *first, ag_wg *second, atomic_int *out) {
    ag_wg_done(first);
    ag_wg_wait(second);
    atomic_fetch_add(out, 1);
}

AG_TEST_RUN(two_groups_make_a_barrier_again_and_again) {
    ag_wg first = AG_WG_INIT, second = AG_WG_INIT;
    for (int round = 0; round < 8; round++) {
        atomic_int out = 0;
        ag_wg_add(&first, 16);
        ag_wg_add(&second, 16);
        for (int i = 0; i < 16; i++)
            ag_go(through_the_barrier, &first, &second, &out);
        ag_wg_wait(&first);
        for (int i = 0; i < 16; i++) {
            ag_check_int(atomic_load(&out), 0);
            ag_wg_done(&second);
        }
        eventually(atomic_load(&out) == 16);
    }
}

static void count_and_done(atomic_int *n, ag_wg *wg) {
    atomic_fetch_add(n, 1);
    ag_wg_done(wg);
}

AG_TEST_RUN(a_wait_never_returns_before_the_last_is_done) {
    for (int i = 0; i < 1000 / ag_test_slow(); i++) {
        ag_wg wg = AG_WG_INIT;
        atomic_int n = 0;
        ag_wg_add(&wg, 1);
        ag_go(count_and_done, &n, &wg);
        ag_wg_add(&wg, 1);
        ag_go(count_and_done, &n, &wg);
        ag_wg_wait(&wg);
        ag_check_int(atomic_load(&n), 2);
    }
}

AG_TEST_RUN(a_group_of_nobody_is_not_waited_for) {
    ag_wg wg = AG_WG_INIT;
    ag_wg_wait(&wg);
    ag_wg_add(&wg, 2);
    ag_wg_add(&wg, -2);
    ag_wg_wait(&wg);
    ag_wg_add(&wg, 0);
    ag_wg_wait(&wg);
}

static void add_then_done(ag_wg *wg, int depth) {
    for (int i = 0; i < depth; i++) {
        ag_wg_add(wg, 1); /* while it is not 0: allowed beside a wait */
        ag_go(add_then_done, wg, depth - 1);
    }
    ag_wg_done(wg);
}

AG_TEST_RUN(those_who_are_counted_may_add_others) {
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 1);
    ag_go(add_then_done, &wg, 6);
    ag_wg_wait(&wg);
    eventually(ag_count() == 1);
}

static void done_of(ag_wg *wg) {
    ag_wg_done(wg);
}

AG_TEST_RUN(one_done_too_many_panics) {
    ag_wg wg = AG_WG_INIT;
    ag_panic_info info;
    ag_wg_add(&wg, 1);
    ag_wg_done(&wg);
    ag_check_int(ag_try(&info, done_of, &wg), AG_PANICKED);
    ag_check_str(info.msg, "sync: negative WaitGroup counter");
}

static void exits_in_group(void) {
    ag_goexit();
}

AG_TEST_RUN(wg_go_counts_down_when_its_function_calls_goexit) {
    ag_wg wg = AG_WG_INIT;
    for (int i = 0; i < 20; i++)
        ag_wg_go(&wg, exits_in_group);
    ag_wg_wait(&wg);
}

/* ---- Once ----------------------------------------------------------------------------------- */

static void count_call(int *calls) {
    ++*calls;
}

static void count_and_panic(int *calls) {
    ++*calls;
    ag_panic("in once");
}

static void count_and_exit(int *calls) {
    ++*calls;
    ag_goexit();
}

static void once_with(ag_once *once, void (*fn)(int *), int *calls) {
    ag_once_do(once, fn, calls);
}

AG_TEST_RUN(a_once_that_panicked_has_run_and_panics_no_more) {
    ag_once once = AG_ONCE_INIT;
    ag_panic_info info;
    int calls = 0;
    ag_check_int(ag_try(&info, once_with, &once, count_and_panic, &calls), AG_PANICKED);
    ag_check_str(info.msg, "in once");
    ag_check_int(ag_try(NULL, once_with, &once, count_and_panic, &calls), 0);
    ag_once_do(&once, count_call, &calls);
    ag_check_int(calls, 1);
}

AG_TEST_RUN(a_once_whose_function_called_goexit_has_run) {
    ag_once once = AG_ONCE_INIT;
    int calls = 0;
    for (int i = 0; i < 2; i++) {
        ag_wg wg = AG_WG_INIT;
        ag_wg_go(&wg, once_with, &once, count_and_exit, &calls);
        ag_wg_wait(&wg);
    }
    ag_check_int(calls, 1);
}

static void count_other(ag_once *inner, int *calls) {
    ag_once_do(inner, count_call, calls);
    ++*calls;
}

AG_TEST_RUN(one_once_may_call_another) {
    ag_once outer = AG_ONCE_INIT, inner = AG_ONCE_INIT;
    int calls = 0;
    for (int i = 0; i < 3; i++)
        ag_once_do(&outer, count_other, &inner, &calls);
    ag_check_int(calls, 2);
}

/* ---- Condition ------------------------------------------------------------------------------ */

struct place {
    ag_mutex mutex;
    ag_cond cond;
    bool leave; /* guarded by mutex */
    ag_chan(int) running;
};

static void wait_once_as(struct place *p, ag_chan(int) awake, int me) {
    ag_mutex_lock(&p->mutex);
    ag_send(p->running, me);
    ag_cond_wait(&p->cond, &p->mutex);
    ag_send(awake, me);
    ag_mutex_unlock(&p->mutex);
}

AG_TEST_RUN(each_signal_wakes_one_and_not_the_others) {
    static struct place p;
    ag_chan(int) awake = ag_make(int, 10);
    p.running = ag_make(int, 10);
    for (int i = 0; i < 5; i++)
        ag_go(wait_once_as, &p, awake, i);
    for (int i = 0; i < 5; i++)
        ag_recv(p.running, NULL);
    for (int i = 0; i < 5; i++) {
        ag_check_int(ag_len(awake), 0);
        ag_mutex_lock(&p.mutex);
        ag_cond_signal(&p.cond);
        ag_mutex_unlock(&p.mutex);
        ag_recv(awake, NULL);
        ag_check_int(ag_len(awake), 0);
    }
    ag_cond_signal(&p.cond); /* to nobody */
    ag_unref(awake);
    ag_unref(p.running);
}

/* A signal goes to the one that waits, never to one who comes to wait after it. */
AG_TEST_RUN(a_signal_is_for_those_who_waited_before_it) {
    static struct place p;
    const int n = 100 / ag_test_slow() + 10;
    ag_chan(int) awake = ag_make(int, 1000);
    p.running = ag_make(int, 1000);
    for (int i = 0; i < n; i++) {
        ag_go(wait_once_as, &p, awake, i);
        if (i > 0) {
            int who = -1;
            ag_recv(awake, &who);
            ag_check_int(who, i - 1);
        }
        ag_recv(p.running, NULL);
        ag_mutex_lock(&p.mutex);
        ag_cond_signal(&p.cond);
        ag_mutex_unlock(&p.mutex);
    }
    ag_recv(awake, NULL);
    ag_unref(awake);
    ag_unref(p.running);
}

static void wait_each_round(struct place *p, ag_chan(int) awake, int me) {
    ag_mutex_lock(&p->mutex);
    while (!p->leave) {
        ag_send(p->running, me);
        ag_cond_wait(&p->cond, &p->mutex);
        ag_send(awake, me);
    }
    ag_mutex_unlock(&p->mutex);
}

AG_TEST_RUN(each_broadcast_wakes_each_of_those_who_wait_once) {
    enum { N = 40 };
    static struct place p;
    ag_chan(int) awake = ag_make(int, N);
    p.running = ag_make(int, N);
    for (int i = 0; i < N; i++)
        ag_go(wait_each_round, &p, awake, i);
    for (int round = 0; round < N; round++) {
        bool seen[N] = {false};
        for (int i = 0; i < N; i++)
            ag_recv(p.running, NULL);
        ag_check_int(ag_len(awake), 0);
        ag_mutex_lock(&p.mutex);
        p.leave = round == N - 1;
        ag_cond_broadcast(&p.cond);
        ag_mutex_unlock(&p.mutex);
        for (int i = 0, who = -1; i < N; i++) {
            ag_recv(awake, &who);
            ag_check(!seen[who]);
            seen[who] = true;
        }
    }
    eventually(ag_count() == 1);
    ag_check_int(ag_len(p.running), 0);
    ag_unref(awake);
    ag_unref(p.running);
}

static void broadcast_to(struct place *p) {
    ag_cond_broadcast(&p->cond);
}

static void wait_until_leave(struct place *p) {
    ag_mutex_lock(&p->mutex);
    while (!p->leave)
        ag_cond_wait(&p->cond, &p->mutex);
    ag_mutex_unlock(&p->mutex);
}

/* A newcomer may take part in a broadcast, but not in place of one who waited before. */
AG_TEST_RUN(a_newcomer_does_not_steal_the_wake_up_of_one_who_waits) {
    for (int i = 0; i < 300 / ag_test_slow(); i++) {
        static struct place p;
        ag_chan(int) awake = ag_make(int, 0);
        p.running = ag_make(int, 0);
        p.leave = false;
        ag_go(wait_once_as, &p, awake, 1);
        ag_recv(p.running, NULL);
        ag_mutex_lock(&p.mutex); /* so it is inside the wait */
        ag_mutex_unlock(&p.mutex);
        ag_go(broadcast_to, &p);
        ag_go(wait_until_leave, &p);
        ag_recv(awake, NULL);
        ag_mutex_lock(&p.mutex);
        p.leave = true;
        ag_mutex_unlock(&p.mutex);
        ag_cond_broadcast(&p.cond);
        eventually(ag_count() == 1);
        ag_unref(awake);
        ag_unref(p.running);
    }
}

/* ---- Pool ----------------------------------------------------------------------------------- */

static void *new_number(void) {
    static atomic_int next = 1;
    return (void *)(intptr_t)atomic_fetch_add(&next, 1);
}

static void get_and_put(ag_pool *pool, int loops) {
    for (int i = 0; i < loops; i++) {
        void *o = ag_pool_get(pool);
        ag_check(o != NULL);
        ag_pool_put(pool, o);
    }
}

AG_TEST_RUN(a_pool_with_a_constructor_is_never_empty) {
    ag_pool pool = AG_POOL_INIT(new_number, NULL);
    ag_wg wg = AG_WG_INIT;
    for (int i = 0; i < 10; i++)
        ag_wg_go(&wg, get_and_put, &pool, 2000 / ag_test_slow());
    ag_wg_wait(&wg);
    ag_check(ag_pool_get(&pool) != NULL);
    ag_pool_done(&pool);
}
