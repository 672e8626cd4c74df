/* SPDX-License-Identifier: MIT */
/*
 * The client's connections of HTTP/2 against servers that play a script, frame by frame: those that
 * go, refuse, fall silent, or take few requests at a time; and our own server, which stops.
 */
#include "ag_test.h"

#include "http/client_h2_test.h"

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- Servers that go ------------------------------------------------------------------------ */

static void go_away_midway(struct raw *r, ag_conn *c, int number) {
    if (number > 0) {
        answer_all(r, c, number);
        return;
    }
    if (!warm(c) || !take_requests(c, 4))
        return;
    say_goaway(c, 5, 0);
    say_answer(c, 5, "ok");
    say_answer(c, 3, "ok");
    raw_wait_end(c);
}

AG_TEST_RUN(client_h2_what_a_goaway_leaves_out_is_asked_elsewhere) {
    ag_http_client *client = begin(go_away_midway, NULL);
    warm_up(client);
    for (int i = 0; i < 4; i++)
        ag_go(ask_one, client, i % 2 ? "POST" : "GET", 0);
    eventually(atomic_load(&succeeded) == 4);
    ag_http_client_stats st = stats_of_client(client);
    ag_check_int(st.dialed, 2);
    ag_check_int(st.retried, 2);
    ag_check_int(st.open, 1); /* the client has closed the other one */
    end(client);
}

static void refuse_first(struct raw *r, ag_conn *c, int number) {
    struct frame f;
    (void)number;
    if (!greet(c, 0, 0))
        return;
    for (int i = 0; take_frame(c, &f, HEADERS); i++) {
        atomic_fetch_add(&r->asked, 1);
        if (r->answer || i == 0)
            say_number(c, RST_STREAM, f.id, NGHTTP2_REFUSED_STREAM);
        else
            say_answer(c, f.id, "ok");
    }
}

AG_TEST_RUN(client_h2_a_refused_request_is_sent_again) {
    ag_http_client *client = begin(refuse_first, NULL);
    ask_one(client, "POST", 0);
    ag_check_int(stats_of_client(client).retried, 1);
    ag_check_int(stats_of_client(client).dialed, 1);
    end(client);
}

AG_TEST_RUN(client_h2_who_is_refused_always_learns_it) {
    raw.answer = "";
    ag_http_client *client = begin(refuse_first, NULL);
    ag_http_reply *r;
    ag_check_int(ag_http_get(client, raw.url, &r), -ECONNRESET);
    ag_check_contains(ag_http_reply_error(r), "the server takes no more requests");
    ag_http_reply_close(r);
    ag_check_int(atomic_load(&raw.asked), 6);
    ag_check_int(stats_of_client(client).dialed, 1);
    end(client);
}

/* ---- Cancelling ----------------------------------------------------------------------------- */

/* Requests for nothing; the server counts resets, and answers the next one. */
static void never_answer_first(struct raw *r, ag_conn *c, int number) {
    struct frame f;
    (void)number;
    if (!warm(c) || !take_frame(c, &f, HEADERS))
        return;
    if (r->answer)
        say_fields(c, f.id, END_HEADERS, ":status: 200\n");
    atomic_fetch_add(&r->asked, 1);
    bool was_reset = false, was_asked = r->answer; /* nothing has come since: is anybody there? */
    while (!(was_reset && was_asked) && take_any(c, &f)) {
        if (f.type == PING) {
            say_frame(c, PING, ACK, 0, f.p, 8);
            was_asked = true;
        } else if (f.type == RST_STREAM) {
            ag_check_int(u32(f.p), NGHTTP2_CANCEL);
            was_reset = true;
        }
    }
    while (take_frame(c, &f, HEADERS))
        say_answer(c, f.id, "ok");
}

AG_TEST_RUN(client_h2_a_context_that_ends_resets_its_stream_only) {
    ag_http_client *client = begin(never_answer_first, NULL);
    ag_http_reply *r;
    warm_up(client);
    {
        ag_within(20 * AG_MS);
        ag_check_int(ag_http_get(client, raw.url, &r), -ETIMEDOUT);
        ag_http_reply_close(r);
    }
    check_get(client, raw.url, 200, "ok");
    ag_check_int(stats_of_client(client).dialed, 1);
    end(client);
}

