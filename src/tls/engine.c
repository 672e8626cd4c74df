/* SPDX-License-Identifier: MIT */
/*
 * engine.c - the layer that a connection with TLS has (aglet/layer.h).
 *
 * `starved` is what makes wishes work. OpenSSL reads ahead, so that a record takes one system call,
 * and then may hold whole records, or part of one, of which the socket knows nothing. After a call
 * that wanted more, nothing it holds is of use without more; after any other it may be.
 *
 * What fails in sending is told to writers, and ends a handshake. Readers go on: the peer may have
 * said why it left before it did.
 */
#include "tls/tls.h"
#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

/* RECORD is what a record holds at most; a BATCH of them goes out in one system call. */
enum { RECORD = 16 * 1024, BATCH = 4 * RECORD };

static ag__tls *tls_of(ag_layer *y) {
    return ag__container_of(y, ag__tls, layer);
}

ag__tls *ag__tls_of(ag_conn *c) {
    ag_layer *y = ag_layer_of(c);
    return y && y->ops == &ag__tls_ops ? tls_of(y) : NULL;
}

/* Before and behind a call of OpenSSL. */
static void call_begins(ag__tls *t, bool reads) {
    if (ERR_peek_error()) /* to clear it costs three times as much as to look */
        ERR_clear_error();
    t->may_read = reads;
    t->recv_error = 0;
}

/* Unlocks; a session that has come is kept. */
static void unlock(ag__tls *t) {
    SSL_SESSION *fresh = t->fresh;
    t->fresh = NULL;
    if (fresh)
        SSL_free_buffers(t->ssl); /* else the message of the session leaves both there */
    ag_mutex_unlock(&t->lock);
    if (fresh)
        ag__tls_session_put(t->config, t->material, t->server_name, fresh);
}

/* --- Opening. --- */

static int shake(ag__tls *t) {
    int r = t->ssl ? 0 : ag__tls_start(t);
    if (r != 0)
        return ag__tls_fail(t, r, r == -ENOMEM ? "out of memory" : "no certificate");
    call_begins(t, true);
    r = SSL_do_handshake(t->ssl);
    t->starved = r != 1 && SSL_get_error(t->ssl, r) == SSL_ERROR_WANT_READ;
    if (t->starved)
        return AG_READABLE;
    if (r != 1)
        return ag__tls_failed(t, r);
    t->done = true;
    ERR_clear_error();
    return ag__tls_note_protocol(t);
}

/* What the peer has not got it won't answer; but it may have said something before. */
static int last_words(ag__tls *t, int error) {
    t->layer.ag__asks = true;
    int r = shake(t);
    return r > 0 ? ag__tls_fail(t, error, "the connection has failed") : r;
}

static int open_step(ag_layer *y) {
    ag__tls *t = tls_of(y);
    ag_mutex_lock(&t->lock);
    int r = t->error ? t->error : t->done ? 0 : shake(t);
    int sent = ag__tls_send(t);
    if (r >= 0 && sent == -EAGAIN)
        r = AG_WRITABLE;
    else if (r > 0 && sent < 0)
        r = last_words(t, sent);
    t->opened = r == 0;
    unlock(t);
    return r;
}

/* --- Reading. --- */

static ssize_t take(ag__tls *t, void *buf, size_t n) {
    size_t got = 0;
    if (t->error)
        return t->error;
    if (t->peer_ended)
        return 0;
    call_begins(t, true);
    int r = SSL_read_ex(t->ssl, buf, n, &got);
    if (r == 1) {
        t->starved = false;
        return (ssize_t)got;
    }
    switch (SSL_get_error(t->ssl, r)) {
    case SSL_ERROR_WANT_READ:
        t->starved = true;
        return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        t->peer_ended = true;
        return 0;
    default:
        return ag__tls_failed(t, r);
    }
}

static ssize_t read_some(ag_layer *y, void *buf, size_t n) {
    ag__tls *t = tls_of(y);
    ag_mutex_lock(&t->lock);
    ssize_t got = take(t, buf, n);
    if (t->out_n)
        ag__tls_send(t);
    unlock(t);
    return got;
}

static int waits_for(ag_layer *y) {
    ag__tls *t = tls_of(y);
    ag_mutex_lock(&t->lock);
    bool has_some = !t->starved && t->ssl && SSL_has_pending(t->ssl);
    int what = AG_READABLE;
    if (t->error || t->peer_ended || (t->opened && has_some))
        what = 0;
    else if (!t->opened && t->out_n)
        what = AG_WRITABLE;
    else if (!t->opened && !t->starved)
        what = 0;
    ag_mutex_unlock(&t->lock);
    return what;
}

/* --- Writing. --- */

/* The next bytes of the pieces for one record: where they lie, or, gathered from several pieces,
 * in *bounce. */
