/* SPDX-License-Identifier: MIT */
/*
 * Select: which case runs, what it leaves behind, and that the choice is even. The evenness
 * tests count many rounds and allow six standard deviations.
 */
#include "common.h"

typedef struct big {
    long words[10];
} big;

static void send_int(ag_chan(int) c, int v) {
    ag_send(c, v);
}

static void close_int(ag_chan(int) c) {
    ag_close(c);
}

/* ---- Which case runs ------------------------------------------------------------------------ */

AG_TEST_RUN(the_only_ready_case_runs_and_its_index_is_returned) {
    ag_chan(int) a = ag_make(int, 1), b = ag_make(int, 1);
    int v = 0;
    ag_check_int(ag_select(AG_RECV(a, &v), AG_SEND(b, 3)), 1);
    ag_check_int(ag_len(b), 1);
    ag_check_int(ag_select(AG_RECV(a, &v), AG_RECV(b, &v), AG_SEND(b, 4)), 1);
    ag_check_int(v, 3);
    ag_check_int(ag_select(AG_RECV(a, &v), AG_RECV(b, &v), AG_DEFAULT), 2);
    ag_check_int(v, 3);
    ag_unref(a);
    ag_unref(b);
}

AG_TEST_RUN(default_runs_only_when_nothing_else_is_ready_wherever_it_stands) {
    ag_chan(int) c = ag_make(int, 1);
    int v = 0;
    ag_check_int(ag_select(AG_DEFAULT), 0);
    ag_check_int(ag_select(AG_DEFAULT, AG_RECV(c, &v)), 0);
    ag_check_int(ag_select(AG_RECV(c, &v), AG_DEFAULT, AG_RECV(c, NULL)), 1);
    ag_send(c, 1);
    ag_check_int(ag_select(AG_DEFAULT, AG_RECV(c, &v)), 1);
    ag_check_int(v, 1);
    ag_unref(c);
}

AG_TEST_RUN(ordered_takes_the_first_ready_case_of_the_list) {
    ag_chan(int) a = ag_make(int, 1), b = ag_make(int, 100), c = ag_make(int, 100);
    for (int i = 0; i < 100; i++) {
        ag_check_int(ag_select_ordered(AG_RECV(a, NULL), AG_SEND(b, i), AG_SEND(c, i)), 1);
    }
    ag_check_int(ag_select_ordered(AG_RECV(a, NULL), AG_SEND(b, 1), AG_SEND(c, 1)), 2);
    ag_check_int(ag_select_ordered(AG_RECV(a, NULL), AG_SEND(b, 1), AG_DEFAULT), 2);
    ag_case cases[] = {AG_RECV(a, NULL), AG_RECV(c, NULL), AG_RECV(b, NULL)};
    ag_check_int(ag_select_ordered_n(cases, 3), 1);
    ag_check_int(ag_select_ordered_n(cases, 3), 2);
    ag_unref(a);
    ag_unref(b);
    ag_unref(c);
}

AG_TEST_RUN(a_nil_channel_is_never_ready) {
    ag_chan(int) none = NULL, c = ag_make(int, 1);
    for (int i = 0; i < 100; i++) {
        ag_check_int(ag_select(AG_RECV(none, NULL), AG_SEND(none, 1), AG_DEFAULT), 2);
        ag_check_int(ag_select(AG_RECV(none, NULL), AG_SEND(c, 1), AG_SEND(none, 1)), 1);
        ag_check_int(ag_select(AG_SEND(none, 1), AG_RECV(none, NULL), AG_RECV(c, NULL)), 2);
    }
    ag_check_int(ag_select(AG_RECV(none, NULL), AG_AFTER(AG_MS)), 1);
    ag_unref(c);
}

