/* SPDX-License-Identifier: MIT */
/*
 * The body of a request, read by the handler as it comes.
 *
 * What came with the head is taken first. A body of known length is then read straight into the
 * handler's buffer, never beyond its end, so the next request stays in the socket. A chunked one is
 * read into the input buffer behind the head and decoded there in place:
 *
 *     [head][decoded, not yet given out][raw, not yet decoded]      (decoded_n > 0: no raw yet,
 *     base   decoded_at, decoded_n       at .. in_n                  or the next request)
 *
 * The head stays where it is, because the handler has pointers into it; when a head leaves too
 * little room, the body gets a new buffer and the old one is kept for the head.
 *
 * Every wait has a limit: body_ns in all, and a rate after a time of grace. A body that the handler
 * did not read is dropped if little is left of it, else the connection ends: its bytes must never
 * be taken for the next request.
 */
#include "http/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM_MIN = AG__HTTP_IN / 4 };

static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";

void ag__http_body_begin(ag__http_work *w, uint32_t head_n) {
    ag_http_request *req = &w->req;
    const ag__http_head *h = &w->head;
    w->at += head_n;
    req->chunked = h->chunked;
    req->left = h->content_length > 0 && !h->chunked ? h->content_length : 0;
    req->body_done = !h->chunked && req->left == 0;
    req->body_error = 0;
    req->body_bytes = 0;
    req->trailers_n = 0;
    if (req->body_done)
        return;
    req->body_max = w->s->opt.body_max;
    req->body_ns = w->s->opt.body_ns;
    req->body_began = 0;
    req->must_continue = h->expect_continue;
    req->decoded_n = 0;
    if (h->chunked) {
        ag__http_chunk_limits limits = {.body_max = 0};
        ag__http_chunked_init(&req->chunks, &limits);
        ag__http_trailers_begin(req);
    }
}

void ag_http_limit_body(ag_http_request *req, int64_t max_bytes, ag_time ns) {
    if (max_bytes > 0)
        req->body_max = max_bytes;
    if (ns > 0)
        req->body_ns = ns;
}

/* ---- Waiting for the client ----------------------------------------------------------------- */

int ag__http_body_fail(ag_http_request *req, int error) {
    req->body_error = error;
    req->w->res.close = true;
    return error;
}

ag_time ag__http_body_deadline(ag_http_request *req) {
    int64_t rate = req->w->s->opt.body_rate;
    if (!req->body_began)
        req->body_began = ag_now();
    ag_time by_rate = AG__HTTP_BODY_GRACE + req->body_bytes / rate * AG_SEC;
    return req->body_began + (by_rate < req->body_ns ? by_rate : req->body_ns);
}

/* Before waiting: the client gets all that it may wait for itself. */
static int before_wait(ag_http_request *req) {
    ag__http_work *w = req->w;
    if (w->res.mode != AG__MODE_EMPTY && w->res.mode != AG__MODE_BUFFER)
        req->must_continue = false; /* too late: the final response has begun */
    if (req->must_continue) {
        req->must_continue = false;
        int r = ag__http_flush_earlier(w);
        if (r != 0)
            return r;
        ssize_t n = ag_write(w->hc->c, go_on, sizeof go_on - 1);
        return n < 0 ? w->broken = (int)n : 0;
    }
    return ag__http_flush_earlier(w);
}

static int read_failed(ag_http_request *req, ssize_t n) {
    return ag__http_body_fail(req, n == 0 ? -ECONNRESET : (int)n);
}

/* Straight into `buf`. */
static ssize_t read_into(ag_http_request *req, char *buf, size_t n) {
    ag__http_work *w = req->w;
    int r = before_wait(req);
    if (r != 0)
        return ag__http_body_fail(req, r);
    ag_set_read_deadline(w->hc->c, ag__http_body_deadline(req));
    w->waits_for_client = true;
    ssize_t got = ag_read(w->hc->c, buf, n);
    if (got == -ETIMEDOUT)
        ag__http_count(&w->counters.timed_out, 1);
    return got > 0 ? got : read_failed(req, got);
}

/* ---- Known length --------------------------------------------------------------------------- */

static ssize_t read_plain(ag_http_request *req, char *buf, size_t n) {
    ag__http_work *w = req->w;
    if (w->head.content_length > req->body_max)
        return ag__http_body_fail(req, -EMSGSIZE);
    if ((int64_t)n > req->left)
        n = (size_t)req->left;
    size_t here = w->in_n - w->at;
    ssize_t got;
    if (here) {
        got = (ssize_t)(here < n ? here : n);
        memcpy(buf, w->in + w->at, (size_t)got);
        w->at += (uint32_t)got;
        req->must_continue = false;
    } else {
        got = read_into(req, buf, n);
        if (got < 0)
            return got;
    }
    req->left -= got;
    req->body_done = req->left == 0;
    return got;
}

/* ---- Chunked -------------------------------------------------------------------------------- */

/* Room behind the head for raw bytes; all that was there has been given out. */
static bool make_body_room(ag_http_request *req) {
    ag__http_work *w = req->w;
    uint32_t head_end = w->in_old ? 0 : (uint32_t)(req->base - w->in) + req->head_n;
    if (w->in_size - head_end >= ROOM_MIN) {
        w->at = w->in_n = head_end;
        return true;
    }
    char *in = malloc(AG__HTTP_IN);
    if (!in)
        return false;
    w->in_old = w->in;
    w->in = in;
    w->in_size = AG__HTTP_IN;
    w->at = w->in_n = 0;
    return true;
}

