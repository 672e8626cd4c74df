/* SPDX-License-Identifier: MIT */
/*
 * Mistakes of the caller that no other file is about: the exact words, and how the process ends.
 */
#include "common.h"

#include <aglet/http.h>

/* ---- Channels, deferred calls, the end ------------------------------------------------------ */

static int main_selects_among_too_many(void *arg) {
    (void)arg;
    static ag_case cases[65536];
    ag_select_n(cases, 65536);
    return 0;
}

AG_TEST_DEATH(a_select_has_at_most_65535_cases, 2, "panic: select: too many cases\n") {
    ag_run(main_selects_among_too_many, NULL);
}

static int main_defers_null(void *arg) {
    (void)arg;
    void (*none)(void) = NULL;
    ag_defer(none);
    return 0;
}

AG_TEST_DEATH(a_deferred_null_panics_when_it_would_run, 2,
              "panic: runtime error: invalid memory address or nil pointer dereference\n") {
    ag_run(main_defers_null, NULL);
}

AG_TEST_DEATH(a_thread_is_no_goroutine_to_end, 2,
              "panic: ag_goexit on a thread that is no goroutine\n") {
    ag_goexit();
}

/* ---- Wait group, panics --------------------------------------------------------------------- */

static int main_overflows_a_wait_group(void *arg) {
    (void)arg;
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, INT32_MAX);
    ag_wg_add(&wg, 1);
    return 0;
}

AG_TEST_DEATH(a_wait_group_counts_no_further_than_int32, 2,
              "panic: sync: WaitGroup misuse: Add called concurrently with Wait\n") {
    ag_run(main_overflows_a_wait_group, NULL);
}

static void recover(void) {
    ag_recover();
}

static void recover_and_return(void) {
    ag_defer(recover);
    ag_panic("nowhere to go on");
}

AG_TEST_DEATH(a_recover_on_a_thread_needs_a_try, 2,
              "fatal error: aglet: a panic was recovered on a foreign thread outside ag_try\n") {
    recover_and_return();
}

/* ---- HTTP ----------------------------------------------------------------------------------- */

static void nothing(ag_http_request *req, ag_http_response *res) {
    (void)req;
    (void)res;
}

static ag_http_server *server_with(ag_http_handler handler) {
    ag_http_server *s = ag_http_server_new(NULL);
    ag_http_handle(s, "/", handler, NULL);
    return s;
}

AG_TEST_DEATH(a_handler_may_not_be_null, 2, "panic: http: nil handler\n") {
    server_with(NULL);
}

AG_TEST_DEATH(a_filter_may_not_be_null, 2, "panic: http: nil handler\n") {
    ag_http_use(server_with(nothing), NULL, NULL);
}

AG_TEST_DEATH(there_are_at_most_sixteen_filters, 2, "panic: http: more than 16 filters\n") {
    ag_http_server *s = server_with(nothing);
    for (int i = 0; i < 17; i++)
        ag_http_use(s, nothing, NULL);
}

static int serve_nobody(void *arg) {
    ag_listener *l;
    ag_check_int(ag_listen("tcp", "127.0.0.1:0", &l), 0);
    ag_listener_close(l);
    ag_http_serve(arg, l);
    return 0;
}

AG_TEST_DEATH(handlers_are_registered_before_serving, 2,
              "panic: http: ag_http_handle after ag_http_serve\n") {
    ag_http_server *s = server_with(nothing);
    ag_run(serve_nobody, s);
    ag_http_handle(s, "/late", nothing, NULL);
}

AG_TEST_DEATH(filters_are_registered_before_serving, 2,
              "panic: http: ag_http_use after ag_http_serve\n") {
    ag_http_server *s = server_with(nothing);
    ag_run(serve_nobody, s);
    ag_http_use(s, nothing, NULL);
}

static void says_twelve(ag_http_request *req, ag_http_response *res) {
    (void)req;
    ag_http_status(res, 12);
}

static int ask(void *arg) {
    ag_listener *l;
    ag_conn *c;
    ag_check_int(ag_listen("tcp", "127.0.0.1:0", &l), 0);
    ag_go(ag_http_serve, arg, l);
    ag_check_int(ag_dial("tcp", ag_listener_addr(l), &c), 0);
    static const char request[] = "GET / HTTP/1.0\r\n\r\n";
    char reply[64] = {0};
    ag_check_int(ag_write(c, request, sizeof request - 1), (int)sizeof request - 1);
    ag_check(ag_read(c, reply, sizeof reply - 1) > 0);
    fprintf(stderr, "reply: %.12s\n", reply);
    exit(7);
}

AG_TEST_DEATH(a_status_has_three_digits_else_the_handler_panics, 7,
              ": invalid WriteHeader code 12 (") {
    ag_run(ask, server_with(says_twelve));
}

AG_TEST_DEATH(a_handler_s_panic_is_answered_500, 7, "reply: HTTP/1.1 500\n") {
    ag_run(ask, server_with(says_twelve));
}
