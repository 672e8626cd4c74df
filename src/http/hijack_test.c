/* SPDX-License-Identifier: MIT */
/*
 * Connections that handlers take over, and what a stop does with them.
 */
#include "ag_test.h"

#include "http/server_gate_test.h"

static struct client cl; /* of the test under way: each has a process of its own */
static struct reply r;
static atomic_int told, handled;
static _Atomic(ag_http_upgraded *) passed_on;

#define ASKS "Host: h\r\nConnection: upgrade\r\nUpgrade: other, echo/1\r\n"

/* ---- Handlers ------------------------------------------------------------------------------- */

/* Echoes until the client ends, then says so. */
static void echo_until_end(ag_http_upgraded *u) {
    char buf[1000];
    ssize_t n;
    while ((n = ag_http_upgraded_read(u, buf, sizeof buf)) > 0)
        ag_write(ag_http_upgraded_conn(u), buf, (size_t)n);
    if (n == 0)
        ag_write(ag_http_upgraded_conn(u), "end", 3);
}

static void echo(ag_http_request *req, ag_http_response *res) {
    ag_http_upgraded *u;
    const char *protocol = ag_http_query_value(req, "protocol");
    ag_http_set(res, "X-Field", "kept");
    int error = ag_http_upgrade(req, res, protocol ? protocol : "echo/1", &u);
    if (error != 0) {
        ag_http_error(res, 400, "%d", error);
        return;
    }
    ag_check(ag_http_conn(req) == ag_http_upgraded_conn(u));
    ag_check_int(ag_http_set(res, "X-Late", "1"), -EALREADY);
    ag_check_int(ag_http_write(res, "x", 1), -EALREADY);
    ag_check_int(ag_http_error(res, 500, "x"), -EALREADY);
    ag_check_int(ag_http_upgrade(req, res, "echo/1", &u), -EALREADY);
    ag_check_int(ag_http_status_so_far(res), 101);
    echo_until_end(u);
    ag_http_upgraded_close(u);
    ag_check_str(ag_http_path(req), "/echo"); /* valid until the return */
    atomic_fetch_add(&handled, 1);
}

/* Nothing is sent for the handler: a tunnel. */
static void tunnel(ag_http_request *req, ag_http_response *res) {
    ag_http_upgraded *u;
    ag_check_int(ag_http_upgrade(req, res, NULL, &u), 0);
    ag_write(ag_http_upgraded_conn(u), "HTTP/1.1 200 \r\n\r\n", 17);
    echo_until_end(u);
    ag_http_upgraded_close(u);
}

static void elsewhere(ag_http_upgraded *u) {
    echo_until_end(u);
    ag_http_upgraded_close(u);
}

static void passes_on(ag_http_request *req, ag_http_response *res) {
    ag_http_upgraded *u;
    ag_check_int(ag_http_upgrade(req, res, "echo/1", &u), 0);
    ag_go(elsewhere, u);
}

static void panics(ag_http_request *req, ag_http_response *res) {
    ag_http_upgraded *u;
    ag_check_int(ag_http_upgrade(req, res, "echo/1", &u), 0);
    ag_defer(ag_http_upgraded_close, u);
    ag_panic("after the upgrade");
}

static void too_late(ag_http_request *req, ag_http_response *res) {
    ag_http_upgraded *u;
    ag_http_printf(res, "begun");
    ag_check_int(ag_http_upgrade(req, res, "echo/1", &u), -EALREADY);
}

static void good_bye(ag_http_upgraded *u, int n) {
    ag_check_int(n, 42);
    ag_write(ag_http_upgraded_conn(u), "bye", 3);
    atomic_fetch_add(&told, 1);
    ag_recv(gate, NULL);
}

static void wants_to_know(ag_http_request *req, ag_http_response *res) {
    ag_http_upgraded *u;
    ag_check_int(ag_http_upgrade(req, res, "echo/1", &u), 0);
    if (ag_http_query_value(req, "told"))
        ag_http_upgraded_on_stop(u, good_bye, u, 42);
    atomic_store(&passed_on, u);
}

