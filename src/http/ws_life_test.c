/* SPDX-License-Identifier: MIT */
/*
 * WebSockets between two of ours: messages, closing, silence, turns, wishes, a stop.
 */
#include "ag_test.h"

#include "http/ws_site_test.h"
#include <malloc.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- Messages ------------------------------------------------------------------------------- */

AG_TEST_RUN(messages_come_back_as_they_were) {
    static char text[200000];
    static const size_t sizes[] = {0, 1, 125, 126, 4000, 5000, 65535, 65536, sizeof text};
    const char *data;
    size_t n;
    memset(text, 'm', sizeof text);
    start();
    ag_ws *ws = dial("/echo?a=b", NULL);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        ag_check_int(ag_ws_write(ws, AG_WS_BINARY, text, sizes[i]), 0);
        ag_check_int(ag_ws_read(ws, &data, &n), AG_WS_BINARY);
        ag_check_int(n, sizes[i]);
        ag_check(memcmp(data, text, n) == 0 && data[n] == 0);
    }
    ag_check_int(ag_ws_write(ws, AG_WS_TEXT, "\xff", 1), -EILSEQ);
    ag_check_int(ag_ws_write(ws, AG_WS_TEXT, "\xce", 1), -EILSEQ);
    ag_check_int(ag_ws_ping(ws, text, 126), -EINVAL);
    ag_check_int(ag_ws_text(ws, "still open"), 0);
    expect_text(ws, "still open");
    ag_check_str(ag_ws_protocol(ws), "");
    ag_check_int(ag_ws_close_code(ws), 0);
    ag_check_int(ag_ws_close(ws, AG_WS_NORMAL, "bye"), 0);
    ag_check_int(ag_ws_close_code(ws), AG_WS_NORMAL);
    ag_ws_unref(ws);
    eventually(atomic_load(&ended) == 1);
    site_end(&site);
}

static void bad_type(ag_ws *ws) {
    ag_ws_write(ws, 3, "", 0);
}

AG_TEST_RUN(a_bad_type_panics) {
    ag_panic_info info;
    ag_ws *server;
    start();
    ag_ws *ws = pair(NULL, &server);
    ag_check_int(ag_try(&info, bad_type, ws), AG_PANICKED);
    ag_check_contains(info.msg, "websocket: bad message type 3");
    ag_ws_unref(ws);
    ag_ws_unref(server);
    site_end(&site);
}

AG_TEST_RUN(a_message_in_pieces_lets_pings_through_and_no_other_message) {
    ag_ws *server;
    char buf[10];
    start();
    ag_ws *ws = pair(NULL, &server);
    ag_check_int(ag_ws_begin(ws, AG_WS_TEXT), 0);
    ag_check_int(ag_ws_write_some(ws, "one ", 4), 0);
    {
        ag_within(20 * AG_MS);
        ag_check_int(ag_ws_text(ws, "between"), -ETIMEDOUT);
    }
    ag_check_int(ag_ws_ping(ws, "p", 1), 0);
    ag_check_int(ag_ws_next(server), AG_WS_TEXT);
    ag_check_int(ag_ws_read_some(server, buf, 3), 3);
    ag_check_int(ag_ws_write_some(ws, "two", 3), 0);
    ag_check_int(ag_ws_end(ws), 0);
    ag_check_int(ag_ws_text(ws, "after"), 0);
    ag_check_int(ag_ws_read_some(server, buf, 10), 1);
    ag_check_int(ag_ws_read_some(server, buf, 10), 3);
    ag_check_int(ag_ws_read_some(server, buf, 10), 0);
    ag_check_int(ag_ws_read_some(server, buf, 10), 0);
    expect_text(server, "after");
    /* What is left of one is dropped. */
    ag_check_int(ag_ws_text(ws, "long message"), 0);
    ag_check_int(ag_ws_text(ws, "next"), 0);
    ag_check_int(ag_ws_next(server), AG_WS_TEXT);
    ag_check_int(ag_ws_read_some(server, buf, 1), 1);
    expect_text(server, "next");
    ag_ws_unref(ws);
    ag_ws_unref(server);
    site_end(&site);
}

enum { WRITERS = 8, EACH = 50 };

