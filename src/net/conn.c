/* SPDX-License-Identifier: MIT */
/*
 * conn.c - connections: reading, writing, deadlines, closing.
 *
 * Every call passes the gate (io/io.h), so a close may come at any time: it wakes who waits, and
 * the descriptor lives until the last call has left. The ordinary read or write is one system
 * call between two atomic instructions.
 *
 * Reading. The system call is tried when the poller has seen an event since the last one that
 * drained the socket; else the goroutine parks at once. Of a TCP socket a read that came back
 * short has drained it - unless the end, an error or urgent data is behind it, of which there
 * will be no second event. Everything else (Unix sockets stop at passed descriptors, datagrams
 * are always short) is asked until it says EAGAIN.
 *
 * Writing. Tried first, always; EAGAIN parks. An old event costs one more try, none is lost,
 * because the edge that matters comes after the EAGAIN.
 *
 * The gate of a connection with a layer (layer.c) is marked: it is entered the slow way, and from
 * there on all is different. The usual way pays nothing for that.
 *
 * Refused: closing the descriptor at once (its number would be another file's while a call is
 * under way); a lock for the counters (only the holder of the turn writes them).
 */
#include "net/net.h"
#include "os/file.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PIECES_MAX = 1024, SHUT_READING = 0 /* SHUT_RD of shutdown(2) */ };

/* --- Life. --- */

void ag__conn_release(ag_conn *c) {
    ag__conn_forget_gone(c);
    ag__file_close(c->fd);
    ag__pd_free(c->pd);
}

static void conn_free(ag__object *o) {
    ag_conn *c = ag__container_of(o, ag_conn, object);
    ag_conn_close(c);
    free(atomic_load(&c->names[0]));
    free(atomic_load(&c->names[1]));
    ag__conn_discard(c);
}

ag_conn *ag__conn_alloc(void) {
    ag_conn *c = calloc(1, sizeof *c);
    if (c)
        ag__object_init(&c->object, conn_free);
    return c;
}

void ag__conn_discard(ag_conn *c) {
    ag_layer *y = ag__conn_layer(c);
    if (y)
        y->ops->free(y);
    free(c);
}

int ag__conn_open(ag_conn *c, int fd, bool stream, bool drains) {
    c->fd = fd;
    c->stream = stream;
    c->drains = drains;
    return ag__pd_open(fd, &c->pd);
}

int ag__conn_new(int fd, bool stream, bool drains, ag_conn **ret_conn) {
    ag_conn *c = ag__conn_alloc();
    if (!c) {
        ag__file_close(fd);
        return -ENOMEM;
    }
    int r = ag__conn_open(c, fd, stream, drains);
    if (r == 0) {
        *ret_conn = c;
    } else {
        ag__file_close(fd);
        ag__conn_discard(c);
    }
    return r;
}

int ag_conn_from_fd(int fd, ag_conn **ret_conn) {
    bool stream = false, tcp = false;
    int r = ag__sock_type(fd, &stream, &tcp);
    if (r == 0)
        r = ag__file_set_nonblocking(fd);
    if (r != 0) {
        if (r != -EBADF)
            ag__file_close(fd);
        return r;
    }
    if (tcp)
        ag__sock_no_delay(fd);
    return ag__conn_new(fd, stream, tcp, ret_conn);
}

int ag_conn_close(ag_conn *c) {
    ag_layer *y = ag__conn_layer(c);
    if (AG__UNLIKELY(y != NULL))
        ag__layer_end(c, y);
    int r = ag__gate_close(&c->gate);
    if (r != 0)
        return r;
    ag__pd_close(c->pd);
    if (ag__gate_leave(&c->gate))
        ag__conn_release(c);
    return 0;
}

int ag_conn_reset(ag_conn *c) {
    if (ag__gate_enter(&c->gate) != 0)
        return -ECANCELED;
    ag__sock_drop_unsent(c->fd);
    if (ag__gate_leave(&c->gate))
        ag__conn_release(c);
    return ag_conn_close(c);
}

/* --- Reading. --- */

static inline ssize_t took(ag_conn *c, ssize_t got, size_t n) {
    if ((size_t)got == n || !c->drains || ag__pd_has_ended(c->pd))
        ag__pd_again(c->pd, AG__READ);
    ag__conn_count(&c->received, got);
    return got;
}

