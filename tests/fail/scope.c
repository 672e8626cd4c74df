/* SPDX-License-Identifier: MIT */
/*
 * Scopes and jobs while memory runs out: each call works or says so, and what belongs to a scope is
 * waited for all the same.
 */
#include "inject.h"

static int counts(atomic_int *ran) {
    atomic_fetch_add(ran, 1);
    return 0;
}

static void scopes(void) {
    static atomic_int ran;
    int started = 0;
    ran = 0;
    ag_within(AG_MIN);
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_limit(&s, 50);
    for (int i = 0; i < 100; i++)
        started += ok(ag_scope_go(&s, counts, &ran));
    ok(ag_scope_end(&s));
    ag_check_int(ran, started);
}
AG_TEST_RUN(a_child_starts_or_go_says_so) {
    WALK(MEMORY | THREAD, scopes);
}

static void a_scope_in_a_block(void) {
    static atomic_int ran;
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_SUPERVISOR);
    int64_t r = ag_scope_go(&s, counts, &ran);
    ok(r);
    ag_scope_cancel(&s);
    if (ag_scope_end(&s) == -ENOMEM) /* begun without memory: nothing can be started */
        ag_check_int(r, -ENOMEM);
}
AG_TEST_RUN(a_scope_begun_without_memory_is_empty) {
    WALK(MEMORY, a_scope_in_a_block);
    inject("calloc", ENOMEM, 1, false);
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_check_int(inject_end(), 1);
    ag_check_int(ag_scope_go(&s, counts, (atomic_int *)NULL), -ENOMEM);
    ag_check_int(ag_sleep(AG_US), 0);
    ag_check_int(ag_scope_end(&s), -ENOMEM);
}

static void *never_runs(void) {
    return NULL;
}

static void *twice(atomic_int *ran) {
    atomic_fetch_add(ran, 1);
    ag_job *j = ag_async_lazy(never_runs);
    ok_ptr(j);
    ag_unref(j);
    return ran;
}

static void jobs(void) {
    static atomic_int ran;
    void *result = NULL;
    ag_job *j = ag_async(twice, &ran);
    if (ok_ptr(j)) {
        ag_check_int(ag_job_await(j, &result), 0);
        ag_check_ptr(result, &ran);
    } else {
        ag_check_int(ag_job_await(j, &result), -ENOMEM);
    }
    ag_unref(j);
    j = ag_async_lazy(twice, &ran);
    if (ok_ptr(j)) {
        int r = ag_job_start(j);
        if (ok(r))
            ag_check_int(ag_job_await(j, NULL), 0);
        else
            ag_check_int(ag_job_state(j), AG_JOB_NEW);
    }
    ag_unref(j);
}
AG_TEST_RUN(a_job_is_made_or_is_null) {
    WALK(MEMORY | THREAD, jobs);
}

static void on_done(void) {
    ag_job *j = ag_async_lazy(never_runs);
    if (ok_ptr(j))
        ok(ag_job_on_done(j, ag_yield));
    inject_end(); /* a goroutine that can not be started for it is the end of the process */
    ag_job_cancel(j);
    ag_unref(j);
}
AG_TEST_RUN(on_done_is_noted_or_says_so) {
    WALK(MEMORY, on_done);
}

static FILE *null;
static void dumps(void) {
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    static atomic_int ran;
    ok(ag_scope_go(&s, counts, &ran));
    ag_scope_dump(null);
    ok(ag_scope_end(&s));
}
AG_TEST_RUN(a_tree_leaves_out_what_there_is_no_memory_for) {
    AG_TEST_LEAKY_FDS();
    null = fopen("/dev/null", "w");
    ag_check(null != NULL);
    WALK(MEMORY | GROW, dumps);
}

static int panics(void) {
    inject("malloc", ENOMEM, 1, true);
    ag_panic("can not be carried");
    return 0;
}

static int panics_without_memory(void *unused) {
    (void)unused;
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, panics);
    return ag_scope_end(&s);
}
AG_TEST_DEATH(a_panic_that_can_not_be_carried_is_not_lost, 2, "panic: can not be carried") {
    ag_run(panics_without_memory, NULL);
}
