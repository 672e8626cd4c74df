/* SPDX-License-Identifier: MIT */
/*
 * Closed channels. What Go promises of a send, a receive and a close holds however the operation is
 * written: alone, tried, as the only case of a select, as one of several, or of an array. So each
 * promise here is asked of each way.
 */
#include "common.h"

enum way { ALONE, ONE_CASE, TWO_CASES, ORDERED, ARRAY, WAYS };

static ag_chan(int) never; /* nobody sends into it, nobody closes it */

static bool receive(enum way way, ag_chan(int) c, int *v) {
    bool ok = false;
    switch (way) {
    case ALONE:
        return ag_recv(c, v);
    case ONE_CASE:
        ag_check_int(ag_select(AG_RECV_OK(c, v, &ok)), 0);
        return ok;
    case TWO_CASES:
        ag_check_int(ag_select(AG_RECV(never, NULL), AG_RECV_OK(c, v, &ok)), 1);
        return ok;
    case ORDERED:
        ag_check_int(ag_select_ordered(AG_RECV(never, NULL), AG_RECV_OK(c, v, &ok)), 1);
        return ok;
    default: {
        ag_case cases[] = {AG_RECV(never, NULL), AG_RECV(never, NULL), AG_RECV_OK(c, v, &ok)};
        ag_check_int(ag_select_n(cases, 3), 2);
        return ok;
    }
    }
}

/* As ag_try_recv. */
static int try_receive(enum way way, ag_chan(int) c, int *v) {
    bool ok = false;
    int ran = 0;
    switch (way) {
    case ALONE:
        return ag_try_recv(c, v);
    case ONE_CASE:
        ran = ag_select(AG_RECV_OK(c, v, &ok), AG_DEFAULT);
        break;
    case TWO_CASES:
        ran = ag_select(AG_RECV_OK(c, v, &ok), AG_DEFAULT, AG_RECV(never, NULL));
        break;
    case ORDERED:
        ran = ag_select_ordered(AG_RECV_OK(c, v, &ok), AG_RECV(never, NULL), AG_DEFAULT);
        break;
    default: {
        ag_case cases[] = {AG_RECV_OK(c, v, &ok), AG_RECV(never, NULL), AG_DEFAULT};
        ran = ag_select_n(cases, 3);
    }
    }
    return ran != 0 ? -EAGAIN : ok;
}

static void send_to(enum way way, ag_chan(int) c, int v) {
    switch (way) {
    case ALONE:
        ag_check_int(ag_send(c, v), 0);
        break;
    case ONE_CASE:
        ag_check_int(ag_select(AG_SEND(c, v)), 0);
        break;
    case TWO_CASES:
        ag_check_int(ag_select(AG_RECV(never, NULL), AG_SEND(c, v)), 1);
        break;
    case ORDERED:
        ag_check_int(ag_select_ordered(AG_RECV(never, NULL), AG_SEND(c, v)), 1);
        break;
    default: {
        ag_case cases[] = {AG_RECV(never, NULL), AG_SEND(c, v)};
        ag_check_int(ag_select_n(cases, 2), 1);
    }
    }
}

static bool try_send_to(enum way way, ag_chan(int) c, int v) {
    switch (way) {
    case ALONE:
        return ag_try_send(c, v);
    case ONE_CASE:
        return ag_select(AG_SEND(c, v), AG_DEFAULT) == 0;
    case TWO_CASES:
        return ag_select(AG_DEFAULT, AG_RECV(never, NULL), AG_SEND(c, v)) == 2;
    case ORDERED:
        return ag_select_ordered(AG_SEND(c, v), AG_DEFAULT) == 0;
    default: {
        ag_case cases[] = {AG_SEND(c, v), AG_DEFAULT, AG_RECV(never, NULL)};
        return ag_select_n(cases, 3) == 0;
    }
    }
}

static void check_panics(void (*fn)(enum way, ag_chan(int), int), enum way way, ag_chan(int) c) {
    ag_panic_info info;
    ag_check_int(ag_try(&info, fn, way, c, 7), AG_PANICKED);
    ag_check_str(info.msg, "send on closed channel");
}

