/* SPDX-License-Identifier: MIT */
/*
 * handon.pml - a processor is taken from a thread that stays outside the runtime.
 *
 * Two threads, one processor, two goroutines, each leaving the runtime ROUNDS times. The monitor
 * tries to move the processor from a thread that runs user code to the other, sleeping one.
 *
 *     enter     inside = 1; light; if revoked: under hand: did we lose the processor?
 *     leave     inside = 0 (release)
 *     monitor   under hand: revoked = ASKED; heavy; inside == 1: revoked = NONE, give up;
 *               else: move the processor; revoked = TAKEN
 *     lost      under the scheduler's lock: take an idle processor (revoked = NONE), or queue the
 *               goroutine for everybody and sleep until a processor is handed over
 *
 * Checked: the processor's plain data is used by one thread at a time, each sees what the other
 * wrote, and when nothing moves any more both goroutines have ended.
 *
 * The scheduler's lock and the queue under it are one atomic step after the own buffer is empty.
 *
 * Negative controls: NO_HEAVY, NO_HAND (a thread looks at revoked
 * without the lock and goes on while it is being asked), NO_QUEUE (a goroutine that lost its
 * processor waits for one without being queued).
 */
#ifndef ROUNDS
#define ROUNDS 3
#endif
#define ATTEMPTS 3

#define NTHREADS 3 /* 0 and 1 run goroutines, 2 is the monitor */
#define INSIDE 0   /* INSIDE + t: stored by the thread */
#define REVOKED 2  /* REVOKED + t: under hand of t */
#define HAND 4     /* HAND + t: lock */
#define HAS 6      /* HAS + t: 1 if the processor is this thread's; owner inside, else under hand */
#define DATA 8     /* the processor's plain data */
#define NVARS 9

#define NONE 0
#define ASKED 1
#define TAKEN 2
#define NOBODY 9

#include "tso.h"

byte users;         /* threads that use the processor right now */
byte uses;          /* how often it was used */
byte left[2];       /* rounds left of each goroutine */
bool queued[2];     /* the global queue; scheduler's lock */
bool idle_p;        /* the processor is on the idle list; scheduler's lock */
bool sleeping[2];   /* thread waits for a processor; scheduler's lock */
bool handed[2];     /* the wake-up */

inline USE(t) {
    atomic { users++; assert(users == 1); r = LOAD(t, DATA) };
    STORE(t, DATA, r + 1);
    atomic { users--; uses++; r = 0 }
}

/* A processor of its own again. Nobody else touches `revoked` of a thread without one. */
inline TAKE_NEW(t) {
    ACQUIRE(t, HAND + t);
    STORE(t, REVOKED + t, NONE);
    STORE(t, HAS + t, 1);
    RELEASE(t, HAND + t)
}

proctype Thread(byte t; byte g) {
    byte r;

    if
    :: g == NOBODY -> goto asleep
    :: else -> skip
    fi;

user: /* user code, outside the runtime */
    STORE(t, INSIDE + t, 0);
    STORE(t, INSIDE + t, 1);
    LIGHT(t);
    if
    :: LOAD(t, REVOKED + t) == NONE -> goto keep
    :: LOAD(t, REVOKED + t) != NONE -> skip
    fi;
#ifdef NO_HAND
    r = LOAD(t, REVOKED + t);
#else
    ACQUIRE(t, HAND + t);
    r = LOAD(t, REVOKED + t);
    RELEASE(t, HAND + t);
#endif
    if
    :: r == TAKEN -> r = 0; goto lost
    :: else -> r = 0; goto keep
    fi;

lost:
    if
    :: atomic { CAN_LOCK(t) && idle_p -> idle_p = false };
        TAKE_NEW(t);
        goto keep
    :: atomic { CAN_LOCK(t) && !idle_p -> sleeping[t] = true;
#ifndef NO_QUEUE
            queued[g] = true;
#endif
            g = NOBODY };
        goto asleep
    fi;

keep:
    USE(t);
    left[g] = left[g] - 1;
    if
    :: left[g] > 0 -> goto user
    :: else -> g = NOBODY
    fi;

next: /* has the processor; looks for a goroutine, else gives the processor up */
    if
    :: atomic { CAN_LOCK(t) && queued[0] -> queued[0] = false; g = 0 }
    :: atomic { CAN_LOCK(t) && queued[1] -> queued[1] = false; g = 1 }
    :: atomic { CAN_LOCK(t) && !queued[0] && !queued[1] ->
            idle_p = true; sleeping[t] = true; mem[HAS + t] = 0 };
        goto asleep
    fi;
    USE(t);
    goto user;

asleep:
end:
    atomic { handed[t] -> handed[t] = false };
    TAKE_NEW(t);
    USE(t);
    goto next
}

/* Moves the processor of v to the other thread. */
proctype Monitor() {
    byte v, i, n;
    do
    :: n == ATTEMPTS -> break
    :: n < ATTEMPTS ->
        n++;
        if
        :: v = 0
        :: v = 1
        fi;
        ACQUIRE(2, HAND + v);
        if
        :: LOAD(2, HAS + v) == 0 -> skip
        :: LOAD(2, HAS + v) == 1 ->
            STORE(2, REVOKED + v, ASKED);
            HEAVY(2, i);
            if
            :: LOAD(2, INSIDE + v) == 0 && LOAD(2, HAS + v) == 1 ->
                if
                :: atomic { CAN_LOCK(2) && sleeping[1 - v] ->
                        sleeping[1 - v] = false; mem[HAS + v] = 0 };
                    STORE(2, REVOKED + v, TAKEN);
                    RELEASE(2, HAND + v);
                    atomic { CAN_LOCK(2) -> handed[1 - v] = true };
                    goto next
                :: atomic { CAN_LOCK(2) && !sleeping[1 - v] -> skip }
                fi
            :: LOAD(2, INSIDE + v) == 1 || LOAD(2, HAS + v) == 0 -> skip
            fi;
            STORE(2, REVOKED + v, NONE)
        fi;
        RELEASE(2, HAND + v);
next:   skip
    od
}

init {
    atomic {
        left[0] = ROUNDS;
        left[1] = ROUNDS;
        queued[1] = true;
        sleeping[1] = true;
        mem[HAS] = 1;
        mem[INSIDE] = 1;
        mem[INSIDE + 1] = 1;
        run Thread(0, 0);
        run Thread(1, NOBODY);
        run Monitor()
    };
end:
    timeout -> assert(left[0] == 0 && left[1] == 0 && mem[DATA] == uses)
}
