/* SPDX-License-Identifier: MIT */
/*
 * family.c - the registry: which metrics there are, and their children.
 *
 * Families are a list by name, series a list by age; both only grow and are walked without a lock.
 * A metric of a library that is unloaded keeps its family and its counts, for the case that the
 * library comes back; meanwhile nobody sees it.
 *
 * Children are found in a table of pointers, open addressing, at most half full, made with the
 * family: a look takes no lock. Who finds none makes one, then looks again under the family's lock
 * and puts it there, or drops it because another thread was faster. A full family answers with its
 * overflow child, which was made with it and is not in the table.
 *
 * Functions that are asked for values may be part of what is unloaded: who removes one waits until
 * nobody asks.
 */
#include "obs/obs.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ag__lock registry_lock;
static struct ag__family *_Atomic families; /* Written under registry_lock. */
static _Atomic int asking;                  /* Sequential; partner: `def` of a family. */

struct ag__family *ag__families(void) {
    return atomic_load_explicit(&families, memory_order_acquire);
}

/* --- What is written in the program. --- */

static AG__COLD void refuse(const char *name, const char *why) {
    char text[200];
    snprintf(text, sizeof text, "metric %.120s: %s", name ? name : "(null)", why);
    ag__throw(text);
}

static bool is_name(const char *s, bool is_label) {
    if (!s || !*s || (*s >= '0' && *s <= '9') || (is_label && strncmp(s, "__", 2) == 0))
        return false;
    for (; *s; s++)
        if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') ||
              *s == '_' || (*s == ':' && !is_label)))
            return false;
    return true;
}

static bool ends_with(const char *s, const char *end) {
    size_t n = strlen(s), m = strlen(end);
    return n > m && strcmp(s + n - m, end) == 0;
}

static void check_names(const struct ag__metric *def, int labels) {
    if (!is_name(def->name, false))
        refuse(def->name, "no valid name");
    if (strncmp(def->name, "aglet_", 6) == 0 || strncmp(def->name, "process_", 8) == 0)
        refuse(def->name, "such names are the library's");
    if ((def->type == AG__COUNTER) != ends_with(def->name, "_total"))
        refuse(def->name, "the names of counters, and only those, end in _total");
    for (int i = 0; i < labels; i++) {
        if (!is_name(def->labels[i], true) ||
            (def->type == AG__HISTOGRAM && strcmp(def->labels[i], "le") == 0))
            refuse(def->name, "no valid label");
        for (int j = 0; j < i; j++)
            if (strcmp(def->labels[i], def->labels[j]) == 0)
                refuse(def->name, "a label twice");
    }
    if (labels && (def->child_max < 1 || def->child_max > AG__CHILDREN_MAX))
        refuse(def->name, "a vector has at most 1 to 65536 children");
}

/* The bounds, written out; returns how many. */
static int bounds_of(const struct ag__metric *def, double *bounds) {
    const struct ag__bounds *b = &def->bounds;
    int n = 0;
    if (def->type != AG__HISTOGRAM)
        return 0;
    if (b->kind == 0)
        while (n < AG__BOUNDS_MAX && !__builtin_isinf(b->at[n])) {
            bounds[n] = b->at[n];
            n++;
        }
    else
        for (double at = b->first; n < b->count && n < AG__BOUNDS_MAX; n++) {
            bounds[n] = at;
            at = b->kind == 1 ? at * b->step : b->first + b->step * (n + 1);
        }
    if (n < 1 || (b->kind != 0 && b->count > AG__BOUNDS_MAX))
        refuse(def->name, "a histogram has 1 to 60 buckets");
    for (int i = 0; i < n; i++)
        if (!__builtin_isfinite(bounds[i]) || (i > 0 && bounds[i] <= bounds[i - 1]))
            refuse(def->name, "the bounds of buckets must rise");
    return n;
}

/* --- Series. --- */

static int cells_of(const struct ag__family *f) {
    return f->type == AG__HISTOGRAM ? f->bound_count + 2 : 1;
}

static struct ag__series *series_new(struct ag__family *f, const char *const *values) {
    size_t marks = f->type == AG__GAUGE ? 0 : (size_t)f->bound_count + 1, text = 0;
    size_t n[AG__LABELS_MAX];
    for (int i = 0; i < f->label_count; i++)
        text += (n[i] = strnlen(values[i], AG__VALUE_MAX)) + 1;
    struct ag__series *s = calloc(1, sizeof *s + marks * sizeof *s->exemplars + text);
    int64_t *cells = s ? ag__cells_new(cells_of(f)) : NULL;
    if (!cells) {
        free(s);
        return NULL;
    }
    char *to = (char *)&s->exemplars[marks];
    for (int i = 0; i < f->label_count; i++) {
        memcpy(to, values[i], n[i]); /* calloc has put the 0 behind */
        s->values[i] = to;
        to += n[i] + 1;
    }
    s->cells.at = cells;
    s->cells.series = s;
    s->family = f;
    return s;
}

