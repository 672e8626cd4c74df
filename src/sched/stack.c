/* SPDX-License-Identifier: MIT */
/*
 * stack.c - stacks: reserved in bulk, lazily committed, each with a guard page at its low end.
 *
 *     reservations of address space: 256 MiB, and as much again as there is, up to 1 TiB
 *     | span of 64 MiB or more | span | span | ...     each span serves one slot size
 *       | slot | slot | slot | ...
 *         lo                                  hi
 *         [guard page][ grows down   <---  frames ]
 *
 * Spans, and the pieces of them that become accessible, grow with what there is already: a small
 * program pays for little, and one with a million stacks changes mappings, which stops the page
 * faults of all threads, only now and then. Guards are set when a P takes fresh slots, behind the
 * lock, together with the first page if many are taken: a page in a batch costs less than its
 * fault, and they will all be used.
 *
 * Slot sizes are powers of two from 16 KiB; a goroutine gets the smallest that holds what it
 * asked for. Slots of the default size are cached by each P, warmest first, and in a central list
 * beyond.
 *
 * Slots go to the central list and come from it in batches. One of each batch is looked at: what
 * it used is kept as the high-water mark of its size, and if that is more than KEEP bytes its cold
 * pages are given back, and the next of the batch is looked at, too. Over time each slot is. Whose
 * doing the depth was, marks.c tells.
 *
 * Refused: the whole TiB at once (emulators, and tools that walk address spaces, keep a record of
 * each page of it; a limit on address space refuses it); one mapping per stack (65,530 of them is
 * the system's limit); MAP_GROWSDOWN; malloc.
 */
#include "sched/inner.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SPAN_BYTES ((size_t)64 << 20)
#define SPAN_MAX ((size_t)1 << 30)
#define RESERVE_FIRST ((size_t)256 << 20)
enum { CLASS_MIN_SHIFT = 14, CLASSES = AG__STACK_SIZES, KEEP = 64 * 1024 };
enum { RESERVATIONS = 64 }; /* each is as large as all before */
enum { BATCH = AG__STACK_CACHE / 2, COMMIT_MIN = 64, POPULATE_MIN = 16 };

struct class {
    ag__lock lock;
    struct batch *free; /* Guarded by lock. */
    /* Guarded by lock: the span's slots that were never used; they are accessible up to
     * `committed`, and have no guards. */
    char *fresh, *committed, *end;
    size_t made;            /* Guarded by lock: slots ever used. */
    _Atomic int64_t in_use; /* Written under lock; counts those in the Ps' caches, too. */
    _Atomic size_t high_water;
    _Atomic uint32_t turn;
};

static struct {
    ag__lock lock;
    char *next, *end; /* Guarded by lock: of the newest reservation. */
    size_t reserved;  /* Guarded by lock: of all. */
    struct {
        char *lo, *hi;
    } all[RESERVATIONS];
    _Atomic int count; /* of those; written under lock */
    int64_t mappings;  /* Guarded by lock. */
    struct class classes[CLASSES];
} region;

static int class_of(size_t bytes) {
    int c = 0;
    while (((size_t)1 << (CLASS_MIN_SHIFT + c)) < bytes)
        c++;
    return c;
}

static size_t class_bytes(int c) {
    return (size_t)1 << (CLASS_MIN_SHIFT + c);
}

static AG__COLD __attribute__((noreturn)) void no_stack(const char *why) {
    static char text[256];
    snprintf(text, sizeof text, "aglet: no memory for another goroutine stack: %s", why);
    ag__throw(text);
}

/* Reserves as much again as there is, at least `need`; less if the limits are near. A rest of the
 * reservation before is too small for `need` and stays unused. region.lock held. Returns why not,
 * or NULL. */
static const char *reserve(size_t need) {
    size_t limit = (size_t)ag__os_env("AGLET_STACK_SPACE", (int64_t)1 << 40);
    if (limit < region.reserved + need)
        return "the stack region is used up (AGLET_STACK_SPACE sets its bytes)";
    size_t bytes = region.reserved > RESERVE_FIRST ? region.reserved : RESERVE_FIRST;
    if (bytes > limit - region.reserved)
        bytes = limit - region.reserved;
    if (bytes < need)
        bytes = need;
    char *base;
    while (!(base = ag__os_reserve(bytes))) {
        if (bytes == need)
            return "address space is limited (ulimit -v)";
        bytes = bytes / 2 > need ? bytes / 2 : need;
    }
    region.next = base;
    region.end = base + bytes;
    int n = atomic_load_explicit(&region.count, AG__RLX);
    if (n < RESERVATIONS) {
        region.all[n].lo = base;
        region.all[n].hi = base + bytes;
        atomic_store_explicit(&region.count, n + 1, memory_order_release);
    }
    region.reserved += bytes;
    return NULL;
}

