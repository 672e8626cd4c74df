/* SPDX-License-Identifier: MIT */
/*
 * rwmutex.c - the readers' and writers' lock: a counting word in front of a mutex for the writers,
 * as Go's.
 *
 * The word holds the number of readers, and WRITER while a writer holds the lock or waits for
 * the readers to leave. A reader adds one. If WRITER was set, it waits; it is counted already, and
 * the unlock of that writer lets in all that are. So a waiting writer stops new readers, and
 * the readers that came meanwhile go before the next writer: neither starves.
 *
 * A writer takes the mutex, sets WRITER and learns how many readers are inside. It waits until as
 * many have left; each of them finds WRITER set and counts itself in `leaving`, which may happen
 * before the writer has added their number there, so it goes below zero for a moment.
 *
 * A reader that is counted may not be in the list yet when a writer's unlock lets it in: then it
 * finds a grant there. A reader that came later may take that grant; the numbers are the same.
 *
 * Like the mutex, the word is biased to the processor that uses it (biased.h): then nobody waits,
 * and a read lock is two plain stores. Else it is one atomic addition each way. When no writer
 * waits, that was the last touch.
 */
#include "sync/sync.h"

enum { WRITER = 1 << 30, READERS = WRITER - 1 };

struct waiter {
    struct waiter *next;
    ag__g *g;
};

/* The public struct, with the meaning of its words. */
struct rwmutex {
    ag__biased word;
    ag_mutex writers;       /* held by the writer that has WRITER */
    struct waiter *readers; /* Guarded by word.lock: they wait for a grant. */
    ag__g *writer;          /* Guarded by word.lock: waits for readers to leave. */
    int32_t leaving;        /* Guarded by word.lock: readers it waits for. */
    uint32_t grants;        /* Guarded by word.lock: readers let in before they waited. */
};
_Static_assert(sizeof(struct rwmutex) == sizeof(ag_rwmutex), "ag_rwmutex holds a struct rwmutex");

/* What happened before: an unlock, for readers; leaving readers, for writers. */
#define HB_UNLOCKED(x) (&(x)->grants)
#define HB_LEFT(x) (&(x)->leaving)

/* --- In a section: a reader comes and goes, a writer comes and goes; false: not now. --- */

static AG__ALWAYS_INLINE bool read_here(ag__m *m, ag__biased *w) {
    (void)m;
    uint32_t s = ag__state_of(w);
    if (AG__UNLIKELY(s & WRITER))
        return false;
    ag__biased_store(w, s + 1);
    return true;
}
static AG__ALWAYS_INLINE bool unread_here(ag__m *m, ag__biased *w) {
    (void)m;
    uint32_t s = ag__state_of(w);
    if (AG__UNLIKELY((s & WRITER) || s == 0))
        return false;
    ag__biased_store(w, s - 1);
    return true;
}
static inline bool write_here(ag__m *m, ag__biased *w) {
    (void)m;
    if (ag__state_of(w) != 0)
        return false;
    ag__biased_store(w, WRITER);
    return true;
}
static inline bool unwrite_here(ag__m *m, ag__biased *w) {
    (void)m;
    if (ag__state_of(w) != WRITER)
        return false;
    ag__biased_store(w, 0);
    return true;
}

/* --- Readers. --- */

static AG__COLD void wait_for_grant(struct rwmutex *x) {
    ag__m *m = ag__enter();
    ag__lock_acquire(&x->word.lock);
    if (x->grants > 0) {
        x->grants--;
        ag__lock_release(&x->word.lock);
    } else {
        struct waiter w = {x->readers, m->g};
        x->readers = &w;
        m = ag__park(m, AG__WAIT_RWMUTEX_READ, x, &x->word.lock);
    }
    ag__leave(m);
}