static inline ssize_t read_inside(ag_conn *c, void *buf, size_t n, bool waits) {
    ag__pd *pd = c->pd;
    if (AG__UNLIKELY(ag__pd_is_late(pd, AG__READ)))
        return -ETIMEDOUT;
    if (AG__UNLIKELY(n == 0) && c->stream)
        return 0;
    /* Who need not wait any more asks the socket all the same: its event may be under way. */
    bool ready = !waits || ag__pd_is_ready(pd, AG__READ) || ag__ended_here() != 0;
    for (;;) {
        if (ready) {
            ag__pd_consume(pd, AG__READ);
        } else {
            int r = ag__pd_wait(pd, AG__READ);
            if (r != 0)
                return r;
        }
        ssize_t got = ag__sock_recv(c->fd, buf, n);
        if (AG__LIKELY(got > 0))
            return took(c, got, n);
        if (got == -EAGAIN && !waits)
            return got;
        ready = !waits;
        if (got == -EAGAIN)
            continue;
        ag__pd_again(pd, AG__READ);
        if (got != -EINTR)
            return got;
    }
}

static inline ssize_t read_some(ag_conn *c, void *buf, size_t n, bool waits) {
    int r = ag__gate_lock(&c->gate, AG__READ);
    if (AG__UNLIKELY(r != 0))
        return r < 0 ? r : ag__layer_read(c, buf, n, waits);
    ssize_t got = read_inside(c, buf, n, waits);
    ag__conn_leave(c, AG__READ);
    /* Here a thread whose processor was taken gives way, even if it never has to wait. */
    ag__leave(ag__enter());
    return got;
}

ssize_t ag_read(ag_conn *c, void *buf, size_t n) {
    return read_some(c, buf, n, true);
}

ssize_t ag_try_read(ag_conn *c, void *buf, size_t n) {
    return read_some(c, buf, n, false);
}

/* --- Writing. --- */

/* All of it, or the error. */
static ssize_t write_inside(ag_conn *c, const char *buf, size_t n) {
    size_t left = n;
    if (AG__UNLIKELY(n == 0) && c->stream)
        return 0;
    for (;;) {
        ssize_t put = ag__sock_send(c->fd, buf, left);
        if (AG__LIKELY(put >= 0)) {
            ag__conn_count(&c->sent, put);
            left -= (size_t)put;
            if (AG__LIKELY(left == 0))
                return (ssize_t)n;
            buf += put;
        } else if (put == -EAGAIN) {
            int r = ag__pd_wait(c->pd, AG__WRITE);
            if (r != 0)
                return r;
        } else if (put != -EINTR) {
            return put;
        }
        if (ag__pd_is_late(c->pd, AG__WRITE))
            return -ETIMEDOUT;
    }
}

/* 0, or 1: with the turn, and the rest is the layer's. */
static inline int begin_write(ag_conn *c) {
    int r = ag__gate_lock(&c->gate, AG__WRITE);
    if (AG__UNLIKELY(r != 0))
        return r;
    if (AG__LIKELY(!ag__pd_is_late(c->pd, AG__WRITE)))
        return 0;
    ag__conn_leave(c, AG__WRITE);
    return -ETIMEDOUT;
}

static inline ssize_t end_write(ag_conn *c, ssize_t result) {
    ag__conn_leave(c, AG__WRITE);
    ag__leave(ag__enter());
    return result;
}

/* The rest of a write that begin_write has not begun: an error, or the layer's. */
static AG__COLD ssize_t write_else(ag_conn *c, int r, const void *buf, size_t n) {
    struct iovec all = {(void *)buf, n};
    return r < 0 ? r : ag__layer_write(c, &all, 1, n);
}

ssize_t ag_write(ag_conn *c, const void *buf, size_t n) {
    int r = begin_write(c);
    return AG__UNLIKELY(r != 0) ? write_else(c, r, buf, n) : end_write(c, write_inside(c, buf, n));
}

/* After `put` bytes of iov[*at …] went out: the rest of a piece that was cut goes out by itself,
 * *at is the next whole one. */
static ssize_t finish_piece(ag_conn *c, const struct iovec *iov, int count, int *at, size_t put) {
    while (*at < count && put >= iov[*at].iov_len)
        put -= iov[(*at)++].iov_len;
    if (put == 0 || *at == count)
        return 0;
    const struct iovec *cut = &iov[(*at)++];
    return write_inside(c, (const char *)cut->iov_base + put, cut->iov_len - put);
}

