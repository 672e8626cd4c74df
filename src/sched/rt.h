/* SPDX-License-Identifier: MIT */
/*
 * rt.h - the data of the scheduler: G, M, P, and the inline parts of the door.
 *
 * Who may touch what. "Owner" of a G is the thread that runs it, or who took it off a queue.
 * Fields of a P belong to the M that holds it while it is inside the runtime, unless the field
 * says otherwise.
 *
 * A G's life:
 *
 *     ag__g_new          ready              picked            park
 *   FREE ------> RUNNABLE ------> (queue) --------> RUNNING --------> WAITING
 *     ^                                     ^          |                 |
 *     |           goexit / end              |          |      ready      |
 *     +-------------------------------------+----------+-----------------+
 *
 * A G gets its stack at its first RUNNING, not before, and gives it to the next G when it ends.
 */
#ifndef AG_RT_H
#define AG_RT_H

#include "arch/arch.h"
#include "sched/note.h"

#define AG__RLX memory_order_relaxed

enum {
#define STATE(name, text) AG__G_##name,
#include "sched/states.def"
#undef STATE
};

enum {
    AG__GF_FOREIGN = 1,
    AG__GF_LOCKED = 2,
    AG__GF_CUSTOM = 4,
    AG__GF_LAZY = 8, /* runs after those that were queued before it */
    AG__GF_LOST = 16,
    AG__GF_WATCHED = 32, /* alone on its stack, which will be measured */
    AG__GF_CHILD = 64,   /* of a scope or a job: `nest` is valid */
    AG__GF_SAMPLED = 128 /* its wait in the queue is measured; see sample.c */
};

#define AG__STACK_MAX ((size_t)1 << 30)

struct ag__panic;

struct ag__g {
    /* Owner only. */
    struct ag__defer *defers;  /* innermost deferred call or try; first: see defer_inline.h */
    void *sp;                  /* saved stack pointer while suspended, else NULL */
    char *stack_lo, *stack_hi; /* guard page at lo; NULL without a stack */
    ag__g *link;               /* next on a free list, the global queue, a batch */
    int saved_errno;
    _Atomic uint8_t state;  /* Atomic, relaxed: written by the owner, read by dumps. */
    uint8_t flags;          /* AG__GF_* */
    uint8_t woken;          /* AG__WOKEN_*, written by the waker before ready */
    bool linked;            /* its waiters may be in channels although it was woken: `unlink` */
    _Atomic uint8_t reason; /* AG__WAIT_* while WAITING */
    ag__fn fn;
    const struct ag__site *site;
    int64_t id;
    int64_t creator;
    /* Atomic; epoch << 1 | claimed, won by one waker. */
    _Atomic uint64_t claim;
    ag__timer timer; /* of the current wait */
    /* The arguments are loaded when it starts; after that the place serves its waits. */
    union {
        intptr_t args[6];
        struct {
            /* The wait record. Written by the owner before parking, read by dumps. */
            const void *_Atomic wait_object;
            _Atomic int64_t wait_since; /* the coarse clock */
            union {
                struct { /* Owner only. Of the park under way, if it has a deadline. */
                    int64_t deadline;
                    ag__lock *deadline_lock;
                };
                struct { /* Of a wait for a condition; see sync/cond.c. Guarded by its lock. */
                    void *wait_mutex, *wait_place;
                };
            };
            /* Owner only, from here. */
            /* Takes the waiters of a dropped goroutine out of channels that live on. Valid while
             * WAITING for a channel, and while `linked`. */
            void (*unlink)(void *arg);
            void *unlink_arg;
        };
    };
    _Atomic uint64_t resumes; /* grows with every resume: a dump's copy of the stack is valid
                                 if this and sp, not NULL, are the same before and after */
    char *name;               /* Owner until started, then constant. */
    void (*end_fn)(void *);   /* runs in the goroutine when it ends, whatever way */
    void *end_arg;
    struct ag__panic *panic; /* the panic that runs deferred calls now, innermost */
    void (*on_panic)(const ag_panic_info *);
    void *held; /* Guarded by the debug checks' lock: the locks it holds; see sync/check.c */
    const void *_Atomic read_lock; /* Relaxed, written by the owner: see sync/rwmutex.c. */
    ag__m *locked_m;
    int locked_count;
    uint32_t stack_size;
    int64_t ready_at; /* while SAMPLED */
    void *fired;      /* written by the waker: the waiter of a select that was woken */
    void *cxx[2];     /* the C++ library's per-thread exception state */
    /* The current context; sched.h tells the protocol. Owner only: */
    bool bound;                  /* `cancel` or `until` is set: its waits may end; or `group` */
    struct ag_ctx *ctx;          /* NULL: the background */
    struct ag__ctx_block *block; /* the innermost block that changed it */
    ag__cancel *cancel;          /* of ctx; g is a member */
    int64_t until;               /* its waits end here in any case (ag_within); 0: none */
    /* Guarded by cancel->lock: in one of its lists. */
    ag__g *member_next, **member_at;
    _Atomic uint32_t told;       /* Atomic; the member's context has ended. */
    _Atomic uint64_t open_epoch; /* Atomic; the wait that a cancel may claim. */
    _Atomic uintptr_t open_pd;   /* Atomic; the wait for a descriptor under way, pd | mode. */
    _Atomic int64_t ends_at;     /* Relaxed, for dumps: when the context ends; 0: unknown. */
    /* Of a child, see ctx/ctx.h. Constant from its start, but for `nest_run`: owner only. */
    struct ag__nest *nest; /* what it belongs to */
    int64_t nest_id;       /* the number of that, for dumps */
    union {
        ag__fn nest_fn;                /* what it is to run, until it does */
        struct ag__nest_run *nest_run; /* the run, from then on */
    };
    /* Relaxed: written by the owner, compared by leak checks. Whose test it is part of; NULL. */
    struct ag__group *_Atomic group;
    struct ag__labels *_Atomic labels; /* Written by the owner, for dumps: see ctx/label.c; NULL */
#if AG__ASAN
    void *asan_fake;
#endif
#if AG__TSAN
    void *tsan_fiber;
    const void *tsan_after; /* what the start is ordered behind, besides g */
#endif
};

