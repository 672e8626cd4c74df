/* SPDX-License-Identifier: MIT */
/*
 * A connection of HTTP/2, as a client: its reader, its writer, its end. client_h2.h has the
 * protocol.
 *
 * The writer is started lazily, behind the goroutines that are queued, so the requests of many go
 * out in one write. It has one buffer in its hands while the next one fills.
 *
 * A request that is given up counts among those that the server takes at a time until it has
 * noticed that: a PING goes out behind the reset, and its place is free when that is answered. One
 * PING at a time; and none, unless for the next reason, before something of use has come since the
 * last one, for there are servers that count them.
 *
 * A server that has gone without a word is noticed by who waits for it: when nothing at all has
 * come since the request that is given up was begun, who wants the connection next looks whether
 * anything has come since that PING. A timer for idle connections is not needed: the pool does not
 * keep them for long.
 *
 * Refused: a reader that stays while there are streams (a parked goroutine each, and a wish can't
 * be taken back when it is to be one); reading by the reply itself (the same, and it would have to
 * find a successor when its answer has come).
 */
#include "http/client_h2.h"

#include <aglet/run.h>
#include <errno.h>
#include <stdlib.h>

bool ag__client_has_h2(void) {
    return true;
}

/* ---- Lock and references -------------------------------------------------------------------- */

static bool has_to_write(const ag__client_h2 *h2) {
    return h2->writing || !ag__h2_out_is_empty(&h2->out);
}

void ag__ch2_lock(ag__client_h2 *h2) {
    ag_mutex_lock(&h2->lock);
}

void ag__ch2_unlock(ag__client_h2 *h2) {
    if (!has_to_write(h2)) {
        bool said = h2->mute || !nghttp2_session_want_write(h2->session);
        if (h2->over && !h2->broken && said)
            ag__ch2_lose(h2, -ECONNRESET);
        if (!h2->streams)
            ag__h2_out_free(&h2->out);
    }
    ag_mutex_unlock(&h2->lock);
}

static void free_h2(ag__client_h2 *h2) {
    ag_http_client *client = h2->client;
    bool awaited = h2->link->awaited;
    nghttp2_session_del(h2->session);
    ag__h2_out_free(&h2->out);
    ag_unref(h2->link->c);
    free(h2->link);
    free(h2);
    ag__client_unref(client);
    if (awaited) /* then the owner still has its reference */
        ag_wg_done(&client->ending);
}

void ag__client_h2_unref(ag__client_h2 *h2) {
    if (atomic_fetch_sub_explicit(&h2->refs, 1, memory_order_acq_rel) == 1)
        free_h2(h2);
}

/* ---- Ends ----------------------------------------------------------------------------------- */

static void end_streams(ag__client_h2 *h2) {
    for (ag__client_stream *st = h2->streams; st; st = st->next)
        if (!st->closed) {
            st->is_lost = !st->error;
            ag__ch2_stream_closed(st, NGHTTP2_NO_ERROR);
        }
}

void ag__ch2_lose(ag__client_h2 *h2, int error) {
    if (h2->broken)
        return;
    h2->broken = error;
    h2->over = true;
    ag__h2_out_drop(&h2->out);
    end_streams(h2);
    ag__client_retire(h2->client, h2->link);
    ag_conn_close(h2->link->c);
}

void ag__ch2_end_with(ag__client_h2 *h2, uint32_t error, const char *why) {
    if (h2->over)
        return;
    h2->over = true;
    h2->why = why;
    nghttp2_session_terminate_session(h2->session, error);
    for (ag__client_stream *st = h2->streams; st; st = st->next)
        if (!st->closed && !st->in_ended)
            st->error = -EPROTO;
    ag__client_retire(h2->client, h2->link);
}

void ag__ch2_ping(ag__client_h2 *h2, bool silent) {
    if (h2->over)
        return;
    if (!h2->held) {
        ag_time now = ag_now();
        if (h2->is_quiet && !(silent && now - h2->pinged_at > AG__CH2_PING_PAUSE))
            return;
        h2->pinged_at = now;
        nghttp2_submit_ping(h2->session, NGHTTP2_FLAG_NONE, NULL);
    }
    h2->held++;
    ag__client_hold(h2->client, h2->link, 1);
    if (silent && !h2->silent_at)
        h2->silent_at = h2->pinged_at;
}

void ag__ch2_pong(ag__client_h2 *h2) {
    ag__client_hold(h2->client, h2->link, -h2->held);
    h2->is_quiet = h2->held > 0;
    h2->held = 0;
}

bool ag__client_h2_is_alive(ag__client_h2 *h2, bool was_idle) {
    bool gone = was_idle && ag_conn_peer_is_gone(h2->link->c);
    ag__ch2_lock(h2);
    if (gone || (h2->silent_at && ag_now() - h2->silent_at > AG__CH2_PONG))
        ag__ch2_lose(h2, -ECONNRESET);
    bool alive = !h2->over;
    ag__ch2_unlock(h2);
    return alive;
}

/* ---- Writing -------------------------------------------------------------------------------- */

static void frame(ag__client_h2 *h2) {
    if (!h2->broken && !h2->mute && ag__h2_out_fill(&h2->out, h2->session) != 0)
        ag__ch2_lose(h2, -ENOMEM);
}

/* The peer has gone, so the reader comes to the end by itself, behind what has come. */
static void fall_mute(ag__client_h2 *h2) {
    h2->mute = true;
    ag__h2_out_drop(&h2->out);
    ag__client_retire(h2->client, h2->link);
}

