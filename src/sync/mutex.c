/* SPDX-License-Identifier: MIT */
/*
 * mutex.c - the mutex: biased to the processor that uses it, else one compare-and-swap to lock and
 * one plain store to unlock.
 *
 * Bias. A mutex that only one P has used so far is locked and unlocked by plain stores inside a
 * section of that P (sched/bias.h tells how). The first other user, or the first one that finds
 * it locked, makes it shared, for ever: a thread that has seen "shared" may be about to swap the
 * word, so there is no safe way back.
 *
 *     FRESH (NULL) --first lock--> a P --anybody else, or contention--> REVOKING --> SHARED
 *
 * Shared. One state word, changed by atomic read-modify-write only: LOCKED, WAITING (the list is
 * not empty), WOKEN (a woken waiter competes), STARVING. Unlock subtracts LOCKED and learns in the
 * same step whether somebody waits; if nobody does, that was its last touch, so the memory may be
 * freed by the next holder. The list is guarded by a small lock; a waiter that is about to park
 * sets WAITING under it, and an unlock that saw it takes it, too.
 *
 * Normal mode: a woken waiter competes with newcomers, who usually win, being on a CPU already.
 * A waiter that has waited STARVING_NS asks for the lock: from then on unlock hands it over,
 * in arrival order, newcomers keep out, until a waiter gets it that is the last or waited less.
 *
 * `owner` is for dumps and deadlock reports; any goroutine may unlock, as in Go.
 */
#include "lang/lang.h"
#include <aglet/sync.h>

enum { STARVING_NS = 1000000, SPIN_ROUNDS = 4, SPIN_PAUSES = 30 };

enum { LOCKED = 1, WAITING = 2, WOKEN = 4, STARVING = 8 };

/* The public struct, with the meaning of its words. */
struct mutex {
    _Atomic uint32_t state; /* Plainly in a section of the biased P, else by read-modify-write. */
    ag__lock lock;
    _Atomic uintptr_t bias; /* FRESH, an ag__p *, SHARED. To SHARED under lock. */
    ag__g *_Atomic owner;
    struct waiter *head, *tail; /* Guarded by lock. */
};
_Static_assert(sizeof(struct mutex) == sizeof(ag_mutex), "ag_mutex holds a struct mutex");

#define FRESH ((uintptr_t)0)
#define SHARED ((uintptr_t)1)
#define REVOKING ((uintptr_t)2) /* the biased P may still be in a section */

struct waiter {
    struct waiter *next;
    ag__g *g;
    int64_t since;
    bool handed; /* Guarded by lock until woken: nobody else may take it. */
};

static inline bool is_shared(struct mutex *x) {
    return atomic_load_explicit(&x->bias, memory_order_acquire) == SHARED;
}

static AG__COLD void share(struct mutex *x) {
    ag__m *m = ag__enter();
    ag__lock_acquire(&x->lock);
    uintptr_t bias = atomic_load_explicit(&x->bias, memory_order_relaxed);
    if (bias != SHARED) {
        bias = atomic_exchange(&x->bias, REVOKING);
        ag__fence_heavy();
        if (bias != FRESH && (ag__p *)bias != m->p)
            ag__bias_wait_out((ag__p *)bias);
        /* Release: the state word is as the last section left it. Partner: is_shared. */
        atomic_store_explicit(&x->bias, SHARED, memory_order_release);
    }
    ag__lock_release(&x->lock);
    ag__leave(m);
}

/* Opens a section if x is biased to this P. Inside the runtime. */
static inline bool section(ag__m *m, struct mutex *x) {
    ag__p *p = m->p;
    uintptr_t bias = atomic_load_explicit(&x->bias, memory_order_relaxed);
    if (bias == SHARED || bias == REVOKING || !p)
        return false;
    if (bias == FRESH && !atomic_compare_exchange_strong(&x->bias, &bias, (uintptr_t)p))
        return false;
    if (bias != FRESH && bias != (uintptr_t)p)
        return false;
    /* Partner: the heavy fence in share. */
    atomic_store_explicit(&p->bias_in, 1, memory_order_relaxed);
    ag__fence_light();
    if (AG__LIKELY(atomic_load_explicit(&x->bias, memory_order_acquire) == (uintptr_t)p))
        return true;
    atomic_store_explicit(&p->bias_in, 0, memory_order_release);
    return false;
}

