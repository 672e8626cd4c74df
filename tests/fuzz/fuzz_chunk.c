/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: the chunked coding (clang -fsanitize=fuzzer,address; seeds in corpus/chunk).
 *
 * Whatever the bytes are: the verdict, the body and the number of bytes consumed do not depend on
 * the steps in which they come, nothing outside the buffer is touched, limits hold, and a body that
 * is complete decodes to itself after it was encoded again.
 */
#include "http/chunk.h"

#include <stdio.h>
#include <stdlib.h>

enum { BODY_MAX = 300, EXTENSION_MAX = 100, TRAILER_MAX = 100 };

#define MUST(cond) ((cond) ? (void)0 : broken(#cond, __LINE__))

static void broken(const char *what, int line) {
    fprintf(stderr, "fuzz_chunk.c:%d: does not hold: %s\n", line, what);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    int verdict; /* 0: complete; 1: not yet */
    size_t consumed, body_len;
    char body[BODY_MAX];
};

static void decode(const void *bytes, size_t n, size_t step, struct outcome *o) {
    const ag__http_chunk_limits limits = {BODY_MAX, EXTENSION_MAX, TRAILER_MAX};
    ag__http_chunked d;
    ag__http_chunked_init(&d, &limits);
    *o = (struct outcome){.verdict = 1};
    while (o->consumed < n && !d.done) {
        size_t len = n - o->consumed < step ? n - o->consumed : step, consumed;
        char *buf = malloc(len);
        MUST(buf);
        memcpy(buf, (const char *)bytes + o->consumed, len);
        int64_t got = ag__http_chunked_decode(&d, buf, len, &consumed);
        if (got >= 0) {
            MUST(consumed <= len && (size_t)got <= consumed);
            MUST(consumed == len || d.done);
            MUST(o->body_len + (size_t)got <= BODY_MAX);
            memcpy(o->body + o->body_len, buf, (size_t)got);
            o->body_len += (size_t)got;
            o->consumed += consumed;
        }
        free(buf);
        if (got < 0) {
            MUST(got > AG__BAD_FIRST && got < AG__BAD_END);
            o->verdict = (int)got;
            return;
        }
    }
    MUST((size_t)d.body == o->body_len);
    if (d.done)
        o->verdict = 0;
}

/* Encodes in chunks of `piece` bytes. Returns: the length. */
static size_t encode(const char *body, size_t n, size_t piece, char *dst) {
    char *to = dst;
    for (size_t at = 0; at < n; at += piece) {
        size_t len = n - at < piece ? n - at : piece;
        to += ag__http_chunk_head(to, len);
        memcpy(to, body + at, len);
        memcpy(to + len, "\r\n", 2);
        to += len + 2;
    }
    memcpy(to, AG__CHUNK_LAST, 5);
    return (size_t)(to - dst) + 5;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static char encoded[BODY_MAX * (AG__CHUNK_HEAD_MAX + 3) + 5];
    struct outcome at_once, other;
    decode(data, size, size ? size : 1, &at_once);
    const size_t steps[] = {1, 2 + size % 13};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        decode(data, size, steps[i], &other);
        MUST(other.verdict == at_once.verdict);
        if (at_once.verdict >= 0) {
            MUST(other.consumed == at_once.consumed);
            MUST(other.body_len == at_once.body_len);
            MUST(memcmp(other.body, at_once.body, other.body_len) == 0);
        }
    }
    if (at_once.verdict == 0) {
        size_t n = encode(at_once.body, at_once.body_len, 1 + size % 40, encoded);
        decode(encoded, n, n, &other);
        MUST(other.verdict == 0 && other.consumed == n);
        MUST(other.body_len == at_once.body_len);
        MUST(memcmp(other.body, at_once.body, other.body_len) == 0);
    }
    return 0;
}
