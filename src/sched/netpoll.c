/* SPDX-License-Identifier: MIT */
/*
 * netpoll.c - descriptors and the goroutines that wait for them.
 *
 * One record (pd) a descriptor, registered once, edge-triggered, for both directions. Each
 * direction is one word that says who waits:
 *
 *     EMPTY --event--> READY --consume / wait--> EMPTY
 *     EMPTY --wait--> G --event, close, deadline--> EMPTY (and G readied by who swapped it out)
 *     EMPTY --wish--> G, marked --event--> READY (and G started)
 *
 * READY means: an event came since the last consume, so the system call is worth trying. A
 * reader consumes before it reads; a read that came back short has drained the socket, the next
 * wait parks without another system call, and whatever arrives meanwhile sets READY again. A
 * peer's end may come in one event with the last data, so it is remembered in `ended`: from then
 * on a short read drains nothing.
 *
 * Records are never freed and carry a generation in the event data, so an old event of a
 * recycled record is dropped. Every waiter tolerates being woken for nothing: an event lets it
 * try its call again, a deadline lets it look at the clock again.
 *
 * A wish is a goroutine that was never run, stored as a waiter with a mark: it is started by the
 * event. So an idle connection holds a record, but no stack.
 *
 * A record belongs to the world in which it was registered. One that outlives it, or was opened
 * before the first, is registered with the poller at its first wait in the present world; who
 * waited there before is gone. Threads that are no goroutines don't use the poller at all: they
 * sleep in poll(2).
 *
 * A watched record (ag__pd_open_watch) has no waiters here: its function is told of the events.
 */
#include "sched/inner.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define EMPTY ((uintptr_t)0)
#define READY ((uintptr_t)1)
#define WISH ((uintptr_t)2) /* a mark in the pointer of a goroutine to start */

struct ag__pd {
    _Atomic uintptr_t who[2];    /* Atomic; the protocol above. */
    _Atomic int64_t deadline[2]; /* Atomic; 0: none. */
    _Atomic uint32_t closing;    /* Atomic; only grows while open. */
    _Atomic uint32_t generation; /* Changes when the record is given back. */
    _Atomic uint32_t world;      /* Written under pool_lock: where it is registered, 0: nowhere. */
    _Atomic bool ended;          /* Atomic; only grows while open. */
    int fd;                      /* Constant while open. */
    ag__lock end_lock;           /* Guards the next two; the descriptor stays open under it. */
    const ag__pd_end *end;       /* Who wants to know of the end. */
    void *_Atomic end_arg;       /* Written under end_lock; NULL: nobody. */
    _Atomic(ag__pd_fn) fn;       /* Constant while open. Of a watched record. */
    union {
        void *arg;    /* Constant while open. */
        ag__pd *link; /* Guarded by pool_lock while free. */
    };
};

enum { SLAB = 64 };
static ag__lock pool_lock;
static ag__pd *pool;               /* Guarded by pool_lock. */
static _Atomic int64_t registered; /* records in the poller: without any nobody polls */

/* The generation rides in the 16 bits of a pointer that user space does not use. The kernel orders
 * an event behind the registration of its descriptor. */
static uint64_t pack(ag__pd *pd) {
    AG__HB_RELEASE(pd);
    uint64_t g = atomic_load_explicit(&pd->generation, AG__RLX) & 0xffff;
    return (uint64_t)(uintptr_t)pd | g << 48;
}

static ag__pd *unpack(uint64_t data) {
    ag__pd *pd = (ag__pd *)(uintptr_t)(data & 0xffffffffffffull);
    AG__HB_ACQUIRE(pd);
    return (atomic_load_explicit(&pd->generation, AG__RLX) & 0xffff) == data >> 48 ? pd : NULL;
}

/* --- Records. --- */

static ag__pd *pd_alloc(int fd) {
    ag__lock_acquire(&pool_lock);
    if (!pool) {
        ag__pd *slab = calloc(SLAB, sizeof *slab);
        for (int i = 0; slab && i < SLAB; i++) {
            slab[i].link = pool;
            pool = &slab[i];
        }
    }
    ag__pd *pd = pool;
    if (pd)
        pool = pd->link;
    ag__lock_release(&pool_lock);
    if (!pd)
        return NULL;
    pd->fd = fd;
    for (int i = 0; i < 2; i++) {
        atomic_store_explicit(&pd->who[i], READY, AG__RLX);
        atomic_store_explicit(&pd->deadline[i], 0, AG__RLX);
    }
    atomic_store_explicit(&pd->closing, 0, AG__RLX);
    atomic_store_explicit(&pd->ended, false, AG__RLX);
    atomic_store_explicit(&pd->world, 0, AG__RLX);
    atomic_store_explicit(&pd->fn, NULL, AG__RLX);
    atomic_store_explicit(&pd->end_arg, NULL, AG__RLX);
    pd->arg = NULL;
    return pd;
}

