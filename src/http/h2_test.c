/* SPDX-License-Identifier: MIT */
/*
 * HTTP/2 as a client sees it: requests, bodies, responses, flow control, errors.
 */
#include "ag_test.h"

#include "http/h2_test.h"
#include "http/server.h"
#include "http/server_gate_test.h"

#include <aglet/debug.h>
#include <aglet/http_file.h>
#include <unistd.h>

static struct h2c h; /* of the test under way: each has a process of its own */
static _Atomic int64_t written;

/* ---- Handlers ------------------------------------------------------------------------------- */

static void describe(ag_http_request *req, ag_http_response *res) {
    const char *cookie = ag_http_header(req, "Cookie"), *q = ag_http_query_value(req, "q");
    ag_check(!ag_http_header(req, ":path"));
    ag_check(strncmp(ag_http_remote(req), "127.0.0.1:", 10) == 0);
    ag_http_printf(res, "%d.%d|%s|%s|%s|%s|%s|%s|%s|%s|%lld|%s", ag_http_major_version(req),
                   ag_http_minor_version(req), ag_http_method(req), ag_http_path(req),
                   ag_http_query(req), ag_http_host(req), ag_http_header(req, "host"),
                   ag_http_path_value(req, "id"), q ? q : "-", cookie ? cookie : "-",
                   (long long)ag_http_content_length(req), ag_http_pattern(req));
}

static void echo(ag_http_request *req, ag_http_response *res) {
    char buf[3000];
    ssize_t n;
    while ((n = ag_http_body_read(req, buf, sizeof buf)) > 0)
        if (ag_http_write(res, buf, (size_t)n) < 0)
            return;
    atomic_store(&last_error, (int)n);
    atomic_fetch_add(&left, 1);
}

/* Writes until it can't. */
static void flood(ag_http_request *req, ag_http_response *res) {
    static char piece[5000];
    ssize_t n;
    (void)req;
    atomic_fetch_add(&entered, 1);
    while ((n = ag_http_write(res, piece, sizeof piece)) > 0)
        atomic_fetch_add(&written, n);
    ag_check_int(ag_http_write(res, piece, 1), n); /* and ever after */
    atomic_store(&last_error, (int)n);
    atomic_fetch_add(&left, 1);
}

static void pieces(ag_http_request *req, ag_http_response *res) {
    (void)req;
    for (int i = 0; i < 3; i++) {
        ag_http_printf(res, "piece %d\n", i);
        ag_check_int(ag_http_flush(res), 0);
    }
}

static void fields(ag_http_request *req, ag_http_response *res) {
    char name[32];
    (void)req;
    ag_check_int(ag_http_set(res, "X-One", "1"), 0);
    ag_check_int(ag_http_add(res, "Set-Cookie", "a=1"), 0);
    ag_check_int(ag_http_add(res, "Set-Cookie", "b=2"), 0);
    ag_check_int(ag_http_set(res, "Keep-Alive", "timeout=5"), 0);
    ag_check_int(ag_http_set(res, "Transfer-Encoding", "chunked"), -EINVAL);
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "X-Many-%d", i);
        ag_check_int(ag_http_set(res, name, "m"), 0);
    }
    ag_http_json(res, 201, "{}");
}

static char large[300000];

static void send_large(ag_http_request *req, ag_http_response *res) {
    (void)req;
    ag_check_int(ag_http_send(res, 200, "x/y", large, sizeof large), 0);
}

static void no_content(ag_http_request *req, ag_http_response *res) {
    (void)req;
    ag_http_status(res, 204);
    ag_check_int(ag_http_write(res, "x", 1), -EINVAL);
}

static void declared(ag_http_request *req, ag_http_response *res) {
    ag_check_int(ag_http_set(res, "Content-Length", ag_http_query_value(req, "n")), 0);
    if (ag_http_query_value(req, "flush"))
        ag_http_flush(res);
    ag_http_write(res, "12345", 5);
}

static void panics(ag_http_request *req, ag_http_response *res) {
    if (ag_http_query_value(req, "late"))
        ag_http_printf(res, "some");
    if (ag_http_query_value(req, "sent"))
        ag_http_flush(res);
    if (ag_http_query_value(req, "exit"))
        ag_goexit();
    ag_panic("handler %d", 42);
}

