/* SPDX-License-Identifier: MIT */
/*
 * The server as a client sees it: requests, bodies, responses, errors.
 */
#include "ag_test.h"

#include "http/server_test.h"

#include <aglet/metric.h>
#include <time.h>

static struct client cl; /* of the test under way: each has a process of its own */
static struct reply r;

/* ---- Handlers ------------------------------------------------------------------------------- */

static void untouched(ag_http_request *req, ag_http_response *res) {
    (void)req;
    (void)res;
}

/* Everything there is to ask. */
static void describe(ag_http_request *req, ag_http_response *res) {
    const char *x = ag_http_header(req, "x-Thing"), *q = ag_http_query_value(req, "q");
    ag_check(!ag_http_path_value(req, "none"));
    ag_check(!ag_http_query_value(req, "none"));
    ag_check(!ag_http_header(req, "None"));
    ag_http_printf(res, "%s|%s|%s|%s|%s|%s|%s|%s|%lld|%s", ag_http_method(req), ag_http_path(req),
                   ag_http_query(req), ag_http_host(req), ag_http_path_value(req, "id"),
                   q ? q : "-", x ? x : "-", ag_http_header(req, "Host"),
                   (long long)ag_http_content_length(req), ag_http_pattern(req));
}

static void all_fields(ag_http_request *req, ag_http_response *res) {
    const char *name, *value;
    for (size_t i = 0; ag_http_header_at(req, i, &name, &value); i++)
        ag_http_printf(res, "%s=%s;", name, value);
}

static void echo(ag_http_request *req, ag_http_response *res) {
    char buf[1000];
    ssize_t n;
    while ((n = ag_http_body_read(req, buf, sizeof buf)) > 0)
        if (ag_http_write(res, buf, (size_t)n) < 0)
            return;
}

static void whole(ag_http_request *req, ag_http_response *res) {
    char *body;
    size_t n;
    int status = ag_http_body_all(req, 100000, &body, &n);
    if (status == 0)
        ag_http_printf(res, "%zu %zu", n, strlen(body));
}

static void fill(ag_http_request *req, ag_http_response *res) {
    static const char piece[] = "0123456789abcdef";
    long n = strtol(ag_http_query_value(req, "n"), NULL, 10);
    for (long i = 0; i < n; i++)
        ag_check_int(ag_http_write(res, piece, 16), 16);
}

static void three_pieces(ag_http_request *req, ag_http_response *res) {
    (void)req;
    for (int i = 0; i < 3; i++) {
        ag_http_printf(res, "piece %d\n", i);
        ag_check_int(ag_http_flush(res), 0);
    }
}

static char large[200000];

static void send_large(ag_http_request *req, ag_http_response *res) {
    (void)req;
    ag_check_int(ag_http_send(res, 200, "x/y", large, sizeof large), 0);
}

static void fields(ag_http_request *req, ag_http_response *res) {
    char huge[9000];
    (void)req;
    memset(huge, 'h', sizeof huge);
    huge[sizeof huge - 1] = 0;
    ag_check_int(ag_http_set(res, "X-One", "first"), 0);
    ag_check_int(ag_http_add(res, "Set-Cookie", "a=1"), 0);
    ag_check_int(ag_http_add(res, "set-cookie", "b=2"), 0);
    ag_check_int(ag_http_set(res, "x-one", " second "), 0);
    ag_check_int(ag_http_set(res, "X-Split", "a\r\nX-Evil: 1"), -EINVAL);
    ag_check_int(ag_http_set(res, "X Split", "a"), -EINVAL);
    ag_check_int(ag_http_set(res, "", "a"), -EINVAL);
    ag_check_int(ag_http_set(res, "Transfer-Encoding", "chunked"), -EINVAL);
    ag_check_int(ag_http_set(res, "Content-Length", "-1"), -EINVAL);
    ag_check_int(ag_http_set(res, "X-Huge", huge), -E2BIG);
    ag_check_int(ag_http_send(res, 200, "x/y\r\nX-Evil: 1", "", 0), -EINVAL);
    ag_check_int(ag_http_set(res, "Content-Type", "x/z"), 0);
    ag_check_int(ag_http_json(res, 201, "{}"), 0);
    ag_check_int(ag_http_set(res, "X-Late", "1"), -EALREADY);
    ag_check_int(ag_http_write(res, "x", 1), -EMSGSIZE);
    ag_check_int(ag_http_text(res, 200, "again"), -EALREADY);
    ag_check_int(ag_http_error(res, 500, "no"), -EALREADY);
}

