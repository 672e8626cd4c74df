/* SPDX-License-Identifier: MIT */
/*
 * What scopes and jobs print: the backtraces of a panic that was carried, and the tree of what
 * lives.
 */
#include "common.h"

/* ---- A panic with the backtraces of both ---------------------------------------------------- */

static volatile int far = 2; /* nobody but we know whether it panics: the frames stay */

static int __attribute__((noinline)) deep_in_the_child(int depth) {
    if (depth < far)
        return deep_in_the_child(depth + 1) + far;
    if (far > 0)
        ag_panic("far away");
    return 0;
}

static int __attribute__((noinline)) child_that_panics(void) {
    return deep_in_the_child(0) + far;
}

static int __attribute__((noinline)) joiner_between(void) {
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, child_that_panics);
    if (ag_scope_end(&s) == AG_PANICKED)
        ag_scope_repanic(&s);
    return 0;
}

static int __attribute__((noinline)) joins_at_last(void *unused) {
    (void)unused;
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_SUPERVISOR);
    ag_scope_go(&s, joiner_between);
    ag_scope_end(&s);
    ag_scope_repanic(&s);
    return 0;
}

AG_TEST_DEATH(panic_carried_through_two_scopes, 2, "panic: far away") {
    ag_run(joins_at_last, NULL);
}

/* Names may have endings: compilers make copies of functions. */
static const char *after(const char *text, const char *words) {
    const char *found = strstr(text, words);
    if (!found)
        ag_fail("no `%s` in:\n%s", words, text);
    return found + strlen(words);
}

AG_TEST(a_carried_panic_is_printed_with_all_backtraces) {
    static struct child child;
    run_child(&child, "panic_carried_through_two_scopes");
    ag_check_int(child.status, 2);
    const char *at = after(child.text, "panic: far away\n\ngoroutine ");
    at = after(at, "[panicked]:\n");
    at = after(at, "deep_in_the_child");
    at = after(at, "child_that_panics");
    at = after(at, "created by joiner_between in goroutine ");
    at = after(at, "scope_text.c:");
    at = after(at, "[panicked]:\n");
    at = after(at, "joiner_between");
    at = after(at, "created by joins_at_last in goroutine 1 at ");
    at = after(at, "goroutine 1 [running]:\n");
    at = after(at, "joins_at_last");
    ag_check(strstr(at, "[panicked]") == NULL);
    ag_check(strstr(child.text, "child_main") == NULL);
    ag_check(strstr(child.text, "ag__") == NULL);
}

static void *__attribute__((noinline)) job_that_panics(void) {
    deep_in_the_child(1);
    return NULL;
}

static void seen_by_hook(const ag_panic_info *info) {
    fprintf(stderr, "hook: %s\n", info->msg);
}

static int __attribute__((noinline)) awaits_and_repanics(void *unused) {
    (void)unused;
    ag_on_panic(seen_by_hook);
    ag_job *j = ag_async(job_that_panics);
    ag_job_await(j, NULL);
    ag_job_repanic(j);
    return 0;
}

AG_TEST_DEATH(panic_of_an_awaited_job, 2, "panic: far away") {
    ag_run(awaits_and_repanics, NULL);
}

static int forgets_the_job(void *unused) {
    (void)unused;
    ag_on_panic(seen_by_hook);
    ag_unref(ag_async(job_that_panics));
    ag_sleep(20 * AG_SEC);
    return 0;
}

AG_TEST_DEATH(panic_of_a_forgotten_job, 2, "panic: far away [of a job that nobody awaited]") {
    ag_run(forgets_the_job, NULL);
}

AG_TEST(a_panic_of_a_job_is_printed_with_its_backtrace) {
    static struct child child;
    run_child(&child, "panic_of_an_awaited_job");
    const char *at = after(child.text, "[panicked]:\n");
    at = after(at, "job_that_panics");
    at = after(at, "created by awaits_and_repanics in goroutine 1 at ");
    at = after(at, "goroutine 1 [running]:\n");
    at = after(at, "awaits_and_repanics");
    after(at, "hook: far away\n");
    run_child(&child, "panic_of_a_forgotten_job");
    at = after(child.text, "[panicked]:\n");
    at = after(at, "job_that_panics");
    after(at, "hook: far away\n");
}

static int panics_in_a_child(void *unused) {
    (void)unused;
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, child_that_panics);
    ag_sleep(AG_MIN);
    return 0; /* without a word on the scope: the panic goes on here */
}

AG_TEST_DEATH(a_panic_of_a_child_ends_who_left_its_scope, 2, "panic: far away") {
    ag_run(panics_in_a_child, NULL);
}

/* ---- The tree ------------------------------------------------------------------------------- */

/* Inlined, gcc 12 takes what open_memstream allocates for the variable itself. */
static char *__attribute__((noinline)) printed(void (*print)(FILE *)) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    print(out);
    fclose(out);
    return text;
}

static ag_chan(int) gate;

static int waits_at_the_gate(void) {
    ag_recv(gate, NULL);
    return 0;
}

