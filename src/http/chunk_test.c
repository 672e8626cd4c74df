/* SPDX-License-Identifier: MIT */
/* The chunked coding, white box. More bodies, with their verdicts, are in the corpus. */
#include "ag_test.h"
#include "http/chunk.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* What became of a body. */
struct outcome {
    int verdict; /* 0: complete; 1: not yet */
    size_t consumed, body_len;
    char body[4096];
};

/* Decodes `text` in steps of `step` bytes. */
static void decode(const char *text, size_t n, size_t step, const ag__http_chunk_limits *limits,
                   struct outcome *o) {
    char buf[4096];
    ag__http_chunked d;
    ag__http_chunked_init(&d, limits);
    *o = (struct outcome){.verdict = 1};
    while (o->consumed < n && !d.done) {
        size_t len = n - o->consumed < step ? n - o->consumed : step, consumed;
        memcpy(buf, text + o->consumed, len);
        int64_t got = ag__http_chunked_decode(&d, buf, len, &consumed);
        if (got < 0) {
            size_t unused = 77;
            ag_check_int(ag__http_chunked_decode(&d, buf, len, &unused), got);
            ag_check_int(unused, 77);
            o->verdict = (int)got;
            return;
        }
        ag_check(consumed <= len && (size_t)got <= consumed);
        memcpy(o->body + o->body_len, buf, (size_t)got);
        o->body_len += (size_t)got;
        o->consumed += consumed;
    }
    ag_check_int(d.body, o->body_len);
    if (d.done)
        o->verdict = 0;
}

/* The same in every step size. */
static void check_body(const char *text, const char *body, size_t rest) {
    struct outcome o;
    size_t n = strlen(text);
    for (size_t step = 1; step <= n; step++) {
        decode(text, n, step, NULL, &o);
        ag_check_int(o.verdict, 0);
        ag_check_int(o.consumed, n - rest);
        ag_check_int(o.body_len, strlen(body));
        ag_check_mem(o.body, body, o.body_len);
    }
}

static void check_limited(const char *text, ag__http_chunk_limits limits, const char *name) {
    struct outcome o;
    size_t n = strlen(text);
    for (size_t step = 1; step <= n; step++) {
        decode(text, n, step, &limits, &o);
        const char *got = o.verdict == 1 ? "more" : ag__http_verdict_name(o.verdict);
        if (strcmp(got, name) != 0)
            ag_fail("verdict on \"%s\" in steps of %zu is %s, expected %s", text, step, got, name);
    }
}

static void check_refused(const char *text, const char *name) {
    check_limited(text, (ag__http_chunk_limits){0}, name);
}

AG_TEST(chunks_are_joined) {
    check_body("0\r\n\r\n", "", 0);
    check_body("5\r\nhello\r\n0\r\n\r\n", "hello", 0);
    check_body("1\r\na\r\n2\r\nbc\r\n00A\r\n0123456789\r\n000\r\n\r\n", "abc0123456789", 0);
    check_body("b\r\nhello world\r\nB\r\nHELLO WORLD\r\n0\r\n\r\n", "hello worldHELLO WORLD", 0);
    check_body("4\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n\r\n", 0);
}

AG_TEST(chunks_end_before_the_next_request) {
    check_body("3\r\nabc\r\n0\r\n\r\nGET / HTTP/1.1\r\n", "abc", 16);
}

AG_TEST(chunk_extensions_are_skipped) {
    check_body("3;a\r\nabc\r\n0;b=c\r\n\r\n", "abc", 0);
    check_body("3;a;b=c;d=\"e;f\\\"\\\\g \"\r\nabc\r\n0\r\n\r\n", "abc", 0);
    check_body("3 ; a\t= b ;c\r\nabc\r\n0\r\n\r\n", "abc", 0);
    check_body("3;a=\"\x80\xff\"\r\nabc\r\n0\r\n\r\n", "abc", 0);
}

AG_TEST(chunk_trailers_are_dropped) {
    check_body("3\r\nabc\r\n0\r\nName: value\r\nB:\r\nC: \t\x80 \r\n\r\n", "abc", 0);
}

struct kept {
    char text[64];
    size_t n, most;
};
static bool keep(void *arg, char c) {
    struct kept *k = arg;
    if (k->n < k->most)
        k->text[k->n++] = c;
    return k->n < k->most;
}

