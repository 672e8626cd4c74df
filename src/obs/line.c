/* SPDX-License-Identifier: MIT */
/*
 * line.c - a log line as text or JSON, in a buffer of the caller's stack.
 *
 * Text is what log/slog's TextHandler writes: name=value, in quotes where a value is empty or has a
 * space, a quote, `=` or what is not printable; escapes are Go's. JSON is RFC 8259. Numbers that
 * JSON has not, NaN and the infinities, are texts there.
 */
#include "obs/log.h"
#include <stdio.h>
#include <string.h>

enum { RESERVE = 32, CONTEXT_FIELDS = 16 };

/* --- Pieces. --- */

/* All of it or nothing. */
static bool put(ag__line *l, const char *s, size_t n) {
    if (l->cut || l->n + n > l->max - l->reserve) {
        l->cut = true;
        return false;
    }
    memcpy(l->at + l->n, s, n);
    l->n += n;
    return true;
}

static void put_str(ag__line *l, const char *s) {
    put(l, s, strlen(s));
}

/* One character, of len bytes of UTF-8, or one byte that is none (len 0). */
static bool put_escaped(ag__line *l, const char *s, size_t len) {
    char buf[8];
    unsigned char c = (unsigned char)*s;
    if (len == 0) {
        if (l->json)
            return put(l, "\xef\xbf\xbd", 3);
        return put(l, buf, (size_t)snprintf(buf, sizeof buf, "\\x%02x", c));
    }
    const char *known = "\n\r\t\"\\", *as = "nrt\"\\", *at = c ? strchr(known, c) : NULL;
    if (at) {
        buf[0] = '\\';
        buf[1] = as[at - known];
        return put(l, buf, 2);
    }
    if (c < 0x20 || c == 0x7f)
        return put(l, buf, (size_t)snprintf(buf, sizeof buf, l->json ? "\\u%04x" : "\\x%02x", c));
    return put(l, s, len);
}

static bool needs_quotes(const char *s, size_t n) {
    for (size_t i = 0, len; i < n; i += len) {
        unsigned char c = (unsigned char)s[i];
        len = ag__utf8_len(s + i, n - i);
        if (len == 0 || c <= ' ' || c == 0x7f || c == '"' || c == '=' || c == '\\')
            return true;
    }
    return n == 0;
}

/* What does not fit of it is left out; the quotes are closed in any case. */
static void put_text(ag__line *l, const char *s, size_t n) {
    bool quotes = l->json || needs_quotes(s, n);
    if (quotes && !put(l, "\"", 1))
        return;
    for (size_t i = 0, len; i < n; i += len ? len : 1) {
        len = ag__utf8_len(s + i, n - i);
        if (!(quotes ? put_escaped(l, s + i, len) : put(l, s + i, len)))
            break;
    }
    if (quotes)
        l->at[l->n++] = '"'; /* of the reserve, at worst */
}

/* The name of a field and what stands before its value. False: no room, nothing was written. */
static bool put_name(ag__line *l, const char *name) {
    size_t before = l->n;
    if (l->json ? l->n > 1 : l->n > 0)
        put(l, l->json ? "," : " ", 1);
    put_text(l, name ? name : "", name ? strlen(name) : 0);
    put(l, l->json ? ":" : "=", 1);
    if (l->cut)
        l->n = before;
    return !l->cut;
}

/* A value without any character that must be escaped. */
static void put_plain(ag__line *l, const char *name, const char *value, bool is_text) {
    size_t before = l->n;
    if (!put_name(l, name))
        return;
    const char *quote = is_text && l->json ? "\"" : "";
    put_str(l, quote);
    put_str(l, value);
    put_str(l, quote);
    if (l->cut)
        l->n = before;
}

static void put_field_text(ag__line *l, const char *name, const char *s, size_t n) {
    size_t before = l->n;
    if (!put_name(l, name))
        return;
    size_t value = l->n;
    put_text(l, s, n);
    if (l->n == value)
        l->n = before;
}

static void put_field_str(ag__line *l, const char *name, const char *s) {
    put_field_text(l, name, s, strlen(s));
}

static void put_integer(ag__line *l, const char *name, int64_t v) {
    char buf[24];
    snprintf(buf, sizeof buf, "%lld", (long long)v);
    put_plain(l, name, buf, false);
}

static void put_real(ag__line *l, const char *name, double v) {
    char buf[AG__NUMBER_BYTES];
    put_plain(l, name, ag__number_text(buf, v), v != v || __builtin_isinf(v));
}

