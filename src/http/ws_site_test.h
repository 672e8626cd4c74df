/* SPDX-License-Identifier: MIT */
/*
 * A site of WebSockets, and those who dial it: for the tests of two ends that are both ours.
 * Include ag_test.h before it.
 */
#ifndef AG_HTTP_WS_SITE_TEST_H
#define AG_HTTP_WS_SITE_TEST_H

#include "http/server_test.h"

#include <aglet/websocket.h>

static struct site site; /* of the test under way: each has a process of its own */
static ag_ws_options of_server;
static _Atomic(ag_ws *) accepted; /* by `keeps` */
static atomic_int ended;

static void echo(ag_http_request *req, ag_http_response *res) {
    ag_ws *ws;
    const char *data;
    size_t n;
    int type;
    if (ag_ws_accept(req, res, &of_server, &ws) != 0)
        return;
    ag_defer(ag_ws_unref, ws);
    while ((type = ag_ws_read(ws, &data, &n)) > 0)
        ag_ws_write(ws, type, data, n);
    atomic_fetch_add(&ended, 1);
}

/* For the test to use. */
static void keeps(ag_http_request *req, ag_http_response *res) {
    ag_ws *ws;
    if (ag_ws_accept(req, res, &of_server, &ws) == 0)
        atomic_store(&accepted, ws);
}

static inline void start(void) {
    site.s = ag_http_server_new(NULL);
    ag_http_handle(site.s, "/echo", echo, NULL);
    ag_http_handle(site.s, "/keeps", keeps, NULL);
    ag_http_handle(site.s, "/ok", ok, NULL);
    site_start(&site);
}

static inline ag_ws *dial(const char *path, const ag_ws_options *o) {
    char url[200];
    ag_ws *ws;
    snprintf(url, sizeof url, "ws://%s%s", ag_listener_addr(site.l), path);
    ag_check_int(ag_ws_dial(url, o, &ws), 0);
    return ws;
}

/* Both ends of one. */
static inline ag_ws *pair(const ag_ws_options *o, ag_ws **ret_server) {
    atomic_store(&accepted, NULL);
    ag_ws *ws = dial("/keeps", o);
    eventually(atomic_load(&accepted) != NULL);
    *ret_server = atomic_load(&accepted);
    return ws;
}

static inline void expect_text(ag_ws *ws, const char *text) {
    const char *data;
    size_t n;
    ag_check_int(ag_ws_read(ws, &data, &n), AG_WS_TEXT);
    ag_check_str(data, text);
    ag_check_int(n, strlen(text));
}

#endif
