/* SPDX-License-Identifier: MIT */
/*
 * The readers' and writers' mutex: who excludes whom, who waits for whom, misuse, threads.
 */
#include "common.h"

struct shared {
    ag_rwmutex rw;
    long plain; /* guarded by rw */
    atomic_int readers, writers;
};

static void read_once(struct shared *s) {
    ag_rwmutex_rlock(&s->rw);
    atomic_fetch_add(&s->readers, 1);
    ag_check_int(atomic_load(&s->writers), 0);
    long before = s->plain;
    ag_yield();
    ag_check_int(s->plain, before);
    atomic_fetch_sub(&s->readers, 1);
    ag_rwmutex_runlock(&s->rw);
}

static void write_once(struct shared *s) {
    ag_rwmutex_lock(&s->rw);
    ag_check_int(atomic_fetch_add(&s->writers, 1), 0);
    ag_check_int(atomic_load(&s->readers), 0);
    s->plain++;
    ag_yield();
    atomic_fetch_sub(&s->writers, 1);
    ag_rwmutex_unlock(&s->rw);
}

static void mixed(struct shared *s, int rounds) {
    for (int i = 0; i < rounds; i++)
        if (i % 5 == 0)
            write_once(s);
        else
            read_once(s);
}

AG_TEST_RUN(a_writer_excludes_everybody) {
    static struct shared s; /* usable when zero */
    int rounds = 1000 / ag_test_slow();
    ag_wg wg = AG_WG_INIT;
    for (int i = 0; i < 10; i++)
        ag_wg_go(&wg, mixed, &s, rounds);
    ag_wg_wait(&wg);
    ag_check_int(s.plain, 10L * rounds / 5);
}

static void *mixed_on_thread(void *arg) {
    mixed(arg, 400 / ag_test_slow());
    return NULL;
}

AG_TEST_RUN(goroutines_and_threads_alike) {
    static struct shared s;
    int rounds = 400 / ag_test_slow();
    ag_wg wg = AG_WG_INIT;
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, mixed_on_thread, &s);
    for (int i = 0; i < 5; i++)
        ag_wg_go(&wg, mixed, &s, rounds);
    ag_wg_wait(&wg);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    ag_check_int(s.plain, 8L * rounds / 5);
}

AG_TEST(threads_without_a_runtime_read_and_write) {
    static struct shared s;
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, mixed_on_thread, &s);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    ag_check_int(s.plain, 3L * (400 / ag_test_slow()) / 5);
}

static void read_and_wait(ag_rwmutex *rw, ag_chan(int) in, ag_chan(int) out) {
    ag_rwmutex_rlock(rw);
    ag_send(in, 1);
    ag_recv(out, NULL);
    ag_rwmutex_runlock(rw);
}

static void write_and_note(ag_rwmutex *rw, ag_chan(int) log) {
    ag_rwmutex_lock(rw);
    ag_send(log, 1);
    ag_rwmutex_unlock(rw);
}

static void read_and_note(ag_rwmutex *rw, ag_chan(int) log) {
    ag_rwmutex_rlock(rw);
    ag_send(log, 2);
    ag_rwmutex_runlock(rw);
}

AG_TEST_RUN(readers_are_inside_together) {
    ag_rwmutex rw = AG_RWMUTEX_INIT;
    ag_chan(int) in = ag_make(int, 0), out = ag_make(int, 0);
    for (int i = 0; i < 5; i++)
        ag_go(read_and_wait, &rw, in, out);
    for (int i = 0; i < 5; i++)
        ag_recv(in, NULL); /* all five have it now */
    ag_check(!ag_rwmutex_try_lock(&rw));
    ag_close(out);
    eventually(ag_count() == 1);
    ag_check(ag_rwmutex_try_lock(&rw));
    ag_rwmutex_unlock(&rw);
    ag_unref(in);
    ag_unref(out);
}