static inline void section_end(ag__m *m) {
    /* Release. Partner: the acquire load in ag__bias_wait_out. */
    atomic_store_explicit(&m->p->bias_in, 0, memory_order_release);
}

static inline uint32_t state_of(const struct mutex *x) {
    return atomic_load_explicit(&x->state, memory_order_relaxed);
}

/* Takes a free mutex in a section. */
static inline bool take_biased(struct mutex *x) {
    if (is_shared(x))
        return false;
    ag__m *m = ag__enter();
    bool taken = false;
    if (section(m, x)) {
        taken = state_of(x) == 0;
        if (taken) {
            atomic_store_explicit(&x->state, LOCKED, memory_order_relaxed);
            atomic_store_explicit(&x->owner, m->g, memory_order_relaxed);
            AG__HB_ACQUIRE(x);
        }
        section_end(m);
    }
    ag__leave(m);
    if (!taken && !is_shared(x))
        share(x);
    return taken;
}

/* Gives back in a section; nobody waits for a biased mutex. The section's end touches the P only,
 * so the next holder may free x. */
static inline bool give_biased(struct mutex *x) {
    if (is_shared(x))
        return false;
    ag__m *m = ag__enter();
    bool open = section(m, x), given = open && state_of(x) == LOCKED;
    if (given) {
        AG__HB_RELEASE(x);
        atomic_store_explicit(&x->owner, NULL, memory_order_relaxed);
        atomic_store_explicit(&x->state, 0, memory_order_relaxed);
    }
    if (open)
        section_end(m);
    ag__leave(m);
    if (!given && !is_shared(x))
        share(x);
    return given;
}

/* Takes a free, shared mutex. */
static inline bool take(struct mutex *x) {
    uint32_t free = 0;
    /* Acquire. Partner: the release of ag_mutex_unlock. */
    return atomic_compare_exchange_strong_explicit(&x->state, &free, LOCKED, memory_order_acquire,
                                                   memory_order_relaxed);
}

static inline void own(struct mutex *x) {
    AG__HB_ACQUIRE(x);
    atomic_store_explicit(&x->owner, ag__m_now()->g, memory_order_relaxed);
}

static void link_first(struct mutex *x, struct waiter *w) {
    w->next = x->head;
    x->head = w;
    if (!x->tail)
        x->tail = w;
}

static void link_last(struct mutex *x, struct waiter *w) {
    w->next = NULL;
    if (x->tail)
        x->tail->next = w;
    else
        x->head = w;
    x->tail = w;
}

static struct waiter *unlink_first(struct mutex *x) {
    struct waiter *w = x->head;
    if (w && !(x->head = w->next))
        x->tail = NULL;
    return w;
}

/* Spins a little while the holder is likely to run on another processor, and this one has nothing
 * better to do. A starving mutex goes to those who wait, so nobody spins for it. */
static bool spin(struct mutex *x) {
    ag__m *m = ag__enter();
    bool busy = ag__others_wait_here(m);
    ag__leave(m);
    if (ag__sched.p_count < 2 || busy)
        return false;
    for (int i = 0; i < SPIN_ROUNDS; i++) {
        uint32_t s = state_of(x);
        if (s & STARVING)
            return false;
        if (!(s & LOCKED) &&
            atomic_compare_exchange_strong_explicit(&x->state, &s, s | LOCKED, memory_order_acquire,
                                                    memory_order_relaxed))
            return true;
        for (int k = 0; k < SPIN_PAUSES; k++)
            ag__cpu_pause();
    }
    return false;
}

static bool change(struct mutex *x, uint32_t *s, uint32_t to) {
    return atomic_compare_exchange_weak_explicit(&x->state, s, to, memory_order_acq_rel,
                                                 memory_order_relaxed);
}

/*
 * Under x->lock: takes x (true), or announces that we wait. `again`: we were woken to compete, and
 * are the only one that was: if x is free and starving nonetheless, its last unlock saw WOKEN and
 * left it to us.
 */
