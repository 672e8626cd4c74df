/* SPDX-License-Identifier: MIT */
/*
 * Compressed messages: between two of ours, in frames as the RFC has them, too large, and how an
 * offer is read.
 */
#include "ag_test.h"

#include "http/ws_deflate.h"
#include "http/ws_site_test.h"

#define NEEDS_ZLIB                                                                                 \
    if (!ag__ws_can_deflate())                                                                     \
    ag_skip("zlib")

static void compressing(void) {
    of_server.compress = true;
    start();
}

AG_TEST_RUN(compressed_messages_come_back_as_they_were) {
    static char text[300000];
    static const size_t sizes[] = {0, 1, 63, 64, 65, 4096, 65535, 65536, sizeof text};
    static const ag_ws_options o = {.compress = true};
    const char *data;
    size_t n;
    NEEDS_ZLIB;
    compressing();
    ag_ws *ws = dial("/echo", &o);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < sizeof text; i++) /* repetitive; mixed; not to be compressed */
            text[i] = (char)(round == 0 ? 'r' : round == 1 ? i * i % 64 : i * 2654435761U >> 13);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            ag_check_int(ag_ws_write(ws, AG_WS_BINARY, text, sizes[i]), 0);
            ag_check_int(ag_ws_read(ws, &data, &n), AG_WS_BINARY);
            ag_check_int(n, sizes[i]);
            ag_check(memcmp(data, text, n) == 0 && data[n] == 0);
        }
    }
    int64_t sent = ag_conn_sent(ag_ws_conn(ws)), received = ag_conn_received(ag_ws_conn(ws));
    memset(text, 'r', sizeof text);
    ag_check_int(ag_ws_write(ws, AG_WS_TEXT, text, sizeof text), 0);
    ag_check_int(ag_ws_next(ws), AG_WS_TEXT);
    size_t all = 0;
    for (ssize_t got; (got = ag_ws_read_some(ws, text, 1000)) != 0; all += (size_t)got)
        ag_check(got > 0 && text[0] == 'r');
    ag_check_int(all, sizeof text);
    ag_check(ag_conn_sent(ag_ws_conn(ws)) - sent < (int64_t)sizeof text / 50);
    ag_check(ag_conn_received(ag_ws_conn(ws)) - received < (int64_t)sizeof text / 50);
    /* In pieces: as it is. */
    ag_check_int(ag_ws_begin(ws, AG_WS_TEXT), 0);
    ag_check_int(ag_ws_write_some(ws, text, 1000), 0);
    ag_check_int(ag_ws_end(ws), 0);
    ag_check_int(ag_ws_read(ws, &data, &n), AG_WS_TEXT);
    ag_check_int(n, 1000);
    ag_check_int(ag_ws_close(ws, AG_WS_NORMAL, NULL), 0);
    ag_ws_unref(ws);
    site_end(&site);
}

AG_TEST_RUN(a_small_message_that_becomes_large_is_refused) {
    static char zeros[2000000];
    static const ag_ws_options o = {.compress = true};
    const char *data;
    size_t n;
    ag_ws *server;
    NEEDS_ZLIB;
    of_server.message_max = 100000;
    compressing();
    ag_ws *ws = pair(&o, &server);
    int64_t sent = ag_conn_sent(ag_ws_conn(ws));
    ag_check_int(ag_ws_write(ws, AG_WS_BINARY, zeros, 100000), 0); /* the largest */
    ag_check_int(ag_ws_read(server, &data, &n), AG_WS_BINARY);
    ag_check_int(n, 100000);
    ag_check_int(ag_ws_write(ws, AG_WS_BINARY, zeros, 100001), 0);
    ag_check_int(ag_ws_write(ws, AG_WS_BINARY, zeros, sizeof zeros), 0);
    ag_check(ag_conn_sent(ag_ws_conn(ws)) - sent < 50000);
    ag_check_int(ag_ws_read(server, &data, &n), -EMSGSIZE);
    ag_check_int(ag_ws_read(ws, &data, &n), 0);
    ag_check_int(ag_ws_close_code(ws), AG_WS_TOO_LARGE);
    ag_ws_unref(ws);
    ag_ws_unref(server);
    site_end(&site);
}

