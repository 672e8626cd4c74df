/* SPDX-License-Identifier: MIT */
/*
 * Certificates for tests, made when a test runs, in a folder of its own that goes with it. Include
 * ag_test.h before it.
 *
 *     certs_begin();
 *     ag_defer(certs_end);
 *     cert_make(&(struct cert){.file = "ca", .is_ca = true});
 *     cert_make(&(struct cert){.file = "site", .by = "ca", .names = "DNS:localhost"});
 *     ... in_certs("site.pem"), in_certs("site.key")
 */
#ifndef AG_TLS_CERTS_H
#define AG_TLS_CERTS_H

#include <aglet.h>
#include <aglet/tls.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef AG_TSAN
/* OpenSSL keeps things for each thread, made while one goroutine runs there and freed when the
 * thread ends, which to the sanitizer is somebody else; see docs/guide/tls.md. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void) {
    return "called_from_lib:libcrypto.so\ncalled_from_lib:libssl.so\n";
}
#endif

struct cert {
    const char *file;  /* FILE.pem, FILE.key */
    const char *by;    /* the file of who signs; NULL: itself */
    const char *names; /* subject alternative names: "DNS:localhost,IP:127.0.0.1"; NULL: none */
    const char *name;  /* the common name; NULL: file */
    bool is_ca, is_rsa, is_expired;
    int seconds; /* until it expires; 0: an hour */
};

static char certs_dir[64];

static inline void certs_begin(void) {
    snprintf(certs_dir, sizeof certs_dir, "/tmp/aglet-tls-XXXXXX");
    if (!mkdtemp(certs_dir))
        ag_fail("mkdtemp");
}

static inline void certs_end(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", certs_dir);
    ag_check_int(system(command), 0);
}

/* Four may be in use at a time. */
static inline const char *in_certs(const char *file) {
    static _Thread_local char paths[4][128];
    static _Thread_local unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", certs_dir, file);
    return path;
}

static inline const char *cert_file(const char *file, const char *ending) {
    char name[64];
    snprintf(name, sizeof name, "%s.%s", file, ending);
    return in_certs(name);
}

static inline void cert_add(X509 *x, X509 *issuer, int nid, const char *value) {
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    ag_check(e != NULL);
    X509_add_ext(x, e, -1);
    X509_EXTENSION_free(e);
}

static inline void *cert_read(const char *file, bool is_key) {
    FILE *f = fopen(cert_file(file, is_key ? "key" : "pem"), "r");
    ag_check(f != NULL);
    void *x = is_key ? (void *)PEM_read_PrivateKey(f, NULL, NULL, NULL)
                     : (void *)PEM_read_X509(f, NULL, NULL, NULL);
    fclose(f);
    ag_check(x != NULL);
    return x;
}

static inline void cert_make(const struct cert *c) {
    static _Atomic int serial;
    EVP_PKEY *key = c->is_rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
    X509 *x = X509_new(), *issuer = c->by ? cert_read(c->by, false) : x;
    EVP_PKEY *signs = c->by ? cert_read(c->by, true) : key;
    X509_NAME *name = X509_get_subject_name(x);
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), getpid() * 1000L + ++serial);
    X509_gmtime_adj(X509_getm_notBefore(x), -7200);
    X509_gmtime_adj(X509_getm_notAfter(x), c->is_expired ? -60 : c->seconds ? c->seconds : 3600);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                               (const unsigned char *)(c->name ? c->name : c->file), -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(issuer));
    X509_set_pubkey(x, key);
    cert_add(x, issuer, NID_basic_constraints, c->is_ca ? "critical,CA:TRUE" : "CA:FALSE");
    if (c->names)
        cert_add(x, issuer, NID_subject_alt_name, c->names);
    ag_check(X509_sign(x, signs, EVP_sha256()) > 0);
    FILE *f = fopen(cert_file(c->file, "pem"), "w");
    PEM_write_X509(f, x);
    fclose(f);
    f = fopen(cert_file(c->file, "key"), "w");
    PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
    fclose(f);
    if (c->by) {
        X509_free(issuer);
        EVP_PKEY_free(signs);
    }
    X509_free(x);
    EVP_PKEY_free(key);
}

/* "ca", and "site" for localhost and 127.0.0.1. */
static inline void certs_usual(void) {
    certs_begin();
    cert_make(&(struct cert){.file = "ca", .is_ca = true});
    cert_make(
        &(struct cert){.file = "site", .by = "ca", .names = "DNS:localhost,IP:127.0.0.1,IP:::1"});
}

/* What a server shows, and a client trusts. */
static inline ag_tls_config *config_with(const char *cert, const char *roots) {
    ag_tls_config *x = ag_tls_config_new();
    ag_check(x != NULL);
    if (cert && ag_tls_config_cert(x, cert_file(cert, "pem"), cert_file(cert, "key")) != 0)
        ag_fail("%s", ag_tls_config_error(x));
    if (roots && ag_tls_config_roots(x, cert_file(roots, "pem")) != 0)
        ag_fail("%s", ag_tls_config_error(x));
    return x;
}

#endif
