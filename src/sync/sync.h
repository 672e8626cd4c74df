/* SPDX-License-Identifier: MIT */
/*
 * sync.h - what the files of this floor share: the mutex without its checks, the wait that a
 * current context may end, and the checks of debug builds.
 */
#ifndef AG_SYNC_H
#define AG_SYNC_H

#include "sync/biased.h"
#include <aglet/sync.h>

/* mutex.c: the mutex as it is without checks. */
void ag__mutex_lock(ag_mutex *mutex);
bool ag__mutex_try_lock(ag_mutex *mutex);
bool ag__mutex_give(ag_mutex *mutex); /* false: it was not locked */
/* Inside: gives it back if it is biased to m's processor; false: nothing was done. */
bool ag__mutex_give_inside(ag__m *m, ag_mutex *mutex);

/* One who waits for a mutex: in its line, on the waiter's stack. */
struct ag__mutex_waiter {
    struct ag__mutex_waiter *next;
    ag__g *g;
    int64_t since; /* 0: it has not been in the line yet */
    bool handed;   /* Guarded by the mutex's lock until woken: nobody else may take it. */
};

static inline bool ag__mutex_is_shared(const ag_mutex *mutex) {
    return ag__is_shared((const ag__biased *)mutex);
}

/*
 * Lets goroutines wait for a shared mutex that are parked elsewhere: a list, with g set and since
 * 0. They are appended to the line, in order, but for the first if the mutex is free, since nobody
 * else would unlock it for them: that is returned, and must be made ready; else NULL. Each goes on
 * with ag__mutex_lock_woken when it wakes, until when the mutex lives.
 */
struct ag__mutex_waiter *ag__mutex_move(ag_mutex *mutex, struct ag__mutex_waiter *list);
void ag__mutex_lock_woken(ag_mutex *mutex, struct ag__mutex_waiter *w);

/* While waits are watched, how long g, which is about to be woken, has waited for a lock, since it
 * came into the line if that was not when it parked; else 0. For ag__hooks.contended. */
static inline int64_t ag__waited_for_lock(const ag__g *g, int64_t since) {
    if (AG__LIKELY(!atomic_load_explicit(&ag__watch_waits, AG__RLX)))
        return 0;
    int64_t parked = atomic_load_explicit(&g->wait_since, AG__RLX);
    return ag__os_now() - (parked > since ? parked : since);
}

/*
 * Parks a goroutine that linked a waiter with claim `epoch` under `lock`, no longer than its
 * current context lives; who wakes it claims it first. Every wait of this floor that returns an
 * error number comes through here, after ag__ended has said that it may begin. Afterwards
 * m->g->woken tells whether a waker won the claim (AG__WOKEN_NORMAL); else ag__end_of tells the
 * error.
 */
static inline ag__m *ag__park_claimed(ag__m *m, int reason, const void *object, ag__lock *lock,
                                      uint64_t epoch) {
    return ag__park_until(m, reason, object, lock, epoch, 0);
}

/* For dumps, as in lang.h. The owner is the number of a goroutine, perhaps of one that has ended;
 * -1: a thread; 0: unlocked, or not known. */
bool ag__mutex_peek(const void *mutex, int64_t *ret_owner);
/* *ret_readers have it, and the owner waits for them to leave; if they are 0 it has it. */
bool ag__rwmutex_peek(const void *rwmutex, int64_t *ret_owner, int *ret_readers);
bool ag__wg_peek(const void *wg, int *ret_counter);
/* The group into which ag_wg_go has started g; NULL: none. */
const void *ag__wg_of(ag__g *g);
bool ag__sem_peek(const void *sem, int64_t *ret_size, int64_t *ret_taken);

/* check.c. Set before main; constant. */
extern bool ag__checks AG__HIDDEN;

/* The caller, at pc, is about to lock w, and may have to wait for it. */
void ag__check_before(ag__biased *w, bool writes, void *pc);
/* The same, but it will not wait. */
void ag__check_meet(ag__biased *w);
/* It has locked w. */
void ag__check_locked(ag__biased *w, bool writes, void *pc);
/* It is about to unlock w. */
void ag__check_unlock(ag__biased *w, bool writes);

/* Where g took the lock that it holds; 0: not known. Any thread. */
uintptr_t ag__check_taken_at(ag__g *g, const void *lock);
/* What runs at the end of a goroutine that waits, behind what the checks put in its place. */
void ag__check_end_of(void (**ret_fn)(void *), void **ret_arg);

/*
 * --- For the detector of deadlocks (debug/detect.h). ---
 *
 * They look at an object that a goroutine waits for, from any thread and without a lock. It may
 * change or be gone meanwhile: what they say counts only if those concerned are seen to have waited
 * all the time. One that a stranger has unlocked takes no part.
 */
/* Who holds the mutex: a goroutine's number; 0: nobody, a thread, or it is not known. */
int64_t ag__mutex_look(const void *mutex);
/* The same of who writes, or waits for the readers to leave. */
int64_t ag__rwmutex_look(const void *rw);
/* Whether the goroutine whose `read_lock` this is holds it for reading for sure. */
bool ag__rwmutex_is_read(const void *rw);
/* Whether g, which waits in ag_cond_wait, is still to be signalled: else it waits for the mutex. */
bool ag__cond_has(const void *cond, const ag__g *g);
/* The call that g waits for, which stands on the stack of who runs it; NULL: not known. */
const void *ag__flight_look(const void *flight, const ag__g *g);

#endif