/* What a client says by hand, and the first bytes that come behind the handshake. */
static void expect_frames(const char *extensions, const char *accepted, const char *frame, size_t n,
                          const char *answer, size_t answer_n) {
    static struct client cl;
    static struct reply r;
    char text[600];
    client_open(&cl, &site);
    snprintf(text, sizeof text,
             "GET /echo HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
             "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
             "Sec-WebSocket-Extensions: %s\r\n\r\n",
             extensions);
    say(&cl, text);
    listen_for(&cl, &r, true);
    ag_check_int(r.status, 101);
    const char *got = field(&r, "Sec-WebSocket-Extensions");
    if (strcmp(got ? got : "none", accepted) != 0)
        ag_fail("%s for: %s", got ? got : "none", extensions);
    ag_check_int(ag_write(cl.c, frame, n), n);
    r.n = 0;
    ag_check(take_bytes(&cl, &r, answer_n));
    if (memcmp(r.body, answer, answer_n) != 0)
        ag_fail("another answer for: %s", extensions);
    client_close(&cl);
}

#define ACCEPTED "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
#define REFUSED_1002 "\x88\x02\x03\xea", 4
#define FRAME(bytes) bytes, sizeof(bytes) - 1

AG_TEST_RUN(an_offer_of_compression_is_read_strictly) {
    static const char *const good[] = {
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; client_max_window_bits=\"10\"; server_no_context_takeover",
        "x-webkit-deflate-frame, permessage-deflate;server_max_window_bits=15",
        "permessage-deflate; server_max_window_bits=10, permessage-deflate",
    };
    static const char *const bad[] = {
        "permessage-deflate; server_max_window_bits=10",
        "permessage-deflate; unknown",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; ",
        "permessage-deflate; client_max_window_bits=16",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; client_max_window_bits; client_max_window_bits",
        "permessage-bzip2",
    };
    NEEDS_ZLIB;
    compressing();
    /* RFC 7692 7.2.3.1, "Hello" compressed; it comes back as it is, because it is short. */
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        expect_frames(good[i], ACCEPTED, FRAME("\xc1\x87\0\0\0\0\xf2\x48\xcd\xc9\xc9\x07\0"),
                      FRAME("\x81\x05Hello"));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_frames(bad[i], "none", FRAME("\xc1\x80\0\0\0\0"), REFUSED_1002);
    site_end(&site);
}

AG_TEST_RUN(compressed_frames_are_read_as_the_rfc_says) {
    static const struct {
        const char *frame;
        size_t n;
        const char *answer;
        size_t answer_n;
    } cases[] = {
        /* 7.2.3.1: in two frames, with a ping between. */
        {FRAME("\x41\x83\0\0\0\0\xf2\x48\xcd\x89\x80\0\0\0\0"
               "\x80\x84\0\0\0\0\xc9\xc9\x07\0"),
         FRAME("\x8a\0\x81\x05Hello")},
        /* 7.2.3.3: without compression. */
        {FRAME("\xc1\x8b\0\0\0\0\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"),
         FRAME("\x81\x05Hello")},
        /* 7.2.3.4: the last block says so. */
        {FRAME("\xc1\x88\0\0\0\0\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), FRAME("\x81\x05Hello")},
        /* 7.2.3.5: two blocks. */
        {FRAME("\xc1\x8d\0\0\0\0\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"),
         FRAME("\x81\x05Hello")},
        /* 7.2.3.6: an empty one; and an empty one without an end. */
        {FRAME("\xc1\x81\0\0\0\0\x00"), FRAME("\x81\0")},
        {FRAME("\xc2\x80\0\0\0\0"), FRAME("\x82\0")},
        {FRAME("\xc1\x82\0\0\0\0\xff\xff"), REFUSED_1002},         /* no deflate */
        {FRAME("\x01\x80\0\0\0\0\xc0\x80\0\0\0\0"), REFUSED_1002}, /* bit of a continuation */
        {FRAME("\xc9\x80\0\0\0\0"), REFUSED_1002},                 /* of a ping */
        {FRAME("\xa1\x80\0\0\0\0"), REFUSED_1002},                 /* another bit */
        /* Not UTF-8, once it is inflated: ff fe. */
        {FRAME("\xc1\x88\0\0\0\0\x00\x02\x00\xfd\xff\xff\xfe\x00"), FRAME("\x88\x02\x03\xef")},
    };
    NEEDS_ZLIB;
    compressing();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_frames("permessage-deflate", ACCEPTED, cases[i].frame, cases[i].n, cases[i].answer,
                      cases[i].answer_n);
    site_end(&site);
}
