/* SPDX-License-Identifier: MIT */
/*
 * Jobs: the six states and who moves between them, awaiting, lazy start, cancel, parents and
 * children, panics. What is promised is in aglet/scope.h; the states are Kotlin's.
 */
#include "common.h"

static int number = 42;

static void *returns_number(void) {
    return &number;
}

static void *adds(int *a, int b) {
    *a += b;
    return a;
}

enum { SLEEPS = 2 };
static void *sleeps(ag_time ns, atomic_int *result) {
    if (result)
        *result = SLEEPS;
    int r = ag_sleep(ns);
    if (result)
        *result = r;
    return &number;
}

static void *waits_for(ag_chan(int) gate) {
    ag_recv(gate, NULL);
    return &number;
}

static void *panics(const char *text) {
    ag_panic("%s", text);
    return NULL;
}

static int state_after(ag_job *j, int before) {
    eventually(ag_job_state(j) != before);
    return ag_job_state(j);
}

/* ---- Awaiting ------------------------------------------------------------------------------- */

AG_TEST_RUN(await_gives_the_result) {
    int a = 40;
    void *result = NULL;
    ag_job *j = ag_async(adds, &a, 2);
    ag_check_int(ag_job_await(j, &result), 0);
    ag_check_ptr(result, &a);
    ag_check_int(a, 42);
    ag_check_int(ag_job_state(j), AG_JOB_COMPLETED);
    ag_check_ptr(ag_job_result(j), &a);
    ag_check_int(ag_job_await(j, NULL), 0);
    ag_check_int(ag_count(), 1);
    ag_unref(j);
}

static void awaits(ag_job *j, atomic_int *sum, ag_wg *wg) {
    void *result = NULL;
    ag_check_int(ag_job_await(j, &result), 0);
    atomic_fetch_add(sum, *(int *)result);
    ag_wg_done(wg);
}

AG_TEST_RUN(several_may_await) {
    ag_chan(int) gate = ag_make(int, 0);
    atomic_int sum = 0;
    ag_wg wg = AG_WG_INIT;
    ag_job *j = ag_async(waits_for, gate);
    ag_wg_add(&wg, 10);
    for (int i = 0; i < 10; i++)
        ag_go(awaits, j, &sum, &wg);
    ag_sleep(AG_MS);
    ag_send(gate, 1);
    ag_wg_wait(&wg);
    ag_check_int(sum, 420);
    ag_unref(j);
    ag_unref(gate);
}

AG_TEST_RUN(awaiting_ends_with_the_current_context) {
    ag_chan(int) gate = ag_make(int, 0);
    void *result = &gate;
    ag_job *j = ag_async(waits_for, gate);
    {
        ag_within(2 * AG_MS);
        ag_check_int(ag_job_await(j, &result), -ETIMEDOUT);
        ag_check_int(ag_job_await(j, &result), -ETIMEDOUT);
    }
    ag_check_ptr(result, &gate);
    ag_check_int(ag_job_state(j), AG_JOB_ACTIVE);
    ag_send(gate, 1);
    ag_check_int(ag_job_await(j, &result), 0);
    {
        ag_within(0);
        ag_check_int(ag_job_await(j, &result), 0); /* what can be done at once */
    }
    ag_unref(j);
    ag_unref(gate);
}

static void *await_on_thread(void *j) {
    void *result = NULL;
    ag_check_int(ag_job_await(j, &result), 0);
    return result;
}

AG_TEST_RUN(a_thread_may_await) {
    ag_job *j = ag_async(sleeps, 5 * AG_MS, (atomic_int *)NULL);
    pthread_t t;
    void *result = NULL;
    ag_check_int(pthread_create(&t, NULL, await_on_thread, j), 0);
    ag_blocking(pthread_join, t, &result);
    ag_check_ptr(result, &number);
    ag_unref(j);
}

AG_TEST_RUN(who_drops_a_job_lets_it_run) {
    static atomic_int r;
    r = 1;
    ag_unref(ag_async(sleeps, AG_MS, &r));
    eventually(r == 0);
    eventually(ag_count() == 1);
}

/* ---- Lazy ----------------------------------------------------------------------------------- */

