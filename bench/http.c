/* SPDX-License-Identifier: MIT */
/*
 * http WORKERS PORT [CERT.pem KEY.pem]: the HTTP server of the comparisons. /ok answers 2 bytes,
 * /json 1024 bytes; HTTP/1.1 and HTTP/2, over TLS if there is a certificate.
 */
#include "common.h"
#include <aglet/http.h>
#include <aglet/tls.h>
#include <string.h>

static char json[1025];

static void ok(ag_http_request *req, ag_http_response *res) {
    (void)req;
    ag_http_text(res, 200, "ok");
}

static void long_json(ag_http_request *req, ag_http_response *res) {
    (void)req;
    ag_http_json(res, 200, json);
}

static int listen_on(const char *addr, ag_listener **l) {
    if (bench_count < 5)
        return ag_listen("tcp", addr, l);
    ag_tls_config *tls = ag_tls_config_new();
    int r = ag_tls_config_cert(tls, bench_values[3], bench_values[4]);
    if (r == 0)
        r = ag_tls_config_alpn(tls, "h2,http/1.1");
    if (r != 0)
        fprintf(stderr, "http: %s\n", ag_tls_config_error(tls));
    return r == 0 ? ag_tls_listen("tcp", addr, tls, l) : r;
}

static int app(void *arg) {
    /* Limits that the comparisons do not run into, as for the other servers. */
    const ag_http_options options = {.conns_max = 200000, .idle_ns = AG_SEC * 3600};
    char addr[64];
    ag_listener *l;
    (void)arg;
    memset(json, 'x', 1024);
    memcpy(json, "{\"message\":\"hello\",\"padding\":\"", 30);
    memcpy(json + 1022, "\"}", 2);
    ag_http_server *s = ag_http_server_new(&options);
    ag_http_handle(s, "/ok", ok, NULL);
    ag_http_handle(s, "/json", long_json, NULL);
    snprintf(addr, sizeof addr, "127.0.0.1:%ld", bench_arg(2, 8080));
    int r = listen_on(addr, &l);
    if (r != 0) {
        fprintf(stderr, "http: %s: %s\n", addr, strerror(-r));
        return 1;
    }
    return ag_http_serve(s, l) == 0 ? 0 : 1;
}

int main(int argc, char **argv) {
    return bench_run(argc, argv, app);
}
