/* SPDX-License-Identifier: MIT */
/*
 * load.h - HTTP clients that keep their connections and are asked for one thing: how many requests
 * were not answered. Threads and blocking sockets, nothing of aglet: a bug of the library must not
 * hide itself.
 *
 * Each client sends its next request once the answer to the last is there; nothing is ever sent
 * again. A connection that the server ends with "Connection: close" in an answer is replaced by a
 * new one. Failed is: no connection, an error or an end before the whole answer, and any status but
 * 200.
 */
#ifndef LOAD_H
#define LOAD_H

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { LOAD_CLIENTS = 256, LOAD_LIMIT_S = 30 };

struct load {
    int port; /* on 127.0.0.1 */
    int clients;
    const char *path;
    _Atomic bool stop;
    _Atomic long answered, failed, connections;
    pthread_mutex_t lock;
    char first[160]; /* what the first failure was; guarded by lock */
    pthread_t threads[LOAD_CLIENTS];
};

static inline void load_fail(struct load *l, const char *where, int error, bool reused) {
    if (atomic_fetch_add(&l->failed, 1) > 0)
        return;
    pthread_mutex_lock(&l->lock);
    snprintf(l->first, sizeof l->first, "%s: %s, %s connection", where,
             error > 0    ? strerror(error)
             : error == 0 ? "the end of the connection"
                          : "another status than 200",
             reused ? "a used" : "a new");
    pthread_mutex_unlock(&l->lock);
}

static inline int load_connect(struct load *l) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)l->port)};
    struct timeval limit = {.tv_sec = LOAD_LIMIT_S};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* Reads one answer. Returns: 1 to go on, 2 if the server ends the connection, 0 at its end, -errno,
 * -10000 for another status. */
static inline int load_answer(int fd) {
    char buf[8192];
    size_t n = 0;
    for (;;) {
        ssize_t got = recv(fd, buf + n, sizeof buf - 1 - n, 0);
        if (got <= 0)
            return got == 0 ? 0 : -errno;
        n += (size_t)got;
        buf[n] = '\0';
        char *end = strstr(buf, "\r\n\r\n"), *length = strcasestr(buf, "\nContent-Length:");
        if (!end || !length || length > end)
            continue;
        if (n < (size_t)(end + 4 - buf) + strtoul(length + 16, NULL, 10))
            continue;
        if (strncmp(buf, "HTTP/1.1 200 ", 13) != 0)
            return -10000;
        char *close_at = strcasestr(buf, "\nConnection: close");
        return close_at && close_at < end ? 2 : 1;
    }
}

static inline void *load_client(void *arg) {
    struct load *l = arg;
    char request[256];
    int n =
        snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", l->path);
    int fd = -1;
    bool reused = false;
    while (!atomic_load(&l->stop)) {
        if (fd < 0) {
            fd = load_connect(l);
            reused = false;
            if (fd < 0) {
                load_fail(l, "connect", errno, false);
                nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
                continue;
            }
            atomic_fetch_add(&l->connections, 1);
        }
        bool sent = send(fd, request, (size_t)n, MSG_NOSIGNAL) == n;
        int r = sent ? load_answer(fd) : -errno;
        if (r > 0)
            atomic_fetch_add(&l->answered, 1);
        else
            load_fail(l, sent ? "answer" : "request", r == -10000 ? -1 : -r, reused);
        if (r != 1) {
            close(fd);
            fd = -1;
        }
        reused = true;
    }
    if (fd >= 0)
        close(fd);
    return NULL;
}

static inline void load_start(struct load *l) {
    pthread_mutex_init(&l->lock, NULL);
    for (int i = 0; i < l->clients; i++)
        if (pthread_create(&l->threads[i], NULL, load_client, l) != 0)
            abort();
}

/** Returns when every client has the answer to its last request. */
static inline void load_end(struct load *l) {
    atomic_store(&l->stop, true);
    for (int i = 0; i < l->clients; i++)
        pthread_join(l->threads[i], NULL);
}

#endif
