/* SPDX-License-Identifier: MIT */
/*
 * What the stress tests share. A stress test runs the same code for checks as any other, but
 * many times, by many, at the same time; what must hold at the end is a sum. Sizes are meant for
 * two processors and some seconds; AG_TEST_SCALE (percent) makes them larger or smaller.
 */
#ifndef STRESS_H
#define STRESS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
/* Under load a thousand take their time. */
#define AG_TEST_PATIENCE 40
#define AG_TEST_LOOK_AGAIN AG_MS
#include "ag_test.h"
#include <aglet.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* `n`, scaled by AG_TEST_SCALE and down where everything is slow; at least 1. */
static inline int scaled(int n) {
    const char *text = getenv("AG_TEST_SCALE");
    long long percent = text ? atoll(text) : 100, slow = ag_test_slow() > 1 ? 10 : 1;
    long long result = n * percent / 100 / slow;
    return result < 1 ? 1 : (int)result;
}

/* How many goroutines may wait at the same time: ThreadSanitizer knows some 8,000 threads. */
static inline int live_at_most(int n) {
#if defined(__SANITIZE_THREAD__)
    return n < 5000 ? n : 5000;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
    return n < 5000 ? n : 5000;
#endif
#endif
    return n;
}

/* A small generator of its own for every goroutine, so that runs differ by schedule only. */
struct dice {
    uint64_t state;
};

static inline uint32_t roll(struct dice *d, uint32_t sides) {
    d->state = d->state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(d->state >> 33) % sides;
}

/* Burns about `us` microseconds of CPU outside of the runtime. */
static inline void burn_us(int us) {
    for (ag_time end = ag_now() + us * AG_US; ag_now() < end;)
        for (volatile int i = 0; i < 50; i++)
            continue;
}

#endif