static void writes(ag_ws *ws, int who, ag_wg *wg) {
    static char text[WRITERS][3000];
    memset(text[who], 'a' + who, sizeof text[who]);
    for (int i = 0; i < EACH; i++)
        if (i % 10 == 0) {
            ag_check_int(ag_ws_begin(ws, AG_WS_TEXT), 0);
            ag_check_int(ag_ws_write_some(ws, text[who], 100), 0);
            ag_check_int(ag_ws_write_some(ws, text[who], 200), 0);
            ag_check_int(ag_ws_end(ws), 0);
        } else {
            ag_check_int(ag_ws_write(ws, AG_WS_TEXT, text[who], (size_t)(60 * i)), 0);
        }
    ag_wg_done(wg);
}

AG_TEST_RUN(messages_of_many_writers_stay_whole) {
    ag_ws *server;
    const char *data;
    size_t n;
    ag_wg wg = AG_WG_INIT;
    start();
    ag_ws *ws = pair(NULL, &server);
    ag_wg_add(&wg, WRITERS);
    for (int i = 0; i < WRITERS; i++)
        ag_go(writes, i % 2 ? server : ws, i, &wg);
    for (int i = 0; i < WRITERS * EACH; i++) {
        ag_check_int(ag_ws_read(i % 2 ? server : ws, &data, &n), AG_WS_TEXT);
        for (size_t at = 1; at < n; at++)
            ag_check(data[at] == data[0]);
    }
    ag_wg_wait(&wg);
    ag_ws_unref(ws);
    ag_ws_unref(server);
    site_end(&site);
}

/* ---- Closing -------------------------------------------------------------------------------- */

static atomic_int read_result, write_result, close_result;

/* These take a reference. */
static void reads(ag_ws *ws) {
    const char *data;
    size_t n;
    int r;
    while ((r = ag_ws_read(ws, &data, &n)) > 0)
        continue;
    ag_ws_unref(ws);
    atomic_store(&read_result, r + 10000);
}

static void closes(ag_ws *ws, int code) {
    int r = ag_ws_close(ws, code, "so");
    ag_ws_unref(ws);
    atomic_store(&close_result, r + 10000);
}

AG_TEST_RUN(both_sides_learn_code_and_reason) {
    ag_ws *server;
    const char *data;
    size_t n;
    start();
    ag_ws *ws = pair(NULL, &server);
    ag_check_int(ag_ws_close(ws, 1005, NULL), -EINVAL);
    ag_check_int(ag_ws_close(ws, 5000, NULL), -EINVAL);
    ag_check_int(ag_ws_close(ws, 0, "why"), -EINVAL);
    ag_check_int(ag_ws_close(ws, 1000, "\xff"), -EINVAL);
    ag_go(closes, ag_ws_ref(server), 4321);
    ag_check_int(ag_ws_read(ws, &data, &n), 0);
    ag_check_int(ag_ws_close_code(ws), 4321);
    ag_check_str(ag_ws_close_reason(ws), "so");
    eventually(atomic_load(&close_result) == 10000);
    ag_check_int(ag_ws_close_code(server), 4321);
    ag_check_str(ag_ws_close_reason(server), "");
    ag_check_int(ag_ws_read(ws, &data, &n), 0);
    ag_check_int(ag_ws_close(ws, 1000, NULL), 0);
    ag_check_int(ag_ws_text(ws, "late"), -EPIPE);
    ag_check_int(ag_ws_text(server, "late"), -EPIPE);
    ag_check_int(ag_ws_begin(server, AG_WS_TEXT), -EPIPE);
    ag_check_int(ag_ws_ping(server, "", 0), -EPIPE);
    ag_ws_unref(ws);
    ag_ws_unref(server);
    site_end(&site);
}

AG_TEST_RUN(both_sides_may_close_at_once) {
    ag_ws *server;
    start();
    ag_ws *ws = pair(NULL, &server);
    ag_go(closes, ag_ws_ref(server), 1000);
    int r = ag_ws_close(ws, 1001, NULL);
    ag_check_int(r, 0);
    eventually(atomic_load(&close_result) == 10000);
    ag_ws_unref(ws);
    ag_ws_unref(server);
    site_end(&site);
}