void ag__pd_free(ag__pd *pd) {
    atomic_fetch_add_explicit(&pd->generation, 1, AG__RLX);
    ag__lock_acquire(&pool_lock);
    pd->link = pool;
    pool = pd;
    ag__lock_release(&pool_lock);
}

static bool is_attached(ag__pd *pd) {
    return atomic_load_explicit(&pd->world, memory_order_acquire) == ag__s.world;
}

/* Registers with the poller of the present world, whose goroutines may wait from then on; the
 * poller reports what is ready already. */
static AG__COLD int attach(ag__pd *pd, uintptr_t state) {
    ag__lock_acquire(&pool_lock);
    int r = 0;
    if (!is_attached(pd)) {
        for (int i = 0; i < 2; i++)
            atomic_store_explicit(&pd->who[i], state, AG__RLX);
        r = ag__poll_add(pd->fd, pack(pd));
        if (r == 0) {
            atomic_store_explicit(&pd->world, ag__s.world, memory_order_release);
            atomic_fetch_add_explicit(&registered, 1, AG__RLX);
        }
    }
    ag__lock_release(&pool_lock);
    return r;
}

/* Takes it out of the poller. Returns false if it was not in the present one. */
static bool detach(ag__pd *pd) {
    if (atomic_load(&ag__s.running) == 0 || !is_attached(pd))
        return false;
    ag__poll_del(pd->fd);
    atomic_fetch_sub_explicit(&registered, 1, AG__RLX);
    return true;
}

int ag__pd_open(int fd, ag__pd **ret_pd) {
    ag__pd *pd = pd_alloc(fd);
    if (!pd)
        return -ENOMEM;
    int r = atomic_load(&ag__s.running) == 1 ? attach(pd, READY) : 0;
    if (r != 0) {
        ag__pd_free(pd);
        return r;
    }
    *ret_pd = pd;
    return 0;
}

/* --- Waking. --- */

static void wake(ag__m *m, uintptr_t who) {
    ag__g *g = (ag__g *)(who & ~WISH);
    atomic_fetch_sub_explicit(&ag__s.poll_waiters, 1, AG__RLX);
    if (who & WISH)
        ag__g_start_in_turn(m, g);
    else
        ag__ready(m, g);
}

/* An event: READY if nobody waits, else the waiter goes. The word is left EMPTY by one that will
 * try its call anyway, and READY by a wish, whose goroutine is new to all this. */
static void event(ag__m *m, ag__pd *pd, int mode) {
    uintptr_t was = atomic_load_explicit(&pd->who[mode], memory_order_acquire);
    for (;;) {
        if (was == READY)
            return;
        uintptr_t to = was == EMPTY || was & WISH ? READY : EMPTY;
        if (atomic_compare_exchange_weak_explicit(&pd->who[mode], &was, to, memory_order_acq_rel,
                                                  memory_order_acquire))
            break;
    }
    if (was != EMPTY)
        wake(m, was);
}

/* Takes the goroutine `g` out, if it still waits there, so that it looks at its deadline and its
 * context. Returns true to who must ready it. */
static bool take_late(ag__pd *pd, int mode, ag__g *g) {
    uintptr_t expect = (uintptr_t)g;
    if (!atomic_compare_exchange_strong(&pd->who[mode], &expect, EMPTY))
        return false;
    g->woken = AG__WOKEN_LATE;
    atomic_fetch_sub_explicit(&ag__s.poll_waiters, 1, AG__RLX);
    return true;
}

bool ag__pd_take(uintptr_t pd_and_mode, ag__g *g) {
    return take_late((ag__pd *)(pd_and_mode & ~(uintptr_t)1), pd_and_mode & 1, g);
}

static void wake_late(ag__m *m, ag__pd *pd, int mode, ag__g *g) {
    if (take_late(pd, mode, g))
        ag__ready(m, g);
}

