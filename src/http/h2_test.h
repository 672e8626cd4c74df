/* SPDX-License-Identifier: MIT */
/*
 * What the tests of HTTP/2 share: a client made of nghttp2 over a connection, driven by the test's
 * goroutine. Include ag_test.h before it.
 */
#ifndef AG_HTTP_H2_TEST_H
#define AG_HTTP_H2_TEST_H

#include "http/server_test.h"

#include <nghttp2/nghttp2.h>

enum { H2_STREAMS = 512, H2_BODY = 4096 };

/* What came of one request. */
struct answer {
    int32_t id;
    int status, continues;
    bool closed;
    uint32_t error;     /* why it was closed */
    char head[2048];    /* "name: value\n" */
    char body[H2_BODY]; /* its first bytes, ended by a NUL */
    int64_t n;          /* all of them */
    uint64_t sum;       /* over all */
    int64_t to_send;    /* of a made-up body, or of `text` */
    int64_t sent;
    const char *text, *trailer; /* the latter behind the body, as x-sum */
    bool never_ends;
};

struct h2c {
    ag_conn *c;
    nghttp2_session *s;
    struct answer a[H2_STREAMS];
    int count;
    bool ended; /* the connection */
    int goaways, settings;
    uint32_t goaway_error;
    int32_t goaway_id;
    bool holds; /* gives no window for what it gets */
    uint8_t buf[16384];
    char copy[1 << 16];
    nghttp2_nv nv[2048];
};

static inline unsigned char pattern(int64_t i) {
    return (unsigned char)(i * 31 + (i >> 8) * 7);
}

static inline struct answer *answer_of(struct h2c *h, int32_t id) {
    return nghttp2_session_get_stream_user_data(h->s, id);
}

static inline int h2_on_header(nghttp2_session *s, const nghttp2_frame *f, const uint8_t *name,
                               size_t n, const uint8_t *value, size_t vn, uint8_t flags,
                               void *arg) {
    struct answer *a = answer_of(arg, f->hd.stream_id);
    (void)s;
    (void)flags;
    if (n == 7 && memcmp(name, ":status", 7) == 0) {
        int status = (int)strtol((const char *)value, NULL, 10);
        if (status == 100)
            a->continues++;
        else
            a->status = status;
    } else {
        size_t at = strlen(a->head);
        snprintf(a->head + at, sizeof a->head - at, "%.*s: %.*s\n", (int)n, name, (int)vn, value);
    }
    return 0;
}

static inline int h2_on_data(nghttp2_session *s, uint8_t flags, int32_t id, const uint8_t *data,
                             size_t n, void *arg) {
    struct answer *a = answer_of(arg, id);
    (void)s;
    (void)flags;
    for (size_t i = 0; i < n; i++, a->n++) {
        a->sum = a->sum * 31 + data[i];
        if (a->n < H2_BODY - 1)
            a->body[a->n] = (char)data[i];
    }
    return 0;
}

static inline int h2_on_close(nghttp2_session *s, int32_t id, uint32_t error, void *arg) {
    struct answer *a = answer_of(arg, id);
    (void)s;
    a->closed = true;
    a->error = error;
    return 0;
}

static inline int h2_on_frame(nghttp2_session *s, const nghttp2_frame *f, void *arg) {
    struct h2c *h = arg;
    (void)s;
    if (f->hd.type == NGHTTP2_GOAWAY) {
        h->goaways++;
        h->goaway_error = f->goaway.error_code;
        h->goaway_id = f->goaway.last_stream_id;
    } else if (f->hd.type == NGHTTP2_SETTINGS) {
        h->settings++;
    }
    return 0;
}

static inline ssize_t h2_give_body(nghttp2_session *s, int32_t id, uint8_t *buf, size_t length,
                                   uint32_t *flags, nghttp2_data_source *src, void *arg) {
    struct answer *a = src->ptr;
    size_t n = 0;
    (void)arg;
    for (; n < length && a->sent < a->to_send; n++, a->sent++)
        buf[n] = a->text ? (unsigned char)a->text[a->sent] : pattern(a->sent);
    if (a->sent == a->to_send && !a->never_ends) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (a->trailer) {
            nghttp2_nv nv = {(uint8_t *)"x-sum", (uint8_t *)a->trailer, 5, strlen(a->trailer), 0};
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            ag_check_int(nghttp2_submit_trailer(s, id, &nv, 1), 0);
        }
    }
    return n || !a->never_ends ? (ssize_t)n : NGHTTP2_ERR_DEFERRED;
}

/* Sends what there is to send. */
static inline void h2_send(struct h2c *h) {
    const uint8_t *data;
    ssize_t n;
    while ((n = nghttp2_session_mem_send(h->s, &data)) > 0 && !h->ended)
        if (ag_write(h->c, data, (size_t)n) < 0)
            h->ended = true;
    ag_check(n >= 0);
}

/* The same in one write. */
static inline void h2_send_together(struct h2c *h) {
    static char all[1 << 16];
    const uint8_t *data;
    size_t at = 0;
    for (ssize_t n; (n = nghttp2_session_mem_send(h->s, &data)) > 0; at += (size_t)n) {
        ag_check((size_t)n <= sizeof all - at);
        memcpy(all + at, data, (size_t)n);
    }
    ag_check(ag_write(h->c, all, at) == (ssize_t)at);
}

