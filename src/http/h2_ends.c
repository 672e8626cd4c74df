/* SPDX-License-Identifier: MIT */
/*
 * Frames on their way to the writer of a connection of HTTP/2, and how its session begins.
 */
#include "http/h2_ends.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- Frames --------------------------------------------------------------------------------- */

static bool have_buffer(ag__h2_out *o) {
    if (!o->buf) {
        o->buf = o->spare ? o->spare : malloc(AG__H2_OUT);
        o->spare = NULL;
    }
    return o->buf != NULL;
}

int ag__h2_out_fill(ag__h2_out *o, nghttp2_session *session) {
    o->full = false;
    while (o->n < AG__H2_OUT) {
        if (!o->rest_n) {
            ssize_t n = nghttp2_session_mem_send(session, &o->rest);
            if (n == 0)
                return 0;
            if (n < 0)
                return -ENOMEM;
            o->rest_n = (size_t)n;
        }
        if (!have_buffer(o))
            return -ENOMEM;
        size_t n = AG__H2_OUT - o->n;
        if (n > o->rest_n)
            n = o->rest_n;
        memcpy(o->buf + o->n, o->rest, n);
        o->n += (uint32_t)n;
        o->rest += n;
        o->rest_n -= n;
    }
    o->full = true;
    return 0;
}

char *ag__h2_out_take(ag__h2_out *o, uint32_t *ret_n) {
    char *buf = o->buf;
    if (!o->n)
        return NULL;
    *ret_n = o->n;
    o->buf = NULL;
    o->n = 0;
    return buf;
}

void ag__h2_out_give_back(ag__h2_out *o, char *buf) {
    if (o->spare)
        free(buf);
    else
        o->spare = buf;
}

void ag__h2_out_drop(ag__h2_out *o) {
    o->n = 0;
    o->rest_n = 0;
}

void ag__h2_out_free(ag__h2_out *o) {
    free(o->buf);
    free(o->spare);
    o->buf = o->spare = NULL;
}

/* ---- The session ---------------------------------------------------------------------------- */

/* nghttp2 would leave such a field out: a name or value with bytes that it must not have. */
static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame,
                             const uint8_t *name, size_t name_n, const uint8_t *value,
                             size_t value_n, uint8_t flags, void *arg) {
    (void)session;
    (void)frame;
    (void)name;
    (void)name_n;
    (void)value;
    (void)value_n;
    (void)flags;
    (void)arg;
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* resets the stream */
}

nghttp2_session *ag__h2_session_make(ag__h2_maker *make, void *arg) {
    nghttp2_session_callbacks *cb = NULL;
    nghttp2_option *o = NULL;
    nghttp2_session *session = NULL;
    if (nghttp2_session_callbacks_new(&cb) == 0 && nghttp2_option_new(&o) == 0) {
        nghttp2_session_callbacks_set_on_invalid_header_callback(cb, on_invalid_header);
        nghttp2_option_set_no_auto_window_update(o, 1);
        session = make(arg, cb, o);
    }
    nghttp2_session_callbacks_del(cb);
    nghttp2_option_del(o);
    return session;
}

bool ag__h2_session_greet(nghttp2_session *session, const nghttp2_settings_entry *settings,
                          size_t count, int32_t window) {
    return nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, count) == 0 &&
           nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, window) == 0;
}