AG_TEST_RUN(a_receive_tells_a_value_from_the_end) {
    ag_chan(big) c = ag_make(big, 2);
    big v;
    bool ok = false;
    v.words[9] = 5;
    ag_check_int(ag_select(AG_SEND(c, v)), 0);
    ag_close(c);
    memset(&v, 1, sizeof v);
    ag_check_int(ag_select(AG_RECV_OK(c, &v, &ok)), 0);
    ag_check(ok && v.words[9] == 5);
    ag_check_int(ag_select(AG_RECV_OK(c, &v, &ok), AG_DEFAULT), 0);
    ag_check(!ok && v.words[0] == 0 && v.words[9] == 0);
    memset(&v, 1, sizeof v);
    ag_check_int(ag_select(AG_RECV(c, &v)), 0);
    ag_check_int(v.words[3], 0);
    ag_check_int(ag_select(AG_RECV_OK(c, NULL, NULL)), 0);
    ag_unref(c);
}

AG_TEST_RUN(the_background_context_is_never_done) {
    ag_check_int(ag_select(AG_DONE(ag_ctx_background()), AG_DONE(NULL), AG_DONE(ag_ctx_current()),
                           AG_DEFAULT),
                 3);
    ag_check_int(ag_select(AG_DONE(ag_ctx_current()), AG_AFTER(AG_MS)), 1);
}

static int evaluated;

static int next_value(void) {
    return ++evaluated;
}

AG_TEST_RUN(values_to_send_are_evaluated_once_on_entry_whatever_runs) {
    ag_chan(int) full = ag_make(int, 0), c = ag_make(int, 1);
    int v = 0;
    ag_check_int(ag_select(AG_SEND(full, next_value()), AG_SEND(c, next_value() * 10)), 1);
    ag_check_int(evaluated, 2);
    ag_check(ag_recv(c, &v) && (v == 20 || v == 10));
    ag_check_int(ag_select(AG_SEND(full, next_value()), AG_DEFAULT), 1);
    ag_check_int(evaluated, 3);
    ag_unref(full);
    ag_unref(c);
}

AG_TEST_RUN(values_of_any_size_are_sent) {
    ag_chan(big) large = ag_make(big, 1);
    ag_chan(char) small = ag_make(char, 1);
    big v = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}}, got;
    char byte = 0;
    ag_check_int(ag_select(AG_SEND(large, v)), 0);
    v.words[0] = 77; /* the value was taken at the select */
    ag_check_int(ag_select(AG_SEND(small, 'c')), 0);
    ag_check(ag_recv(large, &got) && got.words[0] == 1 && got.words[9] == 10);
    ag_check(ag_recv(small, &byte) && byte == 'c');
    ag_unref(large);
    ag_unref(small);
}

/* ---- Time ----------------------------------------------------------------------------------- */

AG_TEST_RUN(after_runs_not_before_its_time_and_the_shortest_wins) {
    ag_chan(int) c = ag_make(int, 0);
    ag_time begin = ag_now();
    ag_check_int(ag_select(AG_RECV(c, NULL), AG_AFTER(20 * AG_MS)), 1);
    ag_check(ag_now() - begin >= 20 * AG_MS);
    ag_check_int(ag_select(AG_AFTER(AG_MIN), AG_AFTER(AG_MS), AG_AFTER(AG_MIN)), 1);
    ag_check_int(ag_select(AG_AFTER(AG_MIN), AG_AFTER(0)), 1);
    ag_check_int(ag_select(AG_AFTER(-5), AG_AFTER(AG_MIN)), 0);
    ag_check(ag_now() - begin < AG_MIN);
    ag_unref(c);
}

AG_TEST_RUN(a_ready_case_beats_a_time_to_come) {
    ag_chan(int) c = ag_make(int, 1);
    for (int i = 0; i < 1000 / ag_test_slow(); i++) {
        ag_check_int(ag_select(AG_AFTER(AG_MIN), AG_SEND(c, i)), 1);
        ag_check_int(ag_select(AG_RECV(c, NULL), AG_AFTER(AG_MIN)), 0);
    }
    ag_unref(c);
}

