/* SPDX-License-Identifier: MIT */
/*
 * What Go's tests of package context look at: trees of contexts of all kinds, ended from anywhere,
 * in any order, at the same time; errors and causes for each way to end; calls after the end.
 */
#include "common.h"

static bool is_done(ag_ctx *c) {
    return ag_try_recv(ag_ctx_done(c), NULL) == 0;
}

static void check_alive(ag_ctx *c) {
    ag_check(!is_done(c));
    ag_check_int(ag_ctx_err(c), 0);
    ag_check_int(ag_ctx_cause(c), 0);
}

static void check_ended(ag_ctx *c, int err, int cause) {
    ag_check_int(ag_ctx_err(c), err);
    ag_check(is_done(c));
    ag_check_int(ag_ctx_cause(c), cause);
}

static void set_flag(atomic_int *flag) {
    atomic_fetch_add(flag, 1);
}

/* ---- Parents and children ------------------------------------------------------------------- */

AG_TEST_RUN(a_cancel_ends_children_of_every_kind_before_it_returns) {
    static const int key;
    atomic_int called = 0;
    ag_ctx *parent = ag_ctx_with_cancel(NULL);
    ag_ctx *plain = ag_ctx_with_cancel(parent), *valued = ag_ctx_with_value(parent, &key, "v");
    ag_ctx *timed = ag_ctx_with_timeout(valued, AG_MIN);
    ag_unref(ag_ctx_after(parent, set_flag, &called));
    ag_ctx *all[] = {parent, plain, valued, timed};
    for (size_t i = 0; i < COUNT(all); i++)
        check_alive(all[i]);
    ag_ctx_cancel(parent);
    for (size_t i = 0; i < COUNT(all); i++)
        check_ended(all[i], -ECANCELED, -ECANCELED);
    eventually(atomic_load(&called) == 1);
    ag_ctx *late = ag_ctx_with_value(parent, &key, "late");
    check_ended(late, -ECANCELED, -ECANCELED);
    ag_check_str(ag_ctx_value(late, &key), "late");
    ag_unref(late);
    for (size_t i = 0; i < COUNT(all); i++)
        ag_unref(all[i]);
}

AG_TEST_RUN(a_child_that_ends_first_leaves_its_parent_and_its_sisters_alone) {
    ag_ctx *parents[] = {ag_ctx_background(), ag_ctx_with_cancel(NULL)};
    for (size_t i = 0; i < COUNT(parents); i++) {
        ag_ctx *child = ag_ctx_with_cancel(parents[i]), *sister = ag_ctx_with_cancel(parents[i]);
        ag_ctx_cancel(child);
        check_ended(child, -ECANCELED, -ECANCELED);
        check_alive(sister);
        ag_check_int(ag_ctx_err(parents[i]), 0);
        ag_unref(child);
        ag_unref(sister);
    }
    ag_unref(parents[1]);
}

static int64_t memory_of_children(ag_ctx *parent, int n) {
    for (int i = 0; i < n; i++) {
        ag_ctx *c = ag_ctx_with_timeout(parent, AG_MIN);
        ag_ctx_call *call = ag_ctx_after(parent, abort);
        ag_ctx_cancel(c);
        ag_check(ag_ctx_call_stop(call));
        ag_unref(call);
        ag_unref(c);
    }
    return n;
}

/* A parent that lives on would keep each of them: then this takes hundreds of megabytes, and its
 * own cancel would run all the calls. */
AG_TEST_RUN(children_and_calls_that_are_over_are_taken_out_of_their_parent) {
    ag_ctx *parent = ag_ctx_with_cancel(NULL);
    const int n = 300000 / ag_test_slow();
    ag_check_int(memory_of_children(parent, n), n);
    ag_ctx_cancel(parent);
    ag_unref(parent);
}

static void cancel_it(ag_ctx *c, ag_wg *wg) {
    ag_ctx_cancel(c);
    ag_wg_done(wg);
}

