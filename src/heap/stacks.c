/* SPDX-License-Identifier: MIT */
/*
 * stacks.c - counting stacks without a lock.
 *
 *     FREE --swap--> FILLING --release--> READY
 *
 * A table with open addressing, of which nothing is ever taken out. Who finds a free place on the
 * way of its hash takes it, fills it in and makes it ready; from then on it is constant, but for
 * its sums. One that is being filled in is passed by: at worst the same stack is there twice, and
 * who reads adds up. Where there is no place within some steps, the last place of all is used,
 * whose stack is empty: the sums over all stay right.
 *
 * The runtime's tables of stacks (debug/prof_stacks.h) are the same idea. This one is another
 * library, which works without the runtime and before it, and its places are never emptied.
 */
#include "heap/stacks.h"
#include "heap/sample.h"
#include "os/os.h"
#include <string.h>

enum { FREE, FILLING, READY };
enum { STEPS = AG__SIZE(64, 16), PLACES = AG__SIZE(16384, 1024) };

typedef struct place {
    _Atomic uint32_t state; /* Atomic; above. */
    /* Guarded by state. */
    uint32_t hash;
    int32_t frames, tag_bytes;
    uintptr_t pcs[AG__HEAP_FRAMES];
    char tag[AG__HEAP_TAG];
    /* Atomic; relaxed. Freed is added after allocated, with release, and read before it, with
     * acquire: never is more freed than there was. */
    _Atomic int64_t parts, bytes, freed_parts, freed_bytes;
} place;

/* PLACES and the one for what found none. Atomic; set once, by swap. */
static _Atomic(place *) places;
static _Atomic int64_t crowded;

static place *places_now(void) {
    place *at = atomic_load_explicit(&places, memory_order_acquire), *there = NULL;
    const size_t bytes = (PLACES + 1) * sizeof *at;
    if (at)
        return at;
    at = ag__os_reserve(bytes);
    if (!at)
        return NULL;
    if (ag__os_commit(at, bytes) != 0 || !atomic_compare_exchange_strong(&places, &there, at)) {
        ag__os_unreserve(at, bytes);
        return there;
    }
    return at;
}

static uint32_t hash_of(const uintptr_t *pcs, int frames, const char *tag, size_t tag_bytes) {
    uint64_t h = tag_bytes;
    for (int i = 0; i < frames; i++) {
        h = (h ^ pcs[i]) * UINT64_C(0xff51afd7ed558ccd);
        h ^= h >> 32;
    }
    for (size_t i = 0; i < tag_bytes; i++)
        h = (h ^ (unsigned char)tag[i]) * UINT64_C(0x100000001b3);
    return (uint32_t)(h ^ h >> 32);
}

static bool is_same(const place *p, uint32_t hash, const uintptr_t *pcs, int frames,
                    const void *tag, size_t tag_bytes) {
    return p->hash == hash && p->frames == frames && p->tag_bytes == (int32_t)tag_bytes &&
           memcmp(p->pcs, pcs, (size_t)frames * sizeof *pcs) == 0 &&
           memcmp(p->tag, tag, tag_bytes) == 0;
}

int64_t ag__heap_count_of(const uintptr_t *pcs, int frames, const void *tag, size_t tag_bytes) {
    place *at = places_now();
    if (!at)
        return -1;
    uint32_t hash = hash_of(pcs, frames, tag, tag_bytes);
    for (uint32_t i = 0; i < STEPS; i++) {
        int64_t number = (hash + i) & (PLACES - 1);
        place *p = &at[number];
        /* Acquire. Partner: the release store below, by who filled it in. */
        uint32_t state = atomic_load_explicit(&p->state, memory_order_acquire);
        if (state == FREE && atomic_compare_exchange_strong(&p->state, &state, FILLING)) {
            p->hash = hash;
            p->frames = frames;
            p->tag_bytes = (int32_t)tag_bytes;
            memcpy(p->pcs, pcs, (size_t)frames * sizeof *pcs);
            memcpy(p->tag, tag, tag_bytes);
            atomic_store_explicit(&p->state, READY, memory_order_release);
            return number;
        }
        if (state == READY && is_same(p, hash, pcs, frames, tag, tag_bytes))
            return number;
    }
    atomic_fetch_add_explicit(&crowded, 1, memory_order_relaxed);
    atomic_store_explicit(&at[PLACES].state, READY, memory_order_release);
    return PLACES;
}

void ag__heap_allocated(const ag__heap_block *block) {
    place *p = &atomic_load_explicit(&places, memory_order_acquire)[block->count];
    atomic_fetch_add_explicit(&p->parts, block->parts, memory_order_relaxed);
    atomic_fetch_add_explicit(&p->bytes, ag__heap_bytes(block->bytes, block->parts),
                              memory_order_relaxed);
}

void ag__heap_freed(const ag__heap_block *block) {
    place *p = &atomic_load_explicit(&places, memory_order_acquire)[block->count];
    atomic_fetch_add_explicit(&p->freed_parts, block->parts, memory_order_release);
    atomic_fetch_add_explicit(&p->freed_bytes, ag__heap_bytes(block->bytes, block->parts),
                              memory_order_release);
}

static int64_t blocks_of(int64_t parts) {
    return (parts + (1 << (AG__HEAP_PART_BITS - 1))) >> AG__HEAP_PART_BITS;
}

static void tell(const place *p, void (*fn)(void *arg, const ag__heap_count *count), void *arg) {
    ag__heap_count c = {.pcs = p->pcs, .frames = p->frames};
    if (p->tag_bytes)
        c.tag = p->tag;
    c.freed_blocks = blocks_of(atomic_load_explicit(&p->freed_parts, memory_order_acquire));
    c.freed_bytes = atomic_load_explicit(&p->freed_bytes, memory_order_acquire);
    c.blocks = blocks_of(atomic_load_explicit(&p->parts, memory_order_relaxed));
    c.bytes = atomic_load_explicit(&p->bytes, memory_order_relaxed);
    fn(arg, &c);
}

void ag__heap_each(void (*fn)(void *arg, const ag__heap_count *count), void *arg) {
    const place *at = atomic_load_explicit(&places, memory_order_acquire);
    for (int i = 0; at && i <= PLACES; i++)
        if (atomic_load_explicit(&at[i].state, memory_order_acquire) == READY)
            tell(&at[i], fn, arg);
}

int64_t ag__heap_crowded(void) {
    return atomic_load_explicit(&crowded, memory_order_relaxed);
}
