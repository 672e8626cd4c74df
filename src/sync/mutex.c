/* SPDX-License-Identifier: MIT */
/*
 * mutex.c - the mutex: biased to the processor that uses it, else one compare-and-swap to lock and
 * one plain store to unlock.
 *
 * Bias. A mutex that only one P has used so far is locked and unlocked by plain stores inside a
 * section of that P; the first other user, or the first one that finds it locked, makes it shared
 * (biased.h).
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
 * `owner` is for dumps and deadlock reports; any goroutine may unlock, as in Go. A number and no
 * pointer: a goroutine may end with the lock held, and its record be another one's then.
 */
#include "sync/sync.h"

enum { STARVING_NS = 1000000, SPIN_ROUNDS = 4, SPIN_PAUSES = 30 };

enum { LOCKED = 1, WAITING = 2, WOKEN = 4, STARVING = 8 };

/* The public struct, with the meaning of its words. */
struct mutex {
    ag__biased word;
    _Atomic int64_t owner; /* Relaxed; who locked it, see `me`; 0: nobody, or not noted yet. */
    struct ag__mutex_waiter *head, *tail; /* Guarded by word.lock. */
};
_Static_assert(sizeof(struct mutex) == sizeof(ag_mutex), "ag_mutex holds a struct mutex");

static inline uint32_t state_of(const struct mutex *x) {
    return ag__state_of(&x->word);
}

/* A goroutine's number; -1 of a thread that is none. */
static inline int64_t me(const ag__g *g) {
    return AG__LIKELY(g && g->id) ? g->id : -1;
}

/* In a section: takes a free mutex. */
static AG__ALWAYS_INLINE bool take_here(ag__m *m, ag__biased *w) {
    struct mutex *x = ag__container_of(w, struct mutex, word);
    if (AG__UNLIKELY(state_of(x) != 0))
        return false;
    ag__biased_store(&x->word, LOCKED);
    atomic_store_explicit(&x->owner, m->g->id, memory_order_relaxed);
    AG__HB_ACQUIRE(x);
    return true;
}

/* In a section: gives it back; nobody waits for a biased mutex. The section's end touches the P
 * only, so the next holder may free x. */
static AG__ALWAYS_INLINE bool give_here(ag__m *m, ag__biased *w) {
    struct mutex *x = ag__container_of(w, struct mutex, word);
    if (AG__UNLIKELY(state_of(x) != LOCKED ||
                     atomic_load_explicit(&x->owner, memory_order_relaxed) != m->g->id))
        return false;
    AG__HB_RELEASE(x);
    atomic_store_explicit(&x->owner, 0, memory_order_relaxed);
    ag__biased_store(&x->word, 0);
    return true;
}

/* Takes a free, shared mutex, past those who wait, unless they starve. */
static inline bool take(struct mutex *x) {
    uint32_t s = state_of(x);
    while (!(s & (LOCKED | STARVING)))
        /* Acquire. Partner: the release of ag_mutex_unlock. */
        if (AG__LIKELY(atomic_compare_exchange_weak_explicit(
                &x->word.state, &s, s | LOCKED, memory_order_acquire, memory_order_relaxed)))
            return true;
    return false;
}

static inline void own(struct mutex *x) {
    AG__HB_ACQUIRE(x);
    atomic_store_explicit(&x->owner, me(ag__m_now()->g), memory_order_relaxed);
}

static void link_first(struct mutex *x, struct ag__mutex_waiter *w) {
    w->next = x->head;
    x->head = w;
    if (!x->tail)
        x->tail = w;
}

static void link_last(struct mutex *x, struct ag__mutex_waiter *w) {
    w->next = NULL;
    if (x->tail)
        x->tail->next = w;
    else
        x->head = w;
    x->tail = w;
}

static struct ag__mutex_waiter *unlink_first(struct mutex *x) {
    struct ag__mutex_waiter *w = x->head;
    if (w && !(x->head = w->next))
        x->tail = NULL;
    return w;
}

/* Spins a little while the holder is likely to run on another processor, and this one has nothing
 * better to do. A pause comes before each look: meanwhile the holder has the line for itself, and
 * locks it many times. A starving mutex goes to those who wait, so nobody spins for it. */
