/* SPDX-License-Identifier: MIT */
/*
 * The client against servers that misbehave, byte by byte: answers that are cut, slow, endless,
 * contradictory, or not asked for; connections that end when they should be used.
 */
#include "ag_test.h"

#include "http/client_test.h"

static struct raw raw; /* of the test under way: each has a process of its own */

static ag_http_client *begin(void (*play)(struct raw *, ag_conn *, int),
                             const ag_http_client_options *options) {
    raw_start(&raw, play);
    return client_begin(options);
}

static void end(ag_http_client *client) {
    client_end(client);
    raw_end(&raw);
}

/* Asks a server that answers this and ends. */
static int answer_of(ag_http_client *client, const char *answer) {
    raw.answer = answer;
    return get_error(client, raw.url);
}

/* ---- Heads ---------------------------------------------------------------------------------- */

AG_TEST_RUN(client_refuses_answers_that_can_be_read_in_two_ways) {
    static const char *const bad[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy",
        "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nContent-Length: 0x1\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length : 1\r\n\r\nx",
        "HTTP/1.1 200 OK\r\n X: folded\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\x01\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\n: empty\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1 2x0 OK\r\n\r\n",
        "HTTP/1.1 200\tOK\r\n\r\n",
        "HTTP/1.1200 OK\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.2 200 OK\r\n\r\n",
        "HTTP/1.1\r\n\r\n",
        "http/1.1 200 OK\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n",
        "<html>",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    };
    ag_http_client *client = begin(raw_answer_once, NULL);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int e = answer_of(client, bad[i]);
        if (e != -EPROTO)
            ag_fail("%d for %s", e, bad[i]);
    }
    ag_check_int(stats_of_client(client).open, 0);
    ag_check_int(stats_of_client(client).retried, 0);
    end(client);
}

AG_TEST_RUN(client_takes_what_is_unusual_and_clear) {
    ag_http_client *client = begin(raw_answer_once, NULL);
    static const char *const good[] = {
        "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 a \xff reason\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\n\r\nok",
        "HTTP/1.1 200 OK\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length:2\r\nHost: a\r\nHost: b\r\nExpect: x\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"
        "1;a=b\r\no\r\n01\r\nk\r\n0\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        raw.answer = good[i];
        check_get(client, raw.url, 200, "ok");
    }
    end(client);
}

static void say_without_end(struct raw *r, ag_conn *c, int number) {
    (void)number;
    if (!raw_request(r, c))
        return;
    raw_say(c, r->answer);
    while (ag_write(c, "X-More: and more\r\n", 18) > 0)
        continue;
}

AG_TEST_RUN(client_heads_are_limited) {
    ag_http_client *client = begin(say_without_end, &(ag_http_client_options){.fields_max = 1000});
    ag_check_int(answer_of(client, "HTTP/1.1 200 OK\r\n"), -EMSGSIZE);
    ag_http_client *other = ag_http_client_new(&(ag_http_client_options){.fields_max = 10});
    ag_check_int(get_error(other, raw.url), -EMSGSIZE);
    client_end(other);
    other = ag_http_client_new(&(ag_http_client_options){.head_max = 1});
    ag_check_int(get_error(other, raw.url), -EMSGSIZE); /* 1 KiB */
    client_end(other);
    end(client);
}

static void say_early_without_end(struct raw *r, ag_conn *c, int number) {
    (void)number;
    if (raw_request(r, c))
        while (ag_write(c, "HTTP/1.1 102 Processing\r\n\r\n", 27) > 0)
            continue;
}

AG_TEST_RUN(client_answers_before_the_answer_are_limited) {
    ag_http_client *client = begin(say_early_without_end, NULL);
    ag_check_int(get_error(client, raw.url), -EMSGSIZE);
    end(client);
}

/* ---- Cuts ----------------------------------------------------------------------------------- */