static void series_free(struct ag__series *s) {
    if (s)
        ag__cells_give_back(s->cells.at, cells_of(s->family));
    free(s);
}

/* The family's lock is held, or nobody knows the family. */
static void series_append(struct ag__family *f, struct ag__series *s) {
    /* Release: all of s. Partner: the acquire loads of who walks the list. */
    atomic_store_explicit(f->last ? &f->last->next : &f->first, s, memory_order_release);
    f->last = s;
}

/* --- Families. --- */

static char *copy_into(char **to, const char *text) {
    size_t n = strlen(text) + 1;
    char *at = memcpy(*to, text, n);
    *to += n;
    return at;
}

static bool make_table(struct ag__family *f) {
    uint32_t size = 4;
    while (size < 2 * ((uint32_t)f->child_max + 1))
        size *= 2;
    f->table = calloc(size, sizeof *f->table);
    f->table_mask = size - 1;
    return f->table != NULL;
}

static struct ag__family *family_new(const struct ag__metric *def, const double *bounds, int n) {
    int labels = 0;
    const char *help = def->help ? def->help : "";
    size_t text = strlen(def->name) + strlen(help) + 2;
    while (labels < AG__LABELS_MAX && def->labels[labels])
        text += strlen(def->labels[labels++]) + 1;
    struct ag__family *f = calloc(1, sizeof *f + text);
    if (!f)
        return NULL;
    char *to = (char *)(f + 1);
    f->name = copy_into(&to, def->name);
    f->help = copy_into(&to, help);
    for (int i = 0; i < labels; i++)
        f->labels[i] = copy_into(&to, def->labels[i]);
    f->type = def->type;
    f->label_count = labels;
    f->child_max = def->child_max;
    f->bound_count = n;
    memcpy(f->bounds, bounds, (size_t)n * sizeof *bounds);
    if (def->fn)
        return f;
    static const char *const overflow[AG__LABELS_MAX] = {"overflow", "overflow", "overflow",
                                                         "overflow", "overflow", "overflow"};
    struct ag__series *s = series_new(f, overflow);
    if (!s || (labels && !make_table(f))) {
        series_free(s);
        free(f);
        return NULL;
    }
    if (labels)
        f->overflow = s;
    else
        series_append(f, s);
    return f;
}

static bool is_same(const struct ag__family *f, const struct ag__metric *def, const double *bounds,
                    int n) {
    if (f->type != def->type || f->child_max != def->child_max || f->bound_count != n ||
        memcmp(f->bounds, bounds, (size_t)n * sizeof *bounds) != 0 ||
        (!f->first && !f->overflow) != (def->fn != NULL))
        return false;
    for (int i = 0; i < AG__LABELS_MAX; i++)
        if (!f->labels[i] != !def->labels[i] ||
            (f->labels[i] && strcmp(f->labels[i], def->labels[i]) != 0))
            return false;
    return true;
}

/* Puts f, or one that is there and waits for it, into the list; the other one's memory is lost to
 * nobody: it has no child yet. registry_lock held. */
static struct ag__family *enlist(struct ag__family *f, const struct ag__metric *def) {
    struct ag__family *_Atomic *at = &families, *known;
    for (; (known = atomic_load_explicit(at, AG__RLX)) != NULL; at = &known->next) {
        int order = strcmp(known->name, f->name);
        if (order > 0)
            break;
        if (order == 0 && atomic_load_explicit(&known->def, AG__RLX))
            return NULL;
        if (order == 0 && is_same(known, def, f->bounds, f->bound_count))
            return known;
    }
    atomic_store_explicit(&f->next, known, AG__RLX);
    atomic_store_explicit(at, f, memory_order_release);
    return f;
}

static void family_free(struct ag__family *f) {
    series_free(f->overflow);
    series_free(atomic_load_explicit(&f->first, AG__RLX));
    free(f->table);
    free(f);
}

void ag__metric_add(const struct ag__metric *def) {
    double bounds[AG__BOUNDS_MAX + 1] = {0};
    int labels = 0;
    while (labels < AG__LABELS_MAX && def->labels[labels])
        labels++;
    check_names(def, labels);
    AG__TSAN_LOOK_AWAY();
    struct ag__family *fresh = family_new(def, bounds, bounds_of(def, bounds));
    if (!fresh)
        refuse(def->name, "out of memory");
    ag__lock_acquire(&registry_lock);
    struct ag__family *f = enlist(fresh, def);
    if (f) {
        if (def->one)
            *def->one = atomic_load_explicit(&f->first, AG__RLX)->cells;
        if (def->family)
            *def->family = f;
        atomic_store(&f->def, def);
    }
    ag__lock_release(&registry_lock);
    if (!f)
        refuse(def->name, "defined twice");
    if (f != fresh)
        family_free(fresh);
    AG__TSAN_LOOK();
}

