/* SPDX-License-Identifier: MIT */
/*
 * The tree of contexts: how they end, what they carry, what runs afterwards. Blocks that change the
 * current context are in ctx_block.c, the calls that wait in ctx_wait.c.
 */
#include "common.h"

static void check_background(ag_ctx *c) {
    ag_time t = 7;
    ag_check(c != NULL);
    ag_check_int(ag_ctx_err(c), 0);
    ag_check(ag_ctx_done(c) == NULL);
    ag_ctx_cancel(c);
    ag_unref(c);
    ag_unref(ag_ref(c));
    ag_check_int(ag_ctx_err(c), 0);
    ag_check(!ag_ctx_deadline(c, &t) && t == 7);
}

AG_TEST_RUN(the_background_context_never_ends) {
    check_background(ag_ctx_background());
    ag_check_ptr(ag_ctx_background(), ag_ctx_background());
    ag_ctx_cancel(NULL);
    ag_ctx_cancel_cause(NULL, -EIO);
    ag_check_int(ag_ctx_err(NULL), 0);
    ag_check_int(ag_ctx_cause(NULL), 0);
    ag_check(ag_ctx_done(NULL) == NULL);
    ag_check(ag_ctx_value(NULL, "key") == NULL);
}

static void check_current(ag_wg *wg) {
    check_background(ag_ctx_current());
    ag_wg_done(wg);
}

static void *check_current_on_thread(void *arg) {
    check_current(arg);
    return NULL;
}

AG_TEST_RUN(every_goroutine_and_thread_has_a_current_context) {
    ag_wg wg = AG_WG_INIT;
    pthread_t thread;
    ag_wg_add(&wg, 3);
    check_current(&wg);
    ag_go(check_current, &wg);
    pthread_create(&thread, NULL, check_current_on_thread, &wg);
    ag_wg_wait(&wg);
    pthread_join(thread, NULL);
}

AG_TEST(there_is_a_current_context_without_a_runtime) {
    check_background(ag_ctx_current());
}

/* ---- The end -------------------------------------------------------------------------------- */

static bool is_closed(ag_chan(char) c) {
    return ag_try_recv(c, NULL) == 0;
}

AG_TEST_RUN(cancel_ends_a_context_once) {
    ag_ctx *c = ag_ctx_with_cancel(NULL);
    ag_chan(char) done = ag_ctx_done(c);
    ag_check(done != NULL);
    ag_check_ptr(ag_ctx_done(c), done);
    ag_check_int(ag_ctx_err(c), 0);
    ag_check_int(ag_ctx_cause(c), 0);
    ag_check_int(ag_try_recv(done, NULL), -EAGAIN);
    ag_ctx_cancel(c);
    ag_check_int(ag_ctx_err(c), -ECANCELED);
    ag_check_int(ag_ctx_cause(c), -ECANCELED);
    ag_check(is_closed(done));
    ag_ctx_cancel_cause(c, -EIO); /* too late */
    ag_check_int(ag_ctx_cause(c), -ECANCELED);
    ag_unref(c);
}

AG_TEST_RUN(the_channel_of_an_ended_context_is_closed) {
    ag_ctx *c = ag_ctx_with_cancel(NULL);
    ag_ctx_cancel(c);
    ag_check(is_closed(ag_ctx_done(c)));
    ag_unref(c);
}

AG_TEST_RUN(a_cause_says_why) {
    ag_ctx *top = ag_ctx_with_cancel(NULL), *below = ag_ctx_with_cancel(top);
    ag_ctx_cancel_cause(top, -EIO);
    ag_check_int(ag_ctx_err(top), -ECANCELED);
    ag_check_int(ag_ctx_cause(top), -EIO);
    ag_check_int(ag_ctx_err(below), -ECANCELED);
    ag_check_int(ag_ctx_cause(below), -EIO);
    ag_unref(below);
    ag_unref(top);
    ag_ctx *c = ag_ctx_with_cancel(NULL);
    ag_ctx_cancel_cause(c, 0);
    ag_check_int(ag_ctx_cause(c), -ECANCELED);
    ag_unref(c);
}

