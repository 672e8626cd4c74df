/* SPDX-License-Identifier: MIT */
/*
 * ctx.h - the door of the floor of contexts, and what its files share.
 */
#ifndef AG_CTX_PRIVATE_H
#define AG_CTX_PRIVATE_H

#include "lang/lang.h"
#include <aglet/ctx.h>
#include <aglet/scope.h>

struct ag__ctx_clock;

/* The labels of a context; see label.c. */
enum { AG__LABEL_BYTES = 232 };
typedef struct ag__labels {
    _Atomic int32_t refs;
    _Atomic uint32_t count;     /* odd while `text` is written */
    struct ag__labels *link;    /* Guarded by the pool's lock, while it is free. */
    char text[AG__LABEL_BYTES]; /* key 0 value 0 ... 0. Constant while it has references. */
} ag__labels;

/*
 * A context. `lock` is cancel.lock. Life: alive --end--> ended (cancel.err, for ever) --last
 * ag_unref--> freed; a member goroutine holds a reference.
 */
struct ag_ctx {
    ag__object object;
    ag_ctx *parent;     /* Constant, with a reference; NULL: the background. */
    const void *key;    /* Constant; of a value. */
    void *value;        /* Constant. */
    void *copy;         /* Constant: a value that goes with it; NULL: none. */
    ag__labels *labels; /* Constant after the birth, with a reference; NULL: none. */
    /* Constant: when it ends at the latest, the earliest of itself and those above; 0: never. */
    int64_t deadline;
    int64_t shield_until;  /* Constant: not below its parent before that; 0: no shield. */
    ag__cancel cancel;     /* sched.h; its lock guards what follows */
    int cause;             /* Guarded by lock; constant once cancel.err is set. */
    bool covered;          /* Constant after the birth: a shield that is not linked yet */
    ag_ctx *_Atomic above; /* Atomic; whose end is ours: the parent, but not yet of a shield */
    ag_ctx *children;      /* Guarded by lock. */
    ag_ctx *sibling, **sibling_at; /* Guarded by the lock of `above`. */
    ag_ctx *work;                  /* Of who took it out of its parent's children. */
    void *_Atomic done;            /* Atomic; the channel, once somebody asked. Set under lock. */
    ag_ctx_call *calls;            /* Guarded by lock. */
    void (*on_end)(void *arg);     /* Guarded by lock; NULL once called. */
    void *on_end_arg;
    struct ag__ctx_clock *clock; /* Constant; NULL: it has no time of its own. */
};

extern ag_ctx ag__ctx_nothing AG__HIDDEN; /* the background */

typedef struct ag__nest ag__nest;

/* Inside the runtime: ends c and what is below it. */
void ag__ctx_end(ag__m *m, ag_ctx *c, int err, int cause);
/* Below `parent` (NULL: the background). `deadline`: 0 none. A shield is told its end. NULL: out of
 * memory. Inside the runtime. */
ag_ctx *ag__ctx_new(ag__m *m, ag_ctx *parent, int64_t deadline, int64_t shield_until);
/* The time of a shield is over: links it below its parent. */
void ag__ctx_uncover(ag__m *m, ag_ctx *c);
/* fn(arg) runs once, inside the runtime, when c ends or is freed; at most one. False: c has ended.
 */
bool ag__ctx_on_end(ag_ctx *c, void (*fn)(void *), void *arg);

/* 0 while it lives, else why it ended; inside the runtime. */
int ag__ctx_err_inside(ag__m *m, ag_ctx *c);

/* For the detector, from any thread, as in sync/sync.h: the contexts of which each could end the
 * waits of g by being cancelled. Returns how many; -1: not known, more than max, or time could. */
int ag__ctx_chain(const ag__g *g, const void **ret, int max);

/* label.c. */
ag__labels *ag__labels_ref(ag__labels *l);
void ag__labels_unref(ag__labels *l);
/* A record of its own; NULL: out of memory. */
ag__labels *ag__labels_plus(ag__labels *from, const char *key, const char *value);
/* c, which is new, gets one more. False: out of memory. */
bool ag__ctx_label(ag_ctx *c, const char *key, const char *value);
/* Copies the labels of any goroutine: key 0 value 0 ... 0. False: it has none, or others by now.
 * From: anywhere, at any time, signal handlers too. */
bool ag__labels_copy(const ag__g *g, char ret_text[AG__LABEL_BYTES]);
/* How many bytes they take, without the last 0. The same. */
size_t ag__labels_bytes(const char *labels);

