/* SPDX-License-Identifier: MIT */
/*
 * mutex.pml - a mutex that is biased to the processor that uses it, then shared for ever.
 *
 *     bias      FRESH -> a processor -> REVOKING -> SHARED
 *     biased    bias_in = 1; light; bias is ours? plain load and store of the state; bias_in = 0
 *     share     under the lock: bias = REVOKING; heavy; wait for bias_in == 0 of the one it was
 *               biased to; bias = SHARED
 *     state     bits LOCKED, WAITING (somebody is linked), WOKEN (a woken waiter competes),
 *               STARVING (newcomers keep out, unlock hands over)
 *     lock      0 -> LOCKED, or any state without LOCKED and STARVING -> with LOCKED. Else under
 *               the lock: that again (for one that was woken: also if STARVING), or WAITING, link
 *               (woken before: first, and perhaps STARVING), park; a woken one takes WOKEN out
 *     unlock    state - LOCKED. It was WAITING and not WOKEN: wake_first
 *     wake_first    under the lock: if the unlock saw STARVING, unlink the first and hand over;
 *               else, if it is neither LOCKED, WOKEN nor STARVING, unlink the first, set WOKEN
 *     handed    under the lock: set LOCKED; clear STARVING if nobody is linked, or at will
 *
 * Two goroutines on two threads of the runtime, or both on one, moving between any two calls and
 * while they own the mutex, and one thread that is not the runtime's. Each locks and
 * unlocks ROUNDS times. A waiter may or may not starve: there is no clock here.
 *
 * Checked: one owner at a time, who sees what the one before wrote; when nothing moves any more,
 * all have finished.
 *
 * WAKE_LOCKED is another unlock: if it is WAITING and not WOKEN, all is done in one step under the
 * lock, LOCKED included. Then the last owner may free the mutex although others had to wait, and
 * this is checked, too. With the unlock above (FREED) wake_first may still be on its way.
 *
 * MOVES: beside them a condition. Between two sections a goroutine may sleep on it; who owns the
 * mutex may wake all sleepers, and each does when it has finished. They need the mutex: of a shared
 * one all are linked if it is LOCKED; else the first is woken, and the rest is linked. WAITING is
 * set with it.
 *
 * Negative controls: NO_HEAVY, NO_WAIT_OUT (the section of the biased processor is not waited
 * for), NO_RECHECK (the bias is not looked at again after the light fence), SHARED_EARLY (bias is
 * SHARED before that section is over), KEEP_WOKEN (a woken waiter leaves WOKEN set), HAND_TWICE
 * (wake_first goes by what is STARVING now: it hands over although the unlock that called it gave
 * the mutex up, and it may have been handed over already), BARGE (newcomers ignore STARVING),
 * FORGET (WAITING is cleared although somebody is still linked), FREED; of MOVES: MOVE_ALL (also
 * the first, although the mutex is free), MOVE_QUIETLY (WAITING is not set).
 */
#if defined MOVE_ALL || defined MOVE_QUIETLY
#define MOVES
#endif
#ifdef MOVES
#define ROUNDS 2
#else
#define ROUNDS 3
#endif

#define NTHREADS 3 /* 0 and 1 have the processors 0 and 1, 2 is foreign */
#define STATE 0
#define BIAS 1
#define LOCK 2
#define BIAS_IN 3 /* BIAS_IN + t */
#define DATA 5    /* guarded by the mutex */
#define NVARS 6

#define LOCKED 1
#define WAITING 2
#define WOKEN 4
#define STARVING 8

#define FRESH 0
#define SHARED 1
#define REVOKING 2
#define TO(t) (3 + (t)) /* biased to the processor of t */

#define FOREIGN 2

#include "tso.h"

/* The linked waiters in order; guarded by the lock. */
byte line[NTHREADS];
byte linked;
bool ready[NTHREADS], handed[NTHREADS]; /* of goroutines */
bool busy[2];                           /* threads that run a goroutine */
byte owners, finished;
byte left = 3 * ROUNDS; /* sections that are still to come */
bool freed;

inline LINK_LAST(g_) {
    d_step { line[linked] = g_; linked++ }
}

inline LINK_FIRST(g_) {
    d_step { line[2] = line[1]; line[1] = line[0]; line[0] = g_; linked++ }
}