AG_TEST_RUN(a_lazy_job_runs_when_it_is_started) {
    int a = 1;
    void *result = NULL;
    ag_job *j = ag_async_lazy(adds, &a, 1);
    ag_sleep(AG_MS);
    ag_check_int(ag_job_state(j), AG_JOB_NEW);
    ag_check_int(a, 1);
    ag_check_int(ag_count(), 1);
    ag_check_int(ag_job_start(j), 1);
    ag_check_int(ag_job_start(j), 0);
    ag_check_int(ag_job_await(j, &result), 0);
    ag_check_int(ag_job_start(j), 0);
    ag_check_int(a, 2);
    ag_unref(j);
}

AG_TEST_RUN(await_starts_a_lazy_job) {
    int a = 1;
    ag_job *j = ag_async_lazy(adds, &a, 1);
    ag_check_int(ag_job_await(j, NULL), 0);
    ag_check_int(ag_job_state(j), AG_JOB_COMPLETED);
    ag_check_int(a, 2);
    ag_unref(j);
}

AG_TEST_RUN(a_lazy_job_that_nobody_starts_goes) {
    int a = 1;
    ag_unref(ag_async_lazy(adds, &a, 1));
    ag_check_int(a, 1);
    ag_check_int(ag_count(), 1);
}

AG_TEST_RUN(a_job_cancelled_before_its_start_never_runs) {
    int a = 1;
    void *result = &a;
    ag_job *j = ag_async_lazy(adds, &a, 1);
    ag_job_cancel(j);
    ag_check_int(ag_job_state(j), AG_JOB_CANCELLED);
    ag_check_int(ag_job_start(j), 0);
    ag_check_int(ag_job_await(j, &result), -ECANCELED);
    ag_check_ptr(result, &a);
    ag_check_ptr(ag_job_result(j), NULL);
    ag_check_int(a, 1);
    ag_unref(j);
}

/* ---- Cancel --------------------------------------------------------------------------------- */

AG_TEST_RUN(a_cancelled_job_has_no_result) {
    atomic_int r = 1;
    void *result = NULL;
    ag_job *j = ag_async(sleeps, AG_MIN, &r);
    eventually(r == SLEEPS);
    ag_job_cancel(j);
    ag_job_cancel(j);
    ag_check_int(ag_job_await(j, &result), -ECANCELED);
    ag_check_ptr(result, NULL);
    ag_check_int(r, -ECANCELED);
    ag_check_int(ag_job_state(j), AG_JOB_CANCELLED);
    ag_check_ptr(ag_job_result(j), &number);
    ag_unref(j);
}

struct clean_up {
    atomic_int begun, done;
    ag_chan(int) gate; /* NULL: it takes 2 ms */
};

static void note(struct clean_up *c) {
    ag_shield(AG_MIN);
    if (c->gate)
        ag_recv(c->gate, NULL);
    else
        ag_sleep(2 * AG_MS);
    c->done = 1;
}

static void *cleans_up(struct clean_up *c) {
    ag_defer(note, c);
    c->begun = 1;
    ag_sleep(AG_MIN);
    return NULL;
}

AG_TEST_RUN(cancel_and_join_waits_for_the_clean_up) {
    struct clean_up c = {0};
    ag_job *j = ag_async(cleans_up, &c);
    eventually(c.begun);
    ag_check_int(ag_job_cancel_and_join(j), 0);
    ag_check_int(c.done, 1);
    ag_check_int(ag_job_state(j), AG_JOB_CANCELLED);
    ag_check_int(ag_job_cancel_and_join(j), 0);
    ag_check_int(ag_count(), 1);
    ag_unref(j);
}

AG_TEST_RUN(join_ends_with_the_current_context) {
    struct clean_up c = {.gate = ag_make(int, 0)};
    ag_job *j = ag_async(cleans_up, &c);
    eventually(c.begun);
    {
        ag_within(0);
        ag_check_int(ag_job_cancel_and_join(j), -ETIMEDOUT);
        ag_check_int(ag_job_state(j), AG_JOB_CANCELLING);
        ag_close(c.gate);
        ag_shield(AG_MIN);
        ag_check_int(ag_job_cancel_and_join(j), 0);
    }
    ag_check_int(c.done, 1);
    ag_unref(c.gate);
    ag_unref(j);
}

AG_TEST_RUN(cancelling_a_job_that_is_done_changes_nothing) {
    void *result = NULL;
    ag_job *j = ag_async(returns_number);
    ag_check_int(ag_job_await(j, NULL), 0);
    ag_job_cancel(j);
    ag_check_int(ag_job_cancel_and_join(j), 0);
    ag_check_int(ag_job_state(j), AG_JOB_COMPLETED);
    ag_check_int(ag_job_await(j, &result), 0);
    ag_check_ptr(result, &number);
    ag_unref(j);
}

