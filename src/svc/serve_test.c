/* SPDX-License-Identifier: MIT */
/*
 * A service within one process: what happens in which order, from the first part's start to the
 * last exit hook. Restarts and signals from outside are in tests/e2e/restart.py.
 */
#include "ag_test.h"

#include "svc/svc.h"

#include <aglet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char story[512]; /* what has happened; written by one at a time */
static ag_svc_report report;

static void tell(const char *what, const char *who) {
    size_t n = strlen(story);
    snprintf(story + n, sizeof story - n, "%s%s %s", n ? ", " : "", what, who);
}

static void send_term(void *arg) {
    (void)arg;
    kill(getpid(), SIGTERM);
}

/* ---- Parts ---------------------------------------------------------------------------------- */

static int start(void *who) {
    tell("start", who);
    return 0;
}
static void stop(void *who) {
    tell("stop", who);
}
static void drain(void *who) {
    tell("drain", who);
}
static void force(void *who) {
    tell("force", who);
}
static int fail(void *who) {
    tell("fail", who);
    return -EIO;
}

#define PART(who)                                                                                  \
    { .name = who, .start = start, .stop = stop, .drain = drain, .force = force, .arg = who }

static void ready_and_term(void *arg) {
    tell("ready", "all");
    send_term(arg);
}

static void hook(void *who) {
    tell("hook", who);
}

AG_TEST_RUN(parts_start_in_order_and_drain_in_reverse) {
    const ag_svc_part parts[] = {PART("a"), PART("b"), {.name = NULL}};
    ag_check_int(ag_svc_at_exit(hook, "1"), 0);
    ag_check_int(ag_svc_at_exit(hook, "2"), 0);
    ag_check_int(
        ag_serve(&(ag_service){.parts = parts, .ready = ready_and_term, .report = &report}), 0);
    ag_check_str(story, "start a, start b, ready all, stop a, stop b, drain b, drain a, hook 2, "
                        "hook 1");
    ag_check_int(report.cause, SIGTERM);
    ag_check_int(report.error, 0);
    ag_check(!report.forced && !report.handed_over);
    ag_check(report.took_ns > 0 && report.took_ns < AG_MIN);
    ag_check_str(report.late, "");
    eventually(ag_count() == 1);
}

AG_TEST_RUN(a_part_that_does_not_start_ends_those_before_it) {
    const ag_svc_part parts[] = {
        PART("a"), {.name = "b", .start = fail, .arg = "b"}, PART("c"), {.name = NULL}};
    ag_check_int(ag_serve(&(ag_service){.parts = parts, .ready = send_term, .report = &report}),
                 -EIO);
    ag_check_str(story, "start a, fail b, stop a, drain a");
    ag_check_int(report.error, -EIO);
    eventually(ag_count() == 1);
}

static int start_slowly(void *result) {
    kill(getpid(), SIGINT);
    *(int *)result = ag_sleep(AG_MIN);
    return *(int *)result;
}

AG_TEST_RUN(a_signal_ends_the_start) {
    int result = 0;
    const ag_svc_part parts[] = {
        PART("a"), {.name = "b", .start = start_slowly, .arg = &result}, {.name = NULL}};
    ag_check_int(ag_serve(&(ag_service){.parts = parts, .report = &report}), 0);
    ag_check_int(result, -ECANCELED);
    ag_check_int(report.cause, SIGINT);
    ag_check_str(story, "start a, stop a, drain a");
}

static void drain_slowly(void *result) {
    *(int *)result = ag_sleep(AG_MIN);
}

AG_TEST_RUN(a_part_is_told_when_there_is_no_more_time) {
    const ag_time budget = 2 * AG_SEC * ag_test_slow();
    int result = 0;
    const ag_svc_part parts[] = {
        PART("a"), {.name = "b", .drain = drain_slowly, .arg = &result}, {.name = NULL}};
    ag_check_int(ag_serve(&(ag_service){
                     .parts = parts, .ready = send_term, .budget_ns = budget, .report = &report}),
                 0);
    ag_check_int(result, -ECANCELED);
    ag_check(report.took_ns >= budget * 19 / 20);
    ag_check_int(report.killed, 0);
    eventually(ag_count() == 1);
}

static ag_wg never = AG_WG_INIT;

static KEPT void drain_never(void *arg) {
    (void)arg;
    ag_wg_wait(&never);
    STAYS;
}

AG_TEST_RUN(a_part_that_never_drains_is_forced_shown_and_left) {
    const ag_svc_part parts[] = {
        PART("a"), {.name = "b", .drain = drain_never, .force = force, .arg = "b"}, {.name = NULL}};
    ag_wg_add(&never, 1);
    ag_check_int(
        ag_serve(&(ag_service){
            .parts = parts, .ready = send_term, .budget_ns = 400 * AG_MS, .report = &report}),
        1);
    ag_check_str(story, "start a, stop a, force b, force a");
    ag_check_int(report.killed, 1);
    ag_check_contains(report.late, "1 part did not end in time");
    ag_check_contains(report.late, "drain_never");
    ag_wg_done(&never); /* now it goes on */
    eventually(ag_count() == 1);
    ag_check_str(story, "start a, stop a, force b, force a, drain a");
}

