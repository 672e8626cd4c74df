/* SPDX-License-Identifier: MIT */
/*
 * stack.c - stacks: reserved in bulk, lazily committed, each with a guard page at its low end.
 *
 *     reservations of address space: 256 MiB, and as much again as there is, up to 1 TiB
 *     | span 64 MiB | span | span | ...                each span serves one slot size
 *       | slot | slot | slot | ...
 *         lo                                  hi
 *         [guard page][ grows down   <---  frames ]
 *
 * A span's pages become accessible and its guards are set when it is first needed, in pieces of
 * up to 64 slots, so that a small program pays for little. Slot sizes are powers of two from
 * 16 KiB; a goroutine gets the smallest that holds what it asked for. Slots of the default size
 * are cached by each P, warmest first, and in a central list beyond.
 *
 * Slots go to the central list and come from it in batches. One of each batch is looked at: if
 * it had grown beyond KEEP bytes its cold pages are given back, and what it used is kept as the
 * high-water mark of its size. Whose doing that was, marks.c tells.
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
#define RESERVE_FIRST ((size_t)256 << 20)
enum { CLASS_MIN_SHIFT = 14, CLASSES = AG__STACK_SIZES, GUARD_BATCH = 64, KEEP = 64 * 1024 };

struct class {
    ag__lock lock;
    char *free;             /* Guarded by lock: linked through `links`. */
    char *fresh, *end;      /* Guarded by lock: ready slots not yet used. */
    char *raw, *raw_end;    /* Guarded by lock: the span's part without guards. */
    _Atomic int64_t in_use; /* Written under lock; counts those in the Ps' caches, too. */
    _Atomic size_t high_water;
    _Atomic uint32_t turn;
};

static struct {
    ag__lock lock;
    char *next, *end; /* Guarded by lock: of the newest reservation. */
    size_t reserved;  /* Guarded by lock: of all. */
    int64_t mappings; /* Guarded by lock. */
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
    region.reserved += bytes;
    return NULL;
}

/* A span, or several for huge slots, for class c. Returns why not, or NULL. */
static const char *new_span(struct class *k, size_t slot) {
    size_t bytes = slot > SPAN_BYTES ? slot : SPAN_BYTES;
    const char *why = NULL;
    ag__lock_acquire(&region.lock);
    if ((size_t)(region.end - region.next) < bytes)
        why = reserve(bytes);
    if (!why) {
        k->raw = region.next;
        k->raw_end = region.next += bytes;
    }
    ag__lock_release(&region.lock);
    return why;
}

/* Makes some more slots of k ready. Returns why not, or NULL; then it may be tried again. k->lock
 * held. */
static const char *prepare(struct class *k, size_t slot) {
    const char *why = k->raw == k->raw_end ? new_span(k, slot) : NULL;
    if (why)
        return why;
    size_t left = (size_t)(k->raw_end - k->raw) / slot;
    size_t n = left < GUARD_BATCH ? left : GUARD_BATCH;
    if (ag__os_commit(k->raw, n * slot) != 0)
        return "memory can't be committed (vm.overcommit_memory, cgroup limit)";
    ag__lock_acquire(&region.lock);
    int r = ag__os_guard(k->raw, slot, n, &region.mappings);
    ag__lock_release(&region.lock);
    if (r != 0)
        return "its guard page needs a mapping; raise the sysctl vm.max_map_count";
    k->fresh = k->raw;
    k->end = k->raw += n * slot;
    return NULL;
}

static char **link_of(char *lo, size_t slot) {
    return (char **)(lo + slot) - 1;
}

static bool under_valgrind; /* Constant after the first world's start. */

/* Tells valgrind of a stack that was never used. */
static void announce(char *lo, size_t slot) {
    if (AG__UNLIKELY(under_valgrind)) {
        ag__vg_stack(lo, lo + slot);
        ag__vg_off_limits(lo, slot - sizeof(char *));
    }
}

/* Takes up to `want` slots, at least one. */
static uint32_t take_central(int c, char **ret_slots, uint32_t want) {
    struct class *k = &region.classes[c];
    size_t slot = class_bytes(c);
    uint32_t n = 0;
    ag__lock_acquire(&k->lock);
    for (; n < want && k->free; n++) {
        ret_slots[n] = k->free;
        k->free = *link_of(k->free, slot);
    }
    if (n == 0) {
        const char *why = k->fresh == k->end ? prepare(k, slot) : NULL;
        if (why)
            no_stack(why);
        announce(k->fresh, slot);
        ret_slots[n++] = k->fresh;
        k->fresh += slot;
    }
    atomic_store_explicit(&k->in_use, k->in_use + n, AG__RLX);
    ag__lock_release(&k->lock);
    return n;
}

/* Asks the system how much of the slot is backed, notes it, and gives cold pages back. */
static void trim(struct class *k, char *lo, size_t slot) {
    size_t page = ag__os_page();
    size_t used = ag__os_resident_top(lo + page, slot - page);
    size_t high = atomic_load_explicit(&k->high_water, AG__RLX);
    if (used > high)
        atomic_store_explicit(&k->high_water, used, AG__RLX);
    if (used > KEEP)
        ag__os_discard(lo + page, slot - page - KEEP);
}

