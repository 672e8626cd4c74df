/* SPDX-License-Identifier: MIT */
/*
 * The stop of a server: what is answered, what is cut, and who is told.
 */
#include "ag_test.h"

#include "http/server_site_test.h"
#include "waits.h"

#include <unistd.h>

static int64_t cut_count;

static void stop_within(struct site *site, ag_time ns, ag_wg *wg) {
    cut_count = ag_http_stop(site->s, ns);
    ag_wg_done(wg);
}

AG_TEST_RUN(a_stop_answers_what_has_begun_and_closes_the_idle) {
    struct site site;
    static struct client idle, late;
    ag_wg wg = AG_WG_INIT;
    start(&site, NULL);
    client_open(&cl, &site);
    client_open(&idle, &site);
    client_open(&late, &site);
    say(&idle, GET("/ok"));
    expect(&idle, &r, 200, "ok\n");
    ag_check(!field(&r, "Connection"));
    say(&cl, GET("/wait") GET("/ok")); /* the second is not answered: that is said in time */
    eventually(atomic_load(&entered) == 1);
    ag_wg_add(&wg, 1);
    ag_go(stop_within, &site, 20 * AG_SEC * ag_test_slow(), &wg);
    eventually(ag_http_stopping(site.s));
    say(&late, GET("/ok")); /* arrives while it stops */
    expect(&late, &r, 200, "ok\n");
    ag_check_str(field(&r, "Connection"), "close");
    expect_end(&late);
    expect_end(&idle);
    ag_conn *refused;
    eventually(ag_dial("tcp", ag_listener_addr(site.l), &refused) == -ECONNREFUSED);
    ag_check_int(atomic_load(&site.served), 0); /* serve waits until the last answer is out */
    ag_send(gate, 'x');
    expect(&cl, &r, 200, "stopping");
    ag_check_str(field(&r, "Connection"), "close");
    expect_end(&cl);
    ag_wg_wait(&wg);
    ag_check_int(cut_count, 0);
    client_close(&cl);
    client_close(&idle);
    client_close(&late);
    finish(&site);
}

AG_TEST_RUN(a_stop_cuts_what_is_not_done_in_time) {
    struct site site;
    start(&site, NULL);
    client_open(&cl, &site);
    say(&cl, GET("/wait_on"));
    eventually(atomic_load(&entered) == 1);
    ag_time begin = ag_now();
    ag_check_int(ag_http_stop(site.s, 50 * AG_MS), 1);
    ag_check(ag_now() - begin >= 50 * AG_MS);
    expect_end(&cl);
    eventually(atomic_load(&site.served) == -1000);
    ag_http_server_free(site.s); /* a handler still runs: the memory stays until it is done */
    ag_close(gate);
    eventually(atomic_load(&left) == 1);
    client_close(&cl);
    ag_unref(site.l);
    eventually(ag_count() == 1);
    ag_unref(gate);
}

AG_TEST_RUN(a_lame_duck_answers_and_sends_everybody_away) {
    struct site site;
    start(&site, NULL);
    ag_check(!ag_http_stopping(site.s));
    ag_check_int(ag_ctx_err(ag_http_until_stop(site.s)), 0);
    client_open(&cl, &site);
    say(&cl, GET("/ok"));
    expect(&cl, &r, 200, "ok\n");
    ag_check(!field(&r, "Connection"));
    ag_http_lame_duck(site.s);
    ag_check(ag_http_stopping(site.s));
    ag_check_int(ag_ctx_err(ag_http_until_stop(site.s)), -ECANCELED);
    for (int i = 0; i < 2; i++) { /* the old connection, and a new one */
        say(&cl, GET("/ok"));
        expect(&cl, &r, 200, "ok\n");
        ag_check_str(field(&r, "Connection"), "close");
        expect_end(&cl);
        client_close(&cl);
        if (i == 0)
            client_open(&cl, &site);
    }
    finish(&site);
}

static void waits_for_the_end(ag_http_request *req, ag_http_response *res) {
    (void)req;
    atomic_fetch_add(&entered, 1);
    atomic_store(&last_error, ag_sleep(AG_MIN));
    ag_http_printf(res, "%s", ag_ctx_err(ag_ctx_current()) ? "ended" : "lives");
}

