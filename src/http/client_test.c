/* SPDX-License-Identifier: MIT */
/*
 * The client against our own server: requests, bodies, redirects, cookies, the pool.
 */
#include "ag_test.h"

#include "http/client_test.h"

#include <ctype.h>

/* ---- The site ------------------------------------------------------------------------------- */

struct site {
    ag_http_server *s;
    ag_listener *l;
    atomic_int served;
    char url[64];
};

static uint32_t streams_max;    /* of HTTP/2; 0: as usual */
static struct site site, other; /* of the test under way: each has a process of its own */

static void describe(ag_http_request *req, ag_http_response *res) {
    const char *name, *value;
    ag_http_printf(res, "%s %s?%s\n", ag_http_method(req), ag_http_path(req), ag_http_query(req));
    for (size_t i = 0; ag_http_header_at(req, i, &name, &value); i++)
        ag_http_printf(res, "%s: %s\n", name, value);
}

static void echo(ag_http_request *req, ag_http_response *res) {
    char buf[5000];
    ssize_t n;
    const char *type = ag_http_header(req, "Content-Type");
    if (type)
        ag_http_set(res, "Content-Type", type);
    while ((n = ag_http_body_read(req, buf, sizeof buf)) > 0)
        if (ag_http_write(res, buf, (size_t)n) < 0)
            return;
}

static void fill(ag_http_request *req, ag_http_response *res) {
    long n = strtol(ag_http_query_value(req, "n"), NULL, 10);
    if (ag_http_query_value(req, "counted"))
        ag_http_set(res, "Content-Length", ag_http_query_value(req, "n"));
    for (long i = 0; i < n; i++)
        if (ag_http_write(res, &"0123456789"[i % 10], 1) < 0)
            return;
}

/* /to/STATUS?where */
static void redirect(ag_http_request *req, ag_http_response *res) {
    long status = strtol(ag_http_path_value(req, "status"), NULL, 10);
    char buf[4096];
    while (ag_http_body_read(req, buf, sizeof buf) > 0)
        continue;
    ag_http_redirect(res, (int)status, ag_http_query_value(req, "l"));
}

static void loop(ag_http_request *req, ag_http_response *res) {
    (void)req;
    ag_http_redirect(res, 302, "/loop");
}

static void no_content(ag_http_request *req, ag_http_response *res) {
    (void)req;
    ag_http_status(res, 204);
}

static void refuse(ag_http_request *req, ag_http_response *res) {
    (void)req;
    ag_http_error(res, 413, "too much");
}

static void cookies(ag_http_request *req, ag_http_response *res) {
    const char *set = ag_http_query_value(req, "set");
    const char *had = ag_http_header(req, "Cookie");
    if (set)
        ag_http_add(res, "Set-Cookie", set);
    ag_http_text(res, 200, had ? had : "-");
}

static void hold(ag_http_request *req, ag_http_response *res) {
    (void)req;
    ag_sleep(5 * AG_MS);
    ag_http_text(res, 200, "held");
}

static void serve(struct site *s) {
    atomic_store(&s->served, ag_http_serve(s->s, s->l) - 1000);
}

static void start(struct site *s) {
    ag_http_options options = {.body_max = 64 << 20, .streams_max = streams_max};
    s->s = ag_http_server_new(&options);
    ag_http_handle(s->s, "/describe/", describe, NULL);
    ag_http_handle(s->s, "/describe", describe, NULL);
    ag_http_handle(s->s, "/echo", echo, NULL);
    ag_http_handle(s->s, "/fill", fill, NULL);
    ag_http_handle(s->s, "/to/{status}", redirect, NULL);
    ag_http_handle(s->s, "/loop", loop, NULL);
    ag_http_handle(s->s, "/204", no_content, NULL);
    ag_http_handle(s->s, "/refuse", refuse, NULL);
    ag_http_handle(s->s, "/cookies/", cookies, NULL);
    ag_http_handle(s->s, "/hold", hold, NULL);
    ag_check_int(ag_listen("tcp", "127.0.0.1:0", &s->l), 0);
    snprintf(s->url, sizeof s->url, "http://%s", ag_listener_addr(s->l));
    ag_go(serve, s);
}

static void stop(struct site *s) {
    ag_check_int(ag_http_stop(s->s, 10 * AG_SEC * ag_test_slow()), 0);
    eventually(atomic_load(&s->served) == -1000);
    ag_http_server_free(s->s);
    ag_unref(s->l);
}

