/* SPDX-License-Identifier: MIT */
/*
 * HTTP/2 and clients that are slow, greedy, gone or mad; and its stop.
 */
#include "ag_test.h"

#include "http/h2_test.h"
#include "http/server_gate_test.h"

#include <malloc.h>

static struct h2c h; /* of the test under way: each has a process of its own */
static atomic_int gone;

/* Its own context does not end it. */
static void waits_on(ag_http_request *req, ag_http_response *res) {
    ag_ctx_enter(NULL);
    atomic_fetch_add(&entered, 1);
    ag_recv(gate, NULL);
    atomic_fetch_add(&gone, ag_http_client_is_gone(req));
    ag_http_printf(res, "%s", ag_http_stopping(ag_http_server_of(req)) ? "stopping" : "waited");
    atomic_fetch_add(&left, 1);
}

static atomic_int cause;

static void waits_in_context(ag_http_request *req, ag_http_response *res) {
    atomic_fetch_add(&entered, 1);
    ag_recv(gate, NULL);
    atomic_store(&cause, ag_ctx_cause(ag_http_ctx(req)));
    ag_http_text(res, 200, "told");
    atomic_fetch_add(&left, 1);
}

/* Waits for a body, which its client does not send. */
static void reads(ag_http_request *req, ag_http_response *res) {
    char byte;
    (void)res;
    ag_ctx_enter(NULL); /* else the end of a stop would end it before the cut */
    atomic_fetch_add(&entered, 1);
    ssize_t n = ag_http_body_read(req, &byte, 1);
    ag_check_int(n, ag_http_stopping(ag_http_server_of(req)) ? -ECANCELED : -ECONNRESET);
    atomic_fetch_add(&left, 1);
}

/* Waits in a write. */
static void writes(ag_http_request *req, ag_http_response *res) {
    static char piece[50000];
    ssize_t n;
    (void)req;
    atomic_fetch_add(&entered, 1);
    while ((n = ag_http_write(res, piece, sizeof piece)) > 0)
        continue;
    ag_check(n == -EPIPE);
    atomic_fetch_add(&left, 1);
}

static void start(struct site *site, const ag_http_options *options) {
    begin(site, options);
    ag_http_handle(site->s, "/wait", waits_on, NULL);
    ag_http_handle(site->s, "/context", waits_in_context, NULL);
    ag_http_handle(site->s, "/watch", watches, NULL);
    ag_http_handle(site->s, "/read", reads, NULL);
    ag_http_handle(site->s, "/write", writes, NULL);
    site_start(site);
}

/* The connection must end now, with GOAWAY of this error. */
static void expect_goaway(uint32_t error) {
    while (h2_turn(&h))
        continue;
    ag_check(h.goaways >= 1);
    ag_check_int(h.goaway_error, error);
}

static void open_and_settle(struct site *site) {
    h2_open(&h, site);
    h2_until(&h, h.settings >= 2);
    h2_send(&h);
}

/* ---- By hand -------------------------------------------------------------------------------- */

enum { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE };

/* A frame as it comes; its payload is ended by a NUL. */
struct frame {
    size_t n;
    int type, flags;
    uint32_t id;
    char payload[17000];
};

static void next_frame(struct client *cl, struct frame *f) {
    const unsigned char *p;
    while (cl->n - cl->at < 9)
        ag_check(client_fill(cl));
    p = (unsigned char *)cl->buf + cl->at;
    *f = (struct frame){.n = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2],
                        .type = p[3],
                        .flags = p[4],
                        .id = (uint32_t)p[5] << 24 | (uint32_t)p[6] << 16 | (uint32_t)p[7] << 8 |
                              p[8]};
    ag_check(f->n < sizeof f->payload);
    while (cl->n - cl->at < 9 + f->n)
        ag_check(client_fill(cl));
    memcpy(f->payload, cl->buf + cl->at + 9, f->n);
    cl->at += 9 + f->n;
}

static void skip_to(struct client *cl, struct frame *f, int type) {
    do
        next_frame(cl, f);
    while (f->type != type);
}

#define SAY(cl, bytes) ag_check_int(ag_write((cl)->c, bytes, sizeof(bytes) - 1), sizeof(bytes) - 1)

/* ---- Resets --------------------------------------------------------------------------------- */

