/* SPDX-License-Identifier: MIT */
/*
 * Every call that waits, when the current context ends: before it, while it waits, by cancel, by
 * deadline and by a bound; and what it still does at once. Also those that a context does not end.
 */
#include "common.h"

#include <netinet/in.h>
#include <sys/socket.h>

/* What the calls wait for: nothing ever comes. */
static ag_chan(int) empty, full;
static ag_listener *listener;
static ag_conn *client, *server; /* nobody reads or writes at the other end */
static int pipe_ends[2];
static char busy_addr[64]; /* a listener whose queue is full */

static int waits_recv(void) {
    int v = 7;
    ag_check(!ag_recv(empty, &v));
    ag_check_int(v, 0);
    return ag_ctx_err(ag_ctx_current()); /* ag_recv only says false */
}
static int waits_recv_nil(void) {
    ag_check(!ag_recv((ag_chan(int))NULL, NULL));
    return ag_ctx_err(ag_ctx_current());
}
static int waits_send(void) {
    return ag_send(full, 1);
}
static int waits_send_unbuffered(void) {
    return ag_send(empty, 1);
}
static int waits_send_nil(void) {
    return ag_send((ag_chan(int))NULL, 1);
}
static int waits_select(void) {
    int v = 7;
    return ag_select(AG_RECV(empty, &v), AG_SEND(full, 3), AG_AFTER(AG_MIN));
}
static int waits_select_without_cases(void) {
    return ag_select_n(NULL, 0);
}
static int waits_select_many(void) {
    ag_case cases[20];
    for (size_t i = 0; i < COUNT(cases); i++)
        cases[i] = (ag_case)AG_RECV(empty, NULL);
    return ag_select_ordered_n(cases, COUNT(cases));
}
static int waits_sleep(void) {
    return ag_sleep(AG_MIN);
}
static int waits_accept(void) {
    ag_conn *c;
    return ag_accept(listener, &c);
}
static int waits_read(void) {
    char buf[8];
    return (int)ag_read(client, buf, sizeof buf);
}
static int waits_read_with_deadline(void) {
    ag_set_read_deadline(client, ag_now() + AG_MIN);
    return waits_read();
}
static int waits_write(void) {
    static char block[1 << 20];
    ssize_t n;
    while ((n = ag_write(client, block, sizeof block)) > 0)
        continue;
    return (int)n;
}
static int waits_writev(void) {
    static char block[1 << 20];
    struct iovec pieces[] = {{block, 1 << 19}, {block, 1 << 20}};
    ssize_t n;
    while ((n = ag_writev(client, pieces, 2)) > 0)
        continue;
    return (int)n;
}
static int waits_dial(void) {
    ag_conn *c;
    int r;
    while ((r = ag_dial("tcp", busy_addr, &c)) == 0)
        ag_unref(c); /* the kernel takes some more */
    return r;
}
static int waits_fd(void) {
    return ag_fd_wait(pipe_ends[0], AG_READABLE, 0);
}
static int waits_fd_with_deadline(void) {
    return ag_fd_wait(pipe_ends[0], AG_READABLE, ag_now() + AG_MIN);
}
static int waits_fd_read(void) {
    char buf[8];
    return (int)ag_fd_read(pipe_ends[0], buf, sizeof buf);
}
static int waits_fd_write(void) {
    static char block[1 << 20];
    return (int)ag_fd_write(pipe_ends[1], block, sizeof block);
}
static int waits_sem(void) {
    ag_sem sem;
    ag_sem_init(&sem, 1);
    ag_check_int(ag_sem_acquire(&sem, 1), 0);
    int r = ag_sem_acquire(&sem, 1);
    ag_sem_release(&sem, 1);
    ag_check(ag_sem_try_acquire(&sem, 1)); /* who gave up took nothing along */
    return r;
}
static const struct call {
    const char *name;
    int (*fn)(void);
} calls[] = {
#define CALL(name)                                                                                 \
    { #name, waits_##name }
    CALL(recv),     CALL(recv_nil), CALL(send),        CALL(send_unbuffered),
    CALL(send_nil), CALL(select),   CALL(select_many), CALL(select_without_cases),
    CALL(sleep),    CALL(accept),   CALL(read),        CALL(read_with_deadline),
    CALL(write),    CALL(writev),   CALL(fd),          CALL(fd_with_deadline),
    CALL(fd_read),  CALL(fd_write), CALL(dial),        CALL(sem),
};

static void accept_server(ag_wg *wg) {
    ag_check_int(ag_accept(listener, &server), 0);
    ag_wg_done(wg);
}

/* A socket that listens and whose queue has no place any more. */
static int full_listener(void) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ag_check_int(bind(fd, (struct sockaddr *)&a, size), 0);
    ag_check_int(listen(fd, 0), 0);
    ag_check_int(getsockname(fd, (struct sockaddr *)&a, &size), 0);
    snprintf(busy_addr, sizeof busy_addr, "127.0.0.1:%d", ntohs(a.sin_port));
    return fd;
}

