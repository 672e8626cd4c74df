/* SPDX-License-Identifier: MIT */
/*
 * What a dump tells of a goroutine that waits: for what, and who has it or could end the wait; its
 * labels, its name, its deferred calls.
 */
#include "dump_text.h"

static void lock_and_wait(ag_mutex *m, ag_chan(int) leave) {
    ag_mutex_lock(m);
    ag_recv(leave, NULL);
    ag_mutex_unlock(m);
}

static void *lock_on_thread(void *m) {
    ag_mutex_lock(m);
    return NULL;
}

AG_TEST_RUN(the_owner_of_a_mutex) {
    ag_chan(int) leave = ag_make(int, 0);
    ag_mutex m = AG_MUTEX_INIT;
    int64_t owner = ag_go(lock_and_wait, &m, leave);
    until_waits_for(owner, "chan receive");
    int64_t waits = ag_go(lock_it, &m);
    expect_entry(waits, "sync.Mutex.Lock",
                 "waits for mutex %p, held by goroutine %lld [chan receive] since ", (void *)&m,
                 (long long)owner);
    int64_t second = ag_go(lock_it, &m);
    expect_entry(second, "sync.Mutex.Lock", "[chan receive], where 2 wait since ");
    end_all(leave);
}

static void lock_twice(ag_mutex *m) {
    ag_mutex_lock(m);
    ag_mutex_lock(m);
    ag_mutex_unlock(m);
}

AG_TEST_RUN(a_mutex_of_its_own) {
    ag_mutex m = AG_MUTEX_INIT;
    int64_t id = ag_go(lock_twice, &m);
    expect_entry(id, "sync.Mutex.Lock", "waits for mutex %p, held by itself since ", (void *)&m);
    ag_mutex_unlock(&m);
    eventually(ag_count() == 1);
}

AG_TEST_RUN(a_mutex_of_a_thread_that_is_no_goroutine) {
    ag_mutex m = AG_MUTEX_INIT;
    pthread_t thread;
    pthread_create(&thread, NULL, lock_on_thread, &m);
    pthread_join(thread, NULL);
    int64_t id = ag_go(lock_it, &m);
    expect_entry(id, "sync.Mutex.Lock", "held by a thread that is no goroutine since ");
    ag_mutex_unlock(&m);
    eventually(ag_count() == 1);
}

static void read_and_wait(ag_rwmutex *rw, ag_chan(int) leave) {
    ag_rwmutex_rlock(rw);
    ag_recv(leave, NULL);
    ag_rwmutex_runlock(rw);
}

static void write_it(ag_rwmutex *rw) {
    ag_rwmutex_lock(rw);
    ag_rwmutex_unlock(rw);
}

static void write_and_wait(ag_rwmutex *rw, ag_chan(int) leave) {
    ag_rwmutex_lock(rw);
    ag_recv(leave, NULL);
    ag_rwmutex_unlock(rw);
}

AG_TEST_RUN(the_readers_of_an_rwmutex_and_the_writer_before) {
    ag_chan(int) leave = ag_make(int, 0);
    ag_rwmutex rw = AG_RWMUTEX_INIT;
    for (int i = 0; i < 2; i++)
        until_waits_for(ag_go(read_and_wait, &rw, leave), "chan receive");
    int64_t writer = ag_go(write_it, &rw);
    expect_entry(writer, "sync.RWMutex.Lock", "waits for rwmutex %p, held by 2 readers since ",
                 (void *)&rw);
    int64_t reader = ag_go(read_and_wait, &rw, leave);
    expect_entry(reader, "sync.RWMutex.RLock",
                 "held by 2 readers, for which a writer waits: goroutine %lld [sync.RWMutex.Lock]",
                 (long long)writer);
    end_all(leave);
}

AG_TEST_RUN(the_writer_of_an_rwmutex) {
    ag_chan(int) leave = ag_make(int, 0);
    ag_rwmutex rw = AG_RWMUTEX_INIT;
    int64_t writer = ag_go(write_and_wait, &rw, leave);
    until_waits_for(writer, "chan receive");
    int64_t reader = ag_go(read_and_wait, &rw, leave);
    expect_entry(reader, "sync.RWMutex.RLock",
                 "waits for rwmutex %p, held by goroutine %lld [chan receive] since ", (void *)&rw,
                 (long long)writer);
    end_all(leave);
}

static void wait_it(ag_wg *wg) {
    ag_wg_wait(wg);
    STAYS;
}

