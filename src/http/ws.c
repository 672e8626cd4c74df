/* SPDX-License-Identifier: MIT */
/*
 * The life of a WebSocket: making, the peer's silence, the closing handshake, the end.
 *
 * Silence. One timer for each WebSocket looks once in ping_ns whether something has come since: if
 * not it pings, and after pong_ns more it cuts. A timer that went with each message would cost a
 * heap operation each time; this one costs a message a store. Silence counts only while somebody
 * listens: a program that is busy must not take its own deafness for the peer's.
 *
 * Closing. The Close is sent, and whoever has the turn to read gets the peer's: a reader, a wish,
 * or the closer itself, when it gets the turn. From then on the peer has close_ns: a read deadline
 * for a reader that waits, and a limit of the closer's own wait for the turn.
 *
 * After the handshake, or after a Close that tells the peer what it did wrong, only our direction
 * is ended: a close with something unread behind it would reset the connection and the last words
 * with it. The last user gives the connection back to the server, which lingers.
 */
#include "http/ws.h"

#include <aglet/ctx.h>
#include <aglet/defer.h>
#include <errno.h>
#include <stdlib.h>

/* ---- Making --------------------------------------------------------------------------------- */

static ag_time time_or(ag_time given, ag_time usual) {
    return given > 0 ? given : usual;
}

static void keep_alive(ag_ws *ws);

static void unhold(ag_ws *ws) {
    if (atomic_fetch_sub(&ws->holds, 1) > 1)
        return;
    ag_unref(ws->timer);
    free(ws->peer_reason);
    free(ws->protocol);
    free(ws);
}

static void take_options(ag_ws *ws, const ag_ws_options *o) {
    ws->message_max = o && o->message_max > 0 ? o->message_max : 1 << 20;
    ws->write_ns = time_or(o ? o->write_ns : 0, 30 * AG_SEC);
    ws->ping_ns = time_or(o ? o->ping_ns : 0, 30 * AG_SEC);
    ws->pong_ns = time_or(o ? o->pong_ns : 0, 30 * AG_SEC);
    ws->close_ns = time_or(o ? o->close_ns : 0, 5 * AG_SEC);
}

ag_ws *ag__ws_new(ag_conn *c, ag_http_upgraded *upgraded, const ag_ws_options *options,
                  const char *protocol, size_t protocol_n) {
    ag_ws *ws = calloc(1, sizeof *ws);
    if (!ws)
        return NULL;
    ws->protocol = protocol_n ? strndup(protocol, protocol_n) : NULL;
    ws->c = c;
    ws->upgraded = upgraded;
    ws->client = !upgraded;
    take_options(ws, options);
    ws->users = 1;
    ws->holds = 2;
    ws->heard = ag_now();
    ag_sem_init(&ws->reading, 1);
    ag_sem_init(&ws->message, 1);
    ag_sem_init(&ws->sending, 1);
    ag_mutex_lock(&ws->lock);
    ws->timer = protocol_n && !ws->protocol ? NULL : ag_timer_start(ws->ping_ns, keep_alive, ws);
    ag_mutex_unlock(&ws->lock);
    if (!ws->timer) {
        free(ws->protocol);
        free(ws);
        return NULL;
    }
    return ws;
}

ag_ws *ag_ws_ref(ag_ws *ws) {
    atomic_fetch_add_explicit(&ws->users, 1, memory_order_relaxed);
    return ws;
}

const char *ag_ws_protocol(ag_ws *ws) {
    return ws->protocol ? ws->protocol : "";
}

ag_conn *ag_ws_conn(ag_ws *ws) {
    return ws->c;
}

/* ---- The end -------------------------------------------------------------------------------- */

int ag__ws_end(ag_ws *ws, int error) {
    ag_mutex_lock(&ws->lock);
    if (!ws->ended) {
        ws->error = error;
        atomic_store_explicit(&ws->ended, true, memory_order_release);
    }
    ag_mutex_unlock(&ws->lock);
    return ws->error;
}

int ag__ws_cut(ag_ws *ws, int error) {
    error = ag__ws_end(ws, error);
    ag_conn_close(ws->c);
    return error;
}

