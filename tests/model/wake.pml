/* SPDX-License-Identifier: MIT */
/*
 * wake.pml - no work is left lying while a processor is idle.
 *
 * Threads 0 and 1 run goroutines that submit one piece of work each and then either keep their
 * processor forever or give it up; thread 2 has a processor and nothing to do; thread 3 is started
 * when a processor finds no thread. Work, once taken, too may keep its processor forever. So
 * whenever nothing moves any more, an idle processor beside a piece of work means that a wake-up
 * was lost.
 *
 *     submitter   work = 1; light; if idle > 0 and searching == 0: WAKE
 *     WAKE        CAS searching 0 -> 1. Under the scheduler's lock: a processor goes to an idle
 *                 thread, or to a new one, which searches. If the only sleeper sleeps in the
 *                 poller: searching--, break the poll: it takes a processor by itself. No idle
 *                 processor: searching--, and if there is one now, begin again: while we were
 *                 counted as searching, others relied on us
 *     searcher    found work: searching--; if it was the last one and idle > 0: heavy; if there is
 *                 work in any queue: WAKE
 *     idler       becomes the poller if there is none. Under the lock: idle++, the thread on its
 *                 list unless it is the poller; searching--. Heavy; sleep, unless there is work in
 *                 any queue. Then, under the lock, take what one was given, or else an idle
 *                 processor; with one: searching++ unless counted already, and look everywhere.
 *                 Without one sleep until one is given
 *     find        without being counted as searching a thread looks at its own queue only. If
 *                 others search already it may go idle instead of searching, too
 *
 * With TWICE, thread 0 submits both pieces, thread 1 has nothing to do, and thread 2 sleeps in the
 * poller. Who needs a second new thread is out of threads: in the runtime the processor then waits
 * on the idle list until the monitor comes by, so such runs are left out.
 *
 * Negative controls: NO_HEAVY (none for who goes idle and who chains), NO_CHAIN_FENCE (not for who
 * chains: a submission may still be in a store buffer), NO_CHAIN (a searcher that found work wakes
 * nobody), NO_RETRY (a waker that found no idle processor does not begin again), NO_RECHECK (the
 * idler does not look again), TAKE_BACK_QUIETLY (the idler that takes a processor is not counted
 * as searching), NO_BREAK (the poller is not told).
 */
#ifdef TAKE_BACK_QUIETLY
#define TWICE
#endif

#define NTHREADS 4
#define NITEMS 2
#define WORK 0 /* WORK + i: 0 not there yet, 1 submitted, 2 taken; in the queue of thread i */
#define IDLE 2
#define SEARCHING 3
#define POLLING 4
#define NVARS 5

#include "tso.h"

/* The scheduler's lock: every step under it but the first of two is one atomic step. */
bool locked;
bool listed[NTHREADS]; /* idle threads; under the lock */
bool given[NTHREADS];  /* a processor, and to be searching; under the lock */
bool woken[NTHREADS];  /* the futex word */
bool broken;           /* the poll is to end */
bool unborn = true;    /* thread 3 */
bool out_of_threads;

#ifdef NO_CHAIN_FENCE
#define CHAIN_FENCE(t, i) skip
#else
#define CHAIN_FENCE(t, i) HEAVY(t, i)
#endif

inline GIVE(m_) {
    mem[IDLE] = mem[IDLE] - 1;
    given[m_] = true;
    to = m_
}

#ifdef TWICE
#define SLEEPER 1
#else
#define SLEEPER 0
#endif
#define NOBODY_LISTED (!listed[SLEEPER] && !listed[2] && !listed[3])

/* Sets `seen` if there is work in any queue. */
inline LOOK() {
    do
    :: i == NITEMS -> break
    :: i < NITEMS && LOAD(t, WORK + i) == 1 -> seen = true; break
    :: i < NITEMS && LOAD(t, WORK + i) != 1 -> i++
    od;
    i = 0
}

