/* SPDX-License-Identifier: MIT */
/*
 * sample.c - how long goroutines wait in a queue, measured now and then.
 *
 * A clock read costs more than a switch, so few are measured: the first that becomes runnable on a
 * P after each look of the monitor, which is what `credit` says anyway. Who measures pays for it;
 * the others pay one load and a branch where they become runnable, and nothing where they are
 * picked, because the mark is one of the flags that are asked for there.
 *
 * The samples are spread evenly over time, 100 to 20,000 a second on a busy P: a burst of many
 * short waits counts as much as the quiet time of the same length.
 */
#include "sched/inner.h"

static void add(_Atomic int64_t *at, int64_t n) {
    atomic_store_explicit(at, atomic_load_explicit(at, AG__RLX) + n, AG__RLX);
}

AG__COLD void ag__sample_begin(ag__p *p, ag__g *g, int reason) {
    g->flags |= AG__GF_SAMPLED;
    g->ready_at = ag__os_now();
    add(&p->samples.by_reason[reason], 1);
}

AG__COLD void ag__sample_end(ag__p *p, ag__g *g) {
    int64_t ns = ag__os_now() - g->ready_at;
    int bucket = 0;
    g->flags &= (uint8_t)~AG__GF_SAMPLED;
    while (bucket < AG__SAMPLE_BUCKETS && ns > (int64_t)1 << (AG__SAMPLE_FIRST + bucket))
        bucket++;
    add(&p->samples.waits[bucket], 1);
    add(&p->samples.wait_ns, ns);
}
