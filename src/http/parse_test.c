/* SPDX-License-Identifier: MIT */
/*
 * The request head parser, white box. Verdicts on whole messages are in the corpus
 * (corpus_test.c); here: results, limits, resuming, and that nothing behind the input is read.
 */
#include "ag_test.h"
#include "http/parse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { FIELDS = 32 };

static ag__http_field fields[FIELDS];

static int parse(ag__http_head *h, const char *text) {
    ag__http_head_init(h, fields, FIELDS, NULL);
    return ag__http_parse(h, text, strlen(text));
}

static void check_slice(const char *buf, ag__http_slice s, const char *expected) {
    ag_check_int(s.len, strlen(expected));
    ag_check_mem(buf + s.at, expected, s.len);
}

static void check_verdict(const char *text, const char *name) {
    ag__http_head h;
    int v = parse(&h, text);
    if (v >= 0 || strcmp(ag__http_verdict_name(v), name) != 0)
        ag_fail("verdict on \"%s\" is %d %s, expected %s", text, v, ag__http_verdict_name(v), name);
}

/* ---- Results -------------------------------------------------------------------------------- */

AG_TEST(parse_gives_slices_and_length) {
    const char *text = "POST /a/b%20c?x=1&y HTTP/1.1\r\nHost: example.com:8080\r\n"
                       "Content-Length: 5\r\nX-Empty:\r\nCookie: \t a=b; c \t\r\n\r\nhello";
    ag__http_head h;
    ag_check_int(parse(&h, text), strlen(text) - 5);
    check_slice(text, h.method, "POST");
    ag_check_int(h.method_id, AG__METHOD_POST);
    check_slice(text, h.target, "/a/b%20c?x=1&y");
    check_slice(text, h.path, "/a/b%20c");
    ag_check(h.has_query);
    check_slice(text, h.query, "x=1&y");
    check_slice(text, h.authority, "example.com:8080");
    check_slice(text, h.host, "example.com");
    ag_check_int(h.port, 8080);
    ag_check_int(h.form, AG__FORM_ORIGIN);
    ag_check_int(h.minor, 1);
    ag_check_int(h.content_length, 5);
    ag_check(!h.chunked && h.keep_alive && !h.expect_continue && !h.upgrade);
    ag_check_int(h.field_count, 4);
    check_slice(text, h.fields[2].name, "X-Empty");
    check_slice(text, h.fields[2].value, "");
    check_slice(text, h.fields[3].value, "a=b; c");
}

AG_TEST(parse_without_length_or_coding_has_length_minus_one) {
    ag__http_head h;
    ag_check(parse(&h, "GET / HTTP/1.1\r\nHost: a\r\n\r\n") > 0);
    ag_check_int(h.content_length, -1);
    ag_check(!h.has_query);
}

AG_TEST(parse_knows_methods_exactly) {
    static const struct {
        const char *name;
        int id;
    } cases[] = {
        {"GET", AG__METHOD_GET},     {"HEAD", AG__METHOD_HEAD},       {"POST", AG__METHOD_POST},
        {"PUT", AG__METHOD_PUT},     {"DELETE", AG__METHOD_DELETE},   {"TRACE", AG__METHOD_TRACE},
        {"PATCH", AG__METHOD_PATCH}, {"OPTIONS", AG__METHOD_OPTIONS}, {"get", AG__METHOD_OTHER},
        {"GETS", AG__METHOD_OTHER},  {"PROPFIND", AG__METHOD_OTHER},  {"G", AG__METHOD_OTHER},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[100];
        ag__http_head h;
        snprintf(text, sizeof text, "%s / HTTP/1.1\r\nHost: a\r\n\r\n", cases[i].name);
        ag_check(parse(&h, text) > 0);
        ag_check_int(h.method_id, cases[i].id);
    }
}

AG_TEST(parse_absolute_target_wins_over_host) {
    const char *text = "GET HTTP://[::1]:81/p?q HTTP/1.1\r\nHost: other:9\r\n\r\n";
    ag__http_head h;
    ag_check(parse(&h, text) > 0);
    ag_check_int(h.form, AG__FORM_ABSOLUTE);
    check_slice(text, h.authority, "[::1]:81");
    check_slice(text, h.host, "[::1]");
    ag_check_int(h.port, 81);
    check_slice(text, h.path, "/p");
    check_slice(text, h.query, "q");
}

