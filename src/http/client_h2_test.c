/* SPDX-License-Identifier: MIT */
/*
 * The client against servers of HTTP/2 that play a script, frame by frame: what is slow to give
 * room, breaks the rules, or sends what nobody wants.
 */
#include "ag_test.h"

#include "http/client_h2_test.h"

/* ---- Bodies --------------------------------------------------------------------------------- */

static ssize_t give_some(void *arg, void *buf, size_t n) {
    int *left = arg;
    size_t k = (size_t)*left < n ? (size_t)*left : n;
    memset(buf, 'b', k);
    *left -= (int)k;
    return (ssize_t)k;
}

static void refuse_body(struct raw *r, ag_conn *c, int number) {
    struct frame f;
    (void)r;
    (void)number;
    if (greet(c, 0, 0) && take_frame(c, &f, DATA))
        say_number(c, RST_STREAM, f.id, NGHTTP2_REFUSED_STREAM);
    raw_wait_end(c);
}

AG_TEST_RUN(client_h2_a_body_that_was_begun_and_cannot_be_rewound_is_not_sent_again) {
    ag_http_client *client = begin(refuse_body, NULL);
    int left = 100;
    ag_http_client_request q = {.url = raw.url, .read = give_some, .arg = &left};
    ag_http_reply *r;
    ag_check_int(ag_http_client_do(client, &q, &r), -ECONNRESET);
    ag_http_reply_close(r);
    ag_check_int(stats_of_client(client).retried, 0);
    end(client);
}

/* Gives room byte by byte, then all at once by a change of the first windows. */
static void tiny_windows(struct raw *r, ag_conn *c, int number) {
    struct frame f;
    size_t n = 0;
    (void)r;
    (void)number;
    if (!warm_with(c, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1) || !take_frame(c, &f, HEADERS))
        return;
    uint32_t id = f.id;
    for (int i = 0; i < 20; i++) {
        if (!take_frame(c, &f, DATA))
            return;
        ag_check_int(f.n, 1);
        n += f.n;
        say_number(c, WINDOW_UPDATE, id, 1);
    }
    say_setting(c, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 20);
    while (!(f.flags & END_STREAM) && take_frame(c, &f, DATA))
        n += f.n;
    ag_check_int(n, 50000);
    say_answer(c, id, "ok");
    raw_wait_end(c);
}

AG_TEST_RUN(client_h2_respects_windows_of_one_byte_and_their_change) {
    static char body[50000];
    ag_http_client *client = begin(tiny_windows, NULL);
    ag_http_reply *r;
    char *text;
    warm_up(client);
    ag_check_int(ag_http_post(client, raw.url, "text/plain", body, sizeof body, &r), 0);
    ag_check_int(ag_http_reply_read_all(r, 10, &text, NULL), 0);
    ag_check_str(text, "ok");
    ag_http_reply_close(r);
    end(client);
}

AG_TEST_RUN(client_h2_a_source_is_sent_through_windows_of_one_byte) {
    ag_http_client *client = begin(tiny_windows, NULL);
    int left = 50000;
    ag_http_client_request q = {.url = raw.url, .read = give_some, .arg = &left};
    ag_http_reply *r;
    warm_up(client);
    ag_check_int(ag_http_client_do(client, &q, &r), 0);
    ag_http_reply_close(r);
    end(client);
}

/* Sends as much as it may, in whole frames, and counts. */
enum { FILL = AG__CH2_WINDOW / 16384 * 16384 };
static void fill_the_window(struct raw *r, ag_conn *c, int number) {
    static char zeros[16384];
    struct frame f;
    (void)number;
    if (!warm(c) || !take_frame(c, &f, HEADERS))
        return;
    uint32_t id = f.id;
    say_fields(c, id, END_HEADERS, ":status: 200\n");
    for (int i = 0; i < FILL / (int)sizeof zeros; i++)
        say_frame(c, DATA, 0, id, zeros, sizeof zeros);
    atomic_store(&r->asked, 100); /* and nothing comes until somebody reads */
    uint32_t more = 0;
    while (more < FILL / 3 && take_frame(c, &f, WINDOW_UPDATE))
        if (f.id == id)
            more += u32(f.p);
    atomic_store(&r->asked, 200);
    say_frame(c, DATA, END_STREAM, id, "x", 1);
    raw_wait_end(c);
}

