/* SPDX-License-Identifier: MIT */
/*
 * Deferred calls: every way out of a block, order, arguments, and what skips them.
 */
#include "notes.h"

#include <setjmp.h>

/* ---- Every way out of a block --------------------------------------------------------------- */

AG_TEST_RUN(the_end_of_the_block_runs_them_last_in_first_out) {
    {
        ag_defer(note, 'a');
        ag_defer(note, 'b');
        {
            ag_defer(note, 'c');
            note('1');
        }
        ag_defer(note, 'd');
        note('2');
    }
    note('3');
    check_notes("1c2dba3");
}

static int leaves_by_return(int n) {
    ag_defer(note, 'a');
    if (n == 1) {
        ag_defer(note, 'b');
        return n;
    }
    ag_defer(note, 'c');
    return n;
}

AG_TEST_RUN(return_runs_those_of_all_open_blocks) {
    ag_check_int(leaves_by_return(1), 1);
    check_notes("ba");
    ag_check_int(leaves_by_return(2), 2);
    check_notes("ca");
}

AG_TEST_RUN(break_continue_and_the_round_of_a_loop_run_them) {
    for (int i = 0; i < 5; i++) {
        ag_defer(note, 'a' + i);
        if (i == 1)
            continue;
        if (i == 3)
            break;
        note('.');
    }
    check_notes(".ab.cd");
    int n = 0;
    do {
        ag_defer(note, 'x');
    } while (++n < 3);
    switch (n) {
    case 3: {
        ag_defer(note, 'y');
        break;
    }
    default:
        break;
    }
    check_notes("xxxy");
}

AG_TEST_RUN(goto_out_of_the_block_runs_them_forward_and_backward) {
    int round = 0;
again:
    if (round < 2) {
        ag_defer(note, 'a' + round);
        {
            ag_defer(note, '0' + round);
            round++;
            goto again;
        }
    }
    {
        ag_defer(note, 'z');
        goto out;
    }
out:
    check_notes("0a1bz");
}

static void panics_inside(void) {
    ag_defer(note, 'a');
    {
        ag_defer(note, 'b');
        ag_panic("stop");
    }
}

AG_TEST_RUN(a_panic_runs_them) {
    ag_check_int(ag_try(NULL, panics_inside), AG_PANICKED);
    check_notes("ba");
}

static void ends_goroutine(ag_chan(int) done) {
    ag_defer(ag_close, done);
    ag_defer(note, 'a');
    {
        ag_defer(note, 'b');
        ag_goexit();
    }
}

static void ag_goexit_below(ag_chan(int) done) {
    ag_defer(note, 'c');
    ends_goroutine(done);
}

AG_TEST_RUN(goexit_runs_them_in_all_frames) {
    ag_chan(int) done = ag_make(int, 0);
    ag_wg wg = AG_WG_INIT;
    ag_wg_go(&wg, ag_goexit_below, done);
    ag_recv(done, NULL);
    ag_wg_wait(&wg);
    check_notes("bac");
    ag_unref(done);
}

/* ---- Arguments ------------------------------------------------------------------------------ */

AG_TEST_RUN(arguments_are_evaluated_at_the_statement) {
    int n = 'a';
    {
        ag_defer(note, n++);
        ag_defer(note, n++);
        n = 'z';
    }
    check_notes("ba");
    ag_check_int(n, 'z');
}

enum colour { RED = -3, GREEN = 7 };

static struct {
    signed char a;
    unsigned short b;
    long c;
    enum colour d;
    bool e;
    const char *f;
} got;

static long take_six(signed char a, unsigned short b, long c, enum colour d, bool e,
                     const char *f) {
    got.a = a;
    got.b = b;
    got.c = c;
    got.d = d;
    got.e = e;
    got.f = f;
    return 1234;
}

AG_TEST_RUN(six_arguments_of_all_kinds_arrive) {
    const char *text = "text";
    {
        ag_defer(take_six, -5, 65535, INT64_MIN, RED, true, text);
        memset(&got, 0, sizeof got);
    }
    ag_check(got.a == -5 && got.b == 65535 && got.c == INT64_MIN && got.d == RED && got.e);
    ag_check_ptr(got.f, text);
}

