/* SPDX-License-Identifier: MIT */
/*
 * Channels, no lock:
 *
 *     places   a semaphore: whoever could send into it holds a place; receiving gives one back
 *     queue    the ids; as large as `places`, so who holds a place never waits to send
 *     quit     closed when the department is to stop: no old orders are brought in any more
 *     enough   closed when no order is to be begun any more
 *     hurry    closed when the time is over: what the carrier is being given is dropped
 *     gone     closed by the last worker who leaves
 *
 * What the workers know is in the store. An order is `shipping` before the carrier is called and
 * `shipped` after it has answered, so a process that dies in between has the carrier called again
 * by the next one: at least once, and the order's id is what a carrier recognises it by.
 *
 * The queue only says where to look: an order may stand in it twice, because it was taken in here
 * and found in the store as well. Who claims it in the store ships it (store_claim).
 */
#include "shipping.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { OLD_ONES = 64 }; /* looked up at a time */
#define TRY_AGAIN_NS AG_SEC

static AG_GAUGE(queued, "orders_queue_length", "Orders that wait for a worker.");
static AG_GAUGE(capacity, "orders_queue_capacity", "Orders that may wait for a worker.");
static AG_COUNTER(refused, "orders_queue_full_total",
                  "Orders answered 503 because the queue was full.");
static AG_COUNTER(shipped, "orders_shipped_total", "Orders shipped since the start.");

struct shipping {
    struct store *store;
    struct turn *turn;
    struct audit *audit;
    int workers;
    ag_time carrier_ns;
    ag_chan(char) places;
    ag_chan(int64_t) queue;
    ag_chan(char) quit;
    ag_chan(char) enough;
    ag_chan(char) hurry;
    ag_chan(char) gone;
    _Atomic int here; /* workers, and one for the department until it stops */
    ag_wg clerk, staff;
};

/* ---- The queue ------------------------------------------------------------------------------ */

bool shipping_reserve(struct shipping *s, struct place *ret_place) {
    if (!ag_try_send(s->places, 1)) {
        ag_counter_add(&refused, 1);
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
    ag_gauge_add(&queued, 1);
    ag_send(place->shipping->queue, id);
    place->shipping = NULL;
}

/* ---- Workers -------------------------------------------------------------------------------- */

/* Returns: false when the channel was closed before. */
static bool pause_for(ag_time ns, ag_chan(char) unless) {
    return ag_select_ordered(AG_RECV(unless, NULL), AG_AFTER(ns)) != 0;
}

/* Stands for a call over the network. Returns: false when it was given up. */
static bool call_carrier(struct shipping *s, const struct order *order) {
    (void)order;
    return pause_for(s->carrier_ns, s->hurry);
}

static void note(struct shipping *s, const char *event, const struct order *o) {
    audit_write(s->audit,
                &(struct audit_record){.event = event, .order = o->id, .time_ms = o->updated_ms});
}

/* A disk that is full may be emptied: the order is not forgotten. Returns: false when it was
 * cancelled, when somebody else has it, or when the channel was closed before. */
static bool insist(struct shipping *s, int (*change)(struct store *, int64_t, struct order *),
                   int64_t id, ag_chan(char) unless, struct order *ret_order) {
    int err;
    while ((err = change(s->store, id, ret_order)) != 0)
        if (err == -ENOENT || !pause_for(TRY_AGAIN_NS, unless))
            return false;
    return true;
}

static void ship(struct shipping *s, int64_t id) {
    struct order order;
    if (!insist(s, store_claim, id, s->enough, &order))
        return;
    note(s, "shipping", &order);
    if (!call_carrier(s, &order) || !insist(s, store_shipped, id, s->hurry, &order))
        return;
    note(s, "shipped", &order);
    ag_counter_add(&shipped, 1);
}

static void leave(struct shipping *s) {
    if (atomic_fetch_sub(&s->here, 1) == 1)
        ag_close(s->gone);
}

static void shipping_worker(struct shipping *s) {
    ag_defer(leave, s);
    for (int64_t id; ag_recv(s->queue, &id);) {
        ag_recv(s->places, NULL);
        ag_gauge_add(&queued, -1);
        if (pause_for(0, s->enough))
            ship(s, id);
    }
}

/* ---- The turn ------------------------------------------------------------------------------- */

/* Waits for a place. Returns: false when the department stops. */
static bool bring(struct shipping *s, int64_t id) {
    if (ag_select_ordered(AG_RECV(s->quit, NULL), AG_SEND(s->places, 1)) == 0)
        return false;
    shipping_enqueue(&(struct place){s}, id);
    return true;
}

/* Puts the orders up to number `last` into the queue, as fast as it has places. */
static void bring_old_ones(struct shipping *s, int64_t last) {
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
        if (count < 0 && !pause_for(TRY_AGAIN_NS, s->quit))
            return;
    }
}

