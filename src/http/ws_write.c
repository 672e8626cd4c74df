/* SPDX-License-Identifier: MIT */
/*
 * Writing: messages and control frames.
 *
 * A whole message is one frame, and for a server one system call: the head beside the caller's
 * bytes, which are not copied. A client must mask, so it copies: piece by piece through a buffer,
 * under a key of its own for each frame.
 *
 * Control frames take the turn to send alone, so they get between the pieces of somebody's message.
 * A frame that could not be written whole leaves a connection that nobody can go on with, so it is
 * cut.
 */
#include "http/ws.h"

#include <aglet/defer.h>
#include <errno.h>
#include <stdlib.h>

enum {
    PIECE = 64 * 1024, /* more of a message gets more time */
    RATE = 4096,       /* bytes a second */
    DEFLATED_MIN = 64, /* bytes of a message that are worth it */
    SMALL = 1024,      /* a client's frame that goes through the stack */
};

/* ---- Frames --------------------------------------------------------------------------------- */

static void set_deadline(ag_ws *ws, size_t n) {
    ag_time extra = n > PIECE ? (ag_time)((n - PIECE) / RATE) * AG_SEC : 0;
    ag_time at = ag_now() + ws->write_ns + extra, user = atomic_load(&ws->write_deadline);
    ag_set_write_deadline(ws->c, user && user < at ? user : at);
}

static ssize_t write_plain(ag_ws *ws, uint8_t first, const void *data, size_t n) {
    uint8_t head[AG__WS_HEAD_MAX];
    size_t head_n = ag__ws_head_write(head, first, n, NULL);
    struct iovec iov[2] = {{head, head_n}, {(void *)(uintptr_t)data, n}};
    return n ? ag_writev(ws->c, iov, 2) : ag_write(ws->c, head, head_n);
}

/* Through buf[0..size), size > AG__WS_HEAD_MAX. */
static ssize_t write_through(ag_ws *ws, uint8_t first, const uint8_t *data, size_t n, uint8_t *buf,
                             size_t size, const uint8_t key[4]) {
    size_t at = 0, used = ag__ws_head_write(buf, first, n, key);
    for (;;) {
        size_t some = n - at < size - used ? n - at : size - used;
        if (some) {
            memcpy(buf + used, data + at, some);
            ag__ws_mask(buf + used, some, key, at);
        }
        ssize_t r = ag_write(ws->c, buf, used + some);
        if (r < 0)
            return r;
        at += some;
        used = 0;
        if (at == n)
            return (ssize_t)n;
    }
}

/* Keys must not be guessed (RFC 6455 5.3, 10.3): else a page could choose what its browser sends,
 * and poison the caches of proxies that do not know WebSocket. Fetched some at a time, because each
 * fetch is a system call. */
static void fresh_key(ag_ws *ws, uint8_t ret_key[4]) {
    if (!ws->key_n) {
        ag__http_random(ws->keys, sizeof ws->keys);
        ws->key_n = sizeof ws->keys;
    }
    ws->key_n -= 4;
    memcpy(ret_key, ws->keys + ws->key_n, 4);
}

/* Returns: as ag_write; -ENOMEM with nothing written. */
static ssize_t write_masked(ag_ws *ws, uint8_t first, const void *data, size_t n) {
    uint8_t small[SMALL + AG__WS_HEAD_MAX], key[4];
    size_t size = n <= SMALL ? sizeof small : n < PIECE ? n + AG__WS_HEAD_MAX : PIECE;
    uint8_t *buf = n <= SMALL ? small : malloc(size);
    if (!buf)
        return -ENOMEM;
    fresh_key(ws, key);
    set_deadline(ws, n);
    ssize_t r = write_through(ws, first, data, n, buf, size, key);
    if (r < 0)
        r = ag__ws_cut(ws, (int)r);
    if (buf != small)
        free(buf);
    return r;
}