static void start(struct site *site, const ag_http_options *options) {
    begin(site, options);
    ag_http_handle(site->s, "/echo", echo, NULL);
    ag_http_handle(site->s, "/tunnel", tunnel, NULL);
    ag_http_handle(site->s, "/passes_on", passes_on, NULL);
    ag_http_handle(site->s, "/panics", panics, NULL);
    ag_http_handle(site->s, "/late", too_late, NULL);
    ag_http_handle(site->s, "/know", wants_to_know, NULL);
    site_start(site);
}

static void expect_101(void) {
    char line[200];
    bool upgrade = false, connection = false, kept = false;
    ag_check(take_line(&cl, line, sizeof line));
    ag_check_str(line, "HTTP/1.1 101 Switching Protocols");
    while (take_line(&cl, line, sizeof line) && line[0]) {
        upgrade |= strcmp(line, "Upgrade: echo/1") == 0;
        connection |= strcmp(line, "Connection: Upgrade") == 0;
        kept |= strcmp(line, "X-Field: kept") == 0;
        ag_check(strncmp(line, "Content-", 8) != 0 && strncmp(line, "Transfer-", 9) != 0);
    }
    ag_check(upgrade && connection && (kept || atomic_load(&passed_on)));
}

static void expect_bytes(const char *text) {
    r.n = 0;
    ag_check(take_bytes(&cl, &r, strlen(text)));
    ag_check(memcmp(r.body, text, strlen(text)) == 0);
}

/* ---- Taking --------------------------------------------------------------------------------- */

AG_TEST_RUN(a_handler_takes_the_connection_over_with_what_came_behind_its_request) {
    struct site site;
    start(&site, NULL);
    client_open(&cl, &site);
    say(&cl, "GET /ok HTTP/1.1\r\nHost: h\r\n\r\n"
             "GET /echo HTTP/1.1\r\n" ASKS "\r\nGET /ok HTTP/1.1\r\n\r\n");
    expect(&cl, &r, 200, "ok\n");
    expect_101();
    expect_bytes("GET /ok HTTP/1.1\r\n\r\n");
    say(&cl, "more");
    expect_bytes("more");
    ag_check_int(stats_of(&site).upgraded, 1);
    ag_check_int(stats_of(&site).upgrades, 1);
    ag_check_int(stats_of(&site).requests[1], 1);
    ag_check_int(stats_of(&site).open, 1);
    ag_check_int(stats_of(&site).idle, 0);
    ag_conn_shutdown(cl.c, 1);
    expect_bytes("end");
    expect_end(&cl);
    eventually(stats_of(&site).open == 0);
    ag_check_int(stats_of(&site).upgraded, 0);
    ag_check_int(stats_of(&site).upgrades, 1);
    ag_check_int(stats_of(&site).requests[1], 1);
    ag_check_int(atomic_load(&handled), 1);
    client_close(&cl);
    finish(&site);
}

AG_TEST_RUN(nothing_is_sent_for_a_tunnel) {
    struct site site;
    start(&site, NULL);
    client_open(&cl, &site);
    say(&cl, "GET /tunnel HTTP/1.1\r\nHost: h\r\n\r\nearly");
    listen_for(&cl, &r, true);
    ag_check_int(r.status, 200);
    ag_check_str(r.head, "HTTP/1.1 200 \n");
    expect_bytes("early");
    client_close(&cl);
    finish(&site);
}