AG_TEST_RUN(all_contexts_of_a_tree_may_be_cancelled_at_the_same_time) {
    enum { N = 100 };
    for (int round = 0; round < 20 / ag_test_slow() + 2; round++) {
        ag_ctx *tree[N];
        ag_wg wg = AG_WG_INIT;
        tree[0] = ag_ctx_with_cancel(NULL);
        for (int i = 1; i < N; i++)
            tree[i] = ag_ctx_with_cancel(tree[(i - 1) / 4]);
        ag_wg_add(&wg, N);
        for (int i = 0; i < N; i++)
            ag_go(cancel_it, tree[(i * 37 + round) % N], &wg);
        for (int i = 0; i < N; i++)
            ag_recv(ag_ctx_done(tree[(i * 61) % N]), NULL);
        ag_wg_wait(&wg);
        for (int i = 0; i < N; i++) {
            check_ended(tree[i], -ECANCELED, -ECANCELED);
            ag_unref(tree[i]);
        }
    }
}

static void cancel_child_after_parent(ag_ctx *parent, ag_ctx *child, ag_wg *wg) {
    ag_recv(ag_ctx_done(parent), NULL);
    ag_ctx_cancel(child);
    ag_wg_done(wg);
}

AG_TEST_RUN(a_child_may_be_cancelled_while_its_parent_is) {
    for (int i = 0; i < 200 / ag_test_slow(); i++) {
        ag_ctx *parent = ag_ctx_with_cancel(NULL), *child = ag_ctx_with_cancel(parent);
        ag_wg wg = AG_WG_INIT;
        ag_wg_add(&wg, 1);
        ag_go(cancel_child_after_parent, parent, child, &wg);
        ag_ctx_cancel_cause(parent, -EPIPE);
        ag_recv(ag_ctx_done(child), NULL);
        ag_wg_wait(&wg);
        ag_unref(child);
        ag_unref(parent);
    }
}

static void cancel_for(ag_ctx *c, int cause, ag_wg *wg) {
    ag_ctx_cancel_cause(c, cause);
    ag_wg_done(wg);
}

AG_TEST_RUN(a_child_born_while_its_parent_is_cancelled_ends_with_the_same_cause) {
    for (int i = 0; i < 300 / ag_test_slow(); i++) {
        ag_ctx *parent = ag_ctx_with_cancel(NULL);
        ag_wg wg = AG_WG_INIT;
        ag_wg_add(&wg, 1);
        ag_go(cancel_for, parent, -EIO, &wg);
        ag_ctx *child = ag_ctx_with_cancel(parent);
        ag_recv(ag_ctx_done(child), NULL);
        check_ended(child, -ECANCELED, -EIO);
        ag_wg_wait(&wg);
        ag_unref(child);
        ag_unref(parent);
    }
}

struct watched {
    ag_ctx *_Atomic now; /* whom to watch; NULL: the next one comes */
    atomic_bool over;
};

/* Looks at one context after the other, without a pause, until it tells an error. */
static void *watch(void *arg) {
    struct watched *w = arg;
    while (!atomic_load(&w->over)) {
        ag_ctx *c = atomic_load(&w->now);
        if (!c)
            continue;
        ag_chan(char) done = ag_ctx_done(c);
        while (ag_ctx_err(c) == 0)
            continue;
        ag_check_int(ag_try_recv(done, NULL), 0);
        atomic_store(&w->now, (ag_ctx *)NULL);
    }
    return NULL;
}

/* Go's documentation of Err: nil as long as Done is not closed. */
AG_TEST_RUN(an_error_is_told_only_when_the_channel_is_closed) {
    static struct watched w;
    pthread_t thread;
    ag_check_int(pthread_create(&thread, NULL, watch, &w), 0);
    for (int i = 0; i < 5000 / ag_test_slow(); i++) {
        ag_ctx *c = i % 2 ? ag_ctx_with_cancel(NULL) : ag_ctx_with_timeout(NULL, AG_MIN);
        atomic_store(&w.now, c);
        for (int spin = i % 100 * 10; spin > 0; spin--)
            ag_check(atomic_load(&w.now) == c);
        ag_ctx_cancel(c);
        while (atomic_load(&w.now))
            ag_yield();
        ag_unref(c);
    }
    atomic_store(&w.over, true);
    pthread_join(thread, NULL);
}