static int busy_fd;
static ag_conn *queued[8]; /* fill the queue */
static int queued_count;

static void fill_queue(void) {
    busy_fd = full_listener();
    while (queued_count < 8) {
        ag_within(200 * AG_MS);
        if (ag_dial("tcp", busy_addr, &queued[queued_count]) != 0)
            return;
        queued_count++;
    }
    ag_fail("a queue without an end");
}

static void set_up(void) {
    ag_wg wg = AG_WG_INIT;
    empty = ag_make(int, 0);
    full = ag_make(int, 1);
    ag_send(full, 0);
    ag_check_int(ag_listen("tcp", "127.0.0.1:0", &listener), 0);
    ag_wg_add(&wg, 1);
    ag_go(accept_server, &wg);
    ag_check_int(ag_dial("tcp", ag_listener_addr(listener), &client), 0);
    ag_wg_wait(&wg);
    ag_check_int(pipe2(pipe_ends, O_CLOEXEC | O_NONBLOCK), 0);
    fill_queue();
}

static void tear_down(void) {
    ag_check_int(ag_len(full), 1); /* nobody sent or received */
    ag_check(!ag_try_send(empty, 1) && ag_try_recv(empty, NULL) == -EAGAIN);
    ag_unref(empty);
    ag_unref(full);
    ag_unref(client);
    ag_unref(server);
    ag_unref(listener);
    while (queued_count > 0)
        ag_unref(queued[--queued_count]);
    close(busy_fd);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
}

static void run_call(int i, ag_ctx *c, atomic_int *result) {
    ag_ctx_enter(c);
    *result = calls[i].fn();
}

/* What call i gives when c ends while it waits. */
static void check_call(int i, ag_ctx *c, int expected) {
    atomic_int result = 1;
    int64_t id = ag_go(run_call, i, c, &result);
    if (expected == -ECANCELED) {
        until_waits(id);
        ag_ctx_cancel(c);
    }
    eventually(result != 1);
    if (result != expected)
        ag_fail("%s: %d, not %d", calls[i].name, (int)result, expected);
    ag_unref(c);
}

static void each_call(ag_ctx *(*make)(void), int expected) {
    set_up();
    for (size_t i = 0; i < COUNT(calls); i++)
        check_call((int)i, make(), expected);
    tear_down();
}

static ag_ctx *make_cancelled(void) {
    return ag_ctx_with_cancel(NULL);
}
AG_TEST_RUN(cancel_ends_every_call_that_waits) {
    each_call(make_cancelled, -ECANCELED);
}

static ag_ctx *make_child(void) {
    ag_ctx *c = ag_ctx_with_timeout(NULL, AG_MIN), *below = ag_ctx_with_value(c, "k", "v");
    ag_unref(c);
    return below;
}
AG_TEST_RUN(cancel_ends_every_call_that_waits_with_a_deadline) {
    each_call(make_child, -ECANCELED);
}

static ag_ctx *make_timeout(void) {
    return ag_ctx_with_timeout(NULL, 2 * AG_MS);
}
AG_TEST_RUN(a_deadline_ends_every_call_that_waits) {
    each_call(make_timeout, -ETIMEDOUT);
}

static ag_ctx *make_late(void) {
    return ag_ctx_with_timeout(NULL, 0);
}
AG_TEST_RUN(no_call_waits_after_a_deadline) {
    each_call(make_late, -ETIMEDOUT);
}

AG_TEST_RUN(a_bound_ends_every_call_that_waits) {
    set_up();
    for (size_t i = 0; i < COUNT(calls); i++) {
        ag_time begin = ag_now();
        ag_within(2 * AG_MS);
        int r = calls[i].fn();
        if (r != -ETIMEDOUT || ag_now() < begin + 2 * AG_MS)
            ag_fail("%s: %d", calls[i].name, r);
    }
    tear_down();
}

AG_TEST_RUN(no_call_waits_in_an_ended_context) {
    set_up();
    ag_ctx *c = ag_ctx_with_cancel(NULL);
    ag_ctx_cancel(c);
    ag_time begin = ag_now();
    for (size_t i = 0; i < COUNT(calls); i++) {
        ag_ctx_enter(c);
        int r = calls[i].fn();
        if (r != -ECANCELED)
            ag_fail("%s: %d", calls[i].name, r);
    }
    ag_check(ag_now() < begin + 10 * AG_SEC * ag_test_slow());
    ag_unref(c);
    tear_down();
}

