/* SPDX-License-Identifier: MIT */
/*
 * ctx.c - the tree of contexts: birth, end, death.
 *
 * Every context but the background can end. A child holds a reference of its parent; the parent
 * knows its children by a list that holds none, so contexts that nobody uses any more go by
 * themselves, ended or not.
 *
 * The end. Who sets cancel.err, under the lock, does everything else, without it: close the
 * channel, tell the members (sched/cancel.c), start the calls, and then the same for the children,
 * taken out of the list in batches. A worklist instead of recursion: trees may be deep. Who looks
 * at a context whose ancestor has ended already finishes the end there, so no child outlives the
 * cancel of its parent in anybody's eyes.
 *
 * The order matters to a select that lists AG_DONE of the current context: the channel closes
 * before the members are told, so such a select finds its case ready.
 *
 * Lock order: one context at a time; then a call's lock; then those of channels and queues.
 *
 * Refused: a goroutine for each timeout (the timer ends the tree itself); references from parent to
 * child (a context without a cancel would leak until its parent ended, as in Go).
 */
#include "ctx/ctx.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = AG__SIZE(64, 2) };

static void never(ag__object *o) {
    (void)o;
}

/* More references than anybody drops: ag_ref and ag_unref need no special case. */
ag_ctx ag__ctx_nothing = {.object = {never, 1 << 30}};

ag_ctx *ag_ctx_background(void) {
    return &ag__ctx_nothing;
}

static ag_ctx *real(ag_ctx *c) {
    return c == &ag__ctx_nothing ? NULL : c;
}

static int err_of(ag_ctx *c) {
    /* Acquire: and the cause. Partner: the release in mark. */
    return atomic_load_explicit(&c->cancel.err, memory_order_acquire);
}

/* --- Birth. --- */

/* Becomes a child of `above`; what has ended already gives its error and cause. */
static int link_below(ag_ctx *c, ag_ctx *above, int *ret_cause) {
    ag__lock_acquire(&above->cancel.lock);
    int err = err_of(above);
    *ret_cause = above->cause;
    if (err == 0) {
        c->sibling = above->children;
        c->sibling_at = &above->children;
        if (c->sibling)
            c->sibling->sibling_at = &c->sibling;
        above->children = c;
        atomic_store_explicit(&c->above, above, memory_order_release);
    } else {
        AG__HB_ACQUIRE(&above->cancel);
    }
    ag__lock_release(&above->cancel.lock);
    return err;
}

/* above->cancel.lock is held. */
static void unlink_sibling(ag_ctx *c) {
    if (!c->sibling_at)
        return;
    *c->sibling_at = c->sibling;
    if (c->sibling)
        c->sibling->sibling_at = c->sibling_at;
    c->sibling_at = NULL;
}

static int64_t earlier(int64_t a, int64_t b) {
    return !a || (b && b < a) ? b : a;
}

/* A shield ends with its parent, but not before its own time. */
static int64_t deadline_of_shield(ag_ctx *parent, int64_t until) {
    if (err_of(parent) != 0)
        return until;
    return parent->deadline && parent->deadline < until ? until : parent->deadline;
}

static void ctx_free(ag__object *o);

ag_ctx *ag__ctx_new(ag__m *m, ag_ctx *parent, int64_t deadline, int64_t shield_until) {
    ag_ctx *c = calloc(1, sizeof *c);
    parent = real(parent);
    if (!c)
        return NULL;
    ag__object_init(&c->object, ctx_free);
    c->parent = ag_ref(parent);
    c->labels = parent ? ag__labels_ref(parent->labels) : NULL;
    c->shield_until = shield_until;
    int64_t above = parent ? parent->deadline : 0;
    c->deadline =
        shield_until ? deadline_of_shield(parent, shield_until) : earlier(above, deadline);
    bool own_time = shield_until || (deadline && c->deadline != above);
    if (own_time && !ag__ctx_clock_new(c)) {
        ag_unref(c);
        return NULL;
    }
    int cause = 0, err = parent && !shield_until ? link_below(c, parent, &cause) : 0;
    if (err == 0 && own_time && !shield_until && ag__os_now() >= c->deadline)
        err = cause = -ETIMEDOUT;
    if (err != 0) {
        ag__ctx_end(m, c, err, cause);
    } else if (own_time && !ag__ctx_clock_arm(m, c)) {
        ag_unref(c);
        return NULL;
    }
    return c;
}

