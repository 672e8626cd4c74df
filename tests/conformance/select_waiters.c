/* SPDX-License-Identifier: MIT */
/*
 * Selects that wait among others: who is woken, that one case runs and no more, that nobody is
 * left behind in a queue, and what a select costs in a long one.
 */
#include "common.h"

#include <malloc.h>
#include <time.h>

/* ---- One case runs -------------------------------------------------------------------------- */

static void send_to_any(int n, ag_chan(int) a, ag_chan(int) b, ag_chan(int) c, ag_chan(int) d) {
    for (int i = 0; i < n; i++)
        ag_check(ag_select(AG_SEND(a, i), AG_SEND(b, i), AG_SEND(c, i), AG_SEND(d, i)) >= 0);
    ag_close(a);
    ag_close(b);
    ag_close(c);
    ag_close(d);
}

static void forward(ag_chan(int) in, ag_chan(int) out, ag_wg *wg) {
    for (int v; ag_recv(in, &v);)
        ag_send(out, v);
    ag_wg_done(wg);
}

static void close_after(ag_wg *wg, ag_chan(int) c) {
    ag_wg_wait(wg);
    ag_close(c);
}

AG_TEST_RUN(a_value_is_sent_to_one_channel_even_if_several_receivers_come_at_once) {
    const int n = 30000 / ag_test_slow();
    char *seen = calloc(1, (size_t)n);
    ag_chan(int) to[4], all = ag_make(int, 0);
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 4);
    for (int i = 0; i < 4; i++) {
        to[i] = ag_make(int, 0);
        ag_go(forward, to[i], all, &wg);
    }
    ag_go(send_to_any, n, to[0], to[1], to[2], to[3]);
    ag_go(close_after, &wg, all);
    int got = 0;
    for (int v; ag_recv(all, &v); got++)
        ag_check(v >= 0 && v < n && !seen[v]++);
    ag_check_int(got, n);
    free(seen);
}

static void receive_from_any(ag_chan(int) a, ag_chan(int) b, atomic_int *got, ag_wg *wg) {
    bool a_open = true, b_open = true;
    while (a_open || b_open) {
        bool ok = false;
        int v = 0;
        if (ag_select(AG_RECV_OK(a_open ? a : NULL, &v, &ok),
                      AG_RECV_OK(b_open ? b : NULL, &v, &ok)) == 0)
            a_open = ok;
        else
            b_open = ok;
        atomic_fetch_add(got, ok);
    }
    ag_wg_done(wg);
}

static void send_many(ag_chan(int) c, int n, ag_wg *wg) {
    for (int i = 0; i < n; i++)
        ag_send(c, i);
    ag_wg_done(wg);
}

AG_TEST_RUN(each_value_is_received_once_by_many_who_select_on_the_same_channels) {
    const int n = 5000 / ag_test_slow();
    ag_chan(int) a = ag_make(int, 0), b = ag_make(int, 3);
    ag_wg senders = AG_WG_INIT, receivers = AG_WG_INIT;
    atomic_int got = 0;
    ag_wg_add(&senders, 6);
    ag_wg_add(&receivers, 5);
    for (int i = 0; i < 5; i++)
        ag_go(receive_from_any, a, b, &got, &receivers);
    for (int i = 0; i < 6; i++)
        ag_go(send_many, i % 2 ? a : b, n, &senders);
    ag_wg_wait(&senders);
    ag_close(a);
    ag_close(b);
    ag_wg_wait(&receivers);
    ag_check_int(atomic_load(&got), 6 * n);
    ag_unref(a);
    ag_unref(b);
}

/* ---- Everybody who waits on both sides ------------------------------------------------------ */

enum { PLAIN, ONE, TWO, KINDS };

static void receive_as(int kind, ag_chan(int) c, ag_chan(int) other, atomic_int *sum) {
    int v = 0;
    if (kind == PLAIN)
        ag_check(ag_recv(c, &v));
    else if (kind == ONE)
        ag_check_int(ag_select(AG_RECV(c, &v)), 0);
    else
        ag_check_int(ag_select(AG_RECV(c, &v), AG_RECV(other, &v)), 0);
    atomic_fetch_add(sum, v);
}

static void send_as(int kind, ag_chan(int) c, ag_chan(int) other, int v) {
    if (kind == PLAIN)
        ag_check_int(ag_send(c, v), 0);
    else if (kind == ONE)
        ag_check_int(ag_select(AG_SEND(c, v)), 0);
    else
        ag_check_int(ag_select(AG_RECV(other, NULL), AG_SEND(c, v)), 1);
}

AG_TEST_RUN(every_kind_of_send_meets_every_kind_of_receive_that_waits) {
    ag_chan(int) other = ag_make(int, 0);
    for (int s = 0; s < KINDS; s++)
        for (int r = 0; r < KINDS; r++) {
            ag_chan(int) c = ag_make(int, 0);
            atomic_int sum = 0;
            until_waits(ag_go(receive_as, r, c, other, &sum));
            send_as(s, c, other, 5);
            eventually(atomic_load(&sum) == 5);
            ag_unref(c);
        }
    ag_unref(other);
}

