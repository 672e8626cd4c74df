/* SPDX-License-Identifier: MIT */
/*
 * block.c - the current context: blocks that change it, and handing it on.
 *
 * A block is a record on the stack of who opens it, linked to the one around it; a deferred call
 * closes it, so it ends with its block in whatever way. The goroutine's record holds what its waits
 * need to know: whose member it is, and `until`, the bound of the ag_within blocks.
 *
 * ag_within is two stores and a look at the clock. The context that its block stands for is made
 * when somebody wants to have it: then it becomes current like any other, with a timer of its own,
 * and `until` is not needed.
 *
 * A thread that is no goroutine may have no world, and so no timers: there the deadline of the
 * context goes into `until`, too.
 */
#include "ctx/ctx.h"

const struct ag_key_text ag_request_id = AG_KEY("request_id");
const struct ag_key_text ag_principal = AG_KEY("principal");
const struct ag_key_fields ag_log_fields = AG_KEY("log_fields");

static int64_t earlier(int64_t a, int64_t b) {
    return !a || (b && b < a) ? b : a;
}

static void note_deadline(ag__g *g) {
    int64_t deadline = earlier(g->ctx ? g->ctx->deadline : 0, g->until);
    atomic_store_explicit(&g->ends_at, deadline, AG__RLX);
    g->bound = g->cancel || g->until || atomic_load_explicit(&g->group, AG__RLX);
}

void ag__ctx_note(ag__g *g) {
    note_deadline(g);
}

/* Makes c (NULL: the background) current. g is the caller's own, or new. */
static void change(ag__m *m, ag__g *g, ag_ctx *c, int64_t until) {
    struct ag__group *group = atomic_load_explicit(&m->g->group, AG__RLX);
    if (AG__UNLIKELY(group && g != m->g))
        ag__group_join(g, group);
    if (c != g->ctx) {
        if (g->cancel)
            ag__cancel_leave(g);
        g->ctx = c;
        atomic_store_explicit(&g->labels, c ? c->labels : NULL, memory_order_release);
        if (c) {
            ag__cancel_join(&c->cancel, g);
            ag__ctx_clock_check(m, c);
        }
    }
    if (c && (g->flags & AG__GF_FOREIGN))
        until = earlier(until, c->deadline);
    g->until = until;
    note_deadline(g);
}

static void open_block(ag__g *g, struct ag__ctx_block *b, ag_ctx *own, bool is_bound) {
    b->outer = g->block;
    b->before = g->ctx;
    b->own = own;
    b->until_before = g->until;
    b->is_bound = is_bound;
    b->nest = NULL;
    g->block = b;
}

/* Makes the context that an ag_within block stands for, if g is in one. False: out of memory. */
static bool make_object(ag__m *m, ag__g *g) {
    struct ag__ctx_block *b = g->block;
    if (AG__LIKELY(!b || !b->is_bound || b->own))
        return true;
    ag_ctx *c = ag__ctx_new(m, g->ctx, g->until, 0);
    if (!c)
        return false;
    b->own = c;
    change(m, g, c, 0);
    return true;
}

/* The current context as an object; NULL: the background. */
static ag_ctx *current(ag__m *m, ag__g *g) {
    if (AG__UNLIKELY(!make_object(m, g)))
        ag__throw("out of memory for a context");
    return g->ctx;
}

ag_ctx *ag_ctx_current(void) {
    ag__m *m = ag__enter();
    ag_ctx *c = current(m, m->g);
    ag__leave(m);
    return c ? c : &ag__ctx_nothing;
}

void ag__ctx_take(struct ag__ctx_block *b, ag_ctx *c) {
    if (!c)
        ag__throw("out of memory for a context");
    ag__m *m = ag__enter();
    if (c == &ag__ctx_nothing)
        c = NULL;
    open_block(m->g, b, c, false);
    change(m, m->g, c, m->g->until);
    ag__leave(m);
}

void ag__ctx_borrow(ag_ctx *c) {
    ag__m *m = ag__enter();
    ag__g *g = m->g;
    ag__assert(!g->block && !g->until && (!c || (!g->ctx && !c->deadline && !c->labels)));
    if (g->cancel)
        ag__cancel_leave(g);
    g->ctx = c;
    if (c)
        ag__cancel_join(&c->cancel, g);
    else if (AG__UNLIKELY(atomic_load_explicit(&g->group, AG__RLX) != NULL))
        g->bound = true;
    ag__leave(m);
}

void ag__ctx_enter(struct ag__ctx_block *b, ag_ctx *c) {
    ag__ctx_take(b, c ? ag_ref(c) : &ag__ctx_nothing);
}

