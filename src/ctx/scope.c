/* SPDX-License-Identifier: MIT */
/*
 * scope.c - scopes: a nest on the stack of who begins it, tied to the block.
 *
 * The block's frame holds what must be undone when it ends: the context that is current in it, and
 * the panic that a caller of ag_scope_panic may still look at. A deferred call does it, so it is
 * done in whatever way the block ends; after ag_scope_end there is little left to do. One ag_scope
 * may be begun again in the same block: each begin has a frame of its own, and the scope knows
 * whose it is.
 *
 * A block that is left by a panic is a failure of the scope like any other, and may be the first
 * one. That it is so is seen by a panic that did not run when the scope began.
 *
 * A child's function is called by child_main, which stands at the bottom of its stack and has the
 * arguments in its registers; the function itself and the scope are in the goroutine's record. A
 * child whose function ends a scope of its own and returns its AG_PANICKED hands that panic on:
 * the last one is kept in the run, since the scope is gone when the function has returned.
 */
#include "ctx/ctx.h"
#include "ctx/room.h"
#include <errno.h>
#include <stdlib.h>

struct scope {
    ag__nest nest;
    struct ag__scope_frame *frame; /* Owner only; whose it is, NULL once it has ended. */
};
_Static_assert(sizeof(struct scope) <= sizeof(ag_scope), "ag_scope holds a struct scope");

static inline struct scope *of(ag_scope *s) {
    return (struct scope *)s;
}

static bool no_world(ag__m *m) {
    return m->foreign && !ag__ctx_in_world();
}

void ag__scope_begin(struct ag__scope_frame *f, ag_scope *scope, int mode,
                     const struct ag__site *site) {
    struct scope *s = of(scope);
    ag__nest *n = &s->nest;
    f->scope = scope;
    f->carried = NULL;
    f->panic_before = ag__panic_now();
    s->frame = f;
    ag__nest_init(n, site);
    n->supervises = mode == AG_SCOPE_SUPERVISOR;
    ag__m *m = ag__enter();
    ag__g *g = m->g;
    ag__bias_init(&n->lock, m);
    n->foreign = m->foreign;
    n->owner_g = g;
    atomic_store_explicit(&n->owner, m->foreign ? 0 : g->id, AG__RLX);
    n->ctx = ag__ctx_new_here(m, NULL);
    if (AG__LIKELY(n->ctx != NULL)) {
        ag__ctx_open_nest(m, &f->block, n->ctx, n);
        ag__nest_list(m, n);
    } else {
        n->err = -ENOMEM;
    }
    ag__leave(m);
}

/* --- The end. --- */

/* Waits until all are gone, and closes the block. Inside the runtime. */
static ag__m *wait_for_all(ag__m *m, struct scope *s) {
    ag__nest *n = &s->nest;
    if (ag__nest_close(m, n) > 0) {
        bool cheap = ag__bias_lock(m, &n->lock);
        if (atomic_load_explicit(&n->count, AG__RLX) > 0) {
            n->joiner = m->g;
            m = ag__park(m, AG__WAIT_SCOPE, n, cheap ? NULL : &n->lock.lock);
        } else {
            ag__bias_unlock(m, &n->lock, cheap);
        }
    }
    ag__nest_unlist(n);
    ag__ctx_close_nest(m, &s->frame->block);
    return m;
}

static void close_scope(struct scope *s) {
    ag__nest *n = &s->nest;
    if (n->ctx) {
        ag__m *m = ag__enter();
        m = wait_for_all(m, s);
        ag__leave(m);
        AG__HB_ACQUIRE(n);
        ag_unref(n->ctx);
        n->ctx = NULL;
    }
    s->frame->carried = n->carried;
    s->frame = NULL;
}

