/* SPDX-License-Identifier: MIT */
/*
 * The shipping department: a bounded queue of orders, and workers who hand them to the carrier.
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

#include "store.h"

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

struct shipping_stats {
    int64_t queued;  /* orders in the queue */
    int64_t places;  /* its size */
    int64_t shipped; /* since the start */
    int64_t refused; /* reservations for which there was no place */
};

/* Starts the workers, and puts the orders into the queue that are in the store but not shipped yet.
 * Returns: NULL when out of memory. Owns: the caller, until shipping_free. */
struct shipping *shipping_start(struct store *store, const struct shipping_options *options);
/* Ships what is in the queue, for `limit` at most; no more reservations or orders may come. What is
 * left stays in the store for the next start. */
void shipping_stop(struct shipping *s, ag_time limit);
/* After shipping_stop. */
void shipping_free(struct shipping *s);

/* Never waits. Returns: false if the queue is full. */
bool shipping_reserve(struct shipping *s, struct place *ret_place);
void shipping_release(struct place *place);
/* Puts an order on the place; never waits. */
void shipping_enqueue(struct place *place, int64_t id);

void shipping_stats(struct shipping *s, struct shipping_stats *ret_stats);

#endif
