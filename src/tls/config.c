/* SPDX-License-Identifier: MIT */
/*
 * config.c - configurations: setting them up, loading, reloading.
 *
 * What is set is checked at once, by reading the files it names; what was read is forgotten, except
 * for the answer. All files are read together when the configuration is used first, and by a
 * reload. So what a server shows and trusts is always of one reading.
 *
 * A reload reads without the lock: handshakes that begin meanwhile don't wait. The list of those
 * whom the system trusts is long, and is read only once a client needs it.
 */
#include "tls/tls.h"
#include <aglet/defer.h>
#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- Life. --- */

static void free_words(char **words) {
    for (char **w = words; w && *w; w++)
        free(*w);
    free(words);
}

static void config_free(ag__object *o) {
    ag_tls_config *x = ag__container_of(o, ag_tls_config, object);
    ag__tls_sessions_drop(x);
    ag__tls_material_unref(x->now);
    for (int i = 0; i < x->wish.file_count; i++) {
        free(x->wish.files[i].cert);
        free(x->wish.files[i].key);
    }
    free(x->wish.files);
    free(x->wish.client_ca);
    free(x->wish.roots);
    free_words(x->wish.alpn);
    free(x->wish.alpn_wire);
    free(x);
}

/* Goroutines and threads may still be there when the process ends; what they use of OpenSSL must
 * not go before them. That is told before anybody else's first call of OpenSSL, or never. */
__attribute__((constructor)) static void begin(void) {
    OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
}

ag_tls_config *ag_tls_config_new(void) {
    ag_tls_config *x = calloc(1, sizeof *x);
    if (!x)
        return NULL;
    ag__object_init(&x->object, config_free);
    x->wish.min_version = AG_TLS_1_2;
    return x;
}

const char *ag_tls_config_error(ag_tls_config *config) {
    return config->why;
}

/* --- Setting up. --- */

static void begin_change(ag_tls_config *x, const char *what) {
    if (atomic_load(&x->used))
        ag_panic("tls: %s of a configuration that is used", what);
    x->why[0] = 0;
}

static int refuse(ag_tls_config *x, int error, const char *why) {
    snprintf(x->why, sizeof x->why, "%s", why);
    return error;
}

/* Replaces a text. */
static int keep(ag_tls_config *x, char **at, const char *text) {
    char *copy = strdup(text);
    if (!copy)
        return refuse(x, -ENOMEM, "out of memory");
    free(*at);
    *at = copy;
    return 0;
}

int ag_tls_config_cert(ag_tls_config *config, const char *cert_file, const char *key_file) {
    begin_change(config, "ag_tls_config_cert");
    ag__tls_wish *w = &config->wish;
    if (w->file_count == AG__TLS_CERTS)
        return refuse(config, -E2BIG, "too many certificates");
    ag__tls_files f = {strdup(cert_file), strdup(key_file)};
    ag__tls_files *all = realloc(w->files, (size_t)(w->file_count + 1) * sizeof *all);
    ag__tls_cert cert;
    w->files = all ? all : w->files;
    int r = f.cert && f.key && all ? ag__tls_cert_load(&f, &cert, config->why)
                                   : refuse(config, -ENOMEM, "out of memory");
    if (r == 0) {
        ag__tls_cert_done(&cert);
        w->files[w->file_count++] = f;
    } else {
        free(f.cert);
        free(f.key);
    }
    return r;
}

static int trust(ag_tls_config *x, char **at, const char *file) {
    X509_STORE *store;
    int r = ag__tls_store_load(file, &store, x->why);
    if (r != 0)
        return r;
    X509_STORE_free(store);
    return keep(x, at, file);
}

int ag_tls_config_clients(ag_tls_config *config, int how, const char *ca_file) {
    begin_change(config, "ag_tls_config_clients");
    if (how < AG_TLS_CLIENT_NONE || how > AG_TLS_CLIENT_REQUIRE)
        return refuse(config, -EINVAL, "no such way to ask clients");
    if (how != AG_TLS_CLIENT_NONE && !ca_file)
        return refuse(config, -EINVAL, "a file of certificates to trust is missing");
    int r = ca_file ? trust(config, &config->wish.client_ca, ca_file) : 0;
    if (r == 0)
        config->wish.client_mode = how;
    return r;
}

