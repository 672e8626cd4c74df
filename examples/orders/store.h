/* SPDX-License-Identifier: MIT */
/*
 * The orders on the disk. Every function may be called by any number of goroutines at a time, and
 * two processes may have the file.
 *
 * A deadline is a point of ag_now(). A call that could not begin by then, or a search that was not
 * done, returns -ETIMEDOUT and has changed nothing; a change that has begun is waited for, so its
 * result is always the truth.
 */
#ifndef ORDERS_STORE_H
#define ORDERS_STORE_H

#include "order.h"

#include <aglet.h>

enum { STORE_PAGE_MAX = 100 };

struct store;

/* What to list: the newest orders with an id below `before`; `status` ORDER_STATUSES is any. */
struct store_page {
    int64_t before;
    int limit;
    enum order_status status;
};

/* Opens the file, or makes it. Says what is wrong. Returns: 0, a negative errno. Owns: the caller,
 * until store_close. */
int store_open(const char *path, struct store **ret_store);
/* Nobody may be using it any more. */
void store_close(struct store *s);

/*
 * Stores a new order, and fills in its id, state and times. With a `key` that was used before
 * (NULL: none) it stores nothing, reads the order of that time into `o` and sets *ret_again.
 * Returns: 0, -EEXIST when the order of that time was another one, -ETIMEDOUT, an error of db.h.
 */
int store_create(struct store *s, struct order *o, const char *key, ag_time deadline,
                 bool *ret_again);
/* Returns: 0, -ENOENT, -ETIMEDOUT, an error of db.h. */
int store_get(struct store *s, int64_t id, ag_time deadline, struct order *ret_order);
/* Returns: how many orders were written to ret_orders, a negative errno. */
int store_list(struct store *s, const struct store_page *page, ag_time deadline,
               struct order *ret_orders);
/* Cancels it unless it is on its way. Returns: 0 also when it was cancelled before, then
 * *ret_again; -EEXIST when it is too late, *ret_order tells how it is; -ENOENT, -ETIMEDOUT, an
 * error of db.h. */
int store_cancel(struct store *s, int64_t id, ag_time deadline, struct order *ret_order,
                 bool *ret_again);

/* For the process whose turn it is to ship, before it does: what it claims from now on is told from
 * what was claimed before. Returns: 0 and the newest order of all, an error of db.h. */
int store_begin_shift(struct store *s, int64_t *ret_newest);
/* Takes the order for shipping, once in a shift. Returns: 0; -ENOENT if it was cancelled, or was
 * taken; -ETIMEDOUT, an error of db.h. */
int store_claim(struct store *s, int64_t id, struct order *ret_order);
/* Marks an order that was claimed. */
int store_shipped(struct store *s, int64_t id, struct order *ret_order);
/* The ids of orders that are not shipped yet, above `after`, up to `last`, in order. Returns: how
 * many, at most `max`; a negative errno. */
int store_waiting(struct store *s, int64_t after, int64_t last, int64_t *ret_ids, int max);

/* How many orders are in each state. */
int store_counts(struct store *s, ag_time deadline, int64_t ret_counts[ORDER_STATUSES]);

#endif
