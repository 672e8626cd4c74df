/* SPDX-License-Identifier: MIT */
/*
 * What an unrecovered panic prints, and how the process ends. The texts are those of Go 1.26 for
 * the same program, up to the frames, where ours name C functions. Every test here is a process
 * that must die; those with more than one thing to look at run such a process as a child.
 */
#include "common.h"

static void panic_text(const char *text) {
    ag_panic("%s", text);
}

static int main_panics(void *arg) {
    ag_panic("%s", (const char *)arg);
}

AG_TEST_DEATH(the_text_and_the_goroutine_are_named, 2, "panic: help\n\ngoroutine 1 [running]:\n") {
    ag_run(main_panics, "help");
}

AG_TEST_DEATH(further_lines_of_the_text_are_indented, 2,
              "panic: one\n\ttwo\n\tthree\n\ngoroutine 1 ") {
    ag_run(main_panics, "one\ntwo\nthree");
}

static int main_panics_with_value(void *arg) {
    ag_panic_value(arg, "with %s", "a value");
}

AG_TEST_DEATH(a_value_shows_its_text, 2, "panic: with a value\n\ngoroutine 1 [running]:\n") {
    ag_run(main_panics_with_value, &(int){1});
}

/* ---- Several panics ------------------------------------------------------------------------- */

static int main_panics_twice(void *arg) {
    ag_defer(panic_text, "second");
    return main_panics(arg);
}

AG_TEST_DEATH(a_replaced_panic_is_still_printed, 2,
              "panic: first\n\tpanic: second\n\ngoroutine 1 [running]:\n") {
    ag_run(main_panics_twice, "first");
}

static int main_panics_three_times(void *arg) {
    ag_defer(panic_text, "third");
    ag_defer(panic_text, "second");
    return main_panics(arg);
}

AG_TEST_DEATH(all_replaced_panics_are_printed, 2,
              "panic: first\n\tpanic: second\n\tpanic: third\n\ngoroutine 1 [running]:\n") {
    ag_run(main_panics_three_times, "first");
}

static void recovers_then_panics(const char *text) {
    ag_recover();
    ag_panic("%s", text);
}

static int main_repanics(void *arg) {
    ag_defer(recovers_then_panics, "second");
    return main_panics(arg);
}

AG_TEST_DEATH(a_recovered_panic_is_marked, 2,
              "panic: first [recovered]\n\tpanic: second\n\ngoroutine 1 [running]:\n") {
    ag_run(main_repanics, "first");
}

static int main_recovers_a_replacement(void *arg) {
    ag_defer(recovers_then_panics, "b");
    ag_defer(panic_text, "a2");
    return main_panics(arg);
}

AG_TEST_DEATH(only_the_recovered_one_of_several_is_marked, 2,
              "panic: a\n\tpanic: a2 [recovered]\n\tpanic: b\n\ngoroutine 1 [running]:\n") {
    ag_run(main_recovers_a_replacement, "a");
}

static void just_recovers(void) {
    ag_recover();
}

static void panics_and_recovers_itself(void) {
    ag_defer(just_recovers);
    ag_panic("inner");
}

static int main_with_inner_recovery(void *arg) {
    ag_defer(panic_text, "third");
    ag_defer(panics_and_recovers_itself);
    return main_panics(arg);
}

AG_TEST_DEATH(one_recovered_inside_a_deferred_call_is_not_printed, 2,
              "panic: first\n\tpanic: third\n\ngoroutine 1 [running]:\n") {
    ag_run(main_with_inner_recovery, "first");
}

static void exits_and_panics(void) {
    ag_defer(panic_text, "in goexit");
    ag_goexit();
}

static int main_waits_for_another_to_die(void *arg) {
    void (*fn)(void) = (void (*)(void))arg;
    ag_go(fn);
    return ag_select();
}

AG_TEST_DEATH(a_panic_while_exiting_is_printed_alone, 2, "panic: in goexit\n\ngoroutine ") {
    ag_run(main_waits_for_another_to_die, (void *)exits_and_panics);
}

/* ---- The goroutine -------------------------------------------------------------------------- */

