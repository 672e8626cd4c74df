/* SPDX-License-Identifier: MIT */
/*
 * start.c - ag_run: a world begins and ends.
 *
 * The calling thread only waits: goroutines run on threads of the runtime's own, so that it can
 * return although a dropped goroutine never does. When main has returned every thread is told to
 * stop. One inside the runtime or asleep leaves at once; one outside leaves when it comes back,
 * if ever: it and its goroutine, stack included, are written off as lost, and everything else is
 * ready for the next world.
 */
#include "sched/inner.h"
#include "sched/procs.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct ag__sched ag__sched = {.id_block = 0};
void (*ag__on_start)(void);
void (*ag__on_stop)(void);
void (*ag__on_end)(void);

enum { STACK_DEFAULT = 256 * 1024, STACK_MIN = 16 * 1024 };

static void main_entry(void) {
    ag__s.result = ag__s.main_fn(ag__s.main_arg);
}

/* Main has ended, in any way but by ag_goexit, after which the others go on. */
static void main_end(void *unused) {
    (void)unused;
    AG__HB_RELEASE(&ag__s.main_done);
    atomic_store(&ag__s.main_done, 1);
    ag__os_futex_wake(&ag__s.main_done, 1);
}

static int configure(const ag_config *c) {
    static const ag_config none;
    if (!c)
        c = &none;
    int64_t procs = ag__os_env("AGLET_PROCS", c->procs);
    int64_t stack = ag__os_env("AGLET_STACK_SIZE", (int64_t)c->stack_size);
    int64_t threads = ag__os_env("AGLET_MAX_THREADS", c->max_threads);
    int64_t running = ag__os_env("AGLET_MAX_RUNNING", c->max_running);
    int64_t spin = ag__os_env("AGLET_SPIN_US", c->spin_us);
    if (procs < 0 || procs > AG__PROCS_MAX || stack < 0 || (size_t)stack > AG__STACK_MAX ||
        threads < 0 || running < 0 || spin < -1)
        return -EINVAL;
    if (procs == 0)
        procs = ag__os_cpus();
    ag__s.p_count = (int)(procs > AG__PROCS_MAX ? AG__PROCS_MAX : procs);
    if (stack == 0)
        stack = STACK_DEFAULT;
    ag__s.stack_size = stack < STACK_MIN ? STACK_MIN : (size_t)stack;
    ag__s.m_max = threads == 0 ? 10000 : (int)threads;
    ag__s.running_max = running == 0 ? 4 * (int)procs : (int)running;
    ag__s.spin_ns = spin == 0 ? 50000 : spin < 0 ? 0 : spin * 1000;
    ag__s.quiet = ag__os_env("AGLET_QUIET", c->quiet) != 0;
    return 0;
}

static AG__COLD void in_forked_child(void) {
    ag__m *m = ag__m_now();
    if (m != &ag__m_stranger && (!m->foreign || atomic_load(&ag__s.running)))
        atomic_store(&m->revoked, AG__FORKED);
    atomic_store(&ag__s.running, 0);
}

static void once_per_process(void) {
    static bool done;
    if (done)
        return;
    done = true;
    ag__os_init();
    ag__probe_configure(ag__os_env("AGLET_RECORD", 1));
    ag__os_at_fork(in_forked_child);
}

static int begin(const ag_config *config) {
    int r = configure(config);
    if (r != 0)
        return r;
    r = ag__procs_make(ag__s.p_count);
    if (r == 0)
        r = ag__stack_init();
    if (r == 0)
        r = ag__netpoll_open();
    if (r != 0) {
        ag__procs_free();
        return r;
    }
    ag__s.world++;
    atomic_store(&ag__s.coarse_now, ag__os_now());
    atomic_store(&ag__s.main_done, 0);
    atomic_store(&ag__s.stopping, 0);
    atomic_store(&ag__s.id_block, 1);
    ag__s.result = 0;
    ag__s.no_signals = ag__os_env("AGLET_NO_SIGNALS", config ? config->no_signals : 0) != 0;
    int64_t stall_ms = ag__os_env("AGLET_STALL_MS", 0);
    ag__s.stall_ns = stall_ms > 0 ? stall_ms * 1000000 : 0;
    ag__s.no_socket = ag__os_env("AGLET_NO_SOCKET", config ? config->no_socket : 0) != 0;
    if (!ag__s.no_signals)
        ag__stack_overflow_install();
    ag__lock_acquire(&ag__s.lock);
    for (int i = ag__s.p_count - 1; i >= 0; i--) {
        ag__s.p_all[i]->retired = false;
        if (i > 0)
            ag__p_put_idle_locked(ag__s.p_all[i]);
    }
    ag__lock_release(&ag__s.lock);
    return 0;
}

