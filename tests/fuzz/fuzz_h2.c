/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: a connection of HTTP/2 (clang -fsanitize=fuzzer,address; seeds in corpus/h2).
 *
 * The input is what a client sends behind the preface, over a pair of sockets to a server with
 * handlers that read, write, wait and fail. Whatever the bytes are: the server goes on, every
 * handler returns, and when the client has gone nothing of its connection is left.
 *
 * The runtime is started once, by the first input; a thread of its own serves, and the fuzzer's
 * thread is the client.
 */
#include <aglet.h>
#include <aglet/http.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define MUST(cond) ((cond) ? (void)0 : broken(#cond, __LINE__))

static void broken(const char *what, int line) {
    fprintf(stderr, "fuzz_h2.c:%d: does not hold: %s\n", line, what);
    abort();
}

static char name[64];
static ag_http_server *server;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ready = PTHREAD_COND_INITIALIZER;
static bool is_ready;

/* ---- The server ----------------------------------------------------------------------------- */

static void echo(ag_http_request *req, ag_http_response *res) {
    char buf[300];
    const char *field, *value;
    for (size_t i = 0; ag_http_header_at(req, i, &field, &value); i++)
        MUST(!strpbrk(field, "\r\n: ") && !strpbrk(value, "\r\n"));
    for (ssize_t n; (n = ag_http_body_read(req, buf, sizeof buf)) > 0;)
        if (ag_http_write(res, buf, (size_t)n) < 0)
            return;
}

static void large(ag_http_request *req, ag_http_response *res) {
    static char piece[20000];
    MUST(ag_http_path(req)[0] == '/' || strcmp(ag_http_path(req), "*") == 0);
    for (int i = 0; i < 4; i++)
        if (ag_http_write(res, piece, sizeof piece) < 0 || ag_http_flush(res) < 0)
            return;
}

static void ignores(ag_http_request *req, ag_http_response *res) {
    (void)req;
    ag_http_text(res, 200, "ok\n");
}

static int serve(void *arg) {
    ag_listener *l = NULL;
    ag_http_options o = {.write_ns = 200 * AG_MS,
                         .body_ns = 200 * AG_MS,
                         .head_ns = 200 * AG_MS,
                         .head_max = 2048,
                         .fields_max = 20,
                         .streams_max = 8};
    (void)arg;
    server = ag_http_server_new(&o);
    MUST(server && ag_listen("unix", name, &l) == 0);
    ag_http_handle(server, "POST /", echo, NULL);
    ag_http_handle(server, "GET /", large, NULL);
    ag_http_handle(server, "PUT /", ignores, NULL);
    pthread_mutex_lock(&lock);
    is_ready = true;
    pthread_cond_signal(&ready);
    pthread_mutex_unlock(&lock);
    return ag_http_serve(server, l);
}

static void *run(void *arg) {
    (void)arg;
    ag_run(serve, NULL);
    return NULL;
}

static void start(void) {
    pthread_t thread;
    snprintf(name, sizeof name, "@aglet-fuzz-h2-%d", (int)getpid());
    MUST(pthread_create(&thread, NULL, run, NULL) == 0);
    pthread_detach(thread);
    pthread_mutex_lock(&lock);
    while (!is_ready)
        pthread_cond_wait(&ready, &lock);
    pthread_mutex_unlock(&lock);
}

/* ---- The client ----------------------------------------------------------------------------- */

static int client(void) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    size_t n = strlen(name);
    memcpy(a.sun_path + 1, name + 1, n - 1);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    MUST(fd >= 0);
    MUST(connect(fd, (struct sockaddr *)&a, (socklen_t)(sizeof a.sun_family + n)) == 0);
    return fd;
}

static void say(int fd, const void *bytes, size_t n) {
    while (n) {
        ssize_t put = send(fd, bytes, n, MSG_NOSIGNAL);
        if (put <= 0)
            return; /* the server has had enough */
        bytes = (const char *)bytes + put;
        n -= (size_t)put;
    }
}

static bool nothing_is_left(void) {
    ag_http_stats st;
    ag_http_stats_read(server, &st);
    return st.open == 0 && st.h2_streams_open == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char settings[] = "\0\0\0\4\0\0\0\0\0";
    char buf[4096];
    if (!is_ready)
        start();
    int fd = client();
    say(fd, PREFACE, sizeof PREFACE - 1);
    say(fd, settings, sizeof settings - 1);
    say(fd, data, size > 65536 ? 65536 : size);
    shutdown(fd, SHUT_WR);
    while (recv(fd, buf, sizeof buf, 0) > 0)
        continue;
    close(fd);
    for (int i = 0; !nothing_is_left(); i++) {
        MUST(i < 20000);
        usleep(500);
    }
    return 0;
}
