/* SPDX-License-Identifier: MIT */
/*
 * deadlock.pml - a total deadlock is reported, and only if it is one.
 *
 *     check    under the scheduler's lock. Everybody asleep: the thread and its processor are idle,
 *              no queue has anything, no source is left: nothing that could make a goroutine run,
 *              as a timer, a listener, a wait for a descriptor. suspicious = everybody asleep.
 *              Then, with no stranger - a thread of the process that is not ours - look again
 *              whether everybody is asleep, and report
 *     idle     a thread without work: under the lock, say so and check. Lock released: if that made
 *              it suspicious, nudge the monitor. Look at the queues once more, sleep
 *     wakes    a thread that takes a processor nudges the monitor
 *     monitor  all idle for some time: asleep = 1; while that stands: if suspicious, wait for a
 *              while at most and check, else wait without limit
 *     nudge    asleep = 0, and the monitor is awake
 *     source   a thread without a processor, ours or a stranger, takes one away: sources--, and if
 *              none is left: suspicious = 1, under the lock, and nudge. Before that it may have
 *              woken a goroutine
 *     stranger may come to wake a goroutine, take a source away, or do nothing, and ends
 *
 * Checked: a report finds nobody who could still do something, and when nothing moves any more
 * there was one.
 *
 * There are no store buffers here. `asleep`, `sources` and, where it is set without a check,
 * `suspicious` are changed by locked instructions; behind the check, and behind asleep = 1, there
 * is a heavy fence. That a goroutine that is queued finds a thread is the matter of wake.pml.
 *
 * Negative controls: NO_SUSPECT (who takes the last source away says nothing), NO_NUDGE (who goes
 * idle does not nudge: the monitor may have gone to sleep between the two steps under the lock),
 * NO_SECOND (the check counts strangers last: one may have woken somebody and ended), NO_COUNT
 * (strangers are not counted), UNLOCKED (suspicious is set without the lock, so a check that is
 * under way takes it back), EARLY (a thread of ours takes its source away before it wakes who
 * waited, so in between there is nobody who could).
 */
bool locked;
byte sources = 2;
byte strangers = 1;
bool queued = true; /* a goroutine, in whatever queue */
bool idle;          /* the processor; under the lock */
bool sleeps;        /* its thread; under the lock */
bool woken;         /* it is told to look */
bool suspicious;
bool asleep;        /* the monitor */
bool reported;

#define ALL_ASLEEP (idle && sleeps && sources == 0 && !queued)

inline LOCK() {
    atomic { !locked -> locked = true }
}

inline CHECK() {
    all = ALL_ASLEEP;
    suspicious = all;
#ifdef NO_COUNT
    alone = true;
#else
    alone = strangers == 0;
#endif
    if
    :: all && alone ->
#ifndef NO_SECOND
        all = ALL_ASLEEP;
#endif
        if
        :: all -> atomic { reported = true; assert(ALL_ASLEEP && strangers == 0) }
#ifndef NO_SECOND
        :: !all -> skip
#endif
        fi
    :: !all || !alone -> skip
    fi
}

inline WAKE() {
    atomic { queued = true; woken = true }
}

proctype Thread() {
    bool all, alone;
    do
    :: atomic { queued -> queued = false } /* runs, and waits again */
    :: atomic { !queued -> skip };
        LOCK();
        idle = true;
        sleeps = true;
        CHECK();
        locked = false;
#ifndef NO_NUDGE
        if
        :: suspicious -> asleep = false
        :: !suspicious -> skip
        fi;
#endif
        if
        :: queued -> skip
        :: !queued ->
end:        atomic { woken -> woken = false }
        fi;
        LOCK();
        atomic { idle = false; sleeps = false };
        locked = false;
        asleep = false
    od
}

proctype Monitor() {
    bool all, alone, look;
    do
    :: idle -> asleep = true;
        do
        :: atomic { idle && asleep -> look = suspicious };
            if
            :: look ->
                if
                :: skip /* for a while */
                :: !asleep -> skip
                fi;
                LOCK();
                CHECK();
                locked = false;
                if
                :: reported -> goto end
                :: !reported -> skip
                fi
            :: !look ->
end_waits:      !asleep
            fi
        :: atomic { !idle || !asleep -> break }
        od;
        asleep = false
end_works:
    :: !idle -> idle
    od;
end: skip
}

inline TAKE_SOURCE() {
    atomic { sources--; last = sources == 0 };
#ifndef NO_SUSPECT
    if
    :: last ->
#ifdef UNLOCKED
        suspicious = true;
#else
        LOCK();
        suspicious = true;
        locked = false;
#endif
        asleep = false
    :: !last -> skip
    fi
#endif
}

/* As the thread of signals. */
proctype Ours() {
    bool last;
#ifdef EARLY
    TAKE_SOURCE();
    WAKE()
#else
    if
    :: WAKE()
    :: skip
    fi;
    TAKE_SOURCE()
#endif
}

proctype Stranger() {
    bool last;
    if
    :: WAKE()
    :: skip
    fi;
    TAKE_SOURCE();
    if
    :: WAKE()
    :: skip
    fi;
    strangers--
}

init {
    atomic {
        run Thread();
        run Monitor();
        run Ours();
        run Stranger()
    };
end:
    timeout -> assert(reported)
}
