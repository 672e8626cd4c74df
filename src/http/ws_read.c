/* SPDX-License-Identifier: MIT */
/*
 * Reading: frames, and the messages that they carry.
 *
 *     socket --fill--> in: heads, control frames, small messages --in place--> the caller
 *        |              |
 *        +--large-------+--> msg, or the caller's buffer
 *
 * The buffer `in` is borrowed from a pool while somebody reads, so an idle WebSocket that is wished
 * for has none. A message of one frame that fits is handed out where it lies: unmasked in place,
 * the byte behind it kept aside for the NUL. What is large goes from the socket to where it
 * belongs.
 *
 * Every wait may be ended by a deadline or a context, so all state is kept between two calls: a
 * head is taken when it is whole, payload as it comes.
 *
 * A length is believed up to 64 KiB; beyond that memory grows with what has come.
 */
#include "http/ws.h"

#include <aglet/defer.h>
#include <aglet/run.h>
#include <errno.h>
#include <stdlib.h>

enum {
    SHUT_OUR_SIDE = 1,       /* SHUT_WR of shutdown(2) */
    BELIEVED = 64 * 1024,    /* bytes of a promised length */
    AFTER_CLOSE = 64 * 1024, /* bytes that a client drops while the server ends the connection */
};

static void *new_buffer(void) {
    return malloc(AG__WS_IN + 1);
}

static ag_pool buffers = AG_POOL_INIT(new_buffer, free);

static void free_message(ag_ws *ws) {
    free(ws->msg);
    ws->msg = NULL;
    ws->msg_size = 0;
}

/* What was given out is not used any more. */
static void take_back(ag_ws *ws) {
    if (ws->ended_at)
        ws->in[ws->ended_at] = ws->under_nul;
    ws->ended_at = 0;
    if (!ws->type) {
        ws->msg_n = 0;
        if (ws->msg_size > AG__WS_MESSAGE)
            free_message(ws);
    }
}

bool ag__ws_borrow(ag_ws *ws, size_t n) {
    ws->in_size = n > AG__WS_IN ? (uint32_t)n : AG__WS_IN;
    ws->in = n > AG__WS_IN ? malloc(n + 1) : ag_pool_get(&buffers);
    ws->in_at = ws->in_n = 0;
    return ws->in != NULL;
}

void ag__ws_release(ag_ws *ws) {
    take_back(ws);
    if (!ws->type)
        free_message(ws);
    if (!ws->in || ws->in_at < ws->in_n)
        return;
    if (ws->in_size == AG__WS_IN)
        ag_pool_put(&buffers, ws->in);
    else
        free(ws->in);
    ws->in = NULL;
    ws->in_at = ws->in_n = 0;
}

/* ---- Failing -------------------------------------------------------------------------------- */

/* Tells the peer what it did wrong. Returns: the error with which the WebSocket has ended. */
static int fail(ag_ws *ws, int code, int error) {
    ag__ws_send_close(ws, code, NULL, 0);
    ag_conn_shutdown(ws->c, SHUT_OUR_SIDE);
    ws->in_at = ws->in_n = 0;
    return ag__ws_end(ws, error);
}

/* A read that gave `n` <= 0. Returns: the error; the WebSocket goes on if only the wait has ended.
 */
static int read_failed(ag_ws *ws, ssize_t n) {
    ag_time close_at = atomic_load(&ws->close_at);
    if (ag__ws_has_ended(ws))
        return ws->error;
    if (n == 0)
        return ag__ws_cut(ws, -ECONNRESET);
    bool late = close_at && ag_now() >= close_at;
    if ((n == -ETIMEDOUT || n == -ECANCELED) && ag_conn_fd(ws->c) >= 0 && !late)
        return (int)n;
    return ag__ws_cut(ws, late ? -ETIMEDOUT : (int)n);
}

/* ---- Bytes ---------------------------------------------------------------------------------- */

static ssize_t receive(ag_ws *ws, uint8_t *buf, size_t n, bool waits) {
    ssize_t got;
    if (waits) {
        atomic_store(&ws->listens, true);
        got = ag_read(ws->c, buf, n);
        atomic_store(&ws->listens, false);
    } else {
        got = ag_try_read(ws->c, buf, n);
    }
    if (got > 0)
        atomic_store_explicit(&ws->heard, ag_now(), memory_order_relaxed);
    return got > 0 || got == -EAGAIN ? got : read_failed(ws, got);
}

