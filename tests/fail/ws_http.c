/* SPDX-License-Identifier: MIT */
/*
 * WebSockets while memory and system calls fail: one may end with its connection, nothing is left
 * of it, and the next one finds the server as it was.
 */
#include "inject.h"

#include <aglet/websocket.h>

enum { LARGE = 100000 };

static char text[LARGE + 1];
static ag_ws_options options = {.protocols = "p"};

static void again(ag_ws *ws) {
    const char *data;
    size_t n;
    int type = ag_ws_read(ws, &data, &n);
    if (!ok_after(type) || type == 0 || !ok_after(ag_ws_write(ws, type, data, n)) ||
        !ok_after(ag_ws_when_readable(ws, again, ws)))
        ag_ws_unref(ws);
}

static void echo(ag_http_request *req, ag_http_response *res) {
    ag_ws *ws;
    if (!ok_after(ag_ws_accept(req, res, &options, &ws)))
        return;
    if (!ok_after(ag_ws_when_readable(ws, again, ws)))
        ag_ws_unref(ws);
}

/* Returns: whether all went well. */
static bool expect(ag_ws *ws, size_t n) {
    const char *data;
    size_t size;
    int type = ag_ws_read(ws, &data, &size);
    if (!ok_after(type) || type == 0)
        return false;
    ag_check_int(type, AG_WS_TEXT);
    ag_check_int(size, n);
    ag_check(memcmp(data, text, n) == 0);
    return true;
}

static bool talk(const char *url) {
    ag_ws *ws;
    int r = ag_ws_dial(url, &options, &ws);
    ag_check(r <= 0 || injected() > 0); /* 500: no memory */
    if (r != 0)
        return r > 0 ? false : ok_after(r);
    bool good = ok_after(ag_ws_write(ws, AG_WS_TEXT, text, 100)) && expect(ws, 100) &&
                ok_after(ag_ws_ping(ws, "p", 1)) &&
                ok_after(ag_ws_write(ws, AG_WS_TEXT, text, LARGE)) && expect(ws, LARGE) &&
                ok_after(ag_ws_begin(ws, AG_WS_TEXT));
    if (good) {
        good = ok_after(ag_ws_write_some(ws, text, 10));
        good = ok_after(ag_ws_end(ws)) && good && expect(ws, 10) &&
               ok_after(ag_ws_close(ws, AG_WS_NORMAL, "bye"));
    }
    ag_ws_unref(ws);
    return good;
}

static void serve(ag_http_server *s, ag_listener *l) {
    ag_http_serve(s, l);
}

static void talk_twice(void) {
    char url[100];
    ag_wg wg = AG_WG_INIT;
    ag_listener *l;
    ag_panic_info info;
    memset(text, 't', LARGE);
    ag_http_server *s = ag_http_server_new(NULL);
    if (!ok_ptr(s))
        return;
    int r = ag_try(&info, ag_http_handle, s, "/", echo, NULL);
    ag_check(r == 0 || injected() > 0);
    if (r == 0 && ok(ag_listen("tcp", "127.0.0.1:0", &l))) {
        snprintf(url, sizeof url, "ws://%s/", ag_listener_addr(l));
        if (ok(ag_wg_go(&wg, serve, s, l))) {
            bool good = talk(url);
            ag_check(good || injected() > 0);
            if (inject_end() > 0)
                ag_check(talk(url));
            ag_check(ag_http_stop(s, 0) >= 0);
            ag_wg_wait(&wg);
        }
        ag_unref(l);
    }
    ag_http_server_free(s);
}

AG_TEST_RUN(websockets_go_on_when_memory_has_run_out) {
    WALK(MEMORY, talk_twice);
}
AG_TEST_RUN(websockets_go_on_when_calls_have_failed) {
    WALK(SYSTEM | THREAD, talk_twice);
}
AG_TEST_RUN(websockets_that_compress_go_on_when_memory_has_run_out) {
    options.compress = true;
    WALK(MEMORY, talk_twice);
}
