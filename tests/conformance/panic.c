/* SPDX-License-Identifier: MIT */
/*
 * Panics: try, recover, what runs, what is carried. What an unrecovered panic prints is in
 * panic_text.c.
 */
#include "notes.h"

/* The text of the panic that a deferred call recovered, or "none". */
static char recovered[4][256];
static int recovered_count;

static void keep_recovered(const ag_panic_info *info) {
    ag_check(recovered_count < 4);
    snprintf(recovered[recovered_count++], 256, "%s", info ? info->msg : "none");
}

static void recovers(void) {
    keep_recovered(ag_recover());
}

static void check_recovered(int count, const char *first) {
    ag_check_int(recovered_count, count);
    ag_check_str(recovered[0], first);
    recovered_count = 0;
}

/* ---- ag_try --------------------------------------------------------------------------------- */

static int returns_normally(int *p) {
    ag_defer(note, 'a');
    return ++*p;
}

AG_TEST_RUN(try_returns_zero_and_has_run_the_function) {
    int n = 0;
    ag_check_int(ag_try(NULL, returns_normally, &n), 0);
    ag_check_int(n, 1);
    check_notes("a");
}

static int panic_line;

static void panics_with(int number, const char *text) {
    ag_defer(note, 'a');
    panic_line = __LINE__ + 1;
    ag_panic("number %d: %s", number, text);
}

AG_TEST_RUN(try_tells_text_and_place_of_the_panic) {
    ag_panic_info info;
    memset(&info, 1, sizeof info);
    ag_check_int(ag_try(&info, panics_with, 7, "text"), AG_PANICKED);
    check_notes("a");
    ag_check_str(info.msg, "number 7: text");
    ag_check_ptr(info.value, NULL);
    ag_check_int(info.line, panic_line);
    ag_check_contains(info.file, "panic.c");
    ag_check_int(ag_try(NULL, panics_with, 8, "text"), AG_PANICKED);
    ag_check(AG_PANICKED < 0);
}

static void panics_with_value(int *value) {
    ag_panic_value(value, "value %d", *value);
}

AG_TEST_RUN(a_panic_carries_a_pointer) {
    int value = 5;
    ag_panic_info info;
    ag_check_int(ag_try(&info, panics_with_value, &value), AG_PANICKED);
    ag_check_ptr(info.value, &value);
    ag_check_str(info.msg, "value 5");
}

static void panics_long(void) {
    char text[1000];
    memset(text, 'x', sizeof text);
    text[999] = 0;
    ag_panic("%s", text);
}

AG_TEST_RUN(a_long_text_is_cut_not_overrun) {
    ag_panic_info info;
    ag_check_int(ag_try(&info, panics_long), AG_PANICKED);
    ag_check_int(strlen(info.msg), sizeof info.msg - 1);
    ag_check_int(strspn(info.msg, "x"), sizeof info.msg - 1);
}

static void tries_inside(void) {
    ag_panic_info info;
    ag_check_int(ag_try(&info, panics_with, 1, "inner"), AG_PANICKED);
    ag_check_str(info.msg, "number 1: inner");
    ag_panic("outer");
}

AG_TEST_RUN(an_inner_try_stops_what_the_outer_one_does_not_see) {
    ag_panic_info info;
    ag_check_int(ag_try(&info, tries_inside), AG_PANICKED);
    ag_check_str(info.msg, "outer");
    ag_check_int(ag_try(NULL, note, 'x'), 0);
}

static void count_one(int *ran) {
    ++*ran;
}

static volatile int bottom = 0;

static void deep(int depth, int *ran) {
    volatile char room[64];
    ag_defer(count_one, ran);
    room[depth % 64] = 1;
    if (depth > bottom)
        deep(depth - 1, ran);
    else
        ag_panic("from the depth");
    ag_check(room[depth % 64] == 1);
}

AG_TEST_RUN(a_panic_from_the_depth_runs_every_deferred_call_once) {
    int ran = 0;
    ag_panic_info info;
    ag_check_int(ag_try(&info, deep, 300, &ran), AG_PANICKED);
    ag_check_int(ran, 301);
    ag_check_str(info.msg, "from the depth");
}

AG_TEST_RUN(a_goroutine_may_panic_and_go_on_any_number_of_times) {
    for (int i = 0; i < 20000 / ag_test_slow(); i++) {
        notes[0] = 0;
        ag_check_int(ag_try(NULL, panics_with, i, "again"), AG_PANICKED);
    }
}