/* The deadline's timer. */
static void late(ag__m *m, ag__timer *t, uint64_t arg, int64_t now) {
    (void)now;
    ag__pd *pd = (ag__pd *)(uintptr_t)(arg & ~(uint64_t)1);
    wake_late(m, pd, arg & 1, ag__container_of(t, ag__g, timer));
}

/* --- Readiness. --- */

void ag__pd_consume(ag__pd *pd, int mode) {
    uintptr_t ready = READY;
    if (atomic_load_explicit(&pd->who[mode], AG__RLX) == READY)
        atomic_compare_exchange_strong_explicit(&pd->who[mode], &ready, EMPTY, memory_order_acq_rel,
                                                AG__RLX);
}

void ag__pd_again(ag__pd *pd, int mode) {
    uintptr_t empty = EMPTY;
    if (atomic_load_explicit(&pd->who[mode], AG__RLX) == EMPTY)
        atomic_compare_exchange_strong_explicit(&pd->who[mode], &empty, READY, memory_order_acq_rel,
                                                AG__RLX);
}

bool ag__pd_is_ready(ag__pd *pd, int mode) {
    return atomic_load_explicit(&pd->who[mode], memory_order_acquire) == READY;
}

bool ag__pd_has_ended(ag__pd *pd) {
    return atomic_load_explicit(&pd->ended, AG__RLX);
}

bool ag__pd_is_late(ag__pd *pd, int mode) {
    int64_t deadline = atomic_load_explicit(&pd->deadline[mode], AG__RLX);
    return AG__UNLIKELY(deadline != 0) &&
           atomic_load_explicit(&ag__s.coarse_now, AG__RLX) >= deadline;
}

/* --- Waiting. --- */

/* After the switch: publish the waiter, unless something came first. */
static void publish(ag__g *g, void *arg) {
    uintptr_t word = (uintptr_t)arg, was = EMPTY;
    int mode = word & 1;
    ag__pd *pd = (ag__pd *)(word & ~(uintptr_t)1);
    ag__m *m = ag__m_now();
    int64_t deadline = atomic_load_explicit(&pd->deadline[mode], AG__RLX), when = deadline;
    bool bound = g->bound;
    if (AG__UNLIKELY(bound) && g->until && (!when || g->until < when))
        when = g->until;
    g->deadline = when;
    if (when)
        ag__timer_arm(m, &g->timer, when, late, word);
    atomic_fetch_add_explicit(&ag__s.poll_waiters, 1, AG__RLX);
    /* Sequential with the closer and the deadline setter: they store, then look here; we store
     * here, then look there. */
    while (!atomic_compare_exchange_strong(&pd->who[mode], &was, (uintptr_t)g)) {
        /* READY: an event came first. A wish that somebody slipped in: look again. */
        if (was != READY || atomic_compare_exchange_strong(&pd->who[mode], &was, EMPTY)) {
            wake(m, (uintptr_t)g);
            return;
        }
        was = EMPTY;
    }
    int64_t again = atomic_load(&pd->deadline[mode]);
    bool told = AG__UNLIKELY(bound) && atomic_load(&g->told);
    /* A timer that came before the waiter was published found nobody. */
    bool past = when && ag__os_now() >= when;
    if (atomic_load(&pd->closing) || again != deadline || told || past)
        wake_late(m, pd, mode, g);
}

/* A thread that is no goroutine sleeps by itself, and looks for a close and a cancel now and
 * then. */
static AG__COLD int wait_foreign(ag__pd *pd, int mode) {
    enum { SLICE = 5000000 };
    for (;;) {
        if (atomic_load(&pd->closing))
            return -ECANCELED;
        int64_t deadline = atomic_load(&pd->deadline[mode]), slice = SLICE;
        int ended = ag__ended_here();
        if (ended)
            return ended;
        if (deadline && (slice = deadline - ag__os_now()) <= 0)
            return -ETIMEDOUT;
        int bit = mode == AG__READ ? AG__POLL_READABLE : AG__POLL_WRITABLE;
        int r = ag__poll_one(pd->fd, bit, slice < SLICE ? slice : SLICE);
        if (r != 0)
            return atomic_load(&pd->closing) ? -ECANCELED : r < 0 ? r : 0;
    }
}

