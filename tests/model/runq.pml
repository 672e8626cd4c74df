/* SPDX-License-Identifier: MIT */
/*
 * runq.pml - the local queue of a processor: its owner works without atomics, thieves take half.
 *
 *     owner   open: owner_in = 1; light; if thief: { owner_in = 0; wait for thief == 0; again }
 *             … plain loads and stores …
 *             close: owner_in = 0 (release)
 *     thief   CAS thief 0 -> 1; heavy; wait a bounded time for owner_in == 0, else give up;
 *             take half; thief = 0 (release)
 *
 * The owner pushes ITEMS pieces of work into a ring of SLOTS and pops, one section each, in any
 * order, until all is pushed and its queue is empty. Two thieves try STEALS times in all.
 * Checked: no piece runs twice, none is lost.
 *
 * Negative controls: NO_HEAVY, NO_BACKOFF (the owner goes on beside a thief), NO_WAIT (the thief
 * does not wait for the owner).
 */
#define ITEMS 4
#define SLOTS 2
#define STEALS 3

#define NTHREADS 3 /* 0 is the owner */
#define OWNER_IN 0
#define THIEF 1
#define HEAD 2
#define TAIL 3
#define SLOT 4 /* SLOT + i; these three: owner in its section, or thief */
#define NVARS 6

#include "tso.h"

bool ran[ITEMS + 1];
byte steals;
bool owner_done;

inline RUN(x_) {
    atomic { assert(x_ > 0 && !ran[x_]); ran[x_] = true; x_ = 0 }
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

proctype Owner() {
    byte n, h, x;
    do
    :: OPEN();
        h = LOAD(0, TAIL);
        if
        :: n < ITEMS && h - LOAD(0, HEAD) < SLOTS ->
            n++;
            STORE(0, SLOT + h % SLOTS, n);
            STORE(0, TAIL, h + 1);
            h = 0;
            CLOSE()
        :: h != LOAD(0, HEAD) ->
            h = LOAD(0, HEAD);
            x = LOAD(0, SLOT + h % SLOTS);
            STORE(0, HEAD, h + 1);
            h = 0;
            CLOSE();
            RUN(x)
        :: n == ITEMS && h == LOAD(0, HEAD) ->
            h = 0;
            CLOSE();
            break
        fi
    od;
    owner_done = true
}

proctype Thief(byte t) {
    byte i, h, k, x;
again:
end:
    atomic { steals < STEALS -> steals++ };
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
    k = (k + 1) / 2;
    do
    :: k > 0 ->
        x = LOAD(t, SLOT + h % SLOTS);
        RUN(x);
        h++;
        k--
    :: k == 0 -> break
    od;
    STORE(t, HEAD, h);
    h = 0;
give_up:
    STORE(t, THIEF, 0);
    goto again
}

init {
    atomic { run Owner(); run Thief(1); run Thief(2) };
end:
    timeout -> assert(owner_done && ran[1] && ran[2] && ran[3] && ran[4])
}
