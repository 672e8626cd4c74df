/* SPDX-License-Identifier: MIT */
/*
 * io.h - the door of the floor of descriptors, files and signals: the gate that guards a
 * descriptor, and the hook of SIGQUIT.
 */
#ifndef AG_IO_H
#define AG_IO_H

#include "sched/sched.h"
#include <aglet/io.h>

/*
 * A gate counts who is inside an object that can be closed, and lets one reader and one writer
 * in at a time; more take turns in the order of arrival. All in one word, so that the ordinary
 * call costs two atomic instructions:
 *
 *     bit 0        closed: nobody gets in any more
 *     bits 1, 2    somebody reads, somebody writes
 *     bits 3, 4    others wait for that
 *     bit 5        marked: who gets in by ag__gate_lock is told, in the slow way
 *     bits 8 …     how many are inside, the readers, writers and a closer included
 *
 * Who leaves last after the close releases the descriptor: its number can't be used again while
 * a call is under way. The zero value is an open gate with nobody inside.
 */
typedef struct ag__gate {
    _Atomic uint64_t word;
    ag__lock lock;                    /* Guards `turns`, and setting the waiting bits. */
    struct ag__gate_waiter *turns[2]; /* who waits, the first one first */
} ag__gate;

#define AG__GATE_CLOSED ((uint64_t)1)
#define AG__GATE_BUSY(mode) ((uint64_t)2 << (mode))
#define AG__GATE_WAITED(mode) ((uint64_t)8 << (mode))
#define AG__GATE_MARKED ((uint64_t)32)
#define AG__GATE_ONE ((uint64_t)256)

int ag__gate_lock_slow(ag__gate *x, int mode);
void ag__gate_pass_on(ag__gate *x, int mode);

/* Gets in as the reader (AG__READ) or the writer. 0, or 1 if the gate is marked; -ECANCELED when
 * closed. */
static inline int ag__gate_lock(ag__gate *x, int mode) {
    uint64_t word = atomic_load_explicit(&x->word, AG__RLX);
    uint64_t to = (word | AG__GATE_BUSY(mode)) + AG__GATE_ONE;
    /* Acquire. Partner: the release of ag__gate_unlock. */
    if (AG__UNLIKELY(word & (AG__GATE_CLOSED | AG__GATE_MARKED | AG__GATE_BUSY(mode))) ||
        AG__UNLIKELY(!atomic_compare_exchange_strong_explicit(&x->word, &word, to,
                                                              memory_order_acquire, AG__RLX)))
        return ag__gate_lock_slow(x, mode);
    return 0;
}

static inline bool ag__gate_was_last(ag__gate *x, uint64_t before, uint64_t left) {
    if (AG__LIKELY(!(before & AG__GATE_CLOSED)) || (before - left) / AG__GATE_ONE != 0)
        return false;
    AG__HB_ACQUIRE(x);
    return true;
}

/* Leaves. Returns true to the last one inside a closed gate, who must release the object's
 * descriptor. */
static inline bool ag__gate_unlock(ag__gate *x, int mode) {
    uint64_t less = AG__GATE_BUSY(mode) + AG__GATE_ONE;
    AG__HB_RELEASE(x);
    uint64_t before = atomic_fetch_sub_explicit(&x->word, less, memory_order_acq_rel);
    if (AG__UNLIKELY(before & AG__GATE_WAITED(mode)))
        ag__gate_pass_on(x, mode);
    return ag__gate_was_last(x, before, less);
}

/* Like ag__gate_lock, without waiting and without telling of the mark: -EBUSY when somebody is
 * inside in this mode. */
int ag__gate_try_lock(ag__gate *x, int mode);

/* Gets in without a turn. 0, or -ECANCELED. */
int ag__gate_enter(ag__gate *x);
bool ag__gate_leave(ag__gate *x);
/* Closes: whoever waits for a turn gets -ECANCELED. The caller is inside and must leave.
 * -ECANCELED if it was closed before. */
int ag__gate_close(ag__gate *x);

/*
 * A copy under way, for ag_copy and its kin. `take` and `give` move some bytes through memory, 0 at
 * the end, and wait where they must; `move` does it within the kernel, -EAGAIN when `wait` should
 * come first, and another error when it can't.
 */
typedef struct ag__copy ag__copy;
struct ag__copy {
    ssize_t (*take)(ag__copy *c, void *buf, size_t n);
    ssize_t (*give)(ag__copy *c, const void *buf, size_t n); /* some of it */
    ssize_t (*move)(ag__copy *c, size_t n);                  /* NULL: can't be done */
    int (*wait)(ag__copy *c);                                /* after -EAGAIN of move */
    void *conn;
    int to, from;
    int to_kind, from_kind; /* AG__FILE_* */
    int how;                /* AG__MOVE_*, of `move` */
};
int ag__copy_run(ag__copy *c, int64_t max, int64_t *ret_copied);
/* take and give of a descriptor. */
ssize_t ag__copy_take_fd(ag__copy *c, void *buf, size_t n);
ssize_t ag__copy_give_fd(ag__copy *c, const void *buf, size_t n);

/* For dumps: what the wait for `entry` (AG__WAIT_IO_FD) is about; *ret_events 0 if that can't be
 * told. Any thread; waits for nobody. False: it is no such object. */
bool ag__fd_peek(const void *entry, const ag__g *g, int *ret_fd, int *ret_events);

/* Runs fn on the thread of signals when SIGQUIT arrives and no channel asked for it; a second one
 * within two seconds ends the process with status 2. From the start of each world to its end,
 * unless the configuration leaves signals alone or the program has a handler of its own. */
void ag__on_quit(void (*fn)(void));

/* Runs fn on the thread of signals after every SIGCHLD, besides sending it to who asked; NULL: no
 * more. 0, -EINVAL, -ENOMEM, -EAGAIN without a thread. */
int ag__on_child(void (*fn)(void));

#endif
