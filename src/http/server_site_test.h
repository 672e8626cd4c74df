/* SPDX-License-Identifier: MIT */
/*
 * A site whose handlers wait, flood and count, for the tests of limits and of the stop. Include
 * ag_test.h before it.
 */
#ifndef AG_HTTP_SERVER_SITE_TEST_H
#define AG_HTTP_SERVER_SITE_TEST_H

#include "http/server.h"
#include "http/server_gate_test.h"

static struct client cl; /* of the test under way: each has a process of its own */
static struct reply r;

#define GET(path) "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"

static void flood(ag_http_request *req, ag_http_response *res) {
    static char piece[65536];
    ssize_t n;
    (void)req;
    atomic_fetch_add(&entered, 1);
    while ((n = ag_http_write(res, piece, sizeof piece)) > 0)
        continue;
    ag_check_int(ag_http_write(res, piece, 1), n); /* and ever after */
    atomic_store(&last_error, (int)n);
    atomic_fetch_add(&left, 1);
}

/* Not ended by anything: its waits are not those of the request. */
static void waits_on(ag_http_request *req, ag_http_response *res) {
    ag_ctx_enter(NULL);
    wait_at_gate(req, res);
}

static void start(struct site *site, const ag_http_options *options) {
    begin(site, options);
    ag_http_handle(site->s, "/body", count_body, NULL);
    ag_http_handle(site->s, "/flood", flood, NULL);
    ag_http_handle(site->s, "/wait", wait_at_gate, NULL);
    ag_http_handle(site->s, "/wait_on", waits_on, NULL);
    site_start(site);
}

#endif
