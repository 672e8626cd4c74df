/* SPDX-License-Identifier: MIT */
/*
 * cond.c - the condition: a list of waiters, woken in the order in which they came.
 *
 * A waiter is in the list before it gives the mutex back, so a signal that comes as soon as
 * somebody else has the mutex finds it. It may not have parked yet, unless it could give the mutex
 * back without letting go of the condition: then it learns from its `wait_mutex`, NULL, that it is
 * woken already.
 *
 * The list goes through the records of the goroutines. A thousand waiters are a thousand stacks,
 * each a page that has left the TLB; who wakes them needs their records only.
 *
 * All who are woken need the mutex, which only one can have. So those who could not have it yet are
 * not woken, but moved into its line: each unlock wakes the next.
 */
#include "sync/sync.h"

/* Of a waiter, `wait_mutex` is the mutex, and `wait_place` its place in the line for that. */
struct cond {
    ag__lock lock;
    uint32_t unused;
    ag__g *head, *tail; /* Guarded by lock, as their links are. */
};
_Static_assert(sizeof(struct cond) == sizeof(ag_cond), "ag_cond holds a struct cond");

/* Under the lock. */
static inline void link_last(struct cond *c, ag__g *g) {
    g->link = NULL;
    if (c->tail)
        c->tail->link = g;
    else
        c->head = g;
    c->tail = g;
}

static AG__COLD void take_out(struct cond *c, const ag__g *g) {
    ag__g *before = NULL, *at = c->head;
    for (; at && at != g; at = at->link)
        before = at;
    if (at) {
        *(before ? &before->link : &c->head) = g->link;
        if (c->tail == g)
            c->tail = before;
    }
}

/* Lets go of the condition, to give the mutex back in any of its states. Panics if it was not
 * locked. */
static AG__NOINLINE ag__m *give_outside(struct cond *c, ag__m *m, ag_mutex *mutex, void *pc) {
    ag__g *g = m->g;
    ag__lock_release(&c->lock);
    ag__leave(m);
    bool given = ag__mutex_give(mutex);
    m = ag__enter();
    ag__lock_acquire(&c->lock);
    if (AG__UNLIKELY(!given)) {
        take_out(c, g);
        ag__lock_release(&c->lock);
        ag__leave(m);
        ag__panic_text(pc, "sync: unlock of unlocked mutex");
    }
    return m;
}

void ag_cond_wait(ag_cond *cond, ag_mutex *mutex) {
    struct cond *c = (struct cond *)cond;
    struct ag__mutex_waiter place = {.since = 0};
    void *pc = __builtin_return_address(0);
    if (AG__UNLIKELY(ag__checks))
        ag__check_unlock((ag__biased *)mutex, true);
    ag__m *m = ag__enter();
    ag__g *g = place.g = m->g;
    ag__lock_acquire(&c->lock);
    g->wait_mutex = mutex;
    g->wait_place = &place;
    link_last(c, g);
    if (!ag__mutex_give_inside(m, mutex))
        m = give_outside(c, m, mutex, pc);
    if (AG__LIKELY(g->wait_mutex != NULL))
        m = ag__park(m, AG__WAIT_COND, c, &c->lock);
    else
        ag__lock_release(&c->lock);
    ag__leave(m);
    AG__HB_ACQUIRE(c);
    if (AG__UNLIKELY(ag__checks))
        ag__check_before((ag__biased *)mutex, true, pc);
    ag__mutex_lock_woken(mutex, &place);
    if (AG__UNLIKELY(ag__checks))
        ag__check_locked((ag__biased *)mutex, true, pc);
}

/* Moves the first of the list, and those behind it, into the line of the mutex they need, or wakes
 * the first. Returns the rest. */
static AG__NOINLINE ag__g *move(ag__m *m, ag__g *list) {
    ag_mutex *mutex = list->wait_mutex;
    struct ag__mutex_waiter *line = NULL, **end = &line, *w;
    for (; list && list->wait_mutex == mutex; list = list->link) {
        w = list->wait_place;
        *end = w;
        end = &w->next;
    }
    *end = NULL;
    if ((w = ag__mutex_move(mutex, line)) != NULL)
        ag__ready(m, w->g);
    return list;
}

static inline ag__g *ready_first(ag__m *m, ag__g *list) {
    ag__g *rest = list->link; /* before it is ready: queues use the link, too */
    ag__ready(m, list);
    return rest;
}

static void wake(struct cond *c, bool all) {
    AG__HB_RELEASE(c);
    ag__m *m = ag__enter();
    ag__lock_acquire(&c->lock);
    ag__g *list = NULL, **end = &list, *g;
    while ((g = c->head) != NULL) {
        if ((c->head = g->link) == NULL)
            c->tail = NULL;
        if (AG__LIKELY(atomic_load_explicit(&g->state, AG__RLX) == AG__G_WAITING)) {
            *end = g;
            end = &g->link;
        } else {
            g->wait_mutex = NULL;
        }
        if (!all)
            break;
    }
    *end = NULL;
    ag__lock_release(&c->lock);
    while (list)
        list = ag__mutex_is_shared(list->wait_mutex) ? move(m, list) : ready_first(m, list);
    ag__leave(m);
}

void ag_cond_signal(ag_cond *c) {
    wake((struct cond *)c, false);
}
void ag_cond_broadcast(ag_cond *c) {
    wake((struct cond *)c, true);
}

/* The list may be long, and change: after so many it is not known. */
bool ag__cond_has(const void *cond, const ag__g *g) {
    enum { LOOKED_AT = 4096 };
    struct cond c;
    ag__g *at, *next;
    if (ag__os_peek(cond, &c, sizeof c) != 0)
        return false;
    at = c.head;
    for (int i = 0; at && at != g && i < LOOKED_AT; i++, at = next)
        if (ag__os_peek(&at->link, &next, sizeof next) != 0)
            return false;
    return at == g;
}
