/* SPDX-License-Identifier: MIT */
/*
 * detect_scan.c - AGLET_SCAN=heap: is there anybody who could still reach what is waited for?
 *
 * A goroutine is *alone* if the addresses of all that could wake it are nowhere but with goroutines
 * that are stuck themselves: the channels that it waits for; the condition, semaphore, group or
 * lock, if that is on a goroutine's stack; the contexts that could end its wait. So memory is
 * searched for words that point into one of them: first all that may have been written, but for
 * stacks and records of goroutines; then the stacks, from the saved stack pointer up, and the
 * records of those that may go on. Whom that finds may go on, and its stack is searched, too, until
 * nobody more is found. It is what a collector does, with two differences. All memory counts,
 * whether anything leads there or not: what was freed and not overwritten, or is held by stuck
 * goroutines only, hides a leak, and never makes one up. And every word counts that points to any
 * byte of what is looked for.
 *
 * What is looked for is itself memory that leads on, and so are the stacks of stuck goroutines. It
 * is left out at first, and searched once a word points into it:
 *
 *     channel, context     by the runtime's own size of it
 *     stack, from sp up    as a whole: a struct on it is known by the address of any of its parts
 *
 * An object in a global or in a block of the heap may be reached without its address being
 * anywhere: by code, or by the address of what it is part of. Of those nothing is said. What the
 * lists of waiters in them tell is the runtime's: it leads nowhere.
 *
 * An address must be stored as such, at an aligned place. Registers are not seen. So it counts only
 * if all threads of the world were asleep in the runtime, there is no other thread, and nothing ran
 * until the end of the search; the caller of ag_leaks has its registers in its frame. A program
 * that is never quiet is never searched.
 *
 * What the runtime itself knows must not be found: the flight recorder's events, the tree of scopes
 * and the detector's stack and buffers are left out, and what it frees is wiped. On the stacks of
 * threads that run goroutines there are only frames of the runtime, up to where their thread-locals
 * begin.
 *
 * Refused: signals that have threads show their registers (system calls would return EINTR);
 * wrapped allocators that know where blocks begin (the program's allocator is its own).
 */
#include "ctx/ctx.h"
#include "debug/detect.h"
#include "lang/lang.h"
#include "sync/sync.h"
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 64 * 1024, PAGE = 4096, CHANNELS = 16, CONTEXTS = 16, STACKS = 256 };

/* Memory that is looked for. `node` goes on if it is found; -1: none. */
struct target {
    uintptr_t lo, hi;
    intptr_t node;
    uintptr_t state; /* NOT_FOUND … */
};
enum { NOT_FOUND, FOUND, SEARCHED };

struct range {
    uintptr_t lo, hi;
};

struct scan {
    ag__look *l;
    struct target *targets; /* by address, those of the same memory in a row; else none overlap */
    int count, size;
    int left; /* nodes that were not reached */
    bool failed;
    struct range *skips; /* by address */
    int skip_count, skip_size;
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
    if (memory && ag__scan_is_on())
        memset(memory, 0, bytes);
    __asm__ volatile("" : : "r"(memory) : "memory"); /* read by who looks at freed memory */
    free(memory);
}

