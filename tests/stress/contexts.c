/* SPDX-License-Identifier: MIT */
/*
 * Contexts that end while many goroutines wait, are about to wait, have just been woken, come and
 * go. A lost cancel hangs here; one that hits the wrong wait breaks a sum.
 */
#include "stress.h"

/* ---- A large tree --------------------------------------------------------------------------- */

static ag_chan(int) never;

static void waits_somehow(int i, ag_wg *wg, atomic_int *ended) {
    int r = 0;
    switch (i) {
    case 0:
        r = ag_recv(never, NULL) ? 0 : ag_ctx_err(ag_ctx_current());
        break;
    case 1:
        r = ag_sleep(100 * AG_MIN);
        break;
    case 2:
        r = ag_select(AG_RECV(never, NULL), AG_AFTER(100 * AG_MIN));
        break;
    }
    if (r == -ECANCELED)
        atomic_fetch_add(ended, 1);
    ag_wg_done(wg);
}

static void starts_branch(ag_ctx *c, int count, ag_wg *wg, atomic_int *ended) {
    ag_ctx_enter(c);
    for (int i = 0; i < count; i++)
        ag_check(ag_go(waits_somehow, i % 3, wg, ended) > 0);
}

AG_TEST_RUN(a_tree_of_100000_goroutines_is_cancelled) {
    int branches = 100, each = live_at_most(scaled(100000)) / branches;
    ag_ctx *top = ag_ctx_with_cancel(NULL);
    ag_wg wg = AG_WG_INIT;
    atomic_int ended = 0;
    never = ag_make(int, 0);
    ag_wg_add(&wg, branches * each);
    for (int i = 0; i < branches; i++) {
        ag_ctx *c = ag_ctx_with_cancel(top);
        starts_branch(c, each, &wg, &ended);
        ag_unref(c);
    }
    ag_sleep(100 * AG_MS); /* most of them wait by now; the others find out at once */
    ag_time begin = ag_now();
    ag_ctx_cancel(top);
    ag_time cancelled = ag_now();
    ag_wg_wait(&wg);
    ag_time gone = ag_now();
    ag_check_int(ended, branches * each);
    printf("%d goroutines: cancel %lld us, all gone %lld us\n", branches * each,
           (long long)(cancelled - begin) / 1000, (long long)(gone - begin) / 1000);
    ag_unref(top);
    ag_unref(never);
}

AG_TEST_RUN(one_context_of_many_goroutines_times_out) {
    int n = live_at_most(scaled(50000));
    ag_wg wg = AG_WG_INIT;
    atomic_int ended = 0;
    never = ag_make(int, 0);
    ag_ctx *c = ag_ctx_with_timeout(NULL, AG_MIN), *below = ag_ctx_with_timeout(c, 300 * AG_MS);
    ag_wg_add(&wg, n);
    starts_branch(below, n, &wg, &ended);
    ag_wg_wait(&wg);
    ag_check_int(ended, 0); /* they were told -ETIMEDOUT */
    ag_check_int(ag_ctx_err(below), -ETIMEDOUT);
    ag_check_int(ag_ctx_err(c), 0);
    ag_unref(below);
    ag_unref(c);
    ag_unref(never);
}

/* ---- Cancel against everything else --------------------------------------------------------- */

struct traffic {
    ag_chan(int) c;
    atomic_long sent, received, cancelled;
    atomic_int stop;
    ag_ctx *_Atomic current; /* what the talkers use; replaced as it ends */
    ag_mutex mutex;
    ag_wg wg;
};

static ag_ctx *current_of(struct traffic *t) {
    ag_mutex_lock(&t->mutex);
    ag_ctx *c = ag_ref((ag_ctx *)t->current);
    ag_mutex_unlock(&t->mutex);
    return c;
}

static int talk_once(struct traffic *t, struct dice *d, bool sends) {
    int v = 1, r;
    if (sends)
        return roll(d, 2) ? ag_send(t->c, 1) : ag_select(AG_SEND(t->c, 1), AG_RECV(never, NULL));
    if (roll(d, 2))
        return ag_recv(t->c, &v) ? 0 : -1;
    r = ag_select(AG_RECV(t->c, &v), AG_RECV(never, NULL), AG_AFTER(AG_MIN));
    return r;
}