static const char *at(const char *path) {
    static char urls[8][256];
    static int next;
    char *url = urls[next++ % 8];
    snprintf(url, 256, "%s%s", site.url, path);
    return url;
}

static ag_http_client *begin(const ag_http_client_options *options) {
    start(&site);
    return client_begin(options);
}

static void end(ag_http_client *client) {
    client_end(client);
    stop(&site);
    eventually(ag_count() == 1);
}

/* Does it, gives the body as text; the reply is closed. */
static char text[1 << 16];
static int do_text(ag_http_client *client, const ag_http_client_request *q) {
    ag_http_reply *r;
    char *body;
    int e = ag_http_client_do(client, q, &r);
    if (e == 0)
        e = ag_http_reply_read_all(r, sizeof text - 1, &body, NULL);
    snprintf(text, sizeof text, "%s", e == 0 ? body : ag_http_reply_error(r));
    int status = ag_http_reply_status(r);
    ag_http_reply_close(r);
    return e ? e : status;
}

/* A field as the version of HTTP has its name. */
static const char *as_sent(const char *field) {
    static char copy[256];
    snprintf(copy, sizeof copy, "%s", field);
    for (char *p = copy; CLIENT_HTTP2 && *p && *p != ':'; p++)
        *p = (char)tolower(*p);
    return copy;
}

static void check_field(const char *field) {
    ag_check_contains(text, as_sent(field));
}

static void check_no_field(const char *name) {
    ag_check(!strstr(text, as_sent(name)));
}

/* ---- Requests ------------------------------------------------------------------------------- */

AG_TEST_RUN(client_get_has_the_usual_fields) {
    ag_http_client *client = begin(NULL);
    ag_http_client_request q = {.url = at("/describe?a=b#c")};
    ag_check_int(do_text(client, &q), 200);
    ag_check_contains(text, "GET /describe?a=b\n");
    check_field("User-Agent: aglet\n");
    check_field("Host: 127.0.0.1:");
    check_no_field("Content-Length");
    check_no_field("Connection");
    check_no_field("Authorization");
    end(client);
}

AG_TEST_RUN(client_fields_replace_the_usual_ones) {
    ag_http_client *client = begin(&(ag_http_client_options){.user_agent = "mine/1"});
    ag_http_client_request q = {.url = at("/describe")};
    ag_check_int(do_text(client, &q), 200);
    check_field("User-Agent: mine/1\n");
    ag_http_client_field fields[] = {{"user-agent", ""},  {"Accept-Encoding", "br"},
                                     {"host", "else:81"}, {"X-Thing", " a b "},
                                     {"X-Thing", ""},     {NULL, NULL}};
    q.fields = fields;
    ag_check_int(do_text(client, &q), 200);
    check_no_field("User-Agent");
    check_field("Accept-Encoding: br\n");
    check_field("Host: else:81\n");
    check_field("X-Thing: a b\n");
    check_field("X-Thing: \n");
    end(client);
}

