/* SPDX-License-Identifier: MIT */
/*
 * The client against our own server: bodies, of answers and of requests.
 */
#include "ag_test.h"

#include "http/client_site_test.h"

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
