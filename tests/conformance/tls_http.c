/* SPDX-License-Identifier: MIT */
/*
 * The HTTP server over TLS, which it knows nothing of: everything that it promises for plain
 * connections and that has to do with reading, writing, waiting and closing.
 */
#include "common.h"
#include "tls_certs.h"

#include <aglet/http.h>
#include <sys/socket.h>

struct site {
    ag_http_server *s;
    ag_listener *l;
    ag_tls_config *server, *client;
    atomic_int served; /* what ag_http_serve returned, less 1000 */
};

static void site_serve(struct site *site) {
    atomic_store(&site->served, ag_http_serve(site->s, site->l) - 1000);
}

static void answer(ag_http_request *req, ag_http_response *res) {
    ag_http_printf(res, "%s", ag_http_path_value(req, "word"));
}

static void send_back(ag_http_request *req, ag_http_response *res) {
    char buf[9000];
    ssize_t n;
    while ((n = ag_http_body_read(req, buf, sizeof buf)) > 0)
        if (ag_http_write(res, buf, (size_t)n) < 0)
            return;
    ag_check_int(n, 0);
}

static void site_start(struct site *site, const ag_http_options *options) {
    memset(site, 0, sizeof *site);
    site->s = ag_http_server_new(options);
    site->server = config_with("site", NULL);
    site->client = config_with(NULL, "ca");
    ag_http_handle(site->s, "GET /say/{word}", answer, NULL);
    ag_http_handle(site->s, "POST /back", send_back, NULL);
    ag_check_int(ag_tls_listen("tcp", "127.0.0.1:0", site->server, &site->l), 0);
    ag_go(site_serve, site);
}

static void site_end(struct site *site) {
    ag_check_int(ag_http_stop(site->s, 10 * AG_SEC * ag_test_slow()), 0);
    eventually(atomic_load(&site->served) == -1000);
    eventually(ag_count() == 1); /* clients use it, too */
    ag_http_server_free(site->s);
    ag_unref(site->l);
    ag_unref(site->server);
    ag_unref(site->client);
}

static ag_http_stats stats_of(struct site *site) {
    ag_http_stats st;
    ag_http_stats_read(site->s, &st);
    return st;
}

/* ---- A client ------------------------------------------------------------------------------- */

struct client {
    ag_conn *c;
    ag_reader in;
    char buf[1 << 14];
    bool last; /* the server has said that it closes */
};

/* Returns: false if nobody listens any more. */
static bool client_open(struct client *cl, struct site *site) {
    int r = ag_dial("tcp", ag_listener_addr(site->l), &cl->c);
    if (r == -ECONNREFUSED)
        return false;
    ag_check_int(r, 0);
    ag_set_deadline(cl->c, ag_now() + 20 * AG_SEC * ag_test_slow());
    ag_check_int(ag_tls_client(cl->c, site->client, "localhost"), 0);
    ag_reader_init_conn(&cl->in, cl->c, cl->buf, sizeof cl->buf);
    cl->last = false;
    return true;
}

static void client_close(struct client *cl) {
    ag_conn_close(cl->c);
    ag_unref(cl->c);
}

/* A line without its end. Returns: false at the end of the connection. */
static bool take_line(struct client *cl, char *line, size_t size) {
    size_t n = 0;
    char byte;
    while (ag_reader_read(&cl->in, &byte, 1) == 1) {
        ag_check(n < size);
        if (byte == '\n') {
            line[n - 1] = 0;
            return true;
        }
        line[n++] = byte;
    }
    ag_check_int(n, 0);
    return false;
}

static void take_bytes(struct client *cl, char *to, size_t n) {
    for (size_t at = 0; at < n;) {
        ssize_t got = ag_reader_read(&cl->in, to + at, n - at);
        ag_check(got > 0);
        at += (size_t)got;
    }
}

/* The body of a reply of 200, of at most `size` bytes. Returns: its length, -1 at the end. */
static ssize_t take_reply(struct client *cl, char *body, size_t size) {
    char line[1000];
    ssize_t length = -1;
    size_t n = 0;
    if (!take_line(cl, line, sizeof line))
        return -1;
    ag_check_str(line, "HTTP/1.1 200 OK");
    while (take_line(cl, line, sizeof line) && line[0]) {
        if (strncmp(line, "Content-Length: ", 16) == 0)
            length = strtol(line + 16, NULL, 10);
        cl->last |= strcmp(line, "Connection: close") == 0;
    }
    if (length >= 0) {
        ag_check((size_t)length <= size);
        take_bytes(cl, body, (size_t)length);
        return length;
    }
    for (;;) {
        ag_check(take_line(cl, line, sizeof line));
        size_t piece = strtoul(line, NULL, 16);
        ag_check(n + piece <= size);
        take_bytes(cl, body + n, piece);
        n += piece;
        ag_check(take_line(cl, line, sizeof line));
        if (piece == 0)
            return (ssize_t)n;
    }
}

