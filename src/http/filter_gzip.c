/* SPDX-License-Identifier: MIT */
/*
 * Compression, between the handler and the response.
 *
 *     OPEN --first bytes, not fit--> the encoder takes itself out
 *      |
 *      +--1 KiB, a flush, a declared length--> ON --end of the handler--> the last bytes
 *
 * While it is open, the first bytes are an ordinary response in the output buffer; when there turn
 * out to be more, that response is taken back, before any of it was sent, and begins again with
 * other fields. So a handler sees no difference: a field that is set after the first write is
 * refused in any case.
 *
 * What is compressed is another representation: it has no length that is known beforehand, its
 * ETag is weak, because it is equal in meaning and not in bytes, and no ranges of it can be had.
 */
#include "http/content.h"
#include "http/deflate.h"

#include <aglet/defer.h>
#include <aglet/http_filter.h>
#include <errno.h>
#include <stdio.h>

enum { MIN = 1024 };

typedef struct gzip {
    ag__http_encoder encoder;
    ag_http_response *res;
    ag__http_deflate *deflate;
    size_t min;
    bool on, seen, done; /* seen: the first bytes were fit */
} gzip;

/* ---- Fitness -------------------------------------------------------------------------------- */

static bool has_element(ag__http_text list, const char *name) {
    ag__http_text element;
    while (ag__http_next_element(&list, &element))
        if (ag__http_same(element, name))
            return true;
    return false;
}

static bool is_fit(const ag_http_response *res, const char *type) {
    ag__http_text set = ag__http_field_set(res, "Content-Type");
    if (!set.n)
        set = (ag__http_text){type ? type : "text/plain", strlen(type ? type : "text/plain")};
    return !ag__http_bodyless(res->status) && res->status != 206 && ag__http_type_is_text(set) &&
           !ag__http_field_set(res, "Content-Encoding").n &&
           !ag__http_field_set(res, "Content-Range").n &&
           !has_element(ag__http_field_set(res, "Cache-Control"), "no-transform");
}

/* At the first bytes. Returns: false: not to be compressed, and the encoder is out. */
static bool look(gzip *g, const char *type) {
    if (!g->seen)
        g->seen = is_fit(g->res, type) && ag__http_vary(g->res) == 0;
    if (!g->seen || !g->min)
        g->res->encoder = NULL;
    return g->res->encoder != NULL;
}

/* ---- Compressing ---------------------------------------------------------------------------- */

static ssize_t put_out(void *arg, const void *data, size_t n) {
    return ag__http_plain_write(arg, data, n);
}

static int put_in(gzip *g, const void *data, size_t n, int how) {
    if (g->res->head_only)
        return 0;
    return ag__http_deflate_put(g->deflate, data, n, how, put_out, g->res);
}

static int set_fields(ag_http_response *res) {
    char weak[512];
    ag__http_text etag = ag__http_field_set(res, "ETag");
    int r = ag_http_set(res, "Content-Encoding", "gzip");
    if (r == 0 && etag.n && etag.p[0] == '"' && etag.n < sizeof weak - 3) {
        snprintf(weak, sizeof weak, "W/%.*s", (int)etag.n, etag.p);
        r = ag_http_set(res, "ETag", weak);
    }
    ag__http_remove_field(res, "Accept-Ranges");
    res->declared = -1;
    return r;
}

/* Takes the response back and begins again. Returns: false: it goes on as it was. */
static bool turn_on(gzip *g) {
    ag_http_response *res = g->res;
    char held[MIN];
    size_t n = res->mode == AG__MODE_BUFFER && !res->head_only ? res->body_n : 0;
    g->deflate = n > sizeof held ? NULL : ag__http_deflate_new();
    if (!g->deflate) {
        res->encoder = NULL;
        return false;
    }
    if (n)
        memcpy(held, res->w->out + res->body_at, n);
    ag__http_response_rewind(res);
    int r = set_fields(res);
    g->on = true;
    if (r == 0 && n)
        r = put_in(g, held, n, AG__DEFLATE_MORE);
    if (r != 0)
        res->error = res->error ? res->error : r;
    return true;
}

static ssize_t gzip_write(ag__http_encoder *e, const void *data, size_t n) {
    gzip *g = (gzip *)e;
    ag_http_response *res = g->res;
    if (res->error)
        return res->error;
    if (g->done)
        return -EMSGSIZE;
    if (!g->on) {
        if (!look(g, NULL))
            return ag__http_plain_write(res, data, n);
        size_t all = res->declared >= 0 ? (size_t)res->declared : (size_t)res->body_bytes + n;
        if (all < g->min || !turn_on(g))
            return ag__http_plain_write(res, data, n);
    }
    int r = put_in(g, data, n, AG__DEFLATE_MORE);
    return r != 0 ? r : (ssize_t)n;
}

static int gzip_flush(ag__http_encoder *e) {
    gzip *g = (gzip *)e;
    ag_http_response *res = g->res;
    if (res->error)
        return res->error;
    if (g->on || (!g->done && look(g, NULL) && turn_on(g))) {
        int r = put_in(g, "", 0, AG__DEFLATE_FLUSH);
        if (r != 0)
            return r;
    }
    return ag__http_plain_flush(res);
}

/* The last bytes. */
static int finish(gzip *g) {
    ag_http_response *res = g->res;
    /* A head alone, of content with a length: as it would be with the content. */
    if (res->head_only && res->mode == AG__MODE_EMPTY && !g->done && look(g, NULL) &&
        res->declared >= (int64_t)g->min)
        turn_on(g);
    g->done = true;
    if (!g->on || res->error)
        return res->error;
    /* For HEAD the length is not known: a head as of a stream. */
    return res->head_only ? ag__http_plain_flush(res) : put_in(g, "", 0, AG__DEFLATE_END);
}

static int gzip_send(ag__http_encoder *e, int status, const char *type, const void *data,
                     size_t n) {
    gzip *g = (gzip *)e;
    ag_http_response *res = g->res;
    if (g->done || res->mode != AG__MODE_EMPTY || g->on)
        return -EALREADY;
    int before = res->status;
    ag_http_status(res, status);
    bool fit = look(g, type);
    res->status = before;
    if (!fit || n < g->min)
        return ag__http_plain_send(res, status, type, data, n);
    int r = type ? ag_http_set(res, "Content-Type", type) : 0;
    if (r != 0)
        return r;
    ag_http_status(res, status);
    if (!turn_on(g))
        return ag__http_plain_send(res, status, type, data, n);
    r = put_in(g, data, n, AG__DEFLATE_MORE);
    if (r == 0)
        r = finish(g);
    ag__http_response_end(res->w);
    return r;
}

/* ---- The filter ----------------------------------------------------------------------------- */

static void leave(gzip *g) {
    g->res->encoder = NULL;
    ag__http_deflate_free(g->deflate);
}

void ag_http_gzip(ag_http_request *req, ag_http_response *res) {
    gzip g = {.encoder = {gzip_write, gzip_flush, gzip_send}, .res = res};
    ag__http_codings c = {-1, -1};
    if (res->encoder) { /* twice */
        ag_http_next(req, res);
        return;
    }
    ag__http_codings_accepted(req, &c);
    g.min = !ag__http_wants_gzip(req) ? 0 : c.identity == 0 ? 1 : MIN;
    gzip *const at = &g;
    ag_defer(leave, at);
    res->encoder = &g.encoder;
    ag_http_next(req, res);
    if (res->encoder)
        (void)finish(at);
}