AG_TEST_RUN(every_kind_of_receive_meets_every_kind_of_send_that_waits) {
    ag_chan(int) other = ag_make(int, 0);
    for (int s = 0; s < KINDS; s++)
        for (int r = 0; r < KINDS; r++) {
            ag_chan(int) c = ag_make(int, 0);
            atomic_int sum = 0;
            until_waits(ag_go(send_as, s, c, other, 5));
            receive_as(r, c, other, &sum);
            ag_check_int(atomic_load(&sum), 5);
            ag_unref(c);
        }
    eventually(ag_count() == 1); /* who has sent may not have left the other one yet */
    ag_unref(other);
}

static void receive_one(ag_chan(int) c, atomic_int *got) {
    ag_check(ag_recv(c, NULL));
    atomic_fetch_add(got, 1);
}

static void select_then_receive(ag_chan(int) c, ag_chan(int) other, ag_chan(int) told,
                                atomic_int *got) {
    ag_check_int(ag_select(AG_RECV(c, NULL), AG_RECV(other, NULL)), 1);
    ag_send(told, 1);
    receive_one(c, got);
}

/* A select that was last in the queue of c leaves it by its other case; who comes to c afterwards
 * must not be lost. */
AG_TEST_RUN(who_waits_behind_a_select_that_left_the_queue_is_woken) {
    ag_chan(int) c = ag_make(int, 0), other = ag_make(int, 0), told = ag_make(int, 0);
    atomic_int got = 0;
    until_waits(ag_go(receive_one, c, &got));
    int64_t id = ag_go(select_then_receive, c, other, told, &got);
    until_waits_for(id, "select");
    ag_send(other, 1);
    ag_recv(told, NULL);
    until_waits_for(id, "chan receive");
    ag_send(c, 1);
    ag_send(c, 1);
    eventually(atomic_load(&got) == 2);
    ag_unref(c);
    ag_unref(other);
    ag_unref(told);
}

AG_TEST_RUN(who_waits_before_and_behind_a_select_that_left_the_queue_keeps_the_order) {
    ag_chan(int) c = ag_make(int, 0), other = ag_make(int, 0);
    atomic_int first = 0, middle = 0, last = 0;
    until_waits(ag_go(receive_one, c, &first));
    until_waits(ag_go(receive_as, TWO, other, c, &middle)); /* its case 0 is `other` */
    until_waits(ag_go(receive_one, c, &last));
    ag_send(other, 7);
    eventually(atomic_load(&middle) == 7);
    ag_send(c, 1);
    eventually(atomic_load(&first) == 1);
    ag_check_int(atomic_load(&last), 0);
    ag_send(c, 1);
    eventually(atomic_load(&last) == 1);
    ag_unref(c);
    ag_unref(other);
}

/* ---- Turning cases on and off --------------------------------------------------------------- */

static int evaluated;

static unsigned next_bit(int shift) {
    evaluated++;
    return 1u << shift;
}

/* Sends different bits to a and b, to each once; NULL is nobody. */
static int send_each_once(ag_chan(unsigned) a, ag_chan(unsigned) b) {
    for (int sent = 0;; sent++)
        switch (ag_select(AG_SEND(a, next_bit(sent)), AG_SEND(b, next_bit(sent)), AG_DEFAULT)) {
        case 0:
            a = NULL;
            break;
        case 1:
            b = NULL;
            break;
        default:
            return sent;
        }
}

AG_TEST_RUN(a_case_is_turned_off_by_nil_and_its_value_evaluated_all_the_same) {
    ag_chan(unsigned) a = ag_make(unsigned, 1), b = ag_make(unsigned, 1);
    unsigned va = 0, vb = 0;
    ag_check_int(send_each_once(a, b), 2);
    ag_check(ag_recv(a, &va) && ag_recv(b, &vb));
    ag_check_int(va | vb, 3);
    ag_check_int(send_each_once(a, NULL), 1);
    ag_check_int(evaluated, 2 * 3 + 2 * 2);
    ag_unref(a);
    ag_unref(b);
}

AG_TEST_RUN(a_case_that_does_not_run_touches_nothing) {
    ag_chan(int) empty = ag_make(int, 1), c = ag_make(int, 1);
    struct {
        int untouched, got;
        bool untouched_ok;
    } s = {5, 0, true};
    ag_send(c, 42);
    ag_check_int(ag_select(AG_RECV_OK(empty, &s.untouched, &s.untouched_ok), AG_RECV(c, &s.got)),
                 1);
    ag_check_int(s.got, 42);
    ag_check_int(s.untouched, 5);
    ag_check(s.untouched_ok);
    ag_unref(empty);
    ag_unref(c);
}

