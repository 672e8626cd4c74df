/* SPDX-License-Identifier: MIT */
/*
 * RFC 6455 as a client that follows no rule sees it: a table of frames and answers.
 *
 * A row is a text of words, each a frame: `81:Hello` has the first byte 0x81 and the payload Hello;
 * `81:*300` 300 bytes 'x'; `88:#1000bye` a Close with a code and a reason; `=8100` are bytes as
 * they are, in hexadecimal. What the client sends is masked, what it expects is not. The server
 * echoes. After the last expected frame the server ends the connection.
 */
#include "ag_test.h"

#include "http/server_test.h"
#include "http/ws_frame.h"

#include <aglet/websocket.h>

static struct client cl; /* of the test under way: each has a process of its own */
static struct reply r;

enum { MAX = 70000, BYTES = 1 << 18 };

/* ---- Words into bytes ----------------------------------------------------------------------- */

static int hex_digit(char c) {
    return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

static size_t payload_of(const char *word, size_t n, uint8_t *to) {
    if (n && word[0] == '*') {
        size_t count = strtoul(word + 1, NULL, 10);
        memset(to, 'x', count);
        return count;
    }
    if (n && word[0] == '#') {
        char *end;
        unsigned long code = strtoul(word + 1, &end, 10);
        size_t rest = n - (size_t)(end - word);
        to[0] = (uint8_t)(code >> 8);
        to[1] = (uint8_t)code;
        memcpy(to + 2, end, rest);
        return rest + 2;
    }
    memcpy(to, word, n);
    return n;
}

static size_t frames(const char *words, bool masked, uint8_t *out) {
    static const uint8_t key[4] = {0x37, 0xfa, 0x21, 0x3d};
    static uint8_t payload[BYTES];
    size_t n = 0;
    while (*words) {
        size_t len = strcspn(words, " ");
        if (*words == '=') {
            for (size_t i = 1; i + 1 < len; i += 2)
                out[n++] = (uint8_t)(hex_digit(words[i]) << 4 | hex_digit(words[i + 1]));
        } else if (len) {
            uint8_t first = (uint8_t)(hex_digit(words[0]) << 4 | hex_digit(words[1]));
            size_t size = payload_of(words + 3, len - 3, payload);
            n += ag__ws_head_write(out + n, first, size, masked ? key : NULL);
            if (masked)
                ag__ws_mask(payload, size, key, 0);
            memcpy(out + n, payload, size);
            n += size;
        }
        words += len + (words[len] == ' ');
    }
    return n;
}

/* ---- The table ------------------------------------------------------------------------------ */

static const struct row {
    const char *name, *send, *expect;
    int result; /* of the last ag_ws_read */
} rows[] = {
    /* 5.6: messages. */
    {"text", "81:Hello 88:#1000", "81:Hello 88:#1000", 0},
    {"binary", "82:\x01\xff\x80 88:#1000", "82:\x01\xff\x80 88:#1000", 0},
    {"empty", "81: 82: 88:", "81: 82: 88:", 0},
    {"125", "82:*125 88:#1000", "82:*125 88:#1000", 0},
    {"126", "82:*126 88:#1000", "82:*126 88:#1000", 0},
    {"127", "82:*127 88:#1000", "82:*127 88:#1000", 0},
    {"4095 and more",
     "82:*4095 82:*4096 82:*4097 82:*8191 88:", "82:*4095 82:*4096 82:*4097 82:*8191 88:", 0},
    {"65535", "82:*65535 88:#1000", "82:*65535 88:#1000", 0},
    {"65536", "82:*65536 88:#1000", "82:*65536 88:#1000", 0},
    {"the largest", "82:*70000 88:#1000", "82:*70000 88:#1000", 0},
    {"one byte too large", "82:*70001", "88:#1009", -EMSGSIZE},
    {"too large by its head", "=82ff7fffffffffffffff00000000", "88:#1009", -EMSGSIZE},
    {"too large in two", "02:*69999 80:xx", "88:#1009", -EMSGSIZE},

    /* 5.2: heads. */
    {"reserved bit 1", "c1:Hello", "88:#1002", -EPROTO},
    {"reserved bit 2", "a1:Hello", "88:#1002", -EPROTO},
    {"reserved bit 3", "91:Hello", "88:#1002", -EPROTO},
    {"reserved bit of a ping", "81:first d9:", "81:first 88:#1002", -EPROTO},
    {"reserved bit of a close", "c8:#1000", "88:#1002", -EPROTO},
    {"opcode 3", "83:x", "88:#1002", -EPROTO},
    {"opcode 4", "84:x", "88:#1002", -EPROTO},
    {"opcode 5", "85:x", "88:#1002", -EPROTO},
    {"opcode 6", "86:x", "88:#1002", -EPROTO},
    {"opcode 7", "87:x", "88:#1002", -EPROTO},
    {"opcode 11", "8b:x", "88:#1002", -EPROTO},
    {"opcode 12", "8c:x", "88:#1002", -EPROTO},
    {"opcode 13", "8d:x", "88:#1002", -EPROTO},
    {"opcode 14", "8e:x", "88:#1002", -EPROTO},
    {"opcode 15", "8f:x", "88:#1002", -EPROTO},
    {"not masked", "=8105", "88:#1002", -EPROTO},
    {"16 bits for a short length", "=81fe007d00000000", "88:#1002", -EPROTO},
    {"64 bits for a middle length", "=81ff000000000000ffff00000000", "88:#1002", -EPROTO},
    {"2 to the 63", "=81ff800000000000000000000000", "88:#1002", -EPROTO},
    {"2 to the 64, less 1", "=81ffffffffffffffffff00000000", "88:#1002", -EPROTO},

    /* 5.4: fragments. */
    {"two fragments", "01:Hel 80:lo 88:", "81:Hello 88:", 0},
    {"empty fragments", "01: 00: 80: 88:", "81: 88:", 0},
    {"many fragments", "02:a 00:b 00: 00:c 80:d 88:", "82:abcd 88:", 0},
    {"large fragments", "02:*5000 00:*5000 80:*60000 88:", "82:*70000 88:", 0},
    {"a ping between", "01:Hel 89:ping 80:lo 88:", "8a:ping 81:Hello 88:", 0},
    {"many pings between",
     "01:a 89:1 00:b 89:2 8a:3 00:c 89: 80:d 88:", "8a:1 8a:2 8a: 81:abcd 88:", 0},
    {"continuation of nothing", "80:x", "88:#1002", -EPROTO},
    {"continuation of nothing, more to come", "00:x", "88:#1002", -EPROTO},
    {"continuation behind the end", "01:a 80:b 80:c", "81:ab 88:#1002", -EPROTO},
    {"a message within a message", "01:a 81:b", "88:#1002", -EPROTO},
    {"a message begun within a message", "01:a 01:b", "88:#1002", -EPROTO},
    {"a close between", "01:a 88:#1000", "88:#1000", 0},

    /* 5.5: control frames. */
    {"ping", "89: 88:", "8a: 88:", 0},
    {"ping of 125", "89:*125 88:", "8a:*125 88:", 0},
    {"ping of 126", "89:*126", "88:#1002", -EPROTO},
    {"close of 125",
     "88:#1000ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
     "cccccccccccccccccccccccccccccccccccccccccccccccccccccc",
     "88:#1000", 0},
    {"close of 126", "88:*126", "88:#1002", -EPROTO},
    {"ping in fragments", "09:x", "88:#1002", -EPROTO},
    {"close in fragments", "08:#1000", "88:#1002", -EPROTO},
    {"pong in fragments", "0a:x", "88:#1002", -EPROTO},
    {"pongs that nobody asked for", "8a: 8a:x 81:a 88:", "81:a 88:", 0},
    {"ten pings", "89:0 89:1 89:2 89:3 89:4 89:5 89:6 89:7 89:8 89:9 88:",
     "8a:0 8a:1 8a:2 8a:3 8a:4 8a:5 8a:6 8a:7 8a:8 8a:9 88:", 0},

    /* 8.1: text. */
    {"UTF-8", "81:\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5 88:",
     "81:\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5 88:", 0},
    {"UTF-8 cut in a character",
     "01:\xce 00:\xba\xe1 00:\xbd 80:\xb9 88:", "81:\xce\xba\xe1\xbd\xb9 88:", 0},
    {"the last code point", "81:\xf4\x8f\xbf\xbf 88:", "81:\xf4\x8f\xbf\xbf 88:", 0},
    {"beyond the last", "81:\xf4\x90\x80\x80", "88:#1007", -EILSEQ},
    {"beyond the last, told early", "01:\xf4 00:\x90", "88:#1007", -EILSEQ},
    {"a surrogate", "81:\xed\xa0\x80", "88:#1007", -EILSEQ},
    {"overlong, 2 bytes", "81:\xc0\xaf", "88:#1007", -EILSEQ},
    {"overlong, 3 bytes", "81:\xe0\x80\xaf", "88:#1007", -EILSEQ},
    {"overlong, 4 bytes", "81:\xf0\x80\x80\xaf", "88:#1007", -EILSEQ},
    {"a lone continuation", "81:\x80", "88:#1007", -EILSEQ},
    {"ends within a character", "81:\xce", "88:#1007", -EILSEQ},
    {"ends within a character, in fragments", "01:a\xe1 80:\xbd", "88:#1007", -EILSEQ},
    {"ends within a character, with an empty one", "01:\xce 80:", "88:#1007", -EILSEQ},
    {"bad behind eight good ones", "81:abcdefgh\xff", "88:#1007", -EILSEQ},
    {"not text", "82:\xff\xfe\x80 88:", "82:\xff\xfe\x80 88:", 0},

    /* 7: closing. */
    {"close without a code", "88:", "88:", 0},
    {"close of one byte", "88:x", "88:#1002", -EPROTO},
    {"close with a reason", "88:#1000bye", "88:#1000", 0},
    {"close, reason not UTF-8", "88:#1000\xff", "88:#1007", -EILSEQ},
    {"close, reason ends within a character", "88:#1000\xce", "88:#1007", -EILSEQ},
    {"code 1001", "88:#1001", "88:#1001", 0},
    {"code 1003", "88:#1003", "88:#1003", 0},
    {"code 1007", "88:#1007", "88:#1007", 0},
    {"code 1011", "88:#1011", "88:#1011", 0},
    {"code 1014", "88:#1014", "88:#1014", 0},
    {"code 3000", "88:#3000", "88:#3000", 0},
    {"code 4999", "88:#4999", "88:#4999", 0},
    {"code 0", "88:#0", "88:#1002", -EPROTO},
    {"code 999", "88:#999", "88:#1002", -EPROTO},
    {"code 1004", "88:#1004", "88:#1002", -EPROTO},
    {"code 1005", "88:#1005", "88:#1002", -EPROTO},
    {"code 1006", "88:#1006", "88:#1002", -EPROTO},
    {"code 1015", "88:#1015", "88:#1002", -EPROTO},
    {"code 1016", "88:#1016", "88:#1002", -EPROTO},
    {"code 2999", "88:#2999", "88:#1002", -EPROTO},
    {"code 5000", "88:#5000", "88:#1002", -EPROTO},
    {"code 65535", "88:#65535", "88:#1002", -EPROTO},
    {"a message behind the close", "88:#1000 81:late", "88:#1000", 0},
    {"a ping behind the close", "88:#1000 89:", "88:#1000", 0},
    {"two closes", "88:#1000 88:#1001", "88:#1000", 0},
    {"rubbish behind the close", "88:#1000 =ffffffffffffffffffff", "88:#1000", 0},
};

/* ---- The server ----------------------------------------------------------------------------- */

static atomic_int result, ends, peer_code;
static const ag_ws_options small = {.message_max = MAX};

static void echo(ag_http_request *req, ag_http_response *res) {
    ag_ws *ws;
    const char *data;
    size_t n;
    int type;
    if (ag_ws_accept(req, res, &small, &ws) != 0)
        return;
    while ((type = ag_ws_read(ws, &data, &n)) > 0) {
        ag_check(data[n] == 0);
        ag_check_int(ag_ws_write(ws, type, data, n), 0);
    }
    ag_check_int(ag_ws_read(ws, &data, &n), type); /* ever after */
    atomic_store(&result, type);
    atomic_store(&peer_code, ag_ws_close_code(ws));
    ag_ws_unref(ws);
    atomic_fetch_add(&ends, 1);
}

/* The same with as small pieces as there can be. */
static void echo_in_pieces(ag_http_request *req, ag_http_response *res) {
    ag_ws *ws;
    ssize_t n;
    int type;
    char *text = malloc(BYTES);
    if (ag_ws_accept(req, res, &small, &ws) != 0)
        return;
    while ((type = ag_ws_next(ws)) > 0) {
        size_t all = 0;
        while ((n = ag_ws_read_some(ws, text + all, all < 100 ? 1 : BYTES - all)) > 0)
            all += (size_t)n;
        if (n < 0) {
            type = n == -ECONNABORTED ? 0 : (int)n;
            break;
        }
        ag_check_int(ag_ws_write(ws, type, text, all), 0);
    }
    free(text);
    atomic_store(&result, type);
    ag_ws_unref(ws);
    atomic_fetch_add(&ends, 1);
}

static void again(ag_ws *ws) {
    const char *data;
    size_t n;
    int type = ag_ws_read(ws, &data, &n);
    if (type > 0) {
        ag_check_int(ag_ws_write(ws, type, data, n), 0);
        ag_check_int(ag_ws_when_readable(ws, again, ws), 0);
    } else {
        atomic_store(&result, type);
        ag_ws_unref(ws);
        atomic_fetch_add(&ends, 1);
    }
}

static void echo_when_readable(ag_http_request *req, ag_http_response *res) {
    ag_ws *ws;
    if (ag_ws_accept(req, res, &small, &ws) == 0)
        ag_check_int(ag_ws_when_readable(ws, again, ws), 0);
}

static void start(struct site *site) {
    memset(site, 0, sizeof *site);
    site->s = ag_http_server_new(NULL);
    ag_http_handle(site->s, "/echo", echo, NULL);
    ag_http_handle(site->s, "/pieces", echo_in_pieces, NULL);
    ag_http_handle(site->s, "/when", echo_when_readable, NULL);
    ag_http_handle(site->s, "/ok", ok, NULL);
    site_start(site);
}

#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define ASK(path, more)                                                                            \
    "GET " path " HTTP/1.1\r\nHost: h:80\r\nConnection: keep-alive, Upgrade\r\n"                   \
    "Upgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\n" more "\r\n"

static void shake_hands(struct site *site, const char *request) {
    client_open(&cl, site);
    say(&cl, request);
    listen_for(&cl, &r, true);
    ag_check_int(r.status, 101);
    ag_check_str(field(&r, "Sec-WebSocket-Accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

/* What comes until the end, in at most `size` bytes. */
static size_t take_all(uint8_t *to, size_t size) {
    size_t n = 0;
    do {
        size_t some = cl.n - cl.at;
        ag_check(n + some <= size);
        memcpy(to + n, cl.buf + cl.at, some);
        n += some;
        cl.at = cl.n;
    } while (client_fill(&cl));
    return n;
}

static void play(struct site *site, const char *request, const struct row *row, size_t step) {
    static uint8_t out[BYTES], expected[BYTES], got[BYTES];
    size_t n = frames(row->send, true, out), wanted = frames(row->expect, false, expected);
    int before = atomic_load(&ends);
    shake_hands(site, request);
    for (size_t at = 0; at < n; at += step) {
        if (ag_write(cl.c, out + at, n - at < step ? n - at : step) < 0)
            break; /* it has heard enough */
        if (step == 1)
            ag_yield();
    }
    size_t came = take_all(got, sizeof got);
    if (came != wanted || memcmp(got, expected, wanted) != 0)
        ag_fail("%s: expected %zu bytes, got %zu: %02x %02x %02x %02x", row->name, wanted, came,
                got[0], got[1], got[2], got[3]);
    eventually(atomic_load(&ends) == before + 1);
    if (atomic_load(&result) != row->result)
        ag_fail("%s: ag_ws_read returned %d", row->name, atomic_load(&result));
    client_close(&cl);
}

static void play_all(const char *request, size_t step) {
    struct site site;
    start(&site);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (step > 1 || strlen(rows[i].send) < 300)
            play(&site, request, &rows[i], step);
    site_end(&site);
}

AG_TEST_RUN(every_rule_of_frames_holds) {
    play_all(ASK("/echo", KEY), SIZE_MAX);
}
AG_TEST_RUN(every_rule_holds_for_bytes_that_come_one_by_one) {
    struct site site;
    start(&site);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!strchr(rows[i].send, '*'))
            play(&site, ASK("/echo", KEY), &rows[i], 1);
    site_end(&site);
}
AG_TEST_RUN(every_rule_holds_for_messages_read_in_pieces) {
    struct site site;
    start(&site);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].result != -EMSGSIZE)
            play(&site, ASK("/pieces", KEY), &rows[i], SIZE_MAX);
    site_end(&site);
}
AG_TEST_RUN(every_rule_holds_for_wishes) {
    play_all(ASK("/when", KEY), 1000);
}

AG_TEST_RUN(a_connection_that_ends_within_a_frame_is_no_clean_end) {
    static const char *const cut[] = {
        "",    "=81",           "=8185",           "=818500000000", "=81850000000048",
        "=89", "=898100000000", "=88820000000003", "01:a"};
    struct site site;
    static uint8_t out[100], got[10];
    start(&site);
    for (size_t i = 0; i < sizeof cut / sizeof *cut; i++) {
        shake_hands(&site, ASK("/echo", KEY));
        size_t n = frames(cut[i], true, out);
        ag_check_int(ag_write(cl.c, out, n), n);
        ag_conn_shutdown(cl.c, 1);
        ag_check_int(take_all(got, sizeof got), 0);
        eventually(atomic_load(&ends) == (int)i + 1);
        ag_check_int(atomic_load(&result), -ECONNRESET);
        ag_check_int(atomic_load(&peer_code), AG_WS_ABNORMAL);
        client_close(&cl);
    }
    site_end(&site);
}

/* ---- Handshakes ----------------------------------------------------------------------------- */

AG_TEST_RUN(what_is_no_handshake_is_told_so) {
    static const struct {
        int status;
        const char *request;
    } cases[] = {
        {426, "GET /echo HTTP/1.1\r\nHost: h\r\n\r\n"},
        {426, "GET /echo HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n"},
        {426, "GET /echo HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"},
        {426, "GET /echo HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
              "Sec-WebSocket-Version: 13\r\n" KEY "\r\n"},
        {426, "GET /echo HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
              "Sec-WebSocket-Version: 8\r\n" KEY "\r\n"},
        {426, "GET /echo HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n" KEY
              "\r\n"},
        {400, ASK("/echo", "")},
        {400, ASK("/echo", "Sec-WebSocket-Key: short\r\n")},
        {400, ASK("/echo", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ?=\r\n")},
        {400, ASK("/echo", KEY "Content-Length: 1\r\n") "x"},
        {405, "POST /echo HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
              "Sec-WebSocket-Version: 13\r\n" KEY "\r\n"},
        {403, ASK("/echo", KEY "Origin: http://other:80\r\n")},
        {403, ASK("/echo", KEY "Origin: http://h\r\n")},
        {403, ASK("/echo", KEY "Origin: null\r\n")},
        {403, ASK("/echo", KEY "Origin: h:80\r\n")},
    };
    struct site site;
    start(&site);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        client_open(&cl, &site);
        say(&cl, cases[i].request);
        listen_for(&cl, &r, false);
        if (r.status != cases[i].status)
            ag_fail("%d instead of %d for: %s", r.status, cases[i].status, cases[i].request);
        if (r.status == 426) {
            ag_check_str(field(&r, "Sec-WebSocket-Version"), "13");
            ag_check_str(field(&r, "Upgrade"), "websocket");
            ag_check_contains(r.head, "Connection: upgrade\n");
        }
        client_close(&cl);
    }
    ag_check_int(stats_of(&site).upgrades, 0);
    shake_hands(&site, ASK("/echo", KEY "Origin: https://H:80\r\n"));
    client_close(&cl);
    site_end(&site);
}

static void with_options(ag_http_request *req, ag_http_response *res) {
    ag_ws *ws;
    ag_http_set(res, "X-Mine", "kept");
    if (ag_ws_accept(req, res, ag_http_arg(req), &ws) != 0)
        return;
    ag_ws_text(ws, ag_ws_protocol(ws));
    ag_ws_close(ws, AG_WS_NORMAL, "done"); /* some clients have heard enough */
    ag_ws_unref(ws);
}

AG_TEST_RUN(the_first_protocol_of_ours_that_is_offered_is_chosen) {
    static const ag_ws_options o = {.protocols = "chat.v2, chat.v1"};
    static const struct {
        const char *offer, *chosen;
    } cases[] = {
        {ASK("/", KEY "Sec-WebSocket-Protocol: chat.v1, chat.v2\r\n"), "chat.v2"},
        {ASK("/", KEY "Sec-WebSocket-Protocol: soap\r\nSec-WebSocket-Protocol: x,chat.v1\r\n"),
         "chat.v1"},
        {ASK("/", KEY "Sec-WebSocket-Protocol: CHAT.V1\r\n"), NULL},
        {ASK("/", KEY), NULL},
    };
    struct site site = {.s = ag_http_server_new(NULL)};
    static uint8_t expected[100], got[100];
    char words[64];
    ag_http_handle(site.s, "/", with_options, (void *)(uintptr_t)&o);
    site_start(&site);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        shake_hands(&site, cases[i].offer);
        const char *chosen = field(&r, "Sec-WebSocket-Protocol");
        ag_check_str(chosen ? chosen : "none", cases[i].chosen ? cases[i].chosen : "none");
        ag_check_str(field(&r, "X-Mine"), "kept");
        uint8_t reply[20];
        size_t n = frames("88:#1000", true, reply);
        ag_check_int(ag_write(cl.c, reply, n), n);
        snprintf(words, sizeof words, "81:%s 88:#1000done", cases[i].chosen ? cases[i].chosen : "");
        n = frames(words, false, expected);
        ag_check_int(take_all(got, sizeof got), n);
        ag_check(memcmp(got, expected, n) == 0);
        client_close(&cl);
    }
    site_end(&site);
}

AG_TEST_RUN(origins_are_let_in_by_a_list) {
    static const ag_ws_options listed = {
        .origins = "app.example, *.example.org,https://other.example:8443"};
    static const ag_ws_options all = {.origins = "*"};
    static const struct {
        int status;
        const char *request;
    } cases[] = {
        {101, ASK("/listed", KEY)},
        {101, ASK("/listed", KEY "Origin: http://app.example\r\n")},
        {101, ASK("/listed", KEY "Origin: HTTPS://APP.example\r\n")},
        {403, ASK("/listed", KEY "Origin: http://app.example:81\r\n")},
        {101, ASK("/listed", KEY "Origin: http://a.b.example.org\r\n")},
        {403, ASK("/listed", KEY "Origin: http://example.org\r\n")},
        {403, ASK("/listed", KEY "Origin: http://badexample.org\r\n")},
        {403, ASK("/listed", KEY "Origin: http://h:80\r\n")},
        {101, ASK("/listed", KEY "Origin: https://other.example:8443\r\n")},
        {403, ASK("/listed", KEY "Origin: http://other.example:8443\r\n")},
        {101, ASK("/all", KEY "Origin: http://anywhere\r\n")},
    };
    struct site site = {.s = ag_http_server_new(NULL)};
    ag_http_handle(site.s, "/listed", with_options, (void *)(uintptr_t)&listed);
    ag_http_handle(site.s, "/all", with_options, (void *)(uintptr_t)&all);
    site_start(&site);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        client_open(&cl, &site);
        say(&cl, cases[i].request);
        listen_for(&cl, &r, true);
        if (r.status != cases[i].status)
            ag_fail("%d instead of %d for: %s", r.status, cases[i].status, cases[i].request);
        client_close(&cl);
    }
    site_end(&site);
}

AG_TEST_RUN(what_comes_with_the_handshake_is_not_lost) {
    struct site site;
    static uint8_t out[BYTES], expected[BYTES], got[BYTES];
    const char *request = ASK("/echo", KEY);
    size_t head = strlen(request);
    start(&site);
    memcpy(out, request, head);
    size_t n = head + frames("81:early 82:*6000 88:", true, out + head);
    client_open(&cl, &site);
    ag_check_int(ag_write(cl.c, out, n), n);
    listen_for(&cl, &r, true);
    ag_check_int(r.status, 101);
    n = frames("81:early 82:*6000 88:", false, expected);
    ag_check_int(take_all(got, sizeof got), n);
    ag_check(memcmp(got, expected, n) == 0);
    client_close(&cl);
    site_end(&site);
}
