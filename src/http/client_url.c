/* SPDX-License-Identifier: MIT */
/*
 * URLs: taking apart, resolving, writing again.
 *
 * Idea: a URL is never used as it came. It is taken apart, each part is checked against what may
 * stand in a request, and written anew into memory of its own; from then on nobody has to look at
 * its bytes again. So no URL, wherever it came from, can end a request line or begin a field.
 *
 * A reference is resolved on text: the pieces of the base that it lacks are put in front, and the
 * result goes the same way as any other URL.
 *
 * Refused: user:password@ in what is stored or shown (it would end up in logs and in Referer).
 */
#include "http/client_url.h"
#include "http/parse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static int refuse(const char **ret_why, const char *why) {
    *ret_why = why;
    return -EINVAL;
}

static int no_memory(const char **ret_why) {
    *ret_why = "out of memory";
    return -ENOMEM;
}

void ag__url_done(ag__url *u) {
    free(u->text);
    memset(u, 0, sizeof *u);
}

/* ---- Authority ------------------------------------------------------------------------------ */

static size_t index_of(ag__http_text s, const char *any) {
    size_t i = 0;
    while (i < s.n && !strchr(any, s.p[i]))
        i++;
    return i;
}

static int check_user(ag__http_text user, const char **ret_why) {
    for (size_t i = 0; i < user.n; i++) {
        if (user.p[i] == '%' &&
            (user.n - i < 3 || ag__http_hex(user.p[i + 1]) < 0 || ag__http_hex(user.p[i + 2]) < 0))
            return refuse(ret_why, "the user has a percent sign that is no escape");
        if ((unsigned char)user.p[i] <= ' ' || user.p[i] == 0x7f)
            return refuse(ret_why, "the user has a control character or a space");
    }
    return 0;
}

static int check_host(ag__http_text host, const char **ret_why) {
    if (!host.n)
        return refuse(ret_why, "it has no host");
    if (host.p[0] == '[' && memchr(host.p, '%', host.n))
        return refuse(ret_why, "the zone of an IPv6 address can't be sent to a server");
    for (size_t i = 0; i < host.n && host.p[0] != '['; i++) {
        char c = host.p[i];
        if ((unsigned char)c >= 0x80)
            return refuse(ret_why, "the host is not ASCII: write it in punycode (xn--...)");
        if (c == '%')
            return refuse(ret_why, "the host has a percent sign");
        if (!ag__http_is(c, AG__CH_DIGIT) && (ag__http_lower(c) < 'a' || ag__http_lower(c) > 'z') &&
            c != '-' && c != '.' && c != '_')
            return refuse(ret_why, "the host has a character that no name has");
    }
    return 0;
}

/* host[:port] of `s` into u->host, which points into `s` still, and u->port. */
static int take_authority(ag__url *u, ag__http_text s, const char **ret_why) {
    ag__http_text host = s;
    size_t end = s.n && s.p[0] == '[' ? index_of(s, "]") : index_of(s, ":");
    host.n = s.n && s.p[0] == '[' && end < s.n ? end + 1 : end;
    int r = check_host(host, ret_why);
    if (r != 0)
        return r;
    ag__http_head head;
    ag__http_head_init(&head, NULL, 0, NULL);
    if (!ag__http_authority_apply(&head, s.p, (ag__http_slice){0, (uint32_t)s.n}))
        return refuse(ret_why, "host or port is malformed");
    bool has_port = s.n > host.n + 1;
    if (has_port && head.port == 0)
        return refuse(ret_why, "there is no port 0");
    u->host = host;
    u->port = has_port ? head.port : u->tls ? 443 : 80;
    return 0;
}

/* ---- Path and query ------------------------------------------------------------------------- */

/* Appends path or query, escaping what may not stand there. Returns: the new length, or -EINVAL. */
static int64_t put_escaped(char *dst, size_t n, ag__http_text s, unsigned allowed,
                           const char **ret_why) {
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if ((unsigned char)c < ' ' || c == 0x7f)
            return refuse(ret_why, "it has a control character");
        if (c == '%' && allowed == AG__CH_PATH) {
            if (s.n - i < 3 || ag__http_hex(s.p[i + 1]) < 0 || ag__http_hex(s.p[i + 2]) < 0)
                return refuse(ret_why, "the path has a percent sign that is no escape");
            if (s.p[i + 1] == '0' && s.p[i + 2] == '0')
                return refuse(ret_why, "the path has an encoded NUL");
        }
        if (ag__http_is(c, allowed)) {
            dst[n++] = c;
            continue;
        }
        dst[n++] = '%';
        dst[n++] = "0123456789ABCDEF"[(unsigned char)c >> 4];
        dst[n++] = "0123456789ABCDEF"[c & 15];
    }
    return (int64_t)n;
}