static void merge(ag_chan(int) a, ag_chan(int) b, ag_chan(int) out) {
    while (a || b) {
        int v = 0;
        bool ok = false;
        int i = ag_select(AG_RECV_OK(a, &v, &ok), AG_RECV_OK(b, &v, &ok));
        if (ok)
            ag_send(out, v);
        else if (i == 0)
            a = NULL;
        else
            b = NULL;
    }
    ag_close(out);
}

static void send_range(ag_chan(int) c, int from, int to) {
    for (int i = from; i < to; i++)
        ag_send(c, i);
    ag_close(c);
}

AG_TEST_RUN(two_streams_are_merged_until_both_have_ended) {
    ag_chan(int) a = ag_make(int, 0), b = ag_make(int, 2), out = ag_make(int, 0);
    ag_go(send_range, a, 0, 500);
    ag_go(send_range, b, 500, 700);
    ag_go(merge, a, b, out);
    int next_a = 0, next_b = 500;
    for (int v; ag_recv(out, &v);) /* each in its own order */
        ag_check_int(v, v < 500 ? next_a++ : next_b++);
    ag_check_int(next_a, 500);
    ag_check_int(next_b, 700);
    ag_unref(a);
    ag_unref(b);
    ag_unref(out);
}

static void give_fives(ag_chan(int) c) {
    for (;;)
        ag_send(c, 5);
}

AG_TEST_RUN(a_break_leaves_the_switch_on_the_case_and_not_the_function) {
    ag_chan(int) c = ag_make(int, 0);
    int v = 0, rounds = 0;
    until_waits(ag_go(give_fives, c));
    for (; rounds < 3; rounds++)
        switch (ag_select(AG_RECV(c, &v), AG_SEND(c, 10))) {
        case 0:
            ag_check_int(v, 5);
            break;
        case 1:
            ag_fail("nobody receives");
        }
    ag_check_int(rounds, 3);
}

/* ---- What it costs -------------------------------------------------------------------------- */

static void receive_or(ag_chan(int) c, ag_chan(int) never, int n) {
    for (int i = 0; i < n; i++)
        ag_check_int(ag_select(AG_RECV(c, NULL), AG_RECV(never, NULL)), 0);
}

AG_TEST_RUN(selects_that_are_over_keep_no_memory) {
    const int n = 30000 / ag_test_slow();
    ag_chan(int) c = ag_make(int, 0), never = ag_make(int, 0);
    ag_wg wg = AG_WG_INIT;
    /* What is kept is kept every time; a thread's or a processor's own memory comes once. */
    bool kept = true;
    for (int round = 0; round < 8 && kept; round++) {
        size_t before = mallinfo2().uordblks;
        ag_wg_add(&wg, 1);
        ag_go(send_many, c, n, &wg);
        receive_or(c, never, n);
        ag_wg_wait(&wg);
        kept = mallinfo2().uordblks > before + 4u * (unsigned)n;
    }
    ag_check(!kept);
    ag_unref(c);
    ag_unref(never);
}

static void select_again_and_again(ag_chan(int) shared, ag_chan(int) own, int n, ag_wg *wg) {
    for (int i = 0; i < n; i++)
        ag_check_int(ag_select(AG_RECV(shared, NULL), AG_RECV(own, NULL)), 1);
    ag_wg_done(wg);
}

/* CPU nanoseconds for n goroutines that leave a queue and join it again some times: one queue for
 * all of them, or one for each. */
static int64_t time_of_queue(int n, bool one_for_all) {
    enum { ROUNDS = 10 };
    struct timespec begin, end;
    ag_chan(int) *own = (ag_chan(int) *)calloc(2 * (size_t)n, sizeof *own), *queue = own + n;
    ag_wg wg = AG_WG_INIT;
    for (int i = 0; i < n; i++) {
        own[i] = ag_make(int, 0);
        queue[i] = one_for_all && i > 0 ? ag_ref(queue[0]) : ag_make(int, 0);
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
    ag_wg_add(&wg, n);
    for (int i = 0; i < n; i++)
        ag_go(select_again_and_again, queue[i], own[i], ROUNDS, &wg);
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < n; i++)
            ag_send(own[i], 1);
    ag_wg_wait(&wg);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    for (int i = 0; i < 2 * n; i++)
        ag_unref(own[i]);
    free((void *)own);
    return (end.tv_sec - begin.tv_sec) * AG_SEC + end.tv_nsec - begin.tv_nsec;
}

/* A search through a queue of n would cost some n / 2 steps each time: here thousands. CPU time, so
 * that a busy machine does not count; the same goroutines twice, so that caches do not either. */
AG_TEST_RUN(leaving_a_long_queue_costs_as_much_as_leaving_a_short_one) {
    const int n = 18000 / (ag_test_slow() * ag_test_slow()) + 1000;
    time_of_queue(n, false); /* the first one pays for stacks */
    int64_t alone = time_of_queue(n, false), together = time_of_queue(n, true);
    if (together > 10 * alone)
        ag_fail("%d: %lld ns alone, %lld ns together", n, (long long)alone, (long long)together);
}