static bool spin(struct mutex *x) {
    ag__m *m = ag__enter();
    bool busy = ag__others_wait_here(m);
    ag__leave(m);
    if (ag__sched.p_count < 2 || busy)
        return false;
    for (int i = 0; i < SPIN_ROUNDS && !(state_of(x) & STARVING); i++) {
        for (int k = 0; k < SPIN_PAUSES; k++)
            ag__cpu_pause();
        if (take(x))
            return true;
    }
    return false;
}

static bool change(struct mutex *x, uint32_t *s, uint32_t to) {
    return atomic_compare_exchange_weak_explicit(&x->word.state, s, to, memory_order_acq_rel,
                                                 memory_order_relaxed);
}

/*
 * Under x->word.lock: takes x (true), or announces that we wait. `again`: we were woken to compete,
 * and are the only one that was: if x is free and starving nonetheless, its last unlock saw WOKEN
 * and left it to us.
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
static void take_handed(struct mutex *x, const struct ag__mutex_waiter *w) {
    ag__m *m = ag__enter();
    ag__lock_acquire(&x->word.lock);
    bool last = x->head == NULL;
    bool over = last || ag__os_now() - w->since < STARVING_NS;
    uint32_t s = state_of(x);
    while (!change(x, &s, (over ? s & ~(uint32_t)STARVING : s) | LOCKED)) {
    }
    ag__lock_release(&x->word.lock);
    ag__leave(m);
}

/* `again`: w was woken to compete. */
static AG__COLD void lock_slow(struct mutex *x, struct ag__mutex_waiter *w, bool again) {
    for (;; again = true) {
        if (!again && spin(x))
            return;
        int64_t now = ag__os_now();
        bool starving = again && now - w->since > STARVING_NS;
        if (w->since == 0)
            w->since = now;
        ag__m *m = ag__enter();
        ag__lock_acquire(&x->word.lock);
        if (take_or_announce(x, again, starving)) {
            ag__lock_release(&x->word.lock);
            ag__leave(m);
            return;
        }
        w->g = m->g;
        w->handed = false;
        if (again)
            link_first(x, w);
        else
            link_last(x, w);
        m = ag__park(m, AG__WAIT_MUTEX, x, &x->word.lock);
        ag__leave(m);
        if (w->handed) {
            take_handed(x, w);
            return;
        }
    }
}

static AG__NOINLINE void lock_otherwise(struct mutex *x) {
    if (ag__biased_otherwise(&x->word, take_here))
        return;
    if (AG__UNLIKELY(!take(x))) {
        struct ag__mutex_waiter w = {.since = 0};
        lock_slow(x, &w, false);
    }
    own(x);
}

static inline void lock(struct mutex *x) {
    if (AG__UNLIKELY(!ag__biased_at_once(&x->word, take_here)))
        lock_otherwise(x);
}

static inline bool try_lock(struct mutex *x) {
    if (ag__biased_otherwise(&x->word, take_here))
        return true;
    if (!take(x))
        return false;
    own(x);
    return true;
}

/*
 * Somebody waited when we unlocked, and nobody was woken. If x was starving then, nobody can have
 * taken it since: it goes to the first waiter. Else the first is woken to compete, unless one is
 * already, or another took x meanwhile and will see to it.
 */
static AG__COLD void wake_first(struct mutex *x, bool starving) {
    const uint32_t others = starving ? 0 : LOCKED | WOKEN | STARVING;
    ag__m *m = ag__enter();
    ag__lock_acquire(&x->word.lock);
    struct ag__mutex_waiter *w = NULL;
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
    int64_t waited = g ? ag__waited_for_lock(g, w->since) : 0;
    ag__lock_release(&x->word.lock);
    if (g)
        ag__ready(m, g);
    if (AG__UNLIKELY(waited > 0))
        ag__hooks.contended(m, waited);
    ag__leave(m);
}

/* Under x->word.lock: announces waiters that are about to be appended, if x is locked or `more` of
 * them come than the one who is woken to lock it. Tells whether it is locked. */
static bool announce(struct mutex *x, bool more) {
    uint32_t s = state_of(x);
    while ((s & LOCKED || more) && !change(x, &s, s | WAITING)) {
    }
    return s & LOCKED;
}

struct ag__mutex_waiter *ag__mutex_move(ag_mutex *mutex, struct ag__mutex_waiter *list) {
    struct mutex *x = (struct mutex *)mutex;
    int64_t now = ag__os_now();
    struct ag__mutex_waiter *first = NULL, *next;
    ag__lock_acquire(&x->word.lock);
    if (!announce(x, list->next != NULL)) {
        first = list;
        list = list->next;
    }
    for (struct ag__mutex_waiter *w = list; w; w = next) {
        next = w->next;
        w->since = now;
        w->handed = false;
        ag__park_moved(w->g, AG__WAIT_MUTEX, x);
        link_last(x, w);
    }
    ag__lock_release(&x->word.lock);
    return first;
}