static void upgrades(ag_http_request *req, ag_http_response *res) {
    ag_http_upgraded *u;
    ag_check_int(ag_http_upgrade(req, res, "x", &u), -EOPNOTSUPP);
    ag_check_int(ag_http_upgrade(req, res, NULL, &u), -EOPNOTSUPP);
    ag_check_int(ag_http_set(res, "Connection", "upgrade"), 0);
    ag_http_text(res, 426, "no");
}

static void trails(ag_http_request *req, ag_http_response *res) {
    char *body;
    size_t n;
    ag_check_int(ag_http_trailer_set(res, "X-Out", NULL), 0);
    ag_check_int(ag_http_body_all(req, 100000, &body, &n), 0);
    const char *sum = ag_http_trailer(req, "X-Sum");
    ag_check(!ag_http_header(req, "X-Sum"));
    ag_http_printf(res, "%zu %s", n, sum ? sum : "-");
    ag_check_int(ag_http_trailer_set(res, "X-Out", "done"), 0);
}

static void file(ag_http_request *req, ag_http_response *res) {
    ag_http_file(req, res, ag_http_arg(req));
}

static atomic_int later;

static void note_later(int n) {
    atomic_fetch_add(&later, n);
}

static void answers_first(ag_http_request *req, ag_http_response *res) {
    ag_check_int(ag_http_after(req, note_later, 2), 0);
    ag_http_text(res, 200, "first");
}

static void says_close(ag_http_request *req, ag_http_response *res) {
    (void)req;
    ag_http_close(res);
    ag_http_text(res, 200, "bye");
}

static _Atomic int64_t sent_before, sent_after;

static void note_sent(ag_conn *c) {
    atomic_store(&sent_after, ag_conn_sent(c));
}

/* What this connection had sent when the handler began, and what after its answer. */
static void notes_sent(ag_http_request *req, ag_http_response *res) {
    atomic_store(&sent_before, ag_conn_sent(req->w->hc->c));
    atomic_store(&sent_after, 0);
    ag_http_after(req, note_sent, req->w->hc->c);
    ag_http_text(res, 200, "ok\n");
}

static char file_name[] = "/tmp/aglet-h2-XXXXXX";

static void start(struct site *site, const ag_http_options *options) {
    begin(site, options);
    ag_http_handle(site->s, "/sent", notes_sent, NULL);
    ag_http_handle(site->s, "/d/{id}", describe, NULL);
    ag_http_handle(site->s, "/echo", echo, NULL);
    ag_http_handle(site->s, "/body", count_body, NULL);
    ag_http_handle(site->s, "/wait", wait_at_gate, NULL);
    ag_http_handle(site->s, "/flood", flood, NULL);
    ag_http_handle(site->s, "/watch", watches, NULL);
    ag_http_handle(site->s, "/pieces", pieces, NULL);
    ag_http_handle(site->s, "/fields", fields, NULL);
    ag_http_handle(site->s, "/large", send_large, NULL);
    ag_http_handle(site->s, "/none", no_content, NULL);
    ag_http_handle(site->s, "/declared", declared, NULL);
    ag_http_handle(site->s, "/panic", panics, NULL);
    ag_http_handle(site->s, "/after", answers_first, NULL);
    ag_http_handle(site->s, "/close", says_close, NULL);
    ag_http_handle(site->s, "/upgrade", upgrades, NULL);
    ag_http_handle(site->s, "/trails", trails, NULL);
    ag_http_handle(site->s, "/file", file, file_name);
    site_start(site);
}

/* ---- Requests ------------------------------------------------------------------------------- */

