/* SPDX-License-Identifier: MIT */
/*
 * sched.h - the door of the scheduler: how the floors above park goroutines and make them run.
 *
 * Vocabulary. G: a goroutine. M: a thread. P: a processor, the right to run goroutines.
 * Park: a G gives its thread to the next G. Ready: a parked G is put on a queue. Hand on: a P is
 * taken from an M that stays outside the runtime. Foreign: a thread the runtime did not start.
 *
 * How to block. Every public function that may touch a P, ready or park runs between ag__enter
 * and ag__leave; nothing of the user's runs in between, and no ag__lock is held across either.
 *
 *     ag__m *m = ag__enter();
 *     ag__lock_acquire(&x->lock);
 *     ... link a waiter of ag__g_of(m) into x ...
 *     m = ag__park(m, AG__WAIT_X, x, &x->lock);      releases x->lock after the switch
 *     ag__leave(m);
 *
 * and the waker:
 *
 *     ag__m *m = ag__enter();
 *     ag__lock_acquire(&x->lock); unlink the waiter; ag__lock_release(&x->lock);
 *     ag__ready(m, g);
 *     ag__leave(m);
 *
 * Because the lock is released after the switch, a waker that finds the waiter knows that the
 * goroutine's registers are saved. Foreign threads have a G and an M of their own, without a P;
 * for them park sleeps on a futex, so callers need no special case.
 *
 * Several possible wakers (select, deadlines). The G's claim word (epoch << 1 | claimed) is won
 * by exactly one: ag__claim(g, epoch). ag__claim_begin gives a new epoch before waiting; what
 * comes late fails because the epoch has moved.
 */
#ifndef AG_SCHED_H
#define AG_SCHED_H

#include "base/base.h"
#include "os/os.h"
#include <aglet/base.h>
#include <aglet/run.h>

struct ag_ctx;
typedef struct ag__g ag__g;
typedef struct ag__m ag__m;
typedef struct ag__p ag__p;

enum {
#define REASON(name, text) AG__WAIT_##name,
#include "sched/reasons.def"
#undef REASON
    AG__WAIT_REASONS
};

enum { AG__PROCS_MAX = 1024 };

/* --- Timers: embedded in their owner; one P's heap holds them. --- */
typedef struct ag__timer ag__timer;
/* Runs inside the runtime, on some M with or without a P; must not park. */
typedef void (*ag__timer_fn)(ag__m *m, ag__timer *t, uint64_t arg, int64_t now);
struct ag__timer {
    int64_t when;                    /* Guarded by the heap's lock. INT64_MAX: not pending. */
    int64_t pushed;                  /* Guarded by the heap's lock: the time of its entry. */
    _Atomic(struct ag__heap *) heap; /* The heap that has an entry for us, else NULL. */
    _Atomic uint32_t seq;            /* Entries with another number are stale. */
    ag__timer_fn fn;                 /* Guarded by the heap's lock. */
    uint64_t arg;                    /* Guarded by the heap's lock. */
};

/* Entry and exit of the runtime; see rt.h for the inline parts. */
ag__m *ag__enter_slow(ag__m *m);

/* Parks the current G. `lock` (may be NULL) is released after the switch. Returns the M it came
 * back on, inside the runtime. */
ag__m *ag__park(ag__m *m, int reason, const void *object, ag__lock *lock);
/* The same; after(g, arg) runs after the switch, instead of releasing a lock. */
ag__m *ag__park_after(ag__m *m, int reason, const void *object, void (*after)(ag__g *, void *),
                      void *arg);
/* A parked G now waits for another object: its waiter was moved there, whose locks are held. */
void ag__park_moved(ag__g *g, int reason, const void *object);
/* While it is set, waits are told to ag__hooks.waited when they end, and the time in the wait
 * record is exact. Atomic, relaxed. */
extern _Atomic bool ag__watch_waits AG__HIDDEN;
/* Makes a parked G runnable; it runs next on this P, if there is one. */
void ag__ready(ag__m *m, ag__g *g);

/* Claims. */
uint64_t ag__claim_begin(ag__g *g);
bool ag__claim(ag__g *g, uint64_t epoch);

/* Arms t for `when` (a point of ag__os_now): fn(m, t, arg, now) will run. Only its owner arms
 * and stops it. A call that was already under way may still come after a stop or a new arming,
 * with the old arg: fn must tell by it. */
