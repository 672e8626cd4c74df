/* SPDX-License-Identifier: MIT */
/*
 * heap.h - what the library aglet-heap tells the runtime: by stack, how much was allocated and how
 * much of it was freed again. Two libraries that may be of different age: the runtime looks for the
 * function ag_heap_shim among the names that the program exports, and asks for a version of this
 * table. No function of it allocates, takes a lock or waits, once malloc has been called.
 */
#ifndef AG_HEAP_H
#define AG_HEAP_H

#include "base/base.h"

enum { AG__HEAP_VERSION = 1, AG__HEAP_FRAMES = 64, AG__HEAP_TAG = 288 };

/* What was sampled at one stack with one tag, scaled up: each sampled block stands for others. */
typedef struct ag__heap_count {
    const uintptr_t *pcs; /* return addresses; the innermost is the call of malloc */
    int frames;           /* 0: stacks for which there was no room */
    const void *tag;      /* as its writer wrote it; NULL: none */
    int64_t blocks, bytes, freed_blocks, freed_bytes;
} ag__heap_count;

/* Writes who allocates, at most AG__HEAP_TAG bytes, and returns how many. Called from inside
 * malloc, anywhere, on a stack of which little may be left. */
typedef size_t (*ag__heap_tag_fn)(void *ret_tag);

typedef struct ag__heap_shim {
    /* False: the program's malloc is another one, or a sanitizer's. */
    bool (*is_used)(void);
    /* One block is sampled for so many bytes in the mean; 0: none, 1: each. Negative: only asks.
     * Returns what it was before. */
    int64_t (*rate)(int64_t bytes);
    void (*set_tag)(ag__heap_tag_fn fn);
    void (*each)(void (*fn)(void *arg, const ag__heap_count *count), void *arg);
    /* Samples whose stack is among those with no frames, and samples that are nowhere. */
    int64_t (*crowded)(void);
    int64_t (*lost)(void);
} ag__heap_shim;

/* NULL: it does not know this version. */
typedef const ag__heap_shim *(*ag__heap_shim_fn)(int version);

#endif
