/* SPDX-License-Identifier: MIT */
/*
 * Every function that aglet-heap stands in for: found under its caller, and in all else what the C
 * library's own is - alignment, contents, errno, the edges.
 */
#include "heap.h"
#include <malloc.h>

enum { N = 10000 };

#define SITE(name, call)                                                                           \
    static KEPT void *site_##name(void) {                                                          \
        void *p = call;                                                                            \
        __asm__ volatile("" : "+r"(p)::"memory");                                                  \
        return p;                                                                                  \
    }

SITE(malloc, malloc(N))
SITE(calloc, calloc(N / 10, 10))
SITE(realloc, realloc(NULL, N))
SITE(reallocarray, reallocarray(NULL, N / 100, 100))
SITE(aligned_alloc, aligned_alloc(16, N))
SITE(memalign, memalign(64, N))
SITE(valloc, valloc(N))
SITE(pvalloc, pvalloc(N))

static KEPT void *site_posix_memalign(void) {
    void *p = NULL;
    ag_check_int(posix_memalign(&p, 128, N), 0);
    return p;
}
static void *by_posix_memalign(size_t alignment, size_t n) {
    void *p = NULL;
    return posix_memalign(&p, alignment, n) == 0 ? p : NULL;
}

static const struct {
    const char *name;
    void *(*call)(void);
} sites[] = {{"site_malloc", site_malloc},
             {"site_calloc", site_calloc},
             {"site_realloc", site_realloc},
             {"site_reallocarray", site_reallocarray},
             {"site_aligned_alloc", site_aligned_alloc},
             {"site_memalign", site_memalign},
             {"site_valloc", site_valloc},
             {"site_pvalloc", site_pvalloc},
             {"site_posix_memalign", site_posix_memalign}};

AG_TEST(each_function_is_found_under_its_caller) {
    void *blocks[COUNT(sites)];
    needs_go();
    needs_shim(1);
    for (size_t i = 0; i < COUNT(sites); i++)
        blocks[i] = sites[i].call();
    const char *options = "-top -unit=b -nodefraction=0";
    char *path = profile_of("heap"), *text = pprof(path, options);
    for (size_t i = 0; i < COUNT(sites); i++)
        if (pprof_flat(text, sites[i].name) != N)
            ag_fail("%s: %s", sites[i].name, text);
    free(text);
    forget(path);
    for (size_t i = 0; i < COUNT(sites); i++)
        free(blocks[i]);
    path = profile_of("heap");
    text = pprof(path, options);
    ag_check(strstr(text, "site_") == NULL);
    free(text);
    forget(path);
}

/* What follows is done while each block is sampled, and while nearly none is. */
static const int64_t rates[] = {1, 512 * 1024};

static void check_block(void *p, size_t alignment, size_t n) {
    ag_check(p != NULL);
    ag_check_int((uintptr_t)p % alignment, 0);
    ag_check(malloc_usable_size(p) >= n);
    memset(p, 0x5a, n);
}

AG_TEST(blocks_are_aligned_as_asked) {
    needs_library();
    for (size_t r = 0; r < COUNT(rates); r++) {
        ag_profile_heap_rate(rates[r]);
        for (size_t n = 0; n < 5000; n = n * 3 / 2 + 1) {
            void *p = malloc(n);
            check_block(p, _Alignof(max_align_t), n);
            p = realloc(p, n + 100);
            check_block(p, _Alignof(max_align_t), n + 100);
            free(p);
            for (size_t alignment = 16; alignment <= 65536; alignment *= 4) {
                free((check_block(p = aligned_alloc(alignment, alignment), alignment, alignment),
                      p));
                free((check_block(p = memalign(alignment, n), alignment, n), p));
                free((check_block(p = by_posix_memalign(alignment, n), alignment, n), p));
            }
            size_t page = (size_t)sysconf(_SC_PAGESIZE);
            free((check_block(p = valloc(n), page, n), p));
            free((check_block(p = pvalloc(n), page, n), p));
        }
    }
}

