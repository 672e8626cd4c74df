/* SPDX-License-Identifier: MIT */
/*
 * base.h - the door of floor 0: nothing but C. Compiler words, assertions, throw, random bits.
 *
 * Three classes of faults, three mechanisms: what may happen is a negative errno value; the
 * caller's mistake is a panic; a broken runtime is ag__throw, which allocates nothing and ends
 * the process.
 */
#ifndef AG_BASE_H
#define AG_BASE_H

#include "base/compiler.h"
#include "base/valgrind.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Ends the process with status 2 after `fatal error: TEXT` on stderr. Any thread, any state. */
void ag__throw(const char *text) __attribute__((noreturn, cold));

/* A check of our own state; in builds with AG_CHECK only. */
#if AG_CHECK
#define ag__assert(cond) ((cond) ? (void)0 : ag__throw("broken invariant: " #cond))
#else
#define ag__assert(cond) ((void)sizeof(!(cond)))
#endif

#define ag__container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* Constants shrink under AG_TINY so that the edges are common. */
#ifdef AG_TINY
#define AG__SIZE(normal, tiny) (tiny)
#else
#define AG__SIZE(normal, tiny) (normal)
#endif

/* xorshift64*: fast, seeded per processor. State must not be 0. */
static inline uint32_t ag__random(uint64_t *state) {
    uint64_t x = *state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return (uint32_t)((x * 0x2545F4914F6CDD1Dull) >> 32);
}

/* 0 .. n-1, without a division. */
static inline uint32_t ag__random_below(uint64_t *state, uint32_t n) {
    return (uint32_t)(((uint64_t)ag__random(state) * n) >> 32);
}

/* Every reference-counted object starts with this. */
typedef struct ag__object {
    void (*free)(struct ag__object *); /* Constant. */
    _Atomic int32_t refs;              /* Atomic; the drop to 0 frees, acquire and release. */
} ag__object;

/* One reference more, unless the last one has gone. Not ordered: who finds an object in a list
 * finds it under the list's lock. */
static inline bool ag__object_try_ref(ag__object *o) {
    int32_t refs = atomic_load_explicit(&o->refs, memory_order_relaxed);
    while (refs > 0)
        if (atomic_compare_exchange_weak_explicit(&o->refs, &refs, refs + 1, memory_order_relaxed,
                                                  memory_order_relaxed))
            return true;
    return false;
}

static inline void ag__object_init(ag__object *o, void (*free_fn)(ag__object *)) {
    o->free = free_fn;
    atomic_store_explicit(&o->refs, 1, memory_order_relaxed);
}

#endif
