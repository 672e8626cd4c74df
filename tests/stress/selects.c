/* SPDX-License-Identifier: MIT */
/*
 * Select among thousands of goroutines: every value sent is received once, whoever wins; a case
 * that lost leaves nothing behind; time-outs race with values.
 */
#include "stress.h"

enum { CHANNELS = 8 };

struct market {
    ag_chan(int64_t) chans[CHANNELS];
    atomic_llong sent, received;
    atomic_int timeouts, defaults;
    ag_wg wg;
    ag_chan(int) stop;
};

static void open_market(struct market *m) {
    memset(m, 0, sizeof *m);
    for (int i = 0; i < CHANNELS; i++)
        m->chans[i] = ag_make(int64_t, i % 4);
    m->stop = ag_make(int, 0);
}

/* What is still buffered counts as received; then both sums must agree. */
static void close_market(struct market *m) {
    for (int i = 0; i < CHANNELS; i++) {
        for (int64_t v; ag_try_recv(m->chans[i], &v) == 1;)
            atomic_fetch_add(&m->received, v);
        ag_check(!ag_try_send(m->chans[i], 1) || ag_cap(m->chans[i]) > 0);
        ag_unref(m->chans[i]);
    }
    ag_unref(m->stop);
    ag_check_int(atomic_load(&m->sent), atomic_load(&m->received));
}

/* Sends on one and receives from two others, whatever comes first, until `stop` closes. */
static void trade(struct market *m, int seed) {
    struct dice d = {(uint64_t)seed};
    long long sent = 0, received = 0;
    for (;;) {
        int64_t v = (int64_t)roll(&d, 1000) + 1, in = 0, in2 = 0;
        ag_chan(int64_t) out = m->chans[roll(&d, CHANNELS)];
        int chosen = ag_select(AG_RECV(m->stop, NULL), AG_SEND(out, v),
                               AG_RECV(m->chans[roll(&d, CHANNELS)], &in),
                               AG_RECV(m->chans[roll(&d, CHANNELS)], &in2));
        if (chosen == 0)
            break;
        sent += chosen == 1 ? v : 0;
        received += chosen == 2 ? in : chosen == 3 ? in2 : 0;
    }
    atomic_fetch_add(&m->sent, sent);
    atomic_fetch_add(&m->received, received);
    ag_wg_done(&m->wg);
}

AG_TEST_RUN(thousands_select_over_the_same_channels) {
    static struct market m;
    int traders = 2000;
    open_market(&m);
    ag_wg_add(&m.wg, traders);
    for (int i = 0; i < traders; i++)
        ag_go(trade, &m, i + 1);
    ag_sleep(scaled(1500) * AG_MS);
    ag_close(m.stop);
    ag_wg_wait(&m.wg);
    ag_check(atomic_load(&m.sent) > 0);
    close_market(&m);
}

/* As trade, with time-outs of about the time that a value takes, and now and then a default. */
static void trade_in_haste(struct market *m, int seed, int rounds) {
    struct dice d = {(uint64_t)seed};
    long long sent = 0, received = 0;
    for (int i = 0; i < rounds; i++) {
        int64_t v = (int64_t)roll(&d, 1000) + 1, in = 0;
        ag_chan(int64_t) out = m->chans[roll(&d, CHANNELS)], from = m->chans[roll(&d, CHANNELS)];
        int chosen;
        if (roll(&d, 8) == 0) {
            chosen = ag_select(AG_SEND(out, v), AG_RECV(from, &in), AG_DEFAULT);
            if (chosen == 2)
                atomic_fetch_add(&m->defaults, 1);
        } else {
            chosen = ag_select(AG_SEND(out, v), AG_RECV(from, &in), AG_AFTER(roll(&d, 30) * AG_US));
            if (chosen == 2)
                atomic_fetch_add(&m->timeouts, 1);
        }
        sent += chosen == 0 ? v : 0;
        received += chosen == 1 ? in : 0;
    }
    atomic_fetch_add(&m->sent, sent);
    atomic_fetch_add(&m->received, received);
    ag_wg_done(&m->wg);
}

AG_TEST_RUN(time_outs_race_with_values) {
    static struct market m;
    int traders = 300;
    open_market(&m);
    ag_wg_add(&m.wg, traders);
    for (int i = 0; i < traders; i++)
        ag_go(trade_in_haste, &m, i + 1, scaled(1000));
    ag_wg_wait(&m.wg);
    close_market(&m);
}

struct pair {
    ag_chan(int) c;
    atomic_int sent, received;
    ag_wg wg;
};