AG_TEST_RUN(client_h2_a_limit_that_is_over_resets_its_stream_only) {
    ag_http_client *client = begin(never_answer_first, NULL);
    warm_up(client);
    ag_time usual = client->opt.head_ns;
    client->opt.head_ns = 20 * AG_MS; /* nobody looks at it just now */
    ag_check_int(get_error(client, raw.url), -ETIMEDOUT);
    client->opt.head_ns = usual;
    check_get(client, raw.url, 200, "ok");
    ag_check_int(stats_of_client(client).dialed, 1);
    end(client);
}

AG_TEST_RUN(client_h2_a_body_that_is_closed_early_resets_its_stream_only) {
    raw.answer = "";
    ag_http_client *client = begin(never_answer_first, NULL);
    ag_http_reply *r;
    warm_up(client);
    ag_check_int(ag_http_get(client, raw.url, &r), 0);
    ag_http_reply_close(r);
    check_get(client, raw.url, 200, "ok");
    ag_check_int(stats_of_client(client).dialed, 1);
    end(client);
}

/* Two at a time, one of them for long, and what was given up counts until it says so. */
static void count_what_was_reset(struct raw *r, ag_conn *c, int number) {
    struct frame f;
    int seen = 0;
    (void)number;
    if (!warm_with(c, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 2) || !take_frame(c, &f, HEADERS))
        return;
    uint32_t long_one = f.id;
    say_fields(c, long_one, END_HEADERS, ":status: 200\n");
    while (seen < 2 && take_any(c, &f))
        seen += f.type == RST_STREAM || f.type == PING;
    atomic_fetch_add(&r->asked, 1);
    while (!r->answer_n) /* until somebody waits for his turn */
        ag_sleep(AG_MS);
    say_frame(c, PING, 0, 0, "12345678", 8);
    while (take_any(c, &f) && f.type != PING)
        ag_check(f.type != HEADERS);
    say_frame(c, PING, ACK, 0, "\0\0\0\0\0\0\0", 8);
    if (take_frame(c, &f, HEADERS))
        say_answer(c, f.id, "ok");
    say_frame(c, DATA, END_STREAM, long_one, "long", 4);
    raw_wait_end(c);
}

AG_TEST_RUN(client_h2_what_was_given_up_counts_until_the_server_has_noticed) {
    ag_http_client *client =
        begin(count_what_was_reset, &(ag_http_client_options){.conns_per_host = 1});
    ag_http_reply *r, *long_one;
    char *text;
    warm_up(client);
    ag_check_int(ag_http_get(client, raw.url, &long_one), 0);
    {
        ag_within(20 * AG_MS);
        ag_check_int(ag_http_get(client, raw.url, &r), -ETIMEDOUT);
        ag_http_reply_close(r);
    }
    eventually(atomic_load(&raw.asked) == 1);
    ag_go(ask_one, client, "POST", 0);
    eventually(stats_of_client(client).waiting == 1);
    atomic_store(&raw.answer_n, 1);
    eventually(atomic_load(&succeeded) == 1);
    ag_check_int(ag_http_reply_read_all(long_one, 10, &text, NULL), 0);
    ag_check_str(text, "long");
    ag_http_reply_close(long_one);
    ag_check_int(stats_of_client(client).retried, 0);
    ag_check_int(stats_of_client(client).dialed, 1);
    end(client);
}

static void fall_silent(struct raw *r, ag_conn *c, int number) {
    if (number > 0)
        answer_all(r, c, number);
    else if (warm(c))
        raw_wait_end(c);
}

AG_TEST_RUN(client_h2_a_connection_that_does_not_answer_a_ping_is_not_used) {
    ag_http_client *client = begin(fall_silent, NULL);
    ag_http_reply *r;
    warm_up(client);
    {
        ag_within(20 * AG_MS);
        ag_check_int(ag_http_get(client, raw.url, &r), -ETIMEDOUT);
        ag_http_reply_close(r);
    }
    ag_mutex_lock(&client->lock);
    ag__client_h2 *h2 = client->oldest->h2;
    ag_mutex_unlock(&client->lock);
    ag__ch2_lock(h2);
    ag_check(h2->silent_at != 0);
    h2->silent_at -= AG__CH2_PONG + AG_SEC; /* as if that time had passed */
    ag__ch2_unlock(h2);
    check_get(client, raw.url, 200, "ok");
    ag_check_int(stats_of_client(client).dialed, 2);
    end(client);
}

