/* SPDX-License-Identifier: MIT */
/* Metrics as their header says: static or not, with and without labels, in every kind of buckets.
 */
#include <aglet/defer.h>
#include <aglet/metric.h>
#include <aglet/time.h>

static AG_COUNTER(hits, "hits_total", "Hits.");
AG_COUNTER(shown, "shown_total", "Visible to other files.");
static AG_COUNTER_VEC(requests, "requests_total", "Requests.", 100, "a", "b", "c", "d", "e", "f");
static AG_GAUGE(depth, "depth", "Depth.");
static AG_GAUGE_VEC(rooms, "rooms", "Rooms.", 10, "floor");
static AG_HISTOGRAM(sizes, "size_bytes", "Sizes.", AG_BUCKETS(1, 2.5, 1e9));
static AG_HISTOGRAM(one_bucket, "one_bytes", "One.", AG_BUCKETS(1));
static AG_HISTOGRAM_VEC(waits, "wait_seconds", "Waits.", AG_BUCKETS_EXP(0.001, 2, 15), 10, "kind");
static AG_HISTOGRAM_VEC(rows, "row_bytes", "Rows.", AG_BUCKETS_LINEAR(0, 10, 5), 10, "kind", "x");

static double load(void) {
    return 0.5;
}
AG_GAUGE_FN(load, "load", "Load.");
AG_COUNTER_FN(load, "load_total", "Load.");

int metric_uses(const char *text, FILE *out);
int metric_uses(const char *text, FILE *out) {
    ag_defer(ag_histogram_since, &sizes, ag_now());
    ag_defer(ag_gauge_add, &depth, -1);
    ag_counter_add(&hits, 1);
    ag_counter_add(&shown, 1);
    ag_counter *c = ag_counter_with(&requests, text, "b", "c", "d", "e", "f");
    ag_counter_add(c, ag_counter_value(c));
    ag_gauge_set(ag_gauge_with(&rooms, text), ag_gauge_value(&depth));
    ag_histogram *h = ag_histogram_with(&rows, text, "x");
    ag_histogram_observe(h, ag_histogram_sum(ag_histogram_with(&waits, "io")));
    return ag_metrics_write(out, AG_METRICS_OPEN) + (int)ag_histogram_count(&one_bucket);
}