int ag_tls_config_roots(ag_tls_config *config, const char *ca_file) {
    begin_change(config, "ag_tls_config_roots");
    return trust(config, &config->wish.roots, ca_file);
}

int ag_tls_config_min_version(ag_tls_config *config, int version) {
    begin_change(config, "ag_tls_config_min_version");
    if (version != AG_TLS_1_2 && version != AG_TLS_1_3)
        return refuse(config, -EINVAL, "the version is neither TLS 1.2 nor TLS 1.3");
    config->wish.min_version = version;
    return 0;
}

/* The names, ended by NULL, and in *wire as they are sent: each behind its length. Returns: how
 * many, -EINVAL, -ENOMEM. */
static int split(const char *names, char **words, unsigned char *wire) {
    int count = 0;
    for (const char *at = names;; at++) {
        size_t n = strcspn(at, ",");
        if (n == 0 || n > 255)
            return -EINVAL;
        words[count] = strndup(at, n);
        if (!words[count++])
            return -ENOMEM;
        *wire++ = (unsigned char)n;
        memcpy(wire, at, n);
        wire += n;
        at += n;
        if (!*at)
            return count;
    }
}

int ag_tls_config_alpn(ag_tls_config *config, const char *protocols) {
    begin_change(config, "ag_tls_config_alpn");
    ag__tls_wish *w = &config->wish;
    size_t n = strlen(protocols);
    char **words = n < 4096 ? calloc(n / 2 + 2, sizeof *words) : NULL;
    unsigned char *wire = words ? malloc(n + 1) : NULL;
    int count = wire ? split(protocols, words, wire) : n < 4096 ? -ENOMEM : -EINVAL;
    if (count < 0) {
        free_words(words);
        free(wire);
        return refuse(config, count,
                      count == -ENOMEM ? "out of memory"
                                       : "the name of a protocol is empty or too long");
    }
    free_words(w->alpn);
    free(w->alpn_wire);
    w->alpn = words;
    w->alpn_count = count;
    w->alpn_wire = wire;
    w->alpn_wire_n = (unsigned)n + 1;
    return 0;
}

/* --- Using. --- */

/* With the lock. */
static int load(ag_tls_config *x) {
    char why[AG__TLS_WHY];
    return x->now ? 0 : ag__tls_material_new(x, &x->now, why);
}

/* With the lock. Like OpenSSL's own programs: a system that trusts nobody is no error here. */
static int add_system_roots(ag_tls_config *x) {
    if (x->now->roots)
        return 0;
    X509_STORE *store = X509_STORE_new();
    if (!store || X509_STORE_set_default_paths(store) != 1) {
        X509_STORE_free(store);
        ERR_clear_error();
        return -ENOMEM;
    }
    x->now->roots = store;
    ERR_clear_error();
    return 0;
}

int ag__tls_config_take(ag_tls_config *config, bool for_client, ag__tls_material **ret_m) {
    atomic_store(&config->used, true);
    ag_mutex_lock(&config->lock);
    int r = load(config);
    if (r == 0 && for_client)
        r = add_system_roots(config);
    if (r == 0) {
        atomic_fetch_add(&config->now->refs, 1);
        *ret_m = config->now;
    }
    ag_mutex_unlock(&config->lock);
    return r;
}

int ag_tls_config_reload(ag_tls_config *config) {
    ag__tls_material *fresh = NULL, *before = NULL;
    int r = ag__tls_material_new(config, &fresh, config->why);
    if (r != 0)
        return r;
    atomic_store(&config->used, true);
    ag_mutex_lock(&config->lock);
    before = config->now;
    config->now = fresh;
    ag__tls_sessions_drop(config);
    ag_mutex_unlock(&config->lock);
    ag__tls_material_unref(before);
    return 0;
}