AG_TEST_RUN(a_close_while_another_reads_waits_for_him) {
    ag_ws *server;
    start();
    ag_ws *ws = pair(NULL, &server);
    ag_go(reads, ag_ws_ref(ws));
    ag_go(reads, ag_ws_ref(server));
    ag_check_int(ag_ws_close(ws, 1000, NULL), 0);
    eventually(atomic_load(&read_result) == 10000);
    ag_ws_unref(ws);
    ag_ws_unref(server);
    site_end(&site);
}

AG_TEST_RUN(who_does_not_answer_a_close_is_cut) {
    ag_ws *server;
    const char *data;
    size_t n;
    start();
    ag_ws_options hasty = {.close_ns = 30 * AG_MS};
    ag_ws *ws = pair(&hasty, &server);
    ag_go(reads, ag_ws_ref(ws));
    ag_check_int(ag_ws_close(ws, 1000, NULL), -ETIMEDOUT);
    eventually(atomic_load(&read_result) == 10000 - ETIMEDOUT);
    ag_check_int(ag_ws_close(ws, 1000, NULL), -ETIMEDOUT);
    ag_check_int(ag_ws_close_code(ws), AG_WS_ABNORMAL);
    ag_check_int(ag_ws_read(ws, &data, &n), -ETIMEDOUT);
    ag_ws_unref(ws);
    ag_ws_unref(server);
    site_end(&site);
}

AG_TEST_RUN(the_last_reference_cuts) {
    ag_ws *server;
    const char *data;
    size_t n;
    start();
    ag_ws *ws = pair(NULL, &server);
    ag_ws_ref(ws);
    ag_ws_unref(ws);
    ag_check_int(ag_ws_text(ws, "still"), 0);
    expect_text(server, "still");
    ag_ws_unref(ws);
    ag_check_int(ag_ws_read(server, &data, &n), -ECONNRESET);
    ag_check_int(ag_ws_close_code(server), AG_WS_ABNORMAL);
    ag_ws_unref(server);
    ag_ws_unref(NULL);
    site_end(&site);
}

/* ---- Time ----------------------------------------------------------------------------------- */

AG_TEST_RUN(a_read_that_was_ended_has_lost_nothing) {
    ag_ws *server;
    const char *data;
    size_t n;
    static char text[50000];
    start();
    memset(text, 't', sizeof text - 1);
    ag_ws *ws = pair(NULL, &server);
    ag_ws_set_read_deadline(server, ag_now());
    ag_check_int(ag_ws_read(server, &data, &n), -ETIMEDOUT);
    ag_ws_set_read_deadline(server, 0);
    ag_check_int(ag_ws_begin(ws, AG_WS_TEXT), 0);
    ag_check_int(ag_ws_write_some(ws, text, 20000), 0);
    {
        ag_within(30 * AG_MS);
        ag_check_int(ag_ws_read(server, &data, &n), -ETIMEDOUT);
    }
    ag_check_int(ag_ws_write_some(ws, text, 29999), 0);
    ag_check_int(ag_ws_end(ws), 0);
    expect_text(server, text);
    ag_ws_unref(ws);
    ag_ws_unref(server);
    site_end(&site);
}

static void floods(ag_ws *ws) {
    static char text[65536];
    int r;
    while ((r = ag_ws_write(ws, AG_WS_BINARY, text, sizeof text)) == 0)
        continue;
    ag_ws_unref(ws);
    atomic_store(&write_result, r + 10000);
}

AG_TEST_RUN(who_does_not_read_holds_up_its_writer_and_is_cut) {
    ag_ws *server;
    const char *data;
    size_t n;
    of_server.write_ns = 50 * AG_MS;
    start();
    ag_ws *ws = pair(NULL, &server);
    ag_go(floods, ag_ws_ref(server));
    eventually(atomic_load(&write_result) != 0);
    ag_check_int(atomic_load(&write_result), 10000 - ETIMEDOUT);
    ag_check_int(ag_ws_read(server, &data, &n), -ETIMEDOUT);
    ag_ws_unref(ws);
    ag_ws_unref(server);
    site_end(&site);
}

AG_TEST_RUN(a_write_deadline_ends_it_sooner) {
    ag_ws *server;
    start();
    ag_ws *ws = pair(NULL, &server);
    ag_ws_set_write_deadline(server, ag_now() + 30 * AG_MS);
    ag_go(floods, ag_ws_ref(server));
    eventually(atomic_load(&write_result) == 10000 - ETIMEDOUT);
    ag_ws_unref(ws);
    ag_ws_unref(server);
    site_end(&site);
}