void ag__timer_arm(ag__m *m, ag__timer *t, int64_t when, ag__timer_fn fn, uint64_t arg);
/* The same; returns false when out of memory, where that throws. */
bool ag__timer_try_arm(ag__m *m, ag__timer *t, int64_t when, ag__timer_fn fn, uint64_t arg);
/* Returns true if it was pending: its function will not run for this arming. */
bool ag__timer_stop(ag__timer *t);
/* No entry refers to t any more when this returns; a call under way may still come. */
void ag__timer_forget(ag__timer *t);

/* For the timer of a waiting G: readies it with g->woken = AG__WOKEN_LATE if it wins the claim
 * of epoch `arg`. */
enum { AG__WOKEN_NORMAL = 0, AG__WOKEN_LATE = 1, AG__WOKEN_ENDED = 2 };
void ag__timer_wakes(ag__m *m, ag__timer *t, uint64_t epoch, int64_t now);
/* Parks until `deadline` at most (0: none), and no longer than the current context lives. Claim
 * `epoch` has begun; `lock` as for ag__park. Afterwards m->g->woken tells who won: a waker, the
 * deadline, or the end of the context, which ag__end_of explains. */
ag__m *ag__park_until(ag__m *m, int reason, const void *object, ag__lock *lock, uint64_t epoch,
                      int64_t deadline);

/*
 * --- Waits that a context may end. ---
 *
 * What the scheduler knows of a context: whether it has ended, and whose current one it is; the
 * contexts of ctx/ embed it. A goroutine joins when it gets the context and leaves when it gets
 * another one or ends. So a wait links nothing and takes no lock: it looks at its own record.
 *
 *     g waits                                 another one cancels: c->err is set; then, under
 *     told? then it need not wait             c->lock, for every member g:
 *     claim begun, linked, switched away;       told = 1
 *     behind the switch:                        claim(open_epoch)? then g is ours to ready
 *       open_epoch = epoch
 *       told? and claimed? then ready
 *
 * Both sides are sequential: at least one sees the other, and the claim has one winner. Nobody
 * cancels a wait whose registers are not saved, for it is not open yet. open_epoch only grows: an
 * opening that comes late, when g waits for something else already, changes nothing.
 *
 * Waits for the poller have no claim; they say in `open_pd` where they wait (netpoll.c).
 *
 * How to wait so that a context can end it:
 *
 *     int err = ag__ended(m->g);              what can be done at once comes before
 *     if (err) unlock, leave, return err;
 *     epoch = ag__claim_begin(m->g);          link a waiter whose wakers claim it
 *     m = ag__park_until(m, reason, x, &x->lock, epoch, 0);
 *     if (m->g->woken != AG__WOKEN_NORMAL) unlink the waiter under x->lock
 *     if (m->g->woken == AG__WOKEN_ENDED) err = ag__end_of(m->g);
 */
typedef struct ag__cancel {
    ag__lock lock;
    _Atomic int err; /* Atomic; 0, then for ever why it ended. Written under lock. */
    ag__g *members;  /* Guarded by lock. */
    ag__g *told;     /* Guarded by lock: members that know the end. */
} ag__cancel;

/* g is the caller's own goroutine or a new one, and a member of nothing. */
void ag__cancel_join(ag__cancel *c, ag__g *g);
void ag__cancel_leave(ag__g *g);
/* After c->err was set: ends the waits of all members. No lock is held. */
void ag__cancel_tell(ag__m *m, ag__cancel *c);
/* Behind the switch of a wait that can be claimed: from here on a cancel may wake it. */
void ag__cancel_open(ag__m *m, ag__g *g, uint64_t epoch);
/* 0 while g, the caller's own, may wait, else -ECANCELED or -ETIMEDOUT. */
static inline int ag__ended(ag__g *g);
/* The same of who calls, also outside the runtime. */
static inline int ag__ended_here(void);
/* Why a wait of g that was woken with AG__WOKEN_ENDED ended. */
int ag__end_of(ag__g *g);

/* A record for fn(args), not yet on a queue; NULL when out of memory. */
ag__g *ag__g_new(ag__m *m, const struct ag__site *site, ag__fn fn, const intptr_t args[6]);
/* Starts a record of ag__g_new: counts it and puts it at the end of this P's queue. */
void ag__g_start(ag__m *m, ag__g *g);
/* As ag__g_start, for one of several that something outside makes ready: they run in this order. */
void ag__g_start_in_turn(ag__m *m, ag__g *g);
void ag__g_discard(ag__m *m, ag__g *g);

/* Starts fn(args); end_fn(end_arg) runs in the goroutine when it ends, whatever way. */
int64_t ag__go_ending(const ag_go_opts *opts, void (*end_fn)(void *), void *end_arg,
                      const struct ag__site *site, ag__fn fn, const intptr_t args[6]);