AG_TEST_RUN(client_request_is_checked_before_anything_is_sent) {
    ag_http_client *client = begin(NULL);
    static const ag_http_client_field bad[] = {
        {"X\r\nY", "1"},
        {"", "1"},
        {"X Y", "1"},
        {"X", "a\r\nY: 1"},
        {"X", "a\nb"},
        {"X", NULL},
        {"Content-Length", "1"},
        {"transfer-encoding", "chunked"},
        {"Connection", "keep-alive"},
        {"Upgrade", "h2c"},
        {"Expect", "200-ok"},
        {"Host", "a b"},
        {"Host", ""},
        {"TE", "trailers"},
        {"Proxy-Authorization", "x"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ag_http_client_field fields[] = {bad[i], {NULL, NULL}};
        ag_http_client_request q = {.url = at("/describe"), .fields = fields};
        ag_check_int(do_text(client, &q), -EINVAL);
        ag_check_contains(text, "GET http://127.0.0.1:");
    }
    static const char *const methods[] = {"", "G T", "GET\r\n", "CONNECT"};
    for (size_t i = 0; i < 4; i++) {
        ag_http_client_request q = {.url = at("/describe"), .method = methods[i]};
        ag_check_int(do_text(client, &q), -EINVAL);
    }
    ag_http_client_request q = {.url = "http://h/\r\n"};
    ag_check_int(do_text(client, &q), -EINVAL);
    ag_check_contains(text, "control");
    q.url = "gopher://h/";
    ag_check_int(do_text(client, &q), -EPROTONOSUPPORT);
    ag_check_int(stats_of_client(client).dialed, 0);
    ag_check_int(stats_of_client(client).failed, stats_of_client(client).requests);
    end(client);
}

AG_TEST_RUN(client_user_in_the_url_becomes_authorization) {
    ag_http_client *client = begin(NULL);
    char url[128];
    snprintf(url, sizeof url, "http://me:pass%%21@%s/describe", site.url + 7);
    ag_http_client_request q = {.url = url};
    ag_check_int(do_text(client, &q), 200);
    check_field("Authorization: Basic bWU6cGFzcyE=\n");
    ag_http_client_field fields[] = {{"Authorization", "Bearer x"}, {NULL, NULL}};
    q.fields = fields;
    ag_check_int(do_text(client, &q), 200);
    check_field("Authorization: Bearer x\n");
    ag_check(!strstr(text, "Basic"));
    ag_http_reply *r;
    ag_check_int(ag_http_client_do(client, &q, &r), 0);
    ag_check(!strstr(ag_http_reply_url(r), "me"));
    ag_http_reply_close(r);
    end(client);
}

AG_TEST_RUN(client_methods_and_lengths) {
    ag_http_client *client = begin(NULL);
    ag_http_client_request q = {.url = at("/describe"), .method = "POST"};
    ag_check_int(do_text(client, &q), 200);
    check_field("Content-Length: 0\n");
    q.method = "DELETE";
    ag_check_int(do_text(client, &q), 200);
    check_no_field("Content-Length");
    q = (ag_http_client_request){.url = at("/describe"), .body = "abc", .body_n = 3};
    ag_check_int(do_text(client, &q), 200);
    ag_check_contains(text, "POST /describe");
    check_field("Content-Length: 3\n");
    ag_http_reply *r;
    ag_check_int(ag_http_head(client, at("/fill?n=1000&counted=1"), &r), 0);
    ag_check_int(ag_http_reply_status(r), 200);
    ag_check_int(ag_http_reply_content_length(r), 1000);
    ag_check_int(ag_http_reply_read(r, text, 10), 0);
    ag_http_reply_close(r);
    ag_check_int(ag_http_get(client, at("/204"), &r), 0);
    ag_check_int(ag_http_reply_status(r), 204);
    ag_check_int(ag_http_reply_content_length(r), 0);
    ag_check_int(ag_http_reply_read(r, text, 10), 0);
    ag_http_reply_close(r);
    ag_check_int(stats_of_client(client).dialed, 1);
    end(client);
}

AG_TEST_RUN(client_reply_tells_its_fields) {
    ag_http_client *client = begin(NULL);
    ag_http_reply *r;
    const char *name, *value;
    bool type = false;
    ag_check_int(ag_http_get(client, at("/fill?n=3"), &r), 0);
    ag_check_str(ag_http_reply_header(r, "CONTENT-TYPE"), "text/plain; charset=utf-8");
    ag_check_str(ag_http_reply_header(r, "content-length"), "3");
    ag_check(!ag_http_reply_header(r, "None"));
    for (size_t i = 0; ag_http_reply_header_at(r, i, &name, &value); i++)
        type = type || strcmp(name, CLIENT_HTTP2 ? "content-type" : "Content-Type") == 0;
    ag_check(type);
    ag_check_str(ag_http_reply_url(r), at("/fill?n=3"));
    ag_check(!ag_http_reply_was_reused(r));
    ag_check(!ag_http_reply_trailer(r, "X"));
    ag_http_reply_close(r);
    ag_http_reply_close(NULL);
    ag_check_str(ag_http_reply_error(NULL), "out of memory");
    ag_check_int(ag_http_reply_status(NULL), 0);
    end(client);
}

/* ---- Bodies --------------------------------------------------------------------------------- */

AG_TEST_RUN(client_reads_bodies_of_all_sizes_in_all_pieces) {
    ag_http_client *client = begin(NULL);
    static const int sizes[] = {0, 1, 100, 4095, 4096, 8192, 70000};
    static const int pieces[] = {1, 7, 4096, 65536};
    static char buf[65536];
    for (int i = 0; i < 7 * 4 * 2; i++) {
        int size = sizes[i % 7], piece = pieces[i / 7 % 4];
        char path[64];
        snprintf(path, sizeof path, "/fill?n=%d%s", size, i >= 28 ? "&counted=1" : "");
        ag_http_reply *r;
        ag_check_int(ag_http_get(client, at(path), &r), 0);
        ssize_t n, total = 0;
        while ((n = ag_http_reply_read(r, buf, (size_t)piece)) > 0)
            for (ssize_t k = 0; k < n; k++, total++)
                ag_check_int(buf[k], '0' + total % 10);
        ag_check_int(n, 0);
        ag_check_int(total, size);
        ag_check_int(ag_http_reply_read(r, buf, 1), 0);
        ag_http_reply_close(r);
    }
    ag_check_int(stats_of_client(client).dialed, 1);
    end(client);
}

AG_TEST_RUN(client_read_all_has_a_limit) {
    ag_http_client *client = begin(NULL);
    for (int counted = 0; counted < 2; counted++) {
        const char *url = at(counted ? "/fill?n=20000&counted=1" : "/fill?n=20000");
        ag_http_reply *r;
        char *body;
        size_t n;
        ag_check_int(ag_http_get(client, url, &r), 0);
        ag_check_int(ag_http_reply_read_all(r, 20000, &body, &n), 0);
        ag_check_int(n, 20000);
        ag_check_int(strlen(body), 20000);
        ag_http_reply_close(r);
        ag_check_int(ag_http_get(client, url, &r), 0);
        ag_check_int(ag_http_reply_read_all(r, 19999, &body, &n), -EMSGSIZE);
        ag_check_contains(ag_http_reply_error(r), "limit");
        ag_http_reply_close(r);
    }
    end(client);
}

/* A body from a callback. */
struct source {
    size_t left, total;
    int pieces, rewinds, fail_at;
    bool waits;
};

static ssize_t give(void *arg, void *buf, size_t n) {
    struct source *s = arg;
    s->pieces++;
    if (s->fail_at && s->pieces == s->fail_at)
        return -EIO;
    if (s->waits && s->pieces > 1)
        return ag_sleep(AG_MIN); /* for the reply's end */
    if (n > s->left)
        n = s->left;
    memset(buf, 'b', n);
    s->left -= n;
    return (ssize_t)n;
}

static int rewind_source(void *arg) {
    struct source *s = arg;
    s->left = s->total;
    s->rewinds++;
    return 0;
}

static void check_echo(ag_http_client *client, ag_http_client_request *q, size_t n) {
    ag_http_reply *r;
    char *body;
    size_t got;
    q->url = at("/echo");
    int e = ag_http_client_do(client, q, &r);
    ag_check_str(ag_http_reply_error(r), "");
    ag_check_int(e, 0);
    ag_check_int(ag_http_reply_read_all(r, 1 << 24, &body, &got), 0);
    ag_check_int(got, n);
    for (size_t i = 0; i < n; i++)
        ag_check_int(body[i], 'b');
    ag_http_reply_close(r);
}

AG_TEST_RUN(client_sends_bodies) {
    ag_http_client *client = begin(NULL);
    static const size_t sizes[] = {1, 16384, 16385, 200000};
    static const ag_http_client_field expect[] = {{"Expect", "100-continue"}, {NULL, NULL}};
    char *memory = malloc(200000);
    memset(memory, 'b', 200000);
    for (int i = 0; i < 4 * 2; i++) {
        size_t n = sizes[i % 4];
        const ag_http_client_field *fields = i < 4 ? NULL : expect;
        ag_http_client_request q = {.body = memory, .body_n = n, .fields = fields};
        check_echo(client, &q, n);
        struct source s = {.left = n, .total = n};
        q = (ag_http_client_request){.read = give, .arg = &s, .fields = fields};
        check_echo(client, &q, n);
        s = (struct source){.left = n, .total = n};
        q.read_n = (int64_t)n;
        check_echo(client, &q, n);
    }
    free(memory);
    ag_check_int(stats_of_client(client).dialed, 1);
    end(client);
}

/* The server echoes while it reads: neither side's buffers take all of it. */
AG_TEST_RUN(client_body_and_answer_go_both_ways_at_once) {
    ag_http_client *client = begin(NULL);
    size_t n = (size_t)(32 << 20) / (size_t)ag_test_slow();
    struct source s = {.left = n, .total = n};
    ag_http_client_request q = {.url = at("/echo"), .read = give, .arg = &s};
    static char buf[65536];
    ag_http_reply *r;
    ag_check_int(ag_http_client_do(client, &q, &r), 0);
    ssize_t got;
    size_t total = 0;
    while ((got = ag_http_reply_read(r, buf, sizeof buf)) > 0)
        total += (size_t)got;
    ag_check_int(got, 0);
    ag_check_int(total, n);
    ag_http_reply_close(r);
    end(client);
}

AG_TEST_RUN(client_source_that_fails_fails_the_request) {
    ag_http_client *client = begin(NULL);
    for (int known = 0; known < 2; known++) {
        struct source s = {.left = 1 << 20, .total = 1 << 20, .fail_at = 3};
        ag_http_client_request q = {
            .url = at("/describe"), .read = give, .arg = &s, .read_n = known ? 1 << 20 : 0};
        ag_http_reply *r;
        char *body;
        int e = ag_http_client_do(client, &q, &r);
        if (e == 0)
            e = ag_http_reply_read_all(r, 1 << 20, &body, NULL);
        ag_check(e == -EIO || e == 0); /* the server may have answered before */
        ag_http_reply_close(r);
    }
    struct source s = {.left = 100, .total = 100};
    ag_http_client_request q = {.url = at("/echo"), .read = give, .arg = &s, .read_n = 101};
    ag_check_int(do_text(client, &q), -EINVAL);
    ag_check_contains(text, "reading the request's body");
    s = (struct source){.left = 1 << 20, .fail_at = 3};
    q.read_n = 0;
    ag_check_int(do_text(client, &q), -EIO);
    ag_check(stats_of_client(client).idle <= CLIENT_HTTP2);
    end(client);
}

AG_TEST_RUN(client_takes_an_answer_that_comes_before_the_body) {
    ag_http_client *client = begin(NULL);
    struct source s = {.left = 100, .waits = true};
    ag_http_client_request q = {.url = at("/refuse"), .read = give, .arg = &s};
    ag_check_int(do_text(client, &q), 413);
    ag_check_str(text, "too much\n");
    ag_check_int(stats_of_client(client).open, CLIENT_HTTP2);
    /* Asked first, it is not sent at all. */
    static const ag_http_client_field expect[] = {{"Expect", "100-continue"}, {NULL, NULL}};
    s = (struct source){.left = 100};
    q.fields = expect;
    ag_check_int(do_text(client, &q), 413);
    ag_check_int(s.pieces, 0);
    end(client);
}

AG_TEST_RUN(client_close_ends_a_source_that_waits) {
    ag_http_client *client = begin(NULL);
    struct source s = {.left = 100, .waits = true};
    ag_http_client_request q = {.url = at("/echo"), .read = give, .arg = &s};
    ag_http_reply *r;
    {
        ag_within(50 * AG_MS);
        ag_check_int(ag_http_client_do(client, &q, &r), -ETIMEDOUT);
    }
    ag_check_int(ag_http_reply_status(r), 0);
    ag_http_reply_close(r);
    ag_check(stats_of_client(client).open <= CLIENT_HTTP2);
    end(client);
}

/* ---- Redirects ------------------------------------------------------------------------------ */

AG_TEST_RUN(client_redirects_change_the_method_as_go_does) {
    ag_http_client *client = begin(NULL);
    static const int statuses[] = {301, 302, 303, 307, 308};
    static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "DELETE"};
    for (int i = 0; i < 25; i++) {
        int status = statuses[i / 5];
        const char *method = methods[i % 5];
        bool has_body = i % 5 == 2 || i % 5 == 3, same = status >= 307;
        char path[64], want[160];
        snprintf(path, sizeof path, "/to/%d?l=/describe/x", status);
        ag_http_client_field fields[] = {{"Content-Type", "x/y"}, {"X-Kept", "1"}, {NULL, NULL}};
        ag_http_client_request q = {
            .url = at(path), .method = method, .body = has_body ? "abc" : NULL, .body_n = 3};
        q.fields = fields;
        ag_check_int(do_text(client, &q), 200);
        if (i % 5 == 1)
            continue;
        snprintf(want, sizeof want, "%s /describe/x?\n", same ? method : "GET");
        ag_check_contains(text, want);
        check_field("X-Kept: 1");
        ag_check_int(strstr(text, as_sent("Content-Length: 3")) != NULL, same && has_body);
        ag_check_int(strstr(text, as_sent("Content-Type")) != NULL, same);
        snprintf(want, sizeof want, "Referer: %s%s\n", site.url, path);
        check_field(want);
    }
    ag_check_int(stats_of_client(client).redirected, 25);
    ag_check_int(stats_of_client(client).dialed, 1);
    end(client);
}

