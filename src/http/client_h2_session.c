/* SPDX-License-Identifier: MIT */
/*
 * What nghttp2 tells a client: heads, bodies, ends of streams. All of it runs in the reader or in
 * whoever pushes, with h2->lock, and nothing here waits.
 *
 * The budget. A server can make work for nothing: frames that mean nothing and must be read and
 * partly answered (PING, SETTINGS, empty DATA, WINDOW_UPDATE, RST_STREAM of what is no more, heads
 * that are cut into CONTINUATIONs). Each frame costs one of the connection's budget; time refills
 * it, and so do heads and bytes of bodies, both ways. One that is used up ends the connection with
 * ENHANCE_YOUR_CALM; so do many bytes that brought nothing. Pushes were forbidden in our first
 * frame: one that comes all the same ends the connection.
 */
#include "http/client_h2.h"

#include <errno.h>

/* ---- The budget ----------------------------------------------------------------------------- */

_Static_assert(AG__CH2_CHATTER_RATE % AG__H2_STEPS == 0, "whole steps");

void ag__ch2_refill(ag__client_h2 *h2) {
    int64_t steps = ag__h2_steps(&h2->refilled_at, h2->now);
    ag__h2_refill_one(&h2->chatter, steps * (AG__CH2_CHATTER_RATE / AG__H2_STEPS), AG__CH2_CHATTER);
}

void ag__ch2_earn(ag__client_h2 *h2, int64_t frames) {
    h2->in_vain = 0;
    ag__h2_refill_one(&h2->chatter, frames, AG__CH2_CHATTER);
}

/* Returns: what a callback does. */
static int spend(ag__client_h2 *h2) {
    if (--h2->chatter >= 0)
        return 0;
    ag__ch2_end_with(h2, NGHTTP2_ENHANCE_YOUR_CALM, "the server sends too much for nothing");
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *arg) {
    (void)session;
    if (hd->type != NGHTTP2_DATA || !hd->length)
        return spend(arg);
    ag__ch2_earn(arg, 1 + (int64_t)hd->length / AG__CH2_CHATTER_BYTES);
    return 0;
}

/* ---- Heads ---------------------------------------------------------------------------------- */

