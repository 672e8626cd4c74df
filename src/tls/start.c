/* SPDX-License-Identifier: MIT */
/*
 * start.c - both ends of a handshake: what OpenSSL is told before, and what is looked at behind it.
 *
 * The SSL is made at the first step, not when a connection is accepted: one that never says
 * anything costs little, and a reload counts for all handshakes that begin after it.
 *
 * The name of a server is checked by OpenSSL, for host names and addresses, in the names meant for
 * that alone, not in the subject; a SPIFFE id is checked here, in the middle of OpenSSL's checks,
 * so that the server is told.
 */
#include "tls/tls.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

static bool is_spiffe(const char *name) {
    return strncmp(name, "spiffe://", 9) == 0;
}

/* The name that OpenSSL is to look for in the server's certificate. */
static bool expect_name(SSL *ssl, const char *name) {
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    if (is_spiffe(name))
        return true;
    if (X509_VERIFY_PARAM_set1_ip_asc(param, name))
        return true;
    ERR_clear_error();
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                               X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    return X509_VERIFY_PARAM_set1_host(param, name, 0) && SSL_set_tlsext_host_name(ssl, name);
}

/* OpenSSL's verdict on one certificate of the chain, and ours on the server's own. */
static int check_spiffe(int good, X509_STORE_CTX *ctx) {
    SSL *ssl = X509_STORE_CTX_get_ex_data(ctx, SSL_get_ex_data_X509_STORE_CTX_idx());
    ag__tls *t = SSL_get_app_data(ssl);
    char id[AG__TLS_SPIFFE];
    if (!good || X509_STORE_CTX_get_error_depth(ctx) > 0)
        return good;
    X509 *own = X509_STORE_CTX_get_current_cert(ctx);
    if (strcmp(ag__tls_spiffe_id(own, id, sizeof id), t->server_name) == 0)
        return 1;
    X509_STORE_CTX_set_error(ctx, X509_V_ERR_APPLICATION_VERIFICATION);
    return 0;
}

static bool prepare_client(ag__tls *t, SSL *ssl) {
    ag__tls_material *m = t->material;
    SSL_set_connect_state(ssl);
    SSL_set_verify(ssl, SSL_VERIFY_PEER, is_spiffe(t->server_name) ? check_spiffe : NULL);
    if (!SSL_set1_verify_cert_store(ssl, m->roots) || !expect_name(ssl, t->server_name))
        return false;
    SSL_SESSION *session = ag__tls_session_take(t->config, m, t->server_name);
    if (session) {
        SSL_set_session(ssl, session); /* else a handshake without */
        SSL_SESSION_free(session);
    }
    return true;
}

static bool prepare_server(ag__tls *t, SSL *ssl) {
    int how = t->config->wish.client_mode;
    int mode = how == AG_TLS_CLIENT_NONE ? SSL_VERIFY_NONE : SSL_VERIFY_PEER;
    if (how == AG_TLS_CLIENT_REQUIRE)
        mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    SSL_set_accept_state(ssl);
    SSL_set_num_tickets(ssl, 0); /* with the handshake; see engine.c */
    SSL_set_verify(ssl, mode, NULL);
    return !t->material->client_ca || SSL_set1_verify_cert_store(ssl, t->material->client_ca);
}

int ag__tls_start(ag__tls *t) {
    int r = t->material ? 0 : ag__tls_config_take(t->config, t->server_name, &t->material);
    if (r != 0)
        return r;
    SSL *ssl = SSL_new(t->material->ctx);
    BIO *bio = ssl ? ag__tls_bio(t) : NULL;
    if (bio) {
        SSL_set_bio(ssl, bio, bio);
        SSL_set_app_data(ssl, t);
    }
    if (!bio || !(t->server_name ? prepare_client(t, ssl) : prepare_server(t, ssl))) {
        SSL_free(ssl);
        ERR_clear_error();
        return -ENOMEM;
    }
    ERR_clear_error();
    t->ssl = ssl;
    return 0;
}

int ag__tls_note_protocol(ag__tls *t) {
    const unsigned char *name;
    unsigned n;
    SSL_get0_alpn_selected(t->ssl, &name, &n);
    if (n == 0)
        return 0;
    for (char **p = t->config->wish.alpn; p && *p; p++)
        if (strlen(*p) == n && memcmp(*p, name, n) == 0) {
            atomic_store(&t->protocol, *p);
            return 0;
        }
    return ag__tls_fail(t, -EPROTO, "the server has chosen a protocol that it was not offered");
}