/* ---- The pool ------------------------------------------------------------------------------- */

static void one_at_a_time(struct raw *r, ag_conn *c, int number) {
    struct frame f;
    (void)number;
    if (!greet(c, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1))
        return;
    while (take_any(c, &f)) {
        if (f.type != HEADERS)
            continue;
        atomic_fetch_add(&r->asked, 1);
        uint32_t id = f.id;
        say_frame(c, PING, 0, 0, "12345678", 8); /* who sends another request, does so by now */
        while (take_any(c, &f) && f.type != PING)
            if (f.type == HEADERS)
                ag_fail("two requests at a time");
        say_answer(c, id, "ok");
    }
}

AG_TEST_RUN(client_h2_no_more_requests_than_the_server_takes) {
    ag_http_client *client = begin(one_at_a_time, &(ag_http_client_options){.conns_per_host = 3});
    for (int i = 0; i < 40; i++)
        ag_go(ask_one, client, "GET", 0);
    eventually(atomic_load(&succeeded) == 40);
    ag_check(stats_of_client(client).dialed <= 3);
    ag_check_int(stats_of_client(client).retried, 0);
    end(client);
}

AG_TEST_RUN(client_h2_first_requests_share_the_first_connection) {
    ag_http_client *client = begin(answer_all, NULL);
    for (int i = 0; i < 50; i++)
        ag_go(ask_one, client, "GET", 0);
    eventually(atomic_load(&succeeded) == 50);
    ag_check_int(stats_of_client(client).dialed, 1);
    ag_check_int(stats_of_client(client).reused, 49);
    end(client);
}

static void ask_in_vain(ag_http_client *client, const char *url) {
    ag_check_int(get_error(client, url), -ECONNREFUSED);
    atomic_fetch_add(&failed, 1);
}

AG_TEST_RUN(client_h2_who_waits_for_a_connection_gets_its_error) {
    ag_http_client *client = begin(answer_all, NULL);
    ag_listener *l;
    static char url[64];
    ag_check_int(ag_listen("tcp", "127.0.0.1:0", &l), 0);
    snprintf(url, sizeof url, "http://%s/", ag_listener_addr(l));
    ag_listener_close(l);
    ag_unref(l);
    for (int i = 0; i < 20; i++)
        ag_go(ask_in_vain, client, url);
    eventually(atomic_load(&failed) == 20);
    ag_check_int(stats_of_client(client).open, 0);
    end(client);
}

/* The one who makes the connection gives up: the next one makes another. */
static void late_settings(struct raw *r, ag_conn *c, int number) {
    if (number > 0) {
        answer_all(r, c, number);
        return;
    }
    atomic_fetch_add(&r->asked, 1);
    raw_wait_end(c);
}

static void ask_within(ag_http_client *client, ag_ctx *ctx) {
    ag_ctx_enter(ctx);
    ask_one(client, "GET", -ECANCELED);
}

AG_TEST_RUN(client_h2_who_waits_goes_on_when_the_first_one_gives_up) {
    ag_http_client *client = begin(late_settings, NULL);
    ag_ctx *ctx = ag_ctx_with_cancel(NULL);
    ag_go(ask_within, client, ctx);
    eventually(atomic_load(&raw.asked) == 1);
    for (int i = 0; i < 5; i++)
        ag_go(ask_one, client, "POST", 0);
    eventually(stats_of_client(client).waiting == 5);
    ag_ctx_cancel(ctx);
    eventually(atomic_load(&succeeded) == 5 && atomic_load(&failed) == 1);
    ag_check_int(stats_of_client(client).dialed, 2);
    ag_unref(ctx);
    end(client);
}