/* Takes the segments "." and ".." out of p[0..n), which begins with '/' (RFC 3986 5.2.4). */
static size_t remove_dots(char *p, size_t n) {
    size_t from = 0, to = 0;
    while (from < n) {
        size_t end = from + 1;
        while (end < n && p[end] != '/')
            end++;
        size_t len = end - from; /* with the '/' in front */
        bool dot = len == 2 && p[from + 1] == '.';
        bool dots = len == 3 && p[from + 1] == '.' && p[from + 2] == '.';
        if (dots)
            while (to > 0 && p[--to] != '/')
                continue;
        if (dot || dots) {
            if (end == n)
                p[to++] = '/';
        } else {
            memmove(p + to, p + from, len);
            to += len;
        }
        from = end;
    }
    return to ? to : 1;
}

/* ---- Parsing -------------------------------------------------------------------------------- */

/* Length of "http://" or "https://" at the start, or 0. */
static size_t take_scheme(ag__url *u, ag__http_text s) {
    if (s.n >= 7 && ag__http_same((ag__http_text){s.p, 7}, "http://"))
        return 7;
    u->tls = s.n >= 8 && ag__http_same((ag__http_text){s.p, 8}, "https://");
    return u->tls ? 8 : 0;
}

/* Whether `s` begins with a scheme (RFC 3986 3.1). */
static bool has_scheme(ag__http_text s) {
    size_t end = index_of(s, ":/?#");
    if (end == s.n || s.p[end] != ':' || end == 0)
        return false;
    for (size_t i = 0; i < end; i++) {
        char c = ag__http_lower(s.p[i]);
        bool letter = c >= 'a' && c <= 'z';
        if (!letter && (i == 0 || (!ag__http_is(c, AG__CH_DIGIT) && !strchr("+-.", c))))
            return false;
    }
    return true;
}

/* Writes the URL anew. `path` and `query` are as they came, without the '?'; p is NULL for none. */
static int compose(ag__url *u, ag__http_text path, ag__http_text query, const char **ret_why) {
    ag__http_text host = u->host, user = u->user;
    char *t = malloc(user.n + host.n + 3 * (path.n + query.n) + 32);
    if (!t)
        return no_memory(ret_why);
    size_t n = 0;
    const char *scheme = u->tls ? "https://" : "http://";
    memcpy(t, scheme, strlen(scheme));
    n = strlen(scheme);
    u->authority.p = t + n;
    u->host = (ag__http_text){t + n, host.n};
    for (size_t i = 0; i < host.n; i++)
        t[n++] = ag__http_lower(host.p[i]);
    if (u->port != (u->tls ? 443 : 80))
        n += (size_t)snprintf(t + n, 8, ":%u", (unsigned)u->port);
    u->authority.n = (size_t)(t + n - u->authority.p);
    size_t path_at = n;
    int64_t end = (int64_t)n;
    if (!path.n)
        t[end++] = '/';
    else
        end = put_escaped(t, n, path, AG__CH_PATH, ret_why);
    if (end >= 0) {
        n = path_at + remove_dots(t + path_at, (size_t)end - path_at);
        u->path = (ag__http_text){t + path_at, n - path_at};
        end = (int64_t)n;
    }
    if (end >= 0 && query.p) {
        t[n++] = '?';
        end = put_escaped(t, n, query, AG__CH_TARGET, ret_why);
    }
    if (end < 0) {
        free(t);
        return (int)end;
    }
    n = (size_t)end;
    u->target = (ag__http_text){t + path_at, n - path_at};
    t[n++] = 0;
    if (user.p) {
        memcpy(t + n, user.p, user.n);
        u->user.p = t + n;
    }
    u->text = t;
    return 0;
}

