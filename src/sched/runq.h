/* SPDX-License-Identifier: MIT */
/*
 * runq.h - the local queue of a P: a ring of goroutines and the `next` slot.
 *
 * The idea: the owner works on it without any atomic read-modify-write, thieves pay. It is a
 * lock biased to its owner, with an asymmetric fence:
 *
 *     owner                              thief
 *     owner_in = 1                       thief: 0 -> 1 by CAS
 *     light fence                        heavy fence
 *     thief != 0? back off, wait         owner_in != 0? wait a little, else give up
 *     ... plain work ...                 ... take half ...
 *     owner_in = 0 (release)             thief = 0 (release)
 *
 * Of the two loads at least one sees the other side's store, so both are never inside. An owner
 * section may stay open over a stack switch: a goroutine that yields lies in the queue before
 * its registers are saved, and no thief can take it until the section is closed behind the
 * switch (after_switch in switch.c).
 */
#ifndef AG_RUNQ_H
#define AG_RUNQ_H

#include "sched/sched.h"

void ag__rq_open_slow(ag__p *p);
/* Puts the older half of the full ring on the global queue. Owner section open. */
void ag__rq_overflow(ag__p *p);

static inline void ag__rq_open(ag__p *p) {
    /* Partner: the heavy fence in ag__rq_steal. */
    atomic_store_explicit(&p->owner_in, 1, memory_order_relaxed);
    ag__fence_light();
    /* Acquire: sees what the last thief did. Partner: its release store. */
    if (AG__UNLIKELY(atomic_load_explicit(&p->thief, memory_order_acquire)))
        ag__rq_open_slow(p);
}

static inline void ag__rq_close(ag__p *p) {
    /* Release. Partner: the thief's acquire load of owner_in. */
    atomic_store_explicit(&p->owner_in, 0, memory_order_release);
}

static inline uint32_t ag__rq_len(const ag__p *p) {
    return atomic_load_explicit(&p->tail, AG__RLX) - atomic_load_explicit(&p->head, AG__RLX);
}

/* Owner section open. g itself stays local: one that yields has no saved registers yet, and only
 * the open section keeps others from it. */
static inline void ag__rq_push(ag__p *p, ag__g *g) {
    uint32_t tail = atomic_load_explicit(&p->tail, AG__RLX);
    if (AG__UNLIKELY(tail - atomic_load_explicit(&p->head, AG__RLX) >= AG__RING))
        ag__rq_overflow(p);
    atomic_store_explicit(&p->ring[tail % AG__RING], g, AG__RLX);
    atomic_store_explicit(&p->tail, tail + 1, AG__RLX);
}

/*
 * The queue knows who runs soon, and those who waited long have left the caches and the TLB. So
 * every NEAR runs the next NEAR are asked for: together, because then their misses overlap (one
 * by one 0.7 us each on a machine with nested page tables, eight together 0.2). First the
 * records, a round later the tops of the stacks, of which the records tell. Owner section open.
 */
enum { AG__NEAR = AG__SIZE(8, 2) };

static inline void ag__rq_lines_come_near(const void *at) {
    for (int i = 0; i < 4; i++)
        __builtin_prefetch((const char *)at + i * AG__CACHE_LINE, 1);
}

/* The oldest, from `head` on. */
static inline void ag__rq_oldest_come_near(ag__p *p, uint32_t head) {
    for (uint32_t i = 0; i < AG__NEAR; i++) {
        const ag__g *soon = atomic_load_explicit(&p->ring[(head + i) % AG__RING], AG__RLX);
        if (soon->sp)
            ag__rq_lines_come_near(soon->sp);
    }
    for (uint32_t i = AG__NEAR; i < 2 * AG__NEAR; i++)
        ag__rq_lines_come_near(atomic_load_explicit(&p->ring[(head + i) % AG__RING], AG__RLX));
}

/* The youngest, from `tail` down: never run, most of them. */
static inline void ag__rq_youngest_come_near(ag__p *p, uint32_t tail) {
    for (uint32_t i = 1; i <= AG__NEAR; i++)
        ag__rq_lines_come_near(atomic_load_explicit(&p->ring[(tail - i) % AG__RING], AG__RLX));
}

/*
 * Owner section open. `next` first, but not for ever while others queue. Then the youngest, as long
 * as it was never run: it is warm in the cache, takes over the stack of who ends, and running it
 * to its end keeps the number of goroutines that are half done, and so of stacks, small. Every
 * few times, and when the youngest is one that goes on, or a lazy one, which is to run after those
 * before it, the oldest: nobody is left behind.
 */
static inline ag__g *ag__rq_pop(ag__p *p) {
    enum { NEXT_RUNS_MAX = 64, YOUNGEST_MAX = AG__SIZE(16, 2) };
    uint32_t head = atomic_load_explicit(&p->head, AG__RLX);
    uint32_t tail = atomic_load_explicit(&p->tail, AG__RLX);
    ag__g *g = atomic_load_explicit(&p->next, AG__RLX);
    if (g && !(head != tail && ++p->next_runs >= NEXT_RUNS_MAX)) {
        atomic_store_explicit(&p->next, NULL, AG__RLX);
        return g;
    }
    p->next_runs = 0;
    if (head == tail)
        return NULL;
    g = atomic_load_explicit(&p->ring[(tail - 1) % AG__RING], AG__RLX);
    if (!g->stack_lo && !(g->flags & AG__GF_LAZY) && ++p->youngest_runs < YOUNGEST_MAX) {
        atomic_store_explicit(&p->tail, tail - 1, AG__RLX);
        if (tail % AG__NEAR == 0 && tail - head > AG__NEAR)
            ag__rq_youngest_come_near(p, tail - 1);
        return g;
    }
    p->youngest_runs = 0;
    g = atomic_load_explicit(&p->ring[head % AG__RING], AG__RLX);
    atomic_store_explicit(&p->head, head + 1, AG__RLX);
    if (head % AG__NEAR == 0 && tail - head > 2 * AG__NEAR)
        ag__rq_oldest_come_near(p, head + 1);
    return g;
}

#endif
