/* SPDX-License-Identifier: MIT */
/*
 * http_hello [PORT]: the smallest HTTP service. /ok answers without looking at the body, /body
 * reads it and answers its length, /json answers 1 KiB. SIGTERM and SIGINT stop it gracefully:
 * requests under way are answered first.
 */
#include <aglet.h>
#include <aglet/http.h>
#include <stdio.h>
#include <string.h>

static char json[1025];

static void ok(ag_http_request *req, ag_http_response *res) {
    (void)req;
    ag_http_text(res, 200, "ok\n");
}

static void body(ag_http_request *req, ag_http_response *res) {
    char buf[16384];
    int64_t length = 0;
    for (ssize_t n; (n = ag_http_body_read(req, buf, sizeof buf)) != 0; length += n)
        if (n < 0)
            return; /* the server answers what was wrong */
    ag_http_printf(res, "%lld\n", (long long)length);
}

static void long_json(ag_http_request *req, ag_http_response *res) {
    (void)req;
    ag_http_json(res, 200, json);
}

static void stop_on_signal(ag_http_server *s) {
    ag_chan(int) signals = ag_make(int, 1);
    ag_notify(signals, SIGTERM, SIGINT);
    ag_recv(signals, NULL);
    int64_t cut = ag_http_stop(s, 10 * AG_SEC);
    printf("stopped, %lld connections cut\n", (long long)cut);
}

static int app(void *port) {
    char addr[64];
    ag_listener *l;
    memset(json, 'x', 1024);
    memcpy(json, "{\"message\":\"hello\",\"padding\":\"", 30);
    memcpy(json + 1022, "\"}", 2);
    ag_http_server *s = ag_http_server_new(NULL);
    ag_http_handle(s, "/ok", ok, NULL);
    ag_http_handle(s, "/body", body, NULL);
    ag_http_handle(s, "/json", long_json, NULL);
    snprintf(addr, sizeof addr, "127.0.0.1:%s", (const char *)port);
    int r = ag_listen("tcp", addr, &l);
    if (r < 0) {
        fprintf(stderr, "http_hello: %s: %s\n", addr, strerror(-r));
        return 1;
    }
    printf("listening on http://%s\n", ag_listener_addr(l));
    fflush(stdout);
    ag_go(stop_on_signal, s);
    return ag_http_serve(s, l) == 0 ? 0 : 1;
}

int main(int argc, char **argv) {
    return ag_run(app, argc > 1 ? argv[1] : "8080");
}

/* Not run: serves until a signal comes. */