static void *calls_on_thread(void *arg) {
    for (size_t i = 0; i < COUNT(calls); i++) {
        ag_ctx_enter((ag_ctx *)arg);
        if (calls[i].fn() != -ECANCELED)
            ag_fail("%s", calls[i].name);
        ag_ctx_enter(NULL);
        ag_within(2 * AG_MS);
        if (calls[i].fn() != -ETIMEDOUT)
            ag_fail("%s", calls[i].name);
    }
    return NULL;
}

AG_TEST_RUN(a_thread_waits_no_longer_either) {
    set_up();
    pthread_t thread;
    ag_ctx *c = ag_ctx_with_cancel(NULL);
    ag_check_int(pthread_create(&thread, NULL, calls_on_thread, c), 0);
    ag_sleep(5 * AG_MS);
    ag_ctx_cancel(c);
    ag_blocking(pthread_join, thread, NULL);
    ag_unref(c);
    tear_down();
}

/* ---- At once -------------------------------------------------------------------------------- */

AG_TEST_RUN(what_can_be_done_at_once_is_done) {
    ag_ctx *c = ag_ctx_with_cancel(NULL);
    ag_chan(int) buffered = ag_make(int, 2);
    ag_wg wg = AG_WG_INIT;
    char buf[8];
    int v = 0;
    set_up();
    ag_check_int(ag_write(server, "abc", 3), 3);
    ag_check_int((int)write(pipe_ends[1], "xyz", 3), 3);
    ag_ctx_cancel(c);
    ag_ctx_enter(c);
    ag_check_int(ag_send(buffered, 1), 0);
    ag_check_int(ag_select(AG_SEND(buffered, 2)), 0);
    ag_check_int(ag_send(buffered, 3), -ECANCELED);
    ag_check(ag_recv(buffered, &v) && v == 1);
    ag_check_int(ag_select(AG_RECV(buffered, &v)), 0);
    ag_check_int(v, 2);
    ag_check_int(ag_select(AG_RECV(buffered, &v), AG_DEFAULT), 1);
    ag_check_int(ag_select(AG_RECV(buffered, &v), AG_AFTER(0)), 1);
    ag_check_int(ag_sleep(0), 0);
    ag_check_int(ag_read(client, buf, sizeof buf), 3);
    ag_check_int(ag_read(client, buf, sizeof buf), -ECANCELED);
    ag_check_int(ag_fd_wait(pipe_ends[0], AG_READABLE, 0), AG_READABLE);
    ag_check_int(ag_fd_read(pipe_ends[0], buf, sizeof buf), 3);
    ag_check_int(ag_fd_read(pipe_ends[0], buf, sizeof buf), -ECANCELED);
    ag_check_int(ag_write(client, "abc", 3), 3);
    ag_close(buffered);
    ag_check(!ag_recv(buffered, &v));
    ag_wg_wait(&wg);
    ag_yield();
    ag_unref(buffered);
    ag_unref(c);
    tear_down();
}

AG_TEST_RUN(the_channel_is_as_before_after_a_cancelled_wait) {
    ag_chan(int) c = ag_make(int, 0);
    ag_chan(int) result = ag_make(int, 0);
    int v = 0;
    for (int i = 0; i < 100; i++) {
        ag_within(i % 7 * AG_US);
        ag_check_int(i % 2 ? ag_send(c, i) : (int)ag_recv(c, &v), i % 2 ? -ETIMEDOUT : 0);
    }
    ag_check(!ag_try_send(c, 1));
    ag_check_int(ag_try_recv(c, NULL), -EAGAIN);
    ag_unref(c);
    ag_unref(result);
}

AG_TEST_RUN(files_are_not_waited_for) {
    char name[] = "/tmp/aglet-ctx-XXXXXX", buf[4];
    int fd = mkstemp(name);
    unlink(name);
    ag_check_int(ag_file_write(fd, "abcd", 4), 4);
    lseek(fd, 0, SEEK_SET);
    {
        ag_within(0);
        ag_check_int(ag_file_write(fd, "abcd", 4), -ETIMEDOUT);
        ag_check_int(ag_file_sync(fd), -ETIMEDOUT);
        ssize_t got = ag_file_read(fd, buf, 4); /* from the cache, where the system can tell */
        ag_check(got == 4 || got == -ETIMEDOUT);
    }
    ag_check_int(ag_file_sync(fd), 0);
    close(fd);
}