void ag_ws_unref(ag_ws *ws) {
    if (!ws || atomic_fetch_sub(&ws->users, 1) > 1)
        return;
    if (!ag__ws_has_ended(ws))
        ag__ws_cut(ws, -ECANCELED);
    if (ws->upgraded) {
        ag_http_upgraded_close(ws->upgraded); /* waits for a goroutine that says good-bye */
    } else {
        ag_conn_close(ws->c);
        ag_unref(ws->c);
    }
    ag__ws_release(ws);
    ag__ws_inflate_end(ws->inflater);
    free(ws->in);
    free(ws->msg);
    if (ag_timer_stop(ws->timer)) /* it is not armed again once this has ended */
        unhold(ws);
    unhold(ws);
}

int ag_ws_close_code(ag_ws *ws) {
    if (!ag__ws_has_ended(ws))
        return 0;
    ag_mutex_lock(&ws->lock);
    int code = ws->peer_code ? ws->peer_code : AG_WS_ABNORMAL;
    ag_mutex_unlock(&ws->lock);
    return code;
}

const char *ag_ws_close_reason(ag_ws *ws) {
    return ag__ws_has_ended(ws) && ws->peer_reason ? ws->peer_reason : "";
}

/* ---- Silence -------------------------------------------------------------------------------- */

/* What is to be done now. Returns: when to look again. */
static ag_time look(ag_ws *ws, ag_time now) {
    if (!atomic_load(&ws->listens))
        atomic_store(&ws->heard, now);
    ag_time heard = atomic_load(&ws->heard), silent = now - heard;
    if (silent < ws->ping_ns)
        return ws->ping_ns - silent;
    if (silent >= ws->ping_ns + ws->pong_ns) {
        ag__ws_cut(ws, -ETIMEDOUT);
        return 0;
    }
    if (ws->pinged != heard) { /* once for each silence */
        ws->pinged = heard;
        ag__ws_control(ws, AG__WS_PING, NULL, 0);
    }
    ag_time left = ws->ping_ns + ws->pong_ns - silent;
    return left < ws->ping_ns ? left : ws->ping_ns;
}

static void keep_alive(ag_ws *ws) {
    ag_time next = ag__ws_has_ended(ws) ? 0 : look(ws, ag_now());
    ag_mutex_lock(&ws->lock);
    bool goes_on = !ws->ended;
    if (goes_on)
        ag_timer_reset(ws->timer, next > 0 ? next : 1);
    ag_mutex_unlock(&ws->lock);
    if (!goes_on)
        unhold(ws);
}

/* ---- Closing -------------------------------------------------------------------------------- */

static int turn_to_read(ag_ws *ws, ag_time until) {
    ag_within(until - ag_now());
    int r = ag_sem_acquire(&ws->reading, 1);
    if (r != 0)
        return r;
    r = ag__ws_drain(ws);
    ag__ws_release(ws);
    ag_sem_release(&ws->reading, 1);
    return r;
}

int ag_ws_close(ag_ws *ws, int code, const char *reason) {
    size_t n = reason ? strlen(reason) : 0;
    ag__utf8 text = {0, 0, 0};
    if ((code != 0 && !ag__ws_is_code((unsigned)code)) || n > AG__WS_CONTROL_MAX - 2 ||
        (code == 0 && n > 0) || !ag__utf8_check(&text, (const uint8_t *)reason, n) || text.left)
        return -EINVAL;
    if (ag__ws_has_ended(ws))
        return ws->error;
    int r = ag__ws_send_close(ws, code, reason, n);
    if (r != 0)
        return ag__ws_has_ended(ws) ? ws->error : r;
    ag_time at = ag_now() + ws->close_ns, none = 0;
    if (atomic_compare_exchange_strong(&ws->close_at, &none, at))
        ag_set_read_deadline(ws->c, at);
    else
        at = none;
    r = turn_to_read(ws, at);
    if (ag__ws_has_ended(ws))
        return ws->error;
    return ag_now() >= at ? ag__ws_cut(ws, -ETIMEDOUT) : r;
}

/* ---- Deadlines ------------------------------------------------------------------------------ */

void ag_ws_set_read_deadline(ag_ws *ws, ag_time t) {
    atomic_store(&ws->read_deadline, t);
    if (!atomic_load(&ws->close_at))
        ag_set_read_deadline(ws->c, t);
    if (atomic_load(&ws->close_at)) /* it may have begun meanwhile */
        ag_set_read_deadline(ws->c, atomic_load(&ws->close_at));
}

void ag_ws_set_write_deadline(ag_ws *ws, ag_time t) {
    atomic_store(&ws->write_deadline, t);
    ag_set_write_deadline(ws->c, t);
}
