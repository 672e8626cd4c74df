/* SPDX-License-Identifier: MIT */
/*
 * Programs made of goroutines and channels, whose results are known: what Go's test suite calls
 * FIFO, daisy chain, prime sieve and power series. Each leans on many promises at once: order,
 * synchronisation, selects that turn cases off, channels of channels.
 */
#include "common.h"

/* ---- Order ---------------------------------------------------------------------------------- */

AG_TEST_RUN(a_buffered_channel_is_first_in_first_out_round_and_round) {
    ag_chan(int) c = ag_make(int, 7);
    int v = -1, next = 0;
    for (int i = 0; i < 1000; i++) {
        ag_send(c, i);
        if (i % 7 == 6 || i % 3 == 2)
            ag_check(ag_recv(c, &v) && v == next++);
        while (ag_len(c) > 5)
            ag_check(ag_recv(c, &v) && v == next++);
    }
    for (; next < 1000; next++)
        ag_check(ag_recv(c, &v) && v == next);
    ag_unref(c);
}

/* Waits for its turn, takes its value, passes the turn on. */
static void take_in_turn(ag_chan(int) values, int expected, ag_chan(int) turn, ag_chan(int) next) {
    int v = -1;
    ag_recv(turn, NULL);
    ag_check(ag_recv(values, &v) && v == expected);
    ag_send(next, 1);
    ag_unref(turn);
}

AG_TEST_RUN(a_daisy_chain_takes_the_values_of_an_unbuffered_channel_in_order) {
    enum { N = 50 };
    ag_chan(int) values = ag_make(int, 0), turn = ag_make(int, 0), first = turn;
    for (int i = 0; i < N; i++) {
        ag_chan(int) next = ag_make(int, 0);
        ag_go(take_in_turn, values, i, turn, next);
        turn = next;
    }
    ag_send(first, 0);
    for (int i = 0; i < N; i++)
        ag_send(values, i);
    ag_recv(turn, NULL);
    ag_unref(turn);
    ag_unref(values);
}

static void pass_left(ag_chan(int) left, ag_chan(int) right) {
    int v = 0;
    ag_recv(right, &v);
    ag_send(left, v + 1);
    ag_unref(right);
}

AG_TEST_RUN(a_value_runs_through_ten_thousand_goroutines) {
    const int n = 10000 / ag_test_slow();
    ag_chan(int) leftmost = ag_make(int, 0), left = leftmost;
    for (int i = 0; i < n; i++) {
        ag_chan(int) right = ag_make(int, 0);
        ag_go(pass_left, left, right);
        left = right;
    }
    int v = 0;
    ag_send(left, 1);
    ag_check(ag_recv(leftmost, &v));
    ag_check_int(v, n + 1);
    ag_unref(leftmost);
}

static void count_to(ag_chan(int) c, int n) {
    for (int i = 0; i < n; i++)
        ag_send(c, i);
    ag_close(c);
}

AG_TEST_RUN(the_values_of_one_sender_keep_their_order_for_each_of_many_receivers) {
    const int n = 20000 / ag_test_slow();
    ag_chan(int) c = ag_make(int, 4);
    ag_go(count_to, c, n);
    int last = -1, v, got = 0;
    while (ag_recv(c, &v)) {
        ag_check(v > last);
        last = v;
        got++;
    }
    ag_check_int(got, n);
    ag_unref(c);
}

/* ---- Channels of channels ------------------------------------------------------------------- */

static ag_chan(int) received_from(ag_chan(ag_chan(int)) channels) {
    ag_chan(int) c = NULL;
    ag_check(ag_recv(channels, &c));
    return c;
}

AG_TEST_RUN(a_select_may_send_into_a_channel_that_was_just_received) {
    ag_chan(ag_chan(int)) channels = ag_make(ag_chan(int), 1);
    ag_chan(int) c = ag_make(int, 1);
    int v = 0;
    ag_send(channels, c);
    ag_check_int(ag_select(AG_SEND(received_from(channels), 2), AG_DEFAULT), 0);
    ag_check(ag_recv(c, &v) && v == 2);
    ag_unref(channels);
    ag_unref(c);
}

typedef struct question {
    int number;
    ag_chan(int) answer;
} question;

static void answer_questions(ag_chan(question) questions) {
    for (question q; ag_recv(questions, &q);)
        ag_send(q.answer, q.number * q.number);
}

static void ask_questions(ag_chan(question) questions, int me, ag_wg *wg) {
    ag_chan(int) answer = ag_make(int, 0);
    for (int i = 0, v = 0; i < 100; i++) {
        ag_send(questions, {me * 100 + i, answer});
        ag_check(ag_recv(answer, &v) && v == (me * 100 + i) * (me * 100 + i));
    }
    ag_unref(answer);
    ag_wg_done(wg);
}

