/* SPDX-License-Identifier: MIT */
/*
 * The floor for an HTTP server: one thread, one level-triggered epoll loop, no parsing beyond the
 * first bytes of the path, one fixed answer for every read. What a server costs above this
 * is its own work; what it costs up to this is the kernel's.
 *
 * Usage: http WORKERS PORT, where WORKERS is 1.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS 256

struct reply {
    char bytes[2048];
    size_t length;
};

static struct reply ok, json;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void reply_init(struct reply *r, const char *type, const char *body) {
    r->length = (size_t)snprintf(r->bytes, sizeof r->bytes,
                                 "HTTP/1.1 200 OK\r\nContent-Type: %s\r\n"
                                 "Content-Length: %zu\r\n\r\n%s",
                                 type, strlen(body), body);
}

static int listen_on(int port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0)
        die("socket");
    if (bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(fd, 4096) < 0)
        die("bind");
    return fd;
}

static void watch(int epoll, int fd) {
    struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) < 0)
        die("epoll_ctl");
}

static void accept_all(int epoll, int listener) {
    int one = 1, fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        watch(epoll, fd);
    }
}

static void answer(int fd) {
    char buf[4096];
    ssize_t n = read(fd, buf, sizeof buf);
    if (n < 0 && errno == EAGAIN)
        return;
    const struct reply *r = n > 9 && memcmp(buf, "GET /json", 9) == 0 ? &json : &ok;
    if (n <= 0 || write(fd, r->bytes, r->length) != (ssize_t)r->length)
        close(fd);
}

int main(int argc, char **argv) {
    static const char head[] = "{\"message\":\"hello\",\"padding\":\"", tail[] = "\"}";
    char body[1025];
    struct epoll_event events[EVENTS];
    memset(body, 'x', 1024);
    memcpy(body, head, sizeof head - 1);
    memcpy(body + 1024 - (sizeof tail - 1), tail, sizeof tail);
    reply_init(&ok, "text/plain", "ok");
    reply_init(&json, "application/json", body);
    signal(SIGPIPE, SIG_IGN);
    int listener = listen_on(argc > 2 ? atoi(argv[2]) : 8080);
    int epoll = epoll_create1(0);
    if (epoll < 0)
        die("epoll_create1");
    watch(epoll, listener);
    for (;;) {
        int n = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == listener)
                accept_all(epoll, listener);
            else
                answer(events[i].data.fd);
        }
    }
}
