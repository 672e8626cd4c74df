/* SPDX-License-Identifier: MIT */
/*
 * Three ways in which a server that does nothing wrong by itself gives its clients a 502 or a
 * reset:
 *
 *   idle    it closes an idle connection while the proxy's next request is under way
 *   unread  it closes a connection from which it has not read everything: the kernel sends a reset,
 *           and whoever still writes does not get to read the answer
 *   queue   it closes its listener while connections that the kernel has accepted wait there
 *
 * Each is shown in its wrong form and in ours, with the same clients. All three are races; here
 * they are lost on purpose: a network that takes 100 ms to tell of a close, a client that sends its
 * body to the end before it reads, and connections that are in the queue before anybody accepts.
 */
#include "servers.h"

#include <aglet/http.h>

enum {
    CLIENTS = 24,
    FAR_MS = 100,   /* what the network takes, from the service to the proxy */
    IDLE_MS = 200,  /* too short, for a proxy that keeps its connections for 60 s */
    PAUSE_MS = 160, /* of a client, from an answer to its next request: see `idle` */
    BODY = 512 * 1024,
    PIECES = 64,
    HEAD = 1024,
};

static _Atomic int failed, asked;
static int service_port;

static void report(void) {
    lab_print("asked", asked);
    lab_print("failed", failed);
}

static int free_listener(ag_listener **ret_l) {
    return ag_listen("tcp", "127.0.0.1:0", ret_l) == 0
               ? atoi(strrchr(ag_listener_addr(*ret_l), ':') + 1)
               : 0;
}

static void ok(ag_http_request *req, ag_http_response *res) {
    (void)req;
    ag_http_text(res, 200, "ok\n");
}

static void serve(ag_http_server *s, ag_listener *l) {
    ag_http_serve(s, l);
}

/* ---- An idle connection ------------------------------------------------------------------------
 */

/* The network: what comes back, the end as well, comes later. */
static void carry(ag_conn *from, ag_conn *to, ag_time delay) {
    char buf[4096];
    for (ssize_t n; (n = ag_read(from, buf, sizeof buf)) > 0;) {
        ag_sleep(delay);
        if (ag_write(to, buf, (size_t)n) < 0)
            break;
    }
    ag_sleep(delay);
    ag_conn_close(to);
    ag_conn_close(from);
    ag_unref(to);
    ag_unref(from);
}

/* The proxy's port of it was open before there was a goroutine: a bare socket. */
static void network(int socket) {
    char addr[32];
    snprintf(addr, sizeof addr, "127.0.0.1:%d", service_port);
    while (ag_fd_wait(socket, AG_READABLE, 0) > 0) {
        ag_conn *proxy, *service;
        int fd = accept4(socket, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 || ag_conn_from_fd(fd, &proxy) != 0)
            continue;
        if (ag_dial("tcp", addr, &service) != 0) {
            ag_conn_close(proxy);
            ag_unref(proxy);
            continue;
        }
        ag_ref(proxy);
        ag_ref(service);
        ag_go(carry, proxy, service, (ag_time)0);
        ag_go(carry, service, proxy, FAR_MS * AG_MS);
    }
}

/*
 * The service is idle from 0 on and closes at IDLE_MS, or up to three of its wheel's ticks later;
 * the client has its answer at FAR_MS and sends again PAUSE_MS after that, before the news of the
 * close is at the proxy, IDLE_MS + FAR_MS. A POST, which no proxy may send twice.
 */
static void asks_twice(int port) {
    /* Who came late may lose the race with his first request. */
    bool answered = lab_ask(port, "POST", "/", NULL, 0) == 200;
    ag_sleep(answered ? PAUSE_MS * AG_MS : 0);
    asked++;
    failed += !answered || lab_ask(port, "POST", "/", NULL, 0) != 200;
}

struct idle_stage {
    int proxy_port, network;
    long idle_ms;
};

