/* SPDX-License-Identifier: MIT */
/*
 * A connection of HTTP/2: its reader, its writer, its end. h2.h has the protocol.
 *
 * Who runs handlers writes after the last one, so the answers to requests that came together go out
 * in one write; what comes later is written by a goroutine that is started for that. Either has one
 * buffer in its hands while the next one fills.
 *
 * A connection is idle, WAITING in the words of server.h, while no handler runs; the time since
 * then counts, whatever frames come. Only a head that has come in part is waited for otherwise: by
 * the reader itself, for head_ns, as in HTTP/1.
 *
 * Refused: a writer that stays (memory of an idle connection); writing in the handlers (each would
 * write by itself, and wait for a client that is slow for another stream); a goroutine for each
 * handler (a quarter of the instructions of a request).
 */
#include "http/h2.h"

#include <aglet/ctx.h>
#include <aglet/run.h>
#include <errno.h>
#include <stdlib.h>

/* ---- Lock and references -------------------------------------------------------------------- */

static bool is_due_to_linger(const ag__http_h2 *h2) {
    bool done = h2->over || (h2->closing && !h2->handlers);
    return done && !h2->broken && !h2->lingering && !h2->writing && ag__h2_out_is_empty(&h2->out) &&
           !nghttp2_session_want_write(h2->session);
}

/* The connection may be ended by others while nobody is served. */
static void settle(ag__http_h2 *h2) {
    bool waits = !h2->reading && (h2->lingering || !h2->handlers);
    uint8_t running = AG__CONN_RUNNING;
    if (waits)
        atomic_compare_exchange_strong(&h2->hc->state, &running, AG__CONN_WAITING);
    if (waits && !h2->writing && !h2->out.n)
        ag__h2_out_free(&h2->out);
}

void ag__h2_lock(ag__http_h2 *h2) {
    ag_mutex_lock(&h2->lock);
}

void ag__h2_unlock(ag__http_h2 *h2) {
    if (!is_due_to_linger(h2)) {
        settle(h2);
        ag_mutex_unlock(&h2->lock);
        return;
    }
    h2->lingering = true;
    ag_mutex_unlock(&h2->lock);
    ag__http_conn_linger(h2->hc);
    ag_mutex_lock(&h2->lock);
    settle(h2);
    ag_mutex_unlock(&h2->lock);
}

static void free_h2(ag__http_h2 *h2) {
    ag__http_conn *hc = h2->hc;
    ag_http_server *s = hc->s;
    while (h2->streams) {
        h2->streams->closed = true;
        ag__h2_stream_drop(h2->streams);
    }
    nghttp2_session_del(h2->session);
    ag__h2_out_free(&h2->out);
    ag_unref(h2->spare_ctx);
    ag_mutex_lock(&s->lock);
    hc->h2 = NULL;
    s->h2_open--;
    ag_mutex_unlock(&s->lock);
    free(h2);
    ag__http_conn_free(hc);
}

void ag__h2_unref(ag__http_h2 *h2) {
    if (atomic_fetch_sub_explicit(&h2->refs, 1, memory_order_acq_rel) == 1)
        free_h2(h2);
}

/* Of one that may be about to be freed; with s->lock, under which it is found. */
static bool ref_if_alive(ag__http_h2 *h2) {
    uint32_t n = atomic_load_explicit(&h2->refs, AG__RELAXED);
    while (n > 0)
        if (atomic_compare_exchange_weak_explicit(&h2->refs, &n, n + 1, memory_order_acquire,
                                                  AG__RELAXED))
            return true;
    return false;
}

/* ---- Ends ----------------------------------------------------------------------------------- */

static void tell_all(ag__http_h2 *h2) {
    for (ag__http_stream *st = h2->streams; st; st = st->next)
        if (st->runs && !st->closed)
            ag__h2_stream_closed(st, true);
}

/* The socket is of no use any more. */
static void lose(ag__http_h2 *h2, int error) {
    if (h2->broken)
        return;
    h2->broken = error;
    h2->over = true;
    ag__h2_out_drop(&h2->out);
    tell_all(h2);
    ag_conn_close(h2->hc->c);
}

void ag__h2_end_with(ag__http_h2 *h2, uint32_t error) {
    if (h2->over)
        return;
    h2->over = true;
    atomic_fetch_add_explicit(&h2->hc->s->h2_ended, 1, AG__RELAXED);
    nghttp2_session_terminate_session(h2->session, error);
}

void ag__h2_close(ag__http_h2 *h2) {
    if (h2->closing || h2->over)
        return;
    h2->closing = true;
    nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE,
                          nghttp2_session_get_last_proc_stream_id(h2->session), NGHTTP2_NO_ERROR,
                          NULL, 0);
}

static void goodbye(ag__http_h2 *h2) {
    ag__h2_lock(h2);
    ag__h2_close(h2);
    ag__h2_push(h2);
    ag__h2_unlock(h2);
    ag__h2_unref(h2);
}

