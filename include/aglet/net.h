/* SPDX-License-Identifier: MIT */
/*
 * aglet/net.h - sockets that park the goroutine, not the thread.
 *
 * Listeners and connections are reference counted and may be used from several goroutines: one
 * reading and one writing at a time each is the usual way; several readers or writers take
 * turns. Closing wakes every waiter with -ECANCELED; the memory goes with the last ag_unref.
 * A peer that is gone gives -EPIPE or -ECONNRESET, never SIGPIPE. Deadlines are points of
 * ag_now(), 0 is none. Every waiting call also returns -ECANCELED / -ETIMEDOUT when the current
 * context has ended.
 */
#ifndef AGLET_NET_H
#define AGLET_NET_H

#include <aglet/base.h>
#include <sys/types.h>
#include <sys/uio.h>

AG__BEGIN

typedef struct ag_listener ag_listener;
typedef struct ag_conn ag_conn;
typedef struct ag_ctx ag_ctx; /* aglet/ctx.h */

/**
 * Listens on `net` "tcp", "tcp4", "tcp6" or "unix". `addr` is "host:port", ":port" (all
 * addresses), "[v6]:port", or a path; "@name" is an abstract Unix socket; port 0 picks a free
 * one. A stale Unix socket file that nobody listens on is replaced.
 * Returns: 0 and *ret_listener with one reference; -EADDRINUSE, -EACCES, -EINVAL for an address
 * that can't be parsed, -ENOENT for an unknown host …
 */
AG_API int ag_listen(const char *net, const char *addr, ag_listener **ret_listener);

/** How ag_listen_with listens; all-zero is ag_listen. May be copied; read before the call returns.
 */
typedef struct ag_listen_opts {
    bool reuse_port; /* TCP: others that ask for it, too, may listen there at the same time, each
                        with a queue of its own (SO_REUSEPORT); the system deals connections out */
} ag_listen_opts;

/** ag_listen with options; `opts` may be NULL. Returns: as ag_listen. */
AG_API int ag_listen_with(const ag_listen_opts *opts, const char *net, const char *addr,
                          ag_listener **ret_listener);

/** A listener over a listening socket made elsewhere - handed over by another process - which it
 * owns from now on: close-on-exec and non-blocking.
 * Returns: 0 and *ret_listener with one reference; -EBADF, -ENOTSOCK, -EINVAL for one that does not
 * listen or is no stream, -ENOMEM, -ENOSPC: then it stays the caller's. */
AG_API int ag_listener_from_fd(int fd, ag_listener **ret_listener);

/** The descriptor, for socket options and to hand it to another process. Owns: the listener.
 * Returns: -ECANCELED when closed. */
AG_API int ag_listener_fd(ag_listener *l);

/** Says whether another process has this socket, too, and goes on with it: then a stop refuses
 * nobody and leaves the queue to the other, and a close removes no file. From: any thread. */
AG_API void ag_listener_share(ag_listener *l, bool shared);

/**
 * Waits: until a connection comes. Returns: 0 and *ret_conn with one reference; -ECANCELED when
 * the listener is closed; -EMFILE, -ENFILE, -ENOMEM, -ENOSPC when resources ran out (the
 * connection stays queued; try again later).
 */
AG_API int ag_accept(ag_listener *l, ag_conn **ret_conn);

/** No more connections; waiting ag_accept calls return -ECANCELED; removes the Unix socket's
 * file, unless the listener is shared. Who is in the queue and was not accepted is cut, unless
 * another process has the socket, too. Returns: 0, -ECANCELED if it was closed before. */
AG_API int ag_listener_close(ag_listener *l);

/**
 * Lets no more connections come, and loses none that has: ag_accept gives what is in the queue or
 * arrives there within 20 ms from a handshake under way, then -ECANCELED. Close the listener after
 * that; a client that comes meanwhile is refused at the close. If the listener is shared: ag_accept
 * gives -ECANCELED at once, and who waits or comes is the other process's.
 * Returns: 0, -ECANCELED if it was closed, -ENOMEM …: then it only stops after those 20 ms.
 */
AG_API int ag_listener_stop(ag_listener *l);

/** The address it listens on, as "127.0.0.1:8080". Owns: the listener. */
AG_API const char *ag_listener_addr(ag_listener *l);

/**
 * Connects to "host:port" or a path; "udp" and "unixgram" make a connected datagram socket. Names
 * are looked up without stalling other goroutines; every address of the answer is tried in turn.
 * Waits: until connected. Returns: 0 and *ret_conn with one reference; -ECONNREFUSED,
 * -ETIMEDOUT, -ENOENT (no such host), -EINVAL …
 */
AG_API int ag_dial(const char *net, const char *addr, ag_conn **ret_conn);

/** An address as text: "127.0.0.1", "::1", "fe80::1%eth0". */
typedef struct ag_host_addr {
    char text[64];
} ag_host_addr;

/**
 * The addresses of a host, as the system's resolver tells them (hosts file, name servers …), in its
 * order, Go's net.LookupHost. ag_dial and ag_listen ask in the same way.
 * The resolver can't be stopped: when the current context ends it goes on in the background, and
 * the goroutine does not wait for it. Goroutines that ask for the same at the same time share one
 * question, and no more than AGLET_MAX_LOOKUPS (64) are asked at once; further ones wait for their
 * turn. A number is its own answer, at once. A thread that is no goroutine asks by itself, and
 * nothing ends that.
 * Waits: for the answer. Returns: how many, up to `max`, > 0; -ENOENT when there are none, -EAGAIN
 * when the resolver can't be asked now, -EINVAL for an empty or too long name, -ENOMEM;
 * -ECANCELED, -ETIMEDOUT when the current context has ended.
 */
