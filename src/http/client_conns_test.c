/* SPDX-License-Identifier: MIT */
/*
 * The client against our own server: its connections, who waits for one, and who ends the wait.
 */
#include "ag_test.h"

#include "http/client_site_test.h"

static atomic_int answered, failed;

static void ask(ag_http_client *client, const char *url, int times) {
    for (int i = 0; i < times; i++) {
        ag_http_reply *r;
        char *body;
        int e = ag_http_get(client, url, &r);
        if (e == 0)
            e = ag_http_reply_read_all(r, 1000, &body, NULL);
        atomic_fetch_add(e == 0 ? &answered : &failed, 1);
        if (e != 0)
            fprintf(stderr, "%s\n", ag_http_reply_error(r));
        ag_http_reply_close(r);
    }
}

AG_TEST_RUN(client_connections_to_a_host_are_limited) {
    ag_http_client *client = begin(&(ag_http_client_options){.conns_per_host = 3});
    int rounds = 200 / ag_test_slow();
    const char *url = at("/hold");
    for (int i = 0; i < rounds; i++)
        ag_go(ask, client, url, 1);
    eventually(atomic_load(&answered) + atomic_load(&failed) == rounds);
    ag_check_int(failed, 0);
    ag_http_client_stats st = stats_of_client(client);
    int conns = CLIENT_HTTP2 ? (rounds + 99) / 100 : 3; /* the server takes 100 requests on each */
    ag_check(CLIENT_HTTP2 ? st.dialed <= conns : st.dialed == conns);
    ag_check_int(st.reused, rounds - st.dialed);
    ag_check_int(st.open, st.dialed);
    eventually(stats_of_client(client).idle == st.dialed);
    end(client);
}

AG_TEST_RUN(client_connections_in_all_are_limited) {
    ag_http_client *client = begin(&(ag_http_client_options){.conns_max = 2});
    start(&other);
    static char url[128];
    snprintf(url, sizeof url, "%s/hold", other.url);
    const char *first = at("/hold");
    for (int i = 0; i < 40; i++)
        ag_go(ask, client, i % 2 ? url : first, 1);
    eventually(atomic_load(&answered) + atomic_load(&failed) == 40);
    ag_check_int(failed, 0);
    ag_check(stats_of_client(client).open <= 2);
    client_end(client);
    stop(&other);
    stop(&site);
}

static atomic_bool enough;

static void ask_until_enough(ag_http_client *client, const char *url) {
    while (!atomic_load(&enough))
        ask(client, url, 1);
    atomic_fetch_add(&answered, 1000000);
}

AG_TEST_RUN(client_a_busy_host_gives_way) {
    ag_http_client *client = begin(&(ag_http_client_options){.conns_max = 1});
    start(&other);
    static char url[128];
    snprintf(url, sizeof url, "%s/hold", other.url);
    const char *first = at("/hold");
    for (int i = 0; i < 4; i++)
        ag_go(ask_until_enough, client, first);
    eventually(atomic_load(&answered) > 0);
    for (int i = 0; i < 3; i++)
        check_get(client, url, 200, "held");
    atomic_store(&enough, true);
    eventually(atomic_load(&answered) >= 4000000);
    ag_check_int(failed, 0);
    client_end(client);
    stop(&other);
    stop(&site);
}

static void wait_for_turn(ag_http_client *client, const char *url, ag_ctx *ctx, int expected) {
    ag_ctx_enter(ctx);
    ag_http_reply *r;
    int e = ag_http_get(client, url, &r);
    ag_check_int(e, expected);
    ag_http_reply_close(r);
    atomic_fetch_add(&answered, 1);
}

