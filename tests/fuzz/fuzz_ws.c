/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: frames of WebSocket (clang -fsanitize=fuzzer,address; seeds in corpus/ws).
 *
 * The bytes are what a client sends, frame after frame. Whatever they are: a head is found at the
 * same place, or refused with the same code, in whatever steps it comes, and written again it is
 * the same bytes; masking twice changes nothing, and a mask does not depend on the pieces to which
 * it is applied; text is good or bad in whatever pieces it comes, and as a slow decoder says.
 */
#include "http/ws_frame.h"

#include <stdio.h>
#include <stdlib.h>

#define MUST(cond) ((cond) ? (void)0 : broken(#cond, __LINE__))

static void broken(const char *what, int line) {
    fprintf(stderr, "fuzz_ws.c:%d: does not hold: %s\n", line, what);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* From memory of just that size, so that a look behind it is seen. */
static int parse(const uint8_t *data, size_t n, bool from_client, ag__ws_head *h) {
    uint8_t *exact = malloc(n ? n : 1);
    MUST(exact);
    memcpy(exact, data, n);
    int r = ag__ws_head_parse(exact, n, from_client, true, h);
    free(exact);
    return r;
}

/* Returns: its length, or 0 if it is refused or not whole. */
static size_t check_head(const uint8_t *data, size_t size, bool from_client, ag__ws_head *h) {
    size_t most = size < AG__WS_HEAD_MAX ? size : AG__WS_HEAD_MAX;
    int r = parse(data, most, from_client, h);
    MUST(r == 0 || r == -1002 || (r >= 2 && (size_t)r <= most));
    for (size_t n = 0; n < most; n++) {
        ag__ws_head part;
        int early = parse(data, n, from_client, &part);
        MUST(early == 0 || early == r);
        MUST(r < 0 || early == (n < (size_t)r ? 0 : r) || r == 0);
    }
    if (r <= 0)
        return 0;
    uint8_t again[AG__WS_HEAD_MAX];
    uint8_t first =
        (uint8_t)((h->fin ? AG__WS_FIN : 0) | (h->deflated ? AG__WS_DEFLATED : 0) | h->opcode);
    size_t n = ag__ws_head_write(again, first, h->length, h->masked ? h->key : NULL);
    MUST(n == (size_t)r && memcmp(again, data, n) == 0);
    MUST(h->masked == from_client && h->length <= INT64_MAX);
    MUST(!h->deflated || h->opcode == 1 || h->opcode == 2);
    MUST(h->opcode < AG__WS_CLOSE || (h->fin && h->length <= AG__WS_CONTROL_MAX));
    return n;
}

/* RFC 3629, character by character. Returns: how many bytes are whole characters; *ret_bad: more
   bytes can't make the rest good. */
static size_t decode(const uint8_t *p, size_t n, bool *ret_bad) {
    size_t at = 0;
    while (at < n) {
        uint32_t c = p[at];
        size_t more = c < 0x80 ? 0 : c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
        uint32_t least = more == 0 ? 0 : more == 1 ? 0x80 : more == 2 ? 0x800 : 0x10000;
        *ret_bad = c >= 0xf8 || (c & 0xc0) == 0x80;
        if (*ret_bad)
            return at;
        c &= more == 0 ? 0x7f : 0x3fU >> more;
        uint32_t low = c, high = c;
        for (size_t i = 1; i <= more; i++) {
            bool here = at + i < n;
            if (here && (p[at + i] & 0xc0) != 0x80) {
                *ret_bad = true;
                return at;
            }
            low = low << 6 | (here ? p[at + i] & 0x3f : 0);
            high = high << 6 | (here ? p[at + i] & 0x3f : 0x3f);
        }
        *ret_bad = high < least || low > 0x10ffff || (low >= 0xd800 && high <= 0xdfff);
        if (*ret_bad || at + more >= n)
            return at;
        at += more + 1;
    }
    *ret_bad = false;
    return at;
}

static void check_text(const uint8_t *p, size_t n, size_t step) {
    ag__utf8 whole = {0, 0, 0}, parts = {0, 0, 0};
    bool bad = false, good = ag__utf8_check(&whole, p, n), good_parts = true;
    for (size_t at = 0; at < n && good_parts; at += step)
        good_parts = ag__utf8_check(&parts, p + at, n - at < step ? n - at : step);
    size_t known = decode(p, n, &bad);
    MUST(good == good_parts && good == !bad);
    MUST(!good || (whole.left == parts.left && (whole.left == 0) == (known == n)));
}

static void check_mask(const uint8_t *p, size_t n, const uint8_t key[4], size_t cut) {
    uint8_t *copy = malloc(n ? n : 1);
    MUST(copy);
    memcpy(copy, p, n);
    ag__ws_mask(copy, n, key, 0);
    for (size_t i = 0; i < n; i++)
        MUST(copy[i] == (p[i] ^ key[i & 3]));
    cut = n ? cut % n : 0;
    ag__ws_mask(copy, cut, key, 0);
    ag__ws_mask(copy + cut, n - cut, key, cut);
    MUST(memcmp(copy, p, n) == 0);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ag__ws_head h;
    size_t at = 0, n;
    check_head(data, size, false, &h);
    while (at < size && (n = check_head(data + at, size - at, true, &h)) > 0) {
        at += n;
        size_t here = size - at < h.length ? size - at : (size_t)h.length;
        check_mask(data + at, here, h.key, h.key[0]);
        uint8_t *text = malloc(here ? here : 1);
        MUST(text);
        memcpy(text, data + at, here);
        ag__ws_mask(text, here, h.key, 0);
        check_text(text, here, 1 + h.key[1] % 9);
        free(text);
        at += here;
    }
    check_text(data, size, 1 + size % 7);
    return 0;
}
