/* SPDX-License-Identifier: MIT */
/*
 * Taking signals back: ag_notify_reset, ag_notify_ignore, ag_notify_ignored, and what the signals
 * do then; the promises of Go's os/signal and the cases of its own tests.
 */
#include "common.h"

#include <signal.h>

static void expect(ag_chan(int) c, int sig) {
    int got = 0;
    ag_check_int(ag_select(AG_RECV(c, &got), AG_AFTER(20 * AG_SEC)), 0);
    ag_check_int(got, sig);
}

static bool has_handler(int sig, void (*handler)(int)) {
    struct sigaction now;
    ag_check_int(sigaction(sig, NULL, &now), 0);
    return now.sa_handler == handler;
}

static atomic_int handled;
static void handler(int sig) {
    atomic_store(&handled, sig);
}

/* "Ask for everything": the channel of one signal and the channel of all get copies independently,
   and one that is not read holds nobody up. */
AG_TEST_RUN(a_channel_for_all_and_one_for_some_get_copies) {
    ag_chan(int) c = ag_make(int, 1), all = ag_make(int, 10);
    ag_check_int(ag_notify(c, SIGHUP), 0);
    kill(getpid(), SIGHUP);
    expect(c, SIGHUP);
    ag_check_int(ag_notify(all), 0);
    ag_check_int(ag_notify_reset(SIGURG), 0);
    kill(getpid(), SIGURG);
    kill(getpid(), SIGWINCH);
    expect(all, SIGWINCH);
    for (int i = 0; i < 2; i++) {
        kill(getpid(), SIGHUP);
        expect(all, SIGHUP);
    }
    expect(c, SIGHUP);
    ag_notify_stop(c);
    ag_notify_stop(all);
    ag_unref(c);
    ag_unref(all);
}

/* Reset undoes all prior calls of Notify for the signals, whatever the channel. */
AG_TEST_RUN(reset_undoes_notify_on_every_channel) {
    ag_chan(int) a = ag_make(int, 4), b = ag_make(int, 4);
    ag_check_int(ag_notify(a, SIGWINCH, SIGUSR1), 0);
    ag_check_int(ag_notify(b, SIGWINCH), 0);
    ag_check_int(ag_notify_reset(SIGWINCH), 0);
    ag_check(has_handler(SIGWINCH, SIG_DFL));
    kill(getpid(), SIGWINCH);
    kill(getpid(), SIGUSR1);
    expect(a, SIGUSR1); /* the other one still comes */
    ag_check_int(ag_len(a), 0);
    ag_check_int(ag_len(b), 0);
    ag_check_int(ag_notify(b, SIGWINCH), 0); /* asked for anew */
    kill(getpid(), SIGWINCH);
    expect(b, SIGWINCH);
    ag_check_int(ag_len(a), 0);
    ag_notify_stop(a);
    ag_notify_stop(b);
    ag_unref(a);
    ag_unref(b);
}

AG_TEST_RUN(reset_without_a_list_is_for_all) {
    ag_chan(int) c = ag_make(int, 4);
    signal(SIGUSR2, handler);
    ag_check_int(ag_notify(c), 0);
    ag_check_int(ag_notify_ignore(SIGHUP), 0);
    ag_check_int(ag_notify_reset(), 0);
    ag_check(has_handler(SIGTERM, SIG_DFL) && has_handler(SIGHUP, SIG_DFL));
    ag_check(has_handler(SIGUSR2, handler));
    ag_check(!ag_notify_ignored(SIGHUP));
    kill(getpid(), SIGUSR2);
    eventually(atomic_load(&handled) == SIGUSR2);
    ag_check_int(ag_len(c), 0);
    ag_notify_stop(c); /* nothing to stop */
    ag_unref(c);
}

