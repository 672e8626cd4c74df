/* SPDX-License-Identifier: MIT */
/*
 * obs.h - the door of the floor of metrics and logs, and what its files share.
 */
#ifndef AG_OBS_H
#define AG_OBS_H

#include "lang/lang.h"
#include <aglet/ctx.h>
#include <aglet/metric.h>
#include <stdio.h>

/*
 * --- Cells. ---
 *
 * What is counted lies in cells of 64 bits. A series has n neighbouring ones, and those n once more
 * in each row: row 0 for who has no processor, row i + 1 for the processor with index i.
 *
 *     chunk   row 0   [ a a a a | b | c c ... ]      one page a row, mapped, not yet touched
 *             row 1   [ a a a a | b | c c ... ]      P 0
 *             row 2   [ a a a a | b | c c ... ]      P 1
 *
 * Who may touch what. Row i + 1 belongs to the thread that holds P i and is inside the runtime, or
 * says so: plain loads and stores, relaxed, no read-modify-write. Row 0 is everybody's: atomic
 * read-modify-writes. Anybody reads any row, relaxed, and adds up.
 *
 *     owner                               a monitor that hands the P on (sched/monitor.c)
 *     inside already? then row 0          revoked = ASKED; heavy fence
 *     inside = 1                          inside == 0? take the P, revoked = TAKEN
 *     light fence
 *     revoked, or no P? inside = 0, row 0
 *     cell of row i + 1 += n
 *     inside = 0, release
 *
 * It is ag__enter without its slow half: who has lost his P does not wait for another one, but
 * counts in row 0. The next owner of the P comes behind the release, through the hand-on or through
 * what the owner himself did to give the P away, and so behind our stores. "Inside already" is a
 * signal handler that broke into the runtime, perhaps into these very lines.
 */
enum { AG__CELL_ROW = AG__SIZE(512, 128) };

/* n <= 64 cells, all 0; NULL: out of memory. */
int64_t *ag__cells_new(int n);
/* Cells in which nobody has counted; lost, but for those that were given out last. */
void ag__cells_give_back(int64_t *at, int n);
int64_t ag__cells_sum(const int64_t *at);
double ag__cells_sum_double(const int64_t *at);

extern int ag__cell_rows AG__HIDDEN; /* Constant once there are cells. */

/* The cell of this thread's P that goes with `at`, or NULL; with ag__cells_end if it is not. */
static inline int64_t *ag__cells_begin(ag__m *m, int64_t *at) {
    if (AG__UNLIKELY(atomic_load_explicit(&m->inside, AG__RLX) != 0))
        return NULL;
    atomic_store_explicit(&m->inside, 1, AG__RLX);
    ag__fence_light();
    if (AG__LIKELY(atomic_load_explicit(&m->revoked, AG__RLX) == AG__NONE && m->p)) {
        int row = m->p->index + 1;
        if (AG__LIKELY(row < ag__cell_rows))
            return at + (size_t)row * AG__CELL_ROW;
    }
    atomic_store_explicit(&m->inside, 0, memory_order_release);
    return NULL;
}
static inline void ag__cells_end(ag__m *m) {
    atomic_store_explicit(&m->inside, 0, memory_order_release);
}

/* --- Families and series: a metric, and its values for one combination of labels. --- */

enum { AG__LABELS_MAX = 6, AG__BOUNDS_MAX = 60, AG__VALUE_MAX = 255, AG__CHILDREN_MAX = 65536 };
enum { AG__COUNTER = 0, AG__GAUGE = 1, AG__HISTOGRAM = 2 };

/* The last request that was counted. Guarded by the series' lock, but for `looked`. */
typedef struct ag__exemplar {
    _Atomic int64_t looked; /* Relaxed; the coarse clock, when it was set. */
    int64_t wall;
    double value;
    char request[96]; /* "": none */
} ag__exemplar;

/* Of a histogram the cells are those of the buckets, +Inf, the sum; of others one. */
struct ag__series {
    struct ag__cells cells;             /* Constant. First: what the user has of a child. */
    struct ag__family *family;          /* Constant. */
    struct ag__series *_Atomic next;    /* Atomic, written under the family's lock. */
    const char *values[AG__LABELS_MAX]; /* Constant. */
    uint64_t hash;                      /* Constant. */
    ag__lock lock;                      /* Guards the following. */
    double set_to;                      /* of a gauge: what it was set to last, */
    int64_t set_at;                     /* and the sum of its cells then */
    ag__exemplar exemplars[];           /* one, or one a bucket; none of a gauge */
};

/* Never freed: a removed one waits for the same to come back, when a library is loaded again. */
struct ag__family {
    struct ag__family *_Atomic next;      /* by name; written under the registry's lock */
    const struct ag__metric *_Atomic def; /* Atomic; NULL: removed */
    const char *name, *help, *labels[AG__LABELS_MAX]; /* Constant, with all up to `table` */
    int type, label_count, child_max, bound_count;
    double bounds[AG__BOUNDS_MAX + 1];
    struct ag__series *_Atomic *table; /* of children: open addressing, filled under `lock` */
    uint32_t table_mask;
    struct ag__series *overflow;
    ag__lock lock; /* Guards the list and the count of the series. */
    struct ag__series *_Atomic first;
    struct ag__series *last;
    int child_count;
    bool has_overflown; /* `overflow` is in the list */
};

/* The first family of all; walk by `next`, skip those without a `def`. */
struct ag__family *ag__families(void);
/* Calls the function of a family that has one, unless it has been removed. */
bool ag__family_ask(struct ag__family *f, double *ret_value);
double ag__series_gauge(struct ag__series *s);

/* --- Text. --- */

typedef struct ag__out {
    FILE *file;
    bool open; /* OpenMetrics */
} ag__out;
/* HELP and TYPE; then its samples. The name of a counter ends in _total. */
void ag__out_head(ag__out *o, const char *name, const char *help, int type);
/* One sample, of a counter or a gauge. `label` may be NULL. */
void ag__out_value(ag__out *o, const char *name, const char *label, const char *value, double v);
/* A histogram without labels: counts of each bucket, one more for +Inf. */
void ag__out_histogram(ag__out *o, const char *name, const double *bounds, const int64_t *counts,
                       int n, double sum);
/* The shortest decimal that reads back as v; "+Inf", "-Inf", "NaN". In any locale. */
enum { AG__NUMBER_BYTES = 40 };
const char *ag__number_text(char buf[AG__NUMBER_BYTES], double v);
/* How many of the n > 0 bytes at p are one character of UTF-8; 0: none. */
size_t ag__utf8_len(const char *p, size_t n);

/* runtime.c: what the library says of itself and of the process. */
void ag__runtime_write(ag__out *o);

#endif
