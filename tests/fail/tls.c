/* SPDX-License-Identifier: MIT */
/*
 * TLS while memory and system calls fail. OpenSSL's own allocations are made inside its library,
 * where they can't be made to fail; ours, and the calls of the socket, can.
 */
#include "inject.h"
#include "tls_certs.h"

static ag_tls_config *server, *client;

static void serve(ag_listener *l) {
    ag_conn *c;
    char buf[8];
    int r;
    while ((r = ag_accept(l, &c)) != 0 && r != -ECANCELED)
        ok(r);
    if (r != 0)
        return;
    ssize_t n = ag_read(c, buf, sizeof buf);
    if (ok_after(n))
        ok_after(ag_write(c, buf, (size_t)n));
    ag_conn_close(c);
    ag_unref(c);
}

static void talk(ag_conn *c) {
    char buf[8];
    struct iovec pieces[] = {{"he", 2}, {"llo", 3}};
    if (!ok_after(ag_writev(c, pieces, 2)))
        return;
    ssize_t n = ag_read(c, buf, sizeof buf);
    if (ok_after(n) && n > 0) {
        const ag_tls_state *t = ag_tls_state_of(c);
        ag_check(!t || strcmp(t->server_name, "localhost") == 0);
        ag_check_str(ag_conn_protocol(c), "a");
    }
}

static void exchange(void) {
    ag_listener *l;
    ag_conn *c;
    if (!ok(ag_tls_listen("tcp", "127.0.0.1:0", server, &l)))
        return;
    if (ok(ag_go(serve, l)) && ok(ag_dial("tcp", ag_listener_addr(l), &c))) {
        if (ok(ag_tls_client(c, client, "localhost")))
            talk(c);
        ag_unref(c);
    }
    ag_listener_close(l);
    eventually(ag_count() == 1);
    ag_unref(l);
}

AG_TEST_RUN(connections_work_or_say_so) {
    certs_usual();
    server = config_with("site", NULL);
    client = config_with(NULL, "ca");
    ag_check_int(ag_tls_config_alpn(server, "a"), 0);
    ag_check_int(ag_tls_config_alpn(client, "a"), 0);
    WALK(MEMORY | SYSTEM, exchange);
    ag_unref(server);
    ag_unref(client);
    certs_end();
}

static void set_up(void) {
    ag_tls_config *x = ag_tls_config_new();
    if (!x)
        return;
    if (ok(ag_tls_config_cert(x, cert_file("site", "pem"), cert_file("site", "key"))) &&
        ok(ag_tls_config_alpn(x, "h2,http/1.1")) &&
        ok(ag_tls_config_roots(x, cert_file("ca", "pem"))) &&
        ok(ag_tls_config_clients(x, AG_TLS_CLIENT_REQUIRE, cert_file("ca", "pem"))))
        ok(ag_tls_config_reload(x));
    ag_unref(x);
}

AG_TEST_RUN(a_configuration_is_set_up_or_says_so) {
    certs_usual();
    WALK(MEMORY, set_up);
    certs_end();
}
