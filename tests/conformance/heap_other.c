/* SPDX-License-Identifier: MIT */
/*
 * A program with an allocator of its own: aglet-heap, although linked, is not asked for memory, and
 * its profile is refused.
 */
#include "common.h"

static char pool[1 << 20];
static _Atomic size_t used;
static _Atomic int64_t calls;

/* Never gives anything back; enough for this test. */
__attribute__((visibility("default"))) void *malloc(size_t n) {
    size_t bytes = (n + 31) & ~(size_t)15, at = atomic_fetch_add(&used, bytes);
    atomic_fetch_add(&calls, 1);
    if (at + bytes > sizeof pool)
        return NULL;
    *(size_t *)(void *)(pool + at) = n;
    return pool + at + 16;
}
__attribute__((visibility("default"))) void free(void *p) {
    (void)p;
}
__attribute__((visibility("default"))) void *calloc(size_t count, size_t n) {
    return malloc(count * n); /* zeros: nothing is used twice */
}
__attribute__((visibility("default"))) void *realloc(void *p, size_t n) {
    void *to = malloc(n);
    if (to && p) {
        size_t had = *(size_t *)(void *)((char *)p - 16);
        memcpy(to, p, had < n ? had : n);
    }
    return to;
}

AG_TEST(an_allocator_of_the_program_s_own_has_no_heap_profile) {
    int64_t before = atomic_load(&calls), r = ag_profile_heap_rate(1);
    if (r == -ENOSYS)
        ag_skip("this build has no aglet-heap: malloc is the sanitizer's");
    ag_check_int(r, -EOPNOTSUPP);
    void *p = malloc(100);
    __asm__ volatile("" : "+r"(p)::"memory"); /* it must be there */
    free(p);
    ag_check(atomic_load(&calls) > before);
}
