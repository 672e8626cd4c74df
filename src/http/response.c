/* SPDX-License-Identifier: MIT */
/*
 * A response as the handler fills it.
 *
 *     EMPTY --write--> BUFFER --full, flush--> CHUNKS or PLAIN --end--> DONE
 *       |                 +----------------end-----------------------^
 *       +-----------------------send, end----------------------------^
 *
 * In BUFFER the body lies in the work's output buffer at body_at. How the head and the body go out
 * is the wire's business: response_h1.c for HTTP/1, h2_response.c for HTTP/2.
 *
 * Field names and values are checked byte by byte, so that nothing a program puts into them can end
 * the line (response splitting).
 */
#include "http/server.h"

#include <aglet/defer.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLAIN_TEXT "text/plain; charset=utf-8"

void ag__http_response_begin(ag__http_work *w) {
    ag_http_response *res = &w->res;
    res->status = 200;
    res->error = w->broken;
    res->mode = AG__MODE_EMPTY;
    res->encoder = NULL;
    res->trailers = NULL;
    res->trailers_n = 0;
    res->close = !w->head.keep_alive;
    res->asked_close = false;
    res->head_only = w->head.method_id == AG__METHOD_HEAD;
    res->has_type = res->has_date = false;
    res->type = NULL;
    res->body_n = 0;
    res->declared = -1;
    res->body_bytes = 0;
    res->fields_n = 0;
}

bool ag__http_response_rewind(ag_http_response *res) {
    if (res->mode > AG__MODE_BUFFER)
        return false;
    res->mode = AG__MODE_EMPTY;
    res->body_n = 0;
    res->body_bytes = 0;
    res->declared = -1;
    return true;
}

/* ---- Status and fields ---------------------------------------------------------------------- */

void ag_http_status(ag_http_response *res, int status) {
    if (status < 200 || status > 999)
        ag_panic("invalid WriteHeader code %d", status);
    if (res->mode == AG__MODE_EMPTY)
        res->status = status;
}

static bool all_of(const char *s, size_t n, unsigned classes) {
    for (size_t i = 0; i < n; i++)
        if (!ag__http_is(s[i], classes))
            return false;
    return true;
}

static bool is_value(const char *text, size_t max) {
    size_t n = strnlen(text, max + 1);
    return n <= max && all_of(text, n, AG__CH_VALUE);
}

/* Where the line that begins at `at` has this name: its end, else 0. */
static uint32_t line_named(const ag_http_response *res, uint32_t at, const char *name, size_t n,
                           uint32_t *ret_end) {
    const char *line = res->fields + at, *end = memchr(line, '\n', res->fields_n - at);
    *ret_end = (uint32_t)(end + 1 - res->fields);
    for (size_t i = 0; i < n; i++)
        if (ag__http_lower(line[i]) != ag__http_lower(name[i]))
            return 0;
    return line[n] == ':';
}

static void remove_field(ag_http_response *res, const char *name, size_t n) {
    for (uint32_t end, at = 0; at < res->fields_n;) {
        if (line_named(res, at, name, n, &end)) {
            memmove(res->fields + at, res->fields + end, res->fields_n - end);
            res->fields_n -= end - at;
        } else {
            at = end;
        }
    }
}

void ag__http_remove_field(ag_http_response *res, const char *name) {
    remove_field(res, name, strlen(name));
}

/* What the server does itself. Returns: 1 if the field is an ordinary one, else the result. */
static int apply_special(ag_http_response *res, ag__http_text name, ag__http_text value) {
    if (ag__http_same(name, "content-length")) {
        int64_t n = 0;
        if (!value.n || value.n > 18 || !all_of(value.p, value.n, AG__CH_DIGIT))
            return -EINVAL;
        for (size_t i = 0; i < value.n; i++)
            n = n * 10 + (value.p[i] - '0');
        res->declared = n;
        return 0;
    }
    if (ag__http_same(name, "connection")) {
        if (ag__http_same(value, "close"))
            ag_http_close(res);
        else if (ag__http_same(value, "upgrade"))
            return 1; /* beside Upgrade, with 426 */
        else if (!ag__http_same(value, "keep-alive"))
            return -EINVAL;
        return 0;
    }
    if (ag__http_same(name, "transfer-encoding"))
        return -EINVAL;
    if (ag__http_same(name, "content-type"))
        res->has_type = true;
    else if (ag__http_same(name, "date"))
        res->has_date = true;
    return 1;
}