AG_TEST_RUN(cancel_goes_down_and_not_up) {
    ag_ctx *top = ag_ctx_with_cancel(NULL), *middle = ag_ctx_with_value(top, "k", "v");
    ag_ctx *low[300], *sister = ag_ctx_with_cancel(top);
    for (int i = 0; i < 300; i++)
        low[i] = ag_ctx_with_cancel(middle);
    ag_ctx_cancel(middle);
    ag_check_int(ag_ctx_err(top), 0);
    ag_check_int(ag_ctx_err(sister), 0);
    for (int i = 0; i < 300; i++) {
        ag_check(is_closed(ag_ctx_done(low[i])));
        ag_check_int(ag_ctx_err(low[i]), -ECANCELED);
        ag_unref(low[i]);
    }
    ag_ctx_cancel(top);
    ag_check_int(ag_ctx_err(sister), -ECANCELED);
    ag_unref(sister);
    ag_unref(middle);
    ag_unref(top);
}

AG_TEST_RUN(a_child_of_an_ended_context_is_born_ended) {
    ag_ctx *top = ag_ctx_with_cancel(NULL);
    ag_ctx_cancel_cause(top, -EPIPE);
    ag_ctx *c = ag_ctx_with_timeout(top, AG_MIN);
    ag_check_int(ag_ctx_err(c), -ECANCELED);
    ag_check_int(ag_ctx_cause(c), -EPIPE);
    ag_check(is_closed(ag_ctx_done(c)));
    ag_unref(c);
    ag_unref(top);
}

AG_TEST_RUN(a_chain_of_contexts_may_be_long) {
    int n = 200000 / ag_test_slow();
    ag_ctx *top = ag_ctx_with_cancel(NULL), *c = ag_ref(top);
    for (int i = 0; i < n; i++) {
        ag_ctx *below = ag_ctx_with_cancel(c);
        ag_unref(c); /* the child keeps it */
        c = below;
    }
    ag_ctx_cancel(top);
    ag_check_int(ag_ctx_err(c), -ECANCELED);
    ag_unref(top);
    ag_unref(c); /* the last one of all */
}

/* ---- Time ----------------------------------------------------------------------------------- */

AG_TEST_RUN(a_timeout_ends_a_context) {
    ag_time begin = ag_now(), t = 0;
    ag_ctx *c = ag_ctx_with_timeout(NULL, 20 * AG_MS);
    ag_check(ag_ctx_deadline(c, &t) && t >= begin + 20 * AG_MS);
    ag_recv(ag_ctx_done(c), NULL);
    ag_check(ag_now() >= t);
    ag_check_int(ag_ctx_err(c), -ETIMEDOUT);
    ag_check_int(ag_ctx_cause(c), -ETIMEDOUT);
    ag_unref(c);
}

AG_TEST_RUN(a_deadline_is_a_point_in_time) {
    ag_time t = ag_now() + 20 * AG_MS, got = 0;
    ag_ctx *c = ag_ctx_with_deadline(NULL, t);
    ag_check(ag_ctx_deadline(c, &got));
    ag_check_int(got, t);
    ag_recv(ag_ctx_done(c), NULL);
    ag_check(ag_now() >= t);
    ag_unref(c);
}

AG_TEST_RUN(a_time_that_is_over_ends_a_context_at_once) {
    ag_ctx *c[] = {ag_ctx_with_timeout(NULL, 0), ag_ctx_with_timeout(NULL, -AG_SEC),
                   ag_ctx_with_deadline(NULL, ag_now() - 1), ag_ctx_with_deadline(NULL, 0)};
    for (size_t i = 0; i < COUNT(c); i++) {
        ag_check_int(ag_ctx_err(c[i]), -ETIMEDOUT);
        ag_check(is_closed(ag_ctx_done(c[i])));
        ag_unref(c[i]);
    }
}

AG_TEST_RUN(the_earliest_deadline_counts) {
    ag_ctx *top = ag_ctx_with_timeout(NULL, 20 * AG_MS);
    ag_ctx *later = ag_ctx_with_timeout(top, AG_MIN), *never = ag_ctx_with_cancel(top);
    ag_ctx *sooner = ag_ctx_with_timeout(top, AG_MS);
    ag_time t = 0, u = 0;
    ag_check(ag_ctx_deadline(top, &t) && ag_ctx_deadline(later, &u));
    ag_check_int(u, t);
    ag_check(ag_ctx_deadline(never, &u));
    ag_check_int(u, t);
    ag_check(ag_ctx_deadline(sooner, &u) && u < t);
    ag_recv(ag_ctx_done(sooner), NULL);
    ag_check_int(ag_ctx_err(sooner), -ETIMEDOUT);
    ag_recv(ag_ctx_done(later), NULL);
    ag_recv(ag_ctx_done(never), NULL);
    ag_check_int(ag_ctx_err(later), -ETIMEDOUT);
    ag_check_int(ag_ctx_err(never), -ETIMEDOUT);
    ag_unref(sooner);
    ag_unref(later);
    ag_unref(never);
    ag_unref(top);
}

