/* SPDX-License-Identifier: MIT */
/*
 * The context of a request: what ends it, what does not, and what comes of the answer.
 */
#include "ag_test.h"

#include "http/server_test.h"

#include <sys/ioctl.h>
#include <sys/socket.h>

static struct client cl;
static struct reply r;
static struct site site;

#define GET(path) "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"

/* ---- Handlers ------------------------------------------------------------------------------- */

static atomic_int entered, left, result, cause;
static ag_chan(int) go_on;

/* Waits until told to go on, or its context ends. */
static void waits(ag_http_request *req, ag_http_response *res) {
    int x = 0;
    ag_check(ag_ctx_current() == ag_http_ctx(req));
    atomic_fetch_add(&entered, 1);
    int got = ag_select(AG_RECV(go_on, &x), AG_DONE(ag_http_ctx(req)));
    ag_check_int(got, ag_ctx_err(ag_http_ctx(req)) == 0 ? 0 : 1);
    atomic_store(&cause, ag_ctx_cause(ag_http_ctx(req)));
    atomic_store(&result, got);
    ag_http_printf(res, "%s\n", got == 0 ? "told" : "ended");
    atomic_fetch_add(&left, 1);
}

/* Any wait, without a word about contexts. */
static void sleeps(ag_http_request *req, ag_http_response *res) {
    (void)req;
    atomic_fetch_add(&entered, 1);
    atomic_store(&result, (int)ag_sleep(60 * AG_MIN));
    ag_http_text(res, 200, "woken\n");
    atomic_fetch_add(&left, 1);
}

static char large[8 << 20];

/* Ends its wait, then answers more than any socket takes at once. */
static void waits_then_fills(ag_http_request *req, ag_http_response *res) {
    (void)req;
    atomic_fetch_add(&entered, 1);
    atomic_store(&result, (int)ag_sleep(60 * AG_MIN));
    ag_check_int(ag_http_write(res, large, 100), 100);
    ag_check_int(ag_http_write(res, large, sizeof large / 2), sizeof large / 2);
    ag_check_int(ag_http_write(res, large, sizeof large / 2), sizeof large / 2);
    atomic_fetch_add(&left, 1);
}

/* Is writing already when the client ends its sending. */
static void fills(ag_http_request *req, ag_http_response *res) {
    (void)req;
    atomic_fetch_add(&entered, 1);
    ag_check_int(ag_http_write(res, large, sizeof large), sizeof large);
    atomic_fetch_add(&left, 1);
}

static ag_chan(int) child_done;

static void child(void) {
    int x = -1;
    ag_check(ag_recv(go_on, &x)); /* its context must not end */
    ag_send(child_done, ag_ctx_err(ag_ctx_current()));
}

static void leaves_a_child(ag_http_request *req, ag_http_response *res) {
    (void)req;
    ag_go(child);
    ag_http_text(res, 200, "ok\n");
}

static void after(void) {
    ag_check_int(ag_ctx_err(ag_ctx_current()), 0);
    ag_check(ag_ctx_current() == ag_ctx_background());
    atomic_store(&result, (int)ag_sleep(1));
    atomic_fetch_add(&left, 1);
}

static void later(ag_http_request *req, ag_http_response *res) {
    ag_http_after(req, after);
    atomic_fetch_add(&entered, 1);
    ag_sleep(60 * AG_MIN);
    ag_http_text(res, 200, "ok\n");
}

/* A bound of the handler's own counts for its writes as long as the client is there. */
static void within(ag_http_request *req, ag_http_response *res) {
    (void)req;
    ag_within(20 * AG_MS);
    atomic_store(&result, (int)ag_http_write(res, large, sizeof large));
    atomic_fetch_add(&left, 1);
}

static void start(void) {
    go_on = ag_make(int, 0);
    child_done = ag_make(int, 1);
    site.s = ag_http_server_new(NULL);
    ag_http_handle(site.s, "/ok", ok, NULL);
    ag_http_handle(site.s, "/waits", waits, NULL);
    ag_http_handle(site.s, "/sleeps", sleeps, NULL);
    ag_http_handle(site.s, "/waits_then_fills", waits_then_fills, NULL);
    ag_http_handle(site.s, "/fills", fills, NULL);
    ag_http_handle(site.s, "/child", leaves_a_child, NULL);
    ag_http_handle(site.s, "/later", later, NULL);
    ag_http_handle(site.s, "/within", within, NULL);
    site_start(&site);
    client_open(&cl, &site);
}