/* At least one byte more behind in[in_n). Returns: 1, or the error; -EAGAIN. */
static int fill(ag_ws *ws, bool waits) {
    if (!ws->in && !ag__ws_borrow(ws, 0))
        return fail(ws, AG_WS_INTERNAL, -ENOMEM);
    if (ws->in_at == ws->in_n || ws->in_n == ws->in_size) {
        memmove(ws->in, ws->in + ws->in_at, ws->in_n - ws->in_at);
        ws->in_n -= ws->in_at;
        ws->in_at = 0;
    }
    ssize_t n = receive(ws, ws->in + ws->in_n, ws->in_size - ws->in_n, waits);
    if (n <= 0)
        return (int)n;
    ws->in_n += (uint32_t)n;
    return 1;
}

/* At least n bytes, n <= in_size. Returns: as fill. */
static int need(ag_ws *ws, size_t n, bool waits) {
    if (ws->in && ws->in_at + n > ws->in_size) {
        memmove(ws->in, ws->in + ws->in_at, ws->in_n - ws->in_at);
        ws->in_n -= ws->in_at;
        ws->in_at = 0;
    }
    while (ws->in_n - ws->in_at < n) {
        int r = fill(ws, waits);
        if (r <= 0)
            return r;
    }
    return 1;
}

/* ---- Control frames ------------------------------------------------------------------------- */

/* It is the server that ends the connection (RFC 6455 7.1.1). */
static void await_end(ag_ws *ws) {
    uint8_t dropped[512];
    size_t all = 0;
    ag_set_read_deadline(ws->c, ag_now() + ws->close_ns);
    while (all < AFTER_CLOSE) {
        ssize_t n = ag_read(ws->c, dropped, sizeof dropped);
        if (n <= 0)
            break;
        all += (size_t)n;
    }
    ag_conn_close(ws->c);
}

static int peer_closes(ag_ws *ws, const uint8_t *p, size_t n) {
    ag__utf8 text = {0, 0, 0};
    unsigned code = n >= 2 ? (unsigned)p[0] << 8 | p[1] : AG_WS_NO_CODE;
    if (n == 1 || (n >= 2 && !ag__ws_is_code(code)))
        return fail(ws, AG_WS_PROTOCOL_ERROR, -EPROTO);
    if (n > 2 && (!ag__utf8_check(&text, p + 2, n - 2) || text.left))
        return fail(ws, AG_WS_BAD_TEXT, -EILSEQ);
    ag_mutex_lock(&ws->lock);
    if (!ws->peer_code) {
        ws->peer_code = (int)code;
        ws->peer_reason = n > 2 ? strndup((const char *)p + 2, n - 2) : NULL;
    }
    ag_mutex_unlock(&ws->lock);
    ag__ws_send_close(ws, n >= 2 ? (int)code : 0, NULL, 0);
    if (ws->client)
        await_end(ws);
    else
        ag_conn_shutdown(ws->c, SHUT_OUR_SIDE);
    return ag__ws_end(ws, 0);
}

/* Returns: 1 to go on; 0 after the closing handshake; or the error. */
static int control(ag_ws *ws, const ag__ws_head *h, uint8_t *p) {
    size_t n = (size_t)h->length;
    if (h->masked)
        ag__ws_mask(p, n, h->key, 0);
    if (h->opcode == AG__WS_CLOSE)
        return peer_closes(ws, p, n);
    if (h->opcode == AG__WS_PING)
        ag__ws_control(ws, AG__WS_PONG, p, n); /* -EPIPE: a Close is on its way instead */
    return ag__ws_has_ended(ws) ? ws->error : 1;
}

/* ---- Data frames ---------------------------------------------------------------------------- */

/* Returns: false when out of memory. */
static bool begin_frame(ag_ws *ws, const ag__ws_head *h) {
    if (h->opcode != AG__WS_CONTINUATION) {
        ws->inflater = h->deflated ? ag__ws_inflate_begin() : NULL;
        if (h->deflated && !ws->inflater)
            return false;
        ws->tail_n = 0;
        ws->inflated = false;
        ws->type = h->opcode;
        ws->fresh = true;
        ws->text = (ag__utf8){0, 0, 0};
        ws->msg_n = 0;
    }
    ws->fin = h->fin;
    ws->left = h->length;
    ws->taken = 0;
    ws->clear = 0;
    memcpy(ws->key, h->key, 4);
    return true;
}