AG_TEST_RUN(a_time_of_an_earlier_select_never_ends_a_later_one) {
    ag_chan(int) c = ag_make(int, 1);
    for (int i = 0; i < 200 / ag_test_slow(); i++) {
        ag_send(c, i);
        ag_check_int(ag_select(AG_RECV(c, NULL), AG_AFTER(AG_MS)), 0);
        ag_time begin = ag_now();
        if (i % 50 == 0) {
            ag_check_int(ag_select(AG_RECV(c, NULL), AG_AFTER(5 * AG_MS)), 1);
            ag_check(ag_now() - begin >= 5 * AG_MS);
        }
    }
    ag_unref(c);
}

/* ---- Waiting -------------------------------------------------------------------------------- */

struct waiter {
    ag_chan(int) a, b;
    int chosen, value;
    bool ok;
    ag_wg done;
};

static void wait_on_both(struct waiter *w) {
    w->chosen = ag_select(AG_RECV_OK(w->a, &w->value, &w->ok), AG_SEND(w->b, 50));
    ag_wg_done(&w->done);
}

static struct waiter *start_waiter(struct waiter *w) {
    *w = (struct waiter){.a = ag_make(int, 0), .b = ag_make(int, 0), .chosen = -1};
    ag_wg_add(&w->done, 1);
    until_waits_for(ag_go(wait_on_both, w), "select");
    return w;
}

static void end_waiter(struct waiter *w) {
    ag_wg_wait(&w->done);
    ag_unref(w->a);
    ag_unref(w->b);
}

AG_TEST_RUN(a_waiting_select_is_woken_by_a_send) {
    struct waiter w;
    ag_check_int(ag_send(start_waiter(&w)->a, 7), 0);
    end_waiter(&w);
    ag_check(w.chosen == 0 && w.ok && w.value == 7);
}

AG_TEST_RUN(a_waiting_select_is_woken_by_a_receive) {
    struct waiter w;
    int v = 0;
    ag_check(ag_recv(start_waiter(&w)->b, &v));
    end_waiter(&w);
    ag_check(w.chosen == 1 && v == 50);
}

AG_TEST_RUN(a_waiting_select_is_woken_by_a_close) {
    struct waiter w;
    ag_close(start_waiter(&w)->a);
    end_waiter(&w);
    ag_check(w.chosen == 0 && !w.ok && w.value == 0);
}

AG_TEST_RUN(a_waiting_select_is_seen_by_try_and_by_another_select) {
    struct waiter w;
    int v = 0;
    ag_check(ag_try_send(start_waiter(&w)->a, 3));
    end_waiter(&w);
    ag_check(w.chosen == 0 && w.value == 3);
    ag_check_int(ag_try_recv(start_waiter(&w)->b, &v), 1);
    end_waiter(&w);
    ag_check(w.chosen == 1 && v == 50);
    start_waiter(&w);
    ag_check_int(ag_select(AG_SEND(w.a, 4), AG_DEFAULT), 0);
    end_waiter(&w);
    ag_check(w.chosen == 0 && w.value == 4);
}

AG_TEST_RUN(the_cases_that_lost_leave_nothing_behind) {
    struct waiter w;
    start_waiter(&w);
    ag_send(w.a, 1);
    ag_wg_wait(&w.done);
    ag_check(!ag_try_send(w.a, 2)); /* no receiver of the past */
    ag_check_int(ag_try_recv(w.b, NULL), -EAGAIN);
    ag_check_int(ag_select(AG_RECV(w.a, NULL), AG_SEND(w.b, 1), AG_AFTER(AG_MS)), 2);
    ag_check(!ag_try_send(w.a, 2));
    ag_check_int(ag_try_recv(w.b, NULL), -EAGAIN);
    end_waiter(&w);
}

static void select_forever(void) {
    ag_select();
}

static void select_nothing(void) {
    ag_case none[1] = {AG_DEFAULT};
    ag_select_n(none, 0);
}

