/* SPDX-License-Identifier: MIT */
/*
 * aglet/test.h: results, deadlines, leaks; each detector with a test in which it must find
 * something, and one in which it must not. What is printed is looked at through a child process.
 */
#include "../conformance/common.h"
#include <aglet/test.h>

static int returns(int v) {
    return v;
}

static void panics(const char *why) {
    ag_panic("it %s", why);
}

static void leaves(void) {
    ag_goexit();
}

static void waits_for(ag_chan(int) c) {
    ag_recv(c, NULL);
}

static void waits_stubbornly(ag_chan(int) c) {
    ag_ctx_enter(NULL);
    ag_recv(c, NULL);
}

static void starts_one(ag_chan(int) c) {
    ag_go(waits_for, c);
}

/* The one who starts the leak has ended by the time of the look. */
static void starts_through_another(ag_chan(int) c) {
    ag_go(starts_one, c);
}

static void leaves_the_context(ag_chan(int) c) {
    ag_ctx_enter(NULL);
    ag_go(waits_for, c);
}

static void tidies_up(ag_chan(int) c) {
    for (int i = 0; i < 100; i++)
        ag_go(waits_for, c);
    ag_close(c);
}

/* ---- Results ----------------------------------------------------------------------------------
 */

AG_TEST(a_test_returns_what_its_function_does) {
    ag_check_int(ag_test_run("zero", AG_MIN, returns, 0), 0);
    ag_check_int(ag_test_run("three", AG_MIN, returns, 3), 3);
    ag_check_int(ag_test_run("minus", AG_MIN, returns, -5), -5);
    ag_check_int(ag_test_run("nothing", AG_MIN, leaves), 0);
}

AG_TEST_RUN(a_test_in_a_runtime_returns_the_same) {
    ag_check_int(ag_test_run("three", AG_MIN, returns, 3), 3);
    ag_check_int(ag_test_run("left", AG_MIN, leaves), 0);
    ag_check_int(ag_test_run("panic", AG_MIN, panics, "fails"), AG_PANICKED);
    ag_check_int(ag_count(), 1);
}

static void deep(void) {
    ag_check_int(ag_test_run("inner", AG_MIN, returns, 7), 7);
}

AG_TEST(a_test_may_run_in_a_test) {
    ag_check_int(ag_test_run("outer", AG_MIN, deep), 0);
}

static void *on_thread(void *result) {
    *(int *)result = ag_test_run("thread", AG_MIN, returns, 9);
    return NULL;
}

AG_TEST_RUN(a_thread_may_run_a_test_in_a_runtime) {
    pthread_t thread;
    int result = 0;
    ag_check_int(pthread_create(&thread, NULL, on_thread, &result), 0);
    ag_blocking(pthread_join, thread, NULL);
    ag_check_int(result, 9);
}

AG_TEST(program_panics) {
    ag_check_int(ag_test_run("p", AG_MIN, panics, "breaks"), AG_PANICKED);
}

AG_TEST(a_panic_is_told) {
    static struct child child;
    run_child(&child, "program_panics");
    ag_check_int(child.status, 0);
    ag_check_contains(child.text, "aglet test p: panic: it breaks at ");
    ag_check_contains(child.text, "test_lib.c:");
}

/* ---- Deadlines --------------------------------------------------------------------------------
 */

static void sleeps(ag_time ns) {
    ag_sleep(ns);
}

AG_TEST(a_test_that_ends_in_time_is_not_late) {
    ag_check_int(ag_test_run("in time", AG_MIN, sleeps, 5 * AG_MS), 0);
}

AG_TEST(program_is_late) {
    ag_chan(int) c = ag_make(int, 0);
    ag_check_int(ag_test_run("slow one", 20 * AG_MS, waits_for, c), AG_TEST_LATE);
    ag_unref(c);
}

AG_TEST(a_late_test_is_dumped_and_cancelled) {
    static struct child child;
    run_child(&child, "program_is_late");
    ag_check_int(child.status, 0);
    ag_check_contains(child.text, "aglet test slow one: late: not done after 0.020 s\n");
    ag_check_contains(child.text, "\"slow one\" [chan receive]:\n");
    ag_check_contains(child.text, "test_lib.c:");
    ag_check(strstr(child.text, "left behind") == NULL);
}

AG_TEST(program_stays_late) {
    ag_chan(int) c = ag_make(int, 0);
    ag_check_int(ag_test_run("stubborn", 10 * AG_MS, waits_stubbornly, c), AG_TEST_LATE);
}

AG_TEST(one_that_a_cancel_does_not_end_is_left_behind) {
    static struct child child;
    run_child(&child, "program_stays_late");
    ag_check_int(child.status, 0);
    ag_check_contains(child.text, "aglet test stubborn: left behind: ");
}

static void locks_twice(void) {
    static ag_mutex mu;
    ag_mutex_lock(&mu);
    ag_mutex_lock(&mu);
}

