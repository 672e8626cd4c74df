/* SPDX-License-Identifier: MIT */
/*
 * switch.c - parking, readying, yielding; how one goroutine gives its thread to the next.
 *
 * A goroutine that parks looks for the next one itself and switches straight to it; only when
 * nothing is queued here, or every 64th time for the sake of the global queue, it switches to
 * the thread's scheduler loop (find.c). Whatever must happen after the registers are saved -
 * releasing the lock under which the goroutine was linked somewhere, closing the queue's owner
 * section - is done by the code that runs next, in after_switch.
 *
 * A goroutine that ends gives its stack, still warm, to the next one if that was never run:
 * goroutine_main then simply goes round its loop.
 *
 * errno and the C++ library's exception state belong to the goroutine: both are exchanged
 * before the switch, while the thread is still known.
 *
 * Refused: a switch through the scheduler stack every time (two switches instead of one); a
 * compare-and-swap on the goroutine's state to tell a waker that its registers are saved
 * (5 ns a switch; holding the lock a little longer is free).
 */
#include "sched/inner.h"
#include <string.h>

#if AG__ASAN
static void asan_start(void **save, ag__m *m, ag__g *to) {
    if (to)
        __sanitizer_start_switch_fiber(save, to->stack_lo, (size_t)(to->stack_hi - to->stack_lo));
    else
        __sanitizer_start_switch_fiber(save, m->asan_bottom, m->asan_size);
}
#endif

/* The first thing on the stack that was switched to. */
static inline void after_switch(ag__m *m) {
    ag__p *p = m->p;
    if (p)
        ag__rq_close(p);
    ag__lock *lock = m->after_lock;
    void (*fn)(ag__g *, void *) = m->after_fn;
    if (lock) {
        m->after_lock = NULL;
        ag__lock_release(lock);
    } else if (fn) {
        m->after_fn = NULL;
        fn(m->after_g, m->after_arg);
    }
    /* Last: what `fn` does may need the goroutine to stay where it is. */
    if (p)
        atomic_store_explicit(&p->bias_in, 0, memory_order_release);
}

static inline void exchange_thread_state(ag__m *m, ag__g *from, ag__g *to) {
    from->saved_errno = *m->errno_at;
    *m->errno_at = to->saved_errno;
    if (m->cxx) {
        from->cxx[0] = m->cxx[0];
        from->cxx[1] = m->cxx[1];
        m->cxx[0] = to->cxx[0];
        m->cxx[1] = to->cxx[1];
    }
}

static inline void *resume_begin(ag__m *m, ag__g *to) {
    void *sp = to->sp;
    uint64_t resumes = atomic_load_explicit(&to->resumes, AG__RLX);
    atomic_store_explicit(&to->resumes, resumes + 1, AG__RLX);
    atomic_store_explicit(&to->state, AG__G_RUNNING, AG__RLX);
    to->sp = NULL;
    m->g = to;
    return sp;
}

/* From one goroutine to another. Returns when somebody resumes `from`; the thread may differ. */
static inline ag__m *switch_to(ag__m *m, ag__g *from, ag__g *to) {
    exchange_thread_state(m, from, to);
    void *sp = resume_begin(m, to);
#if AG__ASAN
    asan_start(&from->asan_fake, m, to);
#endif
    ag__tsan_to(m, to);
    ag__switch(&from->sp, sp);
#if AG__ASAN
    __sanitizer_finish_switch_fiber(from->asan_fake, NULL, NULL);
#endif
    m = ag__m_now();
    after_switch(m);
    return m;
}

static ag__m *switch_to_loop(ag__m *m, ag__g *from) {
    from->saved_errno = *m->errno_at;
    if (m->cxx) {
        from->cxx[0] = m->cxx[0];
        from->cxx[1] = m->cxx[1];
    }
    m->g = NULL;
#if AG__ASAN
    asan_start(&from->asan_fake, m, NULL);
#endif
    ag__tsan_to(m, NULL);
    ag__switch(&from->sp, m->sched_sp);
#if AG__ASAN
    __sanitizer_finish_switch_fiber(from->asan_fake, NULL, NULL);
#endif
    m = ag__m_now();
    after_switch(m);
    return m;
}

void ag__switch_out(ag__m *m, ag__g *g) {
    switch_to_loop(m, g);
}

/* The next goroutine to switch to directly, with a stack; NULL: let the loop look. The owner
 * section of p is open and stays open. */
