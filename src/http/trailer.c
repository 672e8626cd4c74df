/* SPDX-License-Identifier: MIT */
/*
 * Trailer fields: those of requests, kept apart from the header as they were checked by the decoder
 * of chunks, and those of responses, written down until the body's end.
 *
 * What RFC 9110 6.5.1 keeps out of trailers, because a message is framed, routed, allowed or
 * understood by it, is neither shown nor sent.
 */
#include "http/server.h"

#include <errno.h>

enum { SENT_MAX = AG__HTTP_OUT / 4, FIRST = 256 };

static bool is_forbidden(ag__http_text name) {
    static const char *const names[] = {"accept",
                                        "age",
                                        "authorization",
                                        "cache-control",
                                        "connection",
                                        "content-encoding",
                                        "content-length",
                                        "content-range",
                                        "content-type",
                                        "cookie",
                                        "date",
                                        "expect",
                                        "expires",
                                        "forwarded",
                                        "host",
                                        "keep-alive",
                                        "location",
                                        "max-forwards",
                                        "pragma",
                                        "proxy-authenticate",
                                        "proxy-authorization",
                                        "proxy-connection",
                                        "range",
                                        "retry-after",
                                        "set-cookie",
                                        "te",
                                        "trailer",
                                        "transfer-encoding",
                                        "upgrade",
                                        "vary",
                                        "warning",
                                        "www-authenticate"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (ag__http_same(name, names[i]))
            return true;
    return name.n > 3 && ag__http_same((ag__http_text){name.p, 3}, "if-");
}

static bool same(ag__http_text a, const char *b) {
    return a.n == strlen(b) && strncasecmp(a.p, b, a.n) == 0;
}

bool ag__http_trailer_next(char *text, uint32_t n, uint32_t *at, ag__http_text *ret_name,
                           ag__http_text *ret_value) {
    if (*at >= n)
        return false;
    char *line = text + *at, *end = memchr(line, '\n', n - *at);
    char *colon = memchr(line, ':', (size_t)(end - line));
    *ret_name = (ag__http_text){line, (size_t)(colon - line)};
    *ret_value = ag__http_trim((ag__http_text){colon + 1, (size_t)(end - 1 - colon - 1)});
    *at = (uint32_t)(end + 1 - text);
    return true;
}

/* ---- Requests ------------------------------------------------------------------------------- */

static bool keep(void *arg, char c) {
    ag_http_request *req = arg;
    if (req->trailers_n == req->trailers_size) {
        uint32_t size = req->trailers_size ? req->trailers_size * 2 : FIRST;
        char *more = ag__http_arena(req->w, size);
        if (!more)
            return false;
        if (req->trailers_n)
            memcpy(more, req->trailers, req->trailers_n);
        req->trailers = more;
        req->trailers_size = size;
    }
    req->trailers[req->trailers_n++] = c;
    return true;
}

void ag__http_trailers_begin(ag_http_request *req) {
    req->trailers_n = req->trailers_size = 0;
    req->chunks.keep = keep;
    req->chunks.keep_arg = req;
}

bool ag_http_trailer_at(ag_http_request *req, size_t i, const char **ret_name,
                        const char **ret_value) {
    ag__http_text name, value;
    uint32_t at = 0;
    if (!req->body_done || req->body_error)
        return false;
    while (ag__http_trailer_next(req->trailers, req->trailers_n, &at, &name, &value)) {
        if (is_forbidden(name) || i-- > 0)
            continue;
        char *copy = ag__http_arena(req->w, name.n + value.n + 2);
        if (!copy)
            return false;
        memcpy(copy, name.p, name.n);
        copy[name.n] = 0;
        memcpy(copy + name.n + 1, value.p, value.n);
        copy[name.n + 1 + value.n] = 0;
        if (ret_name)
            *ret_name = copy;
        if (ret_value)
            *ret_value = copy + name.n + 1;
        return true;
    }
    return false;
}

const char *ag_http_trailer(ag_http_request *req, const char *name) {
    const char *at, *value;
    for (size_t i = 0; ag_http_trailer_at(req, i, &at, &value); i++)
        if (same((ag__http_text){at, strlen(at)}, name))
            return value;
    return NULL;
}

/* ---- Responses ------------------------------------------------------------------------------ */

static bool all_of(ag__http_text s, unsigned classes) {
    for (size_t i = 0; i < s.n; i++)
        if (!ag__http_is(s.p[i], classes))
            return false;
    return true;
}

static void remove_line(ag_http_response *res, const char *wanted) {
    ag__http_text name, value;
    uint32_t at = 0, from = 0;
    for (; ag__http_trailer_next(res->trailers, res->trailers_n, &at, &name, &value); from = at)
        if (same(name, wanted)) {
            memmove(res->trailers + from, res->trailers + at, res->trailers_n - at);
            res->trailers_n -= at - from;
            return;
        }
}

static bool is_announced(const ag_http_response *res, const char *wanted) {
    for (uint32_t at = 0; at < res->fields_n;) {
        const char *line = res->fields + at, *end = memchr(line, '\n', res->fields_n - at);
        ag__http_text name = {line, strlen("Trailer")};
        ag__http_text value = {line + name.n + 2, (size_t)(end - line) - name.n - 3};
        if (line[name.n] == ':' && same(name, "Trailer") && same(value, wanted))
            return true;
        at = (uint32_t)(end + 1 - res->fields);
    }
    return false;
}

int ag_http_trailer_set(ag_http_response *res, const char *name, const char *value) {
    ag__http_text key = {name, strlen(name)};
    ag__http_text val = ag__http_trim((ag__http_text){value, value ? strlen(value) : 0});
    if (!key.n || !all_of(key, AG__CH_TOKEN) || !all_of(val, AG__CH_VALUE) || is_forbidden(key))
        return -EINVAL;
    if (key.n + val.n + 4 > SENT_MAX - res->trailers_n)
        return -E2BIG;
    if (res->mode == AG__MODE_EMPTY && !is_announced(res, name)) {
        int r = ag_http_add(res, "Trailer", name);
        if (r != 0)
            return r;
    }
    if (!value)
        return 0;
    if (!res->trailers && !(res->trailers = ag__http_arena(res->w, SENT_MAX)))
        return -ENOMEM;
    remove_line(res, name);
    char *to = res->trailers + res->trailers_n;
    memcpy(to, key.p, key.n);
    memcpy(to + key.n, ": ", 2);
    memcpy(to + key.n + 2, val.p, val.n);
    memcpy(to + key.n + 2 + val.n, "\r\n", 2);
    res->trailers_n += (uint32_t)(key.n + val.n + 4);
    return 0;
}
