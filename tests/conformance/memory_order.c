/* SPDX-License-Identifier: MIT */
/*
 * Go's memory model: what happens before what. In each test one goroutine writes plain variables
 * and another one reads them, with nothing between them but the promise under test; so a wrong
 * value fails the test anywhere, and a missing edge fails it under the thread sanitizer.
 */
#include "common.h"

enum { ROUNDS = 300 };

static int plain, plain_too; /* never atomic, never locked */

static int rounds(void) {
    return ROUNDS / ag_test_slow() + 10;
}

/* ---- Goroutines ----------------------------------------------------------------------------- */

static void check_plain(int expected, ag_wg *wg) {
    ag_check_int(plain, expected);
    ag_wg_done(wg);
}

AG_TEST_RUN(the_go_statement_happens_before_the_goroutine) {
    for (int i = 0; i < rounds(); i++) {
        ag_wg wg = AG_WG_INIT;
        ag_wg_add(&wg, 1);
        plain = i;
        ag_go(check_plain, i, &wg);
        ag_wg_wait(&wg);
    }
}

static void write_plain(int v, ag_wg *wg) {
    plain = v;
    ag_wg_done(wg);
}

AG_TEST_RUN(done_happens_before_the_wait_that_it_ends) {
    for (int i = 0; i < rounds(); i++) {
        ag_wg wg = AG_WG_INIT;
        ag_wg_add(&wg, 1);
        ag_go(write_plain, i, &wg);
        ag_wg_wait(&wg);
        ag_check_int(plain, i);
    }
}

static void set_plain(int v) {
    plain = v;
}

AG_TEST_RUN(the_return_of_a_function_of_wg_go_happens_before_the_wait) {
    for (int i = 0; i < rounds(); i++) {
        ag_wg wg = AG_WG_INIT;
        ag_wg_go(&wg, set_plain, i);
        ag_wg_wait(&wg);
        ag_check_int(plain, i);
    }
}

/* ---- Channels ------------------------------------------------------------------------------- */

static void write_then_send(ag_chan(int) c, int v) {
    plain = v;
    ag_send(c, 1);
}

static void write_then_close(ag_chan(int) c, int v) {
    plain = v;
    ag_close(c);
}

static void write_then_receive(ag_chan(int) c, int v) {
    plain = v;
    ag_recv(c, NULL);
}

static void write_then_select(ag_chan(int) c, int v) {
    plain = v;
    ag_select(AG_SEND(c, 1), AG_RECV((ag_chan(int))NULL, NULL));
}

AG_TEST_RUN(a_send_happens_before_the_receive_completes) {
    for (int cap = 0; cap < 3; cap++)
        for (int i = 0; i < rounds(); i++) {
            ag_chan(int) c = ag_make(int, cap);
            ag_go(write_then_send, c, i);
            ag_recv(c, NULL);
            ag_check_int(plain, i);
            ag_unref(c);
        }
}

AG_TEST_RUN(a_send_by_select_happens_before_a_receive_by_select) {
    for (int cap = 0; cap < 2; cap++)
        for (int i = 0; i < rounds(); i++) {
            ag_chan(int) c = ag_make(int, cap), other = ag_make(int, 0);
            ag_go(write_then_select, c, i);
            ag_check_int(ag_select(AG_RECV(other, NULL), AG_RECV(c, NULL)), 1);
            ag_check_int(plain, i);
            ag_unref(c);
            ag_unref(other);
        }
}

AG_TEST_RUN(a_send_happens_before_a_try_that_takes_it) {
    for (int i = 0; i < rounds(); i++) {
        ag_chan(int) c = ag_make(int, 1);
        ag_go(write_then_send, c, i);
        while (ag_try_recv(c, NULL) != 1)
            ag_yield();
        ag_check_int(plain, i);
        ag_unref(c);
    }
}

AG_TEST_RUN(a_close_happens_before_the_receive_that_tells_it) {
    for (int i = 0; i < rounds(); i++) {
        ag_chan(int) c = ag_make(int, 0);
        ag_go(write_then_close, c, i);
        ag_check(!ag_recv(c, NULL));
        ag_check_int(plain, i);
        ag_unref(c);
    }
}

AG_TEST_RUN(a_receive_from_an_unbuffered_channel_happens_before_the_send_completes) {
    for (int i = 0; i < rounds(); i++) {
        ag_chan(int) c = ag_make(int, 0);
        ag_go(write_then_receive, c, i);
        ag_send(c, 1);
        ag_check_int(plain, i);
        ag_unref(c);
    }
}

