/* SPDX-License-Identifier: MIT */
/*
 * The requests about orders. Each handler reads top-down: check what came, ask the store, answer.
 *
 * Only the store decides: two clients that cancel one order, or send one key twice at the same
 * moment, meet in its transaction and nowhere else.
 */
#include "desk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { BODY_MAX = 16 * 1024, KEY_MAX = 255, LIST_DEFAULT = 20 };

/* ---- Reading requests ----------------------------------------------------------------------- */

static bool is_json(ag_http_request *req) {
    const char *type = ag_http_header(req, "Content-Type");
    const char *coding = ag_http_header(req, "Content-Encoding");
    size_t n = type ? strcspn(type, " \t;") : 0;
    return n == strlen("application/json") && strncasecmp(type, "application/json", n) == 0 &&
           (!coding || strcasecmp(coding, "identity") == 0);
}

static void reply_body_error(ag_http_response *res, int err) {
    switch (err) {
    case -EMSGSIZE:
        reply_error(res, 413, "the body is too large; an order has %d bytes at most", BODY_MAX);
        break;
    case -ETIMEDOUT:
        reply_error(res, 408, "the body did not come in time");
        break;
    default:
        reply_error(res, 400, "the body did not come as announced");
    }
}

/* Returns: false when it was answered. */
static bool read_order(ag_http_request *req, ag_http_response *res, struct order *ret_order) {
    struct complaint complaint;
    char *body;
    size_t n;
    if (!is_json(req)) {
        reply_error(res, 415, "send JSON, uncompressed, with Content-Type: application/json");
        return false;
    }
    ag_http_limit_body(req, BODY_MAX, desk_deadline(req) - ag_now());
    int err = ag_http_body_all(req, BODY_MAX, &body, &n);
    if (err != 0) {
        reply_body_error(res, err);
        return false;
    }
    if (!order_parse(body, n, ret_order, &complaint)) {
        reply_complaint(res, &complaint);
        return false;
    }
    return true;
}

/* Idempotency-Key: NULL if there is none. Returns: false when it was answered. */
static bool read_key(ag_http_request *req, ag_http_response *res, const char **ret_key) {
    const char *key = ag_http_header(req, "Idempotency-Key");
    size_t n = key ? strlen(key) : 1;
    bool ok = n >= 1 && n <= KEY_MAX;
    for (size_t i = 0; key && i < n; i++)
        ok = ok && key[i] > ' ' && key[i] < 0x7f;
    if (!ok)
        reply_error(res, 400, "Idempotency-Key has 1 to %d visible ASCII characters", KEY_MAX);
    *ret_key = key;
    return ok;
}

/* Returns: false unless all of the text is a number from 1 to `max`. */
static bool read_number(const char *text, int64_t max, int64_t *ret_number) {
    int64_t n = 0;
    for (const char *p = text; *p; p++) {
        if (*p < '0' || *p > '9' || n > (INT64_MAX - 9) / 10)
            return false;
        n = n * 10 + (*p - '0');
    }
    *ret_number = n;
    return n >= 1 && n <= max;
}

/* The order that the path names. Returns: false when it was answered. */
static bool read_id(ag_http_request *req, ag_http_response *res, int64_t *ret_id) {
    const char *text = ag_http_path_value(req, "id");
    if (text && read_number(text, INT64_MAX, ret_id))
        return true;
    reply_error(res, 404, "there is no such order; an order's id is a whole number");
    return false;
}

static void reply_no_order(ag_http_response *res, int64_t id) {
    reply_error(res, 404, "there is no order %lld", (long long)id);
}

/* ---- The audit trail ------------------------------------------------------------------------ */

static void copy(char *to, size_t size, const char *text) {
    snprintf(to, size, "%s", text ? text : "");
}

/* An order was changed. It is written down when the answer is on its way, and everything that the
 * request held was given back; a stop waits for that as for the request itself. */
static void audit_later(ag_http_request *req, const char *event, const struct order *o) {
    struct desk *desk = ag_http_arg(req);
    struct audit_record now = {.event = event, .order = o->id, .time_ms = o->updated_ms};
    copy(now.by, sizeof now.by, ag_local(&ag_principal));
    copy(now.from, sizeof now.from, ag_http_remote(req));
    copy(now.request, sizeof now.request, ag_local(&ag_request_id));
    struct audit_record *r = ag_http_alloc(req, sizeof *r);
    if (r)
        *r = now;
    if (!r || ag_http_after(req, audit_write, &desk->audit, r) != 0)
        audit_write(&desk->audit, &now);
}

/* ---- POST /orders --------------------------------------------------------------------------- */

