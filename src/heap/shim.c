/* SPDX-License-Identifier: MIT */
/*
 * shim.c - malloc and its relatives, preloaded or linked before the C library: each call goes on to
 * the next library that has such a function, and now and then one is written down.
 *
 * A call that is not sampled costs a subtraction from a counter of its thread and a branch, a free
 * one look at a byte (blocks.h). What is sampled walks its stack, finds the count of that stack
 * (stacks.h), and puts the block's address with it into a set (blocks.h); free and realloc take it
 * out before the real one gives the address to somebody else.
 *
 * Nothing here takes a lock, waits or allocates: so a signal handler, a child of fork and a thread
 * that nobody knows of may do what they may do with the real malloc. `inside` keeps what happens
 * while a call is written down - by a handler that came in between - from being written down, too.
 * A goroutine does not change threads inside of malloc, so thread-locals hold over a call.
 *
 * The real functions are found by dlsym at the first call. dlsym may allocate itself, in old C
 * libraries: what it asks for then comes from a small arena and is never given back; its pages are
 * marked as possibly sampled, so that free comes to look. Refused: __libc_malloc, which would pass
 * by an allocator that is linked behind this one, and give its malloc_usable_size our blocks.
 *
 * Where a sanitizer is in the process, malloc is its business: calls go on to it, nothing is
 * written down, and the runtime is told so.
 */
#include "heap/blocks.h"
#include "heap/heap.h"
#include "heap/sample.h"
#include "heap/stacks.h"
#include "os/os.h"
#include "os/unwind.h"
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { UNSET = -1, RATE = 512 * 1024, ARENA = 16 * 1024, OWN_FRAMES = 8 };

static __thread struct {
    ag__heap_sampler sampler;
    bool inside;    /* a call is being written down */
    bool resolving; /* the real functions are being looked for */
} t;

static _Atomic int64_t rate = UNSET;   /* Atomic; relaxed. */
static _Atomic bool aside;             /* Atomic: malloc is not ours. Set by resolve. */
static _Atomic int64_t lost;           /* Atomic; relaxed. */
static _Atomic ag__heap_tag_fn tag_fn; /* Atomic. */

/* ---- The real functions --------------------------------------------------------------------- */

static void *first_malloc(size_t n);
static void *first_calloc(size_t count, size_t n);
static void *first_realloc(void *p, size_t n);
static void first_free(void *p);
static void *first_aligned_alloc(size_t alignment, size_t n);
static void *first_memalign(size_t alignment, size_t n);
static int first_posix_memalign(void **ret, size_t alignment, size_t n);
static void *first_valloc(size_t n);
static void *first_pvalloc(size_t n);

/* Each is set once, from the function that looks for them all; whoever sees the old one looks, too,
 * and finds the same. */
static struct {
    void *(*malloc)(size_t n);
    void *(*calloc)(size_t count, size_t n);
    void *(*realloc)(void *p, size_t n);
    void (*free)(void *p);
    void *(*aligned_alloc)(size_t alignment, size_t n);
    void *(*memalign)(size_t alignment, size_t n);
    int (*posix_memalign)(void **ret, size_t alignment, size_t n);
    void *(*valloc)(size_t n);
    void *(*pvalloc)(size_t n);
} real = {first_malloc,   first_calloc,         first_realloc, first_free,   first_aligned_alloc,
          first_memalign, first_posix_memalign, first_valloc,  first_pvalloc};

static _Alignas(16) char arena[ARENA];
static _Atomic size_t arena_used;

static bool in_arena(const void *p) {
    return (uintptr_t)p - (uintptr_t)arena < sizeof arena;
}

/* Zeros. */
static void *arena_take(size_t n) {
    size_t bytes = n < sizeof arena ? (n + 15) & ~(size_t)15 : sizeof arena;
    size_t at = atomic_fetch_add(&arena_used, bytes);
    if (at > sizeof arena - bytes) {
        atomic_fetch_sub(&arena_used, bytes);
        errno = ENOMEM;
        return NULL;
    }
    for (size_t i = 0; i < bytes; i += 16)
        ag__heap_keep_page(arena + at + i);
    return arena + at;
}