AG_TEST_RUN(each_answer_comes_back_on_the_channel_that_came_with_the_question) {
    ag_chan(question) questions = ag_make(question, 2);
    ag_wg wg = AG_WG_INIT;
    for (int i = 0; i < 3; i++)
        ag_go(answer_questions, questions);
    ag_wg_add(&wg, 10);
    for (int i = 0; i < 10; i++)
        ag_go(ask_questions, questions, i, &wg);
    ag_wg_wait(&wg);
    ag_close(questions);
    eventually(ag_count() == 1);
    ag_unref(questions);
}

/* ---- Primes --------------------------------------------------------------------------------- */

static const int primes[] = {2,  3,  5,  7,  11, 13, 17, 19, 23, 29, 31, 37, 41,
                             43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97};

static void generate(ag_chan(int) out, int from, int step) {
    for (int i = from;; i += step)
        ag_send(out, i);
}

static void filter(ag_chan(int) in, ag_chan(int) out, int prime) {
    for (int v; ag_recv(in, &v);)
        if (v % prime != 0)
            ag_send(out, v);
}

AG_TEST_RUN(a_chain_of_filters_lets_the_primes_through) {
    ag_chan(int) c = ag_make(int, 0);
    ag_go(generate, c, 2, 1);
    for (size_t i = 0; i < COUNT(primes); i++) {
        int prime = 0;
        ag_chan(int) longer = ag_make(int, 0);
        ag_recv(c, &prime);
        ag_check_int(prime, primes[i]);
        ag_go(filter, c, longer, prime);
        c = longer;
    }
}

static ag_chan(int) numbers(int from, int step, int cap) {
    ag_chan(int) c = ag_make(int, cap);
    ag_go(generate, c, from, step);
    return c;
}

/* A buffer without end: a select whose send is turned off while there is nothing to send. */
static void buffer_all(ag_chan(int) in, ag_chan(int) out) {
    int queue[256] = {0}, first = 0, last = 0, v = 0;
    for (;;) {
        ag_chan(int) on = first == last ? NULL : out;
        if (ag_select(AG_RECV(in, &v), AG_SEND(on, queue[first % 256])) == 0) {
            ag_check(last - first < 256);
            queue[last++ % 256] = v;
        } else {
            first++;
        }
    }
}

/* Merges the multiples of each prime that comes in; each stream of multiples starts at the square,
 * which is when it is needed. */
static void composites(ag_chan(int) in, ag_chan(int) out) {
    struct {
        int head;
        ag_chan(int) more;
    } streams[64];
    int count = 0, prime = 0;
    ag_recv(in, &prime);
    for (int last = 0;;) {
        int least = prime * prime;
        for (int i = 0; i < count; i++)
            least = streams[i].head < least ? streams[i].head : least;
        if (least == prime * prime) {
            ag_check(count < 64);
            streams[count].more = numbers(least, 2 * prime, 10);
            ag_recv(streams[count].more, &streams[count].head);
            count++;
            ag_recv(in, &prime);
        }
        if (least != last)
            ag_send(out, last = least);
        for (int i = 0; i < count; i++)
            if (streams[i].head == least)
                ag_recv(streams[i].more, &streams[i].head);
    }
}

AG_TEST_RUN(a_sieve_that_feeds_itself_finds_the_primes) {
    ag_chan(int) back = ag_make(int, 0), buffered = ag_make(int, 0), holes = ag_make(int, 5);
    ag_chan(int) candidates = numbers(3, 2, 5);
    ag_go(buffer_all, back, buffered);
    ag_go(composites, buffered, holes);
    int candidate = 0, hole = 9;
    ag_send(back, 3);
    ag_send(back, 5);
    ag_recv(holes, &hole);
    for (size_t i = 1; i < COUNT(primes);) {
        ag_recv(candidates, &candidate);
        while (hole < candidate)
            ag_recv(holes, &hole);
        if (candidate == hole)
            continue;
        ag_check_int(candidate, primes[i++]);
        if (candidate > 5)
            ag_send(back, candidate);
    }
}

/* ---- Power series ---------------------------------------------------------------------------
 *
 * A series is a goroutine that gives its next coefficient when asked: a pair of channels, one for
 * the demand, one for the coefficient. After McIlroy's "Squinting at Power Series".
 */

typedef struct rational {
    int64_t num, den;
} rational;

typedef struct series {
    ag_chan(char) ask;
    ag_chan(rational) answer;
} series;

static series *new_series(void) {
    series *s = malloc(sizeof *s); /* lives as long as the program */
    s->ask = ag_make(char, 0);
    s->answer = ag_make(rational, 0);
    return s;
}

static rational reduced(int64_t num, int64_t den) {
    int64_t a = num < 0 ? -num : num, b = den;
    while (b) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return (rational){num / a, den / a};
}

