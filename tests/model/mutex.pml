/* SPDX-License-Identifier: MIT */
/*
 * mutex.pml - a mutex whose unlock is a plain store.
 *
 *     lock      CAS locked 0 -> 1, else wait
 *     wait      under the wait lock: waiters = 1, and woken = 0 if we were woken before; heavy;
 *               CAS locked 0 -> 1: got it, undo; else link (woken before: first) and park
 *     unlock    locked = 0 (release); light; if waiters and not woken: wake
 *     wake      under the wait lock, if not woken: unlink the first waiter, woken = 1, ready it;
 *               it competes with newcomers. Nobody linked: waiters = 0
 *     won       a woken waiter that got the mutex without the wait lock takes that once, woken = 0:
 *               from now on the next unlock wakes
 *     starving  set by a waiter that was woken and lost again: unlock then hands the mutex, still
 *               locked, to the first waiter, woken = 0
 *
 * Three threads lock and unlock ROUNDS times each. Checked: one owner at a time, who sees what
 * the one before wrote; when nothing moves any more, all have finished. A waiter may or may not
 * starve: there is no clock here.
 *
 * Negative controls: NO_HEAVY, NO_SECOND_LOOK (the waiter does not try again after the fence),
 * STAY_WOKEN (a woken waiter that loses again does not reset woken), KEEP_WOKEN (one that wins
 * does not), FORGET (wake resets waiters although somebody is still linked), HAND_FREE (hand-over
 * unlocks, too).
 */
#ifndef ROUNDS
#define ROUNDS 2
#endif

#define NTHREADS 3
#define LOCKED 0
#define WAITERS 1
#define WOKEN 2
#define STARVING 3
#define WAIT_LOCK 4
#define DATA 5 /* guarded by the mutex */
#define NVARS 6

#define NOBODY 9

#include "tso.h"

/* The linked waiters in order; guarded by the wait lock. */
byte line[NTHREADS];
byte linked;
bool ready[NTHREADS], handed[NTHREADS];
byte owners, finished;

inline LINK_LAST(t_) {
    atomic { line[linked] = t_; linked++ }
}

inline LINK_FIRST(t_) {
    d_step { line[2] = line[1]; line[1] = line[0]; line[0] = t_; linked++ }
}

inline UNLINK_FIRST(ret_) {
    d_step {
        ret_ = line[0];
        line[0] = line[1];
        line[1] = line[2];
        line[2] = 0;
        linked--
    }
}

/* The mutex is taken or not, in one locked instruction. */
#define TAKE(t, yes, no)                                                                           \
    if                                                                                             \
    :: atomic { CAN_LOCK(t) && mem[LOCKED] == 0 -> mem[LOCKED] = 1 }; yes                          \
    :: atomic { CAN_LOCK(t) && mem[LOCKED] == 1 -> no }                                            \
    fi

proctype Thread(byte t) {
    byte n, i, x;
    bool again;

lock:
    TAKE(t, goto own, skip);
slow:
    ACQUIRE(t, WAIT_LOCK);
    STORE(t, WAITERS, 1);
#ifndef STAY_WOKEN
    if
    :: again -> STORE(t, WOKEN, 0)
    :: !again -> skip
    fi;
#endif
    HEAVY(t, i);
#ifndef NO_SECOND_LOOK
    if
    :: atomic { CAN_LOCK(t) && mem[LOCKED] == 0 -> mem[LOCKED] = 1 };
        STORE(t, WAITERS, (linked > 0 -> 1 : 0));
        RELEASE(t, WAIT_LOCK);
        again = false;
        goto own
    :: atomic { CAN_LOCK(t) && mem[LOCKED] == 1 -> skip }
    fi;
#endif
    if
    :: again ->
        if
        :: STORE(t, STARVING, 1)
        :: skip
        fi;
        LINK_FIRST(t)
    :: !again -> LINK_LAST(t)
    fi;
    RELEASE(t, WAIT_LOCK);
    atomic { ready[t] -> ready[t] = false };
    if
    :: handed[t] -> handed[t] = false; again = false; goto own
    :: !handed[t] -> again = true
    fi;
    TAKE(t, skip, goto slow);
#ifndef KEEP_WOKEN
    ACQUIRE(t, WAIT_LOCK);
    STORE(t, WOKEN, 0);
    RELEASE(t, WAIT_LOCK);
#endif
    again = false;

own:
    atomic { owners++; assert(owners == 1); x = LOAD(t, DATA) };
    STORE(t, DATA, x + 1);
    atomic { owners--; x = 0 };

    if
    :: LOAD(t, STARVING) == 0 -> goto unlock
    :: LOAD(t, STARVING) == 1 -> skip
    fi;
    ACQUIRE(t, WAIT_LOCK);
    if
    :: linked == 0 ->
        STORE(t, STARVING, 0);
        STORE(t, WAITERS, 0);
        RELEASE(t, WAIT_LOCK);
        goto unlock
    :: linked > 0 -> UNLINK_FIRST(x)
    fi;
    handed[x] = true;
    if
    :: STORE(t, STARVING, 0)
    :: linked > 0 -> skip
    fi;
    STORE(t, WAITERS, (linked > 0 -> 1 : 0));
    STORE(t, WOKEN, 0);
#ifdef HAND_FREE
    STORE(t, LOCKED, 0);
#endif
    RELEASE(t, WAIT_LOCK);
    atomic { ready[x] = true; x = 0 };
    goto next;

unlock:
    STORE(t, LOCKED, 0);
    LIGHT(t);
    if
    :: LOAD(t, WAITERS) == 0 -> goto next
    :: LOAD(t, WAITERS) == 1 -> skip
    fi;
    if
    :: LOAD(t, WOKEN) == 1 -> goto next
    :: LOAD(t, WOKEN) == 0 -> skip
    fi;
    ACQUIRE(t, WAIT_LOCK);
    x = NOBODY;
    if
    :: LOAD(t, WOKEN) == 0 && linked > 0 ->
        UNLINK_FIRST(x);
        STORE(t, WOKEN, 1);
#ifdef FORGET
        STORE(t, WAITERS, 0)
#endif
    :: LOAD(t, WOKEN) == 1 && linked > 0 -> skip
    :: linked == 0 -> STORE(t, WAITERS, 0)
    fi;
    RELEASE(t, WAIT_LOCK);
    if
    :: atomic { x != NOBODY -> ready[x] = true; x = 0 }
    :: atomic { x == NOBODY -> x = 0 }
    fi;

next:
    n++;
    if
    :: n < ROUNDS -> goto lock
    :: n == ROUNDS -> finished++
    fi
}

init {
    atomic { run Thread(0); run Thread(1); run Thread(2) };
end:
    timeout -> assert(finished == NTHREADS && mem[DATA] == NTHREADS * ROUNDS)
}
