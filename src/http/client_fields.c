/* SPDX-License-Identifier: MIT */
/*
 * What a program asks of a reply, besides its body. Strings are ended by a NUL where they stand in
 * the buffer: the byte behind a name or a value is a separator, which the parser has passed.
 */
#include "http/client.h"

#include <string.h>

static const char *ended(ag_http_reply *r, ag__http_slice s) {
    if (!s.len)
        return "";
    r->in[r->head_at + s.at + s.len] = 0;
    return r->in + r->head_at + s.at;
}

static bool same_name(const char *a, const char *b, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (ag__http_lower(a[i]) != ag__http_lower(b[i]))
            return false;
    return true;
}

static bool is_hidden(const ag_http_reply *r, const ag__http_field *f) {
    return r->is_hidden &&
           (f->id == AG__FIELD_CONTENT_ENCODING || f->id == AG__FIELD_CONTENT_LENGTH);
}

int ag_http_reply_status(const ag_http_reply *r) {
    return r && r->answered ? r->head.status : 0;
}

const char *ag_http_reply_header(ag_http_reply *r, const char *name) {
    if (!r || !r->answered)
        return NULL;
    size_t n = strlen(name);
    for (uint32_t i = 0; i < r->head.field_count; i++) {
        const ag__http_field *f = &r->head.fields[i];
        if (f->name.len == n && same_name(r->in + r->head_at + f->name.at, name, n))
            return is_hidden(r, f) ? NULL : ended(r, f->value);
    }
    return NULL;
}

bool ag_http_reply_header_at(ag_http_reply *r, size_t at, const char **ret_name,
                             const char **ret_value) {
    if (!r || !r->answered)
        return false;
    for (uint32_t i = 0; i < r->head.field_count; i++) {
        const ag__http_field *f = &r->head.fields[i];
        if (is_hidden(r, f) || at-- > 0)
            continue;
        if (ret_name)
            *ret_name = ended(r, f->name);
        if (ret_value)
            *ret_value = ended(r, f->value);
        return true;
    }
    return false;
}

/* Fields that must not come behind a body (RFC 9110 6.5.1): they would change what it was. */
static bool is_late(enum ag__http_field_id id) {
    switch (id) {
    case AG__FIELD_AUTHORIZATION:
    case AG__FIELD_CACHE_CONTROL:
    case AG__FIELD_CONNECTION:
    case AG__FIELD_CONTENT_ENCODING:
    case AG__FIELD_CONTENT_LENGTH:
    case AG__FIELD_CONTENT_TYPE:
    case AG__FIELD_HOST:
    case AG__FIELD_KEEP_ALIVE:
    case AG__FIELD_PROXY_AUTHORIZATION:
    case AG__FIELD_PROXY_CONNECTION:
    case AG__FIELD_RANGE:
    case AG__FIELD_TRAILER:
    case AG__FIELD_TRANSFER_ENCODING:
    case AG__FIELD_UPGRADE:
        return true;
    default:
        return false;
    }
}

/* A line of the trailer: "Name: value" and a NUL in place of its CR; its LF begins the next one. */
static const char *line_value(char *line, const char *name, size_t n) {
    if (strlen(line) <= n || line[n] != ':' || !same_name(line, name, n))
        return NULL;
    char *value = line + n + 1, *end = value + strlen(value);
    while (*value == ' ' || *value == '\t')
        value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        *--end = 0;
    return value;
}

const char *ag_http_reply_trailer(ag_http_reply *r, const char *name) {
    size_t n = strlen(name);
    if (!r || !r->has_trailers || r->decoded_n || r->body != AG__BODY_NONE ||
        is_late(ag__http_field_find(name, n)))
        return NULL;
    const char *end = r->trailers + r->chunks.trailers;
    for (char *line = r->trailers; line < end;) {
        const char *next = memchr(line, '\n', (size_t)(end - line));
        const char *value = line_value(line, name, n);
        if (value)
            return value;
        if (!next)
            break;
        line = (char *)(uintptr_t)next + 1;
    }
    return NULL;
}

int64_t ag_http_reply_content_length(const ag_http_reply *r) {
    if (!r || !r->answered || r->head.chunked || r->gzip)
        return -1;
    if (r->head.content_length < 0 && (r->head.status == 204 || r->head.status == 304))
        return 0;
    return r->head.content_length;
}

const char *ag_http_reply_url(const ag_http_reply *r) {
    return r && r->url.text ? r->url.text : "";
}

bool ag_http_reply_was_reused(const ag_http_reply *r) {
    return r && r->was_reused;
}

const char *ag_http_reply_error(const ag_http_reply *r) {
    return r ? r->error ? r->why : "" : "out of memory";
}
