/* SPDX-License-Identifier: MIT */
/*
 * The wire of HTTP/1.1: a connection that carries one request at a time.
 *
 * The reply reads, it or its sender writes. Deadlines are the connection's, and `read_set` and
 * `write_set`, which remember them, the reply's: a sender sets deadlines only while the reply
 * has them forgotten, or when it has failed and nobody will use the connection again.
 */
#include "http/client.h"

#include <errno.h>

#define FORGOTTEN (INT64_MIN / 2)

/* A deadline comes up to a second too late, and is set once in that time. */
static ag_time slack_of(ag_time ns) {
    return ns < 4 * AG_SEC ? ns / 4 : AG_SEC;
}

void ag__link_bound_read(ag__client_link *link, ag_time ns, ag_time now) {
    if (ns == link->read_ns && now - link->read_set < slack_of(ns))
        return;
    ag_set_read_deadline(link->c, now + ns + slack_of(ns));
    link->read_set = now;
    link->read_ns = ns;
}

static void bound_write(ag__client_link *link, ag_time ns, ag_time now) {
    if (ns == link->write_ns && now - link->write_set < slack_of(ns))
        return;
    ag_set_write_deadline(link->c, now + ns + slack_of(ns));
    link->write_set = now;
    link->write_ns = ns;
}

static int send(ag_http_reply *r, size_t n, const void *body, size_t body_n, bool whole) {
    ag__client_link *l = r->link;
    struct iovec iov[2] = {{r->in, n}, {(void *)(uintptr_t)body, body_n}};
    ag_time now = ag_now();
    bound_write(l, r->client->opt.quiet_ns, now);
    if (!r->was_reused)
        ag__link_bound_read(l, r->client->opt.head_ns, now);
    ssize_t put = body_n ? ag_writev(l->c, iov, 2) : ag_write(l->c, r->in, n);
    if (!whole)
        l->write_set = FORGOTTEN; /* the sender's now */
    return put < 0 ? (int)put : 0;
}

static ssize_t read_some(ag_http_reply *r, void *buf, size_t n) {
    return ag_read(r->link->c, buf, n);
}

static void bound_read(ag_http_reply *r, ag_time ns) {
    ag__link_bound_read(r->link, ns, ag_now());
}

static void read_until(ag_http_reply *r, ag_time t) {
    ag_set_read_deadline(r->link->c, t);
    r->link->read_set = FORGOTTEN;
}

static void sender_until(ag_http_reply *r, ag_time t) {
    ag_set_read_deadline(r->link->c, t);
}

static int64_t sent(ag_http_reply *r) {
    return ag_conn_sent(r->link->c);
}

static int write_piece(ag_http_reply *r, const void *p, size_t n) {
    ag_set_write_deadline(r->link->c, ag_now() + r->client->opt.quiet_ns);
    ssize_t put = ag_write(r->link->c, p, n);
    return put < 0 ? (int)put : 0;
}

/* Its length, or the last chunk, has told it. */
static int end(ag_http_reply *r) {
    (void)r;
    return 0;
}

static void cut(ag_http_reply *r) {
    ag_conn_close(r->link->c);
}

static const char *why(ag_http_reply *r) {
    (void)r;
    return NULL;
}

static bool is_refused(ag_http_reply *r) {
    (void)r;
    return false;
}

/* The server may still wait for a body that was announced; and one that is on its way when the
   answer is at its end was not wanted. */
static void release(ag_http_reply *r, bool keep) {
    keep = keep && !ag__client_body_waits(r);
    if (r->sender)
        keep = ag__client_sender_end(r, keep) && keep;
    ag__client_give(r->client, r->link, keep);
}

const ag__client_wire ag__client_wire_1 = {
    .send = send,
    .read = read_some,
    .bound_read = bound_read,
    .read_until = read_until,
    .sent = sent,
    .release = release,
    .write = write_piece,
    .end = end,
    .sender_until = sender_until,
    .cut = cut,
    .why = why,
    .is_refused = is_refused,
    .chunks = true,
};