inline UNLINK_FIRST(ret_) {
    ret_ = line[0];
    line[0] = line[1];
    line[1] = line[2];
    line[2] = 0;
    linked--
}

/* The goroutine leaves its thread, and goes on some time, there or on the other one. Who gives it
 * to another thread empties the buffer first, so that it takes its stores along. */
inline LEAVE_THREAD() {
    if
    :: t != FOREIGN -> busy[t] = false
    :: t == FOREIGN -> skip
    fi
}

inline MOVE() {
    if
    :: atomic { t != FOREIGN -> busy[t] = false; stays = !CAN_LOCK(t) };
        if
        :: atomic { !busy[t] -> busy[t] = true }
        :: atomic { !stays && !busy[1 - t] -> t = 1 - t; busy[t] = true }
        fi;
        stays = false
    :: skip
    fi
}

inline RESUME() {
    if
    :: atomic { t != FOREIGN && ready[g] && !busy[0] -> t = 0; busy[0] = true }
    :: atomic { t != FOREIGN && ready[g] && !busy[1] -> t = 1; busy[1] = true }
    :: atomic { t == FOREIGN && ready[g] -> skip }
    fi;
    ready[g] = false
}

/* Goes to `open` inside a section of the own processor, else to `closed`. */
#define SECTION(open, closed)                                                                      \
    if                                                                                             \
    :: t == FOREIGN || (LOAD(t, BIAS) != FRESH && LOAD(t, BIAS) != TO(t)) -> goto closed           \
    :: atomic { t != FOREIGN && CAN_LOCK(t) && mem[BIAS] == FRESH -> mem[BIAS] = TO(t) }           \
    :: t != FOREIGN && LOAD(t, BIAS) == TO(t) -> skip                                              \
    fi;                                                                                            \
    STORE(t, BIAS_IN + t, 1);                                                                      \
    LIGHT(t);                                                                                      \
    if                                                                                             \
    :: STILL_OURS -> goto open                                                                     \
    :: !STILL_OURS -> STORE(t, BIAS_IN + t, 0); goto closed                                        \
    fi

#ifdef NO_RECHECK
#define STILL_OURS true
#else
#define STILL_OURS (LOAD(t, BIAS) == TO(t))
#endif

/* Nothing of the mutex may be touched any more, also by a store that is still in the buffer. */
#if defined WAKE_LOCKED || defined FREED
#define TOUCH() assert(!freed)
#define TOUCH_BUFFERED() atomic { CAN_LOCK(t) -> TOUCH() }
#else
#define TOUCH() skip
#define TOUCH_BUFFERED() skip
#endif

#ifdef MOVES
bool asleep[NTHREADS], moved[NTHREADS];
byte awake = 3; /* those that will wake the sleepers */

/* Takes g_ if it sleeps: it is linked, or made ready if the mutex is free and nobody was yet. */
inline MOVE_ONE(g_) {
    if
    :: !(i & (1 << g_)) -> skip
    :: (i & (1 << g_)) && (x || (mem[STATE] & LOCKED)) ->
        moved[g_] = true;
        LINK_LAST(g_);
#ifndef MOVE_QUIETLY
        mem[STATE] = mem[STATE] | WAITING
#endif
    :: (i & (1 << g_)) && !(x || (mem[STATE] & LOCKED)) -> x = 1 + g_
    fi
}

/* `i` and `x` are 0 before and after. Who has `over` wakes nobody again. */
inline WAKE_SLEEPERS(over) {
    d_step {
        i = asleep[0] + 2 * asleep[1] + 4 * asleep[2];
        awake = awake + asleep[0] + asleep[1] + asleep[2] - over;
        asleep[0] = false;
        asleep[1] = false;
        asleep[2] = false
    };
    if
    :: i == 0 -> skip
    :: i != 0 && LOAD(t, BIAS) != SHARED ->
        d_step {
            ready[0] = ready[0] || (i & 1);
            ready[1] = ready[1] || (i & 2);
            ready[2] = ready[2] || (i & 4);
            i = 0
        }
    :: i != 0 && LOAD(t, BIAS) == SHARED ->
        ACQUIRE(t, LOCK);
        d_step { CAN_LOCK(t) ->
#ifdef MOVE_ALL
            x = 4;
#endif
            MOVE_ONE(0);
            MOVE_ONE(1);
            MOVE_ONE(2);
            i = 0
        };
        RELEASE(t, LOCK);
        if
        :: x == 0 || x == 4 -> skip
        :: x != 0 && x != 4 -> ready[x - 1] = true
        fi;
        x = 0
    fi
}
#endif

