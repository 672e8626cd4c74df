/* SPDX-License-Identifier: MIT */
/*
 * job.c - jobs: functions with a result that somebody waits for, and their six states.
 *
 * A job is a nest (ctx.h) in an object of its own; its first child is the goroutine that runs its
 * function, the others are the jobs which that makes. It has a reference of its own from its start
 * until it is done. It is done when the count of its nest comes to 0, or if it is cancelled
 * before its start; who brings that about decides how it ended, wakes who awaits it, and tells its
 * parent, in this order: so who waits for a job that panics is told of the panic, and not that its
 * scope has been cancelled because of it.
 *
 * Cancelling is nothing but ending its context. So CANCELLING is no state that somebody writes
 * down: it is ACTIVE or COMPLETING with a context that has ended, and whatever ends the context
 * - a parent, a deadline, ag_job_cancel - cancels the job.
 *
 * Locks: the job's, or its parent's; never both. A job is in its parent's list while nobody has
 * started it.
 */
#include "ctx/ctx.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct waiter {
    struct waiter *next; /* Guarded by the job's lock. */
    ag__g *g;
    uint64_t epoch;
};

/* A call of ag_job_on_done. */
struct call {
    struct call *next; /* Guarded by the job's lock, while it waits. */
    const struct ag__site *site;
    ag__fn fn;
    intptr_t args[6];
};

struct ag_job {
    ag__object object;
    ag__nest nest;         /* its lock guards what is neither constant nor somebody else's */
    _Atomic int state;     /* Atomic, written under lock: as in scope.h, but never CANCELLING. */
    _Atomic uint32_t told; /* Atomic; somebody looked at how it ended, or will be told. */
    ag__nest *parent;      /* Constant until it is done; then NULL. */
    int outcome;           /* Constant once it is done: 0, or what await returns. */
    void *result;          /* Of the run; constant once it is done. */
    struct waiter *waiters;
    struct call *calls, **calls_end;
    /* In the list of the parent that has not been started. Guarded by the parent's lock. */
    ag_job *lazy_next, **lazy_at;
    ag__fn fn; /* Constant. */
    intptr_t args[6];
};

ag_job *ag__job_of(ag__nest *n) {
    return ag__container_of(n, ag_job, nest);
}

const void *ag__job_nest(const void *job) {
    return (const char *)job + offsetof(ag_job, nest);
}

static int state_of(ag_job *j) {
    /* Acquire: and how it ended. Partner: the store in finish. */
    return atomic_load_explicit(&j->state, memory_order_acquire);
}

static bool is_done(int state) {
    return state == AG_JOB_COMPLETED || state == AG_JOB_CANCELLED;
}

/* --- The list of those that nobody has started. --- */

void ag__job_list_lazy(ag_job *j, ag__nest *parent) {
    j->lazy_next = parent->lazy;
    j->lazy_at = &parent->lazy;
    if (parent->lazy)
        parent->lazy->lazy_at = &j->lazy_next;
    parent->lazy = j;
}

static void take_out(ag_job *j, ag__nest *parent) {
    if (!j->lazy_at)
        return;
    *j->lazy_at = j->lazy_next;
    if (j->lazy_next)
        j->lazy_next->lazy_at = j->lazy_at;
    j->lazy_at = NULL;
    parent->lazies--;
}

ag_job *ag__job_take_lazy(ag__nest *parent) {
    for (ag_job *j = parent->lazy; j; j = j->lazy_next)
        if (ag__object_try_ref(&j->object)) {
            take_out(j, parent);
            return j;
        }
    return NULL; /* who drops the last references of those is about to count them out */
}

/* It is on the way, or done: nobody need start it any more. */
static void unlist_lazy(ag__m *m, ag_job *j, ag__nest *parent) {
    bool cheap = ag__bias_lock(m, &parent->lock);
    take_out(j, parent);
    ag__bias_unlock(m, &parent->lock, cheap);
}

/* --- The end. --- */

static void start_call(ag__m *m, struct call *c) {
    AG__HB_ACQUIRE(&c->fn);
    if (ag__ctx_in_world()) {
        ag__g *g = ag__g_new(m, c->site, c->fn, c->args);
        if (!g)
            ag__throw("out of memory for a goroutine of ag_job_on_done");
        ag__g_start(m, g);
    }
    free(c);
}

/* Nobody else completes j. Tells all who wait; afterwards it may be gone, if the caller has no
 * reference. Returns its parent. */
