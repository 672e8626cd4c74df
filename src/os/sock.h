/* SPDX-License-Identifier: MIT */
/*
 * sock.h - what the machine must offer of sockets: non-blocking calls and addresses. Every call
 * returns a negative errno value on failure; sockets are made non-blocking and close-on-exec,
 * and no call ever raises SIGPIPE.
 */
#ifndef AG_SOCK_H
#define AG_SOCK_H

#include "base/base.h"
#include <sys/types.h>
#include <sys/uio.h>

enum { AG__ADDR_NONE, AG__ADDR_IP4, AG__ADDR_IP6, AG__ADDR_UNIX, AG__ADDR_OTHER };
enum { AG__ADDR_TEXT = 128 }; /* bytes that hold any address as text */

/* An address in the system's own form. A plain value. */
typedef struct ag__addr {
    uint32_t size;
    _Alignas(8) unsigned char raw[128];
} ag__addr;

int ag__addr_kind(const ag__addr *a);
/* From a number as text, with the scope of a link-local address after `%`. -EINVAL if it is none
 * of this kind; AG__ADDR_NONE is any. */
int ag__addr_number(const char *host, int kind, int port, ag__addr *ret_addr);
/* All addresses of this machine (to listen on), or this machine itself (to connect to). */
void ag__addr_wildcard(int kind, int port, ag__addr *ret_addr);
void ag__addr_loopback(int kind, int port, ag__addr *ret_addr);
bool ag__addr_is_wildcard(const ag__addr *a);
/* A path, or `@name` for the abstract name space. -EINVAL when empty or too long. */
int ag__addr_unix(const char *path, ag__addr *ret_addr);
/* "127.0.0.1:80", "[::1]:80", a path, "@name", or "". Cut to `size`. */
void ag__addr_text(const ag__addr *a, char *buf, size_t size);
/* The same without the port: "127.0.0.1", "::1", "fe80::1%eth0". */
void ag__addr_host_text(const ag__addr *a, char *buf, size_t size);
/* Of an internet address. */
void ag__addr_set_port(ag__addr *a, int port);
/* Asks the system's resolver for up to `max` addresses; blocks the thread. `host` may be NULL
 * with `port_name` alone. Returns how many, -ENOENT when there are none, -EAGAIN when the
 * resolver could not be asked, -EINVAL for an unknown port name. */
int ag__addr_look_up(const char *host, const char *port_name, int port, int kind, bool datagram,
                     bool listens, ag__addr *ret_addrs, int max);

/* --- Sockets. --- */
int ag__sock_new(int kind, bool datagram);
int ag__sock_bind(int fd, const ag__addr *a);
/* With the longest queue that the system allows. */
int ag__sock_listen(int fd);
/* Lets nobody new into the queue of a listening socket; who is there or in a handshake may go on.
 */
int ag__sock_refuse_new(int fd, bool tcp);
/* Returns the new socket. */
int ag__sock_accept(int fd);
/* Whether an accept failed because of that one connection, and the next may be asked for. */
bool ag__sock_accept_again(int error);
int ag__sock_connect(int fd, const ag__addr *a);
int ag__sock_shutdown(int fd, int how);
/* The other end has been closed; `or_half`: or only its sending half, which is all that TCP tells
 * of a close. */
bool ag__sock_peer_is_gone(int fd, bool or_half);
/* Ends both directions for every process that has the socket, and whatever waits for it. */
int ag__sock_hang_up(int fd);
int ag__sock_local(int fd, ag__addr *ret_addr);
int ag__sock_remote(int fd, ag__addr *ret_addr);

ssize_t ag__sock_recv(int fd, void *buf, size_t n);
/* 1: something to read, 0: the end, a negative errno: -EAGAIN when it would wait. */
int ag__sock_peek(int fd);
/* Reads and leaves it there. Returns: bytes, 0 at the end, -EAGAIN … */
ssize_t ag__sock_look(int fd, void *buf, size_t n);
ssize_t ag__sock_send(int fd, const void *buf, size_t n);
ssize_t ag__sock_sendv(int fd, const struct iovec *iov, int count);

int ag__sock_no_delay(int fd);
/* Closing it drops what was not sent, and resets. */
int ag__sock_drop_unsent(int fd);
int ag__sock_reuse_addr(int fd);
int ag__sock_reuse_port(int fd);
/* Whether it is a listening one: 0 or 1. */
int ag__sock_listens(int fd);
int ag__sock_only_ip6(int fd, bool only);
/* `tcp`: a short read means that nothing is left to read. */
int ag__sock_type(int fd, bool *ret_stream, bool *ret_tcp);

#endif
