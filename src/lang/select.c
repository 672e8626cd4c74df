/* SPDX-License-Identifier: MIT */
/*
 * select.c - waiting for several channels at once.
 *
 * Three passes, as everybody does it, each bounded by the number of cases:
 *   1. with all channels locked, in address order: run the first ready case of a random order;
 *   2. none ready: link a waiter into every channel, park, the locks are released after the
 *      switch;
 *   3. woken by whoever won our claim: lock all again, unlink the other waiters.
 *
 * One ready case of few is found without locking everything: a glance without locks picks the
 * candidates in random order and tries each under its own lock. That is fair among the ready
 * ones, because the order is random, and it costs one lock instead of n.
 *
 * Evenness: the random order is one draw of the start and walking on from there would favour
 * cases behind idle ones, so the order is a real permutation.
 */
#include "lang/chan.h"
#include <stdlib.h>

enum { SMALL = 8, CASES_MAX = 65535 };

/* The working memory of one select. */
struct work {
    const ag_case *cases;
    size_t n;
    uint16_t *order;      /* channel cases in polling order */
    uint16_t *lock_order; /* the same by address of the channel */
    ag__waiter *waiters;  /* beside lock_order's cases, by case index */
    size_t channels;
    int64_t after; /* the soonest AG_AFTER, in ns; -1: none */
    int after_index;
    int default_index;
    bool ordered;
    bool cheap; /* all locked by one open section of their P */
};

static inline ag__chan *chan_of(const ag_case *c) {
    return c->chan;
}

static inline const void *value_of(const ag_case *c) {
    return c->inlined ? c->small : c->ptr;
}

static uint64_t *random_state(ag__m *m) {
    return m->p ? &m->p->random : &m->foreign_random;
}

/* Sorts out the cases: channels into `order`, the special ones aside. */
static void classify(struct work *w) {
    w->channels = 0;
    w->after = -1;
    w->after_index = w->default_index = -1;
    for (size_t i = 0; i < w->n; i++) {
        const ag_case *c = &w->cases[i];
        switch (c->op) {
        case AG__CASE_RECV:
        case AG__CASE_SEND:
            if (c->chan)
                w->order[w->channels++] = (uint16_t)i;
            break;
        case AG__CASE_AFTER:
            if (w->after < 0 || c->ns < w->after) {
                w->after = c->ns < 0 ? 0 : c->ns;
                w->after_index = (int)i;
            }
            break;
        case AG__CASE_DEFAULT:
            w->default_index = (int)i;
            break;
        default: /* AG_DONE of what never ends */
            break;
        }
    }
}

static void shuffle(struct work *w, uint64_t *state) {
    for (size_t i = 1; i < w->channels; i++) {
        size_t j = ag__random_below(state, (uint32_t)i + 1);
        uint16_t t = w->order[i];
        w->order[i] = w->order[j];
        w->order[j] = t;
    }
}

/* Whether the case looks ready, without the lock. Wrong answers are found out under it. */
static inline bool glance(const ag_case *cs) {
    ag__chan *c = chan_of(cs);
    if (atomic_load_explicit(&c->closed, memory_order_relaxed))
        return true;
    if (cs->op == AG__CASE_RECV)
        return ag__count_of(c) > 0 || __atomic_load_n(&c->senders.first, __ATOMIC_RELAXED) != NULL;
    return ag__count_of(c) < c->cap ||
           __atomic_load_n(&c->receivers.first, __ATOMIC_RELAXED) != NULL;
}

/* Runs the case under the channel's lock. 1 done, 0 not ready, -1 closed. */
static inline int run_locked(const ag_case *cs, ag__g **wake) {
    ag__chan *c = chan_of(cs);
    if (cs->op == AG__CASE_SEND)
        return ag__chan_send_locked(c, value_of(cs), wake);
    return ag__chan_recv_locked(c, (void *)cs->ptr, wake);
}

static inline void finish_recv(const ag_case *cs, bool ok) {
    if (cs->op == AG__CASE_RECV) {
        if (cs->ptr)
            AG__USER_WRITE(cs->ptr, chan_of(cs)->elem_size);
        if (cs->ok)
            *cs->ok = ok;
    }
}

static AG__COLD void panic_closed(ag__m *m, void *pc) {
    ag__leave(m);
    ag__panic_text(pc, "send on closed channel");
}