/* Main is a goroutine like any other, with number 1, on the queue of the first P: where nobody
 * looks but the thread that gets it, so without that thread main has not begun. */
static int start_main(void) {
    ag__m *m = ag__enter();
    static const struct ag__site site = {"main", "ag_run", "main", 0, 0};
    static const intptr_t none[6];
    ag__g *g = ag__g_new(m, &site, main_entry, none);
    if (!g) {
        ag__leave(m);
        return -ENOMEM;
    }
    g->id = 1;
    g->creator = 0;
    g->end_fn = main_end;
    ag__s.main_g = g;
    atomic_fetch_add(&ag__s.created, 1);
    atomic_store(&g->state, AG__G_RUNNABLE);
    AG__HB_RELEASE(g);
    ag__p *p = ag__s.p_all[0];
    atomic_store(&p->next, g);
    int r = ag__m_new(p, false) == 0 ? 0 : -EAGAIN;
    if (r != 0) {
        atomic_store(&p->next, NULL);
        ag__g_discard(m, g);
    }
    ag__leave(m);
    return r;
}

/* --- The end. --- */

/* Tells every thread to leave. Those outside the runtime find out when they come back. */
static void tell_threads(void) {
    ag__lock_acquire(&ag__s.lock);
    for (ag__m *m = ag__s.all_m; m; m = m->all_link) {
        ag__lock_acquire(&m->hand);
        atomic_store(&m->revoked, AG__STOP);
        ag__lock_release(&m->hand);
        ag__m_wake(m);
    }
    ag__lock_release(&ag__s.lock);
    ag__fence_heavy();
    ag__poll_break();
}

/* Threads that are inside the runtime or asleep will leave by themselves. */
static int count_inside(void) {
    int n = 0;
    ag__lock_acquire(&ag__s.lock);
    for (ag__m *m = ag__s.all_m; m; m = m->all_link)
        n += atomic_load(&m->inside) != 0;
    ag__lock_release(&ag__s.lock);
    return n;
}

static void mark_lost(void) {
    ag__lock_acquire(&ag__s.lock);
    for (ag__m *m = ag__s.all_m; m; m = m->all_link) {
        /* Read once: a thread that comes back just now lets go of its goroutine. */
        ag__g *g = __atomic_load_n(&m->g, __ATOMIC_RELAXED);
        if (g)
            g->flags |= AG__GF_LOST;
    }
    ag__s.all_m = ag__s.idle_m = NULL;
    ag__s.m_count = ag__s.m_idle = 0;
    ag__s.world++;
    ag__lock_release(&ag__s.lock);
}

static bool waits_for_channel(ag__g *g) {
    int reason = atomic_load_explicit(&g->reason, AG__RLX);
    return atomic_load_explicit(&g->state, AG__RLX) == AG__G_WAITING &&
           (reason == AG__WAIT_CHAN_SEND || reason == AG__WAIT_CHAN_RECV);
}

/* Channels that live on must not find waiters on a stack that is gone. */
static bool unlink_waiter(ag__g *g, void *unused) {
    (void)unused;
    if (!(g->flags & AG__GF_LOST) && (g->linked || waits_for_channel(g)))
        g->unlink(g->unlink_arg);
    return true;
}

/* Before any context may go. */
static bool leave_context(ag__g *g, void *unused) {
    (void)unused;
    if (!(g->flags & AG__GF_LOST) && g->cancel)
        ag__cancel_leave(g);
    return true;
}

