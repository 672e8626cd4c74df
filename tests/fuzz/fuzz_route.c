/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: patterns, router, path cleaning (clang -fsanitize=fuzzer,address; seeds in
 * corpus/route). Input: one pattern a line, an empty line, then one request a line: "METHOD /path"
 * or "METHOD host/path".
 *
 * Each look-up is compared with a model that knows no tree: it tries every pattern on its own, and
 * of those that match it takes the best by host, then by the first segment that differs, then by
 * method. Redirects must lead to a clean path that is not redirected again.
 */
#include "http/path.h"
#include "http/route.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { PATTERNS = 24, SCRATCH = 4096 };

#define MUST(cond) ((cond) ? (void)0 : broken(#cond, __LINE__))

static void broken(const char *what, int line) {
    fprintf(stderr, "fuzz_route.c:%d: does not hold: %s\n", line, what);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- The model ------------------------------------------------------------------------------ */

struct model {
    ag__http_pattern *patterns[PATTERNS];
    int count;
};

/* True if the segments of `p` match the path; then with its values. */
static bool path_matches(const ag__http_pattern *p, ag__http_text path,
                         ag__http_text ret_values[AG__WILDCARDS_MAX]) {
    uint32_t values = 0;
    for (uint32_t i = 0; i < p->segment_count; i++) {
        const ag__http_segment *s = &p->segments[i];
        if (!path.n)
            return false;
        ag__http_text rest = {path.p + 1, path.n - 1};
        if (s->kind == AG__SEGMENT_END)
            return !rest.n;
        if (s->kind == AG__SEGMENT_REST) {
            if (s->n)
                ret_values[values] = rest;
            return true;
        }
        size_t n = 0;
        while (n < rest.n && rest.p[n] != '/')
            n++;
        ag__http_text segment = {rest.p, n};
        if (!n)
            return false;
        char decoded[SCRATCH];
        int64_t len = n <= sizeof decoded ? ag__http_decode(decoded, segment, AG__DECODE_PATH) : -1;
        if (s->kind == AG__SEGMENT_ONE)
            ret_values[values++] = segment;
        else if (len >= 0 ? (size_t)len != s->n || memcmp(decoded, s->text, s->n) != 0
                          : n != s->n || memcmp(segment.p, s->text, n) != 0)
            return false;
        path = (ag__http_text){rest.p + n, rest.n - n};
    }
    return !path.n;
}

static bool method_matches(const ag__http_pattern *p, ag__http_text method) {
    if (!*p->method)
        return true;
    if (method.n == 4 && memcmp(method.p, "HEAD", 4) == 0 && strcmp(p->method, "GET") == 0)
        return true;
    return strlen(p->method) == method.n && memcmp(p->method, method.p, method.n) == 0;
}

/* END is as good as a literal: only a REST can match where it does. */
static int rank(const ag__http_segment *s) {
    return s->kind == AG__SEGMENT_REST ? 2 : s->kind == AG__SEGMENT_ONE ? 1 : 0;
}

/* True if `a` is the better of two patterns that match the same request. */
static bool better(const ag__http_pattern *a, const ag__http_pattern *b) {
    if (!*a->host != !*b->host)
        return *a->host != 0;
    for (uint32_t i = 0; i < a->segment_count && i < b->segment_count; i++)
        if (rank(&a->segments[i]) != rank(&b->segments[i]))
            return rank(&a->segments[i]) < rank(&b->segments[i]);
    if (!*a->method != !*b->method)
        return *a->method != 0;
    return strcmp(a->method, "HEAD") == 0;
}

static bool host_matches(const ag__http_pattern *p, ag__http_text host) {
    return !*p->host || ag__http_same(host, p->host);
}

static const ag__http_pattern *model_find(const struct model *m, ag__http_text method,
                                          ag__http_text host, ag__http_text path,
                                          ag__http_text ret_values[AG__WILDCARDS_MAX]) {
    const ag__http_pattern *best = NULL;
    for (int i = 0; i < m->count; i++) {
        const ag__http_pattern *p = m->patterns[i];
        if (host_matches(p, host) && method_matches(p, method) &&
            path_matches(p, path, ret_values) && (!best || better(p, best)))
            best = p;
    }
    if (best)
        path_matches(best, path, ret_values);
    return best;
}

/* True if some other method would be served at this path. */
static bool model_other_method(const struct model *m, ag__http_text host, ag__http_text path) {
    ag__http_text values[AG__WILDCARDS_MAX];
    for (int i = 0; i < m->count; i++)
        if (*m->patterns[i]->method && host_matches(m->patterns[i], host) &&
            path_matches(m->patterns[i], path, values))
            return true;
    return false;
}

/* ---- One request ---------------------------------------------------------------------------- */

static void check_cleaning(ag__http_text path) {
    char *dst = malloc(path.n + 1);
    MUST(dst);
    size_t n = ag__http_path_clean(dst, path);
    MUST(n >= 1 && n <= path.n + 1 && dst[0] == '/');
    MUST(ag__http_path_is_clean((ag__http_text){dst, n}));
    bool same = n == path.n && memcmp(dst, path.p, n) == 0;
    MUST(same == ag__http_path_is_clean(path));
    free(dst);
}

static void check_allow(const ag__http_router *r, ag__http_text host, ag__http_text path,
                        bool some) {
    char scratch[SCRATCH], list[SCRATCH];
    int64_t n = ag__http_router_allow(r, host, path, scratch, sizeof scratch, list, sizeof list);
    MUST(n >= 0 && (n > 0) == some);
    ag__http_text rest = {n ? list : NULL, (size_t)n}, method, last = {NULL, 0};
    while (ag__http_next_element(&rest, &method)) {
        size_t common = method.n < last.n ? method.n : last.n;
        int order = common ? memcmp(last.p, method.p, common) : -1;
        MUST(!last.p || order < 0 || (order == 0 && last.n < method.n));
        last = method;
    }
}

static void check_found(const struct model *model, ag__http_text method, ag__http_text host,
                        ag__http_text path, const ag__http_match *m) {
    ag__http_text values[AG__WILDCARDS_MAX];
    const ag__http_pattern *expected = model_find(model, method, host, path, values);
    MUST(expected && m->handler == expected);
    MUST(m->value_count == expected->wildcard_count);
    for (uint32_t i = 0; i < m->value_count; i++)
        MUST(m->values[i].p == values[i].p && m->values[i].n == values[i].n);
}

static void check_request(const ag__http_router *r, const struct model *model, ag__http_text method,
                          ag__http_text host, ag__http_text path) {
    char scratch[SCRATCH], again[SCRATCH];
    ag__http_text values[AG__WILDCARDS_MAX];
    ag__http_match m, next;
    if (path.n + 3 > SCRATCH)
        return;
    check_cleaning(path);
    int result = ag__http_route(r, method, host, path, scratch, path.n + 2, &m);
    MUST(path.n + 1 <= 1 ? result == AG__ROUTE_NOT_FOUND : result >= 0);
    if (result == AG__ROUTE_REDIRECT) {
        MUST(ag__http_path_is_clean(m.location));
        MUST(m.location.n != path.n || memcmp(m.location.p, path.p, path.n) != 0);
        MUST(ag__http_route(r, method, host, m.location, again, sizeof again, &next) !=
             AG__ROUTE_REDIRECT);
        return;
    }
    if (!path.n)
        return;
    MUST(ag__http_path_is_clean(path));
    if (result == AG__ROUTE_FOUND) {
        check_found(model, method, host, path, &m);
        return;
    }
    memcpy(again, path.p, path.n);
    again[path.n] = '/';
    ag__http_text slashed = {again, path.n + (path.p[path.n - 1] != '/')};
    bool other = model_other_method(model, host, path) || model_other_method(model, host, slashed);
    MUST(!model_find(model, method, host, path, values));
    MUST((result == AG__ROUTE_BAD_METHOD) == other);
    check_allow(r, host, path, other);
}

/* ---- The input ------------------------------------------------------------------------------ */

static ag__http_text take_line(ag__http_text *rest) {
    const char *lf = rest->n ? memchr(rest->p, '\n', rest->n) : NULL;
    ag__http_text line = {rest->p, lf ? (size_t)(lf - rest->p) : rest->n};
    size_t taken = line.n + (lf ? 1 : 0);
    rest->p += taken;
    rest->n -= taken;
    return line;
}

static void take_pattern(ag__http_router *r, struct model *m, ag__http_text line) {
    char source[AG__PATTERN_MAX + 100], message[AG__MESSAGE_MAX];
    if (line.n >= sizeof source || m->count == PATTERNS)
        return;
    memcpy(source, line.p, line.n);
    source[line.n] = 0;
    ag__http_pattern *p = NULL;
    if (ag__http_pattern_parse(source, &p, message)) {
        MUST(!p && ag__http_router_add(r, source, r) == -EINVAL);
        return;
    }
    bool conflict = false;
    for (int i = 0; i < m->count; i++) {
        bool here = ag__http_pattern_conflict(p, m->patterns[i], message);
        MUST(here == ag__http_pattern_conflict(m->patterns[i], p, message));
        conflict = conflict || here;
    }
    int added = ag__http_router_add(r, source, p);
    MUST(added == (conflict ? -EEXIST : 0));
    if (conflict)
        free(p);
    else
        m->patterns[m->count++] = p;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct model model = {.count = 0};
    ag__http_router *r = ag__http_router_new(PATTERNS);
    char *copy = malloc(size ? size : 1);
    MUST(r && copy);
    memcpy(copy, data, size);
    ag__http_text rest = {copy, size}, line;
    while (rest.n && (line = take_line(&rest)).n)
        take_pattern(r, &model, line);
    while (rest.n) {
        line = take_line(&rest);
        const char *space = line.n ? memchr(line.p, ' ', line.n) : NULL;
        if (!space)
            continue;
        ag__http_text method = {line.p, (size_t)(space - line.p)};
        ag__http_text target = {space + 1, line.n - method.n - 1};
        const char *slash = target.n ? memchr(target.p, '/', target.n) : NULL;
        size_t host_len = slash ? (size_t)(slash - target.p) : target.n;
        check_request(r, &model, method, (ag__http_text){target.p, host_len},
                      (ag__http_text){target.p + host_len, target.n - host_len});
    }
    for (int i = 0; i < model.count; i++)
        free(model.patterns[i]);
    ag__http_router_free(r);
    free(copy);
    return 0;
}
