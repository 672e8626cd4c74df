/* SPDX-License-Identifier: MIT */
/*
 * Scopes: who waits for whom, what a failure does, and every way a block can end. What is promised
 * is in aglet/scope.h; the cases of Go's errgroup tests are among them.
 */
#include "common.h"

static int returns(int r) {
    return r;
}

static int sleeps(ag_time ns, atomic_int *result) {
    int r = ag_sleep(ns);
    if (result)
        *result = r;
    return r;
}

static int counts(atomic_int *n) {
    atomic_fetch_add(n, 1);
    return 0;
}

static int panics(const char *text) {
    ag_panic("%s", text);
    return 0;
}

/* ---- Waiting -------------------------------------------------------------------------------- */

AG_TEST_RUN(a_scope_without_children_ends_at_once) {
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_check_int(ag_scope_end(&s), 0);
    ag_check_ptr(ag_scope_panic(&s), NULL);
}

AG_TEST_RUN(end_waits_for_all_children) {
    atomic_int n = 0;
    for (int mode = AG_SCOPE_FAIL_FAST; mode <= AG_SCOPE_SUPERVISOR; mode++) {
        ag_scope s;
        n = 0;
        ag_scope_begin(&s, mode);
        for (int i = 0; i < 100; i++)
            ag_check(ag_scope_go(&s, counts, &n) > 0);
        ag_check_int(ag_scope_end(&s), 0);
        ag_check_int(n, 100);
    }
}

AG_TEST_RUN(children_are_gone_from_count_when_end_returns) {
    for (int i = 0; i < 2000; i++) {
        ag_scope s;
        ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
        for (int k = 0; k < 3; k++)
            ag_scope_go(&s, returns, 0);
        ag_check_int(ag_scope_end(&s), 0);
        ag_check_int(ag_count(), 1);
    }
}

AG_TEST_RUN(end_may_be_called_again) {
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, returns, -EIO);
    ag_check_int(ag_scope_end(&s), -EIO);
    ag_check_int(ag_scope_end(&s), -EIO);
}

AG_TEST_RUN(end_is_not_ended_by_the_current_context) {
    ag_scope s;
    atomic_int r = 1;
    ag_within(AG_MS);
    ag_check_int(ag_sleep(AG_MIN), -ETIMEDOUT);
    ag_scope_begin(&s, AG_SCOPE_SUPERVISOR);
    {
        ag_ctx_enter(NULL);
        ag_scope_go(&s, sleeps, 20 * AG_MS, &r);
    }
    ag_check_int(ag_scope_end(&s), -ETIMEDOUT);
    ag_check_int(r, -ETIMEDOUT);
}

static int shielded(atomic_int *done) {
    ag_shield(AG_MIN);
    ag_sleep(20 * AG_MS);
    *done = 1;
    return 0;
}

AG_TEST_RUN(end_waits_for_children_that_take_their_time) {
    ag_scope s;
    atomic_int done = 0;
    ag_within(AG_MS);
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, shielded, &done);
    ag_check_int(ag_scope_end(&s), 0);
    ag_check_int(done, 1);
}

static int starts_more(ag_scope *s, int depth, atomic_int *n) {
    atomic_fetch_add(n, 1);
    for (int i = 0; depth > 0 && i < 2; i++)
        ag_check(ag_scope_go(s, starts_more, s, depth - 1, n) > 0);
    return 0;
}

AG_TEST_RUN(children_may_start_children) {
    ag_scope s;
    atomic_int n = 0;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, starts_more, &s, 7, &n);
    ag_check_int(ag_scope_end(&s), 0);
    ag_check_int(n, 255);
    ag_check_int(ag_count(), 1);
}

AG_TEST_RUN(scopes_nest_and_follow_each_other) {
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, returns, 0);
    for (int i = 0; i < 3; i++) {
        ag_scope inner;
        ag_scope_begin(&inner, AG_SCOPE_SUPERVISOR);
        ag_scope_go(&inner, returns, -1 - i);
        ag_check_int(ag_scope_end(&inner), -1 - i);
    }
    ag_check_int(ag_scope_end(&s), 0);
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST); /* the same one, again */
    ag_scope_go(&s, returns, -EIO);
    ag_check_int(ag_scope_end(&s), -EIO);
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, returns, 7);
    ag_check_int(ag_scope_end(&s), 0);
}

