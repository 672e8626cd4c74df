/* SPDX-License-Identifier: MIT */
/*
 * stacks.h - how much was allocated and freed, by stack and tag. Private to the library aglet-heap;
 * stacks.c has the protocol. From: anywhere, signal handlers too; nothing waits.
 */
#ifndef AG_HEAP_STACKS_H
#define AG_HEAP_STACKS_H

#include "heap/blocks.h"
#include "heap/heap.h"

/* The number of the count of this stack and tag. -1: no memory. */
int64_t ag__heap_count_of(const uintptr_t *pcs, int frames, const void *tag, size_t tag_bytes);
void ag__heap_allocated(const ag__heap_block *block);
void ag__heap_freed(const ag__heap_block *block);

void ag__heap_each(void (*fn)(void *arg, const ag__heap_count *count), void *arg);
int64_t ag__heap_crowded(void);

#endif
