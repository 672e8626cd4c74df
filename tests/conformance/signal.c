/* SPDX-License-Identifier: MIT */
/*
 * Signals as values on a channel.
 */
#include "common.h"

#include <signal.h>

static void expect(ag_chan(int) c, int sig) {
    int got = 0;
    ag_check_int(ag_select(AG_RECV(c, &got), AG_AFTER(20 * AG_SEC)), 0);
    ag_check_int(got, sig);
}

AG_TEST_RUN(a_signal_arrives_on_the_channel) {
    ag_chan(int) c = ag_make(int, 4);
    ag_check_int(ag_notify(c, SIGUSR1, SIGUSR2), 0);
    kill(getpid(), SIGUSR1);
    expect(c, SIGUSR1);
    kill(getpid(), SIGUSR2);
    expect(c, SIGUSR2);
    raise(SIGUSR1);
    expect(c, SIGUSR1);
    ag_notify_stop(c);
    ag_unref(c);
}

AG_TEST_RUN(those_that_would_end_the_process_arrive_too) {
    ag_chan(int) c = ag_make(int, 4);
    const int sigs[] = {SIGINT, SIGTERM, SIGHUP, SIGCHLD, SIGWINCH, SIGALRM};
    for (size_t i = 0; i < COUNT(sigs); i++)
        ag_check_int(ag_notify(c, sigs[i]), 0); /* calls add up */
    for (size_t i = 0; i < COUNT(sigs); i++) {
        kill(getpid(), sigs[i]);
        expect(c, sigs[i]);
    }
    ag_notify_stop(c);
    ag_unref(c);
}

AG_TEST_RUN(without_a_list_all_arrive) {
    if (ag_test_under("valgrind"))
        ag_skip("a tool that does not keep the last signal for itself");
    ag_chan(int) c = ag_make(int, 4);
    ag_check_int(ag_notify(c), 0);
    kill(getpid(), SIGTERM);
    expect(c, SIGTERM);
    kill(getpid(), SIGRTMIN + 3);
    expect(c, SIGRTMIN + 3);
    ag_notify_stop(c);
    ag_unref(c);
}

AG_TEST_RUN(every_channel_that_asked_gets_it) {
    ag_chan(int) a = ag_make(int, 1), b = ag_make(int, 1), other = ag_make(int, 1);
    ag_notify(a, SIGUSR1);
    ag_notify(b, SIGUSR1, SIGUSR2);
    ag_notify(other, SIGUSR2);
    kill(getpid(), SIGUSR1);
    expect(a, SIGUSR1);
    expect(b, SIGUSR1);
    ag_check_int(ag_len(other), 0);
    ag_notify_stop(b);
    kill(getpid(), SIGUSR1);
    expect(a, SIGUSR1);
    ag_check_int(ag_len(b), 0);
    ag_notify_stop(a);
    ag_notify_stop(other);
    ag_unref(a);
    ag_unref(b);
    ag_unref(other);
}

AG_TEST_RUN(a_full_channel_loses_the_signal_and_nobody_waits) {
    ag_chan(int) full = ag_make(int, 1), witness = ag_make(int, 8), none = ag_make(int, 0);
    ag_notify(full, SIGUSR1);
    ag_notify(none, SIGUSR1);
    ag_notify(witness, SIGUSR1);
    for (int i = 0; i < 3; i++) {
        kill(getpid(), SIGUSR1);
        expect(witness, SIGUSR1);
    }
    ag_check_int(ag_len(full), 1);
    expect(full, SIGUSR1);
    ag_check_int(ag_try_recv(full, NULL), -EAGAIN);
    ag_notify_stop(full);
    ag_notify_stop(witness);
    ag_notify_stop(none);
    ag_unref(full);
    ag_unref(witness);
    ag_unref(none);
}

AG_TEST_RUN(one_that_cannot_be_caught_is_refused) {
    ag_chan(int) c = ag_make(int, 1);
    ag_check_int(ag_notify(c, SIGKILL), -EINVAL);
    ag_check_int(ag_notify(c, SIGSTOP), -EINVAL);
    ag_check_int(ag_notify(c, 0), -EINVAL);
    ag_check_int(ag_notify(c, 1000), -EINVAL);
    ag_notify_stop(c);
    ag_unref(c);
}

static void notify_nil(void) {
    ag_chan(int) none = NULL;
    ag_notify(none, SIGINT);
}

AG_TEST_RUN(a_nil_channel_panics) {
    ag_panic_info info;
    ag_check_int(ag_try(&info, notify_nil), AG_PANICKED);
    ag_check_str(info.msg, "os/signal: Notify using nil channel");
}

AG_TEST_RUN(the_channel_is_held_until_the_stop) {
    ag_chan(int) c = ag_make(int, 1);
    ag_notify(c, SIGUSR1);
    ag_chan(int) last = c;
    ag_unref(c); /* the notification has its own reference */
    kill(getpid(), SIGUSR1);
    expect(last, SIGUSR1);
    ag_notify_stop(last);
}

static int main_stops_listening(void *arg) {
    ag_chan(int) c = ag_make(int, 1);
    (void)arg;
    ag_notify(c, SIGUSR1);
    kill(getpid(), SIGUSR1);
    expect(c, SIGUSR1);
    ag_notify_stop(c);
    fprintf(stderr, "stopped listening\n");
    kill(getpid(), SIGUSR1);
    return ag_sleep(20 * AG_SEC);
}

AG_TEST_DEATH(after_the_stop_the_old_action_is_back, 128 + SIGUSR1, "stopped listening") {
    ag_run(main_stops_listening, NULL);
}

static atomic_int handled;

static void handler(int sig) {
    atomic_store(&handled, sig);
}

AG_TEST_RUN(after_the_stop_a_handler_of_the_program_is_back) {
    ag_chan(int) c = ag_make(int, 1);
    signal(SIGUSR2, handler);
    ag_notify(c, SIGUSR2);
    kill(getpid(), SIGUSR2);
    expect(c, SIGUSR2);
    ag_notify_stop(c);
    ag_check_int(atomic_load(&handled), 0);
    kill(getpid(), SIGUSR2);
    eventually(atomic_load(&handled) == SIGUSR2);
    ag_check_int(ag_len(c), 0);
    ag_unref(c);
}

static void burn(atomic_int *stop) {
    while (!atomic_load(stop))
        continue;
}

AG_TEST_RUN(signals_arrive_while_every_processor_is_kept_by_a_loop) {
    static atomic_int stop;
    ag_chan(int) c = ag_make(int, 1);
    ag_notify(c, SIGUSR1);
    for (int i = 0; i < ag_procs(0) && i < 3; i++)
        ag_go(burn, &stop);
    kill(getpid(), SIGUSR1);
    expect(c, SIGUSR1);
    atomic_store(&stop, 1);
    ag_notify_stop(c);
    ag_unref(c);
}

AG_TEST_RUN(many_signals_in_a_row_are_seen) {
    ag_chan(int) c = ag_make(int, 1);
    ag_notify(c, SIGUSR1);
    for (int i = 0; i < 500 / ag_test_slow(); i++) {
        kill(getpid(), SIGUSR1);
        expect(c, SIGUSR1);
    }
    ag_notify_stop(c);
    ag_unref(c);
}