AG_TEST_RUN(a_waiting_writer_stops_new_readers) {
    ag_rwmutex rw = AG_RWMUTEX_INIT;
    ag_chan(int) log = ag_make(int, 10);
    int first = 0, second = 0;
    ag_rwmutex_rlock(&rw);
    until_waits_for(ag_go(write_and_note, &rw, log), "sync.RWMutex.Lock");
    ag_check(!ag_rwmutex_try_rlock(&rw));
    until_waits_for(ag_go(read_and_note, &rw, log), "sync.RWMutex.RLock");
    ag_check_int(ag_len(log), 0);
    ag_rwmutex_runlock(&rw);
    ag_recv(log, &first);
    ag_recv(log, &second);
    ag_check(first == 1 && second == 2);
    eventually(ag_count() == 1);
    ag_unref(log);
}

AG_TEST_RUN(waiting_readers_go_before_the_next_writer) {
    ag_rwmutex rw = AG_RWMUTEX_INIT;
    ag_chan(int) log = ag_make(int, 10);
    int order[4] = {0};
    ag_rwmutex_lock(&rw);
    int64_t writer = ag_go(write_and_note, &rw, log);
    until_waits_for(writer, "sync."); /* for its turn among the writers */
    for (int i = 0; i < 3; i++)
        until_waits_for(ag_go(read_and_note, &rw, log), "sync.RWMutex.RLock");
    ag_rwmutex_unlock(&rw);
    for (int i = 0; i < 4; i++)
        ag_recv(log, &order[i]);
    ag_check(order[0] == 2 && order[1] == 2 && order[2] == 2 && order[3] == 1);
    eventually(ag_count() == 1);
    ag_unref(log);
}

AG_TEST_RUN(try_locks_never_wait) {
    ag_rwmutex rw = AG_RWMUTEX_INIT;
    ag_check(ag_rwmutex_try_rlock(&rw));
    ag_check(ag_rwmutex_try_rlock(&rw));
    ag_check(!ag_rwmutex_try_lock(&rw));
    ag_rwmutex_runlock(&rw);
    ag_rwmutex_runlock(&rw);
    ag_check(ag_rwmutex_try_lock(&rw));
    ag_check(!ag_rwmutex_try_lock(&rw));
    ag_check(!ag_rwmutex_try_rlock(&rw));
    ag_rwmutex_unlock(&rw);
    ag_rwmutex_rlock(&rw);
    ag_rwmutex_runlock(&rw);
}

static void unlocks(ag_rwmutex *rw) {
    ag_rwmutex_unlock(rw);
}

static void runlocks(ag_rwmutex *rw) {
    ag_rwmutex_runlock(rw);
}

AG_TEST_RUN(any_goroutine_may_unlock_for_readers_and_writers) {
    ag_rwmutex rw = AG_RWMUTEX_INIT;
    ag_rwmutex_lock(&rw);
    ag_go(unlocks, &rw);
    ag_rwmutex_rlock(&rw);
    ag_go(runlocks, &rw);
    ag_rwmutex_lock(&rw);
    ag_rwmutex_unlock(&rw);
}

AG_TEST_RUN(unlock_of_an_unlocked_one_panics) {
    ag_rwmutex rw = AG_RWMUTEX_INIT;
    ag_panic_info info;
    for (int i = 0; i < 2; i++) {
        ag_check_int(ag_try(&info, unlocks, &rw), AG_PANICKED);
        ag_check_str(info.msg, "sync: Unlock of unlocked RWMutex");
        ag_check_int(ag_try(&info, runlocks, &rw), AG_PANICKED);
        ag_check_str(info.msg, "sync: RUnlock of unlocked RWMutex");
    }
    ag_rwmutex_rlock(&rw); /* it is as it was */
    ag_check_int(ag_try(&info, unlocks, &rw), AG_PANICKED);
    ag_rwmutex_runlock(&rw);
    ag_rwmutex_lock(&rw);
    ag_check_int(ag_try(&info, runlocks, &rw), AG_PANICKED);
    ag_rwmutex_unlock(&rw);
}

static int main_runlocks(void *arg) {
    ag_rwmutex rw = AG_RWMUTEX_INIT;
    (void)arg;
    ag_rwmutex_runlock(&rw);
    return 0;
}

AG_TEST_DEATH(runlock_of_unlocked_ends_the_process, 2,
              "panic: sync: RUnlock of unlocked RWMutex\n") {
    ag_run(main_runlocks, NULL);
}