static ag__nest *finish(ag__m *m, ag_job *j, int outcome, bool wake_goroutines) {
    ag__nest *parent = j->parent;
    ag__carried *carried = outcome == AG_PANICKED ? ag_ref(j->nest.carried) : NULL;
    j->outcome = outcome;
    j->parent = NULL;
    AG__HB_RELEASE(j);
    bool cheap = ag__bias_lock(m, &j->nest.lock);
    struct waiter *waiters = j->waiters;
    struct call *calls = j->calls;
    j->waiters = NULL;
    j->calls = NULL;
    atomic_store_explicit(&j->state, outcome ? AG_JOB_CANCELLED : AG_JOB_COMPLETED,
                          memory_order_release);
    ag__bias_unlock(m, &j->nest.lock, cheap);
    for (struct waiter *w; (w = waiters) != NULL;) {
        waiters = w->next; /* before ready: it lives on the woken stack */
        if ((wake_goroutines || (w->g->flags & AG__GF_FOREIGN)) && ag__claim(w->g, w->epoch))
            ag__ready(m, w->g);
    }
    for (struct call *c; (c = calls) != NULL;) {
        calls = c->next;
        start_call(m, c);
    }
    if (parent && carried) {
        atomic_store_explicit(&j->told, 1, AG__RLX);
        ag__nest_fail(m, parent, AG_PANICKED, carried);
    } else {
        ag_unref(carried);
    }
    return parent;
}

ag__nest *ag__job_complete(ag__m *m, ag_job *j) {
    int outcome = j->nest.err == AG_PANICKED ? AG_PANICKED : ag__ctx_err_inside(m, j->nest.ctx);
    AG__HB_ACQUIRE(&j->nest);
    ag__nest_unlist(&j->nest);
    ag__nest *parent = finish(m, j, outcome, true);
    ag_unref(j); /* of who runs */
    return parent;
}

/* True to the one who may now complete it. */
static bool leave_new(ag__m *m, ag_job *j, int to) {
    bool cheap = ag__bias_lock(m, &j->nest.lock);
    bool was_new = state_of(j) == AG_JOB_NEW;
    if (was_new)
        atomic_store_explicit(&j->state, to, memory_order_release);
    ag__bias_unlock(m, &j->nest.lock, cheap);
    return was_new;
}

/* COMPLETING on the way, for who looks meanwhile. */
ag__nest *ag__job_cancel_new(ag__m *m, ag_job *j) {
    if (!leave_new(m, j, AG_JOB_COMPLETING))
        return NULL;
    ag__nest *parent = j->parent;
    if (parent)
        unlist_lazy(m, j, parent);
    ag__ctx_end(m, j->nest.ctx, -ECANCELED, 0);
    ag__nest_unlist(&j->nest);
    return finish(m, j, ag__ctx_err_inside(m, j->nest.ctx), true);
}

void ag__job_end_world(ag__m *m, ag_job *j) {
    bool was_new = leave_new(m, j, AG_JOB_COMPLETING);
    if (j->parent)
        unlist_lazy(m, j, j->parent);
    finish(m, j, -ECANCELED, false);
    if (!was_new)
        ag_unref(j); /* of who ran */
}

static void cancel_new(ag_job *j) {
    ag__m *m = ag__enter();
    ag__nest *parent = ag__job_cancel_new(m, j);
    if (parent)
        ag__nest_remove(m, parent, false);
    ag__leave(m);
}

static void job_free(ag__object *o) {
    ag_job *j = ag__container_of(o, ag_job, object);
    if (state_of(j) == AG_JOB_NEW) /* so this is the user's ag_unref, outside of the runtime */
        cancel_new(j);
    if (j->outcome == AG_PANICKED && !atomic_load_explicit(&j->told, AG__RLX))
        ag__panic_unseen(j->nest.carried);
    ag_unref(j->nest.carried);
    ag_unref(j->nest.ctx);
    free(j);
}

/* --- The run. --- */

static void body_over(struct ag__nest_run *run) {
    ag_job *j = ag__job_of(run->nest);
    if (AG__LIKELY(run->returned))
        j->result = (void *)run->result;
    else if (ag__panic_now()) {
        if (!ag__nest_carry(run->nest))
            return; /* the panic goes on and ends the process */
        (void)ag_recover();
    }
    ag_unref(run->carried);
    ag__m *m = ag__enter();
    if (ag__nest_close(m, run->nest) > 1) { /* this goroutine still counts */
        bool cheap = ag__bias_lock(m, &j->nest.lock);
        atomic_store_explicit(&j->state, AG_JOB_COMPLETING, memory_order_release);
        ag__bias_unlock(m, &j->nest.lock, cheap);
    }
    ag__leave(m);
}