AG_TEST_RUN(a_select_without_cases_waits_forever) {
    int64_t a = ag_go(select_forever), b = ag_go(select_nothing);
    until_waits_for(a, "select (no cases)");
    until_waits_for(b, "select (no cases)");
}

AG_TEST_RUN(a_select_never_meets_itself) {
    ag_chan(int) c = ag_make(int, 0);
    int v = 0;
    for (int i = 0; i < 100; i++)
        ag_check_int(ag_select(AG_SEND(c, 1), AG_RECV(c, &v), AG_DEFAULT), 2);
    ag_check_int(ag_select(AG_RECV(c, &v), AG_SEND(c, 1), AG_AFTER(AG_MS)), 2);
    ag_unref(c);
}

static void swap(ag_chan(int) c, int me, int rounds, atomic_long *sum, ag_wg *wg) {
    for (int i = 0; i < rounds; i++) {
        int v = 0;
        if (ag_select(AG_SEND(c, me), AG_RECV(c, &v)) == 1)
            atomic_fetch_add(sum, v);
        else
            atomic_fetch_sub(sum, me);
    }
    ag_wg_done(wg);
}

AG_TEST_RUN(two_selects_on_the_same_channel_meet) {
    ag_chan(int) c = ag_make(int, 0);
    atomic_long sum = 0;
    ag_wg wg = AG_WG_INIT;
    int rounds = 5000 / ag_test_slow();
    ag_wg_add(&wg, 2);
    ag_go(swap, c, 3, rounds, &sum, &wg);
    ag_go(swap, c, 1000, rounds, &sum, &wg);
    ag_wg_wait(&wg);
    ag_check_int(atomic_load(&sum), 0);
    ag_unref(c);
}

AG_TEST_RUN(one_channel_may_stand_in_many_cases) {
    ag_chan(int) c = ag_make(int, 0);
    int v[3] = {0};
    ag_go(send_int, c, 5);
    int chosen = ag_select(AG_RECV(c, &v[0]), AG_RECV(c, &v[1]), AG_RECV(c, &v[2]));
    ag_check(chosen >= 0 && chosen < 3);
    for (int i = 0; i < 3; i++)
        ag_check_int(v[i], i == chosen ? 5 : 0);
    ag_unref(c);
}

/* ---- Panics --------------------------------------------------------------------------------- */

static void select_send(ag_chan(int) c) {
    ag_chan(int) none = NULL;
    ag_select(AG_RECV(none, NULL), AG_SEND(c, 1));
}

AG_TEST_RUN(a_chosen_send_on_a_closed_channel_panics) {
    ag_chan(int) c = ag_make(int, 0);
    ag_panic_info info;
    ag_close(c);
    ag_check_int(ag_try(&info, select_send, c), AG_PANICKED);
    ag_check_str(info.msg, "send on closed channel");
    ag_unref(c);
}

AG_TEST_RUN(a_waiting_send_case_panics_when_its_channel_is_closed) {
    ag_chan(int) c = ag_make(int, 0);
    ag_panic_info info;
    ag_timer *t = ag_timer_start(2 * AG_MS, close_int, c);
    ag_check_int(ag_try(&info, select_send, c), AG_PANICKED);
    ag_check_str(info.msg, "send on closed channel");
    ag_unref(t);
    ag_unref(c);
}

/* ---- Arrays --------------------------------------------------------------------------------- */

AG_TEST_RUN(an_array_of_cases_may_be_used_again) {
    ag_chan(int) in = ag_make(int, 1), out = ag_make(int, 1);
    int v = 0;
    bool ok = false;
    ag_case cases[] = {AG_RECV_OK(in, &v, &ok), AG_SEND(out, 9), AG_AFTER(AG_MS)};
    for (int round = 0; round < 10; round++) {
        int got = 0;
        ag_check_int(ag_select_n(cases, 3), 1);
        ag_check_int(ag_select_n(cases, 3), 2);
        ag_send(in, round);
        ag_check_int(ag_select_n(cases, 3), 0);
        ag_check(ok && v == round);
        ag_check(ag_recv(out, &got) && got == 9);
    }
    ag_unref(in);
    ag_unref(out);
}

