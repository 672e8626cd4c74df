/* SPDX-License-Identifier: MIT */
/*
 * aglet/metric.h - counters, gauges and histograms for Prometheus, cheap enough to leave in.
 *
 *     static AG_COUNTER_VEC(requests, "http_requests_total", "Requests answered.", 100,
 *                           "method", "code");
 *     static AG_HISTOGRAM(latency, "http_request_seconds", "Time to answer.",
 *                         AG_BUCKETS(0.001, 0.01, 0.1, 1, 10));
 *
 *     static void handle(...) {
 *         ag_defer(ag_histogram_since, &latency, ag_now());
 *         ...
 *         ag_counter_add(ag_counter_with(&requests, "GET", "200"), 1);
 *     }
 *     ...
 *     ag_metrics_write(out, AG_METRICS_PROMETHEUS);
 *
 * A metric is an object at file scope, made by one of the macros below; `static` before the macro
 * if it is this file's alone. It is there, with 0, from the start of the program (of the library,
 * if that is loaded later) to its end.
 *
 * Counting takes no lock, makes no system call, waits for nobody and has no atomic
 * read-modify-write on a goroutine that has its processor: each processor counts by itself, and who
 * reads adds up. A reader sees what happened before its call, and perhaps some of what happens
 * meanwhile.
 *
 * Labels. A vector is a metric with labels: one child for each combination of values. Values are
 * copied, up to 255 bytes each, and children stay; so a vector says how many children it may have.
 * What comes when it is full is counted in one more child, whose values are all "overflow":
 * nothing is lost, and a label that an attacker can choose (a path, a name) costs no memory. Find a
 * child once and keep it where that is possible; finding it takes no lock.
 *
 * Names are Prometheus': [a-zA-Z_:][a-zA-Z0-9_:]*, a counter ends in `_total`, seconds and bytes as
 * units. `aglet_…` and `process_…` are the library's own: see docs/guide/metrics-and-logs.md. A
 * name or label that is none, and a name that is defined twice, ends the program at its start.
 *
 * Each type: usable as its macro made it, not when zero. Copyable: no. Threads: any, at any time.
 * Freed by: nobody.
 */
#ifndef AGLET_METRIC_H
#define AGLET_METRIC_H

#include <aglet/base.h>
#include <stdio.h>

AG__BEGIN

struct ag__series;
struct ag__family;

/* What every metric and every child begins with. Constant once the program has started. */
struct ag__cells {
    int64_t *at;               /* the first of its cells of no processor */
    struct ag__series *series; /* all else */
};

/* --- Counters: they grow. --- */

typedef struct ag_counter {
    struct ag__cells ag__cells;
} ag_counter;
typedef struct ag_counter_vec {
    struct ag__family *ag__family;
} ag_counter_vec;

/** AG_COUNTER(var, name, help): defines the ag_counter `var`. */
#define AG_COUNTER(var, name, help)                                                                \
    ag_counter var;                                                                                \
    AG__METRIC(&var.ag__cells, 0, 0, name, help, 0, 0, AG__NO_LABELS, AG__NO_BOUNDS)
/** AG_COUNTER_VEC(var, name, help, max, labels...): an ag_counter_vec of at most `max` children,
 * with one to six labels. */
#define AG_COUNTER_VEC(var, name, help, max, ...)                                                  \
    ag_counter_vec var;                                                                            \
    AG__METRIC(0, &var.ag__family, 0, name, help, 0, max, AG__LABELS(__VA_ARGS__), AG__NO_BOUNDS)

/** Adds n >= 0. Panics: `counter cannot decrease in value`. From: goroutine, any thread, signal
 * handler. */
AG_API void ag_counter_add(ag_counter *c, int64_t n);
/** What it has counted. */
AG_API int64_t ag_counter_value(const ag_counter *c);
/** ag_counter_with(vec, values...): the child with these label values, in the order of the labels.
 * NULL counts as "". Returns: never NULL; the overflow child when the vector is full, or when out
 * of memory for a new one. Panics: for another number of values than there are labels.
 * From: goroutine, any thread. Owns: the vector. */
#define ag_counter_with(vec, ...) ag__counter_with((vec), AG__TEXTS(__VA_ARGS__))

/* --- Gauges: they go up and down. --- */

typedef struct ag_gauge {
    struct ag__cells ag__cells;
} ag_gauge;
typedef struct ag_gauge_vec {
    struct ag__family *ag__family;
} ag_gauge_vec;