/* Has the words of the function itself. */
static void body_main(intptr_t a, intptr_t b, intptr_t c, intptr_t d, intptr_t e, intptr_t f) {
    const intptr_t args[6] = {a, b, c, d, e, f};
    ag__nest_call(args, body_over);
}

/* j is ACTIVE, and the caller's to start in g. */
static void run(ag__m *m, ag_job *j, ag__g *g) {
    ag__nest *n = &j->nest;
    atomic_store_explicit(&n->count, 1, AG__RLX);
    atomic_store_explicit(&n->created, 1, AG__RLX);
    atomic_store_explicit(&n->owner, g->id, AG__RLX);
    g->nest = n;
    g->nest_id = n->id;
    g->nest_fn = j->fn;
    g->flags |= AG__GF_CHILD;
    ag__hb_start_after(g, &j->fn);
    ag__ctx_give(m, g, n->ctx);
    ag__ref(j);
    ag__g_start(m, g);
}

static bool no_world(ag__m *m) {
    return m->foreign && !ag__ctx_in_world();
}

/* Below the caller's current scope. Inside the runtime; false: out of memory, or no world. */
static bool give_birth(ag__m *m, ag_job *j, bool lazy) {
    ag__nest *n = &j->nest, *parent = ag__nest_of(m->g);
    ag__g *g = NULL;
    n->ctx = ag__ctx_new_here(m, parent ? parent->ctx : NULL);
    if (n->ctx && !lazy && !no_world(m))
        g = ag__g_new(m, n->site, (ag__fn)body_main, j->args);
    if (!n->ctx || (!lazy && !g))
        return false;
    j->parent = parent;
    n->parent_id = parent ? parent->id : 0;
    atomic_store_explicit(&j->state, lazy ? AG_JOB_NEW : AG_JOB_ACTIVE, AG__RLX);
    if (parent)
        ag__nest_add(m, parent, lazy ? j : NULL);
    ag__nest_list(m, n);
    if (!lazy)
        run(m, j, g);
    return true;
}

ag_job *ag__async(bool lazy, const struct ag__site *site, ag__fn fn, const intptr_t args[6]) {
    ag_job *j = ag__foreign_prepare() == 0 ? calloc(1, sizeof *j) : NULL;
    if (!j)
        return NULL;
    ag__object_init(&j->object, job_free);
    ag__nest_init(&j->nest, site);
    j->nest.is_job = true;
    j->state = AG_JOB_CANCELLED; /* if there is no birth */
    j->calls_end = &j->calls;
    j->fn = fn;
    memcpy(j->args, args, sizeof j->args);
    AG__HB_RELEASE(&j->fn);
    ag__m *m = ag__enter();
    ag__bias_init(&j->nest.lock, m);
    bool born = give_birth(m, j, lazy);
    ag__leave(m);
    if (!born) {
        ag_unref(j);
        return NULL;
    }
    return j;
}

int ag_job_start(ag_job *j) {
    if (!j || ag__foreign_prepare() != 0)
        return -ENOMEM;
    if (ag_job_state(j) != AG_JOB_NEW)
        return 0;
    ag__m *m = ag__enter();
    ag__g *g = no_world(m) ? NULL : ag__g_new(m, j->nest.site, (ag__fn)body_main, j->args);
    int r = g ? 1 : no_world(m) ? -ECANCELED : -ENOMEM;
    if (g && !leave_new(m, j, AG_JOB_ACTIVE)) {
        ag__g_discard(m, g);
        r = 0;
    }
    if (r == 1) {
        if (j->parent)
            unlist_lazy(m, j, j->parent);
        run(m, j, g);
    }
    ag__leave(m);
    return r;
}

/* --- Waiting. --- */

/* Its context has ended while it waited. */
static AG__COLD void give_up(ag__m *m, ag_job *j, struct waiter *w) {
    bool cheap = ag__bias_lock(m, &j->nest.lock);
    struct waiter **at = &j->waiters;
    while (*at && *at != w)
        at = &(*at)->next;
    if (*at)
        *at = w->next;
    ag__bias_unlock(m, &j->nest.lock, cheap);
}