enum { AG__NONE = 0, AG__ASKED = 1, AG__TAKEN = 2, AG__STOP = 3, AG__FORKED = 4, AG__STRANGE = 5 };

struct ag__m {
    /* The handshake of handing on. `inside` is written by this thread only: 1 inside the runtime.
     * Partner of each: the other one; see monitor.c. */
    _Atomic uint32_t inside;
    _Atomic uint32_t revoked; /* AG__NONE … */
    ag__g *g;                 /* Owner. The goroutine that runs, NULL on the scheduler stack. */
    ag__p *p;                 /* Owner while inside; the monitor after a successful handshake. */
    int *errno_at;
    /* What to do after the next switch: release a lock, or call after_fn. */
    ag__lock *after_lock;
    void (*after_fn)(ag__g *, void *);
    void *after_arg;
    ag__g *after_g;
    void *sched_sp; /* the suspended scheduler loop */
    void *dead_sp;  /* of a goroutine that ended here; nobody goes back */
    void **cxx;     /* __cxa_get_globals() of this thread, NULL without C++ */

    ag__lock hand; /* Guards revoked != NONE transitions. */
    bool foreign;
    bool searching;        /* Owner. Counted in sched.searching. */
    uint8_t detached;      /* Guarded by hand. 1 burns, 2 blocked, without a P. */
    int64_t out_since;     /* Guarded by hand: when the P was taken; 0: it was given */
    bool in_call;          /* Owner. Inside ag_blocking. */
    _Atomic uint32_t park; /* Futex word: 1 when there is something to do. */
    ag__p *next_p;         /* Guarded by sched.lock: given together with `park` by who wakes us. */
    ag__g *given_g;        /* The same: the goroutine bound to us, which another thread found. */
    ag__g *next_g;         /* Owner: what to run next. */
    ag__g *locked_g;
    ag__notes notes;
    ag__m *idle_link; /* Guarded by sched.lock. */
    ag__m *all_link;  /* Guarded by sched.lock; of foreign ones by their list's lock. */
    int tid;
    uint32_t world; /* which ag_run it belongs to */
    void *altstack;
    void (*helper_fn)(void); /* Constant. Of a helper thread. */
    uintptr_t frames; /* Constant. Of threads of ours: all frames on its own stack are below. */
    _Atomic uint32_t die;
#if AG__ASAN
    const void *asan_bottom; /* Constant: the thread's own stack. */
    size_t asan_size;
#endif
#if AG__TSAN
    void *tsan_fiber;
#endif
    uint64_t foreign_random; /* Owner. */
    ag__g own_g;             /* of a foreign thread */
};

enum { AG__RING = AG__SIZE(256, 4), AG__STACK_CACHE = AG__SIZE(32, 2), AG__G_BATCH = 32 };

/* A heap of timers, earliest first, 4 children a node. */
typedef struct ag__heap_entry {
    int64_t when;
    ag__timer *timer;
    uint32_t seq;
} ag__heap_entry;
typedef struct ag__heap {
    ag__lock lock;
    _Atomic int64_t first;   /* when[0], INT64_MAX when empty. Written under lock. */
    ag__heap_entry *entries; /* Guarded by lock. */
    uint32_t count, size;    /* Guarded by lock. */
    uint32_t dead;           /* entries that will be dropped */
    _Atomic int64_t fired;   /* Relaxed; written under lock. */
} ag__heap;