#define AG_GAUGE(var, name, help)                                                                  \
    ag_gauge var;                                                                                  \
    AG__METRIC(&var.ag__cells, 0, 0, name, help, 1, 0, AG__NO_LABELS, AG__NO_BOUNDS)
#define AG_GAUGE_VEC(var, name, help, max, ...)                                                    \
    ag_gauge_vec var;                                                                              \
    AG__METRIC(0, &var.ag__family, 0, name, help, 1, max, AG__LABELS(__VA_ARGS__), AG__NO_BOUNDS)

/** Adds n, which may be negative; as cheap as a counter: ag_defer(ag_gauge_add, &in_flight, -1).
 * From: goroutine, any thread, signal handler. */
AG_API void ag_gauge_add(ag_gauge *g, int64_t n);
/** Sets it to v. Costs a look at each processor. What is added at the same time counts either
 * before it or after it. */
AG_API void ag_gauge_set(ag_gauge *g, double v);
AG_API double ag_gauge_value(const ag_gauge *g);
/** As ag_counter_with. */
#define ag_gauge_with(vec, ...) ag__gauge_with((vec), AG__TEXTS(__VA_ARGS__))

/** AG_GAUGE_FN(fn, name, help), AG_COUNTER_FN(fn, name, help): a metric whose value is asked for
 * when it is read, from `double fn(void)`, on the reader's thread. What fn of a counter returns
 * must not become less. Limit: fn must come back soon, and must not read the metrics. */
#define AG_GAUGE_FN(fn, name, help)                                                                \
    AG__METRIC(0, 0, fn, name, help, 1, 0, AG__NO_LABELS, AG__NO_BOUNDS)
#define AG_COUNTER_FN(fn, name, help)                                                              \
    AG__METRIC(0, 0, fn, name, help, 0, 0, AG__NO_LABELS, AG__NO_BOUNDS)

/* --- Histograms: how often which size. --- */

typedef struct ag_histogram {
    struct ag__cells ag__cells;
} ag_histogram;
typedef struct ag_histogram_vec {
    struct ag__family *ag__family;
} ag_histogram_vec;

/**
 * AG_HISTOGRAM(var, name, help, buckets): `buckets` is one of
 *     AG_BUCKETS(0.1, 0.5, 1)          upper bounds, rising; 1 to 60; +Inf comes by itself
 *     AG_BUCKETS_EXP(0.001, 2, 15)     15 of them, each twice the one before
 *     AG_BUCKETS_LINEAR(0, 10, 5)      0, 10, 20, 30, 40
 */
#define AG_HISTOGRAM(var, name, help, buckets)                                                     \
    ag_histogram var;                                                                              \
    AG__METRIC(&var.ag__cells, 0, 0, name, help, 2, 0, AG__NO_LABELS, buckets)
#define AG_HISTOGRAM_VEC(var, name, help, buckets, max, ...)                                       \
    ag_histogram_vec var;                                                                          \
    AG__METRIC(0, &var.ag__family, 0, name, help, 2, max, AG__LABELS(__VA_ARGS__), buckets)

#define AG_BUCKETS(...)                                                                            \
    {                                                                                              \
        0, 0, 0, 0, {                                                                              \
            __VA_ARGS__, __builtin_inf()                                                           \
        }                                                                                          \
    }
#define AG_BUCKETS_EXP(first, factor, count)                                                       \
    {                                                                                              \
        1, count, first, factor, {                                                                 \
            0                                                                                      \
        }                                                                                          \
    }
#define AG_BUCKETS_LINEAR(first, step, count)                                                      \
    {                                                                                              \
        2, count, first, step, {                                                                   \
            0                                                                                      \
        }                                                                                          \
    }

/** Counts v in the first bucket whose bound is not less. NaN counts in +Inf. From: goroutine, any
 * thread. */
AG_API void ag_histogram_observe(ag_histogram *h, double v);
/** Observes the seconds from `start`, a point of ag_now(), until now. */
AG_API void ag_histogram_since(ag_histogram *h, ag_time start);
/** How many values were observed, and their sum. */
AG_API int64_t ag_histogram_count(const ag_histogram *h);
AG_API double ag_histogram_sum(const ag_histogram *h);
/** As ag_counter_with. */
#define ag_histogram_with(vec, ...) ag__histogram_with((vec), AG__TEXTS(__VA_ARGS__))

/* --- Reading. --- */