static void write_then_receive_one(ag_chan(int) c, int *at, int v) {
    *at = v;
    ag_recv(c, NULL);
}

/* The k-th receive happens before the (k + C)-th send completes: the 1st before the 3rd of C = 2.
 */
AG_TEST_RUN(a_receive_happens_before_the_send_that_takes_its_place_in_the_buffer) {
    for (int i = 0; i < rounds(); i++) {
        ag_chan(int) c = ag_make(int, 2);
        ag_send(c, 1);
        ag_send(c, 2);
        ag_go(write_then_receive_one, c, &plain, i);
        ag_send(c, 3);
        ag_check_int(plain, i);
        ag_unref(c);
    }
}

static void count_inside(ag_chan(int) places, int inside[3], ag_wg *wg) {
    for (int i = 0; i < 50; i++) {
        ag_send(places, 1);
        inside[0]++; /* alone in here, if the edge is there */
        ag_recv(places, NULL);
    }
    ag_wg_done(wg);
}

AG_TEST_RUN(a_channel_of_capacity_one_guards_plain_variables) {
    ag_chan(int) places = ag_make(int, 1);
    int inside[3] = {0};
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 6);
    for (int i = 0; i < 6; i++)
        ag_go(count_inside, places, inside, &wg);
    ag_wg_wait(&wg);
    ag_check_int(inside[0], 300);
    ag_unref(places);
}

static void pass_on(ag_chan(int) in, ag_chan(int) out) {
    ag_recv(in, NULL);
    plain_too = plain + 1;
    ag_send(out, 1);
}

AG_TEST_RUN(the_order_is_handed_on_by_a_third) {
    for (int i = 0; i < rounds(); i++) {
        ag_chan(int) a = ag_make(int, i % 2), b = ag_make(int, 0);
        ag_go(pass_on, a, b);
        ag_go(write_then_send, a, i);
        ag_recv(b, NULL);
        ag_check_int(plain, i);
        ag_check_int(plain_too, i + 1);
        ag_unref(a);
        ag_unref(b);
    }
}

/* ---- Locks ---------------------------------------------------------------------------------- */

struct guarded {
    ag_mutex mutex;
    ag_rwmutex rw;
    ag_once once;
    ag_cond cond;
    ag_sem sem;
    ag_pool pool;
    int a, b; /* equal whenever nobody is inside */
    bool ready;
};

static void change_in_mutex(struct guarded *s, int n) {
    for (int i = 0; i < n; i++) {
        ag_mutex_lock(&s->mutex);
        ag_check_int(s->a, s->b);
        s->a++;
        s->b++;
        ag_mutex_unlock(&s->mutex);
    }
}

static void try_in_mutex(struct guarded *s, int n) {
    for (int i = 0; i < n;)
        if (ag_mutex_try_lock(&s->mutex)) {
            ag_check_int(s->a, s->b);
            s->a++;
            s->b++;
            ag_mutex_unlock(&s->mutex);
            i++;
        } else {
            ag_yield();
        }
}

AG_TEST_RUN(an_unlock_happens_before_the_next_lock_or_try) {
    static struct guarded s;
    const int n = rounds();
    ag_wg wg = AG_WG_INIT;
    for (int i = 0; i < 4; i++) {
        ag_wg_go(&wg, change_in_mutex, &s, n);
        ag_wg_go(&wg, try_in_mutex, &s, n);
    }
    ag_wg_wait(&wg);
    ag_check_int(s.a, 8 * n);
}

static void read_in_rwmutex(struct guarded *s, int n) {
    for (int i = 0; i < n; i++) {
        ag_rwmutex_rlock(&s->rw);
        ag_check_int(s->a, s->b);
        ag_rwmutex_runlock(&s->rw);
    }
}

static void write_in_rwmutex(struct guarded *s, int n) {
    for (int i = 0; i < n; i++) {
        ag_rwmutex_lock(&s->rw);
        s->a++;
        s->b++;
        ag_rwmutex_unlock(&s->rw);
    }
}

AG_TEST_RUN(readers_see_what_writers_wrote_and_writers_wait_for_what_readers_read) {
    static struct guarded s;
    const int n = rounds();
    ag_wg wg = AG_WG_INIT;
    for (int i = 0; i < 3; i++) {
        ag_wg_go(&wg, read_in_rwmutex, &s, 2 * n);
        ag_wg_go(&wg, write_in_rwmutex, &s, n);
    }
    ag_wg_wait(&wg);
    ag_check_int(s.a, 3 * n);
}

static void set_up(struct guarded *s) {
    s->a = s->b = 7;
}

static void use_after_once(struct guarded *s) {
    ag_once_do(&s->once, set_up, s);
    ag_check_int(s->a, 7);
}

