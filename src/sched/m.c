/* SPDX-License-Identifier: MIT */
/*
 * m.c - threads: starting them, entering the runtime the slow way, foreign threads.
 *
 * A thread that was never seen has the shared `stranger` as its M, which is always revoked, so
 * the first entry comes here and makes a foreign M, kept until the thread ends. A foreign M has
 * no P and a G that stands for the thread. Where a call can report that there is no memory for
 * one, it asks for it first (ag__foreign_prepare); helper threads of the runtime get theirs before
 * they start.
 *
 * A thread of ours comes here when its P was taken while it was outside (AG__TAKEN): it takes
 * an idle P, else its goroutine goes to the global queue and the thread sleeps. When the world
 * has ended (AG__STOP) it never returns to its goroutine. In the child of a fork (AG__FORKED)
 * there is no runtime any more, only a message.
 *
 * Threads are never more than max_threads; past that a P waits on the idle list with its queue
 * until a thread comes back, and a warning says so once.
 */
#include "os/cpu_timer.h"
#include "sched/inner.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

ag__m ag__m_stranger = {.revoked = AG__STRANGE, .foreign = true};

/* Defined when the C++ library is linked. */
__attribute__((weak)) void **__cxa_get_globals(void);

void ag__m_bind(ag__m *m) {
    ag__tls_m = m;
    m->tid = ag__os_tid();
    m->errno_at = ag__os_errno();
    m->cxx = __cxa_get_globals ? __cxa_get_globals() : NULL;
    ag__note_begin(m);
#if AG__ASAN
    ag__os_thread_stack(&m->asan_bottom, &m->asan_size);
#endif
#if AG__TSAN
    m->tsan_fiber = __tsan_get_current_fiber();
    AG__HB_RELEASE(m);
#endif
}

void ag__m_unbind(ag__m *m) {
    ag__note_finish(m);
    ag__tls_m = &ag__m_stranger;
}

/* Records are recycled, never freed: the monitor may still look at one whose thread ended. */
static ag__lock pool_lock;
static ag__m *pool; /* Guarded by pool_lock. */

static ag__m *m_alloc(void) {
    ag__lock_acquire(&pool_lock);
    ag__m *m = pool;
    if (m)
        pool = m->all_link;
    ag__lock_release(&pool_lock);
    if (!m)
        return calloc(1, sizeof *m);
    memset(m, 0, sizeof *m);
    return m;
}

static void m_free(ag__m *m) {
    ag__lock_acquire(&pool_lock);
    m->all_link = pool;
    pool = m;
    ag__lock_release(&pool_lock);
}

/* --- Foreign threads. --- */

static ag__lock foreign_lock;
static ag__m *foreign; /* Guarded by foreign_lock: all foreign threads, by all_link. */

/* Waits until no foreign thread but the caller is inside the runtime. New ones find no world. */
void ag__foreign_wait_out(ag__m *self) {
    ag__fence_heavy();
    ag__lock_acquire(&foreign_lock);
    for (ag__m *m = foreign; m; m = m->all_link)
        while (m != self && atomic_load_explicit(&m->inside, memory_order_acquire))
            ag__os_yield();
    ag__lock_release(&foreign_lock);
}

void ag__foreign_forget(void *value) {
    ag__m *m = value;
    ag__cpu_timer_end();
    ag__lock_acquire(&foreign_lock);
    for (ag__m **at = &foreign; *at; at = &(*at)->all_link) {
        if (*at == m) {
            *at = m->all_link;
            break;
        }
    }
    ag__lock_release(&foreign_lock);
    ag__timer_forget(&m->own_g.timer);
    if (m->own_g.bound)
        ag__hooks.ctx_drop(&m->own_g, false);
    ag__m_unbind(m);
    m_free(m);
}

/* NULL when out of memory. */
static ag__m *foreign_alloc(void) {
    ag__m *m = m_alloc();
    if (!m)
        return NULL;
    m->foreign = true;
    atomic_store_explicit(&m->revoked, AG__STRANGE, AG__RLX);
    m->g = &m->own_g;
    m->foreign_random = ag__os_random();
    m->own_g.flags = AG__GF_FOREIGN;
    m->own_g.timer.when = INT64_MAX;
    atomic_store_explicit(&m->own_g.state, AG__G_RUNNING, AG__RLX);
    return m;
}

/* Makes it this thread's. */
static void foreign_join(ag__m *m) {
    ag__os_init();
    ag__m_bind(m);
    ag__cpu_timer_begin();
    ag__os_at_thread_exit(ag__foreign_forget, m);
    ag__lock_acquire(&foreign_lock);
    m->all_link = foreign;
    foreign = m;
    ag__lock_release(&foreign_lock);
}

