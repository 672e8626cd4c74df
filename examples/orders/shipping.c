/* SPDX-License-Identifier: MIT */
/*
 * Five channels, no lock:
 *
 *     places   a semaphore: whoever could send into it holds a place; receiving gives one back
 *     queue    the ids; as large as `places`, so who holds a place never waits to send
 *     quit     closed when the department is to stop: the one who brings in old orders goes home
 *     hurry    closed when the time for stopping is over: the workers drop what they hold
 *     home     each worker sends into it as it leaves
 *
 * What the workers know is in the store. An order is `shipping` before the carrier is called and
 * `shipped` after it has answered, so a process that dies in between has the carrier called again
 * at the next start: at least once, and the order's id is what a carrier recognises it by.
 */
#include "shipping.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { OLD_ONES = 64 }; /* looked up at a time */
#define TRY_AGAIN_NS AG_SEC

struct shipping {
    struct store *store;
    ag_time carrier_ns;
    ag_chan(char) places;
    ag_chan(int64_t) queue;
    ag_chan(char) quit;
    ag_chan(char) hurry;
    ag_chan(char) home;
    ag_wg clerk;
    int workers; /* how many were started */
    _Atomic int64_t shipped, refused;
};

/* ---- The queue ------------------------------------------------------------------------------ */

bool shipping_reserve(struct shipping *s, struct place *ret_place) {
    if (!ag_try_send(s->places, 1)) {
        atomic_fetch_add(&s->refused, 1);
        return false;
    }
    ret_place->shipping = s;
    return true;
}

void shipping_release(struct place *place) {
    if (place->shipping)
        ag_recv(place->shipping->places, NULL);
    place->shipping = NULL;
}

void shipping_enqueue(struct place *place, int64_t id) {
    ag_send(place->shipping->queue, id);
    place->shipping = NULL;
}

/* ---- Workers -------------------------------------------------------------------------------- */

static bool in_time(struct shipping *s) {
    return ag_try_recv(s->hurry, NULL) == -EAGAIN;
}

/* Returns: false when the time for stopping is over. */
static bool pause_for(struct shipping *s, ag_time ns) {
    return ag_select_ordered(AG_RECV(s->hurry, NULL), AG_AFTER(ns)) != 0;
}

/* Stands for a call over the network. Returns: 0, -ECANCELED when it was given up. */
static int call_carrier(struct shipping *s, const struct order *order) {
    (void)order;
    return pause_for(s, s->carrier_ns) ? 0 : -ECANCELED;
}

/* Returns: 0, also when there was nothing to do; -ECANCELED, an error of the store. */
static int ship(struct shipping *s, int64_t id) {
    struct order order;
    int err = store_claim(s->store, id, &order);
    if (err == -ENOENT)
        return 0; /* cancelled */
    if (err == 0)
        err = call_carrier(s, &order);
    if (err == 0)
        err = store_shipped(s->store, id);
    if (err == 0)
        atomic_fetch_add(&s->shipped, 1);
    return err;
}

static void go_home(ag_chan(char) home) {
    ag_send(home, 1);
}

static void shipping_worker(struct shipping *s) {
    ag_chan(char) home = ag_ref(s->home); /* the last one's send may outlive the department */
    ag_defer(ag_unref, home);
    ag_defer(go_home, home);
    for (int64_t id; ag_recv(s->queue, &id);) {
        ag_recv(s->places, NULL);
        /* A disk that is full may be emptied: the order is not forgotten. */
        while (in_time(s)) {
            int err = ship(s, id);
            if (err == 0 || err == -ECANCELED || !pause_for(s, TRY_AGAIN_NS))
                break;
        }
    }
}

/* ---- Orders of the last time ---------------------------------------------------------------- */

/* Waits for a place. Returns: false when the department stops. */
static bool bring(struct shipping *s, int64_t id) {
    if (ag_select_ordered(AG_RECV(s->quit, NULL), AG_SEND(s->places, 1)) == 0)
        return false;
    struct place place = {s};
    shipping_enqueue(&place, id);
    return true;
}

/* Puts the orders up to number `last` into the queue, as fast as it has places. */
static void shipping_clerk(struct shipping *s, int64_t last) {
    int64_t ids[OLD_ONES], after = 0;
    for (;;) {
        int count = store_waiting(s->store, after, last, ids, OLD_ONES);
        if (count == 0)
            return;
        for (int i = 0; i < count; i++) {
            if (!bring(s, ids[i]))
                return;
            after = ids[i];
        }
        if (count < 0 && ag_select(AG_RECV(s->quit, NULL), AG_AFTER(TRY_AGAIN_NS)) == 0)
            return;
    }
}

/* ---- Life ----------------------------------------------------------------------------------- */

static int64_t newest_id(struct store *store) {
    struct order newest = {0};
    struct store_page page = {.before = INT64_MAX, .limit = 1, .status = ORDER_STATUSES};
    int count = store_list(store, &page, ag_now() + AG_MIN, &newest);
    return count < 0 ? count : newest.id;
}

static bool start_goroutines(struct shipping *s, int64_t newest, int workers) {
    for (; s->workers < workers; s->workers++)
        if (ag_go(shipping_worker, s) < 0)
            return false;
    return ag_wg_go(&s->clerk, shipping_clerk, s, newest) > 0;
}

struct shipping *shipping_start(struct store *store, const struct shipping_options *options) {
    int64_t newest = newest_id(store);
    struct shipping *s = newest < 0 ? NULL : calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->store = store;
    s->carrier_ns = options->carrier_ns;
    s->places = ag_make(char, options->queue);
    s->queue = ag_make(int64_t, options->queue);
    s->quit = ag_make(char, 0);
    s->hurry = ag_make(char, 0);
    s->home = ag_make(char, options->workers);
    if (!start_goroutines(s, newest, options->workers)) {
        shipping_stop(s, 0);
        shipping_free(s);
        return NULL;
    }
    return s;
}

void shipping_stop(struct shipping *s, ag_time limit) {
    ag_close(s->quit);
    ag_wg_wait(&s->clerk);
    ag_close(s->queue); /* the workers take what is in it, then end */
    ag_time end = ag_now() + limit;
    int home = 0;
    while (home < s->workers &&
           ag_select_ordered(AG_RECV(s->home, NULL), AG_AFTER(end - ag_now())) == 0)
        home++;
    ag_close(s->hurry);
    for (; home < s->workers; home++)
        ag_recv(s->home, NULL);
}

void shipping_free(struct shipping *s) {
    ag_unref(s->places);
    ag_unref(s->queue);
    ag_unref(s->quit);
    ag_unref(s->hurry);
    ag_unref(s->home);
    free(s);
}

void shipping_stats(struct shipping *s, struct shipping_stats *ret_stats) {
    ret_stats->queued = ag_len(s->queue);
    ret_stats->places = ag_cap(s->queue);
    ret_stats->shipped = atomic_load(&s->shipped);
    ret_stats->refused = atomic_load(&s->refused);
}
