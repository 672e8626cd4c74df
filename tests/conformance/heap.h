/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the heap profile share: a place that allocates, and what a profile says of it.
 */
#ifndef CONFORMANCE_HEAP_H
#define CONFORMANCE_HEAP_H

#include "common.h"
#include "pprof.h"

/* Each is a line of its own in -top, by this very name; a program need not have all of them. */
#define ITSELF KEPT __attribute__((unused))
static ITSELF void *leaks(size_t n) {
    void *p = malloc(n);
    __asm__ volatile("" : "+r"(p)::"memory"); /* no tail call, and it must be there */
    return p;
}
static ITSELF void drops(size_t n) {
    void *p = malloc(n);
    __asm__ volatile("" : "+r"(p)::"memory");
    free(p);
    STAYS;
}

/* The file of the library; "": it is not there. */
static inline const char *shim_path(void) {
    static char line[4096 + 128];
    char *path = NULL;
    FILE *in = fopen("/proc/self/maps", "r");
    while (!path && fgets(line, sizeof line, in))
        if (strstr(line, "libaglet-heap"))
            path = strchr(line, '/');
    fclose(in);
    if (path)
        path[strcspn(path, "\n")] = 0;
    return path ? path : "";
}

/* Every block is sampled from the start, before there are other threads: no thread has bytes left
 * that it lets pass. One block comes before that, at the rate that is usual. */
static ITSELF void *leaks_early(size_t n) {
    void *p = malloc(n);
    __asm__ volatile("" : "+r"(p)::"memory");
    return p;
}
static ITSELF void lets_pass(size_t n) {
    void *p = malloc(n);
    __asm__ volatile("" : "+r"(p)::"memory");
    free(p);
    STAYS;
}
enum { EARLY = 1 << 24 }; /* 32 times the rate */
static void *early_block;
static int64_t rate_at_start;
static __attribute__((constructor(102))) void sample_all(void) {
    if (ag_profile_heap_rate(-1) < 0)
        return;
    early_block = leaks_early(EARLY);
    rate_at_start = ag_profile_heap_rate(1);
    for (int i = 0; i < 64; i++)
        lets_pass(rate_at_start > 1 << 20 ? (size_t)rate_at_start : 1 << 20);
}

/* Skips where there is no library. */
static inline void needs_library(void) {
    if (ag_profile_heap_rate(-1) == -ENOSYS)
        ag_skip("this build has no aglet-heap: malloc is the sanitizer's");
    if (ag_test_under("valgrind"))
        ag_skip("malloc is valgrind's");
}

/* From here on the rate is this one. */
static inline void needs_shim(int64_t rate) {
    needs_library();
    ag_check_int(ag_profile_heap_rate(rate), 1);
}

/* What `heap` or `allocs` says of those stacks whose innermost function is this one. */
static inline double heap_value(const char *profile, const char *index, const char *function) {
    static const char *const names[] = {"alloc_objects", "alloc_space", "inuse_objects",
                                        "inuse_space"};
    char target[64], place[128], *rest = NULL;
    long long v[4] = {0}, sum = 0;
    int which = 0;
    while (strcmp(names[which], index) != 0)
        which++;
    snprintf(target, sizeof target, "/debug/pprof/%s?debug=1", profile);
    char *text = answer_to(target);
    bool is_first = false;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (sscanf(line, "%lld %lld %lld %lld @", &v[0], &v[1], &v[2], &v[3]) == 4) {
            is_first = true;
        } else if (is_first && sscanf(line, "#\t0x%*x\t%127s", place) == 1) {
            sum += strcmp(place, function) == 0 ? v[which] : 0;
            is_first = false;
        }
    }
    free(text);
    return (double)sum;
}

#endif