void ag__metric_remove(const struct ag__metric *def) {
    for (struct ag__family *f = ag__families(); f;
         f = atomic_load_explicit(&f->next, memory_order_acquire)) {
        const struct ag__metric *mine = def;
        if (atomic_compare_exchange_strong(&f->def, &mine, NULL))
            break;
    }
    if (def->fn)
        while (atomic_load(&asking))
            ag__os_yield();
}

bool ag__family_ask(struct ag__family *f, double *ret_value) {
    atomic_fetch_add(&asking, 1);
    const struct ag__metric *def = atomic_load(&f->def);
    if (def && def->fn) {
        AG__TSAN_LOOK();
        *ret_value = def->fn();
        AG__TSAN_LOOK_AWAY();
    }
    atomic_fetch_sub(&asking, 1);
    return def && def->fn;
}

/* --- Children. --- */

static uint64_t hash_of(int n, const char *const *values) {
    uint64_t h = 0xcbf29ce484222325u;
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < AG__VALUE_MAX && values[i][j]; j++)
            h = (h ^ (unsigned char)values[i][j]) * 0x100000001b3u;
        h = (h ^ 0xff) * 0x100000001b3u;
    }
    return h ^ h >> 29;
}

static bool has_values(const struct ag__series *s, int n, const char *const *values) {
    for (int i = 0; i < n; i++)
        if (strncmp(s->values[i], values[i], AG__VALUE_MAX) != 0)
            return false;
    return true;
}

/* Where it is, or where it would be. */
static struct ag__series *_Atomic *slot_of(struct ag__family *f, uint64_t hash,
                                           const char *const *values) {
    for (uint32_t i = (uint32_t)hash & f->table_mask;; i = (i + 1) & f->table_mask) {
        /* Acquire. Partner: the release store in child_new. */
        struct ag__series *s = atomic_load_explicit(&f->table[i], memory_order_acquire);
        if (!s || (s->hash == hash && has_values(s, f->label_count, values)))
            return &f->table[i];
    }
}

/* The overflow child is listed once it is needed. */
static struct ag__series *overflow_of(struct ag__family *f) {
    ag__lock_acquire(&f->lock);
    if (!f->has_overflown)
        series_append(f, f->overflow);
    f->has_overflown = true;
    ag__lock_release(&f->lock);
    return f->overflow;
}

static AG__COLD struct ag__series *child_new(struct ag__family *f, uint64_t hash,
                                             const char *const *values) {
    ag__lock_acquire(&f->lock);
    bool full = f->child_count >= f->child_max;
    ag__lock_release(&f->lock);
    struct ag__series *fresh = full ? NULL : series_new(f, values);
    if (!fresh)
        return overflow_of(f);
    fresh->hash = hash;
    ag__lock_acquire(&f->lock);
    struct ag__series *_Atomic *slot = slot_of(f, hash, values);
    struct ag__series *s = atomic_load_explicit(slot, AG__RLX);
    if (!s && f->child_count < f->child_max) {
        f->child_count++;
        series_append(f, fresh);
        atomic_store_explicit(slot, fresh, memory_order_release);
        s = fresh;
    }
    ag__lock_release(&f->lock);
    if (s != fresh)
        series_free(fresh);
    return s ? s : overflow_of(f);
}

static inline struct ag__cells *child_of(struct ag__family *f, void *pc, int n,
                                         const char *const given[AG__LABELS_MAX]) {
    const char *values[AG__LABELS_MAX];
    if (AG__UNLIKELY(n != f->label_count))
        ag__panic_text(pc, "inconsistent label cardinality");
    AG__TSAN_LOOK_AWAY();
    for (int i = 0; i < n; i++)
        values[i] = given[i] ? given[i] : "";
    uint64_t hash = hash_of(n, values);
    struct ag__series *s = atomic_load_explicit(slot_of(f, hash, values), memory_order_acquire);
    if (AG__UNLIKELY(!s))
        s = child_new(f, hash, values);
    AG__TSAN_LOOK();
    return &s->cells;
}

ag_counter *ag__counter_with(const ag_counter_vec *vec, int n, const char *a, const char *b,
                             const char *c, const char *d, const char *e, const char *f) {
    const char *const values[] = {a, b, c, d, e, f};
    return ag__container_of(child_of(vec->ag__family, __builtin_return_address(0), n, values),
                            ag_counter, ag__cells);
}

ag_gauge *ag__gauge_with(const ag_gauge_vec *vec, int n, const char *a, const char *b,
                         const char *c, const char *d, const char *e, const char *f) {
    const char *const values[] = {a, b, c, d, e, f};
    return ag__container_of(child_of(vec->ag__family, __builtin_return_address(0), n, values),
                            ag_gauge, ag__cells);
}

ag_histogram *ag__histogram_with(const ag_histogram_vec *vec, int n, const char *a, const char *b,
                                 const char *c, const char *d, const char *e, const char *f) {
    const char *const values[] = {a, b, c, d, e, f};
    return ag__container_of(child_of(vec->ag__family, __builtin_return_address(0), n, values),
                            ag_histogram, ag__cells);
}