static void use_local(const int *p) {
    note('0' + *p);
}

AG_TEST_RUN(the_variables_of_the_block_are_alive_while_they_run) {
    {
        int n = 1;
        ag_defer(use_local, &n);
        n = 5;
    }
    check_notes("5");
}

static int later_value;

static void set_value(int v) {
    later_value = v;
}

static int returns_before_they_run(void) {
    later_value = 1;
    ag_defer(set_value, 2);
    return later_value;
}

AG_TEST_RUN(the_result_is_computed_before_they_run) {
    ag_check_int(returns_before_they_run(), 1);
    ag_check_int(later_value, 2);
}

/* ---- What they may do ----------------------------------------------------------------------- */

static void defers_itself(int depth) {
    ag_defer(note, 'a' + depth);
    if (depth < 3) {
        ag_defer(defers_itself, depth + 1);
    }
}

AG_TEST_RUN(a_deferred_call_may_defer) {
    defers_itself(0);
    check_notes("dcba");
}

static void send_late(ag_chan(int) c, int v) {
    ag_sleep(AG_MS);
    ag_send(c, v);
}

static void waits_at_its_end(ag_chan(int) c) {
    ag_defer(send_late, c, 2);
    ag_defer(send_late, c, 1);
}

AG_TEST_RUN(a_deferred_call_may_wait) {
    ag_chan(int) c = ag_make(int, 0);
    ag_go(waits_at_its_end, c);
    for (int i = 1, v; i < 3; i++)
        ag_check(ag_recv(c, &v) && v == i);
    ag_unref(c);
}

static void defer_null(void) {
    void (*none)(int) = NULL;
    ag_defer(none, 1);
    note('a'); /* it panics when it would run, not here */
}

AG_TEST_RUN(a_null_function_panics_when_it_would_run) {
    ag_check_int(ag_try(NULL, defer_null), AG_PANICKED);
    check_notes("a");
}

AG_TEST_RUN(a_million_in_a_loop_need_no_memory) {
    int rounds = 1000000 / ag_test_slow();
    for (int i = 0; i < rounds; i++) {
        ag_defer(set_value, i);
    }
    ag_check_int(later_value, rounds - 1);
}

static void recurse_with_defers(int depth, atomic_int *ran) {
    ag_defer(set_value, depth);
    ag_yield();
    if (depth > 0)
        recurse_with_defers(depth - 1, ran);
    ag_check_int(later_value, depth > 0 ? depth - 1 : later_value);
    atomic_fetch_add(ran, 1);
}

AG_TEST_RUN(they_stack_up_over_many_frames) {
    atomic_int ran = 0;
    later_value = -1;
    recurse_with_defers(200, &ran);
    ag_check_int(atomic_load(&ran), 201);
    ag_check_int(later_value, 200);
}

static void *defer_on_a_thread(void *arg) {
    (void)arg;
    {
        ag_defer(note, 'a');
        ag_defer(note, 'b');
        note('1');
    }
    return NULL;
}

AG_TEST(they_work_without_a_runtime_and_on_foreign_threads) {
    defer_on_a_thread(NULL);
    check_notes("1ba");
    pthread_t thread;
    pthread_create(&thread, NULL, defer_on_a_thread, NULL);
    pthread_join(thread, NULL);
    check_notes("1ba");
}

/* ---- What skips them ------------------------------------------------------------------------ */

static jmp_buf target;

static __attribute__((noinline)) void jumps_over(void) {
    ag_defer(note, 'x');
    longjmp(target, 1);
}

static void outer_frame(void) {
    ag_defer(note, 'a');
    if (setjmp(target) == 0)
        jumps_over();
    note('1');
}

AG_TEST_RUN(longjmp_across_skips_them_and_the_outer_ones_still_run) {
    outer_frame();
    check_notes("1a");
}

static void outer_frame_panics(void) {
    ag_defer(note, 'a');
    if (setjmp(target) == 0)
        jumps_over();
    ag_defer(note, 'b');
    ag_panic("after the jump");
}