static const void *next_bytes(const struct iovec *iov, int count, size_t skip, char **bounce,
                              size_t *ret_n) {
    while (skip >= iov->iov_len) {
        skip -= iov->iov_len;
        iov++;
        count--;
    }
    const char *first = (const char *)iov->iov_base + skip;
    size_t n = iov->iov_len - skip;
    bool whole = n >= RECORD || count == 1;
    if (!whole && !*bounce)
        *bounce = malloc(RECORD);
    if (whole || !*bounce) {
        *ret_n = n < RECORD ? n : RECORD;
        return first;
    }
    memcpy(*bounce, first, n);
    for (int i = 1; i < count && n < RECORD; i++) {
        size_t some = iov[i].iov_len < RECORD - n ? iov[i].iov_len : RECORD - n;
        if (some)
            memcpy(*bounce + n, iov[i].iov_base, some);
        n += some;
    }
    *ret_n = n;
    return *bounce;
}

/* A server's session ticket goes out with the first bytes that it writes, not at the end of the
 * handshake: a client that only writes, and closes, would not read it, and be reset. Returns:
 * whether one is due. */
static bool give_ticket(ag__tls *t) {
    if (t->has_ticket || t->server_name)
        return false;
    t->has_ticket = true;
    return SSL_version(t->ssl) == TLS1_3_VERSION && SSL_new_session_ticket(t->ssl) == 1;
}

static ssize_t give(ag__tls *t, const struct iovec *iov, int count, size_t skip) {
    char *bounce = NULL;
    size_t total = 0, taken = 0, n;
    int failed = t->send_error ? t->send_error : t->error ? t->error : t->ended ? -EPIPE : 0;
    if (failed)
        return failed;
    for (int i = 0; i < count; i++)
        total += iov[i].iov_len;
    total -= skip;
    t->at_once = !give_ticket(t) && total <= RECORD;
    while (taken < total && taken < BATCH) {
        const void *bytes = next_bytes(iov, count, skip + taken, &bounce, &n);
        call_begins(t, false);
        int r = SSL_write_ex(t->ssl, bytes, n, &n);
        if (r != 1) {
            failed = ag__tls_failed(t, r);
            break;
        }
        taken += n;
    }
    t->at_once = false;
    free(bounce);
    return taken ? (ssize_t)taken : failed;
}

static ssize_t write_some(ag_layer *y, const struct iovec *iov, int count, size_t skip) {
    ag__tls *t = tls_of(y);
    ag_mutex_lock(&t->lock);
    ssize_t put = t->out_n ? ag__tls_send(t) : 0;
    if (put == 0)
        put = give(t, iov, count, skip);
    if (put > 0 && ag__tls_send(t) == 0 && !t->is_small)
        t->is_small = SSL_free_buffers(t->ssl); /* the ticket leaves both there */
    unlock(t);
    return put;
}

static int flush(ag_layer *y) {
    ag__tls *t = tls_of(y);
    ag_mutex_lock(&t->lock);
    int r = ag__tls_send(t);
    ag_mutex_unlock(&t->lock);
    return r;
}

/* --- The end. --- */

static void end(ag_layer *y) {
    ag__tls *t = tls_of(y);
    ag_mutex_lock(&t->lock);
    if (t->done && !t->ended && !t->error) {
        call_begins(t, false);
        SSL_shutdown(t->ssl);
        ERR_clear_error();
    }
    t->ended = true;
    if (t->out_n)
        ag__tls_send(t);
    unlock(t);
}

static const char *protocol(ag_layer *y) {
    const char *name = atomic_load(&tls_of(y)->protocol);
    return name ? name : "";
}

static void free_layer(ag_layer *y) {
    ag__tls *t = tls_of(y);
    /* Of a session whose connection did not end properly OpenSSL would think ill. */
    if (t->ssl)
        SSL_set_quiet_shutdown(t->ssl, 1);
    SSL_free(t->ssl);
    ERR_clear_error();
    SSL_SESSION_free(t->fresh);
    ag__tls_material_unref(t->material);
    ag_unref(t->config);
    free(t->server_name);
    free(t->state);
    free(t->why);
    free(t->out);
    free(t);
}

const ag_layer_ops ag__tls_ops = {open_step, read_some, write_some, flush,
                                  waits_for, end,       protocol,   free_layer};

ag__tls *ag__tls_new(ag_tls_config *config, const char *server_name) {
    ag__tls *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->server_name = server_name ? strdup(server_name) : NULL;
    if (server_name && !t->server_name) {
        free(t);
        return NULL;
    }
    t->layer.ops = &ag__tls_ops;
    t->config = ag_ref(config);
    t->starved = !server_name; /* a client begins */
    return t;
}