static void talker(struct traffic *t, uint64_t seed, bool sends) {
    struct dice d = {seed};
    while (!t->stop) {
        ag_ctx *c = current_of(t);
        ag_defer(ag_unref, c);
        ag_ctx_enter(c);
        ag_within(roll(&d, 8) ? AG_MIN : roll(&d, 50) * AG_US);
        for (int i = 0; i < 20; i++) {
            if (talk_once(t, &d, sends) == 0) {
                atomic_fetch_add(sends ? &t->sent : &t->received, 1);
            } else {
                atomic_fetch_add(&t->cancelled, 1);
                ag_yield(); /* nothing waits now, until there is another context */
                break;
            }
        }
    }
    ag_wg_done(&t->wg);
}

/* What was sent was received, whoever was cancelled meanwhile. */
static void run_traffic(int capacity, int talkers, int rounds) {
    struct traffic t = {.c = ag_make(int, capacity)};
    struct dice d = {(uint64_t)capacity + 5};
    never = ag_make(int, 0);
    t.current = ag_ctx_with_cancel(NULL);
    ag_wg_add(&t.wg, 2 * talkers);
    for (int i = 0; i < 2 * talkers; i++)
        ag_go(talker, &t, (uint64_t)i + 1, i % 2);
    for (int i = 0; i < rounds; i++) {
        ag_ctx *before = t.current;
        ag_sleep(roll(&d, 60) * AG_US);
        ag_ctx *after = roll(&d, 3) ? ag_ctx_with_cancel(NULL)
                                    : ag_ctx_with_timeout(NULL, roll(&d, 60) * AG_US);
        ag_mutex_lock(&t.mutex);
        t.current = after;
        ag_mutex_unlock(&t.mutex);
        ag_ctx_cancel(before);
        ag_unref(before);
    }
    t.stop = 1;
    ag_ctx_cancel(t.current);
    ag_wg_wait(&t.wg);
    long left = (long)ag_len(t.c);
    ag_check_int(t.sent, t.received + left);
    ag_check(t.cancelled > 0);
    ag_unref(t.current);
    ag_unref(t.c);
    ag_unref(never);
}

AG_TEST_RUN(cancel_races_with_an_unbuffered_channel) {
    run_traffic(0, 4, scaled(5000));
}

AG_TEST_RUN(cancel_races_with_a_buffered_channel) {
    run_traffic(3, 4, scaled(5000));
}

/* ---- Cancel at the moment of parking -------------------------------------------------------- */

struct race {
    ag_conn *conn;
    ag_chan(int) start, result;
    ag_ctx *_Atomic ctx;
    int kind;
};

static void waits_at_once(struct race *r) {
    char buf[1];
    for (int v; ag_recv(r->start, &v);) {
        int got;
        {
            ag_ctx_enter(r->ctx);
            burn_us(v % 3);
            got = r->kind == 0   ? ag_sleep(AG_MIN)
                  : r->kind == 1 ? (int)ag_read(r->conn, buf, 1)
                  : r->kind == 2 ? ag_fd_wait(v, AG_READABLE, 0)
                                 : ag_select(AG_RECV(never, NULL), AG_DONE(r->ctx));
        }
        ag_send(r->result, got);
    }
}

static void race(int kind, ag_conn *conn, int fd, int rounds) {
    struct race r = {conn, ag_make(int, 1), ag_make(int, 1), NULL, kind};
    struct dice d = {(uint64_t)kind + 1};
    int got;
    never = ag_make(int, 0);
    ag_go(waits_at_once, &r);
    for (int i = 0; i < rounds; i++) {
        ag_ctx *top = ag_ctx_with_cancel(NULL);
        r.ctx = i % 2 ? ag_ctx_with_cancel(top) : ag_ref(top);
        ag_send(r.start, fd);
        if (roll(&d, 2))
            burn_us((int)roll(&d, 4));
        else
            ag_yield();
        ag_ctx_cancel(top);
        ag_recv(r.result, &got);
        ag_check_int(got, kind == 3 ? 1 : -ECANCELED);
        ag_unref(r.ctx);
        ag_unref(top);
    }
    ag_close(r.start);
    eventually(ag_count() == 1);
    ag_unref(r.start);
    ag_unref(r.result);
    ag_unref(never);
}

