/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the client share: a server that plays a script, byte by byte, and short forms.
 * Include ag_test.h before it.
 */
#ifndef AG_HTTP_CLIENT_TEST_H
#define AG_HTTP_CLIENT_TEST_H

#include <aglet.h>
#include <aglet/http.h>
#include <aglet/http_client.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Set by the file that has the same tests by HTTP/2. */
#ifndef CLIENT_HTTP2
#define CLIENT_HTTP2 0
#endif

/* ---- A server by hand ----------------------------------------------------------------------- */

/* What it does on each connection is `play`, which closes it by returning. */
struct raw {
    ag_listener *l;
    char url[64];
    void (*play)(struct raw *raw, ag_conn *c, int number);
    _Atomic(const char *) answer; /* what it points to stays as it is */
    atomic_size_t answer_n;       /* 0: all of it */
    atomic_int conns;             /* accepted so far */
    atomic_int asked;             /* requests read by raw_request */
    atomic_int running;
    ag_mutex lock;
    char last[16384]; /* guarded by lock; see raw_last */
};

static inline void raw_one(struct raw *raw, ag_conn *c, int number) {
    raw->play(raw, c, number);
    ag_conn_close(c);
    ag_unref(c);
    atomic_fetch_sub(&raw->running, 1);
}

static inline void raw_accept(struct raw *raw) {
    ag_conn *c;
    while (ag_accept(raw->l, &c) == 0) {
        atomic_fetch_add(&raw->running, 1);
        ag_go(raw_one, raw, c, atomic_fetch_add(&raw->conns, 1));
    }
    atomic_fetch_sub(&raw->running, 1);
}

static inline void raw_start(struct raw *raw, void (*play)(struct raw *, ag_conn *, int)) {
    raw->play = play;
    atomic_store(&raw->running, 1);
    ag_check_int(ag_listen("tcp", "127.0.0.1:0", &raw->l), 0);
    snprintf(raw->url, sizeof raw->url, "http://%s/", ag_listener_addr(raw->l));
    ag_go(raw_accept, raw);
}

static inline void raw_end(struct raw *raw) {
    ag_listener_close(raw->l);
    eventually(atomic_load(&raw->running) == 0);
    ag_unref(raw->l);
    eventually(ag_count() == 1);
}

/* Reads a request up to the end of its head, and what came with it. Returns: false if the
   connection ends before. */
static inline bool raw_request_in(struct raw *raw, ag_conn *c, char *buf, size_t size) {
    size_t n = 0;
    while (n < size - 1) {
        ssize_t got = ag_read(c, buf + n, size - 1 - n);
        if (got <= 0)
            return false;
        n += (size_t)got;
        buf[n] = 0;
        if (strstr(buf, "\r\n\r\n")) {
            ag_mutex_lock(&raw->lock);
            snprintf(raw->last, sizeof raw->last, "%s", buf);
            ag_mutex_unlock(&raw->lock);
            atomic_fetch_add(&raw->asked, 1);
            return true;
        }
    }
    return false;
}

static inline bool raw_request(struct raw *raw, ag_conn *c) {
    char buf[16384];
    return raw_request_in(raw, c, buf, sizeof buf);
}

/* The latest request. For the test's own goroutine, until the next call. */
static inline const char *raw_last(struct raw *raw) {
    static char copy[sizeof raw->last];
    ag_mutex_lock(&raw->lock);
    memcpy(copy, raw->last, sizeof copy);
    ag_mutex_unlock(&raw->lock);
    return copy;
}

static inline void raw_say(ag_conn *c, const char *text) {
    ag_write(c, text, strlen(text));
}

/* Waits until the other side ends; drops what comes. */
static inline void raw_wait_end(ag_conn *c) {
    char buf[4096];
    while (ag_read(c, buf, sizeof buf) > 0)
        continue;
}

/* Answers every request of the connection with raw->answer. */
static inline void raw_answer_all(struct raw *raw, ag_conn *c, int number) {
    (void)number;
    while (raw_request(raw, c))
        if (ag_write(c, raw->answer, raw->answer_n ? raw->answer_n : strlen(raw->answer)) < 0)
            break;
}

/* Answers once, ends. */
static inline void raw_answer_once(struct raw *raw, ag_conn *c, int number) {
    (void)number;
    if (raw_request(raw, c))
        ag_write(c, raw->answer, raw->answer_n ? raw->answer_n : strlen(raw->answer));
}

/* ---- Asking --------------------------------------------------------------------------------- */

/* A client; an idle connection stays for longer than a slow machine is away. */
static inline ag_http_client *client_begin(const ag_http_client_options *options) {
    ag_http_client_options o = options ? *options : (ag_http_client_options){0};
    o.idle_ns = o.idle_ns ? o.idle_ns : AG_MIN;
    o.http2_in_clear |= CLIENT_HTTP2;
    ag_http_client *client = ag_http_client_new(&o);
    ag_check(client);
    return client;
}

/* A GET whose answer is this. */
static inline void check_get(ag_http_client *client, const char *url, int status,
                             const char *body) {
    ag_http_reply *r;
    char *got = NULL;
    size_t n = 0;
    int e = ag_http_get(client, url, &r);
    ag_check_str(ag_http_reply_error(r), "");
    ag_check_int(e, 0);
    ag_check_int(ag_http_reply_status(r), status);
    ag_check_int(ag_http_reply_read_all(r, 1 << 24, &got, &n), 0);
    if (body) {
        ag_check_int(n, strlen(body));
        ag_check_str(got, body);
    }
    ag_http_reply_close(r);
}

/* What a GET comes to: 0 or the error, of the head or of the body. */
static inline int get_error(ag_http_client *client, const char *url) {
    ag_http_reply *r;
    char *got;
    int e = ag_http_get(client, url, &r);
    if (e == 0)
        e = ag_http_reply_read_all(r, 1 << 24, &got, NULL);
    ag_check_int(e != 0, *ag_http_reply_error(r) != 0);
    if (e != 0) /* and so it stays */
        ag_check_int(ag_http_reply_read(r, &(char){0}, 1), e);
    ag_http_reply_close(r);
    return e;
}

static inline ag_http_client_stats stats_of_client(ag_http_client *client) {
    ag_http_client_stats st;
    ag_http_client_stats_read(client, &st);
    return st;
}

/* Frees it; nothing may be left of it. */
static inline void client_end(ag_http_client *client) {
    ag_http_client_stats st = stats_of_client(client);
    ag_check_int(st.open, st.idle);
    ag_check_int(st.waiting, 0);
    ag_http_client_free(client);
}

#endif