/* A name has to be looked up, which may take its time. */
AG_TEST_RUN(names_are_not_waited_for) {
    ag_conn *c;
    ag_ctx *ended = ag_ctx_with_cancel(NULL);
    ag_ctx_cancel(ended);
    ag_ctx_enter(ended);
    ag_check_int(ag_dial("tcp", "localhost:1", &c), -ECANCELED);
    ag_unref(ended);
}

AG_TEST_RUN(a_name_is_looked_up_within_a_time) {
    ag_conn *c;
    ag_within(AG_MIN);
    ag_check_int(ag_dial("tcp4", "localhost:1", &c), -ECONNREFUSED);
}

/* ---- AG_DONE -------------------------------------------------------------------------------- */

AG_TEST_RUN(done_is_a_case_of_select) {
    ag_ctx *c = ag_ctx_with_cancel(NULL);
    ag_chan(int) never = ag_make(int, 0);
    ag_case again[] = {AG_RECV(never, NULL), AG_DONE(c), AG_DONE(NULL)};
    ag_check_int(ag_select(AG_DONE(c), AG_DEFAULT), 1);
    ag_check_int(ag_select(AG_DONE(NULL), AG_DONE(ag_ctx_background()), AG_AFTER(1)), 2);
    ag_check_int(ag_select(AG_DONE(c), AG_AFTER(AG_MS)), 1);
    ag_ctx_cancel(c);
    for (int i = 0; i < 3; i++)
        ag_check_int(ag_select_n(again, COUNT(again)), 1);
    ag_check_int(again[1].op, AG__CASE_DONE);
    ag_check_int(ag_select_ordered(AG_DONE(NULL), AG_RECV(never, NULL), AG_DONE(c)), 2);
    ag_unref(never);
    ag_unref(c);
}

static void selects_done(ag_ctx *c, ag_ctx *listed, ag_chan(int) never, atomic_int *result) {
    ag_ctx_enter(c);
    *result = ag_select(AG_RECV(never, NULL), AG_DONE(listed)) + 1000;
}

AG_TEST_RUN(a_select_that_lists_the_current_context_reports_it) {
    ag_chan(int) never = ag_make(int, 0);
    for (int i = 0; i < 200 / ag_test_slow(); i++) {
        ag_ctx *top = ag_ctx_with_cancel(NULL), *c = ag_ctx_with_cancel(top);
        atomic_int result[3] = {0, 0, 0};
        for (int k = 0; k < 3; k++)
            ag_go(selects_done, c, k == 0 ? top : c, never, &result[k]);
        if (i % 2)
            ag_sleep(10 * AG_US);
        ag_ctx_cancel(top);
        for (int k = 0; k < 3; k++) {
            eventually(result[k] != 0);
            ag_check_int(result[k], 1001);
        }
        ag_unref(c);
        ag_unref(top);
    }
    {
        ag_within(AG_MS);
        ag_ctx_enter(ag_ctx_current());
        ag_check_int(ag_select(AG_RECV(never, NULL), AG_DONE(ag_ctx_current())), 1);
    }
    ag_unref(never);
}

AG_TEST_RUN(many_cases_may_have_done_among_them) {
    ag_ctx *c = ag_ctx_with_timeout(NULL, AG_MS);
    ag_chan(int) never = ag_make(int, 0);
    ag_case cases[40];
    for (int i = 0; i < 40; i++)
        cases[i] = i == 33 ? (ag_case)AG_DONE(c) : (ag_case)AG_RECV(never, NULL);
    ag_check_int(ag_select_n(cases, COUNT(cases)), 33);
    ag_check_int(ag_select_n(cases, COUNT(cases)), 33);
    ag_unref(never);
    ag_unref(c);
}

/* ---- Turns ---------------------------------------------------------------------------------- */

static void reads_once(ag_conn *c, atomic_int *result) {
    char buf[1];
    *result = (int)ag_read(c, buf, 1) + 1000;
}
static void reads_in(ag_ctx *ctx, ag_conn *c, atomic_int *result) {
    ag_ctx_enter(ctx);
    reads_once(c, result);
}

