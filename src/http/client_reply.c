/* SPDX-License-Identifier: MIT */
/*
 * The answer: its head, its body, its end.
 *
 *     [1xx answers][head][decoded, not given out][raw, not decoded]
 *                  head_at                        at .. in_n
 *                        body_from: where bytes of the body may be put once those are given out
 *
 * The head stays where it is, because the program has pointers into it. A piece that is large
 * enough is read straight into the program's memory, chunks too, which are decoded there in place;
 * for small ones the buffer is filled. Nothing is read before somebody asks: what waits, waits in
 * the socket.
 *
 * The link is given back as soon as the body is at its end, before the reply is closed. It is kept
 * if the server agrees, the whole request has been sent, and not a byte follows the answer: what
 * follows can only be meant for somebody else.
 */
#include "http/client.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Life ----------------------------------------------------------------------------------- */

ag_http_reply *ag__reply_new(ag_http_client *client) {
    ag_http_reply *r = ag_pool_get(&client->replies);
    if (!r) {
        size_t fields = client->opt.fields_max * sizeof(ag__http_field);
        r = malloc(sizeof *r + fields);
        if (!r)
            return NULL;
        memset(r, 0, sizeof *r);
        r->fields = (ag__http_field *)(r + 1);
    }
    atomic_fetch_add_explicit(&client->refs, 1, memory_order_relaxed);
    r->client = client;
    r->in = r->in_own;
    r->in_size = sizeof r->in_own;
    return r;
}

void ag__reply_destroy(void *reply) {
    ag_http_reply *r = reply;
    free(r->trailers);
    free(r->stream.in.p);
    free(r);
}

void ag__reply_reset(ag_http_reply *r) {
    r->any_byte = r->answered = r->body_started = r->broken = false;
    r->at = r->in_n = 0;
    r->body = AG__BODY_NONE;
    r->left = 0;
    r->decoded_n = 0;
    r->stream.at_end = false;
    r->has_trailers = r->is_hidden = false;
    ag__gzip_free(r->gzip);
    r->gzip = NULL;
}

/* As new, but for what is worth keeping. */
static void recycle(ag_http_reply *r) {
    ag_http_client *client = r->client;
    char *trailers = r->trailers;
    ag__http_bytes in = {.p = r->stream.in.p, .size = r->stream.in.size};
    ag__http_field *fields = r->fields;
    memset(r, 0, offsetof(ag_http_reply, in_own));
    r->trailers = trailers;
    r->fields = fields;
    r->stream.in = in;
    ag_pool_put(&client->replies, r);
}

void ag_http_reply_close(ag_http_reply *r) {
    if (!r)
        return;
    ag_http_client *client = r->client;
    ag__reply_finish(r);
    ag__gzip_free(r->gzip);
    ag__url_done(&r->url);
    free(r->ask.basic);
    free(r->ask.referer);
    free(r->all);
    if (r->in != r->in_own)
        free(r->in);
    recycle(r);
    ag__client_unref(client);
}

int ag__reply_fail(ag_http_reply *r, int error, const char *fmt, ...) {
    char what[AG__CLIENT_WHY];
    va_list args;
    if (r->error)
        return r->error;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    r->error = error;
    int n = 0;
    if (r->url.text)
        n = snprintf(r->why, sizeof r->why, "%.20s %.*s%.*s: ", r->ask.shown, r->url.tls ? 8 : 7,
                     r->url.text, r->url.authority.n > 80 ? 80 : (int)r->url.authority.n,
                     r->url.authority.p);
    snprintf(r->why + n, sizeof r->why - (size_t)n, "%.120s: %s", what, strerror(-error));
    return error;
}

/* ---- The link ------------------------------------------------------------------------------- */

void ag__reply_release(ag_http_reply *r, bool keep) {
    if (!r->link)
        return;
    r->wire->release(r, keep);
    r->link = NULL;
}

