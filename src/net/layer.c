/* SPDX-License-Identifier: MIT */
/*
 * layer.c - connections with a layer between the program and the socket (aglet/layer.h): turns,
 * waits and counts around functions that never wait.
 *
 * Opening. Who opens holds both turns, so it alone waits in both directions of the poller. A reader
 * has its turn and takes the writer's as well; a writer only tries to take the reader's. If a
 * reader is there, that one opens: the writer gives its turn away and takes it again. So neither
 * waits for a turn that the other would keep beyond the opening - a reader for as long as nobody
 * sends, a writer for as long as nobody reads.
 *
 * Invariant: while somebody has the reader's turn and the layer is not open, nobody keeps the
 * writer's turn but who opens.
 *
 * Wishes. A layer may have bytes for the program although the socket has none, or have part of
 * something and wait for the rest; it knows. If its opening is stuck because the socket takes no
 * more, a wish waits for that, in the writer's direction.
 *
 * Refused: a lock for the opening (it would be waited for without deadline, close and context, or
 * be a third turn); a layer that waits by itself (each would have to keep all promises of net.h).
 */
#include "net/net.h"
#include <aglet/run.h>
#include <errno.h>

enum { DRAIN_MAX = 32 };

/* --- The socket, for layers. --- */

ssize_t ag_layer_recv(ag_layer *y, void *buf, size_t n) {
    ag_conn *c = y->conn;
    ag__pd *pd = c->pd;
    ssize_t got;
    if (!y->ag__asks && !ag__pd_is_ready(pd, AG__READ))
        return -EAGAIN;
    y->ag__asks = false;
    do {
        ag__pd_consume(pd, AG__READ);
        got = ag__sock_recv(c->fd, buf, n);
    } while (got == -EINTR);
    bool drained = got == -EAGAIN || (got > 0 && (size_t)got < n && c->drains);
    if (!drained || (got > 0 && ag__pd_has_ended(pd)))
        ag__pd_again(pd, AG__READ);
    return got;
}

ssize_t ag_layer_send(ag_layer *y, const void *buf, size_t n) {
    ssize_t put;
    do {
        put = ag__sock_send(y->conn->fd, buf, n);
    } while (put == -EINTR);
    return put;
}

/* --- Putting it on. --- */

ag_layer *ag_layer_of(ag_conn *c) {
    return ag__conn_layer(c);
}

const char *ag_conn_protocol(ag_conn *c) {
    ag_layer *y = ag__conn_layer(c);
    return y ? y->ops->protocol(y) : "";
}

int ag_layer_put(ag_conn *c, ag_layer *y) {
    if (!c->stream)
        return -EINVAL;
    int r = ag__gate_try_lock(&c->gate, AG__READ);
    if (r != 0)
        return r;
    r = ag__gate_try_lock(&c->gate, AG__WRITE);
    if (r == 0) {
        if (ag__conn_layer(c)) {
            r = -EALREADY;
        } else {
            y->conn = c;
            atomic_store_explicit(&c->layer, y, memory_order_release);
            atomic_fetch_or(&c->gate.word, AG__GATE_MARKED);
        }
        ag__conn_leave(c, AG__WRITE);
    }
    ag__conn_leave(c, AG__READ);
    return r;
}

/* Who has a turn sees what was done with the turns before. Partner: ag__gate_unlock, for TSan; the
 * turns of connections without a layer order nothing for the program. */
static void see_before(ag_conn *c) {
    AG__HB_ACQUIRE(&c->gate);
}

/* --- Opening. --- */

/* With both turns. */
static int open_inside(ag_conn *c, ag_layer *y, bool waits) {
    see_before(c);
    y->ag__asks = true;
    for (;;) {
        int r = y->ops->open(y);
        y->ag__open = r == 0;
        if (r <= 0)
            return r;
        if (!waits)
            return -EAGAIN;
        int mode = r == AG_WRITABLE ? AG__WRITE : AG__READ;
        r = ag__pd_wait(c->pd, mode);
        if (r != 0)
            return r;
        if (ag__pd_is_late(c->pd, mode))
            return -ETIMEDOUT;
        y->ag__asks = mode == AG__READ;
    }
}

/* With the reader's turn. */
static int open_for_reader(ag_conn *c, ag_layer *y, bool waits) {
    int r = waits ? ag__gate_lock(&c->gate, AG__WRITE) : ag__gate_try_lock(&c->gate, AG__WRITE);
    if (r < 0)
        return r == -EBUSY ? -EAGAIN : r;
    r = open_inside(c, y, waits);
    ag__conn_leave(c, AG__WRITE);
    return r;
}

/* With the writer's turn. Returns: 0, still with it, and the layer is open; an error without. */
static int begin_write(ag_conn *c, ag_layer *y) {
    for (;;) {
        see_before(c);
        int r = ag__pd_is_late(c->pd, AG__WRITE) ? -ETIMEDOUT : 0;
        if (r == 0 && y->ag__open)
            return 0;
        if (r == 0)
            r = ag__gate_try_lock(&c->gate, AG__READ);
        if (r == 0) {
            r = open_inside(c, y, true);
            ag__conn_leave(c, AG__READ);
            if (r == 0)
                return 0;
        }
        ag__conn_leave(c, AG__WRITE);
        if (r != -EBUSY)
            return r;
        ag_yield(); /* a reader wants the turn, to open */
        r = ag__gate_lock(&c->gate, AG__WRITE);
        if (r < 0)
            return r;
    }
}

