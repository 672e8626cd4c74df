/* SPDX-License-Identifier: MIT */
/*
 * The HTTP server over TLS: the same server, another way to listen. SIGHUP reads renewed
 * certificates without losing a connection.
 *
 *     https_hello CERT.pem KEY.pem [PORT [CLIENT_CA.pem]]
 *     curl --cacert CERT.pem https://localhost:8443/
 */
#include <aglet.h>
#include <aglet/http.h>
#include <aglet/tls.h>
#include <signal.h>
#include <stdio.h>

static const char *cert, *key, *port = "8443", *client_ca;

static void hello(ag_http_request *req, ag_http_response *res) {
    (void)req;
    ag_http_text(res, 200, "hello, world\n");
}

static void reload(ag_tls_config *tls, ag_chan(int) hangups) {
    while (ag_recv(hangups, NULL)) {
        if (ag_tls_config_reload(tls) != 0)
            fprintf(stderr, "kept the old certificates: %s\n", ag_tls_config_error(tls));
    }
}

static int app(void *arg) {
    ag_listener *l;
    ag_http_server *s = ag_http_server_new(NULL);
    ag_tls_config *tls = ag_tls_config_new();
    char addr[32];
    (void)arg;
    if (ag_tls_config_cert(tls, cert, key) != 0 ||
        (client_ca && ag_tls_config_clients(tls, AG_TLS_CLIENT_REQUIRE, client_ca) != 0)) {
        fprintf(stderr, "%s\n", ag_tls_config_error(tls));
        return 1;
    }
    snprintf(addr, sizeof addr, ":%s", port);
    ag_http_handle(s, "GET /", hello, NULL);
    if (ag_tls_listen("tcp", addr, tls, &l) != 0)
        return 1;
    ag_chan(int) hangups = ag_make(int, 1);
    ag_notify(hangups, SIGHUP);
    ag_go(reload, tls, hangups);
    printf("https://%s\n", ag_listener_addr(l));
    fflush(stdout);
    return ag_http_serve(s, l);
}

int main(int argc, char **argv) {
    if (argc < 3)
        return fprintf(stderr, "usage: https_hello CERT.pem KEY.pem [PORT [CLIENT_CA.pem]]\n"), 2;
    cert = argv[1], key = argv[2], port = argc > 3 ? argv[3] : port;
    client_ca = argc > 4 ? argv[4] : NULL;
    return ag_run(app, NULL);
}

/* Not run: serves until it is ended; tests/e2e/tls.py talks to it. */
