/* SPDX-License-Identifier: MIT */
/*
 * material.c - what the files of a configuration say, as OpenSSL wants it.
 *
 * A material never changes; a reload makes another one, and connections hold the one with which
 * they began. There is one SSL_CTX for servers and clients; which of its parts count is told to
 * each SSL (start.c). Certificates are not in the SSL_CTX but are chosen in each handshake, when
 * the name that the client asks for is known: so names, kinds of keys and clients' certificates are
 * one mechanism.
 *
 * A chain is used as it stands in its file. OpenSSL would complete it from the certificates that
 * are trusted, which are there for others.
 */
#include "tls/tls.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int refuse(char *why, int error, const char *file, const char *text) {
    snprintf(why, AG__TLS_WHY, "%.190s: %.200s", file, text);
    ERR_clear_error();
    return error;
}

/* The reason in OpenSSL's queue. */
static int refuse_ssl(char *why, const char *file, const char *what) {
    char text[AG__TLS_WHY];
    bool no_memory = ERR_GET_REASON(ERR_peek_error()) == ERR_R_MALLOC_FAILURE;
    ag__tls_reason(text);
    snprintf(why, AG__TLS_WHY, "%.190s: %s: %.150s", file, what, text);
    return no_memory ? -ENOMEM : -EINVAL;
}

static int open_file(const char *file, BIO **ret_bio, char *why) {
    ERR_clear_error();
    *ret_bio = BIO_new_file(file, "r");
    if (*ret_bio)
        return 0;
    unsigned long e = ERR_peek_error();
    int error = ERR_SYSTEM_ERROR(e) ? ERR_GET_REASON(e) : ENOMEM;
    return refuse(why, -error, file, strerror(error));
}

/* --- Certificates. --- */

/* A key file that asks for a password is refused: nobody is there to tell it. */
static int no_password(char *buf, int size, int writes, void *arg) {
    (void)buf, (void)size, (void)writes;
    *(bool *)arg = true;
    return -1;
}

static int load_key(const char *file, EVP_PKEY **ret_key, char *why) {
    BIO *bio;
    bool is_encrypted = false;
    int r = open_file(file, &bio, why);
    if (r != 0)
        return r;
    *ret_key = PEM_read_bio_PrivateKey(bio, NULL, no_password, &is_encrypted);
    BIO_free(bio);
    if (*ret_key)
        return 0;
    if (is_encrypted)
        return refuse(why, -EINVAL, file, "the private key is encrypted");
    return refuse_ssl(why, file, "no private key");
}

/* Whether reading certificates one by one came to the end of the file, not to a bad one. */
static bool was_end(void) {
    unsigned long e = ERR_peek_last_error();
    bool end = ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE;
    if (end)
        ERR_clear_error();
    return end;
}

static int load_chain(const char *file, ag__tls_cert *c, char *why) {
    BIO *bio;
    int r = open_file(file, &bio, why);
    if (r != 0)
        return r;
    c->leaf = PEM_read_bio_X509_AUX(bio, NULL, no_password, &(bool){false});
    c->chain = c->leaf ? sk_X509_new_null() : NULL;
    X509 *next = NULL;
    while (c->chain && (next = PEM_read_bio_X509(bio, NULL, no_password, &(bool){false})) != NULL)
        if (sk_X509_push(c->chain, next) == 0) {
            X509_free(next);
            r = -ENOMEM;
            break;
        }
    BIO_free(bio);
    if (r == 0 && (!c->chain || !was_end()))
        r = refuse_ssl(why, file, "no certificate");
    return r;
}

void ag__tls_cert_done(ag__tls_cert *c) {
    X509_free(c->leaf);
    EVP_PKEY_free(c->key);
    sk_X509_pop_free(c->chain, X509_free);
    *c = (ag__tls_cert){NULL, NULL, NULL};
}

int ag__tls_cert_load(const ag__tls_files *files, ag__tls_cert *ret_cert, char why[AG__TLS_WHY]) {
    ag__tls_cert c = {NULL, NULL, NULL};
    int r = load_chain(files->cert, &c, why);
    if (r == 0)
        r = load_key(files->key, &c.key, why);
    if (r == 0 && X509_check_private_key(c.leaf, c.key) != 1) {
        char text[AG__TLS_WHY];
        snprintf(text, sizeof text, "the key in %.150s does not belong to this certificate",
                 files->key);
        r = refuse(why, -EINVAL, files->cert, text);
    }
    if (r == 0)
        *ret_cert = c;
    else
        ag__tls_cert_done(&c);
    return r;
}

