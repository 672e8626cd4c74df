/* SPDX-License-Identifier: MIT */
/*
 * A response as the handler fills it.
 *
 *     EMPTY --write--> BUFFER --full, flush--> CHUNKS or PLAIN --end--> DONE
 *       |                 +----------------end-----------------------^
 *       +-----------------------send, end----------------------------^
 *
 * In BUFFER the head lies in the output buffer behind earlier responses, then room for the framing
 * fields, then the body:
 *
 *     out  [earlier responses][head][   tail   ][body …            ]
 *          0                head_at head_end    body_at  body_n
 *
 * At the end the tail is written and the body moved up to it, so a small response is one piece of
 * memory, and several of them are one write. w->out_n stays at head_at until then: what was not
 * completed can be taken back. When the body outgrows the buffer, everything is sent and the buffer
 * collects chunks from then on; large pieces go out from where they are.
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
    res->close = !w->head.keep_alive;
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
            res->close = true;
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
    res->close = true;
}

int ag_http_status_so_far(const ag_http_response *res) {
    return res->status;
}

int64_t ag_http_bytes_so_far(const ag_http_response *res) {
    return res->body_bytes;
}

/* ---- Head ----------------------------------------------------------------------------------- */

static int broken(ag_http_response *res, int error) {
    res->close = true;
    return res->error = error;
}

/* Writes the head behind what is in the output buffer, which is sent first if it leaves too little
   room. */
static int begin_head(ag_http_response *res) {
    ag__http_work *w = res->w;
    uint32_t most = ag__http_head_size_max(res) + AG__HTTP_TAIL;
    if (most > AG__HTTP_OUT)
        return -E2BIG;
    if (w->out_n && w->out_n + most + 1024 > AG__HTTP_OUT && ag__http_flush_out(w) != 0)
        return broken(res, w->broken);
    if (ag__http_must_close(w))
        res->close = true;
    res->head_at = w->out_n;
    ag__http_head_write(res);
    res->body_at = res->head_end + AG__HTTP_TAIL;
    res->body_n = 0;
    return 0;
}

static int begin_body(ag_http_response *res) {
    if (!res->type)
        res->type = PLAIN_TEXT;
    int r = begin_head(res);
    if (r == 0)
        res->mode = AG__MODE_BUFFER;
    return r;
}

int ag__http_flush_earlier(ag__http_work *w) {
    ag_http_response *res = &w->res;
    uint32_t earlier = w->out_n;
    if (ag__http_flush_out(w) != 0 || res->mode != AG__MODE_BUFFER || !earlier)
        return w->broken;
    memmove(w->out, w->out + earlier, res->body_at + res->body_n - earlier);
    res->head_at -= earlier;
    res->head_end -= earlier;
    res->body_at -= earlier;
    return 0;
}

/* ---- Streams -------------------------------------------------------------------------------- */

static ssize_t sent(ag_http_response *res, int r, size_t n) {
    return r != 0 ? broken(res, r) : (ssize_t)n;
}

/* From BUFFER: sends the head, and the body so far with `data` behind it. */
static ssize_t start_stream(ag_http_response *res, const void *data, size_t n) {
    ag__http_work *w = res->w;
    int64_t length = res->declared;
    if (length < 0)
        length = w->head.minor ? AG__LENGTH_CHUNKED : AG__LENGTH_NONE;
    if (length == AG__LENGTH_NONE)
        res->close = true;
    w->out_n = res->head_end + ag__http_tail_write(res, w->out + res->head_end, length);
    res->mode = length == AG__LENGTH_CHUNKED ? AG__MODE_CHUNKS : AG__MODE_PLAIN;
    size_t all = res->head_only ? 0 : res->body_n + n;
    bool chunk = all && res->mode == AG__MODE_CHUNKS;
    if (chunk)
        w->out_n += (uint32_t)ag__http_chunk_head(w->out + w->out_n, all);
    struct iovec more[3] = {{w->out + res->body_at, res->body_n},
                            {(void *)(uintptr_t)data, n},
                            {(void *)(uintptr_t) "\r\n", 2}};
    int r = ag__http_send_out(w, more, all ? 2 + chunk : 0);
    res->body_at = AG__CHUNK_HEAD_MAX;
    res->body_n = 0;
    return sent(res, r, n);
}