AG_TEST_RUN(the_count_of_a_wait_group_and_who_was_started_into_it) {
    enum { MANY = 10 };
    ag_chan(int) leave = ag_make(int, 0);
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 1);
    int64_t first = ag_wg_go(&wg, recv_it, leave);
    until_waits_for(first, "chan receive");
    int64_t id = ag_go(wait_it, &wg);
    expect_entry(id, "sync.WaitGroup.Wait",
                 "waits for wait group %p, counter 2: goroutine %lld [chan receive] since ",
                 (void *)&wg, (long long)first);
    for (int i = 0; i < MANY; i++)
        until_waits_for(ag_wg_go(&wg, recv_it, leave), "chan receive");
    expect_entry(id, "sync.WaitGroup.Wait", "counter 12: ");
    expect_entry(id, "sync.WaitGroup.Wait", ", and 3 more since ");
    ag_wg_done(&wg);
    end_all(leave);
}

static void send_it(ag_chan(int) c) {
    ag_send(c, 1);
    STAYS;
}

AG_TEST_RUN(a_channel_and_who_waits_at_it) {
    ag_chan(int) c = ag_make(int, 2), empty = ag_make(int, 0);
    ag_send(c, 1);
    ag_send(c, 1);
    int64_t id = ag_go(send_it, c);
    ag_ref(c);
    expect_entry(id, "chan send",
                 "waits for channel %p (length 2 of 2, 1 sender and 0 receivers wait, "
                 "2 references) since ",
                 (void *)c);
    ag_unref(c);
    int64_t a = ag_go(recv_it, empty), b = ag_go(recv_it, empty);
    until_waits_for(a, "chan receive");
    expect_entry(b, "chan receive",
                 "(length 0 of 0, 0 senders and 2 receivers wait, 1 reference) since ");
    for (int i = 0; i < 3; i++)
        ag_recv(c, NULL);
    ag_unref(c);
    end_all(empty);
}

static void select_it(ag_chan(int) a, ag_chan(int) b) {
    ag_select(AG_RECV(a, NULL), AG_SEND(b, 1), AG_AFTER(AG_MIN));
}

AG_TEST_RUN(the_channels_of_a_select_and_its_timer) {
    ag_chan(int) a = ag_make(int, 0), b = ag_make(int, 1);
    ag_send(b, 1);
    int64_t id = ag_go(select_it, a, b);
    expect_entry(id, "select",
                 "waits for one of a receive from channel %p (length 0 of 0, 0 senders and 1 "
                 "receiver wait, 1 reference); a send to channel %p (length 1 of 1, 1 sender and ",
                 (void *)a, (void *)b);
    expect_entry(id, "select", "; or a timer in ");
    int64_t recv = ag_go(recv_it, a);
    expect_entry(recv, "chan receive", "0 senders and 2 receivers wait");
    ag_close(a);
    eventually(ag_count() == 1);
    ag_unref(a);
    ag_unref(b);
}

static void select_many(ag_chan(int) c) {
    ag_select(AG_RECV(c, NULL), AG_RECV(c, NULL), AG_RECV(c, NULL), AG_RECV(c, NULL),
              AG_RECV(c, NULL), AG_RECV(c, NULL));
}

AG_TEST_RUN(a_select_of_many_is_cut) {
    ag_chan(int) leave = ag_make(int, 0);
    expect_entry(ag_go(select_many, leave), "select", "; and 2 more since ");
    end_all(leave);
}

static void acquire(ag_sem *s) {
    ag_sem_acquire(s, 2);
    ag_sem_release(s, 2);
}

AG_TEST_RUN(what_is_free_of_a_semaphore) {
    ag_sem s;
    ag_sem_init(&s, 3);
    ag_sem_acquire(&s, 2);
    expect_entry(ag_go(acquire, &s), "semaphore.Acquire",
                 "waits for semaphore %p, 1 of 3 free since ", (void *)&s);
    ag_sem_release(&s, 2);
    eventually(ag_count() == 1);
}

static ag_cond changed;
static ag_mutex guard;

static void wait_for_change(void) {
    ag_mutex_lock(&guard);
    ag_cond_wait(&changed, &guard);
    ag_mutex_unlock(&guard);
}

AG_TEST_RUN(a_condition_and_how_many_wait) {
    until_waits_for(ag_go(wait_for_change), "sync.Cond.Wait");
    expect_entry(ag_go(wait_for_change), "sync.Cond.Wait",
                 "waits for condition %p, where 2 wait since ", (void *)&changed);
    ag_cond_broadcast(&changed);
    eventually(ag_count() == 1);
}