/* A span, or several for huge slots, for class k. Spans grow with what the class has already.
 * Returns why not, or NULL. k->lock held. */
static const char *new_span(struct class *k, size_t slot) {
    size_t least = slot > SPAN_BYTES ? slot : SPAN_BYTES, bytes = least;
    while (bytes < SPAN_MAX && bytes < k->made * slot)
        bytes *= 2;
    const char *why = NULL;
    ag__lock_acquire(&region.lock);
    if ((size_t)(region.end - region.next) < bytes && (why = reserve(bytes)) != NULL &&
        bytes > least) {
        bytes = least;
        why = (size_t)(region.end - region.next) < bytes ? reserve(bytes) : NULL;
    }
    if (!why) {
        k->fresh = k->committed = region.next;
        k->end = region.next += bytes;
    }
    ag__lock_release(&region.lock);
    return why;
}

/* Makes some more of the span accessible: as much as the class has already, so that calls that
 * change mappings are rare. Returns why not, or NULL. k->lock held. */
static const char *commit(struct class *k, size_t slot) {
    size_t left = (size_t)(k->end - k->committed) / slot;
    size_t n = k->made > COMMIT_MIN ? k->made : COMMIT_MIN;
    if (n > left)
        n = left;
    while (ag__os_commit(k->committed, n * slot) != 0) {
        if (n == 1)
            return "memory can't be committed (vm.overcommit_memory, cgroup limit)";
        n /= 2;
    }
    k->committed += n * slot;
    return NULL;
}

/* Slots that were never used, without guards yet: up to `want`, and few as long as the program has
 * few. Returns why not, or NULL; then it may be tried again. k->lock held. */
static const char *carve(struct class *k, size_t slot, uint32_t want, char **ret_lo,
                         uint32_t *ret_n) {
    const char *why = k->fresh == k->end ? new_span(k, slot) : NULL;
    if (!why && k->fresh == k->committed)
        why = commit(k, slot);
    if (why)
        return why;
    size_t left = (size_t)(k->committed - k->fresh) / slot, n = k->made / 4 + 1;
    n = n < want ? n : want;
    n = n < left ? n : left;
    *ret_lo = k->fresh;
    *ret_n = (uint32_t)n;
    k->fresh += n * slot;
    k->made += n;
    return NULL;
}

/* Free slots, noted at the top of the first of them. Who takes them reads this alone: most have
 * left the caches, and a list from each to the next would cost a miss each. */
struct batch {
    struct batch *next;
    uint32_t count;
    char *slots[BATCH];
};

static struct batch *batch_at(char *lo, size_t slot) {
    return (struct batch *)(lo + slot) - 1;
}

static bool under_valgrind; /* Constant after the first world's start. */

/* Tells the sanitizers of a stack that was never used. To LSan it holds references; those in one
 * that is poisoned don't count, and the guard page must not be read. */
static void announce(char *lo, size_t slot) {
#if AG__ASAN
    __lsan_register_root_region(lo + ag__os_page(), slot - ag__os_page());
#endif
    if (AG__UNLIKELY(under_valgrind)) {
        ag__vg_stack(lo, lo + slot);
        ag__vg_off_limits(lo, slot - sizeof(struct batch));
    }
}

/* Sets the guards of n fresh slots, which are the caller's already: no lock is held but for the
 * count of mappings, where guards need them. Returns why not, or NULL. */
static const char *make_ready(char *lo, size_t slot, uint32_t n) {
    bool counted = !ag__os_guard_is_free();
    if (counted)
        ag__lock_acquire(&region.lock);
    int r = ag__os_guard(lo, slot, n, &region.mappings);
    if (counted)
        ag__lock_release(&region.lock);
    if (r != 0)
        return "its guard page needs a mapping; raise the sysctl vm.max_map_count";
    /* A program that needs that many will use all of them: one call instead of n faults. */
    if (n >= POPULATE_MIN)
        ag__os_populate(lo + slot - ag__os_page(), slot, n);
    for (uint32_t i = 0; i < n; i++)
        announce(lo + i * slot, slot);
    return NULL;
}

/* Fresh slots whose guards were refused: the next one tries again, if nobody came between. */
static void put_back(struct class *k, size_t slot, char *lo, uint32_t n) {
    ag__lock_acquire(&k->lock);
    if (k->fresh == lo + n * slot) {
        k->fresh = lo;
        k->made -= n;
    }
    atomic_store_explicit(&k->in_use, k->in_use - n, AG__RLX);
    ag__lock_release(&k->lock);
}