/* Sends what is buffered and `data`, and the end of the body if `last`. */
static ssize_t emit(ag_http_response *res, const void *data, size_t n, bool last) {
    ag__http_work *w = res->w;
    struct iovec more[3];
    int count = 0;
    size_t all = res->body_n + n, head_n = 0;
    bool chunks = res->mode == AG__MODE_CHUNKS;
    if (chunks && all) {
        char head[AG__CHUNK_HEAD_MAX];
        head_n = ag__http_chunk_head(head, all);
        memcpy(w->out + res->body_at - head_n, head, head_n);
    }
    if (head_n + res->body_n)
        more[count++] = (struct iovec){w->out + res->body_at - head_n, head_n + res->body_n};
    if (n)
        more[count++] = (struct iovec){(void *)(uintptr_t)data, n};
    if (chunks && (all || last)) {
        static const char after_data[] = "\r\n" AG__CHUNK_LAST;
        const char *end = after_data + (all ? 0 : 2);
        more[count++] = (struct iovec){(void *)(uintptr_t)end, last ? strlen(end) : 2};
    }
    int r = count ? ag__http_send_out(w, more, count) : w->broken;
    res->body_n = 0;
    return sent(res, r, n);
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
    return buffers ? start_stream(res, data, n) : emit(res, data, n, false);
}

ssize_t ag_http_write(ag_http_response *res, const void *data, size_t n) {
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
    if (res->error)
        return res->error;
    if (res->mode == AG__MODE_DONE)
        return ag__http_flush_out(res->w) == 0 ? 0 : broken(res, res->w->broken);
    if (res->mode == AG__MODE_EMPTY) {
        if (ag__http_bodyless(res->status))
            return 0;
        int r = begin_body(res);
        if (r != 0)
            return r;
    }
    ssize_t n = res->mode == AG__MODE_BUFFER ? start_stream(res, "", 0) : emit(res, "", 0, false);
    return n < 0 ? (int)n : 0;
}

/* ---- Whole answers -------------------------------------------------------------------------- */

int ag_http_send(ag_http_response *res, int status, const char *type, const void *data, size_t n) {
    ag__http_work *w = res->w;
    if (res->error)
        return res->error;
    if (res->mode != AG__MODE_EMPTY)
        return -EALREADY;
    ag_http_status(res, status);
    bool bodyless = ag__http_bodyless(status);
    if ((bodyless && n) || (type && !is_value(type, AG__HTTP_TYPE)))
        return -EINVAL;
    res->type = type || bodyless ? type : PLAIN_TEXT;
    int r = begin_head(res);
    if (r != 0)
        return r;
    res->mode = AG__MODE_DONE;
    res->body_bytes = (int64_t)n;
    int64_t length = bodyless ? AG__LENGTH_NONE : (int64_t)n;
    uint32_t at = res->head_end + ag__http_tail_write(res, w->out + res->head_end, length);
    w->out_n = at;
    if (res->head_only || !n)
        return 0;
    if (n <= AG__HTTP_OUT - at) {
        memcpy(w->out + at, data, n);
        w->out_n += (uint32_t)n;
        return 0;
    }
    struct iovec more = {(void *)(uintptr_t)data, n};
    ssize_t all = sent(res, ag__http_send_out(w, &more, 1), n);
    return all < 0 ? (int)all : 0;
}

int ag_http_text(ag_http_response *res, int status, const char *text) {
    return ag_http_send(res, status, PLAIN_TEXT, text ? text : "", text ? strlen(text) : 0);
}

int ag_http_json(ag_http_response *res, int status, const char *json) {
    return ag_http_send(res, status, "application/json", json, strlen(json));
}

int ag_http_error(ag_http_response *res, int status, const char *fmt, ...) {
    static const char *const of_success[] = {"Content-Type", "ETag", "Cache-Control"};
    char text[1024];
    va_list args;
    if (!ag__http_response_rewind(res))
        return -EALREADY;
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

/* Of a response that lies whole in the buffer. */
static void end_buffered(ag_http_response *res) {
    ag__http_work *w = res->w;
    int64_t length = res->declared;
    if (length < 0)
        length = ag__http_bodyless(res->status) ? AG__LENGTH_NONE : res->body_bytes;
    else if (!res->head_only && !ag__http_bodyless(res->status) && length > res->body_bytes)
        res->close = true; /* the client must not take the next response for the rest */
    char *tail = w->out + res->head_end;
    char *end = tail + ag__http_tail_write(res, tail, length);
    memmove(end, w->out + res->body_at, res->body_n);
    w->out_n = (uint32_t)(end - w->out) + res->body_n;
}

void ag__http_response_end(ag__http_work *w) {
    ag_http_response *res = &w->res;
    if (res->error)
        return;
    switch (res->mode) {
    case AG__MODE_EMPTY:
        if (begin_head(res) == 0)
            end_buffered(res);
        break;
    case AG__MODE_BUFFER:
        /* A head that is out has said that the connection stays: then it does. */
        if (ag__http_must_close(w))
            res->close = true;
        end_buffered(res);
        break;
    case AG__MODE_CHUNKS:
    case AG__MODE_PLAIN:
        if (!res->head_only)
            emit(res, "", 0, true);
        if (res->declared > res->body_bytes)
            res->close = true;
        break;
    default:
        break;
    }
    res->mode = AG__MODE_DONE;
}