static int kept;

static void look_at(const int *p) {
    kept = *p;
}

static void panics_with_a_local(void) {
    int local = 1;
    ag_defer(look_at, &local);
    local = 77;
    ag_panic("look");
}

AG_TEST_RUN(the_panicking_frames_are_alive_while_deferred_calls_run) {
    ag_check_int(ag_try(NULL, panics_with_a_local), AG_PANICKED);
    ag_check_int(kept, 77);
}

static void send_and_sleep(ag_chan(int) c, int v) {
    ag_sleep(AG_MS);
    ag_send(c, v);
}

static void panics_and_waits(ag_chan(int) c) {
    ag_defer(send_and_sleep, c, 2);
    ag_defer(send_and_sleep, c, 1);
    ag_panic("waiting");
}

static void try_to_panic_and_wait(ag_chan(int) c) {
    ag_check_int(ag_try(NULL, panics_and_waits, c), AG_PANICKED);
    ag_send(c, 3);
}

AG_TEST_RUN(deferred_calls_may_wait_while_panicking) {
    ag_chan(int) c = ag_make(int, 0);
    ag_go(try_to_panic_and_wait, c);
    for (int i = 1, v; i <= 3; i++)
        ag_check(ag_recv(c, &v) && v == i);
    ag_unref(c);
}

static void *try_on_a_thread(void *arg) {
    ag_panic_info info;
    ag_check_int(ag_try(&info, panics_with, 3, "thread"), AG_PANICKED);
    ag_check_str(info.msg, "number 3: thread");
    return arg;
}

AG_TEST(try_works_without_a_runtime_and_on_foreign_threads) {
    try_on_a_thread(NULL);
    pthread_t thread;
    pthread_create(&thread, NULL, try_on_a_thread, NULL);
    pthread_join(thread, NULL);
    check_notes("aa");
}

/* ---- ag_recover ----------------------------------------------------------------------------- */

static void recovered_below_a_try(void) {
    ag_defer(note, 'a');
    ag_defer(recovers);
    ag_defer(note, 'b');
    ag_panic("first");
}

AG_TEST_RUN(recover_below_a_try_runs_the_rest_and_the_try_still_tells) {
    ag_panic_info info;
    ag_check_int(ag_try(&info, recovered_below_a_try), AG_PANICKED);
    ag_check_str(info.msg, "first");
    check_notes("ba");
    check_recovered(1, "first");
}

static void two_that_recover(void) {
    ag_defer(recovers);
    ag_defer(recovers);
    ag_panic("once");
}

AG_TEST_RUN(what_is_recovered_is_gone_for_the_next_deferred_call) {
    ag_check_int(ag_try(NULL, two_that_recover), AG_PANICKED);
    ag_check_str(recovered[1], "none");
    check_recovered(2, "once");
}

static void recovers_twice(void) {
    keep_recovered(ag_recover());
    keep_recovered(ag_recover());
}

static void one_that_recovers_twice(void) {
    ag_defer(recovers_twice);
    ag_panic("twice");
}

AG_TEST_RUN(a_second_recover_in_the_same_call_returns_null) {
    ag_check_int(ag_try(NULL, one_that_recovers_twice), AG_PANICKED);
    ag_check_str(recovered[1], "none");
    check_recovered(2, "twice");
}

static __attribute__((noinline)) void helper(void) {
    keep_recovered(ag_recover());
    note('h');
}

static void asks_a_helper(void) {
    helper();
    note('d'); /* after the call, so that it is no tail call */
}

static void recover_by_helper(void) {
    ag_defer(asks_a_helper);
    ag_panic("not stopped");
}

AG_TEST_RUN(recover_in_a_helper_of_the_deferred_call_returns_null) {
    ag_panic_info info;
    ag_check_int(ag_try(&info, recover_by_helper), AG_PANICKED);
    ag_check_str(info.msg, "not stopped");
    check_recovered(1, "none");
    check_notes("hd");
}

static void defers_one_that_recovers(void) {
    ag_defer(recovers);
    note('n');
}

static void recover_in_nested_defer(void) {
    ag_defer(defers_one_that_recovers);
    ag_panic("deeper");
}

AG_TEST_RUN(recover_in_a_deferred_call_of_a_deferred_call_returns_null) {
    ag_panic_info info;
    ag_check_int(ag_try(&info, recover_in_nested_defer), AG_PANICKED);
    ag_check_str(info.msg, "deeper");
    check_recovered(1, "none");
    check_notes("n");
}

