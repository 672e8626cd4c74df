/* SPDX-License-Identifier: MIT */
/*
 * blocks.c - a set of addresses without a lock.
 *
 *     slot:  FREE --swap--> TAKEN, filled in, --release--> an address's mark --release--> FREE
 *
 * An address may be in one of two lines of eight slots, which its hash names, on each of the levels
 * that there are; nowhere else. So nothing has to be moved or marked when one is taken out, nobody
 * walks past what another one changes, and nobody waits. A line is one line of the cache. When both
 * lines of all levels are full, a level of four times the size is begun. A slot belongs to who has
 * the block: only he looks for it by its address, and nobody takes a slot that is not free.
 *
 * Nearly every free is of a block that was not sampled. It looks at one byte, chosen by the number
 * of the block's page: how many sampled blocks begin in there. Neighbours share the byte, and the
 * line of the cache that it is in stands for 256 KiB of heap, so the look costs a load that is
 * nearly always in the cache.
 *
 * Refused: a header in front of the block (every block would have to have one, and aligned blocks
 * a large one); a filter by a hash of the address (each free a miss of the cache); a lock (a signal
 * handler that frees, a fork).
 */
#include "heap/blocks.h"
#include "os/os.h"

enum { LINE = 8, LEVELS = 7, LINES_FIRST = AG__SIZE(512, 1), LEVEL_BITS = 2 };
enum { FREE = 0, TAKEN = 1 };

/* An address as it lies in the table: not as an address, so that who searches memory for references
 * - AGLET_SCAN=heap, a leak checker - finds none here. Neither FREE nor TAKEN. */
static uintptr_t mark_of(const void *p) {
    return ~(uintptr_t)p;
}

typedef struct line {
    _Alignas(AG__CACHE_LINE) _Atomic uintptr_t at[LINE]; /* Atomic; above. */
    ag__heap_block block[LINE];                          /* Guarded by `at`. */
} line;

_Atomic uint8_t ag__heap_pages[AG__HEAP_PAGES];
/* Atomic; set once, by swap. Release. Partner: the acquire load of level_at. */
static _Atomic(line *) levels[LEVELS];

static void page_more(_Atomic uint8_t *page, int by) {
    uint8_t n = atomic_load_explicit(page, memory_order_relaxed);
    while (n != UINT8_MAX && !atomic_compare_exchange_weak(page, &n, (uint8_t)(n + by))) {
    }
}

void ag__heap_keep_page(const void *p) {
    atomic_store(ag__heap_page_of(p), UINT8_MAX);
}

static uint64_t hash_of(uintptr_t at) {
    uint64_t h = at * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ h >> 32;
}

static size_t lines_of(int level) {
    return (size_t)LINES_FIRST << (LEVEL_BITS * level);
}

static line *level_at(int level) {
    return atomic_load_explicit(&levels[level], memory_order_acquire);
}

static line *level_made(int level) {
    size_t bytes = lines_of(level) * sizeof(line);
    line *made = ag__os_reserve(bytes), *there = NULL;
    if (!made)
        return NULL;
    if (ag__os_commit(made, bytes) != 0) {
        ag__os_unreserve(made, bytes);
        return NULL;
    }
    if (atomic_compare_exchange_strong(&levels[level], &there, made))
        return made;
    ag__os_unreserve(made, bytes);
    return there;
}

static line *line_of(line *at, int level, uint64_t hash, int which) {
    return &at[(which ? hash >> 32 : hash) & (lines_of(level) - 1)];
}

static bool put_in(line *l, uintptr_t mark, const ag__heap_block *block) {
    for (int i = 0; i < LINE; i++) {
        uintptr_t there = atomic_load_explicit(&l->at[i], memory_order_relaxed);
        /* Acquire. Partner: the release store of take_from. */
        if (there != FREE ||
            !atomic_compare_exchange_strong_explicit(&l->at[i], &there, TAKEN, memory_order_acquire,
                                                     memory_order_relaxed))
            continue;
        l->block[i] = *block;
        /* Release. Partner: the acquire load of take_from. */
        atomic_store_explicit(&l->at[i], mark, memory_order_release);
        return true;
    }
    return false;
}

static bool take_from(line *l, uintptr_t mark, ag__heap_block *ret) {
    for (int i = 0; i < LINE; i++) {
        if (atomic_load_explicit(&l->at[i], memory_order_acquire) != mark)
            continue;
        *ret = l->block[i];
        atomic_store_explicit(&l->at[i], FREE, memory_order_release);
        return true;
    }
    return false;
}

bool ag__heap_put(const void *p, const ag__heap_block *block) {
    uint64_t hash = hash_of((uintptr_t)p);
    page_more(ag__heap_page_of(p), 1);
    for (int level = 0; level < LEVELS; level++) {
        line *at = level_at(level);
        if (!at && !(at = level_made(level)))
            break;
        if (put_in(line_of(at, level, hash, 0), mark_of(p), block) ||
            put_in(line_of(at, level, hash, 1), mark_of(p), block))
            return true;
    }
    page_more(ag__heap_page_of(p), -1);
    return false;
}

bool ag__heap_take(const void *p, ag__heap_block *ret) {
    uint64_t hash = hash_of((uintptr_t)p);
    line *at;
    for (int level = 0; level < LEVELS && (at = level_at(level)) != NULL; level++) {
        if (take_from(line_of(at, level, hash, 0), mark_of(p), ret) ||
            take_from(line_of(at, level, hash, 1), mark_of(p), ret)) {
            page_more(ag__heap_page_of(p), -1);
            return true;
        }
    }
    return false;
}