AG_TEST_RUN(a_silent_peer_is_pinged_and_cut) {
    ag_ws *server;
    const char *data;
    size_t n;
    of_server.ping_ns = 20 * AG_MS;
    of_server.pong_ns = 20 * AG_MS;
    start();
    ag_ws *ws = pair(NULL, &server); /* reads nothing, so it answers nothing */
    ag_check_int(ag_ws_read(server, &data, &n), -ETIMEDOUT);
    ag_check_int(ag_ws_close_code(server), AG_WS_ABNORMAL);
    ag_check_int(ag_ws_read(ws, &data, &n), -ECONNRESET); /* behind the ping */
    ag_ws_unref(ws);
    ag_ws_unref(server);
    site_end(&site);
}

AG_TEST_RUN(a_peer_that_answers_pings_is_kept) {
    ag_ws *server;
    of_server.ping_ns = 10 * AG_MS * ag_test_slow();
    of_server.pong_ns = AG_MIN;
    start();
    ag_ws *ws = pair(NULL, &server);
    int64_t before = ag_conn_received(ag_ws_conn(ws));
    ag_go(reads, ag_ws_ref(ws));
    ag_go(reads, ag_ws_ref(server));
    eventually(ag_conn_received(ag_ws_conn(ws)) >= before + 2 * 5); /* five pings */
    ag_check_int(atomic_load(&read_result), 0);
    ag_check_int(ag_ws_close(ws, 1000, NULL), 0);
    ag_ws_unref(ws);
    ag_ws_unref(server);
    site_end(&site);
}

AG_TEST_RUN(deafness_is_not_taken_for_silence) {
    ag_ws *server;
    of_server.ping_ns = 5 * AG_MS;
    of_server.pong_ns = 5 * AG_MS;
    start();
    ag_ws *ws = pair(NULL, &server);
    ag_sleep(60 * AG_MS); /* nobody reads at the server */
    ag_check_int(ag_ws_close_code(server), 0);
    ag_ws_unref(ws);
    ag_ws_unref(server);
    site_end(&site);
}

/* ---- Wishes --------------------------------------------------------------------------------- */

static atomic_int granted;

static void note(ag_ws *ws, int n) {
    const char *data;
    size_t size;
    atomic_store(&read_result, ag_ws_read(ws, &data, &size) + 10000);
    atomic_fetch_add(&granted, n);
}

AG_TEST_RUN(a_wish_is_granted_by_a_message_and_not_by_a_ping) {
    ag_ws *server;
    const char *data;
    size_t n;
    start();
    ag_ws *ws = pair(NULL, &server);
    ag_check_int(ag_ws_when_readable(server, note, server, 1), 0);
    ag_check_int(ag_ws_when_readable(server, note, server, 1), -EBUSY);
    int64_t before = ag_conn_received(ag_ws_conn(ws));
    ag_check_int(ag_ws_ping(ws, "abc", 3), 0);
    ag_go(reads, ag_ws_ref(ws));
    eventually(ag_conn_received(ag_ws_conn(ws)) == before + 5);
    ag_check_int(atomic_load(&granted), 0);
    ag_check_int(ag_ws_text(ws, "a"), 0);
    eventually(atomic_load(&granted) == 1);
    ag_check_int(atomic_load(&read_result), 10000 + AG_WS_TEXT);
    ag_check_int(ag_ws_text(ws, "b"), 0); /* is there before the wish */
    ag_check_int(ag_ws_text(ws, "c"), 0);
    expect_text(server, "b");
    ag_check_int(ag_ws_when_readable(server, note, server, 1), 0);
    eventually(atomic_load(&granted) == 2);
    ag_check_int(ag_ws_when_readable(server, note, server, 1), 0);
    ag_check_int(ag_ws_close(server, 1000, NULL), 0); /* with a wish, not a reader */
    eventually(atomic_load(&granted) == 3);
    eventually(atomic_load(&read_result) == 10000);
    ag_check_int(ag_ws_when_readable(server, note, server, 1), 0); /* has ended: at once */
    eventually(atomic_load(&granted) == 4);
    ag_check_int(ag_ws_read(server, &data, &n), 0);
    ag_ws_unref(ws);
    ag_ws_unref(server);
    site_end(&site);
}