/* clock.c: the time of a context. */
bool ag__ctx_clock_new(ag_ctx *c);
bool ag__ctx_clock_arm(ag__m *m, ag_ctx *c); /* false: out of memory */
void ag__ctx_clock_stop(struct ag__ctx_clock *k);
void ag__ctx_clock_free(struct ag__ctx_clock *k);
/* Arms those of c and above that belong to this world and are not armed in it yet. */
void ag__ctx_clock_check(ag__m *m, ag_ctx *c);

/* call.c */
void ag__ctx_calls_start(ag__m *m, ag_ctx_call *list);
void ag__ctx_calls_drop(ag_ctx_call *list);

/* block.c: for scopes and jobs. Inside the runtime. */
/* A context below the current one, or below `top` (may be NULL) where that is not above the current
 * one. NULL: out of memory. */
ag_ctx *ag__ctx_new_here(ag__m *m, ag_ctx *top);
/* Makes `own`, with the caller's reference, current until the block is closed, which drops no
 * reference. Blocks inside of it may be open still. */
void ag__ctx_open_nest(ag__m *m, struct ag__ctx_block *b, ag_ctx *own, ag__nest *nest);
void ag__ctx_close_nest(ag__m *m, struct ag__ctx_block *b);
/* The current scope of g, the caller's own; NULL: none. */
ag__nest *ag__nest_of(const ag__g *g);
/* The current context of a child that is new; its nest keeps the reference. */
void ag__ctx_give(ag__m *m, ag__g *to, ag_ctx *c);

/*
 * --- What belongs together: scopes and jobs. ---
 *
 * A nest is what a scope and a job have in common: a count of what belongs to it, a context, the
 * first failure. It is part of an ag_scope, on its owner's stack, or of an ag_job. Its children are
 * goroutines of ag_scope_go, the goroutine of a job's function, and jobs.
 *
 * State -> who may touch what. `lock` guards all that is not constant, and is nobody's but a few
 * instructions'; no other lock is taken under it.
 *
 *     OPEN      not closing     Children are added by the owner, by children, and by who starts a
 *                               job of it. So nobody adds who does not keep it open himself.
 *     CLOSING   closing         Its owner waits in ag_scope_end, or the job's function has
 * returned. Children are added by children only: count > 0. GONE      closing, count 0   The scope
 * is its owner's alone; the job is done by who brought the count to 0. Who did so has let go of the
 * lock, and touches a scope never again: its owner may free it.
 *
 * A child counts from before its start until it has gone from ag_count: the scheduler calls
 * ag__nest_child_gone behind that. A job counts in its parent from its birth until it is done, so
 * `parent` may be followed until then.
 *
 * Lazy jobs. One that nobody has started counts, too, and is listed in its parent. When those that
 * are listed are all that count in a nest that is closing, nobody who belongs to it can start them,
 * and they are cancelled, one by one. The list holds no reference: who drops the last one of such a
 * job takes it out first, under the parent's lock, and who wants one of the list tries to get a
 * reference under that lock.
 *
 * A job's state is written under its own nest's lock: who moves it from NEW to ACTIVE starts it,
 * who moves it from NEW to CANCELLED, or brings the count of a closing one to 0, completes it.
 */
struct ag__nest {
    ag__bias lock;
    _Atomic int32_t count;   /* Guarded by lock, as what follows; relaxed reads by dumps. */
    _Atomic int32_t created; /* children, ever */
    int32_t running, limit;  /* of ag_scope_go; limit 0: none */
    int32_t lazies;          /* jobs in `lazy` */
    int32_t err;             /* the first failure; 0: none */
    bool closing;
    bool is_job, supervises;     /* Constant. */
    bool foreign;                /* Constant: a thread's that is no goroutine. */
    uint8_t shard;               /* Constant: see tree.c. */
    ag_ctx *ctx;                 /* Constant, with a reference; NULL: begun without memory. */
    ag__carried *carried;        /* of err AG_PANICKED; may be NULL */
    ag__g *joiner;               /* waits in ag_scope_end */
    struct ag__nest_room *room;  /* who waits for room, in arrival order */
    ag_job *lazy;                /* jobs that nobody has started */
    ag__g *owner_g;              /* Constant: who began a scope. */
    _Atomic int64_t owner;       /* Relaxed: its number; of a job's function, 0 before that. */
    int64_t id, parent_id;       /* Constant; 0: no parent. */
    const struct ag__site *site; /* Constant. */
    struct ag__nest *next, **at; /* Guarded by the shard's lock. */
};

/* One run of a child's function; on its stack. */
struct ag__nest_run {
    ag__nest *nest;
    intptr_t result;
    bool returned;
    ag__carried *carried; /* of the scope that the function ended last, to be handed on */
};