AG_TEST_RUN(the_end_of_its_context_cancels_a_job) {
    atomic_int r = 1;
    ag_job *j;
    {
        ag_within(2 * AG_MS);
        j = ag_async(sleeps, AG_MIN, &r);
    }
    ag_check_int(ag_job_await(j, NULL), -ETIMEDOUT);
    ag_check_int(r, -ETIMEDOUT);
    ag_check_int(ag_job_state(j), AG_JOB_CANCELLED);
    ag_unref(j);
    ag_ctx *c = ag_ctx_with_cancel(NULL);
    {
        ag_ctx_enter(c);
        j = ag_async_lazy(sleeps, AG_MIN, &r);
    }
    ag_ctx_cancel(c);
    ag_check_int(ag_job_state(j), AG_JOB_CANCELLED);
    ag_check_int(ag_job_await(j, NULL), -ECANCELED);
    ag_unref(j);
    ag_unref(c);
}

/* ---- All six states ------------------------------------------------------------------------- */

static void *has_a_child(ag_chan(int) gate, ag_chan(int) may_return) {
    ag_unref(ag_async(waits_for, gate));
    ag_recv(may_return, NULL);
    return &number;
}

AG_TEST_RUN(a_job_goes_through_its_states) {
    ag_chan(int) gate = ag_make(int, 0), may_return = ag_make(int, 0);
    ag_job *j = ag_async_lazy(has_a_child, gate, may_return);
    void *result = NULL;
    ag_check_int(ag_job_state(j), AG_JOB_NEW);
    ag_check_int(ag_job_start(j), 1);
    ag_check_int(ag_job_state(j), AG_JOB_ACTIVE);
    ag_send(may_return, 1);
    ag_check_int(state_after(j, AG_JOB_ACTIVE), AG_JOB_COMPLETING);
    ag_send(gate, 1);
    ag_check_int(ag_job_await(j, &result), 0);
    ag_check_ptr(result, &number);
    ag_check_int(ag_job_state(j), AG_JOB_COMPLETED);
    ag_check_int(ag_count(), 1);
    ag_unref(j);
    ag_unref(gate);
    ag_unref(may_return);
}

static void *takes_its_time(ag_chan(int) gate) {
    ag_shield(AG_MIN);
    ag_recv(gate, NULL);
    return &number;
}

static void *has_a_slow_child(ag_chan(int) gate) {
    ag_unref(ag_async(takes_its_time, gate));
    return &number;
}

AG_TEST_RUN(a_job_that_waits_for_its_children_can_be_cancelled) {
    ag_chan(int) gate = ag_make(int, 0);
    ag_job *j = ag_async(has_a_slow_child, gate);
    ag_check_int(state_after(j, AG_JOB_ACTIVE), AG_JOB_COMPLETING);
    ag_job_cancel(j);
    ag_check_int(ag_job_state(j), AG_JOB_CANCELLING);
    ag_send(gate, 1);
    ag_check_int(ag_job_await(j, NULL), -ECANCELED);
    ag_check_int(ag_job_state(j), AG_JOB_CANCELLED);
    ag_unref(j);
    ag_unref(gate);
}

AG_TEST(states_have_names) {
    static const char *const names[] = {"New",       "Active",     "Completing",
                                        "Completed", "Cancelling", "Cancelled"};
    for (int i = AG_JOB_NEW; i <= AG_JOB_CANCELLED; i++)
        ag_check_str(ag_job_state_name(i), names[i]);
    ag_check_str(ag_job_state_name(-1), "?");
    ag_check_str(ag_job_state_name(6), "?");
}

/* ---- Parents and children ------------------------------------------------------------------- */

static void *makes_children(ag_job **ret_children, int n, atomic_int *r) {
    for (int i = 0; i < n; i++)
        ret_children[i] = ag_async(sleeps, AG_MIN, &r[i]);
    ag_sleep(AG_MIN);
    return NULL;
}

AG_TEST_RUN(cancelling_a_job_cancels_those_below) {
    ag_job *children[3] = {0};
    atomic_int r[3] = {1, 1, 1};
    ag_job *j = ag_async(makes_children, children, 3, r);
    eventually(ag_count() == 5);
    ag_check_int(ag_job_cancel_and_join(j), 0);
    ag_check_int(ag_count(), 1);
    for (int i = 0; i < 3; i++) {
        ag_check_int(r[i], -ECANCELED);
        ag_check_int(ag_job_state(children[i]), AG_JOB_CANCELLED);
        ag_unref(children[i]);
    }
    ag_unref(j);
}