static KEPT void hook_never(void *arg) {
    (void)arg;
    ag_wg_wait(&never);
    STAYS;
}

AG_TEST_RUN(an_exit_hook_that_never_ends_does_not_keep_the_others) {
    ag_svc_at_exit(hook, "first");
    ag_svc_at_exit(hook_never, NULL);
    ag_wg_add(&never, 1);
    ag_check_int(
        ag_serve(&(ag_service){.ready = send_term, .budget_ns = 100 * AG_MS, .report = &report}),
        1);
    ag_check_contains(report.late, "1 exit hook did not end in time");
    ag_check_contains(report.late, "hook_never");
    ag_check_str(story, "hook first");
    ag_wg_done(&never);
    eventually(ag_count() == 1);
}

/* ---- Beginning and end ---------------------------------------------------------------------- */

static void cancel(void *ctx) {
    ag_ctx_cancel(ctx);
}

AG_TEST_RUN(the_end_of_the_callers_context_is_that_of_the_service) {
    ag_ctx *ctx = ag_ctx_with_cancel(NULL);
    {
        ag_ctx_enter(ctx);
        const ag_svc_part parts[] = {PART("a"), {.name = NULL}};
        ag_check_int(
            ag_serve(&(ag_service){.parts = parts, .ready = cancel, .arg = ctx, .report = &report}),
            0);
        ag_check_int(ag_sleep(AG_MIN), -ECANCELED); /* it is current again */
    }
    ag_check_int(report.cause, 0);
    ag_check_str(story, "start a, stop a, drain a");
    ag_unref(ctx);
}

AG_TEST_RUN(so_is_the_end_of_its_time) {
    {
        ag_within(50 * AG_MS);
        const ag_svc_part parts[] = {PART("a"), {.name = NULL}};
        ag_check_int(ag_serve(&(ag_service){.parts = parts, .report = &report}), 0);
    }
    ag_check_str(story, "start a, stop a, drain a");
}

static void serve_again(void *arg) {
    ag_check_int(ag_serve(&(ag_service){.ready = send_term}), -EBUSY);
    send_term(arg);
}

AG_TEST_RUN(there_is_one_service_at_a_time_and_one_after_the_other) {
    ag_check_int(ag_svc_restart(), -ESRCH);
    ag_check_int(ag_serve(&(ag_service){.ready = serve_again}), 0);
    ag_check_int(ag_serve(&(ag_service){.ready = send_term}), 0);
}

AG_TEST_RUN(afterwards_signals_have_their_old_action) {
    struct sigaction now;
    ag_check_int(ag_serve(&(ag_service){.ready = send_term}), 0);
    const int sigs[] = {SIGTERM, SIGINT, SIGUSR2};
    for (int i = 0; i < 3; i++)
        eventually(sigaction(sigs[i], NULL, &now) == 0 && now.sa_handler == SIG_DFL);
    eventually(ag_count() == 1);
}

AG_TEST_RUN(the_same_signal_again_does_not_cut_what_follows) {
    ag_time begin = ag_now();
    ag_check_int(ag_serve(&(ag_service){.ready = send_term}), 0);
    if (ag_now() - begin < 50 * AG_MS) { /* else it would be another one */
        kill(getpid(), SIGTERM);
        kill(getpid(), SIGTERM);
    }
    eventually(ag_count() == 1);
}

static void check_usr2(void *arg) {
    struct sigaction now;
    ag_check_int(sigaction(SIGUSR2, NULL, &now), 0);
    ag_check(now.sa_handler == SIG_DFL);
    send_term(arg);
}

AG_TEST_RUN(a_service_may_do_without_restarts) {
    ag_check_int(ag_serve(&(ag_service){.ready = check_usr2, .no_restart = true}), 0);
}

/* ---- HTTP ----------------------------------------------------------------------------------- */

static int is_well = -EAGAIN;

static int check_health(void *arg) {
    (void)arg;
    return is_well;
}

/* The answer to one request, up to its end. */
static void ask(const char *addr, const char *path, char *buf, size_t size) {
    ag_conn *c;
    char request[128];
    size_t n = 0;
    ssize_t got = 1;
    int len = snprintf(request, sizeof request, "GET %s HTTP/1.0\r\n\r\n", path);
    ag_check_int(ag_dial("tcp", addr, &c), 0);
    ag_check_int(ag_write(c, request, (size_t)len), len);
    while (got > 0 && n < size - 1) {
        got = ag_read(c, buf + n, size - 1 - n);
        n += got > 0 ? (size_t)got : 0;
    }
    buf[n] = 0;
    ag_unref(c);
}