static void no_content(ag_http_request *req, ag_http_response *res) {
    (void)req;
    ag_http_status(res, 204);
    ag_check_int(ag_http_write(res, "x", 1), -EINVAL);
}

static void declared(ag_http_request *req, ag_http_response *res) {
    const char *length = ag_http_query_value(req, "n");
    ag_check_int(ag_http_set(res, "Content-Length", length), 0);
    if (ag_http_query_value(req, "flush"))
        ag_http_flush(res);
    ag_http_write(res, "12345", 5);
    ag_check_int(ag_http_write(res, large, sizeof large), -EMSGSIZE);
}

static void second_thoughts(ag_http_request *req, ag_http_response *res) {
    (void)req;
    ag_http_set(res, "ETag", "\"1\"");
    ag_http_set(res, "Content-Length", "100");
    ag_http_printf(res, "half of an ans");
    ag_http_error(res, 503, "try %s", "later");
}

static void panics(ag_http_request *req, ag_http_response *res) {
    if (ag_http_query_value(req, "late"))
        ag_http_printf(res, "some");
    if (ag_http_query_value(req, "sent"))
        ag_http_flush(res);
    ag_panic("handler %d", 42);
}

static void ends(ag_http_request *req, ag_http_response *res) {
    (void)req;
    (void)res;
    ag_goexit();
}

static atomic_int deferred, later;

static void count_deferred(int n) {
    atomic_fetch_add(&deferred, n);
}

static void panics_with_deferred(ag_http_request *req, ag_http_response *res) {
    (void)req;
    (void)res;
    ag_defer(count_deferred, 1);
    {
        ag_defer(count_deferred, 10);
        int *volatile none = NULL;
        if (!none)
            ag_panic("deep");
    }
}

static void note_later(int n, const char *text) {
    ag_check_str(text, "mine");
    ag_sleep(20 * AG_MS);
    atomic_store(&later, n);
}

static void answers_first(ag_http_request *req, ag_http_response *res) {
    char *text = ag_http_alloc(req, 5);
    memcpy(text, "mine", 5);
    ag_check_int(ag_http_after(req, note_later, 1, text), 0);
    ag_check_int(ag_http_after(req, note_later, 2, text), 0);
    ag_http_text(res, 200, "first");
}

static ag_chan(char) gate;

static void waits_at_gate(void) {
    ag_recv(gate, NULL);
    atomic_store(&later, 3);
}

static void streams_first(ag_http_request *req, ag_http_response *res) {
    static const char piece[40000] = "piece";
    ag_check_int(ag_http_after(req, waits_at_gate), 0);
    ag_check_int(ag_http_write(res, piece, sizeof piece), (ssize_t)sizeof piece);
}

static void outer(ag_http_request *req, ag_http_response *res) {
    ag_check_str(ag_http_arg(req), "outer");
    ag_http_set_user(req, "user");
    ag_http_set(res, "X-Filter", "outer");
    ag_http_next(req, res);
    ag_check_str(ag_http_arg(req), "outer");
    ag_check(ag_http_status_so_far(res) > 0);
}

static void inner(ag_http_request *req, ag_http_response *res) {
    ag_check_str(ag_http_user(req), "user");
    if (ag_http_query_value(req, "deny"))
        ag_http_error(res, 403, "no");
    else
        ag_http_next(req, res);
}

static void filtered(ag_http_request *req, ag_http_response *res) {
    ag_check_str(ag_http_arg(req), "handler");
    ag_http_text(res, 200, ag_http_user(req));
}

/* ---- The site of all tests ------------------------------------------------------------------ */

