/* SPDX-License-Identifier: MIT */
/*
 * runq.pml - the local queue of a processor: its owner works without atomics, thieves take half.
 *
 *     owner   open: owner_in = 1; light; if thief: { owner_in = 0; wait for thief == 0; again }
 *             … plain loads and stores …
 *             close: owner_in = 0 (release)
 *     thief   CAS thief 0 -> 1; heavy; wait a bounded time for owner_in == 0, else give up;
 *             take half, or if there is nothing `next`; thief = 0 (release)
 *     push    ring full: the older half goes to the global queue, under that one's lock; what is
 *             pushed stays here
 *     pop     `next`, else the youngest or the oldest of the ring
 *     yield   open; pop one; push oneself; switch, which saves the registers; the code that runs
 *             next closes
 *
 * The owner starts ITEMS goroutines, each into `next` if that is free, else into a ring of SLOTS,
 * and runs them one at a time; who runs yields or ends, YIELDS yields in all. Two thieves steal
 * STEALS times each and run what they got to its end; one also takes from the global queue.
 * Checked: no goroutine runs twice at the same time or after its end, each is resumed with its
 * registers saved, none is lost.
 *
 * Negative controls: NO_HEAVY, NO_BACKOFF (the owner goes on beside a thief), NO_WAIT (the thief
 * does not wait for the owner), YIELD_TO_GLOBAL (a goroutine that yields into a full ring goes to
 * the global queue, too, before its registers are saved), CLOSE_EARLY (yield closes before the
 * switch).
 */
#define ITEMS 4
#define SLOTS 2
#define YIELDS 1
#define STEALS 1

#define NTHREADS 3 /* 0 is the owner */
#define OWNER_IN 0
#define THIEF 1
#define HEAD 2
#define TAIL 3
#define NEXT 4
#define SLOT 5 /* SLOT + i; these four: owner in its section, or thief */
#define GLOBAL_LOCK 7
#define REGS 7 /* REGS + g, g > 0: 1 if saved, or g is new; by who runs it */
#define NVARS 12

#include "tso.h"

bool running[ITEMS + 1], ended[ITEMS + 1];
bool owner_done;

byte queued[ITEMS]; /* under its lock */
byte queued_n;

inline RESUME(t_, x_) {
    atomic {
        assert(x_ > 0 && !running[x_] && !ended[x_]);
        assert(LOAD(t_, REGS + x_) == 1);
        running[x_] = true
    }
}

inline END(x_) {
    atomic { running[x_] = false; ended[x_] = true; x_ = 0 }
}

inline OPEN() {
    do
    :: STORE(0, OWNER_IN, 1);
        LIGHT(0);
        if
#ifndef NO_BACKOFF
        :: LOAD(0, THIEF) == 1 ->
            STORE(0, OWNER_IN, 0);
            LOAD(0, THIEF) == 0
        :: LOAD(0, THIEF) == 0 -> break
#else
        :: break
#endif
        fi
    od
}

inline CLOSE() {
    STORE(0, OWNER_IN, 0)
}

inline PUT_GLOBAL(x_) {
    ACQUIRE(0, GLOBAL_LOCK);
    atomic { queued[queued_n] = x_; queued_n++ };
    RELEASE(0, GLOBAL_LOCK)
}