AG_TEST_RUN(client_redirect_rewinds_the_body_or_is_the_answer) {
    ag_http_client *client = begin(NULL);
    struct source s = {.left = 50000, .total = 50000};
    ag_http_client_request q = {
        .url = at("/to/307?l=/echo"), .read = give, .rewind = rewind_source, .arg = &s};
    ag_check_int(do_text(client, &q), 200);
    ag_check_int(strlen(text), 50000);
    ag_check_int(s.rewinds, 1);
    s = (struct source){.left = 50000, .total = 50000};
    q.rewind = NULL;
    ag_check_int(do_text(client, &q), 307);
    end(client);
}

AG_TEST_RUN(client_redirects_are_counted) {
    ag_http_client *client = begin(&(ag_http_client_options){.redirects_max = 3});
    ag_http_client_request q = {.url = at("/to/302?l=%2Fto%2F302%3Fl%3D%252Fdescribe")};
    ag_check_int(do_text(client, &q), 200);
    q.url = at("/loop");
    ag_check_int(do_text(client, &q), -ELOOP);
    ag_check_contains(text, "3 redirects");
    end(client);
}

AG_TEST_RUN(client_redirects_can_be_left_to_the_program) {
    ag_http_client *client = begin(&(ag_http_client_options){.redirects_max = -1});
    ag_http_reply *r;
    ag_check_int(ag_http_get(client, at("/to/302?l=/describe"), &r), 0);
    ag_check_int(ag_http_reply_status(r), 302);
    ag_check_str(ag_http_reply_header(r, "Location"), "/describe");
    ag_http_reply_close(r);
    end(client);
}