int ag__ws_frame(ag_ws *ws, bool waits) {
    if (ag__ws_has_ended(ws))
        return ws->error;
    for (;;) {
        ag__ws_head h = {.length = 0};
        int r, n = 0;
        if (ws->in)
            n = ag__ws_head_parse(ws->in + ws->in_at, ws->in_n - ws->in_at, !ws->client,
                                  ws->deflates, &h);
        if (n < 0)
            return fail(ws, -n, -EPROTO);
        if (n == 0) {
            if ((r = fill(ws, waits)) <= 0)
                return r;
        } else if (h.opcode < AG__WS_CLOSE) {
            if ((h.opcode == AG__WS_CONTINUATION) != (ws->type != 0))
                return fail(ws, AG_WS_PROTOCOL_ERROR, -EPROTO);
            ws->in_at += (uint32_t)n;
            return begin_frame(ws, &h) ? 1 : fail(ws, AG_WS_INTERNAL, -ENOMEM);
        } else {
            if ((r = need(ws, (size_t)n + (size_t)h.length, waits)) <= 0)
                return r;
            uint8_t *p = ws->in + ws->in_at + n;
            ws->in_at += (uint32_t)n + (uint32_t)h.length;
            if ((r = control(ws, &h, p)) <= 0)
                return r;
        }
    }
}

/* n bytes of payload are at `p`. Returns: n, or the error. */
static ssize_t took(ag_ws *ws, uint8_t *p, size_t n) {
    if (!ws->client)
        ag__ws_mask(p, n, ws->key, ws->taken);
    ws->taken += n;
    ws->left -= n;
    if (ws->type == AG_WS_TEXT && !ag__utf8_check(&ws->text, p, n))
        return fail(ws, AG_WS_BAD_TEXT, -EILSEQ);
    return (ssize_t)n;
}

/* Whether pull may give something before the next frame is needed. */
static bool has_more(const ag_ws *ws) {
    return ws->left || (ws->inflater && ws->fin && !ws->inflated);
}

/* Bytes for the inflater: of the frame, or behind the last one the end that is not sent. Returns:
   as need. */
static int to_inflate(ag_ws *ws, const uint8_t **ret_p, size_t *ret_n) {
    static const uint8_t tail[] = {0, 0, 0xff, 0xff};
    if (!ws->left) {
        *ret_p = tail + ws->tail_n;
        *ret_n = sizeof tail - ws->tail_n;
        return 1;
    }
    int r = need(ws, 1, true);
    if (r <= 0)
        return r;
    uint32_t here = ws->in_n - ws->in_at;
    if (here > ws->left)
        here = (uint32_t)ws->left;
    uint8_t *p = ws->in + ws->in_at;
    if (!ws->client)
        ag__ws_mask(p + ws->clear, here - ws->clear, ws->key, ws->taken + ws->clear);
    ws->clear = here;
    *ret_p = p;
    *ret_n = here;
    return 1;
}

/* Returns: how many bytes came out, perhaps 0, or the error. */
static ssize_t pull_inflated(ag_ws *ws, uint8_t *dst, size_t n) {
    const uint8_t *p;
    size_t size, used;
    int r = to_inflate(ws, &p, &size);
    if (r <= 0)
        return r;
    ssize_t got = ag__ws_inflate(ws->inflater, p, size, &used, dst, n);
    if (got < 0)
        return fail(ws, AG_WS_PROTOCOL_ERROR, -EPROTO);
    if (ws->left) {
        ws->in_at += (uint32_t)used;
        ws->clear -= (uint32_t)used;
        ws->left -= used;
        ws->taken += used;
    } else {
        ws->tail_n += (uint8_t)used;
        ws->inflated = used == size && (size_t)got < n;
    }
    if (ws->type == AG_WS_TEXT && !ag__utf8_check(&ws->text, dst, (size_t)got))
        return fail(ws, AG_WS_BAD_TEXT, -EILSEQ);
    return got;
}

