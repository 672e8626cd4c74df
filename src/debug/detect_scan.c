/* SPDX-License-Identifier: MIT */
/*
 * detect_scan.c - AGLET_SCAN=heap: is there anybody who could still reach this channel?
 *
 * A goroutine that waits for channels is *alone* if their addresses are nowhere but with goroutines
 * that are stuck themselves. So memory is searched for words that point into one of them: first all
 * that may have been written, but for stacks and records of goroutines; then the stacks, from the
 * saved stack pointer up, and the records of those that may go on. Whom that finds may go on, and
 * its stack is searched, too, until nobody more is found. It is what a collector does, with two
 * differences. All memory counts, whether anything leads there or not: what was freed and not
 * overwritten, or is held by stuck goroutines only, hides a leak, and never makes one up. And every
 * word counts that points to any byte of a channel.
 *
 * An address must be stored as such, at an aligned place. Registers are not seen. So it counts only
 * if all threads of the world were asleep in the runtime, there is no other thread, and nothing ran
 * until the end of the search; the caller of ag_leaks has its registers in its frame. A program
 * that is never quiet is never searched.
 *
 * What the runtime itself knows must not be found: the flight recorder's events and the detector's
 * stack and buffers are left out, and what it frees is wiped. On the stacks of threads that run
 * goroutines there are only frames of the runtime, up to where their thread-locals begin.
 *
 * Refused: signals that have threads show their registers (system calls would return EINTR);
 * wrapped allocators that know where blocks begin (the program's allocator is its own).
 */
#include "ctx/ctx.h"
#include "debug/detect.h"
#include "lang/lang.h"
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 64 * 1024, PAGE = 4096, CHANNELS = 16, SKIPS = 256, STACKS = 256 };

/* The bytes of a channel that a node waits for. */
struct target {
    uintptr_t lo, hi;
    int node;
};

struct range {
    uintptr_t lo, hi;
};

struct scan {
    ag__look *l;
    struct target *targets; /* by address; one channel may be several nodes' */
    int count, size;
    int left; /* nodes that were not reached */
    struct range skips[SKIPS];
    int skip_count;
    uintptr_t stacks[STACKS]; /* of threads: what is below in the mapping is left out */
    int stack_count;
    uintptr_t *buffer; /* CHUNK bytes */
};

bool ag__scan_is_on(void) {
#if AG__ASAN || AG__TSAN
    return false; /* their shadow is memory, too */
#else
    static _Atomic int on; /* 0: not asked yet, 1: off, 2: on */
    int is = atomic_load_explicit(&on, AG__RLX);
    if (!is) {
        const char *value = getenv("AGLET_SCAN");
        is = value && strcmp(value, "heap") == 0 ? 2 : 1;
        atomic_store_explicit(&on, is, AG__RLX);
    }
    return is == 2;
#endif
}

void ag__scan_free(void *memory, size_t bytes) {
    if (memory)
        memset(memory, 0, bytes);
    AG__COMPILER_BARRIER(); /* it is read by who looks at freed memory */
    __asm__ volatile("" : : "r"(memory) : "memory");
    free(memory);
}

void ag__scan_sort(void *records, size_t count, size_t size) {
    const size_t words = size / sizeof(uintptr_t);
    uintptr_t *all = records, one[4];
    for (size_t gap = count / 2; gap > 0; gap = gap == 2 ? 1 : gap * 5 / 11)
        for (size_t i = gap; i < count; i++) {
            size_t at = i;
            memcpy(one, &all[i * words], size);
            for (; at >= gap && all[(at - gap) * words] > one[0]; at -= gap)
                memcpy(&all[at * words], &all[(at - gap) * words], size);
            memcpy(&all[at * words], one, size);
        }
}

/* --- The targets. --- */

static int channels_of(const ag__node *n, const void **ret) {
    if (n->cancellable || n->g == ag__sched.main_g || n->alone || n->goes_on)
        return 0;
    if (n->reason == AG__WAIT_CHAN_SEND || n->reason == AG__WAIT_CHAN_RECV) {
        ret[0] = n->object;
        return 1;
    }
    size_t count =
        n->reason == AG__WAIT_SELECT ? ag__select_channels(n->g, ret, CHANNELS) : CHANNELS + 1;
    return count <= CHANNELS ? (int)count : 0;
}

