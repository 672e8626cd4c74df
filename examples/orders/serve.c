/* SPDX-License-Identifier: MIT */
/*
 * Routes, and what surrounds every request:
 *
 *     log --> seat --> handler
 *
 * A request about orders takes a seat before it does anything. There are as many as can be worked
 * on at a time; who finds none is told so at once, which costs nothing, while a queue in front of a
 * busy desk only makes everybody late. A seat is left whatever way the handler ends.
 *
 * The time limit of a request counts from the moment its head was read. It is passed on as a
 * deadline to every wait on the way: for the body, for a connection to the database, for the
 * writer, in a search.
 */
#include "desk.h"

#include <stdio.h>
#include <string.h>

/* ---- Around every request ------------------------------------------------------------------- */

ag_time desk_deadline(ag_http_request *req) {
    const struct desk *desk = ag_http_arg(req);
    return ag_http_received_at(req) + desk->options->timeout_ms * AG_MS;
}

static void log_request(ag_http_request *req, ag_http_response *res) {
    struct desk *desk = ag_http_arg(req);
    ag_wg_add(&desk->handlers, 1);
    ag_defer(ag_wg_done, &desk->handlers);
    ag_http_next(req, res);
    if (desk->options->log)
        printf("%s %s %d %.2fms\n", ag_http_method(req), ag_http_path(req),
               ag_http_status_so_far(res),
               (double)(ag_now() - ag_http_received_at(req)) / (double)AG_MS);
}

static void leave_seat(struct desk *desk) {
    ag_recv(desk->seats, NULL);
}

static void take_seat(ag_http_request *req, ag_http_response *res) {
    struct desk *desk = ag_http_arg(req);
    if (!strstr(ag_http_pattern(req), "/orders")) {
        ag_http_next(req, res);
    } else if (atomic_load(&desk->state) == DESK_STARTING) {
        reply_busy(res, "the service is starting");
    } else if (!ag_try_send(desk->seats, 1)) {
        atomic_fetch_add(&desk->turned_away, 1);
        reply_busy(res, "too many requests at a time");
    } else {
        ag_defer(leave_seat, desk);
        ag_http_next(req, res);
    }
}

/* ---- Routes --------------------------------------------------------------------------------- */

static void not_found(ag_http_request *req, ag_http_response *res) {
    (void)req;
    reply_error(res, 404, "there is nothing here; GET / lists what there is");
}

static void only_get(ag_http_request *req, ag_http_response *res) {
    ag_http_set(res, "Allow", "GET, HEAD");
    reply_error(res, 405, "%s is not possible here; GET is", ag_http_method(req));
}

static void only_post(ag_http_request *req, ag_http_response *res) {
    ag_http_set(res, "Allow", "POST");
    reply_error(res, 405, "%s is not possible here; POST is", ag_http_method(req));
}

static void only_get_and_post(ag_http_request *req, ag_http_response *res) {
    ag_http_set(res, "Allow", "GET, HEAD, POST");
    reply_error(res, 405, "%s is not possible here; GET and POST are", ag_http_method(req));
}

/* The most specific one wins: those with a method, then those of the same path, then "/". */
static const struct {
    const char *pattern;
    ag_http_handler handler;
} routes[] = {
    {"POST /orders", api_create},
    {"GET /orders", api_list},
    {"/orders", only_get_and_post},
    {"GET /orders/{id}", api_get},
    {"/orders/{id}", only_get},
    {"POST /orders/{id}/cancel", api_cancel},
    {"/orders/{id}/cancel", only_post},
    {"GET /{$}", page_index},
    {"/{$}", only_get},
    {"GET /healthz", page_health},
    {"/healthz", only_get},
    {"GET /readyz", page_ready},
    {"/readyz", only_get},
    {"GET /metrics", page_metrics},
    {"/metrics", only_get},
    {"GET /debug/goroutines", page_goroutines},
    {"/debug/goroutines", only_get},
    {"/", not_found},
};

ag_http_server *desk_server(struct desk *desk) {
    ag_http_server *http = ag_http_server_new(NULL);
    if (!http)
        return NULL;
    ag_http_use(http, log_request, desk);
    ag_http_use(http, take_seat, desk);
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        ag_http_handle(http, routes[i].pattern, routes[i].handler, desk);
    return http;
}
