/* SPDX-License-Identifier: MIT */
/*
 * A stream: its handler, who runs that, and the body of its request.
 *
 * The handler is run by ag__http_answer like one of HTTP/1. Whatever way it leaves, `leave` ends
 * the stream: a response that is complete stands; one that is not is 500 if nothing of it was sent,
 * else the stream is reset with INTERNAL_ERROR. A client that has not sent all of its body by then
 * may send what it has the window for, which is dropped; then it is told with NO_ERROR that nobody
 * wants the rest (RFC 9113 8.1). At once would be allowed, but curl (7.88) loses the response that
 * it has not read yet.
 *
 * Waiting. A handler waits for `event`, bounded by a time and by its context, without the lock, and
 * looks again at what it waits for. Who changes that wakes it; at most one release is under way,
 * since it is `waits` that asks for it.
 */
#include "http/h2.h"

#include <aglet/ctx.h>
#include <aglet/run.h>
#include <errno.h>
#include <stdlib.h>

enum { TRAILERS_MAX = 8192 }; /* as those of HTTP/1 */
#define PATIENCE (200 * AG_US)

/* ---- Waiting -------------------------------------------------------------------------------- */

void ag__h2_stream_wake(ag__http_stream *st) {
    if (!st->waits)
        return;
    st->waits = false;
    ag_sem_release(&st->event, 1);
}

static int wait_for_event(ag__http_stream *st, ag_time ns) {
    ag_within(ns);
    return ag_sem_acquire(&st->event, 1);
}

/* The answer must get through, even when the request's context has ended (context.c). */
static int wait_outside(ag__http_stream *st, ag_time ns) {
    ag_ctx_enter(NULL);
    return wait_for_event(st, ns);
}

int ag__h2_stream_wait(ag__http_stream *st, ag_time deadline, bool answers) {
    ag__http_h2 *h2 = st->h2;
    ag_ctx *ctx = ag__h2_work(st)->req.ctx;
    st->waits = true;
    ag__h2_unlock(h2);
    bool outside = answers && ctx && ag_ctx_err(ctx) != 0;
    int r =
        outside ? wait_outside(st, deadline - ag_now()) : wait_for_event(st, deadline - ag_now());
    ag__h2_lock(h2);
    if (r != 0 && !st->waits) { /* it was woken all the same: take that */
        ag_sem_try_acquire(&st->event, 1);
        r = 0;
    }
    st->waits = false;
    return r;
}

/* ---- Life ----------------------------------------------------------------------------------- */

void ag__h2_stream_add(ag__http_h2 *h2, ag__http_work *w, int32_t id) {
    ag__http_stream *st = &w->stream;
    memset(st, 0, sizeof *st);
    st->h2 = h2;
    st->id = id;
    ag_sem_init(&st->event, 1);
    ag_sem_try_acquire(&st->event, 1);
    st->next = h2->streams;
    if (st->next)
        st->next->prev = st;
    h2->streams = st;
    w->hc = h2->hc;
    w->wire = &ag__http_wire_2;
    atomic_store_explicit(&w->busy, false, AG__RELAXED); /* counted by connections */
    ag__h2_head_begin(w);
    nghttp2_session_set_stream_user_data(h2->session, id, st);
}

static void unlink_stream(ag__http_stream *st) {
    if (st->h2->latest == st)
        st->h2->latest = NULL;
    if (st->prev)
        st->prev->next = st->next;
    else
        st->h2->streams = st->next;
    if (st->next)
        st->next->prev = st->prev;
    if (!st->closed)
        nghttp2_session_set_stream_user_data(st->h2->session, st->id, NULL);
}

static void put_back(ag__http_stream *st) {
    free(st->body.p);
    free(st->trailers);
    st->body = (ag__http_bytes){0};
    st->trailers = NULL;
    st->h2 = NULL;
    ag__http_work_put(ag__h2_work(st));
}

void ag__h2_stream_drop(ag__http_stream *st) {
    unlink_stream(st);
    put_back(st);
}

