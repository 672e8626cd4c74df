/* SPDX-License-Identifier: MIT */
/*
 * Content of known size: validators, conditions, then all of it, one range or several.
 *
 * A range is Content-Length bytes from a place, and the whole is the range of everything, so there
 * is one way out. Several ranges are parts with a head each; the length of all is known before the
 * first byte is sent, so this is no stream either.
 *
 * A file that fits beside the head goes out in one write with it; larger ones go by sendfile.
 */
#include "http/content.h"
#include "http/date.h"
#include "http/range.h"
#include "http/system.h"

#include <aglet/io.h>
#include <errno.h>
#include <stdio.h>

enum { BY_HAND = AG__HTTP_OUT / 2, BUFFER = 16384, BOUNDARY = 24, PART_HEAD = 512 };
#define YOUNG (2 * AG_SEC)

/* ---- Validators ----------------------------------------------------------------------------- */

static int set_etag(ag_http_response *res, const ag__http_source *src, bool weak) {
    char etag[96];
    snprintf(etag, sizeof etag, "%s\"%llx-%llx%s\"", weak ? "W/" : "",
             (unsigned long long)src->modified, (unsigned long long)src->size,
             src->etag_end ? src->etag_end : "");
    return ag_http_set(res, "ETag", etag);
}

static int set_date(ag_http_response *res, int64_t seconds) {
    char date[AG__HTTP_DATE + 1] = {0};
    ag__http_date_write(date, seconds);
    return ag_http_set(res, "Last-Modified", date);
}

/* Those that the handler has set, else made of the source; they are on the response then. */
static int validators(ag_http_response *res, const ag__http_source *src, ag__http_validators *v) {
    ag_time now = ag_wall();
    bool young = src->modified > now - YOUNG;
    ag__http_text date = ag__http_field_set(res, "Last-Modified");
    int r = 0;
    *v = (ag__http_validators){.date_is_strong = !young};
    if (date.n) {
        v->has_date = ag__http_date_parse(date, &v->date);
    } else if (src->modified > 0 && src->modified <= now) { /* none of the future, 8.8.2.1 */
        v->has_date = true;
        v->date = src->modified / AG_SEC;
        r = set_date(res, v->date);
    }
    if (r == 0 && src->make_etag && !ag__http_field_set(res, "ETag").n)
        r = set_etag(res, src, young);
    v->etag = ag__http_field_set(res, "ETag");
    return r;
}

/* ---- Bytes ---------------------------------------------------------------------------------- */

static ssize_t read_at(const ag__http_source *src, int64_t at, void *buf, size_t n) {
    return src->fn ? src->fn(src->arg, at, buf, n) : ag_file_read(src->fd, buf, n);
}

/* Through memory. */
static int copy(ag_http_response *res, const ag__http_source *src, int64_t at, int64_t n) {
    char *buf = ag__http_arena(res->w, n < BUFFER ? (size_t)n : BUFFER);
    if (!buf)
        return -ENOMEM;
    while (n > 0) {
        ssize_t got = read_at(src, at, buf, n < BUFFER ? (size_t)n : BUFFER);
        if (got <= 0)
            return got == 0 ? -EIO : (int)got;
        ssize_t put = ag_http_write(res, buf, (size_t)got);
        if (put < 0)
            return (int)put;
        at += got;
        n -= got;
    }
    return 0;
}

static int send_bytes(ag_http_response *res, const ag__http_source *src, int64_t at, int64_t n) {
    if (src->data) {
        ssize_t put = ag_http_write(res, src->data + at, (size_t)n);
        return put < 0 ? (int)put : 0;
    }
    int r = src->fd >= 0 ? ag__http_seek(src->fd, at) : 0;
    if (r != 0)
        return r;
    r = src->fd < 0 || n <= BY_HAND ? -ENOSYS : ag__http_send_file(res, src->fd, n);
    return r == -ENOSYS ? copy(res, src, at, n) : r;
}

/* What is missing must end the connection: nothing may be taken for the end of the body. */
static int cut(ag_http_response *res, int error) {
    if (error != 0) {
        ag_http_close(res);
        res->error = res->error ? res->error : error;
    }
    return error;
}

/* ---- Answers -------------------------------------------------------------------------------- */

static int set_length(ag_http_response *res, int64_t n) {
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)n);
    return ag_http_set(res, "Content-Length", text);
}

static void range_text(char *to, size_t room, const ag__http_range *r, int64_t size) {
    snprintf(to, room, "bytes %lld-%lld/%lld", (long long)r->at, (long long)(r->at + r->n - 1),
             (long long)size);
}

static int answer_range(ag_http_response *res, const ag__http_source *src, ag__http_range r,
                        bool whole) {
    char text[96];
    int err = set_length(res, r.n);
    if (!whole && err == 0) {
        range_text(text, sizeof text, &r, src->size);
        err = ag_http_set(res, "Content-Range", text);
        ag_http_status(res, 206);
    }
    if (err != 0)
        return err;
    if (res->head_only || r.n == 0)
        return 0;
    return cut(res, send_bytes(res, src, r.at, r.n));
}

static void make_boundary(char to[BOUNDARY + 1]) {
    uint8_t bits[BOUNDARY / 2];
    ag__http_random(bits, sizeof bits);
    for (size_t i = 0; i < sizeof bits; i++)
        snprintf(to + 2 * i, 3, "%02x", bits[i]);
}