AG_TEST(program_deadlocks) {
    ag_check_int(ag_test_run("deadlock", 20 * AG_MS, locks_twice), AG_TEST_LATE);
}

AG_TEST(a_deadlock_is_a_test_that_is_late) {
    static struct child child;
    run_child(&child, "program_deadlocks");
    ag_check_int(child.status, 0);
    ag_check_contains(child.text, "\"deadlock\" [sync.Mutex.Lock]:\n");
}

/* ---- Leaks ------------------------------------------------------------------------------------
 */

AG_TEST(goroutines_that_end_are_no_leak) {
    ag_chan(int) c = ag_make(int, 0);
    ag_check_int(ag_test_run("tidy", AG_MIN, tidies_up, c), 0);
    ag_unref(c);
}

AG_TEST(program_leaks) {
    ag_chan(int) c = ag_make(int, 0);
    ag_check_int(ag_test_run("leaky", AG_MIN, starts_one, c), AG_TEST_LEAKED);
    ag_unref(c);
}

AG_TEST(a_leak_is_told_with_the_place_of_its_creation) {
    static struct child child;
    run_child(&child, "program_leaks");
    ag_check_int(child.status, 0);
    ag_check_contains(child.text, "aglet test leaky: leak: 1 goroutines outlive it\n");
    ag_check_contains(child.text, " [chan receive]:\n");
    ag_check_contains(child.text, "created by starts_one in goroutine ");
    ag_check_contains(child.text, "test_lib.c:");
}

AG_TEST(in_a_runtime_of_its_own_whatever_is_left_is_a_leak) {
    ag_chan(int) c = ag_make(int, 0);
    ag_check_int(ag_test_run("through another", AG_MIN, starts_through_another, c), AG_TEST_LEAKED);
    ag_check_int(ag_test_run("without context", AG_MIN, leaves_the_context, c), AG_TEST_LEAKED);
    ag_unref(c);
}

static void timer_leaks(ag_chan(int) c) {
    ag_timer *t = ag_timer_start(0, waits_for, c);
    eventually(ag_count() == 3);
    ag_unref(t);
}

AG_TEST(what_a_timer_started_is_found_in_a_runtime_of_its_own) {
    ag_chan(int) c = ag_make(int, 0);
    ag_check_int(ag_test_run("timer", AG_MIN, timer_leaks, c), AG_TEST_LEAKED);
    ag_unref(c);
}

static void works_on(void) {
    for (ag_time end = ag_now() + 1500 * AG_MS; ag_now() < end;)
        ag_yield();
}
static void leaves_work(void) {
    ag_go(works_on);
}
AG_TEST_RUN(who_is_at_work_is_no_leak_yet) {
    ag_check_int(ag_test_run("at work", AG_MIN, leaves_work), 0);
    ag_check_int(ag_count(), 1);
}

AG_TEST_RUN(a_leak_is_found_through_those_that_have_ended) {
    ag_chan(int) c = ag_make(int, 0);
    ag_check_int(ag_test_run("through another", AG_MIN, starts_through_another, c), AG_TEST_LEAKED);
    /* It is cancelled now. */
    eventually(ag_count() == 1);
    ag_check_int(ag_test_run("without context", AG_MIN, leaves_the_context, c), AG_TEST_LEAKED);
    ag_check_int(ag_count(), 2);
    ag_close(c);
    eventually(ag_count() == 1);
    ag_unref(c);
}

struct one {
    ag_chan(int) c;
    bool leaks;
    int result;
};

static void run_one(struct one *one) {
    if (one->leaks)
        one->result = ag_test_run("leaks", AG_MIN, starts_through_another, one->c);
    else
        one->result = ag_test_run("does not", AG_MIN, tidies_up, one->c);
}

AG_TEST_RUN(tests_side_by_side_see_their_own_leaks_only) {
    enum { TESTS = 20 };
    struct one all[TESTS];
    ag_wg wg = AG_WG_INIT;
    for (int i = 0; i < TESTS; i++) {
        all[i] = (struct one){ag_make(int, 0), i % 2 == 0, 1};
        ag_wg_go(&wg, run_one, &all[i]);
    }
    ag_wg_wait(&wg);
    for (int i = 0; i < TESTS; i++) {
        ag_check_int(all[i].result, all[i].leaks ? AG_TEST_LEAKED : 0);
        ag_unref(all[i].c);
    }
    eventually(ag_count() == 1);
}

static int leaks_and_fails(ag_chan(int) c) {
    ag_go(waits_for, c);
    return 4;
}

AG_TEST(a_leak_is_told_of_a_test_that_fails_besides) {
    ag_chan(int) c = ag_make(int, 0);
    ag_check_int(ag_test_run("both", AG_MIN, leaks_and_fails, c), AG_TEST_LEAKED);
    ag_unref(c);
}