static int idle(void *arg) {
    const struct idle_stage *stage = arg;
    ag_listener *l;
    ag_wg all = {0};
    ag_http_options options = {.idle_ns = stage->idle_ms * AG_MS, .head_ns = 2 * AG_SEC};
    ag_http_server *s = ag_http_server_new(&options);
    ag_http_handle(s, "/", ok, NULL);
    service_port = free_listener(&l);
    if (!service_port)
        return 1;
    ag_go(serve, s, l);
    ag_go(network, stage->network);
    for (int i = 0; i < CLIENTS; i++)
        ag_wg_go(&all, asks_twice, stage->proxy_port);
    ag_wg_wait(&all);
    report();
    return 0;
}

/* `n`: the idle time, 0 for the default. */
static int idle_part(long n) {
    struct idle_stage stage = {.idle_ms = n};
    struct lab_server nginx;
    char upstream[128];
    int port = 0, status = 1;
    if (!lab_dir_make())
        return 1;
    stage.network = lab_port(true, &port);
    snprintf(upstream, sizeof upstream, "    server 127.0.0.1:%d;\n    keepalive %d;\n", port,
             CLIENTS);
    stage.proxy_port = lab_nginx(&nginx, upstream,
                                 "      proxy_http_version 1.1;\n"
                                 "      proxy_set_header Connection \"\";\n");
    if (stage.network >= 0 && stage.proxy_port)
        status = ag_run(idle, &stage);
    lab_stop(&nginx, SIGTERM);
    return status;
}

/* ---- Unread bytes ------------------------------------------------------------------------------
 */

/* Sends all it has, piece by piece, then reads, as most clients do; gives up when it can't send. */
static void uploads(int port) {
    char addr[32], head[HEAD];
    static const char piece[BODY / PIECES];
    ag_conn *c;
    snprintf(addr, sizeof addr, "127.0.0.1:%d", port);
    if (ag_dial("tcp", addr, &c) != 0)
        return;
    int n = snprintf(head, sizeof head,
                     "POST / HTTP/1.1\r\nHost: lab\r\nContent-Length: %d\r\n\r\n", BODY);
    bool sent = ag_write(c, head, (size_t)n) == n;
    for (int i = 0; sent && i < PIECES; i++) {
        sent = ag_write(c, piece, sizeof piece) == (ssize_t)sizeof piece;
        ag_sleep(2 * AG_MS);
    }
    ssize_t got = sent ? ag_read(c, head, sizeof head) : 0;
    asked++;
    failed += got < 12 || memcmp(head, "HTTP/1.1 413", 12) != 0;
    ag_conn_close(c);
    ag_unref(c);
}

/* Reads the head, sees that the body is too large, says so, closes. */
static void refuses(ag_conn *c) {
    static const char answer[] = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n";
    char head[HEAD];
    if (ag_read(c, head, sizeof head) > 0)
        ag_write(c, answer, sizeof answer - 1);
    ag_conn_close(c);
    ag_unref(c);
}

static void accepts(ag_listener *l) {
    for (ag_conn *c; ag_accept(l, &c) == 0;)
        ag_go(refuses, c);
}

static void reads_body(ag_http_request *req, ag_http_response *res) {
    char buf[HEAD];
    (void)res;
    while (ag_http_body_read(req, buf, sizeof buf) > 0)
        continue;
}

static int unread(void *naive) {
    ag_listener *l;
    ag_wg all = {0};
    int port = free_listener(&l);
    if (!port)
        return 1;
    if (*(long *)naive) {
        ag_go(accepts, l);
    } else {
        ag_http_options options = {.body_max = HEAD};
        ag_http_server *s = ag_http_server_new(&options);
        ag_http_handle(s, "/", reads_body, NULL);
        ag_go(serve, s, l);
    }
    for (int i = 0; i < CLIENTS; i++)
        ag_wg_go(&all, uploads, port);
    ag_wg_wait(&all);
    report();
    return 0;
}

