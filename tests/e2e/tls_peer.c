/* SPDX-License-Identifier: MIT */
/*
 * A server and a client with TLS, told what to do by words of the form NAME=VALUE, for
 * tests/e2e/tls.py.
 *
 *     tls_peer serve [WORDS]           prints its port, serves HTTP until SIGTERM, reloads at
 * SIGHUP tls_peer get HOST:PORT [WORDS]   what the handshake came to, and the page, `times` times
 *
 * WORDS: cert= key= (several pairs) roots= ca= clients=request|require alpn= min=1.3 name= times=
 */
#include <aglet.h>
#include <aglet/http.h>
#include <aglet/tls.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char **words;

/* The value of the n-th word with this name, or NULL. */
static const char *word(const char *name, int n) {
    size_t length = strlen(name);
    for (char **w = words; *w; w++)
        if (strncmp(*w, name, length) == 0 && (*w)[length] == '=' && n-- == 0)
            return *w + length + 1;
    return NULL;
}

static ag_tls_config *config(void) {
    ag_tls_config *x = ag_tls_config_new();
    const char *clients = word("clients", 0);
    int r = 0;
    for (int i = 0; r == 0 && word("cert", i); i++)
        r = ag_tls_config_cert(x, word("cert", i), word("key", i));
    if (r == 0 && word("roots", 0))
        r = ag_tls_config_roots(x, word("roots", 0));
    if (r == 0 && clients)
        r = ag_tls_config_clients(
            x, strcmp(clients, "require") == 0 ? AG_TLS_CLIENT_REQUIRE : AG_TLS_CLIENT_REQUEST,
            word("ca", 0));
    if (r == 0 && word("alpn", 0))
        r = ag_tls_config_alpn(x, word("alpn", 0));
    if (r == 0 && word("min", 0))
        r = ag_tls_config_min_version(x, AG_TLS_1_3);
    if (r != 0) {
        fprintf(stderr, "%s\n", ag_tls_config_error(x));
        exit(2);
    }
    return x;
}

/* ---- Server --------------------------------------------------------------------------------- */

static void hello(ag_http_request *req, ag_http_response *res) {
    (void)req;
    ag_http_text(res, 200, "hello\n");
}

static void send_back(ag_http_request *req, ag_http_response *res) {
    char *body;
    size_t n;
    if (ag_http_body_all(req, 64 << 20, &body, &n) == 0)
        ag_http_send(res, 200, "application/octet-stream", body, n);
}

static void watch(ag_http_server *s, ag_tls_config *x, ag_chan(int) signals) {
    int sig;
    while (ag_recv(signals, &sig)) {
        if (sig == SIGTERM) {
            printf("%lld cut\n", (long long)ag_http_stop(s, 5 * AG_SEC));
        } else {
            bool good = ag_tls_config_reload(x) == 0;
            printf("%s\n", good ? "reloaded" : ag_tls_config_error(x));
        }
        fflush(stdout);
    }
}

static int serve(void) {
    ag_listener *l;
    ag_tls_config *x = config();
    ag_http_server *s = ag_http_server_new(&(ag_http_options){.body_max = 64 << 20});
    ag_chan(int) signals = ag_make(int, 4);
    ag_http_handle(s, "GET /", hello, NULL);
    ag_http_handle(s, "POST /back", send_back, NULL);
    if (ag_tls_listen("tcp", "127.0.0.1:0", x, &l) != 0)
        return 1;
    ag_notify(signals, SIGTERM, SIGHUP);
    ag_go(watch, s, x, signals);
    printf("%s\n", strrchr(ag_listener_addr(l), ':') + 1);
    fflush(stdout);
    int r = ag_http_serve(s, l);
    ag_http_server_free(s);
    ag_unref(l);
    ag_unref(x);
    return r != 0;
}

/* ---- Client --------------------------------------------------------------------------------- */

static int get(ag_tls_config *x, const char *addr) {
    ag_conn *c;
    char host[256], buf[4096];
    snprintf(host, sizeof host, "%.*s", (int)(strrchr(addr, ':') - addr), addr);
    int r = ag_dial("tcp", addr, &c);
    if (r != 0) {
        printf("dial: %s\n", strerror(-r));
        return 1;
    }
    ag_set_deadline(c, ag_now() + 20 * AG_SEC);
    r = ag_tls_client(c, x, word("name", 0) ? word("name", 0) : host);
    if (r == 0)
        r = ag_tls_handshake(c);
    ssize_t n = r;
    if (r == 0) {
        const ag_tls_state *t = ag_tls_state_of(c);
        printf("%s %s alpn=%s resumed=%d peer=%s\n", t->version, t->cipher, t->alpn, t->resumed,
               t->peer_subject);
        n = ag_write(c, "GET / HTTP/1.0\r\n\r\n", 18);
    }
    if (n >= 0)
        while ((n = ag_read(c, buf, sizeof buf)) > 0)
            fwrite(buf, 1, (size_t)n, stdout);
    if (n < 0)
        printf("failed: %s: %s\n", strerror((int)-n), ag_tls_error(c));
    ag_unref(c);
    return n < 0;
}

static int app(void *arg) {
    char **argv = arg;
    words = argv + 2;
    if (strcmp(argv[1], "serve") == 0)
        return serve();
    ag_tls_config *x = config();
    int r = 0;
    for (int i = word("times", 0) ? (int)strtol(word("times", 0), NULL, 10) : 1; i > 0; i--)
        r |= get(x, argv[2]);
    ag_unref(x);
    return r;
}

int main(int argc, char **argv) {
    return argc < 3 ? 2 : ag_run(app, argv);
}