static size_t part_head(char *to, const char *boundary, ag__http_text type, const ag__http_range *r,
                        int64_t size) {
    char text[96];
    range_text(text, sizeof text, r, size);
    int n = snprintf(to, PART_HEAD, "\r\n--%s\r\nContent-Type: %.*s\r\nContent-Range: %s\r\n\r\n",
                     boundary, (int)type.n, type.p, text);
    return n < PART_HEAD ? (size_t)n : PART_HEAD - 1;
}

static int send_parts(ag_http_response *res, const ag__http_source *src, const ag__http_range *r,
                      int count, const char *boundary, ag__http_text type) {
    char text[PART_HEAD];
    ssize_t err = 0;
    for (int i = 0; i < count && err >= 0; i++) {
        err = ag_http_write(res, text, part_head(text, boundary, type, &r[i], src->size));
        if (err >= 0)
            err = send_bytes(res, src, r[i].at, r[i].n);
    }
    size_t n = (size_t)snprintf(text, sizeof text, "\r\n--%s--\r\n", boundary);
    if (err >= 0)
        err = ag_http_write(res, text, n);
    return err < 0 ? (int)err : 0;
}

static int answer_ranges(ag_http_response *res, const ag__http_source *src, const ag__http_range *r,
                         int count) {
    char boundary[BOUNDARY + 1], text[PART_HEAD], copy_of_type[AG__HTTP_TYPE];
    ag__http_text type = ag__http_field_set(res, "Content-Type");
    if (type.n >= sizeof copy_of_type)
        type = (ag__http_text){"application/octet-stream", 24};
    memcpy(copy_of_type, type.p, type.n);
    type.p = copy_of_type;
    make_boundary(boundary);
    int64_t length = (int64_t)strlen(boundary) + 8;
    for (int i = 0; i < count; i++)
        length += (int64_t)part_head(text, boundary, type, &r[i], src->size) + r[i].n;
    snprintf(text, sizeof text, "multipart/byteranges; boundary=%s", boundary);
    int err = ag_http_set(res, "Content-Type", text);
    if (err == 0)
        err = set_length(res, length);
    if (err != 0)
        return err;
    ag_http_status(res, 206);
    return cut(res, send_parts(res, src, r, count, boundary, type));
}

static int not_satisfiable(ag_http_response *res, int64_t size) {
    char text[48];
    snprintf(text, sizeof text, "bytes */%lld", (long long)size);
    int err = ag_http_set(res, "Content-Range", text);
    return err != 0 ? err : ag_http_error(res, 416, "the range is not satisfiable");
}

static int set_type(ag_http_response *res, const char *name) {
    const char *type = name ? ag_http_type_of(name) : NULL;
    if (res->has_type)
        return 0;
    return ag_http_set(res, "Content-Type", type ? type : "application/octet-stream");
}

/* Without what tells of content that is not sent. */
static int not_modified(ag_http_response *res) {
    ag__http_remove_field(res, "Content-Type");
    ag__http_remove_field(res, "Content-Encoding");
    res->has_type = false;
    res->declared = -1;
    return ag_http_send(res, 304, NULL, "", 0);
}

int ag__http_serve(ag_http_request *req, ag_http_response *res, const ag__http_source *src) {
    ag__http_validators v;
    ag__http_range r[AG__RANGES_MAX];
    ag__http_text range;
    if (res->mode != AG__MODE_EMPTY)
        return -EALREADY;
    int err = validators(res, src, &v);
    if (err != 0)
        return err;
    /* Of what is no success, a page for 404 say, conditions don't count (13.2.1). */
    switch (res->status / 100 == 2 ? ag__http_condition(req, &v) : AG__COND_GO) {
    case AG__COND_NOT_MODIFIED:
        return not_modified(res);
    case AG__COND_FAILED:
        return ag_http_error(res, 412, "a condition of the request does not hold");
    default:
        break;
    }
    err = ag_http_set(res, "Accept-Ranges", "bytes");
    int count = res->status == 200 && ag__http_range_counts(req, &v, &range)
                    ? ag__http_ranges(range, src->size, r)
                    : 0;
    if (count < 0)
        return not_satisfiable(res, src->size);
    if (err == 0)
        err = set_type(res, src->name);
    if (err != 0)
        return err;
    if (count > 1)
        return answer_ranges(res, src, r, count);
    return answer_range(res, src, count ? r[0] : (ag__http_range){0, src->size}, count == 0);
}

/* ---- For handlers --------------------------------------------------------------------------- */

int ag_http_content(ag_http_request *req, ag_http_response *res, const char *name, ag_time modified,
                    const void *data, size_t n) {
    const ag__http_source src = {
        .name = name, .size = (int64_t)n, .modified = modified, .fd = -1, .data = data ? data : ""};
    return ag__http_serve(req, res, &src);
}

int ag_http_content_from(ag_http_request *req, ag_http_response *res, const char *name,
                         ag_time modified, int64_t size, ag_http_read_at fn, void *arg) {
    const ag__http_source src = {.name = name,
                                 .size = size > 0 ? size : 0,
                                 .modified = modified,
                                 .fd = -1,
                                 .fn = fn,
                                 .arg = arg};
    return ag__http_serve(req, res, &src);
}
