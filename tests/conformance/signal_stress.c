/* SPDX-License-Identifier: MIT */
/*
 * Signals under stress and at their end, as Go's tests of os/signal have them: what Stop
 * guarantees, registrations that come and go, one signal that does not disturb another, contexts
 * that wait for a signal and end otherwise.
 */
#include "common.h"

#include <signal.h>

static void expect(ag_chan(int) c, int sig) {
    int got = 0;
    ag_check_int(ag_select(AG_RECV(c, &got), AG_AFTER(20 * AG_SEC)), 0);
    ag_check_int(got, sig);
}

static void send_signals(int sig, atomic_int *stop, ag_wg *wg) {
    while (!atomic_load(stop)) {
        kill(getpid(), sig);
        ag_yield();
    }
    ag_wg_done(wg);
}

/* Nothing is sent after ag_notify_stop: else closing the channel would make somebody panic. */
AG_TEST_RUN(the_channel_may_be_closed_right_after_the_stop) {
    if (getenv("AG_TEST_EXEC"))
        ag_skip("a storm of signals, in which an emulator crashes");
    ag_wg wg = AG_WG_INIT;
    atomic_int stop = 0;
    signal(SIGUSR1, SIG_IGN); /* what it is while nobody listens, and for one that comes late */
    ag_wg_add(&wg, 1);
    ag_go(send_signals, SIGUSR1, &stop, &wg);
    for (int i = 0; i < 200 / ag_test_slow() + 5; i++) {
        ag_chan(int) c = ag_make(int, 1 + i % 2);
        ag_check_int(ag_notify(c, SIGUSR1), 0);
        if (i % 3)
            expect(c, SIGUSR1);
        ag_notify_stop(c);
        ag_close(c);
        ag_unref(c);
    }
    atomic_store(&stop, 1);
    ag_wg_wait(&wg);
}

static void read_signals(ag_chan(int) c, atomic_int *got) {
    while (ag_recv(c, NULL))
        atomic_fetch_add(got, 1);
}

AG_TEST_RUN(a_storm_of_signals_neither_blocks_nor_ends_anything) {
    ag_chan(int) c = ag_make(int, 1);
    ag_wg wg = AG_WG_INIT;
    atomic_int stop = 0, got = 0;
    signal(SIGUSR1, SIG_IGN); /* for one that comes after the stop */
    ag_notify(c, SIGUSR1);
    ag_go(read_signals, c, &got);
    ag_wg_add(&wg, 3);
    for (int i = 0; i < 3; i++)
        ag_go(send_signals, SIGUSR1, &stop, &wg);
    eventually(atomic_load(&got) > 50);
    atomic_store(&stop, 1);
    ag_wg_wait(&wg);
    ag_notify_stop(c);
    ag_close(c);
    eventually(ag_count() == 1);
    ag_unref(c);
}

AG_TEST_RUN(a_channel_that_nobody_reads_does_not_hold_up_another) {
    ag_chan(int) unread = ag_make(int, 1), all = ag_make(int, 10);
    ag_notify(unread, SIGHUP);
    ag_notify(all);
    kill(getpid(), SIGWINCH);
    expect(all, SIGWINCH);
    for (int i = 0; i < 3; i++) {
        kill(getpid(), SIGHUP);
        expect(all, SIGHUP);
    }
    expect(unread, SIGHUP); /* the first one; the others were lost */
    ag_check_int(ag_len(unread), 0);
    ag_notify_stop(unread);
    ag_notify_stop(all);
    ag_unref(unread);
    ag_unref(all);
}

AG_TEST_RUN(each_of_several_signals_goes_where_it_was_asked_for) {
    static const int sigs[] = {SIGWINCH, SIGHUP, SIGUSR1, SIGUSR2, SIGALRM};
    ag_chan(int) c[COUNT(sigs)];
    for (size_t i = 0; i < COUNT(sigs); i++) {
        c[i] = ag_make(int, 1);
        ag_notify(c[i], sigs[i]);
    }
    for (size_t i = 0; i < COUNT(sigs); i++)
        kill(getpid(), sigs[i]);
    for (size_t i = 0; i < COUNT(sigs); i++)
        expect(c[i], sigs[i]);
    for (size_t i = 0; i < COUNT(sigs); i++) {
        ag_check_int(ag_len(c[i]), 0);
        ag_notify_stop(c[i]);
        ag_unref(c[i]);
    }
}

AG_TEST_RUN(a_signal_that_is_ignored_by_default_is_ignored_again_after_the_stop) {
    ag_chan(int) c = ag_make(int, 2), witness = ag_make(int, 1);
    ag_notify(c, SIGWINCH);
    kill(getpid(), SIGWINCH);
    expect(c, SIGWINCH);
    ag_notify_stop(c);
    kill(getpid(), SIGWINCH); /* nobody's */
    ag_notify(witness, SIGUSR1);
    kill(getpid(), SIGUSR1);
    expect(witness, SIGUSR1);
    ag_check_int(ag_len(c), 0);
    ag_notify(c, SIGWINCH); /* and on again */
    kill(getpid(), SIGWINCH);
    expect(c, SIGWINCH);
    ag_notify_stop(c);
    ag_notify_stop(witness);
    ag_unref(c);
    ag_unref(witness);
}

