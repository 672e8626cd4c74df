/* SPDX-License-Identifier: MIT */
/*
 * Sending: the head, and the body with it or by a goroutine of its own.
 *
 * A body of up to AG__CLIENT_WITH_HEAD bytes in memory goes out with the head, in one call. A
 * larger one, or one that is read from the program, may be answered before all of it is sent: by a
 * server that refuses it, or by one that answers while it reads. Whoever sent all of it first would
 * wait for a server that waits for him. So a sender does it, while the caller reads the answer:
 *
 *     sender  reads (program), writes (link)      ends: all sent, an error, the reply's end
 *     reply   reads (link)
 *
 * Failures. The peer stopped reading: it may have answered, so the reply goes on reading, for a
 * moment at most, and finds the answer or the end. Anything else closes the connection, which wakes
 * the reply; the sender's error is the one to report.
 *
 * Limits. The time for the answer's head begins when the body has been sent, so the sender sets
 * that deadline, unless the head has come already: `head_came`, under the lock.
 */
#include "http/client.h"

#include <aglet/defer.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MEMORY_PIECE = 65536, LAST_WAIT_MS = 50 };

/* ---- The sender's goroutine ----------------------------------------------------------------- */

static int write_piece(ag__client_sender *s, const void *p, size_t n) {
    return s->r->wire->write(s->r, p, n);
}

static int send_memory(ag__client_sender *s) {
    const char *p = s->req.body;
    size_t left = s->req.body_n;
    int e = 0;
    while (left && e == 0) {
        size_t n = left < MEMORY_PIECE ? left : MEMORY_PIECE;
        e = write_piece(s, p, n);
        p += n;
        left -= n;
    }
    return e;
}

/* What the program gives. Returns: bytes, 0, or its error. */
static ssize_t read_piece(ag__client_sender *s, char *buf, size_t n) {
    ssize_t got = s->req.read(s->req.arg, buf, n);
    if (got > (ssize_t)n)
        got = -EINVAL;
    if (got < 0)
        s->own_error = true;
    return got;
}

static int send_counted(ag__client_sender *s, char *buf) {
    int64_t left = s->req.read_n;
    int e = 0;
    while (left > 0 && e == 0) {
        size_t n = left < AG__CLIENT_PIECE ? (size_t)left : AG__CLIENT_PIECE;
        ssize_t got = read_piece(s, buf, n);
        if (got < 0)
            return (int)got;
        if (got == 0) { /* less than it said: the server must not take it for whole */
            s->own_error = true;
            return -EINVAL;
        }
        e = write_piece(s, buf, (size_t)got);
        left -= got;
    }
    return e;
}

/* Head, bytes and CRLF of a chunk in one piece. */
static int send_chunks(ag__client_sender *s, char *buf) {
    char *data = buf + AG__CHUNK_HEAD_MAX;
    for (;;) {
        ssize_t got = read_piece(s, data, AG__CLIENT_PIECE);
        if (got < 0)
            return (int)got;
        if (got == 0)
            return write_piece(s, AG__CHUNK_LAST, sizeof AG__CHUNK_LAST - 1);
        char head[AG__CHUNK_HEAD_MAX];
        size_t n = ag__http_chunk_head(head, (uint64_t)got);
        memcpy(data - n, head, n);
        memcpy(data + got, "\r\n", 2);
        int e = write_piece(s, data - n, n + (size_t)got + 2);
        if (e != 0)
            return e;
    }
}

/* The end of the message tells that it is all. */
static int send_plain(ag__client_sender *s, char *buf) {
    for (;;) {
        ssize_t got = read_piece(s, buf, AG__CLIENT_PIECE);
        int e = got > 0 ? write_piece(s, buf, (size_t)got) : (int)got;
        if (e != 0 || got == 0)
            return e;
    }
}

static int send_body(ag__client_sender *s) {
    if (!s->req.read)
        return send_memory(s);
    char *buf = malloc(AG__CHUNK_HEAD_MAX + AG__CLIENT_PIECE + 2);
    if (!buf)
        return -ENOMEM;
    ag_defer(free, buf);
    if (s->req.read_n > 0)
        return send_counted(s, buf);
    return s->r->wire->chunks ? send_chunks(s, buf) : send_plain(s, buf);
}

static int send_all(ag__client_sender *s) {
    int e = send_body(s);
    return e ? e : s->r->wire->end(s->r);
}

/* Also if the program's `read` has ended the goroutine. */
static void finish(ag__client_sender *s) {
    int e = s->error;
    const ag__client_wire *wire = s->r->wire;
    ag_time head_ns = s->r->client->opt.head_ns;
    s->is_done = true; /* before the reply is woken */
    if (e == 0 || e == -EPIPE || e == -ECONNRESET) {
        ag_time ns = e == 0 || head_ns < AG__CLIENT_LATE ? head_ns : AG__CLIENT_LATE;
        ag_mutex_lock(&s->lock);
        if (!s->head_came || e != 0)
            wire->sender_until(s->r, ag_now() + ns);
        ag_mutex_unlock(&s->lock);
    } else {
        wire->cut(s->r);
    }
    ag_sem_release(&s->done, 1);
}

static void run(ag__client_sender *s) {
    ag_ctx_enter(s->ctx);
    ag_defer(finish, s);
    s->error = -ECANCELED;
    s->error = send_all(s);
}

static void sender_free(ag__client_sender *s) {
    if (s->ctx)
        ag_ctx_cancel(s->ctx);
    ag_unref(s->ctx);
    free(s);
}

/* ---- For the reply -------------------------------------------------------------------------- */

bool ag__client_body_waits(const ag_http_reply *r) {
    return r->ask.expects && !r->body_started;
}

int ag__client_send_body(ag_http_reply *r) {
    ag__client_sender *s = calloc(1, sizeof *s);
    if (!s)
        return -ENOMEM;
    s->r = r;
    s->ctx = ag_ctx_with_cancel(ag_ctx_current());
    ag_sem_init(&s->done, 1);
    ag_sem_try_acquire(&s->done, 1);
    s->req = *r->req;
    r->wire->read_until(r, 0);
    if (!s->ctx || ag_wg_go(&s->wg, run, s) < 0) {
        sender_free(s);
        return -ENOMEM;
    }
    r->sender = s;
    r->body_started = true;
    return 0;
}

int ag__client_send(ag_http_reply *r, size_t n) {
    int64_t body = ag__client_body_length(r);
    bool with_head = body > 0 && body <= AG__CLIENT_WITH_HEAD && !r->req->read && !r->ask.expects;
    bool whole = body == 0 || with_head;
    int e = r->wire->send(r, n, r->req->body, with_head ? (size_t)body : 0, whole);
    return e != 0 || whole || r->ask.expects ? e : ag__client_send_body(r);
}

void ag__client_sender_head_came(ag__client_sender *s) {
    ag_mutex_lock(&s->lock);
    s->head_came = true;
    ag_mutex_unlock(&s->lock);
}

bool ag__client_sender_end(ag_http_reply *r, bool kept) {
    ag__client_sender *s = r->sender;
    /* It may have written the last byte, and not got to the end of its goroutine yet. */
    if (kept && !s->is_done) {
        ag_within(LAST_WAIT_MS * AG_MS);
        ag_sem_acquire(&s->done, 1);
    }
    bool is_done = s->is_done;
    if (!is_done) {
        r->wire->cut(r);
        ag_ctx_cancel(s->ctx);
    }
    ag_wg_wait(&s->wg);
    bool whole = is_done && s->error == 0;
    sender_free(s);
    r->sender = NULL;
    return whole;
}