AG_TEST_RUN(recover_without_a_panic_returns_null) {
    ag_check_ptr(ag_recover(), NULL);
    recovers();
    check_recovered(1, "none");
    { ag_defer(recovers); }
    check_recovered(1, "none");
}

static void exits_and_recovers(void) {
    ag_defer(recovers);
    ag_goexit();
}

AG_TEST_RUN(goexit_is_no_panic) {
    ag_wg wg = AG_WG_INIT;
    ag_wg_go(&wg, exits_and_recovers);
    ag_wg_wait(&wg);
    check_recovered(1, "none");
}

static void goroutine_recovers(atomic_int *after) {
    ag_defer(note, 'a');
    ag_defer(recovers);
    ag_panic("ends normally");
    atomic_store(after, 1); /* never: control does not come back into the function */
}

AG_TEST_RUN(a_recovered_goroutine_without_a_try_ends_normally) {
    ag_wg wg = AG_WG_INIT;
    atomic_int after = 0;
    ag_wg_go(&wg, goroutine_recovers, &after);
    ag_wg_wait(&wg);
    ag_check_int(atomic_load(&after), 0);
    check_notes("a");
    check_recovered(1, "ends normally");
}

static int main_recovers(void *arg) {
    ag_defer(recovers);
    if (arg)
        ag_panic("in main");
    return 5;
}

AG_TEST(run_returns_zero_when_main_recovered) {
    ag_check_int(ag_run(main_recovers, notes), 0);
    check_recovered(1, "in main");
    ag_check_int(ag_run(main_recovers, NULL), 5);
    check_recovered(1, "none");
}

/* ---- Panics inside deferred calls ----------------------------------------------------------- */

static void panic_text(const char *text) {
    note(text[0]);
    ag_panic("%s", text);
}

static void replaced(void) {
    ag_defer(note, '1');
    ag_defer(panic_text, "third");
    ag_defer(note, '2');
    ag_defer(panic_text, "second");
    ag_defer(note, '3');
    ag_panic("first");
}

AG_TEST_RUN(a_panic_in_a_deferred_call_replaces_the_older_one_and_each_call_runs_once) {
    ag_panic_info info;
    ag_check_int(ag_try(&info, replaced), AG_PANICKED);
    ag_check_str(info.msg, "third");
    check_notes("3s2t1");
}

static void replaced_then_recovered(void) {
    ag_defer(recovers);
    ag_defer(recovers);
    ag_defer(panic_text, "newer");
    ag_panic("older");
}

AG_TEST_RUN(recover_sees_the_newest_panic_and_the_older_ones_go_with_it) {
    ag_check_int(ag_try(NULL, replaced_then_recovered), AG_PANICKED);
    ag_check_str(recovered[1], "none");
    check_recovered(2, "newer");
    check_notes("n");
}

static void panics_and_recovers_itself(void) {
    ag_defer(recovers);
    ag_panic("inner");
}

static void inner_panic_is_recovered(void) {
    ag_defer(note, 'a');
    ag_defer(panics_and_recovers_itself);
    ag_panic("outer");
}

AG_TEST_RUN(a_panic_recovered_inside_a_deferred_call_leaves_the_older_one) {
    ag_panic_info info;
    ag_check_int(ag_try(&info, inner_panic_is_recovered), AG_PANICKED);
    ag_check_str(recovered[0], "inner");
    recovered_count = 0;
    notes[0] = 0;
    ag_check_str(info.msg, "outer");
}

static void tries_while_panicking(void) {
    ag_panic_info info;
    ag_check_int(ag_try(&info, panics_with, 2, "inner"), AG_PANICKED);
    ag_check_str(info.msg, "number 2: inner");
}

static void defer_that_tries(void) {
    ag_defer(note, 'z');
    ag_defer(tries_while_panicking);
    ag_panic("outer");
}

AG_TEST_RUN(a_try_inside_a_deferred_call_stops_only_what_is_above_it) {
    ag_panic_info info;
    ag_check_int(ag_try(&info, defer_that_tries), AG_PANICKED);
    ag_check_str(info.msg, "outer");
    check_notes("az");
}

static void recovers_then_panics(void) {
    keep_recovered(ag_recover());
    ag_panic("again");
}

static void repanics(void) {
    ag_defer(note, 'a');
    ag_defer(recovers_then_panics);
    ag_panic("first");
}