AG_TEST_RUN(a_wish_is_granted_when_a_silent_peer_is_cut) {
    ag_ws *server;
    of_server.ping_ns = 10 * AG_MS;
    of_server.pong_ns = 10 * AG_MS;
    start();
    ag_ws *ws = pair(NULL, &server);
    ag_check_int(ag_ws_when_readable(server, note, server, 1), 0);
    eventually(atomic_load(&granted) == 1);
    ag_check_int(atomic_load(&read_result), 10000 - ETIMEDOUT);
    ag_ws_unref(ws);
    ag_ws_unref(server);
    site_end(&site);
}

static void wish_again(ag_ws *ws) {
    const char *data;
    size_t n;
    if (ag_ws_read(ws, &data, &n) > 0 && ag_ws_when_readable(ws, wish_again, ws) == 0)
        atomic_fetch_add(&granted, 1);
    else
        ag_ws_unref(ws);
}

static void wishes(ag_http_request *req, ag_http_response *res) {
    ag_ws *ws;
    if (ag_ws_accept(req, res, NULL, &ws) == 0)
        ag_check_int(ag_ws_when_readable(ws, wish_again, ws), 0);
}

enum { MANY = 400 };

/* A bare socket, so that the memory of the server's side can be told from the client's. */
static int bare_open(void) {
    static const char ask[] =
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        "\x81\x81\0\0\0\0a";
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    a.sin_port = htons((uint16_t)strtol(strrchr(ag_listener_addr(site.l), ':') + 1, NULL, 10));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ag_check(fd >= 0);
    ag_check_int(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    ag_check_int(write(fd, ask, sizeof ask - 1), sizeof ask - 1);
    return fd;
}

/* Sanitizers and libc keep more than was asked for, so this is about what malloc handed out. */
AG_TEST_RUN(an_idle_websocket_holds_no_goroutine_and_little_memory) {
    static int fds[MANY];
    int64_t before = 0;
    site.s = ag_http_server_new(NULL);
    ag_http_handle(site.s, "/", wishes, NULL);
    site_start(&site);
    for (int i = 0; i < MANY; i++) {
        fds[i] = bare_open();
        eventually(atomic_load(&granted) == i + 1);
        if (i == MANY / 4 - 1) {
            eventually(ag_count() == 2);
            before = (int64_t)mallinfo2().uordblks;
        }
    }
    eventually(ag_count() == 2); /* this one, and the one that accepts */
    int64_t each = ((int64_t)mallinfo2().uordblks - before) / (MANY - MANY / 4);
    fprintf(stderr, "an idle WebSocket: %lld bytes\n", (long long)each);
    ag_check(each <= 4096);
    ag_check_int(stats_of(&site).upgraded, MANY);
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
    eventually(stats_of(&site).open == 0);
    site_end(&site);
}

/* ---- A stop --------------------------------------------------------------------------------- */

AG_TEST_RUN(a_stop_says_good_bye_to_readers_and_wishes) {
    ag_ws *server;
    const char *data;
    size_t n;
    start();
    ag_ws *reader = dial("/echo", NULL), *wisher = pair(NULL, &server);
    ag_check_int(ag_ws_when_readable(server, reads, server), 0);
    ag_go(closes, ag_ws_ref(reader), 1000);
    ag_go(reads, ag_ws_ref(wisher));
    ag_check_int(ag_http_stop(site.s, 20 * AG_SEC * ag_test_slow()), 0);
    eventually(atomic_load(&ended) == 1);
    eventually(ag_ws_close_code(wisher) == AG_WS_GOING_AWAY);
    eventually(ag_ws_close_code(reader) != 0);
    ag_check_int(ag_ws_read(wisher, &data, &n), 0);
    ag_ws_unref(reader);
    ag_ws_unref(wisher);
    site_end(&site);
}

AG_TEST_RUN(a_stop_cuts_who_does_not_answer) {
    ag_ws *server;
    const char *data;
    size_t n;
    start();
    ag_ws *ws = pair(NULL, &server);
    ag_check_int(ag_http_stop(site.s, 30 * AG_MS), 1);
    ag_check_int(ag_ws_read(server, &data, &n), -ECANCELED);
    ag_ws_unref(server);
    ag_ws_unref(ws);
    site_end(&site);
}