static void finish(void) {
    client_close(&cl);
    site_end(&site);
    ag_unref(go_on);
    ag_unref(child_done);
}

static void reset(struct client *c) {
    struct linger now = {1, 0};
    ag_check_int(setsockopt(ag_conn_fd(c->c), SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
    ag_conn_close(c->c);
}

/* ---- Who goes ------------------------------------------------------------------------------- */

AG_TEST_RUN(a_client_that_goes_ends_the_waits_of_its_handler) {
    start();
    say(&cl, GET("/waits"));
    eventually(atomic_load(&entered) == 1);
    ag_conn_close(cl.c);
    eventually(atomic_load(&left) == 1);
    ag_check_int(atomic_load(&result), 1);
    ag_check_int(atomic_load(&cause), -ECONNRESET);
    ag_unref(cl.c);
    client_open(&cl, &site);
    say(&cl, GET("/sleeps"));
    eventually(atomic_load(&entered) == 2);
    ag_conn_close(cl.c);
    eventually(atomic_load(&left) == 2);
    ag_check_int(atomic_load(&result), -ECANCELED);
    finish();
}

AG_TEST_RUN(a_reset_ends_it_even_with_requests_unread) {
    start();
    say(&cl, GET("/waits"));
    eventually(atomic_load(&entered) == 1);
    say(&cl, GET("/ok"));
    reset(&cl);
    eventually(atomic_load(&left) == 1);
    ag_check_int(atomic_load(&cause), -ECONNRESET);
    finish();
}

AG_TEST_RUN(the_second_request_of_a_connection_has_a_context_that_ends_too) {
    start();
    for (int i = 0; i < 3; i++) {
        say(&cl, GET("/ok"));
        expect(&cl, &r, 200, "ok\n");
    }
    say(&cl, GET("/waits"));
    eventually(atomic_load(&entered) == 1);
    ag_conn_close(cl.c);
    eventually(atomic_load(&left) == 1);
    ag_check_int(atomic_load(&cause), -ECONNRESET);
    finish();
}

AG_TEST_RUN(who_ends_its_sending_with_requests_unread_gets_all_answers) {
    start();
    say(&cl, GET("/waits"));
    eventually(atomic_load(&entered) == 1);
    say(&cl, GET("/ok") GET("/ok"));
    ag_conn_shutdown(cl.c, SHUT_WR);
    ag_check_int(ag_send(go_on, 1), 0);
    expect(&cl, &r, 200, "told\n");
    expect(&cl, &r, 200, "ok\n");
    expect(&cl, &r, 200, "ok\n");
    expect_end(&cl);
    finish();
}

AG_TEST_RUN(who_ends_its_sending_afterwards_still_gets_what_the_handler_answers) {
    start();
    say(&cl, GET("/waits"));
    eventually(atomic_load(&entered) == 1);
    ag_conn_shutdown(cl.c, SHUT_WR);
    expect(&cl, &r, 200, "ended\n");
    ag_check_int(atomic_load(&cause), -ECONNRESET);
    expect_end(&cl);
    finish();
}

static void expect_large(size_t n) {
    char line[64];
    size_t got = 0;
    while (take_line(&cl, line, sizeof line) && line[0])
        continue;
    while (take_line(&cl, line, sizeof line)) {
        size_t chunk = strtoul(line, NULL, 16);
        got += chunk;
        for (chunk += 2; chunk;) {
            if (cl.at == cl.n)
                ag_check(client_fill(&cl));
            size_t some = cl.n - cl.at < chunk ? cl.n - cl.at : chunk;
            cl.at += some;
            chunk -= some;
        }
        if (strcmp(line, "0") == 0)
            break;
    }
    ag_check_int(got, n);
}

AG_TEST_RUN(a_large_answer_after_the_end_of_the_context_is_sent_whole) {
    start();
    say(&cl, GET("/waits_then_fills"));
    eventually(atomic_load(&entered) == 1);
    ag_conn_shutdown(cl.c, SHUT_WR);
    expect_large(sizeof large + 100);
    ag_check_int(atomic_load(&result), -ECANCELED);
    eventually(atomic_load(&left) == 1);
    finish();
}

static int unread(void) {
    int n = 0;
    ag_check_int(ioctl(ag_conn_fd(cl.c), FIONREAD, &n), 0);
    return n;
}

AG_TEST_RUN(a_write_under_way_when_the_context_ends_goes_on) {
    start();
    say(&cl, GET("/fills"));
    eventually(unread() > 50000); /* more comes only when that is read */
    ag_conn_shutdown(cl.c, SHUT_WR);
    expect_large(sizeof large);
    eventually(atomic_load(&left) == 1);
    finish();
}

AG_TEST_RUN(a_bound_of_the_handler_ends_its_write) {
    start();
    say(&cl, GET("/within"));
    eventually(atomic_load(&left) == 1);
    ag_check_int(atomic_load(&result), -ETIMEDOUT);
    finish();
}

/* ---- What stays ----------------------------------------------------------------------------- */

AG_TEST_RUN(a_goroutine_that_outlives_its_request_is_not_ended_by_the_connection) {
    int err = -1;
    start();
    say(&cl, GET("/child"));
    expect(&cl, &r, 200, "ok\n");
    say(&cl, GET("/waits"));
    eventually(atomic_load(&entered) == 1);
    ag_conn_close(cl.c);
    eventually(atomic_load(&left) == 1);
    ag_check_int(atomic_load(&result), 1); /* the second request's has ended */
    ag_check_int(ag_send(go_on, 1), 0);
    ag_check(ag_recv(child_done, &err));
    ag_check_int(err, 0);
    finish();
}

AG_TEST_RUN(what_runs_after_the_response_runs_without_it) {
    start();
    say(&cl, GET("/later"));
    eventually(atomic_load(&entered) == 1);
    ag_conn_shutdown(cl.c, SHUT_WR);
    expect(&cl, &r, 200, "ok\n");
    eventually(atomic_load(&left) == 1);
    ag_check_int(atomic_load(&result), 0);
    finish();
}

AG_TEST_RUN(what_comes_afterwards_comes_also_when_nobody_is_there_to_take_the_answer) {
    start();
    say(&cl, GET("/later"));
    eventually(atomic_load(&entered) == 1);
    reset(&cl);
    eventually(atomic_load(&left) == 1);
    ag_check_int(atomic_load(&result), 0);
    finish();
}

/* ---- Stops ---------------------------------------------------------------------------------- */

AG_TEST_RUN(a_stop_ends_the_contexts_before_it_cuts) {
    start();
    say(&cl, GET("/waits"));
    eventually(atomic_load(&entered) == 1);
    ag_check_int(ag_http_stop(site.s, 400 * AG_MS * ag_test_slow()), 0); /* none was cut */
    expect(&cl, &r, 200, "ended\n");
    ag_check_str(field(&r, "Connection"), "close");
    ag_check_int(atomic_load(&cause), -ESHUTDOWN);
    expect_end(&cl);
    finish();
}

AG_TEST_RUN(a_stop_at_once_ends_them_too) {
    start();
    say(&cl, GET("/waits"));
    eventually(atomic_load(&entered) == 1);
    ag_check_int(ag_http_stop(site.s, 0), 1);
    eventually(atomic_load(&left) == 1);
    ag_check_int(atomic_load(&cause), -ESHUTDOWN);
    expect_end(&cl);
    finish();
}

/* ---- Connections ---------------------------------------------------------------------------- */

AG_TEST_RUN(a_context_of_a_connection_ends_when_the_peer_goes) {
    ag_listener *l;
    ag_conn *ours, *theirs;
    ag_ctx *a = ag_ctx_with_cancel(NULL), *b = ag_ctx_with_cancel(NULL);
    ag_check_int(ag_listen("tcp", "127.0.0.1:0", &l), 0);
    ag_check_int(ag_dial("tcp", ag_listener_addr(l), &theirs), 0);
    ag_check_int(ag_accept(l, &ours), 0);
    ag_check_int(ag_conn_cancel_when_gone(ours, a), 0);
    ag_check_int(ag_conn_cancel_when_gone(ours, b), 0); /* instead of a */
    ag_conn_close(theirs);
    ag_recv(ag_ctx_done(b), NULL);
    ag_check_int(ag_ctx_cause(b), -ECONNRESET);
    ag_check_int(ag_ctx_err(a), 0);
    ag_check_int(ag_conn_cancel_when_gone(ours, a), 0); /* an end before the call */
    ag_check_int(ag_ctx_err(a), 0);
    ag_check_int(ag_conn_cancel_when_gone(ours, NULL), 0);
    ag_conn_close(ours);
    ag_check_int(ag_conn_cancel_when_gone(ours, a), -ECANCELED);
    ag_check_int(ag_ctx_err(a), 0);
    ag_unref(a);
    ag_unref(b);
    ag_unref(ours);
    ag_unref(theirs);
    ag_listener_close(l);
    ag_unref(l);
}