static bool add_target(struct scan *s, const void *chan, int node) {
    size_t bytes = ag__chan_bytes(chan);
    if (!bytes)
        return false;
    if (s->count == s->size) {
        int size = s->size ? 2 * s->size : 64;
        struct target *targets = malloc((size_t)size * sizeof *targets);
        if (!targets)
            return false;
        if (s->count)
            memcpy(targets, s->targets, (size_t)s->count * sizeof *targets);
        ag__scan_free(s->targets, (size_t)s->size * sizeof *targets);
        s->targets = targets;
        s->size = size;
    }
    s->targets[s->count++] = (struct target){(uintptr_t)chan, (uintptr_t)chan + bytes, node};
    return true;
}

static void find_targets(struct scan *s) {
    for (int i = 0; i < s->l->count; i++) {
        ag__node *n = &s->l->nodes[i];
        const void *channels[CHANNELS];
        int count = channels_of(n, channels), before = s->count;
        for (int k = 0; k < count; k++)
            if (!add_target(s, channels[k], i)) {
                count = 0;
                s->count = before;
            }
        n->alone = n->alone || count > 0;
        n->may_reach = count > 0;
        s->left += count > 0;
    }
    ag__scan_sort(s->targets, (size_t)s->count, sizeof *s->targets);
}

static void reach(struct scan *s, int node) {
    ag__node *n = &s->l->nodes[node];
    if (!n->may_reach)
        return;
    n->may_reach = n->alone = false;
    s->left--;
}

/* --- Searching. --- */