static void say(struct client *cl, const char *text) {
    ag_check_int(ag_write(cl->c, text, strlen(text)), strlen(text));
}

static void expect(struct client *cl, const char *body) {
    char got[100];
    ssize_t n = take_reply(cl, got, sizeof got - 1);
    ag_check(n >= 0);
    got[n] = 0;
    ag_check_str(got, body);
}

/* ---- Requests ------------------------------------------------------------------------------- */

AG_TEST_RUN(a_connection_is_kept_alive) {
    certs_usual();
    ag_defer(certs_end);
    struct site site;
    struct client cl;
    site_start(&site, NULL);
    ag_check(client_open(&cl, &site));
    for (int i = 0; i < 50; i++) {
        say(&cl, "GET /say/hello HTTP/1.1\r\nHost: localhost\r\n\r\n");
        expect(&cl, "hello");
    }
    ag_check_int(stats_of(&site).accepted, 1);
    ag_check_int(stats_of(&site).requests[2], 50);
    client_close(&cl);
    site_end(&site);
}

AG_TEST_RUN(pipelined_requests_are_answered_in_order) {
    certs_usual();
    ag_defer(certs_end);
    struct site site;
    struct client cl;
    static char all[40000];
    size_t n = 0;
    site_start(&site, NULL);
    ag_check(client_open(&cl, &site));
    for (int i = 0; i < 500; i++)
        n += (size_t)snprintf(all + n, sizeof all - n,
                              "GET /say/%d HTTP/1.1\r\nHost: localhost\r\n\r\n", i);
    say(&cl, all);
    for (int i = 0; i < 500; i++) {
        char body[16];
        snprintf(body, sizeof body, "%d", i);
        expect(&cl, body);
    }
    client_close(&cl);
    site_end(&site);
}

/* A request that comes byte by byte, each in a record of its own. */
AG_TEST_RUN(a_request_may_come_in_many_records) {
    certs_usual();
    ag_defer(certs_end);
    struct site site;
    struct client cl;
    site_start(&site, NULL);
    ag_check(client_open(&cl, &site));
    for (const char *p = "GET /say/slow HTTP/1.1\r\nHost: localhost\r\n\r\n"; *p; p++)
        ag_check_int(ag_write(cl.c, p, 1), 1);
    expect(&cl, "slow");
    client_close(&cl);
    site_end(&site);
}

enum { LARGE = 5 << 20 };

static void upload(ag_conn *c, const char *data, bool chunked) {
    char head[200];
    int n = snprintf(
        head, sizeof head, "POST /back HTTP/1.1\r\nHost: localhost\r\n%s%s\r\n\r\n",
        chunked ? "Transfer-Encoding: chunked" : "Content-Length: ", chunked ? "" : "5242880");
    ag_check_int(ag_write(c, head, (size_t)n), n);
    if (!chunked) {
        ag_check_int(ag_write(c, data, LARGE), LARGE);
        return;
    }
    for (int at = 0, size = 1; at < LARGE; at += size, size = size * 3 % 70001 + 1) {
        if (size > LARGE - at)
            size = LARGE - at;
        n = snprintf(head, sizeof head, "%x\r\n", size);
        struct iovec pieces[] = {
            {head, (size_t)n}, {(void *)(data + at), (size_t)size}, {"\r\n", 2}};
        ag_check_int(ag_writev(c, pieces, 3), n + size + 2);
    }
    ag_check_int(ag_write(c, "0\r\n\r\n", 5), 5);
}

AG_TEST_RUN(large_bodies_go_both_ways_at_once) {
    certs_usual();
    ag_defer(certs_end);
    struct site site;
    struct client cl;
    char *data = malloc(LARGE), *back = malloc(LARGE);
    for (int i = 0; i < LARGE; i++)
        data[i] = (char)(i * 11 + i / 253);
    site_start(&site, NULL);
    for (int chunked = 0; chunked < 2; chunked++) {
        ag_check(client_open(&cl, &site));
        ag_go(upload, cl.c, data, (bool)chunked);
        ag_check_int(take_reply(&cl, back, LARGE), LARGE);
        ag_check(memcmp(data, back, LARGE) == 0);
        client_close(&cl);
    }
    site_end(&site);
    free(data);
    free(back);
}