AG_TEST_RUN(a_handler_learns_that_its_stream_was_reset) {
    static const char *const paths[] = {"/watch", "/read", "/write"};
    struct site site;
    start(&site, NULL);
    h2_open(&h, &site);
    for (int i = 0; i < 3; i++) {
        struct answer *a = h2_ask(&h, "POST", paths[i], NULL, -1);
        h2_send(&h);
        eventually(atomic_load(&entered) == i + 1);
        nghttp2_submit_rst_stream(h.s, 0, a->id, NGHTTP2_CANCEL);
        h2_send(&h);
        eventually(atomic_load(&left) == i + 1);
        h2_expect(h2_get(&h, "/ok"), 200, "ok\n");
    }
    ag_check_int(stats_of(&site).h2_resets, 3);
    h2_close(&h);
    finish(&site);
}

AG_TEST_RUN(all_handlers_learn_that_their_client_has_gone) {
    static const char *const paths[] = {"/watch", "/read", "/write"};
    struct site site;
    start(&site, NULL);
    h2_open(&h, &site);
    for (int i = 0; i < 9; i++)
        h2_ask(&h, "POST", paths[i % 3], NULL, -1);
    h2_send(&h);
    eventually(atomic_load(&entered) == 9);
    h2_close(&h);
    eventually(atomic_load(&left) == 9);
    eventually(stats_of(&site).open == 0);
    finish(&site);
}

AG_TEST_RUN(rapid_resets_end_the_connection) {
    struct site site;
    int asked = 0;
    start(&site, NULL);
    open_and_settle(&site);
    for (; asked < 500 && !h.ended; asked++) {
        struct answer *a = h2_ask(&h, "GET", "/ok", NULL, 0);
        h2_send(&h);
        nghttp2_submit_rst_stream(h.s, 0, a->id, NGHTTP2_CANCEL);
        h2_send(&h);
    }
    expect_goaway(NGHTTP2_ENHANCE_YOUR_CALM);
    ag_check_int(stats_of(&site).h2_ended, 1);
    h2_close(&h);
    finish(&site);
}

AG_TEST_RUN(a_handler_counts_until_it_returns) {
    enum { MOST = 10 };
    struct site site;
    ag_http_options o = {.streams_max = MOST};
    start(&site, &o);
    open_and_settle(&site);
    for (int i = 0; i < MOST; i++) {
        struct answer *a = h2_ask(&h, "GET", "/wait", NULL, 0);
        h2_send(&h);
        eventually(atomic_load(&entered) == i + 1);
        nghttp2_submit_rst_stream(h.s, 0, a->id, NGHTTP2_CANCEL);
        h2_send(&h);
    }
    struct answer *a = h2_get(&h, "/ok");
    ag_check_int(a->error, NGHTTP2_REFUSED_STREAM);
    ag_send(gate, 0);
    eventually(stats_of(&site).h2_streams_open == MOST - 1);
    h2_expect(h2_get(&h, "/ok"), 200, "ok\n");
    ag_close(gate);
    eventually(atomic_load(&left) == MOST);
    ag_check_int(atomic_load(&gone), MOST);
    h2_close(&h);
    finish(&site);
}

AG_TEST_RUN(a_reset_and_a_stop_end_the_contexts_of_handlers) {
    struct site site;
    start(&site, NULL);
    open_and_settle(&site);
    struct answer *a = h2_ask(&h, "GET", "/context", NULL, 0);
    h2_send(&h);
    eventually(atomic_load(&entered) == 1);
    nghttp2_submit_rst_stream(h.s, 0, a->id, NGHTTP2_CANCEL);
    h2_send(&h);
    eventually(atomic_load(&left) == 1);
    ag_check_int(atomic_load(&cause), -ECONNRESET);
    a = h2_ask(&h, "GET", "/context", NULL, 0);
    h2_send(&h);
    eventually(atomic_load(&entered) == 2);
    ag_check_int(ag_http_stop(site.s, AG_SEC * ag_test_slow()), 0);
    ag_check_int(atomic_load(&cause), -ESHUTDOWN);
    h2_until(&h, a->closed);
    h2_expect(a, 200, "told"); /* the answer is sent all the same */
    h2_close(&h);
    finish(&site);
}

static bool somebody_waits_to_write(void) {
    char *text = NULL;
    size_t n;
    FILE *out = open_memstream(&text, &n);
    ag_dump(out);
    fclose(out);
    bool found = strstr(text, "to be writable") != NULL;
    free(text);
    return found;
}

