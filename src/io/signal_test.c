/* SPDX-License-Identifier: MIT */
/*
 * Signals from inside: counting, blocked masks, worlds, closed channels, the hook of SIGQUIT.
 */
#include "ag_test.h"
#include "io/io.h"
#include "lang/lang.h"
#include <aglet.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static void expect(ag_chan(int) c, int sig) {
    int got = 0;
    ag_check_int(ag_select(AG_RECV(c, &got), AG_AFTER(20 * AG_SEC)), 0);
    ag_check_int(got, sig);
}

static bool is_default(int sig) {
    struct sigaction action;
    sigaction(sig, NULL, &action);
    return !(action.sa_flags & SA_SIGINFO) && action.sa_handler == SIG_DFL;
}

AG_TEST_RUN(actions_come_and_go_with_the_listeners) {
    ag_chan(int) a = ag_make(int, 1), b = ag_make(int, 1);
    ag_check_int(ag_notify(a, SIGUSR1), 0);
    ag_check_int(ag_notify(a, SIGUSR1, SIGUSR1), 0); /* asked for again: still once */
    ag_check_int(ag_notify(b, SIGUSR1), 0);
    struct sigaction action;
    sigaction(SIGUSR1, NULL, &action);
    ag_check((action.sa_flags & SA_RESTART) &&
             (action.sa_flags & SA_ONSTACK || ag_test_under("valgrind"))); /* sig.c tells why */
    ag_notify_stop(a);
    ag_check(!is_default(SIGUSR1));
    ag_notify_stop(b);
    ag_check(is_default(SIGUSR1));
    ag_notify_stop(b); /* nothing to stop */
    ag_unref(a);
    ag_unref(b);
}

static void own_handler(int sig) {
    (void)sig;
}

AG_TEST_RUN(an_action_set_meanwhile_is_left_alone) {
    ag_chan(int) c = ag_make(int, 1);
    ag_check_int(ag_notify(c, SIGUSR1), 0);
    struct sigaction action = {.sa_handler = own_handler};
    sigaction(SIGUSR1, &action, NULL);
    ag_notify_stop(c);
    sigaction(SIGUSR1, NULL, &action);
    ag_check(action.sa_handler == own_handler);
    ag_unref(c);
}

AG_TEST_RUN(a_refused_list_changes_nothing) {
    ag_chan(int) c = ag_make(int, 1);
    ag_check_int(ag_notify(c, SIGUSR1, SIGKILL), -EINVAL);
    ag_check(is_default(SIGUSR1));
    ag_check_int(ag_notify(c, SIGSEGV), -EINVAL);
    ag_check_int(ag_notify(c, -1), -EINVAL);
    ag_check_int(ag_notify(c, 65), -EINVAL);
    ag_check_int(ag_notify(c, 32), -EINVAL);
    /* Valgrind keeps the last one for itself. */
    ag_check_int(ag_notify(c, ag_test_under("valgrind") ? 63 : 64), 0);
    ag_notify_stop(c);
    ag_unref(c);
}

/* Real-time signals are queued by the kernel: with room for them every one arrives. */
AG_TEST_RUN(no_signal_that_has_room_is_lost) {
    enum { MANY = 200 };
    ag_chan(int) c = ag_make(int, MANY);
    ag_check_int(ag_notify(c, SIGRTMIN + 1), 0);
    for (int i = 0; i < MANY; i++)
        kill(getpid(), SIGRTMIN + 1);
    for (int i = 0; i < MANY; i++)
        expect(c, SIGRTMIN + 1);
    ag_notify_stop(c);
    ag_check_int(ag_len(c), 0);
    ag_unref(c);
}

AG_TEST_RUN(what_was_caught_before_a_stop_goes_out_and_no_more) {
    for (int i = 0; i < 50 / ag_test_slow(); i++) {
        ag_chan(int) c = ag_make(int, 4);
        ag_check_int(ag_notify(c, SIGURG), 0); /* ignored by default */
        raise(SIGURG);
        ag_notify_stop(c);
        ag_check_int(ag_len(c), 1);
        raise(SIGURG);
        ag_check_int(ag_len(c), 1);
        ag_unref(c);
    }
}

AG_TEST_RUN(a_full_channel_loses_and_delays_nobody) {
    ag_chan(int) full = ag_make(int, 2), wide = ag_make(int, 64);
    ag_check_int(ag_notify(full, SIGUSR1), 0);
    ag_check_int(ag_notify(wide, SIGUSR1), 0);
    for (int i = 0; i < 10; i++) {
        raise(SIGUSR1);
        expect(wide, SIGUSR1);
    }
    ag_check_int(ag_len(full), 2);
    ag_notify_stop(full);
    ag_notify_stop(wide);
    ag_unref(full);
    ag_unref(wide);
}

AG_TEST_RUN(a_listener_is_no_deadlock) {
    int before = ag__sched.outside_waits;
    ag_chan(int) c = ag_make(int, 1);
    ag_check_int(ag_notify(c, SIGUSR1), 0);
    ag_check_int(ag_notify(c, SIGUSR2), 0);
    ag_check_int(ag__sched.outside_waits, before + 1);
    ag_notify_stop(c);
    ag_check_int(ag__sched.outside_waits, before);
    ag_unref(c);
}