AG_TEST_RUN(a_cause_is_the_one_that_was_given_from_its_first_moment) {
    for (int i = 0; i < 500 / ag_test_slow(); i++) {
        ag_ctx *c = ag_ctx_with_cancel(NULL);
        ag_wg wg = AG_WG_INIT;
        int cause;
        ag_wg_add(&wg, 1);
        ag_go(cancel_for, c, -EPROTO, &wg);
        while ((cause = ag_ctx_cause(c)) == 0)
            ag_yield();
        ag_check_int(cause, -EPROTO);
        ag_wg_wait(&wg);
        ag_unref(c);
    }
}

/* ---- Layers --------------------------------------------------------------------------------- */

static unsigned next_random(unsigned *seed) {
    return *seed = *seed * 1103515245u + 12345u, *seed >> 16;
}

/* Thirty layers of values, cancels and timeouts; ended from a layer, or by the time. */
static void check_layers(unsigned seed, bool by_time) {
    enum { LAYERS = 30 };
    ag_ctx *layer[LAYERS + 2];
    char values[LAYERS + 2];
    int kinds[LAYERS + 2], last_cancel = 0;
    layer[0] = ag_ctx_with_cancel(NULL);
    kinds[0] = 1;
    for (int i = 1; i <= LAYERS; i++) {
        kinds[i] = (int)(next_random(&seed) % 3);
        layer[i] = kinds[i] == 0   ? ag_ctx_with_value(layer[i - 1], &values[i], &values[i])
                   : kinds[i] == 1 ? ag_ctx_with_cancel(layer[i - 1])
                                   : ag_ctx_with_timeout(layer[i - 1], by_time ? AG_MS : AG_MIN);
        if (kinds[i] == 1)
            last_cancel = i;
    }
    layer[LAYERS + 1] = ag_ctx_with_timeout(layer[LAYERS], by_time ? AG_MS : AG_MIN);
    ag_ctx *c = layer[LAYERS + 1];
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 1; i <= LAYERS; i++)
            ag_check_ptr(ag_ctx_value(c, &values[i]), kinds[i] == 0 ? &values[i] : NULL);
        if (pass == 0 && by_time) {
            ag_recv(ag_ctx_done(c), NULL);
            check_ended(c, -ETIMEDOUT, -ETIMEDOUT);
        } else if (pass == 0) {
            check_alive(c);
            ag_ctx_cancel_cause(layer[last_cancel], -EIO);
            check_ended(c, -ECANCELED, -EIO);
        }
    }
    for (int i = 0; i <= LAYERS + 1; i++)
        ag_unref(layer[i]);
}

AG_TEST_RUN(a_cancel_goes_down_through_any_layers_and_values_stay) {
    for (unsigned seed = 1; seed <= 100; seed++)
        check_layers(seed, false);
}

AG_TEST_RUN(a_timeout_goes_down_through_any_layers_and_values_stay) {
    for (unsigned seed = 1; seed <= 50; seed++)
        check_layers(seed, true);
}

AG_TEST_RUN(a_value_covers_those_above_it_and_no_other_key) {
    static const int k1, k2, k3;
    ag_ctx *c1 = ag_ctx_with_value(NULL, &k1, "c1k1"), *c2 = ag_ctx_with_value(c1, &k2, "c2k2");
    ag_ctx *c3 = ag_ctx_with_value(c2, &k3, "c3k3"), *c4 = ag_ctx_with_value(c3, &k1, NULL);
    ag_ctx *c5 = ag_ctx_with_value(c4, &k2, "c5k2");
    ag_check_ptr(ag_ctx_value(NULL, &k1), NULL);
    ag_check_str(ag_ctx_value(c1, &k1), "c1k1");
    ag_check_ptr(ag_ctx_value(c1, &k2), NULL);
    ag_check_str(ag_ctx_value(c3, &k1), "c1k1");
    ag_check_str(ag_ctx_value(c3, &k2), "c2k2");
    ag_check_ptr(ag_ctx_value(c4, &k1), NULL); /* covered by nothing */
    ag_check_str(ag_ctx_value(c4, &k3), "c3k3");
    ag_check_str(ag_ctx_value(c5, &k2), "c5k2");
    ag_check_str(ag_ctx_value(c4, &k2), "c2k2");
    ag_ctx *all[] = {c1, c2, c3, c4, c5};
    for (size_t i = 0; i < COUNT(all); i++)
        ag_unref(all[i]);
}