static int child(ag_chan(int) c) {
    ag_recv(c, NULL);
    return 0;
}

static void scoped(ag_chan(int) leave, ag_chan(int) first) {
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_SUPERVISOR);
    ag_scope_go(&s, child, leave);
    ag_scope_go(&s, child, first);
    ag_scope_end(&s);
}

AG_TEST_RUN(the_children_of_a_scope_that_are_left) {
    ag_chan(int) leave = ag_make(int, 0), first = ag_make(int, 0);
    int64_t id = ag_go(scoped, leave, first);
    expect_entry(id, "scope end", ", 2 of 2 children left: goroutine ");
    ag_close(first);
    eventually(ag_count() == 3);
    expect_entry(id, "scope end", ", 1 of 2 children left: goroutine ");
    expect_entry(id, "scope end", " [chan receive] since ");
    ag_unref(first);
    end_all(leave);
}

static void *job(ag_chan(int) c) {
    ag_recv(c, NULL);
    return NULL;
}

static void await(ag_chan(int) c) {
    ag_job *j = ag_async(job, c);
    ag_job_await(j, NULL);
    ag_unref(j);
}

AG_TEST_RUN(the_goroutine_that_runs_a_job) {
    ag_chan(int) leave = ag_make(int, 0);
    int64_t id = ag_go(await, leave);
    expect_entry(id, "job await", "waits for job ");
    expect_entry(id, "job await", ", run by goroutine ");
    expect_entry(id, "job await", " [chan receive] since ");
    end_all(leave);
}

static void read_it(int fd) {
    char byte;
    ag_fd_read(fd, &byte, 1);
    STAYS;
}

