/* SPDX-License-Identifier: MIT */
/*
 * Ways out that cross each other: a panic while ag_goexit is under way, ag_goexit while a panic is,
 * ag_exit with both. Go's rules: the newest way out wins, but a recovered panic never stops an
 * ag_goexit; every deferred call runs once.
 */
#include "notes.h"

static atomic_int after;

static void note_recovered(void) {
    note(ag_recover() ? 'R' : '-');
}

static void panic_now(const char *text) {
    note('p');
    ag_panic("%s", text);
}

static void exit_now(void) {
    note('g');
    ag_goexit();
}

/* Runs fn as a goroutine of its own, and waits for its end. */
static void run_and_check(void (*fn)(void), const char *expected) {
    ag_wg wg = AG_WG_INIT;
    notes[0] = 0;
    atomic_store(&after, 0);
    ag_wg_go(&wg, fn);
    ag_wg_wait(&wg);
    ag_check_str(notes, expected);
    ag_check_int(atomic_load(&after), 0);
}

/* ---- ag_goexit while panicking -------------------------------------------------------------- */

static void exit_ends_a_panic(void) {
    ag_defer(note_recovered); /* nothing to recover: the panic is over */
    ag_defer(exit_now);
    ag_panic("replaced by goexit");
}

AG_TEST_RUN(goexit_in_a_deferred_call_ends_the_panic_and_recover_returns_null) {
    run_and_check(exit_ends_a_panic, "g-");
}

static void exit_after_a_recovery(void) {
    note_recovered(); /* a call below: nothing */
    if (ag_recover())
        note('r');
    ag_goexit();
}

static void recovers_then_exits(void) {
    ag_defer(note, 'z');
    ag_defer(exit_after_a_recovery);
    ag_panic("recovered");
}

AG_TEST_RUN(who_recovers_may_call_goexit) {
    run_and_check(recovers_then_exits, "-rz");
}

static void exit_ends_two_panics(void) {
    ag_defer(note_recovered);
    ag_defer(exit_now);
    ag_defer(panic_now, "second");
    ag_panic("first");
}

AG_TEST_RUN(goexit_ends_all_panics_that_are_under_way) {
    run_and_check(exit_ends_two_panics, "pg-");
}

static void exit_under_a_try(void) {
    ag_defer(note, 'a');
    ag_defer(exit_now);
    ag_panic("ended before the try");
}

static void try_around_an_exit(void) {
    ag_defer(note, 'b');
    ag_try(NULL, exit_under_a_try);
    atomic_store(&after, 1);
}

AG_TEST_RUN(goexit_in_a_panic_passes_the_try_that_waited_for_it) {
    run_and_check(try_around_an_exit, "gab");
}

/* ---- Panics while ag_goexit is under way ---------------------------------------------------- */

static void panic_recovered_in_the_same_call(void) {
    ag_defer(note_recovered);
    panic_now("inside a deferred call");
}

static void exits_with_a_panic_inside(void) {
    ag_defer(note, 'z');
    ag_defer(panic_recovered_in_the_same_call);
    ag_defer(note, 'a');
    ag_goexit();
}

AG_TEST_RUN(a_panic_that_a_deferred_call_of_goexit_recovers_itself_changes_nothing) {
    run_and_check(exits_with_a_panic_inside, "apRz");
}

static void exits_and_panics(void) {
    ag_defer(note, 'z');
    ag_defer(note_recovered);
    ag_defer(panic_now, "while exiting");
    ag_goexit();
}

AG_TEST_RUN(a_panic_that_a_later_deferred_call_of_goexit_recovers_changes_nothing) {
    run_and_check(exits_and_panics, "pRz");
}

static void exits_panics_exits(void) {
    ag_defer(note, 'z');
    ag_defer(exit_now);
    ag_defer(panic_now, "between two exits");
    ag_goexit();
}

AG_TEST_RUN(goexit_may_follow_a_panic_that_followed_goexit) {
    run_and_check(exits_panics_exits, "pgz");
}

static void exits_with_a_panic_nobody_recovers(void) {
    ag_defer(note, 'a');
    ag_defer(panic_now, "for the try below");
    ag_goexit();
}

static void try_below_such_an_exit(void) {
    ag_defer(note, 'b');
    ag_try(NULL, exits_with_a_panic_nobody_recovers);
    atomic_store(&after, 1);
}

/* The try stops the panic, but not the ag_goexit that the panic came out of. */
AG_TEST_RUN(a_try_that_stops_a_panic_of_a_goexit_does_not_stop_the_goexit) {
    run_and_check(try_below_such_an_exit, "pab");
}

static void recovers_below_a_try(void) {
    ag_defer(note, 'a');
    ag_defer(note_recovered);
    ag_defer(panic_now, "recovered above the try");
    ag_goexit();
}

static void try_below_a_recovery(void) {
    ag_defer(note, 'b');
    ag_try(NULL, recovers_below_a_try);
    atomic_store(&after, 1);
}

AG_TEST_RUN(nor_does_a_try_below_a_panic_of_a_goexit_that_was_recovered) {
    run_and_check(try_below_a_recovery, "pRab");
}

static void panics_again_under_the_try(void) {
    ag_defer(panic_now, "second");
    exits_with_a_panic_nobody_recovers();
}