AG_API int ag_lookup_host(const char *host, ag_host_addr *ret_addrs, int max);

/** A connection over a socket made elsewhere, which it owns from now on, also on failure. */
AG_API int ag_conn_from_fd(int fd, ag_conn **ret_conn);

/**
 * Waits: until there is something. Returns: bytes read, 0 at the end of the stream, -ETIMEDOUT
 * past the read deadline, -ECANCELED closed, -ECONNRESET …
 */
AG_API ssize_t ag_read(ag_conn *c, void *buf, size_t n);

/** ag_read that takes what is there. Waits: for another reader's turn only. Returns: as ag_read;
 * -EAGAIN where it would wait. */
AG_API ssize_t ag_try_read(ag_conn *c, void *buf, size_t n);

/**
 * Writes all of it.
 * Waits: until the kernel took everything. Returns: n, or the error; what went out before is in
 * ag_conn_sent.
 */
AG_API ssize_t ag_write(ag_conn *c, const void *buf, size_t n);

/** ag_write of several pieces; `iov` is not changed. Limit: 1024 pieces. */
AG_API ssize_t ag_writev(ag_conn *c, const struct iovec *iov, int iov_count);

/** Deadlines for waits that go on now and later; 0: none; one in the past ends waits at once.
 * Returns: 0, -ECANCELED if closed. */
AG_API int ag_set_deadline(ag_conn *c, ag_time t);
AG_API int ag_set_read_deadline(ag_conn *c, ag_time t);
AG_API int ag_set_write_deadline(ag_conn *c, ag_time t);

/** Closes the socket; every waiter gets -ECANCELED. Returns: 0, -ECANCELED if it was closed. */
AG_API int ag_conn_close(ag_conn *c);
/** Closes it at once: what was written and not taken by the peer is dropped, and a peer over TCP
 * gets a reset. For one that has stopped reading: after ag_conn_close the kernel keeps the unsent
 * bytes, megabytes perhaps, and goes on trying for minutes. Returns: as ag_conn_close. */
AG_API int ag_conn_reset(ag_conn *c);
/** `how` as in shutdown(2): SHUT_RD, SHUT_WR, SHUT_RDWR. Waits: with TLS, for room to say so to the
 * peer, unless somebody writes; else never. Returns: 0, -ECANCELED closed, -ENOTCONN …; -ETIMEDOUT
 * past the write deadline, with nothing done. */
AG_API int ag_conn_shutdown(ag_conn *c, int how);

/** Both ends as text. Owns: the connection. Computed at the first call. Returns: "" when closed
 * before that, not connected, or out of memory. */
AG_API const char *ag_conn_local(ag_conn *c);
AG_API const char *ag_conn_remote(ag_conn *c);

/** Bytes so far, also after a write that was cut. */
AG_API int64_t ag_conn_sent(ag_conn *c);
AG_API int64_t ag_conn_received(ag_conn *c);

/** The application protocol that both ends agreed on when the connection was secured (ALPN): "h2",
 * "http/1.1" …; "" if none, before the handshake, and without TLS. Never waits. Owns: the
 * connection. */
AG_API const char *ag_conn_protocol(ag_conn *c);

/** The descriptor, for socket options: what goes over it may be encrypted (aglet/tls.h). Owns: the
 * connection. */
AG_API int ag_conn_fd(ag_conn *c);

/** Whether the peer has closed the connection or ended its sending, which TCP can't tell apart, or
 * the connection has failed or is closed here. What came before may still be read. Never waits: for
 * who works for a client, and would do so in vain. */
AG_API bool ag_conn_peer_is_gone(ag_conn *c);

/** Whether bytes of the peer have come to the descriptor that nobody has read yet; they stay there.
 * Closed or failed: false. Never waits, and may be asked while others read or close. */
AG_API bool ag_conn_has_bytes(ag_conn *c);

/**
 * Ends `ctx`, as ag_ctx_cancel_cause(ctx, -ECONNRESET) does, when the peer goes: when the
 * connection has failed or was reset, or the peer ends its sending when all that it sent has been
 * read. An end that comes while something is unread, or came before this call, does not count: who
 * sends its questions, closes its side and waits for the answers gets them. Costs nothing until it
 * happens; by the poller, so inside ag_run only.
 * One context per connection: a later one replaces it, NULL takes it back. A close here does not
 * end it.
 * Returns: 0, -ECANCELED if closed. Owns: takes a reference of `ctx`, until then.
 */
AG_API int ag_conn_cancel_when_gone(ag_conn *c, ag_ctx *ctx);

/**
 * ag_conn_when_readable(c, fn, args...): starts fn(args...) as a goroutine once c is readable,
 * has ended, failed or is closed - now or later. Until then no goroutine and no stack is held,
 * which is what an idle connection should cost. One such wish, or one reader, at a time. It may be
 * started for nothing: let it ag_try_read, and wish again at -EAGAIN.
 * Returns: 0, -EBUSY when somebody waits already, -ECANCELED when closed, -ENOMEM.
 * Owns: the pending wish holds a reference of c.
 */
#define ag_conn_when_readable(c, ...)                                                              \
    __extension__({                                                                                \
        AG__CHECK(__VA_ARGS__)                                                                     \
        AG__SITE(ag__s, __VA_ARGS__);                                                              \
        ag_conn *ag__c = (c);                                                                      \
        intptr_t ag__a[6] = {AG__ARGS(__VA_ARGS__)};                                               \
        ag__conn_when_readable(ag__c, &ag__s, AG__FN(__VA_ARGS__), ag__a);                         \
    })

AG_API int ag__conn_when_readable(ag_conn *c, const struct ag__site *site, ag__fn fn,
                                  const intptr_t args[6]);

AG__END
#endif
