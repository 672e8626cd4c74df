/* SPDX-License-Identifier: MIT */
/*
 * Event streams and trailers, and "100 Continue" where RFC 9110 has words about it.
 */
#include "ag_test.h"

#include "http/server_test.h"

#include <aglet/http_events.h>

static struct client cl;
static struct reply r;
static struct site site;
static char line[8192];

/* ---- Handlers ------------------------------------------------------------------------------- */

static atomic_int entered, left, result, cause;
static ag_chan(int) go_on;

static void news(ag_http_request *req, ag_http_response *res) {
    ag_http_events e;
    int x;
    ag_http_events_begin(&e, req, res, ag_http_query_value(req, "fast") ? AG_MS : AG_MIN);
    ag_check(ag_ctx_current() == e.ctx);
    ag_check_int(ag_http_events_retry(&e, 1500 * AG_MS), 0);
    ag_check_int(ag_http_events_send(&e, "7", "greeting", e.last_id), 0);
    ag_check_int(ag_http_events_send(&e, NULL, NULL, "a\nb\r\nc\rd\n"), 0);
    ag_check_int(ag_http_events_send(&e, "a\nb", NULL, ""), -EINVAL);
    ag_check_int(ag_http_events_send(&e, NULL, "a\rb", ""), -EINVAL);
    ag_check_int(ag_http_events_comment(&e, "hm"), 0);
    atomic_fetch_add(&entered, 1);
    while (ag_recv(go_on, &x))
        ag_check_int(ag_http_events_send(&e, NULL, NULL, x == 1 ? "one" : "more"), 0);
    atomic_store(&cause, ag_ctx_cause(e.ctx));
    atomic_store(&result, ag_http_events_send(&e, NULL, NULL, "late"));
    atomic_fetch_add(&left, 1);
}

static void panics(ag_http_request *req, ag_http_response *res) {
    ag_http_events e;
    ag_http_events_begin(&e, req, res, AG_MS);
    ag_panic("in a stream");
}

static void trailers_of(ag_http_request *req, ag_http_response *res) {
    char *body;
    const char *name, *value;
    ag_check(!ag_http_trailer(req, "X-Sum"));
    if (ag_http_body_all(req, 1000, &body, NULL) != 0)
        return;
    value = ag_http_trailer(req, "x-sum");
    ag_http_printf(res, "%s;%s;", body, value ? value : "-");
    for (size_t i = 0; ag_http_trailer_at(req, i, &name, &value); i++)
        ag_http_printf(res, "%s=%s;", name, value);
    ag_check(!ag_http_header(req, "X-Sum"));
}

static void sets_trailers(ag_http_request *req, ag_http_response *res) {
    const char *how = ag_http_query_value(req, "how");
    ag_check_int(ag_http_trailer_set(res, "X-Sum", NULL), 0);
    ag_check_int(ag_http_trailer_set(res, "X-Other", "first"), 0);
    ag_check_int(ag_http_trailer_set(res, "Content-Length", "1"), -EINVAL);
    ag_check_int(ag_http_trailer_set(res, "X Y", "1"), -EINVAL);
    ag_check_int(ag_http_trailer_set(res, "X-Y", "1\r\nZ: 2"), -EINVAL);
    if (strcmp(how, "send") == 0) {
        ag_http_text(res, 200, "body");
    } else if (strcmp(how, "none") == 0) {
        ag_http_status(res, 204);
    } else {
        ag_http_printf(res, "body");
        if (strcmp(how, "flush") == 0)
            ag_http_flush(res);
    }
    ag_check_int(ag_http_trailer_set(res, "X-Other", "second"), 0);
    ag_check_int(ag_http_trailer_set(res, "X-Sum", " 42 "), 0);
}

static void ignores(ag_http_request *req, ag_http_response *res) {
    (void)req;
    ag_http_text(res, 403, "no\n");
}

static void reads(ag_http_request *req, ag_http_response *res) {
    char buf[100];
    while (ag_http_body_read(req, buf, sizeof buf) > 0)
        continue;
    ag_http_text(res, 200, "read\n");
}

static void start(void) {
    go_on = ag_make(int, 0);
    site.s = ag_http_server_new(NULL);
    ag_http_handle(site.s, "/news", news, NULL);
    ag_http_handle(site.s, "/panics", panics, NULL);
    ag_http_handle(site.s, "/trailers", trailers_of, NULL);
    ag_http_handle(site.s, "/sets", sets_trailers, NULL);
    ag_http_handle(site.s, "/ignores", ignores, NULL);
    ag_http_handle(site.s, "/reads", reads, NULL);
    site_start(&site);
    client_open(&cl, &site);
}

static void finish(void) {
    client_close(&cl);
    site_end(&site);
    ag_unref(go_on);
}

