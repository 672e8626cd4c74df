/* SPDX-License-Identifier: MIT */
/*
 * state.c - what a handshake has come to, for the program. Put together when somebody asks, since
 * most never do, in one piece of memory: first the size of it is found, by a walk that writes
 * nothing, then the same walk writes.
 *
 * A name with a byte 0 in it is left out: it would look like another, shorter one.
 */
#include "tls/tls.h"
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Memory being filled; with `at` NULL it is only measured. */
typedef struct pen {
    char *at;
    size_t n;
} pen;

static const char *put_bytes(pen *p, const void *bytes, size_t n) {
    char *at = p->at ? p->at + p->n : NULL;
    if (at) {
        memcpy(at, bytes, n);
        at[n] = 0;
    }
    p->n += n + 1;
    return at;
}

static const char *put_text(pen *p, const char *text) {
    return put_bytes(p, text ? text : "", text ? strlen(text) : 0);
}

/* --- Names of a certificate. --- */

/* "192.0.2.1", "2001:db8::1", as inet_ntop writes them; false for another length. */
static bool ip_text(const unsigned char *b, int n, char *text, size_t size) {
    if (n == 4) {
        snprintf(text, size, "%d.%d.%d.%d", b[0], b[1], b[2], b[3]);
        return true;
    }
    if (n != 16)
        return false;
    int first = -1, longest = 1;
    for (int i = 0; i < 8; i++) {
        int k = i;
        while (k < 8 && b[2 * k] == 0 && b[2 * k + 1] == 0)
            k++;
        if (k - i > longest) {
            longest = k - i;
            first = i;
        }
    }
    size_t at = 0;
    for (int i = 0; i < 8;) {
        if (i == first) {
            at += (size_t)snprintf(text + at, size - at, "::");
            i += longest;
            continue;
        }
        const char *sep = i == 0 || i == first + longest ? "" : ":";
        if (first < 0 && i > 0)
            sep = ":";
        at += (size_t)snprintf(text + at, size - at, "%s%x", sep, b[2 * i] << 8 | b[2 * i + 1]);
        i++;
    }
    return true;
}

/* Name number `i` if it is of this kind, in *ret_bytes. */
static bool name_at(const GENERAL_NAMES *names, int i, int kind, char ip[64],
                    const void **ret_bytes, size_t *ret_n) {
    const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
    if (name->type != kind)
        return false;
    const ASN1_STRING *text = kind == GEN_IPADD ? name->d.iPAddress : name->d.ia5;
    int n = ASN1_STRING_length(text);
    const unsigned char *bytes = ASN1_STRING_get0_data(text);
    if (kind == GEN_IPADD) {
        if (!ip_text(bytes, n, ip, 64))
            return false;
        *ret_bytes = ip;
        *ret_n = strlen(ip);
        return true;
    }
    *ret_bytes = bytes;
    *ret_n = (size_t)n;
    return n == 0 || !memchr(bytes, 0, (size_t)n);
}

/* A list: its pointers lie in `slots`, and its end there, too. */
static const char *const *put_names(pen *p, const char ***slots, const GENERAL_NAMES *names,
                                    int kind) {
    const char **first = *slots;
    int count = names ? sk_GENERAL_NAME_num(names) : 0;
    for (int i = 0; i < count; i++) {
        char ip[64];
        const void *bytes;
        size_t n;
        if (!name_at(names, i, kind, ip, &bytes, &n))
            continue;
        const char *text = put_bytes(p, bytes, n);
        if (p->at)
            *(*slots)++ = text;
    }
    if (p->at)
        *(*slots)++ = NULL;
    return first;
}

/* The SPIFFE X.509 standard, 2: exactly one URI, no query and no fragment; the trust domain is not
 * empty. */
static bool is_spiffe_id(const char *uri) {
    return strncmp(uri, "spiffe://", 9) == 0 && uri[9] && uri[9] != '/' && !strpbrk(uri, "?#");
}

const char *ag__tls_spiffe_id(X509 *cert, char *buf, size_t size) {
    GENERAL_NAMES *names = cert ? X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL) : NULL;
    int uris = 0;
    buf[0] = 0;
    for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
        const void *bytes;
        size_t n;
        if (sk_GENERAL_NAME_value(names, i)->type != GEN_URI)
            continue;
        uris++;
        if (name_at(names, i, GEN_URI, NULL, &bytes, &n) && n < size) {
            memcpy(buf, bytes, n);
            buf[n] = 0;
        }
    }
    GENERAL_NAMES_free(names);
    if (uris != 1 || !is_spiffe_id(buf))
        buf[0] = 0;
    return buf;
}

/* --- The whole. --- */

typedef struct subject {
    X509 *cert; /* NULL: none */
    GENERAL_NAMES *names;
    char *text;
    char spiffe_id[AG__TLS_SPIFFE];
} subject;

static void look_at(subject *s, X509 *cert) {
    *s = (subject){.cert = cert};
    if (!cert)
        return;
    s->names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    ag__tls_spiffe_id(cert, s->spiffe_id, sizeof s->spiffe_id);
    BIO *bio = BIO_new(BIO_s_mem());
    char *bytes;
    if (bio && X509_NAME_print_ex(bio, X509_get_subject_name(cert), 0, XN_FLAG_RFC2253) >= 0) {
        long n = BIO_get_mem_data(bio, &bytes);
        s->text = n > 0 ? strndup(bytes, (size_t)n) : NULL;
    }
    BIO_free(bio);
}

static void write_state(ag__tls *t, const subject *s, pen *p, const char **slots,
                        ag_tls_state *to) {
    const char *protocol = atomic_load(&t->protocol), *name = t->server_name;
    if (!name)
        name = SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name);
    *to = (ag_tls_state){
        .version = put_text(p, SSL_get_version(t->ssl)),
        .cipher = put_text(p, SSL_get_cipher_name(t->ssl)),
        .alpn = put_text(p, protocol),
        .server_name = put_text(p, name),
        .resumed = SSL_session_reused(t->ssl),
        .peer_verified = s->cert && SSL_get_verify_result(t->ssl) == X509_V_OK,
        .peer_subject = put_text(p, s->text),
        .spiffe_id = put_text(p, s->spiffe_id),
    };
    to->dns_names = put_names(p, &slots, s->names, GEN_DNS);
    to->ip_addresses = put_names(p, &slots, s->names, GEN_IPADD);
    to->uris = put_names(p, &slots, s->names, GEN_URI);
}

ag_tls_state *ag__tls_state_new(ag__tls *t) {
    subject *s = malloc(sizeof *s);
    if (!s)
        return NULL;
    look_at(s, SSL_get0_peer_certificate(t->ssl));
    size_t slots = (s->names ? (size_t)sk_GENERAL_NAME_num(s->names) : 0) + 3;
    pen p = {NULL, 0};
    ag_tls_state measured;
    write_state(t, s, &p, NULL, &measured);
    ag_tls_state *state = malloc(sizeof *state + slots * sizeof(char *) + p.n);
    if (state) {
        const char **first = (const char **)(state + 1);
        p = (pen){(char *)(first + slots), 0};
        write_state(t, s, &p, first, state);
    }
    GENERAL_NAMES_free(s->names);
    free(s->text);
    free(s);
    ERR_clear_error();
    return state;
}