AG_TEST_RUN(the_descriptor_of_a_pipe) {
    int ends[2];
    ag_check_int(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    int64_t id = ag_go(read_it, ends[0]);
    expect_entry(id, "IO wait", "waits for descriptor %d to be readable, pipe:[", ends[0]);
    ag_check_int(write(ends[1], "x", 1), 1);
    eventually(ag_count() == 1);
    ag_fd_close(ends[0]);
    ag_fd_close(ends[1]);
}

static void accept_and_read(ag_listener *l, ag_chan(int) accepted) {
    ag_conn *c;
    char byte;
    ag_check_int(ag_accept(l, &c), 0);
    ag_send(accepted, 1);
    ag_read(c, &byte, 1);
    ag_unref(c);
}

AG_TEST_RUN(the_descriptor_and_the_peer_of_a_connection) {
    ag_listener *l;
    ag_conn *c;
    ag_chan(int) accepted = ag_make(int, 0);
    ag_check_int(ag_listen("tcp", "127.0.0.1:0", &l), 0);
    int64_t id = ag_go(accept_and_read, l, accepted);
    expect_entry(id, "IO wait", " to be readable, %s since ", ag_listener_addr(l));
    ag_check_int(ag_dial("tcp", ag_listener_addr(l), &c), 0);
    ag_recv(accepted, NULL);
    expect_entry(id, "IO wait", " to be readable, %s to %s since ", ag_listener_addr(l),
                 ag_conn_local(c));
    ag_conn_close(c);
    ag_unref(c);
    eventually(ag_count() == 1);
    ag_listener_close(l);
    ag_unref(l);
    ag_unref(accepted);
}

static void sleep_it(void) {
    ag_sleep(AG_MIN);
}

AG_TEST_RUN(the_timer_of_a_sleep_and_the_deadline_of_a_context) {
    ag_ctx *c = ag_ctx_with_timeout(NULL, 2 * AG_MIN);
    ag_ctx_enter(c);
    int64_t id = ag_go(sleep_it);
    expect_entry(id, "sleep", "waits for a timer in ");
    char *text = entry_of(id), *at = strstr(text, "waits for a timer in ");
    double timer = 0, deadline = 0;
    ag_check(at && sscanf(at, "waits for a timer in %lf s since ", &timer) == 1);
    at = strstr(text, "\ndeadline in ");
    ag_check(at && sscanf(at, "\ndeadline in %lf s\n", &deadline) == 1);
    ag_check(timer > 0 && timer <= 60 && deadline > timer && deadline <= 120);
    free(text);
    ag_ctx_cancel(c);
    eventually(ag_count() == 1);
    ag_unref(c);
}

/* ---- What is its own ------------------------------------------------------------------------ */

static void labelled(ag_chan(int) leave) {
    ag_label("shard", "7\n\"x\"");
    ag_recv(leave, NULL);
}

AG_TEST_RUN(labels) {
    ag_chan(int) leave = ag_make(int, 0);
    ag_with(&ag_request_id, "r-17");
    int64_t plain = ag_go(recv_it, leave), more = ag_go(labelled, leave);
    expect_entry(plain, "chan receive", "]:\nlabels: request_id=\"r-17\"\n");
    expect_entry(more, "chan receive", "labels: shard=\"7\\x0a\\\"x\\\"\", request_id=\"r-17\"\n");
    char *text = entry_of(ag_id());
    ag_check_contains(text, "labels: request_id=\"r-17\"\n");
    free(text);
    end_all(leave);
}

static void put_back(int x) {
    (void)x;
}

static void close_all(void) {
}

static KEPT void inner(ag_chan(int) leave) {
    ag_defer(put_back, 1);
    ag_recv(leave, NULL);
}

static atomic_int defer_line;
static void outer(ag_chan(int) leave) {
    atomic_store(&defer_line, __LINE__ + 1);
    ag_defer(close_all);
    ag_within(AG_MIN); /* a deferred call of the runtime's own: not shown */
    ag_try(NULL, inner, leave);
}

AG_TEST_RUN(deferred_calls_that_are_pending) {
    ag_chan(int) leave = ag_make(int, 0);
    int64_t id = ag_go(outer, leave);
    expect_entry(id, "chan receive", "deferred: close_all at ");
    char *text = entry_of(id), place[64];
    const char *first = strstr(text, "deferred: put_back at ");
    const char *last = strstr(text, "deferred: close_all at ");
    snprintf(place, sizeof place, "dump_waits.c:%d\n", atomic_load(&defer_line));
    ag_check(first && last && first < last);
    ag_check_contains(last, place);
    ag_check_contains(last, "created by ");
    ag_check(!strstr(text, "ag__"));
    int n = 0;
    for (const char *at = text; (at = strstr(at, "deferred: ")) != NULL; at++)
        n++;
    ag_check_int(n, 2);
    free(text);
    {
        ag_defer(put_back, 2);
        text = entry_of(ag_id());
        ag_check_contains(text, "deferred: put_back at ");
        free(text);
    }
    end_all(leave);
}

static void bound_one(ag_chan(int) leave) {
    ag_lock_thread();
    ag_recv(leave, NULL);
    ag_unlock_thread();
}

AG_TEST_RUN(that_it_is_locked_to_a_thread_and_its_name) {
    ag_chan(int) leave = ag_make(int, 0);
    int64_t id = ag_go_with(&(ag_go_opts){.name = "bound"}, bound_one, leave);
    expect_entry(id, "chan receive", "goroutine %lld \"bound\" [chan receive, locked to thread]:\n",
                 (long long)id);
    end_all(leave);
}

/* ---- While it moves ------------------------------------------------------------------------- */

/* Objects come and go, in memory that is given back to the system: nothing that is gone is read. */
static void churn(atomic_int *stop) {
    enum { HUGE_ROOM = 1 << 20 };
    while (!atomic_load(stop)) {
        ag_chan(char) c = ag_make(char, HUGE_ROOM);
        ag_mutex *m = calloc(1, HUGE_ROOM);
        ag_mutex_lock(m);
        ag_wg locker = AG_WG_INIT;
        ag_wg_go(&locker, lock_it, m);
        ag_yield();
        ag_select(AG_RECV(c, NULL), AG_AFTER(AG_MS / 10));
        ag_mutex_unlock(m);
        ag_wg_wait(&locker);
        free(m);
        ag_unref(c);
        ag_sleep(AG_MS / 10);
        ag_go_with(&(ag_go_opts){.name = "named"}, put_back, 1);
    }
}

AG_TEST_RUN(what_is_gone_is_not_looked_at) {
    static atomic_int stop;
    ag_wg wg = AG_WG_INIT;
    for (int i = 0; i < 4; i++)
        ag_wg_go(&wg, churn, &stop);
    for (int i = 0; i < 400 / ag_test_slow(); i++) {
        free(dump_as(i % 2 ? AG_DUMP_EACH : AG_DUMP_GROUPS));
        ag_yield();
    }
    atomic_store(&stop, 1);
    ag_wg_wait(&wg);
}
