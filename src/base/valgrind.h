/* SPDX-License-Identifier: MIT */
/*
 * valgrind.h - what valgrind is told: stacks of goroutines, and what may be read although it looks
 * wrong. Requests are a few instructions that do nothing outside of valgrind; nothing is linked.
 * Empty where the build does not find valgrind's headers, and under the sanitizers.
 *
 * Valgrind follows the stack pointer. One that leaves a known stack for another is a switch; any
 * other move makes memory valid or invalid. So each stack is made known, once, when its slot is
 * first used. While no goroutine has the slot it is off limits, but for the runtime's link at its
 * top; when one gets it the top page is new memory, and the rest becomes that as the stack grows.
 */
#ifndef AG_VALGRIND_H
#define AG_VALGRIND_H

#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>

#if !AG__ASAN && !AG__TSAN && !defined(NVALGRIND) && defined(__has_include)
#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#define AG__VALGRIND 1
#endif
#endif
#ifndef AG__VALGRIND
#define AG__VALGRIND 0
#endif

#if AG__VALGRIND

static inline bool ag__vg_here(void) {
    return RUNNING_ON_VALGRIND != 0;
}

static inline void ag__vg_stack(char *lo, char *hi) {
    (void)VALGRIND_STACK_REGISTER(lo, hi - 1);
}

static inline void ag__vg_off_limits(const void *at, size_t bytes) {
    (void)VALGRIND_MAKE_MEM_NOACCESS(at, bytes);
}

static inline void ag__vg_new_memory(void *at, size_t bytes) {
    (void)VALGRIND_MAKE_MEM_UNDEFINED(at, bytes);
}

/* The value was read on purpose, whatever it is. */
static inline void ag__vg_defined(const void *at, size_t bytes) {
    (void)VALGRIND_MAKE_MEM_DEFINED(at, bytes);
}

/* Between the two this thread may read what it likes. */
static inline void ag__vg_quiet_begin(void) {
    VALGRIND_DISABLE_ERROR_REPORTING;
}

static inline void ag__vg_quiet_end(void) {
    VALGRIND_ENABLE_ERROR_REPORTING;
}

#else

static inline bool ag__vg_here(void) {
    return false;
}

static inline void ag__vg_stack(char *lo, char *hi) {
    (void)lo;
    (void)hi;
}

static inline void ag__vg_off_limits(const void *at, size_t bytes) {
    (void)at;
    (void)bytes;
}

static inline void ag__vg_new_memory(void *at, size_t bytes) {
    (void)at;
    (void)bytes;
}

static inline void ag__vg_defined(const void *at, size_t bytes) {
    (void)at;
    (void)bytes;
}

static inline void ag__vg_quiet_begin(void) {
}

static inline void ag__vg_quiet_end(void) {
}

#endif
#endif