static void put_field(ag__line *l, const ag_field *f) {
    char buf[128];
    switch (f->ag__kind) {
    case AG__FIELD_TEXT:
        if (!f->ag__at)
            put_plain(l, f->name, "null", false);
        else
            put_field_text(l, f->name, f->ag__at,
                           f->ag__size == (size_t)-1 ? strlen(f->ag__at) : f->ag__size);
        break;
    case AG__FIELD_INT:
        put_integer(l, f->name, f->ag__word);
        break;
    case AG__FIELD_UINT:
        snprintf(buf, sizeof buf, "%llu", (unsigned long long)f->ag__word);
        put_plain(l, f->name, buf, false);
        break;
    case AG__FIELD_REAL:
        put_real(l, f->name, f->ag__real);
        break;
    case AG__FIELD_BOOL:
        put_plain(l, f->name, f->ag__word ? "true" : "false", false);
        break;
    case AG__FIELD_POINTER:
        snprintf(buf, sizeof buf, "0x%llx", (unsigned long long)(uintptr_t)f->ag__at);
        put_plain(l, f->name, buf, true);
        break;
    case AG__FIELD_NS:
        put_real(l, f->name, (double)f->ag__word / 1e9);
        break;
    case AG__FIELD_ERROR:
        put_field_str(
            l, f->name,
            strerror_r((int)(f->ag__word < 0 ? -f->ag__word : f->ag__word), buf, sizeof buf));
        break;
    default:
        break;
    }
}

/* --- What every line has. --- */

/* RFC 3339, UTC. Days to a date: http://howardhinnant.github.io/date_algorithms.html,
 * civil_from_days.
 */
static void put_time(ag__line *l, int64_t wall) {
    int64_t seconds = wall / AG_SEC, days = seconds / 86400, rest = seconds % 86400;
    int64_t z = days + 719468, era = z / 146097, doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    int64_t day = doy - (153 * mp + 2) / 5 + 1, month = mp < 10 ? mp + 3 : mp - 9;
    int64_t year = yoe + era * 400 + (month <= 2);
    char buf[64];
    snprintf(buf, sizeof buf, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", (int)year, (int)month,
             (int)day, (int)(rest / 3600), (int)(rest / 60 % 60), (int)(rest % 60),
             (int)(wall % AG_SEC / 1000));
    put_plain(l, "time", buf, true);
}

static const struct {
    int level;
    const char *name;
} levels[AG__LEVELS] = {
    {AG_LOG_DEBUG, "DEBUG"}, {AG_LOG_INFO, "INFO"}, {AG_LOG_WARN, "WARN"}, {AG_LOG_ERROR, "ERROR"}};

int ag__level_of(int level) {
    int i = AG__LEVELS - 1;
    while (i > 0 && level < levels[i].level)
        i--;
    return i;
}

/* As log/slog writes those between: INFO+1. */
static void put_level(ag__line *l, int level) {
    char buf[32];
    int i = ag__level_of(level);
    if (level == levels[i].level)
        snprintf(buf, sizeof buf, "%s", levels[i].name);
    else
        snprintf(buf, sizeof buf, "%s%+d", levels[i].name, level - levels[i].level);
    put_plain(l, "level", buf, true);
}

/* The file and the folder it is in: enough to find it. */
static void put_source(ag__line *l, const char *file, int line) {
    const char *from = file;
    char buf[160];
    int slashes = 0;
    for (const char *p = file + strlen(file); p > file && slashes < 2; p--)
        if (p[-1] == '/' && ++slashes == 2)
            from = p;
    snprintf(buf, sizeof buf, "%.120s:%d", from, line);
    put_field_str(l, "source", buf);
}

static void put_context(ag__line *l) {
    const ag__m *m = ag__m_now();
    const ag__g *g = m->g; /* NULL: a thread that was never here */
    if (!g)
        return;
    if (!m->foreign)
        put_integer(l, "goroutine", g->id);
    if (!g->bound)
        return;
    const char *request = ag_ctx_value(g->ctx, &ag_request_id);
    if (request)
        put_field_str(l, "request_id", request);
    const char *principal = ag_ctx_value(g->ctx, &ag_principal);
    if (principal)
        put_field_str(l, "principal", principal);
    const char *const *pairs = ag_ctx_value(g->ctx, &ag_log_fields);
    for (int i = 0; pairs && i < CONTEXT_FIELDS && pairs[0] && pairs[1]; i++, pairs += 2)
        put_field_str(l, pairs[0], pairs[1]);
}

size_t ag__line_make(char *buf, bool json, int level, const char *file, int source_line,
                     const char *text, const ag_field *fields, int n) {
    ag__line l = {.at = buf, .max = AG__LINE_BYTES, .reserve = RESERVE, .json = json};
    if (json)
        put_str(&l, "{");
    put_time(&l, ag__os_wall());
    put_level(&l, level);
    if (file)
        put_source(&l, file, source_line);
    put_field_str(&l, "msg", text ? text : "");
    put_context(&l);
    for (int i = 0; i < n && i < AG__LINE_FIELDS; i++)
        put_field(&l, &fields[i]);
    bool cut = l.cut;
    l.cut = false;
    l.reserve = 3;
    if (cut)
        put_plain(&l, "truncated", "true", false);
    put_str(&l, json ? "}\n" : "\n");
    return l.n;
}
