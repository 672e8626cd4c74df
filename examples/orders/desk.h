/* SPDX-License-Identifier: MIT */
/*
 * The order desk: options, and what all parts of the program share.
 */
#ifndef ORDERS_DESK_H
#define ORDERS_DESK_H

#include "shipping.h"
#include "store.h"

#include <aglet.h>
#include <aglet/http.h>
#include <stdatomic.h>

struct options {
    const char *addr;
    const char *db;
    int workers;
    int queue;
    int max_requests;
    int timeout_ms; /* of a request */
    int carrier_ms; /* how long the carrier takes for an order */
    int grace_ms;   /* after a signal, before connections are refused */
    int drain_ms;   /* for the requests, and again for the queue */
    bool log;
};

/* Reads the command line over the environment over the defaults. Returns: -1 to go on, else the
 * status to exit with; what there is to say is printed. */
int options_read(struct options *ret_options, int argc, char **argv);

enum desk_state { DESK_STARTING, DESK_READY, DESK_DRAINING };

/* Lives in main; `store` and `shipping` are there from DESK_READY on. */
struct desk {
    const struct options *options;
    _Atomic(enum desk_state) state;
    struct store *store;
    struct shipping *shipping;
    ag_http_server *http;
    ag_chan(char) seats;         /* a semaphore: each request about orders holds a seat */
    ag_wg handlers;              /* all requests that are being answered */
    _Atomic int64_t turned_away; /* requests for which there was no seat */
};

/* serve.c: a server with the desk's routes and limits. Owns: the caller. */
ag_http_server *desk_server(struct desk *desk);
/* The point of ag_now() by which this request must be done. */
ag_time desk_deadline(ag_http_request *req);

/* reply.c */
/* Sends the value, and drops the reference. */
void reply_json(ag_http_response *res, int status, json_t *value);
/* {"error": text}. */
void reply_error(ag_http_response *res, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* {"error": text, "field": field}, 400. */
void reply_complaint(ag_http_response *res, const struct complaint *complaint);
/* 503, and when to come back. */
void reply_busy(ag_http_response *res, const char *why);
/* What an error of the store means to a client. */
void reply_store_error(ag_http_response *res, int err);

/* api.c */
void api_create(ag_http_request *req, ag_http_response *res);
void api_get(ag_http_request *req, ag_http_response *res);
void api_list(ag_http_request *req, ag_http_response *res);
void api_cancel(ag_http_request *req, ag_http_response *res);

/* pages.c */
void page_index(ag_http_request *req, ag_http_response *res);
void page_health(ag_http_request *req, ag_http_response *res);
void page_ready(ag_http_request *req, ag_http_response *res);
void page_metrics(ag_http_request *req, ag_http_response *res);
void page_goroutines(ag_http_request *req, ag_http_response *res);

#endif