static void start_workers(struct shipping *s) {
    for (int i = 0; i < s->workers;) {
        atomic_fetch_add(&s->here, 1);
        if (ag_wg_go(&s->staff, shipping_worker, s) > 0) {
            i++;
            continue;
        }
        leave(s);
        if (!pause_for(TRY_AGAIN_NS, s->quit))
            return;
    }
}

/* Opens the department when it is our turn. Who had it before takes no more orders: all that are
 * his are in the store. */
static void shipping_clerk(struct shipping *s) {
    int64_t newest;
    int err = turn_take(s->turn);
    if (err != 0) {
        ag_log_error("nothing is shipped: no turn", ag_kv_err(err));
        return;
    }
    while (store_begin_shift(s->store, &newest) != 0)
        if (!pause_for(TRY_AGAIN_NS, s->quit))
            return;
    start_workers(s);
    bring_old_ones(s, newest);
}

/* ---- Life ----------------------------------------------------------------------------------- */

static void free_all(struct shipping *s) {
    ag_unref(s->places);
    ag_unref(s->queue);
    ag_unref(s->quit);
    ag_unref(s->enough);
    ag_unref(s->hurry);
    ag_unref(s->gone);
    free(s);
}

struct shipping *shipping_start(struct store *store, struct turn *turn, struct audit *audit,
                                const struct shipping_options *options) {
    struct shipping *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    *s = (struct shipping){.store = store,
                           .turn = turn,
                           .audit = audit,
                           .workers = options->workers,
                           .carrier_ns = options->carrier_ns,
                           .places = ag_make(char, options->queue),
                           .queue = ag_make(int64_t, options->queue),
                           .quit = ag_make(char, 0),
                           .enough = ag_make(char, 0),
                           .hurry = ag_make(char, 0),
                           .gone = ag_make(char, 0),
                           .here = 1};
    ag_gauge_set(&capacity, options->queue);
    ag_ctx_enter(NULL); /* the goroutines outlive the start */
    if (ag_wg_go(&s->clerk, shipping_clerk, s) > 0)
        return s;
    free_all(s);
    return NULL;
}

static void report(struct shipping *s, bool handed_over) {
    int64_t counts[ORDER_STATUSES] = {0};
    store_counts(s->store, ag_now() + AG_SEC, counts);
    ag_log_info("shipping has ended", ag_kv("shipped", ag_counter_value(&shipped)),
                ag_kv("left", counts[ORDER_ACCEPTED] + counts[ORDER_SHIPPING]),
                ag_kv("to_successor", handed_over));
}

void shipping_stop(struct shipping *s, ag_time limit) {
    ag_close(s->quit);
    ag_wg_wait(&s->clerk);
    bool wanted = turn_wanted(s->turn);
    ag_close(s->queue); /* the workers take what is in it, then leave */
    leave(s);
    pause_for(wanted ? 0 : limit, s->gone);
    ag_close(s->enough);
    pause_for(limit, s->gone);
    ag_close(s->hurry);
    ag_wg_wait(&s->staff);
    report(s, wanted);
    free_all(s);
}