static void notice(ag__http_h2 *h2) {
    ag__h2_lock(h2);
    if (!h2->closing && !h2->over)
        nghttp2_submit_shutdown_notice(h2->session);
    ag__h2_push(h2);
    ag__h2_unlock(h2);
    ag__h2_unref(h2);
}

bool ag__http_h2_goodbye(ag__http_conn *hc) {
    if (!ref_if_alive(hc->h2))
        return true;
    bool ok = ag_go(goodbye, hc->h2) >= 0;
    if (!ok) /* never the last one: s->lock is held */
        atomic_fetch_sub_explicit(&hc->h2->refs, 1, AG__RELAXED);
    return ok;
}

bool ag__http_h2_notice(ag__http_conn *hc) {
    if (!ref_if_alive(hc->h2))
        return true;
    bool ok = ag_go(notice, hc->h2) >= 0;
    if (!ok)
        atomic_fetch_sub_explicit(&hc->h2->refs, 1, AG__RELAXED);
    return ok;
}

/* ---- Writing -------------------------------------------------------------------------------- */

static void frame(ag__http_h2 *h2) {
    if (!h2->broken && ag__h2_out_fill(&h2->out, h2->session) != 0)
        lose(h2, -ENOMEM);
}

/* As in HTTP/1: it comes up to a second too late, and is set once in that time. */
static void set_deadline(ag__http_conn *hc) {
    ag_time limit = hc->s->opt.write_ns, slack = limit < 4 * AG_SEC ? limit / 4 : AG_SEC;
    ag_time now = ag_now();
    if (now - hc->write_set < slack)
        return;
    ag_set_write_deadline(hc->c, now + limit + slack);
    hc->write_set = now;
}

/* One buffer. Returns: false if there is nothing to write. */
static bool write_some(ag__http_h2 *h2) {
    uint32_t n;
    char *buf = h2->broken ? NULL : ag__h2_out_take(&h2->out, &n);
    if (!buf)
        return false;
    ag_mutex_unlock(&h2->lock);
    set_deadline(h2->hc);
    ssize_t r = ag_write(h2->hc->c, buf, n);
    ag_mutex_lock(&h2->lock);
    ag__h2_out_give_back(&h2->out, buf);
    if (r < 0)
        lose(h2, (int)r);
    if (h2->out.full)
        frame(h2);
    return true;
}

void ag__h2_write_here(ag__http_h2 *h2) {
    if (h2->writing || !h2->out.n)
        return;
    h2->writing = true;
    while (write_some(h2))
        continue;
    h2->writing = false;
}

/* Outside of the context of the request that has started it: what ends that must not end a write in
   the middle of a frame. */
static void write_all(ag__http_h2 *h2) {
    ag_ctx_enter(NULL);
    ag_yield(); /* handlers that wait no more go on together: their answers go with this one's */
    ag__h2_lock(h2);
    while (write_some(h2))
        continue;
    h2->writing = false;
    ag__h2_unlock(h2);
    ag__h2_unref(h2);
}

void ag__h2_push(ag__http_h2 *h2) {
    static const ag_go_opts behind_others = {.lazy = true};
    frame(h2);
    if (!h2->out.n || h2->writing || h2->helped || h2->broken)
        return;
    h2->writing = true;
    atomic_fetch_add_explicit(&h2->refs, 1, AG__RELAXED);
    if (ag_go_with(&behind_others, write_all, h2) >= 0)
        return;
    h2->writing = false;
    atomic_fetch_sub_explicit(&h2->refs, 1, AG__RELAXED); /* the caller has one, too */
    lose(h2, -ENOMEM);
}

/* ---- Reading -------------------------------------------------------------------------------- */

static uint32_t error_for(ssize_t failure) {
    return failure == NGHTTP2_ERR_FLOODED            ? NGHTTP2_ENHANCE_YOUR_CALM
           : failure == NGHTTP2_ERR_BAD_CLIENT_MAGIC ? NGHTTP2_PROTOCOL_ERROR
                                                     : NGHTTP2_INTERNAL_ERROR;
}

static void feed(ag__http_h2 *h2, const char *bytes, size_t n) {
    if (h2->over) {
        h2->hc->lingered += (uint32_t)n;
        if (h2->hc->lingered >= AG__LINGER_BYTES)
            lose(h2, -ECONNRESET);
        return;
    }
    h2->now = ag_now();
    h2->in_vain += n;
    ag__h2_refill(h2);
    ssize_t r = nghttp2_session_mem_recv(h2->session, (const uint8_t *)bytes, n);
    if (r < 0)
        ag__h2_end_with(h2, error_for(r));
    else if (nghttp2_session_get_outbound_queue_size(h2->session) > AG__H2_QUEUE ||
             h2->in_vain > AG__H2_IN_VAIN + 2 * (uint64_t)h2->hc->s->opt.head_max)
        ag__h2_end_with(h2, NGHTTP2_ENHANCE_YOUR_CALM);
    ag__h2_get_help(h2);
    if (nghttp2_session_want_write(h2->session))
        ag__h2_push(h2);
    if (!nghttp2_session_want_read(h2->session))
        h2->over = true;
    if (h2->over)
        tell_all(h2);
}

