/* SPDX-License-Identifier: MIT */
/*
 * bio.c - what OpenSSL reads from and writes to.
 *
 * Reading takes from the socket what is there, and only in calls that are a reader's: a writer must
 * not take part in the poller's protocol of the other direction.
 *
 * Writing always succeeds: into a buffer, which is sent behind OpenSSL's call; a record that is all
 * there is to write is sent at once, as far as it goes. So a record is never
 * half written as far as OpenSSL knows, a writer that was cut leaves a connection that others may
 * go on with, the records of a large write go out in one system call, and who reads can answer the
 * peer's questions (a key update) though the socket takes nothing now. The buffer is limited
 * because no writer begins before it is empty, and by QUEUE_MAX against a peer that asks without
 * end and never reads.
 *
 * Refused: the socket's own BIO (SIGPIPE; one system call for each record; a write that was cut
 * must be repeated with the same bytes or the connection is lost).
 */
#include "tls/tls.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { QUEUE_MAX = 512 * 1024, QUEUE_MIN = 512 };

bool ag__tls_put(ag__tls *t, const void *bytes, size_t n) {
    if (t->send_error)
        return true; /* nobody will get it; what the peer has sent may still be read */
    if (t->out_n + n > QUEUE_MAX)
        return false;
    if (t->out_n + n > t->out_size) {
        size_t size = t->out_size ? t->out_size : QUEUE_MIN;
        while (size < t->out_n + n)
            size *= 2;
        unsigned char *out = realloc(t->out, size);
        if (!out)
            return false;
        t->out = out;
        t->out_size = size;
    }
    memcpy(t->out + t->out_n, bytes, n);
    t->out_n += n;
    return true;
}

static void drop(ag__tls *t) {
    free(t->out);
    t->out = NULL;
    t->out_at = t->out_n = t->out_size = 0;
}

int ag__tls_send(ag__tls *t) {
    while (t->out_at < t->out_n && !t->send_error) {
        ssize_t put = ag_layer_send(&t->layer, t->out + t->out_at, t->out_n - t->out_at);
        if (put == -EAGAIN)
            return -EAGAIN;
        if (put < 0)
            t->send_error = (int)put;
        else
            t->out_at += (size_t)put;
    }
    drop(t);
    return t->send_error;
}

/* Of a write that is one record: without a copy. Returns: how much of it went. */
static size_t send_at_once(ag__tls *t, const void *bytes, size_t n) {
    ssize_t put = t->out_n || t->send_error ? -EAGAIN : ag_layer_send(&t->layer, bytes, n);
    if (put < 0 && put != -EAGAIN)
        t->send_error = (int)put;
    return put > 0 ? (size_t)put : 0;
}

static int bio_write(BIO *bio, const char *bytes, size_t n, size_t *ret_n) {
    ag__tls *t = BIO_get_data(bio);
    size_t sent = t->at_once ? send_at_once(t, bytes, n) : 0;
    BIO_clear_retry_flags(bio);
    if (sent < n && !ag__tls_put(t, bytes + sent, n - sent))
        return 0;
    *ret_n = n;
    return 1;
}

static int bio_read(BIO *bio, char *buf, size_t n, size_t *ret_n) {
    ag__tls *t = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    ssize_t got = t->may_read ? ag_layer_recv(&t->layer, buf, n) : -EAGAIN;
    t->at_end = got == 0;
    if (got == -EAGAIN)
        BIO_set_retry_read(bio);
    else if (got < 0)
        t->recv_error = (int)got;
    *ret_n = got > 0 ? (size_t)got : 0;
    return got > 0;
}

static long bio_ctrl(BIO *bio, int what, long n, void *arg) {
    ag__tls *t = BIO_get_data(bio);
    (void)n, (void)arg;
    switch (what) {
    case BIO_CTRL_FLUSH:
        return 1;
    case BIO_CTRL_EOF:
        return t->at_end;
    default:
        return 0;
    }
}

static BIO_METHOD *method;
static ag_once once;

static void make_method(void) {
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "ag_conn");
    if (m && BIO_meth_set_write_ex(m, bio_write) && BIO_meth_set_read_ex(m, bio_read) &&
        BIO_meth_set_ctrl(m, bio_ctrl))
        method = m;
}

BIO *ag__tls_bio(ag__tls *t) {
    ag_once_do(&once, make_method);
    BIO *bio = method ? BIO_new(method) : NULL;
    if (bio) {
        BIO_set_data(bio, t);
        BIO_set_init(bio, 1);
    }
    return bio;
}
