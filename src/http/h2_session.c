/* SPDX-License-Identifier: MIT */
/*
 * What nghttp2 tells: heads, bodies, ends of streams. All of it runs in the reader or in whoever
 * pushes, with h2->lock, and nothing here waits.
 *
 * Budgets. A client can make work for nothing in ways that no limit of a single stream sees: it
 * opens streams and resets them (CVE-2023-44487), or has us reset them; it sends frames that mean
 * nothing, which we must read and partly answer. Each connection has two budgets, of useless
 * streams and of chatter; time refills them, and of chatter also what is done for requests. One
 * that is used up ends the connection with ENHANCE_YOUR_CALM; so do many bytes that brought
 * nothing, since nghttp2 keeps frames of unknown types to itself. Besides, no more handlers run
 * than streams may be open: one whose client has reset its stream counts until it returns.
 */
#include "http/h2.h"

/* ---- Budgets -------------------------------------------------------------------------------- */

_Static_assert(AG__H2_RESETS_RATE % AG__H2_STEPS == 0 && AG__H2_CHATTER_RATE % AG__H2_STEPS == 0,
               "whole steps");

void ag__h2_refill(ag__http_h2 *h2) {
    int64_t steps = ag__h2_steps(&h2->refilled_at, h2->now);
    ag__h2_refill_one(&h2->resets, steps * (AG__H2_RESETS_RATE / AG__H2_STEPS), AG__H2_RESETS);
    ag__h2_refill_one(&h2->chatter, steps * (AG__H2_CHATTER_RATE / AG__H2_STEPS), AG__H2_CHATTER);
}

/* Returns: what a callback does. */
static int spend(ag__http_h2 *h2, int32_t *budget) {
    if (--*budget >= 0)
        return 0;
    ag__h2_end_with(h2, NGHTTP2_ENHANCE_YOUR_CALM);
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

void ag__h2_earn(ag__http_h2 *h2, int64_t frames) {
    h2->in_vain = 0;
    ag__h2_refill_one(&h2->chatter, frames, AG__H2_CHATTER);
}

/* ---- Heads ---------------------------------------------------------------------------------- */

static int refuse_stream(ag__http_h2 *h2, int32_t id) {
    return nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, id, NGHTTP2_REFUSED_STREAM) ==
                   0
               ? 0
               : NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* nghttp2 remembers as many streams as may be open, also those that are closed. */
static bool is_forgotten(nghttp2_session *session, int32_t id) {
    return id <= nghttp2_session_get_last_proc_stream_id(session) &&
           !nghttp2_session_find_stream(session, id);
}

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *arg) {
    ag__http_h2 *h2 = arg;
    if (hd->type == NGHTTP2_HEADERS && hd->stream_id && is_forgotten(session, hd->stream_id)) {
        ag__h2_end_with(h2, NGHTTP2_PROTOCOL_ERROR);
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    if ((hd->type == NGHTTP2_HEADERS || hd->type == NGHTTP2_CONTINUATION) && !h2->head_began)
        h2->head_began = h2->now;
    return 0;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg) {
    ag__http_h2 *h2 = arg;
    ag__http_work *w = NULL;
    (void)session;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    if (h2->handlers < h2->hc->s->opt.streams_max)
        w = ag__http_work_take(h2->hc->s);
    if (!w)
        return refuse_stream(h2, frame->hd.stream_id);
    ag__h2_stream_add(h2, w, frame->hd.stream_id);
    h2->latest = &w->stream;
    return 0;
}

/* nghttp2 finds a stream by a search, and asks for one that has just begun for each of its fields.
 */
static ag__http_stream *stream_of(ag__http_h2 *h2, int32_t id) {
    if (h2->latest && h2->latest->id == id)
        return h2->latest;
    return nghttp2_session_get_stream_user_data(h2->session, id);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags,
                     void *arg) {
    ag__http_stream *st = stream_of(arg, frame->hd.stream_id);
    ag__http_text key = {(const char *)name, name_n}, val = {(const char *)value, value_n};
    (void)session;
    (void)flags;
    if (st && !st->runs)
        ag__h2_head_field(ag__h2_work(st), key, val);
    else if (st && !ag__h2_stream_trailer(st, key, val))
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* resets the stream */
    return 0;
}

static void head_is_complete(ag__http_h2 *h2, ag__http_stream *st, bool ended) {
    ag__http_work *w = ag__h2_work(st);
    st->in_ended = ended;
    ag__h2_head_end(w, !ended);
    w->now = h2->now;
    ag__h2_earn(h2, AG__H2_CHATTER_REQUEST);
    ag__h2_stream_start(st);
}

/* ---- Frames --------------------------------------------------------------------------------- */

static void body_is_complete(ag__http_stream *st) {
    st->in_ended = true;
    ag__h2_stream_wake(st);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *arg) {
    ag__http_h2 *h2 = arg;
    bool ends = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    ag__http_stream *st = frame->hd.stream_id ? stream_of(h2, frame->hd.stream_id) : NULL;
    (void)session;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        h2->head_began = 0;
        if (st && !st->runs)
            head_is_complete(h2, st, ends);
        else if (st && ends)
            body_is_complete(st);
        return 0;
    case NGHTTP2_DATA:
        if (st && ends)
            body_is_complete(st);
        return frame->hd.length || ends ? 0 : spend(h2, &h2->chatter);
    case NGHTTP2_RST_STREAM:
        atomic_fetch_add_explicit(&h2->hc->s->h2_resets, 1, AG__RELAXED);
        return spend(h2, &h2->resets);
    case NGHTTP2_SETTINGS:
        if (h2->hc->kind == AG__CONN_FRESH) {
            h2->hc->kind = AG__CONN_IDLE;
            h2->hc->since = h2->now;
        }
        return spend(h2, &h2->chatter);
    case NGHTTP2_GOAWAY:
        return 0;
    default:
        return spend(h2, &h2->chatter);
    }
}