static void send_or_time_out(struct pair *p, int rounds, int seed) {
    struct dice d = {(uint64_t)seed};
    for (int i = 0; i < rounds; i++)
        if (ag_select(AG_SEND(p->c, i), AG_AFTER(roll(&d, 20) * AG_US)) == 0)
            atomic_fetch_add(&p->sent, 1);
    ag_wg_done(&p->wg);
}

static void recv_or_time_out(struct pair *p, int rounds, int seed) {
    struct dice d = {(uint64_t)seed};
    for (int i = 0; i < rounds; i++)
        if (ag_select(AG_AFTER(roll(&d, 20) * AG_US), AG_RECV(p->c, NULL)) == 1)
            atomic_fetch_add(&p->received, 1);
    ag_wg_done(&p->wg);
}

AG_TEST_RUN(both_ends_of_a_rendezvous_may_time_out) {
    static struct pair pairs[50];
    for (int i = 0; i < 50; i++) {
        pairs[i].c = ag_make(int, 0);
        ag_wg_add(&pairs[i].wg, 2);
        ag_go(send_or_time_out, &pairs[i], scaled(3000), i);
        ag_go(recv_or_time_out, &pairs[i], scaled(3000), i + 1000);
    }
    for (int i = 0; i < 50; i++) {
        ag_wg_wait(&pairs[i].wg);
        ag_check_int(atomic_load(&pairs[i].sent), atomic_load(&pairs[i].received));
        ag_unref(pairs[i].c);
    }
}

static void meet(ag_chan(int) a, ag_chan(int) b, int me, int rounds, atomic_llong *balance,
                 ag_wg *wg) {
    long long mine = 0;
    for (int i = 0; i < rounds; i++) {
        int x = 0, y = 0;
        switch (ag_select(AG_SEND(a, me), AG_RECV(b, &x), AG_SEND(b, me), AG_RECV(a, &y))) {
        case 0:
        case 2:
            mine -= me;
            break;
        case 1:
            mine += x;
            break;
        default:
            mine += y;
        }
    }
    atomic_fetch_add(balance, mine);
    ag_wg_done(wg);
}

AG_TEST_RUN(selects_meet_selects_on_both_sides_of_both_channels) {
    ag_chan(int) a = ag_make(int, 0), b = ag_make(int, 0);
    atomic_llong balance = 0;
    ag_wg wg = AG_WG_INIT;
    int many = 100, rounds = scaled(2000);
    ag_wg_add(&wg, many);
    for (int i = 0; i < many; i++)
        ag_go(meet, a, b, i + 1, rounds, &balance, &wg);
    /* The last one may be alone with rounds left: meet it until all are done. */
    atomic_llong extra = 0;
    while (ag_count() > 1) {
        int x = 0;
        int chosen = ag_select(AG_RECV(a, &x), AG_RECV(b, &x), AG_AFTER(AG_MS));
        if (chosen < 2)
            atomic_fetch_add(&extra, x);
    }
    ag_wg_wait(&wg);
    ag_check_int(atomic_load(&balance) + atomic_load(&extra), 0);
    ag_unref(a);
    ag_unref(b);
}

static void wait_on_many(ag_chan(int) * chans, size_t n, atomic_int *got, ag_wg *wg) {
    ag_case cases[64];
    int v = 0;
    for (size_t i = 0; i < n; i++)
        cases[i] = (ag_case)AG_RECV(chans[i], &v);
    for (;;) {
        bool ok = false;
        cases[0] = (ag_case)AG_RECV_OK(chans[0], &v, &ok);
        int chosen = ag_select_n(cases, n);
        if (chosen == 0 && !ok)
            break;
        atomic_fetch_add(got, v);
    }
    ag_wg_done(wg);
}

AG_TEST_RUN(hundreds_wait_on_the_same_sixty_four_channels) {
    ag_chan(int) chans[64];
    atomic_int got = 0;
    ag_wg wg = AG_WG_INIT;
    int waiters = 200, sends = scaled(20000);
    for (int i = 0; i < 64; i++)
        chans[i] = ag_make(int, 0);
    ag_wg_add(&wg, waiters);
    for (int i = 0; i < waiters; i++)
        ag_go(wait_on_many, chans, (size_t)64, &got, &wg);
    for (int i = 0; i < sends; i++)
        ag_send(chans[1 + i % 63], 1);
    ag_close(chans[0]);
    ag_wg_wait(&wg);
    ag_check_int(atomic_load(&got), sends);
    for (int i = 0; i < 64; i++) {
        ag_check(i == 0 || !ag_try_send(chans[i], 1));
        ag_unref(chans[i]);
    }
}