AG_TEST_RUN(a_panic_after_a_longjmp_runs_only_those_that_stand) {
    ag_panic_info info;
    ag_check_int(ag_try(&info, outer_frame_panics), AG_PANICKED);
    ag_check_str(info.msg, "after the jump");
    check_notes("ba");
}

static __attribute__((noinline)) void scribbles(void) {
    volatile char room[4096];
    for (size_t i = 0; i < sizeof room; i++)
        room[i] = 'x';
}

static void panics_after_scribbles(void) {
    ag_defer(note, 'a');
    if (setjmp(target) == 0)
        jumps_over();
    scribbles();
    ag_defer(note, 'b');
    ag_panic("after the jump");
}

AG_TEST_RUN(what_a_longjmp_left_may_be_written_over) {
    ag_check_int(ag_try(NULL, panics_after_scribbles), AG_PANICKED);
    check_notes("ba");
}

static __attribute__((noinline)) void jumps_over_two(void) {
    ag_defer(note, 'x');
    ag_defer(note, 'y');
    longjmp(target, 1);
}

static void panics_after_two(void) {
    ag_defer(note, 'a');
    if (setjmp(target) == 0)
        jumps_over_two();
    ag_defer(note, 'b');
    ag_panic("after the jump");
}

AG_TEST_RUN(two_of_one_frame_are_skipped_by_a_longjmp) {
    ag_check_int(ag_try(NULL, panics_after_two), AG_PANICKED);
    check_notes("ba");
}

static void leaves_two_and_returns(void) {
    ag_defer(note, 'a');
    if (setjmp(target) == 0)
        jumps_over_two();
    ag_defer(note, 'b');
}

AG_TEST_RUN(after_a_longjmp_over_two_blocks_end_as_ever) {
    for (int i = 0; i < 3; i++)
        leaves_two_and_returns();
    check_notes("bababa");
    ag_check_int(ag_try(NULL, panics_after_two), AG_PANICKED);
    check_notes("ba");
}

/* ---- A jump out of a deferred call that a panic runs ---------------------------------------- */

static void jumps_back(void) {
    note('j');
    longjmp(target, 1);
}

/* Into the block whose deferred call it is: that has run, and the panic is over. */
static void jumps_into_its_own_block(void) {
    ag_defer(note, 'a');
    {
        ag_defer(note, 'b');
        ag_defer(jumps_back);
        if (setjmp(target) == 0)
            ag_panic("left by a jump");
        note('1');
    }
    note('2');
}

AG_TEST_RUN(a_deferred_call_of_a_panic_may_jump_into_its_block) {
    for (int i = 0; i < 3; i++)
        ag_check_int(ag_try(NULL, jumps_into_its_own_block), 0);
    check_notes("j1b2aj1b2aj1b2a");
}

static void recovers(void) {
    const ag_panic_info *info = ag_recover();
    note(info ? 'r' : 'n');
    if (info)
        ag_check_str(info->msg, "the second");
}

/* The next panic is one by itself: the one before is neither printed nor gone back to. */
static void panics_again_after_the_jump(void) {
    ag_defer(note, 'a');
    {
        ag_defer(recovers);
        ag_defer(jumps_back);
        if (setjmp(target) == 0)
            ag_panic("left by a jump");
        note('1');
        ag_panic("the second");
    }
}

AG_TEST_RUN(a_panic_after_a_jump_out_of_one_is_recovered_by_itself) {
    ag_panic_info info;
    ag_check_int(ag_try(&info, panics_again_after_the_jump), AG_PANICKED);
    ag_check_str(info.msg, "the second");
    check_notes("j1ra");
}

static void panics_further_in(void) {
    ag_defer(note, 'c');
    ag_panic("the second");
}

static void panics_deeper_after_the_jump(void) {
    ag_defer(note, 'a');
    ag_defer(jumps_back);
    if (setjmp(target) == 0)
        ag_panic("left by a jump");
    {
        ag_defer(recovers);
        ag_check_int(ag_try(NULL, panics_further_in), AG_PANICKED);
        panics_further_in();
    }
}