static rational plus(rational a, rational b) {
    return reduced(a.num * b.den + b.num * a.den, a.den * b.den);
}

static rational times(rational a, rational b) {
    return reduced(a.num * b.num, a.den * b.den);
}

static rational next_of(series *s) {
    rational r = {0, 1};
    ag_send(s->ask, 1);
    ag_check(ag_recv(s->answer, &r));
    return r;
}

static void give(series *s, rational r) {
    ag_recv(s->ask, NULL);
    ag_send(s->answer, r);
}

static void run_ones(series *out) {
    for (;;)
        give(out, (rational){1, 1});
}

/* The terms of the sum; each side is asked by a select, in any order. */
static void run_sum(series *f, series *g, series *out) {
    for (;;) {
        ag_recv(out->ask, NULL);
        rational r[2];
        series *left[2] = {f, g};
        for (int asked = 0; asked < 2; asked++) {
            int i = ag_select(AG_SEND(left[0] ? left[0]->ask : NULL, 1),
                              AG_SEND(left[1] ? left[1]->ask : NULL, 1));
            ag_recv(left[i]->answer, &r[i]);
            left[i] = NULL;
        }
        ag_send(out->answer, plus(r[0], r[1]));
    }
}

/* c + the integral of f. */
static void run_integral(series *f, int c, series *out) {
    give(out, (rational){c, 1});
    for (int n = 1;; n++)
        give(out, times(next_of(f), (rational){1, n}));
}

struct fork {
    series *from, *to[2];
    rational kept[64]; /* what one side has had and the other has not */
};

/* One series for two who ask at their own pace. While it waits for a term it still serves the other
 * one, on whom that term may depend. */
static void run_fork(struct fork *s) {
    int have[2] = {0, 0}, read = 0;
    bool wants[2] = {false, false}, asked = false;
    for (;;) {
        bool lacks = false;
        for (int i = 0; i < 2; i++)
            if (wants[i] && have[i] < read) {
                ag_send(s->to[i]->answer, s->kept[have[i]++]);
                wants[i] = false;
            } else {
                lacks = lacks || wants[i];
            }
        ag_check(read < 64);
        int i = ag_select(AG_RECV(wants[0] ? NULL : s->to[0]->ask, NULL),
                          AG_RECV(wants[1] ? NULL : s->to[1]->ask, NULL),
                          AG_SEND(lacks && !asked ? s->from->ask : NULL, 1),
                          AG_RECV(asked ? s->from->answer : NULL, &s->kept[read]));
        if (i < 2)
            wants[i] = true;
        else
            asked = i == 2;
        read += i == 3;
    }
}

static struct fork *fork_of(series *from) {
    struct fork *s = calloc(1, sizeof *s);
    s->from = from;
    s->to[0] = new_series();
    s->to[1] = new_series();
    ag_go(run_fork, s);
    return s;
}

static void check_next(series *s, int64_t num, int64_t den) {
    rational r = next_of(s);
    ag_check_int(r.num, num);
    ag_check_int(r.den, den);
}

AG_TEST_RUN(a_series_gives_as_many_terms_as_it_is_asked_for) {
    series *ones = new_series(), *log = new_series();
    ag_go(run_ones, ones);
    ag_go(run_integral, ones, 0, log);
    check_next(log, 0, 1); /* -log(1 - x) = x + x^2/2 + x^3/3 ... */
    for (int n = 1; n < 20; n++)
        check_next(log, 1, n);
}

AG_TEST_RUN(two_readers_of_one_series_get_all_its_terms_each_at_its_own_pace) {
    series *ones = new_series(), *log = new_series(), *sum = new_series();
    ag_go(run_ones, ones);
    ag_go(run_integral, ones, 0, log);
    struct fork *both = fork_of(log);
    ag_go(run_sum, both->to[0], ones, sum);
    check_next(sum, 1, 1);
    for (int n = 1; n < 10; n++)
        check_next(sum, n + 1, n);
    check_next(both->to[1], 0, 1); /* from the beginning */
    check_next(both->to[1], 1, 1);
    check_next(sum, 11, 10);
    for (int n = 2; n < 20; n++)
        check_next(both->to[1], 1, n);
}

/* e^x is 1 + its own integral: the series is forked, and one half goes back in. */
AG_TEST_RUN(a_series_may_be_defined_by_itself) {
    series *loop = new_series(), *exp = new_series();
    ag_go(run_integral, loop, 1, exp);
    struct fork *both = fork_of(exp);
    struct fork *back = calloc(1, sizeof *back); /* hands to[0] on as `loop` */
    back->from = both->to[0];
    back->to[0] = loop;
    back->to[1] = new_series();
    ag_go(run_fork, back);
    int64_t factorial = 1;
    for (int n = 0; n < 15; n++) {
        factorial *= n ? n : 1;
        check_next(both->to[1], 1, factorial);
    }
}