bool ag__scan_grow(void **all, int count, int *size, size_t each) {
    if (count < *size)
        return true;
    int more = *size ? 2 * *size : 64;
    void *grown = malloc((size_t)more * each);
    if (!grown)
        return false;
    if (count)
        memcpy(grown, *all, (size_t)count * each);
    ag__scan_free(*all, (size_t)*size * each);
    *all = grown;
    *size = more;
    return true;
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

static void add_target(struct scan *s, uintptr_t lo, uintptr_t hi, int node) {
    if (!ag__scan_grow((void **)&s->targets, s->count, &s->size, sizeof *s->targets))
        s->failed = true;
    if (!s->failed)
        s->targets[s->count++] = (struct target){lo, hi, node, NOT_FOUND};
}

static void skip(struct scan *s, uintptr_t lo, uintptr_t hi) {
    if (!ag__scan_grow((void **)&s->skips, s->skip_count, &s->skip_size, sizeof *s->skips))
        s->failed = true;
    if (!s->failed)
        s->skips[s->skip_count++] = (struct range){lo, hi};
}

static AG__NO_SANITIZE bool stack_of(const ag__g *g, uintptr_t *ret_lo, uintptr_t *ret_hi) {
    *ret_lo = (uintptr_t)__atomic_load_n(&g->sp, __ATOMIC_ACQUIRE);
    *ret_hi = (uintptr_t)__atomic_load_n(&g->stack_hi, __ATOMIC_RELAXED);
    return *ret_lo && *ret_lo < *ret_hi;
}

/* The last target that begins at or before it; -1: none. */
static int last_before(const struct scan *s, uintptr_t word) {
    int lo = 0, hi = s->count;
    while (lo < hi) {
        int mid = lo + (hi - lo) / 2;
        if (s->targets[mid].lo <= word)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo - 1;
}

static void sort_targets(struct scan *s) {
    ag__scan_sort(s->targets, (size_t)s->count, sizeof *s->targets);
}

/* What a goroutine waits for that is no channel: how many bytes. 0: it takes no part here. */
static size_t bytes_of(const ag__node *n) {
    switch (n->reason) {
    case AG__WAIT_MUTEX:
        return sizeof(ag_mutex);
    case AG__WAIT_RWMUTEX:
    case AG__WAIT_RWMUTEX_READ:
        return sizeof(ag_rwmutex);
    case AG__WAIT_WAIT_GROUP:
        return sizeof(ag_wg);
    case AG__WAIT_SEM:
    case AG__WAIT_SEM_NEVER:
        return sizeof(ag_sem);
    case AG__WAIT_COND:
        return sizeof(ag_cond);
    default:
        return 0;
    }
}

/* The targets of one that waits for an object on a stack. `stacks` are the targets so far. */
static bool want_object(struct scan *s, const ag__node *n, int node, const struct scan *stacks) {
    int at = last_before(stacks, (uintptr_t)n->object);
    if (n->reason == AG__WAIT_COND && !ag__cond_has(n->object, n->g))
        return false; /* it has been woken, and waits for the mutex */
    if (at < 0 || (uintptr_t)n->object >= stacks->targets[at].hi)
        return false;
    add_target(s, stacks->targets[at].lo, stacks->targets[at].hi, node);
    return true;
}

static bool want_channels(struct scan *s, const ag__node *n, int node) {
    const void *channels[CHANNELS] = {n->object};
    size_t count = 1;
    if (n->reason == AG__WAIT_SELECT)
        count = ag__select_channels(n->g, channels, CHANNELS);
    if (count == 0 || count > CHANNELS)
        return false;
    for (size_t i = 0; i < count; i++) {
        size_t bytes = ag__chan_bytes(channels[i]);
        if (!bytes)
            return false;
        add_target(s, (uintptr_t)channels[i], (uintptr_t)channels[i] + bytes, node);
    }
    return true;
}

/* Who can end its wait: whoever can reach a context of it. */
static bool want_contexts(struct scan *s, const ag__node *n, int node) {
    const void *contexts[CONTEXTS];
    int count = n->cancellable ? ag__ctx_chain(n->g, contexts, CONTEXTS) : 0;
    for (int i = 0; i < count; i++)
        add_target(s, (uintptr_t)contexts[i], (uintptr_t)contexts[i] + sizeof(ag_ctx), node);
    return count >= 0;
}

/* Whether it is alone if nobody finds its targets, which are added. */
static bool want(struct scan *s, const ag__node *n, int node, const struct scan *stacks) {
    if (n->g == ag__sched.main_g || n->alone || n->goes_on)
        return false;
    switch (n->reason) {
    case AG__WAIT_CHAN_SEND_NIL:
    case AG__WAIT_CHAN_RECV_NIL:
    case AG__WAIT_SELECT_NIL:
    case AG__WAIT_SEM_NEVER:
        return want_contexts(s, n, node);
    case AG__WAIT_CHAN_SEND:
    case AG__WAIT_CHAN_RECV:
    case AG__WAIT_SELECT:
        return want_channels(s, n, node) && want_contexts(s, n, node);
    case AG__WAIT_SEM:
        return want_object(s, n, node, stacks) && want_contexts(s, n, node);
    case AG__WAIT_MUTEX:
    case AG__WAIT_RWMUTEX:
    case AG__WAIT_RWMUTEX_READ:
    case AG__WAIT_WAIT_GROUP:
    case AG__WAIT_COND: /* no context ends these */
        return want_object(s, n, node, stacks);
    default:
        return false;
    }
}

static void find_targets(struct scan *s) {
    uintptr_t lo, hi;
    for (int i = 0; i < s->l->count; i++)
        if (!s->l->nodes[i].goes_on && stack_of(s->l->nodes[i].g, &lo, &hi))
            add_target(s, lo, hi, -1);
    sort_targets(s);
    struct scan stacks = *s;
    s->targets = NULL;
    s->count = s->size = 0;
    for (int i = 0; i < s->l->count; i++) {
        ag__node *n = &s->l->nodes[i];
        int before = s->count;
        bool may = want(s, n, i, &stacks);
        if (!may)
            s->count = before;
        n->alone = n->alone || may;
        n->may_reach = may;
        s->left += may;
        if (!n->goes_on && n->object && bytes_of(n))
            skip(s, (uintptr_t)n->object, (uintptr_t)n->object + bytes_of(n));
    }
    for (int i = 0; i < s->count; i++)
        skip(s, s->targets[i].lo, s->targets[i].hi);
    for (int i = 0; i < stacks.count; i++)
        add_target(s, stacks.targets[i].lo, stacks.targets[i].hi, -1);
    ag__scan_free(stacks.targets, (size_t)stacks.size * sizeof *stacks.targets);
    sort_targets(s);
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
    int last = last_before(s, word);
    for (int i = last; i >= 0 && s->targets[i].lo == s->targets[last].lo; i--) {
        struct target *t = &s->targets[i];
        if (word >= t->hi || t->state != NOT_FOUND)
            continue;
        t->state = FOUND;
        if (t->node >= 0)
            reach(s, (int)t->node);
    }
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
    ag__nest_tree_memory(&lo, &hi);
    skip(s, lo, hi);
    s->stack_count = ag__m_frames(s->stacks, STACKS - 2);
    s->stacks[s->stack_count++] = ag__detect_frames(); /* looks of its own are left there */
    if (!frames)
        s->stacks[s->stack_count++] = ag__m_now()->frames; /* 0: not a thread of ours */
    skip(s, (uintptr_t)s->l->nodes, (uintptr_t)(s->l->nodes + s->l->size));
    skip(s, (uintptr_t)s->targets, (uintptr_t)(s->targets + s->size));
    skip(s, (uintptr_t)s->buffer, (uintptr_t)s->buffer + CHUNK);
    skip(s, (uintptr_t)s, (uintptr_t)(s + 1));
    skip(s, 0, 0); /* its own place is that of the last one: there is room for it now */
    s->skips[s->skip_count - 1] =
        (struct range){(uintptr_t)s->skips, (uintptr_t)(s->skips + s->skip_size)};
    ag__scan_sort(s->skips, (size_t)s->skip_count, sizeof *s->skips);
}

/* The record and the stack of one that may go on. */
static AG__NO_SANITIZE void search_goroutine(struct scan *s, const ag__g *g, uintptr_t from) {
    uintptr_t lo, hi;
    bool has_stack = stack_of(g, &lo, &hi);
    search_range(s, (uintptr_t)g, (uintptr_t)(g + 1));
    if (from)
        search_range(s, from, (uintptr_t)__atomic_load_n(&g->stack_hi, __ATOMIC_RELAXED));
    else if (has_stack)
        search_range(s, lo, hi);
    if (has_stack)
        look_up(s, lo); /* what is on its stack it reaches without an address */
}

struct others {
    struct scan *s;
    const ag__g *self;
    uintptr_t frames;
};

static bool search_other(ag__g *g, void *arg) {
    const struct others *o = arg;
    const ag__look *l = o->s->l;
    int at = ag__look_find(l, g->id);
    if (at >= 0 && l->nodes[at].g == g)
        return true; /* its turn comes if it may go on */
    search_goroutine(o->s, g, g == o->self ? o->frames : 0);
    return o->s->left > 0;
}

/* What was found leads on. */
static bool search_found(struct scan *s) {
    bool more = false;
    for (int i = 0; i < s->count && s->left > 0; i++) {
        struct target *t = &s->targets[i];
        if (t->state != FOUND)
            continue;
        t->state = SEARCHED;
        more = true;
        if (i == 0 || t[-1].lo != t->lo || t[-1].state != SEARCHED)
            search_range(s, t->lo, t->hi);
    }
    return more;
}

/* Those that may go on, and whom they reach, until nobody more does. */
static bool spread(struct scan *s) {
    for (bool more = true; more && s->left > 0;) {
        more = search_found(s);
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

/* False: something ran meanwhile, or there was no memory. */
static bool search(struct scan *s, uintptr_t frames) {
    const ag__m *m = ag__m_now();
    struct others others = {s, m->g, frames};
    int callers = frames ? 1 : 0;
    uint64_t before = ag__detect_activity();
    if (!ag__all_quiet(callers))
        return false;
    find_targets(s);
    if (s->left == 0 || s->failed)
        return !s->failed;
    s->buffer = malloc(CHUNK);
    if (!s->buffer)
        return false;
    find_skips(s, frames);
    if (s->failed || !ag__os_memory(search_mapping, s))
        return false;
    ag__g_each(search_other, &others);
    return spread(s) && ag__all_quiet(callers) && ag__detect_activity() == before;
}

void ag__scan(ag__look *l, uintptr_t frames) {
    struct scan *s = calloc(1, sizeof *s);
    if (!s)
        return;
    s->l = l;
    bool counts = search(s, frames);
    for (int i = 0; i < l->count && !counts; i++)
        reach(s, i);
    ag__scan_free(s->buffer, CHUNK);
    ag__scan_free(s->targets, (size_t)s->size * sizeof *s->targets);
    ag__scan_free(s->skips, (size_t)s->skip_size * sizeof *s->skips);
    ag__scan_free(s, sizeof *s);
}