static ssize_t writev_inside(ag_conn *c, const struct iovec *iov, int pieces, ssize_t total) {
    int at = 0;
    while (at < pieces && iov[at].iov_len == 0)
        at++;
    if (at == pieces && c->stream)
        return 0;
    do {
        ssize_t put = ag__sock_sendv(c->fd, iov + at, pieces - at);
        if (AG__LIKELY(put >= 0)) {
            ag__conn_count(&c->sent, put);
            put = finish_piece(c, iov, pieces, &at, (size_t)put);
            if (put < 0)
                return put;
        } else if (put == -EAGAIN) {
            int r = ag__pd_wait(c->pd, AG__WRITE);
            if (r != 0)
                return r;
        } else if (put != -EINTR) {
            return put;
        }
        if (at < pieces && ag__pd_is_late(c->pd, AG__WRITE))
            return -ETIMEDOUT;
    } while (at < pieces);
    return total;
}

ssize_t ag_writev(ag_conn *c, const struct iovec *iov, int iov_count) {
    size_t total = 0;
    if (iov_count < 0 || iov_count > PIECES_MAX)
        return -EINVAL;
    for (int i = 0; i < iov_count; i++)
        if (__builtin_add_overflow(total, iov[i].iov_len, &total) || total > PTRDIFF_MAX)
            return -EINVAL;
    int r = begin_write(c);
    if (AG__UNLIKELY(r != 0))
        return r < 0 ? r : ag__layer_write(c, iov, iov_count, total);
    return end_write(c, writev_inside(c, iov, iov_count, (ssize_t)total));
}

/* Of memory, or of the file `from`: one system call's worth, waiting while nothing goes. */
static ssize_t give_inside(ag_conn *c, const void *buf, int from, size_t n) {
    for (;;) {
        ssize_t put = buf ? ag__sock_send(c->fd, buf, n)
                          : (ssize_t)ag_blocking(ag__file_move, AG__MOVE_SENDFILE, c->fd, from, n);
        if (put >= 0) {
            ag__conn_count(&c->sent, put);
            return put;
        }
        int r = put == -EAGAIN ? ag__pd_wait(c->pd, AG__WRITE) : put != -EINTR ? (int)put : 0;
        if (r != 0)
            return r;
        if (ag__pd_is_late(c->pd, AG__WRITE))
            return -ETIMEDOUT;
    }
}

ssize_t ag__conn_give(ag_conn *c, const void *buf, int from, size_t n) {
    if (!buf && ag__conn_layer(c))
        return -EINVAL; /* the kernel can't move a file through a layer */
    int r = begin_write(c);
    return r != 0 ? write_else(c, r, buf, n) : end_write(c, give_inside(c, buf, from, n));
}

/* --- Deadlines, halves, numbers. --- */

static int set_deadlines(ag_conn *c, ag_time t, bool read, bool write) {
    int r = ag__gate_enter(&c->gate);
    if (r != 0)
        return r;
    /* What is past stays past, however late the coarse clock is. */
    if (t != 0 && t <= ag__os_now())
        t = -1;
    if (read)
        ag__pd_set_deadline(c->pd, AG__READ, t);
    if (write)
        ag__pd_set_deadline(c->pd, AG__WRITE, t);
    if (ag__gate_leave(&c->gate))
        ag__conn_release(c);
    return 0;
}

int ag_set_deadline(ag_conn *c, ag_time t) {
    return set_deadlines(c, t, true, true);
}
int ag_set_read_deadline(ag_conn *c, ag_time t) {
    return set_deadlines(c, t, true, false);
}
int ag_set_write_deadline(ag_conn *c, ag_time t) {
    return set_deadlines(c, t, false, true);
}

int ag_conn_shutdown(ag_conn *c, int how) {
    int r = ag__gate_enter(&c->gate);
    if (r != 0)
        return r;
    ag_layer *y = ag__conn_layer(c);
    if (y && how != SHUT_READING)
        r = ag__layer_shut(c, y);
    if (r == 0)
        r = ag__sock_shutdown(c->fd, how);
    if (ag__gate_leave(&c->gate))
        ag__conn_release(c);
    return r;
}