static void reply_created(ag_http_response *res, const struct order *o, bool again) {
    char location[40];
    snprintf(location, sizeof location, "/orders/%lld", (long long)o->id);
    ag_http_set(res, "Location", location);
    if (again)
        ag_http_set(res, "Idempotency-Replayed", "true");
    reply_json(res, 201, order_json(o));
}

void api_create(ag_http_request *req, ag_http_response *res) {
    struct desk *desk = ag_http_arg(req);
    struct order order;
    struct place place;
    const char *key;
    bool again;
    if (!read_key(req, res, &key) || !read_order(req, res, &order))
        return;
    if (!shipping_reserve(desk->shipping, &place)) {
        reply_busy(res, "too many orders are waiting to be shipped");
        return;
    }
    ag_defer(shipping_release, &place);
    int err = store_create(desk->store, &order, key, desk_deadline(req), &again);
    if (err == -EEXIST) {
        reply_error(res, 422, "this Idempotency-Key was used for another order; send a new key");
    } else if (err != 0) {
        reply_store_error(res, err);
    } else {
        if (!again) {
            shipping_enqueue(&place, order.id);
            audit_later(req, "placed", &order);
        }
        reply_created(res, &order, again);
    }
}

/* ---- GET /orders/{id}, POST /orders/{id}/cancel --------------------------------------------- */

void api_get(ag_http_request *req, ag_http_response *res) {
    struct desk *desk = ag_http_arg(req);
    struct order order;
    int64_t id;
    if (!read_id(req, res, &id))
        return;
    int err = store_get(desk->store, id, desk_deadline(req), &order);
    if (err == -ENOENT)
        reply_no_order(res, id);
    else if (err != 0)
        reply_store_error(res, err);
    else
        reply_json(res, 200, order_json(&order));
}

void api_cancel(ag_http_request *req, ag_http_response *res) {
    struct desk *desk = ag_http_arg(req);
    struct order order;
    int64_t id;
    bool again = false;
    if (!read_id(req, res, &id))
        return;
    int err = store_cancel(desk->store, id, desk_deadline(req), &order, &again);
    if (err == 0 && !again)
        audit_later(req, "cancelled", &order);
    if (err == -ENOENT)
        reply_no_order(res, id);
    else if (err == -EEXIST)
        reply_error(res, 409, "order %lld is %s; only an accepted order can be cancelled",
                    (long long)id, order_status_name(order.status));
    else if (err != 0)
        reply_store_error(res, err);
    else
        reply_json(res, 200, order_json(&order));
}

/* ---- GET /orders ---------------------------------------------------------------------------- */

/* Returns: false when it was answered. */
static bool read_page(ag_http_request *req, ag_http_response *res, struct store_page *ret_page) {
    const char *limit = ag_http_query_value(req, "limit");
    const char *after = ag_http_query_value(req, "after");
    const char *status = ag_http_query_value(req, "status");
    struct store_page page = {.before = INT64_MAX, .status = ORDER_STATUSES};
    int64_t n = LIST_DEFAULT;
    if (limit && !read_number(limit, STORE_PAGE_MAX, &n))
        reply_error(res, 400, "limit is a whole number from 1 to %d", STORE_PAGE_MAX);
    else if (after && !read_number(after, INT64_MAX, &page.before))
        reply_error(res, 400, "after is the id of the last order you have, a whole number");
    else if (status && !order_status_find(status, &page.status))
        reply_error(res, 400, "status is one of accepted, shipping, shipped, cancelled");
    else {
        page.limit = (int)n;
        *ret_page = page;
        return true;
    }
    return false;
}

/* {"orders": […], "next": where the next page is, or null}. */
static json_t *list_json(const struct order *orders, int count, const struct store_page *page) {
    char next[100] = "";
    json_t *array = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(array, order_json(&orders[i]));
    if (count == page->limit) {
        bool any = page->status == ORDER_STATUSES;
        snprintf(next, sizeof next, "/orders?limit=%d&after=%lld%s%s", page->limit,
                 (long long)orders[count - 1].id,
                 any ? "" : "&status=", any ? "" : order_status_name(page->status));
    }
    return json_pack("{s:o, s:s?}", "orders", array, "next", *next ? next : NULL);
}

void api_list(ag_http_request *req, ag_http_response *res) {
    struct desk *desk = ag_http_arg(req);
    struct store_page page;
    if (!read_page(req, res, &page))
        return;
    struct order *orders = ag_http_alloc(req, (size_t)page.limit * sizeof *orders);
    int count = orders ? store_list(desk->store, &page, desk_deadline(req), orders) : -ENOMEM;
    if (count < 0)
        reply_store_error(res, count);
    else
        reply_json(res, 200, list_json(orders, count, &page));
}
