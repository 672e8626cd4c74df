/* SPDX-License-Identifier: MIT */
/*
 * global.c - the global run queue.
 *
 * First in, first out, in batches: a full local queue hands over half of itself as an array of
 * pointers, and who takes goroutines here takes them as one. So neither side touches the
 * goroutines, most of which are cold by now; a linked list of them costs a cache miss each.
 *
 * Batches are recycled. They are made in chunks that grow, because small pieces of a heap that
 * grows cost a change of mappings each, which stops the page faults of all threads; a world's end
 * gives the chunks back. Without memory for one goroutines queue up behind the batches as a linked
 * list, until that is empty again.
 */
#include "sched/inner.h"
#include <stdlib.h>
#include <string.h>

enum { BATCH = AG__RING / 2, CHUNK_MAX = 1024 };

struct batch {
    struct batch *next;
    uint32_t from, to; /* items[from .. to) are queued */
    ag__g *items[BATCH];
};

struct chunk {
    struct chunk *next; /* Guarded by lock. */
    struct batch batches[];
};

static ag__lock lock;
static struct batch *first, *last, *spare; /* Guarded by lock. */
static struct chunk *chunks;               /* Guarded by lock. */
static size_t chunk_size = 1;              /* Guarded by lock: batches of the next chunk. */
static ag__g *chain;                       /* Guarded by lock: behind the batches, by `link`. */
static ag__g **chain_end = &chain;         /* Guarded by lock. */

/* Spare batches. The lock is held, and let go meanwhile. False without memory. */
static AG__COLD bool grow(void) {
    size_t n = chunk_size;
    ag__lock_release(&lock);
    struct chunk *c = malloc(sizeof *c + n * sizeof *c->batches);
    ag__lock_acquire(&lock);
    if (!c)
        return false;
    chunk_size = n < CHUNK_MAX ? 2 * n : n;
    c->next = chunks;
    chunks = c;
    for (size_t i = n; i-- > 0;) {
        c->batches[i].next = spare;
        spare = &c->batches[i];
    }
    return true;
}

/* An empty batch at the end. The lock is held, and may be let go meanwhile. False without memory.
 */
static bool add_batch(void) {
    while (!spare)
        if (!grow())
            return false;
    struct batch *b = spare;
    spare = b->next;
    b->next = NULL;
    b->from = b->to = 0;
    if (last)
        last->next = b;
    else
        first = b;
    last = b;
    return true;
}

static void chain_put(ag__g *const *items, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        *chain_end = items[i];
        chain_end = &items[i]->link;
    }
    *chain_end = NULL;
}

static uint32_t chain_take(ag__g **ret_items, uint32_t max) {
    uint32_t n = 0;
    for (; n < max && chain; n++) {
        ret_items[n] = chain;
        chain = chain->link;
    }
    if (!chain)
        chain_end = &chain;
    return n;
}

void ag__global_put(ag__g *const *items, uint32_t count) {
    ag__lock_acquire(&lock);
    bool fits = !chain && last && last->to + count <= BATCH;
    if (!fits && !chain)
        fits = add_batch() && !chain;
    if (fits) {
        memcpy(last->items + last->to, items, count * sizeof *items);
        last->to += count;
    } else {
        chain_put(items, count);
    }
    atomic_store_explicit(&ag__s.queue_count, ag__s.queue_count + count, AG__RLX);
    ag__lock_release(&lock);
}

/* Lock held. */
static void recycle_empty(void) {
    struct batch *b = first;
    if (!b || b->from != b->to)
        return;
    first = b->next;
    if (!first)
        last = NULL;
    b->next = spare;
    spare = b;
}

uint32_t ag__global_take(ag__g **ret_items, uint32_t max) {
    ag__lock_acquire(&lock);
    recycle_empty(); /* one whose maker found the chain in use */
    struct batch *b = first;
    uint32_t n = 0;
    if (b) {
        n = b->to - b->from < max ? b->to - b->from : max;
        memcpy(ret_items, b->items + b->from, n * sizeof *ret_items);
        b->from += n;
        recycle_empty();
    } else {
        n = chain_take(ret_items, max);
    }
    if (n > 0)
        atomic_store_explicit(&ag__s.queue_count, ag__s.queue_count - n, AG__RLX);
    ag__lock_release(&lock);
    return n;
}

void ag__global_clear(void) {
    ag__lock_acquire(&lock);
    while (chunks) {
        struct chunk *c = chunks;
        chunks = c->next;
        free(c);
    }
    first = last = spare = NULL;
    chunk_size = 1;
    chain = NULL;
    chain_end = &chain;
    atomic_store_explicit(&ag__s.queue_count, 0, AG__RLX);
    ag__lock_release(&lock);
}