/* A frame of it is half written: the rest must come, or the others have no connection any more. */
AG_TEST_RUN(a_reset_ends_no_write_in_the_middle_of_a_frame) {
    struct site site;
    start(&site, NULL);
    h2_open_with(&h, &site, 1 << 30, false);
    nghttp2_session_set_local_window_size(h.s, 0, 0, 1 << 30);
    struct answer *a = h2_ask(&h, "GET", "/write", NULL, 0);
    h2_send(&h);
    eventually(somebody_waits_to_write());
    nghttp2_submit_rst_stream(h.s, 0, a->id, NGHTTP2_CANCEL);
    h2_send(&h);
    eventually(atomic_load(&left) == 1);
    a = h2_ask(&h, "GET", "/ok", NULL, 0);
    h2_until(&h, a->closed);
    h2_expect(a, 200, "ok\n");
    h2_close(&h);
    finish(&site);
}

/* ---- Floods --------------------------------------------------------------------------------- */

/* Sends a frame many times. */
static void say_often(struct client *cl, size_t n, int type, uint32_t id) {
    enum { TIMES = 20000 };
    static char all[TIMES * 17];
    size_t size = 9 + n;
    for (int i = 0; i < TIMES; i++) {
        char frame[17] = {0, 0, (char)n, (char)type, 0, 0, 0, 0, (char)id, 0, 0, 0, 1};
        memcpy(all + (size_t)i * size, frame, size);
    }
    ag_write(cl->c, all, TIMES * size); /* fails if the server has had enough */
}

AG_TEST_RUN(floods_of_frames_that_mean_nothing_end_the_connection) {
    static const struct {
        size_t n;
        int type;
        uint32_t id;
    } floods[] = {{8, PING, 0},          {0, SETTINGS, 0}, {5, PRIORITY, 99},
                  {4, WINDOW_UPDATE, 0}, {0, DATA, 1},     {3, 0xfa, 0}};
    struct site site;
    static struct client cl;
    static struct frame f;
    ag_http_options o = {.head_max = 1024};
    start(&site, &o);
    for (size_t i = 0; i < sizeof floods / sizeof *floods; i++) {
        client_open(&cl, &site);
        SAY(&cl, NGHTTP2_CLIENT_MAGIC "\0\0\0\4\0\0\0\0\0");
        SAY(&cl, "\0\0\x0c\1\4\0\0\0\1\x83\x86\x41\1h\x04\5/wait");
        say_often(&cl, floods[i].n, floods[i].type, floods[i].id);
        skip_to(&cl, &f, GOAWAY);
        ag_check_int(f.payload[7], NGHTTP2_ENHANCE_YOUR_CALM);
        expect_end(&cl);
        client_close(&cl);
    }
    ag_check_int(stats_of(&site).h2_ended, sizeof floods / sizeof *floods);
    ag_close(gate);
    finish(&site);
}

AG_TEST_RUN(a_flood_of_continuations_ends_the_connection) {
    static char field[1024];
    struct site site;
    start(&site, NULL);
    open_and_settle(&site);
    /* An own field each time, not indexed: 0, its name and value with their lengths. */
    memset(field, 'x', sizeof field);
    memcpy(field, "\0\1a\x7f\xf3\6", 6); /* 127 + 0x373 = 1010 bytes */
    h2_raw(&h, 1016, HEADERS, 0, 1, field);
    for (int i = 0; i < 100 && !h.ended; i++)
        h2_raw(&h, 1016, 9, 0, 1, field);
    while (h2_turn(&h))
        continue;
    ag_check(h.goaways == 1 && h.goaway_error != NGHTTP2_NO_ERROR);
    h2_close(&h);
    finish(&site);
}

/* ---- Time ----------------------------------------------------------------------------------- */

AG_TEST_RUN(half_a_head_is_waited_for_no_longer_than_one_of_http1) {
    struct site site;
    ag_http_options o = {.head_ns = 50 * AG_MS};
    start(&site, &o);
    open_and_settle(&site);
    h2_expect(h2_get(&h, "/ok"), 200, "ok\n");
    struct answer *held = h2_ask(&h, "GET", "/wait", NULL, 0); /* although somebody is served */
    h2_send(&h);
    eventually(atomic_load(&entered) == 1);
    h2_raw(&h, 1, HEADERS, 0, 5, "\x82");
    expect_goaway(NGHTTP2_ENHANCE_YOUR_CALM);
    ag_check_int(held->status, 0);
    ag_check_int(stats_of(&site).timed_out, 1);
    ag_close(gate);
    h2_close(&h);
    finish(&site);
}