AG_TEST_RUN(cancel_races_with_parking) {
    int ends[2];
    ag_listener *l;
    ag_conn *conn;
    ag_check_int(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    ag_check_int(ag_listen("tcp", "127.0.0.1:0", &l), 0);
    ag_check_int(ag_dial("tcp", ag_listener_addr(l), &conn), 0);
    for (int kind = 0; kind < 4; kind++)
        race(kind, conn, ends[0], scaled(20000));
    ag_unref(conn);
    ag_unref(l);
    close(ends[0]);
    close(ends[1]);
}

/* ---- Trees that grow, end and go at the same time ------------------------------------------- */

static void grows(ag_ctx *top, uint64_t seed, int rounds, ag_wg *wg) {
    struct dice d = {seed};
    for (int i = 0; i < rounds; i++) {
        ag_ctx *a = ag_ctx_with_timeout(top, roll(&d, 200) * AG_US);
        ag_ctx *b = ag_ctx_with_cancel(a);
        ag_ctx_call *call = ag_ctx_after(b, ag_wg_done, wg);
        if (roll(&d, 2))
            ag_ctx_cancel(roll(&d, 2) ? a : b);
        {
            ag_ctx_enter(b);
            ag_sleep(roll(&d, 100) * AG_US);
        }
        ag_ctx_cancel(b);
        ag_check(ag_ctx_err(b) != 0);
        ag_check_int(ag_try_recv(ag_ctx_done(b), NULL), 0);
        if (ag_ctx_call_stop(call)) /* who ends b has not come to it yet; now it won't run */
            ag_wg_done(wg);
        ag_unref(call);
        ag_unref(a);
        ag_unref(b);
    }
    ag_wg_done(wg);
}

AG_TEST_RUN(trees_grow_and_go_while_they_end) {
    ag_ctx *top = ag_ctx_with_cancel(NULL);
    ag_wg wg = AG_WG_INIT;
    int n = 8, rounds = scaled(3000);
    ag_wg_add(&wg, n + n * rounds); /* each round's call counts */
    for (int i = 0; i < n; i++)
        ag_go(grows, top, (uint64_t)i + 1, rounds, &wg);
    ag_wg_wait(&wg);
    ag_check_int(ag_ctx_err(top), 0);
    ag_unref(top);
}

static void ends_below(ag_ctx *top, ag_wg *wg) {
    ag_ctx *c[20];
    for (int i = 0; i < 20; i++)
        c[i] = ag_ctx_with_cancel(i % 3 ? c[i - 1] : top);
    ag_yield();
    for (int i = 0; i < 20; i++) {
        ag_recv(ag_ctx_done(c[i]), NULL);
        ag_check_int(ag_ctx_err(c[i]), -ECANCELED);
        ag_unref(c[i]);
    }
    ag_wg_done(wg);
}

static void *cancels(void *c) {
    ag_ctx_cancel(c);
    ag_check_int(ag_ctx_err(c), -ECANCELED);
    return NULL;
}

AG_TEST_RUN(several_threads_cancel_one_tree) {
    for (int i = 0; i < scaled(200); i++) {
        ag_ctx *top = ag_ctx_with_cancel(NULL);
        pthread_t threads[3];
        ag_wg wg = AG_WG_INIT;
        ag_wg_add(&wg, 10);
        for (int k = 0; k < 10; k++)
            ag_go(ends_below, top, &wg);
        ag_yield();
        for (int k = 0; k < 3; k++)
            ag_check_int(pthread_create(&threads[k], NULL, cancels, top), 0);
        ag_wg_wait(&wg);
        for (int k = 0; k < 3; k++)
            pthread_join(threads[k], NULL);
        ag_unref(top);
    }
}