static ag__client_stream *stream_of(nghttp2_session *session, int32_t id) {
    return id ? nghttp2_session_get_stream_user_data(session, id) : NULL;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg) {
    (void)session;
    if (frame->hd.type != NGHTTP2_PUSH_PROMISE)
        return 0;
    ag__ch2_end_with(arg, NGHTTP2_PROTOCOL_ERROR, "the server pushes what it must not");
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

#define TEXT(literal) ((ag__http_text){(literal), sizeof(literal) - 1})

static bool all_of(ag__http_text s, unsigned classes) {
    for (size_t i = 0; i < s.n; i++)
        if (!ag__http_is(s.p[i], classes))
            return false;
    return true;
}

/* Nothing that is written may end its line early: each byte is checked. */
static void head_field(ag__client_stream *st, ag__http_text name, ag__http_text value) {
    if (!all_of(value, AG__CH_VALUE)) {
        ag__ch2_stream_fail(st, -EPROTO);
        return;
    }
    if (ag__http_same(name, ":status")) {
        for (size_t i = 0; i < value.n && i < 3; i++)
            st->status = i ? st->status * 10 + (value.p[i] - '0') : value.p[i] - '0';
        ag__ch2_stream_head(st, TEXT("HTTP/1.1"), TEXT(" "), value);
        return;
    }
    if (!all_of(name, AG__CH_TOKEN)) {
        ag__ch2_stream_fail(st, -EPROTO);
        return;
    }
    ag__ch2_stream_head(st, name, TEXT(": "), value);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags,
                     void *arg) {
    ag__client_stream *st = stream_of(session, frame->hd.stream_id);
    ag__http_text key = {(const char *)name, name_n}, val = {(const char *)value, value_n};
    (void)flags;
    (void)arg;
    if (!st || st->error)
        return 0;
    if (st->head_done)
        ag__ch2_stream_trailer(st, key, val);
    else
        head_field(st, key, val);
    return 0;
}

static void head_is_complete(ag__client_h2 *h2, ag__client_stream *st) {
    if (st->head_done) /* trailers */
        return;
    ag__ch2_stream_head(st, TEXT(""), TEXT(""), TEXT(""));
    st->head_done = st->status >= 200;
    if (st->head_done)
        ag__ch2_earn(h2, AG__CH2_CHATTER_HEAD);
    h2->is_quiet = false;
    ag__ch2_event_tell(&st->read);
}

/* ---- Frames --------------------------------------------------------------------------------- */

static void on_settings(ag__client_h2 *h2) {
    uint32_t most =
        nghttp2_session_get_remote_settings(h2->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    h2->heard = true;
    ag__client_settle(h2->client, h2->link, most < AG__CH2_STREAMS ? most : AG__CH2_STREAMS);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *arg) {
    ag__client_h2 *h2 = arg;
    ag__client_stream *st = stream_of(session, frame->hd.stream_id);
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        if (st)
            head_is_complete(h2, st);
        break;
    case NGHTTP2_RST_STREAM:
        if (st)
            st->was_reset = true; /* nghttp2 closes it next */
        return 0;
    case NGHTTP2_SETTINGS:
        if (!(frame->hd.flags & NGHTTP2_FLAG_ACK))
            on_settings(h2);
        return 0;
    case NGHTTP2_PING:
        if (frame->hd.flags & NGHTTP2_FLAG_ACK)
            ag__ch2_pong(h2);
        return 0;
    case NGHTTP2_GOAWAY:
        ag__client_retire(h2->client, h2->link);
        return 0;
    default:
        break;
    }
    if (st && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) &&
        (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA)) {
        st->in_ended = true;
        ag__ch2_event_tell(&st->read);
    }
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t n, void *arg) {
    ag__client_stream *st = stream_of(session, id);
    ag__client_h2 *h2 = arg;
    (void)flags;
    h2->is_quiet = false;
    if (!st || st->error)
        return nghttp2_session_consume_connection(session, n);
    ag__ch2_stream_body(st, data, n);
    return 0;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *arg) {
    (void)arg;
    if (frame->hd.type == NGHTTP2_HEADERS) {
        ag__client_stream *st = stream_of(session, frame->hd.stream_id);
        if (st)
            st->begun = true;
    }
    return 0;
}

/* The connection has ended, for new requests, before this one was in a frame. */
static int on_frame_not_send(nghttp2_session *session, const nghttp2_frame *frame, int error,
                             void *arg) {
    (void)error;
    (void)arg;
    if (frame->hd.type == NGHTTP2_HEADERS) {
        ag__client_stream *st = stream_of(session, frame->hd.stream_id);
        if (st && !st->begun)
            ag__ch2_stream_closed(st, NGHTTP2_REFUSED_STREAM);
    }
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *arg) {
    ag__client_stream *st = stream_of(session, id);
    (void)arg;
    if (st)
        ag__ch2_stream_closed(st, error);
    return 0;
}

/* ---- The session ---------------------------------------------------------------------------- */

static nghttp2_session *make(void *h2, nghttp2_session_callbacks *cb, nghttp2_option *o) {
    nghttp2_session *session;
    nghttp2_session_callbacks_set_on_begin_frame_callback(cb, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(cb, on_frame_not_send);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    nghttp2_option_set_peer_max_concurrent_streams(o, AG__CH2_STREAMS); /* the pool counts */
    return nghttp2_session_client_new2(&session, cb, h2, o) == 0 ? session : NULL;
}

bool ag__ch2_session_new(ag__client_h2 *h2) {
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, AG__CH2_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, h2->client->opt.head_max},
    };
    h2->session = ag__h2_session_make(make, h2);
    return h2->session &&
           ag__h2_session_greet(h2->session, settings, sizeof settings / sizeof *settings,
                                AG__CH2_CONN_WINDOW);
}
