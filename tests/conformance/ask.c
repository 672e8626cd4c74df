/* SPDX-License-Identifier: MIT */
/*
 * ask.c - questions to a running program: which answer, which status, and what becomes of a client
 * that goes away.
 */
#include "ag_test.h"
#include <aglet.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* A client that remembers, and may go away after some bytes. */
struct asker {
    int status, begins, writes;
    char type[64];
    char *text;
    size_t n;
    size_t leaves_after; /* bytes; 0: stays */
};

static int begin(void *arg, int status, const char *type) {
    struct asker *a = arg;
    a->status = status;
    a->begins++;
    snprintf(a->type, sizeof a->type, "%s", type);
    return 0;
}
static int take(void *arg, const void *data, size_t n) {
    struct asker *a = arg;
    a->writes++;
    ag_check_int(a->begins, 1);
    if (a->leaves_after && a->n + n > a->leaves_after)
        return -EPIPE;
    a->text = realloc(a->text, a->n + n + 1);
    memcpy(a->text + a->n, data, n);
    a->n += n;
    a->text[a->n] = 0;
    return 0;
}
static int ask(struct asker *a, const char *target) {
    free(a->text);
    size_t leaves_after = a->leaves_after;
    *a = (struct asker){.leaves_after = leaves_after, .text = calloc(1, 1)};
    ag_debug_client client = {a, begin, take, NULL};
    return ag_debug_answer(target, &client);
}
static bool says(const struct asker *a, const char *words) {
    return strstr(a->text, words) != NULL;
}

static void asks(const char *target, int status, const char *type, const char *words) {
    struct asker a = {0};
    ag_check_int(ask(&a, target), 0);
    ag_check_int(a.status, status);
    ag_check_int(a.begins, 1);
    ag_check(strncmp(a.type, type, strlen(type)) == 0);
    if (!says(&a, words))
        printf("%s answers: %s\n", target, a.text);
    ag_check(says(&a, words));
    free(a.text);
}

AG_TEST_RUN(the_list_names_every_answer) {
    asks("/debug/list", 200, "text/plain", "/debug/goroutines ");
    asks("/debug/list?a=b", 200, "text/plain", "/debug/pages/*");
}

AG_TEST_RUN(pages_come_with_all_that_they_name) {
    struct asker page = {0};
    char path[80] = "/debug/pages/";
    int names = 0;
    ag_check_int(ask(&page, "/debug/"), 0);
    ag_check_int(page.status, 200);
    ag_check(strncmp(page.type, "text/html", 9) == 0);
    for (const char *at = page.text; (at = strstr(at, "\"pages/")) != NULL; names++) {
        at += strlen("\"pages/");
        snprintf(path, sizeof path, "/debug/pages/%.*s", (int)strcspn(at, "\""), at);
        asks(path, 200, strstr(path, ".css") ? "text/css" : "text/javascript", "SPDX");
    }
    ag_check(names > 2);
    ag_check(!strstr(page.text, "://")); /* nothing from elsewhere */
    free(page.text);
    asks("/debug/pages/none.js", 404, "text/plain", "nothing is at this path");
    asks("/debug/pages/", 404, "text/plain", "nothing is at this path");
    asks("/debug/pages", 404, "text/plain", "nothing is at this path");
}

AG_TEST_RUN(counters_are_json) {
    asks("/debug/stats", 200, "application/json", "\"goroutines\": 1,");
    asks("/debug/stats?", 200, "application/json", "\"procs\": ");
}

AG_TEST_RUN(goroutines_are_listed_or_one_alone) {
    asks("/debug/goroutines", 200, "text/plain", "goroutine 1 [running]:");
    asks("/debug/goroutines?id=1", 200, "text/plain", "goroutine 1 [running]:");
    asks("/debug/goroutines?other=%41&id=%31", 200, "text/plain", "goroutine 1 [running]:");
    asks("/debug/pprof/goroutine?debug=2", 200, "text/plain", "goroutine 1 [running]:");
    asks("/debug/goroutines?id=99999999", 404, "text/plain", "no goroutine has this number");
    asks("/debug/goroutines?id=0", 404, "text/plain", "no goroutine has this number");
}

