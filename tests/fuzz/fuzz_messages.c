/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: a connection, message after message (clang -fsanitize=fuzzer,address; seeds in
 * corpus/messages). Where heads and bodies meet, requests are smuggled.
 *
 * Whatever the bytes are: which messages they hold does not depend on the steps in which they come;
 * and when the messages are written out again, each with a plain Content-Length, as a proxy in
 * front would do that has understood us, the reader finds the same ones: no byte of a body has
 * become a head, and none of a head a body.
 */
#include "http/chunk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { FIELDS = 12, MESSAGES = 8, ROOM = 1 << 16, HEAD_MAX = 800 };

#define MUST(cond) ((cond) ? (void)0 : broken(#cond, __LINE__))

static void broken(const char *what, int line) {
    fprintf(stderr, "fuzz_messages.c:%d: does not hold: %s\n", line, what);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct bytes {
    size_t n;
    char at[ROOM];
};

/* What was found: all messages as one text, and how it ended. */
struct found {
    int count, verdict; /* 0: the bytes were used up; 1: inside a message */
    struct bytes written;
};

static void put(struct bytes *b, const void *bytes, size_t n) {
    MUST(n <= ROOM - b->n);
    memcpy(b->at + b->n, bytes, n);
    b->n += n;
}

static void put_text(struct bytes *b, const char *text) {
    put(b, text, strlen(text));
}

/* The head without its framing; the body's length instead. */
static void write_head(struct bytes *to, const ag__http_head *h, const char *buf, size_t body) {
    char length[60];
    put(to, buf + h->method.at, h->method.len);
    put_text(to, " ");
    put(to, buf + h->target.at, h->target.len);
    put_text(to, h->minor ? " HTTP/1.1\r\n" : " HTTP/1.0\r\n");
    for (uint32_t i = 0; i < h->field_count; i++) {
        const ag__http_field *f = &h->fields[i];
        if (f->id == AG__FIELD_TRANSFER_ENCODING || f->id == AG__FIELD_CONTENT_LENGTH)
            continue;
        put(to, buf + f->name.at, f->name.len);
        put_text(to, ": ");
        put(to, buf + f->value.at, f->value.len);
        put_text(to, "\r\n");
    }
    snprintf(length, sizeof length, "Content-Length: %zu\r\n\r\n", body);
    put_text(to, length);
}

/* Reads a body of h from bytes[at..n). Returns: what it took; 0 and a verdict in `f` if not all. */
static bool take_body(const ag__http_head *h, const char *bytes, size_t n, size_t step,
                      size_t *ret_at, struct bytes *body, struct found *f) {
    ag__http_chunked d;
    body->n = 0;
    if (!h->chunked) {
        size_t length = h->content_length > 0 ? (size_t)h->content_length : 0;
        if (length > n - *ret_at) {
            f->verdict = 1;
            return false;
        }
        put(body, bytes + *ret_at, length);
        *ret_at += length;
        return true;
    }
    ag__http_chunked_init(&d, NULL);
    while (!d.done) {
        size_t len = n - *ret_at < step ? n - *ret_at : step, consumed;
        char *piece = malloc(len ? len : 1);
        MUST(piece);
        memcpy(piece, bytes + *ret_at, len);
        int64_t got = len ? ag__http_chunked_decode(&d, piece, len, &consumed) : 1;
        if (len && got >= 0) {
            put(body, piece, (size_t)got);
            *ret_at += consumed;
        }
        free(piece);
        if (!len || got < 0) {
            f->verdict = (int)got;
            return false;
        }
    }
    return true;
}

/* `wide`: with room for what was written, which may have a field more a head. */
static void read_all(const char *bytes, size_t n, size_t step, bool wide, struct found *f) {
    static struct bytes body;
    const ag__http_limits limits = {.head_max = wide ? ROOM : HEAD_MAX};
    ag__http_field fields[FIELDS + 1];
    ag__http_head h;
    size_t at = 0;
    f->count = f->verdict = 0;
    f->written.n = 0;
    ag__http_head_init(&h, fields, wide ? FIELDS + 1 : FIELDS, &limits);
    while (at < n && f->count < MESSAGES) {
        int got = -EAGAIN;
        ag__http_head_reset(&h);
        for (size_t have = 0; got == -EAGAIN && have < n - at;) {
            have = n - at - have < step ? n - at : have + step;
            got = ag__http_parse(&h, bytes + at, have);
        }
        if (got < 0) {
            f->verdict = got == -EAGAIN ? 1 : got;
            return;
        }
        const char *head = bytes + at;
        at += (size_t)got;
        if (!take_body(&h, bytes, n, step, &at, &body, f))
            return;
        write_head(&f->written, &h, head, body.n);
        put(&f->written, body.at, body.n);
        f->count++;
        if (!h.keep_alive)
            return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct found at_once, other;
    if (size > ROOM / MESSAGES / 2)
        return 0;
    char *exact = malloc(size ? size : 1);
    MUST(exact);
    memcpy(exact, data, size);
    read_all(exact, size, size ? size : 1, false, &at_once);
    const size_t steps[] = {1, 2 + size % 17};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        read_all(exact, size, steps[i], false, &other);
        MUST(other.count == at_once.count && other.verdict == at_once.verdict);
        MUST(other.written.n == at_once.written.n);
        MUST(memcmp(other.written.at, at_once.written.at, other.written.n) == 0);
    }
    read_all(at_once.written.at, at_once.written.n, ROOM, true, &other);
    MUST(other.count == at_once.count && other.verdict == 0);
    MUST(other.written.n == at_once.written.n);
    MUST(memcmp(other.written.at, at_once.written.at, other.written.n) == 0);
    free(exact);
    return 0;
}