/* Whether this wait need not begin: 0, or the error. */
static int refuse(ag__m *m, ag__pd *pd, int mode) {
    int r = AG__UNLIKELY(!is_attached(pd)) ? attach(pd, EMPTY) : 0;
    int64_t deadline = atomic_load(&pd->deadline[mode]);
    if (r == 0 && atomic_load(&pd->who[mode]) > READY)
        r = -EBUSY;
    if (r == 0 && deadline && ag__os_now() >= deadline)
        r = -ETIMEDOUT;
    return r == 0 ? ag__ended(m->g) : r;
}

int ag__pd_wait(ag__pd *pd, int mode) {
    for (;;) {
        if (atomic_load(&pd->closing))
            return -ECANCELED;
        uintptr_t was = READY;
        if (atomic_compare_exchange_strong(&pd->who[mode], &was, EMPTY))
            return 0;
        ag__m *m = ag__enter();
        if (AG__UNLIKELY(m->foreign)) {
            ag__leave(m);
            return was & WISH && is_attached(pd) ? -EBUSY : wait_foreign(pd, mode);
        }
        int r = refuse(m, pd, mode);
        if (r != 0) {
            ag__leave(m);
            return r;
        }
        m->g->woken = AG__WOKEN_NORMAL;
        uintptr_t word = (uintptr_t)pd | (uintptr_t)mode;
        if (AG__UNLIKELY(m->g->bound))
            atomic_store(&m->g->open_pd, word);
        m = ag__park_after(m, AG__WAIT_IO, pd, publish, (void *)word);
        if (AG__UNLIKELY(m->g->bound))
            atomic_store_explicit(&m->g->open_pd, 0, AG__RLX);
        bool by_event = m->g->woken == AG__WOKEN_NORMAL;
        if (m->g->deadline)
            ag__timer_stop(&m->g->timer);
        ag__leave(m);
        if (by_event)
            return atomic_load(&pd->closing) ? -ECANCELED : 0;
    }
}

AG__NO_SANITIZE void ag__pd_peek(const ag__pd *pd, const ag__g *g, int *ret_fd, int *ret_mode,
                                 int64_t *ret_deadline) {
    uintptr_t reader = atomic_load_explicit(&pd->who[AG__READ], AG__RLX);
    *ret_fd = __atomic_load_n(&pd->fd, __ATOMIC_RELAXED);
    *ret_mode = (reader & ~WISH) == (uintptr_t)g ? AG__READ : AG__WRITE;
    *ret_deadline = atomic_load_explicit(&pd->deadline[*ret_mode], AG__RLX);
}

int ag__pd_wish(ag__pd *pd, int mode, ag__g *g) {
    uintptr_t self = (uintptr_t)g | WISH, was = EMPTY;
    int r = AG__UNLIKELY(!is_attached(pd)) ? attach(pd, EMPTY) : 0;
    if (r != 0)
        return r;
    atomic_store_explicit(&g->state, AG__G_WISH, AG__RLX);
    AG__HB_RELEASE(g);
    atomic_fetch_add_explicit(&ag__s.poll_waiters, 1, AG__RLX);
    ag__m *m = ag__enter();
    while (!atomic_compare_exchange_strong(&pd->who[mode], &was, self)) {
        if (was == READY) {
            wake(m, self);
            ag__leave(m);
            return 0;
        }
        if (was != EMPTY) {
            atomic_fetch_sub_explicit(&ag__s.poll_waiters, 1, AG__RLX);
            ag__leave(m);
            return -EBUSY;
        }
    }
    if (atomic_load(&pd->closing) && atomic_compare_exchange_strong(&pd->who[mode], &self, EMPTY))
        wake(m, self);
    ag__leave(m);
    return 0;
}

void ag__pd_set_deadline(ag__pd *pd, int mode, int64_t when) {
    int64_t before = atomic_exchange(&pd->deadline[mode], when);
    uintptr_t who = atomic_load(&pd->who[mode]);
    if (before == when || who == EMPTY || who == READY || who & WISH || !is_attached(pd))
        return;
    ag__m *m = ag__enter();
    wake_late(m, pd, mode, (ag__g *)who);
    ag__leave(m);
}

void ag__pd_close(ag__pd *pd) {
    atomic_store(&pd->closing, 1);
    if (!detach(pd))
        return;
    ag__m *m = ag__enter();
    for (int mode = 0; mode < 2; mode++) {
        uintptr_t was = atomic_exchange(&pd->who[mode], EMPTY);
        if (was > READY)
            wake(m, was);
    }
    ag__leave(m);
}

/* --- The end. --- */