int ag_scope_end(ag_scope *scope) {
    struct scope *s = of(scope);
    if (s->frame) {
        if (AG__UNLIKELY(s->nest.owner_g != ag__m_now()->g))
            ag__panic_text(__builtin_return_address(0), "ag_scope_end: not by who began the scope");
        close_scope(s);
    }
    return s->nest.err;
}

/* The block has ended with the scope still there. Returns the panic that is to go on. */
static AG__COLD ag__carried *abandon(struct scope *s, bool by_panic) {
    ag__nest *n = &s->nest;
    if (by_panic) {
        ag__m *m = ag__enter();
        ag__nest_fail(m, n, AG_PANICKED, NULL);
        ag__leave(m);
    }
    ag_ctx_cancel(n->ctx);
    close_scope(s);
    return n->carried;
}

static AG__COLD void raise_it(struct ag__scope_frame *f, const ag__carried *carried) {
    ag__carried copy = *carried;
    ag_unref(f->carried);
    ag__panic_raise(&copy);
}

/* A panic that was told: a child may hand it on to its own scope. */
static AG__COLD void keep(ag__carried *carried) {
    ag__g *g = ag__m_now()->g;
    if (!(g->flags & AG__GF_CHILD)) {
        ag_unref(carried);
        return;
    }
    ag_unref(g->nest_run->carried);
    g->nest_run->carried = carried;
}

void ag__scope_leave(struct ag__scope_frame *f) {
    struct scope *s = of(f->scope);
    if (AG__UNLIKELY(s->frame == f)) {
        const void *panic = ag__panic_now();
        ag__carried *carried = abandon(s, panic && panic != f->panic_before);
        if (carried)
            raise_it(f, carried);
    } else if (AG__UNLIKELY(f->carried != NULL)) {
        keep(f->carried);
    }
}

const ag_panic_info *ag_scope_panic(ag_scope *scope) {
    const ag__nest *n = &of(scope)->nest;
    return n->carried ? &((const ag__carried *)n->carried)->info : NULL;
}

void ag_scope_repanic(ag_scope *scope) {
    const ag__nest *n = &of(scope)->nest;
    if (!n->carried)
        return;
    ag__carried copy = *n->carried;
    ag__panic_raise(&copy);
}

void ag_scope_cancel(ag_scope *scope) {
    ag_ctx_cancel(of(scope)->nest.ctx);
}

/* --- Children. --- */

static void child_over(struct ag__nest_run *run) {
    ag__nest *n = run->nest;
    if (AG__LIKELY(run->returned)) {
        if (AG__UNLIKELY((int)run->result < 0)) {
            ag__carried *carried = (int)run->result == AG_PANICKED ? ag_ref(run->carried) : NULL;
            AG__HB_RELEASE(n);
            ag__m *m = ag__enter();
            ag__nest_fail(m, n, (int)run->result, carried);
            ag__leave(m);
        }
    } else if (ag__panic_now() && ag__nest_carry(n)) {
        (void)ag_recover();
    }
    ag_unref(run->carried);
}

/* Has the words of the function itself. */
static void child_main(intptr_t a, intptr_t b, intptr_t c, intptr_t d, intptr_t e, intptr_t f) {
    const intptr_t args[6] = {a, b, c, d, e, f};
    ag__nest_call(args, child_over);
}

/* Counts the child before it starts. n's lock is held, and released. 0, or why there is no room. */
static int wait_for_room(ag__m **m, ag__nest *n, bool cheap) {
    struct ag__nest_room w = {NULL, (*m)->g, 0};
    int err = ag__ended(w.g);
    if (err) {
        ag__bias_unlock(*m, &n->lock, cheap);
        return err;
    }
    w.epoch = ag__claim_begin(w.g);
    struct ag__nest_room **last = &n->room;
    while (*last)
        last = &(*last)->next;
    *last = &w;
    *m = ag__park_until(*m, AG__WAIT_SCOPE_ROOM, n, cheap ? NULL : &n->lock.lock, w.epoch, 0);
    if (w.g->woken == AG__WOKEN_NORMAL)
        return 0;
    err = ag__end_of(w.g);
    cheap = ag__bias_lock(*m, &n->lock);
    ag__room_drop(n, &w);
    ag__bias_unlock(*m, &n->lock, cheap);
    return err;
}

