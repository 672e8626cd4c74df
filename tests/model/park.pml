/* SPDX-License-Identifier: MIT */
/*
 * park.pml - a goroutine waits for either of two objects, with or without a deadline, ROUNDS
 * times over.
 *
 *     park    take both locks; if neither object is ready: claim = next epoch, OPEN; link a
 *             waiter into each, switch away STILL HOLDING the locks; the code that runs next on
 *             the thread arms the timer with (goroutine, epoch), then releases the locks
 *     waker   take the lock; if a waiter is linked: CAS claim OPEN -> CLAIMED, take it out in any
 *             case, release; won: ready the goroutine; else leave the object ready
 *     timer   CAS claim (armed epoch, OPEN) -> CLAIMED, or be late and do nothing; ready
 *     woken   each waiter that is still linked: under its lock, unlink it. A timer that is still
 *             armed is not waited for: it may fire at any later time
 *
 * Checked: the goroutine never runs on two threads, is readied once per wait, finds the cause of
 * this wait and the registers saved last; it does not sleep beside a ready object. A waiter lives
 * on its stack, so a waker finds none of an earlier wait.
 *
 * What a lock guards is modelled without buffers: taking a lock is a locked instruction, and
 * stores leave the buffer in order, so the next owner sees all.
 *
 * Negative controls: UNLOCK_EARLY (locks released before the switch), NO_EPOCH (the timer does
 * not compare epochs), NO_CLAIM (wakers do not claim), ARM_EARLY (the timer is armed before the
 * switch), NO_UNLINK (a woken goroutine leaves its waiters behind).
 */
#ifndef ROUNDS
#define ROUNDS 3
#endif

#define NTHREADS 5 /* 0 and 1 run the goroutine, 2 and 3 wake, 4 has the timers */
#define LOCK 0     /* LOCK + o */
#define CLAIM 2    /* epoch * 2 + (1: claimed); the first wait has epoch 1 */
#define REGS 3     /* the saved registers: the number of the switch that saved them */
#define NVARS 4

#define TIMER 2 /* a cause, beside the objects 0 and 1 */
#define NO_CAUSE 3

#include "tso.h"

byte linked[2]; /* of each object: the waiter, by its epoch */
bool ready[2];  /* an event nobody waited for */
bool armed[ROUNDS];       /* timers, by epoch */
bool queued, running;
byte cause = NO_CAUSE;
byte cause_epoch;
byte round;    /* the wait the goroutine is in */
byte switches; /* how often its registers were saved */
bool done;

inline READY(cause_) {
    atomic {
        assert(!queued && cause == NO_CAUSE);
        cause = cause_;
        queued = true
    }
}

inline UNLINK(t_, o_) {
    if
    :: linked[o_] != 0 ->
        ACQUIRE(t_, LOCK + o_);
        linked[o_] = 0;
        RELEASE(t_, LOCK + o_)
    :: linked[o_] == 0 -> skip
    fi
}

/* Under the lock of the timers, for the wait numbered e. */
inline ARM(t_) {
    if
    :: atomic { CAN_LOCK(t_) -> armed[e] = true }
    :: skip
    fi
}

/* One of the threads that run goroutines. */
proctype Thread(byte t) {
    byte e;
end:
    do
    :: atomic { queued -> queued = false; assert(!running); running = true };
        assert(LOAD(t, REGS) == switches);
        e = LOAD(t, CLAIM);
        if
        :: switches == 0 -> skip
        :: switches > 0 ->
            assert(e == (round + 1) * 2 + 1);
            assert(cause < TIMER || (cause == TIMER && cause_epoch == round));
#ifndef NO_UNLINK
            UNLINK(t, 0);
            UNLINK(t, 1);
#endif
            atomic { cause = NO_CAUSE; cause_epoch = 0; round++ }
        fi;
        e = 0;
        do
        :: round == ROUNDS -> done = true; goto end_done
        :: round < ROUNDS ->
            ACQUIRE(t, LOCK);
            ACQUIRE(t, LOCK + 1);
            if
            :: atomic { ready[0] || ready[1] ->
                    if
                    :: ready[0] -> ready[0] = false
                    :: ready[1] -> ready[1] = false
                    fi };
                round++;
                RELEASE(t, LOCK);
                RELEASE(t, LOCK + 1)
            :: !ready[0] && !ready[1] -> break
            fi
        od;
        e = round;
        STORE(t, CLAIM, (e + 1) * 2);
        atomic { linked[0] = e + 1; linked[1] = e + 1 };
#ifdef ARM_EARLY
        ARM(t);
#endif
#ifdef UNLOCK_EARLY
        RELEASE(t, LOCK);
        RELEASE(t, LOCK + 1);
#endif
        STORE(t, REGS, switches + 1); /* the switch */
        atomic { switches++; running = false };
#ifndef ARM_EARLY
        ARM(t);
#endif
#ifndef UNLOCK_EARLY
        RELEASE(t, LOCK);
        RELEASE(t, LOCK + 1);
#endif
        e = 0
    od;
end_done:
    false
}

proctype Waker(byte t, o) {
    byte n;
    do
    :: n == ROUNDS -> break
    :: n < ROUNDS ->
        n++;
        ACQUIRE(t, LOCK + o);
        if
        :: linked[o] == 0 -> goto keep
        :: linked[o] != 0 -> assert(linked[o] == round + 1)
        fi;
#ifndef NO_CLAIM
        if
        :: atomic { CAN_LOCK(t) && mem[CLAIM] == linked[o] * 2 ->
                mem[CLAIM] = linked[o] * 2 + 1 }
        :: atomic { CAN_LOCK(t) && mem[CLAIM] != linked[o] * 2 -> linked[o] = 0 };
            goto keep
        fi;
#else
        atomic { CAN_LOCK(t) -> mem[CLAIM] = linked[o] * 2 + 1 };
#endif
        linked[o] = 0;
        RELEASE(t, LOCK + o);
        READY(o);
        goto next;
keep:
        ready[o] = true;
        RELEASE(t, LOCK + o);
next:   skip
    od
}

proctype Timers() {
    byte e;
end:
    do
    :: atomic { armed[0] -> armed[0] = false; e = 0 }; goto fire
#if ROUNDS > 1
    :: atomic { armed[1] -> armed[1] = false; e = 1 }; goto fire
#endif
#if ROUNDS > 2
    :: atomic { armed[2] -> armed[2] = false; e = 2 }; goto fire
#endif
    od;
fire:
    if
#ifndef NO_EPOCH
    :: atomic { CAN_LOCK(4) && mem[CLAIM] == (e + 1) * 2 -> mem[CLAIM] = (e + 1) * 2 + 1 }
    :: CAN_LOCK(4) && mem[CLAIM] != (e + 1) * 2 -> goto end
#else
    :: atomic { CAN_LOCK(4) && mem[CLAIM] % 2 == 0 -> mem[CLAIM] = mem[CLAIM] + 1 }
    :: CAN_LOCK(4) && mem[CLAIM] % 2 == 1 -> goto end
#endif
    fi;
    cause_epoch = e;
    READY(TIMER);
    goto end
}

init {
    atomic {
        queued = true;
        run Thread(0);
        run Thread(1);
        run Waker(2, 0);
        run Waker(3, 1);
        run Timers()
    };
end:
    timeout -> assert(done || (!running && !queued && !ready[0] && !ready[1]))
}
