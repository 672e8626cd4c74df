/* SPDX-License-Identifier: MIT */
/*
 * Recover: who may call it, what it returns, what it leaves. From the specification's section on
 * handling panics and what Go's test/recover*.go look at. Where Go returns from the function that
 * deferred the recovering call, here control continues after the nearest ag_try.
 */
#include "common.h"

static int spurious, recovered;

/* ag_recover() must find the panic with this number, and only once. */
static void must_recover(int number) {
    const ag_panic_info *p = ag_recover();
    ag_check(p != NULL);
    ag_check_int(p->value != NULL, 1);
    ag_check_int(*(const int *)p->value, number);
    ag_check_ptr(ag_recover(), NULL); /* gone now */
    recovered++;
}

static void must_not_recover(void) {
    if (ag_recover())
        spurious++;
}

static __attribute__((noreturn)) void panic_number(int number) {
    static int numbers[100];
    numbers[number] = number;
    ag_panic_value(&numbers[number], "number %d", number);
}

static void check(int times) {
    ag_check_int(recovered, times);
    ag_check_int(spurious, 0);
    recovered = 0;
}

/* ---- Who may recover ------------------------------------------------------------------------ */

static void asks_below(void) {
    must_not_recover();
    ag_check_int(spurious, 0); /* also keeps the call above from being the last */
}

static __attribute__((noinline)) void asks_itself_below(int depth) {
    if (depth > 0) {
        asks_itself_below(depth - 1);
        ag_check_int(spurious, 0);
    } else if (ag_recover()) {
        spurious++;
    }
}

static void panics_past_helpers(void) {
    ag_defer(must_not_recover); /* too late */
    ag_defer(must_recover, 1);
    ag_defer(asks_below);           /* a call below the deferred one is not the deferred one */
    ag_defer(asks_itself_below, 1); /* even if it is the same function */
    panic_number(1);
}

AG_TEST_RUN(recover_works_in_the_deferred_function_itself_and_in_none_that_it_calls) {
    ag_check_int(ag_try(NULL, panics_past_helpers), AG_PANICKED);
    check(1);
}

static void defers_in_a_deferred_call(void) {
    ag_defer(must_not_recover); /* runs as its block ends, not because of the panic */
    ag_check_int(spurious, 0);
}

static void panics_past_a_nested_defer(void) {
    ag_defer(must_recover, 2);
    ag_defer(defers_in_a_deferred_call);
    panic_number(2);
}

AG_TEST_RUN(a_call_that_a_deferred_call_defers_does_not_see_its_panic) {
    ag_check_int(ag_try(NULL, panics_past_a_nested_defer), AG_PANICKED);
    check(1);
}

static void calls_recover_in_blocks(bool *got) {
    for (int i = 0; i < 2; i++) {
        if (i == 1) {
            const ag_panic_info *p = ag_recover();
            *got = p != NULL;
        }
    }
}

static void panics_for_blocks(bool *got) {
    ag_defer(calls_recover_in_blocks, got);
    panic_number(3);
}

AG_TEST_RUN(recover_may_stand_anywhere_in_the_deferred_function) {
    bool got = false;
    ag_check_int(ag_try(NULL, panics_for_blocks, &got), AG_PANICKED);
    ag_check(got);
}

static void big_frame(bool must, char *end) {
    volatile char room[100000];
    room[0] = room[99999] = 1;
    const ag_panic_info *p = ag_recover();
    if (must != (p != NULL))
        spurious++;
    *end = room[99999];
}

static void panics_for_big_frames(char *end) {
    ag_defer(big_frame, false, end);
    ag_defer(big_frame, true, end);
    panic_number(6);
}

AG_TEST_RUN(a_large_frame_in_between_does_not_confuse_recover) {
    char end = 0;
    ag_check_int(ag_try(NULL, panics_for_big_frames, &end), AG_PANICKED);
    ag_check_int(end, 1);
    check(0);
}

static void six_arguments(int a, int b, int c, int d, int e, int *ret_sum) {
    *ret_sum = a + b + c + d + e;
    if (ag_recover())
        *ret_sum += 100;
}

static void panics_for_arguments(int *ret_sum) {
    ag_defer(six_arguments, 1, 2, 3, 4, 5, ret_sum);
    panic_number(8);
}

static void ends_for_arguments(int *ret_sum) {
    ag_defer(six_arguments, 1, 2, 3, 4, 5, ret_sum);
}

