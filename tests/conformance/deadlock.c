/* SPDX-License-Identifier: MIT */
/*
 * Total deadlock: nobody can run and nobody can wake anybody. The process ends with status 2 and
 * says who waits for what; and it never ends so while somebody outside could still do something.
 */
#include "common.h"

#define WORDS "fatal error: all goroutines are asleep - deadlock!\n"

/* ---- Found ---------------------------------------------------------------------------------- */

static int main_receives(void *arg) {
    ag_chan(int) c = ag_make(int, 0);
    (void)arg;
    ag_recv(c, NULL);
    return 0;
}

AG_TEST_DEATH(main_waits_alone_on_a_channel, 2, WORDS "\ngoroutine 1 [chan receive]:\n") {
    ag_test_needs_deadlock_report();
    ag_run(main_receives, NULL);
}

static int main_sends_to_nil(void *arg) {
    ag_chan(int) none = NULL;
    (void)arg;
    return ag_send(none, 1);
}

AG_TEST_DEATH(main_waits_on_a_nil_channel, 2, WORDS "\ngoroutine 1 [chan send (nil chan)]:\n") {
    ag_test_needs_deadlock_report();
    ag_run(main_sends_to_nil, NULL);
}

static int main_selects_nothing(void *arg) {
    (void)arg;
    return ag_select();
}

AG_TEST_DEATH(main_waits_in_an_empty_select, 2, WORDS "\ngoroutine 1 [select (no cases)]:\n") {
    ag_test_needs_deadlock_report();
    ag_run(main_selects_nothing, NULL);
}

static int main_locks_twice(void *arg) {
    ag_mutex m = AG_MUTEX_INIT;
    (void)arg;
    ag_mutex_lock(&m);
    ag_mutex_lock(&m);
    return 0;
}

AG_TEST_DEATH(main_locks_what_it_holds, 2, WORDS "\ngoroutine 1 [sync.Mutex.Lock]:\n") {
    ag_test_needs_deadlock_report();
    ag_run(main_locks_twice, NULL);
}

static int main_waits_for_nobody(void *arg) {
    ag_wg wg = AG_WG_INIT;
    (void)arg;
    ag_wg_add(&wg, 1);
    ag_wg_wait(&wg);
    return 0;
}

AG_TEST_DEATH(main_waits_for_a_group_that_nobody_ends, 2,
              WORDS "\ngoroutine 1 [sync.WaitGroup.Wait]:\n") {
    ag_test_needs_deadlock_report();
    ag_run(main_waits_for_nobody, NULL);
}

static ag_once once;

static void calls_once_again(void) {
    ag_once_do(&once, calls_once_again);
}

static int main_calls_once_inside(void *arg) {
    (void)arg;
    calls_once_again();
    return 0;
}

AG_TEST_DEATH(once_inside_once_is_a_deadlock, 2, WORDS) {
    ag_test_needs_deadlock_report();
    ag_run(main_calls_once_inside, NULL);
}

static void wants_to_send(ag_chan(int) c) {
    ag_send(c, 1);
}

static int main_and_others(void *arg) {
    ag_chan(int) a = ag_make(int, 0), b = ag_make(int, 0);
    (void)arg;
    ag_go(wants_to_send, a);
    ag_go_with(&(ag_go_opts){.name = "second"}, wants_to_send, a);
    return ag_recv(b, NULL);
}

AG_TEST_DEATH(several_wait_for_what_never_comes, 2, WORDS) {
    ag_test_needs_deadlock_report();
    ag_run(main_and_others, NULL);
}

AG_TEST(a_deadlock_names_everybody_and_what_they_wait_for) {
    ag_test_needs_deadlock_report();
    static struct child child;
    run_child(&child, "several_wait_for_what_never_comes");
    ag_check_int(child.status, 2);
    ag_check_contains(child.text, WORDS);
    ag_check_contains(child.text, "\ngoroutine 1 [chan receive]:\n");
    const char *sender = strstr(child.text, "[chan send]:\n");
    ag_check(sender && strstr(sender + 1, "[chan send]:\n"));
    ag_check_contains(child.text, "wants_to_send");
    ag_check_contains(child.text, "created by main_and_others");
    ag_check_contains(child.text, " at ");
    ag_check_contains(child.text, "deadlock.c:");
    ag_check_contains(child.text, "second");
}

static int main_goes_away(void *arg) {
    (void)arg;
    ag_goexit();
}

AG_TEST_DEATH(main_leaves_and_nobody_is_left, 2, "deadlock!\n") {
    ag_test_needs_deadlock_report();
    ag_run(main_goes_away, NULL);
}

static void sleeps_then_waits(ag_chan(int) c) {
    ag_sleep(2 * AG_MS);
    ag_recv(c, NULL);
}

static int main_leaves_others_that_hang(void *arg) {
    (void)arg;
    ag_go(sleeps_then_waits, ag_make(int, 0));
    ag_goexit();
}