/** What Prometheus has always read, and OpenMetrics 1.0. The second has exemplars: where the
 * current context carries ag_request_id (aglet/ctx.h), a counter and each bucket of a histogram
 * remember the request that was counted last, looked at once a second at most, so that a slow
 * bucket leads to the log lines of a request that was in it. */
enum { AG_METRICS_PROMETHEUS = 0, AG_METRICS_OPEN = 1 };
/** The content types of the two. */
#define AG_METRICS_PROMETHEUS_TYPE "text/plain; version=0.0.4; charset=utf-8"
#define AG_METRICS_OPEN_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

/** Which of the two a client wants that sends this value of the field Accept: OpenMetrics if it
 * names that and does not like plain text better. NULL is a client without the field. */
AG_API int ag_metrics_format(const char *accept);

/** Writes all metrics, by name, then those of the library and of the process. Works when every
 * processor is stuck. Returns: 0, -EINVAL for another format, -EIO when `out` has failed.
 * From: goroutine, any thread. */
AG_API int ag_metrics_write(FILE *out, int format);

/* --- Below: what the macros use. --- */

struct ag__bounds {
    int kind, count;
    double first, step;
    double at[61]; /* kind 0: up to +Inf */
};
/* A metric as it was written. Constant. */
struct ag__metric {
    struct ag__cells *one;      /* without labels, */
    struct ag__family **family; /* with labels, */
    double (*fn)(void);         /* or asked for */
    const char *name, *help;
    int type; /* 0 counter, 1 gauge, 2 histogram */
    int child_max;
    const char *labels[6];
    struct ag__bounds bounds;
};

AG_API void ag__metric_add(const struct ag__metric *def);
AG_API void ag__metric_remove(const struct ag__metric *def);
AG_API ag_counter *ag__counter_with(const ag_counter_vec *vec, int n, const char *a, const char *b,
                                    const char *c, const char *d, const char *e, const char *f);
AG_API ag_gauge *ag__gauge_with(const ag_gauge_vec *vec, int n, const char *a, const char *b,
                                const char *c, const char *d, const char *e, const char *f);
AG_API ag_histogram *ag__histogram_with(const ag_histogram_vec *vec, int n, const char *a,
                                        const char *b, const char *c, const char *d, const char *e,
                                        const char *f);

/* One to six texts: six, with NULLs; and before them how many. */
#define AG__SIX_1(a) a, 0, 0, 0, 0, 0
#define AG__SIX_2(a, b) a, b, 0, 0, 0, 0
#define AG__SIX_3(a, b, c) a, b, c, 0, 0, 0
#define AG__SIX_4(a, b, c, d) a, b, c, d, 0, 0
#define AG__SIX_5(a, b, c, d, e) a, b, c, d, e, 0
#define AG__SIX_6(a, b, c, d, e, f) a, b, c, d, e, f
#define AG__LABELS(...) AG__CAT(AG__SIX_, AG__COUNT(__VA_ARGS__))(__VA_ARGS__)
#define AG__TEXTS(...) AG__COUNT(__VA_ARGS__), AG__LABELS(__VA_ARGS__)

#define AG__NO_LABELS 0, 0, 0, 0, 0, 0
#define AG__NO_BOUNDS                                                                              \
    {                                                                                              \
        0, 0, 0, 0, {                                                                              \
            0                                                                                      \
        }                                                                                          \
    }

/* What is between the braces of bounds is the rest. Before all constructors of the program that
 * have no priority of their own, and after all such destructors. The last line takes the semicolon.
 */
#define AG__METRIC(...) AG__METRIC_(AG__CAT(ag__metric_, __COUNTER__), __VA_ARGS__)
#define AG__METRIC_(id, ...) AG__METRIC_AS(id, __VA_ARGS__)
#define AG__METRIC_AS(id, one, vec, fn, name, help, type, max, a, b, c, d, e, f, ...)              \
    static const struct ag__metric id = {                                                          \
        one, vec, fn, name, help, type, max, {a, b, c, d, e, f}, __VA_ARGS__};                     \
    __attribute__((constructor(101))) static void id##_begins(void) {                              \
        ag__metric_add(&id);                                                                       \
    }                                                                                              \
    __attribute__((destructor(101))) static void id##_ends(void) {                                 \
        ag__metric_remove(&id);                                                                    \
    }                                                                                              \
    AG__STATIC_ASSERT(1, "")

AG__END
#endif
