/* SPDX-License-Identifier: MIT */
/*
 * cond.c - the condition: a list of waiters, woken in the order in which they came.
 *
 * A waiter is in the list before it gives the mutex back, so a signal that comes as soon as
 * somebody else has the mutex finds it. It may not have parked yet: then it learns from `woken`
 * that it need not.
 *
 * All who are woken need the mutex, which only one can have. So those who could not have it yet are
 * not woken, but moved into its line: each unlock wakes the next.
 */
#include "sync/sync.h"

struct waiter {
    struct waiter *next;
    ag_mutex *mutex;
    struct ag__mutex_waiter in_line; /* .g is set when it parks */
    bool parked, woken;              /* Guarded by the condition's lock. */
};

struct cond {
    ag__lock lock;
    uint32_t unused;
    struct waiter *head, *tail; /* Guarded by lock. */
};
_Static_assert(sizeof(struct cond) == sizeof(ag_cond), "ag_cond holds a struct cond");

static void link_last(struct cond *c, struct waiter *w) {
    ag__m *m = ag__enter();
    ag__lock_acquire(&c->lock);
    if (c->tail)
        c->tail->next = w;
    else
        c->head = w;
    c->tail = w;
    ag__lock_release(&c->lock);
    ag__leave(m);
}

static AG__COLD void take_out(struct cond *c, const struct waiter *w) {
    ag__m *m = ag__enter();
    ag__lock_acquire(&c->lock);
    struct waiter *before = NULL, *at = c->head;
    for (; at && at != w; at = at->next)
        before = at;
    if (at) {
        *(before ? &before->next : &c->head) = w->next;
        if (c->tail == w)
            c->tail = before;
    }
    ag__lock_release(&c->lock);
    ag__leave(m);
}

void ag_cond_wait(ag_cond *cond, ag_mutex *mutex) {
    struct cond *c = (struct cond *)cond;
    struct waiter w = {.mutex = mutex};
    void *pc = __builtin_return_address(0);
    link_last(c, &w);
    if (AG__UNLIKELY(ag__checks))
        ag__check_unlock((ag__biased *)mutex, true);
    if (AG__UNLIKELY(!ag__mutex_give(mutex))) {
        take_out(c, &w);
        ag__panic_text(pc, "sync: unlock of unlocked mutex");
    }
    ag__m *m = ag__enter();
    ag__lock_acquire(&c->lock);
    if (w.woken) {
        ag__lock_release(&c->lock);
    } else {
        w.in_line.g = m->g;
        w.parked = true;
        m = ag__park(m, AG__WAIT_COND, c, &c->lock);
    }
    ag__leave(m);
    AG__HB_ACQUIRE(c);
    if (AG__UNLIKELY(ag__checks))
        ag__check_before((ag__biased *)mutex, true, pc);
    ag__mutex_lock_woken(mutex, &w.in_line);
    if (AG__UNLIKELY(ag__checks))
        ag__check_locked((ag__biased *)mutex, true, pc);
}

/* Moves the first of the list and those behind it who need the same mutex, or wakes them. Returns
 * the rest. */
static struct waiter *move(ag__m *m, struct waiter *list) {
    ag_mutex *mutex = list->mutex;
    struct ag__mutex_waiter *line = NULL, **end = &line, *w;
    for (; list && list->mutex == mutex; list = list->next) {
        *end = &list->in_line;
        end = &list->in_line.next;
    }
    *end = NULL;
    line = ag__mutex_move(mutex, line);
    while ((w = line) != NULL) {
        line = w->next; /* before ready: it lives on the woken stack */
        ag__ready(m, w->g);
    }
    return list;
}

static void wake(struct cond *c, bool all) {
    AG__HB_RELEASE(c);
    ag__m *m = ag__enter();
    ag__lock_acquire(&c->lock);
    struct waiter *list = NULL, **end = &list, *w;
    while ((w = c->head) != NULL) {
        if ((c->head = w->next) == NULL)
            c->tail = NULL;
        w->woken = true;
        if (w->parked) {
            *end = w;
            end = &w->next;
        }
        if (!all)
            break;
    }
    *end = NULL;
    ag__lock_release(&c->lock);
    while (list)
        list = move(m, list);
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
    struct waiter w = {.next = NULL};
    if (ag__os_peek(cond, &c, sizeof c) != 0)
        return false;
    const struct waiter *at = c.head;
    for (int i = 0; at && i < LOOKED_AT; i++, at = w.next) {
        if (ag__os_peek(at, &w, sizeof w) != 0)
            return false;
        if (w.in_line.g == g)
            return true;
    }
    return false;
}
