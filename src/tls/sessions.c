/* SPDX-License-Identifier: MIT */
/*
 * sessions.c - sessions of clients, by the name of the server, so that the next connection needs
 * neither certificates nor signatures.
 *
 * Few, in an array: a program talks to few servers, and the one that it has not talked to for
 * longest gives way. A ticket of TLS 1.3 is given out once, so that nobody can tell by it that two
 * connections are of the same client (RFC 8446, appendix C.4); the new connection brings another.
 * Sessions belong to the material under which the server was checked: a connection that began
 * before a reload puts none in.
 */
#include "tls/tls.h"
#include <stdlib.h>
#include <string.h>

static void drop(ag__tls_session *s) {
    SSL_SESSION_free(s->session);
    free(s->name);
    *s = (ag__tls_session){NULL, NULL, 0};
}

void ag__tls_sessions_drop(ag_tls_config *config) {
    for (int i = 0; i < AG__TLS_SESSIONS; i++)
        drop(&config->sessions[i]);
}

/* The place of this name, or NULL. */
static ag__tls_session *find(ag_tls_config *config, const char *name) {
    for (int i = 0; i < AG__TLS_SESSIONS; i++) {
        ag__tls_session *s = &config->sessions[i];
        if (s->name && strcmp(s->name, name) == 0)
            return s;
    }
    return NULL;
}

static ag__tls_session *make_room(ag_tls_config *config) {
    ag__tls_session *oldest = config->sessions;
    for (int i = 1; i < AG__TLS_SESSIONS; i++)
        if (config->sessions[i].used < oldest->used)
            oldest = &config->sessions[i];
    drop(oldest);
    return oldest;
}

void ag__tls_session_put(ag_tls_config *config, const ag__tls_material *m, const char *name,
                         SSL_SESSION *session) {
    char *copy = SSL_SESSION_is_resumable(session) ? strdup(name) : NULL;
    ag_mutex_lock(&config->lock);
    if (copy && config->now == m) {
        ag__tls_session *s = find(config, name);
        if (s)
            drop(s);
        else
            s = make_room(config);
        *s = (ag__tls_session){copy, session, ++config->clock};
        copy = NULL;
        session = NULL;
    }
    ag_mutex_unlock(&config->lock);
    SSL_SESSION_free(session);
    free(copy);
}

SSL_SESSION *ag__tls_session_take(ag_tls_config *config, const ag__tls_material *m,
                                  const char *name) {
    SSL_SESSION *session = NULL;
    ag_mutex_lock(&config->lock);
    ag__tls_session *s = config->now == m ? find(config, name) : NULL;
    if (s) {
        session = s->session;
        SSL_SESSION_up_ref(session);
        s->used = ++config->clock;
        if (SSL_SESSION_get_protocol_version(session) >= TLS1_3_VERSION)
            drop(s);
    }
    ag_mutex_unlock(&config->lock);
    return session;
}