/* 0 when j is done; else why the current context has ended. */
static int wait_for_job(ag_job *j) {
    int err = 0;
    ag__m *m = ag__enter();
    bool cheap = ag__bias_lock(m, &j->nest.lock);
    if (is_done(state_of(j)) || (err = ag__ended(m->g)) != 0) {
        ag__bias_unlock(m, &j->nest.lock, cheap);
    } else {
        struct waiter w = {j->waiters, m->g, ag__claim_begin(m->g)};
        j->waiters = &w;
        m = ag__park_until(m, AG__WAIT_JOB, j, cheap ? NULL : &j->nest.lock.lock, w.epoch, 0);
        if (m->g->woken != AG__WOKEN_NORMAL) {
            give_up(m, j, &w);
            err = ag__end_of(m->g);
        }
    }
    ag__leave(m);
    AG__HB_ACQUIRE(j);
    return err;
}

static void note_told(ag_job *j) {
    atomic_store_explicit(&j->told, 1, AG__RLX);
}

int ag_job_await(ag_job *j, void **ret_result) {
    int r = ag_job_start(j);
    if (r >= 0)
        r = wait_for_job(j);
    if (r != 0)
        return r;
    note_told(j);
    if (j->outcome == 0 && ret_result)
        *ret_result = j->result;
    return j->outcome;
}

void ag_job_cancel(ag_job *j) {
    if (!j)
        return;
    ag__m *m = ag__enter();
    ag__nest *parent = ag__job_cancel_new(m, j);
    if (!is_done(state_of(j)))
        ag__ctx_end(m, j->nest.ctx, -ECANCELED, 0);
    if (parent)
        ag__nest_remove(m, parent, false);
    ag__leave(m);
}

int ag_job_cancel_and_join(ag_job *j) {
    if (!j)
        return 0;
    ag_job_cancel(j);
    int r = wait_for_job(j);
    if (r == 0)
        note_told(j);
    return r;
}

/* --- Asking. --- */

int ag_job_state(ag_job *j) {
    if (!j)
        return AG_JOB_CANCELLED;
    int state = state_of(j);
    if (!is_done(state) && ag_ctx_err(j->nest.ctx) != 0) {
        if (state == AG_JOB_NEW)
            cancel_new(j);
        state = is_done(state_of(j)) ? state_of(j) : AG_JOB_CANCELLING;
    }
    if (is_done(state)) {
        note_told(j);
        AG__HB_ACQUIRE(j);
    }
    return state;
}

int ag__job_state_inside(ag__nest *n) {
    int state = state_of(ag__job_of(n));
    bool ended = atomic_load_explicit(&n->ctx->cancel.err, AG__RLX) != 0;
    return ended && !is_done(state) ? AG_JOB_CANCELLING : state;
}

const char *ag_job_state_name(int state) {
    static const char *const names[] = {"New",       "Active",     "Completing",
                                        "Completed", "Cancelling", "Cancelled"};
    return state >= 0 && state < (int)(sizeof names / sizeof *names) ? names[state] : "?";
}

void *ag_job_result(ag_job *j) {
    return j && is_done(ag_job_state(j)) ? j->result : NULL;
}

static const ag__carried *panic_of(ag_job *j) {
    return j && is_done(ag_job_state(j)) && j->outcome == AG_PANICKED ? j->nest.carried : NULL;
}

const ag_panic_info *ag_job_panic(ag_job *j) {
    const ag__carried *c = panic_of(j);
    return c ? &c->info : NULL;
}

void ag_job_repanic(ag_job *j) {
    const ag__carried *c = panic_of(j);
    if (!c)
        return;
    ag__carried copy = *c;
    ag__panic_raise(&copy);
}

int ag__job_on_done(ag_job *j, const struct ag__site *site, ag__fn fn, const intptr_t args[6]) {
    struct call *c = j ? malloc(sizeof *c) : NULL;
    if (!c)
        return -ENOMEM;
    *c = (struct call){.site = site, .fn = fn};
    memcpy(c->args, args, sizeof c->args);
    AG__HB_RELEASE(&c->fn);
    note_told(j);
    ag__m *m = ag__enter();
    bool cheap = ag__bias_lock(m, &j->nest.lock);
    bool done = is_done(state_of(j));
    if (!done) {
        c->next = NULL;
        if (!j->calls)
            j->calls_end = &j->calls;
        *j->calls_end = c;
        j->calls_end = &c->next;
    }
    ag__bias_unlock(m, &j->nest.lock, cheap);
    if (done)
        start_call(m, c);
    ag__leave(m);
    return 0;
}

/* ---- For the detector of deadlocks: memory that may be gone --------------------------------- */

const ag__nest *ag__nest_above(const ag__nest *n) {
    ag_job j;
    ag__nest copy;
    if (ag__os_peek(n, &copy, sizeof copy) != 0 || !copy.is_job ||
        ag__os_peek(ag__container_of(n, const ag_job, nest), &j, sizeof j) != 0)
        return NULL;
    return j.parent;
}