/* Ends the current goroutine at once, without running deferred calls. */
void ag__g_end(void) __attribute__((noreturn));
/* Shows each thread whose P was taken because it stayed outside the runtime, and which is there
 * still: its goroutine, by number, and since when at least. ag_blocking is no such stay. Stops
 * nobody. */
typedef struct ag__outside {
    int64_t id, since;
    const struct ag__site *site;
    bool burns; /* it uses the CPU, as far as it was looked at */
    int tid;
} ag__outside;
int ag__outside_list(ag__outside *ret_all, int max); /* returns how many there are */

/* Shows every record that is not free to visit, until it returns false. Stops nobody. */
void ag__g_each(bool (*visit)(ag__g *, void *), void *arg);
/* Copies the name of any goroutine, "" if it has none, at any time. */
enum { AG__NAME_BYTES = 32 };
void ag__g_name(const ag__g *g, char ret_name[AG__NAME_BYTES]);
int64_t ag__g_created(void);
/* The memory in which records and stacks are, piece by piece from i = 0 on: false: no more. */
bool ag__g_slab(int i, uintptr_t *ret_lo, uintptr_t *ret_hi);
bool ag__stack_region(int i, uintptr_t *ret_lo, uintptr_t *ret_hi);
/* Where the stacks of the threads that run goroutines begin: below are the runtime's own frames
 * alone. Returns how many, up to `max`. */
int ag__m_frames(uintptr_t *ret_frames, int max);
/* Whether every thread of the world is asleep, but for `callers` of them that run goroutines, and
 * no other thread exists that could run code of the program. */
bool ag__all_quiet(int callers);
/* Fills in the stack sizes that were ever used; returns how many. */
enum { AG__STACK_SIZES = 17 };
typedef struct ag__stack_size_info {
    size_t bytes, high_water;
    int64_t in_use;
} ag__stack_size_info;
int ag__stack_sizes(ag__stack_size_info ret_sizes[AG__STACK_SIZES]);
/* Measures the stack of g if it is watched. Any thread, at any time; also when g ends. */
void ag__mark_look(ag__g *g);
/* Notes that a goroutine of this site used so much of its stack. */
void ag__mark_depth(const struct ag__site *site, size_t used, size_t size);
typedef struct ag__mark_info {
    const char *place;
    size_t used, size; /* the deepest seen, and of what */
    int64_t watched;   /* how many were measured */
} ag__mark_info;
/* Shows each creation site of which a goroutine was watched or seen parked. */
void ag__marks_each(void (*visit)(const ag__mark_info *, void *), void *arg);
bool ag__marks_are_full(void); /* further sites have no mark */
void ag__stack_stats(int64_t *ret_count, int64_t *ret_bytes);

/* --- The network poller: one record per registered descriptor, type-stable memory. --- */
typedef struct ag__pd ag__pd;
enum { AG__READ = 0, AG__WRITE = 1 };
/* Registers a non-blocking descriptor, outside a world at the first wait in one. -EPERM: always
 * ready, can't be watched. */
int ag__pd_open(int fd, ag__pd **ret_pd);
/* Wakes every waiter with -ECANCELED and deregisters. Call before close(2). */
void ag__pd_close(ag__pd *pd);
/* Gives the record back, once nobody can call with it any more. */
void ag__pd_free(ag__pd *pd);
/* Says that the next wait must wait for a new event: call it before read(2) or write(2), and
 * ag__pd_again when that left something to take. */
void ag__pd_consume(ag__pd *pd, int mode);
void ag__pd_again(ag__pd *pd, int mode);
/* Whether an event came since the last consume. */
bool ag__pd_is_ready(ag__pd *pd, int mode);
/* Whether the peer's end, an error or urgent data was seen: a short read drains nothing then. */
bool ag__pd_has_ended(ag__pd *pd);
/* Whether the deadline has passed, by the coarse clock, some milliseconds late. */
bool ag__pd_is_late(ag__pd *pd, int mode);
/* Waits for readiness. 0, -ETIMEDOUT past the pd's deadline, -ECANCELED closed, -EBUSY when
 * another one waits in this mode. */
int ag__pd_wait(ag__pd *pd, int mode);
/* Starts g (of ag__g_new) when ready, closed or failed. 0, -EBUSY, another error: g is the
 * caller's again. */