static const char *name_of(ag_conn *c, int which) {
    char *text = atomic_load(&c->names[which]);
    if (text) {
        AG__HB_ACQUIRE(&c->names[which]);
        return text;
    }
    if (ag__gate_enter(&c->gate) != 0)
        return "";
    ag__addr a = {.size = 0};
    char buf[AG__ADDR_TEXT];
    int r = which == 0 ? ag__sock_local(c->fd, &a) : ag__sock_remote(c->fd, &a);
    ag__addr_text(&a, buf, sizeof buf);
    char *fresh = r == 0 ? strdup(buf) : NULL; /* else asked again next time */
    AG__HB_RELEASE(&c->names[which]);
    if (fresh && !atomic_compare_exchange_strong(&c->names[which], &text, fresh))
        free(fresh);
    if (ag__gate_leave(&c->gate))
        ag__conn_release(c);
    text = atomic_load(&c->names[which]);
    AG__HB_ACQUIRE(&c->names[which]);
    return text ? text : "";
}

const char *ag_conn_local(ag_conn *c) {
    return name_of(c, 0);
}
const char *ag_conn_remote(ag_conn *c) {
    return name_of(c, 1);
}

int64_t ag_conn_sent(ag_conn *c) {
    return atomic_load_explicit(&c->sent, AG__RLX);
}
int64_t ag_conn_received(ag_conn *c) {
    return atomic_load_explicit(&c->received, AG__RLX);
}

int ag_conn_fd(ag_conn *c) {
    bool closed = atomic_load(&c->gate.word) & AG__GATE_CLOSED;
    return closed ? -ECANCELED : c->fd;
}

bool ag_conn_peer_is_gone(ag_conn *c) {
    if (ag__gate_enter(&c->gate) != 0)
        return true;
    bool gone = ag__sock_peer_is_gone(c->fd, true);
    if (ag__gate_leave(&c->gate))
        ag__conn_release(c);
    return gone;
}

bool ag_conn_has_bytes(ag_conn *c) {
    if (ag__gate_enter(&c->gate) != 0)
        return false;
    bool has = ag__sock_peek(c->fd) > 0;
    if (ag__gate_leave(&c->gate))
        ag__conn_release(c);
    return has;
}

/* --- Wishes. --- */

static void drop_reference(void *c) {
    ag_unref(c);
}

static ag__g *new_wish(ag_conn *c, const struct ag__site *site, ag__fn fn, const intptr_t args[6],
                       int *ret_error) {
    ag__m *m = ag__enter();
    bool no_world = ag__is_foreign(m) && atomic_load(&ag__sched.running) != 1;
    ag__g *g = no_world ? NULL : ag__g_new(m, site, fn, args);
    ag__leave(m);
    *ret_error = no_world ? -ECANCELED : -ENOMEM;
    if (!g)
        return NULL;
    ag__ref(c);
    g->end_fn = drop_reference;
    g->end_arg = c;
    return g;
}

void ag__conn_look(ag_conn *c) {
    if (!ag__pd_is_ready(c->pd, AG__READ))
        return;
    ag__pd_consume(c->pd, AG__READ);
    if (ag__sock_peek(c->fd) != -EAGAIN)
        ag__pd_again(c->pd, AG__READ);
}

static int wish_inside(ag_conn *c, const struct ag__site *site, ag__fn fn, const intptr_t args[6]) {
    int r, mode = AG__READ;
    ag_layer *y = ag__conn_layer(c);
    /* An old event is no reason to start a goroutine: ask the socket. */
    if (y)
        mode = ag__layer_wish(c, y);
    else
        ag__conn_look(c);
    ag__g *g = new_wish(c, site, fn, args, &r);
    if (!g)
        return r;
    r = ag__pd_wish(c->pd, mode, g);
    if (r != 0) {
        ag__m *m = ag__enter();
        ag__g_discard(m, g);
        ag__leave(m);
        ag_unref(c);
    }
    return r;
}

int ag__conn_when_readable(ag_conn *c, const struct ag__site *site, ag__fn fn,
                           const intptr_t args[6]) {
    int r = ag__gate_try_lock(&c->gate, AG__READ);
    if (r != 0)
        return r;
    /* What is started may be over, with all other references, before we have left. */
    ag__ref(c);
    r = wish_inside(c, site, fn, args);
    ag__conn_leave(c, AG__READ);
    ag_unref(c);
    return r;
}
