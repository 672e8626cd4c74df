/* SPDX-License-Identifier: MIT */
/*
 * Counters. Each work has its own, written by its borrower alone with plain stores, so counting
 * costs no atomic operation and no shared line; who wants to know adds up all works. Those of freed
 * works are kept in s->retired. Things that happen under the server's lock are counted there.
 */
#include "http/server.h"

#include <aglet/metric.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const ag_time buckets[AG_HTTP_BUCKETS] = {
    50 * AG_US,  100 * AG_US, 250 * AG_US, 500 * AG_US, AG_MS,       2500 * AG_US,
    5 * AG_MS,   10 * AG_MS,  25 * AG_MS,  50 * AG_MS,  100 * AG_MS, 250 * AG_MS,
    500 * AG_MS, AG_SEC,      10 * AG_SEC, INT64_MAX,
};

ag_time ag_http_bucket_ns(int i) {
    return i < 0 || i >= AG_HTTP_BUCKETS ? INT64_MAX : buckets[i];
}

void ag__http_count_request(ag__http_work *w, int status, ag_time ns) {
    ag__http_counters *c = &w->counters;
    int i = 0;
    while (ns > buckets[i])
        i++;
    ag__http_count(&c->requests[status < 600 ? status / 100 : 5], 1);
    ag__http_count(&c->latency[i], 1);
    ag__http_count(&c->latency_ns, ns);
    if (w->res.body_bytes)
        ag__http_count(&c->body_bytes_out, w->res.body_bytes);
}

void ag__http_counters_add(ag__http_counters *to, const ag__http_counters *from) {
    _Atomic int64_t *t = (_Atomic int64_t *)to;
    const _Atomic int64_t *f = (const _Atomic int64_t *)from;
    for (size_t i = 0; i < sizeof *to / sizeof *t; i++)
        ag__http_count(&t[i], atomic_load_explicit(&f[i], AG__RELAXED));
}

size_t ag_http_running(ag_http_server *s, int64_t *ret_ids, size_t max) {
    size_t n = 0;
    ag_mutex_lock(&s->lock);
    for (const ag__http_work *w = s->all; w; w = w->all_next) {
        int64_t id = atomic_load_explicit(&w->goroutine, AG__RELAXED);
        if (id && n++ < max)
            ret_ids[n - 1] = id;
    }
    ag_mutex_unlock(&s->lock);
    return n;
}

void ag_http_options_read(const ag_http_server *s, ag_http_options *ret_options) {
    *ret_options = s->opt;
}

void ag_http_stats_read(ag_http_server *s, ag_http_stats *ret_stats) {
    ag__http_counters sum;
    int64_t busy = 0;
    memset((void *)&sum, 0, sizeof sum);
    memset(ret_stats, 0, sizeof *ret_stats);
    ag_mutex_lock(&s->lock);
    ag__http_counters_add(&sum, &s->retired);
    for (const ag__http_work *w = s->all; w; w = w->all_next) {
        ag__http_counters_add(&sum, &w->counters);
        busy += atomic_load_explicit(&w->busy, AG__RELAXED);
    }
    ret_stats->accepted = s->accepted;
    ret_stats->open = s->open - s->away;
    ret_stats->evicted = s->evicted;
    ret_stats->refused = s->refused;
    ret_stats->upgrades = s->upgrades;
    ret_stats->upgraded = s->upgraded;
    ret_stats->timed_out = s->timed_out;
    ret_stats->h2_accepted = s->h2_accepted;
    ret_stats->h2_open = s->h2_open;
    ag_mutex_unlock(&s->lock);
    busy += ret_stats->upgraded;
    busy += atomic_load_explicit(&s->h2_busy, AG__RELAXED);
    ret_stats->h2_streams_open = atomic_load_explicit(&s->h2_streams, AG__RELAXED);
    ret_stats->h2_resets = atomic_load_explicit(&s->h2_resets, AG__RELAXED);
    ret_stats->h2_ended = atomic_load_explicit(&s->h2_ended, AG__RELAXED);
    ret_stats->idle = ret_stats->open > busy ? ret_stats->open - busy : 0;
    for (int i = 0; i < 6; i++)
        ret_stats->requests[i] = sum.requests[i];
    for (int i = 0; i < AG_HTTP_BUCKETS; i++)
        ret_stats->latency[i] = sum.latency[i];
    ret_stats->latency_ns = sum.latency_ns;
    ret_stats->body_bytes_in = sum.body_bytes_in;
    ret_stats->body_bytes_out = sum.body_bytes_out;
    ret_stats->bad_requests = sum.bad_requests;
    ret_stats->panics = sum.panics;
    ret_stats->timed_out += sum.timed_out;
    ret_stats->h2_streams = sum.streams;
}

/* ---- Prometheus ----------------------------------------------------------------------------- */

/*
 * Both of Prometheus' formats. In OpenMetrics a counter's family has the name of its sample without
 * _total, bounds of buckets are floating numbers, and an end mark shows that nothing is missing.
 */
#define END_MARK "# EOF\n"

typedef struct output {
    ag_http_response *res;
    bool open; /* OpenMetrics */
} output;

