/* SPDX-License-Identifier: MIT */
/*
 * The head of a request of HTTP/2: as HTTP/1.1 would have written it.
 *
 * The fields that HPACK gives are written down as a head of HTTP/1.1, and that is read by the one
 * parser there is (parse.c), so both versions are equally strict about methods, targets, hosts,
 * lengths, names, values and limits, and a handler finds the same things in the same places:
 *
 *     :method GET, :path /a, :authority h, x: y   -->   GET /a HTTP/1.1 CRLF host: h CRLF x: y CRLF
 *
 * Nothing that is written may end its line early: each byte is checked before. What only HTTP/2 has
 * is settled here: the target is a path, "*" or, for CONNECT, host and port; Host says the same as
 * :authority; the crumbs of a cookie are put together again (RFC 9113 8.2.3). nghttp2 has refused
 * what RFC 9113 8.2 and 8.3 call malformed: upper case, fields of the connection, missing and
 * repeated pseudo-fields.
 */
#include "http/h2.h"

#include <stdlib.h>

void ag__h2_head_begin(ag__http_work *w) {
    ag__http_head_reset(&w->head);
    w->at = w->in_n = 0;
}

static void refuse(ag__http_work *w, int verdict) {
    if (!w->stream.verdict)
        w->stream.verdict = verdict;
}

static bool all_of(ag__http_text s, unsigned classes) {
    for (size_t i = 0; i < s.n; i++)
        if (!ag__http_is(s.p[i], classes))
            return false;
    return true;
}

/* ---- Writing -------------------------------------------------------------------------------- */

/* Room for `n` more bytes in w->in. Returns: false if the head gets too large, or memory is out. */
static bool make_room(ag__http_work *w, size_t n) {
    if (w->stream.verdict)
        return false;
    if (w->in_n + n > w->s->opt.head_max) {
        refuse(w, AG__BAD_HEAD_TOO_LARGE);
        return false;
    }
    if (!ag__http_grow(&w->in, &w->in_size, w->in_own, w->in_n, n)) {
        refuse(w, AG__BAD_HEAD_TOO_LARGE);
        return false;
    }
    return true;
}

/* A line of such pieces, or nothing. */
static void put(ag__http_work *w, ag__http_text a, ag__http_text between, ag__http_text b,
                ag__http_text end) {
    if (!make_room(w, a.n + between.n + b.n + end.n))
        return;
    char *to = ag__http_put_text(ag__http_put_text(w->in + w->in_n, a), between);
    to = ag__http_put_text(ag__http_put_text(to, b), end);
    w->in_n = (uint32_t)(to - w->in);
}

#define TEXT(literal) ((ag__http_text){(literal), sizeof(literal) - 1})

static bool same(ag__http_text a, ag__http_text b) {
    return a.n == b.n && memcmp(a.p, b.p, a.n) == 0;
}

/* The same host, in whatever case. */
static bool same_host(ag__http_text a, ag__http_text b) {
    for (size_t i = 0; a.n == b.n && i < a.n; i++)
        if (ag__http_lower(a.p[i]) != ag__http_lower(b.p[i]))
            return false;
    return a.n == b.n;
}

/* ---- Pseudo-fields -------------------------------------------------------------------------- */

static bool is(ag__http_text s, const char *text) {
    return same(s, (ag__http_text){text, strlen(text)});
}

static void take_pseudo(ag__http_work *w, ag__http_text name, ag__http_text value) {
    ag__http_stream *st = &w->stream;
    ag__http_text *to = is(name, ":method")      ? &st->method
                        : is(name, ":path")      ? &st->path
                        : is(name, ":authority") ? &st->authority
                                                 : NULL;
    if (is(name, ":scheme") && !ag__http_same(value, "http") && !ag__http_same(value, "https"))
        refuse(w, AG__BAD_TARGET_SCHEME);
    if (!to || st->verdict)
        return;
    if (value.n > w->s->opt.head_max) {
        refuse(w, AG__BAD_HEAD_TOO_LARGE);
        return;
    }
    char *copy = ag__http_arena(w, value.n + 1);
    if (!copy) {
        refuse(w, AG__BAD_HEAD_TOO_LARGE);
        return;
    }
    memcpy(copy, value.p, value.n);
    *to = (ag__http_text){copy, value.n};
}

/* The request line and Host, once all pseudo-fields are known. */
static void put_line(ag__http_work *w) {
    ag__http_stream *st = &w->stream;
    bool connects = is(st->method, "CONNECT");
    ag__http_text target = connects ? st->authority : st->path;
    st->has_line = true;
    if (!st->method.n || !all_of(st->method, AG__CH_TOKEN))
        refuse(w, AG__BAD_METHOD);
    else if (!all_of(target, AG__CH_TARGET) || !all_of(st->authority, AG__CH_TARGET))
        refuse(w, AG__BAD_TARGET_BYTE);
    else if (!connects && !is(target, "*") && (!target.n || target.p[0] != '/'))
        refuse(w, AG__BAD_TARGET_FORM);
    put(w, st->method, TEXT(" "), target, TEXT(" HTTP/1.1\r\n"));
    if (st->authority.n)
        put(w, TEXT("host"), TEXT(": "), st->authority, TEXT("\r\n"));
}

/* ---- Fields --------------------------------------------------------------------------------- */

/* One more crumb, behind the others. */
static void add_crumb(ag__http_work *w, ag__http_text value) {
    uint32_t at = w->stream.cookie_end, n = (uint32_t)value.n + 2;
    if (!make_room(w, n))
        return;
    memmove(w->in + at + n, w->in + at, w->in_n - at);
    memcpy(w->in + at, "; ", 2);
    memcpy(w->in + at + 2, value.p, value.n);
    w->in_n += n;
    w->stream.cookie_end += n;
}

void ag__h2_head_field(ag__http_work *w, ag__http_text name, ag__http_text value) {
    ag__http_stream *st = &w->stream;
    if (st->verdict)
        return;
    if (name.n && name.p[0] == ':') {
        take_pseudo(w, name, value);
        return;
    }
    if (!st->has_line)
        put_line(w);
    if (!all_of(name, AG__CH_TOKEN))
        refuse(w, AG__BAD_NAME_BYTE);
    else if (!all_of(value, AG__CH_VALUE))
        refuse(w, AG__BAD_VALUE_BYTE);
    if (is(name, "host") && st->authority.n) {
        if (!same_host(value, st->authority))
            refuse(w, AG__BAD_AUTHORITY);
        return;
    }
    bool cookie = is(name, "cookie");
    if (cookie && st->cookie_end) {
        if (++st->crumbs > w->s->opt.fields_max)
            refuse(w, AG__BAD_TOO_MANY_FIELDS);
        add_crumb(w, value);
        return;
    }
    put(w, name, TEXT(": "), value, TEXT("\r\n"));
    if (cookie && !st->verdict)
        st->cookie_end = w->in_n - 2;
}

void ag__h2_head_end(ag__http_work *w, bool has_body) {
    ag__http_stream *st = &w->stream;
    ag__http_head *h = &w->head;
    if (!st->has_line && !st->verdict)
        put_line(w);
    put(w, TEXT("\r\n"), TEXT(""), TEXT(""), TEXT(""));
    if (!st->verdict) {
        int n = ag__http_parse(h, w->in, w->in_n);
        st->verdict = n == (int)w->in_n ? 0 : n < AG__BAD_END ? n : AG__BAD_REQUEST_LINE;
    }
    if (has_body && h->content_length < 0)
        h->chunked = true; /* its length is not known */
}
