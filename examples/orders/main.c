/* SPDX-License-Identifier: MIT */
/*
 * An order desk over HTTP: the life of the program, from the listener to the report at the end.
 *
 *     starting --database open, workers there--> ready --a signal--> draining --> exit
 *
 * Listening comes first, so that whoever watches finds out that it is starting, and a port that is
 * taken is noticed before anything else was done.
 *
 * Stopping. /readyz turns 503; after the grace the listener closes; the requests that have come are
 * answered; the workers ship what is queued as long as there is time, and the rest stays in the
 * database for the next start; the database is closed. A second signal ends the process where it
 * stands, which loses no accepted order either.
 */
#include "desk.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OK = 0, FAILED = 1, BAD_USAGE = 2 };
#define SAME_SIGNAL_NS (100 * AG_MS)

/* ---- Starting ------------------------------------------------------------------------------- */

static int listen_on(const char *addr, ag_listener **ret_listener) {
    int err = ag_listen("tcp", addr, ret_listener);
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

/* Owns both references. Closes `ended` when it is done with the server. */
static void serve(ag_http_server *http, ag_listener *listener, ag_chan(int) ended) {
    ag_defer(ag_unref, ended);
    ag_defer(ag_close, ended);
    ag_defer(ag_unref, listener);
    ag_send(ended, ag_http_serve(http, listener));
}

static void end_serving(ag_http_server *http, ag_chan(int) ended) {
    ag_http_stop(http, 0);
    while (ag_recv(ended, NULL))
        ;
}

static bool open_desk(struct desk *desk) {
    const struct options *o = desk->options;
    struct shipping_options shipping = {o->workers, o->queue, o->carrier_ms * AG_MS};
    if (store_open(o->db, &desk->store) != 0)
        return false;
    desk->shipping = shipping_start(desk->store, &shipping);
    return desk->shipping != NULL;
}

static void close_desk(struct desk *desk) {
    if (desk->shipping)
        shipping_free(desk->shipping);
    store_close(desk->store);
}

static void announce(struct desk *desk, const char *addr) {
    int64_t counts[ORDER_STATUSES] = {0};
    char path[PATH_MAX];
    store_counts(desk->store, ag_now() + AG_SEC, counts);
    const char *db = realpath(desk->options->db, path);
    printf("orders: an order desk on http://%s\n"
           "  database  %s, %" PRId64 " orders to ship from last time\n"
           "  shipping  %d workers, a queue of %d\n"
           "  look at   /metrics, /healthz, /readyz, /debug/goroutines\n"
           "try\n"
           "  curl -i http://%s/orders -H 'Content-Type: application/json' \\\n"
           "       -d '{\"item\":\"shoelace\",\"quantity\":2,\"customer\":\"c-1042\"}'\n"
           "  curl http://%s/orders/1\n"
           "  curl 'http://%s/orders?limit=5'\n"
           "  curl http://%s/metrics\n"
           "Ctrl-C stops it.\n",
           addr, db ? db : desk->options->db, counts[ORDER_ACCEPTED] + counts[ORDER_SHIPPING],
           desk->options->workers, desk->options->queue, addr, addr, addr, addr);
}

/* ---- Stopping ------------------------------------------------------------------------------- */

/* Until the channel is closed. Some send a signal to a process and to its group, which is one. */
static void force_exit(ag_chan(int) signals) {
    ag_time first = ag_now();
    while (ag_recv(signals, NULL)) {
        if (ag_now() - first >= SAME_SIGNAL_NS) {
            fprintf(stderr, "orders: stopped at once by a second signal\n");
            _exit(FAILED);
        }
    }
}

static void report(struct desk *desk, int sig, ag_time began, int64_t cut) {
    int64_t counts[ORDER_STATUSES] = {0}, answered = 0;
    struct shipping_stats shipping;
    ag_http_stats http;
    const char *cause = sig == SIGTERM ? "SIGTERM" : sig == SIGINT ? "SIGINT" : "an error";
    ag_http_stats_read(desk->http, &http);
    shipping_stats(desk->shipping, &shipping);
    store_counts(desk->store, ag_now() + AG_SEC, counts);
    for (int i = 0; i < 6; i++)
        answered += http.requests[i];
    printf("orders: stopped by %s in %.1f s: %" PRId64 " requests answered, %" PRId64
           " connections cut, %" PRId64 " orders shipped, %" PRId64 " left for the next start\n",
           cause, (double)(ag_now() - began) / (double)AG_SEC, answered, cut, shipping.shipped,
           counts[ORDER_ACCEPTED] + counts[ORDER_SHIPPING]);
}

static void stop_desk(struct desk *desk, int sig) {
    const struct options *o = desk->options;
    ag_time began = ag_now();
    atomic_store(&desk->state, DESK_DRAINING);
    ag_sleep(o->grace_ms * AG_MS);
    int64_t cut = ag_http_stop(desk->http, o->drain_ms * AG_MS);
    ag_wg_wait(&desk->handlers); /* also those whose connection was cut */
    shipping_stop(desk->shipping, o->drain_ms * AG_MS);
    report(desk, sig, began, cut);
}

/* ---- The program ---------------------------------------------------------------------------- */

/* From ready to the end. */
static int keep_desk(struct desk *desk, const char *addr, ag_chan(int) ended) {
    int sig = 0, err = 0;
    /* Only now: until here a signal may end the process as it likes, nothing was accepted. */
    ag_chan(int) signals = ag_make(int, 4);
    ag_defer(ag_unref, signals);
    ag_wg watch = AG_WG_INIT;
    ag_defer(ag_wg_wait, &watch);
    ag_defer(ag_close, signals);
    ag_notify(signals, SIGTERM, SIGINT);
    ag_defer(ag_notify_stop, signals);
    atomic_store(&desk->state, DESK_READY);
    announce(desk, addr);

    bool failed = ag_select(AG_RECV(signals, &sig), AG_RECV(ended, &err)) == 1;
    if (failed)
        fprintf(stderr, "orders: cannot accept connections any more: %s\n", strerror(-err));
    ag_wg_go(&watch, force_exit, signals);
    stop_desk(desk, sig);
    return failed ? FAILED : OK;
}

static int run_desk(struct desk *desk, ag_listener *listener) {
    ag_chan(int) ended = ag_make(int, 1);
    ag_defer(ag_unref, ended);
    ag_defer(close_desk, desk);
    ag_go(serve, desk->http, ag_ref(listener), ag_ref(ended));
    ag_defer(end_serving, desk->http, ended);
    if (!open_desk(desk))
        return FAILED;
    return keep_desk(desk, ag_listener_addr(listener), ended);
}

static int app(void *arg) {
    const struct options *options = arg;
    ag_listener *listener;
    int status = listen_on(options->addr, &listener);
    if (status != OK)
        return status;
    ag_defer(ag_unref, listener);

    struct desk desk = {.options = options, .seats = ag_make(char, options->max_requests)};
    ag_defer(ag_unref, desk.seats);
    desk.http = desk_server(&desk);
    if (!desk.http)
        return FAILED;
    ag_defer(ag_http_server_free, desk.http);
    return run_desk(&desk, listener);
}

int main(int argc, char **argv) {
    struct options options;
    int status = options_read(&options, argc, argv);
    if (status >= 0)
        return status;
    setvbuf(stdout, NULL, _IOLBF, 0);
    return ag_run(app, &options);
}