AG_TEST_RUN(client_redirect_to_another_host_takes_no_secrets_along) {
    ag_http_client *client = begin(NULL);
    start(&other);
    char url[256];
    ag_http_client_field fields[] = {{"Authorization", "secret"},
                                     {"Cookie", "secret=1"},
                                     {"Host", "name"},
                                     {"X-Kept", "1"},
                                     {NULL, NULL}};
    snprintf(url, sizeof url, "http://me:secret@%s/to/307?l=%s/describe", site.url + 7, other.url);
    ag_http_client_request q = {.url = url, .fields = fields};
    ag_check_int(do_text(client, &q), 200);
    check_field("X-Kept: 1");
    check_field("Host: 127.0.0.1:");
    ag_check(!strstr(text, "secret"));
    ag_check(!strstr(text, "Basic"));
    ag_check(!strstr(text, "me:"));
    /* Not even when it comes back. */
    snprintf(url, sizeof url, "%s/to/307?l=%s/to/307%%3Fl%%3D%s/describe", site.url, other.url,
             site.url);
    ag_check_int(do_text(client, &q), 200);
    ag_check(!strstr(text, "secret=1"));
    /* On the same host they stay. */
    q.url = at("/to/307?l=/describe");
    ag_check_int(do_text(client, &q), 200);
    check_field("Authorization: secret\n");
    check_field("Cookie: secret=1\n");
    check_field("Host: name\n");
    client_end(client);
    stop(&other);
    stop(&site);
}

