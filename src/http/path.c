/* SPDX-License-Identifier: MIT */
/*
 * Percent-decoding, path cleaning, query look-up.
 *
 * Idea: a path is cleaned and routed while it is still escaped, so that %2F can be part of a
 * segment; only values are decoded, and each once. Cleaning needs no stack: the output is the
 * stack, ".." cuts it back to the slash before.
 *
 * Refused: decoding to NUL. The result is handed to C code, which would see a shorter string than
 * the one that was checked.
 */
#include "http/path.h"

#include <errno.h>

/* The byte that s.p[i] stands for, and how many bytes it takes: 3 for an escape, otherwise 1. */
static char decode_one(ag__http_text s, size_t i, enum ag__http_decode how, size_t *ret_step) {
    *ret_step = 1;
    if (s.p[i] == '+' && how == AG__DECODE_FORM)
        return ' ';
    if (s.p[i] != '%' || s.n - i < 3)
        return s.p[i];
    int high = ag__http_hex(s.p[i + 1]), low = ag__http_hex(s.p[i + 2]);
    if (high < 0 || low < 0)
        return s.p[i];
    *ret_step = 3;
    return (char)(high << 4 | low);
}

int64_t ag__http_decode(char *dst, ag__http_text s, enum ag__http_decode how) {
    size_t n = 0;
    for (size_t i = 0, step; i < s.n; i += step) {
        char c = decode_one(s, i, how, &step);
        if (!c || (step == 1 && s.p[i] == '%'))
            return -EINVAL;
        dst[n++] = c;
    }
    return (int64_t)n;
}

bool ag__http_decodes_to(ag__http_text s, enum ag__http_decode how, const char *plain, size_t n) {
    size_t k = 0;
    for (size_t i = 0, step; i < s.n; i += step, k++)
        if (k == n || decode_one(s, i, how, &step) != plain[k])
            return false;
    return k == n;
}

/* ---- Cleaning ------------------------------------------------------------------------------- */

/* 1 for ".", 2 for "..", otherwise 0. */
static int dots(ag__http_text segment) {
    int count = 0;
    if (segment.n == 0 || segment.n > 6 || (segment.p[0] != '.' && segment.p[0] != '%'))
        return 0;
    for (size_t i = 0, step; i < segment.n; i += step, count++)
        if (decode_one(segment, i, AG__DECODE_PATH, &step) != '.')
            return 0;
    return count <= 2 ? count : 0;
}

/* Takes the segment before the next '/' off `path`; `path` then starts with that slash or is empty.
 */
static ag__http_text take_segment(ag__http_text *path) {
    const char *slash = path->n ? memchr(path->p, '/', path->n) : NULL;
    ag__http_text segment = {path->p, slash ? (size_t)(slash - path->p) : path->n};
    path->p += segment.n;
    path->n -= segment.n;
    return segment;
}

bool ag__http_path_is_clean(ag__http_text path) {
    if (!path.n || path.p[0] != '/')
        return false;
    while (path.n) {
        path.p++;
        path.n--;
        bool last = !path.n;
        ag__http_text segment = take_segment(&path);
        if ((!segment.n && !last) || dots(segment))
            return false;
    }
    return true;
}

size_t ag__http_path_clean(char *dst, ag__http_text path) {
    size_t n = 0; /* dst[0..n) is clean and does not end with a slash */
    bool directory = true;
    while (path.n) {
        if (path.p[0] == '/') {
            path.p++;
            path.n--;
            directory = true;
            continue;
        }
        ag__http_text segment = take_segment(&path);
        int up = dots(segment);
        directory = up > 0;
        if (up == 2)
            while (n && dst[--n] != '/')
                continue;
        if (up)
            continue;
        dst[n++] = '/';
        memcpy(dst + n, segment.p, segment.n);
        n += segment.n;
    }
    if (directory)
        dst[n++] = '/';
    return n;
}

/* ---- Query ---------------------------------------------------------------------------------- */

bool ag__http_query_next(ag__http_text *query, ag__http_pair *ret_pair) {
    while (query->n) {
        const char *amp = memchr(query->p, '&', query->n);
        ag__http_text pair = {query->p, amp ? (size_t)(amp - query->p) : query->n};
        size_t taken = pair.n + (amp ? 1 : 0);
        query->p += taken;
        query->n -= taken;
        if (!pair.n)
            continue;
        const char *equal = memchr(pair.p, '=', pair.n);
        size_t key = equal ? (size_t)(equal - pair.p) : pair.n;
        ret_pair->key = (ag__http_text){pair.p, key};
        ret_pair->value =
            equal ? (ag__http_text){equal + 1, pair.n - key - 1} : (ag__http_text){pair.p + key, 0};
        return true;
    }
    return false;
}

bool ag__http_query_find(ag__http_text query, const char *key, ag__http_text *ret_value) {
    size_t n = strlen(key);
    ag__http_pair pair;
    while (ag__http_query_next(&query, &pair)) {
        if (!ag__http_decodes_to(pair.key, AG__DECODE_FORM, key, n))
            continue;
        *ret_value = pair.value;
        return true;
    }
    return false;
}