AG_TEST_RUN(an_array_built_at_run_time_may_be_long) {
    enum { MANY = 3000 };
    static ag_chan(int) chans[MANY];
    static int values[MANY];
    ag_case *cases = malloc(MANY * sizeof *cases);
    for (int i = 0; i < MANY; i++) {
        chans[i] = ag_make(int, 0);
        cases[i] = (ag_case)AG_RECV(chans[i], &values[i]);
    }
    for (int at = 0; at < MANY; at += 500) {
        ag_go(send_int, chans[at], at + 1);
        ag_check_int(ag_select_n(cases, MANY), at);
        ag_check_int(values[at], at + 1);
    }
    for (int i = 0; i < MANY; i++) {
        ag_check(!ag_try_send(chans[i], 1)); /* nobody waits any more */
        ag_unref(chans[i]);
    }
    free(cases);
}

/* ---- Evenness ------------------------------------------------------------------------------- */

/* |count - n/k| within six standard deviations of a binomial distribution. */
static void check_even(int count, int n, int k) {
    double p = 1.0 / k, off = count - n * p, variance = n * p * (1 - p);
    if (off * off > 36 * variance)
        ag_fail("chosen %d times of %d, one of %d", count, n, k);
}

AG_TEST_RUN(the_choice_among_ready_cases_is_even) {
    int rounds = 20000 / ag_test_slow();
    ag_chan(int) closed = ag_make(int, 0), sink = ag_make(int, 1);
    ag_close(closed);
    for (int k = 2; k <= 5; k++) {
        int counts[5] = {0};
        ag_case cases[5];
        for (int i = 0; i < k; i++)
            cases[i] = (ag_case)AG_RECV(closed, NULL);
        for (int i = 0; i < rounds; i++)
            counts[ag_select_n(cases, (size_t)k)]++;
        for (int i = 0; i < k; i++)
            check_even(counts[i], rounds, k);
    }
    int counts[3] = {0};
    for (int i = 0; i < rounds; i++) { /* also among receives, sends and past a nil channel */
        ag_chan(int) none = NULL;
        int chosen = ag_select(AG_RECV(closed, NULL), AG_RECV(none, NULL), AG_SEND(sink, i));
        counts[chosen]++;
        ag_try_recv(sink, NULL);
    }
    ag_check_int(counts[1], 0);
    check_even(counts[0], rounds, 2);
    ag_unref(closed);
    ag_unref(sink);
}

/* ---- Threads -------------------------------------------------------------------------------- */

struct on_thread {
    ag_chan(int) in, out;
    int results[3], value;
};

static void *select_on_a_thread(void *arg) {
    struct on_thread *t = arg;
    t->results[0] = ag_select(AG_RECV(t->in, &t->value), AG_DEFAULT);
    ag_send(t->out, 1);
    t->results[1] = ag_select(AG_RECV(t->in, &t->value), AG_AFTER(AG_MIN));
    t->results[2] = ag_select(AG_RECV(t->in, NULL), AG_AFTER(AG_MS));
    return NULL;
}

AG_TEST_RUN(a_foreign_thread_may_select) {
    struct on_thread t = {ag_make(int, 0), ag_make(int, 0), {-1, -1, -1}, 0};
    pthread_t thread;
    pthread_create(&thread, NULL, select_on_a_thread, &t);
    ag_recv(t.out, NULL);
    ag_check_int(ag_select(AG_SEND(t.in, 6), AG_AFTER(AG_MIN)), 0);
    pthread_join(thread, NULL);
    ag_check(t.results[0] == 1 && t.results[1] == 0 && t.value == 6 && t.results[2] == 1);
    ag_unref(t.in);
    ag_unref(t.out);
}
