/* SPDX-License-Identifier: MIT */
/*
 * Counters. Each work has its own, written by its borrower alone with plain stores, so counting
 * costs no atomic operation and no shared line; who wants to know adds up all works. Those of freed
 * works are kept in s->retired. Things that happen under the server's lock are counted there.
 */
#include "http/server.h"

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
    ret_stats->open = s->open;
    ret_stats->evicted = s->evicted;
    ret_stats->refused = s->refused;
    ret_stats->timed_out = s->timed_out;
    ag_mutex_unlock(&s->lock);
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
}

/* ---- Prometheus ----------------------------------------------------------------------------- */

static void print_one(ag_http_response *res, const char *type, const char *name, const char *help,
                      int64_t value) {
    ag_http_printf(res, "# HELP %s %s\n# TYPE %s %s\n%s %lld\n", name, help, name, type, name,
                   (long long)value);
}

static void print_requests(ag_http_response *res, const ag_http_stats *st) {
    ag_http_printf(res, "# HELP http_requests_total Requests answered, by class of status.\n"
                        "# TYPE http_requests_total counter\n");
    for (int i = 2; i < 6; i++)
        ag_http_printf(res, "http_requests_total{code=\"%dxx\"} %lld\n", i,
                       (long long)st->requests[i]);
}

static void print_latency(ag_http_response *res, const ag_http_stats *st) {
    int64_t below = 0;
    ag_http_printf(res, "# HELP http_request_duration_seconds From head read to response ready.\n"
                        "# TYPE http_request_duration_seconds histogram\n");
    for (int i = 0; i < AG_HTTP_BUCKETS; i++) {
        below += st->latency[i];
        if (i < AG_HTTP_BUCKETS - 1)
            ag_http_printf(res, "http_request_duration_seconds_bucket{le=\"%g\"} %lld\n",
                           (double)buckets[i] / 1e9, (long long)below);
        else
            ag_http_printf(res, "http_request_duration_seconds_bucket{le=\"+Inf\"} %lld\n",
                           (long long)below);
    }
    ag_http_printf(res,
                   "http_request_duration_seconds_sum %.9f\n"
                   "http_request_duration_seconds_count %lld\n",
                   (double)st->latency_ns / 1e9, (long long)below);
}

void ag_http_metrics(ag_http_request *req, ag_http_response *res) {
    ag_http_stats st;
    ag_http_stats_read(ag_http_server_of(req), &st);
    ag_http_set(res, "Content-Type", "text/plain; version=0.0.4; charset=utf-8");
    print_requests(res, &st);
    print_latency(res, &st);
    print_one(res, "counter", "http_request_body_bytes_total", "Bytes of request bodies.",
              st.body_bytes_in);
    print_one(res, "counter", "http_response_body_bytes_total", "Bytes of response bodies.",
              st.body_bytes_out);
    print_one(res, "counter", "http_bad_requests_total", "Requests refused by the parser.",
              st.bad_requests);
    print_one(res, "counter", "http_handler_panics_total", "Panics that left a handler.",
              st.panics);
    print_one(res, "counter", "http_connections_accepted_total", "Connections accepted.",
              st.accepted);
    print_one(res, "counter", "http_connections_evicted_total",
              "Idle connections closed to make room.", st.evicted);
    print_one(res, "counter", "http_connections_timed_out_total",
              "Connections ended by a time limit.", st.timed_out);
    print_one(res, "counter", "http_connections_refused_total",
              "Connections answered 503 because there were too many.", st.refused);
    print_one(res, "gauge", "http_connections_open", "Connections open now.", st.open);
    print_one(res, "gauge", "http_connections_idle", "Connections between two requests now.",
              st.idle);
}
