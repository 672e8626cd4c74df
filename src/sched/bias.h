/* SPDX-License-Identifier: MIT */
/*
 * bias.h - a lock that costs its usual user two plain stores.
 *
 * Most channels and mutexes are used by goroutines of one processor at a time: two goroutines
 * that talk to each other run where the data is. So the lock is biased to a P. While that P's
 * thread is inside the runtime nobody can take the P away, and entering is no atomic
 * read-modify-write (5 to 9 ns) but:
 *
 *     the biased P                       anybody else, holding b->lock
 *     p->bias_in = 1                     owner = NULL
 *     light fence                        heavy fence
 *     b->owner == p?  inside             wait until p->bias_in == 0
 *     ... p->bias_in = 0 (release)       inside, with b->lock, as an ordinary lock
 *
 * After that the lock is an ordinary one, until one P has taken it several times in a row, when
 * it is biased again; each revocation doubles how often that must be. A revocation costs as much as
 * a thousand cheap entries, and where there was one there will be more: the next AG__DOUBTS locks
 * made by either P are ordinary ones at first.
 *
 * Rules. The holder is inside the runtime; a lock it holds while it waits in here is never taken
 * inside a section. The section of a biased lock ends with p->bias_in = 0, for all biased locks of
 * the P at once; it may stay open over a switch, which closes it. Nothing inside a section readies
 * or parks another way.
 */
#ifndef AG_BIAS_H
#define AG_BIAS_H

typedef struct ag__bias {
    _Atomic(ag__p *) owner; /* Set and cleared under lock; read by the biased P without. */
    ag__lock lock;
    uint16_t streak; /* Guarded by lock. */
    uint16_t lost;   /* Guarded by lock: how often it was revoked. */
    ag__p *last;     /* Guarded by lock. */
} ag__bias;

enum { AG__STREAK = AG__SIZE(4, 1), AG__LOST_MAX = 12 };
enum { AG__DOUBTS = AG__SIZE(64, 2), AG__LOST_IN_DOUBT = 3 };

void ag__bias_lock_shared(ag__m *m, ag__bias *b);

/* For a new lock, before anybody else sees it. A zeroed one works, too, unbiased at first. */
static inline void ag__bias_init(ag__bias *b, ag__m *m) {
    ag__p *p = m->p;
    uint32_t doubts = p ? atomic_load_explicit(&p->bias_doubts, AG__RLX) : 0;
    if (AG__LIKELY(doubts == 0)) {
        atomic_store_explicit(&b->owner, p, AG__RLX);
        return;
    }
    atomic_store_explicit(&p->bias_doubts, doubts - 1, AG__RLX);
    b->lost = AG__LOST_IN_DOUBT;
}

/* Waits until p's thread is in no section that began before the caller's heavy fence. */
void ag__bias_wait_out(ag__p *p);

/* Returns true when it was the cheap way; tell ag__bias_unlock. */
static inline bool ag__bias_lock(ag__m *m, ag__bias *b) {
    ag__p *p = m->p;
    if (AG__LIKELY(p && atomic_load_explicit(&b->owner, AG__RLX) == p)) {
        /* Partner: the heavy fence in ag__bias_lock_shared. */
        atomic_store_explicit(&p->bias_in, 1, AG__RLX);
        ag__fence_light();
        /* Acquire: sees what the last shared holder did. Partner: the release of b->owner. */
        if (AG__LIKELY(atomic_load_explicit(&b->owner, memory_order_acquire) == p))
            return true;
        atomic_store_explicit(&p->bias_in, 0, memory_order_release);
    }
    ag__bias_lock_shared(m, b);
    return false;
}

static inline void ag__bias_unlock(ag__m *m, ag__bias *b, bool cheap) {
    if (AG__LIKELY(cheap))
        /* Release. Partner: the acquire load of bias_in by who revokes. */
        atomic_store_explicit(&m->p->bias_in, 0, memory_order_release);
    else
        ag__lock_release(&b->lock);
}

#endif