AG_TEST_RUN(arguments_do_not_hide_the_panic_from_a_deferred_function) {
    int sum = 0;
    ag_check_int(ag_try(NULL, panics_for_arguments, &sum), AG_PANICKED);
    ag_check_int(sum, 115);
    ag_check_int(ag_try(NULL, ends_for_arguments, &sum), 0);
    ag_check_int(sum, 15);
}

static void (*volatile through_pointer)(void) = must_not_recover;

static void calls_through_a_pointer(void) {
    through_pointer();
    ag_check_int(spurious, 0);
}

static void panics_for_a_pointer(void) {
    void (*volatile deferred)(int) = must_recover;
    ag_defer(deferred, 9);
    ag_defer(calls_through_a_pointer);
    panic_number(9);
}

AG_TEST_RUN(it_is_the_same_through_function_pointers) {
    ag_check_int(ag_try(NULL, panics_for_a_pointer), AG_PANICKED);
    check(1);
}

/* ---- What it returns ------------------------------------------------------------------------ */

static char kept[256];
static int kept_line;

static void keep(void) {
    const ag_panic_info *p = ag_recover();
    snprintf(kept, sizeof kept, "%s", p ? p->msg : "none");
    kept_line = p ? p->line : 0;
}

static int line_of_panic;

static void panics_with_text(const char *text) {
    ag_defer(keep);
    line_of_panic = __LINE__ + 1;
    ag_panic("the text is %s", text);
}

AG_TEST_RUN(recover_returns_what_panic_was_given) {
    ag_check_int(ag_try(NULL, panics_with_text, "long"), AG_PANICKED);
    ag_check_str(kept, "the text is long");
    ag_check_int(kept_line, line_of_panic);
}

static void panics_without_words(void) {
    ag_defer(keep);
    ag_panic_value(NULL, "%s", "");
}

/* Go: panic(nil) is a panic, too, since 1.21. */
AG_TEST_RUN(a_panic_of_nothing_is_still_a_panic) {
    ag_panic_info info = {.msg = "before"};
    ag_check_int(ag_try(&info, panics_without_words), AG_PANICKED);
    ag_check_str(kept, "");
    ag_check_str(info.msg, "");
    ag_check_ptr(info.value, NULL);
}

static void ends_normally(void) {
    ag_defer(keep);
}

AG_TEST_RUN(recover_returns_null_when_nobody_panics) {
    snprintf(kept, sizeof kept, "before");
    ends_normally();
    ag_check_str(kept, "none");
    ag_check_int(ag_try(NULL, panics_with_text, "x"), AG_PANICKED);
    ends_normally(); /* nor after a panic that is over */
    ag_check_str(kept, "none");
}

static void waits_then_recovers(ag_chan(int) c) {
    ag_recv(c, NULL); /* perhaps on another thread afterwards */
    ag_yield();
    const ag_panic_info *p = ag_recover();
    ag_check(p != NULL);
    ag_check_str(p->msg, "number 11");
    ag_yield();
    ag_check_str(p->msg, "number 11"); /* until the deferred call returns */
    recovered++;
}

static void panics_for_one_who_waits(ag_chan(int) c) {
    ag_defer(waits_then_recovers, c);
    panic_number(11);
}

static void send_later(ag_chan(int) c) {
    ag_sleep(AG_MS);
    ag_send(c, 1);
}

AG_TEST_RUN(a_deferred_call_may_wait_before_and_after_it_recovers) {
    ag_chan(int) c = ag_make(int, 0);
    ag_go(send_later, c);
    ag_check_int(ag_try(NULL, panics_for_one_who_waits, c), AG_PANICKED);
    check(1);
    ag_unref(c);
}

/* ---- What runs afterwards ------------------------------------------------------------------- */

static int order[16], order_count;

static void step(int n) {
    ag_check(order_count < 16);
    order[order_count++] = n;
}

static void check_order(const int *expected, int count) {
    ag_check_int(order_count, count);
    for (int i = 0; i < count; i++)
        ag_check_int(order[i], expected[i]);
    order_count = 0;
}

static void inner_of_order(void) {
    ag_defer(step, 3);
    ag_defer(must_recover, 7);
    ag_defer(step, 1);
    panic_number(7);
}

static void outer_of_order(void) {
    ag_defer(step, 5);
    ag_defer(step, 4);
    inner_of_order();
    step(99); /* Go would be here; ours goes on after the try */
}