static void read_head(int status) {
    size_t n = 0;
    ag_check(take_line(&cl, line, sizeof line));
    ag_check_int(strtol(line + 9, NULL, 10), status);
    r.head[0] = 0;
    while (take_line(&cl, line, sizeof line) && line[0])
        n += (size_t)snprintf(r.head + n, sizeof r.head - n, "\n%s", line);
    snprintf(r.head + n, sizeof r.head - n, "\n");
}

/* Reads chunks until their bytes are those. */
static void expect_text(const char *text) {
    r.n = 0;
    while (r.n < strlen(text)) {
        ag_check(take_line(&cl, line, sizeof line));
        ag_check(take_bytes(&cl, &r, strtoul(line, NULL, 16)));
        ag_check(take_line(&cl, line, sizeof line));
    }
    r.body[r.n] = 0;
    ag_check_str(r.body, text);
}

/* ---- Events --------------------------------------------------------------------------------- */

#define BEGIN                                                                                      \
    "retry: 1500\n\n"                                                                              \
    "id: 7\nevent: greeting\ndata: \n\n"                                                           \
    "data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n"                                               \
    ": hm\n\n"

AG_TEST_RUN(events_are_sent_at_once_and_end_with_the_client) {
    start();
    say(&cl, "GET /news HTTP/1.1\r\nHost: h\r\n\r\n");
    read_head(200);
    ag_check_str(field(&r, "Content-Type"), "text/event-stream");
    ag_check_str(field(&r, "Cache-Control"), "no-store");
    expect_text(BEGIN);
    ag_check_int(ag_send(go_on, 1), 0);
    expect_text("data: one\n\n");
    ag_conn_close(cl.c);
    eventually(atomic_load(&left) == 1);
    ag_check_int(atomic_load(&cause), -ECONNRESET);
    ag_check_int(atomic_load(&result), -ECANCELED);
    finish();
}

AG_TEST_RUN(events_end_when_the_server_begins_to_stop) {
    start();
    say(&cl, "GET /news HTTP/1.1\r\nHost: h\r\nLast-Event-ID: 6\r\n\r\n");
    read_head(200);
    expect_text("retry: 1500\n\nid: 7\nevent: greeting\ndata: 6\n\n"
                "data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n: hm\n\n");
    ag_check_int(ag_http_stop(site.s, AG_MIN), 0); /* long before its end */
    ag_check_int(atomic_load(&left), 1);
    ag_check_int(atomic_load(&cause), -ESHUTDOWN);
    ag_check_int(atomic_load(&result), -ECANCELED);
    ag_check(take_line(&cl, line, sizeof line));
    ag_check_str(line, "0");
    finish();
}

AG_TEST_RUN(a_quiet_stream_is_kept_alive) {
    start();
    say(&cl, "GET /news?fast=1 HTTP/1.1\r\nHost: h\r\n\r\n");
    read_head(200);
    eventually(atomic_load(&entered) == 1);
    for (int comments = 0; comments < 5;) {
        ag_check(take_line(&cl, line, sizeof line));
        r.n = 0;
        ag_check(take_bytes(&cl, &r, strtoul(line, NULL, 16)));
        comments += r.n == 4 && memcmp(r.body, ": \n\n", 4) == 0;
        ag_check(take_line(&cl, line, sizeof line));
    }
    ag_conn_close(cl.c);
    eventually(atomic_load(&left) == 1);
    finish();
}

AG_TEST_RUN(a_panic_in_a_stream_ends_it) {
    start();
    say(&cl, "GET /panics HTTP/1.1\r\nHost: h\r\n\r\n");
    read_head(200);
    while (client_fill(&cl))
        cl.at = cl.n;
    finish();
}

/* ---- Trailers ------------------------------------------------------------------------------- */

#define CHUNKED(trailers)                                                                          \
    "POST /trailers HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"   \
    "4\r\nbody\r\n0\r\n" trailers "\r\n"

AG_TEST_RUN(trailers_of_a_request_are_read_after_its_body) {
    start();
    say(&cl, CHUNKED("X-Sum:  42 \r\nx-more:\r\n"));
    expect(&cl, &r, 200, "body;42;X-Sum=42;x-more=;");
    say(&cl, CHUNKED(""));
    expect(&cl, &r, 200, "body;-;");
    say(&cl, CHUNKED("Content-Length: 5\r\nHost: evil\r\nAuthorization: x\r\nIf-Match: *\r\n"
                     "X-Sum: 1\r\n"));
    expect(&cl, &r, 200, "body;1;X-Sum=1;");
    say(&cl, "POST /trailers HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody");
    expect(&cl, &r, 200, "body;-;");
    static char many[8000];
    memset(many, 'v', sizeof many - 1);
    snprintf(line, sizeof line, "X-Sum: %.7900s\r\n\r\n", many);
    say(&cl, "POST /trailers HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n");
    say(&cl, line);
    listen_for(&cl, &r, false);
    ag_check_int(r.status, 200);
    ag_check_int(r.n, 1 + 7900 + 1 + 6 + 7900 + 1);
    finish();
}