AG_TEST_RUN(what_once_ran_happens_before_every_call_of_once_returns) {
    for (int i = 0; i < rounds(); i++) {
        struct guarded s;
        memset(&s, 0, sizeof s);
        ag_wg wg = AG_WG_INIT;
        for (int k = 0; k < 4; k++)
            ag_wg_go(&wg, use_after_once, &s);
        ag_wg_wait(&wg);
    }
}

static void get_ready(struct guarded *s, int v) {
    ag_mutex_lock(&s->mutex);
    s->ready = true;
    s->a = v;
    ag_mutex_unlock(&s->mutex);
    ag_cond_signal(&s->cond);
}

AG_TEST_RUN(what_changed_before_a_signal_is_seen_after_the_wait) {
    static struct guarded s;
    for (int i = 0; i < rounds(); i++) {
        ag_mutex_lock(&s.mutex);
        s.ready = false;
        ag_go(get_ready, &s, i);
        while (!s.ready)
            ag_cond_wait(&s.cond, &s.mutex);
        ag_check_int(s.a, i);
        ag_mutex_unlock(&s.mutex);
    }
}

static void write_then_release(struct guarded *s, int v) {
    s->a = v;
    ag_sem_release(&s->sem, 1);
}

AG_TEST_RUN(a_release_happens_before_the_acquire_that_it_lets_go_on) {
    static struct guarded s;
    ag_sem_init(&s.sem, 1);
    ag_sem_acquire(&s.sem, 1);
    for (int i = 0; i < rounds(); i++) {
        ag_go(write_then_release, &s, i);
        ag_sem_acquire(&s.sem, 1);
        ag_check_int(s.a, i);
    }
}

static void put_pair(struct guarded *s, int v) {
    int *pair = malloc(2 * sizeof *pair);
    pair[0] = pair[1] = v;
    ag_pool_put(&s->pool, pair);
}

AG_TEST_RUN(a_put_happens_before_the_get_that_returns_it) {
    static struct guarded s;
    for (int i = 0; i < rounds(); i++) {
        ag_go(put_pair, &s, i);
        int *pair = ag_pool_get(&s.pool);
        if (pair)
            ag_check_int(pair[0], pair[1]);
        free(pair);
    }
    eventually(ag_count() == 1);
    for (int *pair; (pair = ag_pool_get(&s.pool)) != NULL;)
        free(pair);
    ag_pool_done(&s.pool);
}

/* ---- Contexts and timers -------------------------------------------------------------------- */

static void write_then_cancel(ag_ctx *c, int v) {
    plain = v;
    ag_ctx_cancel(c);
}

static void wait_in(ag_ctx *c) {
    ag_ctx_enter(c);
    ag_check(!ag_recv((ag_chan(int))NULL, NULL));
    ag_check_int(ag_sleep(AG_MIN), -ECANCELED);
}

AG_TEST_RUN(a_cancel_happens_before_whatever_tells_of_it) {
    for (int i = 0; i < rounds(); i++) {
        ag_ctx *c = ag_ctx_with_cancel(NULL), *below = ag_ctx_with_cancel(c);
        ag_go(write_then_cancel, c, i);
        if (i % 4 == 0)
            ag_recv(ag_ctx_done(below), NULL);
        else if (i % 4 == 1)
            ag_check_int(ag_select(AG_DONE(below)), 0);
        else if (i % 4 == 2)
            wait_in(below);
        else
            while (ag_ctx_err(below) == 0)
                ag_yield();
        ag_check_int(plain, i);
        eventually(ag_count() == 1); /* it still uses c */
        ag_unref(below);
        ag_unref(c);
    }
}

AG_TEST_RUN(starting_a_timer_happens_before_its_function) {
    for (int i = 0; i < rounds() / 4; i++) {
        ag_wg wg = AG_WG_INIT;
        ag_wg_add(&wg, 1);
        plain = i;
        ag_unref(ag_timer_start(10 * AG_US, check_plain, i, &wg));
        ag_wg_wait(&wg);
    }
}

AG_TEST_RUN(asking_for_a_call_after_a_context_happens_before_the_call) {
    for (int i = 0; i < rounds() / 4; i++) {
        ag_wg wg = AG_WG_INIT;
        ag_ctx *c = ag_ctx_with_cancel(NULL);
        ag_wg_add(&wg, 1);
        plain = i;
        ag_unref(ag_ctx_after(c, check_plain, i, &wg));
        ag_ctx_cancel(c);
        ag_wg_wait(&wg);
        ag_unref(c);
    }
}