/* Up to n bytes of this frame. Returns: how many, 0 only of a compressed one, or the error. */
static ssize_t pull(ag_ws *ws, uint8_t *dst, size_t n) {
    if (ws->inflater)
        return pull_inflated(ws, dst, n);
    if (n > ws->left)
        n = (size_t)ws->left;
    if (ws->in_at == ws->in_n && n >= AG__WS_IN) {
        ssize_t got = receive(ws, dst, n, true);
        return got < 0 ? got : took(ws, dst, (size_t)got);
    }
    int r = need(ws, 1, true);
    if (r <= 0)
        return r;
    if (n > ws->in_n - ws->in_at)
        n = ws->in_n - ws->in_at;
    memcpy(dst, ws->in + ws->in_at, n);
    ws->in_at += (uint32_t)n;
    return took(ws, dst, n);
}

/* Nothing of the message is left. Returns: its type, or the error. */
static int finish(ag_ws *ws) {
    int type = ws->type;
    ws->type = 0;
    ws->streams = ws->fresh = false;
    ag__ws_inflate_end(ws->inflater);
    ws->inflater = NULL;
    if (type == AG_WS_TEXT && ws->text.left)
        return fail(ws, AG_WS_BAD_TEXT, -EILSEQ);
    return type;
}

/* Drops the message under way. Returns: 1, or as ag__ws_frame. */
static int skip(ag_ws *ws) {
    uint8_t dropped[512];
    ws->streams = true; /* what is interrupted here goes on here */
    while (ws->type) {
        int r = 1;
        bool more = has_more(ws);
        if (more)
            r = (int)pull(ws, dropped, sizeof dropped);
        else
            r = ws->fin ? finish(ws) : ag__ws_frame(ws, true);
        if (r < 0 || (r == 0 && !more))
            return r;
    }
    ws->streams = false;
    return 1;
}

int ag__ws_drain(ag_ws *ws) {
    int r = ag__ws_has_ended(ws) ? ws->error : 1;
    while (r > 0) {
        r = skip(ws);
        if (r > 0)
            r = ag__ws_frame(ws, true);
    }
    return r;
}

/* ---- Whole messages ------------------------------------------------------------------------- */

/* Room behind msg[msg_n). Of a compressed message one byte more than the limit, to see that it is
   too large. */
static bool grow(ag_ws *ws) {
    uint64_t want = ws->inflater ? (uint64_t)ws->message_max + 1 : ws->msg_n + ws->left;
    if (ws->msg_n < ws->msg_size)
        return true;
    uint64_t size = ws->msg_size * 2 > BELIEVED ? ws->msg_size * 2 : BELIEVED;
    if (size > want)
        size = want;
    uint8_t *msg = realloc(ws->msg, (size_t)size + 1);
    if (!msg)
        return false;
    ws->msg = msg;
    ws->msg_size = (size_t)size;
    return true;
}

/* Returns: 1, or the error. */
static int append(ag_ws *ws) {
    if (!ws->inflater && ws->left > (uint64_t)ws->message_max - ws->msg_n)
        return fail(ws, AG_WS_TOO_LARGE, -EMSGSIZE);
    if (!grow(ws))
        return fail(ws, AG_WS_INTERNAL, -ENOMEM);
    ssize_t n = pull(ws, ws->msg + ws->msg_n, ws->msg_size - ws->msg_n);
    if (n < 0)
        return (int)n;
    ws->msg_n += (size_t)n;
    return ws->msg_n > (uint64_t)ws->message_max ? fail(ws, AG_WS_TOO_LARGE, -EMSGSIZE) : 1;
}

/* Hands a message out where it lies in the buffer. Returns: as finish. */
static int in_place(ag_ws *ws, const char **ret_data, size_t *ret_n) {
    size_t n = (size_t)ws->left;
    int r = need(ws, n, true);
    if (r <= 0)
        return r;
    uint8_t *p = ws->in + ws->in_at;
    if (took(ws, p, n) < 0)
        return ws->error;
    ws->in_at += (uint32_t)n;
    ws->ended_at = ws->in_at;
    ws->under_nul = p[n];
    p[n] = 0;
    *ret_data = (const char *)p;
    *ret_n = n;
    return finish(ws);
}

static int whole(ag_ws *ws, const char **ret_data, size_t *ret_n) {
    int r = ws->streams ? skip(ws) : 1;
    while (r > 0) {
        ws->fresh = false;
        if (!ws->type || (!has_more(ws) && !ws->fin)) {
            r = ag__ws_frame(ws, true);
        } else if (has_more(ws)) {
            bool fits = ws->in && ws->fin && !ws->msg_n && !ws->taken && !ws->inflater &&
                        ws->left <= ws->in_size && ws->left <= (uint64_t)ws->message_max;
            if (fits)
                return in_place(ws, ret_data, ret_n);
            r = append(ws);
        } else {
            if (ws->msg_n)
                ws->msg[ws->msg_n] = 0;
            *ret_data = ws->msg_n ? (const char *)ws->msg : "";
            *ret_n = ws->msg_n;
            return finish(ws);
        }
    }
    return r;
}