/* What came before it is sent, not lost; then no more. */
AG_TEST_RUN(what_came_before_a_reset_goes_out) {
    for (int i = 0; i < 50 / ag_test_slow(); i++) {
        ag_chan(int) c = ag_make(int, 4);
        ag_check_int(ag_notify(c, SIGURG), 0);
        raise(SIGURG);
        ag_check_int(i % 2 ? ag_notify_reset(SIGURG) : ag_notify_ignore(SIGURG), 0);
        ag_check_int(ag_len(c), 1);
        raise(SIGURG);
        ag_check_int(ag_len(c), 1);
        ag_unref(c); /* the last: the notification's went with the reset */
    }
    ag_notify_reset(SIGURG);
}

AG_TEST_RUN(reset_and_ignore_refuse_what_cannot_be_caught) {
    ag_chan(int) c = ag_make(int, 1);
    ag_check_int(ag_notify(c, SIGUSR1), 0);
    ag_check_int(ag_notify_reset(SIGUSR1, SIGKILL), -EINVAL);
    ag_check_int(ag_notify_ignore(SIGUSR1, SIGSEGV), -EINVAL);
    ag_check_int(ag_notify_reset(0), -EINVAL);
    ag_check_int(ag_notify_ignore(65), -EINVAL);
    ag_check_int(ag_notify_ignore(-1), -EINVAL);
    kill(getpid(), SIGUSR1);
    expect(c, SIGUSR1);
    ag_notify_stop(c);
    ag_unref(c);
}

static int main_resets(void *arg) {
    ag_chan(int) c = ag_make(int, 1);
    (void)arg;
    ag_notify(c, SIGHUP);
    ag_notify_ignore(SIGHUP);
    kill(getpid(), SIGHUP);
    ag_notify_reset(SIGHUP);
    fprintf(stderr, "reset\n");
    kill(getpid(), SIGHUP);
    return ag_sleep(20 * AG_SEC);
}
AG_TEST_DEATH(after_a_reset_the_default_action_is_back, 128 + SIGHUP, "reset") {
    ag_run(main_resets, NULL);
}

/* The system keeps an ignored signal while the first thread blocks it; the reset must not free it.
 */
static int main_is_sent_what_it_ignores(void *arg) {
    (void)arg;
    ag_notify_ignore(SIGHUP);
    kill(getpid(), SIGHUP);
    ag_notify_reset(SIGHUP);
    return 0;
}
static void block_hup(void) {
    sigset_t hup;
    sigemptyset(&hup);
    sigaddset(&hup, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &hup, NULL);
}
AG_TEST(what_came_while_it_was_ignored_is_gone_after_a_reset) {
    sigset_t pending;
    block_hup();
    ag_check_int(ag_run(main_is_sent_what_it_ignores, NULL), 0);
    sigpending(&pending);
    ag_check(!sigismember(&pending, SIGHUP));
}

static int main_listens_for_what_it_ignored(void *arg) {
    ag_chan(int) c = ag_make(int, 4), witness = ag_make(int, 4);
    (void)arg;
    ag_check_int(ag_notify(witness, SIGUSR1), 0);
    ag_notify_ignore(SIGHUP);
    kill(getpid(), SIGHUP);
    ag_check_int(ag_notify(c, SIGHUP), 0);
    kill(getpid(), SIGUSR1);
    expect(witness, SIGUSR1);
    ag_check_int(ag_len(c), 0);
    kill(getpid(), SIGHUP);
    expect(c, SIGHUP);
    ag_unref(c);
    ag_unref(witness);
    return 0;
}
AG_TEST(what_came_while_it_was_ignored_does_not_come_to_who_listens_later) {
    block_hup();
    ag_check_int(ag_run(main_listens_for_what_it_ignored, NULL), 0);
}

