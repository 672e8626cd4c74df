/* SPDX-License-Identifier: MIT */
/*
 * The wire of a stream: a reply's request and answer on a connection that it shares.
 *
 * The request's head, which client_request.c has written as HTTP/1.1 has it, is taken apart again
 * into the fields of HTTP/2: so there is one place that knows what is asked for, and nghttp2 copies
 * what it needs. A body is not copied: `out` says where it lies, and a sender waits until all of it
 * has gone into frames, which is when the server's windows allow it.
 *
 * Waiting. The reply waits for `read`, its sender for `written`, each bounded by a time and by its
 * own context, without the lock, and looks again at what it waits for. Who changes that tells the
 * event; at most one release is under way, since it is `waits` that asks for it.
 */
#include "http/client_h2.h"

#include <aglet/defer.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { NV_FEW = 24, KEEP = 2 * AG__HTTP_BYTES };

/* ---- Events --------------------------------------------------------------------------------- */

static void event_init(ag__client_event *e) {
    ag_sem_init(&e->sem, 1);
    ag_sem_try_acquire(&e->sem, 1);
    e->waits = false;
}

void ag__ch2_event_tell(ag__client_event *e) {
    if (!e->waits)
        return;
    e->waits = false;
    ag_sem_release(&e->sem, 1);
}

static int wait_for(ag__client_event *e, ag_time until) {
    if (!until)
        return ag_sem_acquire(&e->sem, 1);
    ag_within(until - ag_now());
    return ag_sem_acquire(&e->sem, 1);
}

/* Lets go of the lock meanwhile. `until` 0: without end. Returns: 0, -ETIMEDOUT, -ECANCELED. */
static int event_wait(ag__client_h2 *h2, ag__client_event *e, ag_time until) {
    e->waits = true;
    ag__ch2_unlock(h2);
    int r = wait_for(e, until);
    ag__ch2_lock(h2);
    if (r != 0 && !e->waits) { /* it was told all the same: take that */
        ag_sem_try_acquire(&e->sem, 1);
        r = 0;
    }
    e->waits = false;
    return r;
}

/* ---- Told by nghttp2 ------------------------------------------------------------------------ */

static void tell_both(ag__client_stream *st) {
    ag__ch2_event_tell(&st->read);
    ag__ch2_event_tell(&st->written);
}

/* What the server has sent meanwhile, or has the window for, may still come. */
static void reset(ag__client_stream *st, uint32_t code) {
    if (st->closed)
        return;
    if (!st->in_ended)
        st->h2->unwanted += AG__CH2_WINDOW;
    nghttp2_submit_rst_stream(st->h2->session, NGHTTP2_FLAG_NONE, st->id, code);
}

void ag__ch2_stream_fail(ag__client_stream *st, int error) {
    if (st->error)
        return;
    st->error = error;
    reset(st, error == -EPROTO ? NGHTTP2_PROTOCOL_ERROR : NGHTTP2_CANCEL);
    tell_both(st);
}

void ag__ch2_stream_closed(ag__client_stream *st, uint32_t code) {
    st->closed = true;
    st->code = code;
    st->refused = code == NGHTTP2_REFUSED_STREAM && !st->head_done && !st->error;
    if (!st->in_ended && !st->error) /* what nghttp2 has closed by itself, was malformed */
        st->error = st->was_reset || st->refused || st->is_lost ? -ECONNRESET : -EPROTO;
    tell_both(st);
}

/* Room for `n` more bytes. Returns: where; NULL: the stream has failed. */
static char *make_room(ag__client_stream *st, size_t n) {
    char *to = ag__http_bytes_room(&st->in, n, 2 * AG__CH2_WINDOW);
    if (!to)
        ag__ch2_stream_fail(st, -ENOMEM);
    return to;
}

void ag__ch2_stream_head(ag__client_stream *st, ag__http_text a, ag__http_text between,
                         ag__http_text b) {
    size_t n = a.n + between.n + b.n + 2;
    if (st->error)
        return;
    if (n > st->h2->client->opt.head_max - st->head_n) {
        ag__ch2_stream_fail(st, -EMSGSIZE);
        return;
    }
    char *to = make_room(st, n);
    if (!to)
        return;
    to = ag__http_put_text(ag__http_put_text(to, a), between);
    memcpy(ag__http_put_text(to, b), "\r\n", 2);
    st->in.n += (uint32_t)n;
    st->head_n += (uint32_t)n;
}