void ag__ctx_uncover(ag__m *m, ag_ctx *c) {
    int cause, err = link_below(c, c->parent, &cause);
    if (err != 0)
        ag__ctx_end(m, c, err, cause);
}

static ag_ctx *new_below(ag_ctx *parent, int64_t deadline) {
    ag__m *m = ag__enter();
    ag_ctx *c = ag__ctx_new(m, parent, deadline, 0);
    ag__leave(m);
    return c;
}

ag_ctx *ag_ctx_with_cancel(ag_ctx *parent) {
    return new_below(parent, 0);
}

ag_ctx *ag_ctx_with_deadline(ag_ctx *parent, ag_time t) {
    return new_below(parent, t == 0 ? -1 : t);
}

ag_ctx *ag_ctx_with_timeout(ag_ctx *parent, ag_time ns) {
    int64_t now = ag__os_now();
    return new_below(parent, ns <= 0 ? now : ns > INT64_MAX - now ? INT64_MAX : now + ns);
}

ag_ctx *ag_ctx_with_value(ag_ctx *parent, const void *key, const void *value) {
    ag_ctx *c = new_below(parent, 0);
    const char *label = key == &ag_request_id  ? ag_request_id.name
                        : key == &ag_principal ? ag_principal.name
                                               : NULL;
    if (c && label && value && !ag__ctx_label(c, label, value)) {
        ag_unref(c);
        c = NULL;
    }
    if (c) {
        c->key = key;
        c->value = (void *)value;
    }
    return c;
}

ag_ctx *ag_ctx_with_copy(ag_ctx *parent, const void *key, const void *data, size_t n) {
    void *copy = malloc(n ? n : 1);
    if (!copy)
        return NULL;
    memcpy(copy, data, n);
    ag_ctx *c = ag_ctx_with_value(parent, key, copy);
    if (c)
        c->copy = copy;
    else
        free(copy);
    return c;
}

/* --- The end. --- */

struct ending {
    void *done;
    ag_ctx_call *calls;
    void (*on_end)(void *);
    void *on_end_arg;
    bool has_members, has_children; /* none comes any more */
};

/* Takes what depends on c out of it. Lock held, or c is being freed. */
static struct ending take_dependants(ag_ctx *c) {
    struct ending e = {c->done, c->calls, c->on_end, c->on_end_arg, c->cancel.members, c->children};
    c->calls = NULL;
    c->on_end = NULL;
    return e;
}

/* Of several who end c, one is told true. */
static bool mark(ag_ctx *c, int err, int cause, struct ending *ret_ending) {
    ag__lock_acquire(&c->cancel.lock);
    bool first = err_of(c) == 0;
    if (first) {
        *ret_ending = take_dependants(c);
        c->cause = cause ? cause : err;
        AG__HB_RELEASE(&c->cancel);
        /* Release. Partner: err_of. */
        atomic_store(&c->cancel.err, err);
    }
    ag__lock_release(&c->cancel.lock);
    return first;
}

/* Moves the children of an ended context to the worklist, with a reference of each. */
static ag_ctx *take_children(ag_ctx *c, ag_ctx *work) {
    int looked;
    do {
        looked = 0;
        ag__lock_acquire(&c->cancel.lock);
        for (ag_ctx *x; looked < BATCH && (x = c->children) != NULL; looked++) {
            unlink_sibling(x);
            if (!ag__object_try_ref(&x->object))
                continue;
            x->work = work;
            work = x;
        }
        ag__lock_release(&c->cancel.lock);
    } while (looked == BATCH);
    return work;
}