static __attribute__((noinline)) void inner_frame(void) {
    ag_panic("deep");
}

static __attribute__((noinline)) void outer_frame(void) {
    inner_frame();
    ag_yield(); /* no tail call above */
}

static void creates(ag_chan(int) never);

static int main_creates(void *arg) {
    ag_chan(int) never = ag_make(int, 0);
    (void)arg;
    creates(never);
    return ag_recv(never, NULL);
}

AG_TEST_DEATH(a_goroutine_that_was_created_dies, 2, "panic: deep\n\ngoroutine ") {
    ag_run(main_creates, NULL);
}

AG_TEST(frames_and_the_place_of_creation_are_printed) {
    static struct child child;
    run_child(&child, "a_goroutine_that_was_created_dies");
    ag_check_int(child.status, 2);
    ag_check_int(strncmp(child.text, "panic: deep\n\ngoroutine ", 23), 0);
    ag_check_contains(child.text, " [running]:\n");
    const char *inner = strstr(child.text, "inner_frame"),
               *outer = strstr(child.text, "outer_frame");
    const char *created = strstr(child.text, "created by creates");
    ag_check_contains(child.text, "created by creates");
    ag_check(inner && outer && inner < outer && outer < created);
    ag_check_contains(created, " at creation.c:1001");
}

static void dies_named(void) {
    inner_frame();
}

static int main_starts_named(void *arg) {
    (void)arg;
    ag_go_with(&(ag_go_opts){.name = "the worker"}, dies_named);
    return ag_select();
}

AG_TEST_DEATH(a_named_goroutine_is_named, 2, "the worker") {
    ag_run(main_starts_named, NULL);
}

/* ---- Order, hook, status -------------------------------------------------------------------- */

static void say(const char *text) {
    fprintf(stderr, "%s\n", text);
}

static void say_hook(const ag_panic_info *info) {
    fprintf(stderr, "hook: %s\n", info->msg);
}

static int main_panics_with_hook(void *arg) {
    ag_on_panic(say_hook);
    ag_defer(say, "deferred");
    return main_panics(arg);
}

AG_TEST_DEATH(the_hook_sees_the_panic, 2, "hook: end") {
    ag_run(main_panics_with_hook, "end");
}

AG_TEST(deferred_calls_run_first_then_it_is_printed_then_the_hook_is_called) {
    static struct child child;
    run_child(&child, "the_hook_sees_the_panic");
    ag_check_int(child.status, 2);
    const char *deferred = strstr(child.text, "deferred\n");
    const char *printed = strstr(child.text, "panic: end\n"),
               *called = strstr(child.text, "hook: end\n");
    ag_check(deferred && printed && called && deferred < printed && printed < called);
}

AG_TEST_DEATH(with_traceback_crash_it_aborts, 134, "panic: abort\n\ngoroutine 1 [running]:\n") {
    setenv("AGLET_TRACEBACK", "crash", 1);
    ag_run(main_panics, "abort");
}

static void *thread_panics(void *arg) {
    ag_panic("%s", (const char *)arg);
}

static int main_waits_for_a_thread(void *arg) {
    pthread_t thread;
    pthread_create(&thread, NULL, thread_panics, arg);
    pthread_join(thread, NULL);
    return 0;
}

AG_TEST_DEATH(a_panic_on_a_foreign_thread_ends_the_process, 2, "panic: on a thread\n") {
    ag_run(main_waits_for_a_thread, "on a thread");
}

AG_TEST_DEATH(a_panic_without_a_runtime_ends_the_process, 2, "panic: no runtime\n") {
    thread_panics("no runtime");
}

static int main_dies_among_many(void *arg) {
    for (int i = 0; i < 50; i++)
        ag_go(main_panics, arg);
    return ag_select();
}

AG_TEST_DEATH(many_that_panic_at_once_end_it_once, 2, "panic: all\n\ngoroutine ") {
    ag_run(main_dies_among_many, "all");
}

/* Last, because it changes what the following lines are called. */
#line 1000 "creation.c"
static void creates(ag_chan(int) never) {
    ag_go(outer_frame);
    ag_try_recv(never, NULL);
}