static AG__NOINLINE void read_lock_otherwise(struct rwmutex *x) {
    if (!ag__biased_otherwise(&x->word, read_here)) {
        /* Acquire. Partner: the release of write_give. */
        uint32_t s = atomic_fetch_add_explicit(&x->word.state, 1, memory_order_acquire);
        if (AG__UNLIKELY(s & WRITER))
            wait_for_grant(x);
    }
    AG__HB_ACQUIRE(HB_UNLOCKED(x));
}

static AG__ALWAYS_INLINE void read_lock(struct rwmutex *x) {
    if (AG__LIKELY(ag__biased_at_once(&x->word, read_here)))
        AG__HB_ACQUIRE(HB_UNLOCKED(x));
    else
        read_lock_otherwise(x);
}

static inline bool try_read_lock(struct rwmutex *x) {
    bool taken = ag__biased_otherwise(&x->word, read_here);
    uint32_t s = ag__state_of(&x->word);
    while (!taken && !(s & WRITER))
        taken = atomic_compare_exchange_weak_explicit(&x->word.state, &s, s + 1,
                                                      memory_order_acquire, memory_order_relaxed);
    if (taken)
        AG__HB_ACQUIRE(HB_UNLOCKED(x));
    return taken;
}

/* A writer waits for readers to leave, and we did. */
static AG__COLD void tell_writer(struct rwmutex *x) {
    ag__m *m = ag__enter();
    ag__lock_acquire(&x->word.lock);
    ag__g *g = NULL;
    if (--x->leaving == 0) {
        g = x->writer;
        x->writer = NULL;
    }
    ag__lock_release(&x->word.lock);
    if (g)
        ag__ready(m, g);
    ag__leave(m);
}

static AG__NOINLINE bool read_give_otherwise(struct rwmutex *x) {
    if (ag__biased_otherwise(&x->word, unread_here))
        return true;
    if (AG__UNLIKELY((ag__state_of(&x->word) & READERS) == 0))
        return false;
    /* Release. Partner: the acquire of write_lock. */
    uint32_t s = atomic_fetch_sub_explicit(&x->word.state, 1, memory_order_release);
    if (AG__UNLIKELY(s & WRITER))
        tell_writer(x);
    return true;
}

/* False: nobody has it. */
static AG__ALWAYS_INLINE bool read_give(struct rwmutex *x) {
    AG__HB_RELEASE(HB_LEFT(x));
    return AG__LIKELY(ag__biased_at_once(&x->word, unread_here)) || read_give_otherwise(x);
}

/* --- Writers. --- */

static AG__COLD void wait_for_readers(struct rwmutex *x, uint32_t inside) {
    ag__m *m = ag__enter();
    ag__lock_acquire(&x->word.lock);
    x->leaving += (int32_t)inside;
    if (x->leaving == 0) {
        ag__lock_release(&x->word.lock);
    } else {
        x->writer = m->g;
        m = ag__park(m, AG__WAIT_RWMUTEX, x, &x->word.lock);
    }
    ag__leave(m);
}

static inline void own(struct rwmutex *x) {
    AG__HB_ACQUIRE(HB_UNLOCKED(x));
    AG__HB_ACQUIRE(HB_LEFT(x));
}

static inline void write_lock(struct rwmutex *x) {
    ag__mutex_lock(&x->writers);
    if (!ag__biased_otherwise(&x->word, write_here)) {
        /* Acquire. Partner: the release of read_give. */
        uint32_t s = atomic_fetch_or_explicit(&x->word.state, WRITER, memory_order_acq_rel);
        if (AG__UNLIKELY(s & READERS))
            wait_for_readers(x, s & READERS);
    }
    own(x);
}

static inline bool try_write_lock(struct rwmutex *x) {
    if (!ag__mutex_try_lock(&x->writers))
        return false;
    uint32_t none = 0;
    if (ag__biased_otherwise(&x->word, write_here) ||
        atomic_compare_exchange_strong_explicit(&x->word.state, &none, WRITER, memory_order_acquire,
                                                memory_order_relaxed)) {
        own(x);
        return true;
    }
    ag__mutex_give(&x->writers);
    return false;
}