/* ---- Failures ------------------------------------------------------------------------------- */

AG_TEST_RUN(fail_fast_cancels_the_siblings) {
    ag_scope s;
    atomic_int a = 1, b = 1;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, sleeps, AG_MIN, &a);
    ag_scope_go(&s, sleeps, AG_MIN, &b);
    ag_scope_go(&s, returns, -EIO);
    ag_check_int(ag_scope_end(&s), -EIO);
    ag_check_int(a, -ECANCELED);
    ag_check_int(b, -ECANCELED);
}

AG_TEST_RUN(fail_fast_ends_the_waits_of_its_block) {
    ag_scope s;
    ag_chan(int) never = ag_make(int, 0);
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, returns, -EIO);
    ag_check(!ag_recv(never, NULL));
    ag_check_int(ag_ctx_cause(ag_ctx_current()), -EIO);
    ag_check_int(ag_scope_end(&s), -EIO);
    ag_check_int(ag_sleep(AG_US), 0);
    ag_unref(never);
}

AG_TEST_RUN(supervisor_lets_the_others_go_on) {
    ag_scope s;
    atomic_int a = 1;
    ag_scope_begin(&s, AG_SCOPE_SUPERVISOR);
    ag_scope_go(&s, returns, -EIO);
    ag_scope_go(&s, sleeps, 5 * AG_MS, &a);
    ag_check_int(ag_sleep(AG_MS), 0);
    ag_check_int(ag_scope_end(&s), -EIO);
    ag_check_int(a, 0);
}

static int fails_after(ag_chan(int) turn, int mine, int err) {
    int v;
    while (ag_recv(turn, &v) && v != mine)
        ag_send(turn, v);
    return err;
}

AG_TEST_RUN(the_first_failure_in_time_wins) {
    ag_scope s;
    ag_chan(int) turn = ag_make(int, 1);
    ag_scope_begin(&s, AG_SCOPE_SUPERVISOR);
    ag_scope_go(&s, fails_after, turn, 2, -EIO);
    ag_scope_go(&s, returns, 0);
    ag_scope_go(&s, fails_after, turn, 1, -EPIPE);
    ag_send(turn, 1);
    while (ag_count() > 2)
        ag_sleep(AG_MS);
    ag_send(turn, 2);
    ag_check_int(ag_scope_end(&s), -EPIPE);
    ag_unref(turn);
}

AG_TEST_RUN(a_result_above_zero_is_no_failure) {
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, returns, 42);
    ag_scope_go(&s, sleeps, AG_MS, (atomic_int *)NULL);
    ag_check_int(ag_scope_end(&s), 0);
}

AG_TEST_RUN(a_scope_that_failed_still_starts_children) {
    ag_scope s;
    atomic_int r = 1;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, returns, -EIO);
    ag_check_int(ag_sleep(AG_MIN), -ECANCELED);
    ag_check(ag_scope_go(&s, sleeps, AG_MIN, &r) > 0);
    ag_check_int(ag_scope_end(&s), -EIO);
    ag_check_int(r, -ECANCELED);
}

AG_TEST_RUN(a_cancel_from_above_reaches_all) {
    ag_ctx *c = ag_ctx_with_cancel(NULL);
    ag_ctx_enter(c);
    ag_scope s;
    atomic_int a = 1;
    ag_scope_begin(&s, AG_SCOPE_SUPERVISOR);
    ag_scope_go(&s, sleeps, AG_MIN, &a);
    ag_ctx_cancel(c);
    ag_check_int(ag_scope_end(&s), -ECANCELED);
    ag_check_int(a, -ECANCELED);
    ag_unref(c);
}

AG_TEST_RUN(cancel_ends_the_children_and_is_no_failure) {
    ag_scope s;
    atomic_int done = 0;
    ag_scope_begin(&s, AG_SCOPE_SUPERVISOR);
    ag_scope_go(&s, shielded, &done);
    ag_scope_cancel(&s);
    ag_check_int(ag_sleep(AG_US), -ECANCELED);
    ag_check_int(ag_scope_end(&s), 0);
    ag_check_int(done, 1);
    ag_check_int(ag_sleep(AG_US), 0);
}