AG_TEST_RUN(the_first_end_counts) {
    ag_ctx *c = ag_ctx_with_timeout(NULL, 100 * AG_MS);
    ag_ctx_cancel(c);
    ag_sleep(101 * AG_MS);
    ag_check_int(ag_ctx_err(c), -ECANCELED);
    ag_unref(c);
}

AG_TEST(a_timeout_needs_no_runtime) {
    ag_ctx *c = ag_ctx_with_timeout(NULL, 100 * AG_MS);
    ag_check_int(ag_ctx_err(c), 0);
    while (ag_ctx_err(c) == 0)
        ag_sleep(AG_MS);
    ag_check_int(ag_ctx_err(c), -ETIMEDOUT);
    ag_unref(c);
}

static int waits_for_it(void *c) {
    ag_ctx_enter((ag_ctx *)c);
    ag_check_int(ag_recv((ag_chan(int))NULL, NULL), false);
    ag_check_int(ag_ctx_err(c), -ETIMEDOUT);
    return 0;
}

AG_TEST(a_context_may_be_older_than_the_runtime) {
    ag_ctx *c = ag_ctx_with_timeout(NULL, 20 * AG_MS), *below = ag_ctx_with_cancel(c);
    ag_check_int(ag_run(waits_for_it, below), 0);
    ag_unref(below);
    ag_unref(c);
}

/* A context's timer goes with it: no entry is left that could end something else. */
AG_TEST_RUN(timers_go_with_their_contexts) {
    for (int round = 0; round < 20; round++) {
        ag_ctx *c[100], *after[100];
        for (int i = 0; i < 100; i++)
            c[i] = ag_ctx_with_timeout(NULL, 2 * AG_MS);
        for (int i = 0; i < 100; i++) {
            if (i % 2)
                ag_ctx_cancel(c[i]);
            ag_unref(c[i]);
        }
        for (int i = 0; i < 100; i++) /* the same records */
            after[i] = ag_ctx_with_timeout(NULL, AG_MIN);
        ag_sleep(3 * AG_MS);
        for (int i = 0; i < 100; i++) {
            ag_check_int(ag_ctx_err(after[i]), 0);
            ag_unref(after[i]);
        }
    }
}

static int nothing_left(void *arg) {
    (void)arg;
    ag_unref(ag_ctx_with_timeout(NULL, AG_MIN));
    ag_recv(ag_make(int, 0), NULL);
    return 0;
}

AG_TEST_DEATH(a_context_that_is_gone_wakes_nobody, 2, "all goroutines are asleep - deadlock!") {
    ag_test_needs_deadlock_report();
    ag_run(nothing_left, NULL);
}

/* ---- Values --------------------------------------------------------------------------------- */

AG_TEST(a_copied_value_goes_with_its_context) {
    char text[] = "mine";
    static const char key;
    ag_ctx *c = ag_ctx_with_copy(NULL, &key, text, sizeof text);
    ag_ctx *none = ag_ctx_with_copy(c, text, "", 0);
    memset(text, 'x', sizeof text - 1);
    ag_ctx *low = ag_ctx_with_cancel(none);
    ag_unref(c);
    ag_unref(none);
    ag_check_str(ag_ctx_value(low, &key), "mine");
    ag_check((uintptr_t)ag_ctx_value(low, &key) % sizeof(void *) == 0);
    ag_ctx_cancel(low);
    ag_check_str(ag_ctx_value(low, &key), "mine");
    ag_unref(low);
}