/* Go panics; a NULL key is found by nobody. */
AG_TEST_RUN(a_null_key_carries_nothing) {
    ag_ctx *c = ag_ctx_with_value(NULL, NULL, "nobody's");
    ag_check_ptr(ag_ctx_value(c, NULL), NULL);
    ag_unref(c);
}

/* ---- Errors and causes ---------------------------------------------------------------------- */

AG_TEST_RUN(a_cancel_without_a_cause_is_its_own_cause) {
    ag_ctx *c[] = {ag_ctx_with_cancel(NULL), ag_ctx_with_cancel(NULL),
                   ag_ctx_with_timeout(NULL, AG_MIN)};
    ag_ctx_cancel(c[0]);
    ag_ctx_cancel_cause(c[1], 0);
    ag_ctx_cancel(c[2]); /* though it has a time */
    for (size_t i = 0; i < COUNT(c); i++) {
        check_ended(c[i], -ECANCELED, -ECANCELED);
        ag_unref(c[i]);
    }
}

AG_TEST_RUN(the_first_cause_stays_whoever_comes_later) {
    ag_ctx *parent = ag_ctx_with_cancel(NULL), *child = ag_ctx_with_cancel(parent);
    ag_ctx *other = ag_ctx_with_cancel(parent);
    ag_ctx_cancel_cause(child, -EAGAIN);
    ag_ctx_cancel_cause(child, -EBUSY);
    ag_ctx_cancel_cause(parent, -EIO);
    ag_ctx_cancel_cause(child, -EPIPE);
    ag_ctx_cancel_cause(other, -EPIPE);
    check_ended(child, -ECANCELED, -EAGAIN);
    check_ended(parent, -ECANCELED, -EIO);
    check_ended(other, -ECANCELED, -EIO); /* its parent's */
    ag_unref(child);
    ag_unref(other);
    ag_unref(parent);
}

AG_TEST_RUN(a_cause_below_does_not_go_up) {
    ag_ctx *parent = ag_ctx_with_cancel(NULL), *child = ag_ctx_with_cancel(parent);
    ag_ctx_cancel_cause(child, -EIO);
    check_alive(parent);
    ag_ctx_cancel(parent);
    check_ended(parent, -ECANCELED, -ECANCELED);
    check_ended(child, -ECANCELED, -EIO);
    ag_unref(child);
    ag_unref(parent);
}

AG_TEST_RUN(a_time_that_is_over_beats_a_later_cancel) {
    ag_ctx *late = ag_ctx_with_timeout(NULL, 0), *below = ag_ctx_with_cancel(late);
    ag_ctx_cancel_cause(late, -EIO);
    check_ended(late, -ETIMEDOUT, -ETIMEDOUT);
    check_ended(below, -ETIMEDOUT, -ETIMEDOUT);
    ag_unref(below);
    ag_unref(late);
}

AG_TEST_RUN(a_cancel_beats_a_later_time) {
    ag_time end = 0;
    for (ag_time in = AG_MS; ag_now() >= end; in *= 2) { /* until the cancel was the first */
        ag_ctx *parent = ag_ctx_with_cancel(NULL);
        end = ag_now() + in;
        ag_ctx *timed = ag_ctx_with_deadline(parent, end);
        ag_ctx_cancel_cause(parent, -EIO);
        if (ag_now() < end) {
            ag_sleep(end + AG_MS - ag_now());
            check_ended(timed, -ECANCELED, -EIO);
            end = INT64_MAX;
        }
        ag_unref(timed);
        ag_unref(parent);
    }
}