/* `name` is the family's: without _total. */
static void print_family(const output *o, const char *type, const char *name, const char *help) {
    const char *total = !o->open && strcmp(type, "counter") == 0 ? "_total" : "";
    ag_http_printf(o->res, "# HELP %s%s %s\n# TYPE %s%s %s\n", name, total, help, name, total,
                   type);
}

static void print_counter(const output *o, const char *name, const char *help, int64_t value) {
    print_family(o, "counter", name, help);
    ag_http_printf(o->res, "%s_total %lld\n", name, (long long)value);
}

static void print_gauge(const output *o, const char *name, const char *help, int64_t value) {
    print_family(o, "gauge", name, help);
    ag_http_printf(o->res, "%s %lld\n", name, (long long)value);
}

static void print_requests(const output *o, const ag_http_stats *st) {
    print_family(o, "counter", "http_requests", "Requests answered, by class of status.");
    for (int i = 1; i < 6; i++)
        ag_http_printf(o->res, "http_requests_total{code=\"%dxx\"} %lld\n", i,
                       (long long)st->requests[i]);
}

static void print_bound(const output *o, double bound, int64_t below) {
    const char *point = o->open && bound == (double)(int64_t)bound ? ".0" : "";
    ag_http_printf(o->res, "http_request_duration_seconds_bucket{le=\"%g%s\"} %lld\n", bound, point,
                   (long long)below);
}

static void print_latency(const output *o, const ag_http_stats *st) {
    int64_t below = 0;
    print_family(o, "histogram", "http_request_duration_seconds",
                 "From head read to response ready.");
    for (int i = 0; i < AG_HTTP_BUCKETS - 1; i++) {
        below += st->latency[i];
        print_bound(o, (double)buckets[i] / 1e9, below);
    }
    below += st->latency[AG_HTTP_BUCKETS - 1];
    ag_http_printf(o->res,
                   "http_request_duration_seconds_bucket{le=\"+Inf\"} %lld\n"
                   "http_request_duration_seconds_sum %.9f\n"
                   "http_request_duration_seconds_count %lld\n",
                   (long long)below, (double)st->latency_ns / 1e9, (long long)below);
}

/* Those of the program and of the library, without the end mark. Returns: false without memory. */
static bool print_program(const output *o) {
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    if (!out)
        return false;
    int r = ag_metrics_write(out, o->open ? AG_METRICS_OPEN : AG_METRICS_PROMETHEUS);
    bool whole = fclose(out) == 0 && r == 0 && text;
    ag_defer(free, text);
    if (whole)
        ag_http_write(o->res, text, o->open ? n - strlen(END_MARK) : n);
    return whole;
}

void ag_http_metrics(ag_http_request *req, ag_http_response *res) {
    output o = {res, ag_metrics_format(ag_http_header(req, "Accept")) == AG_METRICS_OPEN};
    ag_http_stats st;
    ag_http_stats_read(ag_http_server_of(req), &st);
    ag_http_set(res, "Content-Type", o.open ? AG_METRICS_OPEN_TYPE : AG_METRICS_PROMETHEUS_TYPE);
    ag_http_set(res, "Vary", "Accept");
    if (!print_program(&o)) {
        ag_http_error(res, 500, "no memory for the metrics");
        return;
    }
    print_requests(&o, &st);
    print_latency(&o, &st);
    print_counter(&o, "http_request_body_bytes", "Bytes of request bodies.", st.body_bytes_in);
    print_counter(&o, "http_response_body_bytes", "Bytes of response bodies.", st.body_bytes_out);
    print_counter(&o, "http_bad_requests", "Requests refused by the parser.", st.bad_requests);
    print_counter(&o, "http_handler_panics", "Panics that left a handler.", st.panics);
    print_counter(&o, "http_connections_accepted", "Connections accepted.", st.accepted);
    print_counter(&o, "http_connections_evicted", "Idle connections closed to make room.",
                  st.evicted);
    print_counter(&o, "http_connections_timed_out", "Connections ended by a time limit.",
                  st.timed_out);
    print_counter(&o, "http_connections_refused",
                  "Connections answered 503 because there were too many.", st.refused);
    print_counter(&o, "http_upgrades", "Connections taken over by handlers.", st.upgrades);
    print_counter(&o, "http2_streams", "Requests of HTTP/2.", st.h2_streams);
    print_counter(&o, "http2_resets", "Streams of HTTP/2 that clients reset.", st.h2_resets);
    print_counter(&o, "http2_connections_accepted", "Connections of HTTP/2.", st.h2_accepted);
    print_counter(&o, "http2_connections_ended",
                  "Connections of HTTP/2 ended because of what the client did.", st.h2_ended);
    print_gauge(&o, "http2_connections_open", "Connections of HTTP/2 open now.", st.h2_open);
    print_gauge(&o, "http2_streams_open", "Requests of HTTP/2 being answered now.",
                st.h2_streams_open);
    print_gauge(&o, "http_connections_upgraded", "Connections taken over, open now.", st.upgraded);
    print_gauge(&o, "http_connections_open", "Connections open now.", st.open);
    print_gauge(&o, "http_connections_idle", "Connections between two requests now.", st.idle);
    if (o.open)
        ag_http_printf(res, END_MARK);
}