AG_TEST_RUN(panics_deeper_after_a_jump_out_of_one_end_at_their_try) {
    ag_check_int(ag_try(NULL, panics_deeper_after_the_jump), AG_PANICKED);
    check_notes("jccra");
}

static int jumps_then_dies(void *arg) {
    (void)arg;
    jumps_into_its_own_block();
    ag_panic("the only one");
}

AG_TEST_DEATH(a_panic_after_a_jump_out_of_one_ends_the_process, 2, "panic: the only one") {
    ag_run(jumps_then_dies, NULL);
}

AG_TEST(a_panic_after_a_jump_out_of_one_is_printed_alone) {
    static struct child child;
    static const char words[] = "panic: the only one\n\ngoroutine 1 [running]:";
    run_child(&child, "a_panic_after_a_jump_out_of_one_ends_the_process");
    ag_check_mem(child.text, words, sizeof words - 1);
}

static void tell(ag_chan(int) done) {
    ag_send(done, 1);
}

static void goes_out_after_a_jump(ag_chan(int) done) {
    ag_defer(tell, done);
    jumps_into_its_own_block();
    ag_goexit();
}

AG_TEST_RUN(goexit_after_a_jump_out_of_a_panic_ends_the_goroutine) {
    ag_chan(int) done = ag_make(int, 1);
    ag_defer(ag_unref, done);
    ag_check(ag_go(goes_out_after_a_jump, done) > 0);
    ag_check(ag_recv(done, NULL));
    eventually(ag_count() == 1);
}

static void say(const char *text) {
    fprintf(stderr, "%s\n", text);
}

static int main_exits(void *arg) {
    ag_defer(say, "deferred");
    say("before");
    exit(*(int *)arg);
}

AG_TEST_DEATH(exit_ends_the_process, 7, "before") {
    ag_run(main_exits, &(int){7});
}

static int main_exits_at_once(void *arg) {
    ag_defer(say, "deferred");
    say("before");
    _exit(*(int *)arg);
}

AG_TEST_DEATH(underscore_exit_ends_the_process, 8, "before") {
    ag_run(main_exits_at_once, &(int){8});
}

AG_TEST(exit_and_underscore_exit_skip_them) {
    static struct child child;
    run_child(&child, "exit_ends_the_process");
    ag_check_int(child.status, 7);
    ag_check_str(child.text, "before\n");
    run_child(&child, "underscore_exit_ends_the_process");
    ag_check_int(child.status, 8);
    ag_check_str(child.text, "before\n");
}

/* ---- ag_exit -------------------------------------------------------------------------------- */

static void at_exit(void) {
    say("hook");
}

static void exits_in_a_frame(int code) {
    ag_defer(say, "inner");
    ag_exit(code);
}

static int main_ag_exits(void *arg) {
    atexit(at_exit);
    ag_defer(say, "outer");
    exits_in_a_frame(*(int *)arg);
    return 0;
}

AG_TEST_DEATH(ag_exit_in_main_ends_the_process, 9, "inner\nouter\nhook\n") {
    ag_run(main_ag_exits, &(int){9});
}

static int main_waits_for_an_exit(void *arg) {
    ag_chan(int) never = ag_make(int, 0);
    (void)arg;
    atexit(at_exit);
    ag_defer(say, "of main");
    ag_go(exits_in_a_frame, 11);
    return ag_recv(never, NULL);
}

AG_TEST_DEATH(ag_exit_in_a_goroutine_ends_the_process, 11, "inner\nhook\n") {
    ag_run(main_waits_for_an_exit, NULL);
}

AG_TEST(ag_exit_runs_the_calls_of_its_goroutine_then_the_exit_hooks) {
    static struct child child;
    run_child(&child, "ag_exit_in_main_ends_the_process");
    ag_check_int(child.status, 9);
    ag_check_str(child.text, "inner\nouter\nhook\n");
    run_child(&child, "ag_exit_in_a_goroutine_ends_the_process");
    ag_check_int(child.status, 11);
    ag_check_str(child.text, "inner\nhook\n");
}