static ag_ctx *end_one(ag__m *m, ag_ctx *c, int err, int cause, ag_ctx *work) {
    struct ending e;
    if (!mark(c, err, cause, &e))
        return work;
    if (c->clock)
        ag__ctx_clock_stop(c->clock);
    if (e.done)
        ag__chan_close_inside(m, e.done); /* unless somebody did: ag__ctx_done_of */
    if (e.has_members)
        ag__cancel_tell(m, &c->cancel);
    ag__ctx_calls_start(m, e.calls);
    if (e.on_end)
        e.on_end(e.on_end_arg);
    return e.has_children ? take_children(c, work) : work;
}

void ag__ctx_end(ag__m *m, ag_ctx *c, int err, int cause) {
    ag_ctx *work = end_one(m, c, err, cause, NULL);
    while (work) {
        ag_ctx *x = work;
        work = end_one(m, x, err, cause, x->work);
        ag_unref(x);
    }
}

bool ag__ctx_on_end(ag_ctx *c, void (*fn)(void *), void *arg) {
    ag__lock_acquire(&c->cancel.lock);
    bool alive = err_of(c) == 0;
    if (alive) {
        c->on_end = fn;
        c->on_end_arg = arg;
    }
    ag__lock_release(&c->cancel.lock);
    return alive;
}

void ag_ctx_cancel_cause(ag_ctx *c, int err) {
    if (!real(c))
        return;
    ag__m *m = ag__enter();
    ag__ctx_end(m, c, -ECANCELED, err);
    ag__leave(m);
}

void ag_ctx_cancel(ag_ctx *c) {
    ag_ctx_cancel_cause(c, 0);
}

int ag__ctx_refs(ag_ctx *c) {
    /* Acquire: what others did with it before they dropped theirs. */
    return atomic_load_explicit(&c->object.refs, memory_order_acquire);
}

/* --- Death. --- */

/* Everything of c but its parent's reference, which is returned. */
static ag_ctx *take_apart(ag_ctx *c) {
    ag_ctx *above = atomic_load_explicit(&c->above, memory_order_acquire), *parent = c->parent;
    AG__HB_ACQUIRE(&c->object);
    if (above) {
        ag__lock_acquire(&above->cancel.lock);
        unlink_sibling(c);
        ag__lock_release(&above->cancel.lock);
    }
    if (c->clock)
        ag__ctx_clock_free(c->clock);
    struct ending e = take_dependants(c);
    ag__ctx_calls_drop(e.calls);
    if (e.on_end)
        e.on_end(e.on_end_arg);
    ag_unref(c->done);
    ag__labels_unref(c->labels);
    free(c->copy);
    free(c);
    return parent;
}

/* A loop: a chain of contexts may be longer than a stack is deep. */
static void ctx_free(ag__object *o) {
    ag_ctx *c = ag__container_of(o, ag_ctx, object);
    do {
        c = take_apart(c);
        if (c)
            AG__HB_RELEASE(&c->object);
        /* As ag_unref. */
    } while (c && atomic_fetch_sub_explicit(&c->object.refs, 1, memory_order_acq_rel) == 1);
}

/* --- Asking. --- */

/* Whether x should have ended, or have been uncovered, by now. */
static bool is_due(ag_ctx *x) {
    if (!x->clock || (x->shield_until && atomic_load_explicit(&x->above, memory_order_acquire)))
        return false;
    return ag__os_now() >= (x->shield_until ? x->shield_until : x->deadline);
}

/* c has not ended, but one above may have, or a timer may be late: then c ends here. `m` is the
 * caller's, if it is inside, else NULL. */
