/* SPDX-License-Identifier: MIT */
/*
 * A site some of whose handlers wait at a gate, and tell who came and went. Include ag_test.h
 * before it.
 */
#ifndef AG_HTTP_SERVER_GATE_TEST_H
#define AG_HTTP_SERVER_GATE_TEST_H

#include "http/server_test.h"

static atomic_int entered, left, last_error;
static ag_chan(char) gate;

/* Waits until somebody sends to the gate, or its own context ends. */
static inline void wait_at_gate(ag_http_request *req, ag_http_response *res) {
    (void)req;
    atomic_fetch_add(&entered, 1);
    ag_recv(gate, NULL);
    ag_http_printf(res, "%s", ag_http_stopping(ag_http_server_of(req)) ? "stopping" : "waited");
    atomic_fetch_add(&left, 1);
}

/* Waits until its client has gone, in whatever way. */
static inline void watches(ag_http_request *req, ag_http_response *res) {
    char byte;
    atomic_fetch_add(&entered, 1);
    eventually(ag_http_client_is_gone(req));
    ag_check_int(ag_http_body_read(req, &byte, 1), -ECONNRESET);
    ag_check_int(ag_http_body_read(req, &byte, 1), -ECONNRESET); /* and ever after */
    ag_check_int(ag_http_printf(res, "in vain"), 7);             /* buffered */
    ag_check_int(ag_http_flush(res), -EPIPE);
    ag_check_int(ag_http_write(res, "x", 1), -EPIPE);
    atomic_fetch_add(&left, 1);
}

/* Reads the body, with the limits of the query: `max` bytes, `ms`. */
static inline void count_body(ag_http_request *req, ag_http_response *res) {
    char buf[4096];
    int64_t all = 0;
    ssize_t n;
    const char *ms = ag_http_query_value(req, "ms"), *max = ag_http_query_value(req, "max");
    ag_http_limit_body(req, max ? strtol(max, NULL, 10) : 0, ms ? strtol(ms, NULL, 10) * AG_MS : 0);
    atomic_fetch_add(&entered, 1);
    while ((n = ag_http_body_read(req, buf, sizeof buf)) > 0)
        all += n;
    atomic_store(&last_error, (int)n);
    atomic_fetch_add(&left, 1);
    if (n == 0)
        ag_http_printf(res, "%lld", (long long)all);
}

/* A server with the gate, to which the test adds its handlers before site_start. */
static inline void begin(struct site *site, const ag_http_options *options) {
    memset(site, 0, sizeof *site);
    gate = ag_make(char, 0);
    site->s = ag_http_server_new(options);
    ag_http_handle(site->s, "/ok", ok, NULL);
}

static inline void finish(struct site *site) {
    site_end(site);
    ag_unref(gate);
}

#endif