static inline ag__g *pick(ag__m *m, ag__p *p) {
    uint32_t tick = atomic_load_explicit(&p->tick, AG__RLX) + 1;
    atomic_store_explicit(&p->tick, tick, AG__RLX);
    if (AG__UNLIKELY((tick & 63) == 0 || m->locked_g || atomic_load_explicit(&p->poke, AG__RLX)))
        return NULL;
    ag__g *g = ag__rq_pop(p);
    if (!g)
        return NULL;
    if (AG__UNLIKELY(g->flags & (AG__GF_LOCKED | AG__GF_SAMPLED))) {
        if (g->flags & AG__GF_SAMPLED)
            ag__sample_end(p, g);
        if (g->flags & AG__GF_LOCKED) {
            m->next_g = g;
            return NULL;
        }
    }
    return g;
}

static inline void with_stack(ag__m *m, ag__g *g) {
    if (!g->stack_lo)
        ag__stack_bind(m, g);
}

static ag__m *park_foreign(ag__m *m, ag__lock *lock, void (*after)(ag__g *, void *), void *arg) {
    if (lock)
        ag__lock_release(lock);
    else if (after)
        after(m->g, arg);
    /* Not counted as inside while it sleeps: a world may end meanwhile. */
    ag__leave(m);
    while (atomic_exchange_explicit(&m->park, 0, memory_order_acquire) == 0)
        ag__os_futex_wait(&m->park, 0, -1);
    atomic_store_explicit(&m->g->state, AG__G_RUNNING, AG__RLX);
    return ag__enter();
}

static AG__COLD ag__m *park_foreign_until(ag__m *m, ag__lock *lock, uint64_t epoch,
                                          int64_t deadline) {
    if (lock)
        ag__lock_release(lock);
    if (m->g->bound)
        ag__cancel_open(m, m->g, epoch);
    ag__leave(m);
    while (atomic_exchange_explicit(&m->park, 0, memory_order_acquire) == 0) {
        int64_t left = deadline ? deadline - ag__os_now() : -1;
        if (deadline && left <= 0 && ag__claim(m->g, epoch)) {
            m->g->woken = AG__WOKEN_LATE;
            break;
        }
        /* Past the deadline with the claim lost, the waker is about to set m->park. */
        ag__os_futex_wait(&m->park, 0, left <= 0 ? -1 : left);
    }
    atomic_store_explicit(&m->g->state, AG__G_RUNNING, AG__RLX);
    return ag__enter();
}

/* g gives up this thread, which goes to its loop. What it waits for is taken from its record, so
 * that nothing is kept in a register for us. */
static AG__COLD void note_leaving(ag__m *m, ag__g *g, int kind) {
    int state = atomic_load_explicit(&g->state, AG__RLX);
    if (ag__note_is_due(m) && state == AG__G_WAITING) {
        ag__note_stop(m, g, kind, atomic_load_explicit(&g->reason, AG__RLX),
                      atomic_load_explicit(&g->wait_object, AG__RLX));
    } else if (ag__note_is_due(m)) {
        ag__note_stop(m, g, kind, AG__WAIT_YIELD, NULL);
    } else {
        m->notes.last_g = kind == AG__EV_END ? -g->id : g->id;
        m->notes.last_steps = atomic_load_explicit(&m->p->tick, AG__RLX);
        m->notes.stopped_at = 0;
    }
}

static inline ag__m *park_since(ag__m *m, int reason, const void *object, ag__lock *lock,
                                void (*after)(ag__g *, void *), void *arg, int64_t since) {
    ag__g *g = m->g;
    atomic_store_explicit(&g->reason, (uint8_t)reason, AG__RLX);
    atomic_store_explicit(&g->wait_object, object, AG__RLX);
    atomic_store_explicit(&g->wait_since, since, AG__RLX);
    atomic_store_explicit(&g->state, AG__G_WAITING, AG__RLX);
    if (AG__UNLIKELY(m->foreign))
        return park_foreign(m, lock, after, arg);
    ag__p *p = m->p;
    ag__rq_open(p);
    ag__g *next = pick(m, p);
    m->after_lock = lock;
    m->after_fn = after;
    m->after_arg = arg;
    m->after_g = g;
    if (AG__UNLIKELY(!next)) {
        ag__rq_close(p);
        note_leaving(m, g, AG__EV_STOP);
        return switch_to_loop(m, g);
    }
    with_stack(m, next);
    return switch_to(m, g, next);
}

/* The wait is measured, by the real clock. */
static AG__COLD ag__m *park_watched(ag__m *m, int reason, const void *object, ag__lock *lock,
                                    void (*after)(ag__g *, void *), void *arg) {
    int64_t since = ag__os_now();
    m = park_since(m, reason, object, lock, after, arg, since);
    ag__hooks.waited(m, reason, ag__os_now() - since);
    return m;
}

