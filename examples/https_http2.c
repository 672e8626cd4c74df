/* SPDX-License-Identifier: MIT */
/*
 * https_http2 PORT CERT.pem KEY.pem: HTTP/2 and HTTP/1.1 over TLS. Which of the two is the client's
 * choice, made in the handshake; the handlers are the same. SIGHUP reads the certificate again,
 * SIGTERM and SIGINT stop gracefully.
 */
#include <aglet.h>
#include <aglet/http.h>
#include <aglet/tls.h>
#include <stdio.h>

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

static void version(ag_http_request *req, ag_http_response *res) {
    ag_http_printf(res, "HTTP/%d\n", ag_http_major_version(req));
}

static void on_signals(ag_http_server *s, ag_tls_config *tls) {
    ag_chan(int) signals = ag_make(int, 1);
    int sig = 0;
    ag_notify(signals, SIGTERM, SIGINT, SIGHUP);
    while (ag_recv(signals, &sig) && sig == SIGHUP)
        if (ag_tls_config_reload(tls) != 0)
            fprintf(stderr, "https_http2: %s\n", ag_tls_config_error(tls));
    printf("stopped, %lld connections cut\n", (long long)ag_http_stop(s, 10 * AG_SEC));
}

static int app(void *arg) {
    char **argv = arg, addr[64];
    ag_listener *l;
    ag_tls_config *tls = ag_tls_config_new();
    ag_http_server *s = ag_http_server_new(NULL);
    ag_http_handle(s, "/ok", ok, NULL);
    ag_http_handle(s, "/body", body, NULL);
    ag_http_handle(s, "/version", version, NULL);
    snprintf(addr, sizeof addr, "127.0.0.1:%s", argv[1]);
    int r = ag_tls_config_cert(tls, argv[2], argv[3]);
    if (r == 0)
        r = ag_tls_config_alpn(tls, "h2,http/1.1");
    if (r == 0)
        r = ag_tls_listen("tcp", addr, tls, &l);
    if (r != 0) {
        fprintf(stderr, "https_http2: error %d %s\n", r, ag_tls_config_error(tls));
        return 1;
    }
    printf("listening on https://%s\n", ag_listener_addr(l));
    fflush(stdout);
    ag_go(on_signals, s, tls);
    return ag_http_serve(s, l) == 0 ? 0 : 1;
}

int main(int argc, char **argv) {
    return argc == 4 ? ag_run(app, argv) : 2;
}

/* Not run: serves until a signal comes. */
