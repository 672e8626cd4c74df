/* SPDX-License-Identifier: MIT */
/*
 * cancel.pml - a goroutine waits ROUNDS times for an object, and its context ends meanwhile.
 *
 *     wait    told? then it waits no more. Else take the lock; if the object is not ready: claim =
 *             next epoch, OPEN; link a waiter, switch away; the code that runs next on the thread
 *             releases the lock, and only then opens the wait to cancels: open = the larger of
 *             open and epoch; told? and CAS claim OPEN -> CLAIMED? then ready
 *     waker   take the lock; take the waiter out, release; CAS claim OPEN -> CLAIMED? then ready
 *     cancel  told = 1; CAS claim (open, OPEN) -> CLAIMED? then ready
 *
 * Between the release and the opening the goroutine may run, elsewhere, and wait again: a late
 * opening must change nothing.
 *
 * Checked: the goroutine never runs on two threads, is readied once per wait and with the registers
 * saved last; it is told its end only when it was cancelled; it does not sleep once it was.
 *
 * Negative controls: OPEN_EARLY (opened before the switch), NO_LOOK (nobody looks at `told` behind
 * the switch), OPEN_BACK (a late opening may lower `open`), WEAK_TOLD (`told` may stay in the store
 * buffer while `open` is read), NO_CLAIM (the cancel does not claim), NO_EPOCH (nor compares them).
 */
#ifndef ROUNDS
#define ROUNDS 3
#endif

#define NTHREADS 4 /* 0 and 1 run the goroutine, 2 wakes, 3 cancels */
#define LOCK 0
#define CLAIM 1 /* epoch * 2 + (1: claimed); the first wait has epoch 1 */
#define REGS 2  /* the saved registers: the number of the switch that saved them */
#define OPEN 3  /* the wait that a cancel may claim; 0: none yet */
#define TOLD 4
#define NVARS 5

#define NORMAL 1 /* causes */
#define ENDED 2

#include "tso.h"

byte linked; /* the waiter, by its epoch */
bool ready;  /* an event nobody waited for */
bool queued, running;
byte cause;
byte round;    /* the wait the goroutine is in */
byte switches; /* how often its registers were saved */
bool done;

inline READY(cause_) {
    atomic {
        assert(!queued && cause == 0);
        cause = cause_;
        queued = true
    }
}

/* The CAS of a claim of epoch e_, then the goroutine is ours to ready; else nothing. */
inline CLAIM_AND_READY(t_, e_, cause_) {
    if
    :: atomic { CAN_LOCK(t_) && mem[CLAIM] == (e_) * 2 -> mem[CLAIM] = (e_) * 2 + 1 };
        READY(cause_)
    :: atomic { CAN_LOCK(t_) && mem[CLAIM] != (e_) * 2 -> skip }
    fi
}

inline OPEN_TO_CANCELS(t_, e_) {
#ifdef OPEN_BACK
    atomic { CAN_LOCK(t_) -> mem[OPEN] = e_ };
#else
    atomic {
        CAN_LOCK(t_);
        if
        :: mem[OPEN] < e_ -> mem[OPEN] = e_
        :: mem[OPEN] >= e_ -> skip
        fi
    };
#endif
#ifndef NO_LOOK
    if
    :: LOAD(t_, TOLD) == 1 -> CLAIM_AND_READY(t_, e_, ENDED)
    :: LOAD(t_, TOLD) == 0 -> skip
    fi
#endif
}

/* One of the threads that run goroutines. */
proctype Thread(byte t) {
    byte e;
end:
    do
    :: atomic { queued -> queued = false; assert(!running); running = true };
        assert(LOAD(t, REGS) == switches);
        if
        :: switches == 0 -> skip
        :: switches > 0 ->
            assert(cause != 0 && LOAD(t, CLAIM) == (round + 1) * 2 + 1);
            assert(cause != ENDED || LOAD(t, TOLD) == 1);
            ACQUIRE(t, LOCK);
            linked = 0;
            RELEASE(t, LOCK);
            atomic { cause = 0; round++ }
        fi;
        do
        :: round == ROUNDS || LOAD(t, TOLD) == 1 -> done = true; goto end_done
        :: round < ROUNDS && LOAD(t, TOLD) == 0 ->
            ACQUIRE(t, LOCK);
            if
            :: atomic { ready -> ready = false; round++ };
                RELEASE(t, LOCK)
            :: !ready -> break
            fi
        od;
        e = round + 1;
        STORE(t, CLAIM, e * 2);
        linked = e;
#ifdef OPEN_EARLY
        OPEN_TO_CANCELS(t, e);
#endif
        STORE(t, REGS, switches + 1); /* the switch */
        atomic { switches++; running = false };
        RELEASE(t, LOCK);
#ifndef OPEN_EARLY
        OPEN_TO_CANCELS(t, e);
#endif
        e = 0
    od;
end_done:
    false
}

/* Some events, perhaps none: then only the cancel ends the waiting. */
proctype Waker() {
    byte n, e;
    do
    :: break
    :: n < ROUNDS ->
        n++;
        ACQUIRE(2, LOCK);
        atomic { e = linked; linked = 0; ready = (e == 0) || ready };
        RELEASE(2, LOCK);
        if
        :: e == 0 -> skip
        :: e != 0 -> CLAIM_AND_READY(2, e, NORMAL)
        fi;
        e = 0
    od
}

proctype Cancel() {
    byte e;
#ifdef WEAK_TOLD
    STORE(3, TOLD, 1);
#else
    atomic { CAN_LOCK(3) -> mem[TOLD] = 1 };
#endif
    e = LOAD(3, OPEN);
    if
    :: e == 0 -> skip
#if defined NO_CLAIM
    :: e != 0 -> READY(ENDED)
#elif defined NO_EPOCH
    :: e != 0 ->
        if
        :: atomic { CAN_LOCK(3) && mem[CLAIM] % 2 == 0 -> mem[CLAIM] = mem[CLAIM] + 1 };
            READY(ENDED)
        :: CAN_LOCK(3) && mem[CLAIM] % 2 == 1 -> skip
        fi
#else
    :: e != 0 -> CLAIM_AND_READY(3, e, ENDED)
#endif
    fi
}

init {
    atomic {
        queued = true;
        run Thread(0);
        run Thread(1);
        run Waker();
        run Cancel()
    };
end:
    timeout -> assert(done)
}