/* Ignore: if they are received, nothing happens; it undoes prior calls of Notify. */
AG_TEST_RUN(what_is_ignored_does_nothing) {
    ag_chan(int) c = ag_make(int, 4), witness = ag_make(int, 4);
    ag_check_int(ag_notify(c, SIGHUP, SIGTERM, SIGRTMIN + 2), 0);
    ag_check_int(ag_notify(witness, SIGUSR1), 0);
    ag_check(!ag_notify_ignored(SIGHUP));
    ag_check_int(ag_notify_ignore(SIGHUP, SIGTERM, SIGRTMIN + 2), 0);
    ag_check(ag_notify_ignored(SIGHUP) && ag_notify_ignored(SIGTERM));
    kill(getpid(), SIGHUP);
    kill(getpid(), SIGTERM);
    kill(getpid(), SIGRTMIN + 2);
    kill(getpid(), SIGUSR1);
    expect(witness, SIGUSR1);
    ag_check_int(ag_len(c), 0);
    ag_notify_reset(SIGHUP, SIGTERM, SIGRTMIN + 2);
    ag_check(!ag_notify_ignored(SIGHUP));
    ag_notify_stop(witness);
    ag_unref(c);
    ag_unref(witness);
}

AG_TEST_RUN(ignore_without_a_list_is_for_all) {
    ag_check_int(ag_notify_ignore(), 0);
    const int sigs[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM, SIGUSR1,
                        SIGUSR2, SIGALRM, SIGPIPE, SIGCHLD};
    for (size_t i = 0; i < COUNT(sigs); i++) {
        ag_check(ag_notify_ignored(sigs[i]));
        kill(getpid(), sigs[i]);
    }
    ag_check(!ag_notify_ignored(SIGKILL) && !ag_notify_ignored(0) && !ag_notify_ignored(65));
    ag_check_int(ag_notify_reset(), 0);
    for (size_t i = 0; i < COUNT(sigs); i++)
        ag_check(!ag_notify_ignored(sigs[i]));
}

/* Ignored: false while somebody is notified; what was ignored before the Notify is so again. */
AG_TEST_RUN(notify_takes_precedence_over_ignore_while_it_lasts) {
    ag_chan(int) c = ag_make(int, 1);
    const int sigs[] = {SIGHUP, SIGCHLD};
    for (size_t i = 0; i < COUNT(sigs); i++) {
        ag_check_int(ag_notify_ignore(sigs[i]), 0);
        ag_check_int(ag_notify(c, sigs[i]), 0);
        ag_check(!ag_notify_ignored(sigs[i]));
        kill(getpid(), sigs[i]);
        expect(c, sigs[i]);
        ag_notify_stop(c);
        ag_check(ag_notify_ignored(sigs[i]));
        ag_notify_reset(sigs[i]);
    }
    ag_unref(c);
}

/* Children would end without a status if the system were told to ignore SIGCHLD. */
AG_TEST_RUN(ignoring_sigchld_keeps_the_status_of_children) {
    ag_check_int(ag_notify_ignore(SIGCHLD), 0);
    ag_check(ag_notify_ignored(SIGCHLD) && has_handler(SIGCHLD, SIG_DFL));
    const char *argv[] = {"sh", "-c", "exit 3", NULL};
    ag_process *p;
    ag_process_status status;
    ag_check_int(ag_process_start(&(ag_process_opts){.argv = argv}, &p), 0);
    ag_check_int(ag_process_wait(p, &status), 0);
    ag_check_int(status.exit_code, 3);
    ag_unref(p);
    ag_notify_reset(SIGCHLD);
}

/* ---- Started with SIGHUP ignored (nohup) ---------------------------------------------------- */

static int main_under_nohup(void *arg) {
    (void)arg;
    ag_check(ag_notify_ignored(SIGHUP));
    kill(getpid(), SIGHUP); /* nothing */
    ag_chan(int) c = ag_make(int, 1);
    ag_check_int(ag_notify(c, SIGHUP), 0);
    ag_check(!ag_notify_ignored(SIGHUP));
    kill(getpid(), SIGHUP);
    expect(c, SIGHUP);
    ag_notify_stop(c);
    ag_check(ag_notify_ignored(SIGHUP)); /* once again */
    kill(getpid(), SIGHUP);
    ag_notify(c, SIGHUP);
    ag_notify_reset(SIGHUP);
    ag_check(ag_notify_ignored(SIGHUP));
    kill(getpid(), SIGHUP);
    ag_unref(c);
    return 0;
}
AG_TEST(what_the_program_was_started_with_is_ignored_again_after_the_stop) {
    signal(SIGHUP, SIG_IGN);
    ag_check_int(ag_run(main_under_nohup, NULL), 0);
}

