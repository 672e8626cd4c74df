/* SPDX-License-Identifier: MIT */
/*
 * handon.pml - a processor is taken from a thread that stays outside the runtime, or given away
 * before a call that blocks.
 *
 * Two threads, one processor, two goroutines, each leaving the runtime ROUNDS times. The monitor
 * tries to move the processor from a thread that runs user code to whoever can use it.
 *
 *     enter     inside = 1; light; if revoked: inside = 0; under hand: inside = 1; TAKEN? then
 *               NONE, and it is lost
 *     leave     inside = 0 (release)
 *     monitor   under hand: revoked = ASKED; heavy; inside == 1 for long: revoked = NONE, give
 *               up; else: the processor is ours; revoked = TAKEN. Then release it
 *     block     inside, under hand: revoked = TAKEN; release the processor; leave
 *     release   to an idle thread, or to the idle list: then heavy, and if there is a goroutine
 *               in the global queue: wake
 *     lost      take an idle processor; else queue the goroutine globally; light; if there is an
 *               idle processor: wake. Then take an idle one or sleep until one is given
 *     idle      processor to the idle list; heavy; look at the global queue again
 *     wake      an idle processor goes to an idle thread
 *
 * Checked: the processor's plain data is used by one thread at a time, each sees what the other
 * wrote, and when nothing moves any more both goroutines have ended.
 *
 * A step under the scheduler's lock is one atomic step after the own buffer is empty.
 *
 * Negative controls: NO_HEAVY, NO_HAND (a thread looks at revoked without the lock and goes on
 * while it is being asked), NO_QUEUE (a goroutine that lost its processor waits for one without
 * being queued), NO_LOOK (who puts the processor on the idle list does not look at the queue).
 */
#define ROUNDS 2
#define ATTEMPTS 2

#define NTHREADS 3 /* 0 and 1 run goroutines, 2 is the monitor */
#define INSIDE 0   /* INSIDE + t: stored by the thread */
#define REVOKED 2  /* REVOKED + t: under hand of t */
#define HAND 4     /* HAND + t: lock */
#define HAS 6      /* HAS + t: 1 if the processor is this thread's; owner inside, else under hand */
#define DATA 8     /* the processor's plain data */
#define QUEUED 9   /* QUEUED + g: on the global queue; written under its lock */
#define QUEUE 11   /* its lock */
#define IDLE 12    /* the processor is on the idle list; written under the scheduler's lock */
#define NVARS 13

#define NONE 0
#define ASKED 1
#define TAKEN 2
#define NOBODY 9

#include "tso.h"

byte users;       /* threads that use the processor right now */
byte wrote;       /* what the last one wrote */
byte left[2];     /* rounds left of each goroutine */
bool sleeping[2]; /* on the list of idle threads; scheduler's lock */
bool given[2];    /* the processor, and the wake-up */

inline USE() {
    atomic { users++; assert(users == 1 && LOAD(t, DATA) == wrote); wrote = (wrote + 1) % 3 };
    STORE(t, DATA, wrote);
    users--
}

#define SOMETHING_QUEUED (LOAD(t, QUEUED) == 1 || LOAD(t, QUEUED + 1) == 1)

inline WAKE() {
    if
    :: atomic { CAN_LOCK(t) && mem[IDLE] == 1 && sleeping[0] ->
            mem[IDLE] = 0; sleeping[0] = false; given[0] = true }
    :: atomic { CAN_LOCK(t) && mem[IDLE] == 1 && sleeping[1] ->
            mem[IDLE] = 0; sleeping[1] = false; given[1] = true }
    :: CAN_LOCK(t) && (mem[IDLE] == 0 || (!sleeping[0] && !sleeping[1])) -> skip
    fi
}

inline RELEASE_PROCESSOR() {
    if
    :: atomic { CAN_LOCK(t) && sleeping[0] -> sleeping[0] = false; given[0] = true }
    :: atomic { CAN_LOCK(t) && sleeping[1] -> sleeping[1] = false; given[1] = true }
    :: atomic { CAN_LOCK(t) -> mem[IDLE] = 1 };
        HEAVY(t, i);
#ifndef NO_LOOK
        if
        :: SOMETHING_QUEUED -> WAKE()
        :: !SOMETHING_QUEUED -> skip
        fi
#endif
    fi
}