static void two_tries_below(void) {
    ag_defer(note, 'c');
    ag_try(NULL, try_below_such_an_exit);
    atomic_store(&after, 1);
}

static void try_below_two_panics(void) {
    ag_defer(note, 'c');
    ag_try(NULL, panics_again_under_the_try);
    atomic_store(&after, 1);
}

AG_TEST_RUN(a_goexit_passes_every_try_on_its_way_after_such_a_panic) {
    run_and_check(two_tries_below, "pabc");
    run_and_check(try_below_two_panics, "papc");
}

static void tries_in_a_deferred_call(void) {
    ag_panic_info info;
    ag_check_int(ag_try(&info, panic_now, "inside"), AG_PANICKED);
    ag_check_str(info.msg, "inside");
    note('t');
}

static void exits_and_tries(void) {
    ag_defer(note, 'z');
    ag_defer(tries_in_a_deferred_call);
    ag_goexit();
}

AG_TEST_RUN(a_try_inside_a_deferred_call_of_goexit_returns) {
    run_and_check(exits_and_tries, "ptz");
}

static int main_dies_while_exiting(void *arg) {
    (void)arg;
    ag_go(exits_with_a_panic_nobody_recovers);
    return ag_select();
}

AG_TEST_DEATH(a_panic_of_a_goexit_that_nobody_recovers_ends_the_process, 2,
              "panic: for the try below\n\ngoroutine ") {
    ag_run(main_dies_while_exiting, NULL);
}

/* ---- ag_exit -------------------------------------------------------------------------------- */

static void say(const char *text) {
    fputs(text, stderr);
}

static void recover_and_say(void) {
    if (ag_recover())
        say("recovered\n");
}

static void exits_the_process(void) {
    ag_defer(say, "last\n");
    ag_defer(recover_and_say);
    ag_defer(panic_now, "while exiting");
    ag_exit(41);
}

static int main_exits_through_a_try(void *arg) {
    (void)arg;
    ag_try(NULL, exits_the_process);
    say("went on\n");
    return 1;
}

AG_TEST_DEATH(ag_exit_goes_on_after_a_recovered_panic, 41, "recovered\nlast\n") {
    ag_run(main_exits_through_a_try, NULL);
}

static void exits_with_a_panic(void) {
    ag_defer(say, "last\n");
    ag_defer(panic_now, "while exiting");
    ag_exit(42);
}

static int main_tries_an_exit(void *arg) {
    (void)arg;
    ag_try(NULL, exits_with_a_panic);
    say("went on\n");
    return 1;
}

AG_TEST_DEATH(ag_exit_goes_on_after_a_panic_that_a_try_stopped, 42, "last\n") {
    ag_run(main_tries_an_exit, NULL);
}

static void exit_the_process(int code) {
    ag_exit(code);
}

static int main_exits_while_panicking(void *arg) {
    (void)arg;
    ag_defer(say, "last\n");
    ag_defer(exit_the_process, 43);
    ag_panic("not printed: the program decided to end");
}

AG_TEST_DEATH(ag_exit_in_a_deferred_call_ends_the_panic_with_the_process, 43, "last\n") {
    ag_run(main_exits_while_panicking, NULL);
}

static void exit_first(int code) {
    ag_exit(code);
}

static int main_exits_twice(void *arg) {
    (void)arg;
    ag_defer(say, "once\n");
    ag_defer(exit_first, 44);
    ag_exit(45);
}

AG_TEST_DEATH(of_two_ag_exit_the_newer_one_counts, 44, "once\n") {
    ag_run(main_exits_twice, NULL);
}

/* ---- Each call once ------------------------------------------------------------------------- */

static atomic_int runs;

static void count_run(void) {
    atomic_fetch_add(&runs, 1);
}

static void count_and_panic(int n) {
    atomic_fetch_add(&runs, 1);
    ag_panic("number %d", n);
}

static void many_that_panic(int n) {
    ag_defer(count_run);
    if (n > 0) {
        ag_defer(count_and_panic, n);
        many_that_panic(n - 1);
    }
    ag_panic("the first one");
}

AG_TEST_RUN(each_deferred_call_runs_once_though_every_second_one_panics) {
    ag_panic_info info;
    ag_check_int(ag_try(&info, many_that_panic, 50), AG_PANICKED);
    ag_check_str(info.msg, "number 50");
    ag_check_int(atomic_load(&runs), 101);
}

static void loops_and_panics(int rounds) {
    for (int i = 0; i < rounds; i++) {
        ag_defer(count_run);
        if (i == rounds - 1)
            ag_panic("in the last round");
    }
}

AG_TEST_RUN(a_panic_in_a_loop_runs_the_call_of_its_round_and_no_older_one_again) {
    atomic_store(&runs, 0);
    ag_check_int(ag_try(NULL, loops_and_panics, 10), AG_PANICKED);
    ag_check_int(atomic_load(&runs), 10);
}

static void panics_as_it_ends(void) {
    ag_defer(note, 'c');
    {
        ag_defer(note, 'b');
        ag_defer(panic_now, "at the end of a block");
        note('a');
    }
    note('x');
}

AG_TEST_RUN(a_panic_at_the_end_of_a_block_goes_on_with_what_the_block_had_left) {
    notes[0] = 0;
    ag_check_int(ag_try(NULL, panics_as_it_ends), AG_PANICKED);
    ag_check_str(notes, "apbc");
}