AG_TEST_RUN(a_preface_without_settings_is_waited_for_by_head_ns) {
    struct site site;
    static struct client cl;
    ag_http_options o = {.head_ns = 50 * AG_MS, .idle_ns = AG_SEC};
    start(&site, &o);
    client_open(&cl, &site);
    say(&cl, NGHTTP2_CLIENT_MAGIC);
    while (client_fill(&cl))
        cl.n = 0;
    client_close(&cl);
    eventually(stats_of(&site).open == 0);
    ag_check_int(stats_of(&site).h2_accepted, 1);
    finish(&site);
}

AG_TEST_RUN(an_idle_connection_is_told_before_it_is_closed_and_a_busy_one_stays) {
    struct site site;
    ag_http_options o = {.idle_ns = 100 * AG_MS, .head_ns = 100 * AG_MS};
    start(&site, &o);
    open_and_settle(&site);
    struct answer *held = h2_ask(&h, "GET", "/wait", NULL, 0);
    h2_send(&h);
    ag_sleep(300 * AG_MS);
    ag_close(gate);
    h2_until(&h, held->closed);
    h2_expect(held, 200, "waited");
    ag_check_int(h.goaways, 0);
    expect_goaway(NGHTTP2_NO_ERROR);
    ag_check_int(h.goaway_id, 1);
    ag_check_int(stats_of(&site).timed_out, 1);
    h2_close(&h);
    finish(&site);
}

AG_TEST_RUN(the_idlest_connection_makes_room_for_a_new_one) {
    struct site site;
    static struct h2c other;
    ag_http_options o = {.conns_max = 1};
    start(&site, &o);
    open_and_settle(&site);
    h2_expect(h2_get(&h, "/ok"), 200, "ok\n");
    eventually(stats_of(&site).idle == 1);
    h2_open(&other, &site);
    h2_expect(h2_get(&other, "/ok"), 200, "ok\n");
    expect_goaway(NGHTTP2_NO_ERROR);
    ag_check_int(stats_of(&site).evicted, 1);
    h2_close(&other);
    h2_close(&h);
    finish(&site);
}

/* ---- The beginning -------------------------------------------------------------------------- */