static void look_up(struct scan *s, uintptr_t word) {
    int lo = 0, hi = s->count; /* the last one that begins at or before it is hi - 1 */
    while (lo < hi) {
        int mid = lo + (hi - lo) / 2;
        if (s->targets[mid].lo <= word)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (int i = hi - 1; i >= 0 && s->targets[i].lo == s->targets[hi - 1].lo; i--)
        if (word < s->targets[i].hi)
            reach(s, s->targets[i].node);
}

static void search_words(struct scan *s, size_t count) {
    uintptr_t first = s->targets[0].lo, last = s->targets[s->count - 1].hi;
    for (size_t i = 0; i < count; i++)
        if (s->buffer[i] >= first && s->buffer[i] < last)
            look_up(s, s->buffer[i]);
}

/* What can't be read is left out page by page. */
static void search_range(struct scan *s, uintptr_t lo, uintptr_t hi) {
    lo &= ~(uintptr_t)(sizeof(uintptr_t) - 1);
    for (size_t n; lo < hi && s->left > 0; lo += n) {
        n = hi - lo < CHUNK ? hi - lo : CHUNK;
        if (ag__os_peek((const void *)lo, s->buffer, n) != 0) {
            size_t to_page = PAGE - (lo & (PAGE - 1));
            n = n < to_page ? n : to_page;
            if (ag__os_peek((const void *)lo, s->buffer, n) != 0)
                continue;
        }
        search_words(s, n / sizeof(uintptr_t));
    }
}

static void skip(struct scan *s, uintptr_t lo, uintptr_t hi) {
    if (s->skip_count < SKIPS) /* what is searched in vain hides, no more */
        s->skips[s->skip_count++] = (struct range){lo, hi};
}

static bool search_mapping(uintptr_t lo, uintptr_t hi, void *arg) {
    struct scan *s = arg;
    for (int i = 0; i < s->stack_count; i++)
        if (s->stacks[i] > lo && s->stacks[i] < hi)
            lo = s->stacks[i];
    for (int i = 0; i < s->skip_count && lo < hi; i++) {
        const struct range *r = &s->skips[i];
        if (r->hi <= lo || r->lo >= hi)
            continue;
        if (r->lo > lo)
            search_range(s, lo, r->lo);
        lo = r->hi;
    }
    if (lo < hi)
        search_range(s, lo, hi);
    return s->left > 0;
}

static void find_skips(struct scan *s, uintptr_t frames) {
    uintptr_t lo, hi;
    for (int i = 0; ag__g_slab(i, &lo, &hi); i++)
        skip(s, lo, hi);
    for (int i = 0; ag__stack_region(i, &lo, &hi); i++)
        skip(s, lo, hi);
    for (int i = 0; ag__ring_memory(i, &lo, &hi); i++)
        skip(s, lo, hi);
    s->stack_count = ag__m_frames(s->stacks, STACKS - 1);
    if (!frames)
        s->stacks[s->stack_count++] = ag__m_now()->frames; /* 0: not a thread of ours */
    const struct range mine[] = {
        {(uintptr_t)s->l->nodes, (uintptr_t)(s->l->nodes + s->l->size)},
        {(uintptr_t)s->targets, (uintptr_t)(s->targets + s->size)},
        {(uintptr_t)s->buffer, (uintptr_t)s->buffer + CHUNK},
        {(uintptr_t)s, (uintptr_t)(s + 1)},
    };
    for (size_t i = 0; i < sizeof mine / sizeof *mine; i++)
        skip(s, mine[i].lo, mine[i].hi);
    ag__scan_sort(s->skips, (size_t)s->skip_count, sizeof *s->skips);
}

/* The record and the stack of one that may go on. */
static AG__NO_SANITIZE void search_goroutine(struct scan *s, const ag__g *g, uintptr_t from) {
    uintptr_t sp = from ? from : (uintptr_t)__atomic_load_n(&g->sp, __ATOMIC_ACQUIRE);
    uintptr_t hi = (uintptr_t)__atomic_load_n(&g->stack_hi, __ATOMIC_RELAXED);
    search_range(s, (uintptr_t)g, (uintptr_t)(g + 1));
    if (sp && sp < hi)
        search_range(s, sp, hi);
}

struct others {
    struct scan *s;
    const ag__g *self;
    uintptr_t frames;
};

static bool search_other(ag__g *g, void *arg) {
    const struct others *o = arg;
    const ag__look *l = o->s->l;
    uint32_t at = ag__look_hash(g->id) & l->mask;
    for (; l->by_id[at]; at = (at + 1) & l->mask)
        if (l->nodes[l->by_id[at] - 1].g == g)
            return true; /* its turn comes if it may go on */
    search_goroutine(o->s, g, g == o->self ? o->frames : 0);
    return o->s->left > 0;
}

/* Those that may go on, and whom they reach, until nobody more does. */
static bool spread(struct scan *s) {
    for (bool more = true; more && s->left > 0;) {
        more = false;
        if (!ag__look_take_away(s->l))
            return false;
        for (int i = 0; i < s->l->count && s->left > 0; i++) {
            ag__node *n = &s->l->nodes[i];
            if (!n->goes_on || n->scanned)
                continue;
            n->scanned = more = true;
            search_goroutine(s, n->g, 0);
        }
    }
    return true;
}

static bool search(struct scan *s, uintptr_t frames) {
    const ag__m *m = ag__m_now();
    struct others others = {s, m->g, frames};
    int callers = frames ? 1 : 0;
    uint64_t before = ag__detect_activity();
    if (!ag__all_quiet(callers))
        return false;
    find_skips(s, frames);
    if (!ag__os_memory(search_mapping, s))
        return false;
    ag__g_each(search_other, &others);
    return spread(s) && ag__all_quiet(callers) && ag__detect_activity() == before;
}

void ag__scan(ag__look *l, uintptr_t frames) {
    struct scan *s = calloc(1, sizeof *s);
    if (!s)
        return;
    s->l = l;
    find_targets(s);
    s->buffer = s->left ? malloc(CHUNK) : NULL;
    bool counts = s->left == 0 || (s->buffer && search(s, frames));
    for (int i = 0; i < l->count && !counts; i++)
        reach(s, i);
    ag__scan_free(s->buffer, CHUNK);
    ag__scan_free(s->targets, (size_t)s->size * sizeof *s->targets);
    ag__scan_free(s, sizeof *s);
}
