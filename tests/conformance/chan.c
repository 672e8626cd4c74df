/* SPDX-License-Identifier: MIT */
/*
 * Channels: what a program may rely on, one test for each promise. Goroutines that have to wait
 * are watched until they do (common.h), so no test depends on who runs first.
 */
#include "common.h"

typedef struct pair {
    int a;
    double b;
} pair;

typedef struct big {
    unsigned char bytes[3000];
} big;

static void send_one(ag_chan(int) c, int v) {
    ag_check_int(ag_send(c, v), 0);
}

static void send_then_flag(ag_chan(int) c, int v, atomic_int *flag) {
    ag_check_int(ag_send(c, v), 0);
    atomic_fetch_add(flag, 1);
}

static void recv_into(ag_chan(int) c, atomic_int *ret_value) {
    int v;
    atomic_store(ret_value, ag_recv(c, &v) ? v : -1);
}

static void recv_then_append(ag_chan(int) c, ag_chan(int) log, int me) {
    int v;
    ag_recv(c, &v);
    ag_send(log, me * 1000 + v);
}

/* ---- Values --------------------------------------------------------------------------------- */

AG_TEST_RUN(a_value_sent_is_the_value_received) {
    ag_chan(int) c = ag_make(int, 0);
    ag_go(send_one, c, 42);
    int v = 0;
    ag_check(ag_recv(c, &v));
    ag_check_int(v, 42);
    ag_unref(c);
}

AG_TEST_RUN(values_of_every_kind_arrive_whole) {
    ag_chan(bool) b = ag_make(bool, 2);
    ag_chan(char) ch = ag_make(char, 1);
    ag_chan(long double) ld = ag_make(long double, 1);
    ag_chan(pair) p = ag_make(pair, 1);
    ag_chan(const char *) s = ag_make(const char *, 1);
    ag_send(b, 7); /* converted to true, as an assignment does */
    ag_send(ch, 'x');
    ag_send(ld, 1.25L);
    ag_send(p, (pair){3, 0.5});
    ag_send(s, "text");
    bool vb = false;
    char vc = 0;
    long double vl = 0;
    pair vp = {0, 0};
    const char *vs = NULL;
    ag_check(ag_recv(b, &vb) && ag_recv(ch, &vc) && ag_recv(ld, &vl) && ag_recv(p, &vp) &&
             ag_recv(s, &vs));
    ag_check(vb == true && vc == 'x' && vl == 1.25L && vp.a == 3 && vp.b == 0.5);
    ag_check_str(vs, "text");
    ag_unref(b);
    ag_unref(ch);
    ag_unref(ld);
    ag_unref(p);
    ag_unref(s);
}

static void send_big(ag_chan(big) c, int seed) {
    big v;
    for (size_t i = 0; i < sizeof v.bytes; i++)
        v.bytes[i] = (unsigned char)(i * 7 + (size_t)seed);
    ag_send(c, v);
}

AG_TEST_RUN(a_big_element_arrives_whole_with_and_without_a_buffer) {
    for (int cap = 0; cap < 3; cap++) {
        ag_chan(big) c = ag_make(big, cap);
        for (int seed = 0; seed < 5; seed++)
            ag_go(send_big, c, 0);
        for (int seed = 0; seed < 5; seed++) {
            big v;
            ag_check(ag_recv(c, &v));
            for (size_t i = 0; i < sizeof v.bytes; i++)
                ag_check_int(v.bytes[i], (unsigned char)(i * 7));
        }
        ag_unref(c);
    }
}

AG_TEST_RUN(a_channel_travels_over_a_channel) {
    ag_chan(ag_chan(int)) replies = ag_make(ag_chan(int), 1);
    ag_chan(int) mine = ag_make(int, 1), theirs = NULL;
    ag_send(replies, mine);
    ag_recv(replies, &theirs);
    ag_send(theirs, 5);
    int v = 0;
    ag_check(ag_recv(mine, &v) && v == 5);
    ag_unref(mine);
    ag_unref(replies);
}

static int calls;

static ag_chan(int) counted(ag_chan(int) c) {
    calls++;
    return c;
}

AG_TEST_RUN(arguments_are_evaluated_once) {
    ag_chan(int) c = ag_make(int, 4);
    int v = 1, out[4] = {0}, *p = out;
    ag_send(counted(c), v++);
    ag_check(ag_try_send(counted(c), v++));
    ag_check_int(v, 3);
    ag_recv(counted(c), p++);
    ag_check_int(ag_try_recv(counted(c), p++), 1);
    ag_check_int(p - out, 2);
    ag_check_int(ag_len(counted(c)) + ag_cap(counted(c)), 4);
    ag_close(counted(c));
    ag_check_int(calls, 7);
    ag_check(out[0] == 1 && out[1] == 2);
    ag_unref(c);
}