void ag__ch2_stream_body(ag__client_stream *st, const uint8_t *data, size_t n) {
    char *to = make_room(st, n);
    if (to) {
        memcpy(to, data, n);
        st->in.n += (uint32_t)n;
    } else {
        nghttp2_session_consume_connection(st->h2->session, n);
    }
    ag__ch2_event_tell(&st->read);
}

/* As chunks leave them: "name: value" and a NUL in place of CR. */
void ag__ch2_stream_trailer(ag__client_stream *st, ag__http_text name, ag__http_text value) {
    size_t n = name.n + value.n + 4;
    if (!st->trailers && !(st->trailers = malloc(AG__CLIENT_TRAILER + 1)))
        return;
    if (n > AG__CLIENT_TRAILER - st->trailers_n) {
        ag__ch2_stream_fail(st, -EMSGSIZE);
        return;
    }
    char *to = st->trailers + st->trailers_n;
    to = ag__http_put_text(ag__http_put_text(to, name), (ag__http_text){": ", 2});
    memcpy(ag__http_put_text(to, value), "\0\n", 2);
    st->trailers_n += (uint32_t)n;
    st->trailers[st->trailers_n] = 0;
}

ssize_t ag__ch2_take_data(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length,
                          uint32_t *flags, nghttp2_data_source *source, void *user_data) {
    ag__client_stream *st = nghttp2_session_get_stream_user_data(session, id);
    (void)source;
    if (!st)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    size_t n = st->out_n < length ? st->out_n : length;
    if (!n && !st->out_last) {
        st->out_deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    if (n)
        memcpy(buf, st->out, n);
    st->out += n;
    st->out_n -= n;
    if (st->out_n == 0) {
        if (st->out_last) {
            *flags |= NGHTTP2_DATA_FLAG_EOF;
            st->out_ended = true;
        }
        ag__ch2_event_tell(&st->written);
    }
    ag__ch2_earn(user_data, 1 + (int64_t)n / AG__CH2_CHATTER_BYTES);
    return (ssize_t)n;
}

/* ---- Sending -------------------------------------------------------------------------------- */

static nghttp2_nv nv_of(ag__http_text name, ag__http_text value) {
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name.p, (uint8_t *)(uintptr_t)value.p, name.n,
                        value.n, NGHTTP2_NV_FLAG_NONE};
}

static nghttp2_nv pseudo(const char *name, ag__http_text value) {
    return nv_of((ag__http_text){name, strlen(name)}, value);
}

/* What stands before the next `end` in *rest, which goes on behind it. */
static ag__http_text take_until(ag__http_text *rest, char end) {
    const char *at = memchr(rest->p, end, rest->n);
    ag__http_text s = {rest->p, (size_t)(at - rest->p)};
    *rest = (ag__http_text){at + 1, rest->n - s.n - 1};
    return s;
}

/* Fields of the connection, which HTTP/2 has none of, or others for (RFC 9113 8.2.2, 8.3.1). */
static bool is_left_out(ag__http_text name) {
    return ag__http_same(name, "host") || ag__http_same(name, "connection") ||
           ag__http_same(name, "transfer-encoding");
}

/* Takes the head apart; names become lower case where they stand. Returns: how many. */
static size_t take_apart(ag_http_reply *r, ag__http_text head, nghttp2_nv *nv) {
    size_t n = 0;
    nv[n++] = pseudo(":method", take_until(&head, ' '));
    nv[n++] = pseudo(":path", take_until(&head, ' '));
    nv[n++] =
        pseudo(":scheme", r->url.tls ? (ag__http_text){"https", 5} : (ag__http_text){"http", 4});
    take_until(&head, '\n');
    for (;;) {
        ag__http_text line = take_until(&head, '\n');
        if (--line.n == 0) /* CR alone: the end */
            return n;
        ag__http_text name = take_until(&line, ':'), value = ag__http_trim(line);
        for (size_t i = 0; i < name.n; i++)
            ((char *)(uintptr_t)name.p)[i] = ag__http_lower(name.p[i]);
        if (ag__http_same(name, "host"))
            nv[n++] = pseudo(":authority", value);
        else if (!is_left_out(name))
            nv[n++] = nv_of(name, value);
    }
}