proctype Thread(byte t; bool submits) {
    bool searching, seen, poller;
    byte i, to, more;

    if
    :: t == 3 -> goto asleep
    :: t < 2 && submits -> skip
#ifdef TWICE
    :: t == 2 -> poller = true; goto end_polling
    :: t == 1 -> goto find
#else
    :: t == 2 -> goto find
#endif
    fi;
submit:
    STORE(t, WORK + t + more, 1);
    LIGHT(t);
    if
    :: LOAD(t, IDLE) == 0 -> goto busy
    :: LOAD(t, IDLE) > 0 -> skip
    fi;
    if
    :: LOAD(t, SEARCHING) > 0 -> goto busy
    :: LOAD(t, SEARCHING) == 0 -> goto wake
    fi;

find: /* has a processor */
    if
    :: searching -> goto search
#ifdef TWICE
    :: !searching -> skip
#else
    :: !searching && t == 0 && LOAD(0, WORK) == 1 ->
        if
        :: atomic { CAN_LOCK(0) && mem[WORK] == 1 -> mem[WORK] = 2 }; goto busy
        :: CAN_LOCK(0) && mem[WORK] != 1 -> skip
        fi
    :: !searching && !(t == 0 && LOAD(0, WORK) == 1) -> skip
#endif
    fi;
    if
    :: LOAD(t, SEARCHING) > 0 -> goto idle
    :: atomic { CAN_LOCK(t) -> mem[SEARCHING] = mem[SEARCHING] + 1; searching = true }
    fi;
search:
    do
    :: i == NITEMS -> i = 0; goto idle
    :: i < NITEMS && LOAD(t, WORK + i) != 1 -> i++
    :: i < NITEMS && LOAD(t, WORK + i) == 1 ->
        if
        :: atomic { CAN_LOCK(t) && mem[WORK + i] == 1 -> mem[WORK + i] = 2; i = 0; break }
        :: atomic { CAN_LOCK(t) && mem[WORK + i] != 1 -> i++ }
        fi
    od;
#ifdef TAKE_BACK_QUIETLY
    if
    :: atomic { !searching -> skip }; goto busy
    :: searching -> skip
    fi;
#endif
    atomic { CAN_LOCK(t) -> mem[SEARCHING] = mem[SEARCHING] - 1; searching = false;
        seen = mem[SEARCHING] == 0 };
    if
    :: seen && LOAD(t, IDLE) > 0 -> seen = false
    :: !seen || LOAD(t, IDLE) == 0 -> seen = false; goto busy
    fi;
#ifdef NO_CHAIN
    goto busy;
#endif
    CHAIN_FENCE(t, i);
    LOOK();
    if
    :: seen -> seen = false
    :: !seen -> goto busy
    fi;

wake:
    if
    :: atomic { CAN_LOCK(t) && mem[SEARCHING] > 0 -> skip }; goto busy
    :: atomic { CAN_LOCK(t) && mem[SEARCHING] == 0 -> mem[SEARCHING] = 1 }
    fi;
    if
    :: atomic { !locked && mem[IDLE] == 0 -> skip };
        atomic { CAN_LOCK(t) -> mem[SEARCHING] = mem[SEARCHING] - 1 };
#ifndef NO_RETRY
        if
        :: LOAD(t, IDLE) > 0 -> goto wake
        :: LOAD(t, IDLE) == 0 -> goto busy
        fi
#else
        goto busy
#endif
    :: atomic { !locked && mem[IDLE] > 0 && NOBODY_LISTED && LOAD(t, POLLING) == 1 -> skip };
        atomic { CAN_LOCK(t) -> mem[SEARCHING] = mem[SEARCHING] - 1 };
#ifndef NO_BREAK
        broken = true;
#endif
        goto busy
    :: atomic { !locked && mem[IDLE] > 0 && NOBODY_LISTED && LOAD(t, POLLING) == 0 && unborn ->
            unborn = false;
            GIVE(3) }
    :: atomic { !locked && mem[IDLE] > 0 && NOBODY_LISTED && LOAD(t, POLLING) == 0 && !unborn ->
            out_of_threads = true };
        goto end_hog
    :: atomic { !locked && mem[IDLE] > 0 && listed[SLEEPER] ->
            listed[SLEEPER] = false;
            GIVE(SLEEPER) }
    :: atomic { !locked && mem[IDLE] > 0 && listed[2] -> listed[2] = false; GIVE(2) }
    :: atomic { !locked && mem[IDLE] > 0 && listed[3] -> listed[3] = false; GIVE(3) }
    fi;
    atomic { woken[to] = true; to = 0 };

busy:
    if
#ifdef TWICE
    :: atomic { t == 0 && more == 0 -> more = 1 }; goto submit
    :: t != 0 -> goto find
#else
    :: t != 1 -> goto find
#endif
    :: goto end_hog
    fi;

idle:
    if
    :: atomic { CAN_LOCK(t) && mem[POLLING] == 0 -> mem[POLLING] = 1; poller = true }
    :: CAN_LOCK(t) && mem[POLLING] == 1 -> skip
    fi;
    atomic { CAN_LOCK(t) && !locked -> locked = true; mem[IDLE] = mem[IDLE] + 1;
        listed[t] = !poller };
    atomic { CAN_LOCK(t) -> mem[SEARCHING] = mem[SEARCHING] - searching; searching = false;
        locked = false };
    HEAVY(t, i);
#ifndef NO_RECHECK
    LOOK();
#endif
    if
    :: seen -> seen = false
    :: !seen && poller -> goto end_polling
    :: !seen && !poller -> goto end_sleeping
    fi;
awake:
    if
    :: poller -> atomic { CAN_LOCK(t) -> mem[POLLING] = 0 }
    :: !poller -> skip
    fi;
    if
    :: atomic { CAN_LOCK(t) && !locked && given[t] ->
            given[t] = false; searching = true; poller = false };
        goto search
    :: atomic { CAN_LOCK(t) && !locked && !given[t] && mem[IDLE] > 0 ->
            mem[IDLE] = mem[IDLE] - 1; listed[t] = false; poller = false }
    :: atomic { CAN_LOCK(t) && !locked && !given[t] && mem[IDLE] == 0 ->
            listed[t] = false; poller = false };
        goto without
    fi;
#ifndef TAKE_BACK_QUIETLY
    atomic { CAN_LOCK(t) -> mem[SEARCHING] = mem[SEARCHING] + 1; searching = true };
#endif
    goto search;

without: /* without a processor */
    if
    :: atomic { CAN_LOCK(t) && !locked && mem[IDLE] > 0 -> mem[IDLE] = mem[IDLE] - 1 };
        goto find
    :: atomic { CAN_LOCK(t) && !locked && mem[IDLE] == 0 -> listed[t] = true }
    fi;
asleep:
end_asleep:
    atomic { woken[t] -> woken[t] = false };
    if
    :: atomic { CAN_LOCK(t) && !locked && given[t] -> given[t] = false; searching = true };
        goto search
    :: atomic { CAN_LOCK(t) && !locked && !given[t] -> listed[t] = false };
        goto without
    fi;

end_polling:
    atomic { broken -> broken = false; goto awake };
end_sleeping:
    atomic { woken[t] -> woken[t] = false; goto awake };
end_hog:
    false
}

init {
    atomic {
        run Thread(0, true);
#ifdef TWICE
        mem[IDLE] = 1;
        mem[POLLING] = 1;
        run Thread(1, false);
#else
        run Thread(1, true);
#endif
        run Thread(2, false);
        run Thread(3, false)
    };
end:
    timeout -> assert(out_of_threads || mem[IDLE] == 0 || (mem[WORK] != 1 && mem[WORK + 1] != 1))
}