static AG__COLD ag__m *new_foreign(void) {
    ag__m *m = foreign_alloc();
    if (!m)
        ag__throw("out of memory for a thread that uses the library");
    atomic_store_explicit(&m->inside, 1, AG__RLX);
    foreign_join(m);
    return m;
}

AG__COLD int ag__foreign_prepare(void) {
    if (ag__m_now() != &ag__m_stranger)
        return 0;
    ag__m *m = foreign_alloc();
    if (!m)
        return -ENOMEM;
    foreign_join(m);
    return 0;
}

static void helper_main(void *arg) {
    ag__m *m = arg;
    m->frames = (uintptr_t)__builtin_frame_address(0);
    foreign_join(m);
    m->helper_fn();
}

int ag__helper_start(void (*fn)(void), const char *name) {
    ag__m *m = foreign_alloc();
    if (!m)
        return -ENOMEM;
    m->helper_fn = fn;
    int r = ag__os_thread_start(helper_main, m, name);
    if (r != 0)
        m_free(m);
    return r;
}

/* --- Entering the slow way. --- */

static void queue_globally(ag__g *g, void *unused) {
    (void)unused;
    ag__note_back(ag__m_now(), g, true);
    atomic_store_explicit(&g->state, AG__G_RUNNABLE, AG__RLX);
    ag__global_put(&g, 1);
    ag__maybe_wake();
}

/* The world has ended while this thread was in its goroutine: leave that for ever. Its P is not
 * given back: the next world may be using it already. */
static AG__COLD void leave_world(ag__m *m) {
    ag__g *g = m->g;
    m->p = NULL;
    m->after_lock = NULL;
    m->after_fn = NULL;
    atomic_store_explicit(&m->die, 1, AG__RLX);
    ag__switch_out(m, g);
    __builtin_unreachable();
}

static ag__m *reenter_without_p(ag__m *m) {
    ag__p *p = m->g->locked_m || m->p ? NULL : ag__p_take_idle();
    if (!p && m->g->locked_m)
        p = ag__p_take_idle();
    if (p) {
        ag__m_set_p(m, p);
        ag__note_back(m, m->g, false);
        return m;
    }
    m->after_fn = queue_globally;
    m->after_arg = NULL;
    m->after_lock = NULL;
    m->after_g = m->g;
    ag__switch_out(m, m->g);
    return ag__m_now();
}

AG__COLD ag__m *ag__enter_slow(ag__m *m) {
    switch (atomic_load_explicit(&m->revoked, memory_order_acquire)) {
    case AG__FORKED:
        ag__throw("aglet: the runtime does not survive fork(); in the child only exec or _exit "
                  "may follow (posix_spawn does both)");
    case AG__STRANGE:
        return m == &ag__m_stranger ? new_foreign() : m;
    default:
        break;
    }
    /* The lock waits for a handshake that is under way, which may take the P: not inside yet. */
    atomic_store_explicit(&m->inside, 0, memory_order_release);
    ag__lock_acquire(&m->hand);
    atomic_store_explicit(&m->inside, 1, AG__RLX);
    uint32_t revoked = atomic_load_explicit(&m->revoked, AG__RLX);
    if (revoked == AG__TAKEN) {
        atomic_store_explicit(&m->revoked, AG__NONE, AG__RLX);
        if (m->detached == 1)
            atomic_fetch_sub_explicit(&ag__s.detached_running, 1, AG__RLX);
        else if (m->detached == 2)
            atomic_fetch_sub_explicit(&ag__s.detached_blocked, 1, AG__RLX);
        m->detached = 0;
    }
    ag__lock_release(&m->hand);
    if (revoked == AG__STOP)
        leave_world(m);
    return m->p ? m : reenter_without_p(m);
}

/* One that is about to come back waits for `hand`, and its goroutine does not change meanwhile. */
int ag__outside_list(ag__outside *ret_all, int max) {
    int n = 0;
    ag__lock_acquire(&ag__s.lock);
    for (ag__m *m = ag__s.all_m; m; m = m->all_link) {
        if (!ag__lock_try(&m->hand))
            continue;
        if (atomic_load_explicit(&m->revoked, AG__RLX) == AG__TAKEN && m->out_since && m->g) {
            if (n < max)
                ret_all[n] =
                    (ag__outside){m->g->id, m->out_since, m->g->site, m->detached == 1, m->tid};
            n++;
        }
        ag__lock_release(&m->hand);
    }
    ag__lock_release(&ag__s.lock);
    return n;
}

