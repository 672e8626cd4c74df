/* SPDX-License-Identifier: MIT */
/*
 * sample.h - which blocks are sampled, and how many others each stands for. Private to the library
 * aglet-heap. Plain arithmetic: see sample.c.
 */
#ifndef AG_HEAP_SAMPLE_H
#define AG_HEAP_SAMPLE_H

#include "base/base.h"

/* Blocks are counted in parts, so that one which stands for 1.6 is not two. */
enum { AG__HEAP_PART_BITS = 12 };

/* One thread's way through the bytes that it allocates. The zero value is switched off. */
typedef struct ag__heap_sampler {
    int64_t left;    /* so many more bytes are not sampled */
    int64_t rate;    /* for which `left` was drawn */
    uint64_t random; /* 0: not seeded */
} ag__heap_sampler;

/* What a block counts: at least one byte, so that those of 0 bytes are seen, too. Odd: one
 * instruction. */
static inline uint64_t ag__heap_size(uint64_t bytes) {
    return bytes | 1;
}

/* Goes on by a block. True: ag__heap_sample has to be asked about it. A size that nobody can have
 * does not count. */
static inline bool ag__heap_passes(ag__heap_sampler *s, uint64_t bytes) {
    s->left = (int64_t)((uint64_t)s->left - ag__heap_size(bytes));
    return AG__UNLIKELY(s->left < 0);
}

/* After ag__heap_passes has said true: whether the block is sampled, at the rate that s->rate is
 * then, and goes on with `rate`; *ret_parts is how many blocks it stands for. */
bool ag__heap_sample(ag__heap_sampler *s, uint64_t bytes, int64_t rate, int64_t *ret_parts);

/* For so many bytes stand `parts` blocks of `bytes` bytes. */
int64_t ag__heap_bytes(uint64_t bytes, int64_t parts);

#endif