/* What a P has seen of goroutines that were measured; see sample.c. Relaxed; owner only writes. */
enum { AG__SAMPLE_FIRST = 7, AG__SAMPLE_BUCKETS = 27 }; /* up to 2^7 ns, 2^8 … 2^33, more */
typedef struct ag__samples {
    _Atomic int64_t waits[AG__SAMPLE_BUCKETS + 1];
    _Atomic int64_t wait_ns;                     /* all of them together */
    _Atomic int64_t by_reason[AG__WAIT_REASONS]; /* why they had waited; NONE: they began */
} ag__samples;

struct ag__p {
    _Atomic(ag__m *) m; /* Guarded by the handshake. */
    int index;
    bool idle, retired; /* Guarded by sched.lock. */
    ag__p *idle_link;   /* Guarded by sched.lock. */
    /* AG__POKE_*: no switch without the loop. Somebody wants a full look: timers, poller, stop; or
     * it is to be noted. */
    _Atomic uint32_t poke;

    /* The local queue. Plain inside an open owner section or while holding `thief`; see runq.h. */
    _Atomic uint32_t owner_in;
    _Atomic uint32_t bias_in;     /* this P's thread holds biased locks; see bias.h */
    _Atomic uint32_t bias_doubts; /* Relaxed: so many new locks are not biased; see bias.h */
    _Atomic uint32_t tick;        /* Written by the owner: goroutines run. */
    _Atomic(ag__g *) next;
    _Atomic uint32_t head, tail;
    _Atomic uint32_t credit; /* a wake-up for `next` alone is allowed; given by the monitor */
    uint32_t next_runs;      /* in a row from `next` */
    uint32_t youngest_runs;  /* in a row from the young end */
    uint32_t turn_end;       /* `tail` after the last share of the global queue */
    ag__g *g_free;
    uint32_t g_free_count;
    uint32_t stack_count;
    uint32_t watch_in; /* stacks to give out until a goroutine is watched */
    int64_t id_next, id_end;
    _Atomic int64_t created, ended;
    _Atomic int64_t stolen;
    _Atomic int64_t announced; /* times it was given away by ag_blocking */
    uint64_t random;
    char *stacks[AG__STACK_CACHE]; /* low ends of default-size stacks, warmest last */
    _Atomic(ag__g *) ring[AG__RING];

    _Alignas(AG__CACHE_LINE) _Atomic uint32_t thief;
    /* Relaxed; written by who holds `thief`. Nobody robs it before `rests_until`, nor, while it
     * makes steps, before `rests_flowing`. */
    _Atomic int64_t rests_until, rests_flowing;
    ag__heap heap;
    /* The monitor's. */
    uint32_t seen_tick;
    ag__m *seen_m;
    int64_t seen_when, seen_cpu;
    int seen_rounds;
    uint32_t counted_tick;
    _Atomic int64_t steps; /* Relaxed; `tick`, in 64 bits, as of its last look. */

    _Alignas(AG__CACHE_LINE) ag__samples samples;
};

/* The world of one ag_run. */
struct ag__sched {
    _Alignas(AG__CACHE_LINE) _Atomic uint32_t idle_count; /* idle Ps. */
    _Atomic uint32_t searching;                           /* Ms that look for work. */
    _Atomic uint32_t polling;                             /* 1: an M sleeps in the poller. */
    _Atomic int64_t poll_until;                           /* until when, at most */

    /* The monitor's clock, which searching threads set, too. */
    _Alignas(AG__CACHE_LINE) _Atomic int64_t coarse_now;

    _Alignas(AG__CACHE_LINE) ag__lock lock;
    _Atomic uint32_t queue_count; /* of the global queue; written under its lock */
    ag__p *idle_p;                /* Guarded by lock. */
    ag__m *idle_m;                /* Guarded by lock. */
    ag__m *all_m;                 /* Guarded by lock. */
    int m_count, m_idle;          /* Guarded by lock. */
    int m_max;
    ag__p **p_all; /* Constant while running, but for ag_procs. */
    _Atomic int p_count;
    _Atomic int p_made;
    _Atomic int detached_running, detached_blocked;
    int running_max;

