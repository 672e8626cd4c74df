/* SPDX-License-Identifier: MIT */
/*
 * The HTTP client over TLS: https, whom it trusts, bodies, the pool, tunnels through a proxy.
 */
#include "common.h"
#include "tls_pair.h"

#include <aglet/http.h>
#include <aglet/http_client.h>

static ag_http_server *server;
static ag_listener *listener;
static char url[96], host[64];
static const char *offered; /* protocols that clients offer; NULL: none */

static void text(ag_http_request *req, ag_http_response *res) {
    (void)req;
    ag_http_text(res, 200, "safe");
}

static void echo(ag_http_request *req, ag_http_response *res) {
    char buf[8000];
    ssize_t n;
    while ((n = ag_http_body_read(req, buf, sizeof buf)) > 0)
        ag_http_write(res, buf, (size_t)n);
}

static void serve(ag_http_server *s, ag_listener *l) {
    ag_http_serve(s, l);
    ag_unref(l);
}

static void start(const char *cert, const char *protocols) {
    ag_tls_config *config = config_with(cert, NULL);
    if (protocols)
        ag_check_int(ag_tls_config_alpn(config, protocols), 0);
    ag_check_int(ag_tls_listen("tcp", "127.0.0.1:0", config, &listener), 0);
    ag_unref(config);
    server = ag_http_server_new(NULL);
    ag_http_handle(server, "/", text, NULL);
    ag_http_handle(server, "/echo", echo, NULL);
    snprintf(host, sizeof host, "localhost%s", strrchr(ag_listener_addr(listener), ':'));
    snprintf(url, sizeof url, "https://%s/", host);
    ag_go(serve, server, ag_ref(listener));
}

static void stop(void) {
    ag_check_int(ag_http_stop(server, 10 * AG_SEC * ag_test_slow()), 0);
    ag_http_server_free(server);
    ag_unref(listener);
    eventually(ag_count() == 1);
}

static ag_http_client *client_with(const char *roots, const char *proxy) {
    ag_tls_config *config = config_with(NULL, roots);
    if (offered)
        ag_check_int(ag_tls_config_alpn(config, offered), 0);
    ag_http_client *c =
        ag_http_client_new(&(ag_http_client_options){.tls = config, .proxy = proxy});
    ag_unref(config);
    return c;
}

static void check_safe(ag_http_client *c, const char *where) {
    ag_http_reply *r;
    char *body;
    int e = ag_http_get(c, where, &r);
    ag_check_str(ag_http_reply_error(r), "");
    ag_check_int(e, 0);
    ag_check_int(ag_http_reply_read_all(r, 100, &body, NULL), 0);
    ag_check_str(body, "safe");
    ag_http_reply_close(r);
}

AG_TEST_RUN(https_is_asked_and_its_connection_kept) {
    CERTS;
    start("site", NULL);
    ag_http_client *c = client_with("ca", NULL);
    for (int i = 0; i < 5; i++)
        check_safe(c, url);
    ag_http_client_stats st;
    ag_http_client_stats_read(c, &st);
    ag_check_int(st.dialed, 1);
    ag_check_int(st.reused, 4);
    ag_http_client_free(c);
    stop();
}

static void carry_large_bodies(void) {
    ag_http_client *c = client_with("ca", NULL);
    size_t n = 2 << 20, got;
    char *body = calloc(1, n), *back, where[128];
    snprintf(where, sizeof where, "%secho", url);
    memset(body, 'b', n);
    ag_http_reply *r;
    int e = ag_http_post(c, where, "x/y", body, n, &r);
    ag_check_str(ag_http_reply_error(r), "");
    ag_check_int(e, 0);
    ag_check_int(ag_http_reply_read_all(r, n, &back, &got), 0);
    ag_check_int(got, n);
    ag_check_mem(back, body, n);
    ag_http_reply_close(r);
    free(body);
    ag_http_client_free(c);
}

AG_TEST_RUN(https_carries_large_bodies_both_ways) {
    CERTS;
    start("site", NULL);
    carry_large_bodies();
    stop();
}

AG_TEST_RUN(https_trusts_nobody_by_itself) {
    CERTS;
    start("site", NULL);
    ag_http_client *clients[2] = {ag_http_client_new(NULL), client_with(NULL, NULL)};
    for (int i = 0; i < 2; i++) {
        ag_http_reply *r;
        ag_check_int(ag_http_get(clients[i], url, &r), -EKEYREJECTED);
        ag_check_contains(ag_http_reply_error(r), "shaking hands: ");
        ag_check_contains(ag_http_reply_error(r), "verify failed");
        ag_http_reply_close(r);
        ag_http_client_free(clients[i]);
    }
    stop();
}

AG_TEST_RUN(https_certificate_must_be_for_the_host) {
    CERTS;
    cert_make(&(struct cert){.file = "other", .by = "ca", .names = "DNS:other.example"});
    start("other", NULL);
    ag_http_client *c = client_with("ca", NULL);
    ag_http_reply *r;
    ag_check_int(ag_http_get(c, url, &r), -EKEYREJECTED);
    ag_http_reply_close(r);
    ag_http_client_free(c);
    stop();
}

AG_TEST_RUN(https_to_a_plain_server_is_an_error) {
    CERTS;
    start("site", NULL);
    ag_http_client *c = client_with("ca", NULL);
    ag_http_reply *r;
    char plain[128];
    ag_listener *l;
    ag_http_server *other = ag_http_server_new(NULL);
    ag_check_int(ag_listen("tcp", "127.0.0.1:0", &l), 0);
    ag_go(serve, other, ag_ref(l));
    snprintf(plain, sizeof plain, "https://%s/", ag_listener_addr(l));
    ag_check_int(ag_http_get(c, plain, &r), -EPROTO);
    ag_http_reply_close(r);
    ag_http_client_free(c);
    ag_check_int(ag_http_stop(other, 10 * AG_SEC), 0);
    ag_http_server_free(other);
    ag_unref(l);
    stop();
}