/* ---- Cookies -------------------------------------------------------------------------------- */

static void check_cookie(ag_http_client *client, const char *path, const char *sent) {
    ag_http_client_request q = {.url = at(path)};
    ag_check_int(do_text(client, &q), 200);
    ag_check_str(text, sent);
}

AG_TEST_RUN(client_keeps_no_cookies_unless_asked) {
    ag_http_client *client = begin(NULL);
    check_cookie(client, "/cookies/?set=a=1", "-");
    check_cookie(client, "/cookies/", "-");
    end(client);
}

AG_TEST_RUN(client_jar_sends_cookies_where_they_belong) {
    ag_http_jar *jar = ag_http_jar_new();
    ag_http_client *client = begin(&(ag_http_client_options){.jar = jar});
    check_cookie(client, "/cookies/?set=a%3D1", "-");
    check_cookie(client, "/cookies/x/y?set=b%3D2", "a=1");
    check_cookie(client, "/cookies/x/z", "b=2; a=1"); /* the longer path first */
    check_cookie(client, "/cookies/xx", "a=1");
    check_cookie(client, "/cookies/?set=c%3D3%3B+Path%3D/cookies/x", "a=1");
    check_cookie(client, "/cookies/x", "b=2; c=3; a=1");
    check_cookie(client, "/cookies/?set=a%3D4%3B+Max-Age%3D100", "a=1");
    check_cookie(client, "/cookies/", "a=4");
    check_cookie(client, "/cookies/?set=a%3D%3B+Max-Age%3D0", "a=4");
    check_cookie(client, "/cookies/", "-");
    check_cookie(client, "/cookies/?set=s%3D1%3B+Secure", "-");
    check_cookie(client, "/cookies/?set=d%3D1%3B+Domain%3Dexample.com", "-");
    check_cookie(client, "/cookies/?set=nonsense", "-");
    check_cookie(client, "/cookies/", "-");
    ag_check_int(ag_http_jar_count(jar), 2);
    /* With one of the program's. */
    ag_http_client_field fields[] = {{"Cookie", "own=1"}, {NULL, NULL}};
    ag_http_client_request q = {.url = at("/cookies/x/y"), .fields = fields};
    ag_check_int(do_text(client, &q), 200);
    ag_check_str(text, "own=1; b=2; c=3");
    end(client);
    ag_http_jar_free(jar);
    ag_http_jar_free(NULL);
}

