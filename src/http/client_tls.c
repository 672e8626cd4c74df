/* SPDX-License-Identifier: MIT */
/*
 * https: the one place that knows whether this build can speak TLS. Without it, https is refused
 * with a text that says why, never spoken in the clear.
 */
#include "http/client.h"

#include <errno.h>
#include <stdio.h>

#if AG_HTTP_TLS
#include <aglet/tls.h>
#include <string.h>

bool ag__client_has_tls(void) {
    return true;
}

void ag__client_tls_ref(ag_tls_config *config) {
    ag__ref(config);
}

void ag__client_tls_unref(ag_tls_config *config) {
    ag_unref(config);
}

static void make_config(ag_http_client *client) {
    if (client->opt.tls)
        return;
    ag_tls_config *config = ag_tls_config_new();
    if (config && !client->opt.no_http2 && ag__client_has_h2() &&
        ag_tls_config_alpn(config, "h2,http/1.1") != 0) {
        ag_unref(config);
        config = NULL;
    }
    client->opt.tls = config;
}

int ag__client_tls(ag_http_client *client, ag_conn *c, const char *host, char *why) {
    ag_once_do(&client->tls_once, make_config, client);
    if (!client->opt.tls)
        return -ENOMEM;
    int r = ag_tls_client(c, client->opt.tls, host);
    if (r == 0)
        r = ag_tls_handshake(c);
    if (r != 0) {
        const char *error = ag_tls_error(c);
        snprintf(why, AG__CLIENT_WHY, "shaking hands%s%.200s", *error ? ": " : "", error);
    } else if (strcmp(ag_conn_protocol(c), "h2") == 0 &&
               (client->opt.no_http2 || !ag__client_has_h2())) {
        snprintf(why, AG__CLIENT_WHY, "the server was offered HTTP/2, which this client lacks");
        r = -EPROTONOSUPPORT;
    }
    return r;
}

#else

bool ag__client_has_tls(void) {
    return false;
}

void ag__client_tls_ref(ag_tls_config *config) {
    (void)config;
}

void ag__client_tls_unref(ag_tls_config *config) {
    (void)config;
}

int ag__client_tls(ag_http_client *client, ag_conn *c, const char *host, char *why) {
    (void)client;
    (void)c;
    (void)host;
    snprintf(why, AG__CLIENT_WHY, "this build has no TLS");
    return -EPROTONOSUPPORT;
}

#endif