/* Takes up to `want` slots, at least one. Returns why not, or NULL. */
static const char *take_central(int c, uint32_t want, char **ret_slots, uint32_t *ret_n) {
    struct class *k = &region.classes[c];
    size_t slot = class_bytes(c);
    uint32_t n = 0, fresh = 0;
    char *lo = NULL;
    const char *why = NULL;
    ag__lock_acquire(&k->lock);
    struct batch *b = k->free;
    if (b) {
        while (n < want && b->count > 1)
            ret_slots[n++] = b->slots[--b->count];
        if (n < want) {
            ret_slots[n++] = b->slots[0];
            k->free = b->next;
        }
    } else {
        why = carve(k, slot, want, &lo, &fresh);
    }
    atomic_store_explicit(&k->in_use, k->in_use + n + fresh, AG__RLX);
    ag__lock_release(&k->lock);
    if (fresh > 0 && (why = make_ready(lo, slot, fresh)) != NULL)
        put_back(k, slot, lo, fresh);
    if (why)
        return why;
    for (uint32_t i = 0; i < fresh; i++)
        ret_slots[n++] = lo + (fresh - 1 - i) * slot;
    *ret_n = n;
    return NULL;
}

/* Asks the system how much of the slot is backed, notes it, and gives cold pages back. True when
 * there were some. */
static bool trim(struct class *k, char *lo, size_t slot) {
    size_t page = ag__os_page();
    size_t used = ag__os_resident_top(lo + page, slot - page);
    size_t high = atomic_load_explicit(&k->high_water, AG__RLX);
    if (used > high)
        atomic_store_explicit(&k->high_water, used, AG__RLX);
    if (used > KEEP)
        ag__os_discard(lo + page, slot - page - KEEP);
    return used > KEEP;
}

/* 0 < n <= BATCH. */
static void give_central(int c, char *const *slots, uint32_t n) {
    struct class *k = &region.classes[c];
    size_t slot = class_bytes(c);
    if (slot > KEEP) {
        uint32_t at = atomic_fetch_add_explicit(&k->turn, 1, AG__RLX);
        for (uint32_t i = 0; i < n && trim(k, slots[(at + i) % n], slot); i++)
            continue;
    }
    struct batch *b = batch_at(slots[0], slot);
    b->count = n;
    memcpy(b->slots, slots, n * sizeof *slots);
    ag__lock_acquire(&k->lock);
    b->next = k->free;
    k->free = b;
    atomic_store_explicit(&k->in_use, k->in_use - n, AG__RLX);
    ag__lock_release(&k->lock);
}

static int default_class; /* Constant while a world runs. */

/* Tells ASan and valgrind whether the slot belongs to a goroutine. A batch at its top is ours. */
static inline void mark_used(char *lo, int c, bool used) {
    (void)lo;
    (void)c;
    (void)used;
#if AG__ASAN
    char *low = lo + ag__os_page(), *high = (char *)batch_at(lo, class_bytes(c));
    __asan_unpoison_memory_region(low, class_bytes(c) - ag__os_page());
    if (!used)
        __asan_poison_memory_region(low, (size_t)(high - low));
#else
    if (AG__UNLIKELY(under_valgrind)) {
        char *low = lo + ag__os_page(), *hi = lo + class_bytes(c);
        if (used) /* the rest becomes valid as the stack grows */
            ag__vg_new_memory(hi - ag__os_page(), ag__os_page());
        else
            ag__vg_off_limits(low, (size_t)((char *)batch_at(lo, class_bytes(c)) - low));
    }
#endif
}

int ag__stack_init(void) {
    default_class = class_of(ag__s.stack_size);
    under_valgrind = ag__vg_here();
    char *lo;
    uint32_t n;
    if (take_central(default_class, 1, &lo, &n) != NULL)
        return -ENOMEM;
    mark_used(lo, default_class, false);
    give_central(default_class, &lo, 1);
    return 0;
}

/* Stacks lie a power of two apart, so their tops would all compete for the same few places of the
 * caches: neighbours begin a few lines deeper, within the same page. */
static inline size_t colour(const char *lo, int c) {
    return ((uintptr_t)lo / class_bytes(c)) % 16 * 128;
}

