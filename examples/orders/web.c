/* SPDX-License-Identifier: MIT */
/*
 * Routes, and what surrounds every request:
 *
 *     id --> trace --> who --> log --> seat --> handler
 *
 * A request about orders takes a seat before it does anything. There are as many as can be worked
 * on at a time; who finds none is told so at once, which costs nothing, while a queue in front of a
 * busy desk only makes everybody late. A seat is left whatever way the handler ends.
 *
 * The time limit of a request counts from the moment its head was read. It is passed on as a
 * deadline to every wait on the way: for the body, for a connection to the database, for the
 * writer, in a search.
 *
 * Mutual TLS. Who shows a certificate that our authority has signed has its name in the log and in
 * the audit trail, and only who does may order. The probes need none: what asks for them has none.
 */
#include "desk.h"

#include <aglet/http_filter.h>
#include <aglet/svc.h>
#include <string.h>

static AG_GAUGE(in_progress, "orders_requests_in_progress", "Requests about orders now.");
static AG_COUNTER(turned_away, "orders_requests_turned_away_total",
                  "Requests about orders answered 503 because there were too many.");

/* ---- Around every request ------------------------------------------------------------------- */

ag_time desk_deadline(ag_http_request *req) {
    const struct desk *desk = ag_http_arg(req);
    return ag_http_received_at(req) + desk->options->timeout_ms * AG_MS;
}

/* Who is asking goes with the context of the request. */
static void name_client(ag_http_request *req, ag_http_response *res) {
    const ag_tls_state *tls = ag_tls_state_of(ag_http_conn(req));
    if (!tls || !tls->peer_verified) {
        ag_http_next(req, res);
    } else {
        ag_with(&ag_principal, tls->peer_subject);
        ag_http_next(req, res);
    }
}

static void leave_seat(struct desk *desk) {
    ag_recv(desk->seats, NULL);
    ag_gauge_add(&in_progress, -1);
}

static void take_seat(ag_http_request *req, ag_http_response *res) {
    struct desk *desk = ag_http_arg(req);
    if (!strstr(ag_http_pattern(req), "/orders")) {
        ag_http_next(req, res);
    } else if (desk->options->client_ca && !ag_local(&ag_principal)) {
        reply_error(res, 403, "orders are for those who show a certificate");
    } else if (!ag_try_send(desk->seats, 1)) {
        ag_counter_add(&turned_away, 1);
        reply_busy(res, "too many requests at a time");
    } else {
        ag_gauge_add(&in_progress, 1);
        ag_defer(leave_seat, desk);
        ag_http_next(req, res);
    }
}

/* ---- Routes --------------------------------------------------------------------------------- */

static void not_found(ag_http_request *req, ag_http_response *res) {
    (void)req;
    reply_error(res, 404, "there is nothing here; GET / lists what there is");
}

static void not_allowed(ag_http_request *req, ag_http_response *res) {
    const char *allowed = ag_http_arg(req);
    ag_http_set(res, "Allow", allowed);
    reply_error(res, 405, "%s is not possible here; possible: %s", ag_http_method(req), allowed);
}

/* The most specific one wins: those with a method, then those of the same path, then "/". */
static const struct {
    const char *pattern;
    ag_http_handler handler;
    const char *allowed; /* instead of a handler */
} routes[] = {
    {"POST /orders", api_create, NULL},    {"GET /orders", api_list, NULL},
    {"/orders", NULL, "GET, HEAD, POST"},  {"GET /orders/{id}", api_get, NULL},
    {"/orders/{id}", NULL, "GET, HEAD"},   {"POST /orders/{id}/cancel", api_cancel, NULL},
    {"/orders/{id}/cancel", NULL, "POST"}, {"GET /{$}", page_index, NULL},
    {"/{$}", NULL, "GET, HEAD"},           {"GET /livez", ag_svc_livez, NULL},
    {"/livez", NULL, "GET, HEAD"},         {"GET /readyz", ag_svc_readyz, NULL},
    {"/readyz", NULL, "GET, HEAD"},        {"GET /metrics", page_metrics, NULL},
    {"/metrics", NULL, "GET, HEAD"},       {"GET /debug/", ag_http_debug, NULL},
    {"/debug/", NULL, "GET, HEAD"},        {"/", not_found, NULL},
};

static void add_route(ag_http_server *http, size_t i, struct desk *desk) {
    if (routes[i].handler)
        ag_http_handle(http, routes[i].pattern, routes[i].handler, desk);
    else
        ag_http_handle(http, routes[i].pattern, not_allowed, (void *)routes[i].allowed);
}

ag_http_server *desk_server(struct desk *desk) {
    ag_http_server *http = ag_http_server_new(NULL);
    if (!http)
        return NULL;
    ag_http_use(http, ag_http_ids, NULL);
    ag_http_use(http, ag_http_traces, NULL);
    ag_http_use(http, name_client, NULL);
    ag_http_use(http, ag_http_log, NULL);
    ag_http_use(http, take_seat, desk);
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        add_route(http, i, desk);
    return http;
}