static const char *const whole[] = {
    "HTTP/1.1 200 OK\r\nContent-Length: 12\r\nX-A: b\r\n\r\nabcdefghijkl",
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
     "3;e\r\nabc\r\n9\r\ndefghijkl\r\n0\r\nX-T: v\r\n\r\n"),
    "HTTP/1.1 103 Early\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nabcdefghijkl",
};

AG_TEST_RUN(client_answer_cut_at_every_byte_is_an_error) {
    ag_http_client *client = begin(raw_answer_once, NULL);
    for (int i = 0; i < 3; i++) {
        raw.answer = whole[i];
        size_t n = strlen(whole[i]);
        for (size_t cut = 1; cut < n; cut++) {
            raw.answer_n = cut;
            int e = get_error(client, raw.url);
            if (e != -ECONNRESET)
                ag_fail("%d for %zu bytes of %s", e, cut, whole[i]);
        }
        raw.answer_n = 0;
        check_get(client, raw.url, 200, "abcdefghijkl");
        ag_http_client_close_idle(client);
    }
    ag_check_int(stats_of_client(client).open, 0);
    ag_check_int(stats_of_client(client).retried, 0);
    end(client);
}

static void answer_in_two(struct raw *r, ag_conn *c, int number) {
    (void)number;
    while (raw_request(r, c)) {
        size_t n = strlen(r->answer), cut = r->answer_n;
        ag_write(c, r->answer, cut);
        ag_yield();
        ag_sleep(AG_US);
        if (ag_write(c, r->answer + cut, n - cut) < 0)
            return;
    }
}

AG_TEST_RUN(client_answer_in_two_parts_is_the_same) {
    ag_http_client *client = begin(answer_in_two, NULL);
    for (int i = 0; i < 3; i++) {
        raw.answer = whole[i];
        for (raw.answer_n = 0; raw.answer_n <= strlen(whole[i]); raw.answer_n++)
            check_get(client, raw.url, 200, "abcdefghijkl");
    }
    ag_check_int(stats_of_client(client).dialed, 1);
    end(client);
}

static void answer_in_bytes(struct raw *r, ag_conn *c, int number) {
    (void)number;
    if (raw_request(r, c))
        for (const char *p = r->answer; *p; p++)
            if (ag_write(c, p, 1) < 0 || ag_sleep(AG_MS / 10) < 0)
                return;
}

AG_TEST_RUN(client_answer_in_single_bytes_is_the_same) {
    ag_http_client *client = begin(answer_in_bytes, NULL);
    for (int i = 0; i < 3; i++) {
        raw.answer = whole[i];
        check_get(client, raw.url, 200, "abcdefghijkl");
        ag_http_client_close_idle(client);
    }
    end(client);
}

/* ---- Bodies --------------------------------------------------------------------------------- */

AG_TEST_RUN(client_malformed_chunks_are_refused) {
    static const char *const bad[] = {
        "x\r\n",
        "-1\r\n",
        "1 \r\na\r\n0\r\n\r\n",
        "1\na\r\n0\r\n\r\n",
        "1\r\nab0\r\n\r\n",
        "11111111111111111\r\n",
        "8000000000000000\r\n",
        "1;\x01\r\na\r\n",
        "0\r\nX y: z\r\n\r\n",
        "0\r\nX: \x01\r\n\r\n",
        "0\r\n\n",
        "0x1\r\na\r\n",
    };
    static char answers[sizeof bad / sizeof *bad][256];
    ag_http_client *client = begin(raw_answer_once, NULL);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(answers[i], sizeof answers[i],
                 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%s", bad[i]);
        int e = answer_of(client, answers[i]);
        if (e != -EPROTO)
            ag_fail("%d for %s", e, bad[i]);
    }
    end(client);
}