AG_TEST_RUN(client_h2_gives_room_for_what_was_read) {
    ag_http_client *client = begin(fill_the_window, NULL);
    static char buf[100000];
    ag_http_reply *r;
    warm_up(client);
    ag_check_int(ag_http_get(client, raw.url, &r), 0);
    eventually(atomic_load(&raw.asked) == 100);
    size_t n = 0, some = FILL / 4;
    while (n < some) {
        ssize_t got = ag_http_reply_read(r, buf, some - n < sizeof buf ? some - n : sizeof buf);
        ag_check(got > 0);
        n += (size_t)got;
    }
    ag_check_int(atomic_load(&raw.asked), 100);
    ssize_t got;
    while ((got = ag_http_reply_read(r, buf, sizeof buf)) > 0)
        n += (size_t)got;
    ag_check_int(got, 0);
    ag_check_int(n, FILL + 1);
    ag_http_reply_close(r);
    end(client);
}

/* ---- Heads ---------------------------------------------------------------------------------- */

static void in_continuations(struct raw *r, ag_conn *c, int number) {
    struct frame f;
    unsigned char p[1000];
    (void)r;
    (void)number;
    if (!greet(c, 0, 0) || !take_frame(c, &f, HEADERS))
        return;
    uint32_t id = f.id;
    say_fields(c, id, END_HEADERS, ":status: 103\nlink: </x>\n");
    size_t n = pack(p, ":status: 200\nx-a: b\nx-c: d\n");
    say_frame(c, HEADERS, 0, id, p, 3);
    say_frame(c, CONTINUATION, 0, id, p + 3, 20);
    say_frame(c, CONTINUATION, END_HEADERS, id, p + 23, n - 23);
    say_frame(c, DATA, 0, id, "o", 1);
    say_frame(c, DATA, 0, id, "k", 1);
    say_fields(c, id, WHOLE, "x-sum: 2\ncontent-length: 2\n");
    raw_wait_end(c);
}

AG_TEST_RUN(client_h2_heads_in_pieces_and_trailers) {
    ag_http_client *client = begin(in_continuations, NULL);
    ag_http_reply *r;
    char *text;
    ag_check_int(ag_http_get(client, raw.url, &r), 0);
    ag_check_int(ag_http_reply_status(r), 200);
    ag_check_str(ag_http_reply_header(r, "X-A"), "b");
    ag_check_str(ag_http_reply_header(r, "x-c"), "d");
    ag_check(!ag_http_reply_header(r, "link"));
    ag_check(!ag_http_reply_trailer(r, "X-Sum"));
    ag_check_int(ag_http_reply_read_all(r, 10, &text, NULL), 0);
    ag_check_str(text, "ok");
    ag_check_str(ag_http_reply_trailer(r, "X-Sum"), "2");
    ag_check(!ag_http_reply_trailer(r, "Content-Length"));
    ag_http_reply_close(r);
    end(client);
}

/* One field above the limit, in frames of 16 KiB. */
static void large_head(struct raw *r, ag_conn *c, int number) {
    static unsigned char p[16384];
    struct frame f;
    if (!greet(c, 0, 0) || !take_frame(c, &f, HEADERS))
        return;
    size_t n = pack(p, ":status: 200\n");
    for (int i = 0; i < 150; i++) {
        p[n++] = 0;
        p[n++] = 1;
        p[n++] = 'x';
        p[n++] = 100;
        memset(p + n, 'v', 100);
        n += 100;
    }
    say_frame(c, HEADERS, 0, f.id, p, n);
    for (int i = 0; i < 5; i++)
        say_frame(c, CONTINUATION, i == 4 ? END_HEADERS : 0, f.id, p + 13, n - 13);
    if (take_frame(c, &f, RST_STREAM))
        answer_all(r, c, number + 100);
}