AG_TEST_RUN(a_request_of_http2_is_seen_as_one_of_http1) {
    struct site site;
    start(&site, NULL);
    h2_open(&h, &site);
    struct answer *a =
        h2_ask(&h, "GET", "/d/a%20b?q=1+2", "x: y\ncookie: a=1\ncookie: b=2\nz: 1\ncookie: c\n", 0);
    h2_until(&h, a->closed);
    h2_expect(a, 200,
              "2.1|GET|/d/a%20b|q=1+2|h.example|h.example:80|a b|1 2|a=1; b=2; c|0|/d/{id}");
    ag_check_str(h2_field(a, "content-type"), "text/plain; charset=utf-8");
    ag_check_int(strlen(h2_field(a, "date")), 29);
    a = h2_ask(&h, "GET", "/d/1", ":authority: X.example\nhost: x.example\n", 0);
    h2_until(&h, a->closed);
    h2_expect(a, 200, "2.1|GET|/d/1||X.example|X.example|1|-|-|0|/d/{id}");
    a = h2_ask(&h, "PUT", "/d/1", "host: only.example\n", 0);
    h2_until(&h, a->closed);
    h2_expect(h2_get(&h, "/nothing"), 404, NULL);
    h2_expect(h2_get(&h, "/d//1"), 307, NULL);
    eventually(stats_of(&site).h2_streams_open == 0); /* counted behind their responses */
    ag_http_stats st = stats_of(&site);
    ag_check_int(st.h2_streams, 5);
    ag_check_int(st.requests[2] + st.requests[3] + st.requests[4], 5);
    ag_check_int(st.h2_open, 1);
    ag_check_int(st.h2_accepted, 1);
    h2_close(&h);
    eventually(stats_of(&site).h2_open == 0);
    ag_check_int(stats_of(&site).h2_streams_open, 0);
    finish(&site);
}

AG_TEST_RUN(heads_are_refused_as_http1_refuses_them) {
    static const struct {
        const char *method, *path, *fields, *why;
        int status;
    } bad[] = {
        {"GET", "/a b", NULL, "", 0},
        {"GET", "/%zz", NULL, "two hexadecimal digits", 400},
        {"GET", "/%00", NULL, "NUL", 400},
        {"GET", "/ok", ":authority: [1::2::3]\n", "Host", 400},
        {"GET", "/ok", ":authority: a b\n", "", 0},
        {"GET", "/ok", ":authority: a\nhost: b\n", "Host and :authority differ", 400},
        {"GET", "/ok", "expect: more\n", "Expect", 417},
        {"POST", "/ok", "a: 1\na: 2\na: 3\na: 4\na: 5\na: 6\na: 7\na: 8\na: 9\na: 10\n", "many",
         431},
    };
    struct site site;
    ag_http_options o = {.fields_max = 10, .head_max = 2048};
    char many[6000];
    start(&site, &o);
    h2_open(&h, &site);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct answer *a = h2_ask(&h, bad[i].method, bad[i].path, bad[i].fields, 0);
        h2_until(&h, a->closed);
        if (bad[i].status)
            h2_expect(a, bad[i].status, NULL);
        else
            ag_check_int(a->error, NGHTTP2_PROTOCOL_ERROR); /* nghttp2 has seen it */
        ag_check_contains(a->body, bad[i].why);
    }
    snprintf(many, sizeof many, "x: %02048d\n", 0);
    struct answer *a = h2_ask(&h, "GET", "/ok", many, 0);
    h2_until(&h, a->closed);
    h2_expect(a, 431, NULL);
    size_t n = 0;
    for (int i = 0; i < 12; i++)
        n += (size_t)snprintf(many + n, sizeof many - n, "cookie: c%d\n", i);
    a = h2_ask(&h, "GET", "/ok", many, 0);
    h2_until(&h, a->closed);
    h2_expect(a, 431, NULL); /* more crumbs than fields are allowed */
    h2_expect(h2_get(&h, "/ok"), 200, "ok\n");
    ag_check_int(stats_of(&site).bad_requests, sizeof bad / sizeof *bad - 2 + 2);
    h2_close(&h);
    finish(&site);
}

