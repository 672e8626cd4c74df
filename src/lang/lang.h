/* SPDX-License-Identifier: MIT */
/*
 * lang.h - the door of the language floor: what ctx, sync and the dump need of channels,
 * panics and deferred calls beyond the public headers.
 */
#ifndef AG_LANG_H
#define AG_LANG_H

#include "sched/sched.h"
#include <aglet/chan.h>
#include <aglet/defer.h>
#include <aglet/time.h>

/* A panic raised by the runtime for the caller's mistake, with the place of the call `pc`. */
void ag__panic_text(void *pc, const char *text) __attribute__((noreturn, cold));

/* In a deferred call: the panic that runs it; NULL if none does. */
const ag_panic_info *ag__panicking(void);
/* The same, but NULL also if it was recovered already. */
const ag_panic_info *ag__panic_now(void);

/*
 * A panic that is carried from one goroutine to another: what it says, and the backtraces of the
 * goroutine where it was raised and of those it came through. Reference counted; constant.
 */
enum { AG__HOPS = 4, AG__HOP_FRAMES = 32 };
typedef struct ag__hop {
    int64_t id, creator;
    const struct ag__site *site;
    char name[32];
    int frames;
    uintptr_t pcs[AG__HOP_FRAMES];
} ag__hop;
typedef struct ag__carried {
    ag__object object;
    ag_panic_info info;
    int hops;
    ag__hop hop[AG__HOPS]; /* where it was raised first; of more than there is room for the last */
} ag__carried;

/* In a deferred call that a panic runs: a record of it, with this goroutine as the last hop; the
 * caller recovers it. NULL: out of memory. */
ag__carried *ag__panic_carry(void);
/* Raises it in this goroutine. *c must stand while it is under way. */
void ag__panic_raise(const ag__carried *c) __attribute__((noreturn));
/* Nobody was told of it: the last words, and the end of the process. */
void ag__panic_unseen(const ag__carried *c) __attribute__((noreturn));

/* ag_close for who is inside the runtime. False: it was closed before. */
bool ag__chan_close_inside(ag__m *m, void *chan);
/* Once true, always true; who takes it for more than a hint goes through the lock. */
bool ag__chan_is_closed(const void *chan);

/*
 * For dumps: what goroutines wait for. The objects are the program's and may be gone, so they are
 * copied by ag__os_peek; what was read is right if the goroutine has waited for it all the time.
 * False: there is nothing to be seen.
 */
typedef struct ag__chan_info {
    const void *chan;
    uint32_t len, cap;
    int32_t refs;
    bool closed;
    bool sends; /* the case of a select */
} ag__chan_info;
bool ag__chan_peek(const void *chan, ag__chan_info *ret);
enum { AG__SELECT_SEEN = 4 };
typedef struct ag__select_info {
    int channels; /* cases with a channel */
    int seen;     /* as many of them are in `cases` */
    ag__chan_info cases[AG__SELECT_SEEN];
} ag__select_info;
bool ag__select_peek(const ag__g *g, ag__select_info *ret);
/* Whether this is the mark of an ag_try in the list of deferred calls. */
bool ag__defer_is_try(ag__fn fn);

/* Frees the channels whose last reference went while goroutines, now dropped, waited there. */
void ag__chan_free_orphans(void);

/* --- For the detector of leaks, from any thread. --- */
/* Whether somebody waits for a channel that nobody has a reference to; cheap. */
bool ag__chan_has_orphans(void);
/* Shows who waits for such channels, once for each waiter, under locks. */
void ag__chan_orphans_each(void (*visit)(ag__g *, void *), void *arg);
/* How many channels g waits for, which is seen in a select before and after; 0: it has a time. */
size_t ag__select_look(ag__g *g);
/* Those channels, up to `max`; the number of all, 0: as above. */
size_t ag__select_channels(ag__g *g, const void **ret_channels, size_t max);
/* How many bytes a channel takes that somebody waits for; 0: not known. */
size_t ag__chan_bytes(const void *chan);

#endif