static bool take_or_announce(struct mutex *x, bool again, bool starving) {
    uint32_t s = state_of(x);
    for (;;) {
        uint32_t base = again ? s & ~(uint32_t)WOKEN : s;
        if (!(s & LOCKED) && (again || !(s & STARVING))) {
            if (change(x, &s, base | LOCKED))
                return true;
        } else if (change(x, &s, base | WAITING | (starving && (s & LOCKED) ? STARVING : 0))) {
            return false;
        }
    }
}

/* It was handed to us: lock it, and end the starvation if it is over. */
static void take_handed(struct mutex *x, const struct waiter *w) {
    ag__m *m = ag__enter();
    ag__lock_acquire(&x->lock);
    bool last = x->head == NULL;
    bool over = last || ag__os_now() - w->since < STARVING_NS;
    uint32_t s = state_of(x);
    while (!change(x, &s, (over ? s & ~(uint32_t)STARVING : s) | LOCKED)) {
    }
    ag__lock_release(&x->lock);
    ag__leave(m);
}

static AG__COLD void lock_slow(struct mutex *x) {
    struct waiter w = {.since = 0};
    for (bool again = false;; again = true) {
        if (!again && spin(x))
            return;
        int64_t now = ag__os_now();
        bool starving = again && now - w.since > STARVING_NS;
        if (w.since == 0)
            w.since = now;
        ag__m *m = ag__enter();
        ag__lock_acquire(&x->lock);
        if (take_or_announce(x, again, starving)) {
            ag__lock_release(&x->lock);
            ag__leave(m);
            return;
        }
        w.g = m->g;
        w.handed = false;
        if (again)
            link_first(x, &w);
        else
            link_last(x, &w);
        m = ag__park(m, AG__WAIT_MUTEX, x, &x->lock);
        ag__leave(m);
        if (w.handed) {
            take_handed(x, &w);
            return;
        }
    }
}

void ag_mutex_lock(ag_mutex *mutex) {
    struct mutex *x = (struct mutex *)mutex;
    if (take_biased(x))
        return;
    if (AG__UNLIKELY(!take(x)))
        lock_slow(x);
    own(x);
}

bool ag_mutex_try_lock(ag_mutex *mutex) {
    struct mutex *x = (struct mutex *)mutex;
    if (take_biased(x))
        return true;
    uint32_t s = state_of(x);
    while (!(s & (LOCKED | STARVING))) {
        if (change(x, &s, s | LOCKED)) {
            own(x);
            return true;
        }
    }
    return false;
}

/*
 * Somebody waited when we unlocked, and nobody was woken. If x was starving then, nobody can have
 * taken it since: it goes to the first waiter. Else the first is woken to compete, unless one is
 * already, or another took x meanwhile and will see to it.
 */
static AG__COLD void wake_first(struct mutex *x, bool starving) {
    const uint32_t others = starving ? 0 : LOCKED | WOKEN | STARVING;
    ag__m *m = ag__enter();
    ag__lock_acquire(&x->lock);
    struct waiter *w = NULL;
    uint32_t s = state_of(x);
    while (x->head && !(s & others)) {
        uint32_t to = x->head->next ? s : s & ~(uint32_t)WAITING;
        if (!starving)
            to |= WOKEN;
        if (change(x, &s, to)) {
            w = unlink_first(x);
            w->handed = starving;
            break;
        }
    }
    ag__g *g = w ? w->g : NULL;
    ag__lock_release(&x->lock);
    if (g)
        ag__ready(m, g);
    ag__leave(m);
}

void ag_mutex_unlock(ag_mutex *mutex) {
    struct mutex *x = (struct mutex *)mutex;
    if (give_biased(x))
        return;
    if (AG__UNLIKELY(!(state_of(x) & LOCKED)))
        ag__panic_text(__builtin_return_address(0), "sync: unlock of unlocked mutex");
    AG__HB_RELEASE(x);
    atomic_store_explicit(&x->owner, NULL, memory_order_relaxed);
    /* Release. Partner: the acquire in take. */
    uint32_t before = atomic_fetch_sub_explicit(&x->state, LOCKED, memory_order_release);
    if (AG__UNLIKELY((before & (WAITING | WOKEN)) == WAITING))
        wake_first(x, (before & STARVING) != 0);
}