/* ---- For users ------------------------------------------------------------------------------ */

/* Waits for the turn; what the call before has given out goes. */
static int begin(ag_ws *ws) {
    int r = ag_sem_acquire(&ws->reading, 1);
    if (r == 0)
        take_back(ws);
    return r;
}

int ag_ws_read(ag_ws *ws, const char **ret_data, size_t *ret_n) {
    size_t n;
    int r = begin(ws);
    if (r != 0)
        return r;
    r = ag__ws_has_ended(ws) ? ws->error : whole(ws, ret_data, ret_n ? ret_n : &n);
    ag_sem_release(&ws->reading, 1);
    return r;
}

int ag_ws_next(ag_ws *ws) {
    int r = begin(ws);
    if (r != 0)
        return r;
    r = ws->type && !ws->fresh ? skip(ws) : 1;
    if (r > 0 && !ws->fresh)
        r = ag__ws_frame(ws, true);
    if (r > 0) {
        ws->fresh = false;
        ws->streams = true;
        r = ws->type;
    }
    ag_sem_release(&ws->reading, 1);
    return r;
}

static ssize_t some(ag_ws *ws, void *buf, size_t n) {
    if (!ws->type || !ws->streams || !n)
        return ag__ws_has_ended(ws) ? ws->error : 0;
    if (ag__ws_has_ended(ws))
        return ws->error ? ws->error : -ECONNABORTED;
    for (;;) {
        if (has_more(ws)) {
            ssize_t got = pull(ws, buf, n);
            if (got != 0)
                return got;
        } else if (!ws->fin) {
            int r = ag__ws_frame(ws, true);
            if (r <= 0)
                return r ? r : -ECONNABORTED;
        } else {
            int r = finish(ws);
            return r < 0 ? r : 0;
        }
    }
}

ssize_t ag_ws_read_some(ag_ws *ws, void *buf, size_t n) {
    int r = ag_sem_acquire(&ws->reading, 1);
    if (r != 0)
        return r;
    ssize_t got = some(ws, buf, n);
    ag_sem_release(&ws->reading, 1);
    return got;
}

/* ---- Wishes --------------------------------------------------------------------------------- */

static void wished(ag_ws *ws);

/* Gives the turn back and runs what was wished for. */
static void grant(ag_ws *ws) {
    typedef void (*six)(intptr_t, intptr_t, intptr_t, intptr_t, intptr_t, intptr_t);
    six fn = (six)ws->wish;
    intptr_t a[6];
    memcpy(a, ws->wish_args, sizeof a);
    atomic_store(&ws->listens, false);
    ag_sem_release(&ws->reading, 1);
    ag_defer(ag_ws_unref, ws);
    fn(a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* Something can be read: perhaps a message, perhaps only a ping. */
static void wished(ag_ws *ws) {
    for (;;) {
        int r = ws->type ? 1 : ag__ws_frame(ws, false);
        if (r != -EAGAIN)
            break;
        ag__ws_release(ws);
        r = ag_conn_when_readable(ws->c, wished, ws);
        if (r == 0)
            return;
        if (r != -ECANCELED)
            ag__ws_cut(ws, r);
    }
    grant(ws);
}

int ag__ws_when_readable(ag_ws *ws, ag__fn fn, const intptr_t args[6]) {
    if (!ag_sem_try_acquire(&ws->reading, 1))
        return -EBUSY;
    ws->wish = fn;
    memcpy(ws->wish_args, args, sizeof ws->wish_args);
    ag__ws_release(ws);
    ag_ws_ref(ws);
    atomic_store(&ws->listens, true);
    int r = -ECANCELED;
    if (!ws->in && !ws->type && !ag__ws_has_ended(ws))
        r = ag_conn_when_readable(ws->c, wished, ws);
    if (r == -ECANCELED) /* there is something now */
        r = ag_go(wished, ws) < 0 ? -ENOMEM : 0;
    if (r == 0)
        return 0;
    atomic_store(&ws->listens, false);
    ag_sem_release(&ws->reading, 1);
    ag_ws_unref(ws);
    return r;
}
