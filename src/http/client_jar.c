/* SPDX-License-Identifier: MIT */
/*
 * Cookies, RFC 6265: what a server may set, and what is sent where.
 *
 * A cookie is known by name, domain and path; setting it again replaces it, with an expiry in the
 * past removes it. It belongs to the host that set it, or, with Domain, to that domain and all
 * below it, of which the host must be one. A domain without a dot, or an address, is accepted only
 * as the host itself. "__Host-" and "__Secure-" are honoured, and a page read without TLS can
 * neither set nor replace a Secure cookie (RFC 6265bis).
 *
 * One list, newest last, under a mutex: 3,000 at most, and a program has few.
 */
#include "http/client.h"

#include <stdlib.h>
#include <string.h>

enum { COOKIE_MAX = 4096, DOMAIN_COOKIES = 50, ALL_COOKIES = 3000 };

typedef struct cookie {
    struct cookie *prev, *next;
    ag_time expires; /* of ag_wall; INT64_MAX: with the jar */
    bool host_only, secure;
    ag__http_text name, value, domain, path; /* in `text` */
    char text[];
} cookie;

struct ag_http_jar {
    ag_mutex lock;
    /* Guarded by lock. */
    cookie *first, *last;
    size_t count;
};

ag_http_jar *ag_http_jar_new(void) {
    return calloc(1, sizeof(ag_http_jar));
}

static void drop(ag_http_jar *jar, cookie *c) {
    *(c->prev ? &c->prev->next : &jar->first) = c->next;
    *(c->next ? &c->next->prev : &jar->last) = c->prev;
    jar->count--;
    free(c);
}

void ag_http_jar_free(ag_http_jar *jar) {
    if (!jar)
        return;
    while (jar->first)
        drop(jar, jar->first);
    free(jar);
}

size_t ag_http_jar_count(ag_http_jar *jar) {
    ag_mutex_lock(&jar->lock);
    size_t n = jar->count;
    ag_mutex_unlock(&jar->lock);
    return n;
}

/* ---- Dates ---------------------------------------------------------------------------------- */