AG_TEST_RUN(a_receive_into_null_drops_the_value) {
    ag_chan(int) c = ag_make(int, 3);
    for (int i = 0; i < 3; i++)
        ag_send(c, i);
    int v = -1;
    ag_check(ag_recv(c, NULL));
    ag_check_int(ag_try_recv(c, NULL), 1);
    ag_check(ag_recv(c, &v) && v == 2);
    ag_unref(c);
}

/* ---- Buffers -------------------------------------------------------------------------------- */

AG_TEST_RUN(a_buffer_keeps_the_order_and_takes_cap_sends_without_waiting) {
    ag_chan(int) c = ag_make(int, 100);
    for (int round = 0; round < 5; round++) { /* round and round the ring */
        for (int i = 0; i < 70; i++)
            ag_check_int(ag_send(c, i), 0);
        ag_check_int(ag_len(c), 70);
        for (int i = 0, v; i < 70; i++)
            ag_check(ag_recv(c, &v) && v == i);
    }
    ag_unref(c);
}

AG_TEST_RUN(a_send_into_a_full_buffer_waits_for_a_place) {
    ag_chan(int) c = ag_make(int, 2);
    atomic_int done = 0;
    ag_send(c, 1);
    ag_send(c, 2);
    int64_t id = ag_go(send_then_flag, c, 3, &done);
    until_waits_for(id, "chan send");
    ag_check_int(atomic_load(&done), 0);
    for (int i = 1, v; i <= 3; i++)
        ag_check(ag_recv(c, &v) && v == i);
    eventually(atomic_load(&done) == 1);
    ag_unref(c);
}

AG_TEST_RUN(an_unbuffered_send_waits_for_its_receiver) {
    ag_chan(int) c = ag_make(int, 0);
    atomic_int done = 0;
    int64_t id = ag_go(send_then_flag, c, 1, &done);
    until_waits_for(id, "chan send");
    ag_check_int(atomic_load(&done), 0);
    ag_check_int(ag_len(c), 0);
    ag_check(ag_recv(c, NULL));
    eventually(atomic_load(&done) == 1);
    ag_unref(c);
}

AG_TEST_RUN(a_receive_waits_for_a_value) {
    ag_chan(int) c = ag_make(int, 4);
    atomic_int value = 0;
    int64_t id = ag_go(recv_into, c, &value);
    until_waits_for(id, "chan receive");
    ag_check_int(atomic_load(&value), 0);
    ag_send(c, 9);
    eventually(atomic_load(&value) == 9);
    ag_unref(c);
}

AG_TEST_RUN(waiting_receivers_are_served_in_the_order_of_their_coming) {
    for (int cap = 0; cap < 2; cap++) {
        ag_chan(int) c = ag_make(int, cap), log = ag_make(int, 8);
        for (int i = 0; i < 4; i++)
            until_waits_for(ag_go(recv_then_append, c, log, i), "chan receive");
        for (int i = 0, v; i < 4; i++) {
            ag_send(c, i);
            ag_check(ag_recv(log, &v));
            ag_check_int(v, i * 1000 + i);
        }
        ag_unref(c);
        ag_unref(log);
    }
}

AG_TEST_RUN(waiting_senders_are_served_in_the_order_of_their_coming) {
    for (int cap = 0; cap < 3; cap++) {
        ag_chan(int) c = ag_make(int, cap);
        for (int i = 0; i < cap; i++)
            ag_send(c, i);
        for (int i = cap; i < cap + 4; i++)
            until_waits_for(ag_go(send_one, c, i), "chan send");
        for (int i = 0, v; i < cap + 4; i++) {
            ag_check(ag_recv(c, &v));
            ag_check_int(v, i);
        }
        ag_unref(c);
    }
}

AG_TEST_RUN(len_and_cap_are_those_of_go) {
    ag_chan(int) c = ag_make(int, 3), none = NULL;
    ag_check_int(ag_len(none), 0);
    ag_check_int(ag_cap(none), 0);
    ag_check_int(ag_cap(c), 3);
    ag_check_int(ag_len(c), 0);
    ag_send(c, 1);
    ag_send(c, 2);
    ag_check_int(ag_len(c), 2);
    ag_close(c);
    ag_check_int(ag_len(c), 2);
    ag_check_int(ag_cap(c), 3);
    ag_recv(c, NULL);
    ag_check_int(ag_len(c), 1);
    ag_unref(c);
}