proctype Owner() {
    byte n, h, x, oldest, runs, yields;
    bool yielding;

loop:
    if
    :: runs == 0 || n < ITEMS || (runs > 0 && yields < YIELDS) -> OPEN()
    :: runs > 0 -> END(runs); goto loop
    fi;
    if
    :: atomic { n < ITEMS -> n++; x = n };
        if
        :: LOAD(0, NEXT) == 0 -> STORE(0, NEXT, x); x = 0; CLOSE(); goto loop
        :: LOAD(0, NEXT) != 0 -> goto push
        fi
    :: runs == 0 -> skip
    :: atomic { runs > 0 && yields < YIELDS -> yields++; x = runs; yielding = true };
        if
        :: skip
        :: runs = 0; goto push
        fi
    fi;

    /* pop */
    if
    :: LOAD(0, NEXT) != 0 ->
        runs = LOAD(0, NEXT);
        STORE(0, NEXT, 0)
    :: LOAD(0, NEXT) == 0 && LOAD(0, HEAD) != LOAD(0, TAIL) ->
        if
        :: h = LOAD(0, HEAD);
            runs = LOAD(0, SLOT + h % SLOTS);
            STORE(0, HEAD, h + 1)
        :: h = LOAD(0, TAIL) - 1;
            runs = LOAD(0, SLOT + h % SLOTS);
            STORE(0, TAIL, h)
        fi;
        h = 0
    :: LOAD(0, NEXT) == 0 && LOAD(0, HEAD) == LOAD(0, TAIL) -> runs = 0
    fi;
    if
    :: yielding -> goto push
    :: !yielding -> CLOSE()
    fi;
    if
    :: runs == 0 && n == ITEMS -> goto done
    :: runs == 0 && n < ITEMS -> goto loop
    :: runs != 0 -> skip
    fi;
resume:
    RESUME(0, runs);
    STORE(0, REGS + runs, 0);
    goto loop;

push:
    h = LOAD(0, HEAD);
    if
    :: LOAD(0, TAIL) - h == SLOTS ->
        oldest = LOAD(0, SLOT + h % SLOTS);
        PUT_GLOBAL(oldest);
        oldest = 0;
        STORE(0, HEAD, h + 1);
#ifdef YIELD_TO_GLOBAL
        PUT_GLOBAL(x);
        goto pushed
#endif
    :: LOAD(0, TAIL) - h < SLOTS -> skip
    fi;
    h = LOAD(0, TAIL);
    STORE(0, SLOT + h % SLOTS, x);
    STORE(0, TAIL, h + 1);
pushed:
    h = 0;
    if
    :: atomic { !yielding -> x = 0 };
        CLOSE();
        goto loop
    :: yielding -> skip
    fi;
#ifdef CLOSE_EARLY
    CLOSE();
#endif
    running[x] = false;
    STORE(0, REGS + x, 1); /* the switch */
    atomic { x = 0; yielding = false };
#ifndef CLOSE_EARLY
    CLOSE();
#endif
    if
    :: runs == 0 -> goto loop
    :: runs != 0 -> goto resume
    fi;
done:
    owner_done = true
}

proctype Thief(byte t) {
    byte i, h, k, x, steals;
again:
end:
    if
    :: atomic { steals < STEALS -> steals++ }
    :: t == 2 && queued_n > 0 -> goto from_global
    fi;
    atomic { CAN_LOCK(t) && mem[THIEF] == 0 -> mem[THIEF] = 1 };
    HEAVY(t, i);
    if
#ifndef NO_WAIT
    :: LOAD(t, OWNER_IN) == 0 -> skip
    :: goto give_up
#else
    :: skip
#endif
    fi;
    h = LOAD(t, HEAD);
    k = LOAD(t, TAIL) - h;
    if
    :: k == 0 && LOAD(t, NEXT) != 0 ->
        x = LOAD(t, NEXT);
        STORE(t, NEXT, 0);
        RESUME(t, x);
        END(x)
    :: k != 0 || LOAD(t, NEXT) == 0 -> k = (k + 1) / 2
    fi;
    do
    :: k > 0 ->
        x = LOAD(t, SLOT + h % SLOTS);
        RESUME(t, x);
        END(x);
        h++;
        k--
    :: k == 0 -> break
    od;
    STORE(t, HEAD, h);
    h = 0;
give_up:
    STORE(t, THIEF, 0);
    goto again;

from_global:
    ACQUIRE(t, GLOBAL_LOCK);
    atomic { queued_n--; x = queued[queued_n]; queued[queued_n] = 0 };
    RELEASE(t, GLOBAL_LOCK);
    RESUME(t, x);
    END(x);
    goto again
}

init {
    atomic {
        mem[REGS + 1] = 1;
        mem[REGS + 2] = 1;
        mem[REGS + 3] = 1;
        mem[REGS + 4] = 1;
        run Owner();
        run Thief(1);
        run Thief(2)
    };
end:
    timeout -> assert(owner_done && ended[1] && ended[2] && ended[3] && ended[4])
}