static int exits(void) {
    ag_goexit();
}

AG_TEST_RUN(goexit_in_a_child_is_no_failure) {
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, exits);
    ag_check_int(ag_scope_end(&s), 0);
}

/* ---- The current context -------------------------------------------------------------------- */

static int looks(ag_ctx *_Atomic *seen) {
    *seen = ag_ctx_current();
    return 0;
}

AG_TEST_RUN(the_context_of_children_is_the_scopes) {
    static const ag_key(int) number = AG_KEY("number");
    ag_ctx *before = ag_ctx_current();
    ag_ctx *_Atomic a = NULL, *_Atomic b = NULL;
    ag_with(&number, 7);
    {
        ag_scope s;
        ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
        ag_ctx *own = ag_ctx_current();
        ag_check(own != before);
        ag_check_int(ag_local(&number), 7);
        ag_scope_go(&s, looks, &a);
        {
            ag_within(AG_MIN);
            ag_ctx_enter(NULL);
            ag_scope_go(&s, looks, &b);
        }
        ag_check_int(ag_scope_end(&s), 0);
        ag_check_ptr(a, own);
        ag_check_ptr(b, own);
    }
    ag_check_int(ag_local(&number), 7);
}

AG_TEST_RUN(end_leaves_the_context_of_the_scope) {
    ag_ctx *before = ag_ctx_current();
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, returns, -EIO);
    ag_check_int(ag_sleep(AG_MIN), -ECANCELED);
    ag_scope_end(&s);
    ag_check_ptr(ag_ctx_current(), before);
    ag_check_int(ag_sleep(AG_US), 0);
}

AG_TEST_RUN(a_bound_inside_of_the_block_stays_when_the_scope_ends) {
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_within(AG_SEC / 2);
    ag_within(AG_MIN);
    ag_scope_go(&s, returns, -EIO);
    ag_check_int(ag_sleep(AG_MIN), -ECANCELED);
    ag_check_int(ag_scope_end(&s), -EIO);
    ag_check_int(ag_sleep(AG_US), 0);
    ag_check_int(ag_sleep(AG_MIN), -ETIMEDOUT);
}

AG_TEST_RUN(a_context_entered_inside_of_the_block_stays_when_the_scope_ends) {
    ag_ctx *before = ag_ctx_current(), *c = ag_ctx_with_cancel(NULL);
    {
        ag_scope s;
        ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
        ag_ctx_enter(c);
        ag_within(AG_MIN);
        ag_scope_go(&s, returns, -EIO);
        ag_check_int(ag_scope_end(&s), -EIO);
        ag_check_int(ag_sleep(AG_US), 0);
        ag_ctx_cancel(c);
        ag_check_int(ag_sleep(AG_US), -ECANCELED);
    }
    ag_check_ptr(ag_ctx_current(), before);
    ag_check_int(ag_sleep(AG_US), 0);
    ag_unref(c);
}

static void tells_err(ag_chan(int) c) {
    ag_send(c, ag_ctx_err(ag_ctx_current()));
}

AG_TEST_RUN(go_inside_of_a_scope_belongs_to_nobody) {
    ag_chan(int) c = ag_make(int, 1);
    ag_scope s;
    int err = 1;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_go(sleeps, 50 * AG_MS, (atomic_int *)NULL);
    ag_go(tells_err, c);
    ag_check_int(ag_scope_end(&s), 0);
    ag_check_int(ag_recv(c, &err), true);
    ag_check_int(err, 0);
    ag_unref(c);
}

/* ---- Panics --------------------------------------------------------------------------------- */

AG_TEST_RUN(a_panic_in_a_child_is_carried_to_the_end) {
    ag_scope s;
    atomic_int a = 1;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, sleeps, AG_MIN, &a);
    ag_scope_go(&s, panics, "boom");
    ag_check_int(ag_scope_end(&s), AG_PANICKED);
    ag_check_int(a, -ECANCELED);
    const ag_panic_info *info = ag_scope_panic(&s);
    ag_check(info != NULL);
    ag_check_str(info->msg, "boom");
    ag_check_contains(info->file, "scope.c");
    ag_check(info->line > 0);
    ag_check_int(ag_sleep(AG_US), 0);
}