static int main_without_nohup(void *arg) {
    (void)arg;
    ag_check(!ag_notify_ignored(SIGHUP));
    kill(getpid(), SIGHUP);
    return ag_sleep(20 * AG_SEC);
}
AG_TEST_DEATH(without_nohup_sighup_ends_the_program, 128 + SIGHUP, "") {
    ag_run(main_without_nohup, NULL);
}

/* Children inherit what is ignored. */
AG_TEST_RUN(children_ignore_what_is_ignored_and_not_what_is_caught) {
    const char *argv[] = {"sh", "-c", "kill -HUP $$; kill -USR1 $$; exit 4", NULL};
    ag_process_opts opts = {.argv = argv};
    ag_chan(int) c = ag_make(int, 1);
    ag_process *p;
    ag_process_status status;
    ag_check_int(ag_notify(c, SIGUSR1), 0);
    ag_check_int(ag_notify_ignore(SIGHUP), 0);
    ag_check_int(ag_process_start(&opts, &p), 0);
    ag_check_int(ag_process_wait(p, &status), 0);
    ag_check_int(status.signal, SIGUSR1);
    ag_unref(p);
    ag_check_int(ag_notify_ignore(SIGUSR1), 0);
    ag_check_int(ag_process_start(&opts, &p), 0);
    ag_check_int(ag_process_wait(p, &status), 0);
    ag_check_int(status.exit_code, 4);
    ag_unref(p);
    ag_notify_reset();
    ag_unref(c);
}

/* ---- SIGCONT, SIGPIPE, SIGQUIT -------------------------------------------------------------- */

AG_TEST_RUN(sigcont_and_the_signals_of_job_control_arrive) {
    ag_chan(int) c = ag_make(int, 1);
    const int sigs[] = {SIGCONT, SIGTSTP, SIGTTIN, SIGTTOU};
    for (size_t i = 0; i < COUNT(sigs); i++) {
        ag_check_int(ag_notify(c, sigs[i]), 0);
        kill(getpid(), sigs[i]);
        expect(c, sigs[i]);
    }
    ag_notify_stop(c);
    ag_unref(c);
}

/* The library's writes tell by -EPIPE and raise nothing; a plain write(2) raises it, and it
 * arrives. */
AG_TEST_RUN(sigpipe_arrives_from_plain_writes_and_not_from_ours) {
    ag_chan(int) c = ag_make(int, 2);
    int ends[2];
    ag_check_int(pipe2(ends, O_CLOEXEC), 0);
    close(ends[0]);
    ag_check_int(ag_notify(c, SIGPIPE), 0);
    ag_check_int(ag_fd_write(ends[1], "x", 1), -EPIPE);
    ag_check_int(write(ends[1], "x", 1), -1);
    expect(c, SIGPIPE);
    ag_check_int(ag_len(c), 0);
    close(ends[1]);
    ag_notify_stop(c);
    ag_unref(c);
}

/* Ignored, SIGQUIT prints nothing; after a reset it is the dump's again. */
AG_TEST_RUN(an_ignored_sigquit_dumps_nothing_until_the_reset) {
    struct sigaction dumps;
    sigaction(SIGQUIT, NULL, &dumps);
    ag_check(dumps.sa_handler != SIG_DFL);
    ag_check_int(ag_notify_ignore(SIGQUIT), 0);
    ag_check(has_handler(SIGQUIT, SIG_IGN));
    ag_check_int(ag_notify_reset(SIGQUIT), 0);
    ag_check(has_handler(SIGQUIT, dumps.sa_handler));
}

/* ---- At the same time ----------------------------------------------------------------------- */

static void storm(ag_chan(int) c, ag_time ns, atomic_int *sent) {
    for (ag_time end = ag_now() + ns; ag_now() < end; ag_yield()) {
        kill(getpid(), SIGURG); /* ignored by default: it may come after the stop */
        atomic_fetch_add(sent, 1);
    }
    ag_notify_stop(c);
    ag_close(c); /* no more comes: else this would be a send on a closed channel */
}