static void make_with(long cap) {
    ag_chan(int) c = ag_make(int, cap);
    ag_unref(c);
}

AG_TEST_RUN(an_impossible_capacity_panics_as_in_go) {
    ag_panic_info info;
    ag_check_int(ag_try(&info, make_with, -1L), AG_PANICKED);
    ag_check_str(info.msg, "makechan: size out of range");
    ag_check_int(ag_try(&info, make_with, INT64_MAX / 2), AG_PANICKED);
    ag_check_str(info.msg, "makechan: size out of range");
    ag_check_int(ag_try(&info, make_with, 0L), 0);
}

/* ---- Closing -------------------------------------------------------------------------------- */

AG_TEST_RUN(a_closed_channel_gives_what_is_buffered_then_zero_and_false) {
    ag_chan(pair) c = ag_make(pair, 2);
    ag_send(c, (pair){1, 1.5});
    ag_send(c, (pair){2, 2.5});
    ag_close(c);
    pair v = {9, 9};
    ag_check(ag_recv(c, &v) && v.a == 1);
    ag_check_int(ag_try_recv(c, &v), 1);
    ag_check(v.a == 2 && v.b == 2.5);
    ag_check(!ag_recv(c, &v) && v.a == 0 && v.b == 0);
    v = (pair){9, 9};
    ag_check_int(ag_try_recv(c, &v), 0);
    ag_check(v.a == 0 && v.b == 0);
    ag_check(!ag_recv(c, NULL));
    ag_unref(c);
}

AG_TEST_RUN(a_close_wakes_every_waiting_receiver) {
    for (int cap = 0; cap < 2; cap++) {
        ag_chan(int) c = ag_make(int, cap);
        atomic_int values[10];
        for (int i = 0; i < 10; i++) {
            atomic_init(&values[i], 0);
            until_waits_for(ag_go(recv_into, c, &values[i]), "chan receive");
        }
        ag_close(c);
        for (int i = 0; i < 10; i++)
            eventually(atomic_load(&values[i]) == -1);
        ag_unref(c);
    }
}

static void send_and_note_panic(ag_chan(int) c, atomic_int *panics) {
    ag_panic_info info;
    ag_check_int(ag_try(&info, send_one, c, 1), AG_PANICKED);
    ag_check_str(info.msg, "send on closed channel");
    atomic_fetch_add(panics, 1);
}

AG_TEST_RUN(a_close_makes_every_waiting_sender_panic) {
    for (int cap = 0; cap < 2; cap++) {
        ag_chan(int) c = ag_make(int, cap);
        atomic_int panics = 0;
        for (int i = 0; i < cap; i++)
            ag_send(c, 77);
        for (int i = 0; i < 10; i++)
            until_waits_for(ag_go(send_and_note_panic, c, &panics), "chan send");
        ag_close(c);
        eventually(atomic_load(&panics) == 10);
        int v = 0;
        for (int i = 0; i < cap; i++) /* the buffer is intact; nothing of the senders came in */
            ag_check(ag_recv(c, &v) && v == 77);
        ag_check(!ag_recv(c, &v));
        ag_unref(c);
    }
}

static void close_chan(ag_chan(int) c) {
    ag_close(c);
}

static void try_send_one(ag_chan(int) c) {
    ag_try_send(c, 1);
}

AG_TEST_RUN(misuse_of_closed_and_nil_channels_panics_with_the_words_of_go) {
    ag_chan(int) c = ag_make(int, 1), none = NULL;
    ag_panic_info info;
    ag_close(c);
    ag_check_int(ag_try(&info, send_one, c, 1), AG_PANICKED);
    ag_check_str(info.msg, "send on closed channel");
    ag_check_ptr(info.value, NULL);
    ag_check_int(ag_try(&info, try_send_one, c), AG_PANICKED);
    ag_check_str(info.msg, "send on closed channel");
    ag_check_int(ag_try(&info, close_chan, c), AG_PANICKED);
    ag_check_str(info.msg, "close of closed channel");
    ag_check_int(ag_try(&info, close_chan, none), AG_PANICKED);
    ag_check_str(info.msg, "close of nil channel");
    ag_unref(c);
}

static int main_sends_on_closed(void *arg) {
    ag_chan(int) c = ag_make(int, 1);
    (void)arg;
    ag_close(c);
    return ag_send(c, 1);
}

AG_TEST_DEATH(send_on_closed_channel_ends_the_process, 2,
              "panic: send on closed channel\n\ngoroutine 1 [running]:\n") {
    ag_run(main_sends_on_closed, NULL);
}