/* These are malformed by RFC 9113 itself. */
AG_TEST_RUN(malformed_requests_are_reset) {
    static const char *const bad[] = {"connection: close\n", "transfer-encoding: chunked\n",
                                      "te: gzip\n",          "keep-alive: 1\n",
                                      "upgrade: x\n",        "x: a\001b\n",
                                      "content-length: x\n"};
    struct site site;
    start(&site, NULL);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        h2_open(&h, &site);
        struct answer *a = h2_ask(&h, "GET", "/ok", bad[i], 0);
        h2_until(&h, a->closed);
        if (a->error != NGHTTP2_PROTOCOL_ERROR || a->status)
            ag_fail("%s: error %u, status %d", bad[i], a->error, a->status);
        h2_expect(h2_get(&h, "/ok"), 200, "ok\n");
        h2_close(&h);
    }
    h2_open(&h, &site);
    struct answer *a = h2_ask(&h, "GET", "/d/1", "te: trailers\n", 0);
    h2_until(&h, a->closed);
    h2_expect(a, 200, NULL);
    a = h2_ask(&h, "POST", "/body", "content-length: 5\n", 4);
    h2_until(&h, a->closed);
    ag_check_int(a->error, NGHTTP2_PROTOCOL_ERROR);
    eventually(atomic_load(&left) == 1);
    ag_check_int(atomic_load(&last_error), -ECONNRESET);
    h2_close(&h);
    finish(&site);
}

/* ---- Responses ------------------------------------------------------------------------------ */

AG_TEST_RUN(responses_have_the_framing_of_http2) {
    struct site site;
    start(&site, NULL);
    h2_open(&h, &site);
    struct answer *a = h2_get(&h, "/ok");
    ag_check_str(h2_field(a, "content-length"), "3");
    ag_check_str(h2_field(a, "connection"), "");
    a = h2_get(&h, "/pieces");
    h2_expect(a, 200, "piece 0\npiece 1\npiece 2\n");
    ag_check_str(h2_field(a, "content-length"), "");
    ag_check_str(h2_field(a, "transfer-encoding"), "");
    a = h2_get(&h, "/fields");
    h2_expect(a, 201, "{}");
    ag_check_contains(a->head, "x-one: 1\nset-cookie: a=1\nset-cookie: b=2\nx-many-0: m\n");
    ag_check_contains(a->head, "x-many-19: m\n");
    ag_check_str(h2_field(a, "keep-alive"), "");
    a = h2_get(&h, "/none");
    h2_expect(a, 204, "");
    ag_check_str(h2_field(a, "content-length"), "");
    a = h2_get(&h, "/large");
    h2_expect(a, 200, NULL);
    ag_check_int(a->n, sizeof large);
    a = h2_ask(&h, "HEAD", "/large", NULL, 0);
    h2_until(&h, a->closed);
    h2_expect(a, 200, "");
    ag_check_str(h2_field(a, "content-length"), "300000");
    a = h2_ask(&h, "HEAD", "/pieces", NULL, 0);
    h2_until(&h, a->closed);
    h2_expect(a, 200, "");
    h2_expect(h2_get(&h, "/declared?n=5"), 200, "12345");
    h2_expect(h2_get(&h, "/declared?n=5&flush=1"), 200, "12345");
    ag_check_int(h2_get(&h, "/declared?n=9")->error, NGHTTP2_INTERNAL_ERROR);
    ag_check_int(h2_get(&h, "/declared?n=9&flush=1")->error, NGHTTP2_INTERNAL_ERROR);
    a = h2_get(&h, "/upgrade");
    h2_expect(a, 426, "no");
    ag_check_str(h2_field(a, "connection"), "");
    h2_expect(h2_get(&h, "/after"), 200, "first");
    eventually(atomic_load(&later) == 2);
    h2_close(&h);
    finish(&site);
}

AG_TEST_RUN(a_panic_ends_its_stream_alone) {
    struct site site;
    start(&site, NULL);
    h2_open(&h, &site);
    struct answer *held = h2_ask(&h, "GET", "/wait", NULL, 0);
    h2_expect(h2_get(&h, "/panic"), 500, "internal server error\n");
    h2_expect(h2_get(&h, "/panic?late=1"), 500, "internal server error\n");
    h2_expect(h2_get(&h, "/panic?exit=1"), 500, "internal server error\n");
    struct answer *a = h2_get(&h, "/panic?late=1&sent=1");
    ag_check_int(a->status, 200);
    ag_check_int(a->error, NGHTTP2_INTERNAL_ERROR);
    h2_expect(h2_get(&h, "/ok"), 200, "ok\n");
    ag_check_int(stats_of(&site).panics, 3);
    ag_close(gate);
    h2_until(&h, held->closed);
    h2_expect(held, 200, "waited");
    h2_close(&h);
    finish(&site);
}

