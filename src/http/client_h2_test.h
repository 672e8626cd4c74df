/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the client's HTTP/2 share: servers that play a script, frame by frame. Include
 * ag_test.h before it.
 */
#ifndef AG_HTTP_CLIENT_H2_TEST_H
#define AG_HTTP_CLIENT_H2_TEST_H

#define CLIENT_HTTP2 1
#include "http/client_h2.h"
#include "http/client_test.h"

static struct raw raw; /* of the test under way: each has a process of its own */

static inline ag_http_client *begin(void (*play)(struct raw *, ag_conn *, int),
                                    const ag_http_client_options *options) {
    raw_start(&raw, play);
    return client_begin(options);
}

static inline void end(ag_http_client *client) {
    client_end(client);
    raw_end(&raw);
}

/* ---- Frames --------------------------------------------------------------------------------- */

enum { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE };
enum { CONTINUATION = 9, END_STREAM = 1, ACK = 1, END_HEADERS = 4, WHOLE = 5 };

/* What came last. */
struct frame {
    int type, flags;
    uint32_t id;
    size_t n;
    unsigned char p[16384];
};

static inline bool take_bytes(ag_conn *c, void *to, size_t n) {
    for (size_t at = 0; at < n;) {
        ssize_t got = ag_read(c, (char *)to + at, n - at);
        if (got <= 0)
            return false;
        at += (size_t)got;
    }
    return true;
}

static inline uint32_t u32(const unsigned char *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline bool take_any(ag_conn *c, struct frame *f) {
    unsigned char h[9];
    if (!take_bytes(c, h, 9))
        return false;
    f->n = (size_t)h[0] << 16 | (size_t)h[1] << 8 | h[2];
    f->type = h[3];
    f->flags = h[4];
    f->id = u32(h + 5);
    ag_check(f->n <= sizeof f->p);
    return take_bytes(c, f->p, f->n);
}

/* The next one of this type; others are passed. Returns: false at the connection's end. */
static inline bool take_frame(ag_conn *c, struct frame *f, int type) {
    while (take_any(c, f))
        if (f->type == type && !(type == SETTINGS && f->flags & ACK))
            return true;
    return false;
}

static inline int say_frame(ag_conn *c, int type, int flags, uint32_t id, const void *p, size_t n) {
    unsigned char h[9] = {
        (unsigned char)(n >> 16),  (unsigned char)(n >> 8),  (unsigned char)n,
        (unsigned char)type,       (unsigned char)flags,     (unsigned char)(id >> 24),
        (unsigned char)(id >> 16), (unsigned char)(id >> 8), (unsigned char)id};
    struct iovec iov[2] = {{h, sizeof h}, {(void *)(uintptr_t)p, n}};
    return (int)ag_writev(c, iov, n ? 2 : 1);
}

static inline int say_number(ag_conn *c, int type, uint32_t id, uint32_t a) {
    unsigned char p[4] = {(unsigned char)(a >> 24), (unsigned char)(a >> 16),
                          (unsigned char)(a >> 8), (unsigned char)a};
    return say_frame(c, type, 0, id, p, 4);
}

static inline void say_setting(ag_conn *c, int key, uint32_t value) {
    unsigned char p[6] = {0,
                          (unsigned char)key,
                          (unsigned char)(value >> 24),
                          (unsigned char)(value >> 16),
                          (unsigned char)(value >> 8),
                          (unsigned char)value};
    say_frame(c, SETTINGS, 0, 0, p, 6);
}

static inline void say_goaway(ag_conn *c, uint32_t last, uint32_t error) {
    unsigned char p[8] = {(unsigned char)(last >> 24),  (unsigned char)(last >> 16),
                          (unsigned char)(last >> 8),   (unsigned char)last,
                          (unsigned char)(error >> 24), (unsigned char)(error >> 16),
                          (unsigned char)(error >> 8),  (unsigned char)error};
    say_frame(c, GOAWAY, 0, 0, p, 8);
}

/* "name: value\n"…, as literals that nobody remembers. Returns: how many bytes. */
static inline size_t pack(unsigned char *to, const char *fields) {
    size_t n = 0;
    while (*fields) {
        size_t line = strcspn(fields, "\n");
        const char *colon = strstr(fields + 1, ": ");
        size_t name = (size_t)(colon - fields), value = line - name - 2;
        ag_check(name < 127 && value < 127);
        to[n++] = 0;
        to[n++] = (unsigned char)name;
        memcpy(to + n, fields, name);
        n += name;
        to[n++] = (unsigned char)value;
        memcpy(to + n, colon + 2, value);
        n += value;
        fields += line + 1;
    }
    return n;
}

static inline int say_fields(ag_conn *c, uint32_t id, int flags, const char *fields) {
    unsigned char p[1024];
    return say_frame(c, HEADERS, flags, id, p, pack(p, fields));
}

static inline void say_answer(ag_conn *c, uint32_t id, const char *body) {
    say_fields(c, id, END_HEADERS, ":status: 200\n");
    say_frame(c, DATA, END_STREAM, id, body, strlen(body));
}

/* The client's hello, and the server's, with one setting (key 0: none). */
static inline bool greet(ag_conn *c, int key, uint32_t value) {
    char magic[24];
    if (!take_bytes(c, magic, sizeof magic))
        return false;
    ag_check(memcmp(magic, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", sizeof magic) == 0);
    if (key)
        say_setting(c, key, value);
    else
        say_frame(c, SETTINGS, 0, 0, NULL, 0);
    say_frame(c, SETTINGS, ACK, 0, NULL, 0);
    return true;
}

/* Answers all that comes with "ok". */
static inline void answer_all(struct raw *r, ag_conn *c, int number) {
    struct frame f;
    (void)number;
    if (!greet(c, 0, 0))
        return;
    while (take_frame(c, &f, HEADERS)) {
        atomic_fetch_add(&r->asked, 1);
        say_answer(c, f.id, "ok");
    }
}

/* ---- Many at once --------------------------------------------------------------------------- */

static atomic_int succeeded, failed;

static inline void ask_one(ag_http_client *client, const char *method, int expected) {
    ag_http_client_request q = {.url = raw.url, .method = method};
    ag_http_reply *r;
    char *body = NULL;
    int e = ag_http_client_do(client, &q, &r);
    if (e == 0)
        e = ag_http_reply_read_all(r, 1000, &body, NULL);
    if (e != expected)
        ag_fail("%s: %d, %s", method, e, ag_http_reply_error(r));
    if (e == 0)
        ag_check_str(body, "ok");
    ag_http_reply_close(r);
    atomic_fetch_add(e == 0 ? &succeeded : &failed, 1);
}

/* Waits for the SETTINGS: behind that, requests share the connection. */
static inline void warm_up(ag_http_client *client) {
    check_get(client, raw.url, 200, "ok");
}

/* The first connection takes `enough` requests, which come one behind the other. */
static inline bool take_requests(ag_conn *c, int enough) {
    struct frame f;
    for (int i = 0; i < enough; i++)
        if (!take_frame(c, &f, HEADERS))
            return false;
    return true;
}

static inline bool warm_with(ag_conn *c, int key, uint32_t value) {
    struct frame f;
    if (!greet(c, key, value) || !take_frame(c, &f, HEADERS))
        return false;
    say_answer(c, f.id, "ok");
    return true;
}

static inline bool warm(ag_conn *c) {
    return warm_with(c, 0, 0);
}

#endif
