/* SPDX-License-Identifier: MIT */
/*
 * The wire of a stream: the response of a handler as HEADERS and DATA.
 *
 * The head is made when the first byte of body leaves the buffer, or at the end; nghttp2 copies it.
 * The body is not copied beforehand: `put` says where it lies, in the output buffer and in the
 * handler's memory, and waits until all of it has gone into frames. Mostly that is at once, in
 * ag__h2_push; else the windows or the writer are full, and the client has write_ns for it.
 */
#include "http/h2.h"

#include <aglet/ctx.h>
#include <errno.h>

/* ---- The head ------------------------------------------------------------------------------- */

enum { NV_OWN = 4, /* status, date, type, length */ TRAILERS_MAX = 64 };

static nghttp2_nv nv_of(const char *name, size_t name_n, const char *value, size_t value_n) {
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, name_n, value_n,
                        NGHTTP2_NV_FLAG_NONE};
}

#define NV(name, value, n) nv_of((name), sizeof(name) - 1, (value), (n))

/* Fields of the connection, which HTTP/2 has none of (RFC 9113 8.2.2). */
static bool is_forbidden(ag__http_text name) {
    static const char *const names[] = {"connection", "keep-alive", "proxy-connection", "upgrade"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (ag__http_same(name, names[i]))
            return true;
    return false;
}

/* The handler's own fields; their names become lower case where they stand. */
static size_t own_fields(ag_http_response *res, nghttp2_nv *nv) {
    char *at = res->fields, *end = res->fields_n ? at + res->fields_n : at;
    size_t count = 0;
    while (at < end) {
        char *line_end = memchr(at, '\r', (size_t)(end - at)),
             *colon = memchr(at, ':', (size_t)(end - at));
        for (char *p = at; p < colon; p++)
            *p = ag__http_lower(*p);
        ag__http_text name = {at, (size_t)(colon - at)};
        if (!is_forbidden(name))
            nv[count++] = nv_of(at, name.n, colon + 2, (size_t)(line_end - colon) - 2);
        at = line_end + 2;
    }
    return count;
}

static size_t count_lines(const ag_http_response *res) {
    size_t count = 0;
    for (uint32_t i = 0; i < res->fields_n; i++)
        count += res->fields[i] == '\n';
    return count;
}

/* `length` of the body, or AG__LENGTH_NONE. Returns: 0 or an error. */
static int submit_head(ag_http_response *res, int64_t length, bool has_body) {
    ag__http_work *w = res->w;
    ag__http_stream *st = &w->stream;
    nghttp2_nv few[NV_OWN + 8], *nv = few;
    size_t lines = count_lines(res), n = 0;
    char status[20], digits[20];
    nghttp2_data_provider body = {.read_callback = ag__h2_take_data};
    if (lines > 8)
        nv = ag__http_arena(w, (NV_OWN + lines) * sizeof *nv);
    if (!nv)
        return -ENOMEM;
    nv[n++] = NV(":status", status, ag__http_decimal(status, (uint64_t)res->status));
    if (!res->has_date)
        nv[n++] = NV("date", ag__http_date(w), AG__DATE_N);
    if (!res->has_type && res->type)
        nv[n++] = NV("content-type", res->type, strlen(res->type));
    n += own_fields(res, nv + n);
    if (length >= 0)
        nv[n++] = NV("content-length", digits, ag__http_decimal(digits, (uint64_t)length));
    int r = nghttp2_submit_response(st->h2->session, st->id, nv, n, has_body ? &body : NULL);
    st->out_begun = true;
    st->out_ended = !has_body;
    return r == 0 ? 0 : r == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EPIPE;
}

/* ---- The body ------------------------------------------------------------------------------- */

static size_t left_of(const ag__http_stream *st) {
    return st->out[0].iov_len + st->out[1].iov_len;
}

/* All is in frames, the end of the body, too. */
static bool is_taken(const ag__http_stream *st) {
    return left_of(st) == 0 && (st->out_ended || !st->out_last);
}

/* Returns: 0, or an error: then the body ends without. */
static int submit_trailers(ag_http_response *res) {
    ag__http_stream *st = &res->w->stream;
    nghttp2_nv nv[TRAILERS_MAX];
    ag__http_text name, value;
    uint32_t at = 0;
    size_t n = 0;
    while (n < TRAILERS_MAX &&
           ag__http_trailer_next(res->trailers, res->trailers_n, &at, &name, &value)) {
        for (size_t i = 0; i < name.n; i++)
            ((char *)(uintptr_t)name.p)[i] = ag__http_lower(name.p[i]);
        nv[n++] = nv_of(name.p, name.n, value.p, value.n);
    }
    return nghttp2_submit_trailer(st->h2->session, st->id, nv, n);
}

ssize_t ag__h2_take_data(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length,
                         uint32_t *flags, nghttp2_data_source *source, void *user_data) {
    ag__http_stream *st = nghttp2_session_get_stream_user_data(session, id);
    size_t taken = 0;
    (void)source;
    if (!st)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    for (int i = 0; i < 2; i++) {
        struct iovec *v = &st->out[i];
        size_t n = v->iov_len < length - taken ? v->iov_len : length - taken;
        if (!n)
            continue;
        memcpy(buf + taken, v->iov_base, n);
        v->iov_base = (char *)v->iov_base + n;
        v->iov_len -= n;
        taken += n;
    }
    bool empty = left_of(st) == 0;
    ag__h2_earn(user_data, (int64_t)taken / AG__H2_CHATTER_BYTES +
                               (taken && empty ? AG__H2_CHATTER_REQUEST : 0));
    if (empty && st->out_last) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        ag_http_response *res = &ag__h2_work(st)->res;
        if (res->trailers_n && res->mode == AG__MODE_PLAIN && res->declared < 0 &&
            submit_trailers(res) == 0)
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        st->out_ended = true;
    }
    if (empty)
        ag__h2_stream_wake(st);
    if (taken || st->out_ended)
        return (ssize_t)taken;
    st->out_deferred = true;
    return NGHTTP2_ERR_DEFERRED;
}