AG_TEST_RUN(a_response_that_says_close_ends_the_connection_after_all_streams) {
    struct site site;
    start(&site, NULL);
    h2_open(&h, &site);
    struct answer *held = h2_ask(&h, "GET", "/wait", NULL, 0);
    h2_expect(h2_get(&h, "/close"), 200, "bye");
    h2_until(&h, h.goaways == 1);
    ag_check_int(h.goaway_id, 3);
    ag_check_int(h.goaway_error, NGHTTP2_NO_ERROR);
    ag_close(gate);
    h2_until(&h, held->closed);
    h2_expect(held, 200, "waited");
    while (h2_turn(&h))
        continue;
    h2_close(&h);
    finish(&site);
}

/* ---- Bodies --------------------------------------------------------------------------------- */

AG_TEST_RUN(bodies_of_all_sizes_come_and_go_whole) {
    static const int64_t sizes[] = {1, 100, 3000, 16384, 65535, 70000, 3000000};
    struct site site;
    start(&site, NULL);
    h2_open(&h, &site);
    struct answer *a[7];
    for (int i = 0; i < 7; i++) /* all at once */
        a[i] = h2_ask(&h, "POST", "/echo", NULL, sizes[i]);
    for (int i = 0; i < 7; i++) {
        uint64_t sum = 0;
        h2_until(&h, a[i]->closed);
        h2_expect(a[i], 200, NULL);
        ag_check_int(a[i]->n, sizes[i]);
        for (int64_t k = 0; k < sizes[i]; k++)
            sum = sum * 31 + pattern(k);
        ag_check(sum == a[i]->sum);
    }
    ag_check_int(stats_of(&site).body_bytes_in, 1 + 100 + 3000 + 16384 + 65535 + 70000 + 3000000);
    h2_close(&h);
    finish(&site);
}

AG_TEST_RUN(a_file_goes_out_in_frames) {
    enum { SIZE = 700000 };
    struct site site;
    static unsigned char content[SIZE];
    uint64_t sum = 0;
    int fd = mkstemp(file_name);
    ag_check(fd >= 0);
    for (int64_t i = 0; i < SIZE; i++) {
        content[i] = pattern(i);
        sum = sum * 31 + content[i];
    }
    ag_check_int(write(fd, content, SIZE), SIZE);
    close(fd);
    start(&site, NULL);
    h2_open(&h, &site);
    struct answer *a = h2_get(&h, "/file");
    h2_expect(a, 200, NULL);
    ag_check_int(a->n, SIZE);
    ag_check(a->sum == sum);
    a = h2_ask(&h, "GET", "/file", "range: bytes=5-8\n", 0);
    h2_until(&h, a->closed);
    h2_expect(a, 206, NULL);
    ag_check_mem(a->body, content + 5, 4);
    unlink(file_name);
    h2_close(&h);
    finish(&site);
}

AG_TEST_RUN(trailers_come_and_go_behind_the_bodies) {
    struct site site;
    start(&site, NULL);
    h2_open(&h, &site);
    struct answer *a = h2_ask(&h, "POST", "/trails", NULL, 70000);
    a->trailer = "77";
    h2_until(&h, a->closed);
    h2_expect(a, 200, "70000 77");
    ag_check_contains(a->head, "trailer: X-Out\n");
    ag_check_str(h2_field(a, "x-out"), "done");
    a = h2_get(&h, "/trails");
    h2_expect(a, 200, "0 -");
    ag_check_str(h2_field(a, "x-out"), "done");
    h2_close(&h);
    finish(&site);
}