static void say_extensions_without_end(struct raw *r, ag_conn *c, int number) {
    if (!raw_request(r, c))
        return;
    raw_say(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    raw_say(c, number ? "0\r\nX: " : "1;x=");
    while (ag_write(c, "aaaaaaaaaaaaaaaa", 16) > 0)
        continue;
}

AG_TEST_RUN(client_extensions_and_trailers_are_limited) {
    ag_http_client *client = begin(say_extensions_without_end, NULL);
    ag_check_int(get_error(client, raw.url), -EPROTO);
    ag_check_int(get_error(client, raw.url), -EMSGSIZE);
    end(client);
}

AG_TEST_RUN(client_trailers_can_be_read_at_the_end) {
    raw.answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
                 "5\r\nhello\r\n0\r\nX-Sum:  42 \r\nx-other: \r\nContent-Length: 7\r\n\r\n";
    ag_http_client *client = begin(raw_answer_all, NULL);
    for (int i = 0; i < 2; i++) {
        ag_http_reply *r;
        char *body;
        ag_check_int(ag_http_get(client, raw.url, &r), 0);
        ag_check(!ag_http_reply_trailer(r, "X-Sum"));
        ag_check_int(ag_http_reply_read_all(r, 100, &body, NULL), 0);
        ag_check_str(body, "hello");
        ag_check_str(ag_http_reply_trailer(r, "x-sum"), "42");
        ag_check_str(ag_http_reply_trailer(r, "X-Other"), "");
        ag_check(!ag_http_reply_trailer(r, "Content-Length"));
        ag_check(!ag_http_reply_trailer(r, "X"));
        ag_check(!ag_http_reply_header(r, "X-Sum"));
        ag_http_reply_close(r);
    }
    ag_check_int(stats_of_client(client).dialed, 1);
    end(client);
}

AG_TEST_RUN(client_bytes_behind_an_answer_end_the_connection) {
    static const char *const extra[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: "
        "4\r\n\r\nevil",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 "
        "OK\r\n\r\n",
        "HTTP/1.1 204 No\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        "HTTP/1.1 304 No\r\nContent-Length: 4\r\n\r\nevil",
    };
    ag_http_client *client = begin(raw_answer_all, NULL);
    for (int i = 0; i < 4; i++) {
        raw.answer = extra[i];
        for (int k = 0; k < 2; k++)
            check_get(client, raw.url, i < 2 ? 200 : i == 2 ? 204 : 304, i < 2 ? "ok" : "");
        ag_check_int(stats_of_client(client).open, 0);
        ag_check_int(stats_of_client(client).reused, 0);
    }
    end(client);
}

static atomic_bool is_idle, has_said_more;

static void answer_then_more(struct raw *r, ag_conn *c, int number) {
    if (!raw_request(r, c))
        return;
    raw_say(c, r->answer);
    if (number == 0) { /* an answer that nobody has asked for, while the connection is idle */
        eventually(atomic_load(&is_idle));
        raw_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
        atomic_store(&has_said_more, true);
    }
    raw_wait_end(c);
}

AG_TEST_RUN(client_answer_that_nobody_asked_for_is_nobodys) {
    raw.answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    ag_http_client *client = begin(answer_then_more, NULL);
    check_get(client, raw.url, 200, "ok");
    ag_check_int(stats_of_client(client).idle, 1);
    atomic_store(&is_idle, true);
    eventually(atomic_load(&has_said_more));
    check_get(client, raw.url, 200, "ok");
    ag_check_int(raw.conns, 2);
    end(client);
}

AG_TEST_RUN(client_head_has_no_body_whatever_it_says) {
    raw.answer = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
    ag_http_client *client = begin(raw_answer_all, NULL);
    for (int i = 0; i < 3; i++) {
        ag_http_reply *r;
        ag_check_int(ag_http_head(client, raw.url, &r), 0);
        ag_check_int(ag_http_reply_content_length(r), 1000);
        ag_check_int(ag_http_reply_read(r, &(char){0}, 1), 0);
        ag_http_reply_close(r);
    }
    ag_check_int(raw.conns, 1);
    end(client);
}

AG_TEST_RUN(client_keeps_a_connection_only_if_the_server_does) {
    static const char *const last[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: x, Close\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    };
    ag_http_client *client = begin(raw_answer_all, NULL);
    for (int i = 0; i < 3; i++) {
        raw.answer = last[i];
        check_get(client, raw.url, 200, "ok");
        ag_check_int(stats_of_client(client).open, 0);
    }
    raw.answer = "HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok";
    check_get(client, raw.url, 200, "ok");
    ag_check_int(stats_of_client(client).idle, 1);
    /* Nor if the program does not want it. */
    ag_http_client_field fields[] = {{"Connection", "close"}, {NULL, NULL}};
    ag_http_client_request q = {.url = raw.url, .fields = fields};
    ag_http_reply *r;
    ag_check_int(ag_http_client_do(client, &q, &r), 0);
    ag_check_contains(raw_last(&raw), "Connection: close\r\n");
    ag_http_reply_close(r);
    ag_check_int(stats_of_client(client).open, 0);
    end(client);
}

AG_TEST_RUN(client_keep_alive_of_the_server_makes_idle_time_shorter) {
    raw.answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: max=5, timeout=0\r\n\r\nok";
    ag_http_client *client = begin(raw_answer_all, NULL);
    check_get(client, raw.url, 200, "ok");
    check_get(client, raw.url, 200, "ok");
    ag_check_int(raw.conns, 2);
    eventually(stats_of_client(client).open == 0);
    end(client);
}

/* ---- Time ----------------------------------------------------------------------------------- */

static void say_nothing(struct raw *r, ag_conn *c, int number) {
    (void)number;
    if (raw_request(r, c))
        raw_wait_end(c);
}

static void cancel_later(ag_ctx *ctx) {
    eventually(atomic_load(&raw.asked) > 0);
    ag_ctx_cancel(ctx);
}

AG_TEST_RUN(client_waits_end_with_the_context) {
    ag_http_client *client = begin(say_nothing, NULL);
    {
        ag_within(20 * AG_MS);
        ag_check_int(get_error(client, raw.url), -ETIMEDOUT);
    }
    atomic_store(&raw.asked, 0);
    {
        ag_ctx *ctx = ag_ctx_with_cancel(NULL);
        ag_go(cancel_later, ctx);
        ag_ctx_enter(ctx);
        ag_unref(ctx);
        ag_check_int(get_error(client, raw.url), -ECANCELED);
    }
    ag_check_int(stats_of_client(client).open, 0);
    ag_check_int(stats_of_client(client).retried, 0);
    end(client);
}

AG_TEST_RUN(client_waits_have_limits_of_their_own) {
    ag_http_client *client = begin(say_nothing, &(ag_http_client_options){.head_ns = 20 * AG_MS});
    ag_check_int(get_error(client, raw.url), -ETIMEDOUT);
    ag_http_reply *r;
    ag_check_int(ag_http_get(client, raw.url, &r), -ETIMEDOUT);
    ag_check_contains(ag_http_reply_error(r), "waiting for the answer");
    ag_check_contains(ag_http_reply_error(r), "GET http://127.0.0.1:");
    ag_http_reply_close(r);
    end(client);
}

static void stop_in_the_body(struct raw *r, ag_conn *c, int number) {
    (void)number;
    if (!raw_request(r, c))
        return;
    raw_say(c, r->answer);
    raw_wait_end(c);
}

AG_TEST_RUN(client_body_that_falls_silent_is_given_up) {
    ag_http_client *client =
        begin(stop_in_the_body, &(ag_http_client_options){.quiet_ns = 20 * AG_MS});
    ag_check_int(answer_of(client, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc"), -ETIMEDOUT);
    ag_check_int(answer_of(client, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc"),
                 -ETIMEDOUT);
    ag_check_int(answer_of(client, "HTTP/1.1 200 OK\r\n\r\nabc"), -ETIMEDOUT);
    ag_check_int(stats_of_client(client).open, 0);
    end(client);
}

static atomic_bool given_up;

static void take_nothing(struct raw *r, ag_conn *c, int number) {
    (void)number;
    if (raw_request(r, c)) {
        while (!atomic_load(&given_up))
            ag_sleep(AG_MS);
    }
}

AG_TEST_RUN(client_body_that_nobody_takes_is_given_up) {
    ag_http_client *client = begin(take_nothing, &(ag_http_client_options){.quiet_ns = 50 * AG_MS});
    size_t n = 64 << 20;
    char *body = calloc(1, n);
    ag_http_reply *r;
    ag_check_int(ag_http_post(client, raw.url, "x/y", body, n, &r), -ETIMEDOUT);
    ag_check_contains(ag_http_reply_error(r), "sending the request");
    ag_http_reply_close(r);
    atomic_store(&given_up, true);
    free(body);
    end(client);
}

/* ---- Continue ------------------------------------------------------------------------------- */

static atomic_bool had_body;

static void continue_with(struct raw *r, ag_conn *c, int number) {
    char buf[4096];
    if (!raw_request_in(r, c, buf, sizeof buf))
        return;
    size_t n = strlen(strstr(buf, "\r\n\r\n") + 4);
    had_body = n > 0;
    if (number == 0)
        raw_say(c, "HTTP/1.1 100 Continue\r\n\r\n");
    while (number < 2 && n < 5) {
        ssize_t got = ag_read(c, buf, sizeof buf);
        if (got <= 0)
            return;
        n += (size_t)got;
    }
    raw_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    raw_wait_end(c);
}

AG_TEST_RUN(client_waits_for_leave_to_send_the_body) {
    ag_http_client *client = begin(continue_with, &(ag_http_client_options){.continue_ns = AG_MIN});
    ag_http_client *soon = ag_http_client_new(&(ag_http_client_options){.continue_ns = AG_MS});
    ag_http_client_field fields[] = {{"Expect", "100-continue"}, {NULL, NULL}};
    ag_http_client_request q = {.url = raw.url, .fields = fields, .body = "abcde", .body_n = 5};
    /* With leave; without an answer, after a while; with the answer instead. */
    for (int i = 0; i < 3; i++) {
        ag_http_client *c = i == 1 ? soon : client;
        ag_http_reply *r;
        char *body;
        ag_check_int(ag_http_client_do(c, &q, &r), 0);
        ag_check_int(ag_http_reply_status(r), 200);
        ag_check(i == 1 || !had_body);
        ag_check_int(ag_http_reply_read_all(r, 10, &body, NULL), 0);
        ag_http_reply_close(r);
        ag_check_int(stats_of_client(c).open, i < 2 ? 1 : 0);
        ag_http_client_close_idle(c);
    }
    client_end(soon);
    end(client);
}

/* ---- Reuse ---------------------------------------------------------------------------------- */

static void answer_then_close(struct raw *r, ag_conn *c, int number) {
    (void)number;
    if (raw_request(r, c))
        raw_say(c, r->answer);
}

AG_TEST_RUN(client_dead_idle_connection_is_replaced) {
    raw.answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    ag_http_client *client = begin(answer_then_close, NULL);
    for (int i = 0; i < 10; i++) {
        check_get(client, raw.url, 200, "ok");
        if (i % 2) /* seen before it is used; else perhaps only by using it */
            eventually(atomic_load(&raw.running) == 1);
    }
    end(client);
}

/* Takes the second request of a connection, and ends. */
static void close_on_second(struct raw *r, ag_conn *c, int number) {
    if (!raw_request(r, c))
        return;
    raw_say(c, r->answer);
    if (number % 2 == 0) {
        if (raw_request(r, c))
            return;
    } else {
        raw_answer_all(r, c, number);
    }
}

static int post(ag_http_client *client, const char *method, const ag_http_client_field *fields) {
    ag_http_client_request q = {
        .url = raw.url, .method = method, .body = "abc", .body_n = 3, .fields = fields};
    ag_http_reply *r;
    char *body;
    int e = ag_http_client_do(client, &q, &r);
    if (e == 0)
        e = ag_http_reply_read_all(r, 100, &body, NULL);
    ag_http_reply_close(r);
    return e;
}

AG_TEST_RUN(client_repeats_what_may_be_repeated) {
    static const char *const safe[] = {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"};
    raw.answer = "HTTP/1.1 204 No Content\r\n\r\n";
    ag_http_client *client = begin(close_on_second, NULL);
    for (int i = 0; i < 6; i++) {
        check_get(client, raw.url, 204, "");
        ag_check_int(post(client, safe[i], NULL), 0);
        ag_check_int(stats_of_client(client).retried, i + 1);
        ag_http_client_close_idle(client);
        eventually(atomic_load(&raw.running) == 1);
    }
    ag_http_client_field key[] = {{"Idempotency-Key", "1"}, {NULL, NULL}};
    check_get(client, raw.url, 204, "");
    ag_check_int(post(client, "POST", key), 0);
    ag_check_int(stats_of_client(client).retried, 7);
    end(client);
}

AG_TEST_RUN(client_repeats_nothing_else) {
    static const char *const unsafe[] = {"POST", "PATCH", "MERGE"};
    raw.answer = "HTTP/1.1 204 No Content\r\n\r\n";
    ag_http_client *client = begin(close_on_second, NULL);
    for (int i = 0; i < 3; i++) {
        check_get(client, raw.url, 204, "");
        int asked = raw.asked;
        ag_check_int(post(client, unsafe[i], NULL), -ECONNRESET);
        ag_check_int(raw.asked, asked + 1);
        atomic_store(&raw.conns, 0);
    }
    ag_check_int(stats_of_client(client).retried, 0);
    end(client);
}

static void close_at_once(struct raw *r, ag_conn *c, int number) {
    (void)number;
    raw_request(r, c);
}

AG_TEST_RUN(client_fresh_connection_that_fails_is_an_error) {
    ag_http_client *client = begin(close_at_once, NULL);
    ag_check_int(get_error(client, raw.url), -ECONNRESET);
    ag_check_int(raw.asked, 1);
    end(client);
}

/* One byte of an answer was seen: the server has acted. */
static void one_byte_on_second(struct raw *r, ag_conn *c, int number) {
    (void)number;
    if (!raw_request(r, c))
        return;
    raw_say(c, r->answer);
    if (raw_request(r, c))
        raw_say(c, "H");
}

AG_TEST_RUN(client_repeats_nothing_once_a_byte_has_come) {
    raw.answer = "HTTP/1.1 204 No Content\r\n\r\n";
    ag_http_client *client = begin(one_byte_on_second, NULL);
    check_get(client, raw.url, 204, "");
    ag_check_int(get_error(client, raw.url), -ECONNRESET);
    ag_check_int(raw.asked, 2);
    ag_check_int(stats_of_client(client).retried, 0);
    end(client);
}

struct source {
    int read, rewound;
};

static ssize_t give(void *arg, void *buf, size_t n) {
    struct source *s = arg;
    if (s->read++)
        return 0;
    memset(buf, 'x', n < 100 ? n : 100);
    return n < 100 ? (ssize_t)n : 100;
}

static int rewind_source(void *arg) {
    struct source *s = arg;
    s->read = 0;
    s->rewound++;
    return 0;
}

static void close_on_second_body(struct raw *r, ag_conn *c, int number) {
    char buf[4096];
    if (!raw_request_in(r, c, buf, sizeof buf))
        return;
    for (size_t at = strlen(buf); !strstr(buf, "\r\n0\r\n\r\n");) {
        ag_check(at < sizeof buf - 1);
        ssize_t n = ag_read(c, buf + at, sizeof buf - 1 - at);
        if (n <= 0)
            return;
        buf[at += (size_t)n] = 0;
    }
    raw_say(c, r->answer);
    if (number == 0)
        raw_request(r, c);
    else
        raw_wait_end(c);
}

AG_TEST_RUN(client_repeats_a_source_if_it_can_be_rewound) {
    raw.answer = "HTTP/1.1 204 No Content\r\n\r\n";
    for (int can = 0; can < 2; can++) {
        ag_http_client *client = begin(close_on_second_body, NULL);
        for (int i = 0; i < 2; i++) {
            struct source s = {0};
            ag_http_client_request q = {.url = raw.url, .method = "PUT", .read = give, .arg = &s};
            q.rewind = can ? rewind_source : NULL;
            ag_http_reply *r;
            int e = ag_http_client_do(client, &q, &r);
            ag_http_reply_close(r);
            /* The end can be seen while sending, which is no reason to wait for the answer. */
            if (i == 1 && !can)
                ag_check(e == -ECONNRESET || e == -EPIPE);
            else
                ag_check_int(e, 0);
            ag_check_int(s.rewound, i == 1 && can);
        }
        end(client);
        memset((void *)&raw, 0, sizeof raw);
        raw.answer = "HTTP/1.1 204 No Content\r\n\r\n";
    }
}

/* The server ends idle connections while requests are under way: no idempotent one may fail. */
static void close_now_and_then(struct raw *r, ag_conn *c, int number) {
    (void)r;
    char buf[4096];
    for (int i = 0; i <= number % 3; i++) {
        size_t n = 0;
        do {
            ssize_t got = ag_read(c, buf + n, sizeof buf - 1 - n);
            if (got <= 0)
                return;
            n += (size_t)got;
            buf[n] = 0;
        } while (!strstr(buf, "\r\n\r\n"));
        raw_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        if (number % 7 == 0)
            ag_yield();
    }
}

static atomic_int done;

static void ask_often(ag_http_client *client, int times) {
    for (int i = 0; i < times; i++)
        check_get(client, raw.url, 200, "ok");
    atomic_fetch_add(&done, 1);
}

AG_TEST_RUN(client_races_with_closing_servers_fail_no_request) {
    ag_http_client *client = begin(close_now_and_then, NULL);
    int times = 200 / ag_test_slow();
    for (int i = 0; i < 8; i++)
        ag_go(ask_often, client, times);
    eventually(atomic_load(&done) == 8);
    ag_check_int(stats_of_client(client).requests, 8 * times);
    end(client);
}

/* ---- Proxies -------------------------------------------------------------------------------- */

AG_TEST_RUN(client_asks_a_proxy_with_the_whole_url) {
    raw.answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    raw_start(&raw, raw_answer_all);
    char proxy[128];
    snprintf(proxy, sizeof proxy, "http://me:pass@%s", ag_listener_addr(raw.l));
    ag_http_client *client = client_begin(&(ag_http_client_options){.proxy = proxy});
    check_get(client, "http://example.com/x?y", 200, "ok");
    static const char first[] = "GET http://example.com/x?y HTTP/1.1\r\nHost: example.com\r\n";
    ag_check_mem(raw_last(&raw), first, sizeof first - 1);
    ag_check_contains(raw_last(&raw), "Proxy-Authorization: Basic bWU6cGFzcw==\r\n");
    check_get(client, "http://other.example/", 200, "ok"); /* by the same connection */
    ag_check_int(raw.conns, 1);
    end(client);
}

AG_TEST_RUN(client_proxy_that_cannot_be_used_makes_no_client) {
    static const char *const bad[] = {"https://h:1", "socks5://h:1", "http://", "http://a b/"};
    for (int i = 0; i < 4; i++)
        ag_check(!ag_http_client_new(&(ag_http_client_options){.proxy = bad[i]}));
    ag_check(!ag_http_client_new(&(ag_http_client_options){.user_agent = "a\r\nb"}));
}
