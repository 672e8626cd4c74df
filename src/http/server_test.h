/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the server share: a server on a free port, and a client that speaks HTTP by
 * hand, over the public interface. Include ag_test.h before it.
 */
#ifndef AG_HTTP_SERVER_TEST_H
#define AG_HTTP_SERVER_TEST_H

#include <aglet.h>
#include <aglet/http.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Server --------------------------------------------------------------------------------- */

struct site {
    ag_http_server *s;
    ag_listener *l;
    atomic_int served; /* what ag_http_serve returned, less 1000 */
};

static inline void site_serve(struct site *site) {
    atomic_store(&site->served, ag_http_serve(site->s, site->l) - 1000);
}

static inline void site_start(struct site *site) {
    ag_check_int(ag_listen("tcp", "127.0.0.1:0", &site->l), 0);
    ag_go(site_serve, site);
}

/* Stops it; nothing may be left. Connections of clients must be closed or idle by now. */
static inline void site_end(struct site *site) {
    ag_check_int(ag_http_stop(site->s, 10 * AG_SEC * ag_test_slow()), 0);
    eventually(atomic_load(&site->served) == -1000);
    ag_http_server_free(site->s);
    ag_unref(site->l);
    eventually(ag_count() == 1);
}

/* The handler of all that is only to be answered. */
static inline void ok(ag_http_request *req, ag_http_response *res) {
    (void)req;
    ag_http_text(res, 200, "ok\n");
}

static inline ag_http_stats stats_of(struct site *site) {
    ag_http_stats st;
    ag_http_stats_read(site->s, &st);
    return st;
}

/* ---- Client --------------------------------------------------------------------------------- */

struct client {
    ag_conn *c;
    size_t at, n;
    char buf[1 << 16]; /* buf[at..n): read, not yet taken */
};

struct reply {
    int status;
    bool ended;      /* the connection ended before a whole reply came */
    char head[4096]; /* status line and fields, ended by a NUL */
    char value[512]; /* of field() */
    size_t n;        /* bytes of body */
    char body[1 << 18];
};

static inline void client_open(struct client *cl, struct site *site) {
    cl->at = cl->n = 0;
    ag_check_int(ag_dial("tcp", ag_listener_addr(site->l), &cl->c), 0);
    ag_set_deadline(cl->c, ag_now() + 20 * AG_SEC * ag_test_slow());
}

static inline void client_close(struct client *cl) {
    ag_conn_close(cl->c);
    ag_unref(cl->c);
}

static inline void say(struct client *cl, const char *text) {
    ag_check_int(ag_write(cl->c, text, strlen(text)), strlen(text));
}

/* More bytes. Returns: false at the end of the connection, also if it was reset. */
static inline bool client_fill(struct client *cl) {
    if (cl->at) {
        memmove(cl->buf, cl->buf + cl->at, cl->n - cl->at);
        cl->n -= cl->at;
        cl->at = 0;
    }
    ag_check(cl->n < sizeof cl->buf);
    ssize_t n = ag_read(cl->c, cl->buf + cl->n, sizeof cl->buf - cl->n);
    ag_check(n >= 0 || n == -ECONNRESET || n == -EPIPE);
    cl->n += n > 0 ? (size_t)n : 0;
    return n > 0;
}

static inline bool take_line(struct client *cl, char *line, size_t size) {
    char *end;
    while (!(end = memmem(cl->buf + cl->at, cl->n - cl->at, "\r\n", 2)))
        if (!client_fill(cl))
            return false;
    size_t n = (size_t)(end - cl->buf) - cl->at;
    ag_check(n < size);
    memcpy(line, cl->buf + cl->at, n);
    line[n] = 0;
    cl->at += n + 2;
    return true;
}

static inline bool take_bytes(struct client *cl, struct reply *r, size_t n) {
    while (n) {
        if (cl->at == cl->n && !client_fill(cl))
            return false;
        size_t some = cl->n - cl->at < n ? cl->n - cl->at : n;
        ag_check(r->n + some < sizeof r->body);
        memcpy(r->body + r->n, cl->buf + cl->at, some);
        r->n += some;
        cl->at += some;
        n -= some;
    }
    return true;
}

static inline bool take_chunks(struct client *cl, struct reply *r) {
    char line[64];
    for (;;) {
        if (!take_line(cl, line, sizeof line))
            return false;
        size_t n = strtoul(line, NULL, 16);
        if (!take_bytes(cl, r, n) || !take_line(cl, line, sizeof line))
            return false;
        ag_check_str(line, "");
        if (!n)
            return true;
    }
}

/* The value of a field, valid until the next call; NULL if there is none. */
static inline const char *field(struct reply *r, const char *name) {
    char *value = r->value;
    char wanted[128];
    snprintf(wanted, sizeof wanted, "\n%s: ", name);
    const char *at = strstr(r->head, wanted);
    if (!at)
        return NULL;
    at += strlen(wanted);
    snprintf(value, sizeof r->value, "%.*s", (int)strcspn(at, "\n"), at);
    return value;
}

/* Takes one reply; `r->ended` if there is none. 100 is a reply of its own. */
static inline void listen_for(struct client *cl, struct reply *r, bool head_only) {
    char line[1024];
    size_t n = 0;
    r->status = 0;
    r->n = 0;
    r->ended = true;
    r->head[0] = r->body[0] = 0;
    for (;;) {
        if (!take_line(cl, line, sizeof line))
            return;
        if (!line[0])
            break;
        n += (size_t)snprintf(r->head + n, sizeof r->head - n, "%s\n", line);
    }
    ag_check(strncmp(r->head, "HTTP/1.1 ", 9) == 0);
    r->status = (int)strtol(r->head + 9, NULL, 10);
    const char *length = field(r, "Content-Length");
    bool whole = true;
    if (head_only || r->status == 100 || r->status == 204 || r->status == 304)
        whole = true;
    else if (length)
        whole = take_bytes(cl, r, strtoul(length, NULL, 10));
    else if (field(r, "Transfer-Encoding"))
        whole = take_chunks(cl, r);
    else
        while (take_bytes(cl, r, 1))
            continue;
    r->body[r->n] = 0;
    r->ended = !whole;
}

static inline void expect(struct client *cl, struct reply *r, int status, const char *body) {
    listen_for(cl, r, false);
    if (r->status != status || r->ended || (body && strcmp(r->body, body) != 0))
        ag_fail("expected %d \"%s\", got %d%s \"%.200s\"", status, body ? body : "", r->status,
                r->ended ? " (cut)" : "", r->body);
}

static inline void expect_end(struct client *cl) {
    if (cl->at == cl->n && !client_fill(cl))
        return;
    ag_fail("expected the end, got \"%.*s\"", (int)(cl->n - cl->at), cl->buf + cl->at);
}

#endif