_Atomic bool ag__watch_waits;

static inline ag__m *park(ag__m *m, int reason, const void *object, ag__lock *lock,
                          void (*after)(ag__g *, void *), void *arg) {
    if (AG__UNLIKELY(atomic_load_explicit(&ag__watch_waits, AG__RLX)))
        return park_watched(m, reason, object, lock, after, arg);
    int64_t since = atomic_load_explicit(&ag__s.coarse_now, AG__RLX);
    return park_since(m, reason, object, lock, after, arg, since);
}

ag__m *ag__park(ag__m *m, int reason, const void *object, ag__lock *lock) {
    return park(m, reason, object, lock, NULL, NULL);
}

void ag__park_moved(ag__g *g, int reason, const void *object) {
    atomic_store_explicit(&g->reason, (uint8_t)reason, AG__RLX);
    atomic_store_explicit(&g->wait_object, object, AG__RLX);
}

ag__m *ag__park_after(ag__m *m, int reason, const void *object, void (*after)(ag__g *, void *),
                      void *arg) {
    return park(m, reason, object, NULL, after, arg);
}

/* After the switch: arm the timer, then let wakers in, then cancels. Each may make g run at once,
 * so what is asked of g is asked before. */
static void arm_and_unlock(ag__g *g, void *epoch) {
    ag__lock *lock = g->deadline_lock;
    bool bound = g->bound;
    ag__m *m = ag__m_now();
    if (g->deadline)
        ag__timer_arm(m, &g->timer, g->deadline, ag__timer_wakes, (uintptr_t)epoch);
    if (lock)
        ag__lock_release(lock);
    if (AG__UNLIKELY(bound)) {
        if (!lock && m->p) /* nothing is readied in a section */
            atomic_store_explicit(&m->p->bias_in, 0, memory_order_release);
        ag__cancel_open(m, g, (uintptr_t)epoch);
    }
}

ag__m *ag__park_until(ag__m *m, int reason, const void *object, ag__lock *lock, uint64_t epoch,
                      int64_t deadline) {
    ag__g *g = m->g;
    bool by_context = AG__UNLIKELY(g->until) && (!deadline || g->until < deadline);
    if (by_context)
        deadline = g->until;
    g->woken = AG__WOKEN_NORMAL;
    g->deadline = deadline;
    g->deadline_lock = lock;
    if (AG__UNLIKELY(m->foreign))
        m = park_foreign_until(m, lock, epoch, deadline);
    else
        m = park(m, reason, object, NULL, arm_and_unlock, (void *)(uintptr_t)epoch);
    g = m->g;
    if (g->woken == AG__WOKEN_LATE)
        g->woken = by_context ? AG__WOKEN_ENDED : AG__WOKEN_LATE;
    else if (deadline && !m->foreign)
        ag__timer_stop(&g->timer);
    return m;
}

/* Without a P, or for a thread that is no goroutine. */
static AG__COLD void ready_slow(ag__g *g, void (*note)(ag__m *, ag__g *)) {
    if (g->flags & AG__GF_FOREIGN) {
        ag__m *owner = ag__container_of(g, ag__m, own_g);
        ag__m_wake(owner);
        return;
    }
    atomic_store_explicit(&g->state, AG__G_RUNNABLE, AG__RLX);
    if (ag__probe_traces())
        note(ag__m_now(), g);
    ag__global_put(&g, 1);
    ag__maybe_wake();
}

static AG__ALWAYS_INLINE void ready(ag__p *p, ag__g *g) {
    atomic_store_explicit(&g->state, AG__G_RUNNABLE, AG__RLX);
    uint32_t credit = atomic_load_explicit(&p->credit, AG__RLX);
    if (AG__UNLIKELY(credit))
        ag__sample_begin(p, g, atomic_load_explicit(&g->reason, AG__RLX));
    ag__rq_open(p);
    ag__g *before = atomic_load_explicit(&p->next, AG__RLX);
    atomic_store_explicit(&p->next, g, AG__RLX);
    if (before)
        ag__rq_push(p, before);
    ag__rq_close(p);
    /* A goroutine in `next` alone usually runs as soon as this one parks; waking a processor
     * for it each time would cost more than all the rest. */
    if (before || AG__UNLIKELY(credit)) {
        atomic_store_explicit(&p->credit, 0, AG__RLX);
        ag__maybe_wake();
    }
}

static inline bool is_traced(const ag__p *p) {
    return AG__UNLIKELY(atomic_load_explicit(&p->poke, AG__RLX) & AG__POKE_TRACE);
}