AG_TEST_RUN(a_question_that_makes_no_sense_is_told_why) {
    asks("/debug/nothing", 404, "text/plain", "/debug/list tells");
    asks("/", 404, "text/plain", "/debug/list tells");
    asks("", 404, "text/plain", "/debug/list tells");
    asks("/debug/goroutines?id=one", 400, "text/plain", "'id' must be a number");
    asks("/debug/goroutines?id=", 400, "text/plain", "'id' must be a number");
    asks("/debug/goroutines?id=1x", 400, "text/plain", "'id' must be a number");
    asks("/debug/goroutines?id=99999999999999999999", 400, "text/plain", "must be a number");
    asks("/debug/goroutines?id=%zz", 400, "text/plain", "can't be understood");
    asks("/debug/goroutines?id=%3", 400, "text/plain", "can't be understood");
    asks("/debug/goroutines?id=%00", 400, "text/plain", "can't be understood");
    char longer[4096];
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    memcpy(longer, "/debug/", 7);
    asks(longer, 400, "text/plain", "too long");
    char many[512] = "/debug/list?";
    for (int i = 0; i < 20; i++)
        strncat(many, "a=b&", sizeof many - strlen(many) - 1);
    asks(many, 400, "text/plain", "can't be understood");
}

static void waits(ag_wg *wg, ag_chan(int) gate) {
    ag_wg_done(wg);
    ag_recv(gate, NULL);
}

AG_TEST_RUN(a_long_answer_comes_in_pieces_and_ends_with_its_client) {
    ag_chan(int) gate = ag_make(int, 0);
    ag_wg started = {0};
    for (int i = 0; i < 300; i++) {
        ag_wg_add(&started, 1);
        ag_go(waits, &started, gate);
    }
    ag_wg_wait(&started);
    struct asker a = {0};
    ag_check_int(ask(&a, "/debug/goroutines?debug=2"), 0);
    ag_check(a.writes > 1 && a.n > 30000);
    int whole = a.writes;
    a.leaves_after = a.n / 2;
    ag_check_int(ask(&a, "/debug/goroutines?debug=2"), -EPIPE);
    ag_check(a.writes <= whole);
    free(a.text);
    ag_close(gate);
    while (ag_count() > 1)
        ag_yield();
    ag_unref(gate);
}

static void *asks_from_outside(void *arg) {
    (void)arg;
    asks("/debug/goroutines?id=1", 200, "text/plain", "goroutine 1 [");
    return NULL;
}
static int waits_for_thread(void *arg) {
    return pthread_join(*(pthread_t *)arg, NULL);
}

AG_TEST_RUN(any_thread_may_ask) {
    pthread_t thread;
    ag_check_int(pthread_create(&thread, NULL, asks_from_outside, NULL), 0);
    ag_check_int((int)ag_blocking(waits_for_thread, &thread), 0);
}

AG_TEST(outside_a_world_there_are_counters_of_nothing) {
    asks("/debug/stats", 200, "application/json", "\"goroutines\": 0,");
    asks("/debug/list", 200, "text/plain", "/debug/stats");
}

AG_TEST_RUN(metrics_come_in_both_formats) {
    asks("/debug/metrics", 200, AG_METRICS_PROMETHEUS_TYPE,
         "# TYPE aglet_goroutines_created_total counter\n");
    asks("/metrics", 200, AG_METRICS_PROMETHEUS_TYPE, "process_open_fds ");
    asks("/debug/metrics?format=openmetrics", 200, AG_METRICS_OPEN_TYPE,
         "# TYPE aglet_goroutines_created counter\n");
    struct asker a = {.text = NULL};
    ag_debug_client client = {&a, begin, take, NULL};
    const char *likes = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
    ag_check_int(ag_debug_answer_to("/metrics", likes, &client), 0);
    ag_check_str(a.type, AG_METRICS_OPEN_TYPE);
    free(a.text);
    a = (struct asker){.text = NULL};
    ag_check_int(ag_debug_answer_to("/metrics?format=prometheus", likes, &client), 0);
    ag_check_str(a.type, AG_METRICS_PROMETHEUS_TYPE);
    free(a.text);
    asks("/debug/metrics?format=xml", 400, "text/plain", "can't be understood");
}