static size_t count_lines(ag__http_text s) {
    size_t n = 0;
    const char *end = s.p + s.n;
    for (const char *p = s.p; (p = memchr(p, '\n', (size_t)(end - p))); p++)
        n++;
    return n;
}

static void stream_init(ag_http_reply *r) {
    ag__client_stream *st = &r->stream;
    ag__http_bytes in = {.p = st->in.p, .size = st->in.size};
    memset(st, 0, sizeof *st);
    st->in = in;
    st->h2 = r->link->h2;
    st->bound = r->client->opt.head_ns;
    event_init(&st->read);
    event_init(&st->written);
}

static void link_stream(ag__client_h2 *h2, ag__client_stream *st) {
    st->prev = NULL;
    st->next = h2->streams;
    if (st->next)
        st->next->prev = st;
    h2->streams = st;
    st->fed = h2->fed;
}

static void unlink_stream(ag__client_h2 *h2, ag__client_stream *st) {
    *(st->prev ? &st->prev->next : &h2->streams) = st->next;
    if (st->next)
        st->next->prev = st->prev;
}

/* With the lock. Returns: 0 or an error. */
static int submit(ag_http_reply *r, const nghttp2_nv *nv, size_t n, bool has_body) {
    ag__client_stream *st = &r->stream;
    ag__client_h2 *h2 = st->h2;
    nghttp2_data_provider body = {.read_callback = ag__ch2_take_data};
    if (h2->over) {
        /* A server may break the rules before it is asked: then no other connection is better. */
        st->is_lost = true;
        return h2->why && !r->was_reused ? -EPROTO : -ECONNRESET;
    }
    int32_t id = nghttp2_submit_request(h2->session, NULL, nv, n, has_body ? &body : NULL, st);
    if (id == NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE) { /* there are no numbers left */
        st->refused = true;
        ag__client_retire(h2->client, h2->link);
        return -ECONNRESET;
    }
    if (id < 0)
        return -ENOMEM;
    st->id = id;
    link_stream(h2, st);
    ag__ch2_push(h2);
    return 0;
}

static int send(ag_http_reply *r, size_t n, const void *body, size_t body_n, bool whole) {
    ag__client_stream *st = &r->stream;
    ag__client_h2 *h2 = r->link->h2;
    ag__http_text head = {r->in, n};
    size_t lines = count_lines(head) + 3;
    nghttp2_nv few[NV_FEW], *nv = lines <= NV_FEW ? few : malloc(lines * sizeof *nv);
    if (!nv)
        return -ENOMEM;
    stream_init(r);
    st->out = body;
    st->out_n = body_n;
    st->out_last = whole;
    st->out_ended = whole && !body_n;
    size_t fields = take_apart(r, head, nv);
    ag__ch2_lock(h2);
    int e = submit(r, nv, fields, !st->out_ended);
    ag__ch2_unlock(h2);
    if (nv != few)
        free(nv);
    return e;
}

/* ---- Reading -------------------------------------------------------------------------------- */

/* Takes up to `n` bytes, and gives the server room for as many more of body. */
static size_t take(ag__client_stream *st, char *buf, size_t n) {
    nghttp2_session *session = st->h2->session;
    n = ag__http_bytes_take(&st->in, buf, n);
    uint32_t of_head = n < st->head_n ? (uint32_t)n : st->head_n;
    st->head_n -= of_head;
    if (n == of_head)
        return n;
    if (st->closed || st->in_ended)
        nghttp2_session_consume_connection(session, n - of_head);
    else
        nghttp2_session_consume(session, st->id, n - of_head);
    ag__ch2_push(st->h2);
    return n;
}