/* ---- Pool ----------------------------------------------------------------------------------- */

static atomic_int answered, failed;

static void ask(ag_http_client *client, const char *url, int times) {
    for (int i = 0; i < times; i++) {
        ag_http_reply *r;
        char *body;
        int e = ag_http_get(client, url, &r);
        if (e == 0)
            e = ag_http_reply_read_all(r, 1000, &body, NULL);
        atomic_fetch_add(e == 0 ? &answered : &failed, 1);
        if (e != 0)
            fprintf(stderr, "%s\n", ag_http_reply_error(r));
        ag_http_reply_close(r);
    }
}

AG_TEST_RUN(client_connections_to_a_host_are_limited) {
    ag_http_client *client = begin(&(ag_http_client_options){.conns_per_host = 3});
    int rounds = 200 / ag_test_slow();
    const char *url = at("/hold");
    for (int i = 0; i < rounds; i++)
        ag_go(ask, client, url, 1);
    eventually(atomic_load(&answered) + atomic_load(&failed) == rounds);
    ag_check_int(failed, 0);
    ag_http_client_stats st = stats_of_client(client);
    int conns = CLIENT_HTTP2 ? (rounds + 99) / 100 : 3; /* the server takes 100 requests on each */
    ag_check(CLIENT_HTTP2 ? st.dialed <= conns : st.dialed == conns);
    ag_check_int(st.reused, rounds - st.dialed);
    ag_check_int(st.open, st.dialed);
    eventually(stats_of_client(client).idle == st.dialed);
    end(client);
}

AG_TEST_RUN(client_connections_in_all_are_limited) {
    ag_http_client *client = begin(&(ag_http_client_options){.conns_max = 2});
    start(&other);
    static char url[128];
    snprintf(url, sizeof url, "%s/hold", other.url);
    const char *first = at("/hold");
    for (int i = 0; i < 40; i++)
        ag_go(ask, client, i % 2 ? url : first, 1);
    eventually(atomic_load(&answered) + atomic_load(&failed) == 40);
    ag_check_int(failed, 0);
    ag_check(stats_of_client(client).open <= 2);
    client_end(client);
    stop(&other);
    stop(&site);
}

static atomic_bool enough;

static void ask_until_enough(ag_http_client *client, const char *url) {
    while (!atomic_load(&enough))
        ask(client, url, 1);
    atomic_fetch_add(&answered, 1000000);
}

AG_TEST_RUN(client_a_busy_host_gives_way) {
    ag_http_client *client = begin(&(ag_http_client_options){.conns_max = 1});
    start(&other);
    static char url[128];
    snprintf(url, sizeof url, "%s/hold", other.url);
    const char *first = at("/hold");
    for (int i = 0; i < 4; i++)
        ag_go(ask_until_enough, client, first);
    eventually(atomic_load(&answered) > 0);
    for (int i = 0; i < 3; i++)
        check_get(client, url, 200, "held");
    atomic_store(&enough, true);
    eventually(atomic_load(&answered) >= 4000000);
    ag_check_int(failed, 0);
    client_end(client);
    stop(&other);
    stop(&site);
}