static char *put(char *to, const char *from, size_t n) {
    memcpy(to, from, n);
    return to + n;
}

static int put_field(ag_http_response *res, const char *name, const char *value, bool replace) {
    ag__http_text key = {name, strlen(name)},
                  val = ag__http_trim((ag__http_text){value, strlen(value)});
    if (res->mode != AG__MODE_EMPTY)
        return -EALREADY;
    if (!key.n || !all_of(key.p, key.n, AG__CH_TOKEN) || !all_of(val.p, val.n, AG__CH_VALUE))
        return -EINVAL;
    if (!res->fields && !(res->fields = malloc(AG__HTTP_USER_FIELDS)))
        return -ENOMEM;
    if (key.n + val.n + 4 > AG__HTTP_USER_FIELDS - res->fields_n)
        return -E2BIG;
    int r = apply_special(res, key, val);
    if (r <= 0)
        return r;
    if (replace)
        remove_field(res, key.p, key.n);
    char *to = put(res->fields + res->fields_n, key.p, key.n);
    to = put(to, ": ", 2);
    to = put(to, val.p, val.n);
    to = put(to, "\r\n", 2);
    res->fields_n = (uint32_t)(to - res->fields);
    return 0;
}

int ag_http_set(ag_http_response *res, const char *name, const char *value) {
    return put_field(res, name, value, true);
}

int ag_http_add(ag_http_response *res, const char *name, const char *value) {
    return put_field(res, name, value, false);
}

void ag_http_close(ag_http_response *res) {
    res->close = res->asked_close = true;
}

int ag_http_status_so_far(const ag_http_response *res) {
    return res->status;
}

int64_t ag_http_bytes_so_far(const ag_http_response *res) {
    return res->body_bytes;
}

/* ---- Head ----------------------------------------------------------------------------------- */

static int begin_body(ag_http_response *res) {
    if (!res->type)
        res->type = PLAIN_TEXT;
    int r = res->w->wire->begin(res);
    if (r == 0)
        res->mode = AG__MODE_BUFFER;
    return r;
}

/* ---- Body ----------------------------------------------------------------------------------- */

static ssize_t append(ag_http_response *res, const void *data, size_t n) {
    bool buffers = res->mode == AG__MODE_BUFFER;
    if (res->head_only)
        return (ssize_t)n;
    if (n <= AG__HTTP_OUT - res->body_at - res->body_n) {
        memcpy(res->w->out + res->body_at + res->body_n, data, n);
        res->body_n += (uint32_t)n;
        return (ssize_t)n;
    }
    const ag__http_wire *wire = res->w->wire;
    return buffers ? wire->start(res, data, n) : wire->emit(res, data, n, false);
}

ssize_t ag_http_write(ag_http_response *res, const void *data, size_t n) {
    ag__http_encoder *e = res->encoder;
    return e ? e->write(e, data, n) : ag__http_plain_write(res, data, n);
}

ssize_t ag__http_plain_write(ag_http_response *res, const void *data, size_t n) {
    if (res->error)
        return res->error;
    if (res->mode == AG__MODE_DONE)
        return -EMSGSIZE;
    if (res->mode == AG__MODE_EMPTY) {
        if (ag__http_bodyless(res->status))
            return -EINVAL;
        int r = begin_body(res);
        if (r != 0)
            return r;
    }
    if (!n)
        return 0;
    if (res->declared >= 0 && n > (uint64_t)(res->declared - res->body_bytes))
        return -EMSGSIZE;
    ssize_t r = append(res, data, n);
    if (r > 0)
        res->body_bytes += r;
    return r;
}

ssize_t ag_http_printf(ag_http_response *res, const char *fmt, ...) {
    char text[1024], *large = NULL;
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (n < 0)
        return -EINVAL;
    if ((size_t)n >= sizeof text) {
        large = malloc((size_t)n + 1);
        if (!large)
            return -ENOMEM;
        va_start(args, fmt);
        vsnprintf(large, (size_t)n + 1, fmt, args);
        va_end(args);
    }
    ssize_t r = ag_http_write(res, large ? large : text, (size_t)n);
    free(large);
    return r;
}

