/* SPDX-License-Identifier: MIT */
/*
 * Route patterns: reading and comparing them.
 *
 * Idea: a pattern stands for a set of requests. Comparing two yields two bits - the first matches
 * something that the second does not, and the other way round - or "nothing in common". Method and
 * each pair of segments are compared on their own; the bits of the parts are or-ed. No bit: the
 * same set. One bit: one is more specific. Both bits: neither is, a conflict.
 *
 * Patterns are compared in pairs, each new one with all that are there: a table of a thousand
 * routes takes half a million comparisons of some ten nanoseconds, once.
 */
#include "http/pattern.h"
#include "http/path.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- Reading -------------------------------------------------------------------------------- */

/* Constant but for `rest` and `room`, which move forward. */
struct reader {
    ag__http_pattern *pattern;
    const char *rest; /* what is still to be read */
    char *room;       /* where the next text goes */
    char *message;
};

__attribute__((format(printf, 2, 3))) static int invalid(const struct reader *r, const char *fmt,
                                                         ...) {
    char why[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(why, sizeof why, fmt, args);
    va_end(args);
    snprintf(r->message, AG__MESSAGE_MAX, "invalid pattern \"%s\" at offset %zu: %s",
             r->pattern->source, (size_t)(r->rest - r->pattern->source), why);
    return -EINVAL;
}

/* Copies text behind the others and ends it. */
static const char *keep(struct reader *r, const char *p, size_t n) {
    char *text = r->room;
    memcpy(text, p, n);
    text[n] = 0;
    r->room += n + 1;
    return text;
}

static int read_method(struct reader *r) {
    size_t n = strcspn(r->rest, " \t");
    if (!r->rest[n]) {
        r->pattern->method = keep(r, "", 0);
        return 0;
    }
    for (size_t i = 0; i < n; i++)
        if (!ag__http_is(r->rest[i], AG__CH_TOKEN))
            return invalid(r, "the method is not a token");
    if (!n)
        return invalid(r, "there is a space but no method before it");
    r->pattern->method = keep(r, r->rest, n);
    r->rest += n;
    r->rest += strspn(r->rest, " \t");
    return 0;
}

static int read_host(struct reader *r) {
    size_t n = strcspn(r->rest, "/");
    if (!r->rest[n])
        return invalid(r, "there is no path, which starts with /");
    bool brackets = n > 2 && r->rest[0] == '[' && r->rest[n - 1] == ']';
    for (size_t i = 0; !brackets && i < n; i++) {
        if (r->rest[i] == '{')
            return invalid(r, "a wildcard in the host; is the first / missing?");
        if (!ag__http_is(r->rest[i], AG__CH_HOST))
            return invalid(r, "the host contains '%c'; a port is not part of it", r->rest[i]);
    }
    char *host = r->room;
    r->pattern->host = keep(r, r->rest, n);
    for (size_t i = 0; i < n; i++)
        host[i] = ag__http_lower(host[i]);
    r->rest += n;
    return 0;
}

static bool is_identifier(ag__http_text s) {
    for (size_t i = 0; i < s.n; i++) {
        char c = ag__http_lower(s.p[i]);
        if (!(c >= 'a' && c <= 'z') && c != '_' && (i == 0 || !ag__http_is(c, AG__CH_DIGIT)))
            return false;
    }
    return s.n > 0;
}

/* `s` is what stands between the braces; `last` if no segment follows. */
static int read_wildcard(struct reader *r, ag__http_text s, bool last) {
    ag__http_pattern *p = r->pattern;
    ag__http_segment *segment = &p->segments[p->segment_count];
    segment->kind = AG__SEGMENT_ONE;
    if (s.n == 1 && s.p[0] == '$') {
        segment->kind = AG__SEGMENT_END;
        segment->text = keep(r, "", 0);
        p->segment_count++;
        return last ? 0 : invalid(r, "{$} is not at the end");
    }
    if (s.n >= 3 && memcmp(s.p + s.n - 3, "...", 3) == 0) {
        segment->kind = AG__SEGMENT_REST;
        s.n -= 3;
        if (!last)
            return invalid(r, "{...} is not at the end");
    }
    if (!is_identifier(s))
        return invalid(r, "\"%.*s\" is not a name for a wildcard", (int)s.n, s.p);
    for (uint32_t i = 0; i < p->segment_count; i++) {
        const ag__http_segment *other = &p->segments[i];
        if (other->kind != AG__SEGMENT_LITERAL && other->n == s.n &&
            memcmp(other->text, s.p, s.n) == 0)
            return invalid(r, "two wildcards have the name \"%s\"", other->text);
    }
    if (++p->wildcard_count > AG__WILDCARDS_MAX)
        return invalid(r, "more than %d wildcards", AG__WILDCARDS_MAX);
    segment->text = keep(r, s.p, s.n);
    segment->n = (uint32_t)s.n;
    p->segment_count++;
    return 0;
}

static int read_literal(struct reader *r, ag__http_text s) {
    char *text = r->room;
    int64_t n = ag__http_decode(text, s, AG__DECODE_PATH);
    if (n < 0)
        return invalid(r, "\"%.*s\" contains a malformed escape", (int)s.n, s.p);
    if (n > AG__SEGMENT_MAX)
        return invalid(r, "a segment is longer than %d bytes", AG__SEGMENT_MAX);
    text[n] = 0;
    r->room += n + 1;
    r->pattern->segments[r->pattern->segment_count++] =
        (ag__http_segment){text, (uint32_t)n, AG__SEGMENT_LITERAL};
    return 0;
}

/* One segment; r->rest starts with its slash. */
static int read_segment(struct reader *r) {
    ag__http_pattern *p = r->pattern;
    r->rest++;
    if (!*r->rest) {
        p->segments[p->segment_count++] = (ag__http_segment){keep(r, "", 0), 0, AG__SEGMENT_REST};
        return 0;
    }
    ag__http_text s = {r->rest, strcspn(r->rest, "/")};
    const char *brace = memchr(s.p, '{', s.n);
    int bad = 0;
    if (!brace)
        bad = read_literal(r, s);
    else if (brace != s.p || s.p[s.n - 1] != '}')
        bad = invalid(r, "a wildcard must be a whole segment: {name}");
    else
        bad = read_wildcard(r, (ag__http_text){s.p + 1, s.n - 2}, !s.p[s.n]);
    r->rest += s.n;
    return bad;
}

static int read_all(struct reader *r) {
    int bad = read_method(r);
    if (!bad)
        bad = read_host(r);
    if (!bad && !ag__http_path_is_clean((ag__http_text){r->rest, strlen(r->rest)}))
        bad = invalid(r, "the path is not clean, so no request can match it");
    while (!bad && *r->rest)
        bad = read_segment(r);
    return bad;
}

int ag__http_pattern_parse(const char *source, ag__http_pattern **ret_pattern,
                           char ret_message[AG__MESSAGE_MAX]) {
    size_t n = strnlen(source, AG__PATTERN_MAX + 1), slashes = 0;
    for (size_t i = 0; i < n; i++)
        slashes += source[i] == '/';
    if (n > AG__PATTERN_MAX || slashes > AG__SEGMENTS_MAX) {
        snprintf(ret_message, AG__MESSAGE_MAX,
                 "pattern is longer than %d bytes or %d segments: \"%.40s…\"", AG__PATTERN_MAX,
                 AG__SEGMENTS_MAX, source);
        return -EINVAL;
    }
    /* The source, and its parts: each is shorter than in the source and ended by a NUL; method,
       host and segments are at most slashes + 2. */
    size_t segments = slashes * sizeof(ag__http_segment), texts = 2 * (n + 1) + slashes + 2;
    ag__http_pattern *p = calloc(1, sizeof *p + segments + texts);
    if (!p) {
        snprintf(ret_message, AG__MESSAGE_MAX, "no memory for \"%s\"", source);
        return -ENOMEM;
    }
    struct reader r = {p, NULL, (char *)(p->segments + slashes), ret_message};
    p->source = r.rest = keep(&r, source, n);
    int bad = read_all(&r);
    if (bad)
        free(p);
    else
        *ret_pattern = p;
    return bad;
}

/* ---- Comparing ------------------------------------------------------------------------------ */

enum { SAME = 0, FIRST_HAS_MORE = 1, SECOND_HAS_MORE = 2, DISJOINT = 4 };

static int compare_methods(const char *a, const char *b) {
    if (strcmp(a, b) == 0)
        return SAME;
    if (!*a || (strcmp(a, "GET") == 0 && strcmp(b, "HEAD") == 0))
        return FIRST_HAS_MORE;
    if (!*b || (strcmp(b, "GET") == 0 && strcmp(a, "HEAD") == 0))
        return SECOND_HAS_MORE;
    return DISJOINT;
}

static int compare_segments(const ag__http_segment *a, const ag__http_segment *b) {
    if (a->kind == AG__SEGMENT_REST || b->kind == AG__SEGMENT_REST) {
        if (a->kind == b->kind)
            return SAME;
        return a->kind == AG__SEGMENT_REST ? FIRST_HAS_MORE : SECOND_HAS_MORE;
    }
    if (a->kind == AG__SEGMENT_END || b->kind == AG__SEGMENT_END)
        return a->kind == b->kind ? SAME : DISJOINT;
    if (a->kind != b->kind)
        return a->kind == AG__SEGMENT_ONE ? FIRST_HAS_MORE : SECOND_HAS_MORE;
    if (a->kind == AG__SEGMENT_ONE)
        return SAME;
    return a->n == b->n && memcmp(a->text, b->text, a->n) == 0 ? SAME : DISJOINT;
}

static const ag__http_segment *last_of(const ag__http_pattern *p) {
    return &p->segments[p->segment_count - 1];
}

static int compare_paths(const ag__http_pattern *a, const ag__http_pattern *b) {
    uint32_t common = a->segment_count < b->segment_count ? a->segment_count : b->segment_count;
    int result = SAME;
    for (uint32_t i = 0; i < common && !(result & DISJOINT); i++)
        result |= compare_segments(&a->segments[i], &b->segments[i]);
    /* The longer one can only be reached through the {...} of the shorter one. */
    if (a->segment_count < b->segment_count)
        result |= last_of(a)->kind == AG__SEGMENT_REST ? FIRST_HAS_MORE : DISJOINT;
    if (a->segment_count > b->segment_count)
        result |= last_of(b)->kind == AG__SEGMENT_REST ? SECOND_HAS_MORE : DISJOINT;
    return result & DISJOINT ? DISJOINT : result;
}

/* A path that both match, where there is one: the narrower segment of each pair. */
static void common_path(const ag__http_pattern *a, const ag__http_pattern *b,
                        char ret_path[AG__PATTERN_MAX]) {
    const ag__http_pattern *longer = a->segment_count >= b->segment_count ? a : b;
    const ag__http_pattern *shorter = longer == a ? b : a;
    size_t n = 0;
    for (uint32_t i = 0; i < longer->segment_count; i++) {
        const ag__http_segment *s = &longer->segments[i];
        if (i < shorter->segment_count &&
            (s->kind == AG__SEGMENT_REST ||
             (s->kind == AG__SEGMENT_ONE && shorter->segments[i].kind != AG__SEGMENT_REST)))
            s = &shorter->segments[i];
        bool named = s->kind == AG__SEGMENT_LITERAL || s->kind == AG__SEGMENT_ONE;
        if (n < AG__PATTERN_MAX)
            n += (size_t)snprintf(ret_path + n, AG__PATTERN_MAX - n, "/%s", named ? s->text : "");
    }
}

bool ag__http_pattern_conflict(const ag__http_pattern *a, const ag__http_pattern *b,
                               char ret_message[AG__MESSAGE_MAX]) {
    if (strcmp(a->host, b->host) != 0)
        return false;
    int methods = compare_methods(a->method, b->method);
    if (methods == DISJOINT)
        return false;
    int paths = compare_paths(a, b), both = methods | paths;
    if (paths == DISJOINT || both == FIRST_HAS_MORE || both == SECOND_HAS_MORE)
        return false;

    char path[AG__PATTERN_MAX];
    common_path(a, b, path);
    const char *why = "neither is more specific";
    if (both == SAME)
        why = "they match the same requests";
    else if (methods == FIRST_HAS_MORE && paths == SECOND_HAS_MORE)
        why = "the first matches more methods, but fewer paths";
    else if (methods == SECOND_HAS_MORE && paths == FIRST_HAS_MORE)
        why = "the first matches fewer methods, but more paths";
    snprintf(ret_message, AG__MESSAGE_MAX,
             "pattern \"%s\" is in conflict with \"%s\": both match %s, and %s", a->source,
             b->source, path, why);
    return true;
}
