/* SPDX-License-Identifier: MIT */
/*
 * tls.h - the door of TLS: what its files share. OpenSSL does the protocol; everything that calls
 * it obeys three rules:
 *
 * - No call of OpenSSL waits. Its BIO takes from the socket what is there and puts what is to be
 *   sent into a buffer.
 * - One call at a time for each connection, under the mutex of `ag__tls`, which is held for no
 * wait. What OpenSSL calls back takes no mutex of ours: the goroutine would come back on another
 * thread in the middle of OpenSSL.
 * - Its queue of errors belongs to the thread. It is cleared before a call, read and cleared behind
 *   it, and nothing in between may wait.
 *
 * Objects:
 *
 *     ag_tls_config --> ag__tls_material <-- ag__tls, one a connection --> SSL
 *       what was asked for    what the files said, and the SSL_CTX; never changes,
 *                             replaced by a reload
 */
#ifndef AG_TLS_H
#define AG_TLS_H

#include "base/base.h"
#include <aglet/layer.h>
#include <aglet/sync.h>
#include <aglet/time.h>
#include <aglet/tls.h>
#include <openssl/ssl.h>

enum { AG__TLS_WHY = 400, AG__TLS_CERTS = 1000, AG__TLS_NAME = 256, AG__TLS_SPIFFE = 2049 };

/* --- What the files said. --- */

typedef struct ag__tls_cert {
    X509 *leaf;
    EVP_PKEY *key;
    STACK_OF(X509) * chain; /* without the leaf */
} ag__tls_cert;

typedef struct ag__tls_tickets ag__tls_tickets;

typedef struct ag__tls_material {
    _Atomic int64_t refs;
    /* Constant. */
    SSL_CTX *ctx;
    ag__tls_cert *certs;
    int cert_count;
    X509_STORE *client_ca; /* for the certificates of clients; NULL: nobody */
    X509_STORE *roots;     /* for those of servers; the system's are there once a client is */
    ag__tls_tickets *tickets;
    const ag_tls_config *config; /* For OpenSSL's calls within a connection, which holds it. */
} ag__tls_material;

/* A pair of files; the same twice is one that has both. */
typedef struct ag__tls_files {
    char *cert, *key;
} ag__tls_files;

/* What was asked for. Constant once the configuration is used. */
typedef struct ag__tls_wish {
    ag__tls_files *files;
    int file_count;
    char *client_ca, *roots; /* files; NULL: none, the system's */
    int client_mode;         /* AG_TLS_CLIENT_* */
    int min_version;
    char **alpn; /* ended by NULL */
    int alpn_count;
    unsigned char *alpn_wire; /* as it is sent */
    unsigned alpn_wire_n;
} ag__tls_wish;

/* Reads everything. `why` gets the reason of an error. */
int ag__tls_material_new(const ag_tls_config *config, ag__tls_material **ret_m,
                         char why[AG__TLS_WHY]);
void ag__tls_material_unref(ag__tls_material *m);
/* One pair of files. */
int ag__tls_cert_load(const ag__tls_files *files, ag__tls_cert *ret_cert, char why[AG__TLS_WHY]);
void ag__tls_cert_done(ag__tls_cert *cert);
/* A file of certificates to trust. */
int ag__tls_store_load(const char *file, X509_STORE **ret_store, char why[AG__TLS_WHY]);
/* The callback that shows the certificates; `material` is an ag__tls_material. */
int ag__tls_show_cert(SSL *ssl, void *material);

/* tickets.c: keys of session tickets. */
ag__tls_tickets *ag__tls_tickets_new(void);
void ag__tls_tickets_free(ag__tls_tickets *t);
int ag__tls_tickets_use(SSL_CTX *ctx);
enum { AG__TLS_SESSION_S = 2 * 60 * 60 }; /* how long a session can be resumed */

/* --- Configurations. --- */

/* Sessions of clients, one a server. */
enum { AG__TLS_SESSIONS = 64 };
typedef struct ag__tls_session {
    char *name;
    SSL_SESSION *session;
    int64_t used; /* the one with the smallest goes first */
} ag__tls_session;