/* With the lock. */
static ssize_t read_locked(ag__client_stream *st, char *buf, size_t n) {
    for (;;) {
        if (st->error == -EMSGSIZE || st->error == -EPROTO)
            return st->error;
        if (ag__http_bytes_left(&st->in) > 0)
            return (ssize_t)take(st, buf, n);
        if (st->in_ended)
            return 0;
        if (st->is_cut)
            return -ECANCELED;
        if (st->error)
            return st->error;
        ag_time until = st->bound ? ag_now() + st->bound : st->until;
        int r = event_wait(st->h2, &st->read, until);
        if (r != 0 && !st->closed)
            return r;
    }
}

/* All of the answer has been read: its trailers are the reply's. */
static void take_trailers(ag_http_reply *r) {
    ag__client_stream *st = &r->stream;
    if (!st->trailers)
        return;
    free(r->trailers);
    r->trailers = st->trailers;
    r->chunks.trailers = st->trailers_n;
    r->has_trailers = true;
    st->trailers = NULL;
}

static ssize_t read_some(ag_http_reply *r, void *buf, size_t n) {
    ag__client_stream *st = &r->stream;
    ag__ch2_lock(st->h2);
    ssize_t got = read_locked(st, buf, n);
    st->at_end = st->in_ended && ag__http_bytes_left(&st->in) == 0 && !st->error;
    if (st->at_end)
        take_trailers(r);
    ag__ch2_unlock(st->h2);
    return got;
}

static void bound_read(ag_http_reply *r, ag_time ns) {
    r->stream.bound = ns;
}

static void sender_until(ag_http_reply *r, ag_time t) {
    ag__client_stream *st = &r->stream;
    ag__ch2_lock(st->h2);
    st->until = t;
    ag__ch2_event_tell(&st->read);
    ag__ch2_unlock(st->h2);
}

static void read_until(ag_http_reply *r, ag_time t) {
    r->stream.bound = 0;
    sender_until(r, t);
}

/* ---- The sender ----------------------------------------------------------------------------- */

static int wait_until_taken(ag__client_stream *st, ag_time ns) {
    ag_time until = 0;
    while (st->out_n && !st->closed && !st->error && !st->is_cut) {
        until = until ? until : ag_now() + ns;
        int r = event_wait(st->h2, &st->written, until);
        if (r != 0 && st->out_n)
            return r;
    }
    return st->is_cut ? -ECANCELED : st->out_n ? -EPIPE : 0;
}

/* With the lock: nghttp2 is to take what there is. */
static void resume(ag__client_stream *st) {
    if (st->out_deferred && !st->closed) {
        st->out_deferred = false;
        nghttp2_session_resume_data(st->h2->session, st->id);
    }
    ag__ch2_push(st->h2);
}

static int write_piece(ag_http_reply *r, const void *p, size_t n) {
    ag__client_stream *st = &r->stream;
    ag__ch2_lock(st->h2);
    st->out = p;
    st->out_n = n;
    resume(st);
    int e = wait_until_taken(st, r->client->opt.quiet_ns);
    st->out_n = 0; /* nobody may look at the program's memory */
    ag__ch2_unlock(st->h2);
    return e;
}

static int end(ag_http_reply *r) {
    ag__client_stream *st = &r->stream;
    ag__ch2_lock(st->h2);
    st->out_last = true;
    resume(st);
    ag__ch2_unlock(st->h2);
    return 0;
}

static void cut(ag_http_reply *r) {
    ag__client_stream *st = &r->stream;
    ag__ch2_lock(st->h2);
    st->is_cut = true;
    tell_both(st);
    ag__ch2_unlock(st->h2);
}

/* ---- What became of it ---------------------------------------------------------------------- */

static int64_t sent(ag_http_reply *r) {
    ag__client_stream *st = &r->stream;
    if (!st->h2)
        return 0;
    ag__ch2_lock(st->h2);
    bool begun = st->begun;
    ag__ch2_unlock(st->h2);
    return begun;
}

static bool is_refused(ag_http_reply *r) {
    ag__client_stream *st = &r->stream;
    if (!st->h2)
        return false;
    ag__ch2_lock(st->h2);
    bool refused = st->refused;
    ag__ch2_unlock(st->h2);
    return refused;
}

