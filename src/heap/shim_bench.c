/* SPDX-License-Identifier: MIT */
/*
 * What aglet-heap costs: pairs of malloc and free, with the library preloaded and without, in runs
 * after each other: medians of CPU time, and their ratios.
 *
 *     heap_shim_bench PATH-OF-libaglet-heap.so [ROUNDS]
 *     heap_shim_bench --run PATTERN                        one run, as it is
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PAIRS = 4000000, HELD = 4096, ROUNDS_MAX = 101 };

static void must(int truth, const char *what) {
    if (!truth) {
        fprintf(stderr, "heap_shim_bench: %s\n", what);
        exit(1);
    }
}

static double cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* The cheapest pair there is: always the same block of the thread's cache. */
static void pairs_of(size_t n) {
    for (int i = 0; i < PAIRS; i++) {
        void *p = malloc(n);
        __asm__ volatile("" : "+r"(p)::"memory");
        free(p);
    }
}

/* Blocks of 16 to 1040 bytes, each freed some thousand allocations later. */
static void mixed(void) {
    static void *held[HELD];
    uint32_t x = 1;
    for (int i = 0; i < PAIRS; i++) {
        x = x * 1664525 + 1013904223;
        void **at = &held[x >> 20 & (HELD - 1)];
        free(*at);
        *at = malloc(16 + (x >> 8 & 1023));
        must(*at != NULL, "no memory");
        *(char *)*at = 1;
    }
}

static int run(const char *pattern) {
    double began = cpu_ns();
    if (strcmp(pattern, "same") == 0)
        pairs_of(64);
    else
        mixed();
    printf("%f\n", (cpu_ns() - began) / PAIRS);
    return 0;
}

struct setting {
    const char *name, *rate; /* NULL: without the library */
};
static const struct setting settings[] = {
    {"without", NULL}, {"off", "0"}, {"512k", "512k"}, {"64k", "64k"}, {"every block", "1"}};
enum { SETTINGS = sizeof settings / sizeof *settings };

static double one(const char *self, const char *library, const struct setting *s,
                  const char *pattern) {
    char command[4096];
    double ns = 0;
    snprintf(command, sizeof command, "%s%s%s AGLET_HEAP_RATE=%s '%s' --run %s",
             s->rate ? "LD_PRELOAD='" : "", s->rate ? library : "", s->rate ? "'" : "",
             s->rate ? s->rate : "", self, pattern);
    FILE *in = popen(command, "r");
    must(in && fscanf(in, "%lf", &ns) == 1 && pclose(in) == 0, command);
    return ns;
}

static int smaller_first(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void compare(const char *self, const char *library, const char *pattern, int rounds) {
    static double ns[SETTINGS][ROUNDS_MAX];
    for (int round = 0; round < rounds; round++)
        for (int i = 0; i < SETTINGS; i++)
            ns[i][round] = one(self, library, &settings[i], pattern);
    for (int i = 0; i < SETTINGS; i++)
        qsort(ns[i], (size_t)rounds, sizeof(double), smaller_first);
    for (int i = 0; i < SETTINGS; i++)
        printf("%s, %s: %.1f ns a pair, %+.1f %%\n", pattern, settings[i].name, ns[i][rounds / 2],
               (ns[i][rounds / 2] / ns[0][rounds / 2] - 1) * 100);
}

int main(int argc, char **argv) {
    char self[2048];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    must(n > 0, "who am I?");
    self[n] = 0;
    if (argc == 3 && strcmp(argv[1], "--run") == 0)
        return run(argv[2]);
    must(argc >= 2, "which library? PATH-OF-libaglet-heap.so [ROUNDS]");
    int rounds = argc > 2 ? atoi(argv[2]) : 11;
    must(rounds > 0 && rounds <= ROUNDS_MAX, "1 to 101 rounds");
    compare(self, argv[1], "same", rounds);
    compare(self, argv[1], "mixed", rounds);
    return 0;
}