AG_TEST_RUN(client_h2_heads_are_limited) {
    ag_http_client *client = begin(large_head, NULL);
    ag_http_reply *r;
    ag_check_int(ag_http_get(client, raw.url, &r), -EMSGSIZE);
    ag_check_contains(ag_http_reply_error(r), "head is too large");
    ag_http_reply_close(r);
    ag_check_int(stats_of_client(client).open, 1);
    end(client);
}

/* ---- What breaks the rules ------------------------------------------------------------------ */

/* Hand-made: type, flags, fields or bytes. */
struct step {
    int type, flags;
    const char *p;
    size_t n; /* 0: `p` is fields, or text */
};

static const struct step *steps;

static void play_steps(struct raw *r, ag_conn *c, int number) {
    struct frame f;
    unsigned char p[1024];
    (void)r;
    (void)number;
    if (!greet(c, 0, 0) || !take_frame(c, &f, HEADERS))
        return;
    uint32_t id = f.id;
    for (const struct step *s = steps; s->p; s++) {
        bool fields = !s->n && (s->type == HEADERS || s->type == CONTINUATION);
        size_t n = fields ? pack(p, s->p) : s->n ? s->n : strlen(s->p);
        bool of_stream = s->type != SETTINGS && s->type != PING && s->type != GOAWAY;
        say_frame(c, s->type, s->flags, of_stream ? id : 0, fields ? (void *)p : (void *)s->p, n);
    }
    raw_wait_end(c);
}

AG_TEST_RUN(client_h2_refuses_what_breaks_the_rules) {
    static const struct step scripts[][4] = {
        {{HEADERS, WHOLE, "x: y\n", 0}},
        {{HEADERS, WHOLE, ":status: 200\nX: y\n", 0}},
        {{HEADERS, WHOLE, ":status: 200\nconnection: close\n", 0}},
        {{HEADERS, WHOLE, ":status: 200\ntransfer-encoding: chunked\n", 0}},
        {{HEADERS, WHOLE, ":status: 20\n", 0}},
        {{HEADERS, WHOLE, "x: y\n:status: 200\n", 0}},
        {{HEADERS, WHOLE, ":status: 200\n:status: 200\n", 0}},
        {{HEADERS, WHOLE, ":status: 200\n:path: /\n", 0}},
        {{HEADERS, WHOLE, ":status: 200\ncontent-length: 1\ncontent-length: 2\n", 0}},
        {{HEADERS, WHOLE, ":status: 200\ncontent-length: x\n", 0}},
        {{HEADERS, WHOLE, ":status: 200\ncontent-length: 1\n", 0}},
        {{HEADERS, WHOLE, ":status: 101\n", 0}},
        {{HEADERS, WHOLE, ":status: 103\n", 0}},
        {{HEADERS, WHOLE, ":status: 200\nx: a\rb\n", 0}},
        {{HEADERS, WHOLE, ":status: 200\nx y: z\n", 0}},
        {{HEADERS, END_HEADERS, ":status: 200\ncontent-length: 3\n", 0},
         {DATA, END_STREAM, "ok", 0}},
        {{HEADERS, END_HEADERS, ":status: 200\ncontent-length: 1\n", 0},
         {DATA, END_STREAM, "ok", 0}},
        {{DATA, END_STREAM, "ok", 0}},
        {{HEADERS, END_HEADERS, ":status: 200\n", 0}, {HEADERS, END_HEADERS, "x: y\n", 0}},
        {{HEADERS, END_HEADERS, ":status: 200\n", 0}, {HEADERS, WHOLE, ":status: 200\n", 0}},
        {{HEADERS, 0, ":status: 200\n", 0}, {DATA, END_STREAM, "ok", 0}},
        {{HEADERS, WHOLE, "\xff\xff\xff\xff\xff\xff\xff", 7}},
        {{CONTINUATION, END_HEADERS, ":status: 200\n", 0}},
        {{SETTINGS, 0, "\0\2\0\0\0\1", 6}},
        {{SETTINGS, 0, "\0\4\xff\xff\xff\xff", 6}},
        {{SETTINGS, 0, "12345", 5}},
        {{PING, 0, "1234567", 7}},
        {{WINDOW_UPDATE, 0, "\0\0\0\0", 4}},
        {{WINDOW_UPDATE, 0, "\x7f\xff\xff\xff", 4}},
        {{PUSH_PROMISE, END_HEADERS, "\0\0\0\2", 4}},
    };
    ag_http_client *client = begin(play_steps, NULL);
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        steps = scripts[i];
        int e = get_error(client, raw.url);
        if (e != -EPROTO)
            ag_fail("%d for script %zu", e, i);
        ag_http_client_close_idle(client);
    }
    ag_check_int(stats_of_client(client).open, 0);
    ag_check_int(stats_of_client(client).retried, 0);
    end(client);
}

