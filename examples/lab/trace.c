/* SPDX-License-Identifier: MIT */
/*
 * What does it cost to watch a scheduler? Two goroutines yield to each other, or send to each
 * other, on one processor, with nothing noted, with the flight recorder on, and while a full trace
 * is written; Go's recorder and trace beside it.
 */
#define _GNU_SOURCE
#include "lab.h"

enum { NOTHING, RECORDER, TRACE };
static int how;

static void yields(long n) {
    for (long i = 0; i < n; i++)
        ag_yield();
}

static void echo(ag_chan(long) ping, ag_chan(long) pong) {
    long v;
    while (ag_recv(ping, &v))
        ag_send(pong, v);
    ag_close(pong);
}

static void yield_all(long n) {
    ag_wg wg = AG_WG_INIT;
    ag_wg_go(&wg, yields, n / 2);
    ag_wg_go(&wg, yields, n / 2);
    ag_wg_wait(&wg);
}

static void send_all(long n) {
    ag_chan(long) ping = ag_make(long, 0), pong = ag_make(long, 0);
    ag_go(echo, ping, pong);
    for (long i = 0; i < n; i++) {
        ag_send(ping, i);
        ag_recv(pong, NULL);
    }
    ag_close(ping);
    ag_recv(pong, NULL);
    ag_unref(ping);
    ag_unref(pong);
}

static void (*what)(long n);
static long rounds;

static int measure(void *arg) {
    FILE *file = arg;
    what(rounds / 10);
    if (how == TRACE && ag_trace_start(file) != 0)
        return 1;
    ag_time start = ag_now();
    what(rounds);
    ag_time took = ag_now() - start;
    int r = how == TRACE ? ag_trace_stop() : 0;
    lab_print("ns", (double)took / (double)rounds);
    lab_print("lost", r == -ENOBUFS);
    return r != 0 && r != -ENOBUFS;
}

static int run(void (*fn)(long n), int watch, long n) {
    const ag_config config = {.procs = 1};
    how = watch;
    what = fn;
    rounds = n;
    setenv("AGLET_RECORD", watch == NOTHING ? "0" : "1", 1);
    FILE *file = tmpfile();
    if (!file)
        return 1;
    int r = ag_run_with(&config, measure, file);
    fclose(file);
    return r;
}

static int yield_off(long n) {
    return run(yield_all, NOTHING, n);
}
static int yield_recorder(long n) {
    return run(yield_all, RECORDER, n);
}
static int yield_trace(long n) {
    return run(yield_all, TRACE, n);
}
static int send_off(long n) {
    return run(send_all, NOTHING, n);
}
static int send_recorder(long n) {
    return run(send_all, RECORDER, n);
}
static int send_trace(long n) {
    return run(send_all, TRACE, n);
}

static void row(const char *name, const char *article, const char *part, long n) {
    struct lab_values go = lab_go(part, n), us = lab_self(part, n);
    lab_row(name, article, lab_cell(&go, "ns", "%.0f ns"), lab_cell(&us, "ns", "%.0f ns"));
}

static int table(void) {
    const long yield = lab_much(1000000, 5000000, 20000000);
    const long send = lab_much(300000, 1000000, 5000000),
               traced = lab_much(100000, 300000, 1000000);
    lab_go_ready();
    lab_begin("Two goroutines take turns on one processor: a yield, a round trip over two channels",
              "what is noted", "article", "Go here", "aglet here");
    row("yield, nothing", "-", "yield-off", yield);
    row("yield, flight recorder", "-", "yield-recorder", yield);
    row("yield, full trace", "use it to find leaks", "yield-trace", traced);
    row("round trip, nothing", "-", "send-off", send);
    row("round trip, flight recorder", "-", "send-recorder", send);
    row("round trip, full trace", "use it to find leaks", "send-trace", traced);
    lab_end("aglet's recorder is always on: it notes what is rare, and one switch in 250 us, from "
            "places that a switch does\nnot pass. Go's notes every event. To see a trace: "
            "ag_trace_start(f) ... ag_trace_stop(), go tool trace FILE;\nafter the fact: "
            "ag_trace_snapshot(f), or AGLET_RECORD_FILE=last.trace for what ran before a panic.");
    return 0;
}

int main(int argc, char **argv) {
    static const struct lab_part parts[] = {{"yield-off", yield_off},
                                            {"yield-recorder", yield_recorder},
                                            {"yield-trace", yield_trace},
                                            {"send-off", send_off},
                                            {"send-recorder", send_recorder},
                                            {"send-trace", send_trace},
                                            {NULL, NULL}};
    static const struct lab lab = {"trace", "what it costs to watch the scheduler", parts, table};
    return lab_main(argc, argv, &lab);
}
