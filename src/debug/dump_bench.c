/* SPDX-License-Identifier: MIT */
/*
 * What a dump of very many parked goroutines costs: the CPU time of the thread that dumps, for each
 * form, and for each goroutine. dump_bench [goroutines]
 */
#include <aglet.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void wait_here(ag_chan(int) c) {
    ag_recv(c, NULL);
    __asm__ volatile(""); /* no tail call */
}

static void lock_it(ag_mutex *m) {
    ag_mutex_lock(m);
    ag_mutex_unlock(m);
}

static int64_t cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void measure(const char *name, int form, int64_t count) {
    FILE *out = fopen("/dev/null", "w");
    if (!out)
        exit(1);
    int64_t best = INT64_MAX;
    for (int round = 0; round < 5; round++) {
        int64_t begin = cpu_ns();
        ag_dump_as(out, form);
        int64_t took = cpu_ns() - begin;
        best = took < best ? took : best;
    }
    fclose(out);
    printf("%s of %lld goroutines: %.3f s, %lld ns each\n", name, (long long)count,
           (double)best / 1e9, (long long)(best / count));
}

/* Most wait for one channel, some for one of their own, some for a lock. */
static int run(void *arg) {
    int64_t count = *(int64_t *)arg;
    static ag_mutex m;
    ag_chan(int) all = ag_make(int, 0);
    ag_mutex_lock(&m);
    for (int64_t i = 0; i < count; i++) {
        if (i % 10 == 0)
            ag_go(lock_it, &m);
        else
            ag_go(wait_here, i % 10 == 1 ? ag_make(int, 0) : all);
    }
    ag_sleep(AG_SEC);
    measure("each", AG_DUMP_EACH, count);
    measure("groups", AG_DUMP_GROUPS, count);
    return 0;
}

int main(int argc, char **argv) {
    int64_t count = argc > 1 ? atoll(argv[1]) : 100000;
    return count > 0 ? ag_run(run, &count) : 1;
}