proctype Thread(byte t; byte g) {
    byte r, i;

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
#ifndef NO_HAND
    STORE(t, INSIDE + t, 0);
    ACQUIRE(t, HAND + t);
    STORE(t, INSIDE + t, 1);
#endif
    r = LOAD(t, REVOKED + t);
    if
    :: r == TAKEN -> STORE(t, REVOKED + t, NONE)
    :: r != TAKEN -> skip
    fi;
#ifndef NO_HAND
    RELEASE(t, HAND + t);
#endif
    if
    :: atomic { r != TAKEN -> r = 0 }; goto keep
    :: atomic { r == TAKEN -> r = 0 }
    fi;

    /* lost */
    if
    :: atomic { CAN_LOCK(t) && mem[IDLE] == 1 -> mem[IDLE] = 0 };
        STORE(t, HAS + t, 1);
        goto keep
    :: CAN_LOCK(t) && mem[IDLE] == 0 -> skip
    fi;
#ifndef NO_QUEUE
    ACQUIRE(t, QUEUE);
    STORE(t, QUEUED + g, 1);
    RELEASE(t, QUEUE);
#endif
    g = NOBODY;
    LIGHT(t);
    if
    :: LOAD(t, IDLE) == 1 -> WAKE()
    :: LOAD(t, IDLE) == 0 -> skip
    fi;
without: /* a processor */
    if
    :: atomic { CAN_LOCK(t) && mem[IDLE] == 1 -> mem[IDLE] = 0 };
        STORE(t, HAS + t, 1);
        USE();
        goto next
    :: atomic { CAN_LOCK(t) && mem[IDLE] == 0 -> sleeping[t] = true };
        goto asleep
    fi;

keep:
    USE();
    left[g] = left[g] - 1;
    if
    :: left[g] > 0 -> skip
    :: left[g] == 0 -> g = NOBODY; goto next
    fi;
    if
    :: goto user
    :: skip
    fi;

    /* a call that blocks */
    ACQUIRE(t, HAND + t);
#ifndef NO_HAND
    assert(LOAD(t, REVOKED + t) == NONE);
#endif
    STORE(t, HAS + t, 0);
    STORE(t, REVOKED + t, TAKEN);
    RELEASE(t, HAND + t);
    RELEASE_PROCESSOR();
    goto user;

next: /* has the processor; looks for a goroutine, else gives the processor up */
    if
    :: SOMETHING_QUEUED -> skip
    :: !SOMETHING_QUEUED -> goto idle
    fi;
    ACQUIRE(t, QUEUE);
    if
    :: LOAD(t, QUEUED) == 1 -> STORE(t, QUEUED, 0); g = 0
    :: LOAD(t, QUEUED + 1) == 1 -> STORE(t, QUEUED + 1, 0); g = 1
    fi;
    RELEASE(t, QUEUE);
    USE();
    goto user;

idle:
    STORE(t, HAS + t, 0);
    atomic { CAN_LOCK(t) -> mem[IDLE] = 1; sleeping[t] = true };
    HEAVY(t, i);
#ifndef NO_LOOK
    if
    :: SOMETHING_QUEUED -> skip
    :: !SOMETHING_QUEUED -> goto asleep
    fi;
    if
    :: atomic { CAN_LOCK(t) && sleeping[t] -> sleeping[t] = false }; goto without
    :: CAN_LOCK(t) && !sleeping[t] -> skip
    fi;
#endif

asleep:
end:
    atomic { given[t] -> given[t] = false };
    STORE(t, HAS + t, 1);
    USE();
    goto next
}

proctype Monitor(byte t) {
    byte v, i, n;
    do
    :: n == ATTEMPTS -> break
    :: n < ATTEMPTS ->
        n++;
        if
        :: v = 0
        :: v = 1
        fi;
        ACQUIRE(t, HAND + v);
        if
        :: LOAD(t, REVOKED + v) != NONE -> goto give_up
        :: LOAD(t, REVOKED + v) == NONE -> STORE(t, REVOKED + v, ASKED)
        fi;
        HEAVY(t, i);
        if
        :: LOAD(t, INSIDE + v) == 0 && LOAD(t, HAS + v) == 1 ->
            STORE(t, HAS + v, 0);
            STORE(t, REVOKED + v, TAKEN);
            RELEASE(t, HAND + v);
            RELEASE_PROCESSOR();
            goto next
        :: LOAD(t, INSIDE + v) == 1 || LOAD(t, HAS + v) == 0 -> STORE(t, REVOKED + v, NONE)
        fi;
give_up:
        RELEASE(t, HAND + v);
next:   v = 0
    od
}

init {
    atomic {
        left[0] = ROUNDS;
        left[1] = ROUNDS;
        mem[QUEUED + 1] = 1;
        sleeping[1] = true;
        mem[HAS] = 1;
        mem[INSIDE] = 1;
        mem[INSIDE + 1] = 1;
        run Thread(0, 0);
        run Thread(1, NOBODY);
        run Monitor(2)
    };
end:
    timeout -> assert(left[0] == 0 && left[1] == 0)
}