static void *cancels_a_child(ag_job **ret_child) {
    *ret_child = ag_async(sleeps, AG_MIN, (atomic_int *)NULL);
    ag_check_int(ag_job_cancel_and_join(*ret_child), 0);
    ag_check_int(ag_sleep(AG_US), 0);
    return &number;
}

AG_TEST_RUN(a_cancelled_child_is_no_failure) {
    ag_job *child = NULL, *j = ag_async(cancels_a_child, &child);
    ag_check_int(ag_job_await(j, NULL), 0);
    ag_check_int(ag_job_state(child), AG_JOB_CANCELLED);
    ag_unref(child);
    ag_unref(j);
}

static void *has_a_panicking_child(atomic_int *r) {
    ag_unref(ag_async(sleeps, AG_MIN, r));
    ag_unref(ag_async(panics, "of the child"));
    return &number;
}

AG_TEST_RUN(a_panic_of_a_child_is_the_parents) {
    atomic_int r = 1;
    ag_job *j = ag_async(has_a_panicking_child, &r);
    ag_check_int(ag_job_await(j, NULL), AG_PANICKED);
    ag_check_int(r, -ECANCELED);
    ag_check_str(ag_job_panic(j)->msg, "of the child");
    ag_check_int(ag_job_state(j), AG_JOB_CANCELLED);
    ag_unref(j);
}

static void *leaves_a_lazy_child(ag_job **ret_child) {
    *ret_child = ag_async_lazy(returns_number);
    return &number;
}

AG_TEST_RUN(a_lazy_child_that_nobody_started_is_cancelled) {
    ag_job *child = NULL, *j = ag_async(leaves_a_lazy_child, &child);
    ag_check_int(ag_job_await(j, NULL), 0);
    ag_check_int(ag_job_state(child), AG_JOB_CANCELLED);
    ag_check_int(ag_job_await(child, NULL), -ECANCELED);
    ag_unref(child);
    ag_unref(j);
}

static void *starts_another(ag_job *other) {
    ag_sleep(AG_MS);
    ag_job_start(other);
    return NULL;
}

AG_TEST_RUN(a_scope_waits_for_its_jobs) {
    atomic_int r = 1;
    ag_job *lazy, *left;
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_unref(ag_async(sleeps, 5 * AG_MS, &r));
    lazy = ag_async_lazy(returns_number);
    left = ag_async_lazy(returns_number);
    ag_unref(ag_async_lazy(returns_number));
    ag_unref(ag_async(starts_another, lazy));
    ag_check_int(ag_scope_end(&s), 0);
    ag_check_int(r, 0);
    ag_check_int(ag_count(), 1);
    ag_check_int(ag_job_state(lazy), AG_JOB_COMPLETED);
    ag_check_int(ag_job_state(left), AG_JOB_CANCELLED);
    ag_unref(lazy);
    ag_unref(left);
}

static int makes_a_job(ag_job *_Atomic *ret_job, ag_chan(int) gate) {
    *ret_job = ag_async(waits_for, gate);
    return 0;
}

AG_TEST_RUN(a_job_that_a_child_makes_belongs_to_the_scope) {
    ag_chan(int) gate = ag_make(int, 1);
    ag_job *_Atomic j = NULL;
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, makes_a_job, &j, gate);
    eventually(j && ag_count() == 2); /* the child that made it is gone */
    ag_check_int(ag_job_state(j), AG_JOB_ACTIVE);
    ag_scope_cancel(&s);
    ag_check_int(ag_scope_end(&s), 0);
    ag_check_int(ag_job_state(j), AG_JOB_CANCELLED);
    ag_unref(j);
    ag_unref(gate);
}

AG_TEST_RUN(a_failing_scope_cancels_its_jobs) {
    atomic_int r = 1;
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_job *j = ag_async(sleeps, AG_MIN, &r), *lazy = ag_async_lazy(returns_number);
    ag_unref(ag_async(panics, "of a job"));
    ag_check_int(ag_scope_end(&s), AG_PANICKED);
    ag_check_str(ag_scope_panic(&s)->msg, "of a job");
    ag_check_int(r, -ECANCELED);
    ag_check_int(ag_job_state(j), AG_JOB_CANCELLED);
    ag_check_int(ag_job_state(lazy), AG_JOB_CANCELLED);
    ag_unref(j);
    ag_unref(lazy);
}