/* "Keep-Alive: timeout=5" makes the time shorter; a second is for the way. */
static ag_time idle_ns_of(ag_http_reply *r) {
    ag_time ns = r->client->opt.idle_ns, said = 0;
    ag__http_text v, element;
    if (!ag__http_known_value(&r->head, r->in + r->head_at, AG__FIELD_KEEP_ALIVE, &v))
        return ns;
    while (ag__http_next_element(&v, &element)) {
        if (element.n < 9 || !ag__http_same((ag__http_text){element.p, 8}, "timeout="))
            continue;
        for (size_t i = 8; i < element.n && i < 14 && ag__http_is(element.p[i], AG__CH_DIGIT); i++)
            said = said * 10 + (element.p[i] - '0');
        said = said * AG_SEC;
        said = said > 2 * AG_SEC ? said - AG_SEC : said / 2;
        return said < ns ? said : ns;
    }
    return ns;
}

/* The body is at its end. */
static void body_end(ag_http_reply *r) {
    r->body = AG__BODY_NONE;
    ag__reply_release(r, r->keeps && r->at == r->in_n);
}

/* ---- Head ----------------------------------------------------------------------------------- */

/* Room for more bytes behind in[in_n). */
static bool make_room(ag_http_reply *r, uint32_t room) {
    return ag__http_grow(&r->in, &r->in_size, r->in_own, r->in_n, room);
}

/* More of the head. A body that waits for leave is sent when the time for that is over. */
static int read_head(ag_http_reply *r, ag_time *leave_until) {
    bool waits = ag__client_body_waits(r);
    if (waits && !*leave_until) {
        *leave_until = ag_now() + r->client->opt.continue_ns;
        r->wire->read_until(r, *leave_until);
    }
    if (!make_room(r, 1))
        return -ENOMEM;
    ssize_t n = r->wire->read(r, r->in + r->in_n, r->in_size - r->in_n);
    if (n == -ETIMEDOUT && waits && ag_now() >= *leave_until)
        return ag__client_send_body(r);
    if (n <= 0)
        return n ? (int)n : -ECONNRESET;
    r->any_byte = true;
    r->in_n += (uint32_t)n;
    return 0;
}

/* An answer before the answer. */
static int take_early(ag_http_reply *r, int n, char *why) {
    if (r->head.status == 101) {
        snprintf(why, AG__CLIENT_WHY, "the server switches protocols, and nobody has asked for it");
        return -EPROTO;
    }
    r->head_at += (uint32_t)n;
    if (r->head_at > r->client->opt.head_max) {
        snprintf(why, AG__CLIENT_WHY, "too many answers before the answer");
        return -EMSGSIZE;
    }
    bool go_on = r->head.status == 100 && ag__client_body_waits(r);
    ag__http_head_reset(&r->head);
    return go_on ? ag__client_send_body(r) : 0;
}

/* Without memory they are dropped. */
static bool keep_trailer(void *arg, char c) {
    ag_http_reply *r = arg;
    if (r->trailers)
        r->trailers[r->chunks.trailers - 1] = c;
    return true;
}

/* Of HTTP/2: the stream has ended, and all of it has been given out. */
static bool is_at_end(const ag_http_reply *r) {
    return r->stream.at_end && r->at == r->in_n;
}

static void prepare_body(ag_http_reply *r) {
    const ag__http_head *h = &r->head;
    bool none = r->ask.is_head || h->status == 204 || h->status == 304;
    r->keeps = h->keep_alive && !r->ask.closes && !r->broken;
    if (none || is_at_end(r)) {
        r->body = AG__BODY_NONE;
    } else if (!r->wire->chunks) {
        r->body = AG__BODY_END; /* of the stream */
    } else if (h->chunked) {
        ag__http_chunk_limits limits = {.trailer_max = AG__CLIENT_TRAILER};
        ag__http_chunked_init(&r->chunks, &limits);
        if (!r->trailers)
            r->trailers = malloc(AG__CLIENT_TRAILER + 1);
        r->chunks.keep = keep_trailer;
        r->chunks.keep_arg = r;
        r->body = AG__BODY_CHUNKS;
    } else if (h->content_length >= 0) {
        r->left = h->content_length;
        r->body = r->left ? AG__BODY_LENGTH : AG__BODY_NONE;
    } else {
        r->body = AG__BODY_END;
        r->keeps = false;
    }
}