AG_TEST(chunk_trailers_are_kept_for_who_wants_them) {
    static const char text[] = "1\r\na\r\n0\r\nName: value\r\nB:\r\n\r\n";
    static const char lines[] = "Name: value\r\nB:\r\n";
    char buf[64];
    for (size_t step = 1; step < sizeof text; step++) {
        ag__http_chunked d;
        ag__http_chunked_init(&d, NULL);
        struct kept kept = {.most = sizeof kept.text};
        d.keep = keep;
        d.keep_arg = &kept;
        for (size_t at = 0, consumed; !d.done; at += consumed) {
            size_t n = sizeof text - 1 - at < step ? sizeof text - 1 - at : step;
            memcpy(buf, text + at, n);
            ag_check(ag__http_chunked_decode(&d, buf, n, &consumed) >= 0);
        }
        ag_check_int(d.trailers, sizeof lines - 1);
        ag_check_int(kept.n, sizeof lines - 1);
        ag_check_mem(kept.text, lines, sizeof lines - 1);
    }
    ag__http_chunked d;
    struct kept few = {.most = 5};
    size_t consumed;
    memcpy(buf, text, sizeof text);
    ag__http_chunked_init(&d, NULL);
    d.keep = keep;
    d.keep_arg = &few;
    ag_check_int(ag__http_chunked_decode(&d, buf, sizeof text - 1, &consumed),
                 AG__BAD_TRAILERS_TOO_LARGE);
}

