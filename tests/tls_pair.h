/* SPDX-License-Identifier: MIT */
/*
 * A server's and a client's connection with TLS, for tests of both ends. Include ag_test.h before
 * it.
 */
#ifndef AG_TLS_PAIR_H
#define AG_TLS_PAIR_H

#include "tls_certs.h"

struct both {
    ag_tls_config *server_config, *client_config;
    ag_listener *listener;
    ag_conn *client, *server;
};

/* Connected; nobody has begun the handshake. */
static inline struct both connect_with(ag_tls_config *server, ag_tls_config *client,
                                       const char *name) {
    struct both b = {server, client, NULL, NULL, NULL};
    ag_check_int(ag_tls_listen("tcp", "127.0.0.1:0", server, &b.listener), 0);
    ag_check_int(ag_dial("tcp", ag_listener_addr(b.listener), &b.client), 0);
    ag_check_int(ag_tls_client(b.client, client, name), 0);
    ag_check_int(ag_accept(b.listener, &b.server), 0);
    return b;
}

static inline struct both connect_pair(void) {
    return connect_with(config_with("site", NULL), config_with(NULL, "ca"), "localhost");
}

static inline void end_pair(struct both *b) {
    ag_unref(b->client);
    ag_unref(b->server);
    ag_unref(b->listener);
    ag_unref(b->server_config);
    ag_unref(b->client_config);
}

/* A condition of this process's, for AG_TEST_RUN: certificates as usual, until its end. */
#define CERTS                                                                                      \
    certs_usual();                                                                                 \
    ag_defer(certs_end)

static inline void shake(ag_conn *c, _Atomic int *result) {
    *result = ag_tls_handshake(c) - 1000;
}

/* Both handshakes; the results. */
static inline void shake_both(struct both *b, int *ret_server, int *ret_client) {
    _Atomic int server = 0;
    ag_go(shake, b->server, &server);
    *ret_client = ag_tls_handshake(b->client);
    eventually(server != 0);
    *ret_server = server + 1000;
    eventually(ag_count() == 1);
}

static inline void shake_well(struct both *b) {
    int server, client;
    shake_both(b, &server, &client);
    if (server || client)
        ag_fail("server: %s, client: %s", ag_tls_error(b->server), ag_tls_error(b->client));
}

#endif