/* Idle, it is asked whether it is there, and closed. */
static void ping_when_idle(struct raw *r, ag_conn *c, int number) {
    struct frame f;
    if (number > 0) {
        answer_all(r, c, number);
        return;
    }
    if (!warm(c))
        return;
    say_frame(c, PING, 0, 0, "12345678", 8);
    while (take_frame(c, &f, PING))
        if (f.flags & ACK)
            break;
    ag_check(memcmp(f.p, "12345678", 8) == 0);
    say_setting(c, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 70000);
    do
        ag_check(take_any(c, &f));
    while (f.type != SETTINGS || !(f.flags & ACK));
    atomic_fetch_add(&r->asked, 1);
    while (!r->answer_n)
        ag_sleep(AG_MS);
}

AG_TEST_RUN(client_h2_idle_connections_answer_and_hold_no_goroutine) {
    ag_http_client *client = begin(ping_when_idle, NULL);
    warm_up(client);
    eventually(atomic_load(&raw.asked) == 1);
    eventually(ag_count() == 3); /* this one, and the server's two */
    ag_mutex_lock(&client->lock);
    ag__client_h2 *h2 = client->oldest->h2;
    ag_mutex_unlock(&client->lock);
    ag__ch2_lock(h2);
    ag_check(!h2->out.buf && !h2->out.spare && !h2->streams);
    ag__ch2_unlock(h2);
    atomic_store(&raw.answer_n, 1); /* closes */
    eventually(stats_of_client(client).open == 0);
    check_get(client, raw.url, 200, "ok");
    ag_check_int(stats_of_client(client).dialed, 2);
    ag_check_int(stats_of_client(client).retried, 0);
    end(client);
}

static void close_behind_the_answer(struct raw *r, ag_conn *c, int number) {
    (void)r;
    (void)number;
    warm(c);
}

AG_TEST_RUN(client_h2_a_dead_idle_connection_fails_no_request) {
    ag_http_client *client = begin(close_behind_the_answer, NULL);
    for (int i = 0; i < 50; i++)
        check_get(client, raw.url, 200, "ok");
    end(client);
}

static ag_conn *_Atomic held;
static atomic_uint held_id;

static void hold_one(struct raw *r, ag_conn *c, int number) {
    struct frame f;
    (void)r;
    (void)number;
    if (!warm(c) || !take_frame(c, &f, HEADERS))
        return;
    atomic_store(&held_id, f.id);
    atomic_store(&held, c);
    raw_wait_end(c);
}

/* A reset comes at once. ThreadSanitizer would take the call for one that makes the descriptor. */
static void reset_held(void) {
    const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    int fd = ag_conn_fd(atomic_load(&held));
    ag_check_int(syscall(SYS_connect, fd, &nobody, sizeof nobody), 0);
}

/* Where goroutines take turns, the write that fails comes before the reader has looked. */
AG_TEST_RUN(client_h2_an_answer_is_read_although_the_next_write_fails) {
    ag_http_client *client = begin(hold_one, NULL);
    for (int i = 0; i < 10; i++) {
        warm_up(client);
        ag_mutex_lock(&client->lock);
        ag__client_h2 *h2 = client->oldest->h2;
        atomic_fetch_add(&h2->refs, 1);
        ag_mutex_unlock(&client->lock);
        ag_go(ask_one, client, "POST", 0);
        eventually(atomic_load(&held) != NULL);
        ag__ch2_lock(h2);
        nghttp2_submit_ping(h2->session, NGHTTP2_FLAG_NONE, NULL);
        ag__ch2_push(h2);
        say_answer(atomic_load(&held), atomic_load(&held_id), "ok");
        reset_held();
        ag__ch2_unlock(h2);
        ag__client_h2_unref(h2);
        eventually(atomic_load(&succeeded) == i + 1);
        atomic_store(&held, NULL);
        eventually(stats_of_client(client).open == 0);
    }
    ag_check_int(stats_of_client(client).retried, 0);
    end(client);
}

static void lose_second(struct raw *r, ag_conn *c, int number) {
    struct frame f;
    if (number > 0)
        answer_all(r, c, number);
    else if (warm(c))
        take_frame(c, &f, HEADERS);
}

AG_TEST_RUN(client_h2_a_lost_connection_is_as_with_http1) {
    ag_http_client *client = begin(lose_second, NULL);
    warm_up(client);
    ask_one(client, "GET", 0);
    ag_check_int(stats_of_client(client).retried, 1);
    end(client);
}