static void probe(void *listener) {
    char buf[1024];
    const char *addr = ag_listener_addr(*(ag_listener **)listener);
    ask(addr, "/readyz", buf, sizeof buf);
    ag_check_contains(buf, " 503 ");
    ag_check_contains(buf, "Cache-Control: no-store");
    ag_check_contains(buf, "database is not ready: ");
    ask(addr, "/livez", buf, sizeof buf);
    ag_check_contains(buf, " 200 ");
    is_well = 0;
    ask(addr, "/readyz", buf, sizeof buf);
    ag_check_contains(buf, " 200 ");
    ag_check_contains(buf, "\r\n\r\nready\n");
    send_term(NULL);
}

static ag_http_server *web_new(const ag_http_options *options) {
    ag_http_server *web = ag_http_server_new(options);
    ag_http_handle(web, "/readyz", ag_svc_readyz, NULL);
    ag_http_handle(web, "/livez", ag_svc_livez, NULL);
    return web;
}

AG_TEST_RUN(readiness_asks_the_parts_and_liveness_nobody) {
    ag_listener *l;
    ag_conn *c;
    ag_http_server *web = web_new(NULL);
    const ag_svc_part parts[] = {
        PART("a"), {.name = "database", .check = check_health}, {.name = NULL}};
    ag_check_int(ag_listen("tcp", "127.0.0.1:0", &l), 0);
    const ag_svc_server servers[] = {{.http = web, .listener = l}, {.http = NULL}};
    ag_check_int(
        ag_serve(&(ag_service){
            .servers = servers, .parts = parts, .ready = probe, .arg = &l, .report = &report}),
        0);
    ag_check_int(ag_accept(l, &c), -ECANCELED);
    ag_unref(l);
    ag_http_server_free(web);
    eventually(ag_count() == 1);
}

AG_TEST_RUN(an_address_in_use_is_noticed_before_anything_starts) {
    ag_listener *l;
    ag_check_int(ag_listen("tcp", "127.0.0.1:0", &l), 0);
    ag_http_server *web = web_new(NULL);
    const ag_svc_part parts[] = {PART("a"), {.name = NULL}};
    const ag_svc_server servers[] = {{.http = web, .addr = "127.0.0.1:0"},
                                     {.http = web, .addr = ag_listener_addr(l)},
                                     {.http = NULL}};
    ag_check_int(ag_serve(&(ag_service){.servers = servers, .parts = parts}), -EADDRINUSE);
    ag_check_str(story, "");
    ag_http_server_free(web);
    ag_unref(l);
    eventually(ag_count() == 1);
}

static void close_listener(void *l) {
    ag_listener_close(l);
}

AG_TEST_RUN(a_listener_that_fails_ends_the_service) {
    ag_listener *l;
    ag_check_int(ag_listen("tcp", "127.0.0.1:0", &l), 0);
    ag_http_server *web = web_new(NULL), *other = web_new(NULL);
    const ag_svc_server servers[] = {
        {.http = web, .listener = l}, {.http = other, .addr = "127.0.0.1:0"}, {.http = NULL}};
    ag_check_int(ag_serve(&(ag_service){
                     .servers = servers, .ready = close_listener, .arg = l, .report = &report}),
                 -ECANCELED);
    ag_check_int(report.error, -ECANCELED);
    ag_check_int(report.cause, 0);
    ag_unref(l);
    ag_http_server_free(web);
    ag_http_server_free(other);
    eventually(ag_count() == 1);
}

/* ---- The end of the process ----------------------------------------------------------------- */

static void say(void *text) {
    fprintf(stderr, "hook %s\n", (const char *)text);
}

static void two_hooks(void) {
    ag_svc_at_exit(say, "1");
    ag_svc_at_exit(say, "2");
}

static void panics(void *arg) {
    (void)arg;
    ag_panic("on purpose");
}

static int panics_in_a_service(void *arg) {
    (void)arg;
    two_hooks();
    return ag_serve(&(ag_service){.ready = panics});
}
AG_TEST_DEATH(a_panic_runs_the_exit_hooks, 2, "hook 2\nhook 1\n") {
    ag_run(panics_in_a_service, NULL);
}

static void exits(void *arg) {
    (void)arg;
    ag_exit(5);
}
static int exits_in_a_service(void *arg) {
    (void)arg;
    two_hooks();
    return ag_serve(&(ag_service){.ready = exits});
}
AG_TEST_DEATH(an_exit_runs_the_exit_hooks, 5, "hook 2\nhook 1\n") {
    ag_run(exits_in_a_service, NULL);
}

AG_TEST_DEATH(exit_hooks_need_no_service_and_no_runtime, 7, "hook 2\nhook 1\n") {
    two_hooks();
    exit(7);
}