/* --- Threads of ours. --- */

int ag__m_frames(uintptr_t *ret_frames, int max) {
    int n = 0;
    ag__lock_acquire(&ag__s.lock);
    for (const ag__m *m = ag__s.all_m; m && n < max; m = m->all_link)
        ret_frames[n++] = m->frames;
    ag__lock_release(&ag__s.lock);
    return n;
}

static void thread_done(ag__m *m) {
    if (m->p)
        ag__p_release(m, ag__m_leave_p(m, AG__DROP_END));
    ag__os_altstack_free(m->altstack);
    ag__m_unbind(m);
    ag__lock_acquire(&ag__s.lock);
    if (m->world != ag__s.world) { /* nobody counts us any more */
        ag__lock_release(&ag__s.lock);
        m_free(m);
        return;
    }
    for (ag__m **at = &ag__s.all_m; *at; at = &(*at)->all_link) {
        if (*at == m) {
            *at = m->all_link;
            break;
        }
    }
    ag__s.m_count--;
    bool suspicious = !atomic_load(&ag__s.stopping) && ag__check_deadlock();
    ag__lock_release(&ag__s.lock);
    if (suspicious)
        ag__monitor_nudge();
    m_free(m);
    atomic_fetch_add(&ag__s.exits, 1);
    ag__os_futex_wake(&ag__s.exits, 1);
}

static void thread_main(void *arg) {
    ag__m *m = arg;
    m->frames = (uintptr_t)__builtin_frame_address(0);
    ag__m_bind(m);
    m->altstack = ag__os_altstack_new();
    if (m->next_p) {
        ag__p *p = m->next_p;
        m->next_p = NULL;
        ag__m_set_p(m, p);
    }
    ag__sched_loop(m);
    thread_done(m);
}

static AG__COLD void warn_threads(void) {
    static _Atomic bool warned;
    if (ag__s.quiet || atomic_exchange(&warned, true))
        return;
    char text[256];
    int n = snprintf(text, sizeof text,
                     "aglet: warning: all %d threads are in use, goroutines wait for one; raise "
                     "AGLET_MAX_THREADS or bound the blocking calls\n",
                     ag__s.m_max);
    ag__os_write_err(text, (size_t)n);
    ag__hooks.threads_used_up();
}

int ag__m_new(ag__p *p, bool searching) {
    ag__lock_acquire(&ag__s.lock);
    ag__m *m = ag__s.idle_m;
    if (m) {
        ag__s.idle_m = m->idle_link;
        ag__s.m_idle--;
        m->next_p = p;
        m->searching = searching;
        ag__lock_release(&ag__s.lock);
        ag__m_wake(m);
        return 0;
    }
    bool full = ag__s.m_count >= ag__s.m_max;
    if (!full)
        ag__s.m_count++;
    ag__lock_release(&ag__s.lock);
    if (full) {
        warn_threads();
        return -1;
    }
    m = m_alloc();
    int r = -1;
    if (m) {
        m->next_p = p;
        m->searching = searching;
        m->world = ag__s.world;
        /* A new thread begins inside the runtime. */
        atomic_store_explicit(&m->inside, 1, AG__RLX);
        ag__lock_acquire(&ag__s.lock);
        m->all_link = ag__s.all_m;
        ag__s.all_m = m;
        ag__lock_release(&ag__s.lock);
        void *self = ag__tsan_neutral_begin();
        r = ag__os_thread_start(thread_main, m, "aglet");
        ag__tsan_neutral_end(self);
    }
    if (r == 0) {
        ag__hooks.thread_made();
        return 0;
    }
    ag__lock_acquire(&ag__s.lock);
    ag__s.m_count--;
    if (m && ag__s.all_m == m)
        ag__s.all_m = m->all_link;
    ag__lock_release(&ag__s.lock);
    if (m)
        m_free(m);
    return -1;
}

/* --- Binding goroutines to threads. --- */

void ag_lock_thread(void) {
    ag__m *m = ag__enter();
    if (!m->foreign) {
        ag__g *g = m->g;
        g->locked_count++;
        g->flags |= AG__GF_LOCKED;
        g->locked_m = m;
        m->locked_g = g;
    }
    ag__leave(m);
}

void ag_unlock_thread(void) {
    ag__m *m = ag__enter();
    ag__g *g = m->g;
    if (!m->foreign && g->locked_count > 0 && --g->locked_count == 0) {
        g->flags &= (uint8_t)~AG__GF_LOCKED;
        g->locked_m = NULL;
        m->locked_g = NULL;
    }
    ag__leave(m);
}