/* What comes next without a wish. Lets go of the lock meanwhile. Returns: as ag_try_read. */
static ssize_t read_on(ag__http_h2 *h2, ag__http_work *w, bool was_full) {
    ag_conn *c = h2->hc->c;
    bool in_part = h2->head_began && !h2->over;
    ag_time deadline = h2->head_began + w->s->opt.head_ns;
    if (!in_part && !was_full)
        return -EAGAIN;
    ag__h2_unlock(h2);
    ag_yield(); /* who sends without end must not keep the processor */
    ssize_t n;
    if (in_part) {
        ag_set_read_deadline(c, deadline);
        n = ag_read(c, w->in, w->in_size);
        ag_set_read_deadline(c, 0);
    } else {
        n = ag_try_read(c, w->in, w->in_size);
    }
    ag__h2_lock(h2);
    if (n == -ETIMEDOUT) {
        ag__http_count(&w->counters.timed_out, 1);
        ag__h2_end_with(h2, NGHTTP2_ENHANCE_YOUR_CALM);
        tell_all(h2);
        ag__h2_push(h2);
        return -EAGAIN;
    }
    return n;
}

/* The work is given back, and the next wish made. */
static void stop_reading(ag__http_h2 *h2, ag__http_work *w) {
    bool lost = h2->broken;
    h2->reading = false;
    ag__h2_unlock(h2);
    ag__http_work_put(w);
    int r = lost ? -ECANCELED : ag__http_conn_wish(h2->hc);
    if (r == 0)
        return;
    ag__h2_lock(h2);
    lose(h2, r);
    ag__h2_unlock(h2);
    ag__h2_unref(h2);
}

/* With the lock. */
static void read_all(ag__http_h2 *h2, ag__http_work *w, ssize_t n) {
    h2->reading = true;
    while (n > 0 && !h2->broken) {
        bool full = n == (ssize_t)w->in_size;
        feed(h2, w->in, (size_t)n);
        n = read_on(h2, w, full);
    }
    if (n != -EAGAIN)
        lose(h2, n < 0 ? (int)n : -ECONNRESET);
}

/* With the lock, which it gives back. */
static void read_and_run(ag__http_h2 *h2, ag__http_work *w, ssize_t n) {
    read_all(h2, w, n);
    bool runs = h2->ready != NULL;
    if (runs)
        atomic_fetch_add_explicit(&h2->refs, 1, AG__RELAXED);
    stop_reading(h2, w);
    if (!runs)
        return;
    ag__h2_lock(h2);
    ag__h2_run_ready(h2);
}

void ag__http_h2_read(ag__http_conn *hc, ag__http_work *w, ssize_t n) {
    ag__http_h2 *h2 = hc->h2;
    uint8_t waiting = AG__CONN_WAITING;
    atomic_store_explicit(&w->busy, false, AG__RELAXED); /* counted by connections */
    ag__h2_lock(h2);
    if (n != -EAGAIN && !atomic_compare_exchange_strong(&hc->state, &waiting, AG__CONN_RUNNING) &&
        waiting == AG__CONN_ENDING)
        n = -ECANCELED;
    read_and_run(h2, w, n);
}

/* ---- Beginning ------------------------------------------------------------------------------ */

static const char preface[] = NGHTTP2_CLIENT_MAGIC;

bool ag__http_h2_is_preface(const char *bytes, size_t n) {
    enum { ENOUGH = 4 }; /* "PRI ": no method of HTTP/1 */
    size_t all = sizeof preface - 1;
    return n >= ENOUGH && memcmp(bytes, preface, n < all ? n : all) == 0;
}

static ag__http_h2 *make(ag__http_conn *hc) {
    ag__http_h2 *h2 = calloc(1, sizeof *h2);
    if (!h2)
        return NULL;
    h2->hc = hc;
    h2->refs = 1;
    h2->refilled_at = ag_now();
    h2->resets = AG__H2_RESETS;
    h2->chatter = AG__H2_CHATTER;
    if (ag__h2_session_new(h2))
        return h2;
    nghttp2_session_del(h2->session);
    free(h2);
    return NULL;
}

void ag__http_h2_begin(ag__http_work *w) {
    ag__http_conn *hc = w->hc;
    ag_http_server *s = w->s;
    ag__http_h2 *h2 = make(hc);
    if (!h2) {
        ag__http_work_put(w);
        ag__http_conn_free(hc);
        return;
    }
    ag_mutex_lock(&s->lock);
    hc->h2 = h2;
    s->h2_open++;
    s->h2_accepted++;
    ag_mutex_unlock(&s->lock);
    atomic_store_explicit(&w->busy, false, AG__RELAXED);
    w->at = 0;
    ag__h2_lock(h2);
    read_all(h2, w, w->in_n);
    stop_reading(h2, w); /* its handlers run elsewhere: this is a deferred call */
}