/* First pass without all the locks. Returns the index, -1: none ready. */
static int try_each(ag__m *m, struct work *w, void *pc) {
    for (size_t i = 0; i < w->channels; i++) {
        const ag_case *cs = &w->cases[w->order[i]];
        if (!glance(cs))
            continue;
        ag__chan *c = chan_of(cs);
        ag__g *wake = NULL;
        bool cheap = ag__bias_lock(m, &c->lock);
        int r = run_locked(cs, &wake);
        ag__bias_unlock(m, &c->lock, cheap);
        if (r == 0)
            continue;
        if (wake)
            ag__ready(m, wake);
        if (r < 0 && cs->op == AG__CASE_SEND)
            panic_closed(m, pc);
        finish_recv(cs, r > 0);
        return w->order[i];
    }
    return -1;
}

/* --- Waiting. --- */

static void sort_by_address(struct work *w) {
    /* Shell sort: short, no recursion, fine for the few cases a select has. */
    memcpy(w->lock_order, w->order, w->channels * sizeof *w->order);
    for (size_t gap = w->channels / 2; gap > 0; gap /= 2)
        for (size_t i = gap; i < w->channels; i++)
            for (size_t j = i; j >= gap; j -= gap) {
                uint16_t a = w->lock_order[j - gap], b = w->lock_order[j];
                if ((uintptr_t)w->cases[a].chan <= (uintptr_t)w->cases[b].chan)
                    break;
                w->lock_order[j - gap] = b;
                w->lock_order[j] = a;
            }
}

/* Whether all the channels are biased to this P: then one open section holds them all. */
static bool lock_all_cheaply(ag__m *m, struct work *w) {
    ag__p *p = m->p;
    if (!p)
        return false;
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < w->channels; i++)
            if (atomic_load_explicit(&chan_of(&w->cases[w->order[i]])->lock.owner,
                                     memory_order_acquire) != p) {
                atomic_store_explicit(&p->bias_in, 0, memory_order_release);
                return false;
            }
        if (round == 0) {
            atomic_store_explicit(&p->bias_in, 1, memory_order_relaxed);
            ag__fence_light();
        }
    }
    return true;
}

static void lock_all(ag__m *m, struct work *w) {
    w->cheap = lock_all_cheaply(m, w);
    if (w->cheap)
        return;
    sort_by_address(w);
    ag__chan *last = NULL;
    for (size_t i = 0; i < w->channels; i++) {
        ag__chan *c = chan_of(&w->cases[w->lock_order[i]]);
        if (c != last)
            ag__bias_lock_shared(m, &c->lock);
        last = c;
    }
}

static void unlock_all(ag__m *m, struct work *w) {
    if (w->cheap) {
        if (m->p)
            atomic_store_explicit(&m->p->bias_in, 0, memory_order_release);
        return;
    }
    /* After the last release w may be gone: the goroutine needs these locks to unlink. */
    for (size_t i = w->channels; i-- > 0;) {
        ag__chan *c = chan_of(&w->cases[w->lock_order[i]]);
        if (i == 0 || chan_of(&w->cases[w->lock_order[i - 1]]) != c)
            ag__lock_release(&c->lock.lock);
    }
}

static ag__waitq *queue_of(const ag_case *cs) {
    ag__chan *c = chan_of(cs);
    return cs->op == AG__CASE_SEND ? &c->senders : &c->receivers;
}

static void link_all(struct work *w, ag__g *g, uint64_t epoch) {
    for (size_t i = 0; i < w->channels; i++) {
        int at = w->order[i];
        const ag_case *cs = &w->cases[at];
        ag__waiter *x = &w->waiters[at];
        x->g = g;
        x->chan = cs->chan;
        x->elem = (void *)(cs->op == AG__CASE_SEND ? value_of(cs) : cs->ptr);
        x->epoch = epoch;
        x->index = at;
        x->ok = false;
        ag__waitq_add(queue_of(cs), x);
    }
    AG__HB_RELEASE(g);
}

static void unlink_all(ag__m *m, struct work *w) {
    for (size_t i = 0; i < w->channels; i++) {
        int at = w->order[i];
        const ag_case *cs = &w->cases[at];
        ag__waiter *x = &w->waiters[at];
        ag__chan *c = chan_of(cs);
        if (!__atomic_load_n(&x->queued, __ATOMIC_ACQUIRE))
            continue;
        bool cheap = ag__bias_lock(m, &c->lock);
        ag__waitq_remove(queue_of(cs), x);
        ag__bias_unlock(m, &c->lock, cheap);
    }
}

struct parking {
    struct work *work;
    int64_t deadline; /* 0: none */
    uint64_t epoch;
    bool by_context; /* the deadline is the current context's */
};