/* Whether we have asked for what is packed. */
static bool is_packed(const ag_http_reply *r) {
    ag__http_text v;
    return r->ask.wants_gzip && r->body != AG__BODY_NONE &&
           ag__http_known_value(&r->head, r->in + r->head_at, AG__FIELD_CONTENT_ENCODING, &v) &&
           (ag__http_same(v, "gzip") || ag__http_same(v, "x-gzip"));
}

int ag__reply_head(ag_http_reply *r, char *why) {
    const ag_http_client_options *o = &r->client->opt;
    ag__http_limits limits = {.head_max = o->head_max};
    ag_time leave_until = 0;
    int n, e = 0;
    r->at = r->in_n = r->head_at = 0;
    ag__http_reply_init(&r->head, r->fields, o->fields_max, &limits);
    for (;;) {
        n = ag__http_parse(&r->head, r->in + r->head_at, r->in_n - r->head_at);
        if (n > 0 && r->head.status >= 200)
            break;
        if (n > 0)
            e = take_early(r, n, why);
        else if (n == -EAGAIN)
            e = read_head(r, &leave_until);
        else
            snprintf(why, AG__CLIENT_WHY, "%s", ag__http_reason(n));
        if (n <= 0 && n != -EAGAIN)
            e = n == AG__BAD_HEAD_TOO_LARGE || n == AG__BAD_TOO_MANY_FIELDS ? -EMSGSIZE : -EPROTO;
        if (e != 0)
            return e;
    }
    r->at = r->head_at + (uint32_t)n;
    if (r->sender)
        ag__client_sender_head_came(r->sender);
    prepare_body(r);
    if (!r->link->h2)
        r->link->idle_ns = idle_ns_of(r);
    r->body_from = r->at;
    if (r->body != AG__BODY_NONE && r->in_size - r->at < AG__CLIENT_ROOM &&
        !make_room(r, AG__CLIENT_ROOM))
        return -ENOMEM;
    if (is_packed(r)) {
        if (!(r->gzip = ag__gzip_new()))
            return -ENOMEM;
        r->is_hidden = true;
    }
    r->answered = true;
    if (r->body == AG__BODY_NONE)
        body_end(r);
    return 0;
}

/* ---- Body ----------------------------------------------------------------------------------- */

static ssize_t fail_body(ag_http_reply *r, int error, const char *what) {
    ag__client_sender *s = r->sender;
    if (s && s->is_done && s->error &&
        (s->own_error || error == -ECANCELED || error == -ETIMEDOUT)) {
        error = s->error;
        what = s->own_error ? "reading the request's body" : "sending the request";
    }
    ag__reply_release(r, false);
    r->body = AG__BODY_NONE;
    return ag__reply_fail(r, error, "%s", what);
}

/* Bytes from the link. Returns: > 0, 0 at its end, or the reply's error. */
static ssize_t read_link(ag_http_reply *r, char *buf, size_t n) {
    ag_time ns = r->client->opt.quiet_ns;
    if (r->sender && r->sender->is_done && r->sender->error && ns > AG__CLIENT_LATE)
        ns = AG__CLIENT_LATE;
    r->wire->bound_read(r, ns);
    ssize_t got = r->wire->read(r, buf, n);
    if (got == 0 && r->body != AG__BODY_END)
        return fail_body(r, -ECONNRESET, "the answer was cut");
    const char *why = got < 0 ? r->wire->why(r) : NULL;
    return got < 0 ? fail_body(r, (int)got, why ? why : "reading the answer") : got;
}