/* `n`: 1 for the wrong way. */
static int unread_part(long n) {
    return ag_run(unread, &n);
}

/* ---- The queue of a listener --------------------------------------------------------------------
 */

static ag_wg queued; /* clients that have connected and sent their request */

static void waits_in_queue(int port) {
    char addr[32], answer[HEAD];
    static const char request[] = "GET / HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n";
    ag_conn *c;
    snprintf(addr, sizeof addr, "127.0.0.1:%d", port);
    bool sent = ag_dial("tcp", addr, &c) == 0 &&
                ag_write(c, request, sizeof request - 1) == (ssize_t)sizeof request - 1;
    ag_wg_done(&queued);
    ssize_t got = sent ? ag_read(c, answer, sizeof answer) : 0;
    asked++;
    failed += got < 12 || memcmp(answer, "HTTP/1.1 200", 12) != 0;
}

static void answers(ag_conn *c) {
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    char head[HEAD];
    if (ag_read(c, head, sizeof head) > 0)
        ag_write(c, answer, sizeof answer - 1);
    ag_conn_close(c);
    ag_unref(c);
}

static int queue(void *naive) {
    ag_listener *l;
    ag_wg all = {0};
    int port = free_listener(&l);
    if (!port)
        return 1;
    ag_wg_add(&queued, CLIENTS);
    for (int i = 0; i < CLIENTS; i++)
        ag_wg_go(&all, waits_in_queue, port);
    ag_wg_wait(&queued);
    /* The end of the service comes before its loop has looked again. */
    if (!*(long *)naive) {
        ag_listener_stop(l);
        for (ag_conn *c; ag_accept(l, &c) == 0;)
            ag_wg_go(&all, answers, c);
    }
    ag_listener_close(l);
    ag_wg_wait(&all);
    report();
    return 0;
}

static int queue_part(long n) {
    return ag_run(queue, &n);
}

/* ---- The table
 * ----------------------------------------------------------------------------------- */

static struct lab_cell failures(const char *part, long n) {
    struct lab_values v = lab_self(part, n);
    struct lab_cell cell;
    if (isnan(lab_get(&v, "failed")) || lab_get(&v, "asked") < CLIENTS)
        snprintf(cell.text, sizeof cell.text, "%s", v.missing[0] ? v.missing : "did not happen");
    else
        snprintf(cell.text, sizeof cell.text, "%.0f of %.0f", lab_get(&v, "failed"),
                 lab_get(&v, "asked"));
    return cell;
}

static int table(void) {
    bool nginx = lab_nginx_program() != NULL;
    lab_begin("Requests that failed although nobody was at fault, lost on purpose:", "the race",
              "the wrong way", "failed", "aglet's way", "failed");
    lab_row("idle connection closed, next request under way", "idle_ns of 0.2 s, nginx keeps 60 s",
            nginx ? failures("idle", IDLE_MS).text : "there is no nginx", "the default, 75 s",
            nginx ? failures("idle", 0).text : "there is no nginx");
    lab_row("closed with unread bytes, the client still sends", "answer, close",
            failures("unread", 1).text, "answer, end of sending, read on",
            failures("unread", 0).text);
    lab_row("listener closed, connections in its queue", "ag_listener_close",
            failures("queue", 1).text, "ag_listener_stop, accept the rest",
            failures("queue", 0).text);
    lab_end("The first is a matter of two settings: who answers must keep a connection longer than "
            "who asks.\nThe others ag_http_serve and ag_http_stop do by themselves; what is shown "
            "is a server of one's own\non sockets. A proxy sends a GET again by itself, a POST "
            "never: the clients of the first row post.");
    return 0;
}

int main(int argc, char **argv) {
    static const struct lab_part parts[] = {
        {"idle", idle_part}, {"unread", unread_part}, {"queue", queue_part}, {NULL, NULL}};
    static const struct lab lab = {
        "keepalive", "which requests are lost when connections end, and how not to?", parts, table};
    return lab_main(argc, argv, &lab);
}
