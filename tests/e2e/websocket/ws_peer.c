/* SPDX-License-Identifier: MIT */
/*
 * The WebSocket that others are set upon: what tests/e2e/websocket.py starts.
 *
 *     ws_peer serve [PORT]       echoes at /, until SIGTERM; /when holds no goroutine meanwhile
 *     ws_peer echo URL           echoes what the server at URL sends, until that closes
 *     ws_peer ask URL            sends messages of many sizes, checks that they come back, closes
 *     ws_peer autobahn URL       plays all cases of Autobahn's fuzzing server
 */
#include <aglet.h>
#include <aglet/websocket.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The largest message of Autobahn is of 16 MiB. */
static const ag_ws_options options = {
    .message_max = 16 << 20, .protocols = "chat.v2, chat.v1", .compress = true};

/* ---- Server --------------------------------------------------------------------------------- */

static int echo_all(ag_ws *ws) {
    const char *data;
    size_t n;
    int type;
    while ((type = ag_ws_read(ws, &data, &n)) > 0)
        ag_ws_write(ws, type, data, n);
    return type;
}

static void echo(ag_http_request *req, ag_http_response *res) {
    ag_ws *ws;
    if (ag_ws_accept(req, res, &options, &ws) != 0)
        return;
    echo_all(ws);
    ag_ws_unref(ws);
}

static void again(ag_ws *ws) {
    const char *data;
    size_t n;
    int type = ag_ws_read(ws, &data, &n);
    if (type > 0) {
        ag_ws_write(ws, type, data, n);
        ag_ws_when_readable(ws, again, ws);
    } else {
        ag_ws_unref(ws);
    }
}

static void echo_when(ag_http_request *req, ag_http_response *res) {
    ag_ws *ws;
    if (ag_ws_accept(req, res, &options, &ws) == 0)
        ag_ws_when_readable(ws, again, ws);
}

static void stop_on_signal(ag_http_server *s) {
    ag_chan(int) signals = ag_make(int, 1);
    ag_notify(signals, SIGTERM, SIGINT);
    ag_recv(signals, NULL);
    printf("stopped, %lld connections cut\n", (long long)ag_http_stop(s, 10 * AG_SEC));
}

static int serve(const char *port) {
    char addr[64];
    ag_listener *l;
    ag_http_server *s = ag_http_server_new(NULL);
    ag_http_handle(s, "/", echo, NULL);
    ag_http_handle(s, "/when", echo_when, NULL);
    snprintf(addr, sizeof addr, "127.0.0.1:%s", port);
    if (ag_listen("tcp", addr, &l) < 0)
        return 1;
    printf("listening on ws://%s\n", ag_listener_addr(l));
    fflush(stdout);
    ag_go(stop_on_signal, s);
    return ag_http_serve(s, l) == 0 ? 0 : 1;
}

/* ---- Client --------------------------------------------------------------------------------- */

static ag_ws *dial(const char *url) {
    ag_ws *ws;
    int r = ag_ws_dial(url, &options, &ws);
    if (r == 0)
        return ws;
    fprintf(stderr, "ws_peer: %s: %s %d\n", url, r < 0 ? strerror(-r) : "status", r);
    return NULL;
}

static int echo_to(const char *url) {
    ag_ws *ws = dial(url);
    if (!ws)
        return 1;
    int r = echo_all(ws);
    printf("%d %d %s\n", r, ag_ws_close_code(ws), ag_ws_close_reason(ws));
    ag_ws_unref(ws);
    return 0;
}

static int ask(const char *url) {
    static const size_t sizes[] = {0, 1, 125, 126, 1000, 1024, 1025, 4096, 65535, 65536, 1000000};
    char *text = malloc(1000000);
    const char *data;
    size_t n, all = 0;
    ag_ws *ws = dial(url);
    if (!ws || !text)
        return 1;
    for (size_t i = 0; i < 1000000; i++)
        text[i] = (char)('a' + i % 26);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int type = AG_WS_TEXT; type <= AG_WS_BINARY; type++, all++)
            if (ag_ws_write(ws, type, text, sizes[i]) != 0 || ag_ws_ping(ws, "hi", 2) != 0 ||
                ag_ws_read(ws, &data, &n) != type || n != sizes[i] || memcmp(data, text, n) != 0)
                return 1;
    ag_ws_begin(ws, AG_WS_TEXT);
    for (int i = 0; i < 3; i++)
        ag_ws_write_some(ws, text, 1000);
    ag_ws_end(ws);
    if (ag_ws_read(ws, &data, &n) != AG_WS_TEXT || n != 3000)
        return 1;
    int r = ag_ws_close(ws, AG_WS_NORMAL, "thanks");
    printf("%zu messages, \"%s\", closed %d %d\n", all + 1, ag_ws_protocol(ws), r,
           ag_ws_close_code(ws));
    ag_ws_unref(ws);
    free(text);
    return 0;
}

static int play(const char *url, const char *what) {
    char whole[300];
    snprintf(whole, sizeof whole, "%s/%sagent=aglet", url, what);
    ag_ws *ws = dial(whole);
    if (!ws)
        return -1;
    int count = 0;
    if (strncmp(what, "getCaseCount", 12) == 0) {
        const char *data;
        size_t n;
        if (ag_ws_read(ws, &data, &n) == AG_WS_TEXT)
            count = (int)strtol(data, NULL, 10);
    }
    echo_all(ws);
    ag_ws_unref(ws);
    return count;
}

static int autobahn(const char *url) {
    char what[64];
    int count = play(url, "getCaseCount?");
    for (int i = 1; i <= count; i++) {
        snprintf(what, sizeof what, "runCase?case=%d&", i);
        play(url, what);
    }
    play(url, "updateReports?");
    printf("%d cases\n", count);
    return count > 0 ? 0 : 1;
}

static int app(void *arg) {
    char **argv = arg;
    if (argv[1] && strcmp(argv[1], "serve") == 0)
        return serve(argv[2] ? argv[2] : "0");
    if (argv[1] && argv[2] && strcmp(argv[1], "echo") == 0)
        return echo_to(argv[2]);
    if (argv[1] && argv[2] && strcmp(argv[1], "ask") == 0)
        return ask(argv[2]);
    if (argv[1] && argv[2] && strcmp(argv[1], "autobahn") == 0)
        return autobahn(argv[2]);
    fprintf(stderr, "usage: ws_peer serve [PORT] | echo URL | ask URL | autobahn URL\n");
    return 2;
}

int main(int argc, char **argv) {
    (void)argc;
    return ag_run(app, argv);
}