AG_TEST_RUN(client_h2_a_post_on_a_lost_connection_is_not_sent_again) {
    ag_http_client *client = begin(lose_second, NULL);
    warm_up(client);
    ask_one(client, "POST", -ECONNRESET);
    ag_check_int(stats_of_client(client).retried, 0);
    end(client);
}

AG_TEST_RUN(client_h2_connection_close_is_the_last_request) {
    static const ag_http_client_field fields[] = {{"Connection", "close"}, {NULL, NULL}};
    ag_http_client *client = begin(answer_all, NULL);
    ag_http_client_request q = {.url = raw.url, .fields = fields};
    ag_http_reply *r;
    ag_check_int(ag_http_client_do(client, &q, &r), 0);
    ag_http_reply_close(r);
    ag_check_int(stats_of_client(client).open, 0);
    end(client);
}

/* ---- Our own server goes -------------------------------------------------------------------- */

static void say_ok(ag_http_request *req, ag_http_response *res) {
    char buf[100];
    while (ag_http_body_read(req, buf, sizeof buf) > 0)
        ag_yield();
    ag_http_text(res, 200, "ok");
}

static void serve(ag_http_server *s, ag_listener *l) {
    ag_http_serve(s, l);
    ag_unref(l);
}

/* Until nobody listens any more. */
static void ask_until_gone(ag_http_client *client, const char *url, const char *method) {
    ag_http_client_request q = {.url = url, .method = method};
    for (int e = 0; e == 0;) {
        ag_http_reply *r;
        char *body;
        e = ag_http_client_do(client, &q, &r);
        if (e == 0)
            e = ag_http_reply_read_all(r, 100, &body, NULL);
        if (e == 0)
            atomic_fetch_add(&succeeded, 1);
        else if (e != -ECONNREFUSED)
            ag_fail("%s: %s", method, ag_http_reply_error(r));
        ag_http_reply_close(r);
    }
    atomic_fetch_add(&failed, 1);
}

AG_TEST_RUN(client_h2_a_server_that_stops_loses_no_request) {
    enum { WORKERS = 20 };
    static char url[64];
    ag_listener *l;
    ag_http_server *s = ag_http_server_new(NULL);
    ag_http_handle(s, "/", say_ok, NULL);
    ag_check_int(ag_listen("tcp", "127.0.0.1:0", &l), 0);
    snprintf(url, sizeof url, "http://%s/", ag_listener_addr(l));
    ag_go(serve, s, l);
    ag_http_client *client = client_begin(NULL);
    for (int i = 0; i < WORKERS; i++)
        ag_go(ask_until_gone, client, url, i % 2 ? "POST" : "GET");
    eventually(atomic_load(&succeeded) > 500 / ag_test_slow());
    ag_check_int(ag_http_stop(s, 20 * AG_SEC * ag_test_slow()), 0);
    eventually(atomic_load(&failed) == WORKERS);
    client_end(client);
    ag_http_server_free(s);
    eventually(ag_count() == 1);
}

static void read_all_of(ag_http_reply *r) {
    char *body;
    size_t n;
    ag_check_int(ag_http_reply_read_all(r, 1 << 22, &body, &n), 0);
    ag_check_int(n, 1 << 21);
    ag_http_reply_close(r);
}

static void fill(ag_http_request *req, ag_http_response *res) {
    static char zeros[1 << 21];
    (void)req;
    ag_http_write(res, zeros, sizeof zeros);
}