int ag__pd_wish(ag__pd *pd, int mode, ag__g *g);
/* For dumps: where g waits. Any thread; the record may be another's by now. */
void ag__pd_peek(const ag__pd *pd, const ag__g *g, int *ret_fd, int *ret_mode,
                 int64_t *ret_deadline);
/* A deadline for waits in this mode, also one that goes on; 0: none. */
void ag__pd_set_deadline(ag__pd *pd, int mode, int64_t when);
/* Who wants to know that the peer has gone: each event that tells of an end or an error asks
 * is_over(fd, false), under a lock; and so does the call itself, is_over(fd, true), if there was
 * one before it. The first time that says so takes `arg` out and calls over(m, arg), inside the
 * runtime, perhaps without a P. Replaces what was there. Returns: what was there, or NULL.
 * An arg of NULL only takes back. Between ag__pd_open and ag__pd_free. */
typedef struct ag__pd_end {
    bool (*is_over)(int fd, bool before);
    void (*over)(ag__m *m, void *arg);
} ag__pd_end;
void *ag__pd_on_end(ag__pd *pd, const ag__pd_end *end, void *arg);

/* A record whose events go to fn(m, arg, readable, writable), inside the runtime; a late one may
 * come after the close, so what `arg` points to must not be freed. Inside a world only. */
typedef void (*ag__pd_fn)(ag__m *m, void *arg, bool readable, bool writable);
int ag__pd_open_watch(int fd, ag__pd_fn fn, void *arg, bool readable, bool writable,
                      ag__pd **ret_pd);
/* Changes the directions, and reports present readiness again. -ENOENT: the number means another
 * file now. */
int ag__pd_watch(ag__pd *pd, bool readable, bool writable);
void ag__pd_close_watch(ag__pd *pd, bool is_same_file);

/* A thread of the runtime that runs no goroutines: fn() on a foreign M. 0, -ENOMEM, -EAGAIN. */
int ag__helper_start(void (*fn)(void), const char *name);
/* Makes this thread known, so that ag__enter can't be without memory. 0, -ENOMEM. */
int ag__foreign_prepare(void);

/* Goroutines wait for something outside that the deadlock detector can't see (signals). */
void ag__outside_waits(int delta);
/* A thread that runs no goroutines took away what could have woken one: no other thread needs to go
 * idle, and look, after that. Takes sched.lock. */
void ag__suspect_deadlock(void);

/* What low floors need of high ones. Defined there, once (debug/dump.c); a struct of pointers
 * so that the names stay apart. */
struct ag__hooks {
    void (*world_begins)(void);
    void (*world_ends)(void);
    void (*watch)(bool sleeps);    /* the monitor is awake; or about to sleep, for all are idle */
    void (*waiters_gone)(void);    /* no dropped goroutine is linked anywhere any more */
    void (*deadlock)(void);        /* prints the dump */
    void (*dies)(void);            /* last words are said; the process ends by a panic */
    void (*threads_used_up)(void); /* names the call sites that hold threads */
    void (*backtrace)(void);       /* prints the calling goroutine's */
    bool (*line_of)(void *pc, const char **ret_file, int *ret_line);
    void (*ctx_hand_on)(ag__m *m, ag__g *to); /* the caller's current context, to a new goroutine */
    void (*ctx_drop)(ag__g *g,
                     bool blocks);          /* g has ended; blocks: it was dropped where it stood */
    void *(*ctx_done)(struct ag_ctx *c);    /* the channel that closes; NULL: never */
    void (*child_gone)(ag__m *m, ag__g *g); /* g, AG__GF_CHILD, has ended and is counted no more */
    void (*print_frames)(const uintptr_t *pcs, int n); /* of a backtrace, on stderr */
    /* In a signal handler: a fault; overflow: of the goroutine's stack, which ends the process. */
    void (*crash)(const ag__os_fault *f, bool overflow);
    /* For profiles. In the goroutine that waited, inside, no lock held: */
    void (*waited)(ag__m *m, int reason, int64_t ns);
    /* In one that gave up a lock for which another one waited, likewise. */
    void (*contended)(ag__m *m, int64_t ns);
    void (*thread_made)(void); /* by the caller, to run goroutines; no lock is held */
};
extern const struct ag__hooks ag__hooks AG__HIDDEN;

/* Set by floors above before a world begins; see io/signal.c. */
extern void (*ag__on_start)(void) AG__HIDDEN;
extern void (*ag__on_stop)(void) AG__HIDDEN;
/* Set before main by who has something to get out before the process or the world ends: the log.
 * Holds no lock; may wait. */
extern void (*ag__on_end)(void) AG__HIDDEN;

#include "sched/rt.h"
#endif
