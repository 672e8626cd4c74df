/* SPDX-License-Identifier: MIT */
/*
 * Sampling: how far apart samples are, what they stand for, and that the sums are the truth on an
 * average. The random numbers are seeded, so each run is the same.
 */
#include "ag_test.h"
#include "heap/sample.h"
#include <math.h>

static const double part = 1 << AG__HEAP_PART_BITS;

typedef struct sums {
    double blocks, bytes; /* scaled */
    int64_t samples;
} sums;

static void allocate(ag__heap_sampler *s, uint64_t bytes, int64_t rate, sums *to) {
    int64_t parts;
    if (!ag__heap_passes(s, bytes) || !ag__heap_sample(s, bytes, rate, &parts))
        return;
    to->blocks += (double)parts / part;
    to->bytes += (double)ag__heap_bytes(bytes, parts);
    to->samples++;
}

/* Five times the standard deviation of the sum of n blocks, each of which is seen with the
 * probability p and then counts 1/p; and what rounding may add. */
static double bound(int64_t n, double p) {
    return 5 * sqrt((double)n * (1 - p) / p) + 1e-3 * (double)n;
}

static void check_near(double found, double truth, double most, uint64_t bytes) {
    if (fabs(found - truth) > most)
        ag_fail("size %llu: %.1f instead of %.1f, the bound is %.1f", (unsigned long long)bytes,
                found, truth, most);
}

AG_TEST(each_size_is_counted_without_a_bias) {
    static const uint64_t sizes[] = {0,    1,    2,     16,    24,    100,    1000,
                                     4096, 5000, 20000, 65536, 70000, 300000, 10000000};
    const int64_t rate = 4096, n = 300000;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        ag__heap_sampler s = {.random = 42 + i};
        sums got = {0};
        for (int64_t k = 0; k < n; k++)
            allocate(&s, sizes[i], rate, &got);
        double p = -expm1(-(double)ag__heap_size(sizes[i]) / (double)rate);
        check_near(got.blocks, (double)n, bound(n, p), sizes[i]);
        check_near(got.bytes, (double)n * (double)sizes[i], bound(n, p) * (double)sizes[i],
                   sizes[i]);
        check_near((double)got.samples, (double)n * p, 5 * sqrt((double)n * p * (1 - p)) + 1,
                   sizes[i]);
    }
}

/* Small and large ones after each other; the small ones must not be pushed aside. */
AG_TEST(mixed_sizes_do_not_disturb_each_other) {
    static const uint64_t sizes[] = {16, 30000, 200, 64, 1000000};
    enum { SIZES = sizeof sizes / sizeof *sizes };
    const int64_t rate = 16384, n = 400000;
    ag__heap_sampler s = {.random = 7};
    sums got[SIZES] = {{0}};
    for (int64_t k = 0; k < n; k++)
        for (int i = 0; i < SIZES; i++)
            allocate(&s, sizes[i], rate, &got[i]);
    for (int i = 0; i < SIZES; i++) {
        double p = -expm1(-(double)ag__heap_size(sizes[i]) / (double)rate);
        check_near(got[i].blocks, (double)n, bound(n, p), sizes[i]);
    }
}

AG_TEST(a_sample_stands_for_what_its_size_says) {
    static const double ratios[] = {1e-6, 1e-4, 0.01, 0.1, 0.5, 1, 2, 5, 20, 39, 41, 1000};
    const int64_t rate = 1 << 26;
    for (size_t i = 0; i < sizeof ratios / sizeof *ratios; i++) {
        uint64_t bytes = (uint64_t)(ratios[i] * (double)rate) | 1;
        int64_t parts = 0;
        ag__heap_sampler s = {.random = 1, .rate = rate, .left = -1};
        ag_check(ag__heap_sample(&s, bytes, rate, &parts));
        double truth = part / -expm1(-(double)bytes / (double)rate);
        if (fabs((double)parts - truth) > 0.51 + truth * 1e-9)
            ag_fail("ratio %g: %lld instead of %f", ratios[i], (long long)parts, truth);
    }
}

/* How far apart: the mean, and how many are nearer than the median. */
AG_TEST(distances_are_exponential) {
    enum { N = 200000, RATE = 1000000 };
    ag__heap_sampler s = {.random = 99, .rate = RATE, .left = -1};
    double sum = 0, log_2 = 0.6931471805599453;
    int64_t parts, near = 0, far = 0;
    for (int i = 0; i < N; i++) {
        s.left = -1;
        ag_check(ag__heap_sample(&s, 1, RATE, &parts));
        ag_check(s.left >= 0);
        sum += (double)s.left;
        near += (double)s.left < RATE * log_2;
        far += (double)s.left > RATE * 5 * log_2;
    }
    check_near(sum / N, RATE, 5 * RATE / sqrt(N), 0);
    check_near((double)near, N / 2.0, 5 * sqrt(N / 4.0), 0);
    check_near((double)far, N / 32.0, 5 * sqrt(N / 32.0), 0);
}

AG_TEST(at_rate_one_every_block_is_itself) {
    ag__heap_sampler s = {.random = 3};
    sums got = {0};
    for (uint64_t bytes = 0; bytes < 1000; bytes++)
        allocate(&s, bytes, 1, &got);
    ag_check_int(got.samples, 1000);
    ag_check_int((int64_t)got.blocks, 1000);
    ag_check_int((int64_t)got.bytes, 999 * 1000 / 2);
}

AG_TEST(switched_off_nothing_is_sampled_and_it_can_be_switched_on) {
    ag__heap_sampler s = {.random = 3};
    sums off = {0}, on = {0};
    for (int i = 0; i < 100000; i++)
        allocate(&s, 10000, 0, &off);
    ag_check_int(off.samples, 0);
    for (int i = 0; i < 200; i++) /* at most 1 MiB until it looks again */
        allocate(&s, 10000, 1, &on);
    ag_check(on.samples >= 94);
}

/* What is sampled after a change of the rate was passed at the old one, and stands for that. */
AG_TEST(the_rate_may_change_at_any_time) {
    enum { N = 400000, SIZE = 100 };
    ag__heap_sampler s = {.random = 11};
    sums got = {0};
    for (int64_t i = 0; i < N; i++)
        allocate(&s, SIZE, i / 1000 % 2 ? 1000 : 20000, &got);
    check_near(got.blocks, N, bound(N, -expm1(-(double)(SIZE | 1) / 20000)), SIZE);
}

/* A size that no call can have does not make the next ones sampled, nor never sampled. */
AG_TEST(nonsense_sizes_do_no_harm) {
    ag__heap_sampler s = {.random = 5, .rate = 4096, .left = 4096};
    int64_t parts;
    ag_check(!ag__heap_passes(&s, SIZE_MAX));
    ag_check(s.left > 0 && s.left <= 4097);
    if (ag__heap_passes(&s, INT64_MAX))
        ag_check(ag__heap_sample(&s, INT64_MAX, 4096, &parts));
    ag_check(s.left >= 0);
}
