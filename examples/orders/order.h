/* SPDX-License-Identifier: MIT */
/*
 * An order: the record, its states, and its JSON.
 *
 *     accepted --a worker takes it--> shipping --the carrier has it--> shipped
 *         |
 *         +--the customer cancels--> cancelled
 *
 * Once a worker has taken an order the carrier may have it, so it can't be cancelled any more.
 */
#ifndef ORDERS_ORDER_H
#define ORDERS_ORDER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum order_status {
    ORDER_ACCEPTED,
    ORDER_SHIPPING,
    ORDER_SHIPPED,
    ORDER_CANCELLED,
    ORDER_STATUSES /* how many there are */
};

enum {
    ORDER_TEXT_MAX = 100, /* characters of an item or a customer */
    ORDER_TEXT_BYTES = 4 * ORDER_TEXT_MAX + 1,
    ORDER_QUANTITY_MAX = 10000,
    ORDER_TIME_BYTES = 64,
};

/* A plain value: copy it as you like. Texts are UTF-8 without control characters. */
struct order {
    int64_t id; /* 0: not stored yet */
    char item[ORDER_TEXT_BYTES];
    char customer[ORDER_TEXT_BYTES];
    int quantity;
    enum order_status status;
    int64_t created_ms, updated_ms; /* since 1970 */
};

/* What is wrong with a request, and what to do about it. */
struct complaint {
    const char *field; /* the member of the JSON object; NULL: all of it */
    char text[240];
};

/* "accepted" ... */
const char *order_status_name(enum order_status status);
/* Returns: false if there is no such status. */
bool order_status_find(const char *name, enum order_status *ret_status);

/* Reads item, quantity and customer out of JSON. Returns: false and a complaint. */
bool order_parse(const char *json, size_t n, struct order *ret_order,
                 struct complaint *ret_complaint);
/* Whether both ask for the same. */
bool order_same(const struct order *a, const struct order *b);
/* RFC 3339, in UTC, with milliseconds, of milliseconds since 1970. */
const char *order_time(int64_t ms, char ret_text[ORDER_TIME_BYTES]);
/* Returns: a new reference, NULL when out of memory. */
json_t *order_json(const struct order *order);

#endif
