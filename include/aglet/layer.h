/* SPDX-License-Identifier: MIT */
/*
 * aglet/layer.h - for libraries that put something between a connection and its socket, as TLS does
 * (aglet/tls.h). Programs don't need this header.
 *
 * A layer turns the bytes of ag_read and ag_write into those of the socket. It never waits: its
 * functions do what can be done now, say what they would wait for, and are called again. All else
 * is the connection's part: turns, deadlines, contexts, closing, counting. So every function of
 * aglet/net.h and aglet/file.h does on a connection with a layer what it promises, and ag_conn_sent
 * and ag_conn_received count bytes of the program, not of the socket.
 *
 *     put --> opening (a handshake, if there is one) --> open --> end (goodbye) --> freed with the
 *                                                                                  connection
 *
 * Who may be inside at one time: `open` alone; or `read` and `flush` for a reader beside `write`
 * and `flush` for a writer; `end`, `waits_for` and `protocol` at any time beside all of these. The
 * layer guards its own state, by a mutex that is held for no wait.
 */
#ifndef AGLET_LAYER_H
#define AGLET_LAYER_H

#include <aglet/io.h>
#include <aglet/net.h>

AG__BEGIN

typedef struct ag_layer ag_layer;

/** What a layer does. Constant. Errors are negative errno values. */
typedef struct ag_layer_ops {
    /* One step of the opening. Result: 0 when open, AG_READABLE or AG_WRITABLE: what to wait for
     * before the next step; an error, the same one ever after. */
    int (*open)(ag_layer *y);
    /* Result: bytes for the program, 0 at the end, -EAGAIN: the socket has to become readable; an
     * error. `n` > 0. */
    ssize_t (*read)(ag_layer *y, void *buf, size_t n);
    /* Takes some of the pieces, without their first `skip` bytes; there is more than that. Returns:
     * bytes taken, > 0, which go out although the writer may be cut; -EAGAIN: what was taken before
     * has to go out first, which needs a writable socket; an error. */
    ssize_t (*write)(ag_layer *y, const struct iovec *iov, int count, size_t skip);
    /* Sends what was taken. Result: 0 when all is with the kernel, -EAGAIN, an error. */
    int (*flush)(ag_layer *y);
    /* For who wants to know when `open` or `read` has something to do: AG_READABLE or AG_WRITABLE:
     * once the socket is that; 0: now. */
    int (*waits_for)(ag_layer *y);
    /* The program sends no more: says so to the peer if that goes without waiting. Writes that
     * follow fail with -EPIPE. May be called again. */
    void (*end)(ag_layer *y);
    /* The protocol that was agreed on while opening, or "". */
    const char *(*protocol)(ag_layer *y);
    /* Frees the layer, with the connection. */
    void (*free)(ag_layer *y);
} ag_layer_ops;

/** The head of every layer, zero but for `ops`. Owned by its connection once it was put there. */
struct ag_layer {
    const ag_layer_ops *ops;
    ag_conn *conn; /* set by ag_layer_put; the layer holds no reference */
    bool ag__open; /* Guarded by either turn of the connection's gate; written with both. */
    bool ag__asks; /* The reader's: the socket is asked though no event has come. */
};

/**
 * Puts a layer on a connection that has none, and that nobody reads or writes just now.
 * Returns: 0; -EALREADY if it has one, -EBUSY while somebody reads, writes or wishes, -EINVAL for
 * datagrams, -ECANCELED closed. Owns: the connection owns `y` from then on, not on failure.
 */
AG_API int ag_layer_put(ag_conn *c, ag_layer *y);

/** The layer of a connection, NULL without one. */
AG_API ag_layer *ag_layer_of(ag_conn *c);

/** Opens the layer now; else the first read or write does.
 * Waits: for the peer, within the read deadline, and for room, within the write deadline.
 * Returns: 0, also if it is open already or there is none; -ETIMEDOUT, -ECANCELED: it may be gone
 * on with; the layer's error. */
AG_API int ag_layer_open(ag_conn *c);

/**
 * Lets every connection that is accepted from now on have a layer. `make` may return NULL: out of
 * memory. `arg` is an object with references, which the listener shares. Once, before the first
 * ag_accept. Returns: 0, -EALREADY.
 */
AG_API int ag_layer_put_on_accepted(ag_listener *l, ag_layer *(*make)(void *arg), void *arg);

/** In `open` and `read`: reads from the socket. Never waits. Returns: bytes, 0 at its end, -EAGAIN,
 * -ECONNRESET … */
AG_API ssize_t ag_layer_recv(ag_layer *y, void *buf, size_t n);
/** In every function but `free`: writes some to the socket. Never waits. Returns: bytes, -EAGAIN,
 * -EPIPE … */
AG_API ssize_t ag_layer_send(ag_layer *y, const void *buf, size_t n);

AG__END
#endif