AG_TEST_RUN(who_awaits_in_a_scope_is_told_of_the_panic) {
    for (int i = 0; i < 100; i++) {
        ag_scope s;
        ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
        ag_job *j = ag_async(panics, "told");
        ag_check_int(ag_job_await(j, NULL), AG_PANICKED);
        ag_check_int(ag_scope_end(&s), AG_PANICKED);
        ag_unref(j);
    }
}

AG_TEST_RUN(a_supervisor_lets_other_jobs_go_on) {
    ag_scope s;
    void *result = NULL;
    ag_scope_begin(&s, AG_SCOPE_SUPERVISOR);
    ag_job *bad = ag_async(panics, "one"), *good = ag_async(sleeps, 2 * AG_MS, NULL);
    ag_check_int(ag_job_await(bad, NULL), AG_PANICKED);
    ag_check_int(ag_job_await(good, &result), 0);
    ag_check_int(ag_scope_end(&s), AG_PANICKED);
    ag_unref(bad);
    ag_unref(good);
}

AG_TEST_RUN(jobs_take_no_room_in_a_scope_with_a_limit) {
    ag_chan(int) gate = ag_make(int, 0);
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_limit(&s, 1);
    for (int i = 0; i < 3; i++)
        ag_unref(ag_async(waits_for, gate));
    ag_check(ag_scope_go(&s, ag_sleep, AG_US) > 0);
    ag_check(ag_scope_go(&s, ag_sleep, AG_US) > 0);
    ag_close(gate);
    ag_check_int(ag_scope_end(&s), 0);
    ag_unref(gate);
}

static void *looks(void) {
    return ag_ref(ag_ctx_current());
}

AG_TEST_RUN(the_context_of_a_job_is_below_the_current_one) {
    static const ag_key(int) attempt = AG_KEY("attempt");
    ag_ctx *other = ag_ctx_with_cancel(NULL), *seen[2] = {0};
    ag_scope s;
    ag_job *j[2];
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    {
        ag_with(&attempt, 3);
        j[0] = ag_async(looks);
    }
    {
        ag_ctx_enter(other); /* not below the scope's: the job stays in the scope all the same */
        j[1] = ag_async(looks);
    }
    for (int i = 0; i < 2; i++)
        ag_check_int(ag_job_await(j[i], (void **)&seen[i]), 0);
    ag_check_int(ag_ctx_get(seen[0], &attempt), 3);
    ag_ctx_cancel(other);
    ag_check_int(ag_ctx_err(seen[1]), 0);
    ag_scope_cancel(&s);
    for (int i = 0; i < 2; i++) {
        ag_check_int(ag_ctx_err(seen[i]), -ECANCELED);
        ag_unref(seen[i]);
        ag_unref(j[i]);
    }
    ag_check_int(ag_scope_end(&s), 0);
    ag_unref(other);
}

/* ---- Panics --------------------------------------------------------------------------------- */

static void again(ag_job *j) {
    ag_job_repanic(j);
}

AG_TEST_RUN(a_panic_is_told_to_who_awaits) {
    ag_panic_info info;
    void *result = &info;
    ag_job *j = ag_async(panics, "boom");
    ag_check_int(ag_job_await(j, &result), AG_PANICKED);
    ag_check_ptr(result, &info);
    ag_check_int(ag_job_state(j), AG_JOB_CANCELLED);
    ag_check_str(ag_job_panic(j)->msg, "boom");
    ag_check_int(ag_try(&info, again, j), AG_PANICKED);
    ag_check_str(info.msg, "boom");
    ag_unref(j);
    j = ag_async(returns_number);
    ag_check_int(ag_job_await(j, NULL), 0);
    ag_check_ptr(ag_job_panic(j), NULL);
    ag_job_repanic(j);
    ag_unref(j);
}

static void *exits(void) {
    ag_goexit();
}

AG_TEST_RUN(goexit_ends_a_job_without_a_result) {
    void *result = &number;
    ag_job *j = ag_async(exits);
    ag_check_int(ag_job_await(j, &result), 0);
    ag_check_ptr(result, NULL);
    ag_unref(j);
}

static int forgets(void *unused) {
    (void)unused;
    ag_unref(ag_async(panics, "nobody looks"));
    ag_sleep(20 * AG_SEC);
    return 0;
}

