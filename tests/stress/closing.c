/* SPDX-License-Identifier: MIT */
/*
 * Closing while everybody is at it: receivers, selects and senders in every state.
 */
#include "stress.h"

struct round {
    ag_chan(int) c, other;
    atomic_int sent, received, ends, panics;
    ag_wg wg;
};

static void receive_all(struct round *r) {
    while (ag_recv(r->c, NULL))
        atomic_fetch_add(&r->received, 1);
    atomic_fetch_add(&r->ends, 1);
    ag_wg_done(&r->wg);
}

static void select_all(struct round *r) {
    bool ok = true;
    while (ok) {
        int chosen =
            ag_select(AG_RECV_OK(r->c, NULL, &ok), AG_RECV(r->other, NULL), AG_AFTER(AG_MS));
        if (chosen != 0)
            ok = true;
        else if (ok)
            atomic_fetch_add(&r->received, 1);
    }
    atomic_fetch_add(&r->ends, 1);
    ag_wg_done(&r->wg);
}

static void send_all(struct round *r) {
    for (;;) {
        ag_send(r->c, 1);
        atomic_fetch_add(&r->sent, 1);
    }
}

static void select_send_all(struct round *r) {
    for (;;)
        if (ag_select(AG_SEND(r->c, 1), AG_RECV(r->other, NULL), AG_AFTER(AG_MS)) == 0)
            atomic_fetch_add(&r->sent, 1);
}

static void send_until_panic(struct round *r, int how) {
    ag_panic_info info;
    int status = how ? ag_try(&info, send_all, r) : ag_try(&info, select_send_all, r);
    ag_check_int(status, AG_PANICKED);
    ag_check_str(info.msg, "send on closed channel");
    atomic_fetch_add(&r->panics, 1);
    ag_wg_done(&r->wg);
}

static void one_round(int cap, int many, int after_us) {
    struct round r = {.c = ag_make(int, cap), .other = ag_make(int, 0)};
    ag_wg_add(&r.wg, 4 * many);
    for (int i = 0; i < many; i++) {
        ag_go(receive_all, &r);
        ag_go(send_until_panic, &r, 0);
        ag_go(select_all, &r);
        ag_go(send_until_panic, &r, 1);
    }
    if (after_us)
        ag_sleep(after_us * AG_US);
    ag_close(r.c);
    ag_wg_wait(&r.wg);
    ag_check_int(atomic_load(&r.ends), 2 * many);
    ag_check_int(atomic_load(&r.panics), 2 * many);
    ag_check_int(atomic_load(&r.sent), atomic_load(&r.received));
    ag_unref(r.c);
    ag_unref(r.other);
}

AG_TEST_RUN(a_close_in_the_middle_of_everything) {
    int rounds = scaled(300);
    for (int i = 0; i < rounds; i++)
        one_round(i % 3, 1 + i % 20, i % 7 * 100);
}

AG_TEST_RUN(a_close_among_thousands) {
    for (int i = 0; i < scaled(4); i++)
        one_round(i % 2, 500, 20000);
}

static void close_it(struct round *r) {
    ag_close(r->c);
}

static void close_race(struct round *r) {
    ag_panic_info info;
    if (ag_try(&info, close_it, r) == 0) {
        atomic_fetch_add(&r->ends, 1);
    } else {
        ag_check_str(info.msg, "close of closed channel");
        atomic_fetch_add(&r->panics, 1);
    }
    ag_wg_done(&r->wg);
}

AG_TEST_RUN(of_many_that_close_exactly_one_succeeds) {
    for (int i = 0; i < scaled(2000); i++) {
        struct round r = {.c = ag_make(int, 0)};
        ag_wg_add(&r.wg, 8);
        for (int k = 0; k < 8; k++)
            ag_go(close_race, &r);
        ag_wg_wait(&r.wg);
        ag_check_int(atomic_load(&r.ends), 1);
        ag_check_int(atomic_load(&r.panics), 7);
        ag_unref(r.c);
    }
}

static void wait_for_end(ag_chan(int) c, atomic_int *ended) {
    ag_check(!ag_recv(c, NULL));
    atomic_fetch_add(ended, 1);
    ag_unref(c);
}

AG_TEST_RUN(a_storm_of_closes_wakes_all) {
    enum { CHANS = 500, EACH = 20 };
    static ag_chan(int) chans[CHANS];
    const int count = live_at_most(CHANS * EACH) / EACH;
    for (int round = 0; round < scaled(10); round++) {
        atomic_int ended = 0;
        for (int i = 0; i < count; i++) {
            chans[i] = ag_make(int, 0);
            for (int k = 0; k < EACH; k++)
                ag_go(wait_for_end, ag_ref(chans[i]), &ended);
        }
        for (int i = 0; i < count; i++) {
            ag_close(chans[i]);
            ag_unref(chans[i]); /* the last waiter frees it */
        }
        eventually(atomic_load(&ended) == count * EACH);
    }
}