static void start(struct site *site, const ag_http_options *options) {
    memset(site, 0, sizeof *site);
    memset(large, 'L', sizeof large);
    site->s = ag_http_server_new(options);
    ag_http_handle(site->s, "/ok", ok, NULL);
    ag_http_handle(site->s, "GET /untouched", untouched, NULL);
    ag_http_handle(site->s, "/things/{id}", describe, NULL);
    ag_http_handle(site->s, "GET /fields", all_fields, NULL);
    ag_http_handle(site->s, "POST /echo", echo, NULL);
    ag_http_handle(site->s, "PUT /echo", echo, NULL);
    ag_http_handle(site->s, "POST /whole", whole, NULL);
    ag_http_handle(site->s, "/fill", fill, NULL);
    ag_http_handle(site->s, "/three", three_pieces, NULL);
    ag_http_handle(site->s, "/large", send_large, NULL);
    ag_http_handle(site->s, "/set", fields, NULL);
    ag_http_handle(site->s, "/empty", no_content, NULL);
    ag_http_handle(site->s, "/declared", declared, NULL);
    ag_http_handle(site->s, "/thoughts", second_thoughts, NULL);
    ag_http_handle(site->s, "/panic", panics, NULL);
    ag_http_handle(site->s, "/goexit", ends, NULL);
    ag_http_handle(site->s, "/deferred", panics_with_deferred, NULL);
    ag_http_handle(site->s, "/later", answers_first, NULL);
    ag_http_handle(site->s, "/later/long", streams_first, NULL);
    ag_http_handle(site->s, "/tree/", ok, NULL);
    ag_http_handle(site->s, "/metrics", ag_http_metrics, NULL);
    site_start(site);
    client_open(&cl, site);
}

static void finish(struct site *site) {
    client_close(&cl);
    site_end(site);
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: h.example:80\r\n\r\n"

/* ---- Requests ------------------------------------------------------------------------------- */

AG_TEST_RUN(a_connection_is_kept_for_many_requests) {
    struct site site;
    start(&site, NULL);
    for (int i = 0; i < 100; i++) {
        say(&cl, GET("/ok"));
        expect(&cl, &r, 200, "ok\n");
        ag_check_str(field(&r, "Content-Type"), "text/plain; charset=utf-8");
        ag_check(!field(&r, "Connection"));
        ag_check_int(strlen(field(&r, "Date")), 29);
    }
    eventually(stats_of(&site).idle == 1);
    ag_http_stats st = stats_of(&site);
    ag_check_int(st.requests[2], 100);
    ag_check_int(st.accepted, 1);
    ag_check_int(st.open, 1);
    ag_check_int(st.body_bytes_out, 300);
    finish(&site);
}

AG_TEST_RUN(the_date_is_now) {
    struct site site;
    struct tm tm;
    start(&site, NULL);
    for (int i = 0; i < 3; i++) {
        say(&cl, GET("/ok"));
        expect(&cl, &r, 200, "ok\n");
        time_t now = (time_t)(ag_wall() / AG_SEC); /* time() may be a tick behind */
        char again[64];
        memset(&tm, 0, sizeof tm);
        ag_check(strptime(field(&r, "Date"), "%a, %d %b %Y %H:%M:%S GMT", &tm) != NULL);
        time_t said = timegm(&tm);
        ag_check(said <= now && now - said <= 2 * ag_test_slow());
        strftime(again, sizeof again, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&said, &tm));
        ag_check_str(field(&r, "Date"), again);
        ag_sleep(600 * AG_MS);
    }
    finish(&site);
}

AG_TEST_RUN(a_request_is_understood_to_its_last_part) {
    struct site site;
    start(&site, NULL);
    say(&cl, "PATCH /things/a%20b?x=1&q=c%2Bd+e HTTP/1.1\r\nHost: H.example:80\r\n"
             "X-Thing:  v w \r\n\r\n");
    expect(&cl, &r, 200,
           "PATCH|/things/a%20b|x=1&q=c%2Bd+e|H.example|a b|c+d e|v w|H.example:80|"
           "0|/things/{id}");
    say(&cl, "GET http://other/things/1 HTTP/1.1\r\nHost: h\r\n\r\n");
    expect(&cl, &r, 200, "GET|/things/1||other|1|-|-|h|0|/things/{id}");
    say(&cl, "GET /fields HTTP/1.1\r\nHost: h\r\nA-Field: 1\r\nb: \r\nC:3\r\n\r\n");
    expect(&cl, &r, 200, "Host=h;A-Field=1;b=;C=3;");
    finish(&site);
}