/* The body of a child, at the bottom of its stack: calls its function with the words it was started
 * with, and `over` when that ends, whatever way. */
static inline void ag__nest_call(const intptr_t args[6], void (*over)(struct ag__nest_run *)) {
    ag__g *g = ag__m_now()->g;
    struct ag__nest_run run = {.nest = g->nest};
    struct ag__nest_run *const at = &run;
    ag__fn fn = g->nest_fn;
    g->nest_run = at;
    ag_defer(over, at);
    run.result = ag__call(fn, args);
    run.returned = true;
}

/* Under the lock; others may look. */
static inline void ag__nest_add_to(_Atomic int32_t *counter, int32_t x) {
    atomic_store_explicit(counter, atomic_load_explicit(counter, AG__RLX) + x, AG__RLX);
}

/* nest.c. Inside the runtime, all but the first and the last. */
void ag__nest_init(ag__nest *n, const struct ag__site *site);
/* One child more: started at once, or a lazy job. */
void ag__nest_add(ag__m *m, ag__nest *n, ag_job *lazy);
/* One child fewer; and what follows from that, up the tree. */
void ag__nest_remove(ag__m *m, ag__nest *n, bool makes_room);
/* Nothing but children will add children; cancels lazy jobs if they are all there is. Returns how
 * many children are left. */
int ag__nest_close(ag__m *m, ag__nest *n);
/* A failure; the first one counts. Takes the reference of `carried`, which may be NULL. */
void ag__nest_fail(ag__m *m, ag__nest *n, int err, ag__carried *carried);
void ag__nest_child_gone(ag__m *m, ag__g *g);
/* In a deferred call that a panic runs: makes the panic the nest's failure. False: no memory, the
 * panic goes on; else the caller recovers it. */
bool ag__nest_carry(ag__nest *n);

/* job.c. Inside the runtime. */
ag_job *ag__job_of(ag__nest *n);
ag_job *ag__job_take_lazy(ag__nest *parent);         /* parent's lock held; with a reference */
void ag__job_list_lazy(ag_job *j, ag__nest *parent); /* parent's lock held */
ag__nest *ag__job_complete(ag__m *m, ag_job *j);     /* returns the parent, where it still counts */
/* Cancelled before it was started, if so; then the same, else NULL. */
ag__nest *ag__job_cancel_new(ag__m *m, ag_job *j);
void ag__job_end_world(ag__m *m, ag_job *j); /* stays the caller's to unref */
int ag__job_state_inside(ag__nest *n);       /* for dumps: not more than a guess */
/* For the detector of deadlocks, from any thread; as in sync/sync.h, it counts if those concerned
 * were waiting all the time. The nest above a job, in which it counts. NULL: n is a scope, or has
 * none above it. */
const ag__nest *ag__nest_above(const ag__nest *n);
/* scope.c */
void ag__scope_end_world(ag__m *m, ag__nest *n); /* of a thread that is no goroutine, too */

/* nest.c, for dumps: of a scope or job that somebody waits for; as in lang.h. */
typedef struct ag__nest_info {
    int64_t id, owner; /* of a job: who runs its function, or 0 */
    int count, created, limit;
} ag__nest_info;
bool ag__nest_peek(const void *nest, ag__nest_info *ret);
const void *ag__job_nest(const void *job);

/* tree.c: all that lives. Inside the runtime, but for the dump. */
void ag__nest_list(ag__m *m, ag__nest *n);
void ag__nest_unlist(ag__nest *n);
/* Writes the tree; `always`: also if there is none. Any thread; waits for no lock. */
void ag__nests_dump(FILE *out, bool always);
/* The world has ended, its goroutines stand for ever. */
void ag__nests_end(void);
/* The memory that leads to all that lives. */
void ag__nest_tree_memory(uintptr_t *ret_lo, uintptr_t *ret_hi);

/* block.c: for the floors below, by way of ag__hooks. */
void ag__ctx_hand_on(ag__m *m, ag__g *to);
void ag__ctx_drop(ag__g *g, bool blocks);
void *ag__ctx_done_of(ag_ctx *c);
/* `bound` and `ends_at` of g say what is so. */
void ag__ctx_note(ag__g *g);

/* group.c: g is the caller's own, or new; it is a member of none, or of one. */
struct ag__group;
void ag__group_join(ag__g *g, struct ag__group *group);
void ag__group_leave(ag__g *g);

static inline bool ag__ctx_in_world(void) {
    return atomic_load_explicit(&ag__sched.running, memory_order_acquire) == 1;
}

#endif