AG_TEST_RUN(a_client_that_expects_100_gets_it_when_the_body_is_wanted) {
    struct site site;
    start(&site, NULL);
    h2_open(&h, &site);
    struct answer *a = h2_ask(&h, "POST", "/body", "expect: 100-continue\n", -1);
    h2_until(&h, a->continues == 1);
    a->to_send = 5000;
    a->never_ends = false;
    ag_check_int(nghttp2_session_resume_data(h.s, a->id), 0);
    h2_until(&h, a->closed);
    h2_expect(a, 200, "5000");
    a = h2_ask(&h, "POST", "/ok", "expect: 100-continue\n", -1);
    h2_until(&h, a->closed);
    ag_check_int(a->continues, 0);
    h2_expect(a, 200, "ok\n");
    h2_close(&h);
    finish(&site);
}

AG_TEST_RUN(bodies_have_limits_of_size_and_time) {
    struct site site;
    ag_http_options o = {.body_max = 1000};
    start(&site, &o);
    h2_open(&h, &site);
    struct answer *a = h2_ask(&h, "POST", "/body", "content-length: 1001\n", 1001);
    h2_until(&h, a->closed);
    h2_expect(a, 413, NULL);
    a = h2_ask(&h, "POST", "/body", NULL, 1001);
    h2_until(&h, a->closed);
    h2_expect(a, 413, NULL);
    a = h2_ask(&h, "POST", "/body", NULL, 1000);
    h2_until(&h, a->closed);
    h2_expect(a, 200, "1000");
    a = h2_ask(&h, "POST", "/body?ms=50", NULL, -11);
    h2_until(&h, a->closed);
    h2_expect(a, 408, NULL);
    ag_check_int(atomic_load(&last_error), -ETIMEDOUT);
    h2_expect(h2_get(&h, "/ok"), 200, "ok\n");
    h2_close(&h);
    finish(&site);
}

/* ---- Flow control --------------------------------------------------------------------------- */

AG_TEST_RUN(a_handler_waits_for_a_client_that_does_not_read) {
    struct site site;
    start(&site, NULL);
    h2_open_with(&h, &site, 20000, true);
    struct answer *a = h2_ask(&h, "GET", "/flood", NULL, 0), *b = h2_get(&h, "/ok");
    h2_expect(b, 200, "ok\n"); /* the connection goes on */
    h2_until(&h, a->n == 20000);
    int64_t most = 20000 + 16384 + 5000; /* the window, the buffer, the write under way */
    ag_check(atomic_load(&written) <= most);
    ag_check_int(nghttp2_session_consume(h.s, a->id, 20000), 0);
    h2_until(&h, a->n == 40000);
    ag_check(atomic_load(&written) <= 20000 + most);
    ag_check(atomic_load(&written) >= 20000);
    nghttp2_submit_rst_stream(h.s, 0, a->id, NGHTTP2_CANCEL);
    h2_send(&h);
    eventually(atomic_load(&left) == 1);
    ag_check_int(atomic_load(&last_error), -EPIPE);
    h2_expect(h2_get(&h, "/ok"), 200, "ok\n");
    h2_close(&h);
    finish(&site);
}

AG_TEST_RUN(a_client_that_never_gives_room_is_given_up) {
    struct site site;
    ag_http_options o = {.write_ns = 50 * AG_MS};
    start(&site, &o);
    h2_open_with(&h, &site, 100, true);
    struct answer *a = h2_ask(&h, "GET", "/flood", NULL, 0);
    h2_until(&h, a->closed);
    ag_check_int(a->error, NGHTTP2_CANCEL);
    ag_check_int(a->n, 100);
    eventually(atomic_load(&left) == 1);
    ag_check_int(atomic_load(&last_error), -ETIMEDOUT);
    ag_check_int(stats_of(&site).timed_out, 1);
    h2_expect(h2_get(&h, "/ok"), 200, "ok\n");
    h2_close(&h);
    finish(&site);
}

AG_TEST_RUN(a_client_that_takes_nothing_off_the_socket_is_cut) {
    struct site site;
    ag_http_options o = {.write_ns = 50 * AG_MS};
    start(&site, &o);
    h2_open_with(&h, &site, 1 << 30, false);
    ag_check_int(nghttp2_session_set_local_window_size(h.s, 0, 0, 1 << 30), 0);
    h2_ask(&h, "GET", "/flood", NULL, 0);
    h2_send(&h);
    eventually(stats_of(&site).h2_accepted == 1 && stats_of(&site).h2_open == 0);
    ag_check_int(atomic_load(&last_error), -ETIMEDOUT);
    h2_close(&h);
    finish(&site);
}