static int main_closes_twice(void *arg) {
    ag_chan(int) c = ag_make(int, 1);
    (void)arg;
    ag_close(c);
    ag_close(c);
    return 0;
}

AG_TEST_DEATH(close_of_closed_channel_ends_the_process, 2,
              "panic: close of closed channel\n\ngoroutine 1 [running]:\n") {
    ag_run(main_closes_twice, NULL);
}

static int main_closes_nil(void *arg) {
    ag_chan(int) c = NULL;
    (void)arg;
    ag_close(c);
    return 0;
}

AG_TEST_DEATH(close_of_nil_channel_ends_the_process, 2,
              "panic: close of nil channel\n\ngoroutine 1 [running]:\n") {
    ag_run(main_closes_nil, NULL);
}

/* ---- Nil channels --------------------------------------------------------------------------- */

AG_TEST_RUN(send_and_receive_on_a_nil_channel_wait_forever) {
    ag_chan(int) none = NULL;
    atomic_int touched = 0;
    int64_t sender = ag_go(send_then_flag, none, 1, &touched);
    int64_t receiver = ag_go(recv_into, none, &touched);
    until_waits_for(sender, "chan send (nil chan)");
    until_waits_for(receiver, "chan receive (nil chan)");
    ag_check_int(atomic_load(&touched), 0);
}

AG_TEST_RUN(try_on_a_nil_channel_never_waits) {
    ag_chan(int) none = NULL;
    int v = 5;
    ag_check(!ag_try_send(none, 1));
    ag_check_int(ag_try_recv(none, &v), -EAGAIN);
    ag_check_int(v, 5);
}

/* ---- Never waiting -------------------------------------------------------------------------- */

AG_TEST_RUN(try_send_and_try_recv_say_what_they_did) {
    ag_chan(int) c = ag_make(int, 1);
    int v = 5;
    ag_check_int(ag_try_recv(c, &v), -EAGAIN);
    ag_check_int(v, 5);
    ag_check(ag_try_send(c, 6));
    ag_check(!ag_try_send(c, 7));
    ag_check_int(ag_try_recv(c, &v), 1);
    ag_check_int(v, 6);
    ag_check_int(ag_try_recv(c, NULL), -EAGAIN);
    ag_unref(c);
}

AG_TEST_RUN(try_on_an_unbuffered_channel_needs_a_waiting_partner) {
    ag_chan(int) c = ag_make(int, 0);
    atomic_int value = 0, sent = 0;
    int v = 0;
    ag_check(!ag_try_send(c, 1));
    ag_check_int(ag_try_recv(c, &v), -EAGAIN);
    until_waits_for(ag_go(recv_into, c, &value), "chan receive");
    ag_check(ag_try_send(c, 8));
    ag_check(!ag_try_send(c, 9));
    eventually(atomic_load(&value) == 8);
    until_waits_for(ag_go(send_then_flag, c, 10, &sent), "chan send");
    ag_check_int(ag_try_recv(c, &v), 1);
    ag_check_int(v, 10);
    ag_check_int(ag_try_recv(c, &v), -EAGAIN);
    eventually(atomic_load(&sent) == 1);
    ag_unref(c);
}

/* ---- References ----------------------------------------------------------------------------- */

AG_TEST_RUN(ref_returns_its_argument_and_both_take_null) {
    ag_chan(int) c = ag_make(int, 1), none = NULL;
    ag_chan(int) same = ag_ref(c);
    ag_check_ptr(same, c);
    ag_check_ptr(ag_ref(none), NULL);
    ag_unref(NULL);
    ag_unref(none);
    ag_unref(c);
    ag_send(same, 3); /* one reference is left */
    int v = 0;
    ag_check(ag_recv(same, &v) && v == 3);
    ag_unref(same);
}

static void use_and_unref(ag_chan(int) c, ag_wg *wg) {
    for (int i = 0; i < 100; i++) {
        ag_try_send(c, i);
        ag_try_recv(c, NULL);
        ag_unref(ag_ref(c));
    }
    ag_unref(c);
    ag_wg_done(wg);
}

AG_TEST_RUN(the_last_of_many_goroutines_frees_the_channel) {
    for (int round = 0; round < 50 / ag_test_slow(); round++) {
        ag_chan(int) c = ag_make(int, 3);
        ag_wg wg = AG_WG_INIT;
        ag_wg_add(&wg, 8);
        for (int i = 0; i < 8; i++)
            ag_go(use_and_unref, ag_ref(c), &wg);
        ag_unref(c);
        ag_wg_wait(&wg);
    }
}

AG_TEST_RUN(a_channel_with_values_inside_can_be_dropped) {
    ag_chan(big) c = ag_make(big, 8);
    send_big(c, 1);
    send_big(c, 2);
    ag_unref(c);
}