static void try_to_send(enum way way, ag_chan(int) c, int v) {
    try_send_to(way, c, v);
}

/* A channel with `cap` places, the values 1 to `full` in it, closed. */
static ag_chan(int) closed_with(int cap, int full) {
    ag_chan(int) c = ag_make(int, cap);
    for (int i = 1; i <= full; i++)
        ag_send(c, i);
    ag_close(c);
    return c;
}

static void begin(void) {
    never = ag_make(int, 0);
}

/* ---- Receiving ------------------------------------------------------------------------------ */

AG_TEST_RUN(a_receive_from_a_closed_channel_never_waits_and_gives_zero_and_false) {
    begin();
    for (enum way way = 0; way < WAYS; way++)
        for (int cap = 0; cap < 3; cap++) {
            ag_chan(int) c = closed_with(cap, 0);
            for (int again = 0; again < 3; again++) {
                int v = 9;
                ag_check(!receive(way, c, &v));
                ag_check_int(v, 0);
            }
            ag_unref(c);
        }
}

AG_TEST_RUN(a_closed_channel_is_ready_where_another_would_take_the_default) {
    begin();
    for (enum way way = 0; way < WAYS; way++) {
        ag_chan(int) c = closed_with(0, 0), open = ag_make(int, 0);
        int v = 9;
        ag_check_int(try_receive(way, open, &v), -EAGAIN);
        ag_check_int(v, 9); /* untouched */
        ag_check_int(try_receive(way, c, &v), 0);
        ag_check_int(v, 0);
        ag_unref(open);
        ag_unref(c);
    }
}

AG_TEST_RUN(what_was_buffered_before_the_close_comes_first_and_in_order) {
    begin();
    for (enum way way = 0; way < WAYS; way++) {
        ag_chan(int) c = closed_with(5, 4);
        int v = 9;
        for (int i = 1; i <= 4; i++) {
            ag_check_int(ag_len(c), 5 - i);
            ag_check(receive(way, c, &v));
            ag_check_int(v, i);
        }
        ag_check(!receive(way, c, &v));
        ag_check_int(v, 0);
        ag_unref(c);
    }
}

AG_TEST_RUN(a_try_takes_what_was_buffered_before_it_tells_the_end) {
    begin();
    for (enum way way = 0; way < WAYS; way++) {
        ag_chan(int) c = closed_with(2, 2);
        int v = 9;
        ag_check_int(try_receive(way, c, &v), 1);
        ag_check_int(v, 1);
        ag_check_int(try_receive(way, c, &v), 1);
        ag_check_int(v, 2);
        ag_check_int(try_receive(way, c, &v), 0);
        ag_check_int(v, 0);
        ag_unref(c);
    }
}

static void receive_the_end(enum way way, ag_chan(int) c, atomic_int *ended) {
    int v = 9;
    ag_check(!receive(way, c, &v));
    ag_check_int(v, 0);
    atomic_fetch_add(ended, 1);
}

AG_TEST_RUN(a_close_ends_a_waiting_receive_however_it_waits) {
    begin();
    atomic_int ended = 0;
    ag_chan(int) c = ag_make(int, 0);
    for (enum way way = 0; way < WAYS; way++)
        until_waits(ag_go(receive_the_end, way, c, &ended));
    ag_check_int(atomic_load(&ended), 0);
    ag_close(c);
    eventually(atomic_load(&ended) == WAYS);
    ag_unref(c);
}

AG_TEST_RUN(a_loop_of_receives_ends_with_the_channel) {
    begin();
    for (enum way way = 0; way < WAYS; way++) {
        ag_chan(int) c = closed_with(100, 100);
        int sum = 0, v;
        while (receive(way, c, &v))
            sum += v;
        ag_check_int(sum, 5050);
        ag_unref(c);
    }
}

/* ---- Sending -------------------------------------------------------------------------------- */

AG_TEST_RUN(a_send_on_a_closed_channel_panics_however_it_is_written) {
    begin();
    for (enum way way = 0; way < WAYS; way++)
        for (int cap = 0; cap < 3; cap++) {
            ag_chan(int) c = closed_with(cap, 0);
            check_panics(send_to, way, c);
            ag_unref(c);
        }
}