AG_TEST_RUN(client_h2_takes_what_is_unusual_and_clear) {
    static const struct step scripts[][6] = {
        {{HEADERS, END_HEADERS, ":status: 200\ncontent-length: 2\n", 0},
         {DATA, END_STREAM, "ok", 0}},
        {{HEADERS, END_HEADERS, ":status: 100\n", 0},
         {HEADERS, END_HEADERS, ":status: 103\nlink: x\n", 0},
         {HEADERS, END_HEADERS, ":status: 200\nset-cookie: a=b\nset-cookie: c=d\n", 0},
         {DATA, END_STREAM, "ok", 0}},
        {{PING, 0, "12345678", 0},
         {PRIORITY, 0, "\0\0\0\0\1", 5},
         {77, 0, "what?", 0},
         {HEADERS, END_HEADERS, ":status: 200\nx: \n", 0},
         {DATA, END_STREAM | 8, "\3okxxx", 6}},
        {{HEADERS, END_HEADERS, ":status: 200\n", 0},
         {DATA, 0, "ok", 0},
         {DATA, END_STREAM, "", 0}},
        {{HEADERS, END_HEADERS, ":status: 200\n", 0},
         {DATA, END_STREAM, "ok", 0},
         {RST_STREAM, 0, "\0\0\0\0", 4}},
    };
    ag_http_client *client = begin(play_steps, NULL);
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        steps = scripts[i];
        check_get(client, raw.url, 200, "ok");
        ag_http_client_close_idle(client);
    }
    end(client);
}

AG_TEST_RUN(client_h2_a_reset_is_an_error_that_says_why) {
    static const struct step early[] = {{RST_STREAM, 0, "\0\0\0\2", 4}, {0}};
    static const struct step late[] = {{HEADERS, END_HEADERS, ":status: 200\n", 0},
                                       {DATA, 0, "half", 0},
                                       {RST_STREAM, 0, "\0\0\0\2", 4},
                                       {0}};
    ag_http_client *client = begin(play_steps, NULL);
    ag_http_reply *r;
    char *text;
    steps = early;
    ag_check_int(ag_http_get(client, raw.url, &r), -ECONNRESET);
    ag_check_contains(ag_http_reply_error(r), "the server has reset it: INTERNAL_ERROR");
    ag_http_reply_close(r);
    ag_check_int(stats_of_client(client).open, 1); /* the connection has nothing to do with it */
    ag_http_client_close_idle(client);
    steps = late;
    ag_check_int(ag_http_get(client, raw.url, &r), 0);
    ag_check_int(ag_http_reply_read_all(r, 100, &text, NULL), -ECONNRESET);
    ag_http_reply_close(r);
    end(client);
}