AG_TEST_RUN(client_h2_replies_that_nobody_reads_hold_up_nobody) {
    enum { UNREAD = 20 };
    static char large[64], small[64];
    ag_http_reply *r[UNREAD];
    ag_listener *l;
    ag_http_server *s = ag_http_server_new(NULL);
    ag_http_handle(s, "/fill", fill, NULL);
    ag_http_handle(s, "/", say_ok, NULL);
    ag_check_int(ag_listen("tcp", "127.0.0.1:0", &l), 0);
    snprintf(large, sizeof large, "http://%s/fill", ag_listener_addr(l));
    snprintf(small, sizeof small, "http://%s/", ag_listener_addr(l));
    ag_go(serve, s, l);
    ag_http_client *client = client_begin(NULL);
    for (int i = 0; i < UNREAD; i++)
        ag_check_int(ag_http_get(client, large, &r[i]), 0);
    for (int i = 0; i < 10; i++)
        check_get(client, small, 200, "ok");
    ag_check_int(stats_of_client(client).dialed, 1);
    for (int i = 0; i < UNREAD; i++)
        read_all_of(r[i]);
    client_end(client);
    ag_check_int(ag_http_stop(s, 20 * AG_SEC * ag_test_slow()), 0);
    ag_http_server_free(s);
    eventually(ag_count() == 1);
}

static void echo(ag_http_request *req, ag_http_response *res) {
    char buf[5000];
    ssize_t n;
    while ((n = ag_http_body_read(req, buf, sizeof buf)) > 0)
        if (ag_http_write(res, buf, (size_t)n) < 0)
            return;
}

enum { SOME = 100000 };

static ssize_t give_some(void *arg, void *buf, size_t n) {
    int *left = arg;
    size_t k = (size_t)*left < n ? (size_t)*left : n;
    memset(buf, 'b', k);
    *left -= (int)k;
    return (ssize_t)k;
}

static int give_again(void *arg) {
    *(int *)arg = SOME;
    return 0;
}

/* One of a few kinds, which may be cut at any point. Those that are not, come out whole. */
static void ask_somehow(ag_http_client *client, const char *url, unsigned kind) {
    static char body[70000];
    char buf[3000];
    int left = SOME;
    ag_http_client_request q = {.url = url, .method = "PUT", .body = body, .body_n = kind * 3000};
    ag_http_reply *r;
    ssize_t got = 0;
    size_t n = 0, want = q.body_n;
    if (kind % 3 == 0) {
        q = (ag_http_client_request){
            .url = url, .method = "PUT", .read = give_some, .rewind = give_again, .arg = &left};
        want = SOME;
    }
    bool may_fail = kind % 5 == 0;
    ag_within(may_fail ? (ag_time)kind * 100 * AG_US : 10 * AG_MIN);
    int e = ag_http_client_do(client, &q, &r);
    for (int i = 0; e == 0 && (kind % 7 || i < 3); i++) {
        got = ag_http_reply_read(r, buf, sizeof buf);
        if (got <= 0)
            break;
        n += (size_t)got;
    }
    e = e ? e : got < 0 ? (int)got : 0;
    if (e != 0 && !(may_fail && e == -ETIMEDOUT))
        ag_fail("%u: %s", kind, ag_http_reply_error(r));
    if (e == 0 && kind % 7)
        ag_check_int(n, want);
    ag_http_reply_close(r);
}

static void ask_in_many_ways(ag_http_client *client, const char *url, int seed, int times) {
    unsigned x = (unsigned)seed;
    for (int i = 0; i < times; i++) {
        x = x * 1103515245 + 12345;
        ask_somehow(client, url, 1 + (x >> 16) % 23);
    }
    atomic_fetch_add(&succeeded, 1);
}

AG_TEST_RUN(client_h2_whatever_is_cut_the_others_go_on) {
    enum { WORKERS = 24 };
    static char url[64];
    ag_listener *l;
    ag_http_server *s =
        ag_http_server_new(&(ag_http_options){.streams_max = 8, .body_max = 1 << 20});
    ag_http_handle(s, "/", echo, NULL);
    ag_check_int(ag_listen("tcp", "127.0.0.1:0", &l), 0);
    snprintf(url, sizeof url, "http://%s/", ag_listener_addr(l));
    ag_go(serve, s, l);
    ag_http_client *client = client_begin(&(ag_http_client_options){.conns_per_host = 4});
    for (int i = 0; i < WORKERS; i++)
        ag_go(ask_in_many_ways, client, url, i, 60 / ag_test_slow());
    eventually(atomic_load(&succeeded) == WORKERS);
    client_end(client);
    ag_check_int(ag_http_stop(s, 20 * AG_SEC * ag_test_slow()), 0);
    ag_http_server_free(s);
    eventually(ag_count() == 1);
}