AG_TEST_RUN(malformed_or_huge_trailers_are_refused) {
    static const char *const bad[] = {"X Sum: 1\r\n", "X-Sum\r\n", ": 1\r\n", "X-Sum: a\x01\r\n",
                                      " X-Sum: 1\r\n"};
    static char huge[10000];
    start();
    memset(huge, 'h', sizeof huge - 1);
    for (size_t i = 0; i <= sizeof bad / sizeof *bad; i++) {
        say(&cl, "POST /trailers HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n");
        if (i < sizeof bad / sizeof *bad)
            say(&cl, bad[i]);
        else
            say(&cl, "X-Sum: "), say(&cl, huge);
        listen_for(&cl, &r, false);
        if (r.status < 400 || r.status >= 500)
            ag_fail("trailer %zu: %d", i, r.status);
        client_close(&cl);
        client_open(&cl, &site);
    }
    finish();
}

static void expect_trailers(const char *target, const char *version, bool sent) {
    snprintf(line, sizeof line, "GET %s %s\r\nHost: h\r\n\r\n", target, version);
    say(&cl, line);
    read_head(200);
    if (!sent)
        return;
    ag_check_str(field(&r, "Transfer-Encoding"), "chunked");
    ag_check(strstr(r.head, "\nTrailer: X-Sum\nTrailer: X-Other\n") != NULL);
    expect_text("body");
    static const char *const expected[] = {"0", "X-Other: second", "X-Sum: 42", ""};
    for (int i = 0; i < 4; i++) {
        ag_check(take_line(&cl, line, sizeof line));
        ag_check_str(line, expected[i]);
    }
}

AG_TEST_RUN(trailers_of_a_response_are_sent_behind_its_chunks) {
    start();
    expect_trailers("/sets?how=write", "HTTP/1.1", true);
    expect_trailers("/sets?how=flush", "HTTP/1.1", true);
    say(&cl, "GET /sets?how=send HTTP/1.1\r\nHost: h\r\n\r\n");
    expect(&cl, &r, 200, "body");
    say(&cl, "GET /sets?how=none HTTP/1.1\r\nHost: h\r\n\r\n");
    expect(&cl, &r, 204, "");
    say(&cl, "HEAD /sets?how=write HTTP/1.1\r\nHost: h\r\n\r\n");
    listen_for(&cl, &r, true);
    ag_check_int(r.status, 200);
    say(&cl, "GET /sets?how=write HTTP/1.0\r\n\r\n");
    expect(&cl, &r, 200, "body");
    expect_end(&cl);
    finish();
}

/* ---- 100 Continue, RFC 9110 10.1.1 ---------------------------------------------------------- */

#define EXPECT "Host: h\r\nExpect: 100-continue\r\n"

AG_TEST_RUN(one_hundred_comes_when_the_body_is_wanted_and_only_then) {
    start();
    say(&cl, "POST /reads HTTP/1.1\r\n" EXPECT "Content-Length: 4\r\n\r\n");
    expect(&cl, &r, 100, "");
    say(&cl, "body");
    expect(&cl, &r, 200, "read\n");
    say(&cl,
        "POST /reads HTTP/1.1\r\n" EXPECT "Content-Length: 4\r\n\r\nbody"); /* has not waited */
    expect(&cl, &r, 200, "read\n");
    say(&cl, "POST /reads HTTP/1.1\r\n" EXPECT "Content-Length: 0\r\n\r\n"); /* none to wait for */
    expect(&cl, &r, 200, "read\n");
    say(&cl, "POST /reads HTTP/1.1\r\n" EXPECT "Transfer-Encoding: chunked\r\n\r\n");
    expect(&cl, &r, 100, "");
    say(&cl, "0\r\n\r\n");
    expect(&cl, &r, 200, "read\n");
    /* The final answer instead; the body, that may come or not, ends the connection. */
    say(&cl, "POST /ignores HTTP/1.1\r\n" EXPECT "Content-Length: 4\r\n\r\n");
    expect(&cl, &r, 403, "no\n");
    ag_check_str(field(&r, "Connection"), "close");
    expect_end(&cl);
    client_close(&cl);
    client_open(&cl, &site);
    say(&cl, "POST /reads HTTP/1.0\r\n" EXPECT "Content-Length: 4\r\n\r\n"); /* ignored */
    say(&cl, "body");
    expect(&cl, &r, 200, "read\n");
    expect_end(&cl);
    client_close(&cl);
    client_open(&cl, &site);
    say(&cl, "POST /reads HTTP/1.1\r\nHost: h\r\nExpect: more\r\nContent-Length: 4\r\n\r\n");
    listen_for(&cl, &r, false);
    ag_check_int(r.status, 417);
    finish();
}