static int panics_with(void *value) {
    ag_panic_value(value, "a value");
    return 0;
}

static void again(ag_scope *s) {
    ag_scope_repanic(s);
}

AG_TEST_RUN(a_carried_panic_can_be_raised_again) {
    int value;
    ag_panic_info info;
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_SUPERVISOR);
    ag_scope_go(&s, panics_with, &value);
    ag_check_int(ag_scope_end(&s), AG_PANICKED);
    ag_check_int(ag_try(&info, again, &s), AG_PANICKED);
    ag_check_str(info.msg, "a value");
    ag_check_ptr(info.value, &value);
    ag_check_ptr(ag_scope_panic(&s)->value, &value);
}

AG_TEST_RUN(repanic_without_a_panic_does_nothing) {
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_SUPERVISOR);
    ag_scope_go(&s, returns, -EIO);
    ag_check_int(ag_scope_end(&s), -EIO);
    ag_scope_repanic(&s);
    ag_check_ptr(ag_scope_panic(&s), NULL);
}

static void recovers(void) {
    (void)ag_recover();
}

static int recovers_itself(void) {
    ag_defer(recovers);
    ag_panic("mine");
    return 0;
}

AG_TEST_RUN(a_panic_that_the_child_recovers_is_none) {
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, recovers_itself);
    ag_check_int(ag_scope_end(&s), 0);
}

static int ends_a_scope(const char *text) {
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, panics, text);
    return ag_scope_end(&s);
}

static int ends_two(void) {
    ends_a_scope("dropped");
    return ends_a_scope("handed on");
}

AG_TEST_RUN(a_child_that_returns_a_panic_hands_it_on) {
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, ends_two);
    ag_check_int(ag_scope_end(&s), AG_PANICKED);
    ag_check(ag_scope_panic(&s) != NULL);
    ag_check_str(ag_scope_panic(&s)->msg, "handed on");
}

/* ---- Every way the block can end ------------------------------------------------------------ */

static int leaves_by_return(atomic_int *r) {
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_SUPERVISOR);
    ag_scope_go(&s, sleeps, AG_MIN, r);
    return 5;
}

AG_TEST_RUN(a_block_left_by_return_cancels_and_waits) {
    atomic_int r = 1;
    ag_check_int(leaves_by_return(&r), 5);
    ag_check_int(r, -ECANCELED);
    ag_check_int(ag_count(), 1);
    ag_check_int(ag_sleep(AG_US), 0);
}

AG_TEST_RUN(a_block_left_by_break_continue_and_goto_waits) {
    atomic_int r[3] = {1, 1, 1};
    for (int i = 0; i < 3; i++) {
        ag_scope s;
        ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
        ag_scope_go(&s, sleeps, AG_MIN, &r[i]);
        if (i == 0)
            continue;
        if (i == 1)
            goto next;
        break;
    next:;
    }
    for (int i = 0; i < 3; i++)
        ag_check_int(r[i], -ECANCELED);
    ag_check_int(ag_count(), 1);
}

static void leaves_by_panic(atomic_int *r, const char *child) {
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_SUPERVISOR);
    ag_scope_go(&s, sleeps, AG_MIN, r);
    if (child) {
        ag_scope_go(&s, panics, child);
        while (ag_count() > 2)
            ag_sleep(AG_MS);
    }
    ag_panic("of the block");
}

AG_TEST_RUN(a_block_left_by_panic_cancels_and_waits) {
    atomic_int r = 1;
    ag_panic_info info;
    ag_check_int(ag_try(&info, leaves_by_panic, &r, (const char *)NULL), AG_PANICKED);
    ag_check_str(info.msg, "of the block");
    ag_check_int(r, -ECANCELED);
    ag_check_int(ag_count(), 1);
}

AG_TEST_RUN(of_two_panics_the_first_in_time_goes_on) {
    atomic_int r = 1;
    ag_panic_info info;
    ag_check_int(ag_try(&info, leaves_by_panic, &r, "of a child"), AG_PANICKED);
    ag_check_str(info.msg, "of a child");
    ag_check_int(r, -ECANCELED);
}

static int panics_when_cancelled(void) {
    ag_sleep(AG_MIN);
    ag_panic("too late");
    return 0;
}