#ifdef BARGE
#define KEEPS_OUT LOCKED
#else
#define KEEPS_OUT (LOCKED | STARVING)
#endif

proctype Goroutine(byte g; byte t) {
    byte n, i, x;
    bool again, starving, stays, unlocks, last;

lock:
    MOVE();
    if
    :: LOAD(t, BIAS) == SHARED -> goto take
    :: LOAD(t, BIAS) != SHARED -> skip
    fi;
    SECTION(lock_in, share);
lock_in:
    if
    :: LOAD(t, STATE) == 0 ->
        STORE(t, STATE, LOCKED);
        STORE(t, BIAS_IN + t, 0);
        goto own
    :: LOAD(t, STATE) != 0 -> STORE(t, BIAS_IN + t, 0)
    fi;
    goto share;

take:
    if
    :: atomic { CAN_LOCK(t) && !(mem[STATE] & KEEPS_OUT) -> mem[STATE] = mem[STATE] | LOCKED };
        goto own
    :: CAN_LOCK(t) && mem[STATE] != 0 -> skip
    fi;
slow:
    ACQUIRE(t, LOCK);
    if
    :: again -> starving = true
    :: starving = false
    fi;
    if
    :: atomic { CAN_LOCK(t) && !(mem[STATE] & LOCKED) && (again || !(mem[STATE] & KEEPS_OUT)) ->
#ifndef KEEP_WOKEN
            mem[STATE] = (again -> mem[STATE] & (LOCKED | WAITING | STARVING) : mem[STATE]);
#endif
            mem[STATE] = mem[STATE] | LOCKED };
        RELEASE(t, LOCK);
        again = false;
        starving = false;
        goto own
    :: atomic {
        CAN_LOCK(t) && !(!(mem[STATE] & LOCKED) && (again || !(mem[STATE] & KEEPS_OUT))) ->
#ifndef KEEP_WOKEN
            mem[STATE] = (again -> mem[STATE] & (LOCKED | WAITING | STARVING) : mem[STATE]);
#endif
            mem[STATE] = mem[STATE] | WAITING;
            mem[STATE] = (starving && (mem[STATE] & LOCKED) -> mem[STATE] | STARVING
                                                            : mem[STATE]);
            starving = false
        }
    fi;
    if
    :: again -> LINK_FIRST(g)
    :: !again -> LINK_LAST(g)
    fi;
    RELEASE(t, LOCK); /* by the code that runs next on the thread */
    LEAVE_THREAD();
    RESUME();
#ifdef MOVES
woken:
#endif
    again = true;
    if
    :: !handed[g] -> goto slow
    :: handed[g] -> handed[g] = false
    fi;
    again = false;
    ACQUIRE(t, LOCK);
    if
    :: atomic { CAN_LOCK(t) && linked > 0 -> mem[STATE] = mem[STATE] | LOCKED }
    :: atomic { CAN_LOCK(t) -> mem[STATE] = mem[STATE] & (LOCKED | WAITING | WOKEN);
            mem[STATE] = mem[STATE] | LOCKED }
    fi;
    RELEASE(t, LOCK);

own:
    atomic { owners++; assert(owners == 1); x = LOAD(t, DATA) };
    STORE(t, DATA, x + 1);
    x = 0;
    MOVE();
#ifdef MOVES
    if
    :: goto owned
    :: goto wake
    fi;
owned:
#endif
    atomic { owners--; left--; last = left == 0 };

    if
    :: LOAD(t, BIAS) == SHARED -> goto give
    :: LOAD(t, BIAS) != SHARED -> unlocks = true
    fi;
    SECTION(unlock_in, share);
unlock_in:
    assert(LOAD(t, STATE) == LOCKED);
    STORE(t, STATE, 0);
    STORE(t, BIAS_IN + t, 0);
    unlocks = false;
    goto next;

share:
    ACQUIRE(t, LOCK);
    if
    :: LOAD(t, BIAS) != SHARED ->
        atomic { CAN_LOCK(t) -> x = mem[BIAS];
#ifdef SHARED_EARLY
            mem[BIAS] = SHARED
#else
            mem[BIAS] = REVOKING
#endif
        };
        HEAVY(t, i);
#ifndef NO_WAIT_OUT
        if
        :: x == FRESH || x == TO(t) -> skip
        :: x == TO(0) && t != 0 -> LOAD(t, BIAS_IN) == 0
        :: x == TO(1) && t != 1 -> LOAD(t, BIAS_IN + 1) == 0
        fi;
#endif
        x = 0;
        STORE(t, BIAS, SHARED)
    :: LOAD(t, BIAS) == SHARED -> skip
    fi;
    RELEASE(t, LOCK);
    if
    :: unlocks -> skip
    :: !unlocks -> goto take
    fi;

give:
    unlocks = false;
#ifdef WAKE_LOCKED
    if
    :: atomic { CAN_LOCK(t) && (mem[STATE] & (WAITING | WOKEN)) != WAITING ->
            assert(mem[STATE] & LOCKED); mem[STATE] = mem[STATE] - LOCKED };
        goto next
    :: CAN_LOCK(t) && (mem[STATE] & (WAITING | WOKEN)) == WAITING -> skip
    fi;
    ACQUIRE(t, LOCK);
    atomic { CAN_LOCK(t) ->
            assert(linked > 0 && (mem[STATE] & (LOCKED | WAITING | WOKEN)) == LOCKED + WAITING);
            UNLINK_FIRST(x);
            handed[x] = (mem[STATE] & STARVING) != 0;
            mem[STATE] = mem[STATE] - LOCKED - (linked > 0 -> 0 : WAITING);
            mem[STATE] = (handed[x] -> mem[STATE] : mem[STATE] | WOKEN);
            x++ };
#else
    atomic { CAN_LOCK(t) -> x = mem[STATE]; assert(x & LOCKED); mem[STATE] = x - LOCKED };
    if
    :: (x & (WAITING | WOKEN)) == WAITING -> starving = (x & STARVING) != 0
    :: (x & (WAITING | WOKEN)) != WAITING -> x = 0; goto next
    fi;
    x = 0;
    TOUCH();
    ACQUIRE(t, LOCK);
#ifdef HAND_TWICE
    starving = (LOAD(t, STATE) & (LOCKED | WOKEN | STARVING)) == STARVING;
#endif
    if
    :: atomic { CAN_LOCK(t) && linked > 0 &&
                (starving || !(mem[STATE] & (LOCKED | WOKEN | STARVING))) ->
            UNLINK_FIRST(x);
#ifdef FORGET
            mem[STATE] = mem[STATE] & (LOCKED | WOKEN | STARVING);
#else
            mem[STATE] = (linked > 0 -> mem[STATE] : mem[STATE] & (LOCKED | WOKEN | STARVING));
#endif
            mem[STATE] = (starving -> mem[STATE] : mem[STATE] | WOKEN);
            handed[x] = starving;
            x++ }
    :: CAN_LOCK(t) && !(linked > 0 && (starving || !(mem[STATE] & (LOCKED | WOKEN | STARVING)))) ->
        skip
    fi;
#endif
    TOUCH();
    RELEASE(t, LOCK);
    TOUCH_BUFFERED();
    starving = false;
    if
    :: x == 0 -> skip
    :: atomic { x != 0 -> ready[x - 1] = true; x = 0 }
    fi;

next:
    if
    :: last -> freed = true
    :: !last -> skip
    fi;
    n++;
    if
    :: n < ROUNDS -> goto lock
#ifdef MOVES
    :: atomic { n < ROUNDS && awake > 1 -> awake--; asleep[g] = true };
        LEAVE_THREAD();
        RESUME();
        if
        :: moved[g] -> moved[g] = false; goto woken
        :: !moved[g] -> goto lock
        fi
#endif
    :: n == ROUNDS -> skip
    fi;
#ifdef MOVES
wake:
    WAKE_SLEEPERS(n == ROUNDS);
    if
    :: n < ROUNDS -> goto owned
    :: n == ROUNDS -> skip
    fi;
#endif
    atomic { LEAVE_THREAD(); finished++ }
}

init {
    atomic {
        busy[0] = true;
        busy[1] = true;
        run Goroutine(0, 0);
        run Goroutine(1, 1);
        run Goroutine(2, FOREIGN)
    };
end:
    timeout -> assert(finished == 3 && mem[DATA] == 3 * ROUNDS)
}