static AG__COLD int look_up(ag__m *m, ag_ctx *c) {
    int err = 0, cause = 0;
    for (ag_ctx *x = c; x && err == 0;) {
        err = err_of(x);
        cause = err ? x->cause : 0;
        if (err != 0)
            AG__HB_ACQUIRE(&x->cancel);
        if (err == 0 && is_due(x)) {
            ag__m *in = m ? m : ag__enter();
            if (x->shield_until)
                ag__ctx_uncover(in, x);
            else
                ag__ctx_end(in, x, -ETIMEDOUT, 0);
            if (!m)
                ag__leave(in);
            continue;
        }
        x = atomic_load_explicit(&x->above, memory_order_acquire);
    }
    if (err != 0) {
        ag__m *in = m ? m : ag__enter();
        ag__ctx_end(in, c, err, cause);
        if (!m)
            ag__leave(in);
    }
    return err_of(c);
}

int ag__ctx_err_inside(ag__m *m, ag_ctx *c) {
    int err = err_of(c);
    return err ? err : look_up(m, c);
}

/* Who ends c may be on the way to its channel still; nobody hears of the end before that closes. */
static AG__COLD void close_done(ag_ctx *c) {
    void *done = atomic_load_explicit(&c->done, memory_order_acquire);
    if (done && !ag__chan_is_closed(done)) {
        ag__m *m = ag__enter();
        ag__chan_close_inside(m, done);
        ag__leave(m);
    }
}

int ag_ctx_err(ag_ctx *c) {
    if (!real(c))
        return 0;
    int err = err_of(c);
    if (err == 0)
        err = look_up(NULL, c);
    if (err != 0) {
        AG__HB_ACQUIRE(&c->cancel); /* before: whoever hears of it by the channel has it from us */
        close_done(c);
    }
    return err;
}

int ag_ctx_cause(ag_ctx *c) {
    return ag_ctx_err(c) != 0 ? c->cause : 0;
}

bool ag_ctx_deadline(ag_ctx *c, ag_time *ret_deadline) {
    if (!c || !c->deadline)
        return false;
    *ret_deadline = c->deadline;
    return true;
}

void *ag_ctx_value(ag_ctx *c, const void *key) {
    for (; c; c = c->parent)
        if (c->key == key && key)
            return c->value;
    return NULL;
}

/* The first channel that is offered becomes the context's. */
static void *offer_done(ag_ctx *c, void *fresh) {
    ag__lock_acquire(&c->cancel.lock);
    void *done = atomic_load_explicit(&c->done, AG__RLX);
    if (!done)
        atomic_store_explicit(&c->done, done = fresh, memory_order_release);
    ag__lock_release(&c->cancel.lock);
    if (done != fresh)
        ag_unref(fresh);
    return done;
}

/* Of a context that has ended it is closed when this returns, be the one who ends it under way to
 * it still: a goroutine that got the context after its end does not wait, so its select must find
 * the case ready. */
void *ag__ctx_done_of(ag_ctx *c) {
    if (!real(c))
        return NULL;
    void *done = atomic_load_explicit(&c->done, memory_order_acquire);
    if (AG__UNLIKELY(!done))
        done = offer_done(c, ag__chan_new(sizeof(char), 0));
    /* After the offer: who ends it closes what was there, we what was not. */
    if (err_of(c) != 0) {
        AG__HB_ACQUIRE(&c->cancel);
        ag__m *m = ag__enter();
        ag__chan_close_inside(m, done);
        ag__leave(m);
    }
    return done;
}

ag_chan(char) ag_ctx_done(ag_ctx *c) {
    return (ag_chan(char))ag__ctx_done_of(c);
}

AG__NO_SANITIZE int ag__ctx_chain(const ag__g *g, const void **ret, int max) {
    const ag_ctx *at = __atomic_load_n(&g->ctx, __ATOMIC_RELAXED);
    int count = 0;
    if (__atomic_load_n(&g->until, __ATOMIC_RELAXED) || atomic_load_explicit(&g->group, AG__RLX))
        return -1;
    while (at && at != &ag__ctx_nothing) {
        ag_ctx c;
        if (count == max || ag__os_peek(at, &c, sizeof c) != 0)
            return -1;
        if (c.deadline || c.shield_until || c.clock)
            return -1;
        ret[count++] = at;
        at = atomic_load_explicit(&c.above, AG__RLX);
    }
    return count ? count : -1;
}
