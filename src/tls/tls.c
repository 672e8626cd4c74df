/* SPDX-License-Identifier: MIT */
/*
 * tls.c - the public functions of connections: listening, dialing, putting TLS on, asking.
 */
#include "tls/tls.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static ag_layer *make_server(void *config) {
    ag__tls *t = ag__tls_new(config, NULL);
    return t ? &t->layer : NULL;
}

/* A server needs something to show; the files are read now, so that what is wrong with them is
 * known now. */
static int check_server(ag_tls_config *config) {
    ag__tls_material *m;
    int r = config->wish.file_count ? ag__tls_config_take(config, false, &m) : -EINVAL;
    if (r == 0)
        ag__tls_material_unref(m);
    return r;
}

int ag_tls_listen(const char *net, const char *addr, ag_tls_config *config,
                  ag_listener **ret_listener) {
    ag_listener *l;
    int r = check_server(config);
    if (r == 0)
        r = ag_listen(net, addr, &l);
    if (r == 0) {
        ag_layer_put_on_accepted(l, make_server, config);
        *ret_listener = l;
    }
    return r;
}

int ag_tls_listener(ag_listener *l, ag_tls_config *config) {
    int r = check_server(config);
    return r == 0 ? ag_layer_put_on_accepted(l, make_server, config) : r;
}

static int put(ag_conn *c, ag_tls_config *config, const char *server_name) {
    ag__tls *t = ag__tls_new(config, server_name);
    if (!t)
        return -ENOMEM;
    int r = ag_layer_put(c, &t->layer);
    if (r != 0)
        ag__tls_ops.free(&t->layer);
    return r;
}

int ag_tls_server(ag_conn *c, ag_tls_config *config) {
    int r = check_server(config);
    return r == 0 ? put(c, config, NULL) : r;
}

/* What can be a host's name as far as we look: OpenSSL would cut it at a byte it does not like. */
static bool is_possible(const char *name) {
    size_t n = name ? strlen(name) : 0;
    if (strncmp(name ? name : "", "spiffe://", 9) == 0)
        return n < AG__TLS_SPIFFE;
    return n > 0 && n < AG__TLS_NAME && !strpbrk(name, " \t\r\n/\\\"");
}

int ag_tls_client(ag_conn *c, ag_tls_config *config, const char *server_name) {
    char name[AG__TLS_NAME];
    if (!is_possible(server_name))
        return -EINVAL;
    size_t n = strlen(server_name);
    if (strncmp(server_name, "spiffe://", 9) == 0)
        return put(c, config, server_name);
    /* Neither the dot of the root nor the zone of an address is in certificates. */
    if (strchr(server_name, ':'))
        n = strcspn(server_name, "%");
    else if (n > 1 && server_name[n - 1] == '.')
        n--;
    memcpy(name, server_name, n);
    name[n] = 0;
    return put(c, config, name);
}

/* The host of "host:port", "[v6]:port". */
static bool host_of(const char *addr, char host[AG__TLS_NAME]) {
    const char *end = strrchr(addr, ':');
    if (!end)
        return false;
    if (addr[0] == '[' && end > addr && end[-1] == ']') {
        addr++;
        end--;
    }
    size_t n = (size_t)(end - addr);
    if (n >= AG__TLS_NAME)
        return false;
    memcpy(host, n ? addr : "localhost", n ? n : 9);
    host[n ? n : 9] = 0;
    return true;
}

int ag_tls_dial(const char *net, const char *addr, ag_tls_config *config, ag_conn **ret_conn) {
    char host[AG__TLS_NAME];
    ag_conn *c;
    if (strncmp(net, "tcp", 3) != 0 || !host_of(addr, host))
        return -EINVAL;
    int r = ag_dial(net, addr, &c);
    if (r != 0)
        return r;
    r = ag_tls_client(c, config, host);
    if (r == 0)
        r = ag_tls_handshake(c);
    if (r == 0)
        *ret_conn = c;
    else
        ag_unref(c);
    return r;
}

int ag_tls_handshake(ag_conn *c) {
    return ag__tls_of(c) ? ag_layer_open(c) : -EINVAL;
}

const char *ag_tls_error(ag_conn *c) {
    ag__tls *t = ag__tls_of(c);
    const char *why = "";
    if (!t)
        return why;
    ag_mutex_lock(&t->lock);
    if (t->error)
        why = t->why ? t->why : "out of memory";
    else if (t->send_error)
        why = "the connection has failed";
    ag_mutex_unlock(&t->lock);
    return why;
}

const ag_tls_state *ag_tls_state_of(ag_conn *c) {
    ag__tls *t = ag__tls_of(c);
    if (!t)
        return NULL;
    ag_mutex_lock(&t->lock);
    if (!t->state && t->opened)
        t->state = ag__tls_state_new(t);
    const ag_tls_state *state = t->state;
    ag_mutex_unlock(&t->lock);
    return state;
}
