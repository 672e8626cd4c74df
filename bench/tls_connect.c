/* SPDX-License-Identifier: MIT */
/*
 * The client of the rows about new TLS connections: connects, shakes hands, asks once, reads to the
 * end, again and again.
 *
 *     tls_connect HOST:PORT SECONDS CONCURRENCY [resumed|full] [PATH]
 *
 * HOST is an IPv4 address. Each of CONCURRENCY places keeps the newest session that it was given
 * and resumes that (TLS 1.3); `full` shows none. Prints `tls_resumed VALUE /s` or `tls_full VALUE
 * /s`: connections whose answer was read to its end. Anything else - another status than 200, a
 * session that is not resumed, a connection that ends early - is the end of the program.
 *
 * One thread and epoll, no runtime: what is measured is the server's.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PLACES_MAX = 1024, EVENTS = 64 };

/* One connection after the other. */
typedef struct place {
    SSL *ssl;
    SSL_SESSION *session;
    int fd;
    bool shaken, answered;
} place;

static struct sockaddr_in server;
static char request[512];
static int request_n;
static bool full;
static SSL_CTX *ctx;
static int poller;
static long done;

static void fail(const char *what) {
    fprintf(stderr, "tls_connect: %s\n", what);
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int keep_session(SSL *ssl, SSL_SESSION *session) {
    place *p = SSL_get_app_data(ssl);
    SSL_SESSION_free(p->session);
    p->session = session;
    return 1;
}

static void begin(place *p) {
    p->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = p};
    if (p->fd < 0 ||
        (connect(p->fd, (struct sockaddr *)&server, sizeof server) != 0 && errno != EINPROGRESS))
        fail("no connection");
    /* The request must not wait until the end of the handshake is acknowledged. */
    setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    p->ssl = SSL_new(ctx);
    p->shaken = p->answered = false;
    if (!p->ssl || !SSL_set_fd(p->ssl, p->fd))
        fail("out of memory");
    SSL_set_app_data(p->ssl, p);
    SSL_set_connect_state(p->ssl);
    if (p->session && !full)
        SSL_set_session(p->ssl, p->session);
    if (epoll_ctl(poller, EPOLL_CTL_ADD, p->fd, &e) != 0)
        fail("epoll_ctl");
}

static void end(place *p) {
    SSL_set_quiet_shutdown(p->ssl, 1);
    SSL_shutdown(p->ssl);
    SSL_free(p->ssl);
    close(p->fd);
}

/* Whether OpenSSL wants to go on when the socket does; any other failure is the end. */
static bool waits(place *p, int r, const char *what) {
    int e = SSL_get_error(p->ssl, r);
    if (e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE)
        fail(what);
    return true;
}

/* Returns: whether the answer has come to its end. */
static bool read_answer(place *p) {
    char buf[4096];
    size_t n;
    for (;;) {
        int r = SSL_read_ex(p->ssl, buf, sizeof buf, &n);
        if (r != 1 && SSL_get_error(p->ssl, r) == SSL_ERROR_ZERO_RETURN)
            return p->answered || (fail("no answer"), false);
        if (r != 1)
            return !waits(p, r, "the connection ended early");
        if (!p->answered && (n < 12 || memcmp(buf + 8, " 200", 4) != 0))
            fail("the answer is not 200");
        p->answered = true;
    }
}

/* Returns: whether the connection is done. */
static bool step(place *p) {
    if (!p->shaken) {
        int r = SSL_do_handshake(p->ssl);
        if (r != 1)
            return !waits(p, r, "the handshake failed");
        p->shaken = true;
        if (p->session && !full && !SSL_session_reused(p->ssl))
            fail("the session was not resumed");
        if (SSL_write(p->ssl, request, request_n) != request_n)
            fail("the request could not be sent");
    }
    return read_answer(p);
}

static void run(place *places, int count, double seconds, long most) {
    struct epoll_event events[EVENTS];
    double until = now() + seconds;
    done = 0;
    for (int i = 0; i < count; i++)
        begin(&places[i]);
    while (now() < until && done < most) {
        int n = epoll_wait(poller, events, EVENTS, 100);
        for (int i = 0; i < n; i++) {
            place *p = events[i].data.ptr;
            /* Not connected yet: the event is that of the new socket. */
            if (events[i].events == (EPOLLOUT | EPOLLHUP) || !step(p))
                continue;
            end(p);
            done++;
            begin(p);
        }
    }
    for (int i = 0; i < count; i++)
        end(&places[i]);
}

static void find_server(char *where) {
    char *port = strrchr(where, ':');
    if (!port)
        fail("HOST:PORT is wanted");
    *port++ = 0;
    server.sin_family = AF_INET;
    server.sin_port = htons((unsigned short)atoi(port));
    if (inet_pton(AF_INET, where, &server.sin_addr) != 1)
        fail("HOST is no IPv4 address");
}

static void make_context(void) {
    ctx = SSL_CTX_new(TLS_client_method());
    if (!ctx || !SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION))
        fail("no TLS 1.3");
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, keep_session);
}

int main(int argc, char **argv) {
    static place places[PLACES_MAX];
    int count = argc > 3 ? atoi(argv[3]) : 0;
    if (count < 1 || count > PLACES_MAX)
        fail("usage: tls_connect HOST:PORT SECONDS CONCURRENCY [resumed|full] [PATH]");
    full = argc > 4 && strcmp(argv[4], "full") == 0;
    find_server(argv[1]);
    request_n = snprintf(request, sizeof request,
                         "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
                         argc > 5 ? argv[5] : "/ok");
    signal(SIGPIPE, SIG_IGN);
    make_context();
    poller = epoll_create1(0);
    run(places, 1, 10, 1); /* the first session, which all begin with */
    /* Copies: OpenSSL resumes no session that another connection has a newer ticket for. */
    for (int i = 1; i < count && places[0].session; i++)
        places[i].session = SSL_SESSION_dup(places[0].session);
    if (!full && !places[0].session)
        fail("the server gave no session");
    double before = now();
    run(places, count, atof(argv[2]), 1L << 60);
    printf("%s %.1f /s\n", full ? "tls_full" : "tls_resumed", (double)done / (now() - before));
    return 0;
}
