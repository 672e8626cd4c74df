/* SPDX-License-Identifier: MIT */
/*
 * The shipping department: a bounded queue of orders, and workers who hand them to the carrier when
 * it is this process's turn.
 *
 * A place in the queue is taken before its order is stored, so an accepted order always has one,
 * and when there is none the client is told to come back instead of being made to wait:
 *
 *     struct place place;
 *     if (!shipping_reserve(department, &place)) return busy(...);
 *     ag_defer(shipping_release, &place);        // unless it is used
 *     ... store the order ...
 *     shipping_enqueue(&place, order.id);
 */
#ifndef ORDERS_SHIPPING_H
#define ORDERS_SHIPPING_H

#include "audit.h"
#include "store.h"
#include "turn.h"

struct shipping;

struct shipping_options {
    int workers;
    int queue;          /* places */
    ag_time carrier_ns; /* how long the carrier takes for an order */
};

/* A place in the queue that is held; given back by shipping_release if it was not used. */
struct place {
    struct shipping *shipping; /* NULL: none */
};

/* Takes orders from now on, and ships them, and those that earlier processes have left, from the
 * turn on. Returns: NULL when out of memory. Owns: the caller, until shipping_stop; it keeps the
 * other three until then. */
struct shipping *shipping_start(struct store *store, struct turn *turn, struct audit *audit,
                                const struct shipping_options *options);
/* Ships what is in the queue, for `limit` at most, and not if somebody else waits for the turn; no
 * more reservations or orders may come. What is left stays in the store for who is next. Orders
 * that the carrier is being given are waited for, for `limit` again. */
void shipping_stop(struct shipping *s, ag_time limit);

/* Never waits. Returns: false if the queue is full. */
bool shipping_reserve(struct shipping *s, struct place *ret_place);
void shipping_release(struct place *place);
/* Puts an order on the place; never waits. */
void shipping_enqueue(struct place *place, int64_t id);

#endif