/* With the turn to send. */
static int send_frame(ag_ws *ws, uint8_t first, const void *data, size_t n) {
    if (ws->close_sent || ag__ws_has_ended(ws))
        return -EPIPE;
    ssize_t r;
    if (ws->client) {
        r = write_masked(ws, first, data, n);
    } else {
        set_deadline(ws, n);
        r = write_plain(ws, first, data, n);
        if (r < 0)
            ag__ws_cut(ws, (int)r);
    }
    return r < 0 ? (int)r : 0;
}

static int send_in_turn(ag_ws *ws, uint8_t first, const void *data, size_t n) {
    int r = ag_sem_acquire(&ws->sending, 1);
    if (r != 0)
        return r;
    r = send_frame(ws, first, data, n);
    ag_sem_release(&ws->sending, 1);
    return r;
}

int ag__ws_control(ag_ws *ws, uint8_t opcode, const void *data, size_t n) {
    return send_in_turn(ws, AG__WS_FIN | opcode, data, n);
}

int ag__ws_send_close(ag_ws *ws, int code, const char *reason, size_t n) {
    uint8_t body[AG__WS_CONTROL_MAX] = {(uint8_t)(code >> 8), (uint8_t)code};
    if (n)
        memcpy(body + 2, reason, n);
    int r = ag_sem_acquire(&ws->sending, 1);
    if (r != 0)
        return r;
    if (!ws->close_sent) {
        r = send_frame(ws, AG__WS_FIN | AG__WS_CLOSE, body, code ? n + 2 : 0);
        ws->close_sent = true;
    }
    ag_sem_release(&ws->sending, 1);
    return r;
}

/* ---- Messages ------------------------------------------------------------------------------- */

static void check_type(int type) {
    if (type != AG_WS_TEXT && type != AG_WS_BINARY)
        ag_panic("websocket: bad message type %d", type);
}

int ag_ws_write(ag_ws *ws, int type, const void *data, size_t n) {
    ag__utf8 text = {0, 0, 0};
    check_type(type);
    if (type == AG_WS_TEXT && (!ag__utf8_check(&text, data, n) || text.left))
        return -EILSEQ;
    int r = ag_sem_acquire(&ws->message, 1);
    if (r != 0)
        return r;
    size_t size = 0;
    uint8_t *less = ws->deflates && n >= DEFLATED_MIN ? ag__ws_deflate(data, n, &size) : NULL;
    if (less)
        r = send_in_turn(ws, AG__WS_FIN | AG__WS_DEFLATED | (uint8_t)type, less, size);
    else
        r = send_in_turn(ws, AG__WS_FIN | (uint8_t)type, data, n);
    free(less);
    ag_sem_release(&ws->message, 1);
    return r;
}

int ag_ws_text(ag_ws *ws, const char *text) {
    return ag_ws_write(ws, AG_WS_TEXT, text, strlen(text));
}

int ag_ws_begin(ag_ws *ws, int type) {
    check_type(type);
    int r = ag_sem_acquire(&ws->message, 1);
    if (r == 0 && ag__ws_has_ended(ws)) {
        ag_sem_release(&ws->message, 1);
        return -EPIPE;
    }
    if (r == 0)
        ws->next_opcode = (uint8_t)type;
    return r;
}

int ag_ws_write_some(ag_ws *ws, const void *data, size_t n) {
    if (!n)
        return 0;
    int r = send_in_turn(ws, ws->next_opcode, data, n);
    if (r == 0)
        ws->next_opcode = AG__WS_CONTINUATION;
    return r;
}

int ag_ws_end(ag_ws *ws) {
    int r = send_in_turn(ws, AG__WS_FIN | ws->next_opcode, NULL, 0);
    ag_sem_release(&ws->message, 1);
    return r;
}

int ag_ws_ping(ag_ws *ws, const void *data, size_t n) {
    return n > AG__WS_CONTROL_MAX ? -EINVAL : ag__ws_control(ws, AG__WS_PING, data, n);
}
