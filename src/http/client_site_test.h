/* SPDX-License-Identifier: MIT */
/*
 * A site of our own server that describes, echoes, redirects and holds what the client asks, and
 * short forms of asking. Include ag_test.h before it.
 */
#ifndef AG_HTTP_CLIENT_SITE_TEST_H
#define AG_HTTP_CLIENT_SITE_TEST_H

#include "http/chars.h"
#include "http/client_test.h"

/* ---- The site ------------------------------------------------------------------------------- */

struct site {
    ag_http_server *s;
    ag_listener *l;
    atomic_int served;
    char url[64];
};

static uint32_t streams_max; /* of HTTP/2; 0: as usual */
/* Of the test under way: each has a process of its own. */
static struct site site;
static __attribute__((unused)) struct site other;

static inline void describe(ag_http_request *req, ag_http_response *res) {
    const char *name, *value;
    ag_http_printf(res, "%s %s?%s\n", ag_http_method(req), ag_http_path(req), ag_http_query(req));
    for (size_t i = 0; ag_http_header_at(req, i, &name, &value); i++)
        ag_http_printf(res, "%s: %s\n", name, value);
}

static inline void echo(ag_http_request *req, ag_http_response *res) {
    char buf[5000];
    ssize_t n;
    const char *type = ag_http_header(req, "Content-Type");
    if (type)
        ag_http_set(res, "Content-Type", type);
    while ((n = ag_http_body_read(req, buf, sizeof buf)) > 0)
        if (ag_http_write(res, buf, (size_t)n) < 0)
            return;
}

static inline void fill(ag_http_request *req, ag_http_response *res) {
    long n = strtol(ag_http_query_value(req, "n"), NULL, 10);
    if (ag_http_query_value(req, "counted"))
        ag_http_set(res, "Content-Length", ag_http_query_value(req, "n"));
    for (long i = 0; i < n; i++)
        if (ag_http_write(res, &"0123456789"[i % 10], 1) < 0)
            return;
}

/* /to/STATUS?where */
static inline void redirect(ag_http_request *req, ag_http_response *res) {
    long status = strtol(ag_http_path_value(req, "status"), NULL, 10);
    char buf[4096];
    while (ag_http_body_read(req, buf, sizeof buf) > 0)
        continue;
    ag_http_redirect(res, (int)status, ag_http_query_value(req, "l"));
}

static inline void loop(ag_http_request *req, ag_http_response *res) {
    (void)req;
    ag_http_redirect(res, 302, "/loop");
}

static inline void no_content(ag_http_request *req, ag_http_response *res) {
    (void)req;
    ag_http_status(res, 204);
}

static inline void refuse(ag_http_request *req, ag_http_response *res) {
    (void)req;
    ag_http_error(res, 413, "too much");
}

static inline void cookies(ag_http_request *req, ag_http_response *res) {
    const char *set = ag_http_query_value(req, "set");
    const char *had = ag_http_header(req, "Cookie");
    if (set)
        ag_http_add(res, "Set-Cookie", set);
    ag_http_text(res, 200, had ? had : "-");
}

static inline void hold(ag_http_request *req, ag_http_response *res) {
    (void)req;
    ag_sleep(5 * AG_MS);
    ag_http_text(res, 200, "held");
}

static inline void serve(struct site *s) {
    atomic_store(&s->served, ag_http_serve(s->s, s->l) - 1000);
}

static inline void start(struct site *s) {
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

static inline void stop(struct site *s) {
    ag_check_int(ag_http_stop(s->s, 10 * AG_SEC * ag_test_slow()), 0);
    eventually(atomic_load(&s->served) == -1000);
    ag_http_server_free(s->s);
    ag_unref(s->l);
}

static inline const char *at(const char *path) {
    static char urls[8][256];
    static int next;
    char *url = urls[next++ % 8];
    snprintf(url, 256, "%s%s", site.url, path);
    return url;
}

static inline ag_http_client *begin(const ag_http_client_options *options) {
    start(&site);
    return client_begin(options);
}

static inline void end(ag_http_client *client) {
    client_end(client);
    stop(&site);
    eventually(ag_count() == 1);
}

/* Does it, gives the body as text; the reply is closed. */
static char text[1 << 16];
static inline int do_text(ag_http_client *client, const ag_http_client_request *q) {
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
static inline const char *as_sent(const char *field) {
    static char copy[256];
    snprintf(copy, sizeof copy, "%s", field);
    for (char *p = copy; CLIENT_HTTP2 && *p && *p != ':'; p++)
        *p = ag__http_lower(*p);
    return copy;
}

static inline void check_field(const char *field) {
    ag_check_contains(text, as_sent(field));
}

static inline void check_no_field(const char *name) {
    ag_check(!strstr(text, as_sent(name)));
}

#endif
