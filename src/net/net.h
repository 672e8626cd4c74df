/* SPDX-License-Identifier: MIT */
/*
 * net.h - the door of the network floor, and what its files share.
 */
#ifndef AG_NET_H
#define AG_NET_H

#include "io/io.h"
#include "os/sock.h"
#include <aglet/layer.h>
#include <aglet/net.h>

/*
 * A connection. Life: open --ag_conn_close--> closed --last one out--> the descriptor is closed
 * --last ag_unref--> freed. See io/io.h for the gate.
 */
struct ag_conn {
    ag__object object;
    ag__gate gate;
    ag__pd *pd;                /* Constant; valid for who is inside the gate. */
    int fd;                    /* Constant; valid for who is inside the gate. */
    bool stream;               /* Constant. Not datagrams. */
    bool drains;               /* Constant. A short read has taken everything there was. */
    _Atomic int64_t sent;      /* Written by the writer. */
    _Atomic int64_t received;  /* Written by the reader. */
    _Atomic(char *) names[2];  /* Atomic; set once from NULL: the local and the remote end. */
    _Atomic(ag_layer *) layer; /* Atomic; set once from NULL, with both turns of the gate, and
                                  the gate is marked. */
};

/* A connection over a non-blocking socket, which it owns, also on failure. */
int ag__conn_new(int fd, bool stream, bool drains, ag_conn **ret_conn);
/* The two halves of that, so that memory is there before the socket is; this one leaves the socket
 * to the caller on failure. */
ag_conn *ag__conn_alloc(void);
int ag__conn_open(ag_conn *c, int fd, bool stream, bool drains);
/* Takes back what ag_conn_cancel_when_gone was told. */
void ag__conn_forget_gone(ag_conn *c);
/* Of a connection that was never opened. */
void ag__conn_discard(ag_conn *c);

/* The last one has left a closed connection. */
void ag__conn_release(ag_conn *c);
static inline void ag__conn_leave(ag_conn *c, int mode) {
    if (ag__gate_unlock(&c->gate, mode))
        ag__conn_release(c);
}

static inline void ag__conn_count(_Atomic int64_t *bytes, ssize_t n) {
    int64_t before = atomic_load_explicit(bytes, AG__RLX);
    atomic_store_explicit(bytes, before + n, AG__RLX);
}

static inline ag_layer *ag__conn_layer(ag_conn *c) {
    return atomic_load_explicit(&c->layer, memory_order_acquire);
}

/* Writes some of buf, or, with NULL, of the file `from`; waits while nothing goes. Returns: bytes,
 * 0 at the end of the file, an error. */
ssize_t ag__conn_give(ag_conn *c, const void *buf, int from, size_t n);

/* --- Connections with a layer. --- */
/* With the reader's turn, which it gives back. */
ssize_t ag__layer_read(ag_conn *c, void *buf, size_t n, bool waits);
/* All of it, or the error. With the writer's turn, which it gives back. */
ssize_t ag__layer_write(ag_conn *c, const struct iovec *iov, int count, size_t total);
/* What a wish waits for, AG__READ or AG__WRITE; the direction is ready if that has come. With the
 * reader's turn. */
int ag__layer_wish(ag_conn *c, ag_layer *y);
/* Forgets an old event of a socket that has nothing to read. With the reader's turn. */
void ag__conn_look(ag_conn *c);
/* Before the sending side is shut: lets the layer say goodbye, and waits for room for that, unless
 * somebody writes. 0, or why it could not wait. Inside the gate. */
int ag__layer_shut(ag_conn *c, ag_layer *y);
/* Before a close: lets the layer say goodbye. */
void ag__layer_end(ag_conn *c, ag_layer *y);

/* ag_dial that gives up with -ETIMEDOUT at `deadline`, a point of ag_now(); 0: never. */
int ag__dial(const char *net, const char *addr, ag_time deadline, ag_conn **ret_conn);

/* --- Addresses: what "tcp" and "host:port" mean. --- */
enum { AG__TARGETS = 16 };

typedef struct ag__target {
    int kind; /* AG__ADDR_NONE: IPv4 or IPv6 */
    bool datagram;
    bool both;       /* listen on IPv4 and IPv6 with one socket if possible */
    bool reuse_port; /* set by who listens */
    int count;
    ag__addr addrs[AG__TARGETS];
} ag__target;

/* May wait for the resolver. -EINVAL, -ENOENT … */
int ag__target_find(const char *net, const char *addr, bool listens, ag__target *ret_target);

/* The pieces of "host:port". An empty host is all, or this machine. */
typedef struct ag__host_port {
    char host[256];
    char port_name[32]; /* empty if the port is a number */
    int port;
} ag__host_port;
int ag__host_port_parse(const char *addr, ag__host_port *ret_parts);

/* Names to addresses, as ag_lookup_host does; results as ag__addr_look_up, AG__TARGETS at most. */
int ag__dns_look_up(const ag__host_port *parts, int kind, bool datagram, bool listens,
                    ag__addr *ret_addrs, int max);

#endif