static void wait_for_turn(ag_http_client *client, const char *url, ag_ctx *ctx, int expected) {
    ag_ctx_enter(ctx);
    ag_http_reply *r;
    int e = ag_http_get(client, url, &r);
    ag_check_int(e, expected);
    ag_http_reply_close(r);
    atomic_fetch_add(&answered, 1);
}

AG_TEST_RUN(client_wait_for_a_connection_can_be_cancelled) {
    streams_max = 1;
    ag_http_client *client = begin(&(ag_http_client_options){.conns_per_host = 1});
    ag_http_reply *r;
    ag_check_int(ag_http_get(client, at("/fill?n=1000000"), &r), 0);
    ag_ctx *ctx = ag_ctx_with_cancel(NULL);
    const char *url = at("/describe");
    for (int i = 0; i < 5; i++) /* every other one gives up */
        ag_go(wait_for_turn, client, url, i % 2 ? ctx : NULL, i % 2 ? -ECANCELED : 0);
    eventually(stats_of_client(client).waiting == 5);
    ag_ctx_cancel(ctx);
    eventually(atomic_load(&answered) == 2);
    ag_check_int(stats_of_client(client).waiting, 3);
    ag_http_reply_close(r);
    eventually(atomic_load(&answered) == 5);
    ag_unref(ctx);
    end(client);
}

AG_TEST_RUN(client_idle_connections_are_limited_and_expire) {
    ag_http_client *client = begin(
        &(ag_http_client_options){.idle_per_host = 2, .idle_ns = 50 * AG_MS, .conns_per_host = 10});
    const char *url = at("/hold");
    for (int i = 0; i < 8; i++)
        ag_go(ask, client, url, 1);
    eventually(atomic_load(&answered) == 8);
    ag_check(stats_of_client(client).idle <= 2);
    eventually(stats_of_client(client).idle == 0);
    ag_check_int(stats_of_client(client).open, 0);
    /* Closed at once, too. */
    ask(client, url, 1);
    ag_http_client_close_idle(client);
    ag_check_int(stats_of_client(client).open, 0);
    end(client);
}

AG_TEST_RUN(client_reply_that_is_not_read_ends_its_connection) {
    ag_http_client *client = begin(NULL);
    ag_http_reply *r;
    ag_check_int(ag_http_get(client, at("/fill?n=2000000"), &r), 0);
    ag_http_reply_close(r);
    ag_check_int(stats_of_client(client).open, CLIENT_HTTP2);
    /* A little that has come already does not matter. */
    int e = ag_http_get(client, at("/fill?n=100"), &r);
    ag_check_str(ag_http_reply_error(r), "");
    ag_check_int(e, 0);
    ag_http_reply_close(r);
    ag_check_int(stats_of_client(client).idle, 1);
    end(client);
}

AG_TEST_RUN(client_free_leaves_open_replies_alone) {
    ag_http_client *client = begin(NULL);
    ag_http_reply *r;
    char *body;
    ag_check_int(ag_http_get(client, at("/fill?n=200000"), &r), 0);
    ag_http_client_free(client);
    ag_check_int(ag_http_reply_read_all(r, 200000, &body, NULL), 0);
    ag_http_reply_close(r);
    ag_http_client_free(NULL);
    stop(&site);
}

AG_TEST_RUN(client_many_goroutines_share_a_client) {
    ag_http_client *client = begin(NULL);
    int workers = 20, times = 200 / ag_test_slow();
    const char *url = at("/fill?n=500");
    for (int i = 0; i < workers; i++)
        ag_go(ask, client, url, times);
    eventually(atomic_load(&answered) + atomic_load(&failed) == workers * times);
    ag_check_int(failed, 0);
    ag_check(stats_of_client(client).dialed <= workers);
    end(client);
}

AG_TEST_RUN(client_context_bounds_a_request) {
    ag_http_client *client = begin(NULL);
    ag_http_reply *r;
    {
        ag_within(0);
        ag_check_int(ag_http_get(client, at("/hold"), &r), -ETIMEDOUT);
        ag_http_reply_close(r);
    }
    check_get(client, at("/fill?n=3"), 200, "012");
    end(client);
}

AG_TEST_RUN(client_https_without_tls_is_refused) {
    ag_http_client *client = ag_http_client_new(NULL);
    ag_http_reply *r;
    int e = ag_http_get(client, "https://127.0.0.1:1/", &r);
    ag_check(e == -EPROTONOSUPPORT || e == -ECONNREFUSED);
    ag_http_reply_close(r);
    client_end(client);
}