AG_TEST_RUN(a_preface_may_come_byte_by_byte) {
    static const char bytes[] = NGHTTP2_CLIENT_MAGIC "\0\0\0\4\0\0\0\0\0";
    struct site site;
    static struct client cl;
    start(&site, NULL);
    client_open(&cl, &site);
    for (size_t i = 0; i < sizeof bytes - 1; i++) {
        ag_check_int(ag_write(cl.c, bytes + i, 1), 1);
        if (i < 6)
            ag_sleep(5 * AG_MS);
    }
    while (cl.n < 9)
        ag_check(client_fill(&cl));
    ag_check_int(cl.buf[3], SETTINGS);
    client_close(&cl);
    client_open(&cl, &site); /* and HTTP/1 still is spoken, also of methods that look alike */
    say(&cl, "PR /ok HTTP/1.1\r\nHost: h\r\n\r\n");
    static struct reply r;
    expect(&cl, &r, 200, "ok\n");
    say(&cl, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"); /* too late */
    expect(&cl, &r, 505, NULL);
    client_close(&cl);
    ag_check_int(stats_of(&site).h2_accepted, 1);
    finish(&site);
}

AG_TEST_RUN(what_is_no_http2_behind_the_preface_ends_the_connection) {
    struct site site;
    start(&site, NULL);
    h2_open(&h, &site);
    ag_check_int(ag_write(h.c, "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", 24), 24);
    h.ended = false;
    uint8_t buf[4096];
    int64_t got = 0;
    for (ssize_t n; (n = ag_read(h.c, buf, sizeof buf)) > 0;)
        got += n;
    ag_check(got > 0); /* the parser of HTTP/1 has refused it */
    h2_close(&h);
    h2_open(&h, &site);
    h2_send(&h);
    h2_raw(&h, 8, GOAWAY + 1 - 1, 0, 1, "\0\0\0\0\0\0\0\0"); /* GOAWAY of a stream */
    expect_goaway(NGHTTP2_PROTOCOL_ERROR);
    h2_close(&h);
    finish(&site);
}

/* ---- Stopping ------------------------------------------------------------------------------- */

static void stop(struct site *site, atomic_int *cut) {
    atomic_store(cut, (int)ag_http_stop(site->s, 4 * AG_SEC * ag_test_slow()));
}

#define GOAWAY_OF(id, error) "\0\0\0" id "\0\0\0" error

/* By hand: a client made of nghttp2 opens no stream after a GOAWAY. */
AG_TEST_RUN(a_stop_says_so_answers_what_comes_and_ends) {
    struct site site;
    atomic_int cut = -1;
    static struct client cl;
    static struct frame f;
    start(&site, NULL);
    client_open(&cl, &site);
    SAY(&cl, NGHTTP2_CLIENT_MAGIC "\0\0\0\4\0\0\0\0\0");
    SAY(&cl, "\0\0\x0c\1\5\0\0\0\1\x82\x86\x41\1h\x04\5/wait");
    eventually(atomic_load(&entered) == 1);
    ag_go(stop, &site, &cut);
    skip_to(&cl, &f, GOAWAY);
    ag_check_mem(f.payload, "\x7f\xff\xff\xff\0\0\0\0", 8);
    SAY(&cl, "\0\0\x0a\1\5\0\0\0\3\x82\x86\x41\1h\x04\3/ok"); /* was under way */
    skip_to(&cl, &f, HEADERS);
    ag_check_int(f.id, 3);
    skip_to(&cl, &f, DATA);
    ag_check_str(f.payload, "ok\n");
    skip_to(&cl, &f, GOAWAY);
    ag_check_mem(f.payload, GOAWAY_OF("\3", "\0"), 8);
    SAY(&cl, "\0\0\x0a\1\5\0\0\0\5\x82\x86\x41\1h\x04\3/ok"); /* is too late */
    ag_close(gate);
    skip_to(&cl, &f, DATA);
    ag_check_int(f.id, 1);
    ag_check_str(f.payload, "stopping");
    expect_end(&cl);
    client_close(&cl);
    eventually(atomic_load(&cut) == 0);
    ag_check_int(stats_of(&site).h2_streams, 2);
    finish(&site);
}

AG_TEST_RUN(a_stop_closes_idle_connections_and_cuts_what_does_not_end) {
    struct site site;
    static struct h2c idle;
    start(&site, NULL);
    h2_open(&idle, &site);
    h2_expect(h2_get(&idle, "/ok"), 200, "ok\n");
    open_and_settle(&site);
    h2_ask(&h, "POST", "/read", NULL, -1);
    h2_send(&h);
    eventually(atomic_load(&entered) == 1);
    eventually(stats_of(&site).idle == 1);
    ag_check_int(ag_http_stop(site.s, AG_SEC / 2), 1);
    eventually(atomic_load(&left) == 1);
    while (h2_turn(&idle))
        continue;
    ag_check_int(idle.goaways, 2);
    h2_close(&idle);
    h2_close(&h);
    finish(&site);
}

/* ---- Memory --------------------------------------------------------------------------------- */

/* So many that what a new thread of the runtime takes meanwhile does not count. */
enum { MANY = 400 };

AG_TEST_RUN(an_idle_connection_holds_no_goroutine_and_no_buffer) {
    struct site site;
    static struct h2c *cs[MANY];
    start(&site, NULL);
    int64_t before = 0, clients;
    struct mallinfo2 m;
    for (int i = 0; i < MANY; i++) {
        cs[i] = calloc(1, sizeof **cs);
        h2_open(cs[i], &site);
        h2_expect(h2_get(cs[i], "/ok"), 200, "ok\n");
        if (i == MANY / 2 - 1) {
            eventually(stats_of(&site).idle == MANY / 2);
            before = (int64_t)mallinfo2().uordblks;
        }
    }
    eventually(stats_of(&site).idle == MANY);
    eventually(ag_count() == 2); /* this one, and the one that accepts */
    m = mallinfo2();
    clients = 0;
    for (int i = MANY / 2; i < MANY; i++) {
        int64_t with = (int64_t)mallinfo2().uordblks;
        nghttp2_session_del(cs[i]->s);
        cs[i]->s = NULL;
        clients += with - (int64_t)mallinfo2().uordblks;
    }
    int64_t each = ((int64_t)m.uordblks - before - clients) / (MANY / 2);
    fprintf(stderr, "an idle connection: %lld bytes\n", (long long)each);
    ag_check(each <= 32768);
    for (int i = 0; i < MANY; i++) {
        ag_conn_close(cs[i]->c);
        ag_unref(cs[i]->c);
        nghttp2_session_del(cs[i]->s);
        free(cs[i]);
    }
    eventually(stats_of(&site).open == 0);
    finish(&site);
}