AG_TEST_RUN(values_are_found_upwards) {
    static const char color, size;
    ag_ctx *top = ag_ctx_with_value(NULL, &color, "red");
    ag_ctx *middle = ag_ctx_with_cancel(top), *low = ag_ctx_with_value(middle, &size, "big");
    ag_ctx *other = ag_ctx_with_value(middle, &color, "blue");
    ag_check_str(ag_ctx_value(low, &color), "red");
    ag_check_str(ag_ctx_value(low, &size), "big");
    ag_check_str(ag_ctx_value(other, &color), "blue");
    ag_check_str(ag_ctx_value(middle, &color), "red");
    ag_check(ag_ctx_value(middle, &size) == NULL);
    ag_check(ag_ctx_value(low, NULL) == NULL);
    ag_unref(low);
    ag_unref(other);
    ag_unref(middle);
    ag_unref(top);
}

static const ag_key(int) attempt = AG_KEY("attempt");
static const ag_key(struct child *) report = AG_KEY("report");

AG_TEST_RUN(elements_have_a_type) {
    ag_ctx *a = ag_ctx_plus(NULL, &attempt, -3), *b = ag_ctx_plus(a, &ag_request_id, "r-17");
    struct child *none = ag_ctx_get(b, &report);
    int got = ag_ctx_get(b, &attempt);
    ag_check(none == NULL);
    ag_check_int(got, -3);
    ag_check_str(ag_ctx_get(b, &ag_request_id), "r-17");
    ag_check(ag_ctx_get(b, &ag_principal) == NULL);
    ag_check_int(ag_ctx_get(NULL, &attempt), 0);
    ag_check_str(ag_log_fields.name, "log_fields");
    ag_unref(b);
    ag_unref(a);
}

static void check_locals(ag_wg *wg) {
    ag_check_str(ag_local(&ag_principal), "anna");
    ag_check_int(ag_local(&attempt), 2);
    ag_check_str(ag_local(&ag_log_fields)[1], "orders");
    ag_wg_done(wg);
}

AG_TEST_RUN(elements_are_a_goroutines_own_data_and_handed_on) {
    static const char *const fields[] = {"service", "orders", NULL};
    ag_wg wg = AG_WG_INIT;
    {
        ag_with(&ag_principal, "anna");
        ag_with(&ag_log_fields, fields);
        {
            ag_with(&attempt, 1);
            ag_with(&attempt, 2);
            ag_wg_add(&wg, 2);
            ag_go(check_locals, &wg);
            check_locals(&wg);
        }
        ag_check_int(ag_local(&attempt), 0);
    }
    ag_check(ag_local(&ag_principal) == NULL);
    ag_wg_wait(&wg);
}

/* ---- Calls afterwards ----------------------------------------------------------------------- */

static void note(ag_chan(int) c, int what) {
    ag_check_ptr(ag_ctx_current(), ag_ctx_background());
    ag_send(c, what);
}

static int received(ag_chan(int) c) {
    int v = -1;
    ag_check_int(ag_select(AG_RECV(c, &v), AG_AFTER(20 * AG_SEC)), 0);
    return v;
}

AG_TEST_RUN(a_call_runs_after_the_end) {
    ag_chan(int) c = ag_make(int, 3);
    ag_ctx *ctx = ag_ctx_with_cancel(NULL), *below = ag_ctx_with_cancel(ctx);
    ag_ctx_call *call = ag_ctx_after(below, note, c, 5);
    ag_unref(ag_ctx_after(ctx, note, c, 6)); /* the handle is not needed */
    ag_sleep(2 * AG_MS);
    ag_check_int(ag_len(c), 0);
    ag_ctx_cancel(ctx);
    ag_check_int(received(c) + received(c), 11);
    ag_check(!ag_ctx_call_stop(call));
    ag_unref(call);
    call = ag_ctx_after(ctx, note, c, 7); /* it has ended already */
    ag_check_int(received(c), 7);
    ag_unref(call);
    ag_unref(below);
    ag_unref(ctx);
    ag_unref(c);
}

AG_TEST_RUN(a_call_that_was_stopped_does_not_run) {
    ag_chan(int) c = ag_make(int, 3);
    ag_ctx *ctx = ag_ctx_with_cancel(NULL);
    ag_ctx_call *one = ag_ctx_after(ctx, note, c, 1), *two = ag_ctx_after(ctx, note, c, 2);
    ag_check(ag_ctx_call_stop(one));
    ag_check(!ag_ctx_call_stop(one));
    ag_check(!ag_ctx_call_stop(NULL));
    ag_ctx_cancel(ctx);
    ag_check_int(received(c), 2);
    ag_check(!ag_ctx_call_stop(two));
    ag_check_int(ag_len(c), 0);
    ag_unref(one);
    ag_unref(two);
    ag_unref(ctx);
    ag_unref(c);
}

