/* SPDX-License-Identifier: MIT */
/*
 * bias.pml - a lock that is biased to a processor: that one's thread enters by plain stores.
 *
 *     cheap     owner is ours: bias_in = 1; light; owner still ours: inside; else bias_in = 0
 *     shared    take the lock; owner set: owner = none, and unless it was ours: heavy; wait for
 *               bias_in == 0 of that processor. Inside. If the last one was ours, too, owner = us
 *               at will (the lock counts how often, here it is left open)
 *     close     cheap: bias_in = 0; shared: release the lock
 *     two       bias_in = 1 once for both if both are ours; else shared, one after the other
 *     park      inside, link a waiter, switch; the code that runs next closes the section. Who
 *               finds the waiter inside a section of his may resume it at once
 *
 * Two threads of the runtime enter ROUNDS times, a foreign one, which has no processor, once; with
 * TWO_LOCKS, the first, the second or both.
 *
 * Checked: one at a time is inside each lock, and sees what the one before wrote; a waiter that is
 * found has saved its registers; when nothing moves any more, all are through: who revokes gets
 * in, also while it holds another lock.
 *
 * Negative controls: NO_HEAVY, NO_RECHECK (owner is not looked at again after the light fence),
 * NO_WAIT (bias_in of the other is not waited for), REBIAS_UNLOCKED (owner = us after the lock was
 * released), CLOSE_EARLY (the section is closed before the switch), UNSORTED (two shared locks are
 * taken in any order).
 */
#ifdef UNSORTED
#define TWO_LOCKS
#endif
#ifdef TWO_LOCKS
#define ROUNDS 2
#else
#define ROUNDS 4
#endif

#define NTHREADS 3 /* 0 and 1 have the processors 0 and 1, 2 is foreign */
#define OWNER 0    /* OWNER + l: 0, or 1 + the processor */
#define LOCK 2     /* LOCK + l */
#define BIAS_IN 4  /* BIAS_IN + t */
#define DATA 6     /* DATA + l: inside the section of l */
#define REGS 8     /* REGS + t: the saved registers: the number of the switch that saved them */
#define NVARS 10

#define FOREIGN 2
#define US (1 + t)

#include "tso.h"

/* Guarded by lock l: the last processor that was inside by way of it; who waits, 0: nobody. */
byte last[2];
byte waiter;

byte inside[2];
byte wrote[2];    /* what the last one inside wrote */
byte switches[2]; /* of the two threads */
byte finished;

#ifdef NO_RECHECK
#define STILL_OURS(l) true
#else
#define STILL_OURS(l) (LOAD(t, OWNER + (l)) == US)
#endif

inline REBIAS(l_) {
    if
#ifdef REBIAS_UNLOCKED
    :: rebias = true
#else
    :: STORE(t, OWNER + l_, US)
#endif
    :: skip
    fi
}

inline SHARED(l_) {
    ACQUIRE(t, LOCK + l_);
    x = LOAD(t, OWNER + l_);
    if
    :: x == 0 -> skip
    :: x != 0 ->
        STORE(t, OWNER + l_, 0);
        if
#ifdef TWO_LOCKS
        :: x == US -> skip
#endif
        :: x != US ->
            HEAVY(t, i);
#ifndef NO_WAIT
            LOAD(t, BIAS_IN + x - 1) == 0
#endif
        fi
    fi;
    x = 0;
    if
    :: atomic { last[l_] != US || t == FOREIGN -> last[l_] = (t == FOREIGN -> 0 : US) }
    :: last[l_] == US && t != FOREIGN -> REBIAS(l_)
    fi
}

inline WORK(l_) {
    atomic {
        inside[l_]++;
        assert(inside[l_] == 1);
        assert(LOAD(t, DATA + l_) == wrote[l_]);
        wrote[l_] = (wrote[l_] + 1) % 3 };
    STORE(t, DATA + l_, wrote[l_]);
#ifndef TWO_LOCKS
    if
    :: atomic { waiter != 0 ->
            assert(LOAD(t, REGS + waiter - 1) == switches[waiter - 1]);
            waiter = 0 }
    :: atomic { waiter == 0 && t != FOREIGN ->
            waiter = US;
            switches[t] = switches[t] + 1;
            parks = true }
    :: waiter == 0 -> skip
    fi
#endif
}

proctype Thread(byte t) {
    byte n, i, l, x;
    bool both, second, cheap, parks, rebias;

again:
#ifdef TWO_LOCKS
    if
    :: l = 0
    :: l = 1
    :: both = true
    fi;
#endif
    if
    :: t == FOREIGN -> goto shared
    :: t != FOREIGN && LOAD(t, OWNER + l) != US -> goto shared
    :: t != FOREIGN && LOAD(t, OWNER + l) == US -> skip
    fi;
#ifdef TWO_LOCKS
    if
    :: both && LOAD(t, OWNER + 1) != US -> goto shared
    :: !both || LOAD(t, OWNER + 1) == US -> skip
    fi;
#endif
    STORE(t, BIAS_IN + t, 1);
    LIGHT(t);
    if
    :: STILL_OURS(l) && (!both || STILL_OURS(1)) -> cheap = true; goto in
    :: !(STILL_OURS(l) && (!both || STILL_OURS(1))) -> STORE(t, BIAS_IN + t, 0)
    fi;

shared:
#ifdef UNSORTED
    l = (both && t == 1 -> 1 : l);
#endif
next_lock:
    SHARED(l);
#ifdef TWO_LOCKS
    if
    :: atomic { both && !second -> second = true; l = 1 - l }; goto next_lock
    :: atomic { !both || second -> second = false }
    fi;
#endif

in:
    WORK(l);
    inside[l]--;
#ifdef TWO_LOCKS
    if
    :: atomic { both && !second -> second = true; l = 1 - l }; goto in
    :: atomic { !both || second -> second = false }
    fi;
#endif
#if !defined CLOSE_EARLY && !defined TWO_LOCKS
    if
    :: parks -> STORE(t, REGS + t, switches[t]); parks = false /* the switch */
    :: !parks -> skip
    fi;
#endif
    if
    :: cheap -> STORE(t, BIAS_IN + t, 0); cheap = false
    :: !cheap ->
        RELEASE(t, LOCK + l);
#ifdef TWO_LOCKS
        if
        :: both -> RELEASE(t, LOCK + 1 - l)
        :: !both -> skip
        fi
#endif
    fi;
#ifdef REBIAS_UNLOCKED
    if
    :: atomic { rebias -> rebias = false };
        STORE(t, OWNER + l, US)
    :: !rebias -> skip
    fi;
#endif
#ifdef CLOSE_EARLY
    if
    :: parks -> STORE(t, REGS + t, switches[t]); parks = false
    :: !parks -> skip
    fi;
#endif
    atomic { l = 0; both = false; n++ };
    if
    :: n < ROUNDS && t != FOREIGN -> goto again
    :: n == ROUNDS || t == FOREIGN -> finished++
    fi
}

init {
    atomic {
        if
        :: mem[OWNER] = 1
#ifdef TWO_LOCKS
        :: mem[OWNER + 1] = 1
        :: mem[OWNER] = 1; mem[OWNER + 1] = 1
#endif
        :: last[0] = 1
        fi;
        run Thread(0);
        run Thread(1);
        run Thread(2)
    };
end:
    timeout -> assert(finished == NTHREADS)
}