static int64_t days_from_civil(int64_t y, int m, int d) {
    y -= m <= 2;
    int64_t era = y / 400, yoe = y - era * 400;
    int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

/* A number of up to `max` digits; what follows must be no digit. Returns: digits taken, or 0. */
static size_t take_number(ag__http_text s, size_t max, int *ret) {
    size_t i = 0;
    int n = 0;
    while (i < s.n && i < max && ag__http_is(s.p[i], AG__CH_DIGIT))
        n = n * 10 + (s.p[i++] - '0');
    if (i == 0 || (i < s.n && ag__http_is(s.p[i], AG__CH_DIGIT)))
        return 0;
    *ret = n;
    return i;
}

static bool take_clock(ag__http_text s, int *ret_seconds) {
    int part[3];
    for (int i = 0; i < 3; i++) {
        size_t n = take_number(s, 2, &part[i]);
        if (!n || (i < 2 && (n == s.n || s.p[n] != ':')))
            return false;
        s = (ag__http_text){s.p + n + (i < 2), s.n - n - (i < 2)};
    }
    *ret_seconds = part[0] * 3600 + part[1] * 60 + part[2];
    return part[0] < 24 && part[1] < 60 && part[2] < 60;
}

static int month_of(ag__http_text s) {
    static const char names[] = "janfebmaraprmayjunjulaugsepoctnovdec";
    for (int m = 0; s.n >= 3 && m < 12; m++) {
        int i = 0;
        while (i < 3 && ag__http_lower(s.p[i]) == names[3 * m + i])
            i++;
        if (i == 3)
            return m + 1;
    }
    return 0;
}

/* RFC 6265 5.1.1: tokens in any order. Returns: nanoseconds of ag_wall, or -1. */
static ag_time take_date(ag__http_text s) {
    int seconds = -1, day = 0, month = 0, year = -1, n;
    size_t i = 0;
    while (i < s.n) {
        size_t from = i;
        while (i < s.n && !strchr("\t ,;-/", s.p[i]))
            i++;
        ag__http_text t = {s.p + from, i - from};
        i++;
        if (!t.n)
            continue;
        if (seconds < 0 && memchr(t.p, ':', t.n) && take_clock(t, &n))
            seconds = n;
        else if (!day && take_number(t, 2, &n))
            day = n;
        else if (!month && month_of(t))
            month = month_of(t);
        else if (year < 0 && take_number(t, 4, &n))
            year = n < 70 ? n + 2000 : n < 100 ? n + 1900 : n;
    }
    if (seconds < 0 || day < 1 || day > 31 || !month || year < 1601)
        return -1;
    int64_t at = days_from_civil(year, month, day) * 86400 + seconds;
    return at < 0 ? 0 : at > INT64_MAX / AG_SEC ? INT64_MAX : at * AG_SEC;
}

/* ---- Matching ------------------------------------------------------------------------------- */

static bool same(ag__http_text a, ag__http_text b) {
    return a.n == b.n && memcmp(a.p, b.p, a.n) == 0;
}

static bool is_address(ag__http_text host) {
    if (host.p[0] == '[')
        return true;
    for (size_t i = 0; i < host.n; i++)
        if (!ag__http_is(host.p[i], AG__CH_DIGIT) && host.p[i] != '.')
            return false;
    return true;
}

static bool domain_matches(ag__http_text domain, ag__http_text host) {
    if (same(domain, host))
        return true;
    return host.n > domain.n && !is_address(host) && host.p[host.n - domain.n - 1] == '.' &&
           memcmp(host.p + host.n - domain.n, domain.p, domain.n) == 0;
}

static bool path_matches(ag__http_text path, ag__http_text asked) {
    if (asked.n < path.n || memcmp(path.p, asked.p, path.n) != 0)
        return false;
    return asked.n == path.n || path.p[path.n - 1] == '/' || asked.p[path.n] == '/';
}

static bool is_for(const cookie *c, const ag__url *u) {
    return (c->host_only ? same(c->domain, u->host) : domain_matches(c->domain, u->host)) &&
           path_matches(c->path, u->path) && (!c->secure || u->tls);
}

/* ---- Sending -------------------------------------------------------------------------------- */

/* Longer paths go first, then the older ones. */
static cookie *next_for(ag_http_jar *jar, const ag__url *u, const cookie *after) {
    cookie *best = NULL;
    bool passed = false; /* `after`, in the list */
    for (cookie *c = jar->first; c; c = c->next) {
        if (c == after) {
            passed = true;
            continue;
        }
        if (!is_for(c, u) ||
            (after && (c->path.n > after->path.n || (c->path.n == after->path.n && !passed))))
            continue;
        if (!best || c->path.n > best->path.n)
            best = c;
    }
    return best;
}

char *ag__jar_cookies(ag_http_jar *jar, const ag__url *u) {
    char *text = NULL;
    size_t size = 0, n = 0;
    ag_time now = ag_wall();
    ag_mutex_lock(&jar->lock);
    for (cookie *c = jar->first, *next; c; c = next) {
        next = c->next;
        if (c->expires <= now)
            drop(jar, c);
        else if (is_for(c, u))
            size += c->name.n + c->value.n + 3;
    }
    if (size)
        text = malloc(size + 1);
    for (cookie *c = NULL; text && (c = next_for(jar, u, c));) {
        memcpy(text + n, "; ", 2);
        n += n ? 2 : 0;
        memcpy(text + n, c->name.p, c->name.n);
        n += c->name.n;
        text[n++] = '=';
        memcpy(text + n, c->value.p, c->value.n);
        n += c->value.n;
    }
    if (text)
        text[n] = 0;
    ag_mutex_unlock(&jar->lock);
    return text;
}

/* ---- Taking --------------------------------------------------------------------------------- */

/* A Set-Cookie, taken apart. */
struct offer {
    ag__http_text name, value, domain, path;
    ag_time expires;
    bool secure, has_max_age, has_path;
};

static ag__http_text until(ag__http_text *s, char c) {
    const char *at = s->n ? memchr(s->p, c, s->n) : NULL;
    ag__http_text first = {s->p, at ? (size_t)(at - s->p) : s->n};
    size_t skip = at ? first.n + 1 : first.n;
    *s = (ag__http_text){s->p + skip, s->n - skip};
    return ag__http_trim(first);
}

static ag_time take_max_age(ag__http_text v, ag_time now) {
    int64_t n = 0;
    if (v.n && v.p[0] == '-')
        return 0;
    for (size_t i = 0; i < v.n; i++) {
        if (!ag__http_is(v.p[i], AG__CH_DIGIT))
            return -1;
        n = n > 400 * 86400 ? n : n * 10 + (v.p[i] - '0');
    }
    return !v.n ? -1 : n == 0 ? 0 : now + (n < 400 * 86400 ? n : 400 * 86400) * AG_SEC;
}

static void take_attribute(struct offer *o, ag__http_text attribute, ag_time now) {
    ag__http_text value = attribute, name = until(&value, '=');
    value = ag__http_trim(value);
    ag_time t;
    if (ag__http_same(name, "secure")) {
        o->secure = true;
    } else if (ag__http_same(name, "max-age") && (t = take_max_age(value, now)) >= 0) {
        o->expires = t;
        o->has_max_age = true;
    } else if (ag__http_same(name, "expires") && !o->has_max_age && (t = take_date(value)) >= 0) {
        o->expires = t;
    } else if (ag__http_same(name, "domain") && value.n) {
        bool dot = value.p[0] == '.';
        o->domain = (ag__http_text){value.p + dot, value.n - dot};
    } else if (ag__http_same(name, "path")) {
        o->has_path = value.n && value.p[0] == '/';
        o->path = value;
    }
}

static bool begins(ag__http_text s, const char *prefix) {
    size_t n = strlen(prefix);
    return s.n >= n && memcmp(s.p, prefix, n) == 0;
}

/* The directory of the path that was asked. */
static ag__http_text default_path(const ag__url *u) {
    size_t n = u->path.n;
    while (n > 1 && u->path.p[n - 1] != '/')
        n--;
    return (ag__http_text){u->path.p, n > 1 ? n - 1 : 1};
}

static char *put(char *at, ag__http_text s, bool lower, ag__http_text *ret) {
    *ret = (ag__http_text){at, s.n};
    for (size_t i = 0; i < s.n; i++)
        at[i] = lower ? ag__http_lower(s.p[i]) : s.p[i];
    return at + s.n;
}

static cookie *make(const struct offer *o, const ag__url *u) {
    ag__http_text domain = o->domain.n ? o->domain : u->host;
    ag__http_text path = o->has_path ? o->path : default_path(u);
    cookie *c = malloc(sizeof *c + o->name.n + o->value.n + domain.n + path.n);
    if (!c)
        return NULL;
    char *at = put(c->text, o->name, false, &c->name);
    at = put(at, o->value, false, &c->value);
    at = put(at, domain, true, &c->domain);
    put(at, path, false, &c->path);
    c->host_only = !o->domain.n;
    c->secure = o->secure;
    c->expires = o->expires;
    return c;
}

/* Whether this server may set it. */
static bool is_allowed(const cookie *c, const struct offer *o, const ag__url *u) {
    if (c->secure && !u->tls)
        return false;
    if (begins(c->name, "__Secure-") && !c->secure)
        return false;
    if (begins(c->name, "__Host-") &&
        (!c->secure || !c->host_only || !o->has_path || c->path.n != 1))
        return false;
    if (c->host_only)
        return true;
    if (!memchr(c->domain.p, '.', c->domain.n) || is_address(c->domain))
        return same(c->domain, u->host);
    return domain_matches(c->domain, u->host);
}

/* Puts it in place of the one with its name; NULL if that may not be. With the lock. */
static void keep(ag_http_jar *jar, cookie *c, const ag__url *u, ag_time now) {
    cookie *oldest = NULL;
    size_t of_domain = 0;
    for (cookie *o = jar->first, *next; o; o = next) {
        next = o->next;
        if (same(o->name, c->name) && o->secure && !u->tls && domain_matches(o->domain, u->host)) {
            free(c);
            return;
        }
        if (same(o->name, c->name) && same(o->domain, c->domain) && same(o->path, c->path) &&
            o->host_only == c->host_only) {
            drop(jar, o);
        } else if (same(o->domain, c->domain)) {
            oldest = oldest ? oldest : o;
            of_domain++;
        }
    }
    if (c->expires <= now) {
        free(c);
        return;
    }
    if (of_domain >= DOMAIN_COOKIES)
        drop(jar, oldest);
    else if (jar->count >= ALL_COOKIES)
        drop(jar, jar->first);
    c->prev = jar->last;
    c->next = NULL;
    *(jar->last ? &jar->last->next : &jar->first) = c;
    jar->last = c;
    jar->count++;
}

void ag__jar_take(ag_http_jar *jar, const ag__url *u, ag__http_text set_cookie) {
    struct offer o = {.expires = INT64_MAX};
    ag_time now = ag_wall();
    ag__http_text rest = set_cookie, pair = until(&rest, ';');
    if (!memchr(pair.p, '=', pair.n) || set_cookie.n > 2 * COOKIE_MAX)
        return;
    o.name = until(&pair, '=');
    o.value = ag__http_trim(pair);
    if (!o.name.n || o.name.n + o.value.n > COOKIE_MAX)
        return;
    while (rest.n)
        take_attribute(&o, until(&rest, ';'), now);
    cookie *c = make(&o, u);
    if (!c)
        return;
    if (!is_allowed(c, &o, u)) {
        free(c);
        return;
    }
    ag_mutex_lock(&jar->lock);
    keep(jar, c, u, now);
    ag_mutex_unlock(&jar->lock);
}