void ag__h2_stream_closed(ag__http_stream *st, bool in_vain) {
    st->closed = true;
    if (st->h2->latest == st)
        st->h2->latest = NULL;
    st->in_vain = st->in_vain || in_vain;
    if (st->in_vain && st->ctx)
        ag_ctx_cancel_cause(st->ctx, -ECONNRESET);
    ag__h2_stream_wake(st);
}

/* ---- The context ---------------------------------------------------------------------------- */

/* One that is left over from an earlier stream, or a new one. Without memory there is none, and the
   answer is 500. */
static void give_context(ag__http_stream *st) {
    ag__http_h2 *h2 = st->h2;
    ag_ctx *ctx = h2->spare_ctx;
    h2->spare_ctx = NULL;
    if (ctx && ag_ctx_err(ctx) != 0) {
        ag_unref(ctx);
        ctx = NULL;
    }
    st->ctx = ctx ? ctx : ag_ctx_with_cancel(h2->hc->s->ctx);
    if (st->in_vain && st->ctx)
        ag_ctx_cancel_cause(st->ctx, -ECONNRESET);
}

/* Nothing ends it any more. The next stream gets it, unless somebody else has it, too, to whom that
   one's end would mean something. */
static void take_context(ag__http_stream *st) {
    ag__http_h2 *h2 = st->h2;
    ag_ctx *ctx = st->ctx;
    st->ctx = NULL;
    if (ctx && !h2->spare_ctx && ag__ctx_refs(ctx) == 1 && ag_ctx_err(ctx) == 0)
        h2->spare_ctx = ctx;
    else
        ag_unref(ctx);
}

int ag__h2_flush(ag__http_work *w) {
    ag__http_h2 *h2 = w->stream.h2;
    ag__h2_lock(h2);
    ag__h2_write_here(h2);
    ag__h2_unlock(h2);
    return 0;
}

ag_ctx *ag__h2_context(ag__http_work *w) {
    if (!w->fast) /* no client waits for one answer until another is there, who knows when */
        ag__h2_flush(w);
    return w->stream.ctx;
}

void ag__h2_context_end(ag__http_work *w) {
    (void)w; /* with the stream */
}

/* ---- The handler's goroutine ---------------------------------------------------------------- */

/* What the client is told at the end, besides the response. Returns: whether there is something. */
static bool end_stream(ag__http_work *w) {
    ag__http_stream *st = &w->stream;
    int32_t id = st->id;
    nghttp2_session *session = st->h2->session;
    if (st->closed || (st->out_ended && (st->in_ended || w->req.body_done)))
        return false;
    if (!st->out_ended)
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id, NGHTTP2_INTERNAL_ERROR);
    else
        ag__h2_body_dropped(session, id, w->req.must_continue || w->req.body_error == -ETIMEDOUT);
    return true;
}

/* One handler less. */
static void note_end(ag__http_h2 *h2, ag_time now) {
    ag_http_server *s = h2->hc->s;
    atomic_fetch_sub_explicit(&s->h2_streams, 1, AG__RELAXED);
    if (--h2->handlers > 0)
        return;
    atomic_fetch_sub_explicit(&s->h2_busy, 1, AG__RELAXED);
    h2->hc->since = now;
}

/* With the lock. */
static void finish(ag__http_work *w) {
    ag__http_stream *st = &w->stream;
    ag__http_h2 *h2 = st->h2;
    bool says = end_stream(w);
    uint32_t unread = ag__http_bytes_left(&st->body);
    if (unread > 0) {
        nghttp2_session_consume_connection(h2->session, unread);
        says = true;
    }
    if (w->res.asked_close) {
        ag__h2_close(h2);
        says = true;
    }
    take_context(st);
    unlink_stream(st);
    note_end(h2, w->now);
    if (says)
        ag__h2_push(h2);
    put_back(st);
}

/* Of a handler that did not get to its end, whose goroutine ends with it. */
static void leave(ag__http_work *w) {
    const ag_panic_info *info = ag_recover();
    ag__http_h2 *h2 = w->stream.h2;
    if (w->finished)
        return;
    ag__http_cut_short(w, info);
    if (w->answering && ag__http_response_rewind(&w->res))
        ag__http_refuse(w, 500, "internal server error");
    ag__h2_lock(h2);
    finish(w);
    ag__h2_unlock(h2);
    ag__h2_unref(h2); /* the goroutine's */
}