AG_TEST_RUN(requests_sent_together_are_answered_in_order) {
    struct site site;
    static char text[60000];
    size_t n = 0;
    start(&site, NULL);
    for (int round = 0; round < 3; round++) {
        n = 0;
        for (int i = 0; i < 500; i++)
            n += (size_t)snprintf(
                text + n, sizeof text - n,
                "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n%04d" GET("/ok"), i);
        ag_check_int(ag_write(cl.c, text, n), (ssize_t)n);
        for (int i = 0; i < 500; i++) {
            char number[16];
            snprintf(number, sizeof number, "%04d", i);
            expect(&cl, &r, 200, number);
            expect(&cl, &r, 200, "ok\n");
        }
    }
    eventually(stats_of(&site).idle == 1);
    finish(&site);
}

AG_TEST_RUN(a_request_may_come_byte_by_byte) {
    struct site site;
    static const char text[] =
        "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        "4\r\nabcd\r\n3;x=y\r\nefg\r\n0\r\nT: v\r\n\r\n" GET("/ok");
    start(&site, NULL);
    for (size_t i = 0; i < sizeof text - 1; i++) {
        ag_check_int(ag_write(cl.c, text + i, 1), 1);
        if (i % 5 == 0)
            ag_sleep(AG_MS / 2);
    }
    expect(&cl, &r, 200, "abcdefg");
    expect(&cl, &r, 200, "ok\n");
    finish(&site);
}