static void *next(const char *name) {
    return dlsym(RTLD_NEXT, name);
}

/* A function pointer from dlsym, which C has no cast for. */
#define SET(name)                                                                                  \
    do {                                                                                           \
        void *found_ = next(#name);                                                                \
        if (found_)                                                                                \
            __atomic_store(&real.name, (__typeof__(real.name) *)(void *)&found_,                   \
                           __ATOMIC_RELAXED);                                                      \
    } while (0)

/* Whether calls come to somebody else first, or are a sanitizer's business. */
static bool stands_aside(void) {
    static const char *const sanitizers[] = {"__asan_init", "__tsan_init", "__msan_init",
                                             "__hwasan_init", "__lsan_init"};
    for (size_t i = 0; i < sizeof sanitizers / sizeof *sanitizers; i++)
        if (dlsym(RTLD_DEFAULT, sanitizers[i]))
            return true;
    return dlsym(RTLD_DEFAULT, "malloc") != (void *)malloc;
}

static AG__COLD void resolve(void) {
    int saved = errno;
    t.resolving = true;
    SET(malloc);
    SET(calloc);
    SET(realloc);
    SET(free);
    SET(aligned_alloc);
    SET(memalign);
    SET(posix_memalign);
    SET(valloc);
    SET(pvalloc);
    atomic_store(&aside, stands_aside());
    t.resolving = false;
    errno = saved;
}

/* A function that no library has: as if there were no memory. */
#define FIRST(name, args)                                                                          \
    resolve();                                                                                     \
    if (real.name == first_##name) {                                                               \
        errno = ENOMEM;                                                                            \
        return 0;                                                                                  \
    }                                                                                              \
    return real.name args

static void *first_malloc(size_t n) {
    if (t.resolving)
        return arena_take(n);
    FIRST(malloc, (n));
}
static void *first_calloc(size_t count, size_t n) {
    size_t bytes;
    if (t.resolving)
        return __builtin_mul_overflow(count, n, &bytes) ? NULL : arena_take(bytes);
    FIRST(calloc, (count, n));
}
static void *first_realloc(void *p, size_t n) {
    if (t.resolving)
        return p ? NULL : arena_take(n); /* what is in the arena does not come here */
    FIRST(realloc, (p, n));
}
static void first_free(void *p) {
    if (!t.resolving)
        resolve();
    if (real.free != first_free)
        real.free(p);
}
static void *first_aligned_alloc(size_t alignment, size_t n) {
    FIRST(aligned_alloc, (alignment, n));
}
static void *first_memalign(size_t alignment, size_t n) {
    FIRST(memalign, (alignment, n));
}
static int first_posix_memalign(void **ret, size_t alignment, size_t n) {
    resolve();
    return real.posix_memalign == first_posix_memalign ? ENOMEM
                                                       : real.posix_memalign(ret, alignment, n);
}
static void *first_valloc(size_t n) {
    FIRST(valloc, (n));
}
static void *first_pvalloc(size_t n) {
    FIRST(pvalloc, (n));
}

/* ---- What is written down ------------------------------------------------------------------- */

/* AGLET_HEAP_RATE: bytes, with k, m, g. */
static int64_t rate_asked(void) {
    const char *text = getenv("AGLET_HEAP_RATE"), *at = text;
    int64_t n = 0;
    for (; at && *at >= '0' && *at <= '9' && n < INT64_MAX / 16; at++)
        n = n * 10 + (*at - '0');
    if (!at || at == text)
        return RATE;
    int shift = (*at | 32) == 'k' ? 10 : (*at | 32) == 'm' ? 20 : (*at | 32) == 'g' ? 30 : 0;
    at += shift > 0;
    return *at || n > INT64_MAX >> 31 ? RATE : n << shift;
}

/* The rate; negative: it is too early to know. The environment is there before any constructor
 * runs. */
static int64_t rate_now(void) {
    int64_t now = atomic_load_explicit(&rate, memory_order_relaxed);
    if (now >= 0 || !environ || t.resolving || real.malloc == first_malloc)
        return now;
    int64_t asked = atomic_load(&aside) ? 0 : rate_asked();
    return atomic_compare_exchange_strong(&rate, &now, asked) ? asked : now;
}

static void seed(void) {
    static _Atomic uint64_t threads;
    uint64_t x = (atomic_fetch_add(&threads, 1) + 1) * UINT64_C(0x9e3779b97f4a7c15);
    x ^= (uint64_t)ag__os_now() ^ (uintptr_t)&t;
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    t.sampler.random = x | 1;
}

/* The stack of who called malloc, at `caller`. Frames of this library are left out. */
static int stack_of(const void *caller, uintptr_t pcs[AG__HEAP_FRAMES]) {
    uintptr_t all[AG__HEAP_FRAMES + OWN_FRAMES];
    int n = ag__unwind_here(all, AG__HEAP_FRAMES + OWN_FRAMES, 0), own = 0;
    while (own < n && own < OWN_FRAMES && all[own] != (uintptr_t)caller)
        own++;
    if (own == n || all[own] != (uintptr_t)caller)
        own = 0;
    n = n - own < AG__HEAP_FRAMES ? n - own : AG__HEAP_FRAMES;
    memcpy(pcs, all + own, (size_t)n * sizeof *pcs);
    return n;
}

static void write_down(void *p, size_t n, int64_t parts, const void *caller) {
    uintptr_t pcs[AG__HEAP_FRAMES];
    _Alignas(16) char tag[AG__HEAP_TAG];
    ag__heap_tag_fn fn = atomic_load(&tag_fn);
    size_t tag_bytes = fn ? fn(tag) : 0;
    int frames = stack_of(caller, pcs);
    int64_t count = ag__heap_count_of(pcs, frames, tag, tag_bytes);
    ag__heap_block block = {.bytes = n, .parts = parts, .count = (uint32_t)count};
    if (count < 0 || !ag__heap_put(p, &block))
        atomic_fetch_add_explicit(&lost, 1, memory_order_relaxed);
    else
        ag__heap_allocated(&block);
}

/* The thread's counter has run out at this block, of n bytes; p may be NULL. Returns p. */
static AG__COLD void *passed(void *p, size_t n, const void *caller) {
    int64_t parts, now = t.inside ? UNSET : rate_now();
    if (now < 0)
        return p;
    int saved = errno;
    t.inside = true;
    AG__COMPILER_BARRIER();
    if (!t.sampler.random)
        seed();
    if (ag__heap_sample(&t.sampler, n, now, &parts) && p)
        write_down(p, n, parts, caller);
    AG__COMPILER_BARRIER();
    t.inside = false;
    errno = saved;
    return p;
}

/* ---- The functions -------------------------------------------------------------------------- */

#define CALLER __builtin_extract_return_addr(__builtin_return_address(0))

/* The ways that are rarely gone are functions of their own, so that the others need no frame. */
static AG__COLD void *malloc_passed(size_t n, const void *caller) {
    return passed(real.malloc(n), n, caller);
}

AG__EXPORT void *malloc(size_t n) {
    if (ag__heap_passes(&t.sampler, n))
        return malloc_passed(n, CALLER);
    return real.malloc(n);
}

static AG__COLD void *calloc_passed(size_t count, size_t n, const void *caller) {
    return passed(real.calloc(count, n), count * n, caller);
}

AG__EXPORT void *calloc(size_t count, size_t n) {
    size_t bytes;
    if (__builtin_mul_overflow(count, n, &bytes))
        return real.calloc(count, n); /* which says no */
    if (ag__heap_passes(&t.sampler, bytes))
        return calloc_passed(count, n, CALLER);
    return real.calloc(count, n);
}

static AG__COLD void free_sampled(void *p) {
    ag__heap_block block;
    if (in_arena(p))
        return;
    if (ag__heap_take(p, &block))
        ag__heap_freed(&block);
    real.free(p);
}

AG__EXPORT void free(void *p) {
    if (AG__UNLIKELY(ag__heap_may_have(p)))
        free_sampled(p);
    else
        real.free(p);
}

/* Of a block that is sampled, perhaps: that one is over, and the new one another, which may be
 * sampled or not. If there is no memory it goes on. */
static AG__COLD void *realloc_sampled(void *p, size_t n) {
    ag__heap_block block;
    if (in_arena(p)) {
        void *to = real.malloc(n);
        size_t room = sizeof arena - (size_t)((char *)p - arena);
        return to ? memcpy(to, p, n < room ? n : room) : NULL;
    }
    bool is_sampled = ag__heap_take(p, &block);
    void *to = real.realloc(p, n);
    if (is_sampled && (to || n == 0 || !ag__heap_put(p, &block)))
        ag__heap_freed(&block);
    return to;
}

static AG__COLD void *realloc_passed(void *p, size_t n, const void *caller) {
    return passed(ag__heap_may_have(p) ? realloc_sampled(p, n) : real.realloc(p, n), n, caller);
}

static AG__ALWAYS_INLINE void *realloc_for(void *p, size_t n, const void *caller) {
    if (ag__heap_passes(&t.sampler, n))
        return realloc_passed(p, n, caller);
    if (AG__UNLIKELY(ag__heap_may_have(p)))
        return realloc_sampled(p, n);
    return real.realloc(p, n);
}

AG__EXPORT void *realloc(void *p, size_t n) {
    return realloc_for(p, n, CALLER);
}

AG__EXPORT void *reallocarray(void *p, size_t count, size_t n) {
    size_t bytes;
    if (__builtin_mul_overflow(count, n, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc_for(p, bytes, CALLER);
}

AG__EXPORT void *aligned_alloc(size_t alignment, size_t n) {
    bool passes = ag__heap_passes(&t.sampler, n);
    void *p = real.aligned_alloc(alignment, n);
    return passes ? passed(p, n, CALLER) : p;
}

AG__EXPORT void *memalign(size_t alignment, size_t n) {
    bool passes = ag__heap_passes(&t.sampler, n);
    void *p = real.memalign(alignment, n);
    return passes ? passed(p, n, CALLER) : p;
}

AG__EXPORT int posix_memalign(void **ret, size_t alignment, size_t n) {
    bool passes = ag__heap_passes(&t.sampler, n);
    int r = real.posix_memalign(ret, alignment, n);
    if (passes)
        passed(r == 0 ? *ret : NULL, n, CALLER);
    return r;
}

AG__EXPORT void *valloc(size_t n) {
    bool passes = ag__heap_passes(&t.sampler, n);
    void *p = real.valloc(n);
    return passes ? passed(p, n, CALLER) : p;
}

AG__EXPORT void *pvalloc(size_t n) {
    bool passes = ag__heap_passes(&t.sampler, n);
    void *p = real.pvalloc(n);
    return passes ? passed(p, n, CALLER) : p;
}

/* C23; C libraries that have them free by themselves, and the address would stay in the set. */
AG__EXPORT void free_sized(void *p, size_t n);
AG__EXPORT void free_aligned_sized(void *p, size_t alignment, size_t n);
void free_sized(void *p, size_t n) {
    (void)n;
    free(p);
}
void free_aligned_sized(void *p, size_t alignment, size_t n) {
    (void)alignment;
    (void)n;
    free(p);
}

/* ---- What the runtime asks ------------------------------------------------------------------ */

static bool is_used(void) {
    if (real.malloc == first_malloc)
        resolve();
    return !atomic_load(&aside);
}

static int64_t change_rate(int64_t bytes) {
    if (real.malloc == first_malloc)
        resolve();
    int64_t now = rate_now();
    if (now < 0 || bytes < 0 || atomic_load(&aside))
        return now < 0 ? 0 : now;
    return atomic_exchange_explicit(&rate, bytes, memory_order_relaxed);
}

static void set_tag(ag__heap_tag_fn fn) {
    atomic_store(&tag_fn, fn);
}

static int64_t lost_now(void) {
    return atomic_load_explicit(&lost, memory_order_relaxed);
}

AG__EXPORT const ag__heap_shim *ag_heap_shim(int version);
const ag__heap_shim *ag_heap_shim(int version) {
    static const ag__heap_shim shim = {is_used,       change_rate,      set_tag,
                                       ag__heap_each, ag__heap_crowded, lost_now};
    return version == AG__HEAP_VERSION ? &shim : NULL;
}