static void no_http2(struct raw *r, ag_conn *c, int number) {
    (void)r;
    (void)number;
    raw_say(c, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    raw_wait_end(c);
}

AG_TEST_RUN(client_h2_a_server_that_does_not_speak_it_is_an_error) {
    ag_http_client *client = begin(no_http2, NULL);
    /* It speaks at once, so it may be heard before there is a request. */
    for (int i = 0; i < 50; i++)
        ag_check_int(get_error(client, raw.url), -EPROTO);
    ag_check_int(stats_of_client(client).open, 0);
    ag_check_int(stats_of_client(client).retried, 0);
    end(client);
}

/* ---- Floods --------------------------------------------------------------------------------- */

static atomic_int flood_of;

static void flood(struct raw *r, ag_conn *c, int number) {
    static char zeros[16384];
    struct frame f;
    int kind = atomic_load(&flood_of);
    (void)r;
    (void)number;
    if (!greet(c, 0, 0) || !take_frame(c, &f, HEADERS))
        return;
    bool of_stream = kind == DATA || kind == CONTINUATION || kind == PRIORITY;
    size_t n = kind == PING         ? 8
               : kind == PRIORITY   ? 5
               : kind == RST_STREAM ? 4
               : kind == 77         ? sizeof zeros
                                    : 0;
    if (kind == DATA)
        say_fields(c, f.id, END_HEADERS, ":status: 200\n");
    if (kind == CONTINUATION)
        say_fields(c, f.id, 0, ":status: 200\n");
    uint32_t id = of_stream || kind == RST_STREAM ? f.id : 0;
    if (kind == PRIORITY)
        memcpy(zeros, "\0\0\0\7", 4);
    while (say_frame(c, kind, 0, id, zeros, n) > 0)
        continue;
}

AG_TEST_RUN(client_h2_floods_end_the_connection) {
    static const int kinds[] = {PING, SETTINGS, DATA, CONTINUATION, PRIORITY, 77};
    ag_http_client *client = begin(flood, NULL);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        atomic_store(&flood_of, kinds[i]);
        int e = get_error(client, raw.url);
        if (e != -EPROTO)
            ag_fail("%d for frames of type %d", e, kinds[i]);
    }
    ag_check_int(stats_of_client(client).open, 0);
    end(client);
}

/* ---- Leave to send -------------------------------------------------------------------------- */

static void give_leave(struct raw *r, ag_conn *c, int number) {
    struct frame f;
    (void)number;
    if (!greet(c, 0, 0) || !take_frame(c, &f, HEADERS))
        return;
    ag_check(!(f.flags & END_STREAM));
    uint32_t id = f.id;
    if (r->answer) {
        say_fields(c, id, WHOLE, ":status: 417\n");
        while (take_any(c, &f) && f.type != RST_STREAM)
            ag_check(f.type != DATA);
    } else {
        if (!r->answer_n)
            say_fields(c, id, END_HEADERS, ":status: 100\n");
        ag_check(take_frame(c, &f, DATA));
        say_answer(c, id, "ok");
    }
    raw_wait_end(c);
}

static void ask_leave(ag_time continue_ns, int status) {
    static const ag_http_client_field fields[] = {{"Expect", "100-continue"}, {NULL, NULL}};
    ag_http_client *client =
        begin(give_leave, &(ag_http_client_options){.continue_ns = continue_ns});
    ag_http_client_request q = {.url = raw.url, .fields = fields, .body = "abc", .body_n = 3};
    ag_http_reply *r;
    ag_check_int(ag_http_client_do(client, &q, &r), 0);
    ag_check_int(ag_http_reply_status(r), status);
    ag_http_reply_close(r);
    end(client);
}

AG_TEST_RUN(client_h2_waits_for_leave_to_send_the_body) {
    ask_leave(60 * AG_SEC, 200);
}

AG_TEST_RUN(client_h2_sends_no_body_without_leave) {
    raw.answer = "";
    ask_leave(60 * AG_SEC, 417);
}

AG_TEST_RUN(client_h2_sends_the_body_when_leave_does_not_come) {
    raw.answer_n = 1;
    ask_leave(20 * AG_MS, 200);
}
