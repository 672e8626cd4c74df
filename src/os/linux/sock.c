/* SPDX-License-Identifier: MIT */
/*
 * sock.c (Linux) - sockets: thin calls that turn errno into a result and leave the goroutine's
 * errno alone.
 *
 * Data is moved with MSG_DONTWAIT whatever the descriptor's flags say: O_NONBLOCK belongs to the
 * open file, which another process may share and change. MSG_NOSIGNAL is on every send.
 */
#include "os/sock.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

_Static_assert(sizeof(((ag__addr *)0)->raw) >= sizeof(struct sockaddr_storage),
               "an ag__addr holds any address");

/* The value of a system call, errno as a negative result and put back. */
#define RESULT(type, call)                                                                         \
    int saved = errno;                                                                             \
    type r = (call);                                                                               \
    if (AG__UNLIKELY(r < 0)) {                                                                     \
        r = -errno;                                                                                \
        errno = saved;                                                                             \
    }                                                                                              \
    return r

static int family_of(int kind) {
    return kind == AG__ADDR_IP4 ? AF_INET : kind == AG__ADDR_IP6 ? AF_INET6 : AF_UNIX;
}

int ag__sock_new(int kind, bool datagram) {
    int type = (datagram ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC;
    RESULT(int, socket(family_of(kind), type, 0));
}

int ag__sock_bind(int fd, const ag__addr *a) {
    RESULT(int, bind(fd, (const struct sockaddr *)a->raw, a->size));
}

int ag__sock_listen(int fd) {
    /* The kernel cuts this to net.core.somaxconn. */
    RESULT(int, listen(fd, 1 << 30));
}

int ag__sock_accept(int fd) {
    RESULT(int, accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

bool ag__sock_accept_again(int error) {
    switch (-error) {
    /* accept(2): errors of the new connection are handed to the caller of accept. */
    case EINTR:
    case ECONNABORTED:
    case ENETDOWN:
    case EPROTO:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case ENETUNREACH:
        return true;
    default:
        return false;
    }
}

int ag__sock_connect(int fd, const ag__addr *a) {
    RESULT(int, connect(fd, (const struct sockaddr *)a->raw, a->size));
}

int ag__sock_shutdown(int fd, int how) {
    RESULT(int, shutdown(fd, how));
}

bool ag__sock_peer_is_gone(int fd, bool or_half) {
    struct pollfd p = {.fd = fd, .events = or_half ? POLLRDHUP : 0};
    int saved = errno;
    int n = poll(&p, 1, 0);
    errno = saved;
    return n > 0 && (p.revents & (POLLHUP | POLLRDHUP | POLLERR | POLLNVAL));
}

int ag__sock_hang_up(int fd) {
    return ag__sock_shutdown(fd, SHUT_RDWR);
}

int ag__sock_refuse_new(int fd, bool tcp) {
    if (!tcp) /* unix(7) lets nobody in then, and keeps the queue */
        return ag__sock_shutdown(fd, SHUT_RD);
    /* Byte 13 of the TCP header has the flags: a SYN without ACK asks for a connection. What
     * belongs to handshakes under way goes through. */
    enum { FLAGS = 13, SYN_ACK = 0x12, SYN = 0x02 };
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, FLAGS),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, SYN_ACK),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYN, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    RESULT(int, setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program));
}

static int name_of(int fd, ag__addr *ret_addr, int (*get)(int, struct sockaddr *, socklen_t *)) {
    socklen_t size = sizeof ret_addr->raw;
    int saved = errno;
    int r = get(fd, (struct sockaddr *)ret_addr->raw, &size) == 0 ? 0 : -errno;
    errno = saved;
    if (r == 0)
        ret_addr->size = size;
    return r;
}

int ag__sock_local(int fd, ag__addr *ret_addr) {
    return name_of(fd, ret_addr, getsockname);
}
int ag__sock_remote(int fd, ag__addr *ret_addr) {
    return name_of(fd, ret_addr, getpeername);
}

ssize_t ag__sock_recv(int fd, void *buf, size_t n) {
    RESULT(ssize_t, recv(fd, buf, n, MSG_DONTWAIT));
}

int ag__sock_peek(int fd) {
    char byte;
    RESULT(int, (int)recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK));
}

ssize_t ag__sock_look(int fd, void *buf, size_t n) {
    RESULT(ssize_t, recv(fd, buf, n, MSG_DONTWAIT | MSG_PEEK));
}

ssize_t ag__sock_send(int fd, const void *buf, size_t n) {
    RESULT(ssize_t, send(fd, buf, n, MSG_DONTWAIT | MSG_NOSIGNAL));
}

ssize_t ag__sock_sendv(int fd, const struct iovec *iov, int count) {
    struct msghdr m = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)count};
    RESULT(ssize_t, sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL));
}

static int set(int fd, int level, int option, int value) {
    RESULT(int, setsockopt(fd, level, option, &value, sizeof value));
}

int ag__sock_drop_unsent(int fd) {
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    RESULT(int, setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once));
}

int ag__sock_no_delay(int fd) {
    return set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
}
int ag__sock_reuse_addr(int fd) {
    return set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
}
int ag__sock_reuse_port(int fd) {
    return set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
}
int ag__sock_only_ip6(int fd, bool only) {
    return set(fd, IPPROTO_IPV6, IPV6_V6ONLY, only);
}

static int get(int fd, int option, int *ret_value) {
    socklen_t size = sizeof *ret_value;
    RESULT(int, getsockopt(fd, SOL_SOCKET, option, ret_value, &size));
}

int ag__sock_listens(int fd) {
    int listens = 0;
    int r = get(fd, SO_ACCEPTCONN, &listens);
    return r < 0 ? r : listens;
}

int ag__sock_type(int fd, bool *ret_stream, bool *ret_tcp) {
    int type = 0, domain = 0, protocol = 0;
    int r = get(fd, SO_TYPE, &type);
    if (r == 0)
        r = get(fd, SO_DOMAIN, &domain);
    if (r == 0)
        r = get(fd, SO_PROTOCOL, &protocol);
    if (r < 0)
        return r;
    *ret_stream = type == SOCK_STREAM;
    *ret_tcp = (domain == AF_INET || domain == AF_INET6) && protocol == IPPROTO_TCP;
    return 0;
}
