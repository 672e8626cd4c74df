/* SPDX-License-Identifier: MIT */
/*
 * wake.pml - no work is left lying while a processor is idle.
 *
 * Threads 0 and 1 run goroutines that submit one piece of work each and then either keep their
 * processor forever or give it up; threads 2 and 3 have nothing to do from the start. Work, once
 * taken, too may keep its processor forever. So whenever nothing moves any more, an idle
 * processor beside a piece of work means that a wake-up was lost.
 *
 *     submitter   work = 1; light; if idle > 0 and searching == 0: WAKE
 *     WAKE        CAS searching 0 -> 1; take an idle processor and thread, the thread searches.
 *                 None left: searching--; then begin again: while we were counted as searching,
 *                 others relied on us.
 *     searcher    found work: searching--; WAKE unconditionally; run it
 *     idler       searching-- if it searched; processor to the idle list; heavy; look again:
 *                 if there is work, take a processor back and search, counted as searching
 *
 * The scheduler's lock is one atomic step: its stores are followed by a release or by HEAVY.
 *
 * Negative controls: NO_HEAVY, NO_CHAIN (a searcher that found work wakes nobody), CHAIN_ON_SIGHT
 * (… only if it sees more: the other submission may still be in a store buffer), NO_RETRY (a waker
 * that found no idle processor does not begin again), NO_RECHECK (the idler does not look again),
 * TAKE_BACK_QUIETLY (it takes a processor back without being counted, and then wakes nobody when
 * it finds work).
 */
#define NTHREADS 4
#define NITEMS 2
#define WORK 0 /* WORK + i: 0 not there yet, 1 submitted, 2 taken */
#define IDLE 2
#define SEARCHING 3
#define NVARS 4

#include "tso.h"

bool asleep[NTHREADS]; /* on the list of idle threads */
bool handed[NTHREADS]; /* got a processor, as a searcher */

/* A step under the scheduler's lock: an idle processor goes to an idle thread, which searches. */
inline HAND_OVER(t) {
    mem[IDLE] = mem[IDLE] - 1;
    if
    :: asleep[0] -> asleep[0] = false; handed[0] = true
    :: asleep[1] -> asleep[1] = false; handed[1] = true
    :: asleep[2] -> asleep[2] = false; handed[2] = true
    :: asleep[3] -> asleep[3] = false; handed[3] = true
    fi
}

inline WAKE(t) {
    do
    :: LOAD(t, IDLE) == 0 -> break
    :: LOAD(t, IDLE) > 0 ->
        if
        :: LOAD(t, SEARCHING) > 0 -> break
        :: LOAD(t, SEARCHING) == 0 ->
            if
            :: atomic { CAN_LOCK(t) && mem[SEARCHING] > 0 -> break }
            :: atomic { CAN_LOCK(t) && mem[SEARCHING] == 0 -> mem[SEARCHING] = 1 }
            fi;
            if
            :: atomic { mem[IDLE] > 0 -> HAND_OVER(t); break }
            :: atomic { mem[IDLE] == 0 -> skip };
                atomic { CAN_LOCK(t) -> mem[SEARCHING] = mem[SEARCHING] - 1 };
#ifdef NO_RETRY
                break
#endif
            fi
        fi
    od
}

proctype Thread(byte t; bool submits) {
    bool searching = false;
    bool seen = false;
    byte i = 0;

    if
    :: submits ->
        STORE(t, WORK + t, 1);
        LIGHT(t);
        WAKE(t);
        goto busy
    :: !submits -> skip
    fi;

find: /* has a processor, looks at all queues */
    i = 0;
    do
    :: i == NITEMS -> i = 0; goto idle
    :: i < NITEMS && LOAD(t, WORK + i) != 1 -> i++
    :: i < NITEMS && LOAD(t, WORK + i) == 1 ->
        if
        :: atomic { CAN_LOCK(t) && mem[WORK + i] == 1 -> mem[WORK + i] = 2; i = 0; break }
        :: atomic { CAN_LOCK(t) && mem[WORK + i] != 1 -> i++ }
        fi
    od;
    if
    :: searching ->
        atomic { CAN_LOCK(t) -> mem[SEARCHING] = mem[SEARCHING] - 1; searching = false };
#if defined CHAIN_ON_SIGHT
        if
        :: LOAD(t, WORK) == 1 || LOAD(t, WORK + 1) == 1 -> WAKE(t)
        :: else -> skip
        fi
#elif !defined NO_CHAIN
        WAKE(t)
#endif
    :: !searching -> skip
    fi;

busy:
    if
    :: goto end_hog
    :: goto find
    fi;

idle:
    if
    :: !searching -> /* may search itself before it gives up */
        if
        :: atomic {
            CAN_LOCK(t) && mem[SEARCHING] == 0 -> mem[SEARCHING] = 1; searching = true
        }; goto find
        :: skip
        fi
    :: searching ->
        atomic { CAN_LOCK(t) -> mem[SEARCHING] = mem[SEARCHING] - 1; searching = false }
    fi;
    atomic { CAN_LOCK(t) -> mem[IDLE] = mem[IDLE] + 1; asleep[t] = true };
    HEAVY(t, i);
#ifndef NO_RECHECK
    do
    :: i == NITEMS -> break
    :: i < NITEMS && LOAD(t, WORK + i) == 1 -> seen = true; break
    :: i < NITEMS && LOAD(t, WORK + i) != 1 -> i++
    od;
    i = 0;
    if
    :: seen ->
        seen = false;
        if
        :: atomic {
            CAN_LOCK(t) && asleep[t] && mem[IDLE] > 0 ->
                asleep[t] = false;
                mem[IDLE] = mem[IDLE] - 1;
#ifndef TAKE_BACK_QUIETLY
                mem[SEARCHING] = mem[SEARCHING] + 1;
                searching = true
#else
                skip
#endif
        }; goto find
        :: CAN_LOCK(t) && !(asleep[t] && mem[IDLE] > 0) -> skip
        fi
    :: !seen -> skip
    fi;
#endif
end_asleep:
    atomic { handed[t] -> handed[t] = false; searching = true; goto find };
end_hog:
    false
}

init {
    atomic {
        run Thread(0, true);
        run Thread(1, true);
        run Thread(2, false);
        run Thread(3, false)
    };
end:
    timeout -> assert(mem[IDLE] == 0 || (mem[WORK] != 1 && mem[WORK + 1] != 1))
}
