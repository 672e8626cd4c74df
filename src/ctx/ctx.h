/* SPDX-License-Identifier: MIT */
/*
 * ctx.h - the door of the floor of contexts, and what its files share.
 */
#ifndef AG_CTX_PRIVATE_H
#define AG_CTX_PRIVATE_H

#include "lang/lang.h"
#include <aglet/ctx.h>

struct ag__ctx_clock;

/*
 * A context. `lock` is cancel.lock. Life: alive --end--> ended (cancel.err, for ever) --last
 * ag_unref--> freed; a member goroutine holds a reference.
 */
struct ag_ctx {
    ag__object object;
    ag_ctx *parent;  /* Constant, with a reference; NULL: the background. */
    const void *key; /* Constant; of a value. */
    void *value;     /* Constant. */
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

/* Inside the runtime: ends c and what is below it. */
void ag__ctx_end(ag__m *m, ag_ctx *c, int err, int cause);
/* Below `parent` (NULL: the background). `deadline`: 0 none. A shield is told its end. NULL: out of
 * memory. Inside the runtime. */
ag_ctx *ag__ctx_new(ag__m *m, ag_ctx *parent, int64_t deadline, int64_t shield_until);
/* The time of a shield is over: links it below its parent. */
void ag__ctx_uncover(ag__m *m, ag_ctx *c);
/* A reference, if it is not being freed. */
bool ag__ctx_try_ref(ag_ctx *c);
/* fn(arg) runs once, inside the runtime, when c ends or is freed; at most one. False: c has ended.
 */
bool ag__ctx_on_end(ag_ctx *c, void (*fn)(void *), void *arg);

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

/* block.c: for the floors below, by way of ag__hooks. */
void ag__ctx_hand_on(ag__m *m, ag__g *to);
void ag__ctx_drop(ag__g *g, bool blocks);
void *ag__ctx_done_of(ag_ctx *c);

static inline bool ag__ctx_in_world(void) {
    return atomic_load_explicit(&ag__sched.running, memory_order_acquire) == 1;
}

#endif
