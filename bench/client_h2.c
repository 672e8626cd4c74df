/* SPDX-License-Identifier: MIT */
/*
 * What a request costs the HTTP client by HTTP/2, beside HTTP/1.1.
 *
 *     client_h2 HOW GOROUTINES REQUESTS URL
 *
 * HOW is `1` or `2`: the version, of an http:// server that speaks both; over https it is what the
 * server picks, unless HOW is 1. REQUESTS GETs in all by GOROUTINES. Prints processor time a
 * request, and connections made. bench/peers/go-client is Go's.
 */
#include <aglet.h>
#include <aglet/http_client.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static const char *url;
static long requests;
static atomic_long begun, bytes;
static ag_http_client *client;

static void ask(ag_wg *wg) {
    ag_defer(ag_wg_done, wg);
    while (atomic_fetch_add(&begun, 1) < requests) {
        char buf[4096];
        ssize_t n;
        ag_http_reply *r;
        if (ag_http_get(client, url, &r) != 0) {
            fprintf(stderr, "client_h2: %s\n", ag_http_reply_error(r));
            exit(1);
        }
        while ((n = ag_http_reply_read(r, buf, sizeof buf)) > 0)
            atomic_fetch_add(&bytes, n);
        ag_http_reply_close(r);
    }
}

static double us_of(struct timeval t) {
    return (double)t.tv_sec * 1e6 + (double)t.tv_usec;
}

static int app(void *arg) {
    char **argv = arg;
    struct rusage before, after;
    ag_wg wg = AG_WG_INIT;
    bool two = strcmp(argv[1], "2") == 0;
    client = ag_http_client_new(
        &(ag_http_client_options){.http2_in_clear = two, .no_http2 = !two, .proxy = ""});
    requests = atol(argv[3]);
    url = argv[4];
    getrusage(RUSAGE_SELF, &before);
    for (int i = atoi(argv[2]); i > 0; i--) {
        ag_wg_add(&wg, 1);
        ag_go(ask, &wg);
    }
    ag_wg_wait(&wg);
    getrusage(RUSAGE_SELF, &after);
    double n = (double)requests, user = us_of(after.ru_utime) - us_of(before.ru_utime);
    ag_http_client_stats st;
    ag_http_client_stats_read(client, &st);
    printf("aglet http/%s cpu_us/request %.2f user_us/request %.2f dialed %ld bytes %ld\n", argv[1],
           (user + us_of(after.ru_stime) - us_of(before.ru_stime)) / n, user / n, (long)st.dialed,
           atomic_load(&bytes));
    ag_http_client_free(client);
    return 0;
}

int main(int argc, char **argv) {
    return argc == 5 ? ag_run(app, argv) : 2;
}