/* What can't be sent is not sent any more: nobody may look at the handler's memory. */
static int give_up(ag__http_work *w, int error) {
    ag__http_stream *st = &w->stream;
    st->out[0].iov_len = st->out[1].iov_len = 0;
    if (error == -ETIMEDOUT)
        ag__http_count(&w->counters.timed_out, 1);
    if (!st->closed) {
        nghttp2_submit_rst_stream(st->h2->session, NGHTTP2_FLAG_NONE, st->id, NGHTTP2_CANCEL);
        ag__h2_push(st->h2);
    }
    return error;
}

static int wait_until_taken(ag__http_work *w, size_t n) {
    ag__http_stream *st = &w->stream;
    ag_time deadline = 0;
    while (!is_taken(st)) {
        if (st->closed)
            return give_up(w, st->h2->broken == -ETIMEDOUT ? -ETIMEDOUT : -EPIPE);
        if (!deadline)
            deadline = ag_now() + w->s->opt.write_ns + ag__http_write_extra(n);
        int r = ag__h2_stream_wait(st, deadline, true);
        if (r == -ECANCELED && w->req.ctx && ag_ctx_err(w->req.ctx) != 0)
            continue; /* now without it */
        if (r != 0 && !is_taken(st))
            return give_up(w, r);
    }
    return 0;
}

/* Sends the buffer and `data`, behind the head if that is not out yet; the end of the body with it
   if `last`. With the lock. Returns: 0 or an error. */
static int put_locked(ag_http_response *res, int64_t length, const void *data, size_t n,
                      bool last) {
    ag__http_work *w = res->w;
    ag__http_stream *st = &w->stream;
    size_t all = res->head_only ? 0 : res->body_n + n;
    int r = 0;
    if (st->out_ended) /* of HEAD: all that there is to send is sent */
        return 0;
    if (st->closed)
        return -EPIPE;
    if (all) {
        st->out[0] = (struct iovec){w->out + res->body_at, res->body_n};
        st->out[1] = (struct iovec){(void *)(uintptr_t)data, n};
    }
    st->out_last = last;
    if (!st->out_begun)
        r = submit_head(res, length, !res->head_only && (all || !last));
    else if (st->out_deferred && (all || last))
        r = nghttp2_session_resume_data(st->h2->session, st->id) == 0 ? 0 : -EPIPE;
    if (r != 0)
        return give_up(w, r);
    st->out_deferred = st->out_deferred && !all && !last;
    ag__h2_push(st->h2);
    return wait_until_taken(w, all);
}

static ssize_t put(ag_http_response *res, int64_t length, const void *data, size_t n, bool last) {
    ag__http_h2 *h2 = res->w->stream.h2;
    ag__h2_lock(h2);
    int r = put_locked(res, length, data, n, last);
    ag__h2_unlock(h2);
    res->body_n = 0;
    return r != 0 ? ag__http_broken(res, r) : (ssize_t)n;
}

/* ---- The wire ------------------------------------------------------------------------------- */

/* Whether the handler promised more than it has written: then the end is not sent, and the stream
   is reset. */
static bool is_short(const ag_http_response *res) {
    return res->declared > res->body_bytes && !res->head_only && !ag__http_bodyless(res->status);
}

static int begin(ag_http_response *res) {
    res->head_at = res->head_end = res->body_at = res->body_n = 0;
    return 0;
}

static ssize_t start(ag_http_response *res, const void *data, size_t n) {
    res->mode = AG__MODE_PLAIN;
    return put(res, res->declared >= 0 ? res->declared : AG__LENGTH_NONE, data, n, false);
}

static ssize_t emit(ag_http_response *res, const void *data, size_t n, bool last) {
    return put(res, AG__LENGTH_NONE, data, n, last && !is_short(res));
}

static int whole(ag_http_response *res, const void *data, size_t n) {
    int64_t length = ag__http_bodyless(res->status) ? AG__LENGTH_NONE : (int64_t)n;
    ssize_t r = put(res, length, data, n, true);
    return r < 0 ? (int)r : 0;
}

static void complete(ag_http_response *res) {
    int64_t length = res->declared;
    if (length < 0)
        length = ag__http_bodyless(res->status) ? AG__LENGTH_NONE : res->body_bytes;
    put(res, length, "", 0, !is_short(res));
}

static void end(ag__http_work *w) {
    (void)w; /* the end of the stream tells the client */
}

static bool is_gone(const ag__http_work *w) {
    const ag__http_stream *st = &w->stream;
    ag__h2_lock(st->h2);
    bool gone = st->in_vain;
    ag__h2_unlock(st->h2);
    return gone || ag_conn_peer_is_gone(w->hc->c);
}

const ag__http_wire ag__http_wire_2 = {
    .begin = begin,
    .start = start,
    .emit = emit,
    .whole = whole,
    .complete = complete,
    .body_read = ag__h2_body_read,
    .flush = ag__h2_flush,
    .end = end,
    .is_gone = is_gone,
    .context = ag__h2_context,
    .context_end = ag__h2_context_end,
    .major = 2,
};