static void panics_first(void) {
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, panics_when_cancelled);
    ag_panic("first");
}

static void returns_early(void) {
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, panics_when_cancelled);
}

AG_TEST_RUN(a_panic_of_a_child_is_not_lost_when_the_block_is_left) {
    ag_panic_info info;
    ag_check_int(ag_try(&info, panics_first), AG_PANICKED);
    ag_check_str(info.msg, "first");
    ag_check_int(ag_try(&info, returns_early), AG_PANICKED);
    ag_check_str(info.msg, "too late");
    ag_check_int(ag_count(), 1);
}

static void leaves_by_goexit(atomic_int *r, ag_chan(int) done) {
    ag_defer(ag_close, done);
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, sleeps, AG_MIN, r);
    ag_goexit();
}

AG_TEST_RUN(a_block_left_by_goexit_cancels_and_waits) {
    atomic_int r = 1;
    ag_chan(int) done = ag_make(int, 0);
    ag_go(leaves_by_goexit, &r, done);
    ag_recv(done, NULL);
    ag_check_int(r, -ECANCELED);
    ag_unref(done);
}

static void cleans_up(void) { /* runs because of a panic, and has a scope of its own */
    atomic_int n = 0;
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, counts, &n);
    ag_check_int(ag_scope_end(&s), 0);
    ag_check_int(n, 1);
    returns_early();
}

static void panics_with_clean_up(void) {
    ag_defer(cleans_up);
    ag_panic("outer");
}

AG_TEST_RUN(a_deferred_call_may_have_a_scope) {
    ag_panic_info info;
    ag_check_int(ag_try(&info, panics_with_clean_up), AG_PANICKED);
    ag_check_str(info.msg, "too late");
}

/* ---- Limits --------------------------------------------------------------------------------- */

struct load {
    atomic_int now, most, all;
};

static int works(struct load *l) {
    int now = atomic_fetch_add(&l->now, 1) + 1, most = l->most;
    while (now > most && !atomic_compare_exchange_weak(&l->most, &most, now))
        continue;
    ag_sleep(AG_MS);
    atomic_fetch_sub(&l->now, 1);
    atomic_fetch_add(&l->all, 1);
    return 0;
}

AG_TEST_RUN(a_limit_bounds_those_that_run) {
    struct load l = {0, 0, 0};
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_limit(&s, 3);
    for (int i = 0; i < 60; i++)
        ag_check(ag_scope_go(&s, works, &l) > 0);
    ag_check_int(ag_scope_end(&s), 0);
    ag_check_int(l.all, 60);
    ag_check_int(l.most, 3);
}

AG_TEST_RUN(without_a_limit_all_run) {
    struct load l = {0, 0, 0};
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_limit(&s, 1);
    ag_scope_limit(&s, 0);
    for (int i = 0; i < 20; i++)
        ag_check(ag_scope_go(&s, works, &l) > 0);
    ag_check_int(ag_scope_end(&s), 0);
    ag_check(l.most > 1);
}

static int waits_for(ag_chan(int) gate) {
    return ag_recv(gate, NULL) ? 0 : ag_ctx_err(ag_ctx_current());
}

AG_TEST_RUN(waiting_for_room_ends_with_the_current_context) {
    ag_chan(int) gate = ag_make(int, 0);
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_limit(&s, 1);
    ag_scope_go(&s, waits_for, gate);
    {
        ag_within(AG_MS);
        ag_check_int(ag_scope_go(&s, returns, -EIO), -ETIMEDOUT);
        ag_check_int(ag_scope_go(&s, returns, -EIO), -ETIMEDOUT);
    }
    ag_send(gate, 1);
    ag_check(ag_scope_go(&s, returns, 0) > 0);
    ag_check_int(ag_scope_end(&s), 0);
    ag_unref(gate);
}

static int raises_the_limit(ag_scope *s, ag_chan(int) gate) {
    ag_sleep(2 * AG_MS);
    ag_scope_limit(s, 2);
    return waits_for(gate);
}

AG_TEST_RUN(a_raised_limit_lets_who_waits_go_on) {
    ag_chan(int) gate = ag_make(int, 0);
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_limit(&s, 1);
    ag_scope_go(&s, raises_the_limit, &s, gate);
    ag_check(ag_scope_go(&s, returns, 0) > 0);
    ag_close(gate);
    ag_check_int(ag_scope_end(&s), 0);
    ag_unref(gate);
}