int ag_layer_open(ag_conn *c) {
    ag_layer *y = ag__conn_layer(c);
    if (!y)
        return 0;
    int r = ag__gate_lock(&c->gate, AG__WRITE);
    if (r < 0)
        return r;
    r = begin_write(c, y);
    if (r == 0)
        ag__conn_leave(c, AG__WRITE);
    ag__leave(ag__enter());
    return r;
}

/* --- Reading. --- */

static ssize_t read_inside(ag_conn *c, ag_layer *y, void *buf, size_t n, bool waits) {
    see_before(c);
    if (ag__pd_is_late(c->pd, AG__READ))
        return -ETIMEDOUT;
    if (n == 0)
        return 0;
    if (!y->ag__open) {
        int r = open_for_reader(c, y, waits);
        if (r != 0)
            return r;
    }
    /* As without a layer: who need not wait any more asks the socket all the same. */
    y->ag__asks = !waits || ag__ended_here() != 0;
    for (;;) {
        ssize_t got = y->ops->read(y, buf, n);
        if (got > 0)
            ag__conn_count(&c->received, got);
        if (got != -EAGAIN || !waits)
            return got;
        int r = ag__pd_wait(c->pd, AG__READ);
        if (r != 0)
            return r;
        if (ag__pd_is_late(c->pd, AG__READ))
            return -ETIMEDOUT; /* who gets a little at a time, and never all of a record */
        y->ag__asks = true;
    }
}

AG__COLD ssize_t ag__layer_read(ag_conn *c, void *buf, size_t n, bool waits) {
    ssize_t got = read_inside(c, ag__conn_layer(c), buf, n, waits);
    ag__conn_leave(c, AG__READ);
    ag__leave(ag__enter());
    return got;
}

int ag__layer_wish(ag_conn *c, ag_layer *y) {
    see_before(c);
    int what = y->ops->waits_for(y);
    if (what == AG_WRITABLE && !y->ag__open) {
        /* Whom an old event has started would find nothing to do. */
        ag__pd_consume(c->pd, AG__WRITE);
        if (y->ops->flush(y) == -EAGAIN)
            return AG__WRITE;
        what = y->ops->waits_for(y);
    }
    if (what == AG_READABLE)
        ag__conn_look(c);
    else
        ag__pd_again(c->pd, AG__READ);
    return AG__READ;
}

/* --- Writing. --- */

static ssize_t write_inside(ag_conn *c, ag_layer *y, const struct iovec *iov, int count,
                            size_t total) {
    size_t at = 0;
    for (;;) {
        ssize_t put = at < total ? y->ops->write(y, iov, count, at) : y->ops->flush(y);
        if (put > 0) {
            ag__conn_count(&c->sent, put);
            at += (size_t)put;
        } else if (put == -EAGAIN) {
            int r = ag__pd_wait(c->pd, AG__WRITE);
            if (r != 0)
                return r;
        } else {
            return put < 0 ? put : (ssize_t)total;
        }
        if (ag__pd_is_late(c->pd, AG__WRITE) && (at < total || put < 0))
            return -ETIMEDOUT;
    }
}

AG__COLD ssize_t ag__layer_write(ag_conn *c, const struct iovec *iov, int count, size_t total) {
    ag_layer *y = ag__conn_layer(c);
    ssize_t put = begin_write(c, y);
    if (put == 0) {
        put = write_inside(c, y, iov, count, total);
        ag__conn_leave(c, AG__WRITE);
    }
    ag__leave(ag__enter());
    return put;
}

int ag__layer_shut(ag_conn *c, ag_layer *y) {
    int r = 0;
    y->ops->end(y);
    if (y->ops->flush(y) != -EAGAIN || ag__gate_try_lock(&c->gate, AG__WRITE) != 0)
        return 0;
    while (r == 0 && y->ops->flush(y) == -EAGAIN)
        r = ag__pd_is_late(c->pd, AG__WRITE) ? -ETIMEDOUT : ag__pd_wait(c->pd, AG__WRITE);
    ag__conn_leave(c, AG__WRITE);
    return r;
}

/* Takes out what nobody will read. The kernel resets a connection that is closed with something
 * unread, and drops what it has still to send: what the program wrote, because of what the peer's
 * layer sent for itself (the session tickets of TLS). With the reader's turn. */
static void drain(ag_conn *c) {
    char waste[4096];
    for (int i = 0; i < DRAIN_MAX; i++)
        if (ag__sock_recv(c->fd, waste, sizeof waste) <= 0)
            return;
}

void ag__layer_end(ag_conn *c, ag_layer *y) {
    if (ag__gate_enter(&c->gate) != 0)
        return;
    y->ops->end(y);
    if (ag__gate_try_lock(&c->gate, AG__READ) == 0) {
        drain(c);
        ag__conn_leave(c, AG__READ);
    }
    if (ag__gate_leave(&c->gate))
        ag__conn_release(c);
}