/* Several readers take turns. One that is cancelled in the line loses nobody else's turn. */
AG_TEST_RUN(a_turn_is_waited_for_no_longer_either) {
    set_up();
    ag_ctx *c = ag_ctx_with_cancel(NULL);
    atomic_int result[5] = {0, 0, 0, 0, 0};
    int64_t id = ag_go(reads_once, client, &result[0]);
    until_waits_for(id, "IO wait");
    for (int i = 1; i < 5; i++)
        until_waits_for(i % 2 ? ag_go(reads_in, c, client, &result[i])
                              : ag_go(reads_once, client, &result[i]),
                        "IO wait");
    ag_ctx_cancel(c);
    eventually(result[1] != 0 && result[3] != 0);
    ag_check_int(result[1], 1000 - ECANCELED);
    ag_check_int(result[3], 1000 - ECANCELED);
    ag_check(result[0] == 0 && result[2] == 0 && result[4] == 0);
    ag_check_int(ag_write(server, "abc", 3), 3);
    eventually(result[0] != 0 && result[2] != 0 && result[4] != 0);
    ag_check_int(result[0] + result[2] + result[4], 3003);
    ag_unref(c);
    tear_down();
}

/* ---- What a context does not end ------------------------------------------------------------ */

static void locks(ag_ctx *c, ag_mutex *mutex, ag_wg *wg, atomic_int *locked) {
    ag_ctx_enter(c);
    ag_mutex_lock(mutex);
    *locked = 1;
    ag_mutex_unlock(mutex);
    ag_wg_done(wg);
}

static void waits_group(ag_ctx *c, ag_wg *wg, atomic_int *done) {
    ag_ctx_enter(c);
    ag_wg_wait(wg);
    *done = 1;
}

static int slow_call(int v) {
    struct timespec t = {0, 3000000};
    nanosleep(&t, NULL);
    return v;
}

static void *fly_until_closed(ag_chan(char) gate) {
    ag_recv(gate, NULL);
    return NULL;
}

static void fly_first(ag_flight *f, ag_chan(char) gate, ag_wg *wg) {
    ag_check_int(ag_flight_do(f, "key", NULL, fly_until_closed, gate), 0);
    ag_wg_done(wg);
}

AG_TEST_RUN(the_result_of_another_s_flight_is_waited_for_no_longer) {
    static ag_flight f;
    ag_wg wg = AG_WG_INIT;
    ag_chan(char) gate = ag_make(char, 0);
    ag_wg_add(&wg, 1);
    until_waits(ag_go(fly_first, &f, gate, &wg));
    for (int i = 0; i < 3; i++) {
        ag_within(2 * AG_MS);
        void *value = &f;
        ag_check_int(ag_flight_do(&f, "key", &value, fly_until_closed, gate), -ETIMEDOUT);
        ag_check(value == &f);
    }
    ag_close(gate);
    ag_wg_wait(&wg);
    ag_unref(gate);
}

static void *fly_for(int us) {
    ag_shield(AG_MIN);
    ag_sleep(us * AG_US);
    return NULL;
}

static void fly_or_give_up(ag_flight *f, int us, ag_wg *wg) {
    ag_within(100 * AG_US);
    int r = ag_flight_do(f, "key", NULL, fly_for, us);
    ag_check(r == 0 || r == 1 || r == -ETIMEDOUT);
    ag_wg_done(wg);
}

AG_TEST_RUN(a_flight_may_land_as_the_time_of_those_who_wait_ends) {
    static ag_flight f;
    ag_wg wg = AG_WG_INIT;
    for (int i = 0; i < 2000 / ag_test_slow(); i++) {
        for (int k = 0; k < 4; k++) {
            ag_wg_add(&wg, 1);
            ag_go(fly_or_give_up, &f, 80 + i % 40, &wg);
        }
        ag_wg_wait(&wg);
    }
}

AG_TEST_RUN(mutexes_groups_and_blocking_calls_always_wait) {
    ag_ctx *c = ag_ctx_with_cancel(NULL);
    ag_mutex mutex = AG_MUTEX_INIT;
    ag_wg wg = AG_WG_INIT;
    atomic_int locked = 0, done = 0;
    ag_mutex_lock(&mutex);
    ag_wg_add(&wg, 1);
    int64_t locker = ag_go(locks, c, &mutex, &wg, &locked);
    int64_t waiter = ag_go(waits_group, c, &wg, &done);
    until_waits_for(locker, "sync.Mutex.Lock");
    until_waits_for(waiter, "sync.WaitGroup.Wait");
    ag_ctx_cancel(c);
    ag_sleep(2 * AG_MS);
    ag_check(!locked && !done);
    ag_check(waits(locker, "sync.Mutex") && waits(waiter, "sync.WaitGroup"));
    ag_mutex_unlock(&mutex);
    eventually(locked && done);
    {
        ag_ctx_enter(c);
        ag_check_int(ag_blocking(slow_call, 5), 5);
    }
    ag_unref(c);
}
