/* SPDX-License-Identifier: MIT */
/*
 * biased.h - the state word of a lock, biased to the processor that uses it.
 *
 * As long as only one P has used a lock, its word is changed by plain stores inside a section of
 * that P (sched/bias.h tells how). The first other user, or the first one that finds it taken,
 * makes it shared, for ever: a thread that has seen "shared" may be about to swap the word, so
 * there is no safe way back.
 *
 *     FRESH (0) --first use--> a P --anybody else, or contention--> REVOKING --> SHARED
 *
 * Shared, the word is changed by atomic read-modify-write only. The debug checks never let a lock
 * be biased, and keep its identity in the upper bits of `bias`. Two bits say what its users did,
 * and are set for ever; a word that has one is shared.
 */
#ifndef AG_BIASED_H
#define AG_BIASED_H

#include "lang/lang.h"

enum {
    AG__SHARED = 1,
    AG__REVOKING = 2,  /* the biased P may still be in a section */
    AG__STRANGER = 4,  /* somebody has unlocked what another one had locked */
    AG__READ_ALONG = 8 /* a goroutine has read it and another lock at once, or so it looked */
};

typedef struct ag__biased {
    _Atomic uint32_t state; /* Plainly in a section of the biased P, else by read-modify-write. */
    ag__lock lock;
    _Atomic uintptr_t bias; /* 0, an ag__p *, AG__REVOKING, AG__SHARED | bits | identity. */
} ag__biased;

/* Makes w shared. Outside the runtime. */
void ag__biased_share(ag__biased *w);
/* Makes it shared and sets a bit of its `bias`. Outside the runtime. */
void ag__biased_mark(ag__biased *w, uintptr_t bit);

static inline bool ag__is_shared(const ag__biased *w) {
    /* Acquire: the word is as the last section left it. Partner: ag__biased_share. */
    return (atomic_load_explicit(&w->bias, memory_order_acquire) & AG__SHARED) != 0;
}

static inline uint32_t ag__state_of(const ag__biased *w) {
    return atomic_load_explicit(&w->state, memory_order_relaxed);
}

/* Biases a fresh w to this P; false if it is not fresh any more. Inside the runtime. */
bool ag__biased_adopt(ag__m *m, ag__biased *w);

/* Opens a section if w is biased to this P already. Inside the runtime. */
static AG__ALWAYS_INLINE bool ag__biased_open_mine(ag__m *m, ag__biased *w) {
    ag__p *p = m->p;
    if (AG__UNLIKELY(!p || atomic_load_explicit(&w->bias, memory_order_relaxed) != (uintptr_t)p))
        return false;
    /* Partner: the heavy fence in ag__biased_share. */
    atomic_store_explicit(&p->bias_in, 1, memory_order_relaxed);
    ag__fence_light();
    if (AG__LIKELY(atomic_load_explicit(&w->bias, memory_order_acquire) == (uintptr_t)p))
        return true;
    atomic_store_explicit(&p->bias_in, 0, memory_order_release);
    return false;
}

/* The same, also of a fresh one. */
static inline bool ag__biased_open(ag__m *m, ag__biased *w) {
    return ag__biased_open_mine(m, w) || (ag__biased_adopt(m, w) && ag__biased_open_mine(m, w));
}

static inline void ag__biased_close(ag__m *m) {
    /* Release. Partner: the acquire load in ag__bias_wait_out. */
    atomic_store_explicit(&m->p->bias_in, 0, memory_order_release);
}

/* In a section. */
static inline void ag__biased_store(ag__biased *w, uint32_t state) {
    atomic_store_explicit(&w->state, state, memory_order_relaxed);
}

/* What is done in a section; false: it can't be done there. */
typedef bool (*ag__biased_step)(ag__m *m, ag__biased *w);

/* From outside: `step` in a section, if w is biased to this P already; makes no call. */
static AG__ALWAYS_INLINE bool ag__biased_at_once(ag__biased *w, ag__biased_step step) {
    ag__m *m;
    if (ag__is_shared(w) || !(m = ag__enter_at_once()))
        return false;
    bool done = false;
    if (AG__LIKELY(ag__biased_open_mine(m, w))) {
        done = step(m, w);
        ag__biased_close(m);
    }
    ag__leave(m);
    return done;
}

/* The same, also of a fresh one; where it is in vain, w is shared afterwards. */
static AG__ALWAYS_INLINE bool ag__biased_otherwise(ag__biased *w, ag__biased_step step) {
    if (ag__is_shared(w))
        return false;
    ag__m *m = ag__enter();
    bool done = false;
    if (ag__biased_open(m, w)) {
        done = step(m, w);
        ag__biased_close(m);
    }
    ag__leave(m);
    if (!done && !ag__is_shared(w))
        ag__biased_share(w);
    return done;
}

#endif