static int parse(ag__url *u, const char *text, const char **ret_why) {
    ag__http_text s = {text, strlen(text)};
    s.n = index_of(s, "#");
    if (s.n > AG__URL_MAX)
        return refuse(ret_why, "it is too long");
    size_t at = take_scheme(u, s);
    if (!at) {
        int r = refuse(ret_why, "it does not begin with http:// or https://");
        return has_scheme(s) ? -EPROTONOSUPPORT : r;
    }
    s = (ag__http_text){s.p + at, s.n - at};
    ag__http_text authority = {s.p, index_of(s, "/?\\")}, path, query = {NULL, 0};
    s = (ag__http_text){s.p + authority.n, s.n - authority.n};
    path = (ag__http_text){s.p, index_of(s, "?")};
    if (path.n < s.n)
        query = (ag__http_text){s.p + path.n + 1, s.n - path.n - 1};
    if (path.n && path.p[0] == '\\')
        return refuse(ret_why, "it has a backslash behind the host");
    for (size_t i = authority.n; i-- > 0;) {
        if (authority.p[i] != '@')
            continue;
        u->user = (ag__http_text){authority.p, i};
        authority = (ag__http_text){authority.p + i + 1, authority.n - i - 1};
        break;
    }
    int r = check_user(u->user, ret_why);
    if (r == 0)
        r = take_authority(u, authority, ret_why);
    return r == 0 ? compose(u, path, query, ret_why) : r;
}

int ag__url_parse(const char *s, ag__url *ret_url, const char **ret_why) {
    ag__url u = {.text = NULL};
    *ret_why = "";
    int r = s ? parse(&u, s, ret_why) : refuse(ret_why, "it is NULL");
    if (r != 0)
        u = (ag__url){.text = NULL};
    *ret_url = u;
    return r;
}

int ag__url_resolve(const ag__url *base, const char *s, ag__url *ret_url, const char **ret_why) {
    ag__http_text ref = {s, strlen(s)};
    *ret_url = (ag__url){.text = NULL};
    ref.n = index_of(ref, "#");
    if (has_scheme(ref))
        return ag__url_parse(s, ret_url, ret_why);
    if (ref.n > AG__URL_MAX)
        return refuse(ret_why, "it is too long");
    ag__http_text whole = {base->text, strlen(base->text)}, front = whole;
    size_t path_at = (size_t)(base->path.p - base->text);
    if (ref.n >= 2 && ref.p[0] == '/' && ref.p[1] == '/')
        front.n = base->tls ? 6 : 5;
    else if (ref.n && ref.p[0] == '/')
        front.n = path_at;
    else if (ref.n && ref.p[0] == '?')
        front.n = path_at + base->path.n;
    else if (ref.n)
        for (front.n = path_at + base->path.n; front.p[front.n - 1] != '/';)
            front.n--;
    char *joined = malloc(front.n + ref.n + 1);
    if (!joined)
        return no_memory(ret_why);
    memcpy(joined, front.p, front.n);
    memcpy(joined + front.n, ref.p, ref.n);
    joined[front.n + ref.n] = 0;
    int r = ag__url_parse(joined, ret_url, ret_why);
    free(joined);
    return r;
}

bool ag__url_trusts(const ag__url *from, const ag__url *to) {
    bool defaults = from->port == (from->tls ? 443 : 80) && to->port == (to->tls ? 443 : 80);
    return from->host.n == to->host.n && memcmp(from->host.p, to->host.p, to->host.n) == 0 &&
           (from->port == to->port || defaults) && (to->tls || !from->tls);
}

/* ---- Basic ---------------------------------------------------------------------------------- */

char *ag__url_basic(ag__http_text user) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *plain = malloc(user.n + 4), *out = malloc(user.n * 4 / 3 + 16);
    size_t n = 0, to = 6;
    if (!plain || !out) {
        free(plain);
        free(out);
        return NULL;
    }
    for (size_t i = 0; i < user.n; i++) {
        plain[n++] = user.p[i];
        if (user.p[i] == '%' && user.n - i > 2) {
            plain[n - 1] = (char)(ag__http_hex(user.p[i + 1]) << 4 | ag__http_hex(user.p[i + 2]));
            i += 2;
        }
    }
    if (!memchr(plain, ':', n))
        plain[n++] = ':';
    memcpy(out, "Basic ", 6);
    for (size_t i = 0; i < n; i += 3) {
        uint32_t w = (uint32_t)(unsigned char)plain[i] << 16;
        w |= i + 1 < n ? (uint32_t)(unsigned char)plain[i + 1] << 8 : 0;
        w |= i + 2 < n ? (uint32_t)(unsigned char)plain[i + 2] : 0;
        out[to++] = digits[w >> 18];
        out[to++] = digits[w >> 12 & 63];
        out[to++] = i + 1 < n ? digits[w >> 6 & 63] : '=';
        out[to++] = i + 2 < n ? digits[w & 63] : '=';
    }
    out[to] = 0;
    free(plain);
    return out;
}