struct ag_tls_config {
    ag__object object;
    ag__tls_wish wish;
    _Atomic bool used; /* Only grows. */
    ag_mutex lock;
    /* Guarded by lock. */
    ag__tls_material *now; /* NULL: not loaded yet */
    ag__tls_session sessions[AG__TLS_SESSIONS];
    int64_t clock;
    /* Of who sets up or reloads. */
    char why[AG__TLS_WHY];
};

/* A reference of the present material, which is loaded if need be; a client's needs the roots. */
int ag__tls_config_take(ag_tls_config *config, bool for_client, ag__tls_material **ret_m);
/* sessions.c: puts a session in, which it takes over; gives one out, or NULL. */
void ag__tls_session_put(ag_tls_config *config, const ag__tls_material *m, const char *name,
                         SSL_SESSION *session);
SSL_SESSION *ag__tls_session_take(ag_tls_config *config, const ag__tls_material *m,
                                  const char *name);
/* With the lock. */
void ag__tls_sessions_drop(ag_tls_config *config);

/* --- Connections. --- */

typedef struct ag__tls {
    ag_layer layer;
    ag_tls_config *config;          /* Constant; a reference. */
    char *server_name;              /* Constant. Of a client; NULL: a server. */
    _Atomic(const char *) protocol; /* Atomic; set once from NULL: one of the configuration's. */
    ag_mutex lock;
    /* Guarded by lock. */
    ag__tls_material *material; /* from the first step of the handshake; a reference */
    SSL *ssl;                   /* the same */
    unsigned char *out;         /* out[out_at..out_n): to be sent */
    size_t out_at, out_n, out_size;
    SSL_SESSION *fresh; /* of a client: came with the last call of OpenSSL */
    char *why;          /* of `error`; NULL: none, or no memory */
    ag_tls_state *state;
    int error;       /* of the handshake and of reads, for ever */
    int recv_error;  /* the socket's, behind the last call of OpenSSL */
    int send_error;  /* the socket's, for ever */
    bool done;       /* the handshake */
    bool opened;     /* and all of it was sent */
    bool may_read;   /* the BIO may, for this call */
    bool at_once;    /* the BIO sends at once what nothing is before, in this call */
    bool at_end;     /* the socket's */
    bool starved;    /* OpenSSL can't go on without more of the socket */
    bool peer_ended; /* said so */
    bool ended;      /* we have */
    bool has_ticket; /* a server's client */
    bool is_small;   /* the buffers of the handshake are gone */
} ag__tls;

extern const ag_layer_ops ag__tls_ops;
/* NULL without TLS. */
ag__tls *ag__tls_of(ag_conn *c);
ag__tls *ag__tls_new(ag_tls_config *config, const char *server_name);

/* start.c: makes t->ssl. 0, -ENOMEM … With the lock. */
int ag__tls_start(ag__tls *t);
/* Behind the handshake. An error if the peer has made its choice up. With the lock. */
int ag__tls_note_protocol(ag__tls *t);

/* bio.c */
BIO *ag__tls_bio(ag__tls *t);
/* Sends what is in the buffer. 0, -EAGAIN, an error. With the lock. */
int ag__tls_send(ag__tls *t);
/* Puts bytes into the buffer. */
bool ag__tls_put(ag__tls *t, const void *bytes, size_t n);

/* errors.c: notes why OpenSSL's last call, whose result was `r`, has failed, for ever. Returns: the
 * error. With the lock. */
int ag__tls_failed(ag__tls *t, int r);
/* The same for a reason of our own. */
int ag__tls_fail(ag__tls *t, int error, const char *why);
/* The first reason in OpenSSL's queue as text; clears it. */
const char *ag__tls_reason(char buf[AG__TLS_WHY]);

/* state.c: with the lock. */
ag_tls_state *ag__tls_state_new(ag__tls *t);
/* The SPIFFE id of a certificate, or "". `buf` has its text. */
const char *ag__tls_spiffe_id(X509 *cert, char *buf, size_t size);

#endif
