/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: the head of a reply (clang -fsanitize=fuzzer,address; seeds in corpus/response).
 *
 * Whatever the bytes are: the verdict does not depend on the steps in which they come nor on where
 * the buffer lies, nothing outside the buffer is read or named by a slice, and the results agree
 * with each other: one way to frame the body, no control bytes in what a program is shown.
 */
#include "http/parse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { FIELDS = 20, HEAD_MAX = 600 };

#define MUST(cond) ((cond) ? (void)0 : broken(#cond, __LINE__))

static void broken(const char *what, int line) {
    fprintf(stderr, "fuzz_response.c:%d: does not hold: %s\n", line, what);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The verdict when the bytes come in steps; the buffer moves each time, and is exactly that long.
 */
static int in_steps(ag__http_head *h, const uint8_t *bytes, size_t n, size_t step) {
    int got = -EAGAIN;
    for (size_t have = 0; got == -EAGAIN; have = n - have < step ? n : have + step) {
        char *copy = malloc(have ? have : 1);
        MUST(copy);
        memcpy(copy, bytes, have);
        got = ag__http_parse(h, copy, have);
        free(copy);
        if (have == n)
            break;
    }
    return got;
}

static void check_results(const ag__http_head *h, const char *buf, size_t end) {
    MUST(h->status >= 100 && h->status <= 999);
    MUST(h->minor <= 1);
    MUST(!h->chunked || h->content_length < 0);
    MUST(!h->chunked || h->minor == 1);
    MUST(h->content_length >= -1);
    MUST(h->field_count <= FIELDS);
    uint32_t lengths = 0, codings = 0;
    for (uint32_t i = 0; i < h->field_count; i++) {
        const ag__http_field *f = &h->fields[i];
        MUST(f->name.len > 0 && f->name.at + f->name.len < end);
        MUST(f->value.at + f->value.len < end);
        /* What ends them is a separator, so that a NUL may be put there. */
        MUST(buf[f->name.at + f->name.len] == ':');
        for (uint32_t k = 0; k < f->name.len; k++)
            MUST(ag__http_is(buf[f->name.at + k], AG__CH_TOKEN));
        for (uint32_t k = 0; k < f->value.len; k++)
            MUST(ag__http_is(buf[f->value.at + k], AG__CH_VALUE));
        lengths += f->id == AG__FIELD_CONTENT_LENGTH;
        codings += f->id == AG__FIELD_TRANSFER_ENCODING;
    }
    MUST(lengths + codings <= 1);
    MUST(lengths == (h->content_length >= 0) && codings == h->chunked);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const size_t steps[] = {1, 2, 7, 64};
    ag__http_field fields[FIELDS];
    ag__http_limits limits = {.head_max = HEAD_MAX};
    ag__http_head h;
    ag__http_reply_init(&h, fields, FIELDS, &limits);
    int whole = in_steps(&h, data, size, size + 1);
    ag__http_head first = h;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        ag__http_head_reset(&h);
        MUST(in_steps(&h, data, size, steps[i]) == whole);
        MUST(h.status == first.status && h.field_count == first.field_count);
    }
    MUST(whole == -EAGAIN || (whole > 0 && (size_t)whole <= size) || whole <= AG__BAD_END);
    if (whole > 0)
        check_results(&h, (const char *)data, (size_t)whole);
    return 0;
}