AG_TEST_RUN(a_deadline_beyond_the_parent_s_is_the_parent_s) {
    ag_time t = 0, end = ag_now() + 5 * AG_MS;
    ag_ctx *parent = ag_ctx_with_deadline(NULL, end);
    ag_ctx *child = ag_ctx_with_deadline(parent, end + AG_MIN);
    ag_check(ag_ctx_deadline(child, &t));
    ag_check_int(t, end);
    ag_recv(ag_ctx_done(child), NULL);
    ag_check(ag_now() >= end);
    check_ended(child, -ETIMEDOUT, -ETIMEDOUT);
    ag_unref(child);
    ag_unref(parent);
}

/* Go's WithoutCancel: values without the end. Ours is a block that also has a time. */
AG_TEST_RUN(a_shield_keeps_the_values_and_lifts_the_end) {
    static const int key;
    ag_ctx *c = ag_ctx_with_value(NULL, &key, "kept");
    ag_ctx_cancel_cause(c, -EIO);
    ag_ctx_enter(c);
    ag_check_int(ag_sleep(AG_MS), -ECANCELED);
    {
        ag_shield(AG_MIN);
        ag_check_int(ag_ctx_err(ag_ctx_current()), 0);
        ag_check_int(ag_ctx_cause(ag_ctx_current()), 0);
        ag_check_str(ag_ctx_value(ag_ctx_current(), &key), "kept");
        ag_check_int(ag_sleep(AG_MS), 0);
    }
    ag_check_int(ag_sleep(AG_MS), -ECANCELED);
    ag_unref(c);
}

/* ---- Calls after the end -------------------------------------------------------------------- */

AG_TEST_RUN(a_call_does_not_run_before_the_end) {
    atomic_int called = 0;
    ag_ctx *c = ag_ctx_with_cancel(NULL);
    ag_ctx_call *call = ag_ctx_after(c, set_flag, &called);
    ag_sleep(2 * AG_MS);
    ag_check_int(atomic_load(&called), 0);
    ag_ctx_cancel(c);
    eventually(atomic_load(&called) == 1);
    ag_check(!ag_ctx_call_stop(call));
    ag_unref(call);
    ag_unref(c);
}

AG_TEST_RUN(a_call_runs_when_the_time_is_over) {
    atomic_int called = 0;
    ag_ctx *c = ag_ctx_with_timeout(NULL, AG_MS), *below = ag_ctx_with_cancel(c);
    ag_unref(ag_ctx_after(below, set_flag, &called));
    eventually(atomic_load(&called) == 1);
    ag_unref(below);
    ag_unref(c);
}

static void wait_for_reader(ag_chan(int) c) {
    ag_send(c, 1);
}

AG_TEST_RUN(a_cancel_does_not_wait_for_the_calls_it_starts) {
    ag_chan(int) c = ag_make(int, 0);
    ag_ctx *ctx = ag_ctx_with_cancel(NULL);
    ag_unref(ag_ctx_after(ctx, wait_for_reader, c));
    ag_unref(ag_ctx_after(ctx, wait_for_reader, c));
    ag_ctx_cancel(ctx);
    ag_check(ag_recv(c, NULL)); /* only now they can end, both of them */
    ag_check(ag_recv(c, NULL));
    ag_unref(ctx);
    ag_unref(c);
}

static void stop_and_count(ag_ctx_call *call, atomic_int *stopped, ag_wg *wg) {
    atomic_fetch_add(stopped, ag_ctx_call_stop(call));
    ag_wg_done(wg);
}

AG_TEST_RUN(a_call_is_either_stopped_once_or_runs_once) {
    for (int i = 0; i < 300 / ag_test_slow(); i++) {
        atomic_int called = 0, stopped = 0;
        ag_ctx *c = ag_ctx_with_cancel(NULL);
        ag_ctx_call *call = ag_ctx_after(c, set_flag, &called);
        ag_wg wg = AG_WG_INIT;
        ag_wg_add(&wg, 3);
        ag_go(stop_and_count, call, &stopped, &wg);
        ag_go(cancel_it, c, &wg);
        ag_go(stop_and_count, call, &stopped, &wg);
        ag_wg_wait(&wg);
        eventually(atomic_load(&called) + atomic_load(&stopped) == 1);
        ag_yield();
        ag_check_int(atomic_load(&called) + atomic_load(&stopped), 1);
        eventually(ag_count() == 1);
        ag_unref(call);
        ag_unref(c);
    }
}
