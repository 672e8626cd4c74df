/* SPDX-License-Identifier: MIT */
/*
 * What waits and what does not, from the language specification: a send waits for a receiver or
 * for a place in the buffer, a receive for a value or the end, a select for the first case that
 * could go on, and nothing waits that has a default. Those that must wait are seen waiting; those
 * that must not simply have to return.
 */
#include "common.h"

static ag_chan(int) none;

/* ---- These wait ----------------------------------------------------------------------------- */

static void receive_from(ag_chan(int) c) {
    ag_recv(c, NULL);
    ag_fail("went on");
}

static void send_into(ag_chan(int) c) {
    ag_send(c, 1);
    ag_fail("went on");
}

static void select_receive(ag_chan(int) c) {
    ag_select(AG_RECV(c, NULL));
    ag_fail("went on");
}

static void select_send(ag_chan(int) c) {
    ag_select(AG_SEND(c, 1));
    ag_fail("went on");
}

static void select_both(ag_chan(int) c) {
    ag_select(AG_RECV(c, NULL), AG_SEND(c, 1));
    ag_fail("went on");
}

static void select_one_of_nil(ag_chan(int) c) {
    ag_select(AG_RECV(none, NULL), AG_SEND(none, 1), AG_RECV(c, NULL), AG_SEND(none, 2));
    ag_fail("went on");
}

static void select_nothing(void) {
    ag_select();
    ag_fail("went on");
}

AG_TEST_RUN(a_receive_waits_for_a_value_or_the_end) {
    until_waits_for(ag_go(receive_from, ag_make(int, 0)), "chan receive");
    until_waits_for(ag_go(receive_from, ag_make(int, 3)), "chan receive");
}

AG_TEST_RUN(a_send_waits_for_a_receiver_or_a_place) {
    ag_chan(int) full = ag_make(int, 2);
    ag_send(full, 1);
    ag_send(full, 2);
    until_waits_for(ag_go(send_into, ag_make(int, 0)), "chan send");
    until_waits_for(ag_go(send_into, full), "chan send");
    ag_check_int(ag_len(full), 2);
}

AG_TEST_RUN(a_select_waits_while_no_case_can_go_on) {
    ag_chan(int) full = ag_make(int, 1);
    ag_send(full, 1);
    until_waits_for(ag_go(select_receive, ag_make(int, 0)), "select");
    until_waits_for(ag_go(select_receive, ag_make(int, 1)), "select");
    until_waits_for(ag_go(select_send, ag_make(int, 0)), "select");
    until_waits_for(ag_go(select_send, full), "select");
}

AG_TEST_RUN(a_select_of_nil_channels_waits_for_ever) {
    until_waits(ag_go(select_receive, none));
    until_waits(ag_go(select_send, none));
    until_waits(ag_go(select_both, none));
    until_waits_for(ag_go(select_nothing), "select (no cases)");
}

AG_TEST_RUN(nil_channels_beside_another_change_nothing) {
    ag_chan(int) c = ag_make(int, 1);
    until_waits_for(ag_go(select_one_of_nil, c), "select");
}

AG_TEST_RUN(a_select_that_sends_and_receives_on_one_channel_waits_for_somebody_else) {
    until_waits_for(ag_go(select_both, ag_make(int, 0)), "select");
}

/* ---- These do not --------------------------------------------------------------------------- */

AG_TEST_RUN(a_send_with_a_place_in_the_buffer_does_not_wait) {
    ag_chan(int) c = ag_make(int, 3);
    ag_send(c, 1);
    ag_check_int(ag_select(AG_SEND(c, 2)), 0);
    ag_check_int(ag_select(AG_RECV(none, NULL), AG_SEND(c, 3)), 1);
    ag_check_int(ag_len(c), 3);
    ag_unref(c);
}

AG_TEST_RUN(a_receive_of_what_is_buffered_does_not_wait) {
    ag_chan(int) c = ag_make(int, 3);
    int v = 0;
    for (int i = 0; i < 3; i++)
        ag_send(c, i);
    ag_check(ag_recv(c, &v) && v == 0);
    ag_check_int(ag_select(AG_RECV(c, &v)), 0);
    ag_check_int(v, 1);
    ag_check_int(ag_select(AG_SEND(none, 1), AG_RECV(c, &v)), 1);
    ag_check_int(v, 2);
    ag_unref(c);
}

AG_TEST_RUN(a_default_alone_is_a_select_that_does_nothing) {
    for (int i = 0; i < 100; i++)
        ag_check_int(ag_select(AG_DEFAULT), 0);
}

AG_TEST_RUN(a_select_with_a_default_never_waits) {
    ag_chan(int) empty = ag_make(int, 1), full = ag_make(int, 1), c = ag_make(int, 0);
    ag_send(full, 1);
    ag_check_int(ag_select(AG_RECV(none, NULL), AG_DEFAULT), 1);
    ag_check_int(ag_select(AG_SEND(none, 1), AG_DEFAULT), 1);
    ag_check_int(ag_select(AG_RECV(empty, NULL), AG_DEFAULT), 1);
    ag_check_int(ag_select(AG_SEND(full, 2), AG_DEFAULT), 1);
    ag_check_int(ag_select(AG_SEND(c, 2), AG_RECV(c, NULL), AG_DEFAULT), 2);
    ag_unref(empty);
    ag_unref(full);
    ag_unref(c);
}

