/* SPDX-License-Identifier: MIT */
/*
 * An order desk over HTTP: what it is made of, and in what order that lives. ag_serve does the
 * rest: it starts the parts, serves, stops them in reverse order, and hands the socket to a new
 * version of the program.
 *
 *     listen --> turn --> audit --> database --> shipping --> certificates --> ready
 *
 * Listening comes first, so that a port that is taken is noticed before anything else was done.
 */
#include "desk.h"

#include <aglet/svc.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, FAILED = 1, BAD_USAGE = 2 };

/* Static: a handler that never ends may outlive everything else. */
static struct desk desk;

/* ---- The parts ------------------------------------------------------------------------------ */

static int queue_for_turn(void *arg) {
    struct desk *d = arg;
    return turn_queue(d->options->db, d->options->successor, &d->turn);
}

static int open_audit(void *arg) {
    struct desk *d = arg;
    return audit_open(d->options->db, &d->audit);
}

static void close_audit(void *arg) {
    struct desk *d = arg;
    audit_close(&d->audit);
}

static int open_store(void *arg) {
    struct desk *d = arg;
    return store_open(d->options->db, &d->store);
}

static void close_store(void *arg) {
    struct desk *d = arg;
    store_close(d->store);
}

static int start_shipping(void *arg) {
    struct desk *d = arg;
    const struct options *o = d->options;
    struct shipping_options shipping = {o->workers, o->queue, o->carrier_ms * AG_MS};
    d->shipping = shipping_start(d->store, &d->turn, &d->audit, &shipping);
    return d->shipping ? 0 : -ENOMEM;
}

static void stop_shipping(void *arg) {
    struct desk *d = arg;
    shipping_stop(d->shipping, d->options->drain_ms * AG_MS);
    turn_leave(&d->turn); /* the rest of our end is of no matter to who waits for it */
}

static const ag_svc_part parts[] = {
    {.name = "turn", .start = queue_for_turn, .arg = &desk},
    {.name = "audit", .start = open_audit, .drain = close_audit, .arg = &desk},
    {.name = "database", .start = open_store, .drain = close_store, .arg = &desk},
    {.name = "shipping", .start = start_shipping, .drain = stop_shipping, .arg = &desk},
    {.name = "certificates", .start = certs_watch, .drain = certs_unwatch, .arg = &desk},
    {.name = NULL},
};

/* ---- Serving -------------------------------------------------------------------------------- */

/* Or from the process before. */
static int listen_on(const char *addr, ag_listener **ret_listener) {
    int err = ag_svc_listen("tcp", addr, ret_listener);
    switch (err) {
    case 0:
        return OK;
    case -EADDRINUSE:
        fprintf(stderr, "orders: %s is in use; stop what listens there, or see --addr\n", addr);
        return FAILED;
    case -EINVAL:
        fprintf(stderr, "orders: %s is no address; --addr wants HOST:PORT\n", addr);
        return BAD_USAGE;
    }
    fprintf(stderr, "orders: cannot listen on %s: %s; see --addr\n", addr, strerror(-err));
    return FAILED;
}

static void announce(void *listener) {
    const struct options *o = desk.options;
    int64_t counts[ORDER_STATUSES] = {0};
    char path[PATH_MAX], url[200], trust[PATH_MAX + 20] = "";
    const char *db = realpath(o->db, path);
    snprintf(url, sizeof url, "%s://%s", o->cert ? "https" : "http", ag_listener_addr(listener));
    if (o->cert)
        snprintf(trust, sizeof trust, "--cacert %s ", o->cert);
    store_counts(desk.store, ag_now() + AG_SEC, counts);
    printf("orders: an order desk on %s\n"
           "  process   %d\n"
           "  database  %s, %" PRId64 " orders to ship from before\n"
           "  shipping  %d workers, a queue of %d\n"
           "  look at   /metrics, /livez, /readyz, /debug/\n"
           "try\n"
           "  curl %s-i %s/orders -H 'Content-Type: application/json' \\\n"
           "       -d '{\"item\":\"shoelace\",\"quantity\":2,\"customer\":\"c-1042\"}'\n"
           "  curl %s%s/orders/1\n"
           "  curl %s'%s/orders?limit=5'\n"
           "  curl %s%s/metrics\n"
           "Ctrl-C stops it, kill -USR2 restarts it.\n",
           url, ag_process_pid(NULL), db ? db : o->db,
           counts[ORDER_ACCEPTED] + counts[ORDER_SHIPPING], o->workers, o->queue, trust, url, trust,
           url, trust, url, trust, url);
}

static int serve(ag_http_server *http, ag_listener *listener) {
    const ag_svc_server servers[] = {{.http = http, .listener = listener}, {.http = NULL}};
    const ag_service service = {
        .servers = servers, .parts = parts, .ready = announce, .arg = listener};
    return ag_serve(&service) == 0 ? OK : FAILED;
}

static int app(void *arg) {
    const struct options *options = arg;
    ag_listener *listener;
    desk.options = options;
    if (options->cert && !(desk.tls = certs_read(options)))
        return FAILED;
    ag_defer(ag_unref, desk.tls);
    int status = listen_on(options->addr, &listener);
    if (status != OK)
        return status;
    ag_defer(ag_unref, listener);
    if (desk.tls && ag_tls_listener(listener, desk.tls) != 0)
        return FAILED;
    desk.seats = ag_make(char, options->max_requests);
    ag_defer(ag_unref, desk.seats);
    ag_http_server *http = desk_server(&desk);
    if (!http)
        return FAILED;
    ag_defer(ag_http_server_free, http);
    return serve(http, listener);
}

int main(int argc, char **argv) {
    struct options options;
    int status = options_read(&options, argc, argv);
    if (status >= 0)
        return status;
    setvbuf(stdout, NULL, _IOLBF, 0);
    return ag_run(app, &options);
}
