/* SPDX-License-Identifier: MIT */
/*
 * sample.c - sampling by bytes, as Go and tcmalloc do.
 *
 * Points are strewn over the bytes that a thread allocates, on an average one in `rate` bytes, each
 * independent of the others: the distance from one to the next is -ln(u) * rate. A block is sampled
 * if a point falls into it, so with the probability
 *
 *     p = 1 - e^(-size / rate)
 *
 * whatever was allocated before, and then stands for 1/p blocks of its size: the expected value of
 * each sum is the truth. What is left of a distance behind a sampled block is drawn anew, which
 * changes nothing, since such a distance has no memory. Large blocks are as good as always sampled
 * and stand for themselves; small ones are rare and stand for many.
 *
 * The weight is taken when a block is sampled and kept with it. Go multiplies when it writes, with
 * the rate of that moment; so its rate must be set once, before anything else. Here it may change.
 *
 * Without libm: this is part of every malloc, and shall depend on nothing but the C library.
 */
#include "heap/sample.h"
#include <string.h>

/* While it is switched off a thread looks that often whether it still is. */
enum { LOOK_AGAIN = 1 << 20 };
static const int64_t rate_max = (int64_t)1 << 40;

/* ln(x) for x in (0, 1]: x = 2^e * m, ln m = 2 artanh((m-1)/(m+1)), m in [0.7, 1.4]. */
static double log_of(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int e = (int)(bits >> 52 & 0x7ff) - 1023;
    bits = (bits & ((UINT64_C(1) << 52) - 1)) | UINT64_C(1023) << 52;
    double m;
    memcpy(&m, &bits, sizeof m);
    if (m > 1.4142135623730951) {
        m /= 2;
        e++;
    }
    double t = (m - 1) / (m + 1), t2 = t * t, sum = 0;
    for (int k = 19; k > 0; k -= 2)
        sum = sum * t2 + 1.0 / k;
    return e * 0.6931471805599453 + 2 * t * sum;
}

/* 1 - e^-x for x >= 0: the series of e^-y - 1 at a small y, doubled by e^2y - 1 = w (w + 2). */
static double part_of(double x) {
    if (x > 40)
        return 1;
    int doublings = 0;
    for (; x > 1.0 / 64; x /= 2)
        doublings++;
    double w = 0;
    for (int k = 7; k > 0; k--)
        w = (w + 1) * -x / k;
    for (; doublings > 0; doublings--)
        w *= w + 2;
    return -w;
}

static uint64_t random_of(ag__heap_sampler *s) {
    uint64_t hi = ag__random(&s->random);
    return hi << 32 | ag__random(&s->random);
}

static void draw(ag__heap_sampler *s, int64_t rate) {
    s->rate = rate < rate_max ? rate : rate_max;
    if (rate <= 0) {
        s->rate = 0;
        s->left = LOOK_AGAIN;
    } else if (rate == 1) {
        s->left = 0;
    } else {
        double u = (double)((random_of(s) >> 11) + 1) / 9007199254740992.0; /* 2^53 */
        s->left = (int64_t)(-log_of(u) * (double)s->rate);
    }
}

bool ag__heap_sample(ag__heap_sampler *s, uint64_t bytes, int64_t rate, int64_t *ret_parts) {
    uint64_t size = ag__heap_size(bytes);
    if (!s->rate) {
        draw(s, rate);
        if (!s->rate || !ag__heap_passes(s, bytes))
            return false;
    }
    double p = s->rate == 1 ? 1 : part_of((double)size / (double)s->rate);
    *ret_parts = (int64_t)((1 << AG__HEAP_PART_BITS) / p + 0.5);
    draw(s, rate);
    return true;
}

int64_t ag__heap_bytes(uint64_t bytes, int64_t parts) {
    return (int64_t)((double)bytes * (double)parts / (1 << AG__HEAP_PART_BITS) + 0.5);
}