AG_TEST_RUN(asking_twice_gives_the_signal_once) {
    ag_chan(int) c = ag_make(int, 4), witness = ag_make(int, 4);
    ag_notify(c, SIGUSR1);
    ag_notify(c, SIGUSR1, SIGUSR1);
    ag_notify(witness, SIGUSR2);
    kill(getpid(), SIGUSR1);
    expect(c, SIGUSR1);
    kill(getpid(), SIGUSR2);
    expect(witness, SIGUSR2); /* the first one was dealt with before */
    ag_check_int(ag_len(c), 0);
    ag_notify_stop(c); /* one stop is enough */
    ag_notify_stop(witness);
    ag_unref(c);
    ag_unref(witness);
}

AG_TEST_RUN(a_stop_of_a_channel_that_never_asked_does_nothing) {
    ag_chan(int) c = ag_make(int, 1), other = ag_make(int, 1);
    ag_notify(other, SIGUSR1);
    ag_notify_stop(c);
    ag_notify_stop(c);
    kill(getpid(), SIGUSR1);
    expect(other, SIGUSR1);
    ag_notify_stop(other);
    ag_unref(c);
    ag_unref(other);
}

/* SIGHUP was set to be ignored before: by nohup, for example. */
AG_TEST_RUN(what_was_ignored_can_be_asked_for_and_is_ignored_afterwards) {
    ag_chan(int) c = ag_make(int, 1);
    signal(SIGHUP, SIG_IGN);
    ag_check_int(ag_notify(c, SIGHUP), 0);
    kill(getpid(), SIGHUP);
    expect(c, SIGHUP);
    ag_notify_stop(c);
    struct sigaction action;
    sigaction(SIGHUP, NULL, &action);
    ag_check(action.sa_handler == SIG_IGN);
    kill(getpid(), SIGHUP); /* else this is the end */
    ag_sleep(AG_MS);
    ag_check_int(ag_len(c), 0);
    ag_unref(c);
}

/* ---- Contexts ------------------------------------------------------------------------------- */

AG_TEST_RUN(a_context_of_a_signal_that_is_cancelled_tells_a_cancel) {
    ag_ctx *c = ag_notify_ctx(NULL, SIGHUP);
    ag_ctx_cancel(c);
    ag_check_int(ag_try_recv(ag_ctx_done(c), NULL), 0);
    ag_check_int(ag_ctx_err(c), -ECANCELED);
    ag_check_int(ag_ctx_cause(c), -ECANCELED);
    ag_unref(c);
}

AG_TEST_RUN(a_context_of_a_signal_ends_with_its_parent_and_for_the_same_cause) {
    ag_ctx *parent = ag_ctx_with_cancel(NULL), *c = ag_notify_ctx(parent, SIGINT);
    ag_ctx_cancel_cause(parent, -EIO);
    ag_check_int(ag_ctx_err(c), -ECANCELED);
    ag_check_int(ag_ctx_cause(c), -EIO);
    ag_ctx *late = ag_notify_ctx(parent, SIGINT); /* born ended */
    ag_check_int(ag_ctx_err(late), -ECANCELED);
    ag_check_int(ag_ctx_cause(late), -EIO);
    ag_unref(late);
    ag_unref(c);
    ag_unref(parent);
}

static void cancel_and_done(ag_ctx *c, ag_wg *wg) {
    ag_ctx_cancel(c);
    ag_wg_done(wg);
}

AG_TEST_RUN(many_may_cancel_a_context_of_a_signal_at_the_same_time) {
    for (int i = 0; i < 20; i++) {
        ag_ctx *c = ag_notify_ctx(NULL, SIGINT);
        ag_wg wg = AG_WG_INIT;
        ag_wg_add(&wg, 10);
        for (int k = 0; k < 10; k++)
            ag_go(cancel_and_done, c, &wg);
        ag_wg_wait(&wg);
        ag_check_int(ag_ctx_err(c), -ECANCELED);
        ag_unref(c);
    }
}

AG_TEST_RUN(a_signal_ends_the_waits_below_its_context) {
    ag_ctx *c = ag_notify_ctx(NULL, SIGTERM);
    ag_chan(int) never = ag_make(int, 0);
    ag_ctx_enter(c);
    kill(getpid(), SIGTERM);
    ag_check_int(ag_sleep(20 * AG_SEC), -ECANCELED);
    ag_check(!ag_recv(never, NULL));
    ag_check_int(ag_ctx_cause(ag_ctx_current()), SIGTERM);
    ag_unref(never);
    ag_unref(c);
}

static int main_gets_two(void *arg) {
    ag_ctx *c = ag_notify_ctx(NULL, SIGTERM);
    (void)arg;
    kill(getpid(), SIGTERM);
    ag_recv(ag_ctx_done(c), NULL);
    fputs("the first one stops\n", stderr);
    for (struct sigaction action = {.sa_handler = SIG_IGN}; action.sa_handler != SIG_DFL;)
        sigaction(SIGTERM, NULL, &action);
    kill(getpid(), SIGTERM); /* does not wait for the clean-up */
    return ag_sleep(20 * AG_SEC);
}

AG_TEST_DEATH(the_first_signal_ends_the_context_and_the_second_the_process, 128 + SIGTERM,
              "the first one stops\n") {
    ag_run(main_gets_two, NULL);
}