AG_TEST_RUN(a_select_whose_case_is_ready_does_not_take_the_default) {
    ag_chan(int) c = ag_make(int, 1);
    int v = 0;
    for (int i = 0; i < 1000; i++) {
        ag_check_int(ag_select(AG_SEND(c, i), AG_DEFAULT), 0);
        ag_check_int(ag_select(AG_DEFAULT, AG_RECV(c, &v)), 1);
        ag_check_int(v, i);
    }
    ag_unref(c);
}

/* ---- Try: types and partners ---------------------------------------------------------------- */

typedef struct record {
    const char *text;
    double number;
    char rest[40];
} record;

/* For a type and a value: a try finds nothing, then the partner that waits, with and without a
 * buffer, in both directions. */
#define DEFINE_PARTNERS(name, T, ...)                                                              \
    static bool name##_same(T a) {                                                                 \
        T b = __VA_ARGS__;                                                                         \
        return memcmp(&a, &b, sizeof a) == 0;                                                      \
    }                                                                                              \
    static void name##_receiver(ag_chan(T) c, ag_wg *wg) {                                         \
        T v;                                                                                       \
        memset(&v, 0, sizeof v);                                                                   \
        ag_check(ag_recv(c, &v) && name##_same(v));                                                \
        ag_wg_done(wg);                                                                            \
    }                                                                                              \
    static void name##_sender(ag_chan(T) c, ag_wg *wg) {                                           \
        T v = __VA_ARGS__;                                                                         \
        ag_check_int(ag_send(c, v), 0);                                                            \
        ag_wg_done(wg);                                                                            \
    }                                                                                              \
    static void name##_partners(int cap) {                                                         \
        ag_chan(T) c = ag_make(T, cap);                                                            \
        ag_wg wg = AG_WG_INIT;                                                                     \
        T v = __VA_ARGS__;                                                                         \
        T got;                                                                                     \
        memset(&got, 0, sizeof got);                                                               \
        ag_check_int(ag_try_recv(c, &got), -EAGAIN);                                               \
        ag_wg_add(&wg, 1);                                                                         \
        until_waits(ag_go(name##_receiver, c, &wg));                                               \
        ag_check(ag_try_send(c, v));                                                               \
        ag_wg_wait(&wg);                                                                           \
        ag_wg_add(&wg, 1);                                                                         \
        int64_t id = ag_go(name##_sender, c, &wg);                                                 \
        if (cap > 0)                                                                               \
            ag_wg_wait(&wg);                                                                       \
        else                                                                                       \
            until_waits(id);                                                                       \
        ag_check_int(ag_try_recv(c, &got), 1);                                                     \
        ag_check(name##_same(got));                                                                \
        ag_wg_wait(&wg);                                                                           \
        ag_check_int(ag_try_recv(c, &got), -EAGAIN);                                               \
        ag_unref(c);                                                                               \
    }

DEFINE_PARTNERS(int32, int32_t, -123)
DEFINE_PARTNERS(int64, int64_t, 123456789012345)
DEFINE_PARTNERS(truth, bool, true)
DEFINE_PARTNERS(text, const char *, "hello")
DEFINE_PARTNERS(record, record, {"hello", 1.5, "and the rest"})

AG_TEST_RUN(a_try_meets_a_partner_that_waits_whatever_the_type) {
    int32_partners(0);
    int64_partners(0);
    truth_partners(0);
    text_partners(0);
    record_partners(0);
}

AG_TEST_RUN(a_try_uses_a_buffer_whatever_the_type) {
    int32_partners(1);
    int64_partners(1);
    truth_partners(1);
    text_partners(1);
    record_partners(1);
}

/* ---- Sizes ---------------------------------------------------------------------------------- */

__extension__ typedef struct nothing {
} nothing;

AG_TEST_RUN(an_element_may_have_no_size) {
    nothing n;
    ag_chan(nothing) plain = ag_make(nothing, 0), buffered = ag_make(nothing, 2);
    ag_check_int(ag_try_recv(plain, &n), -EAGAIN);
    ag_send(buffered, n);
    ag_send(buffered, n);
    ag_check(!ag_try_send(buffered, n));
    ag_check_int(ag_len(buffered), 2);
    ag_check(ag_recv(buffered, &n));
    ag_check(ag_recv(buffered, NULL));
    ag_check_int(ag_try_recv(buffered, &n), -EAGAIN);
    ag_close(plain);
    ag_check_int(ag_try_recv(plain, &n), 0);
    ag_unref(plain);
    ag_unref(buffered);
}

static void make_of(int64_t cap) {
    ag_unref(ag_make(record, cap));
}

AG_TEST_RUN(a_capacity_that_cannot_be_panics) {
    static const int64_t impossible[] = {-1, INT64_MIN, (int64_t)1 << 59, INT64_MAX};
    ag_panic_info info;
    for (size_t i = 0; i < COUNT(impossible); i++) {
        ag_check_int(ag_try(&info, make_of, impossible[i]), AG_PANICKED);
        ag_check_contains(info.msg, "makechan: size out of range");
    }
    ag_check_int(ag_try(&info, make_of, 1000), 0);
}