static void *body_at_the_gate(void) {
    ag_shield(AG_MIN); /* stays when it is cancelled */
    ag_recv(gate, NULL);
    return NULL;
}

static void *makes_jobs(void) {
    ag_scope s;
    ag_unref(ag_async(body_at_the_gate));
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, waits_at_the_gate);
    ag_scope_end(&s);
    return NULL;
}

static const char *line_with(const char *text, const char *words) {
    const char *found = strstr(text, words);
    if (!found)
        ag_fail("no `%s` in:\n%s", words, text);
    while (found > text && found[-1] != '\n')
        found--;
    return found;
}

static int indent_of(const char *text, const char *words) {
    return (int)strspn(line_with(text, words), " ");
}

AG_TEST_RUN(the_tree_shows_who_belongs_to_whom) {
    gate = ag_make(int, 0);
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_SUPERVISOR);
    ag_scope_go(&s, waits_at_the_gate);
    ag_job *j = ag_async(makes_jobs), *lazy = ag_async_lazy(body_at_the_gate);
    eventually(ag_count() == 5);
    char *text = printed(ag_scope_dump);
    ag_check_contains(text, "scopes: 2 of 2 left; jobs: 3 of 3 left\ngoroutine 1\n");
    ag_check_int(indent_of(text, "scope, supervisor, at "), 2);
    ag_check_contains(line_with(text, "scope, supervisor, at "), ": 3 of 3 left\n");
    ag_check_int(indent_of(text, "waits_at_the_gate created at "), 4);
    ag_check_int(indent_of(text, "[Active] makes_jobs made at "), 4);
    ag_check_int(indent_of(text, "[New] body_at_the_gate made at "), 4);
    const char *below = line_with(text, "[Active] makes_jobs made at ");
    ag_check_int(indent_of(below, "scope, fail fast, at "), 6);
    ag_check_int(indent_of(below, "waits_at_the_gate created at "), 8);
    ag_check_int(indent_of(below, "[Active] body_at_the_gate made at "), 6);
    free(text);
    text = printed(ag_dump);
    ag_check_contains(text, "scopes: 2 of 2 left; jobs: 3 of 3 left\n");
    free(text);
    ag_job_cancel(j);
    text = printed(ag_scope_dump);
    ag_check_contains(text, "[Cancelling] makes_jobs made at ");
    free(text);
    ag_close(gate);
    ag_check_int(ag_scope_end(&s), 0);
    text = printed(ag_scope_dump);
    ag_check_str(text, "scopes: 0 of 2 left; jobs: 0 of 3 left\n\n");
    free(text);
    text = printed(ag_dump);
    ag_check(strstr(text, "scopes:") == NULL);
    free(text);
    ag_unref(j);
    ag_unref(lazy);
    ag_unref(gate);
}

static void *dumps_on_a_thread(void *ret_text) {
    *(char **)ret_text = printed(ag_scope_dump);
    return NULL;
}

static void *begins_on_a_thread(void *ret_text) {
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, waits_at_the_gate);
    dumps_on_a_thread(ret_text);
    ag_close(gate);
    ag_check_int(ag_scope_end(&s), 0);
    return NULL;
}

AG_TEST_RUN(a_thread_may_ask_for_the_tree_and_be_in_it) {
    pthread_t t;
    char *text = NULL;
    gate = ag_make(int, 0);
    ag_check_int(pthread_create(&t, NULL, dumps_on_a_thread, &text), 0);
    ag_blocking(pthread_join, t, (void **)NULL);
    ag_check_str(text, "scopes: 0 of 0 left; jobs: 0 of 0 left\n\n");
    free(text);
    ag_check_int(pthread_create(&t, NULL, begins_on_a_thread, &text), 0);
    ag_blocking(pthread_join, t, (void **)NULL);
    ag_check_contains(text, "a thread that is no goroutine\n  scope, fail fast, at ");
    ag_check_int(indent_of(text, "waits_at_the_gate created at "), 4);
    free(text);
    ag_unref(gate);
}

static int waits_for_ever(void *unused) {
    (void)unused;
    gate = ag_make(int, 0);
    ag_scope s;
    ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
    ag_scope_go(&s, waits_at_the_gate);
    return ag_scope_end(&s);
}

AG_TEST_DEATH(a_scope_that_can_never_end_is_a_deadlock, 2,
              "fatal error: all goroutines are asleep - deadlock!") {
    ag_test_needs_deadlock_report();
    ag_run(waits_for_ever, NULL);
}

AG_TEST_RUN(a_dump_tells_what_is_waited_for) {
    gate = ag_make(int, 0);
    ag_job *j = ag_async(makes_jobs);
    for (bool seen = false; !seen;) { /* the harness has a limit */
        char *text = printed(ag_dump);
        seen = strstr(text, " [scope end]:") != NULL;
        free(text);
        ag_sleep(AG_MS);
    }
    ag_close(gate);
    ag_check_int(ag_job_await(j, NULL), 0);
    ag_unref(j);
    ag_unref(gate);
}
