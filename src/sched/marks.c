/* SPDX-License-Identifier: MIT */
/*
 * marks.c - how deep the stacks of goroutines go, by the place that creates them.
 *
 * A stack outlives many goroutines and shows only how far the deepest of them came. So some are
 * watched: a watched goroutine begins on a stack that is clean but for its highest page, hands it
 * on to nobody, and is measured when it ends and by every dump while it lives. What is backed by
 * memory then is its own doing. Watched are
 *
 *     the first of each creation site that runs: one that is new here inherits no stack
 *     then one of about WATCH_EVERY that begin on a stack of the caches, by each P's own count
 *
 * and since an unbroken row of inheritances is at most 64 long, each site has its turn. Dumps add
 * the depth at which parked ones, watched or not, are suspended.
 *
 * Entries stay for the life of the process. The place is copied, since a site may be in a library
 * that is unloaded.
 */
#include "sched/inner.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS = 1024, MARKS_MAX = SLOTS / 2, WATCH_EVERY = 64 };

struct mark {
    char *place;         /* Constant. */
    _Atomic size_t used; /* The deepest seen, in whole pages or bytes of a parked one's. */
    _Atomic size_t size; /* of the stack on which that was */
    _Atomic int64_t watched;
};

static ag__lock lock;
/* Written under lock, the site last; entries never change. */
static struct {
    const struct ag__site *_Atomic site;
    struct mark *mark;
} slots[SLOTS];
static struct mark marks[MARKS_MAX]; /* in the order of their first goroutines */
static _Atomic int marks_count;      /* Written under lock. */

static size_t slot_of(const struct ag__site *site) {
    uint64_t hash = (uint64_t)(uintptr_t)site * 0x9E3779B97F4A7C15ull;
    return (size_t)(hash >> 54);
}

static struct mark *find(const struct ag__site *site, size_t *ret_slot) {
    size_t i = slot_of(site);
    for (;; i = (i + 1) % SLOTS) {
        /* Acquire: the mark is filled in. Partner: the release store in add. */
        const struct ag__site *there = atomic_load_explicit(&slots[i].site, memory_order_acquire);
        *ret_slot = i;
        if (!there || there == site)
            return there ? slots[i].mark : NULL;
    }
}

bool ag__mark_is_new(const struct ag__site *site) {
    size_t slot;
    return !find(site, &slot) && atomic_load_explicit(&marks_count, AG__RLX) < MARKS_MAX;
}

/* A dump waits for nobody, and a mark can be made another time. */
static bool lock_soon(void) {
    enum { TRIES = 1000 };
    for (int i = 0; i < TRIES; i++) {
        if (ag__lock_try(&lock))
            return true;
        ag__os_yield();
    }
    return false;
}

/* The mark of a site; NULL when there are too many or no memory. */
static struct mark *mark_of(const struct ag__site *site) {
    size_t slot;
    struct mark *mark = find(site, &slot);
    if (AG__LIKELY(mark != NULL) || atomic_load_explicit(&marks_count, AG__RLX) == MARKS_MAX)
        return mark;
    size_t room = strlen(site->call) + strlen(site->func) + strlen(site->file) + 48;
    char *place = malloc(room);
    if (!place)
        return NULL;
    snprintf(place, room, "%s, created by %s at %s:%d", site->call, site->func, site->file,
             site->line);
    if (!lock_soon()) {
        free(place);
        return NULL;
    }
    int n = atomic_load_explicit(&marks_count, AG__RLX);
    mark = find(site, &slot);
    if (!mark && n < MARKS_MAX) {
        mark = &marks[n];
        mark->place = place;
        place = NULL;
        slots[slot].mark = mark;
        /* Release. Partners: the acquire loads in find and ag__marks_each. */
        atomic_store_explicit(&slots[slot].site, site, memory_order_release);
        atomic_store_explicit(&marks_count, n + 1, memory_order_release);
    }
    ag__lock_release(&lock);
    free(place);
    return mark;
}

void ag__mark_depth(const struct ag__site *site, size_t used, size_t size) {
    struct mark *mark = site ? mark_of(site) : NULL;
    if (!mark)
        return;
    size_t seen = atomic_load_explicit(&mark->used, AG__RLX);
    while (used > seen)
        if (atomic_compare_exchange_weak_explicit(&mark->used, &seen, used, AG__RLX, AG__RLX))
            atomic_store_explicit(&mark->size, size, AG__RLX);
}

static size_t depth_of(const char *lo, const char *hi) {
    size_t page = ag__os_page();
    return ag__os_resident_top(lo + page, (size_t)(hi - lo) - page);
}

void ag__mark_begin(ag__m *m, ag__g *g) {
    ag__p *p = m->p;
    if (p) /* by chance: no rhythm of the program's falls in step */
        p->watch_in = ag__random_below(&p->random, 2 * WATCH_EVERY);
    struct mark *mark = g->site ? mark_of(g->site) : NULL;
    if (!mark)
        return;
    size_t page = ag__os_page();
    if (depth_of(g->stack_lo, g->stack_hi) > page)
        ag__os_discard(g->stack_lo + page, (size_t)(g->stack_hi - g->stack_lo) - 2 * page);
    atomic_fetch_add_explicit(&mark->watched, 1, AG__RLX);
    __atomic_store_n(&g->flags, g->flags | AG__GF_WATCHED, __ATOMIC_RELAXED);
}

void ag__mark_look(ag__g *g) {
    const struct ag__site *site = g->site;
    int64_t id = g->id;
    const char *lo = __atomic_load_n(&g->stack_lo, __ATOMIC_ACQUIRE);
    const char *hi = __atomic_load_n(&g->stack_hi, __ATOMIC_RELAXED);
    if (!(__atomic_load_n(&g->flags, __ATOMIC_RELAXED) & AG__GF_WATCHED) || !lo || hi <= lo)
        return;
    size_t used = depth_of(lo, hi);
    atomic_thread_fence(memory_order_acquire);
    /* It may have ended meanwhile, and its stack be another's. */
    if (__atomic_load_n(&g->stack_lo, __ATOMIC_RELAXED) == lo &&
        __atomic_load_n(&g->id, __ATOMIC_RELAXED) == id)
        ag__mark_depth(site, used, (size_t)(hi - lo));
}

void ag__marks_each(void (*visit)(const ag__mark_info *, void *), void *arg) {
    /* Acquire. Partner: the release store in mark_of. */
    int n = atomic_load_explicit(&marks_count, memory_order_acquire);
    for (int i = 0; i < n; i++) {
        ag__mark_info info = {
            .place = marks[i].place,
            .used = atomic_load_explicit(&marks[i].used, AG__RLX),
            .size = atomic_load_explicit(&marks[i].size, AG__RLX),
            .watched = atomic_load_explicit(&marks[i].watched, AG__RLX),
        };
        visit(&info, arg);
    }
}

bool ag__marks_are_full(void) {
    return atomic_load_explicit(&marks_count, AG__RLX) == MARKS_MAX;
}