static AG__NOINLINE bool give_otherwise(struct mutex *x) {
    if (ag__biased_otherwise(&x->word, give_here))
        return true;
    if (AG__UNLIKELY(!(state_of(x) & LOCKED)))
        return false;
    if (AG__UNLIKELY(atomic_load_explicit(&x->owner, AG__RLX) != me(ag__m_now()->g)))
        ag__biased_mark(&x->word, AG__STRANGER);
    AG__HB_RELEASE(x);
    atomic_store_explicit(&x->owner, 0, memory_order_relaxed);
    /* Release. Partner: the acquire in take. */
    uint32_t before = atomic_fetch_sub_explicit(&x->word.state, LOCKED, memory_order_release);
    if (AG__UNLIKELY((before & (WAITING | WOKEN)) == WAITING))
        wake_first(x, (before & STARVING) != 0);
    return true;
}

/* False: it was not locked. */
static AG__ALWAYS_INLINE bool give(struct mutex *x) {
    return AG__LIKELY(ag__biased_at_once(&x->word, give_here)) || give_otherwise(x);
}

/* --- Without checks. --- */

void ag__mutex_lock(ag_mutex *mutex) {
    lock((struct mutex *)mutex);
}
void ag__mutex_lock_woken(ag_mutex *mutex, struct ag__mutex_waiter *w) {
    struct mutex *x = (struct mutex *)mutex;
    if (w->since == 0) {
        lock(x);
        return;
    }
    if (w->handed)
        take_handed(x, w);
    else
        lock_slow(x, w, true);
    own(x);
}
bool ag__mutex_try_lock(ag_mutex *mutex) {
    return try_lock((struct mutex *)mutex);
}
bool ag__mutex_give(ag_mutex *mutex) {
    return give((struct mutex *)mutex);
}

bool ag__mutex_give_inside(ag__m *m, ag_mutex *mutex) {
    ag__biased *w = &((struct mutex *)mutex)->word;
    if (ag__is_shared(w) || !ag__biased_open_mine(m, w))
        return false;
    bool done = give_here(m, w);
    ag__biased_close(m);
    return done;
}

/* --- With checks. --- */

static AG__COLD void lock_checked(struct mutex *x, void *pc) {
    ag__check_before(&x->word, true, pc);
    lock(x);
    ag__check_locked(&x->word, true, pc);
}

/* The checks and panics below name their caller: not inlined, by link-time optimization either. */
AG__NOINLINE void ag_mutex_lock(ag_mutex *mutex) {
    struct mutex *x = (struct mutex *)mutex;
    if (AG__UNLIKELY(ag__checks))
        lock_checked(x, __builtin_return_address(0));
    else
        lock(x);
}

AG__NOINLINE bool ag_mutex_try_lock(ag_mutex *mutex) {
    struct mutex *x = (struct mutex *)mutex;
    if (AG__UNLIKELY(ag__checks))
        ag__check_meet(&x->word);
    bool taken = try_lock(x);
    if (AG__UNLIKELY(ag__checks) && taken)
        ag__check_locked(&x->word, true, __builtin_return_address(0));
    return taken;
}

AG__NOINLINE void ag_mutex_unlock(ag_mutex *mutex) {
    struct mutex *x = (struct mutex *)mutex;
    if (AG__UNLIKELY(ag__checks))
        ag__check_unlock(&x->word, true);
    if (AG__UNLIKELY(!give(x)))
        ag__panic_text(__builtin_return_address(0), "sync: unlock of unlocked mutex");
}

bool ag__mutex_peek(const void *mutex, int64_t *ret_owner) {
    struct mutex x;
    if (ag__os_peek(mutex, &x, sizeof x) != 0)
        return false;
    *ret_owner = state_of(&x) & LOCKED ? x.owner : 0;
    return true;
}

int64_t ag__mutex_look(const void *mutex) {
    struct mutex x;
    if (ag__os_peek(mutex, &x, sizeof x) != 0 || !(x.word.state & LOCKED) ||
        x.word.bias & AG__STRANGER)
        return 0;
    return x.owner > 0 ? x.owner : 0;
}
