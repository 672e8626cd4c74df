/* SPDX-License-Identifier: MIT */
/*
 * ask_serve.c - ag_debug_serve: which addresses it takes, and that it answers when every processor
 * is stuck, and ends with its world.
 */
#include "common.h"

#include "asking.h"

static void answers(int port, const char *words, const char *expected) {
    char *text = rest_of(sends(connects_to_port(port), words));
    ag_check_contains(text, expected);
    free(text);
}
#define GET(path, more) "GET " path " HTTP/1.1\r\nHost: localhost\r\n" more "\r\n"

static int port_before;
static int serves(void *arg) {
    (void)arg;
    int port = port_before = ag_debug_serve(":0");
    ag_check(port > 0);
    ag_check_int(ag_count(), 1); /* no goroutine serves */
    answers(port, GET("/debug/stats", ""), "\"goroutines\": 1,");
    answers(port, GET("/debug/stats", ""), "Content-Security-Policy: default-src 'none';");
    answers(port, GET("/debug/stats", "Origin: http://localhost\r\n"), " 200 OK");
    answers(port, GET("/debug/stats", "Origin: http://evil.example\r\n"), " 403 Forbidden");
    answers(port, GET("/debug/stats", "sec-fetch-site:cross-site\r\n"), " 403 Forbidden");
    answers(port, GET("/debug/stats", "X-Forwarded-For: 10.0.0.1\r\n"), " 403 Forbidden");
    answers(port, GET("/debug/stats", "Host: localhost\r\n"), " 400 Bad Request");
    answers(port, "GET /debug/stats HTTP/1.1\r\nHost: evil.example\r\n\r\n", " 403 Forbidden");
    answers(port, "GET /debug/stats HTTP/1.1\r\n\r\n", " 403 Forbidden");
    answers(port, "POST /debug/stats HTTP/1.1\r\nHost: localhost\r\n\r\n", " 405 Method");
    return 0;
}
AG_TEST(it_answers_this_machine_until_the_world_ends) {
    ag_check_int(ag_run(serves, NULL), 0);
    ag_check_int(connects_to_port(port_before), -1);
    ag_check_int(ag_run(serves, NULL), 0);
}

AG_TEST_RUN(which_addresses_it_takes) {
    static const char *const bad[] = {"",
                                      ":",
                                      ":x",
                                      ":65536",
                                      ":-1",
                                      "localhost",
                                      "host:80",
                                      "[::1]",
                                      "127.0.0.1",
                                      "127.0.0.1:",
                                      "1.2.3.4.5:1",
                                      "[::1:80",
                                      "127.0.0.1:80/",
                                      "a b:80",
                                      "localhost:http"};
    for (size_t i = 0; i < COUNT(bad); i++)
        if (ag_debug_serve(bad[i]) != -EINVAL)
            ag_fail("'%s' is taken", bad[i]);
    ag_check_int(ag_debug_serve(NULL), -EINVAL);
    static const char *const open[] = {"0.0.0.0:0", "[::]:0", "192.168.1.7:0", "1.1.1.1:80"};
    for (size_t i = 0; i < COUNT(open); i++)
        ag_check_int(ag_debug_serve(open[i]), -EACCES);
    static const char *const good[] = {":0", "0", "localhost:0", "127.0.0.1:0", "127.0.0.2:0"};
    for (size_t i = 0; i < COUNT(good); i++)
        if (ag_debug_serve(good[i]) <= 0)
            ag_fail("'%s' is not taken", good[i]);
    char text[32];
    int port = ag_debug_serve(":0"), r = 1;
    snprintf(text, sizeof text, ":%d", port);
    ag_check_int(ag_debug_serve(text), -EADDRINUSE);
    for (int i = 0; i < 10 && r > 0; i++)
        r = ag_debug_serve(":0");
    ag_check_int(r, -EMFILE);
}

static int serves_all(void *arg) {
    (void)arg;
    int port = ag_debug_serve("0.0.0.0:0");
    ag_check(port > 0);
    answers(port, GET("/debug/list", ""), " 401 Unauthorized");
    answers(port, GET("/debug/list", ""), "WWW-Authenticate: Basic");
    answers(port, GET("/debug/list", "Authorization: Bearer wrong\r\n"), " 401 Unauthorized");
    answers(port, GET("/debug/list", "Authorization: Bearer secret\r\n"), " 200 OK");
    return 0;
}
AG_TEST(with_a_token_it_listens_to_other_machines) {
    setenv("AGLET_DEBUG_TOKEN", "secret", 1);
    ag_check_int(ag_run(serves_all, NULL), 0);
}

AG_TEST(without_a_world_nothing_is_served) {
    ag_check_int(ag_debug_serve(":0"), -ECANCELED);
}

static _Atomic bool burn;
static void burns(void) {
    while (burn)
        ;
}
static void *asks(void *port) {
    answers((int)(intptr_t)port, GET("/debug/goroutines", ""), "created by burns_all in goroutine");
    burn = false;
    return NULL;
}
static int burns_all(void *arg) {
    (void)arg;
    pthread_t thread;
    int port = ag_debug_serve("localhost:0");
    burn = true;
    for (int i = 0; i < 12; i++)
        ag_go(burns);
    ag_check_int(pthread_create(&thread, NULL, asks, (void *)(intptr_t)port), 0);
    while (burn)
        ;
    pthread_join(thread, NULL);
    return 0;
}
AG_TEST(it_answers_when_every_processor_is_stuck) {
    ag_config config = {.quiet = 1, .max_running = 1};
    ag_check_int(ag_run_with(&config, burns_all, NULL), 0);
}

static void *serves_again_and_again(void *arg) {
    for (int i = 0; i < 300; i++) {
        int port = ag_debug_serve(":0");
        if (port > 0)
            connects_to_port(port); /* or refused */
    }
    return arg;
}
static int returns(void *arg) {
    (void)arg;
    return 0;
}
AG_TEST(opening_while_worlds_end_is_opened_or_refused) {
    AG_TEST_LEAKY_FDS(); /* connections that nobody reads from */
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        ag_check_int(pthread_create(&threads[i], NULL, serves_again_and_again, NULL), 0);
    for (int i = 0; i < 100; i++)
        ag_check_int(ag_run(returns, NULL), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
}
