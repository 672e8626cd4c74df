/* SPDX-License-Identifier: MIT */
/*
 * A program to be looked into: main waits for a line on stdin, ten goroutines wait for a channel,
 * in regions; with `burn` as its argument every processor is kept by an endless loop; with `serve`
 * it can be asked over HTTP, at the two ports that it prints. It has a metric of each kind, with
 * exemplars.
 */
#include <aglet.h>
#include <aglet/http.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static AG_COUNTER(hits, "ways_hits_total", "Hits, \\ and\na second line.");
static AG_GAUGE(depth, "ways_depth", "How deep it is.");
static AG_COUNTER_VEC(names, "ways_names_total", "By name.", 8, "name");
static AG_HISTOGRAM_VEC(took, "ways_took_seconds", "By kind.", AG_BUCKETS(0.001, 0.1, 1, 10), 8,
                        "kind");

/* Counted for requests of which one has a name that must be escaped. */
static void counts(const char *request, double seconds) {
    ag_with(&ag_request_id, request);
    ag_task("counting");
    ag_counter_add(&hits, 1);
    ag_gauge_set(&depth, -seconds);
    ag_counter_add(ag_counter_with(&names, request), 2);
    ag_histogram_observe(ag_histogram_with(&took, "io"), seconds);
}

static void waits(ag_chan(int) c) {
    ag_region("waiting");
    ag_recv(c, NULL);
}
static void burns(void) {
    for (volatile long i = 0;; i++) {
    }
}
static int reads(void) {
    char byte;
    return (int)read(0, &byte, 1);
}

/* ag_debug_serve, and the handler in a server of the program's own. */
static void serve(void) {
    ag_listener *l;
    int port = ag_debug_serve("localhost:0");
    ag_http_server *s = ag_http_server_new(NULL);
    ag_http_handle(s, "/debug/", ag_http_debug, NULL);
    if (ag_listen("tcp", "127.0.0.1:0", &l) != 0)
        return;
    ag_go(ag_http_serve, s, l);
    printf("%d %s\n", port, strrchr(ag_listener_addr(l), ':') + 1);
}

static int app(void *how) {
    ag_chan(int) c = ag_make(int, 0);
    for (int i = 0; i < 10; i++)
        ag_go(waits, c);
    ag_sleep(AG_MS);
    counts("r-1", 0.01);
    counts("a \"quoted\"\n\\ na\xc3\xafve \xff", 0.5);
    counts("r-3", 100);
    for (int i = 0; how && strcmp(how, "burn") == 0 && i < 8; i++)
        ag_go(burns);
    puts("ready");
    if (how && strcmp(how, "serve") == 0)
        serve();
    fflush(stdout);
    ag_blocking(reads);
    return 7;
}

int main(int argc, char **argv) {
    return ag_run(app, argc > 1 ? argv[1] : NULL);
}