/* After the switch. Armed, the timer may wake g, and unlocked, anybody: what is read of g's stack
 * is read before. With biased locks the section ends behind us, or here, so that a cancel that
 * came in between may ready g. */
static void after_park(ag__g *g, void *arg) {
    struct parking *p = arg;
    struct work *w = p->work;
    ag__m *m = ag__m_now();
    bool bound = g->bound;
    bool locked = (!w->cheap || bound) && w->channels > 0;
    uint64_t epoch = p->epoch;
    if (p->deadline && !(g->flags & AG__GF_FOREIGN))
        ag__timer_arm(m, &g->timer, p->deadline, ag__timer_wakes, epoch);
    if (locked)
        unlock_all(m, w);
    if (AG__UNLIKELY(bound))
        ag__cancel_open(m, g, epoch);
}

/* The world has ended: no other thread is at these channels. */
static void unlink_dropped(void *arg) {
    struct work *w = arg;
    for (size_t i = 0; i < w->channels; i++)
        ag__waitq_remove(queue_of(&w->cases[w->order[i]]), &w->waiters[w->order[i]]);
}

/* All locks held, nothing ready: waits. Returns the index that ran. */
static int wait_for_one(ag__m *m, struct work *w, void *pc) {
    ag__g *g = m->g;
    struct parking p = {w, w->after >= 0 ? ag__os_now() + w->after : 0, ag__claim_begin(g), false};
    g->fired = NULL;
    g->woken = AG__WOKEN_NORMAL;
    g->unlink = unlink_dropped;
    g->unlink_arg = w;
    g->linked = true;
    link_all(w, g, p.epoch);
    int reason = w->n == 0 ? AG__WAIT_SELECT_EMPTY : AG__WAIT_SELECT;
    if (AG__UNLIKELY(w->channels == 0 && w->n > 0 && w->after < 0))
        reason = AG__WAIT_SELECT_NIL;
    if (AG__UNLIKELY(g->until) && (!p.deadline || g->until < p.deadline)) {
        p.deadline = g->until;
        p.by_context = true;
    }
    if (m->foreign && p.deadline) {
        unlock_all(m, w);
        m = ag__park_until(m, reason, NULL, NULL, p.epoch, p.deadline);
    } else {
        m = ag__park_after(m, reason, NULL, after_park, &p);
        if (p.deadline && g->woken != AG__WOKEN_LATE)
            ag__timer_stop(&g->timer);
    }
    unlink_all(m, w);
    g->linked = false;
    if (AG__UNLIKELY(g->woken == AG__WOKEN_ENDED || (p.by_context && g->woken == AG__WOKEN_LATE))) {
        int err = ag__end_of(g);
        ag__leave(m);
        return err;
    }
    if (g->woken == AG__WOKEN_LATE) {
        ag__leave(m);
        return w->after_index;
    }
    ag__waiter *x = g->fired;
    AG__HB_ACQUIRE(x);
    const ag_case *cs = &w->cases[x->index];
    if (!x->ok && cs->op == AG__CASE_SEND)
        panic_closed(m, pc);
    ag__leave(m);
    finish_recv(cs, x->ok);
    return x->index;
}

static int run(struct work *w, void *pc) {
    classify(w);
    ag__m *m = ag__enter();
    if (!w->ordered && w->channels > 1)
        shuffle(w, random_state(m));
    int r = try_each(m, w, pc);
    if (r < 0 && w->default_index >= 0)
        r = w->default_index;
    if (r < 0 && w->after == 0)
        r = w->after_index;
    if (r >= 0) {
        ag__leave(m);
        return r;
    }
    lock_all(m, w);
    for (size_t i = 0; i < w->channels; i++) {
        const ag_case *cs = &w->cases[w->order[i]];
        ag__g *wake = NULL;
        int done = run_locked(cs, &wake);
        if (done == 0)
            continue;
        unlock_all(m, w);
        if (wake)
            ag__ready(m, wake);
        if (done < 0 && cs->op == AG__CASE_SEND)
            panic_closed(m, pc);
        ag__leave(m);
        finish_recv(cs, done > 0);
        return w->order[i];
    }
    int err = ag__ended(m->g);
    if (err) {
        unlock_all(m, w);
        ag__leave(m);
        return err;
    }
    return wait_for_one(m, w, pc);
}

static int select_any(const ag_case *cases, size_t n, bool ordered, void *pc);