/* Functions of their own, so that without a trace no register is saved for the call. */
static AG__COLD void ready_traced(ag__m *m, ag__g *g) {
    ag__note_ready(m, g);
    ready(m->p, g);
}

void ag__ready(ag__m *m, ag__g *g) {
    ag__p *p = m->p;
    if (AG__UNLIKELY(!p || (g->flags & AG__GF_FOREIGN)))
        ready_slow(g, ag__note_ready);
    else if (is_traced(p))
        ready_traced(m, g);
    else
        ready(p, g);
}

static AG__ALWAYS_INLINE void start(ag__p *p, ag__g *g, bool may_be_next) {
    atomic_store_explicit(&p->created, atomic_load_explicit(&p->created, AG__RLX) + 1, AG__RLX);
    atomic_store_explicit(&g->state, AG__G_RUNNABLE, AG__RLX);
    uint32_t credit = atomic_load_explicit(&p->credit, AG__RLX);
    if (AG__UNLIKELY(credit))
        ag__sample_begin(p, g, AG__WAIT_NONE);
    ag__rq_open(p);
    bool into_next = may_be_next && !atomic_load_explicit(&p->next, AG__RLX);
    if (into_next)
        atomic_store_explicit(&p->next, g, AG__RLX);
    else
        ag__rq_push(p, g);
    ag__rq_close(p);
    if (!into_next || AG__UNLIKELY(credit)) {
        atomic_store_explicit(&p->credit, 0, AG__RLX);
        ag__maybe_wake();
    }
}

static AG__COLD void start_slow(ag__g *g) {
    atomic_fetch_add_explicit(&ag__s.created, 1, AG__RLX);
    ready_slow(g, ag__note_create);
}

static AG__COLD void start_traced(ag__m *m, ag__g *g, bool may_be_next) {
    ag__note_create(m, g);
    start(m->p, g, may_be_next);
}

static AG__ALWAYS_INLINE void start_any(ag__m *m, ag__g *g, bool may_be_next) {
    ag__p *p = m->p;
    AG__HB_RELEASE(g);
    if (AG__UNLIKELY(!p))
        start_slow(g);
    else if (is_traced(p))
        start_traced(m, g, may_be_next);
    else
        start(p, g, may_be_next);
}

void ag__g_start(ag__m *m, ag__g *g) {
    start_any(m, g, !(g->flags & AG__GF_LAZY));
}

void ag__g_start_in_turn(ag__m *m, ag__g *g) {
    g->flags |= AG__GF_LAZY;
    start_any(m, g, true);
}

void ag_yield(void) {
    ag__m *m = ag__enter();
    if (AG__UNLIKELY(m->foreign)) {
        ag__leave(m);
        ag__os_yield();
        return;
    }
    ag__g *g = m->g;
    ag__p *p = m->p;
    ag__rq_open(p);
    if (ag__rq_len(p) == 0 && !atomic_load_explicit(&p->next, AG__RLX) &&
        (atomic_load_explicit(&p->tick, AG__RLX) & 63) != 63 &&
        !atomic_load_explicit(&p->poke, AG__RLX)) {
        atomic_store_explicit(&p->tick, atomic_load_explicit(&p->tick, AG__RLX) + 1, AG__RLX);
        ag__rq_close(p);
        ag__leave(m);
        return;
    }
    atomic_store_explicit(&g->state, AG__G_RUNNABLE, AG__RLX);
    ag__g *next = pick(m, p);
    if (next) {
        ag__rq_push(p, g);
        if (AG__UNLIKELY(!next->stack_lo))
            ag__stack_bind(m, next);
        m = switch_to(m, g, next);
    } else {
        note_leaving(m, g, AG__EV_STOP);
        /* The owner section stays open until the loop's after_switch. */
        ag__rq_push(p, g);
        m = switch_to_loop(m, g);
    }
    ag__leave(m);
}

/* --- The life of a goroutine. --- */

/* What a goroutine that ended leaves to the code that runs next. */
static void bury(ag__g *g, void *unused) {
    (void)unused;
    ag__m *m = ag__m_now();
    ag__stack_release(m, g);
    ag__g_free(m, g);
}

/* From here on g is over for all who count or look, though its stack is still stood upon. */
static void count_end(ag__m *m, ag__g *g) {
    ag__p *p = m->p;
    atomic_store_explicit(&g->state, AG__G_FREE, AG__RLX);
    AG__HB_RELEASE(&ag__s.ended);
    /* Release: who counts us no more sees what we did. Partner: sum_ended. */
    atomic_store_explicit(&p->ended, atomic_load_explicit(&p->ended, AG__RLX) + 1,
                          memory_order_release);
}