AG_TEST(contents_are_kept_and_zeroed) {
    needs_library();
    for (size_t r = 0; r < COUNT(rates); r++) {
        ag_profile_heap_rate(rates[r]);
        for (size_t n = 1; n < 300000; n = n * 3 + 1) {
            unsigned char *p = malloc(n);
            memset(p, 0xff, n);
            free(p);
            p = calloc(n, 1); /* often what was just freed */
            for (size_t i = 0; i < n; i++)
                ag_check(p[i] == 0);
            for (size_t i = 0; i < n; i++)
                p[i] = (unsigned char)(i * 7);
            p = realloc(p, 2 * n);
            p = reallocarray(p, n + 3, 3);
            p = realloc(p, n);
            for (size_t i = 0; i < n; i++)
                ag_check(p[i] == (unsigned char)(i * 7));
            free(p);
        }
    }
}

AG_TEST(no_bytes_are_a_block_of_its_own) {
    needs_library();
    for (size_t r = 0; r < COUNT(rates); r++) {
        ag_profile_heap_rate(rates[r]);
        void *p = malloc(0), *q = malloc(0), *z = calloc(0, 8), *y = calloc(8, 0);
        ag_check(p && q && z && y && p != q && z != y);
        free(p);
        free(q);
        free(z);
        free(y);
        p = realloc(NULL, 0);
        ag_check(p != NULL);
        ag_check_ptr(realloc(p, 0), NULL); /* glibc: freed */
        free(NULL);
    }
}

/* The compiler knows that these fail. */
static volatile size_t huge = PTRDIFF_MAX, half = (size_t)1 << 63, most = SIZE_MAX;

AG_TEST(what_can_not_be_had_is_refused_as_ever) {
    needs_library();
    for (size_t r = 0; r < COUNT(rates); r++) {
        ag_profile_heap_rate(rates[r]);
        void *volatile kept = malloc(100);
        void *p = &p;
        memset(kept, 9, 100);
#define REFUSED(call, error)                                                                       \
    do {                                                                                           \
        errno = 0;                                                                                 \
        ag_check_ptr(call, NULL);                                                                  \
        ag_check_int(errno, error);                                                                \
    } while (0)
        REFUSED(malloc(huge), ENOMEM);
        REFUSED(malloc(most), ENOMEM);
        REFUSED(calloc(half, 2), ENOMEM);
        REFUSED(calloc(huge, 1), ENOMEM);
        REFUSED(realloc(kept, huge), ENOMEM);
        REFUSED(reallocarray(kept, half, 4), ENOMEM);
        REFUSED(reallocarray(NULL, half, 2), ENOMEM);
        REFUSED(reallocarray(kept, huge, 1), ENOMEM);
        REFUSED(aligned_alloc(64, huge), ENOMEM);
        REFUSED(memalign(64, huge), ENOMEM);
        REFUSED(valloc(huge), ENOMEM);
        REFUSED(pvalloc(most), ENOMEM);
        errno = 77;
        ag_check_int(posix_memalign(&p, 3, 100), EINVAL);
        ag_check_int(posix_memalign(&p, 24, 100), EINVAL);
        ag_check_int(posix_memalign(&p, 64, huge), ENOMEM);
        ag_check_ptr(p, &p); /* not touched */
        for (int i = 0; i < 100; i++)
            ag_check(((char *)kept)[i] == 9);
        free(kept);
    }
}

AG_TEST(what_works_leaves_errno_alone) {
    needs_library();
    for (size_t r = 0; r < COUNT(rates); r++) {
        ag_profile_heap_rate(rates[r]);
        errno = 77;
        void *p = malloc(100);
        p = realloc(p, 100000);
        p = reallocarray(p, 100, 20);
        free(p);
        free(calloc(10, 10));
        free(aligned_alloc(64, 640));
        free(memalign(64, 100));
        free(by_posix_memalign(64, 100));
        free(valloc(10));
        free(pvalloc(10));
        free(malloc(1 << 22)); /* its own mapping */
        ag_check_int(errno, 77);
    }
}

/* The C library's own calls come through, too. */
static KEPT char *copies(const char *text) {
    char *copy = strdup(text);
    __asm__ volatile("" : "+r"(copy)::"memory");
    return copy;
}
AG_TEST(what_the_c_library_allocates_is_seen) {
    needs_go();
    needs_shim(1);
    static char text[30000];
    memset(text, 'x', sizeof text - 1);
    char *copy = copies(text);
    char *path = profile_of("heap"), *top = pprof(path, "-top -unit=b -nodefraction=0");
    ag_check_int(pprof_cum(top, "copies"), sizeof text);
    free(top);
    forget(path);
    free(copy);
    ag_check_int(heap_value("heap", "inuse_space", "copies"), 0);
}