AG_TEST_RUN(after_a_recovery_the_remaining_deferred_calls_run_down_to_the_try) {
    ag_check_int(ag_try(NULL, outer_of_order), AG_PANICKED);
    check_order((const int[]){1, 3, 4, 5}, 4);
    check(1);
}

static void tries_then_goes_on(void) {
    ag_check_int(ag_try(NULL, inner_of_order), AG_PANICKED);
    step(10); /* where Go continues: in the caller */
}

AG_TEST_RUN(with_a_try_around_the_function_it_is_as_in_go) {
    tries_then_goes_on();
    check_order((const int[]){1, 3, 10}, 3);
    check(1);
}

static void sets_the_result(int *ret_result) {
    const ag_panic_info *p = ag_recover();
    if (p)
        *ret_result = -*(const int *)p->value;
}

static void computes(int input, int *ret_result) {
    ag_defer(sets_the_result, ret_result);
    *ret_result = input;
    if (input > 4)
        panic_number(input);
}

AG_TEST_RUN(a_deferred_call_may_change_the_result) {
    int result = 0;
    ag_check_int(ag_try(NULL, computes, 3, &result), 0);
    ag_check_int(result, 3);
    ag_check_int(ag_try(NULL, computes, 5, &result), AG_PANICKED);
    ag_check_int(result, -5);
}

static void counts_then_panics(int times, int *ret_done) {
    for (int i = 0;; i++) {
        if (i == times)
            panic_number(12);
        ++*ret_done;
    }
}

AG_TEST_RUN(what_was_written_before_the_panic_is_there_afterwards) {
    int done = 0;
    for (int times = 0; times < 10; times++) {
        done = 0;
        ag_check_int(ag_try(NULL, counts_then_panics, times, &done), AG_PANICKED);
        ag_check_int(done, times);
    }
}

/* ---- Panics of panics ----------------------------------------------------------------------- */

static void panics_and_recovers_inside(void) {
    ag_defer(must_recover, 22);
    panic_number(22);
}

static void two_at_once(void) {
    ag_defer(must_recover, 21);
    ag_defer(panics_and_recovers_inside);
    panic_number(21);
}

AG_TEST_RUN(a_panic_inside_a_deferred_call_is_recovered_there_and_the_older_one_goes_on) {
    ag_check_int(ag_try(NULL, two_at_once), AG_PANICKED);
    check(2);
}

static void recovers_then_panics_again(void) {
    must_not_recover(); /* a call below */
    const ag_panic_info *p = ag_recover();
    ag_check(p && *(const int *)p->value == 31);
    ag_defer(must_recover, 32);
    panic_number(32);
}

static void one_after_the_other(void) {
    ag_defer(must_not_recover);
    ag_defer(recovers_then_panics_again);
    panic_number(31);
}

AG_TEST_RUN(a_second_panic_after_a_recovery_is_recovered_by_itself) {
    ag_check_int(ag_try(NULL, one_after_the_other), AG_PANICKED);
    check(1);
}

static void panics_in_panics(int depth);

static void panics_deeper(int depth) {
    if (depth > 0)
        panics_in_panics(depth - 1);
}

/* While each panic is under way a deferred call raises the next, and recovers it. */
static void panics_in_panics(int depth) {
    ag_defer(must_recover, depth);
    ag_defer(panics_deeper, depth);
    panic_number(depth);
}

AG_TEST_RUN(panics_nest_as_deep_as_deferred_calls_do) {
    ag_check_int(ag_try(NULL, panics_in_panics, 40), AG_PANICKED);
    check(41);
}

static void calls_and_recovers(int depth) {
    if (depth == 0)
        panic_number(50);
    ag_check_int(ag_try(NULL, calls_and_recovers, depth - 1), AG_PANICKED);
    panic_number(50);
}

AG_TEST_RUN(tries_nest_and_each_stops_its_own) {
    ag_check_int(ag_try(NULL, calls_and_recovers, 50), AG_PANICKED);
}

static void recover_all_day(int n, int *ret_count) {
    for (int i = 0; i < n; i++) {
        ag_check_int(ag_try(NULL, two_at_once), AG_PANICKED);
        ++*ret_count;
    }
}

AG_TEST_RUN(recovering_again_and_again_leaves_nothing_behind) {
    int count = 0, n = 20000 / ag_test_slow();
    recover_all_day(n, &count);
    ag_check_int(count, n);
    check(2 * n);
}