/* ---- Through a proxy ------------------------------------------------------------------------ */

static char asked[2048];
static int proxy_status;
static atomic_int ended;

static void copy(ag_conn *from, ag_conn *to) {
    char buf[8000];
    ssize_t n;
    while ((n = ag_read(from, buf, sizeof buf)) > 0 && ag_write(to, buf, (size_t)n) > 0)
        continue;
    ag_conn_close(to);
    ag_conn_close(from);
    ag_unref(to);
    ag_unref(from);
    atomic_fetch_add(&ended, 1);
}

/* One tunnel. */
static void proxy(ag_listener *l) {
    ag_conn *c, *to;
    size_t n = 0;
    ag_check_int(ag_accept(l, &c), 0);
    while (!strstr(asked, "\r\n\r\n")) {
        ssize_t got = ag_read(c, asked + n, sizeof asked - 1 - n);
        ag_check(got > 0);
        n += (size_t)got;
    }
    if (proxy_status == 200) {
        ag_write(c, "HTTP/1.1 200 Connected\r\n\r\n", 26);
        ag_check_int(ag_dial("tcp", ag_listener_addr(listener), &to), 0);
        ag_go(copy, ag_ref(c), ag_ref(to));
        copy(to, c);
    } else {
        ag_write(c, "HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n", 38);
        ag_conn_close(c);
        ag_unref(c);
    }
}

static void through_a_proxy(int status) {
    ag_listener *l;
    char where[192];
    proxy_status = status;
    ag_check_int(ag_listen("tcp", "127.0.0.1:0", &l), 0);
    ag_go(proxy, l);
    start("site", offered);
    snprintf(where, sizeof where, "http://me:pass@%s", ag_listener_addr(l));
    ag_http_client *c = client_with("ca", where);
    if (status == 200) {
        check_safe(c, url);
        check_safe(c, url);
    } else {
        ag_http_reply *r;
        ag_check_int(ag_http_get(c, url, &r), -ECONNREFUSED);
        ag_check_contains(ag_http_reply_error(r), "the proxy answered CONNECT with 407");
        ag_http_reply_close(r);
    }
    snprintf(where, sizeof where, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n", host, host);
    ag_check(strncmp(asked, where, strlen(where)) == 0);
    ag_check_contains(asked, "Proxy-Authorization: Basic bWU6cGFzcw==\r\n");
    ag_http_client_free(c);
    eventually(atomic_load(&ended) == (status == 200 ? 2 : 0));
    ag_listener_close(l);
    ag_unref(l);
    stop();
}

AG_TEST_RUN(https_goes_through_a_proxy_by_a_tunnel) {
    CERTS;
    through_a_proxy(200);
}

AG_TEST_RUN(https_proxy_that_refuses_is_an_error) {
    CERTS;
    through_a_proxy(407);
}

/* ---- HTTP/2 --------------------------------------------------------------------------------- */

static void ask_safe(ag_http_client *c, ag_wg *wg) {
    check_safe(c, url);
    ag_wg_done(wg);
}

/* Many at once. Returns: how many of the server's connections spoke HTTP/2. */
static int64_t ask_at_once(ag_http_client *c, int many, int64_t dialed) {
    ag_wg wg = AG_WG_INIT;
    ag_http_stats st;
    ag_http_client_stats mine;
    for (int i = 0; i < many; i++) {
        ag_wg_add(&wg, 1);
        ag_go(ask_safe, c, &wg);
    }
    ag_wg_wait(&wg);
    ag_http_client_stats_read(c, &mine);
    if (dialed)
        ag_check_int(mine.dialed, dialed);
    ag_http_stats_read(server, &st);
    return st.h2_accepted;
}

static bool has_http2(void) {
    ag_http_client *c = ag_http_client_new(&(ag_http_client_options){.http2_in_clear = true});
    ag_http_reply *r;
    int e = ag_http_get(c, "http://127.0.0.1:1/", &r);
    ag_http_reply_close(r);
    ag_http_client_free(c);
    return e != -EPROTONOSUPPORT;
}

#define NEEDS_HTTP2                                                                                \
    CERTS;                                                                                         \
    if (!has_http2())                                                                              \
        ag_skip("nghttp2 in this build");                                                          \
    offered = "h2,http/1.1"

AG_TEST_RUN(https_requests_share_a_connection_of_http2) {
    NEEDS_HTTP2;
    start("site", "h2,http/1.1");
    ag_http_client *c = client_with("ca", NULL);
    ag_check_int(ask_at_once(c, 50, 1), 1);
    ag_http_client_free(c);
    carry_large_bodies();
    stop();
}

AG_TEST_RUN(https_speaks_http1_with_who_picks_that) {
    NEEDS_HTTP2;
    start("site", "http/1.1");
    ag_http_client *c = client_with("ca", NULL);
    ag_check_int(ask_at_once(c, 20, 0), 0);
    ag_http_client_free(c);
    stop();
}

AG_TEST_RUN(https_without_http2_if_the_program_says_so) {
    NEEDS_HTTP2;
    start("site", "h2,http/1.1");
    ag_tls_config *config = config_with(NULL, "ca");
    ag_http_client *c =
        ag_http_client_new(&(ag_http_client_options){.tls = config, .no_http2 = true});
    ag_check_int(ask_at_once(c, 5, 0), 0);
    ag_http_client_free(c);
    ag_unref(config);
    stop();
}

AG_TEST_RUN(https_speaks_http2_through_a_tunnel) {
    NEEDS_HTTP2;
    through_a_proxy(200);
}