/* Sends, and takes what the server says next. Returns: false at the end of the connection. */
static inline bool h2_turn(struct h2c *h) {
    h2_send(h);
    if (h->ended)
        return false;
    ssize_t n = ag_read(h->c, h->buf, sizeof h->buf);
    ag_check(n >= 0 || n == -ECONNRESET || n == -EPIPE);
    h->ended = n <= 0;
    if (n > 0)
        ag_check_int(nghttp2_session_mem_recv(h->s, h->buf, (size_t)n), n);
    return n > 0;
}

/* Goes on until `cond` holds, or the connection ends. */
#define h2_until(h, cond)                                                                          \
    do {                                                                                           \
        while (!(cond) && h2_turn(h))                                                              \
            continue;                                                                              \
        if (!(cond))                                                                               \
            ag_fail("the connection ended before: %s", #cond);                                     \
    } while (0)

static inline void h2_open_with(struct h2c *h, struct site *site, uint32_t window, bool holds) {
    nghttp2_session_callbacks *cb;
    nghttp2_option *o;
    memset(h, 0, sizeof *h);
    h->holds = holds;
    ag_check_int(ag_dial("tcp", ag_listener_addr(site->l), &h->c), 0);
    ag_set_deadline(h->c, ag_now() + 20 * AG_SEC * ag_test_slow());
    ag_check_int(nghttp2_session_callbacks_new(&cb), 0);
    ag_check_int(nghttp2_option_new(&o), 0);
    nghttp2_session_callbacks_set_on_header_callback(cb, h2_on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, h2_on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, h2_on_close);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, h2_on_frame);
    nghttp2_option_set_no_auto_window_update(o, holds);
    ag_check_int(nghttp2_session_client_new2(&h->s, cb, h, o), 0);
    nghttp2_session_callbacks_del(cb);
    nghttp2_option_del(o);
    nghttp2_settings_entry entry = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window};
    ag_check_int(nghttp2_submit_settings(h->s, 0, &entry, window ? 1 : 0), 0);
}

static inline void h2_open(struct h2c *h, struct site *site) {
    h2_open_with(h, site, 0, false);
}

static inline void h2_close(struct h2c *h) {
    ag_conn_close(h->c);
    ag_unref(h->c);
    nghttp2_session_del(h->s);
}

/* `fields`: "name: value\n"… behind the pseudo-fields, or with its own if it begins with ':'. */
static inline struct answer *h2_ask(struct h2c *h, const char *method, const char *path,
                                    const char *fields, int64_t body) {
    char *copy = h->copy;
    nghttp2_nv *nv = h->nv;
    struct answer *a = &h->a[h->count++];
    size_t n = 0;
    nghttp2_data_provider provider = {{.ptr = a}, h2_give_body};
    ag_check(h->count <= H2_STREAMS);
    snprintf(copy, sizeof h->copy, "%s\n%s\n%s", method, path, fields ? fields : "");
    char *at = copy;
#define H2_NV(name, value)                                                                         \
    ((nghttp2_nv){(uint8_t *)(name), (uint8_t *)(value), strlen(name), strlen(value), 0})
    char *end = strchr(at, '\n');
    *end = 0;
    nv[n++] = H2_NV(":method", at);
    at = end + 1;
    end = strchr(at, '\n');
    *end = 0;
    nv[n++] = H2_NV(":path", at);
    at = end + 1;
    nv[n++] = H2_NV(":scheme", "http");
    if (*at != ':')
        nv[n++] = H2_NV(":authority", "h.example:80");
    while (*at) {
        ag_check(n < sizeof h->nv / sizeof *nv);
        char *colon = strchr(at + 1, ':');
        end = strchr(at, '\n');
        *colon = *end = 0;
        nv[n++] = H2_NV(at, colon + 2);
        at = end + 1;
    }
    a->to_send = body < 0 ? -body - 1 : body;
    a->never_ends = body < 0;
    a->id = nghttp2_submit_request(h->s, NULL, nv, n, body ? &provider : NULL, a);
    ag_check(a->id > 0);
    return a;
}

static inline struct answer *h2_get(struct h2c *h, const char *path) {
    struct answer *a = h2_ask(h, "GET", path, NULL, 0);
    h2_until(h, a->closed);
    return a;
}

/* One field of an answer; "" if it is not there. */
static inline const char *h2_field(struct answer *a, const char *name) {
    static char value[512];
    char wanted[128];
    snprintf(wanted, sizeof wanted, "%s: ", name);
    char *at = strstr(a->head, wanted);
    snprintf(value, sizeof value, "%.*s", at ? (int)strcspn(at + strlen(wanted), "\n") : 0,
             at ? at + strlen(wanted) : "");
    return value;
}

static inline void h2_expect(struct answer *a, int status, const char *body) {
    if (a->status != status || a->error || (body && strcmp(a->body, body) != 0))
        ag_fail("expected %d \"%s\", got %d, error %u, \"%.200s\"", status, body ? body : "",
                a->status, a->error, a->body);
}

/* A frame by hand. */
static inline void h2_raw(struct h2c *h, size_t n, int type, int flags, uint32_t id,
                          const char *payload) {
    char f[9 + 65536] = {(char)(n >> 16),  (char)(n >> 8),  (char)n,
                         (char)type,       (char)flags,     (char)(id >> 24),
                         (char)(id >> 16), (char)(id >> 8), (char)id};
    memcpy(f + 9, payload, n);
    if (!h->ended && ag_write(h->c, f, 9 + n) < 0)
        h->ended = true;
}

#endif