AG_TEST_RUN(an_upgrade_is_refused_where_it_was_not_asked_for) {
    static const struct {
        const char *request;
        int error;
    } cases[] = {
        {"GET /echo HTTP/1.1\r\nHost: h\r\n\r\n", -EPROTO},
        {"GET /echo HTTP/1.1\r\nHost: h\r\nUpgrade: echo/1\r\n\r\n", -EPROTO},
        {"GET /echo HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n", -EPROTO},
        {"POST /echo HTTP/1.1\r\n" ASKS "Content-Length: 1\r\n\r\nx", -EPROTO},
        {"GET /echo HTTP/1.0\r\n" ASKS "\r\n", -EOPNOTSUPP},
        {"GET /echo?protocol=a%20b HTTP/1.1\r\n" ASKS "\r\n", -EINVAL},
        {"GET /echo?protocol=/1 HTTP/1.1\r\n" ASKS "\r\n", -EINVAL},
        {"GET /echo?protocol= HTTP/1.1\r\n" ASKS "\r\n", -EINVAL},
    };
    struct site site;
    start(&site, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[16];
        snprintf(text, sizeof text, "%d\n", cases[i].error);
        client_open(&cl, &site);
        say(&cl, cases[i].request);
        expect(&cl, &r, 400, text);
        client_close(&cl);
    }
    client_open(&cl, &site);
    say(&cl, "GET /late HTTP/1.1\r\n" ASKS "\r\nGET /ok HTTP/1.1\r\nHost: h\r\n\r\n");
    expect(&cl, &r, 200, "begun"); /* the connection is the server's as before */
    expect(&cl, &r, 200, "ok\n");
    client_close(&cl);
    ag_check_int(stats_of(&site).upgrades, 0);
    finish(&site);
}

AG_TEST_RUN(a_connection_outlives_the_handler_that_took_it) {
    struct site site;
    ag_http_options o = {.idle_ns = 50 * AG_MS, .head_ns = 50 * AG_MS};
    start(&site, &o);
    client_open(&cl, &site);
    say(&cl, "GET /passes_on HTTP/1.1\r\n" ASKS "X: 1\r\n\r\nearly");
    listen_for(&cl, &r, true);
    ag_check_int(r.status, 101);
    expect_bytes("early");
    ag_sleep(200 * AG_MS); /* none of the server's limits counts any more */
    say(&cl, "late");
    expect_bytes("late");
    ag_check_int(stats_of(&site).timed_out, 0);
    client_close(&cl);
    finish(&site);
}

AG_TEST_RUN(an_eviction_passes_over_what_was_taken) {
    struct site site;
    static struct client taken, idle;
    ag_http_options o = {.conns_max = 2};
    start(&site, &o);
    client_open(&idle, &site);
    say(&idle, "GET /ok HTTP/1.1\r\nHost: h\r\n\r\n");
    expect(&idle, &r, 200, "ok\n");
    client_open(&taken, &site);
    say(&taken, "GET /passes_on HTTP/1.1\r\n" ASKS "\r\n");
    listen_for(&taken, &r, true);
    eventually(stats_of(&site).idle == 1); /* else there is nobody to make room */
    client_open(&cl, &site);
    say(&cl, "GET /passes_on HTTP/1.1\r\n" ASKS "\r\n");
    listen_for(&cl, &r, true);
    ag_check_int(r.status, 101);
    expect_end(&idle);
    client_close(&idle);
    client_open(&idle, &site);
    expect(&idle, &r, 503, "too many connections\n");
    client_close(&idle);
    client_close(&taken);
    client_close(&cl);
    finish(&site);
}

AG_TEST_RUN(a_panic_behind_the_upgrade_sends_nothing) {
    struct site site;
    start(&site, NULL);
    client_open(&cl, &site);
    say(&cl, "GET /panics HTTP/1.1\r\n" ASKS "\r\n");
    listen_for(&cl, &r, true);
    ag_check_int(r.status, 101);
    expect_end(&cl);
    eventually(stats_of(&site).panics == 1);
    client_close(&cl);
    finish(&site);
}

/* ---- Stopping ------------------------------------------------------------------------------- */

static atomic_llong cut;

static void stop(struct site *site, ag_time limit) {
    atomic_store(&cut, ag_http_stop(site->s, limit));
}

static void begin_to_know(struct site *site, const char *request) {
    start(site, NULL);
    client_open(&cl, site);
    say(&cl, request);
    listen_for(&cl, &r, true);
    ag_check_int(r.status, 101);
    eventually(atomic_load(&passed_on) != NULL);
    atomic_store(&cut, -1);
}