/* One buffer. Returns: false if there is nothing to write. */
static bool write_some(ag__client_h2 *h2) {
    ag_conn *c = h2->link->c;
    uint32_t n;
    char *buf = h2->broken ? NULL : ag__h2_out_take(&h2->out, &n);
    if (!buf)
        return false;
    ag_mutex_unlock(&h2->lock);
    ag_set_write_deadline(c, ag_now() + h2->client->opt.quiet_ns);
    ssize_t r = ag_write(c, buf, n);
    ag_mutex_lock(&h2->lock);
    ag__h2_out_give_back(&h2->out, buf);
    if (r < 0 && ag_conn_peer_is_gone(c))
        fall_mute(h2);
    else if (r < 0)
        ag__ch2_lose(h2, (int)r);
    frame(h2);
    return true;
}

static void write_all(ag__client_h2 *h2) {
    ag__ch2_lock(h2);
    while (write_some(h2))
        continue;
    h2->writing = false;
    ag__ch2_unlock(h2);
    ag__client_h2_unref(h2);
}

/* In nobody's context. Returns: as ag_go. */
static int64_t start_writer(ag__client_h2 *h2) {
    static const ag_go_opts behind_others = {.lazy = true};
    ag_ctx_enter(NULL);
    return ag_go_with(&behind_others, write_all, h2);
}

void ag__ch2_push(ag__client_h2 *h2) {
    frame(h2);
    if (!h2->out.n || h2->writing || h2->broken)
        return;
    h2->writing = true;
    atomic_fetch_add_explicit(&h2->refs, 1, memory_order_relaxed);
    if (start_writer(h2) >= 0)
        return;
    h2->writing = false;
    atomic_fetch_sub_explicit(&h2->refs, 1, memory_order_relaxed); /* the caller has one, too */
    ag__ch2_lose(h2, -ENOMEM);
}

/* ---- Reading -------------------------------------------------------------------------------- */

static void feed(ag__client_h2 *h2, const char *bytes, size_t n) {
    const ag_http_client_options *o = &h2->client->opt;
    h2->now = ag_now();
    h2->fed++;
    h2->silent_at = 0;
    if (h2->over)
        return;
    h2->in_vain += n;
    ag__ch2_refill(h2);
    ssize_t r = nghttp2_session_mem_recv(h2->session, (const uint8_t *)bytes, n);
    uint64_t in_vain_max = AG__CH2_IN_VAIN + 2 * (uint64_t)o->head_max + h2->unwanted;
    if (r == NGHTTP2_ERR_FLOODED || h2->in_vain > in_vain_max ||
        nghttp2_session_get_outbound_queue_size(h2->session) > AG__CH2_QUEUE + AG__CH2_STREAMS)
        ag__ch2_end_with(h2, NGHTTP2_ENHANCE_YOUR_CALM, "the server sends too much for nothing");
    else if (r < 0)
        ag__ch2_end_with(h2, NGHTTP2_INTERNAL_ERROR,
                         r == NGHTTP2_ERR_NOMEM ? "out of memory"
                                                : "the server does not speak HTTP/2");
    ag__ch2_push(h2);
    if (h2->over || nghttp2_session_want_read(h2->session))
        return;
    /* nghttp2 has ended it for an error of the server's, or the server has, and nothing is left. */
    ag__ch2_end_with(h2, NGHTTP2_PROTOCOL_ERROR, "the server's HTTP/2 is malformed");
}

static void read_all(ag__client_h2 *h2);

/* In nobody's context. Returns: as ag_conn_when_readable. */
static int wish(ag__client_h2 *h2) {
    ag_ctx_enter(NULL);
    return ag_conn_when_readable(h2->link->c, read_all, h2);
}

static void read_all(ag__client_h2 *h2) {
    ag_pool *buffers = &h2->client->h2_buffers;
    char *buf = ag_pool_get(buffers);
    buf = buf ? buf : malloc(AG__CH2_IN);
    ssize_t n = buf ? AG__CH2_IN : -ENOMEM;
    while (n == AG__CH2_IN) {
        n = ag_try_read(h2->link->c, buf, AG__CH2_IN);
        if (n <= 0)
            break;
        ag__ch2_lock(h2);
        feed(h2, buf, (size_t)n);
        if (h2->over)
            end_streams(h2);
        ag__ch2_unlock(h2);
        if (n == AG__CH2_IN)
            ag_yield(); /* who sends without end must not keep the processor */
    }
    ag_pool_put(buffers, buf);
    if (n == -EAGAIN || n > 0)
        n = wish(h2);
    else if (n == 0)
        n = -ECONNRESET;
    if (n == 0)
        return;
    ag__ch2_lock(h2);
    ag__ch2_lose(h2, (int)n);
    ag__ch2_unlock(h2);
    ag__client_h2_unref(h2);
}

/* ---- Beginning ------------------------------------------------------------------------------ */

ag__client_h2 *ag__client_h2_new(ag_http_client *client, ag__client_link *link) {
    ag__client_h2 *h2 = calloc(1, sizeof *h2);
    if (!h2)
        return NULL;
    h2->link = link;
    h2->client = client;
    h2->refs = 2; /* the pool's and the reader's */
    h2->refilled_at = ag_now();
    h2->chatter = AG__CH2_CHATTER;
    if (!ag__ch2_session_new(h2)) {
        nghttp2_session_del(h2->session);
        free(h2);
        return NULL;
    }
    atomic_fetch_add_explicit(&client->refs, 1, memory_order_relaxed);
    return h2;
}

void ag__client_h2_start(ag__client_h2 *h2) {
    ag__ch2_lock(h2);
    ag__ch2_push(h2);
    ag__ch2_unlock(h2);
    int r = wish(h2);
    if (r == 0)
        return;
    ag__ch2_lock(h2);
    ag__ch2_lose(h2, r);
    ag__ch2_unlock(h2);
    ag__client_h2_unref(h2);
}
