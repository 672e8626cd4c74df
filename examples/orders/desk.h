/* SPDX-License-Identifier: MIT */
/*
 * The order desk: options, and what all parts of the program share.
 */
#ifndef ORDERS_DESK_H
#define ORDERS_DESK_H

#include "audit.h"
#include "shipping.h"
#include "store.h"
#include "turn.h"

#include <aglet.h>
#include <aglet/http.h>
#include <aglet/tls.h>

struct options {
    const char *addr;
    const char *db;
    const char *cert, *key; /* NULL: no TLS */
    const char *client_ca;  /* NULL: orders come from anybody */
    int workers;
    int queue;
    int max_requests;
    int timeout_ms; /* of a request */
    int carrier_ms; /* how long the carrier takes for an order */
    int drain_ms;   /* for the queue when stopping, and again for what the carriers have */
    bool successor; /* another process of this program serves, and will hand over */
};

/* Reads the command line over the environment over the defaults. Returns: -1 to go on, else the
 * status to exit with; what there is to say is printed. */
int options_read(struct options *ret_options, int argc, char **argv);

/* Lives in main. All of it is there before anything is served. */
struct desk {
    const struct options *options;
    ag_tls_config *tls;  /* NULL: none */
    ag_chan(char) seats; /* a semaphore: each request about orders holds a seat */
    struct turn turn;
    struct audit audit;
    struct store *store;
    struct shipping *shipping;
    ag_chan(int) hangups; /* of certs.c */
    ag_wg renewal;
};

/* web.c: a server with the desk's routes and limits. Owns: the caller. */
ag_http_server *desk_server(struct desk *desk);
/* The point of ag_now() by which this request must be done. */
ag_time desk_deadline(ag_http_request *req);

/* certs.c: TLS as the options say. Prints what is wrong. Returns: NULL then. */
ag_tls_config *certs_read(const struct options *options);
/* Reads the files again at each SIGHUP, from certs_watch to certs_unwatch. `desk`: a struct desk.
 * Returns: 0, a negative errno. */
int certs_watch(void *desk);
void certs_unwatch(void *desk);

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
void page_metrics(ag_http_request *req, ag_http_response *res);

#endif