/* Equal ones may count as one; never more come than were sent, and the last is not lost. */
AG_TEST_RUN(after_the_stop_the_channel_may_be_closed) {
    ag_chan(int) c = ag_make(int, 1);
    atomic_int sent = 0;
    int got = 0;
    ag_check_int(ag_notify(c, SIGURG), 0);
    ag_go(storm, c, 100 * AG_MS, &sent);
    while (ag_recv(c, NULL))
        got++;
    ag_check(got >= 1 && got <= atomic_load(&sent));
    ag_unref(c);
}

static void send_all(int count, int sig, atomic_int *done) {
    for (int i = 0; i < count; i++)
        kill(getpid(), sig);
    atomic_store(done, 1);
}

/* Two equal signals: one or two, as the system merges them; real-time ones are all there. The plain
 * one is ignored by default, since one may be on the way still when its channel is stopped. */
AG_TEST_RUN(none_is_lost_for_which_there_is_room) {
    enum { MANY = 300 };
    ag_chan(int) plain = ag_make(int, MANY), queued = ag_make(int, MANY);
    atomic_int done[2] = {0};
    ag_check_int(ag_notify(plain, SIGURG), 0);
    ag_check_int(ag_notify(queued, SIGRTMIN + 4), 0);
    ag_go(send_all, MANY, SIGURG, &done[0]);
    ag_go(send_all, MANY, SIGRTMIN + 4, &done[1]);
    for (int i = 0; i < MANY; i++)
        expect(queued, SIGRTMIN + 4);
    eventually(atomic_load(&done[0]) && atomic_load(&done[1]) && ag_len(plain) > 0);
    ag_notify_stop(queued);
    ag_notify_stop(plain);
    ag_check_int(ag_len(queued), 0);
    ag_check(ag_len(plain) <= MANY);
    ag_unref(plain);
    ag_unref(queued);
}

static void stop(ag_chan(int) c, ag_wg *wg) {
    ag_notify_stop(c);
    ag_wg_done(wg);
}

/* A signal while the last channel stops is either sent or has its default action, which here ends
   the process: then this run has shown that nothing was lost, too. */
static int main_stops_while_it_comes(void *arg) {
    (void)arg;
    for (int i = 0; i < 10; i++) {
        ag_chan(int) c = ag_make(int, 1);
        ag_wg wg = AG_WG_INIT;
        ag_notify(c, SIGINT);
        ag_wg_add(&wg, 1);
        ag_go(stop, c, &wg);
        kill(getpid(), SIGINT);
        if (ag_select(AG_RECV(c, NULL), AG_AFTER(20 * AG_SEC)) != 0)
            fprintf(stderr, "lost in round %d\n", i);
        ag_wg_wait(&wg);
        ag_unref(c);
    }
    return 0;
}
AG_TEST(stops_while_a_signal_comes) {
    if (!getenv("AG_TEST_AS_CHILD"))
        return;
    ag_check_int(ag_run(main_stops_while_it_comes, NULL), 0);
    _exit(0);
}
AG_TEST(a_signal_during_a_stop_is_sent_or_has_its_default_action) {
    if (getenv("AG_TEST_EXEC"))
        ag_skip("signals through an emulator end another process");
    static struct child child;
    setenv("AG_TEST_AS_CHILD", "1", 1);
    for (int i = 0; i < 30; i++) {
        run_child(&child, "stops_while_a_signal_comes");
        ag_check(child.status == 0 || child.status == 128 + SIGINT);
        ag_check(!strstr(child.text, "lost"));
    }
}

static void burn(atomic_int *over) {
    while (!atomic_load(over))
        continue;
}