/* --- Whom to trust. --- */

int ag__tls_store_load(const char *file, X509_STORE **ret_store, char why[AG__TLS_WHY]) {
    BIO *bio;
    X509 *cert;
    int r = open_file(file, &bio, why), count = 0;
    if (r != 0)
        return r;
    X509_STORE *store = X509_STORE_new();
    if (!store)
        r = -ENOMEM;
    while (r == 0 &&
           (cert = PEM_read_bio_X509_AUX(bio, NULL, no_password, &(bool){false})) != NULL) {
        if (X509_STORE_add_cert(store, cert) != 1)
            r = -ENOMEM;
        X509_free(cert);
        count++;
    }
    BIO_free(bio);
    if (r == 0 && (!was_end() || count == 0))
        r = refuse_ssl(why, file, "no certificate");
    if (r == 0)
        *ret_store = store;
    else
        X509_STORE_free(store);
    return r;
}

/* --- Showing a certificate. --- */

/* 2: the certificate has exactly this name, 1: by a wildcard, 0: not. */
static int has_name(X509 *cert, const char *name) {
    enum { FLAGS = X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS };
    if (X509_check_host(cert, name, 0, FLAGS | X509_CHECK_FLAG_NO_WILDCARDS, NULL) == 1)
        return 2;
    return X509_check_host(cert, name, 0, FLAGS, NULL) == 1;
}

/* The certificates that have the name best; of those that are equally good and have the same kind
 * of key, the first. */
int ag__tls_show_cert(SSL *ssl, void *material) {
    ag__tls_material *m = material;
    const char *name =
        SSL_is_server(ssl) ? SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name) : NULL;
    int best = 0, kinds[8], kind_count = 0;
    for (int i = 0; name && best < 2 && i < m->cert_count; i++) {
        int good = has_name(m->certs[i].leaf, name);
        best = good > best ? good : best;
    }
    for (int i = 0; i < m->cert_count; i++) {
        ag__tls_cert *c = &m->certs[i];
        int kind = EVP_PKEY_get_base_id(c->key), k = 0;
        if (best > 0 ? has_name(c->leaf, name) != best : i > 0)
            continue;
        while (k < kind_count && kinds[k] != kind)
            k++;
        if (k < kind_count || kind_count == 8)
            continue;
        kinds[kind_count++] = kind;
        if (SSL_use_cert_and_key(ssl, c->leaf, c->key, c->chain, 1) != 1)
            return 0;
    }
    return 1;
}

/* --- Putting it together. --- */

static int pick_protocol(SSL *ssl, const unsigned char **ret, unsigned char *ret_n,
                         const unsigned char *offered, unsigned offered_n, void *material) {
    const ag__tls_wish *wish = &((ag__tls_material *)material)->config->wish;
    (void)ssl;
    for (char **p = wish->alpn; *p; p++)
        for (unsigned at = 0; at < offered_n; at += 1u + offered[at])
            if (strlen(*p) == offered[at] && memcmp(*p, offered + at + 1, offered[at]) == 0) {
                *ret = offered + at + 1;
                *ret_n = offered[at];
                return SSL_TLSEXT_ERR_OK;
            }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* There for the sake of OpenSSL, which keeps the name with the session only if somebody cares. */
static int note_name(SSL *ssl, int *alert, void *arg) {
    (void)alert, (void)arg;
    return SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name) ? SSL_TLSEXT_ERR_OK
                                                              : SSL_TLSEXT_ERR_NOACK;
}

static int note_session(SSL *ssl, SSL_SESSION *session) {
    ag__tls *t = SSL_get_app_data(ssl);
    if (!t->server_name)
        return 0;
    SSL_SESSION_free(t->fresh);
    t->fresh = session;
    return 1;
}

/* The smaller of the two AES first, as browsers have it: OpenSSL's order makes the derivation of
 * keys, a quarter of a handshake that is resumed, several times as dear. Who has set up another
 * order for the machine (openssl.cnf) has it. */