AG_TEST(malformed_chunks_are_refused) {
    static const char *const cases[][2] = {
        {"\r\n", "CHUNK_SIZE"},
        {"g\r\n", "CHUNK_SIZE"},
        {"0x5\r\nhello\r\n", "CHUNK_SIZE"},
        {"+5\r\nhello\r\n", "CHUNK_SIZE"},
        {"-1\r\n", "CHUNK_SIZE"},
        {" 5\r\nhello\r\n", "CHUNK_SIZE"},
        {"5_0\r\n", "CHUNK_SIZE"},
        {"5 \r\nhello\r\n", "CHUNK_EXTENSION"},
        {"5\t5\r\n", "CHUNK_EXTENSION"},
        {"5;\r\nhello\r\n", "CHUNK_EXTENSION"},
        {"5;a b\r\nhello\r\n", "CHUNK_EXTENSION"},
        {"5;a=\r\nhello\r\n", "CHUNK_EXTENSION"},
        {"5;a=b \r\nhello\r\n", "CHUNK_EXTENSION"},
        {"5;a=\"b\"c\r\nhello\r\n", "CHUNK_EXTENSION"},
        {"5;a=\"b\x01\"\r\nhello\r\n", "CHUNK_EXTENSION"},
        {"5;a=\"b\r\n\"\r\nhello\r\n", "CHUNK_EXTENSION"},
        {"5;=b\r\nhello\r\n", "CHUNK_EXTENSION"},
        {"5;a\x80\r\nhello\r\n", "CHUNK_EXTENSION"},
        {"5\nhello\r\n", "BARE_LF"},
        {"5;a\nhello\r\n", "BARE_LF"},
        {"\n", "BARE_LF"},
        {"5\rhello\r\n", "BARE_CR"},
        {"5\r\r\nhello\r\n", "BARE_CR"},
        {"5\r\nhelloo\r\n", "CHUNK_END"},
        {"5\r\nhello\n0\r\n\r\n", "CHUNK_END"},
        {"5\r\nhello\r0\r\n\r\n", "CHUNK_END"},
        {"5\r\nhello0\r\n\r\n", "CHUNK_END"},
        {"0\r\nName\r\n\r\n", "TRAILER"},
        {"0\r\nName : v\r\n\r\n", "TRAILER"},
        {"0\r\n folded\r\n\r\n", "TRAILER"},
        {"0\r\n: v\r\n\r\n", "TRAILER"},
        {"0\r\nA: \x01\r\n\r\n", "TRAILER"},
        {"0\r\nA: b\n\r\n", "BARE_LF"},
        {"0\r\n\n", "BARE_LF"},
        {"0\r\n\rX", "BARE_CR"},
        {"0\r\nA: b\rC: d\r\n\r\n", "BARE_CR"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_refused(cases[i][0], cases[i][1]);
}

AG_TEST(chunk_sizes_do_not_overflow) {
    check_refused("7fffffffffffffff\r\n", "more");
    check_refused("8000000000000000\r\n", "CHUNK_OVERFLOW");
    check_refused("ffffffffffffffff\r\n", "CHUNK_OVERFLOW");
    check_refused("10000000000000005\r\nhello", "CHUNK_OVERFLOW");
    check_refused("0000000000000005\r\nhello", "more");
    check_refused("00000000000000005\r\nhello", "CHUNK_OVERFLOW");
}

/* The sum of two chunks would not fit either. */
AG_TEST(chunk_body_is_limited) {
    ag__http_chunk_limits limits = {.body_max = 10};
    check_limited("a\r\n0123456789\r\n0\r\n\r\n", limits, "NONE");
    check_limited("b\r\n", limits, "BODY_TOO_LARGE");
    check_limited("5\r\nhello\r\n6\r\n", limits, "BODY_TOO_LARGE");
    check_limited("5\r\nhello\r\n7fffffffffffffff\r\n", limits, "BODY_TOO_LARGE");
    check_refused("1\r\na\r\n7fffffffffffffff\r\n", "BODY_TOO_LARGE");
}

AG_TEST(chunk_overhead_is_limited_in_sum) {
    ag__http_chunk_limits limits = {.extension_max = 6, .trailer_max = 8};
    check_limited("1;abcde\r\na\r\n0\r\n\r\n", limits, "NONE");
    check_limited("1;abcdef\r\na\r\n0\r\n\r\n", limits, "EXTENSIONS_TOO_LARGE");
    check_limited("1;ab\r\na\r\n1;cd\r\na\r\n0\r\n\r\n", limits, "NONE");
    check_limited("1;ab\r\na\r\n1;cde\r\na\r\n0\r\n\r\n", limits, "EXTENSIONS_TOO_LARGE");
    check_limited("0\r\nA: bcd\r\n\r\n", limits, "NONE");
    check_limited("0\r\nA: bcde\r\n\r\n", limits, "TRAILERS_TOO_LARGE");
    check_limited("0\r\nA:b\r\nC:d\r\n\r\n", limits, "TRAILERS_TOO_LARGE");
}

AG_TEST(chunk_decoder_stops_after_the_end) {
    char buf[] = "0\r\n\r\nX";
    ag__http_chunked d;
    size_t consumed = 0;
    ag__http_chunked_init(&d, NULL);
    ag_check_int(ag__http_chunked_decode(&d, buf, 6, &consumed), 0);
    ag_check(d.done);
    ag_check_int(consumed, 5);
    ag_check_int(ag__http_chunked_decode(&d, buf + 5, 1, &consumed), 0);
    ag_check_int(consumed, 0);
    ag_check_str(buf, "0\r\n\r\nX");
}

AG_TEST(chunk_decoder_does_not_read_behind_its_input) {
    const char *text = "5;a=\"b\"\r\nhello\r\n0\r\nName: value\r\n\r\n";
    size_t page = (size_t)sysconf(_SC_PAGESIZE), n = strlen(text);
    char *room = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ag_check(room != MAP_FAILED);
    ag_check_int(mprotect(room + page, page, PROT_NONE), 0);
    for (size_t i = 0; i <= n; i++) {
        ag__http_chunked d;
        size_t consumed;
        memcpy(room + page - i, text, i);
        ag__http_chunked_init(&d, NULL);
        ag_check(ag__http_chunked_decode(&d, room + page - i, i, &consumed) >= 0);
        ag_check_int(consumed, i);
        ag_check_int(d.done, i == n);
    }
    munmap(room, 2 * page);
}

AG_TEST(chunk_heads_are_what_the_decoder_reads) {
    static const struct {
        uint64_t size;
        const char *text;
    } cases[] = {
        {1, "1\r\n"},
        {9, "9\r\n"},
        {10, "a\r\n"},
        {15, "f\r\n"},
        {16, "10\r\n"},
        {0x12345678, "12345678\r\n"},
        {INT64_MAX, "7fffffffffffffff\r\n"},
        {UINT64_MAX, "ffffffffffffffff\r\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char head[AG__CHUNK_HEAD_MAX];
        size_t n = ag__http_chunk_head(head, cases[i].size);
        ag_check_int(n, strlen(cases[i].text));
        ag_check_mem(head, cases[i].text, n);
    }
    char text[64];
    size_t n = ag__http_chunk_head(text, 26);
    snprintf(text + n, sizeof text - n, "abcdefghijklmnopqrstuvwxyz\r\n" AG__CHUNK_LAST);
    check_body(text, "abcdefghijklmnopqrstuvwxyz", 0);
}