static void run(ag__http_work *w) {
    ag_defer(leave, w);
    int verdict = w->stream.verdict;
    if (verdict) {
        ag__http_count(&w->counters.bad_requests, 1);
        ag__http_refuse(w, ag__http_status(verdict), ag__http_reason(verdict));
    } else {
        ag__http_answer(w, w->in_n);
    }
    w->finished = true;
}

/* ---- Who runs them -------------------------------------------------------------------------- */

void ag__h2_stream_start(ag__http_stream *st) {
    ag__http_h2 *h2 = st->h2;
    st->runs = true;
    *(h2->ready ? &h2->ready_last->ready_next : &h2->ready) = st;
    h2->ready_last = st;
    ag__http_count(&ag__h2_work(st)->counters.streams, 1);
    atomic_fetch_add_explicit(&h2->hc->s->h2_streams, 1, AG__RELAXED);
    if (h2->handlers++ == 0)
        atomic_fetch_add_explicit(&h2->hc->s->h2_busy, 1, AG__RELAXED);
}

static ag__http_stream *pop_ready(ag__http_h2 *h2) {
    ag__http_stream *st = h2->ready;
    if (st)
        h2->ready = st->ready_next;
    return st;
}

static void refuse_all(ag__http_h2 *h2) {
    for (ag__http_stream *st; (st = pop_ready(h2)) != NULL;) {
        if (!st->closed)
            nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, st->id,
                                      NGHTTP2_REFUSED_STREAM);
        note_end(h2, h2->now);
        ag__h2_stream_drop(st);
    }
}

static void help(ag__http_h2 *h2) {
    ag__h2_lock(h2);
    h2->helped = false;
    ag__h2_run_ready(h2);
}

void ag__h2_get_help(ag__http_h2 *h2) {
    if (!h2->ready || h2->helped)
        return;
    /* What is lazy may go to another processor at once. */
    const ag_go_opts opts = {.lazy = h2->ready != h2->ready_last};
    h2->helped = true;
    atomic_fetch_add_explicit(&h2->refs, 1, AG__RELAXED);
    if (ag_go_with(&opts, help, h2) >= 0)
        return;
    h2->helped = false;
    atomic_fetch_sub_explicit(&h2->refs, 1, AG__RELAXED); /* the caller has one, too */
    refuse_all(h2);
    ag__h2_push(h2);
}

/* Who has run handlers for so long writes what they have answered, and lets others run. With the
   lock. */
static void pause_between(ag__http_h2 *h2, ag_time *since, ag_time now) {
    if (now - *since < PATIENCE)
        return;
    *since = now;
    ag__h2_get_help(h2);
    ag__h2_write_here(h2);
    ag_mutex_unlock(&h2->lock);
    ag_yield();
    ag__h2_lock(h2);
}

void ag__h2_run_ready(ag__http_h2 *h2) {
    ag_time now = h2->ready ? ag_now() : 0, since = now;
    for (;;) {
        ag__h2_get_help(h2);
        ag__http_stream *st = pop_ready(h2);
        if (!st)
            break;
        ag__http_work *w = ag__h2_work(st);
        st->turn = now;
        if (!st->verdict)
            give_context(st);
        ag_mutex_unlock(&h2->lock);
        run(w);
        ag__h2_lock(h2);
        if (w->now > now)
            now = w->now;
        finish(w);
        pause_between(h2, &since, now);
    }
    ag__h2_write_here(h2);
    ag__h2_unlock(h2);
    ag__h2_unref(h2);
}

void ag__h2_body_dropped(nghttp2_session *session, int32_t id, bool at_once) {
    int32_t room = nghttp2_session_get_stream_local_window_size(session, id);
    if (at_once || (room >= 0 && room < AG__H2_DROP_UNTIL))
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id, NGHTTP2_NO_ERROR);
}

/* ---- The body ------------------------------------------------------------------------------- */