static const char *why_reset(uint32_t code) {
    static const char *const names[] = {
        [NGHTTP2_NO_ERROR] = "the server has cut the answer",
        [NGHTTP2_PROTOCOL_ERROR] = "the server has reset it: PROTOCOL_ERROR",
        [NGHTTP2_INTERNAL_ERROR] = "the server has reset it: INTERNAL_ERROR",
        [NGHTTP2_FLOW_CONTROL_ERROR] = "the server has reset it: FLOW_CONTROL_ERROR",
        [NGHTTP2_SETTINGS_TIMEOUT] = "the server has reset it: SETTINGS_TIMEOUT",
        [NGHTTP2_STREAM_CLOSED] = "the server has reset it: STREAM_CLOSED",
        [NGHTTP2_FRAME_SIZE_ERROR] = "the server has reset it: FRAME_SIZE_ERROR",
        [NGHTTP2_REFUSED_STREAM] = "the server takes no more requests",
        [NGHTTP2_CANCEL] = "the server has reset it: CANCEL",
        [NGHTTP2_COMPRESSION_ERROR] = "the server has reset it: COMPRESSION_ERROR",
        [NGHTTP2_CONNECT_ERROR] = "the server has reset it: CONNECT_ERROR",
        [NGHTTP2_ENHANCE_YOUR_CALM] = "the server has reset it: ENHANCE_YOUR_CALM",
        [NGHTTP2_INADEQUATE_SECURITY] = "the server has reset it: INADEQUATE_SECURITY",
        [NGHTTP2_HTTP_1_1_REQUIRED] = "the server wants HTTP/1.1 for this",
    };
    const char *name = code < sizeof names / sizeof *names ? names[code] : NULL;
    return name ? name : "the server has reset it";
}

static const char *why(ag_http_reply *r) {
    ag__client_stream *st = &r->stream;
    const char *s = NULL;
    if (!st->h2)
        return NULL;
    ag__ch2_lock(st->h2);
    if (st->h2->why && (st->is_lost || st->error == -EPROTO))
        s = st->h2->why;
    else if (st->was_reset || st->refused)
        s = why_reset(st->code);
    else if (st->is_lost)
        s = "the connection has ended";
    else if (st->error == -EPROTO)
        s = "the answer is malformed";
    else if (st->error == -EMSGSIZE)
        s = st->head_done ? "the answer's trailers are too large"
                          : "the answer's head is too large";
    ag__ch2_unlock(st->h2);
    return s;
}

/* ---- The end -------------------------------------------------------------------------------- */

/* With the lock. Nobody looks at the reply any more. */
static void let_go(ag__client_h2 *h2, ag__client_stream *st) {
    unlink_stream(h2, st);
    uint32_t left = ag__http_bytes_left(&st->in);
    if (left > st->head_n && !h2->broken)
        nghttp2_session_consume_connection(h2->session, left - st->head_n);
    if (!st->closed) {
        nghttp2_session_set_stream_user_data(h2->session, st->id, NULL);
        bool whole = st->in_ended && st->out_ended && !st->out_n;
        if (!whole && !st->error)
            reset(st, NGHTTP2_CANCEL);
        if (!st->in_ended)
            ag__ch2_ping(h2, st->fed == h2->fed);
    }
    if (!h2->heard && !st->in_ended) /* it has not said a word: nobody else should wait for one */
        ag__ch2_lose(h2, -ECONNRESET);
    ag__ch2_push(h2);
}

static void release(ag_http_reply *r, bool keep) {
    ag__client_stream *st = &r->stream;
    ag__client_h2 *h2 = r->link->h2;
    (void)keep; /* its end does not depend on how far the answer was read */
    if (r->sender)
        ag__client_sender_end(r, false);
    ag__ch2_lock(h2);
    if (st->id)
        let_go(h2, st);
    ag__ch2_unlock(h2);
    if (st->in.size > KEEP) {
        free(st->in.p);
        st->in = (ag__http_bytes){0};
    }
    free(st->trailers);
    st->trailers = NULL;
    st->h2 = NULL;
    st->id = 0;
    ag__client_give(r->client, r->link, !r->ask.closes);
}

const ag__client_wire ag__client_wire_2 = {
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
};