/* Not even a full one: it can't take a value, but it is closed. */
AG_TEST_RUN(a_try_to_send_on_a_closed_channel_panics_too) {
    begin();
    for (enum way way = 0; way < WAYS; way++)
        for (int full = 0; full < 3; full++) {
            ag_chan(int) c = closed_with(2, full);
            check_panics(try_to_send, way, c);
            ag_unref(c);
        }
}

AG_TEST_RUN(the_value_of_a_send_that_panicked_is_nowhere) {
    begin();
    for (enum way way = 0; way < WAYS; way++) {
        ag_chan(int) c = closed_with(2, 0);
        int v = 9;
        check_panics(send_to, way, c);
        check_panics(try_to_send, way, c);
        ag_check_int(ag_len(c), 0);
        ag_check(!receive(way, c, &v));
        ag_check_int(v, 0);
        ag_unref(c);
    }
}

static void send_until_closed(enum way way, ag_chan(int) c, atomic_int *panicked) {
    check_panics(send_to, way, c);
    atomic_fetch_add(panicked, 1);
}

AG_TEST_RUN(a_close_makes_a_waiting_send_panic_however_it_waits) {
    begin();
    atomic_int panicked = 0;
    ag_chan(int) c = ag_make(int, 1);
    ag_send(c, 1);
    for (enum way way = 0; way < WAYS; way++)
        until_waits(ag_go(send_until_closed, way, c, &panicked));
    ag_close(c);
    eventually(atomic_load(&panicked) == WAYS);
    int v = 9; /* what was in the buffer is still there, what waited to be sent is not */
    ag_check(ag_recv(c, &v) && v == 1);
    ag_check(!ag_recv(c, &v));
    ag_unref(c);
}

/* ---- Closing -------------------------------------------------------------------------------- */

static void close_it(ag_chan(int) c) {
    ag_close(c);
}

AG_TEST_RUN(a_close_that_panicked_changes_nothing) {
    ag_panic_info info;
    ag_chan(int) c = closed_with(2, 2);
    int v = 0;
    for (int i = 0; i < 3; i++) {
        ag_check_int(ag_try(&info, close_it, c), AG_PANICKED);
        ag_check_str(info.msg, "close of closed channel");
    }
    ag_check(ag_recv(c, &v) && v == 1);
    ag_check(ag_recv(c, &v) && v == 2);
    ag_check(!ag_recv(c, &v));
    ag_unref(c);
}

static void closes_and_panics(ag_chan(int) c) {
    ag_defer(ag_close, c);
    ag_panic("on the way out");
}

AG_TEST_RUN(a_deferred_close_closes_when_its_goroutine_panics) {
    ag_chan(int) c = ag_make(int, 0);
    ag_check_int(ag_try(NULL, closes_and_panics, c), AG_PANICKED);
    ag_check_int(ag_try_recv(c, NULL), 0);
    ag_unref(c);
}

static void close_and_count(ag_chan(int) c, atomic_int *closed, atomic_int *refused) {
    ag_panic_info info;
    if (ag_try(&info, close_it, c) == 0)
        atomic_fetch_add(closed, 1);
    else
        atomic_fetch_add(refused, 1);
}

AG_TEST_RUN(of_many_who_close_at_the_same_time_one_does) {
    for (int round = 0; round < 200 / ag_test_slow(); round++) {
        ag_chan(int) c = ag_make(int, 0);
        ag_wg wg = AG_WG_INIT;
        atomic_int closed = 0, refused = 0;
        for (int i = 0; i < 8; i++)
            ag_wg_go(&wg, close_and_count, c, &closed, &refused);
        ag_wg_wait(&wg);
        ag_check_int(atomic_load(&closed), 1);
        ag_check_int(atomic_load(&refused), 7);
        ag_unref(c);
    }
}

AG_TEST_RUN(len_and_cap_tell_the_same_of_a_closed_channel) {
    ag_chan(int) c = closed_with(5, 3);
    ag_check_int(ag_len(c), 3);
    ag_check_int(ag_cap(c), 5);
    ag_recv(c, NULL);
    ag_check_int(ag_len(c), 2);
    ag_unref(c);
}