AG_TEST_RUN(calls_go_with_a_context_that_nobody_uses) {
    ag_chan(int) c = ag_make(int, 3);
    ag_ctx *ctx = ag_ctx_with_timeout(NULL, 100 * AG_MS);
    ag_ctx_call *call = ag_ctx_after(ctx, note, c, 1);
    ag_unref(ctx);
    ag_sleep(101 * AG_MS);
    ag_check_int(ag_len(c), 0);
    ag_check(!ag_ctx_call_stop(call));
    ag_unref(call);
    call = ag_ctx_after(NULL, note, c, 1); /* never */
    ag_check(!ag_ctx_call_stop(call));
    ag_unref(call);
    ag_unref(c);
}

/* ---- From anywhere -------------------------------------------------------------------------- */

static void *cancel_on_thread(void *c) {
    ag_ctx_cancel_cause(c, -EINTR);
    return NULL;
}

AG_TEST_RUN(any_thread_may_cancel) {
    pthread_t thread;
    ag_ctx *c = ag_ctx_with_cancel(NULL);
    ag_check_int(pthread_create(&thread, NULL, cancel_on_thread, c), 0);
    ag_recv(ag_ctx_done(c), NULL);
    ag_check_int(ag_ctx_cause(c), -EINTR);
    pthread_join(thread, NULL);
    ag_unref(c);
}

AG_TEST_RUN(a_signal_ends_a_context) {
    ag_ctx *top = ag_ctx_with_cancel(NULL), *c = ag_notify_ctx(top, SIGUSR1, SIGTERM);
    ag_check_int(ag_ctx_err(c), 0);
    kill(getpid(), SIGTERM);
    ag_recv(ag_ctx_done(c), NULL);
    ag_check_int(ag_ctx_err(c), -ECANCELED);
    ag_check_int(ag_ctx_cause(c), SIGTERM);
    ag_check_int(ag_ctx_err(top), 0);
    ag_unref(c);
    ag_unref(top);
    ag_check(ag_notify_ctx(NULL, SIGKILL) == NULL);
}

AG_TEST_RUN(every_context_and_channel_that_asked_gets_the_signal) {
    ag_ctx *a = ag_notify_ctx(NULL, SIGUSR1), *b = ag_notify_ctx(NULL, SIGUSR1);
    ag_chan(int) c = ag_make(int, 1);
    int sig = 0;
    ag_notify(c, SIGUSR1);
    kill(getpid(), SIGUSR1);
    ag_recv(c, &sig);
    ag_recv(ag_ctx_done(a), NULL);
    ag_recv(ag_ctx_done(b), NULL);
    ag_check_int(sig, SIGUSR1);
    ag_notify_stop(c);
    ag_unref(c);
    ag_unref(a);
    ag_unref(b);
}

static bool has_default_action(int sig) {
    struct sigaction action;
    sigaction(sig, NULL, &action);
    return action.sa_handler == SIG_DFL;
}

AG_TEST_RUN(signals_have_their_old_action_after_the_context) {
    ag_ctx *top = ag_ctx_with_cancel(NULL);
    ag_ctx *by_signal = ag_notify_ctx(NULL, SIGUSR1), *by_parent = ag_notify_ctx(top, SIGUSR2),
           *by_unref = ag_notify_ctx(NULL, SIGHUP);
    ag_check(!has_default_action(SIGUSR1) && !has_default_action(SIGHUP));
    kill(getpid(), SIGUSR1);
    ag_recv(ag_ctx_done(by_signal), NULL);
    eventually(has_default_action(SIGUSR1));
    ag_ctx_cancel(top);
    ag_check(has_default_action(SIGUSR2));
    ag_unref(by_unref);
    ag_check(has_default_action(SIGHUP));
    ag_unref(by_signal);
    ag_unref(by_parent);
    ag_unref(ag_notify_ctx(top, SIGHUP)); /* born ended */
    ag_check(has_default_action(SIGHUP));
    ag_unref(top);
}
