/* SPDX-License-Identifier: MIT */
/*
 * Asking a program from inside of it, for tests in which it works meanwhile: what can be asked, as
 * /debug/list tells, and clients at its doors, the Unix socket and HTTP.
 */
#ifndef ASKING_H
#define ASKING_H

#include "ag_test.h"
#include "answer.h"
#include <aglet.h>
#include <aglet/http.h>

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* --- What can be asked. --- */

enum { TARGETS = 64 };
static struct target {
    char path[80];
    bool lasts; /* as many seconds as it is told */
} targets[TARGETS];
static int target_count;

static inline void add_target(const char *path, const char *query) {
    ag_check(target_count < TARGETS);
    struct target *t = &targets[target_count++];
    snprintf(t->path, sizeof t->path, "%s%s", path, query);
    t->lasts = strcmp(query, "?seconds=") == 0;
}
static inline void learn_targets(void) {
    char *text = answer_to("/debug/list"), path[64];
    for (char *rest = text, *line; (line = strtok_r(rest, "\n", &rest));) {
        ag_check_int(sscanf(line, "%63s", path), 1);
        if (strchr(path, '*'))
            continue;
        if (strstr(path, "trace"))
            add_target(path, "?seconds=0"); /* a snapshot; the default is a second */
        else if (!strstr(path, "/profile"))
            add_target(path, "");
        if (strstr(line, "?seconds="))
            add_target(path, "?seconds=");
        if (strstr(line, "debug=2"))
            add_target(path, "?debug=2");
    }
    free(text);
    ag_check(target_count > 20);
}

/* --- The doors. --- */

enum { SOCKET, HTTP, DOORS, MOUNTED = DOORS }; /* the last where a server offers it */
static char folder[64];
static struct sockaddr_un at_socket = {.sun_family = AF_UNIX};
static uint16_t ports[] = {[HTTP] = 0, [MOUNTED] = 0};

static inline void place(void) {
    snprintf(folder, sizeof folder, "/tmp/aglet-test-XXXXXX");
    ag_check(mkdtemp(folder) != NULL);
    setenv("XDG_RUNTIME_DIR", folder, 1);
    snprintf(at_socket.sun_path, sizeof at_socket.sun_path, "%s/aglet/%d.sock", folder,
             (int)getpid());
}
static inline void clear(void) {
    char inner[80];
    snprintf(inner, sizeof inner, "%s/aglet", folder);
    unlink(at_socket.sun_path);
    rmdir(inner);
    ag_check_int(rmdir(folder), 0);
}
static inline void open_doors(void) {
    int port = ag_debug_serve(":0");
    ag_check(port > 0);
    ports[HTTP] = (uint16_t)port;
    learn_targets();
}

/* The third door, in a server of the program's own; `more` (may be NULL) answers at /more. */
static inline void serves_mounted(ag_http_server *s, ag_listener *l) {
    ag_check_int(ag_http_serve(s, l), 0);
    ag_unref(l);
}
static inline ag_http_server *mount(ag_http_handler more) {
    ag_listener *l;
    ag_http_server *s = ag_http_server_new(NULL);
    ag_http_handle(s, "GET /debug/", ag_http_debug, NULL);
    ag_http_handle(s, "GET /metrics", ag_http_debug, NULL);
    if (more)
        ag_http_handle(s, "/more", more, NULL);
    ag_check_int(ag_listen("tcp", "127.0.0.1:0", &l), 0);
    ports[MOUNTED] = (uint16_t)atoi(strrchr(ag_listener_addr(l), ':') + 1);
    ag_go(serves_mounted, s, l);
    return s;
}

/* A connection; -1: nobody is there any more, as errno says. */
static inline int connects_to(const void *at, socklen_t size) {
    int fd = socket(((const struct sockaddr *)at)->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ag_check(fd >= 0);
    if (connect(fd, at, size) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}
static inline int connects_to_port(int port) {
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return connects_to(&at, sizeof at);
}
static inline int connects(int door) {
    return door == SOCKET ? connects_to(&at_socket, sizeof at_socket)
                          : connects_to_port(ports[door]);
}

/* Sends the words, all of them, and hands the connection on. */
static inline int sends(int fd, const char *words) {
    ag_check(fd >= 0);
    ag_check_int(send(fd, words, strlen(words), MSG_NOSIGNAL), strlen(words));
    return fd;
}
/* Reads to the end; the answer in full, to be freed. */
static inline char *rest_of(int fd) {
    size_t n = 0, size = 1 << 16;
    char *text = malloc(size);
    for (ssize_t r; (r = recv(fd, text + n, size - n - 1, 0)) > 0;) {
        n += (size_t)r;
        if (size - n < 1 << 15)
            text = realloc(text, size *= 2);
    }
    text[n] = 0;
    close(fd);
    return text;
}

/* A target asked for; -1: nobody is there any more. */
static inline int says(int door, const struct target *t, int seconds) {
    char words[256], number[16] = "";
    if (t->lasts)
        snprintf(number, sizeof number, "%d", seconds);
    int n = snprintf(words, sizeof words,
                     "GET %s%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", t->path,
                     number);
    int fd = connects(door);
    if (fd < 0 || send(fd, words, (size_t)n, MSG_NOSIGNAL) == n)
        return fd;
    close(fd);
    return -1;
}

/* Is it all there: a length that fits, or an end of chunks? */
static inline bool is_whole(const char *head, const char *end, size_t got) {
    const char *body = strstr(head, "\r\n\r\n"), *length = strcasestr(head, "\r\nContent-Length:");
    if (!body || !length || length > body)
        return body && memcmp(end, "\r\n0\r\n\r\n", 7) == 0;
    return (size_t)(body + 4 - head) + strtoull(length + 17, NULL, 10) == got;
}
/* The status of the answer; 0: it broke off. Reads some bytes at a time. */
static inline int answer_of(int fd, size_t step) {
    char head[2048] = "", end[8] = "", piece[4096];
    size_t got = 0;
    for (ssize_t n; (n = recv(fd, piece, step, 0)) > 0;) {
        if (got < sizeof head - 1)
            memcpy(head + got, piece,
                   (size_t)n < sizeof head - 1 - got ? (size_t)n : sizeof head - 1 - got);
        got += (size_t)n;
        size_t keep = (size_t)n < 7 ? 7 - (size_t)n : 0, take = 7 - keep;
        memmove(end, end + 7 - keep, keep);
        memcpy(end + keep, piece + n - take, take);
    }
    close(fd);
    int status = 0;
    sscanf(head, "HTTP/1.1 %d", &status);
    return is_whole(head, end, got) ? status : 0;
}

/* For ag_blocking: waits for a client's thread. */
static inline int joins(pthread_t *thread) {
    return pthread_join(*thread, NULL);
}

#endif
