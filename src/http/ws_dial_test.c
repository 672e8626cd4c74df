/* SPDX-License-Identifier: MIT */
/*
 * What ag_ws_dial says: to what is no URL, to servers that refuse, lie or are silent, and through a
 * function that secures its connection.
 */
#include "ag_test.h"

#include "http/ws_site_test.h"

AG_TEST_RUN(dial_says_why_not) {
    static const char *const bad[] = {
        "http://h/",  "ws:/h/",          "ws://",       "ws:///a",        "ws://h:x/",
        "ws://h:/",   "ws://h:1234567/", "ws://u@h/",   "ws://h/a b",     "ws://h/a#b",
        "ws://[::1/", "ws://[::1]x/",    "ws://h\r\n/", "ws://h/\xc3\xa4"};
    static const char *const one[] = {"X", "a\r\nb", NULL}, *const two[] = {"X Y", "a", NULL};
    char url[200];
    ag_ws *ws;
    start();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (ag_ws_dial(bad[i], NULL, &ws) != -EINVAL)
            ag_fail("%s", bad[i]);
    ag_check_int(ag_ws_dial("wss://127.0.0.1/", NULL, &ws), -EPROTONOSUPPORT);
    snprintf(url, sizeof url, "ws://%s/ok", ag_listener_addr(site.l));
    ag_check_int(ag_ws_dial(url, NULL, &ws), 200);
    snprintf(url, sizeof url, "WS://%s/none?x", ag_listener_addr(site.l));
    ag_check_int(ag_ws_dial(url, NULL, &ws), 404);
    ag_check_int(ag_ws_dial(url, &(ag_ws_options){.protocols = "a b"}, &ws), -EINVAL);
    ag_check_int(ag_ws_dial(url, &(ag_ws_options){.protocols = "a\r\nX: y"}, &ws), -EINVAL);
    ag_check_int(ag_ws_dial(url, &(ag_ws_options){.fields = one}, &ws), -EINVAL);
    ag_check_int(ag_ws_dial(url, &(ag_ws_options){.fields = two}, &ws), -EINVAL);
    site_end(&site);
}

AG_TEST_RUN(dial_offers_protocols_and_sends_fields) {
    static const char *const origin[] = {"Origin", "http://other", NULL};
    of_server.protocols = "v2, v1";
    ag_ws_options o = {.protocols = "v1, v3"};
    char url[200];
    ag_ws *server, *none;
    start();
    ag_ws *ws = pair(&o, &server);
    ag_check_str(ag_ws_protocol(ws), "v1");
    ag_check_str(ag_ws_protocol(server), "v1");
    ag_ws_unref(ws);
    ag_ws_unref(server);
    o.fields = origin;
    snprintf(url, sizeof url, "ws://%s/keeps", ag_listener_addr(site.l));
    ag_check_int(ag_ws_dial(url, &o, &none), 403);
    site_end(&site);
}

/* A server that answers what it likes. */
static ag_listener *liar;
static _Atomic(const char *) lie;

static void lies(void) {
    ag_conn *c;
    char buf[4096];
    while (ag_accept(liar, &c) == 0) {
        ssize_t n = ag_read(c, buf, sizeof buf - 1);
        ag_check(n > 0);
        buf[n] = 0;
        ag_check_contains(buf, "Sec-WebSocket-Key: ");
        const char *text = atomic_load(&lie);
        ag_write(c, text, strlen(text));
        ag_conn_close(c);
        ag_unref(c);
    }
}

#define SWITCH "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"

AG_TEST_RUN(dial_believes_no_wrong_answer) {
    static const struct {
        const char *answer;
        int result;
    } cases[] = {
        {"", -ECONNRESET},
        {"HTTP/1.1 101 x\r\nUpgrade: websocket\r\n", -ECONNRESET},
        {SWITCH "\r\n", -EPROTO},
        {SWITCH "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n", -EPROTO},
        {"HTTP/1.0 200 OK\r\n\r\n", -EPROTO},
        {"HTTP/1.1 2x0 OK\r\n\r\n", -EPROTO},
        {"HTTP/1.1 100 Continue\r\n\r\n", -EPROTO},
        {"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", 302},
        {"SSH-2.0-OpenSSH\r\n\r\n", -EPROTO},
        {"nonsense\r\n\r\n", -EPROTO},
    };
    char url[200];
    ag_ws *ws;
    ag_check_int(ag_listen("tcp", "127.0.0.1:0", &liar), 0);
    ag_go(lies);
    snprintf(url, sizeof url, "ws://%s/", ag_listener_addr(liar));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        atomic_store(&lie, cases[i].answer);
        int result = ag_ws_dial(url, NULL, &ws);
        if (result != cases[i].result)
            ag_fail("%d instead of %d for: %s", result, cases[i].result, cases[i].answer);
    }
    ag_listener_close(liar);
    eventually(ag_count() == 1);
    ag_unref(liar);
}

AG_TEST_RUN(a_handshake_has_a_limit) {
    char url[200];
    ag_ws *ws;
    ag_check_int(ag_listen("tcp", "127.0.0.1:0", &liar), 0); /* nobody accepts */
    snprintf(url, sizeof url, "ws://%s/", ag_listener_addr(liar));
    ag_check_int(ag_ws_dial(url, &(ag_ws_options){.handshake_ns = 30 * AG_MS}, &ws), -ETIMEDOUT);
    ag_unref(liar);
}

static int refuses(ag_conn *c, const char *host, void *arg) {
    ag_check(c != NULL);
    ag_check_str(host, "127.0.0.1");
    atomic_fetch_add((atomic_int *)arg, 1);
    return -EKEYREJECTED;
}

static int lets_pass(ag_conn *c, const char *host, void *arg) {
    (void)c;
    (void)host;
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

AG_TEST_RUN(wss_goes_through_the_given_function) {
    char url[200];
    atomic_int calls = 0;
    ag_ws *ws;
    ag_ws_options o = {.secure = refuses, .secure_arg = &calls};
    start();
    snprintf(url, sizeof url, "wss://%s/echo", ag_listener_addr(site.l));
    ag_check_int(ag_ws_dial(url, &o, &ws), -EKEYREJECTED);
    o.secure = lets_pass;
    ag_check_int(ag_ws_dial(url, &o, &ws), 0);
    ag_check_int(atomic_load(&calls), 2);
    ag_check_int(ag_ws_close(ws, 0, NULL), 0);
    ag_check_int(ag_ws_close_code(ws), AG_WS_NO_CODE);
    ag_ws_unref(ws);
    site_end(&site);
}