static bool order_ciphers(SSL_CTX *ctx) {
    static const char ours[] =
        "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
    const char *usual = OSSL_default_ciphersuites();
    STACK_OF(SSL_CIPHER) *all = SSL_CTX_get_ciphers(ctx);
    size_t at = 0;
    for (int i = 0; i < sk_SSL_CIPHER_num(all); i++) {
        const SSL_CIPHER *cipher = sk_SSL_CIPHER_value(all, i);
        const char *name = SSL_CIPHER_get_name(cipher);
        size_t n = strlen(name);
        if (SSL_CIPHER_get_protocol_id(cipher) >> 8 != 0x13) /* of TLS 1.3 */
            break;
        if (strncmp(usual + at, name, n) != 0)
            return true;
        at += n + (usual[at + n] == ':');
    }
    return usual[at] || SSL_CTX_set_ciphersuites(ctx, ours) == 1;
}

static bool set_up(ag__tls_material *m, const ag__tls_wish *wish) {
    SSL_CTX *ctx = m->ctx = SSL_CTX_new(TLS_method());
    if (!ctx)
        return false;
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, note_session);
    SSL_CTX_set_timeout(ctx, AG__TLS_SESSION_S);
    SSL_CTX_set_cert_cb(ctx, ag__tls_show_cert, m);
    SSL_CTX_set_tlsext_servername_callback(ctx, note_name);
    if (wish->alpn_count)
        SSL_CTX_set_alpn_select_cb(ctx, pick_protocol, m);
    return order_ciphers(ctx) && SSL_CTX_set_min_proto_version(ctx, wish->min_version) &&
           SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"aglet", 5) &&
           (!wish->alpn_count ||
            SSL_CTX_set_alpn_protos(ctx, wish->alpn_wire, wish->alpn_wire_n) == 0) &&
           ag__tls_tickets_use(ctx);
}

static int load_trust(ag__tls_material *m, const ag__tls_wish *wish, char *why) {
    int r = 0;
    if (wish->client_ca) {
        r = ag__tls_store_load(wish->client_ca, &m->client_ca, why);
        STACK_OF(X509_NAME) *names = r == 0 ? SSL_load_client_CA_file(wish->client_ca) : NULL;
        if (r == 0 && !names)
            r = refuse_ssl(why, wish->client_ca, "no certificate");
        SSL_CTX_set_client_CA_list(m->ctx, names);
    }
    if (r == 0 && wish->roots)
        r = ag__tls_store_load(wish->roots, &m->roots, why);
    return r;
}

int ag__tls_material_new(const ag_tls_config *config, ag__tls_material **ret_m,
                         char why[AG__TLS_WHY]) {
    const ag__tls_wish *wish = &config->wish;
    ag__tls_material *m = calloc(1, sizeof *m);
    snprintf(why, AG__TLS_WHY, "out of memory");
    if (!m)
        return -ENOMEM;
    atomic_store(&m->refs, 1);
    m->config = config;
    m->tickets = ag__tls_tickets_new();
    m->certs = calloc((size_t)wish->file_count + 1, sizeof *m->certs);
    int r = m->tickets && m->certs && set_up(m, wish) ? 0 : -ENOMEM;
    for (int i = 0; r == 0 && i < wish->file_count; i++) {
        r = ag__tls_cert_load(&wish->files[i], &m->certs[i], why);
        m->cert_count += r == 0;
    }
    if (r == 0)
        r = load_trust(m, wish, why);
    ERR_clear_error();
    if (r != 0) {
        ag__tls_material_unref(m);
        return r;
    }
    why[0] = 0;
    *ret_m = m;
    return 0;
}

void ag__tls_material_unref(ag__tls_material *m) {
    if (!m || atomic_fetch_sub(&m->refs, 1) > 1)
        return;
    SSL_CTX_free(m->ctx);
    for (int i = 0; i < m->cert_count; i++)
        ag__tls_cert_done(&m->certs[i]);
    X509_STORE_free(m->client_ca);
    X509_STORE_free(m->roots);
    ag__tls_tickets_free(m->tickets);
    free(m->certs);
    free(m);
}
