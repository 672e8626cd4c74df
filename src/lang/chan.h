/* SPDX-License-Identifier: MIT */
/*
 * chan.h - the data of a channel, shared by chan.c and select.c.
 *
 * Invariants, under the lock: at least one of the two queues is empty, but for one goroutine
 * that waits in a select with both; receivers wait only while the buffer is empty, senders only
 * while it is full; nobody waits on a closed channel.
 */
#ifndef AG_CHAN_PRIVATE_H
#define AG_CHAN_PRIVATE_H

#include "lang/lang.h"
#include <string.h>

typedef struct ag__chan ag__chan;

/* One goroutine waiting on one channel; lives on its stack. */
typedef struct ag__waiter {
    struct ag__waiter *next, *prev; /* Guarded by the channel's lock. */
    ag__g *g;                       /* Constant. */
    void *elem;                     /* Constant: where from or to; NULL drops the value. */
    uint64_t epoch;                 /* Constant: the claim to win; 0: nobody else can wake it. */
    ag__chan *chan;                 /* Constant. */
    int index;                      /* Constant: the case in a select. */
    bool sends;                     /* Constant. */
    bool queued;                    /* Guarded by the channel's lock. */
    bool ok;                        /* Written by the waker: a value moved, not a close. */
} ag__waiter;

typedef struct ag__waitq {
    ag__waiter *first, *last;
} ag__waitq;

struct ag__chan {
    ag__object object;
    ag__bias lock;
    uint32_t elem_size; /* Constant. */
    uint32_t cap;       /* Constant. */
    /* Guarded by lock from here; count and closed are also read without, by ag_len and select's
     * first glance. */
    _Atomic uint32_t count;
    uint32_t recv_at, send_at;
    _Atomic bool closed;
    ag__waitq receivers, senders;
    ag__chan *orphan_link; /* freed while somebody waited */
    _Alignas(16) char buffer[];
};

static inline void ag__elem_copy(void *to, const void *from, size_t size) {
    if (size == sizeof(uint64_t))
        memcpy(to, from, sizeof(uint64_t));
    else if (size == sizeof(uint32_t))
        memcpy(to, from, sizeof(uint32_t));
    else
        memcpy(to, from, size);
}

static inline void *ag__slot(ag__chan *c, uint32_t i) {
    return c->buffer + (size_t)i * c->elem_size;
}

static inline uint32_t ag__after(const ag__chan *c, uint32_t i) {
    return i + 1 == c->cap ? 0 : i + 1;
}

static inline uint32_t ag__count_of(const ag__chan *c) {
    return atomic_load_explicit(&c->count, memory_order_relaxed);
}
static inline void ag__count_set(ag__chan *c, uint32_t n) {
    atomic_store_explicit(&c->count, n, memory_order_relaxed);
}

static inline void ag__waitq_add(ag__waitq *q, ag__waiter *w) {
    w->next = NULL;
    w->prev = q->last;
    w->queued = true;
    if (q->last)
        q->last->next = w;
    else
        q->first = w;
    q->last = w;
}

static inline void ag__waitq_remove(ag__waitq *q, ag__waiter *w) {
    if (!w->queued)
        return;
    if (w->prev)
        w->prev->next = w->next;
    else
        q->first = w->next;
    if (w->next)
        w->next->prev = w->prev;
    else
        q->last = w->prev;
    w->queued = false;
}

/* The first waiter that this caller may wake, taken out of the queue. A waiter that somebody
 * else has won may return as soon as it reads queued == false, so that store is our last touch. */
static inline ag__waiter *ag__waitq_take(ag__waitq *q) {
    ag__waiter *w;
    while ((w = q->first) != NULL) {
        bool won = w->epoch == 0 || ag__claim(w->g, w->epoch);
        q->first = w->next;
        if (w->next)
            w->next->prev = NULL;
        else
            q->last = NULL;
        /* Release. Partner: the acquire load in unlink_all of select.c. */
        __atomic_store_n(&w->queued, false, __ATOMIC_RELEASE);
        if (won)
            return w;
    }
    return NULL;
}

/* The core of the operations, under the lock. Each returns 1 when done, 0 when it would wait,
 * -1 on a closed channel; *ret_wake is a goroutine to ready after the lock is released. */
int ag__chan_send_locked(ag__chan *c, const void *elem, ag__g **ret_wake);
int ag__chan_recv_locked(ag__chan *c, void *elem, ag__g **ret_wake);

#endif