static AG__COLD void refill(ag__p *p) {
    const char *why = take_central(default_class, BATCH, p->stacks, &p->stack_count);
    if (why)
        no_stack(why);
    /* First frames will lie there soon; asked for together the misses overlap. */
    for (uint32_t i = 0; i < p->stack_count; i++) {
        char *top = p->stacks[i] + class_bytes(default_class) - colour(p->stacks[i], default_class);
        for (int line = 1; line <= 4; line++)
            __builtin_prefetch(top - line * AG__CACHE_LINE, 1);
    }
}

void ag__stack_bind(ag__m *m, ag__g *g) {
    ag__p *p = m->p;
    bool custom = g->flags & AG__GF_CUSTOM;
    int c = custom ? class_of(g->stack_size) : default_class;
    char *lo;
    if (!custom && p) {
        if (AG__UNLIKELY(p->stack_count == 0))
            refill(p);
        lo = p->stacks[--p->stack_count];
    } else {
        uint32_t n;
        const char *why = take_central(c, 1, &lo, &n);
        if (why)
            no_stack(why);
    }
    g->stack_lo = lo;
    g->stack_hi = lo + class_bytes(c);
    mark_used(lo, c, true);
    ag__tsan_new_stack(g);
    if (AG__UNLIKELY((p && p->watch_in-- == 0) || ag__mark_is_new(g->site)))
        ag__mark_begin(m, g);
    g->sp = ag__switch_prepare(g->stack_hi - colour(lo, c), ag__goroutine_entry);
}

void ag__stack_release(ag__m *m, ag__g *g) {
    ag__p *p = m->p;
    char *lo = g->stack_lo;
    if (!lo)
        return;
    if (AG__UNLIKELY(g->flags & AG__GF_WATCHED))
        ag__mark_look(g);
    int c = class_of((size_t)(g->stack_hi - lo));
    g->stack_lo = g->stack_hi = NULL;
    g->sp = NULL;
    mark_used(lo, c, false);
    if (c != default_class || !p) {
        give_central(c, &lo, 1);
        return;
    }
    if (AG__UNLIKELY(p->stack_count == AG__STACK_CACHE)) {
        /* The coldest half goes. */
        give_central(c, p->stacks, BATCH);
        p->stack_count = AG__STACK_CACHE - BATCH;
        memmove(p->stacks, p->stacks + BATCH, p->stack_count * sizeof *p->stacks);
    }
    p->stacks[p->stack_count++] = lo;
}

void ag__stack_p_drop(ag__p *p) {
    while (p->stack_count > 0) {
        uint32_t n = p->stack_count < BATCH ? p->stack_count : BATCH;
        p->stack_count -= n;
        give_central(default_class, p->stacks + p->stack_count, n);
    }
}

int ag__stack_sizes(ag__stack_size_info ret_sizes[AG__STACK_SIZES]) {
    int n = 0;
    for (int c = 0; c < CLASSES; c++) {
        struct class *k = &region.classes[c];
        if (atomic_load_explicit(&k->in_use, AG__RLX) == 0 && !k->end)
            continue;
        ret_sizes[n].bytes = class_bytes(c);
        ret_sizes[n].in_use = atomic_load_explicit(&k->in_use, AG__RLX);
        ret_sizes[n++].high_water = atomic_load_explicit(&k->high_water, AG__RLX);
    }
    return n;
}

void ag__stack_stats(int64_t *ret_count, int64_t *ret_bytes) {
    *ret_count = *ret_bytes = 0;
    for (int c = 0; c < CLASSES; c++) {
        int64_t n = atomic_load_explicit(&region.classes[c].in_use, AG__RLX);
        *ret_count += n;
        *ret_bytes += n * (int64_t)class_bytes(c);
    }
}

/* --- Overflow. --- */

/* A fault between a little below the guard and it is an overflow: a large frame may step over the
 * guard page into the slot's low neighbourhood. */
static void on_fault(const ag__os_fault *f) {
    ag__g *g = ag__m_now()->g;
    bool has_stack = g && !(g->flags & AG__GF_FOREIGN) && g->stack_lo;
    const char *at = f->addr;
    bool overflow = has_stack && f->is_memory && at >= g->stack_lo - ag__os_page() &&
                    at < g->stack_lo + ag__os_page();
    ag__hooks.crash(f, overflow);
}

void ag__stack_overflow_install(void) {
    ag__os_fault_install(on_fault);
}

bool ag__stack_region(int i, uintptr_t *ret_lo, uintptr_t *ret_hi) {
    if (i >= atomic_load_explicit(&region.count, memory_order_acquire))
        return false;
    *ret_lo = (uintptr_t)region.all[i].lo;
    *ret_hi = (uintptr_t)region.all[i].hi;
    return true;
}
