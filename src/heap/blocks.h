/* SPDX-License-Identifier: MIT */
/*
 * blocks.h - the sampled blocks that are alive, by their address. Private to the library
 * aglet-heap; blocks.c has the protocol. From: anywhere, signal handlers too; nothing waits.
 */
#ifndef AG_HEAP_BLOCKS_H
#define AG_HEAP_BLOCKS_H

#include "base/base.h"

typedef struct ag__heap_block {
    uint64_t bytes;
    int64_t parts;  /* sample.h */
    uint32_t count; /* stacks.h */
} ag__heap_block;

/* How many sampled blocks begin in the pages of one slot; 255: stays there. Pages whose numbers
 * differ by a multiple of the size share one. */
enum { AG__HEAP_PAGE_BITS = 12, AG__HEAP_PAGES = AG__SIZE(1 << 20, 16) };
extern _Atomic uint8_t ag__heap_pages[AG__HEAP_PAGES] AG__HIDDEN;

static inline _Atomic uint8_t *ag__heap_page_of(const void *p) {
    return &ag__heap_pages[(uintptr_t)p >> AG__HEAP_PAGE_BITS & (AG__HEAP_PAGES - 1)];
}

/* False: p is no sampled block. What free asks first. Relaxed: who has p was given it by somebody
 * who came after its malloc. */
static inline bool ag__heap_may_have(const void *p) {
    return atomic_load_explicit(ag__heap_page_of(p), memory_order_relaxed) != 0;
}

/* This page always may have. */
void ag__heap_keep_page(const void *p);

/* Puts a block in. False: there is no memory. */
bool ag__heap_put(const void *p, const ag__heap_block *block);
/* Takes it out. False: it was not in. Only who is about to free p, or has freed it, may ask. */
bool ag__heap_take(const void *p, ag__heap_block *ret);

#endif