AG_TEST_RUN(handlers_are_told_to_end_by_their_contexts) {
    struct site site = {NULL, NULL, 0};
    int64_t ids[2] = {0, 0};
    char *text;
    size_t n;
    site.s = ag_http_server_new(NULL);
    gate = NULL;
    ag_http_handle(site.s, "/end", waits_for_the_end, NULL);
    site_start(&site);
    ag_check_int(ag_http_running(site.s, NULL, 0), 0);
    client_open(&cl, &site);
    say(&cl, GET("/end"));
    eventually(atomic_load(&entered) == 1);
    ag_check_int(ag_http_running(site.s, NULL, 0), 1);
    ag_check_int(ag_http_running(site.s, ids, 2), 1);
    until_waits(ids[0]);
    FILE *out = open_memstream(&text, &n);
    ag_check_int(ag_dump_goroutine(out, ids[0]), 0);
    fclose(out);
    ag_check_contains(text, "waits_for_the_end");
    free(text);
    ag_http_cancel(site.s);
    expect(&cl, &r, 200, "ended");
    ag_check_int(last_error, -ECANCELED);
    eventually(ag_http_running(site.s, NULL, 0) == 0);
    client_close(&cl);
    site_end(&site);
}

static void stop_in(ag_ctx *ctx, struct site *site, ag_wg *wg) {
    ag_ctx_enter(ctx);
    stop_within(site, AG_MIN, wg);
}

AG_TEST_RUN(the_end_of_its_context_makes_a_stop_cut_at_once) {
    struct site site;
    ag_wg wg = AG_WG_INIT;
    ag_ctx *ctx = ag_ctx_with_cancel(NULL);
    start(&site, NULL);
    client_open(&cl, &site);
    say(&cl, GET("/wait"));
    eventually(atomic_load(&entered) == 1);
    ag_wg_add(&wg, 1);
    ag_go(stop_in, ctx, &site, &wg);
    eventually(ag_http_stopping(site.s));
    ag_ctx_cancel(ctx);
    ag_wg_wait(&wg);
    ag_check_int(cut_count, 1);
    expect_end(&cl);
    ag_close(gate);
    client_close(&cl);
    ag_unref(ctx);
    finish(&site);
}

/* The request is there, and nobody has looked: with one processor the poller has not run since. */
AG_TEST_RUN(a_request_that_meets_the_end_of_an_idle_connection_is_answered) {
    struct site site;
    ag_procs(1);
    start(&site, NULL);
    for (int i = 0; i < 20; i++) {
        client_open(&cl, &site);
        say(&cl, GET("/ok"));
        expect(&cl, &r, 200, "ok\n");
        eventually(stats_of(&site).idle == 1);
        ag_check_int(write(ag_conn_fd(cl.c), GET("/ok"), sizeof GET("/ok") - 1),
                     sizeof GET("/ok") - 1);
        ag_mutex_lock(&site.s->lock);
        ag__http_wheel_close_idle(site.s, ag_now());
        ag_mutex_unlock(&site.s->lock);
        expect(&cl, &r, 200, "ok\n");
        expect_end(&cl);
        client_close(&cl);
    }
    finish(&site);
}

AG_TEST_RUN(a_server_that_never_served_is_freed) {
    ag_http_server_free(NULL);
    ag_http_server_free(ag_http_server_new(NULL));
    ag_http_server *s = ag_http_server_new(NULL);
    ag_listener *l;
    ag_check_int(ag_http_stop(s, AG_SEC), 0);
    ag_check_int(ag_listen("tcp", "127.0.0.1:0", &l), 0);
    ag_check_int(ag_http_serve(s, l), 0); /* too late */
    ag_check_int(ag_listener_close(l), -ECANCELED);
    ag_unref(l);
    ag_http_server_free(s);
}

/* One request after the other until the server says that it closes; each must be answered. */
static void until_told_to_go(struct site *site, ag_wg *wg, atomic_long *answered) {
    struct client *c = malloc(sizeof *c);
    struct reply *reply = malloc(sizeof *reply);
    ag_defer(ag_wg_done, wg);
    client_open(c, site);
    atomic_fetch_add(&entered, 1);
    do {
        say(c, GET("/ok"));
        expect(c, reply, 200, "ok\n");
        atomic_fetch_add(answered, 1);
    } while (!field(reply, "Connection"));
    expect_end(c);
    client_close(c);
    free(reply);
    free(c);
}

AG_TEST_RUN(a_stop_under_load_loses_no_request) {
    for (int round = 0; round < 10 / ag_test_slow() + 1; round++) {
        struct site site;
        atomic_long answered = 0;
        ag_wg wg = AG_WG_INIT;
        atomic_store(&entered, 0);
        start(&site, NULL);
        for (int i = 0; i < 20; i++) {
            ag_wg_add(&wg, 1);
            ag_go(until_told_to_go, &site, &wg, &answered);
        }
        eventually(atomic_load(&entered) == 20 && atomic_load(&answered) > 500);
        eventually(stats_of(&site).accepted == 20);
        ag_check_int(ag_http_stop(site.s, AG_MIN), 0);
        ag_wg_wait(&wg);
        finish(&site);
    }
}