/* ---- Memory order --------------------------------------------------------------------------- */

struct handover {
    ag_chan(int) c, back;
    int plain; /* no atomic: the channel orders it */
};

static void hand_over(struct handover *h, int rounds) {
    for (int i = 1; i <= rounds; i++) {
        h->plain = i;
        ag_send(h->c, i);
        ag_recv(h->back, NULL);
    }
}

AG_TEST_RUN(what_was_written_before_a_send_is_seen_after_the_receive) {
    int rounds = 5000 / ag_test_slow();
    for (int cap = 0; cap < 2; cap++) {
        struct handover h = {ag_make(int, cap), ag_make(int, cap), 0};
        ag_go(hand_over, &h, rounds);
        for (int i = 1; i <= rounds; i++) {
            ag_recv(h.c, NULL);
            ag_check_int(h.plain, i);
            ag_send(h.back, 0);
        }
        ag_unref(h.c);
        ag_unref(h.back);
    }
}

static void close_after_write(struct handover *h) {
    h->plain = 99;
    ag_close(h->c);
}

AG_TEST_RUN(what_was_written_before_a_close_is_seen_after_the_end) {
    struct handover h = {ag_make(int, 0), NULL, 0};
    ag_go(close_after_write, &h);
    ag_check(!ag_recv(h.c, NULL));
    ag_check_int(h.plain, 99);
    ag_unref(h.c);
}

static void fill_token(struct handover *h, int rounds, ag_wg *wg) {
    for (int i = 0; i < rounds; i++) {
        ag_send(h->c, 0); /* a channel of capacity 1 as a lock */
        h->plain++;
        ag_recv(h->c, NULL);
    }
    ag_wg_done(wg);
}

AG_TEST_RUN(a_channel_of_capacity_one_is_a_lock) {
    struct handover h = {ag_make(int, 1), NULL, 0};
    int rounds = 2000 / ag_test_slow();
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 4);
    for (int i = 0; i < 4; i++)
        ag_go(fill_token, &h, rounds, &wg);
    ag_wg_wait(&wg);
    ag_check_int(h.plain, 4 * rounds);
    ag_unref(h.c);
}

/* ---- Many ----------------------------------------------------------------------------------- */

static void produce(ag_chan(int) c, int from, int to, ag_wg *wg) {
    for (int i = from; i < to; i++)
        ag_send(c, i);
    ag_wg_done(wg);
}

static void consume(ag_chan(int) c, atomic_uchar *seen, ag_wg *wg) {
    int v;
    while (ag_recv(c, &v))
        atomic_fetch_add(&seen[v], 1);
    ag_wg_done(wg);
}

AG_TEST_RUN(every_value_arrives_exactly_once_with_many_on_both_sides) {
    enum { EACH = 500, SIDES = 8 };
    for (int cap = 0; cap <= 64; cap += 32) {
        static atomic_uchar seen[EACH * SIDES];
        ag_chan(int) c = ag_make(int, cap);
        ag_wg senders = AG_WG_INIT, receivers = AG_WG_INIT;
        for (int i = 0; i < EACH * SIDES; i++)
            atomic_init(&seen[i], 0);
        ag_wg_add(&senders, SIDES);
        ag_wg_add(&receivers, SIDES);
        for (int i = 0; i < SIDES; i++) {
            ag_go(consume, c, seen, &receivers);
            ag_go(produce, c, i * EACH, (i + 1) * EACH, &senders);
        }
        ag_wg_wait(&senders);
        ag_close(c);
        ag_wg_wait(&receivers);
        for (int i = 0; i < EACH * SIDES; i++)
            ag_check_int(atomic_load(&seen[i]), 1);
        ag_unref(c);
    }
}

static void pass_on(ag_chan(int) from, ag_chan(int) to) {
    int v;
    while (ag_recv(from, &v))
        ag_send(to, v + 1);
    ag_close(to);
}

AG_TEST_RUN(a_long_chain_of_goroutines_passes_values_and_the_end) {
    enum { LINKS = 1000 };
    ag_chan(int) first = ag_make(int, 0), at = first;
    for (int i = 0; i < LINKS; i++) {
        ag_chan(int) next = ag_make(int, 0);
        ag_go(pass_on, at, next);
        at = next;
    }
    for (int i = 0, v; i < 3; i++) {
        ag_send(first, i);
        ag_check(ag_recv(at, &v));
        ag_check_int(v, i + LINKS);
    }
    ag_close(first);
    ag_check(!ag_recv(at, NULL));
}