AG_TEST_RUN(a_recovering_call_may_panic_again) {
    ag_panic_info info;
    ag_check_int(ag_try(&info, repanics), AG_PANICKED);
    ag_check_str(info.msg, "again");
    check_recovered(1, "first");
    check_notes("a");
}

/* ---- With ag_goexit ------------------------------------------------------------------------- */

static void exits_inside(void) {
    ag_defer(note, 'a');
    ag_goexit();
}

static void try_does_not_return(atomic_int *returned) {
    ag_defer(note, 'b');
    ag_try(NULL, exits_inside);
    atomic_store(returned, 1);
}

AG_TEST_RUN(goexit_inside_a_try_ends_the_goroutine) {
    ag_wg wg = AG_WG_INIT;
    atomic_int returned = 0;
    ag_wg_go(&wg, try_does_not_return, &returned);
    ag_wg_wait(&wg);
    ag_check_int(atomic_load(&returned), 0);
    check_notes("ab");
}

static void exits_while_panicking(void) {
    ag_defer(note, 'a');
    ag_defer(exits_inside);
    ag_panic("aborted by goexit");
}

AG_TEST_RUN(goexit_in_a_deferred_call_aborts_the_panic) {
    ag_wg wg = AG_WG_INIT;
    ag_wg_go(&wg, exits_while_panicking);
    ag_wg_wait(&wg);
    check_notes("aa");
}

static void panics_while_exiting(atomic_int *after) {
    ag_defer(recovers);
    ag_defer(panic_text, "while exiting");
    ag_goexit();
    atomic_store(after, 1);
}

static void goexit_goes_on(atomic_int *after) {
    ag_defer(note, 'z');
    panics_while_exiting(after);
    atomic_store(after, 2);
}

AG_TEST_RUN(goexit_goes_on_after_a_recovered_panic_of_a_deferred_call) {
    ag_wg wg = AG_WG_INIT;
    atomic_int after = 0;
    ag_wg_go(&wg, goexit_goes_on, &after);
    ag_wg_wait(&wg);
    ag_check_int(atomic_load(&after), 0);
    check_recovered(1, "while exiting");
    check_notes("wz");
}

/* ---- Per goroutine -------------------------------------------------------------------------- */

static char hook_text[256];
static int hook_value;
static atomic_int hook_calls;

static void hook(const ag_panic_info *info) {
    snprintf(hook_text, sizeof hook_text, "%s", info->msg);
    hook_value = info->value ? *(int *)info->value : 0;
    atomic_fetch_add(&hook_calls, 1);
}

static void panics_alone(int *value) {
    ag_defer(note, 'a');
    ag_panic_value(value, "alone");
}

AG_TEST_RUN(on_panic_of_a_goroutine_lets_it_end_alone) {
    static int value = 31;
    ag_go_opts opts = {.name = "alone", .on_panic = hook};
    ag_check(ag_go_with(&opts, panics_alone, &value) > 0);
    eventually(atomic_load(&hook_calls) == 1);
    ag_check_str(hook_text, "alone");
    ag_check_int(hook_value, 31);
    check_notes("a"); /* its deferred calls ran before */
    eventually(ag_count() == 1);
}

AG_TEST_RUN(on_panic_is_not_called_for_a_recovered_panic) {
    ag_go_opts opts = {.on_panic = hook};
    static atomic_int after;
    ag_go_with(&opts, goroutine_recovers, &after);
    eventually(ag_count() == 1);
    ag_check_int(atomic_load(&hook_calls), 0);
    notes[0] = 0;
    recovered_count = 0;
}

static void counting_hook(const ag_panic_info *info) {
    ag_check_contains(info->msg, "number ");
    atomic_fetch_add(&hook_calls, 1);
}

static void panics_by_number(int n) {
    if (n % 2)
        ag_panic("number %d", n);
}

AG_TEST_RUN(many_goroutines_panic_at_the_same_time_each_alone) {
    ag_go_opts opts = {.on_panic = counting_hook};
    int many = 2000 / ag_test_slow();
    for (int i = 0; i < many; i++)
        ag_go_with(&opts, panics_by_number, i);
    eventually(ag_count() == 1);
    ag_check_int(atomic_load(&hook_calls), many / 2);
}

AG_TEST(on_panic_returns_the_hook_before) {
    ag_check(ag_on_panic(hook) == NULL);
    ag_check(ag_on_panic(NULL) == hook);
    ag_check(ag_on_panic(NULL) == NULL);
}