static int decode_some(ag_http_request *req) {
    ag__http_work *w = req->w;
    if (w->at == w->in_n) {
        int r = before_wait(req);
        if (r != 0)
            return ag__http_body_fail(req, r);
        if (!make_body_room(req))
            return ag__http_body_fail(req, -ENOMEM);
        ssize_t n = ag__http_fill(w, ag__http_body_deadline(req));
        if (n <= 0)
            return read_failed(req, n);
    }
    size_t consumed;
    req->chunks.limits.body_max = req->body_max;
    int64_t n = ag__http_chunked_decode(&req->chunks, w->in + w->at, w->in_n - w->at, &consumed);
    if (n < 0) {
        req->body_verdict = (int)n;
        return ag__http_body_fail(req, n == AG__BAD_BODY_TOO_LARGE ? -EMSGSIZE : -EPROTO);
    }
    req->must_continue = false;
    req->decoded_at = w->at;
    req->decoded_n = (uint32_t)n;
    w->at += (uint32_t)consumed;
    return 0;
}

static ssize_t read_chunked(ag_http_request *req, char *buf, size_t n) {
    while (!req->decoded_n) {
        if (req->chunks.done) {
            req->body_done = true;
            return 0;
        }
        int r = decode_some(req);
        if (r != 0)
            return r;
    }
    if (n > req->decoded_n)
        n = req->decoded_n;
    memcpy(buf, req->w->in + req->decoded_at, n);
    req->decoded_at += (uint32_t)n;
    req->decoded_n -= (uint32_t)n;
    req->body_done = !req->decoded_n && req->chunks.done;
    return (ssize_t)n;
}

ssize_t ag__http_read_1(ag_http_request *req, char *buf, size_t n) {
    return req->chunked ? read_chunked(req, buf, n) : read_plain(req, buf, n);
}

/* ---- For handlers --------------------------------------------------------------------------- */

ssize_t ag_http_body_read(ag_http_request *req, void *buf, size_t n) {
    if (req->body_error)
        return req->body_error;
    if (req->body_done || !n)
        return 0;
    ssize_t got = req->w->wire->body_read(req, buf, n);
    if (got > 0) {
        req->body_bytes += got;
        ag__http_count(&req->w->counters.body_bytes_in, got);
    }
    return got;
}

/* A larger copy, in request memory; the old one stays there until the end of the request. */
static char *grow(ag_http_request *req, const char *old, size_t n, size_t size) {
    char *bigger = ag__http_arena(req->w, size + 1);
    if (bigger && n)
        memcpy(bigger, old, n);
    return bigger;
}

int ag_http_body_all(ag_http_request *req, size_t limit, char **ret_body, size_t *ret_n) {
    if (req->body_error)
        return req->body_error;
    if (!req->chunked && (uint64_t)req->left > limit)
        return ag__http_body_fail(req, -EMSGSIZE);
    /* A promised length is believed up to 64 KiB; beyond, the bytes must come first. */
    size_t size = !req->chunked && req->left < 65536 ? (size_t)req->left : 4096, n = 0;
    if (size > limit)
        size = limit;
    char *body = grow(req, NULL, 0, size);
    for (;;) {
        if (!body)
            return ag__http_body_fail(req, -ENOMEM);
        char more;
        ssize_t got = n < size ? ag_http_body_read(req, body + n, size - n)
                               : ag_http_body_read(req, &more, 1);
        if (got < 0)
            return (int)got;
        if (got == 0)
            break;
        if (n == limit)
            return ag__http_body_fail(req, -EMSGSIZE);
        if (n == size) {
            size = size < limit / 2 ? size * 2 : limit;
            body = grow(req, body, n, size);
            if (body)
                body[n] = more;
        }
        n += (size_t)got;
    }
    body[n] = 0;
    *ret_body = body;
    if (ret_n)
        *ret_n = n;
    return 0;
}

/* ---- The rest ------------------------------------------------------------------------------- */

bool ag__http_body_is_long(const ag__http_work *w) {
    const ag_http_request *req = &w->req;
    return !req->body_done &&
           (req->body_error || req->must_continue || (!req->chunked && req->left > AG__HTTP_DRAIN));
}

/* Reads and drops the rest. Returns: false if that is not worth it or failed. */
static bool drain(ag__http_work *w) {
    ag_http_request *req = &w->req;
    char buf[4096];
    int64_t dropped = 0;
    req->body_max = INT64_MAX;
    while (!req->body_done && dropped <= AG__HTTP_DRAIN) {
        /* The response goes first: the client may have stopped sending to wait for it. */
        if (w->in_n == w->at && ag__http_flush_out(w) != 0)
            return false;
        ssize_t n = ag_http_body_read(req, buf, sizeof buf);
        if (n < 0 || w->broken)
            return false;
        dropped += n;
    }
    return req->body_done;
}

void ag__http_end_1(ag__http_work *w) {
    ag_http_request *req = &w->req;
    if (!req->body_done && !w->res.close && !drain(w))
        w->res.close = true;
    if (!req->body_done)
        w->then = AG__THEN_LINGER;
}

bool ag__http_is_gone_1(const ag__http_work *w) {
    return ag_conn_peer_is_gone(w->hc->c);
}