bool ag__h2_stream_feed(ag__http_stream *st, const uint8_t *data, size_t n) {
    char *to = ag__http_bytes_room(&st->body, n, AG__H2_WINDOW);
    if (!to)
        return false;
    memcpy(to, data, n);
    st->body.n += (uint32_t)n;
    ag__h2_stream_wake(st);
    return true;
}

/* Takes up to `n` bytes, and gives the client room for as many more. */
static ssize_t take(ag__http_stream *st, char *buf, size_t n) {
    nghttp2_session *session = st->h2->session;
    n = ag__http_bytes_take(&st->body, buf, n);
    if (st->closed || st->in_ended)
        nghttp2_session_consume_connection(session, n);
    else
        nghttp2_session_consume(session, st->id, n);
    ag__h2_push(st->h2);
    return (ssize_t)n;
}

static void say_continue(ag_http_request *req, ag__http_stream *st) {
    static const nghttp2_nv nv = {(uint8_t *)(uintptr_t) ":status", (uint8_t *)(uintptr_t) "100", 7,
                                  3, NGHTTP2_NV_FLAG_NONE};
    bool due = req->must_continue && !st->out_begun && !st->closed;
    req->must_continue = false;
    if (!due)
        return;
    nghttp2_submit_headers(st->h2->session, NGHTTP2_FLAG_NONE, st->id, NULL, &nv, 1, NULL);
    ag__h2_push(st->h2);
}

static ssize_t read_locked(ag_http_request *req, ag__http_stream *st, char *buf, size_t n) {
    for (;;) {
        if (ag__http_bytes_left(&st->body) > 0)
            return take(st, buf, n);
        if (st->in_ended)
            return 0;
        if (st->closed)
            return st->h2->broken == -ECANCELED ? -ECANCELED : -ECONNRESET;
        say_continue(req, st);
        int r = ag__h2_stream_wait(st, ag__http_body_deadline(req), false);
        if (r != 0 && !st->closed)
            return r;
    }
}

bool ag__h2_stream_trailer(ag__http_stream *st, ag__http_text name, ag__http_text value) {
    size_t n = name.n + value.n + 4;
    if (n > TRAILERS_MAX - st->trailers_n)
        return false;
    char *to = realloc(st->trailers, st->trailers_n + n);
    if (!to)
        return false;
    st->trailers = to;
    to += st->trailers_n;
    to = ag__http_put_text(ag__http_put_text(to, name), (ag__http_text){": ", 2});
    memcpy(ag__http_put_text(to, value), "\r\n", 2);
    st->trailers_n += (uint32_t)n;
    return true;
}

/* Out of memory: there are none. */
static void take_trailers(ag_http_request *req, ag__http_stream *st) {
    char *copy = ag__http_arena(req->w, st->trailers_n);
    if (!copy)
        return;
    memcpy(copy, st->trailers, st->trailers_n);
    req->trailers = copy;
    req->trailers_n = st->trailers_n;
    free(st->trailers);
    st->trailers = NULL;
}

ssize_t ag__h2_body_read(ag_http_request *req, char *buf, size_t n) {
    ag__http_work *w = req->w;
    ag__http_stream *st = &w->stream;
    if (w->head.content_length > req->body_max)
        return ag__http_body_fail(req, -EMSGSIZE);
    if (!req->chunked && (int64_t)n > req->left)
        n = (size_t)req->left;
    ag__h2_lock(st->h2);
    ssize_t got = read_locked(req, st, buf, n);
    bool ended = st->in_ended && ag__http_bytes_left(&st->body) == 0;
    if (ended && st->trailers)
        take_trailers(req, st);
    ag__h2_unlock(st->h2);
    if (got == -ETIMEDOUT)
        ag__http_count(&w->counters.timed_out, 1);
    if (got < 0)
        return ag__http_body_fail(req, (int)got);
    req->must_continue = false;
    if (got > req->body_max - req->body_bytes)
        return ag__http_body_fail(req, -EMSGSIZE);
    if (!req->chunked)
        req->left -= got;
    req->body_done = ended || got == 0 || (!req->chunked && req->left == 0);
    return got;
}
