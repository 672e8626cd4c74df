/* SPDX-License-Identifier: MIT */
/*
 * metric.c - counting: counters, gauges, histograms, exemplars.
 *
 * A count goes into a cell of the processor's own (obs.h). A gauge is a counter that also goes
 * down; setting it notes the value and what the cells were then, so that they need not be reset:
 * its value is that plus what came since. A histogram's count is the sum of its buckets, so the two
 * always agree; its sum may be one observation behind.
 *
 * Exemplars cost a goroutine without a context a load and a branch. Else the coarse clock says
 * whether the last one is a second old; only then the context is asked.
 */
#include "obs/obs.h"
#include <string.h>

enum { EXEMPLAR_NS = 1000000000 };

static inline void cell_add(int64_t *cell, int64_t n) {
    __atomic_store_n(cell, __atomic_load_n(cell, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

static inline int64_t with_added(int64_t bits, double v) {
    double d;
    memcpy(&d, &bits, sizeof d);
    d += v;
    memcpy(&bits, &d, sizeof d);
    return bits;
}

static inline void add(struct ag__cells *c, int64_t n) {
    ag__m *m = ag__m_now();
    int64_t *cell = ag__cells_begin(m, c->at);
    if (AG__LIKELY(cell != NULL)) {
        cell_add(cell, n);
        ag__cells_end(m);
    } else {
        __atomic_fetch_add(c->at, n, __ATOMIC_RELAXED);
    }
}

/* --- Exemplars. --- */

/* As much of the text as there is room for, in whole characters. */
static void copy_text(char *to, size_t size, const char *from) {
    size_t n = strnlen(from, size);
    if (n == size)
        for (n = size - 1; n > 0 && ((unsigned char)from[n] & 0xc0) == 0x80;)
            n--;
    memcpy(to, from, n);
    to[n] = 0;
}

static AG__COLD void take_exemplar(struct ag__series *s, ag__exemplar *e, const ag__g *g, double v,
                                   int64_t now) {
    const char *request = ag_ctx_value(g->ctx, &ag_request_id);
    if (!request || !ag__lock_try(&s->lock))
        return;
    AG__TSAN_LOOK_AWAY();
    atomic_store_explicit(&e->looked, now, AG__RLX);
    e->wall = ag__os_wall();
    e->value = v;
    copy_text(e->request, sizeof e->request, request);
    AG__TSAN_LOOK();
    ag__lock_release(&s->lock);
}

static inline void look_for_exemplar(struct ag__series *s, int i, double v) {
    const ag__m *m = ag__m_now();
    const ag__g *g = m->g; /* NULL: a thread that was never here */
    if (AG__LIKELY(!g || !g->bound) || atomic_load_explicit(&m->inside, AG__RLX))
        return;
    ag__exemplar *e = &s->exemplars[i];
    int64_t now = atomic_load_explicit(&ag__sched.coarse_now, AG__RLX);
    int64_t looked = atomic_load_explicit(&e->looked, AG__RLX);
    if (looked == 0 || now - looked >= EXEMPLAR_NS)
        take_exemplar(s, e, g, v, now);
}

/* --- What users call. --- */

void ag_counter_add(ag_counter *c, int64_t n) {
    if (AG__UNLIKELY(n < 0))
        ag__panic_text(__builtin_return_address(0), "counter cannot decrease in value");
    add(&c->ag__cells, n);
    look_for_exemplar(c->ag__cells.series, 0, (double)n);
}

int64_t ag_counter_value(const ag_counter *c) {
    return ag__cells_sum(c->ag__cells.at);
}

void ag_gauge_add(ag_gauge *g, int64_t n) {
    add(&g->ag__cells, n);
}

void ag_gauge_set(ag_gauge *g, double v) {
    struct ag__series *s = g->ag__cells.series;
    ag__lock_acquire(&s->lock);
    s->set_to = v;
    s->set_at = ag__cells_sum(s->cells.at);
    ag__lock_release(&s->lock);
}

double ag__series_gauge(struct ag__series *s) {
    ag__lock_acquire(&s->lock);
    double v = s->set_to + (double)(ag__cells_sum(s->cells.at) - s->set_at);
    ag__lock_release(&s->lock);
    return v;
}

double ag_gauge_value(const ag_gauge *g) {
    return ag__series_gauge(g->ag__cells.series);
}

/* The first bucket whose bound is not less than v; the number of bounds for +Inf. */
static inline int bucket_of(const struct ag__family *f, double v) {
    int lo = 0, n = f->bound_count;
    if (AG__UNLIKELY(v != v))
        return n;
    while (n > 0) {
        int half = n / 2;
        bool above = v > f->bounds[lo + half];
        lo = above ? lo + half + 1 : lo;
        n = above ? n - half - 1 : half;
    }
    return lo;
}

void ag_histogram_observe(ag_histogram *h, double v) {
    struct ag__series *s = h->ag__cells.series;
    int64_t *at = h->ag__cells.at;
    int i = bucket_of(s->family, v), sum = s->family->bound_count + 1;
    ag__m *m = ag__m_now();
    int64_t *cells = ag__cells_begin(m, at);
    if (AG__LIKELY(cells != NULL)) {
        cell_add(cells + i, 1);
        int64_t bits = __atomic_load_n(cells + sum, __ATOMIC_RELAXED);
        __atomic_store_n(cells + sum, with_added(bits, v), __ATOMIC_RELAXED);
        ag__cells_end(m);
    } else {
        __atomic_fetch_add(at + i, 1, __ATOMIC_RELAXED);
        int64_t bits = __atomic_load_n(at + sum, __ATOMIC_RELAXED);
        while (!__atomic_compare_exchange_n(at + sum, &bits, with_added(bits, v), true,
                                            __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
        }
    }
    look_for_exemplar(s, i, v);
}

void ag_histogram_since(ag_histogram *h, ag_time start) {
    ag_histogram_observe(h, (double)(ag__os_now() - start) / 1e9);
}

int64_t ag_histogram_count(const ag_histogram *h) {
    int64_t n = 0;
    for (int i = 0; i <= h->ag__cells.series->family->bound_count; i++)
        n += ag__cells_sum(h->ag__cells.at + i);
    return n;
}

double ag_histogram_sum(const ag_histogram *h) {
    return ag__cells_sum_double(h->ag__cells.at + h->ag__cells.series->family->bound_count + 1);
}