static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error,
                            void *arg) {
    ag__http_h2 *h2 = arg;
    (void)session;
    (void)error;
    if (frame->hd.type == NGHTTP2_HEADERS)
        h2->head_began = 0;
    return spend(h2, &h2->resets);
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t n, void *arg) {
    ag__http_h2 *h2 = arg;
    ag__http_stream *st = nghttp2_session_get_stream_user_data(session, id);
    (void)flags;
    ag__h2_earn(h2, 1 + (int64_t)n / AG__H2_CHATTER_BYTES);
    if (!st) {
        ag__h2_body_dropped(session, id, false);
        return nghttp2_session_consume_connection(session, n);
    }
    return ag__h2_stream_feed(st, data, n) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *arg) {
    ag__http_stream *st = nghttp2_session_get_stream_user_data(session, id);
    (void)arg;
    if (st && st->runs)
        ag__h2_stream_closed(st, error != NGHTTP2_NO_ERROR || !st->out_ended);
    else if (st)
        ag__h2_stream_drop(st);
    return 0;
}

/* ---- The session ---------------------------------------------------------------------------- */

static nghttp2_session *make(void *h2, nghttp2_session_callbacks *cb, nghttp2_option *o) {
    nghttp2_session *session;
    nghttp2_session_callbacks_set_on_begin_frame_callback(cb, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, on_invalid_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    return nghttp2_session_server_new2(&session, cb, h2, o) == 0 ? session : NULL;
}

bool ag__h2_session_new(ag__http_h2 *h2) {
    const ag_http_options *o = &h2->hc->s->opt;
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, o->streams_max},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, AG__H2_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, o->head_max},
    };
    h2->session = ag__h2_session_make(make, h2);
    return h2->session &&
           ag__h2_session_greet(h2->session, settings, sizeof settings / sizeof *settings,
                                AG__H2_CONN_WINDOW);
}