static void unlock_thread_at_end(ag__m *m, ag__g *g) {
    g->flags &= (uint8_t)~AG__GF_LOCKED;
    g->locked_m = NULL;
    g->locked_count = 0;
    m->locked_g = NULL;
    atomic_store_explicit(&m->die, 1, AG__RLX);
}

/* Ends m->g. If the next goroutine is new and takes a stack of the same kind it inherits the
 * one we stand on and is returned; else this does not return. */
static ag__g *end_and_pick(ag__m *m, bool may_inherit) {
    ag__g *g = m->g;
    ag__p *p = m->p;
    count_end(m, g);
    if (AG__UNLIKELY(g->flags & AG__GF_CHILD))
        ag__hooks.child_gone(m, g);
    if (AG__UNLIKELY(g->locked_m != NULL))
        unlock_thread_at_end(m, g);
    ag__rq_open(p);
    ag__g *next = atomic_load_explicit(&m->die, AG__RLX) ? NULL : pick(m, p);
    if (next && !next->stack_lo && may_inherit &&
        !((next->flags | g->flags) & (AG__GF_CUSTOM | AG__GF_WATCHED)) &&
        (next->site == g->site || !ag__mark_is_new(next->site))) {
        next->stack_lo = g->stack_lo;
        next->stack_hi = g->stack_hi;
        g->stack_lo = g->stack_hi = NULL;
        ag__rq_close(p);
        *m->errno_at = 0;
        if (m->cxx)
            m->cxx[0] = m->cxx[1] = NULL;
        next->sp = NULL;
        resume_begin(m, next);
        ag__tsan_become(m, g, next);
        ag__g_free(m, g);
        return next;
    }
    m->after_lock = NULL;
    m->after_fn = bury;
    m->after_arg = NULL;
    m->after_g = g;
    if (next) {
        with_stack(m, next);
        exchange_thread_state(m, g, next);
        void *sp = resume_begin(m, next);
#if AG__ASAN
        asan_start(NULL, m, next);
#endif
        ag__tsan_leave(m, next);
        ag__switch(&m->dead_sp, sp);
    } else {
        ag__rq_close(p);
        note_leaving(m, g, AG__EV_END);
        m->g = NULL;
#if AG__ASAN
        asan_start(NULL, m, NULL);
#endif
        ag__tsan_leave(m, NULL);
        ag__switch(&m->dead_sp, m->sched_sp);
    }
    __builtin_unreachable();
}

/* The bottom of every goroutine stack. */
static void goroutine_main(void) {
#if AG__ASAN
    __sanitizer_finish_switch_fiber(NULL, NULL, NULL);
#endif
    AG__TSAN_LOOK_AWAY(); /* it begins inside the runtime */
    ag__m *m = ag__m_now();
    after_switch(m);
    for (;;) {
        ag__g *g = m->g;
        AG__HB_ACQUIRE(g);
        AG__HB_START(g);
        ag__leave(m);
        ag__call(g->fn, g->args);
        if (AG__UNLIKELY(g->bound))
            ag__hooks.ctx_drop(g, false);
        if (AG__UNLIKELY(g->end_fn != NULL))
            g->end_fn(g->end_arg);
        m = ag__enter();
        end_and_pick(m, true);
    }
}

void ag__goroutine_entry(void);
void ag__goroutine_entry(void) {
    goroutine_main();
}

void ag__g_end(void) {
    ag__g *g = ag__m_now()->g;
    if (g->bound)
        ag__hooks.ctx_drop(g, false);
    if (g->end_fn)
        g->end_fn(g->end_arg);
    ag__m *m = ag__enter();
    end_and_pick(m, false);
    __builtin_unreachable();
}

/* --- The scheduler loop of a thread. --- */

static void run_one(ag__m *m, ag__g *g) {
    if (AG__UNLIKELY(ag__note_is_due(m)))
        ag__note_start(m, g);
    with_stack(m, g);
    *m->errno_at = g->saved_errno;
    if (m->cxx) {
        m->cxx[0] = g->cxx[0];
        m->cxx[1] = g->cxx[1];
    }
    void *sp = resume_begin(m, g);
#if AG__ASAN
    void *fake;
    asan_start(&fake, m, g);
#endif
    ag__tsan_to(m, g);
    ag__switch(&m->sched_sp, sp);
#if AG__ASAN
    __sanitizer_finish_switch_fiber(fake, NULL, NULL);
#endif
    after_switch(m);
}

void ag__sched_loop(ag__m *m) {
    for (;;) {
        ag__g *g = ag__find(m);
        if (!g)
            return;
        run_one(m, g);
        if (atomic_load_explicit(&m->die, AG__RLX))
            return;
    }
}
