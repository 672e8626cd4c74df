/* SPDX-License-Identifier: MIT */
/*
 * tickets.c - the keys of session tickets.
 *
 * A ticket is a session that its client keeps for us, encrypted with a key that only we have. Who
 * gets hold of the key can read what was sent in sessions resumed under TLS 1.2, so it must not
 * live as long as the process, which OpenSSL's own would. There are two: the new one writes, both
 * read. After as long as a session can be resumed a fresh one takes the place of the new one, which
 * becomes the old one: no ticket dies before its session, and no key lives for more than twice that
 * time.
 *
 * Keys belong to the material, so a reload ends all sessions: who is not trusted any more can't
 * come back by a ticket.
 *
 * A client whose session is resumed has shown its certificate earlier. If that has expired since,
 * there is no resumption, and it must show a good one.
 *
 * The callbacks run within OpenSSL, so the lock is a lock of threads, held for a copy.
 */
#include "tls/tls.h"
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

typedef struct key {
    unsigned char name[16], cipher[32], mac[32];
} key;

struct ag__tls_tickets {
    CRYPTO_RWLOCK *lock;
    /* Guarded by lock. */
    key keys[2]; /* the new one, the old one */
    ag_time since;
};

ag__tls_tickets *ag__tls_tickets_new(void) {
    ag__tls_tickets *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->lock = CRYPTO_THREAD_lock_new();
    if (!t->lock || RAND_bytes((unsigned char *)t->keys, sizeof t->keys) != 1) {
        ag__tls_tickets_free(t);
        return NULL;
    }
    t->since = ag_now();
    return t;
}

void ag__tls_tickets_free(ag__tls_tickets *t) {
    if (!t)
        return;
    CRYPTO_THREAD_lock_free(t->lock);
    OPENSSL_cleanse(t, sizeof *t);
    free(t);
}

/* With the lock. */
static void rotate(ag__tls_tickets *t, ag_time now) {
    const ag_time life = AG__TLS_SESSION_S * AG_SEC;
    ag_time age = now - t->since;
    key fresh[2];
    if (age < life || RAND_bytes((unsigned char *)fresh, sizeof fresh) != 1)
        return;
    t->keys[1] = age < 2 * life ? t->keys[0] : fresh[1];
    t->keys[0] = fresh[0];
    t->since = now;
    OPENSSL_cleanse(fresh, sizeof fresh);
}

/* The key to write with, or the one of this name. Returns: 0 none, 1 the new one, 2 the old one. */
static int find(ag__tls_tickets *t, const unsigned char *name, key *ret_key) {
    int found = 0;
    if (!CRYPTO_THREAD_write_lock(t->lock))
        return 0;
    rotate(t, ag_now());
    for (int i = 0; i < 2 && !found; i++)
        if (!name || memcmp(name, t->keys[i].name, sizeof t->keys[i].name) == 0) {
            *ret_key = t->keys[i];
            found = i + 1;
        }
    CRYPTO_THREAD_unlock(t->lock);
    return found;
}

static int apply(const key *k, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                 int encrypts) {
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)k->mac, sizeof k->mac),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"sha256", 0),
        OSSL_PARAM_construct_end()};
    return EVP_MAC_CTX_set_params(mac, params) &&
           EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, k->cipher, iv, encrypts);
}

/* Returns, as OpenSSL wants it: < 0 an error, 0 no such key, 1, 2 the ticket is to be renewed. */
static int ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                      EVP_MAC_CTX *mac, int encrypts) {
    ag__tls *conn = SSL_get_app_data(ssl);
    key k;
    int found = find(conn->material->tickets, encrypts ? NULL : name, &k);
    if (found == 0)
        return encrypts ? -1 : 0;
    bool ok = true;
    if (encrypts) {
        memcpy(name, k.name, sizeof k.name);
        ok = RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) == 1;
    }
    ok = ok && apply(&k, iv, cipher, mac, encrypts);
    OPENSSL_cleanse(&k, sizeof k);
    return ok ? found : -1;
}

static int seal(SSL *ssl, void *arg) {
    (void)ssl, (void)arg;
    return 1;
}

static SSL_TICKET_RETURN unseal(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
                                size_t name_n, SSL_TICKET_STATUS status, void *arg) {
    (void)ssl, (void)name, (void)name_n, (void)arg;
    X509 *peer = session ? SSL_SESSION_get0_peer(session) : NULL;
    if (peer && X509_cmp_current_time(X509_get0_notAfter(peer)) <= 0)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    switch (status) {
    case SSL_TICKET_SUCCESS:
        return SSL_TICKET_RETURN_USE;
    case SSL_TICKET_SUCCESS_RENEW:
        return SSL_TICKET_RETURN_USE_RENEW;
    default:
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    }
}

int ag__tls_tickets_use(SSL_CTX *ctx) {
    return SSL_CTX_set_session_ticket_cb(ctx, seal, unseal, NULL) == 1 &&
           SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, ticket_key) == 1;
}
