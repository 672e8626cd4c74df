/* SPDX-License-Identifier: MIT */
/*
 * A program with an allocator of its own: aglet-heap, although linked, is not asked for memory, and
 * its profile is refused.
 */
#include "common.h"

static _Alignas(16) char pool[1 << 20];
static _Atomic size_t used;
static _Atomic int64_t calls;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN(name) own_##name
#else
#define OWN(name) name
#endif
#define SEEN __attribute__((visibility("default")))

/* Never gives anything back; enough for this test. Compiled without builtins: it is what it says.
 */
SEEN void *OWN(malloc)(size_t n);
SEEN void OWN(free)(void *p);
SEEN void *OWN(calloc)(size_t count, size_t n);
SEEN void *OWN(realloc)(void *p, size_t n);
void *OWN(malloc)(size_t n) {
    size_t bytes = (n + 31) & ~(size_t)15, at = atomic_fetch_add(&used, bytes);
    atomic_fetch_add(&calls, 1);
    if (at + bytes > sizeof pool)
        return NULL;
    *(size_t *)(void *)(pool + at) = n;
    return pool + at + 16;
}
void OWN(free)(void *p) {
    (void)p;
}
void *OWN(calloc)(size_t count, size_t n) {
    return OWN(malloc)(count * n); /* zeros: nothing is used twice */
}
void *OWN(realloc)(void *p, size_t n) {
    void *to = OWN(malloc)(n);
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
    free(p);
    ag_check(atomic_load(&calls) > before);
}
