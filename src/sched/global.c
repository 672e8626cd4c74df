/* SPDX-License-Identifier: MIT */
/*
 * global.c - the global run queue.
 *
 * First in, first out, in batches: a full local queue hands over half of itself as an array of
 * pointers, and who takes goroutines here takes them as one. So neither side touches the
 * goroutines, most of which are cold by now; a linked list of them costs a cache miss each.
 *
 * Batches are recycled; a world's end gives them back.
 */
#include "sched/inner.h"
#include <stdlib.h>
#include <string.h>

enum { BATCH = AG__RING / 2 };

struct batch {
    struct batch *next;
    uint32_t from, to; /* items[from .. to) are queued */
    ag__g *items[BATCH];
};

static ag__lock lock;
static struct batch *first, *last, *spare; /* Guarded by lock. */

/* A batch with nothing in it. The lock is held, and may be let go meanwhile. */
static struct batch *new_batch(void) {
    struct batch *b = spare;
    if (b) {
        spare = b->next;
    } else {
        ag__lock_release(&lock);
        b = malloc(sizeof *b);
        if (!b)
            ag__throw("out of memory for the run queue");
        ag__lock_acquire(&lock);
    }
    b->next = NULL;
    b->from = b->to = 0;
    return b;
}

void ag__global_put(ag__g *const *items, uint32_t count) {
    ag__lock_acquire(&lock);
    if (!last || last->to + count > BATCH) {
        struct batch *b = new_batch();
        if (last)
            last->next = b;
        else
            first = b;
        last = b;
    }
    memcpy(last->items + last->to, items, count * sizeof *items);
    last->to += count;
    atomic_store_explicit(&ag__s.queue_count, ag__s.queue_count + count, AG__RLX);
    ag__lock_release(&lock);
}

uint32_t ag__global_take(ag__g **ret_items, uint32_t max) {
    ag__lock_acquire(&lock);
    struct batch *b = first;
    uint32_t n = b ? b->to - b->from : 0;
    if (n > max)
        n = max;
    if (n > 0) {
        memcpy(ret_items, b->items + b->from, n * sizeof *ret_items);
        b->from += n;
        atomic_store_explicit(&ag__s.queue_count, ag__s.queue_count - n, AG__RLX);
    }
    if (b && b->from == b->to) {
        first = b->next;
        if (!first)
            last = NULL;
        b->next = spare;
        spare = b;
    }
    ag__lock_release(&lock);
    return n;
}

void ag__global_clear(void) {
    ag__lock_acquire(&lock);
    while (first || spare) {
        struct batch *b = first ? first : spare;
        if (first)
            first = b->next;
        else
            spare = b->next;
        free(b);
    }
    last = NULL;
    atomic_store_explicit(&ag__s.queue_count, 0, AG__RLX);
    ag__lock_release(&lock);
}