AG_TEST_RUN(client_wait_for_a_connection_can_be_cancelled) {
    streams_max = 1;
    ag_http_client *client = begin(&(ag_http_client_options){.conns_per_host = 1});
    ag_http_reply *r;
    ag_check_int(ag_http_get(client, at("/fill?n=1000000"), &r), 0);
    ag_ctx *ctx = ag_ctx_with_cancel(NULL);
    const char *url = at("/describe");
    for (int i = 0; i < 5; i++) /* every other one gives up */
        ag_go(wait_for_turn, client, url, i % 2 ? ctx : NULL, i % 2 ? -ECANCELED : 0);
    eventually(stats_of_client(client).waiting == 5);
    ag_ctx_cancel(ctx);
    eventually(atomic_load(&answered) == 2);
    ag_check_int(stats_of_client(client).waiting, 3);
    ag_http_reply_close(r);
    eventually(atomic_load(&answered) == 5);
    ag_unref(ctx);
    end(client);
}

AG_TEST_RUN(client_idle_connections_are_limited_and_expire) {
    ag_http_client *client = begin(
        &(ag_http_client_options){.idle_per_host = 2, .idle_ns = 50 * AG_MS, .conns_per_host = 10});
    const char *url = at("/hold");
    for (int i = 0; i < 8; i++)
        ag_go(ask, client, url, 1);
    eventually(atomic_load(&answered) == 8);
    ag_check(stats_of_client(client).idle <= 2);
    eventually(stats_of_client(client).idle == 0);
    ag_check_int(stats_of_client(client).open, 0);
    /* Closed at once, too. */
    ask(client, url, 1);
    ag_http_client_close_idle(client);
    ag_check_int(stats_of_client(client).open, 0);
    end(client);
}

AG_TEST_RUN(client_reply_that_is_not_read_ends_its_connection) {
    ag_http_client *client = begin(NULL);
    ag_http_reply *r;
    ag_check_int(ag_http_get(client, at("/fill?n=2000000"), &r), 0);
    ag_http_reply_close(r);
    ag_check_int(stats_of_client(client).open, CLIENT_HTTP2);
    /* A little that has come already does not matter. */
    int e = ag_http_get(client, at("/fill?n=100"), &r);
    ag_check_str(ag_http_reply_error(r), "");
    ag_check_int(e, 0);
    ag_http_reply_close(r);
    ag_check_int(stats_of_client(client).idle, 1);
    end(client);
}

AG_TEST_RUN(client_free_leaves_open_replies_alone) {
    ag_http_client *client = begin(NULL);
    ag_http_reply *r;
    char *body;
    ag_check_int(ag_http_get(client, at("/fill?n=200000"), &r), 0);
    ag_http_client_free(client);
    ag_check_int(ag_http_reply_read_all(r, 200000, &body, NULL), 0);
    ag_http_reply_close(r);
    ag_http_client_free(NULL);
    stop(&site);
}

AG_TEST_RUN(client_many_goroutines_share_a_client) {
    ag_http_client *client = begin(NULL);
    int workers = 20, times = 200 / ag_test_slow();
    const char *url = at("/fill?n=500");
    for (int i = 0; i < workers; i++)
        ag_go(ask, client, url, times);
    eventually(atomic_load(&answered) + atomic_load(&failed) == workers * times);
    ag_check_int(failed, 0);
    ag_check(stats_of_client(client).dialed <= workers);
    end(client);
}

AG_TEST_RUN(client_context_bounds_a_request) {
    ag_http_client *client = begin(NULL);
    ag_http_reply *r;
    {
        ag_within(0);
        ag_check_int(ag_http_get(client, at("/hold"), &r), -ETIMEDOUT);
        ag_http_reply_close(r);
    }
    check_get(client, at("/fill?n=3"), 200, "012");
    end(client);
}

AG_TEST_RUN(client_https_without_tls_is_refused) {
    ag_http_client *client = ag_http_client_new(NULL);
    ag_http_reply *r;
    int e = ag_http_get(client, "https://127.0.0.1:1/", &r);
    ag_check(e == -EPROTONOSUPPORT || e == -ECONNREFUSED);
    ag_http_reply_close(r);
    client_end(client);
}