/* `count` readers may go in; those that have not come to wait yet find a grant. */
static AG__COLD void let_in(struct rwmutex *x, uint32_t count) {
    ag__m *m = ag__enter();
    ag__lock_acquire(&x->word.lock);
    struct waiter *list = NULL, *w;
    for (; count > 0 && (w = x->readers) != NULL; count--) {
        x->readers = w->next;
        w->next = list;
        list = w;
    }
    x->grants += count;
    ag__lock_release(&x->word.lock);
    while ((w = list) != NULL) {
        list = w->next; /* before ready: it lives on the woken stack */
        ag__ready(m, w->g);
    }
    ag__leave(m);
}

/* False: no writer has it. */
static inline bool write_give(struct rwmutex *x) {
    if (AG__UNLIKELY(!(ag__state_of(&x->word) & WRITER)))
        return false;
    AG__HB_RELEASE(HB_UNLOCKED(x));
    if (!ag__biased_otherwise(&x->word, unwrite_here)) {
        /* Release. Partner: the acquire of read_lock and write_lock. */
        uint32_t s = atomic_fetch_and_explicit(&x->word.state, READERS, memory_order_acq_rel);
        if (AG__UNLIKELY(s & READERS))
            let_in(x, s & READERS);
    }
    ag__mutex_give(&x->writers);
    return true;
}

/* --- The public functions. --- */

static AG__COLD void lock_checked(struct rwmutex *x, bool writes, void *pc) {
    ag__check_before(&x->word, writes, pc);
    if (writes)
        write_lock(x);
    else
        read_lock(x);
    ag__check_locked(&x->word, writes, pc);
}

/* They name their caller: not inlined, by link-time optimization either. */
AG__NOINLINE void ag_rwmutex_lock(ag_rwmutex *rw) {
    struct rwmutex *x = (struct rwmutex *)rw;
    if (AG__UNLIKELY(ag__checks))
        lock_checked(x, true, __builtin_return_address(0));
    else
        write_lock(x);
}

AG__NOINLINE void ag_rwmutex_rlock(ag_rwmutex *rw) {
    struct rwmutex *x = (struct rwmutex *)rw;
    if (AG__UNLIKELY(ag__checks))
        lock_checked(x, false, __builtin_return_address(0));
    else
        read_lock(x);
}

static AG__COLD bool try_checked(struct rwmutex *x, bool writes, void *pc) {
    ag__check_meet(&x->word);
    bool taken = writes ? try_write_lock(x) : try_read_lock(x);
    if (taken)
        ag__check_locked(&x->word, writes, pc);
    return taken;
}

AG__NOINLINE bool ag_rwmutex_try_lock(ag_rwmutex *rw) {
    struct rwmutex *x = (struct rwmutex *)rw;
    if (AG__UNLIKELY(ag__checks))
        return try_checked(x, true, __builtin_return_address(0));
    return try_write_lock(x);
}

AG__NOINLINE bool ag_rwmutex_try_rlock(ag_rwmutex *rw) {
    struct rwmutex *x = (struct rwmutex *)rw;
    if (AG__UNLIKELY(ag__checks))
        return try_checked(x, false, __builtin_return_address(0));
    return try_read_lock(x);
}

AG__NOINLINE void ag_rwmutex_unlock(ag_rwmutex *rw) {
    struct rwmutex *x = (struct rwmutex *)rw;
    if (AG__UNLIKELY(ag__checks))
        ag__check_unlock(&x->word, true);
    if (AG__UNLIKELY(!write_give(x)))
        ag__panic_text(__builtin_return_address(0), "sync: Unlock of unlocked RWMutex");
}

AG__NOINLINE void ag_rwmutex_runlock(ag_rwmutex *rw) {
    struct rwmutex *x = (struct rwmutex *)rw;
    if (AG__UNLIKELY(ag__checks))
        ag__check_unlock(&x->word, false);
    if (AG__UNLIKELY(!read_give(x)))
        ag__panic_text(__builtin_return_address(0), "sync: RUnlock of unlocked RWMutex");
}