AG_TEST_RUN(a_failure_ends_waiting_for_room) {
    ag_scope s;
    atomic_int r = 1;
    ag_chan(int) gate = ag_make(int, 0);
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_limit(&s, 2);
    ag_scope_go(&s, sleeps, AG_MIN, &r);
    ag_scope_go(&s, waits_for, gate);
    ag_scope_cancel(&s);
    ag_sleep(AG_MS);
    int64_t id = ag_scope_go(&s, sleeps, AG_MIN, (atomic_int *)NULL);
    ag_check(id > 0 || id == -ECANCELED);
    ag_check_int(ag_scope_end(&s), -ECANCELED);
    ag_unref(gate);
}

/* ---- Misuse --------------------------------------------------------------------------------- */

static void goes_after_the_end(void) {
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_end(&s);
    ag_scope_go(&s, returns, 0);
}

static int ends_anothers(ag_scope *s) {
    return ag_scope_end(s);
}

AG_TEST_RUN(misuse_panics) {
    ag_panic_info info;
    ag_check_int(ag_try(&info, goes_after_the_end), AG_PANICKED);
    ag_check_str(info.msg, "ag_scope_go: the scope has ended");
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, ends_anothers, &s);
    ag_check_int(ag_scope_end(&s), AG_PANICKED);
    ag_check_str(ag_scope_panic(&s)->msg, "ag_scope_end: not by who began the scope");
}

/* ---- Threads and worlds --------------------------------------------------------------------- */

static void *thread_with_a_scope(void *n) {
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    for (int i = 0; i < 10; i++)
        ag_check(ag_scope_go(&s, counts, n) > 0);
    ag_scope_go(&s, returns, -EIO);
    ag_check_int(ag_scope_end(&s), -EIO);
    return NULL;
}

AG_TEST_RUN(a_thread_may_have_a_scope) {
    atomic_int n = 0;
    pthread_t t;
    ag_check_int(pthread_create(&t, NULL, thread_with_a_scope, &n), 0);
    ag_blocking(pthread_join, t, (void **)NULL);
    ag_check_int(n, 10);
}

AG_TEST(without_a_runtime_nothing_is_started) {
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_check_int(ag_scope_go(&s, returns, 0), -ECANCELED);
    ag_check_int(ag_scope_end(&s), 0);
}

static atomic_int begun, may_end;

static void *outlives_the_world(void *unused) {
    ag_scope s;
    (void)unused;
    ag_scope_begin(&s, AG_SCOPE_SUPERVISOR);
    ag_check(ag_scope_go(&s, sleeps, AG_MIN, (atomic_int *)NULL) > 0);
    begun = 1;
    ag_check_int(ag_scope_end(&s), -ECANCELED);
    may_end = 1;
    return NULL;
}

static pthread_t thread;

static int waits_for_begun(void *unused) {
    (void)unused;
    ag_check_int(pthread_create(&thread, NULL, outlives_the_world, NULL), 0);
    eventually(begun);
    ag_scope s; /* is dropped with main's stack */
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, sleeps, AG_MIN, (atomic_int *)NULL);
    ag_sleep(10 * AG_MS);
    ag_scope_cancel(&s);
    return ag_scope_end(&s);
}

static int does_nothing(void *unused) {
    (void)unused;
    return 0;
}

static void dropped(atomic_int *started) {
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, sleeps, AG_MIN, (atomic_int *)NULL);
    *started = 1;
    ag_scope_end(&s);
}

static int drops_scopes(void *unused) {
    static atomic_int started[3];
    (void)unused;
    for (int i = 0; i < 3; i++)
        ag_go(dropped, &started[i]);
    for (int i = 0; i < 3; i++)
        eventually(started[i]);
    return 0;
}

AG_TEST(a_world_may_end_with_scopes_in_it) {
    ag_check_int(ag_run(drops_scopes, NULL), 0);
    ag_check_int(ag_run(waits_for_begun, NULL), -ECANCELED);
    pthread_join(thread, NULL);
    ag_check_int(may_end, 1);
    ag_check_int(ag_run(does_nothing, NULL), 0);
}