/* Fills the buffer, of which everything has been given out. */
static ssize_t fill(ag_http_reply *r) {
    r->at = r->in_n = r->body_from;
    ssize_t got = read_link(r, r->in + r->in_n, r->in_size - r->in_n);
    if (got > 0)
        r->in_n += (uint32_t)got;
    return got;
}

static ssize_t read_plain(ag_http_reply *r, char *buf, size_t n) {
    bool counted = r->body == AG__BODY_LENGTH;
    ssize_t got;
    if (counted && (int64_t)n > r->left)
        n = (size_t)r->left;
    if (r->at == r->in_n && n < AG__CLIENT_ROOM && (!counted || (int64_t)n < r->left)) {
        got = fill(r);
        if (got < 0)
            return got;
    }
    if (r->at < r->in_n) {
        got = (ssize_t)(n < r->in_n - r->at ? n : r->in_n - r->at);
        memcpy(buf, r->in + r->at, (size_t)got);
        r->at += (uint32_t)got;
    } else if (n < AG__CLIENT_ROOM && !counted) {
        got = 0; /* fill has found the end */
    } else {
        got = read_link(r, buf, n);
        if (got < 0)
            return got;
    }
    r->left -= counted ? got : 0;
    if (counted ? r->left == 0 : got == 0 || is_at_end(r))
        body_end(r);
    return got;
}

/* The last chunk has come: ends the lines of the trailer. */
static void chunks_end(ag_http_reply *r) {
    uint32_t n = r->chunks.trailers;
    if (r->trailers) {
        for (uint32_t i = 0; i < n; i++)
            if (r->trailers[i] == '\r')
                r->trailers[i] = 0;
        r->trailers[n] = 0;
        r->has_trailers = n > 0;
    }
    body_end(r);
}

static ssize_t decode(ag_http_reply *r, char *buf, size_t n, size_t *ret_consumed) {
    int64_t got = ag__http_chunked_decode(&r->chunks, buf, n, ret_consumed);
    if (got >= 0)
        return (ssize_t)got;
    return fail_body(r, got == AG__BAD_TRAILERS_TOO_LARGE ? -EMSGSIZE : -EPROTO,
                     ag__http_reason((int)got));
}

/* Into the program's memory. Returns: bytes, which may be 0 before the end. */
static ssize_t decode_there(ag_http_reply *r, char *buf, size_t n) {
    size_t consumed;
    ssize_t got = read_link(r, buf, n);
    if (got <= 0)
        return got;
    size_t came = (size_t)got;
    got = decode(r, buf, came, &consumed);
    if (got >= 0 && r->chunks.done) {
        r->keeps = r->keeps && consumed == came;
        chunks_end(r);
    }
    return got;
}

/* In the buffer: fills it if it is empty. Returns: 0 or the error. */
static ssize_t decode_here(ag_http_reply *r) {
    size_t consumed;
    ssize_t got = r->at < r->in_n ? 1 : fill(r);
    if (got <= 0)
        return got;
    got = decode(r, r->in + r->at, r->in_n - r->at, &consumed);
    if (got < 0)
        return got;
    r->decoded_at = r->at;
    r->decoded_n = (uint32_t)got;
    r->at += (uint32_t)consumed;
    if (r->chunks.done)
        chunks_end(r);
    return 0;
}

static ssize_t read_chunks(ag_http_reply *r, char *buf, size_t n) {
    while (!r->decoded_n) {
        ssize_t got;
        if (r->body == AG__BODY_NONE)
            return r->error;
        if (r->at == r->in_n && n >= AG__CLIENT_ROOM)
            got = decode_there(r, buf, n);
        else
            got = decode_here(r);
        if (got != 0)
            return got;
    }
    if (n > r->decoded_n)
        n = r->decoded_n;
    memcpy(buf, r->in + r->decoded_at, n);
    r->decoded_at += (uint32_t)n;
    r->decoded_n -= (uint32_t)n;
    return (ssize_t)n;
}

