/* SPDX-License-Identifier: MIT */
/*
 * load.h - what the load generators share: connections that ask for one path again and again over
 * HTTP/1.1, with as little work as can be, so that the server is the limit and not the generator.
 *
 * The first reply is read with care: its status, its Content-Length. All others must be as long
 * and begin with the same status; more is not looked at.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LOAD_SEC INT64_C(1000000000)
/* Ports of one source address that are used; the kernel has 28,000 by default. */
#define LOAD_PER_SOURCE 20000

static struct sockaddr_in load_server;
static char load_request[512];
static size_t load_request_bytes, load_reply_bytes;
static char load_buffer[1 << 16];

__attribute__((noreturn, format(printf, 1, 2))) static inline void load_die(const char *format,
                                                                            ...) {
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

static inline void load_must(bool truth, const char *what) {
    if (!truth)
        load_die("%s: %s", what, strerror(errno));
}

static inline int64_t load_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * LOAD_SEC + t.tv_nsec;
}

/** Takes ADDRESS:PORT and the path. */
static inline void load_target(const char *at, const char *path) {
    char address[64];
    int port;
    if (sscanf(at, "%63[0-9.]:%d", address, &port) != 2 ||
        inet_pton(AF_INET, address, &load_server.sin_addr) != 1)
        load_die("not ADDRESS:PORT: %s", at);
    load_server.sin_family = AF_INET;
    load_server.sin_port = htons((uint16_t)port);
    load_request_bytes = (size_t)snprintf(load_request, sizeof load_request,
                                          "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, at);
    if (load_request_bytes >= sizeof load_request)
        load_die("the path is too long");
}

/** Opens connection number i; one of many comes from one of many addresses, for want of ports.
 * Reads and writes of it wait. */
static inline int load_connect(int i) {
    const struct linger reset = {.l_onoff = 1}; /* no port is held by TIME_WAIT */
    const int one = 1;
    struct sockaddr_in source = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    load_must(fd >= 0, "socket");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)(i / LOAD_PER_SOURCE));
    load_must(bind(fd, (struct sockaddr *)&source, sizeof source) == 0, "bind");
    load_must(connect(fd, (struct sockaddr *)&load_server, sizeof load_server) == 0, "connect");
    return fd;
}

static inline void load_ask(int fd) {
    ssize_t n = send(fd, load_request, load_request_bytes, MSG_NOSIGNAL);
    load_must(n == (ssize_t)load_request_bytes, "send");
}

/** Reads what is there of a reply of which there are *got bytes already.
 * Returns: whether it is complete; *got is 0 again then. */
static inline bool load_answered(int fd, uint32_t *got) {
    ssize_t n = recv(fd, load_buffer, sizeof load_buffer, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return false;
    load_must(n >= 0, "recv");
    if (n == 0)
        load_die("the server closed a connection");
    if (*got == 0 && n >= 12 && memcmp(load_buffer, "HTTP/1.1 200", 12) != 0)
        load_die("the server answers %.12s", load_buffer);
    *got += (uint32_t)n;
    if (*got > load_reply_bytes)
        load_die("the replies are not all of %zu bytes", load_reply_bytes);
    if (*got < load_reply_bytes)
        return false;
    *got = 0;
    return true;
}

/** Asks once, waits, and notes how long a reply is. */
static inline void load_first(int fd) {
    static const char field[] = "\r\ncontent-length:";
    size_t got = 0;
    char *end, *length;
    load_ask(fd);
    do {
        ssize_t n = recv(fd, load_buffer + got, sizeof load_buffer - 1 - got, 0);
        load_must(n >= 0, "recv");
        if (n == 0)
            load_die("no reply of at most %zu bytes", sizeof load_buffer - 1);
        got += (size_t)n;
        load_buffer[got] = 0;
        end = strstr(load_buffer, "\r\n\r\n");
        load_reply_bytes = SIZE_MAX;
        if (!end)
            continue;
        length = strcasestr(load_buffer, field);
        if (memcmp(load_buffer, "HTTP/1.1 200", 12) != 0 || !length || length > end)
            load_die("not 200 with a Content-Length: %.*s", (int)(end - load_buffer), load_buffer);
        load_reply_bytes =
            (size_t)(end + 4 - load_buffer) + strtoul(length + sizeof field - 1, NULL, 10);
    } while (got < load_reply_bytes);
}

static inline int load_compare(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

#endif