static inline int take_place(ag__m **m, ag__nest *n) {
    bool cheap = ag__bias_lock(*m, &n->lock);
    if (AG__UNLIKELY(n->limit > 0 && (n->running >= n->limit || n->room)))
        return wait_for_room(m, n, cheap);
    ag__room_count(n);
    ag__bias_unlock(*m, &n->lock, cheap);
    return 0;
}

/* Gives the place of a child back that could not be started. */
static AG__COLD void leave_place(ag__m *m, ag__nest *n) {
    bool cheap = ag__bias_lock(m, &n->lock);
    ag__nest_add_to(&n->created, -1);
    ag__bias_unlock(m, &n->lock, cheap);
    ag__nest_remove(m, n, true);
}

int64_t ag__scope_go(ag_scope *scope, const struct ag__site *site, ag__fn fn,
                     const intptr_t args[6]) {
    ag__nest *n = &of(scope)->nest;
    if (AG__UNLIKELY(!of(scope)->frame))
        ag__panic_text(__builtin_return_address(0), "ag_scope_go: the scope has ended");
    if (!n->ctx || ag__foreign_prepare() != 0)
        return -ENOMEM;
    ag__m *m = ag__enter();
    int64_t r = no_world(m) ? -ECANCELED : take_place(&m, n);
    if (AG__UNLIKELY(r != 0)) {
        ag__leave(m);
        return r;
    }
    ag__g *g = no_world(m) ? NULL : ag__g_new(m, site, (ag__fn)child_main, args);
    if (AG__UNLIKELY(!g)) {
        r = no_world(m) ? -ECANCELED : -ENOMEM;
        leave_place(m, n);
        ag__leave(m);
        return r;
    }
    g->nest = n;
    g->nest_id = n->id;
    g->nest_fn = fn;
    g->flags |= AG__GF_CHILD;
    ag__ctx_give(m, g, n->ctx);
    r = g->id;
    ag__g_start(m, g);
    ag__leave(m);
    return r;
}

void ag_scope_limit(ag_scope *scope, int limit) {
    ag__nest *n = &of(scope)->nest;
    struct ag__nest_room *list = NULL, **end = &list, *w;
    ag__m *m = ag__enter();
    bool cheap = ag__bias_lock(m, &n->lock);
    n->limit = limit;
    while (n->room && (limit <= 0 || n->running < limit) && (w = ag__room_take(n)) != NULL) {
        ag__room_count(n);
        *end = w;
        end = &w->next;
    }
    *end = NULL;
    ag__bias_unlock(m, &n->lock, cheap);
    while ((w = list) != NULL) {
        list = w->next; /* before ready: it lives on the woken stack */
        ag__ready(m, w->g);
    }
    ag__leave(m);
}

/* The children were dropped where they stood. A thread's scope ends without them. */
void ag__scope_end_world(ag__m *m, ag__nest *n) {
    if (!n->foreign)
        return;
    bool cheap = ag__bias_lock(m, &n->lock);
    ag__g *joiner = n->joiner, *waits = NULL;
    n->lazy = NULL;
    n->lazies = n->running = n->limit = 0;
    n->err = n->err ? n->err : -ECANCELED;
    atomic_store_explicit(&n->count, 0, AG__RLX);
    for (struct ag__nest_room *w = n->room; w; w = w->next)
        if (w->g == n->owner_g && ag__claim(w->g, w->epoch)) {
            ag__room_count(n);
            waits = w->g;
        }
    n->room = NULL;
    ag__bias_unlock(m, &n->lock, cheap);
    if (joiner)
        ag__ready(m, joiner);
    if (waits)
        ag__ready(m, waits);
}