AG_TEST_RUN(a_body_that_nobody_reads_stops_its_client) {
    struct site site;
    start(&site, NULL);
    h2_open(&h, &site);
    struct answer *a = h2_ask(&h, "POST", "/wait", NULL, 2000000);
    struct answer *b = h2_get(&h, "/ok");
    h2_expect(b, 200, "ok\n");
    int64_t window = nghttp2_session_get_remote_settings(h.s, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE);
    while (a->sent < window)
        h2_expect(h2_get(&h, "/ok"), 200, "ok\n");
    ag_check_int(a->sent, window);
    struct answer *c = h2_ask(&h, "POST", "/body", NULL, 500000); /* its own window has room */
    h2_until(&h, c->closed);
    h2_expect(c, 200, "500000");
    ag_check_int(a->sent, window);
    ag_close(gate);
    h2_until(&h, a->closed);
    ag_check_int(a->status, 200);
    ag_check_int(a->error, NGHTTP2_NO_ERROR); /* what was not read is not wanted */
    for (int i = 0; i < 8; i++) {             /* and the connection's window has it back */
        c = h2_ask(&h, "POST", "/body", NULL, 300000);
        h2_until(&h, c->closed);
        h2_expect(c, 200, "300000");
    }
    h2_close(&h);
    finish(&site);
}

/* ---- Many ----------------------------------------------------------------------------------- */

static void ask_many(struct answer **ret, int n, const char *path) {
    for (int i = 0; i < n; i++)
        ret[i] = h2_ask(&h, "GET", path, NULL, 0);
}

static void expect_many(struct answer *const *a, int n, const char *text) {
    for (int i = 0; i < n; i++) {
        h2_until(&h, a[i]->closed);
        h2_expect(a[i], 200, text);
    }
}

AG_TEST_RUN(a_hundred_streams_are_answered_at_once) {
    enum { MANY = 100 };
    struct site site;
    struct answer *a[MANY];
    start(&site, NULL);
    h2_open(&h, &site);
    ask_many(a, MANY, "/wait");
    h2_until(&h, h.settings >= 1);
    h2_send(&h);
    eventually(atomic_load(&entered) == MANY);
    ag_check_int(stats_of(&site).h2_streams_open, MANY);
    ag_check_int(stats_of(&site).idle, 0);
    for (int i = 0; i < MANY; i++)
        ag_send(gate, 0);
    expect_many(a, MANY, "waited");
    h2_close(&h);
    finish(&site);
}

/* Only the test and who accepts are left: all is written, and counted. */
static void until_quiet(void) {
    eventually(ag_count() == 2);
}

static int64_t created(void) {
    ag_stats stats;
    ag_stats_read(&stats);
    return stats.created;
}

/* A goroutine reads, runs them all and writes; another one looks whether something is left. */
AG_TEST_RUN(requests_that_come_together_cost_no_goroutine_each) {
    enum { MANY = 40 };
    struct site site;
    struct answer *a[MANY];
    start(&site, NULL);
    h2_open(&h, &site);
    h2_expect(h2_get(&h, "/ok"), 200, "ok\n");
    until_quiet();
    int64_t before = created();
    ask_many(a, MANY, "/ok");
    h2_send_together(&h);
    expect_many(a, MANY, "ok\n");
    if (ag_procs(0) == 1) /* others may help */
        ag_check(created() - before < MANY / 2);
    h2_close(&h);
    finish(&site);
}

/* Each of them would start somebody who writes, were that one not to let the others go first. */
AG_TEST_RUN(answers_that_come_together_are_written_together) {
    enum { MANY = 40 };
    struct site site;
    struct answer *a[MANY];
    start(&site, NULL);
    h2_open(&h, &site);
    h2_expect(h2_get(&h, "/ok"), 200, "ok\n");
    ask_many(a, MANY, "/wait");
    h2_send(&h);
    eventually(atomic_load(&entered) == MANY);
    int64_t before = created();
    ag_close(gate);
    expect_many(a, MANY, "waited");
    if (ag_procs(0) == 1)
        ag_check(created() - before < MANY / 2);
    h2_close(&h);
    finish(&site);
}