AG_TEST(parse_absolute_target_without_path_routes_as_root) {
    const char *text = "GET http://a?q HTTP/1.1\r\nHost: a\r\n\r\n";
    ag__http_head h;
    ag_check(parse(&h, text) > 0);
    check_slice(text, h.path, "");
    check_slice(text, h.query, "q");
    ag__http_text path = ag__http_route_path(&h, text);
    ag_check_int(path.n, 1);
    ag_check_int(path.p[0], '/');
}

AG_TEST(parse_connect_takes_host_and_port) {
    const char *text = "CONNECT example.com:443 HTTP/1.1\r\nHost: other\r\n\r\n";
    ag__http_head h;
    ag_check(parse(&h, text) > 0);
    ag_check_int(h.form, AG__FORM_AUTHORITY);
    check_slice(text, h.host, "example.com");
    ag_check_int(h.port, 443);
    ag_check_int(ag__http_route_path(&h, text).n, 0);
}

AG_TEST(parse_keep_alive_follows_version_and_connection) {
    static const struct {
        const char *rest;
        bool keep;
    } cases[] = {
        {"1.1\r\nHost: a\r\n", true},
        {"1.1\r\nHost: a\r\nConnection: close\r\n", false},
        {"1.1\r\nHost: a\r\nConnection: foo , CLOSE,\r\n", false},
        {"1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: close\r\n", false},
        {"1.1\r\nHost: a\r\nConnection: closed\r\n", true},
        {"1.0\r\n", false},
        {"1.0\r\nConnection: Keep-Alive\r\n", true},
        {"1.0\r\nConnection: keep-alive, close\r\n", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[200];
        ag__http_head h;
        snprintf(text, sizeof text, "GET / HTTP/%s\r\n", cases[i].rest);
        ag_check(parse(&h, text) > 0);
        if (h.keep_alive != cases[i].keep)
            ag_fail("keep_alive is %d for \"%s\"", h.keep_alive, text);
    }
}

AG_TEST(parse_upgrade_needs_both_fields_and_1_1) {
    ag__http_head h;
    ag_check(parse(&h, "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\n"
                       "Upgrade: websocket\r\n\r\n") > 0);
    ag_check(h.upgrade);
    ag_check(parse(&h, "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n") > 0);
    ag_check(!h.upgrade);
    ag_check(parse(&h, "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n\r\n") > 0);
    ag_check(!h.upgrade);
    ag_check(parse(&h, "GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n") > 0);
    ag_check(!h.upgrade);
}

AG_TEST(parse_expect_continue_is_for_1_1) {
    ag__http_head h;
    ag_check(parse(&h, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n\r\n") > 0);
    ag_check(h.expect_continue);
    ag_check(parse(&h, "POST / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n") > 0);
    ag_check(!h.expect_continue);
}

AG_TEST(parse_known_fields_are_found_by_id) {
    const char *text = "GET / HTTP/1.1\r\nHost: a\r\ncookie: one\r\nCOOKIE: two\r\n\r\n";
    ag__http_head h;
    ag__http_text value;
    ag_check(parse(&h, text) > 0);
    ag_check(ag__http_known_value(&h, text, AG__FIELD_COOKIE, &value));
    ag_check_int(value.n, 3);
    ag_check_mem(value.p, "one", 3);
    ag_check_int(h.fields[2].id, AG__FIELD_COOKIE);
    ag_check(!ag__http_known_value(&h, text, AG__FIELD_ORIGIN, &value));
}

/* ---- Tables --------------------------------------------------------------------------------- */

AG_TEST(class_table_follows_the_grammar) {
    for (int c = 0; c < 256; c++) {
        bool digit = c >= '0' && c <= '9', letter = (c | 32) >= 'a' && (c | 32) <= 'z';
        bool unreserved = digit || letter || (c && strchr("-._~", c));
        bool sub = c && strchr("!$&'()*+,;=", c);
        bool path = unreserved || sub || (c && strchr(":@%/[]{}|^`", c));
        unsigned expected = 0;
        expected |= digit || letter || (c && strchr("!#$%&'*+-.^_`|~", c)) ? AG__CH_TOKEN : 0;
        expected |= path || c == '?' || c == '\\' ? AG__CH_TARGET : 0;
        expected |= path ? AG__CH_PATH : 0;
        expected |= unreserved || sub ? AG__CH_HOST : 0;
        expected |= digit || ((c | 32) >= 'a' && (c | 32) <= 'f') ? AG__CH_HEX : 0;
        expected |= digit ? AG__CH_DIGIT : 0;
        expected |= c == '\t' || (c >= ' ' && c != 127) ? AG__CH_VALUE : 0;
        if (ag__http_class[c] != expected)
            ag_fail("class of byte 0x%02x is 0x%02x, expected 0x%02x", c, ag__http_class[c],
                    expected);
    }
}

AG_TEST(every_field_of_the_table_is_found_in_any_case) {
    static const char *const names[] = {
#define AG__HTTP_FIELD(id, name, length, first, last) name,
#include "http/fields.def"
#undef AG__HTTP_FIELD
    };
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        char upper[64];
        size_t n = strlen(names[i]);
        for (size_t k = 0; k < n; k++)
            upper[k] = names[i][k] >= 'a' ? (char)(names[i][k] - 32) : names[i][k];
        ag_check_int(ag__http_field_find(names[i], n), i + 1);
        ag_check_int(ag__http_field_find(upper, n), i + 1);
        /* One byte wrong, in each place. */
        for (size_t k = 0; k < n; k++) {
            memcpy(upper, names[i], n);
            upper[k] = upper[k] == '~' ? '|' : '~';
            ag_check_int(ag__http_field_find(upper, n), AG__FIELD_UNKNOWN);
        }
        ag_check_int(ag__http_field_find(names[i], n - 1), AG__FIELD_UNKNOWN);
    }
}

AG_TEST(verdicts_have_a_status_and_a_reason) {
    for (int v = AG__BAD_FIRST + 1; v < AG__BAD_END; v++) {
        int status = ag__http_status(v);
        ag_check(status >= 400 && status < 600);
        ag_check(strlen(ag__http_reason(v)) > 10);
    }
    ag_check_int(ag__http_status(AG__BAD_REQUEST_LINE_TOO_LONG), 414);
    ag_check_int(ag__http_status(AG__BAD_TRAILERS_TOO_LARGE), 431);
    ag_check_str(ag__http_verdict_name(AG__BAD_HOST_MISSING), "HOST_MISSING");
    ag_check_int(ag__http_status(-EAGAIN), 500);
    ag_check_int(ag__http_status(AG__BAD_END), 500);
    ag_check_int(ag__http_status(AG__BAD_FIRST), 500);
}

/* ---- Values --------------------------------------------------------------------------------- */

/* Every length and place, so that each path of the word-wise check is walked. */
AG_TEST(parse_finds_a_control_byte_wherever_it_is) {
    for (size_t n = 1; n <= 40; n++) {
        for (size_t k = 0; k < n; k++) {
            for (int c = 0; c < 256; c++) {
                char text[128];
                int len = snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
                memset(text + len, 'v', n);
                text[(size_t)len + k] = (char)c;
                memcpy(text + len + n, "\r\n\r\n", 4);
                ag__http_head h;
                ag__http_head_init(&h, fields, FIELDS, NULL);
                int got = ag__http_parse(&h, text, (size_t)len + n + 4);
                bool fine = c == '\t' || (c >= ' ' && c != 127);
                int expected = fine ? len + (int)n + 4 : AG__BAD_VALUE_BYTE;
                if (c == '\r' && k + 1 < n)
                    expected = AG__BAD_BARE_CR;
                if (c == '\r' && k + 1 == n)
                    expected = AG__BAD_BARE_CR;
                if (c == '\n')
                    expected = AG__BAD_BARE_LF;
                if (got != expected)
                    ag_fail("byte 0x%02x at %zu of %zu: %d, expected %d", c, k, n, got, expected);
            }
        }
    }
}

AG_TEST(parse_reads_lengths_up_to_the_limit_of_int64) {
    ag__http_head h;
    ag_check(parse(&h, "POST / HTTP/1.0\r\nContent-Length: 9223372036854775807\r\n\r\n") > 0);
    ag_check_int(h.content_length, INT64_MAX);
    ag_check(parse(&h, "POST / HTTP/1.0\r\nContent-Length: 00000000000000000000000042\r\n\r\n") >
             0);
    ag_check_int(h.content_length, 42);
    check_verdict("POST / HTTP/1.0\r\nContent-Length: 9223372036854775808\r\n\r\n",
                  "LENGTH_OVERFLOW");
    check_verdict("POST / HTTP/1.0\r\nContent-Length: 99999999999999999999999\r\n\r\n",
                  "LENGTH_OVERFLOW");
}

static const char *const good_hosts[] = {
    "a",
    "a.b",
    "a_b-c~d",
    "127.0.0.1:80",
    "a:",
    "a:65535",
    "[::]",
    "[::1]:8",
    "[1::]",
    "[1:2:3:4:5:6:7:8]",
    "a.b.",
    "[::1.2.3.4]",
    "[1:2:3:4:5:6:1.2.3.4]",
    "[1::3:4:5:6:7:8]",
    "xn--bcher-kva.example",
};
static const char *const bad_hosts[] = {
    "",
    ":80",
    "a:b",
    "a:65536",
    "a:99999999999",
    "a b",
    "a/b",
    "user@a",
    "a:80:80",
    "[::1",
    "::1",
    "[]",
    "[:]",
    "[1]",
    "[1:2:3:4:5:6:7:8:9]",
    "[1:::2]",
    "[::1::2]",
    "[12345::]",
    "[g::]",
    "[::1]x",
    "[::1.2.3]",
    "[::1.2.3.256]",
    "[::01.2.3.4]",
    "[1:2:3:4:5:6:7::8:9]",
    "%4",
    "%zz",
    "%41b",
    "a%0d%0ab",
    ".",
    "a..b",
    ".a",
    "a..",
    "a?",
    "a#",
    "\"a\"",
    "a\\b",
    "\x80",
    "[::1%25en0]",
    "[1:]",
    "[1:2:3:4:5:6:7:1.2.3.4]",
    "[:1]",
    "a,b c",
    "a,\tb",
};

AG_TEST(parse_judges_hosts) {
    char text[200];
    ag__http_head h;
    for (size_t i = 0; i < sizeof good_hosts / sizeof *good_hosts; i++) {
        snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", good_hosts[i]);
        if (parse(&h, text) < 0)
            ag_fail("host \"%s\" was refused", good_hosts[i]);
    }
    for (size_t i = 0; i < sizeof bad_hosts / sizeof *bad_hosts; i++) {
        snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", bad_hosts[i]);
        check_verdict(text, "HOST_INVALID");
    }
}

/* ---- Limits --------------------------------------------------------------------------------- */

/* The verdict on `text` under `limits`, when it comes at once and byte by byte. */
static int with_limits(const char *text, uint32_t field_max, ag__http_limits limits) {
    ag__http_head h;
    size_t n = strlen(text);
    ag__http_head_init(&h, fields, field_max, &limits);
    int at_once = ag__http_parse(&h, text, n), dripping = -EAGAIN;
    ag__http_head_reset(&h);
    for (size_t i = 0; i <= n && dripping == -EAGAIN; i++)
        dripping = ag__http_parse(&h, text, i);
    ag_check_int(dripping, at_once);
    return at_once;
}

AG_TEST(parse_limits_hold_to_the_byte) {
    const char *text = "GET /12345 HTTP/1.1\r\nHost: a\r\n\r\n";
    int n = (int)strlen(text), line = 21;
    ag_check_int(with_limits(text, 9, (ag__http_limits){0}), n);
    ag_check_int(with_limits(text, 9, (ag__http_limits){.line_max = (uint32_t)line}), n);
    ag_check_int(with_limits(text, 9, (ag__http_limits){.line_max = (uint32_t)line - 1}),
                 AG__BAD_REQUEST_LINE_TOO_LONG);
    ag_check_int(with_limits(text, 9, (ag__http_limits){.head_max = (uint32_t)n}), n);
    ag_check_int(with_limits(text, 9, (ag__http_limits){.head_max = (uint32_t)n - 1}),
                 AG__BAD_HEAD_TOO_LARGE);
    ag_check_int(with_limits(text, 9, (ag__http_limits){.head_max = 10}), AG__BAD_HEAD_TOO_LARGE);
    ag_check_int(with_limits(text, 1, (ag__http_limits){0}), n);
    ag_check_int(with_limits(text, 0, (ag__http_limits){0}), AG__BAD_TOO_MANY_FIELDS);
    ag_check_int(
        with_limits("\r\n\r\nGET / HTTP/1.0\r\n\r\n", 0, (ag__http_limits){.line_max = 16}), 22);
}

AG_TEST(parse_limits_the_announced_body) {
    const char *text = "POST / HTTP/1.0\r\nContent-Length: 100\r\n\r\n";
    ag_check(with_limits(text, 9, (ag__http_limits){.body_max = 100}) > 0);
    ag_check_int(with_limits(text, 9, (ag__http_limits){.body_max = 99}), AG__BAD_BODY_TOO_LARGE);
}

/* A limit is seen before what is wrong with the line that crosses it, however the bytes come. */
AG_TEST(parse_verdict_on_long_bad_lines_does_not_depend_on_steps) {
    for (uint32_t max = 1; max < 60; max++) {
        with_limits("GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", 9, (ag__http_limits){.head_max = max});
        with_limits("GET / HTTP/1.1\r\nHost : a\nFoo\r\n\r\n", 9,
                    (ag__http_limits){.head_max = max});
        with_limits("\r\n\r\n\r\nGET / HTTP/1.1\r\n", 9,
                    (ag__http_limits){.head_max = 40, .line_max = max});
    }
}

/* ---- Resuming ------------------------------------------------------------------------------- */

/* The buffer moves at every step, and what it was is overwritten. */
AG_TEST(parse_goes_on_in_a_buffer_that_moves) {
    const char *text = "\r\nGET /path?q HTTP/1.1\r\nHost: example.com\r\nCookie: a=b\r\n\r\n";
    size_t n = strlen(text);
    ag__http_head h;
    ag__http_head_init(&h, fields, FIELDS, NULL);
    int got = -EAGAIN;
    char *buf = NULL;
    for (size_t i = 0; i <= n; i++) {
        if (buf)
            memset(buf, 'x', i - 1);
        free(buf);
        buf = malloc(i + 1);
        memcpy(buf, text, i);
        got = ag__http_parse(&h, buf, i);
        ag_check_int(got, i < n ? -EAGAIN : (int)n);
    }
    check_slice(buf, h.path, "/path");
    check_slice(buf, h.host, "example.com");
    check_slice(buf, h.fields[1].value, "a=b");
    free(buf);
}

AG_TEST(parse_repeats_its_last_word) {
    const char *good = "GET / HTTP/1.0\r\n\r\n", *bad = "GET / HTTP/3.0\r\n\r\n";
    ag__http_head h;
    ag_check_int(parse(&h, good), 18);
    ag_check_int(ag__http_parse(&h, good, 18), 18);
    ag_check_int(parse(&h, bad), AG__BAD_VERSION_UNSUPPORTED);
    ag_check_int(ag__http_parse(&h, bad, 3), AG__BAD_VERSION_UNSUPPORTED);
    ag__http_head_reset(&h);
    ag_check_int(ag__http_parse(&h, good, 18), 18);
}

AG_TEST(parse_leaves_the_next_request_alone) {
    const char *text = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: b\r\n\r\n";
    ag__http_head h;
    int n = parse(&h, text);
    ag_check_int(n, 28);
    ag__http_head_reset(&h);
    ag_check_int(ag__http_parse(&h, text + n, strlen(text) - (size_t)n), 28);
    check_slice(text + n, h.path, "/2");
    check_slice(text + n, h.host, "b");
}

AG_TEST(parse_refuses_a_wrong_protocol_at_its_first_byte) {
    check_verdict("\x16", "METHOD");
    check_verdict("\n", "BARE_LF");
    check_verdict(" ", "METHOD");
    check_verdict("\r\n\x16", "METHOD");
}

/* ---- Reading behind the input --------------------------------------------------------------- */

/* Every prefix of a request ends flush at a page that must not be touched. */
AG_TEST(parse_does_not_read_behind_its_input) {
    static const char *const texts[] = {
        ("GET /ok HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nContent-Length: 12345678\r\n"
         "X-Long: abcdefghijklmnopqrstuvwxyz\r\nTransfer-Encodinh: chunked\r\n\r\n"),
        "GET http://[::1.2.3.4]:80/%41%42?a=%4 HTTP/1.1\r\nHost: [::1]\r\nA: b\r\nTE: x\r\n\r\n",
        "CONNECT a.41.:80 HTTP/1.1\r\nHost: a.41.\r\nConnection: close, ,upgrade\r\n\r\n",
    };
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *room = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ag_check(room != MAP_FAILED);
    ag_check_int(mprotect(room + page, page, PROT_NONE), 0);
    for (size_t t = 0; t < sizeof texts / sizeof *texts; t++) {
        size_t n = strlen(texts[t]);
        for (size_t i = 0; i <= n; i++) {
            char *buf = room + page - i;
            ag__http_head h;
            memcpy(buf, texts[t], i);
            ag__http_head_init(&h, fields, FIELDS, NULL);
            ag_check_int(ag__http_parse(&h, buf, i), i < n ? -EAGAIN : (int)n);
            /* The same bytes as a line of their own: names, values and targets end at the page. */
            if (i < 2)
                continue;
            memcpy(buf + i - 2, "\r\n", 2);
            ag__http_head_reset(&h);
            ag__http_parse(&h, buf, i);
        }
    }
    munmap(room, 2 * page);
}

/* ---- Replies -------------------------------------------------------------------------------- */

/* The head of a reply in steps of every size: the same verdict. */
static void check_reply(const char *text, int verdict, int status) {
    ag__http_field fields[8];
    ag__http_head h;
    size_t n = strlen(text);
    for (size_t step = 1; step <= n; step++) {
        int got = -EAGAIN;
        ag__http_reply_init(&h, fields, 8, NULL);
        for (size_t len = step; got == -EAGAIN; len += step) {
            got = ag__http_parse(&h, text, len < n ? len : n);
            if (len >= n)
                break;
        }
        if (got != verdict)
            ag_fail("%d (%s) for %s in steps of %zu", got, ag__http_verdict_name(got), text, step);
        if (verdict > 0)
            ag_check_int(h.status, status);
    }
}

AG_TEST(reply_head_is_read) {
    check_reply("HTTP/1.1 200 OK\r\n\r\n", 19, 200);
    check_reply("HTTP/1.0 999 \r\nA: b\r\n\r\n", 23, 999);
    check_reply("HTTP/1.1 100\r\n\r\n", 16, 100);
    check_reply("HTTP/1.1 200 \xff\t\r\n\r\n", 19, 200);
    check_reply("HTTP/1.1 200 OK\r\nHost: a b\r\nHost: c\r\nExpect: x\r\n\r\n", 50, 200);
    check_reply("HTTP/1.1 200 OK\r\n", -EAGAIN, 0);
}

AG_TEST(reply_head_is_refused) {
    check_reply("XTTP/1.1 200 OK\r\n\r\n", AG__BAD_STATUS_LINE, 0);
    check_reply("\r\n", AG__BAD_STATUS_LINE, 0);
    check_reply("HTTP/1.1 200OK\r\n\r\n", AG__BAD_STATUS_LINE, 0);
    check_reply("HTTP/1.1 099 OK\r\n\r\n", AG__BAD_STATUS_LINE, 0);
    check_reply("HTTP/1.1 20 OK\r\n\r\n", AG__BAD_STATUS_LINE, 0);
    check_reply("HTTP/1.1 200 \x01\r\n\r\n", AG__BAD_STATUS_LINE, 0);
    check_reply("HTTP/1.1 200 a\rb\r\n\r\n", AG__BAD_BARE_CR, 0);
    check_reply("HTTP/1.1 200 OK\n\n", AG__BAD_BARE_LF, 0);
    check_reply("HTTP/3.0 200 OK\r\n\r\n", AG__BAD_VERSION_UNSUPPORTED, 0);
    check_reply("HTTP/x.1 200 OK\r\n\r\n", AG__BAD_VERSION, 0);
    check_reply("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
                AG__BAD_LENGTH_REPEATED, 0);
    check_reply("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", AG__BAD_CODING_IN_1_0, 0);
    check_reply(
        "HTTP/1.1 200 OK\r\nA:1\r\nA:1\r\nA:1\r\nA:1\r\nA:1\r\nA:1\r\nA:1\r\nA:1\r\nA:1\r\n",
        AG__BAD_TOO_MANY_FIELDS, 0);
}