    _Atomic bool monitor_polls;  /* and may be about to wake somebody */
    _Atomic uint32_t suspicious; /* Written under lock: the monitor looks for a deadlock */
    _Atomic int outside_waits;
    _Atomic int64_t poll_waiters;   /* goroutines and wishes that wait for descriptors */
    _Atomic int64_t created, ended; /* by those without a P */
    _Atomic int64_t id_block;
    _Atomic int64_t handed_on, polls;
    _Atomic int64_t handed_on_burning; /* of those that were handed on; the others were blocked */
    _Atomic int64_t poll_events;
    _Atomic uint32_t stopping;
    _Atomic uint32_t running;        /* 1: a world runs; 2: it begins or ends */
    _Atomic uint32_t monitor_word;   /* futex of the monitor */
    _Atomic uint32_t monitor_asleep; /* all idle, waits without limit */
    _Atomic uint32_t monitor_gone;
    _Atomic uint32_t main_done; /* futex of ag_run */
    _Atomic uint32_t exits;     /* futex: threads that ended */
    uint32_t world;
    int64_t spin_ns;
    size_t stack_size;
    bool quiet;
    int64_t stall_ns; /* a thread that stays outside for so long gives its P away; 0: any time */
    bool no_signals;
    bool no_socket;
    ag__g *main_g;
    int (*main_fn)(void *);
    void *main_arg;
    int result;
};
extern struct ag__sched ag__sched AG__HIDDEN;

/* The thread's M; of a thread never seen, a shared one that is always revoked. */
AG_API extern _Thread_local ag__m *ag__tls_m __attribute__((tls_model("initial-exec")));
static inline ag__m *ag__m_now(void) {
    return (ag__m *)AG__TLS_LOAD(ag__tls_m);
}

/*
 * Enters the runtime. Afterwards this thread holds a P (but for foreign threads and goroutines
 * in ag_blocking), and nobody can take it until ag__leave. May change the thread.
 */
static inline ag__m *ag__enter(void) {
    AG__TSAN_LOOK_AWAY();
    ag__m *m = ag__m_now();
    /* Partner: the heavy fence of the monitor's handshake. */
    atomic_store_explicit(&m->inside, 1, memory_order_relaxed);
    ag__fence_light();
    if (AG__UNLIKELY(atomic_load_explicit(&m->revoked, memory_order_relaxed) != AG__NONE))
        return ag__enter_slow(m);
    return m;
}

static inline void ag__leave(ag__m *m) {
    /* Release: what we did to the P comes before another thread gets it. Partner: the
     * monitor's acquire load of inside. */
    atomic_store_explicit(&m->inside, 0, memory_order_release);
    AG__TSAN_LOOK();
}

/* Enters without a call. NULL: there is more to do, and nothing was done; use ag__enter. */
static AG__ALWAYS_INLINE ag__m *ag__enter_at_once(void) {
    AG__TSAN_LOOK_AWAY();
    ag__m *m = ag__m_now();
    atomic_store_explicit(&m->inside, 1, memory_order_relaxed);
    ag__fence_light();
    if (AG__LIKELY(atomic_load_explicit(&m->revoked, memory_order_relaxed) == AG__NONE))
        return m;
    ag__leave(m); /* as ag__enter_slow does first */
    return NULL;
}

/* What happened before the release of x happens before g starts, whoever starts it. */
#if AG__TSAN
static inline void ag__hb_start_after(ag__g *g, const void *x) {
    g->tsan_after = x;
}
#define AG__HB_START(g) ((g)->tsan_after ? __tsan_acquire((void *)(g)->tsan_after) : (void)0)
#else
static inline void ag__hb_start_after(ag__g *g, const void *x) {
    (void)g;
    (void)x;
}
#define AG__HB_START(g) ((void)0)
#endif

/* Whether this switch is to be noted. In the loop, or on the way there. */
static inline bool ag__note_is_due(const ag__m *m) {
    return atomic_load_explicit(&ag__sched.coarse_now, memory_order_relaxed) - AG__SAMPLE_NS >=
               m->notes.sampled ||
           (atomic_load_explicit(&m->p->poke, memory_order_relaxed) & AG__POKE_TRACE);
}

static inline ag__g *ag__g_of(ag__m *m) {
    return m->g;
}

/* Whether other goroutines are queued on this thread's P. Inside the runtime. */
static inline bool ag__others_wait_here(const ag__m *m) {
    const ag__p *p = m->p;
    return p && (atomic_load_explicit(&p->next, memory_order_relaxed) ||
                 atomic_load_explicit(&p->tail, memory_order_relaxed) !=
                     atomic_load_explicit(&p->head, memory_order_relaxed));
}

int ag__ended_slow(ag__g *g);
static inline int ag__ended(ag__g *g) {
    return AG__UNLIKELY(g->bound) ? ag__ended_slow(g) : 0;
}
static inline int ag__ended_here(void) {
    ag__g *g = ag__m_now()->g; /* NULL: a thread that was never here */
    return g ? ag__ended(g) : 0;
}

/* A foreign thread or one in an odd state has no P. */
static inline bool ag__is_foreign(ag__m *m) {
    return m->foreign;
}

#include "sched/bias.h"

const char *ag__state_name(int state);
const char *ag__reason_name(int reason);
/* What one does, as dumps say it: the reason of one that waits, else its state. */
const char *ag__doing_name(int state, int reason);

#endif