static int wait_for_nothing(void *arg) {
    (void)arg;
    ag_chan(int) c = ag_make(int, 0);
    ag_notify(c, SIGUSR1);
    ag_notify_stop(c);
    ag_recv(c, NULL);
    return 0;
}

AG_TEST_DEATH(after_the_stop_a_deadlock_is_found, 2, "all goroutines are asleep") {
    ag_test_needs_deadlock_report();
    ag_run(wait_for_nothing, NULL);
}

static void listen_no_more(void) {
    while (!ag__all_quiet(0))
        ag__os_yield();
    ag__outside_waits(-1);
}

static int wait_for_no_listener(void *arg) {
    (void)arg;
    ag__outside_waits(1);
    ag_check_int(ag__helper_start(listen_no_more, "listens"), 0);
    ag_recv(ag_make(int, 0), NULL);
    return 0;
}

/* The thread of signals takes a context off the list after those who wait for it have gone on. */
AG_TEST_DEATH(a_listener_that_goes_when_all_are_asleep_hides_no_deadlock, 2,
              "all goroutines are asleep") {
    ag_test_needs_deadlock_report();
    ag_run(wait_for_no_listener, NULL);
}

static int send_to_closed(void *arg) {
    (void)arg;
    ag_chan(int) c = ag_make(int, 1);
    ag_notify(c, SIGUSR1);
    ag_close(c);
    raise(SIGUSR1);
    return ag_sleep(20 * AG_SEC);
}

AG_TEST_DEATH(a_closed_channel_panics, 2, "panic: send on closed channel") {
    ag_run(send_to_closed, NULL);
}

/* --- Masks and worlds. --- */

static ag_chan(int) lasting;

static int listen_and_get(void *arg) {
    ag_chan(int) c = ag_make(int, 1);
    ag_check_int(ag_notify(c, SIGUSR1), 0);
    kill(getpid(), SIGUSR1);
    expect(c, SIGUSR1);
    ag_notify_stop(c);
    ag_unref(c);
    if (arg)
        expect(lasting, SIGUSR1);
    return 0;
}

AG_TEST(signals_that_every_thread_blocks_arrive) {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    ag_check_int(ag_run(listen_and_get, NULL), 0);
}

AG_TEST(a_listener_lasts_through_worlds_and_between_them) {
    lasting = ag_make(int, 1);
    ag_check_int(ag_notify(lasting, SIGUSR1), 0); /* without a world */
    raise(SIGUSR1);
    int got = 0;
    for (int i = 0; i < 20000 && ag_len(lasting) == 0; i++)
        usleep(1000);
    ag_check_int(ag_try_recv(lasting, &got), 1);
    ag_check_int(got, SIGUSR1);
    for (int i = 0; i < 3; i++)
        ag_check_int(ag_run(listen_and_get, (void *)lasting), 0);
    ag_notify_stop(lasting);
    ag_check(is_default(SIGUSR1));
    ag_unref(lasting);
}

/* --- The hook of SIGQUIT. --- */

static _Atomic int hooked;
static void hook(void) {
    hooked++;
}
static void stuck(void) {
    write(2, "stuck\n", 6);
    pause();
}

static int main_quits(void *arg) {
    (void)arg;
    ag_check(!is_default(SIGQUIT));
    ag__on_quit(hook);
    kill(getpid(), SIGQUIT);
    for (int i = 0; i < 20000 && hooked == 0; i++)
        ag_sleep(AG_MS);
    ag_check_int(hooked, 1);
    ag_chan(int) c = ag_make(int, 4);
    ag_check_int(ag_notify(c, SIGQUIT), 0); /* now it is the channel's … */
    for (int i = 0; i < 3; i++) {
        kill(getpid(), SIGQUIT);
        expect(c, SIGQUIT);
    }
    ag_check_int(hooked, 1);
    ag_notify_stop(c);
    ag_check(!is_default(SIGQUIT)); /* … and now the hook's again */
    ag_unref(c);
    return 0;
}

AG_TEST(the_hook_of_sigquit_runs_unless_a_channel_asks) {
    ag_check(is_default(SIGQUIT));
    ag_check_int(ag_run(main_quits, NULL), 0);
    ag_check(is_default(SIGQUIT));
}

static int main_is_stuck(void *arg) {
    (void)arg;
    ag__on_quit(stuck);
    kill(getpid(), SIGQUIT);
    ag_sleep(100 * AG_MS);
    kill(getpid(), SIGQUIT);
    return ag_sleep(20 * AG_SEC);
}

AG_TEST_DEATH(a_second_sigquit_ends_the_process_although_the_hook_is_stuck, 2, "stuck") {
    ag_run(main_is_stuck, NULL);
}

static int main_looks(void *expected) {
    struct sigaction action;
    sigaction(SIGQUIT, NULL, &action);
    ag_check(action.sa_handler == *(void (**)(int))expected);
    return 0;
}

AG_TEST(sigquit_is_left_alone_when_asked_to) {
    void (*expected)(int) = SIG_DFL;
    ag_config config = {.no_signals = 1};
    ag_check_int(ag_run_with(&config, main_looks, &expected), 0);
    struct sigaction action = {.sa_handler = own_handler};
    sigaction(SIGQUIT, &action, NULL);
    expected = own_handler;
    ag_check_int(ag_run(main_looks, &expected), 0);
    main_looks(&expected);
}
