/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: percent-decoding and queries (clang -fsanitize=fuzzer,address; seeds in
 * corpus/path). The input is a path and a query at the same time.
 *
 * Decoding is compared with a model that reads with strtol; in place it gives the same. What was
 * decoded, encoded again byte by byte, decodes to itself. The pairs of a query lie in it, in order,
 * and hold nothing that separates pairs; looking one up finds the first whose key is decoded to it.
 */
#include "http/path.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define MUST(cond) ((cond) ? (void)0 : broken(#cond, __LINE__))

static void broken(const char *what, int line) {
    fprintf(stderr, "fuzz_path.c:%d: does not hold: %s\n", line, what);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *copy_of(const void *data, size_t n) {
    char *copy = malloc(n ? n : 1);
    MUST(copy);
    memcpy(copy, data, n);
    return copy;
}

/* As decoding is defined. Returns: the length, or -EINVAL. */
static int64_t model_decode(char *dst, const char *s, size_t n, bool is_form) {
    int64_t out = 0;
    for (size_t i = 0; i < n; i++) {
        char c = s[i];
        if (c == '%') {
            char digits[3] = {i + 1 < n ? s[i + 1] : 0, i + 2 < n ? s[i + 2] : 0, 0}, *end;
            if (!isxdigit((unsigned char)digits[0]) || !isxdigit((unsigned char)digits[1]))
                return -EINVAL;
            c = (char)strtol(digits, &end, 16);
            MUST(*end == 0);
            i += 2;
        } else if (c == '+' && is_form) {
            c = ' ';
        }
        if (!c)
            return -EINVAL;
        dst[out++] = c;
    }
    return out;
}

static size_t encode(char *dst, const char *s, size_t n) {
    for (size_t i = 0; i < n; i++)
        snprintf(dst + 3 * i, 4, "%%%02x", (unsigned)(unsigned char)s[i]);
    return 3 * n;
}

static void check_decoding(const char *bytes, size_t n, enum ag__http_decode how) {
    char *exact = copy_of(bytes, n), *model = malloc(n + 1), *out = malloc(n ? n : 1);
    char *again = malloc(3 * n + 1);
    MUST(model && out && again);
    int64_t expected = model_decode(model, bytes, n, how == AG__DECODE_FORM);
    int64_t got = ag__http_decode(out, (ag__http_text){exact, n}, how);
    MUST(got == expected);
    if (got >= 0) {
        MUST(memcmp(out, model, (size_t)got) == 0);
        MUST(ag__http_decodes_to((ag__http_text){exact, n}, how, out, (size_t)got));
        MUST(!got || !ag__http_decodes_to((ag__http_text){exact, n}, how, out, (size_t)got - 1));
        size_t len = encode(again, out, (size_t)got);
        MUST(ag__http_decodes_to((ag__http_text){again, len}, how, out, (size_t)got));
        MUST(ag__http_decode(exact, (ag__http_text){exact, n}, how) == got);
        MUST(memcmp(exact, model, (size_t)got) == 0);
    }
    free(again);
    free(out);
    free(model);
    free(exact);
}

/* Whether looking up `pair`'s key finds a pair, no later one, with the same key. */
static void check_find(ag__http_text query, ag__http_pair pair) {
    char *key = malloc(pair.key.n + 1);
    MUST(key);
    int64_t n = ag__http_decode(key, pair.key, AG__DECODE_FORM);
    if (n >= 0) {
        ag__http_text value;
        key[n] = 0;
        MUST(ag__http_query_find(query, key, &value));
        MUST(value.p <= pair.value.p);
    }
    free(key);
}

static void check_query(const char *bytes, size_t n) {
    char *exact = copy_of(bytes, n);
    const char *at = exact;
    const ag__http_text all = {exact, n};
    ag__http_text rest = all;
    ag__http_pair pair;
    for (int count = 0; ag__http_query_next(&rest, &pair); count++) {
        const char *end = pair.value.p + pair.value.n;
        MUST(pair.key.p >= at && end <= exact + n && rest.p + rest.n == exact + n);
        for (; at < pair.key.p; at++)
            MUST(*at == '&');
        MUST(end > at);
        MUST(!pair.key.n || !memchr(pair.key.p, '=', pair.key.n));
        MUST(!memchr(pair.key.p, '&', (size_t)(end - pair.key.p)));
        MUST(end == exact + n || *end == '&');
        if (count < 20)
            check_find(all, pair);
        at = end;
    }
    for (; at < exact + n; at++)
        MUST(*at == '&');
    free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check_decoding((const char *)data, size, AG__DECODE_PATH);
    check_decoding((const char *)data, size, AG__DECODE_FORM);
    check_query((const char *)data, size);
    return 0;
}