ssize_t ag__reply_read_raw(ag_http_reply *r, char *buf, size_t n) {
    if (r->error)
        return r->error;
    if (r->decoded_n || r->body == AG__BODY_CHUNKS)
        return read_chunks(r, buf, n);
    return r->body == AG__BODY_NONE ? 0 : read_plain(r, buf, n);
}

void ag__reply_finish(ag_http_reply *r) {
    char *buf = r->in + r->body_from;
    size_t size = r->in_size - r->body_from, dropped = 0, consumed;
    bool worth = r->link && r->wire->chunks && r->answered && r->keeps && !r->error &&
                 r->body != AG__BODY_NONE &&
                 (r->body == AG__BODY_CHUNKS || r->left <= AG__CLIENT_DRAIN);
    if (worth && r->at == r->in_n)
        r->at = r->in_n = r->body_from;
    while (worth && dropped <= AG__CLIENT_DRAIN) {
        size_t here = r->in_n - r->at;
        if (r->body == AG__BODY_LENGTH) {
            size_t n = (int64_t)here < r->left ? here : (size_t)r->left;
            r->at += (uint32_t)n;
            r->left -= (int64_t)n;
            if (r->left == 0)
                break;
        } else {
            if (ag__http_chunked_decode(&r->chunks, r->in + r->at, here, &consumed) < 0)
                break;
            r->at += (uint32_t)consumed;
            if (r->chunks.done)
                break;
        }
        dropped += here;
        ssize_t n = ag_try_read(r->link->c, buf, size);
        if (n <= 0)
            break;
        r->at = r->body_from;
        r->in_n = r->body_from + (uint32_t)n;
    }
    bool ended = worth && (r->body == AG__BODY_LENGTH ? r->left == 0 : r->chunks.done);
    r->body = AG__BODY_NONE;
    ag__reply_release(r, ended && r->at == r->in_n);
}

/* ---- For the program ------------------------------------------------------------------------ */

ssize_t ag_http_reply_read(ag_http_reply *r, void *buf, size_t n) {
    if (!r)
        return -ENOMEM;
    if (n == 0)
        return r->error;
    return r->gzip ? ag__gzip_read(r->gzip, r, buf, n) : ag__reply_read_raw(r, buf, n);
}

int ag_http_reply_read_all(ag_http_reply *r, size_t limit, char **ret_body, size_t *ret_n) {
    if (!r || r->error)
        return r ? r->error : -ENOMEM;
    /* A promised length is believed up to 64 KiB; beyond, the bytes must come first. */
    int64_t promised = ag_http_reply_content_length(r);
    size_t size = promised >= 0 && promised < 65536 ? (size_t)promised : 4096, n = 0;
    if (promised > 0 && (uint64_t)promised > limit && r->body != AG__BODY_NONE)
        return ag__reply_fail(r, -EMSGSIZE, "the answer's body is above the limit");
    if (size > limit)
        size = limit;
    free(r->all);
    r->all = malloc(size + 1);
    for (;;) {
        char more;
        if (!r->all)
            return ag__reply_fail(r, -ENOMEM, "the answer's body");
        ssize_t got = n < size ? ag_http_reply_read(r, r->all + n, size - n)
                               : ag_http_reply_read(r, &more, 1);
        if (got < 0)
            return (int)got;
        if (got == 0)
            break;
        if (n == limit)
            return ag__reply_fail(r, -EMSGSIZE, "the answer's body is above the limit");
        if (n == size) {
            size = size < limit / 2 ? size * 2 + 64 : limit;
            char *all = realloc(r->all, size + 1);
            if (!all)
                free(r->all);
            r->all = all;
            if (all)
                all[n] = more;
        }
        n += (size_t)got;
    }
    r->all[n] = 0;
    *ret_body = r->all;
    if (ret_n)
        *ret_n = n;
    return 0;
}