AG_TEST_RUN(http_1_0_ends_the_connection_unless_asked_to_keep_it) {
    struct site site;
    start(&site, NULL);
    say(&cl, "GET /ok HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    expect(&cl, &r, 200, "ok\n");
    ag_check_str(field(&r, "Connection"), "keep-alive");
    say(&cl, "GET /fill?n=5000 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    expect(&cl, &r, 200, NULL); /* too long to know its length: until the end */
    ag_check_int(r.n, 80000);
    ag_check(!field(&r, "Transfer-Encoding"));
    ag_check_str(field(&r, "Connection"), "close");
    client_close(&cl);
    client_open(&cl, &site);
    say(&cl, "GET /ok HTTP/1.0\r\n\r\n");
    expect(&cl, &r, 200, "ok\n");
    expect_end(&cl);
    client_close(&cl);
    client_open(&cl, &site);
    say(&cl, "GET /ok HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    expect(&cl, &r, 200, "ok\n");
    ag_check_str(field(&r, "Connection"), "close");
    expect_end(&cl);
    finish(&site);
}

AG_TEST_RUN(a_client_that_shuts_its_side_still_gets_its_answers) {
    struct site site;
    start(&site, NULL);
    say(&cl, GET("/ok") GET("/three"));
    ag_conn_shutdown(cl.c, 1);
    expect(&cl, &r, 200, "ok\n");
    expect(&cl, &r, 200, "piece 0\npiece 1\npiece 2\n");
    expect_end(&cl);
    finish(&site);
}

/* ---- Bodies --------------------------------------------------------------------------------- */

AG_TEST_RUN(bodies_of_both_framings_come_whole) {
    struct site site;
    static char body[100001], head[128];
    start(&site, NULL);
    for (size_t i = 0; i < sizeof body - 1; i++)
        body[i] = (char)('a' + i * 7 % 26);
    for (size_t n = 1; n < sizeof body; n = n * 7 + 3) {
        snprintf(head, sizeof head, "PUT /echo HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n",
                 n);
        say(&cl, head);
        ag_check_int(ag_write(cl.c, body, n), (ssize_t)n);
        expect(&cl, &r, 200, NULL);
        ag_check_int(r.n, n);
        ag_check_mem(r.body, body, n);
        say(&cl, "PUT /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
        for (size_t at = 0, some = 1; at < n; at += some, some = some * 3 + 1) {
            if (some > n - at)
                some = n - at;
            snprintf(head, sizeof head, "%zx\r\n", some);
            say(&cl, head);
            ag_check_int(ag_write(cl.c, body + at, some), (ssize_t)some);
            say(&cl, "\r\n");
        }
        say(&cl, "0\r\n\r\n");
        expect(&cl, &r, 200, NULL);
        ag_check_int(r.n, n);
        ag_check_mem(r.body, body, n);
    }
    finish(&site);
}

AG_TEST_RUN(a_whole_body_is_one_piece_of_memory_up_to_a_limit) {
    struct site site;
    static char text[120000];
    start(&site, NULL);
    for (int n = 0; n <= 100000; n = n * 9 + 1) {
        int head = snprintf(text, sizeof text,
                            "POST /whole HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", n);
        memset(text + head, 'b', (size_t)n);
        ag_check_int(ag_write(cl.c, text, (size_t)(head + n)), head + n);
        char both[64];
        snprintf(both, sizeof both, "%d %d", n, n);
        expect(&cl, &r, 200, both);
    }
    say(&cl, "POST /whole HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n186a0\r\n");
    memset(text, 'c', 100000);
    ag_check_int(ag_write(cl.c, text, 100000), 100000);
    say(&cl, "\r\n0\r\n\r\n"); /* exactly the limit */
    expect(&cl, &r, 200, "100000 100000");
    say(&cl, "POST /whole HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n186a1\r\n");
    ag_check_int(ag_write(cl.c, text, 100001), 100001);
    say(&cl, "\r\n0\r\n\r\n");
    expect(&cl, &r, 413, NULL);
    expect_end(&cl);
    finish(&site);
}

AG_TEST_RUN(a_body_behind_a_large_head_has_room) {
    struct site site;
    static char text[30000];
    start(&site, NULL);
    for (int pad = 6000; pad < 20000; pad += 1111) {
        int n = snprintf(text, sizeof text,
                         "POST /echo HTTP/1.1\r\nHost: h\r\nX-Pad: %0*d\r\n"
                         "Transfer-Encoding: chunked\r\n\r\n",
                         pad, 7);
        ag_check_int(ag_write(cl.c, text, (size_t)n), n);
        ag_sleep(AG_MS);
        for (int i = 0; i < 20; i++) {
            n = snprintf(text, sizeof text, "3e8\r\n%01000d\r\n", i);
            ag_check_int(ag_write(cl.c, text, (size_t)n), n);
        }
        say(&cl, "0\r\n\r\n" GET("/ok"));
        expect(&cl, &r, 200, NULL);
        ag_check_int(r.n, 20000);
        for (int i = 0; i < 20; i++) {
            snprintf(text, sizeof text, "%01000d", i);
            ag_check_mem(r.body + i * 1000, text, 1000);
        }
        expect(&cl, &r, 200, "ok\n");
    }
    finish(&site);
}

AG_TEST_RUN(a_body_that_nobody_reads_is_dropped_or_ends_the_connection) {
    struct site site;
    static char body[65536];
    memset(body, 'u', sizeof body);
    start(&site, NULL);
    for (int i = 0; i < 3; i++) {
        say(&cl, "POST /ok HTTP/1.1\r\nHost: h\r\nContent-Length: 65536\r\n\r\n");
        ag_check_int(ag_write(cl.c, body, sizeof body), sizeof body);
        expect(&cl, &r, 200, "ok\n");
        say(&cl, "POST /ok HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n10000\r\n");
        ag_check_int(ag_write(cl.c, body, sizeof body), sizeof body);
        say(&cl, "\r\n0\r\n\r\n");
        expect(&cl, &r, 200, "ok\n");
    }
    say(&cl, "POST /ok HTTP/1.1\r\nHost: h\r\nContent-Length: 9000000\r\n\r\n");
    expect(&cl, &r, 200, "ok\n");
    ag_check_str(field(&r, "Connection"), "close");
    expect_end(&cl);
    finish(&site);
}

AG_TEST_RUN(who_expects_100_gets_it_when_the_body_is_wanted) {
    struct site site;
    start(&site, NULL);
    for (int i = 0; i < 2; i++) {
        say(&cl, GET("/ok") "POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
                            "Content-Length: 5\r\n\r\n");
        expect(&cl, &r, 200, "ok\n");
        expect(&cl, &r, 100, NULL);
        say(&cl, "hello");
        expect(&cl, &r, 200, "hello");
    }
    say(&cl, "POST /ok HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    expect(&cl, &r, 200, "ok\n"); /* not wanted, so it can't be told from the next request */
    ag_check_str(field(&r, "Connection"), "close");
    expect_end(&cl);
    finish(&site);
}

/* ---- Responses ------------------------------------------------------------------------------ */

AG_TEST_RUN(responses_are_framed_by_their_size) {
    struct site site;
    start(&site, NULL);
    say(&cl, GET("/untouched"));
    expect(&cl, &r, 200, "");
    ag_check(!field(&r, "Content-Type"));
    ag_check_str(field(&r, "Content-Length"), "0");
    say(&cl, GET("/fill?n=100"));
    expect(&cl, &r, 200, NULL);
    ag_check_int(r.n, 1600);
    ag_check_str(field(&r, "Content-Length"), "1600");
    for (int n = 900; n < 12000; n += 137) {
        char request[128];
        snprintf(request, sizeof request, GET("/fill?n=%d"), n);
        say(&cl, request);
        expect(&cl, &r, 200, NULL);
        ag_check_int(r.n, n * 16);
        ag_check_mem(r.body + r.n - 16, "0123456789abcdef", 16);
    }
    ag_check_str(field(&r, "Transfer-Encoding"), "chunked");
    say(&cl, GET("/three") GET("/large"));
    expect(&cl, &r, 200, "piece 0\npiece 1\npiece 2\n");
    ag_check_str(field(&r, "Transfer-Encoding"), "chunked");
    expect(&cl, &r, 200, NULL);
    ag_check_int(r.n, sizeof large);
    ag_check_str(field(&r, "Content-Type"), "x/y");
    finish(&site);
}

AG_TEST_RUN(head_is_answered_without_a_body) {
    struct site site;
    static const char *const paths[][2] = {
        {"/ok", "3"},         {"/fill?n=100", "1600"}, {"/fill?n=9000", "144000"},
        {"/large", "200000"}, {"/nothing", "19"},      {"/untouched", "0"},
        {"/three", NULL}};
    start(&site, NULL);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        char request[128];
        snprintf(request, sizeof request, "HEAD %s HTTP/1.1\r\nHost: h\r\n\r\n", paths[i][0]);
        say(&cl, request);
        listen_for(&cl, &r, true);
        ag_check_int(r.status, strcmp(paths[i][0], "/nothing") == 0 ? 404 : 200);
        if (paths[i][1])
            ag_check_str(field(&r, "Content-Length"), paths[i][1]);
    }
    say(&cl, GET("/ok"));
    expect(&cl, &r, 200, "ok\n");
    finish(&site);
}

AG_TEST_RUN(fields_are_set_added_and_checked) {
    struct site site;
    start(&site, NULL);
    say(&cl, GET("/set"));
    expect(&cl, &r, 201, "{}");
    ag_check_str(field(&r, "x-one"), "second");
    ag_check(!field(&r, "X-One"));
    ag_check_str(field(&r, "Set-Cookie"), "a=1");
    ag_check_str(field(&r, "set-cookie"), "b=2");
    ag_check_str(field(&r, "Content-Type"), "x/z");
    ag_check(!field(&r, "X-Evil") && !field(&r, "X-Late") && !field(&r, "X-Huge"));
    say(&cl, GET("/empty"));
    expect(&cl, &r, 204, "");
    ag_check(!field(&r, "Content-Length"));
    say(&cl, GET("/thoughts"));
    expect(&cl, &r, 503, "try later\n");
    ag_check(!field(&r, "ETag"));
    finish(&site);
}

AG_TEST_RUN(a_declared_length_is_kept_or_the_connection_ends) {
    struct site site;
    start(&site, NULL);
    say(&cl, GET("/declared?n=5") GET("/declared?n=5&flush=1") GET("/declared?n=6"));
    expect(&cl, &r, 200, "12345");
    expect(&cl, &r, 200, "12345");
    ag_check_str(field(&r, "Content-Length"), "5");
    listen_for(&cl, &r, false);
    ag_check(r.ended && r.n == 5); /* what is missing never comes */
    client_close(&cl);
    client_open(&cl, &site);
    say(&cl, GET("/declared?n=6&flush=1"));
    listen_for(&cl, &r, false);
    ag_check(r.ended && r.n == 5);
    finish(&site);
}

AG_TEST_RUN(what_is_asked_for_afterwards_runs_after_the_response) {
    struct site site;
    start(&site, NULL);
    say(&cl, GET("/later"));
    expect(&cl, &r, 200, "first");
    ag_check_int(atomic_load(&later), 0);
    eventually(atomic_load(&later) == 2);
    say(&cl, GET("/ok"));
    expect(&cl, &r, 200, "ok\n");
    finish(&site);
}

AG_TEST_RUN(a_response_that_ends_with_the_connection_ends_before_what_is_done_afterwards) {
    struct site site;
    gate = ag_make(char, 0);
    start(&site, NULL);
    say(&cl, "GET /later/long HTTP/1.0\r\nHost: h\r\n\r\n");
    listen_for(&cl, &r, false);
    ag_check(r.status == 200 && r.n == 40000);
    expect_end(&cl);
    ag_check_int(atomic_load(&later), 0);
    ag_close(gate);
    eventually(atomic_load(&later) == 3);
    finish(&site);
    ag_unref(gate);
}

/* ---- Routes and filters --------------------------------------------------------------------- */

AG_TEST_RUN(what_has_no_route_is_404_405_or_redirected) {
    struct site site;
    start(&site, NULL);
    say(&cl, GET("/nothing"));
    expect(&cl, &r, 404, "404 page not found\n");
    say(&cl, GET("/echo"));
    expect(&cl, &r, 405, NULL);
    ag_check_str(field(&r, "Allow"), "POST, PUT");
    say(&cl, GET("/a/../ok//?x=%20"));
    expect(&cl, &r, 307, "");
    ag_check_str(field(&r, "Location"), "/ok/?x=%20");
    say(&cl, GET("/tree?y"));
    expect(&cl, &r, 307, "");
    ag_check_str(field(&r, "Location"), "/tree/?y");
    say(&cl, "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n");
    expect(&cl, &r, 204, "");
    finish(&site);
}

AG_TEST_RUN(filters_stand_around_every_handler) {
    struct site site = {0};
    site.s = ag_http_server_new(NULL);
    ag_http_use(site.s, outer, "outer");
    ag_http_use(site.s, inner, NULL);
    ag_http_handle(site.s, "/", filtered, "handler");
    ag_http_handle(site.s, "POST /post", filtered, "handler");
    site_start(&site);
    client_open(&cl, &site);
    say(&cl, GET("/x") GET("/x?deny=1") GET("//"));
    expect(&cl, &r, 200, "user");
    ag_check_str(field(&r, "X-Filter"), "outer");
    expect(&cl, &r, 403, "no\n");
    expect(&cl, &r, 307, "");
    ag_check_str(field(&r, "X-Filter"), "outer");
    finish(&site);
}

static void handle_badly(ag_http_server *s, const char *pattern) {
    ag_http_handle(s, pattern, ok, NULL);
}

AG_TEST_RUN(a_wrong_pattern_panics) {
    ag_panic_info info;
    ag_http_server *s = ag_http_server_new(NULL);
    ag_http_handle(s, "/a/{x}", ok, NULL);
    ag_check_int(ag_try(&info, handle_badly, s, "a b c"), AG_PANICKED);
    ag_check_contains(info.msg, "http: ");
    ag_check_int(ag_try(&info, handle_badly, s, "/a/{y}"), AG_PANICKED);
    ag_check_contains(info.msg, "/a/{x}");
    ag_http_server_free(s);
}

/* ---- Errors --------------------------------------------------------------------------------- */

AG_TEST_RUN(malformed_requests_are_refused_and_end_the_connection) {
    static const struct {
        const char *text;
        int status;
    } bad[] = {
        {"nonsense\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505},
        {"GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n", 400},
        {"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: "
         "chunked\r\n\r\n",
         400},
        {"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 400},
        {"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501},
        {"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400},
        {"POST /whole HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n", 400},
        {"POST /whole HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\nabc", 413},
        {"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000000\r\n\r\nabc", 413},
        {"POST /echo HTTP/1.1\r\nHost: h\r\nExpect: something\r\n\r\n", 417},
        {"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nxyz\r\n",
         400},
    };
    struct site site;
    start(&site, NULL);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        client_close(&cl);
        client_open(&cl, &site);
        say(&cl, GET("/ok"));
        say(&cl, bad[i].text);
        say(&cl, GET("/ok")); /* never taken for a request */
        expect(&cl, &r, 200, "ok\n");
        expect(&cl, &r, bad[i].status, NULL);
        ag_check_str(field(&r, "Connection"), "close");
        ag_check(r.n > 5);
        expect_end(&cl);
    }
    ag_http_stats st = stats_of(&site);
    ag_check_int(st.bad_requests, 8);
    ag_check_int(st.requests[2], 13);
    finish(&site);
}

AG_TEST_RUN(a_panic_answers_500_and_the_service_goes_on) {
    struct site site;
    start(&site, NULL);
    say(&cl, GET("/ok") GET("/panic") GET("/ok"));
    expect(&cl, &r, 200, "ok\n");
    expect(&cl, &r, 500, NULL);
    expect_end(&cl);
    client_close(&cl);
    client_open(&cl, &site);
    say(&cl, GET("/panic?late=1"));
    expect(&cl, &r, 500, NULL); /* nothing was sent yet */
    expect_end(&cl);
    client_close(&cl);
    client_open(&cl, &site);
    say(&cl, GET("/panic?late=1&sent=1"));
    listen_for(&cl, &r, false);
    ag_check(r.status == 200 && r.ended);
    client_close(&cl);
    client_open(&cl, &site);
    say(&cl, GET("/deferred"));
    expect(&cl, &r, 500, NULL);
    ag_check_int(atomic_load(&deferred), 11);
    client_close(&cl);
    client_open(&cl, &site);
    say(&cl, GET("/goexit"));
    expect(&cl, &r, 500, NULL);
    client_close(&cl);
    client_open(&cl, &site);
    say(&cl, GET("/ok"));
    expect(&cl, &r, 200, "ok\n");
    ag_check_int(stats_of(&site).panics, 4);
    finish(&site);
}

static AG_COUNTER(tests_run, "tests_run_total", "Tests of the counters.");

AG_TEST_RUN(the_counters_are_printed_for_prometheus) {
    struct site site;
    ag_counter_add(&tests_run, 1);
    start(&site, NULL);
    say(&cl, GET("/ok") GET("/nothing") GET("/metrics"));
    expect(&cl, &r, 200, "ok\n");
    expect(&cl, &r, 404, NULL);
    expect(&cl, &r, 200, NULL);
    ag_check_contains(r.body, "\ntests_run_total 1\n");
    ag_check_contains(r.body, "\naglet_goroutines");
    ag_check_contains(r.body, "\nhttp_requests_total{code=\"2xx\"} 1\n");
    ag_check_contains(r.body, "\nhttp_requests_total{code=\"4xx\"} 1\n");
    ag_check_contains(r.body, "\nhttp_request_duration_seconds_bucket{le=\"+Inf\"} 2\n");
    ag_check_contains(r.body, "\nhttp_connections_open 1\n");
    ag_check_contains(r.body, "\nhttp_connections_idle 0\n");
    ag_check_contains(r.body, "# TYPE http_requests_total counter\n");
    ag_check_str(field(&r, "Content-Type"), "text/plain; version=0.0.4; charset=utf-8");
    ag_check_str(field(&r, "Vary"), "Accept");
    say(&cl, "GET /metrics HTTP/1.1\r\nHost: h\r\n"
             "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n\r\n");
    expect(&cl, &r, 200, NULL);
    ag_check_contains(field(&r, "Content-Type"), "application/openmetrics-text; version=1.0.0");
    ag_check_contains(r.body, "# TYPE http_requests counter\nhttp_requests_total{code=\"1xx\"} 0\n"
                              "http_requests_total{code=\"2xx\"} 2\n");
    ag_check_contains(r.body, "_bucket{le=\"1.0\"} ");
    ag_check_contains(r.body, "_bucket{le=\"0.0025\"} ");
    ag_check_ptr(strstr(r.body, "# EOF\n"), r.body + r.n - 6);
    ag_check_contains(r.body, "\ntests_run_total 1");
    finish(&site);
}