AG_TEST_DEATH(main_leaves_and_the_rest_hangs, 2, "deadlock!\n") {
    ag_test_needs_deadlock_report();
    ag_run(main_leaves_others_that_hang, NULL);
}

static int main_works_then_hangs(void *arg) {
    ag_chan(int) c = ag_make(int, 1);
    int ends[2];
    (void)arg;
    ag_sleep(2 * AG_MS);
    ag_timer *t = ag_timer_start(AG_MIN, ag_yield);
    ag_check(ag_timer_stop(t));
    ag_select(AG_RECV(c, NULL), AG_AFTER(AG_MS));
    ag_check_int(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    ag_check_int(ag_fd_wait(ends[0], AG_READABLE, ag_now() + AG_MS), -ETIMEDOUT);
    ag_fd_close(ends[0]);
    ag_fd_close(ends[1]);
    ag_notify(c, SIGUSR1);
    ag_notify_stop(c);
    ag_blocking(usleep, 1000);
    usleep(1000);
    return ag_recv(c, NULL);
}

AG_TEST_DEATH(timers_waits_and_signals_of_the_past_do_not_hide_it, 2, WORDS) {
    ag_test_needs_deadlock_report();
    ag_run(main_works_then_hangs, NULL);
}

static int main_returns(void *arg) {
    (void)arg;
    return ag_sleep(AG_MS);
}

AG_TEST_DEATH(a_later_run_is_watched_as_well, 2, WORDS) {
    ag_test_needs_deadlock_report();
    for (int i = 0; i < 3; i++)
        ag_run(main_returns, NULL);
    ag_run(main_receives, NULL);
}

/* ---- Found: a thread took away what could have come, when all were asleep ------------------- */

enum { ASLEEP_US = 50000 };

/* Main waits for ever; a thread calls fn(arg) meanwhile and ends. */
static int main_and_a_thread(void *(*fn)(void *), void *arg) {
    pthread_t thread;
    ag_check_int(pthread_create(&thread, NULL, fn, arg), 0);
    pthread_detach(thread);
    return main_receives(NULL);
}

static void *stop_timer(void *timer) {
    usleep(ASLEEP_US);
    ag_check(ag_timer_stop(timer));
    return NULL;
}
static int main_has_a_timer(void *arg) {
    (void)arg;
    return main_and_a_thread(stop_timer, ag_timer_start(10 * AG_MIN, ag_yield));
}
AG_TEST_DEATH(a_thread_stopped_the_last_timer, 2, WORDS) {
    ag_test_needs_deadlock_report();
    ag_run(main_has_a_timer, NULL);
}

static void *end_context(void *ctx) {
    usleep(ASLEEP_US);
    ag_ctx_cancel(ctx);
    return NULL;
}
static int main_has_a_deadline(void *arg) {
    (void)arg;
    return main_and_a_thread(end_context, ag_ctx_with_timeout(NULL, 10 * AG_MIN));
}
AG_TEST_DEATH(a_thread_ended_the_last_deadline, 2, WORDS) {
    ag_test_needs_deadlock_report();
    ag_run(main_has_a_deadline, NULL);
}

static void *stop_listening(void *channel) {
    usleep(ASLEEP_US);
    ag_notify_stop((ag_chan(int))channel);
    return NULL;
}
static int main_has_a_listener(void *arg) {
    (void)arg;
    ag_chan(int) c = ag_make(int, 1);
    ag_check_int(ag_notify(c, SIGUSR1), 0);
    return main_and_a_thread(stop_listening, (void *)c);
}
AG_TEST_DEATH(a_thread_stopped_the_last_listener, 2, WORDS) {
    ag_test_needs_deadlock_report();
    ag_run(main_has_a_listener, NULL);
}

/* Longer than it takes for somebody to look whether the thread is there still. */
static void *wait_a_while(void *fd) {
    ag_time until = ag_now() + 8 * ASLEEP_US * AG_US;
    ag_check_int(ag_fd_wait(*(int *)fd, AG_READABLE, until), -ETIMEDOUT);
    return NULL;
}
static int main_has_a_pipe(void *arg) {
    (void)arg;
    int ends[2];
    ag_check_int(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    return main_and_a_thread(wait_a_while, &ends[0]);
}
AG_TEST_DEATH(a_thread_waited_for_the_last_descriptor, 2, WORDS) {
    ag_test_needs_deadlock_report();
    ag_run(main_has_a_pipe, NULL);
}

/* ---- Not found: somebody could still come --------------------------------------------------- */

static void *end_soon(void *us) {
    for (ag_time end = ag_now() + (intptr_t)us * AG_US; ag_now() < end;)
        continue;
    return NULL;
}
static void *send_from_a_thread(void *channel) {
    end_soon((void *)(intptr_t)200);
    ag_send((ag_chan(int))channel, 1);
    return NULL;
}

/* A count of threads that walks through a list misses those behind one that ends. */
AG_TEST_RUN(not_while_a_thread_is_there_behind_others_that_end) {
    enum { ENDING = 10 };
    ag_chan(int) c = ag_make(int, 0);
    for (int round = 0; round < 200; round++) {
        pthread_t ending[ENDING], sender;
        for (intptr_t i = 0; i < ENDING; i++)
            ag_check_int(pthread_create(&ending[i], NULL, end_soon, (void *)(10 * i)), 0);
        ag_check_int(pthread_create(&sender, NULL, send_from_a_thread, (void *)c), 0);
        ag_check(ag_recv(c, NULL));
        for (int i = 0; i < ENDING; i++)
            pthread_join(ending[i], NULL);
        pthread_join(sender, NULL);
    }
    ag_unref(c);
}

AG_TEST_RUN(not_while_somebody_sleeps) {
    ag_chan(int) c = ag_make(int, 0);
    for (int i = 0; i < 20; i++)
        ag_check_int(ag_select(AG_RECV(c, NULL), AG_AFTER(AG_MS)), 1);
    ag_sleep(20 * AG_MS);
    ag_unref(c);
}

static void send_one(ag_chan(int) c) {
    ag_send(c, 1);
}

AG_TEST_RUN(not_while_a_timer_or_a_ticker_is_pending) {
    ag_chan(int) c = ag_make(int, 0);
    ag_unref(ag_timer_start(20 * AG_MS, send_one, c));
    ag_check(ag_recv(c, NULL));
    ag_ticker *t = ag_ticker_start(20 * AG_MS);
    ag_check(ag_recv(ag_ticker_chan(t), NULL));
    ag_ticker_stop(t);
    ag_unref(t);
    ag_chan(ag_time) after = ag_after(20 * AG_MS);
    ag_check(ag_recv(after, NULL));
    ag_unref(after);
    ag_unref(c);
}

static void read_then_send(int fd, ag_chan(int) c) {
    char byte;
    ag_check_int(ag_fd_read(fd, &byte, 1), 1);
    ag_send(c, 1);
}

static void *write_after_a_while(void *arg) {
    usleep(30000);
    ag_check_int(write(*(int *)arg, "x", 1), 1); /* no call of the library in this thread */
    return NULL;
}

AG_TEST_RUN(not_while_somebody_waits_for_a_descriptor) {
    ag_chan(int) c = ag_make(int, 0);
    int ends[2];
    pthread_t thread;
    ag_check_int(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    ag_go(read_then_send, ends[0], c);
    pthread_create(&thread, NULL, write_after_a_while, &ends[1]);
    ag_check(ag_recv(c, NULL));
    pthread_join(thread, NULL);
    ag_fd_close(ends[0]);
    ag_fd_close(ends[1]);
    ag_unref(c);
}

static void *signal_after_a_while(void *arg) {
    usleep(30000);
    kill(getpid(), SIGUSR1);
    return arg;
}

AG_TEST_RUN(not_while_a_signal_is_awaited) {
    ag_chan(int) c = ag_make(int, 1);
    pthread_t thread;
    ag_notify(c, SIGUSR1);
    pthread_create(&thread, NULL, signal_after_a_while, NULL);
    ag_check(ag_recv(c, NULL));
    pthread_join(thread, NULL);
    ag_notify_stop(c);
    ag_unref(c);
}

struct thread_job {
    ag_chan(int) c;
    atomic_int known;
};

static void *send_after_a_while(void *arg) {
    struct thread_job *j = arg;
    ag_try_send(j->c, 1); /* from now on the library knows this thread */
    atomic_store(&j->known, 1);
    usleep(50000);
    ag_send(j->c, 2);
    return NULL;
}

AG_TEST_RUN(not_while_a_thread_that_used_the_library_could_come_back) {
    struct thread_job j = {.c = ag_make(int, 0)};
    pthread_t thread;
    int v = 0;
    pthread_create(&thread, NULL, send_after_a_while, &j);
    eventually(atomic_load(&j.known));
    ag_check(ag_recv(j.c, &v) && v == 2);
    pthread_join(thread, NULL);
    ag_unref(j.c);
}

static void *first_send_after_a_while(void *arg) {
    struct thread_job *j = arg;
    usleep(50000);
    ag_send(j->c, 3);
    return NULL;
}

AG_TEST_RUN(not_while_a_thread_could_come_for_the_first_time) {
    struct thread_job j = {.c = ag_make(int, 0)};
    pthread_t thread;
    int v = 0;
    pthread_create(&thread, NULL, first_send_after_a_while, &j);
    ag_check(ag_recv(j.c, &v) && v == 3);
    pthread_join(thread, NULL);
    ag_unref(j.c);
}

static void send_after_blocking(ag_chan(int) c, int how) {
    if (how)
        ag_blocking(usleep, 30000);
    else
        usleep(30000);
    ag_send(c, 1);
}

AG_TEST_RUN(not_while_somebody_is_outside_of_the_runtime) {
    ag_chan(int) c = ag_make(int, 0);
    for (int how = 0; how < 2; how++) {
        ag_go(send_after_blocking, c, how);
        ag_check(ag_recv(c, NULL));
    }
    ag_unref(c);
}