/* Lock held. Takes the one out who wants to know, if it is time to tell. */
static void *take_end(ag__pd *pd, bool before) {
    void *arg = atomic_load_explicit(&pd->end_arg, AG__RLX);
    if (!arg || !pd->end->is_over(pd->fd, before))
        return NULL;
    atomic_store_explicit(&pd->end_arg, NULL, AG__RLX);
    return arg;
}

static AG__COLD void tell_end(ag__m *m, ag__pd *pd, bool before) {
    ag__lock_acquire(&pd->end_lock);
    const ag__pd_end *end = pd->end;
    void *arg = take_end(pd, before);
    ag__lock_release(&pd->end_lock);
    if (arg)
        end->over(m, arg);
}

void *ag__pd_on_end(ag__pd *pd, const ag__pd_end *end, void *arg) {
    ag__m *m = ag__enter();
    ag__lock_acquire(&pd->end_lock);
    void *was = atomic_load_explicit(&pd->end_arg, AG__RLX);
    pd->end = end;
    /* Sequential with `ended`: the poller sets that, then looks here. */
    atomic_store(&pd->end_arg, arg);
    ag__lock_release(&pd->end_lock);
    if (arg && atomic_load(&pd->ended))
        tell_end(m, pd, true);
    ag__leave(m);
    return was;
}

/* --- Watched records. --- */

int ag__pd_open_watch(int fd, ag__pd_fn fn, void *arg, bool readable, bool writable,
                      ag__pd **ret_pd) {
    ag__pd *pd = pd_alloc(fd);
    if (!pd)
        return -ENOMEM;
    pd->arg = arg;
    atomic_store_explicit(&pd->fn, fn, memory_order_release);
    atomic_fetch_add_explicit(&registered, 1, AG__RLX);
    atomic_store_explicit(&pd->world, ag__s.world, memory_order_release);
    int r = ag__poll_set(fd, pack(pd), readable, writable, false);
    if (r != 0) {
        atomic_fetch_sub_explicit(&registered, 1, AG__RLX);
        ag__pd_free(pd);
        return r;
    }
    *ret_pd = pd;
    return 0;
}

int ag__pd_watch(ag__pd *pd, bool readable, bool writable) {
    return ag__poll_set(pd->fd, pack(pd), readable, writable, true);
}

void ag__pd_close_watch(ag__pd *pd, bool is_same_file) {
    if (is_same_file)
        detach(pd);
    else if (is_attached(pd))
        atomic_fetch_sub_explicit(&registered, 1, AG__RLX);
    ag__pd_free(pd);
}

/* --- The poller. --- */

int ag__netpoll_take(ag__poll_event *events, int64_t timeout_ns) {
    atomic_fetch_add_explicit(&ag__s.polls, 1, AG__RLX);
    int n = ag__poll_wait(events, AG__POLL_BATCH, timeout_ns);
    if (n > 0)
        atomic_fetch_add_explicit(&ag__s.poll_events, n, AG__RLX);
    return n;
}

void ag__netpoll_deliver(ag__m *m, const ag__poll_event *events, int count) {
    if (count > 0 && ag__probe_traces())
        ag__note_count(m, AG__EV_POLL, (uint32_t)count);
    for (int i = 0; i < count; i++) {
        ag__pd *pd = unpack(events[i].data);
        if (!pd)
            continue;
        ag__pd_fn fn = atomic_load_explicit(&pd->fn, memory_order_acquire);
        if (AG__UNLIKELY(fn != NULL)) {
            fn(m, pd->arg, events[i].readable, events[i].writable);
            continue;
        }
        /* Before READY: a reader that sees that sees this. */
        if (events[i].ended) {
            atomic_store(&pd->ended, true);
            if (atomic_load(&pd->end_arg))
                tell_end(m, pd, false);
        }
        if (events[i].readable)
            event(m, pd, AG__READ);
        if (events[i].writable)
            event(m, pd, AG__WRITE);
    }
}

int ag__netpoll(ag__m *m, int64_t timeout_ns) {
    if (atomic_load_explicit(&registered, AG__RLX) == 0)
        return 0;
    ag__poll_event events[AG__POLL_BATCH];
    int n = ag__netpoll_take(events, timeout_ns);
    ag__netpoll_deliver(m, events, n);
    return n;
}

int ag__netpoll_open(void) {
    atomic_store(&registered, 0);
    return ag__poll_open();
}

void ag__netpoll_close(void) {
    ag__poll_close();
}