AG_TEST_RUN(a_stop_tells_who_has_taken_a_connection_and_waits_for_him) {
    struct site site;
    begin_to_know(&site, "GET /know?told=1 HTTP/1.1\r\n" ASKS "\r\n");
    ag_go(stop, &site, 60 * AG_SEC);
    expect_bytes("bye");
    eventually(atomic_load(&told) == 1);
    ag_check_int(atomic_load(&cut), -1);
    ag_send(gate, 'x');
    ag_http_upgraded_close(atomic_load(&passed_on));
    expect_end(&cl);
    client_close(&cl);
    eventually(atomic_load(&cut) == 0);
    finish(&site);
}

AG_TEST_RUN(who_asks_after_the_stop_has_begun_is_told_at_once) {
    struct site site;
    begin_to_know(&site, "GET /know HTTP/1.1\r\n" ASKS "\r\n");
    ag_go(stop, &site, 60 * AG_SEC);
    eventually(ag_http_stopping(site.s));
    ag_http_upgraded_on_stop(atomic_load(&passed_on), good_bye, atomic_load(&passed_on), 42);
    expect_bytes("bye");
    ag_send(gate, 'x');
    ag_http_upgraded_close(atomic_load(&passed_on));
    client_close(&cl);
    eventually(atomic_load(&cut) == 0);
    finish(&site);
}

static void close_it(void) {
    ag_http_upgraded_close(atomic_load(&passed_on));
    atomic_fetch_add(&handled, 1);
}

AG_TEST_RUN(giving_up_waits_for_the_function_that_was_told) {
    struct site site;
    begin_to_know(&site, "GET /know?told=1 HTTP/1.1\r\n" ASKS "\r\n");
    ag_go(stop, &site, 60 * AG_SEC);
    eventually(atomic_load(&told) == 1);
    ag_go(close_it);
    expect_bytes("bye");
    expect_end(&cl); /* the closing has begun */
    ag_check_int(atomic_load(&handled), 0);
    ag_send(gate, 'x');
    eventually(atomic_load(&handled) == 1);
    client_close(&cl);
    eventually(atomic_load(&cut) == 0);
    finish(&site);
}

AG_TEST_RUN(what_is_still_taken_at_the_limit_of_a_stop_is_cut) {
    struct site site;
    char c;
    begin_to_know(&site, "GET /know HTTP/1.1\r\n" ASKS "\r\n");
    ag_check_int(ag_http_stop(site.s, 20 * AG_MS), 1);
    expect_end(&cl);
    ag_check_int(ag_http_upgraded_read(atomic_load(&passed_on), &c, 1), -ECANCELED);
    ag_http_upgraded_close(atomic_load(&passed_on));
    client_close(&cl);
    finish(&site);
}

static void waits_to_upgrade(ag_http_request *req, ag_http_response *res) {
    ag_http_upgraded *u;
    atomic_fetch_add(&told, 1);
    ag_recv(gate, NULL);
    ag_http_printf(res, "%d", ag_http_upgrade(req, res, "echo/1", &u));
}

AG_TEST_RUN(nobody_takes_a_connection_once_a_stop_has_begun) {
    struct site site = {.s = ag_http_server_new(NULL)};
    char text[16];
    gate = ag_make(char, 0);
    ag_http_handle(site.s, "/", waits_to_upgrade, NULL);
    site_start(&site);
    client_open(&cl, &site);
    say(&cl, "GET / HTTP/1.1\r\n" ASKS "\r\n");
    eventually(atomic_load(&told) == 1);
    ag_go(stop, &site, 60 * AG_SEC);
    eventually(ag_http_stopping(site.s));
    ag_send(gate, 'x');
    snprintf(text, sizeof text, "%d", -ECANCELED);
    expect(&cl, &r, 200, text);
    client_close(&cl);
    finish(&site);
}