int ag_http_flush(ag_http_response *res) {
    return res->encoder ? res->encoder->flush(res->encoder) : ag__http_plain_flush(res);
}

int ag__http_plain_flush(ag_http_response *res) {
    if (res->error)
        return res->error;
    if (res->mode == AG__MODE_DONE)
        return ag__http_flush_out(res->w) == 0 ? 0 : ag__http_broken(res, res->w->broken);
    if (res->mode == AG__MODE_EMPTY) {
        if (ag__http_bodyless(res->status))
            return 0;
        int r = begin_body(res);
        if (r != 0)
            return r;
    }
    const ag__http_wire *wire = res->w->wire;
    ssize_t n =
        res->mode == AG__MODE_BUFFER ? wire->start(res, "", 0) : wire->emit(res, "", 0, false);
    return n < 0 ? (int)n : 0;
}

/* ---- Whole answers -------------------------------------------------------------------------- */

int ag_http_send(ag_http_response *res, int status, const char *type, const void *data, size_t n) {
    ag__http_encoder *e = res->encoder;
    return e ? e->send(e, status, type, data, n) : ag__http_plain_send(res, status, type, data, n);
}

int ag__http_plain_send(ag_http_response *res, int status, const char *type, const void *data,
                        size_t n) {
    if (res->error)
        return res->error;
    if (res->mode != AG__MODE_EMPTY)
        return -EALREADY;
    ag_http_status(res, status);
    bool bodyless = ag__http_bodyless(status);
    if ((bodyless && n) || (type && !is_value(type, AG__HTTP_TYPE)))
        return -EINVAL;
    res->type = type || bodyless ? type : PLAIN_TEXT;
    int r = res->w->wire->begin(res);
    if (r != 0)
        return r;
    res->mode = AG__MODE_DONE;
    res->body_bytes = (int64_t)n;
    return res->w->wire->whole(res, data, n);
}

int ag_http_text(ag_http_response *res, int status, const char *text) {
    return ag_http_send(res, status, PLAIN_TEXT, text ? text : "", text ? strlen(text) : 0);
}

int ag_http_json(ag_http_response *res, int status, const char *json) {
    return ag_http_send(res, status, "application/json", json, strlen(json));
}

int ag_http_error(ag_http_response *res, int status, const char *fmt, ...) {
    static const char *const of_success[] = {"Content-Type", "Content-Encoding", "ETag",
                                             "Last-Modified", "Cache-Control"};
    char text[1024];
    va_list args;
    if (!ag__http_response_rewind(res))
        return -EALREADY;
    res->encoder = NULL; /* it has lost what it had begun */
    for (size_t i = 0; i < sizeof of_success / sizeof *of_success; i++)
        remove_field(res, of_success[i], strlen(of_success[i]));
    res->has_type = false;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text - 1, fmt, args);
    va_end(args);
    size_t end = n < 0 ? 0 : (size_t)n > sizeof text - 2 ? sizeof text - 2 : (size_t)n;
    text[end++] = '\n';
    return ag_http_send(res, status, PLAIN_TEXT, text, end);
}

int ag_http_redirect(ag_http_response *res, int status, const char *location) {
    int r = ag_http_set(res, "Location", location);
    return r != 0 ? r : ag_http_send(res, status, NULL, "", 0);
}

/* ---- The end -------------------------------------------------------------------------------- */

void ag__http_response_end(ag__http_work *w) {
    ag_http_response *res = &w->res;
    if (res->error)
        return;
    /* Trailers need chunks. */
    if (res->trailers_n && res->mode <= AG__MODE_BUFFER && res->declared < 0 && w->head.minor &&
        !res->head_only && ag__http_plain_flush(res) != 0)
        return;
    switch (res->mode) {
    case AG__MODE_EMPTY:
        if (w->wire->begin(res) == 0)
            w->wire->complete(res);
        break;
    case AG__MODE_BUFFER:
        w->wire->complete(res);
        break;
    case AG__MODE_CHUNKS:
    case AG__MODE_PLAIN:
        w->wire->emit(res, "", 0, true);
        break;
    default:
        break;
    }
    res->mode = AG__MODE_DONE;
}