/* With an AG_DONE at `first`: each is a receive from the channel that closes when the context
 * ends. The program's array stays as it is. */
static AG__NOINLINE int select_done(const ag_case *cases, size_t n, size_t first, bool ordered,
                                    void *pc) {
    ag_case few[SMALL], *copy = n <= SMALL ? few : malloc(n * sizeof *copy);
    if (!copy)
        ag__throw("out of memory for a select");
    ag_defer(free, copy == few ? NULL : copy);
    memcpy(copy, cases, n * sizeof *copy);
    for (size_t i = first; i < n; i++) {
        if (copy[i].op != AG__CASE_DONE)
            continue;
        void *done = ag__hooks.ctx_done(copy[i].chan);
        copy[i] = (ag_case){.op = done ? AG__CASE_RECV : AG__CASE_NONE, .chan = done};
    }
    return select_any(copy, n, ordered, pc);
}

static int select_any(const ag_case *cases, size_t n, bool ordered, void *pc) {
    if (n > CASES_MAX)
        ag__panic_text(pc, "select: too many cases");
    for (size_t i = 0; i < n; i++) {
        if (cases[i].op == AG__CASE_DONE)
            return select_done(cases, n, i, ordered, pc);
        if (cases[i].op == AG__CASE_SEND && cases[i].chan)
            AG__USER_READ(value_of(&cases[i]), chan_of(&cases[i])->elem_size);
    }
    struct work w = {.cases = cases, .n = n, .ordered = ordered};
    if (n <= SMALL) {
        uint16_t order[2][SMALL];
        ag__waiter waiters[SMALL];
        w.order = order[0];
        w.lock_order = order[1];
        w.waiters = waiters;
        return run(&w, pc);
    }
    char *memory = malloc(n * (sizeof(ag__waiter) + 2 * sizeof(uint16_t)));
    if (!memory)
        ag__throw("out of memory for a select");
    w.waiters = (ag__waiter *)memory;
    w.order = (uint16_t *)(memory + n * sizeof(ag__waiter));
    w.lock_order = w.order + n;
    ag_defer(free, memory);
    return run(&w, pc);
}

int ag_select_n(const ag_case *cases, size_t n) {
    return select_any(cases, n, false, __builtin_return_address(0));
}

int ag_select_ordered_n(const ag_case *cases, size_t n) {
    return select_any(cases, n, true, __builtin_return_address(0));
}

/* --- For who looks from outside. --- */

/* The select that g waits in. False: it waits in none by now. */
static AG__NO_SANITIZE bool peek_work(const ag__g *g, struct work *ret_work) {
    const void *at = __atomic_load_n(&g->unlink_arg, __ATOMIC_RELAXED);
    return __atomic_load_n(&g->unlink, __ATOMIC_RELAXED) == unlink_dropped &&
           ag__os_peek(at, ret_work, sizeof *ret_work) == 0;
}

bool ag__select_peek(const ag__g *g, ag__select_info *ret) {
    struct work w;
    memset(ret, 0, sizeof *ret);
    if (!peek_work(g, &w))
        return false;
    ret->channels = (int)w.channels;
    for (size_t i = 0; i < w.n && i < 4 * SMALL && ret->seen < AG__SELECT_SEEN; i++) {
        ag_case c;
        ag__chan_info *info = &ret->cases[ret->seen];
        if (ag__os_peek(&w.cases[i], &c, sizeof c) != 0)
            return false;
        if ((c.op != AG__CASE_RECV && c.op != AG__CASE_SEND) || !c.chan)
            continue;
        if (!ag__chan_peek(c.chan, info))
            return false;
        info->sends = c.op == AG__CASE_SEND;
        ret->seen++;
    }
    return true;
}

/* The same of one that no time ends. */
static bool peek_endless(const ag__g *g, struct work *ret_work) {
    return peek_work(g, ret_work) && ret_work->after < 0;
}

size_t ag__select_look(ag__g *g) {
    struct work w;
    return peek_endless(g, &w) ? w.channels : 0;
}

size_t ag__select_channels(ag__g *g, const void **ret_channels, size_t max) {
    struct work w;
    if (!peek_endless(g, &w))
        return 0;
    for (size_t i = 0; i < w.channels && i < max; i++) {
        uint16_t at;
        ag_case c;
        if (ag__os_peek(&w.order[i], &at, sizeof at) != 0 ||
            ag__os_peek(&w.cases[at], &c, sizeof c) != 0)
            return 0;
        ret_channels[i] = c.chan;
    }
    return w.channels;
}