static bool drop_context(ag__g *g, void *unused) {
    (void)unused;
    if (!(g->flags & AG__GF_LOST) && (g->ctx || g->block || g->group))
        ag__hooks.ctx_drop(g, true);
    return true;
}

static bool drop_stack(ag__g *g, void *m) {
    if (!(g->flags & AG__GF_LOST)) {
        ag__timer_forget(&g->timer);
        ag__stack_release(m, g);
    }
    return true;
}

static void stop_threads(void) {
    enum { PATIENCE_MS = 20 };
    int64_t until = ag__os_now() + PATIENCE_MS * 1000000;
    atomic_store(&ag__s.stopping, 1);
    ag__monitor_stop();
    for (;;) {
        uint32_t exits = atomic_load(&ag__s.exits);
        tell_threads();
        ag__lock_acquire(&ag__s.lock);
        int left = ag__s.m_count;
        ag__lock_release(&ag__s.lock);
        if (left == 0 || (ag__os_now() > until && count_inside() == 0))
            break;
        ag__os_futex_wait(&ag__s.exits, exits, 1000000);
    }
}

static void end(void) {
    stop_threads();
    mark_lost();
    ag__m *m = ag__enter();
    ag__foreign_wait_out(m);
    ag__g_each(unlink_waiter, NULL);
    ag__g_each(leave_context, NULL);
    ag__hooks.waiters_gone();
    ag__g_each(drop_context, NULL);
    ag__g_each(drop_stack, m);
    for (int i = 0; i < ag__s.p_made; i++)
        ag__stack_p_drop(ag__s.p_all[i]);
    ag__g_rebuild();
    ag__leave(m);
    ag__procs_free();
    ag__global_clear();
    ag__s.idle_count = ag__s.searching = ag__s.polling = 0;
    ag__s.created = ag__s.ended = ag__s.poll_waiters = 0;
    ag__s.detached_running = ag__s.detached_blocked = 0;
    ag__netpoll_close();
    ag__os_fault_remove();
}

static int run_world(const ag_config *config, int (*fn)(void *), void *arg) {
    once_per_process();
    int r = ag__foreign_prepare();
    if (r != 0)
        return r;
    ag__m *m = ag__enter();
    bool inside = !m->foreign;
    ag__leave(m);
    uint32_t none = 0;
    if (inside || !atomic_compare_exchange_strong(&ag__s.running, &none, 2))
        return -EBUSY;
    ag__s.main_fn = fn;
    ag__s.main_arg = arg;
    r = begin(config);
    if (r != 0) {
        atomic_store(&ag__s.running, 0);
        return r;
    }
    atomic_store(&ag__s.running, 1);
    ag__hooks.world_begins();
    if (ag__on_start)
        ag__on_start();
    r = ag__monitor_start();
    if (r == 0)
        r = start_main();
    if (r == 0) {
        while (!atomic_load(&ag__s.main_done))
            ag__os_futex_wait(&ag__s.main_done, 0, -1);
        AG__HB_ACQUIRE(&ag__s.main_done);
        r = ag__s.result;
    }
    ag__hooks.world_ends();
    atomic_store(&ag__s.running, 2);
    if (ag__on_stop)
        ag__on_stop();
    if (ag__on_end)
        ag__on_end();
    end();
    atomic_store(&ag__s.running, 0);
    return r;
}

int ag_run_with(const ag_config *config, int (*fn)(void *), void *arg) {
    ag__tsan_init();
    AG__TSAN_LOOK_AWAY();
    int r = run_world(config, fn, arg);
    AG__TSAN_LOOK();
    return r;
}

int ag_run(int (*fn)(void *), void *arg) {
    return ag_run_with(NULL, fn, arg);
}

int ag_procs(int n) {
    if (n < 0 || n > AG__PROCS_MAX)
        return -EINVAL;
    int before = atomic_load(&ag__s.p_count);
    if (!atomic_load(&ag__s.running))
        return ag__os_cpus();
    if (n > 0 && n != before)
        return ag__procs_set(n) == 0 ? before : -ENOMEM;
    return before;
}
