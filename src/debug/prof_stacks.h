/* SPDX-License-Identifier: MIT */
/*
 * prof_stacks.h - samples that come one by one from anywhere, signal handlers and the inside of the
 * scheduler too, added up by stack and labels in memory that was taken before.
 */
#ifndef AG_PROF_STACKS_H
#define AG_PROF_STACKS_H

#include "debug/look.h"
#include "debug/prof.h"

typedef struct ag__stack_count ag__stack_count;

/* The zero value is closed. */
typedef struct ag__stacks {
    ag__stack_count *at;     /* Constant once open. */
    uint32_t size;           /* Constant once open: a power of two. */
    _Atomic uint32_t inside; /* who is adding now */
    _Atomic bool open;
    _Atomic int64_t lost; /* samples of which there was no room for the stack */
} ag__stacks;

/* Takes memory for so many stacks, a power of two, the first time, and begins with none. One caller
 * at a time. 0, -ENOMEM. */
int ag__stacks_open(ag__stacks *s, uint32_t size);
/* What is added from now on is dropped; waits for those who are adding. What is there stays. */
void ag__stacks_close(ag__stacks *s);
/* Adds values to the count of this stack. From: anywhere, signal handlers too. */
void ag__stacks_add(ag__stacks *s, const ag__prof_sample *sample, const int64_t *values);
/* Adds all to a profile, `times` times, with a note if some were lost. */
void ag__stacks_gather(ag__stacks *s, ag__prof *p, int times);

#endif