/* Listeners come, go and are reset while signals arrive. */
static void come_and_go(int which, atomic_int *over) {
    while (!atomic_load(over)) {
        ag_chan(int) c = ag_make(int, 1);
        ag_check_int(ag_notify(c, SIGURG, SIGWINCH), 0);
        kill(getpid(), which % 2 ? SIGURG : SIGWINCH);
        if (which == 0)
            ag_notify_reset(SIGURG);
        if (which == 1)
            ag_notify_ignore(SIGWINCH);
        ag_notify_stop(c);
        ag_close(c);
        ag_unref(c);
    }
}
AG_TEST_RUN(listeners_come_and_go_while_signals_arrive) {
    if (getenv("AG_TEST_EXEC"))
        ag_skip("a storm of signals, in which an emulator crashes");
    atomic_int over = 0;
    for (int i = 0; i < 4; i++)
        ag_go(come_and_go, i, &over);
    ag_go(burn, &over);
    ag_sleep(200 * AG_MS);
    atomic_store(&over, 1);
    eventually(ag_count() == 1);
    ag_check_int(ag_notify_reset(), 0);
    ag_check(has_handler(SIGURG, SIG_DFL) && has_handler(SIGWINCH, SIG_DFL));
}

/* ---- Contexts ------------------------------------------------------------------------------- */

AG_TEST_RUN(a_context_takes_precedence_over_ignore_until_it_ends) {
    ag_check_int(ag_notify_ignore(SIGHUP), 0);
    ag_ctx *parent = ag_ctx_with_cancel(NULL), *c = ag_notify_ctx(parent, SIGHUP);
    ag_check(!ag_notify_ignored(SIGHUP));
    ag_ctx_cancel(c);
    ag_check_int(ag_ctx_err(c), -ECANCELED);
    ag_check_int(ag_ctx_cause(c), -ECANCELED);
    ag_check(ag_notify_ignored(SIGHUP));
    ag_unref(c);
    ag_unref(parent);
    ag_notify_reset(SIGHUP);
}

AG_TEST_RUN(the_cause_of_the_parent_is_the_contexts) {
    for (int early = 0; early < 2; early++) {
        ag_ctx *parent = ag_ctx_with_cancel(NULL);
        if (early)
            ag_ctx_cancel_cause(parent, -EIO);
        ag_ctx *c = ag_notify_ctx(parent, SIGINT);
        ag_ctx_cancel_cause(parent, -EIO);
        ag_check(!ag_recv(ag_ctx_done(c), NULL));
        ag_check_int(ag_ctx_err(c), -ECANCELED);
        ag_check_int(ag_ctx_cause(c), -EIO);
        ag_check(has_handler(SIGINT, SIG_DFL));
        ag_unref(c);
        ag_unref(parent);
    }
}

AG_TEST_RUN(a_context_may_be_cancelled_by_many_at_once) {
    ag_ctx *c = ag_notify_ctx(NULL, SIGINT);
    ag_wg wg = AG_WG_INIT;
    for (int i = 0; i < 10; i++)
        ag_wg_go(&wg, ag_ctx_cancel, c);
    ag_wg_wait(&wg);
    ag_check(!ag_recv(ag_ctx_done(c), NULL));
    ag_check_int(ag_ctx_err(c), -ECANCELED);
    ag_check(has_handler(SIGINT, SIG_DFL));
    ag_unref(c);
}

AG_TEST_RUN(a_reset_takes_the_signals_from_a_context) {
    ag_ctx *c = ag_notify_ctx(NULL, SIGWINCH, SIGUSR1);
    ag_check_int(ag_notify_reset(SIGWINCH), 0);
    kill(getpid(), SIGWINCH);
    ag_check_int(ag_ctx_err(c), 0);
    kill(getpid(), SIGUSR1);
    ag_check(!ag_recv(ag_ctx_done(c), NULL));
    ag_check_int(ag_ctx_cause(c), SIGUSR1);
    ag_unref(c);
}

static int main_waits_for_a_mute_context(void *arg) {
    (void)arg;
    ag_ctx *c = ag_notify_ctx(NULL, SIGUSR1);
    ag_notify_reset();
    ag_recv(ag_ctx_done(c), NULL);
    return 0;
}
AG_TEST_DEATH(a_context_without_signals_keeps_no_deadlock_away, 2, "all goroutines are asleep") {
    ag_test_needs_deadlock_report();
    ag_run(main_waits_for_a_mute_context, NULL);
}
