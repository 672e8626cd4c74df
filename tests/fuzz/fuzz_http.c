/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: the request head parser (clang -fsanitize=fuzzer,address; seeds in corpus/http).
 *
 * Whatever the bytes are: the verdict does not depend on the steps in which they come nor on where
 * the buffer lies, nothing outside the buffer is read or named by a slice, the results agree with
 * each other, and a head that is accepted reads the same after it was written out again.
 */
#include "http/parse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { FIELDS = 20, LINE_MAX = 200, HEAD_MAX = 600, WRITTEN_MAX = 4096 };

#define MUST(cond) ((cond) ? (void)0 : broken(#cond, __LINE__))

static void broken(const char *what, int line) {
    fprintf(stderr, "fuzz_http.c:%d: does not hold: %s\n", line, what);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A copy of exactly that size, so that the sanitizer sees every step outside. */
static char *copy_of(const void *data, size_t n) {
    char *copy = malloc(n ? n : 1);
    MUST(copy);
    memcpy(copy, data, n);
    return copy;
}

/* The verdict when the bytes come in steps; the buffer moves each time. */
static int in_steps(ag__http_head *h, const char *bytes, size_t n, size_t step) {
    int got = -EAGAIN;
    for (size_t have = 0; got == -EAGAIN; have = n - have < step ? n : have + step) {
        char *copy = copy_of(bytes, have);
        got = ag__http_parse(h, copy, have);
        free(copy);
        if (have == n)
            break;
    }
    return got;
}

static void check_slice(ag__http_slice s, size_t end) {
    MUST(s.at <= end && s.len <= end - s.at);
}

static bool same_text(const char *a, ag__http_slice sa, const char *b, ag__http_slice sb) {
    return sa.len == sb.len && memcmp(a + sa.at, b + sb.at, sa.len) == 0;
}

static void check_results(const ag__http_head *h, const char *buf, size_t end) {
    const ag__http_slice slices[] = {h->method, h->target,    h->path,
                                     h->query,  h->authority, h->host};
    for (size_t i = 0; i < sizeof slices / sizeof *slices; i++)
        check_slice(slices[i], end);
    MUST(h->method.len > 0 && h->target.len > 0);
    MUST(h->field_count <= h->field_max);
    MUST(h->minor <= 1 && h->content_length >= -1);
    MUST(!h->chunked || (h->minor == 1 && h->content_length < 0));
    MUST(h->minor == 0 || h->host.len > 0);
    MUST(h->form != AG__FORM_ASTERISK || h->method_id == AG__METHOD_OPTIONS);
    MUST((h->form == AG__FORM_AUTHORITY) == (h->method_id == AG__METHOD_CONNECT));
    MUST(h->form != AG__FORM_ORIGIN || buf[h->path.at] == '/');
    for (uint32_t i = 0; i < h->field_count; i++) {
        const ag__http_field *f = &h->fields[i];
        check_slice(f->name, end);
        check_slice(f->value, end);
        MUST(f->name.len > 0);
        MUST(!memchr(buf + f->value.at, '\r', f->value.len));
        MUST(!memchr(buf + f->value.at, '\n', f->value.len));
        MUST(!memchr(buf + f->value.at, 0, f->value.len));
        MUST(!f->id || h->known[f->id] <= i + 1);
    }
    for (int id = 1; id < AG__FIELD_IDS; id++)
        MUST(!h->known[id] || h->fields[h->known[id] - 1].id == (uint32_t)id);
}

static size_t put(char *dst, size_t n, const void *bytes, size_t size) {
    MUST(n + size <= WRITTEN_MAX);
    memcpy(dst + n, bytes, size);
    return n + size;
}

/* The head as a client would write it. */
static size_t write_head(const ag__http_head *h, const char *buf, char dst[WRITTEN_MAX]) {
    size_t n = put(dst, 0, buf + h->method.at, h->method.len);
    n = put(dst, n, " ", 1);
    n = put(dst, n, buf + h->target.at, h->target.len);
    n = put(dst, n, h->minor ? " HTTP/1.1\r\n" : " HTTP/1.0\r\n", 11);
    for (uint32_t i = 0; i < h->field_count; i++) {
        n = put(dst, n, buf + h->fields[i].name.at, h->fields[i].name.len);
        n = put(dst, n, ": ", 2);
        n = put(dst, n, buf + h->fields[i].value.at, h->fields[i].value.len);
        n = put(dst, n, "\r\n", 2);
    }
    return put(dst, n, "\r\n", 2);
}

static void check_same(const ag__http_head *a, const char *buf_a, const ag__http_head *b,
                       const char *buf_b) {
    MUST(same_text(buf_a, a->method, buf_b, b->method));
    MUST(same_text(buf_a, a->target, buf_b, b->target));
    MUST(same_text(buf_a, a->path, buf_b, b->path));
    MUST(same_text(buf_a, a->query, buf_b, b->query));
    MUST(same_text(buf_a, a->authority, buf_b, b->authority));
    MUST(same_text(buf_a, a->host, buf_b, b->host));
    MUST(a->port == b->port && a->form == b->form && a->method_id == b->method_id);
    MUST(a->minor == b->minor && a->has_query == b->has_query);
    MUST(a->content_length == b->content_length && a->chunked == b->chunked);
    MUST(a->keep_alive == b->keep_alive && a->upgrade == b->upgrade);
    MUST(a->expect_continue == b->expect_continue);
    MUST(memcmp(a->known, b->known, sizeof a->known) == 0);
    MUST(a->field_count == b->field_count);
    for (uint32_t i = 0; i < a->field_count; i++) {
        MUST(a->fields[i].id == b->fields[i].id);
        MUST(same_text(buf_a, a->fields[i].name, buf_b, b->fields[i].name));
        MUST(same_text(buf_a, a->fields[i].value, buf_b, b->fields[i].value));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const ag__http_limits limits = {.line_max = LINE_MAX, .head_max = HEAD_MAX};
    const ag__http_limits wide = {.line_max = WRITTEN_MAX, .head_max = WRITTEN_MAX};
    ag__http_field fields[FIELDS], other_fields[FIELDS];
    ag__http_head h, other;
    char written[WRITTEN_MAX];

    char *buf = copy_of(data, size);
    ag__http_head_init(&h, fields, FIELDS, &limits);
    int got = ag__http_parse(&h, buf, size);
    MUST(got == -EAGAIN || (got > 0 && (size_t)got <= size) ||
         (got > AG__BAD_FIRST && got < AG__BAD_END));

    const size_t steps[] = {1, 2 + size % 11};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        ag__http_head_init(&other, other_fields, FIELDS, &limits);
        MUST(in_steps(&other, buf, size, steps[i]) == got);
        if (got > 0)
            check_same(&h, buf, &other, buf);
    }
    if (got > 0) {
        check_results(&h, buf, (size_t)got);
        size_t n = write_head(&h, buf, written);
        ag__http_head_init(&other, other_fields, FIELDS, &wide);
        MUST(ag__http_parse(&other, written, n) == (int)n);
        check_same(&h, buf, &other, written);
    }
    free(buf);
    return 0;
}