static void give_central(int c, char *const *slots, uint32_t n) {
    struct class *k = &region.classes[c];
    size_t slot = class_bytes(c);
    /* One of a batch is looked at; over time each slot is. */
    if (slot > KEEP && n > 0)
        trim(k, slots[atomic_fetch_add_explicit(&k->turn, 1, AG__RLX) % n], slot);
    ag__lock_acquire(&k->lock);
    for (uint32_t i = 0; i < n; i++) {
        *link_of(slots[i], slot) = k->free;
        k->free = slots[i];
    }
    atomic_store_explicit(&k->in_use, k->in_use - n, AG__RLX);
    ag__lock_release(&k->lock);
}

static int default_class; /* Constant while a world runs. */

/* Tells ASan and valgrind whether the slot belongs to a goroutine. The link at its top is ours. */
static inline void mark_used(char *lo, int c, bool used) {
#if AG__ASAN
    char *low = lo + ag__os_page(), *high = (char *)link_of(lo, class_bytes(c));
    if (used)
        __asan_unpoison_memory_region(low, (size_t)(high - low));
    else
        __asan_poison_memory_region(low, (size_t)(high - low));
#else
    if (AG__UNLIKELY(under_valgrind)) {
        char *low = lo + ag__os_page(), *hi = lo + class_bytes(c);
        if (used) /* the rest becomes valid as the stack grows */
            ag__vg_new_memory(hi - ag__os_page(), ag__os_page());
        else
            ag__vg_off_limits(low, (size_t)((char *)link_of(lo, class_bytes(c)) - low));
    }
#endif
}

int ag__stack_init(void) {
    default_class = class_of(ag__s.stack_size);
    under_valgrind = ag__vg_here();
    struct class *k = &region.classes[default_class];
    ag__lock_acquire(&k->lock);
    const char *why = k->free || k->fresh != k->end ? NULL : prepare(k, class_bytes(default_class));
    ag__lock_release(&k->lock);
    return why ? -ENOMEM : 0;
}

/* Stacks lie a power of two apart, so their tops would all compete for the same few places of the
 * caches: neighbours begin a few lines deeper, within the same page. */
static inline size_t colour(const char *lo, int c) {
    return ((uintptr_t)lo / class_bytes(c)) % 16 * 128;
}

void ag__stack_bind(ag__m *m, ag__g *g) {
    ag__p *p = m->p;
    bool custom = g->flags & AG__GF_CUSTOM;
    int c = custom ? class_of(g->stack_size) : default_class;
    char *lo;
    if (!custom && p) {
        if (AG__UNLIKELY(p->stack_count == 0))
            p->stack_count = take_central(c, p->stacks, AG__STACK_CACHE / 2);
        lo = p->stacks[--p->stack_count];
    } else {
        take_central(c, &lo, 1);
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
        give_central(c, p->stacks, AG__STACK_CACHE / 2);
        p->stack_count = AG__STACK_CACHE / 2;
        memmove(p->stacks, p->stacks + AG__STACK_CACHE / 2, p->stack_count * sizeof *p->stacks);
    }
    p->stacks[p->stack_count++] = lo;
}

void ag__stack_p_drop(ag__p *p) {
    give_central(default_class, p->stacks, p->stack_count);
    p->stack_count = 0;
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

static size_t put(char *text, size_t size, size_t at, const char *more) {
    while (*more && at + 1 < size)
        text[at++] = *more++;
    return at;
}

static size_t put_number(char *text, size_t size, size_t at, int64_t n) {
    char digits[24];
    int i = (int)sizeof digits;
    digits[--i] = 0;
    do
        digits[--i] = (char)('0' + n % 10);
    while ((n /= 10) > 0);
    return put(text, size, at, digits + i);
}

/* Runs on the alternate stack. A fault between a little below the guard and it is an overflow:
 * a large frame may step over the guard page into the slot's low neighbourhood. */
static bool on_fault(int sig, void *addr, void *context) {
    (void)sig;
    (void)context;
    ag__m *m = ag__m_now();
    ag__g *g = m->g;
    if (!g || (g->flags & AG__GF_FOREIGN) || !g->stack_lo)
        return false;
    char *at = addr;
    if (at < g->stack_lo - ag__os_page() || at >= g->stack_lo + ag__os_page())
        return false;
    char text[1024];
    size_t n = 0;
    n = put(text, sizeof text, n, "aglet: goroutine stack exceeds ");
    n = put_number(text, sizeof text, n, g->stack_hi - g->stack_lo);
    n = put(text, sizeof text, n, "-byte limit\nfatal error: stack overflow\n\ngoroutine ");
    n = put_number(text, sizeof text, n, g->id);
    if (g->name) {
        n = put(text, sizeof text, n, " \"");
        n = put(text, sizeof text, n, g->name);
        n = put(text, sizeof text, n, "\"");
    }
    n = put(text, sizeof text, n, " [running]:\n");
    if (g->site) {
        n = put(text, sizeof text, n, g->site->call);
        n = put(text, sizeof text, n, "\ncreated by ");
        n = put(text, sizeof text, n, g->site->func);
        n = put(text, sizeof text, n, " in goroutine ");
        n = put_number(text, sizeof text, n, g->creator);
        n = put(text, sizeof text, n, " at ");
        n = put(text, sizeof text, n, g->site->file);
        n = put(text, sizeof text, n, ":");
        n = put_number(text, sizeof text, n, g->site->line);
        n = put(text, sizeof text, n, "\n");
    }
    n = put(text, sizeof text, n,
            "Give it a larger stack: ag_go_with(&(ag_go_opts){ .stack_size = ... }, ...), "
            "ag_config.stack_size or AGLET_STACK_SIZE.\n");
    ag__os_write_err(text, n);
    ag__os_exit_now(2);
}

void ag__stack_overflow_install(void) {
    ag__os_fault_install(on_fault);
}
