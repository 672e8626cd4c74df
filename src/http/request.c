/* SPDX-License-Identifier: MIT */
/*
 * What a handler asks of its request.
 *
 * Strings are ended by a NUL where they stand in the input buffer: the byte behind a method, a
 * path, a query, a field's name or value is a separator, which the parser has passed. The host is
 * copied, because what follows it may be the path of the same target. Decoded values are request
 * memory.
 */
#include "http/path.h"
#include "http/server.h"

#include <errno.h>
#include <string.h>

/* ---- Head ----------------------------------------------------------------------------------- */

static const char *ended(ag_http_request *req, ag__http_slice s) {
    if (!s.len)
        return "";
    req->base[s.at + s.len] = 0;
    return req->base + s.at;
}

const char *ag_http_method(ag_http_request *req) {
    return ended(req, req->w->head.method);
}

const char *ag_http_path(ag_http_request *req) {
    const ag__http_head *h = &req->w->head;
    if (h->path.len)
        return ended(req, h->path);
    return h->form == AG__FORM_ABSOLUTE ? "/" : h->form == AG__FORM_ASTERISK ? "*" : "";
}

const char *ag_http_query(ag_http_request *req) {
    return ended(req, req->w->head.query);
}

const char *ag_http_host(ag_http_request *req) {
    ag__http_text host = ag__http_at(req->base, req->w->head.host);
    char *copy = host.n ? ag__http_arena(req->w, host.n + 1) : NULL;
    if (!copy)
        return "";
    memcpy(copy, host.p, host.n);
    copy[host.n] = 0;
    return copy;
}

const char *ag_http_pattern(ag_http_request *req) {
    return req->pattern;
}

static const char *decoded(ag_http_request *req, ag__http_text s, enum ag__http_decode how) {
    char *value = ag__http_arena(req->w, s.n + 1);
    if (!value)
        return NULL;
    int64_t n = ag__http_decode(value, s, how);
    if (n < 0)
        return NULL;
    value[n] = 0;
    return value;
}

const char *ag_http_path_value(ag_http_request *req, const char *name) {
    ag__http_text value;
    if (!req->match.pattern || !ag__http_match_value(&req->match, name, &value))
        return NULL;
    return decoded(req, value, AG__DECODE_PATH);
}

const char *ag_http_query_value(ag_http_request *req, const char *key) {
    ag__http_text value;
    if (!ag__http_query_find(ag__http_at(req->base, req->w->head.query), key, &value))
        return NULL;
    return decoded(req, value, AG__DECODE_FORM);
}

static bool same_name(const char *a, const char *b, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (ag__http_lower(a[i]) != ag__http_lower(b[i]))
            return false;
    return true;
}

const char *ag_http_header(ag_http_request *req, const char *name) {
    const ag__http_head *h = &req->w->head;
    size_t n = strlen(name);
    enum ag__http_field_id id = ag__http_field_find(name, n);
    if (id != AG__FIELD_UNKNOWN)
        return h->known[id] ? ended(req, h->fields[h->known[id] - 1].value) : NULL;
    for (uint32_t i = 0; i < h->field_count; i++)
        if (h->fields[i].name.len == n && same_name(req->base + h->fields[i].name.at, name, n))
            return ended(req, h->fields[i].value);
    return NULL;
}

bool ag_http_header_at(ag_http_request *req, size_t i, const char **ret_name,
                       const char **ret_value) {
    const ag__http_head *h = &req->w->head;
    if (i >= h->field_count)
        return false;
    if (ret_name)
        *ret_name = ended(req, h->fields[i].name);
    if (ret_value)
        *ret_value = ended(req, h->fields[i].value);
    return true;
}

int64_t ag_http_content_length(ag_http_request *req) {
    const ag__http_head *h = &req->w->head;
    return h->chunked ? -1 : h->content_length < 0 ? 0 : h->content_length;
}

ag_conn *ag_http_conn(ag_http_request *req) {
    return req->w->hc->c;
}

const char *ag_http_remote(ag_http_request *req) {
    return ag_conn_remote(req->w->hc->c);
}

bool ag_http_client_is_gone(ag_http_request *req) {
    return req->w->wire->is_gone(req->w);
}

int ag_http_major_version(ag_http_request *req) {
    return req->w->wire->major;
}

int ag_http_minor_version(ag_http_request *req) {
    return req->w->head.minor;
}

ag_time ag_http_received_at(ag_http_request *req) {
    return req->received_at;
}

/* ---- What the program attaches -------------------------------------------------------------- */

void *ag_http_arg(ag_http_request *req) {
    return req->arg;
}

ag_http_server *ag_http_server_of(ag_http_request *req) {
    return req->w->s;
}

void ag_http_set_user(ag_http_request *req, void *user) {
    req->user = user;
}

void *ag_http_user(ag_http_request *req) {
    return req->user;
}

void *ag_http_alloc(ag_http_request *req, size_t n) {
    void *p = ag__http_arena(req->w, n ? n : 1);
    return p ? memset(p, 0, n) : NULL;
}

int ag__http_after(ag_http_request *req, ag__fn fn, const intptr_t args[6]) {
    ag__http_later *l = ag__http_arena(req->w, sizeof *l);
    if (!l)
        return -ENOMEM;
    l->link = NULL;
    l->fn = fn;
    memcpy(l->args, args, sizeof l->args);
    *req->later_end = l;
    req->later_end = &l->link;
    return 0;
}
