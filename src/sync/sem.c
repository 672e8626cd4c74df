/* SPDX-License-Identifier: MIT */
/*
 * sem.c - the weighted semaphore, in arrival order as golang.org/x/sync/semaphore.
 *
 * Who waits is in a list; a release gives to the first as long as there is enough for it, and
 * stops there: one that wants much is not passed by many that want little. Who takes without
 * waiting must find the list empty. One that wants more than there ever is waits outside of the
 * list, so that it stops nobody else.
 *
 * The lock is biased (sched/bias.h); nothing is readied while it is held.
 *
 * A waiter has a claim (sched/sched.h): who gives to it must win that first, so that the end of
 * its context can take it out of the list.
 */
#include "sync/sync.h"
#include <errno.h>

struct waiter {
    struct waiter *next;
    ag__g *g;
    uint64_t epoch;
    int64_t n;
};

struct sem {
    ag__bias lock;
    int64_t size;               /* Constant after ag_sem_init. */
    int64_t taken;              /* Guarded by lock. */
    struct waiter *head, *tail; /* Guarded by lock. */
};
_Static_assert(sizeof(struct sem) == sizeof(ag_sem), "ag_sem holds a struct sem");

void ag_sem_init(ag_sem *sem, int64_t n) {
    if (n < 0)
        ag__panic_text(__builtin_return_address(0), "semaphore: negative size");
    *(struct sem *)sem = (struct sem){.size = n};
}

static void check_weight(int64_t n, void *pc) {
    if (AG__UNLIKELY(n < 0))
        ag__panic_text(pc, "semaphore: negative weight");
}

static inline bool take(struct sem *s, int64_t n) {
    if (s->head || s->size - s->taken < n)
        return false;
    s->taken += n;
    return true;
}

static void link_last(struct sem *s, struct waiter *w) {
    if (s->tail)
        s->tail->next = w;
    else
        s->head = w;
    s->tail = w;
}

/* Gives to those at the front for whom there is enough; returns them. s->lock is held. */
static struct waiter *give(struct sem *s) {
    struct waiter *list = NULL, **end = &list, *w;
    while ((w = s->head) != NULL && s->size - s->taken >= w->n) {
        if ((s->head = w->next) == NULL)
            s->tail = NULL;
        if (!ag__claim(w->g, w->epoch))
            continue; /* its context has ended */
        s->taken += w->n;
        *end = w;
        end = &w->next;
    }
    *end = NULL;
    return list;
}

static void wake(ag__m *m, struct waiter *list) {
    for (struct waiter *w; (w = list) != NULL;) {
        list = w->next; /* before ready: it lives on the woken stack */
        ag__ready(m, w->g);
    }
}

/* Its context has ended while it waited: out of the list. Who waited behind it may have enough. */
static AG__COLD void give_up(ag__m *m, struct sem *s, const struct waiter *w) {
    bool cheap = ag__bias_lock(m, &s->lock);
    struct waiter *before = NULL, *at = s->head;
    for (; at && at != w; at = at->next)
        before = at;
    if (at) {
        *(before ? &before->next : &s->head) = w->next;
        if (s->tail == w)
            s->tail = before;
    }
    struct waiter *list = give(s);
    ag__bias_unlock(m, &s->lock, cheap);
    wake(m, list);
}

int ag_sem_acquire(ag_sem *sem, int64_t n) {
    struct sem *s = (struct sem *)sem;
    check_weight(n, __builtin_return_address(0));
    int r = 0;
    ag__m *m = ag__enter();
    bool cheap = ag__bias_lock(m, &s->lock);
    if (AG__LIKELY(take(s, n)) || (r = ag__ended(m->g)) != 0) {
        ag__bias_unlock(m, &s->lock, cheap);
    } else {
        struct waiter w = {NULL, m->g, ag__claim_begin(m->g), n};
        if (n <= s->size)
            link_last(s, &w);
        int reason = n <= s->size ? AG__WAIT_SEM : AG__WAIT_SEM_NEVER;
        m = ag__park_claimed(m, reason, s, cheap ? NULL : &s->lock.lock, w.epoch);
        if (m->g->woken != AG__WOKEN_NORMAL) {
            give_up(m, s, &w);
            r = ag__end_of(m->g);
        }
    }
    ag__leave(m);
    AG__HB_ACQUIRE(s);
    return r;
}

bool ag_sem_try_acquire(ag_sem *sem, int64_t n) {
    struct sem *s = (struct sem *)sem;
    check_weight(n, __builtin_return_address(0));
    ag__m *m = ag__enter();
    bool cheap = ag__bias_lock(m, &s->lock);
    bool taken = take(s, n);
    ag__bias_unlock(m, &s->lock, cheap);
    ag__leave(m);
    if (taken)
        AG__HB_ACQUIRE(s);
    return taken;
}

void ag_sem_release(ag_sem *sem, int64_t n) {
    struct sem *s = (struct sem *)sem;
    check_weight(n, __builtin_return_address(0));
    AG__HB_RELEASE(s);
    ag__m *m = ag__enter();
    bool cheap = ag__bias_lock(m, &s->lock);
    bool held = s->taken >= n;
    struct waiter *list = NULL;
    if (AG__LIKELY(held)) {
        s->taken -= n;
        list = give(s);
    }
    ag__bias_unlock(m, &s->lock, cheap);
    wake(m, list);
    ag__leave(m);
    if (AG__UNLIKELY(!held))
        ag__panic_text(__builtin_return_address(0), "semaphore: released more than held");
}

bool ag__sem_peek(const void *sem, int64_t *ret_size, int64_t *ret_taken) {
    struct sem s;
    if (ag__os_peek(sem, &s, sizeof s) != 0)
        return false;
    *ret_size = s.size;
    *ret_taken = s.taken;
    return true;
}