void ag__ctx_within(struct ag__ctx_block *b, ag_time ns) {
    int64_t now = ag__os_now(), until = ns <= 0 ? now : ns > INT64_MAX - now ? INT64_MAX : now + ns;
    ag__m *m = ag__enter();
    ag__g *g = m->g;
    open_block(g, b, NULL, true);
    g->until = earlier(g->until, until);
    note_deadline(g);
    ag__leave(m);
}

void ag__ctx_shield(struct ag__ctx_block *b, ag_time ns) {
    int64_t now = ag__os_now(), until = ns > INT64_MAX - now ? INT64_MAX : now + ns;
    ag__m *m = ag__enter();
    ag__g *g = m->g;
    ag_ctx *before = ns > 0 ? current(m, g) : NULL, *own = NULL;
    if (before) {
        own = ag__ctx_new(m, before, 0, until);
        if (!own)
            ag__throw("out of memory for a shield");
    }
    open_block(g, b, own, false);
    if (own)
        change(m, g, own, 0);
    ag__leave(m);
}

void ag__ctx_leave(struct ag__ctx_block *b) {
    ag__m *m = ag__enter();
    ag__g *g = m->g;
    g->block = b->outer;
    change(m, g, b->before, b->until_before);
    ag__leave(m);
    ag_unref(b->own);
}

/* --- For scopes and jobs. --- */

static bool is_below(const ag_ctx *c, const ag_ctx *top) {
    while (c && c != top)
        c = c->parent;
    return c == top;
}

ag_ctx *ag__ctx_new_here(ag__m *m, ag_ctx *top) {
    if (!make_object(m, m->g))
        return NULL;
    ag_ctx *c = m->g->ctx;
    return ag__ctx_new(m, top && !is_below(c, top) ? top : c, 0, 0);
}

void ag__ctx_open_nest(ag__m *m, struct ag__ctx_block *b, ag_ctx *own, ag__nest *nest) {
    open_block(m->g, b, own, false);
    b->nest = nest;
    change(m, m->g, own, m->g->until);
}

/* Blocks that were opened since, and are still open, stand in one that is none any more: they come
 * to stand in the one around it. */
void ag__ctx_close_nest(ag__m *m, struct ag__ctx_block *b) {
    ag__g *g = m->g;
    bool is_current = true; /* no block inside has a context of its own */
    struct ag__ctx_block **at = &g->block;
    for (struct ag__ctx_block *x; (x = *at) != b; at = &x->outer) {
        is_current = is_current && x->is_bound && !x->own;
        if (x->before == b->own)
            x->before = b->before;
    }
    bool is_innermost = g->block == b;
    *at = b->outer;
    if (is_current)
        change(m, g, b->before, is_innermost ? b->until_before : g->until);
}

ag__nest *ag__nest_of(const ag__g *g) {
    for (struct ag__ctx_block *b = g->block; b; b = b->outer)
        if (b->nest)
            return b->nest;
    return g->flags & AG__GF_CHILD ? g->nest : NULL;
}

void ag__ctx_give(ag__m *m, ag__g *to, ag_ctx *c) {
    change(m, to, c, 0);
}

/* --- For the floors below. --- */

/* Without memory for the context of an ag_within block the bound of its waits goes along alone, and
 * further on to those that are started by one that got only that. */
void ag__ctx_hand_on(ag__m *m, ag__g *to) {
    ag__g *g = m->g;
    bool alone = !make_object(m, g) || (!g->block && !(g->flags & AG__GF_FOREIGN));
    ag_ctx *c = g->ctx;
    change(m, to, ag_ref(c), alone ? g->until : 0);
}

/* The goroutine's own reference is that of the context it was given, which a child's nest has for
 * it; blocks have their own. */
void ag__ctx_drop(ag__g *g, bool blocks) {
    ag_ctx *c = g->ctx;
    if (g->cancel)
        ag__cancel_leave(g);
    for (struct ag__ctx_block *b = g->block; blocks && b; b = b->outer) {
        c = b->before;
        ag_unref(b->own);
    }
    if (!(g->flags & (AG__GF_FOREIGN | AG__GF_CHILD)))
        ag_unref(c);
    g->ctx = NULL;
    atomic_store_explicit(&g->labels, NULL, AG__RLX);
    g->block = NULL;
    g->until = 0;
    if (AG__UNLIKELY(atomic_load_explicit(&g->group, AG__RLX)))
        ag__group_leave(g);
    note_deadline(g);
}