/* ---- Ends ----------------------------------------------------------------------------------- */

static void ask_all_the_time(struct site *site, _Atomic int *answered) {
    struct client *cl = malloc(sizeof *cl);
    const char *request = "GET /say/x HTTP/1.1\r\nHost: localhost\r\n\r\n";
    char body[100];
    while (client_open(cl, site)) {
        do {
            /* One that is idle may be closed by the stop: then no reply is missing. */
            if (ag_write(cl->c, request, strlen(request)) < 0)
                break;
            if (take_reply(cl, body, sizeof body) != 1)
                ag_fail("a request was lost: %s", ag_tls_error(cl->c));
            ++*answered;
        } while (!cl->last);
        client_close(cl);
    }
    free(cl);
}

AG_TEST_RUN(a_stop_under_load_loses_no_request) {
    certs_usual();
    ag_defer(certs_end);
    struct site site;
    _Atomic int answered = 0;
    site_start(&site, NULL);
    for (int i = 0; i < 8; i++)
        ag_go(ask_all_the_time, &site, &answered);
    eventually(answered >= 200);
    site_end(&site);
}

AG_TEST_RUN(an_idle_connection_is_closed_properly) {
    certs_usual();
    ag_defer(certs_end);
    struct site site;
    struct client cl;
    char byte;
    site_start(&site, &(ag_http_options){.idle_ns = 50 * AG_MS});
    ag_check(client_open(&cl, &site));
    say(&cl, "GET /say/hello HTTP/1.1\r\nHost: localhost\r\n\r\n");
    expect(&cl, "hello");
    ag_check_int(ag_read(cl.c, &byte, 1), 0);
    ag_check_int(stats_of(&site).timed_out, 1);
    client_close(&cl);
    site_end(&site);
}

static void read_to_the_end(ag_conn *c) {
    char buf[4000];
    ssize_t n;
    while ((n = ag_read(c, buf, sizeof buf)) > 0)
        continue;
    ag_check(n == 0 || n == -ECONNRESET);
    ag_unref(c);
}

/* Neither one that says nothing, nor one that says half of a word, nor one that gets its answer and
 * leaves it at that. */
AG_TEST_RUN(a_handshake_that_never_ends_is_closed) {
    certs_usual();
    ag_defer(certs_end);
    struct site site;
    ag_conn *c[3];
    site_start(&site, &(ag_http_options){.head_ns = 100 * AG_MS});
    for (int i = 0; i < 3; i++)
        ag_check_int(ag_dial("tcp", ag_listener_addr(site.l), &c[i]), 0);
    ag_check_int(ag_write(c[1], "\x16\x03\x01\x02\x00\x01\x00", 7), 7);
    ag_check_int(ag_tls_client(c[2], site.client, "localhost"), 0);
    char byte;
    ag_check_int(ag_try_read(c[2], &byte, 1), -EAGAIN); /* sends its hello */
    eventually(stats_of(&site).accepted == 3);
    eventually(ag_count() == 2); /* they hold no goroutine */
    for (int i = 0; i < 2; i++)
        read_to_the_end(c[i]);
    eventually(stats_of(&site).open == 0);
    ag_check_int(stats_of(&site).timed_out, 3);
    ag_unref(c[2]);
    site_end(&site);
}

AG_TEST_RUN(plain_http_is_told_so_and_the_server_goes_on) {
    certs_usual();
    ag_defer(certs_end);
    struct site site;
    struct client cl;
    char buf[500] = "";
    site_start(&site, NULL);
    ag_check_int(ag_dial("tcp", ag_listener_addr(site.l), &cl.c), 0);
    say(&cl, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    size_t n = 0;
    ssize_t got;
    while ((got = ag_read(cl.c, buf + n, sizeof buf - 1 - n)) > 0)
        n += (size_t)got;
    ag_check_int(got, 0);
    ag_check_contains(buf, "a plain HTTP request was sent to a TLS port.\n");
    client_close(&cl);
    ag_check(client_open(&cl, &site));
    say(&cl, "GET /say/hello HTTP/1.1\r\nHost: localhost\r\n\r\n");
    expect(&cl, "hello");
    client_close(&cl);
    site_end(&site);
}