/* Who knows how long a handler takes that has not been fast often. */
AG_TEST_RUN(an_answer_does_not_wait_for_a_handler_that_may_be_slow) {
    struct site site;
    int64_t sent[3];
    start(&site, NULL);
    h2_open(&h, &site);
    h2_expect(h2_get(&h, "/ok"), 200, "ok\n");
    for (int i = 0; i < 2; i++) {
        until_quiet();
        h2_expect(h2_get(&h, "/sent"), 200, "ok\n");
        sent[i] = atomic_load(&sent_before);
        eventually(atomic_load(&sent_after) != 0);
        if (ag_procs(0) == 1)
            ag_check(atomic_load(&sent_after) > sent[i]);
    }
    until_quiet();
    struct answer *before = h2_ask(&h, "GET", "/ok", NULL, 0);
    struct answer *a = h2_ask(&h, "GET", "/sent", NULL, 0);
    h2_send_together(&h);
    h2_until(&h, before->closed && a->closed);
    sent[2] = atomic_load(&sent_before);
    if (ag_procs(0) == 1) /* else they may run at the same time */
        ag_check(sent[2] - sent[1] > sent[1] - sent[0]);
    h2_close(&h);
    finish(&site);
}

/* Of requests that come together, some wait, some end their goroutine: the others are answered. */
AG_TEST_RUN(requests_that_come_together_do_not_wait_for_each_other) {
    static const char *const paths[] = {"/ok",           "/wait", "/panic",
                                        "/panic?exit=1", "/ok",   "/panic?late=1&sent=1"};
    enum { KINDS = sizeof paths / sizeof *paths, MANY = 10 * KINDS };
    struct site site;
    struct answer *a[MANY];
    start(&site, NULL);
    h2_open(&h, &site);
    h2_expect(h2_get(&h, "/ok"), 200, "ok\n");
    for (int i = 0; i < MANY; i++)
        a[i] = h2_ask(&h, "GET", paths[i % KINDS], NULL, 0);
    h2_send(&h);
    for (int i = 0; i < MANY; i++)
        if (i % KINDS != 1)
            h2_until(&h, a[i]->closed);
    eventually(stats_of(&site).h2_streams_open == MANY / KINDS);
    ag_close(gate);
    for (int i = 0; i < MANY; i++) {
        static const int status[] = {200, 200, 500, 500, 200, 200};
        h2_until(&h, a[i]->closed);
        ag_check_int(a[i]->status, status[i % KINDS]);
    }
    ag_check_int(stats_of(&site).panics, 2 * MANY / KINDS);
    eventually(stats_of(&site).idle == 1);
    h2_close(&h);
    finish(&site);
}

static void asks_many(struct site *site, atomic_int *done) {
    struct h2c *own = calloc(1, sizeof *own);
    struct answer *a[16];
    h2_open(own, site);
    for (int round = 0; round < 8; round++) {
        for (int i = 0; i < 16; i++)
            a[i] = h2_ask(own, i % 2 ? "POST" : "GET", i % 2 ? "/echo" : "/large", NULL,
                          i % 2 ? i * 3000 : 0);
        for (int i = 0; i < 16; i++) {
            h2_until(own, a[i]->closed);
            h2_expect(a[i], 200, NULL);
            ag_check_int(a[i]->n, i % 2 ? i * 3000 : (int)sizeof large);
        }
    }
    h2_close(own);
    free(own);
    atomic_fetch_add(done, 1);
}

AG_TEST_RUN(many_connections_with_many_streams_mix_nothing_up) {
    struct site site;
    atomic_int done = 0;
    start(&site, NULL);
    for (int i = 0; i < 4; i++)
        ag_go(asks_many, &site, &done);
    eventually(atomic_load(&done) == 4);
    finish(&site);
}