AG_TEST_DEATH(a_panic_that_nobody_is_told_of_ends_the_process, 2, "panic: nobody looks") {
    ag_run(forgets, NULL);
}

/* ---- When it is done ------------------------------------------------------------------------ */

static void sends_state(ag_job *j, ag_chan(int) c, int who) {
    ag_send(c, 10 * who + ag_job_state(j));
}

AG_TEST_RUN(on_done_runs_when_it_is_done) {
    ag_chan(int) gate = ag_make(int, 0), c = ag_make(int, 4);
    int v, sum = 0;
    ag_job *j = ag_async(waits_for, gate);
    for (int i = 1; i <= 3; i++)
        ag_check_int(ag_job_on_done(j, sends_state, j, c, i), 0);
    ag_check_int(ag_try_recv(c, &v), -EAGAIN);
    ag_send(gate, 1);
    for (int i = 0; i < 3; i++)
        sum += ag_recv(c, &v) ? v : 0;
    ag_check_int(sum, 60 + 3 * AG_JOB_COMPLETED);
    ag_check_int(ag_job_on_done(j, sends_state, j, c, 4), 0);
    ag_recv(c, &v);
    ag_check_int(v, 40 + AG_JOB_COMPLETED);
    eventually(ag_count() == 1);
    ag_unref(j);
    j = ag_async_lazy(returns_number);
    ag_check_int(ag_job_on_done(j, sends_state, j, c, 5), 0);
    ag_job_cancel(j);
    ag_recv(c, &v);
    ag_check_int(v, 50 + AG_JOB_CANCELLED);
    eventually(ag_count() == 1);
    ag_unref(j);
    ag_unref(c);
    ag_unref(gate);
}

/* ---- Threads, worlds, NULL ------------------------------------------------------------------ */

AG_TEST_RUN(what_could_not_be_made_is_accepted) {
    ag_check_int(ag_job_start(NULL), -ENOMEM);
    ag_check_int(ag_job_await(NULL, NULL), -ENOMEM);
    ag_job_cancel(NULL);
    ag_check_int(ag_job_cancel_and_join(NULL), 0);
    ag_check_int(ag_job_state(NULL), AG_JOB_CANCELLED);
    ag_check_ptr(ag_job_result(NULL), NULL);
    ag_check_ptr(ag_job_panic(NULL), NULL);
    ag_job_repanic(NULL);
    ag_check_int(ag_job_on_done(NULL, ag_yield), -ENOMEM);
}

static ag_job *_Atomic left, *_Atomic left_lazy, *left_parent;
static pthread_t thread;

static void *awaits_on_thread(void *begun) {
    *(atomic_int *)begun = 1;
    ag_check_int(ag_job_await(left, NULL), -ECANCELED);
    return NULL;
}

static void *keeps_children(void) {
    left = ag_async(sleeps, AG_MIN, (atomic_int *)NULL);
    left_lazy = ag_async_lazy(returns_number);
    ag_sleep(AG_MIN);
    return NULL;
}

static int leaves_jobs(void *begun) {
    left_parent = ag_async(keeps_children);
    eventually(left && left_lazy);
    ag_check_int(pthread_create(&thread, NULL, awaits_on_thread, begun), 0);
    ag_sleep(5 * AG_MS);
    eventually(*(atomic_int *)begun);
    return 0;
}

AG_TEST(jobs_of_a_world_that_ends_are_cancelled) {
    atomic_int begun = 0;
    ag_check_ptr(ag_async(returns_number), NULL); /* no runtime runs */
    ag_check_int(ag_run(leaves_jobs, &begun), 0);
    pthread_join(thread, NULL);
    ag_check_int(ag_job_state(left), AG_JOB_CANCELLED);
    ag_check_int(ag_job_state(left_lazy), AG_JOB_CANCELLED);
    ag_check_int(ag_job_await(left_parent, NULL), -ECANCELED);
    ag_check_int(ag_job_start(left_lazy), 0);
    ag_unref(left);
    ag_unref(left_lazy);
    ag_unref(left_parent);
}

AG_TEST(a_lazy_job_may_be_made_before_the_runtime_runs) {
    ag_job *j = ag_async_lazy(returns_number);
    ag_check(j != NULL);
    ag_check_int(ag_job_start(j), -ECANCELED);
    ag_check_int(ag_job_state(j), AG_JOB_NEW);
    ag_job_cancel(j);
    ag_check_int(ag_job_await(j, NULL), -ECANCELED);
    ag_unref(j);
}
