/* SPDX-License-Identifier: MIT */
/*
 * nest.c - what scopes and jobs have in common: counting what belongs to them, failing, going. The
 * protocol is in ctx.h.
 *
 * A child that goes is counted out by the scheduler's call behind its end, in the thread that was
 * its own; whoever waits for the last one is put where that thread looks next. A job whose function
 * has returned keeps no goroutine waiting for its children: the last of them to go completes it,
 * which may be the last child of the parent, and so on up; a loop, since trees may be deep.
 *
 * A failure is told in the child, when its function has returned or panicked. A panic is caught by
 * a deferred call at the bottom of the child's stack, which still stands then: so its backtrace is
 * the one of the place where it was raised.
 *
 * Refused: a wait group for the count (a child would still be counted by ag_count when the scope is
 * over); a goroutine that waits for the children of a job (a stack for each level of the tree); a
 * record for each child (the goroutine's own has room).
 */
#include "ctx/ctx.h"
#include <errno.h>
#include <string.h>

/* Who waits in ag_scope_go; see scope.c. */
#include "ctx/room.h"

void ag__nest_init(ag__nest *n, const struct ag__site *site) {
    memset(n, 0, sizeof *n);
    n->site = site;
}

void ag__nest_add(ag__m *m, ag__nest *n, ag_job *lazy) {
    bool cheap = ag__bias_lock(m, &n->lock);
    ag__nest_add_to(&n->count, 1);
    ag__nest_add_to(&n->created, 1);
    if (lazy) {
        n->lazies++;
        ag__job_list_lazy(lazy, n);
    }
    ag__bias_unlock(m, &n->lock, cheap);
}

/* Lock held: a job that nobody can start any more, with a reference; NULL: there is none. */
static inline ag_job *stranded(ag__nest *n) {
    if (AG__LIKELY(n->lazies == 0) || !n->closing ||
        atomic_load_explicit(&n->count, AG__RLX) != n->lazies)
        return NULL;
    return ag__job_take_lazy(n);
}

/* Counts one child out. Returns: the nest in which one child fewer counts because of that, a job
 * that is done having counted in it; NULL: none. */
static ag__nest *remove_one(ag__m *m, ag__nest *n, bool makes_room) {
    AG__HB_RELEASE(n);
    bool cheap = ag__bias_lock(m, &n->lock);
    struct ag__nest_room *next = makes_room ? ag__room_take(n) : NULL;
    if (AG__UNLIKELY(next != NULL)) { /* who waits takes over the place, and counts in it */
        ag__nest_add_to(&n->created, 1);
        ag__bias_unlock(m, &n->lock, cheap);
        ag__ready(m, next->g);
        return NULL;
    }
    ag__nest_add_to(&n->count, -1);
    n->running -= makes_room;
    bool gone = n->closing && atomic_load_explicit(&n->count, AG__RLX) == 0;
    ag__g *joiner = gone ? n->joiner : NULL;
    bool is_job = n->is_job;
    ag_job *left = stranded(n);
    ag__bias_unlock(m, &n->lock, cheap);
    /* A scope may be no more. A job stands: it has a reference until it is completed, here. */
    if (joiner)
        ag__ready(m, joiner);
    if (AG__LIKELY(!left))
        return gone && is_job ? ag__job_complete(m, ag__job_of(n)) : NULL;
    ag__nest *parent = ag__job_cancel_new(m, left);
    ag_unref(left);
    return parent;
}

void ag__nest_remove(ag__m *m, ag__nest *n, bool makes_room) {
    n = remove_one(m, n, makes_room);
    while (n)
        n = remove_one(m, n, false);
}

int ag__nest_close(ag__m *m, ag__nest *n) {
    for (;;) {
        bool cheap = ag__bias_lock(m, &n->lock);
        n->closing = true;
        ag_job *left = stranded(n);
        int count = atomic_load_explicit(&n->count, AG__RLX);
        ag__bias_unlock(m, &n->lock, cheap);
        if (!left)
            return count;
        ag__nest *parent = ag__job_cancel_new(m, left);
        ag_unref(left);
        if (parent)
            ag__nest_remove(m, parent, false);
    }
}

void ag__nest_fail(ag__m *m, ag__nest *n, int err, ag__carried *carried) {
    bool cheap = ag__bias_lock(m, &n->lock);
    bool first = n->err == 0;
    if (first) {
        n->err = err;
        n->carried = carried;
    }
    ag__bias_unlock(m, &n->lock, cheap);
    if (first && !n->supervises && n->ctx)
        ag__ctx_end(m, n->ctx, -ECANCELED, err);
    if (!first)
        ag_unref(carried);
}

bool ag__nest_carry(ag__nest *n) {
    ag__carried *c = ag__panic_carry();
    if (!c)
        return false;
    AG__HB_RELEASE(n);
    ag__m *m = ag__enter();
    ag__nest_fail(m, n, AG_PANICKED, c);
    ag__leave(m);
    return true;
}

void ag__nest_child_gone(ag__m *m, ag__g *g) {
    ag__nest_remove(m, g->nest, !g->nest->is_job);
}

bool ag__nest_peek(const void *nest, ag__nest_info *ret) {
    ag__nest n;
    if (ag__os_peek(nest, &n, sizeof n) != 0)
        return false;
    *ret = (ag__nest_info){n.id, n.owner, n.count, n.created, n.limit};
    return true;
}
