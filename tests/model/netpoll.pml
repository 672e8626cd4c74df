/* SPDX-License-Identifier: MIT */
/*
 * netpoll.pml - a goroutine waits for a descriptor: events, a deadline, a close, all by
 * compare-and-swap on one word.
 *
 *     who       EMPTY, READY (an event came that nobody consumed), GOROUTINE, WISH (a goroutine
 *               to start)
 *     wait      READY -> EMPTY: go on. Else the deadline is looked at, and the switch; after the
 *               switch `publish`: arm the timer; EMPTY -> GOROUTINE, or READY -> EMPTY and ready
 *               oneself; then look again: closing, another deadline, or the timer has fired
 *               already: GOROUTINE -> EMPTY, and readied as late
 *     wish      EMPTY -> WISH, or READY: start at once; then look again: closing
 *     event     EMPTY -> READY, GOROUTINE -> EMPTY and ready it, WISH -> READY and start it
 *     timer     GOROUTINE -> EMPTY and ready as late; else nothing
 *     deadline  exchange; then, if GOROUTINE: as the timer does. The goroutine looks at the clock
 *     close     closing = 1; who = EMPTY; ready or start who was there
 *     reader    READY: consume (READY -> EMPTY), read; else, or if nothing was there: wait
 *
 * Two threads run the goroutine: while one is still in `publish`, it may run on the other. Data
 * comes EVENTS times, the deadline is set SETS times, and the descriptor may be closed. A call of
 * the timer's function that is under way may come at any later time, in another wait, too.
 *
 * Checked: who waits is readied once per wait, and not while it runs. When nothing moves any
 * more, the reader is through, or waits without data, close or a deadline that has passed; and
 * the count of waiters is right.
 *
 * There are no store buffers here: a store to a word that another thread looks at without taking
 * a lock is a locked instruction, or is followed by one before it matters: a timer's entry is
 * dropped, by a plain store, before the compare-and-swap that finds nobody to wake.
 *
 * Negative controls: KEEP_DEADLINE (the deadline is not looked at again after publishing),
 * KEEP_TIMER (the timer is not: it may have fired before there was anybody to wake), KEEP_CLOSING
 * (closing is not), CLEAR_READY (an event that finds READY clears it), CLEAR_WISH (an event leaves
 * EMPTY behind a wish), STORE_WHO (close stores EMPTY without looking at what it stores over).
 */
#define EVENTS 2
#define SETS 2
#define END_OF_TIME 1

#define EMPTY 0
#define READY 1
#define GOROUTINE 2
#define WISH 3

byte who = READY;
byte deadline, now; /* 0: no deadline; END_OF_TIME + 1: never reached */
bool closing;
byte waiters;

bool running, queued; /* the goroutine */
bool fresh = true;    /* it is new: a wish that was started */
bool late;            /* why it was readied */
byte its_deadline;    /* the one its timer was armed for, or 0 */
bool done;

bool armed, entry; /* the timer is pending; an entry refers to it */
byte armed_for;

bool data, edge; /* in the socket; an event nobody has fetched */

inline WAKE(is_late_) {
    assert(!queued && !running);
    waiters--;
    late = is_late_;
    queued = true
}

inline WAKE_LATE() {
    if
    :: atomic { who == GOROUTINE -> who = EMPTY; WAKE(true) }
    :: atomic { who != GOROUTINE -> skip }
    fi
}

inline ARM() {
    atomic {
        if
        :: seen != 0 -> armed = true; entry = true; armed_for = seen
        :: seen == 0 -> skip
        fi
    }
}

/* After the switch, on the thread that the goroutine left. */
inline PUBLISH() {
    atomic { seen = deadline; its_deadline = seen };
    ARM();
    waiters++;
    if
    :: atomic { who == EMPTY -> who = GOROUTINE };
        if
#ifndef KEEP_DEADLINE
        :: deadline != seen -> goto look_again
#endif
#ifndef KEEP_TIMER
        :: seen != 0 && !entry -> goto look_again
#endif
#ifndef KEEP_CLOSING
        :: closing -> goto look_again
#endif
        :: else -> skip
        fi
    :: atomic { who == READY -> who = EMPTY; WAKE(false) }
    fi;
    goto published;
look_again:
    WAKE_LATE();
published:
    seen = 0
}

proctype Thread() {
    byte seen;
end:
    do
    :: atomic { queued -> queued = false; assert(!running); running = true };
        if
        :: atomic { fresh -> fresh = false }; goto read
        :: atomic { !fresh && its_deadline != 0 -> armed = false; armed_for = 0 }
        :: !fresh && its_deadline == 0 -> skip
        fi;
        if
        :: atomic { late -> late = false }; goto wait
        :: !late && closing -> goto finish
        :: !late && !closing -> goto receive
        fi;

read:
        if
        :: atomic { who == READY -> who = EMPTY }; goto receive /* consume */
        :: atomic { who != READY -> skip }
        fi;

wait:
        if
        :: closing -> goto finish
        :: !closing -> skip
        fi;
        if
        :: atomic { who == READY -> who = EMPTY }; goto receive
        :: atomic { who != READY -> skip }
        fi;
        if
        :: deadline != 0 && now >= deadline -> goto finish
        :: deadline == 0 || now < deadline -> skip
        fi;
        running = false; /* the switch */
        PUBLISH();
        goto next;

receive:
        if
        :: atomic { data -> data = false }
        :: atomic { !data -> skip }; goto wait
        fi;
        if
        :: goto read
        :: skip
        fi;

        /* Or the goroutine ends, and another is to begin with the next data. */
        waiters++;
        if
        :: atomic { who == EMPTY -> who = WISH; fresh = true; running = false };
            if
            :: atomic { closing && who == WISH -> who = EMPTY; WAKE(false) }
            :: atomic { closing && who != WISH -> skip }
            :: !closing -> skip
            fi
        :: atomic { who == READY -> fresh = true; running = false; WAKE(false) }
        fi;
        goto next;

finish:
        atomic { done = true; running = false };
next:   skip
    od
}

proctype Kernel() {
    byte n;
    do
    :: atomic { n < EVENTS -> n++; data = true; edge = true }
    :: n == EVENTS -> break
    od
}

proctype Poller() {
end:
    do
    :: atomic { edge -> edge = false };
        if
#ifdef CLEAR_READY
        :: atomic { who == READY -> who = EMPTY }
#else
        :: atomic { who == READY -> skip }
#endif
        :: atomic { who == EMPTY -> who = READY }
        :: atomic { who == GOROUTINE -> who = EMPTY; WAKE(false) }
#ifdef CLEAR_WISH
        :: atomic { who == WISH -> who = EMPTY; WAKE(false) }
#else
        :: atomic { who == WISH -> who = READY; WAKE(false) }
#endif
        fi
    od
}

proctype Clock() {
    do
    :: now < END_OF_TIME -> now++
    :: now == END_OF_TIME -> break
    od
}

/* A thread that runs due timers; one that is stopped loses its entry some time. */
proctype Timers() {
end:
    do
    :: atomic { armed && now >= armed_for -> armed = false; armed_for = 0; entry = false };
        WAKE_LATE()
    :: atomic { entry && !armed -> entry = false }
    od
}

proctype Other() {
    byte n, when;
    bool same;
    do
    :: n < SETS ->
        n++;
        select(when : 0 .. END_OF_TIME + 1);
        atomic { same = deadline == when; deadline = when; when = 0 };
        if
        :: atomic { !same && who == GOROUTINE -> skip };
            WAKE_LATE()
        :: atomic { same || who != GOROUTINE -> same = false }
        fi
    :: n == SETS -> break
    od;
    if
    :: skip
    :: closing = true;
#ifdef STORE_WHO
        same = who > READY;
        atomic { who = EMPTY;
            if
            :: same -> WAKE(false)
            :: !same -> skip
            fi }
#else
        atomic {
            if
            :: who > READY -> who = EMPTY; WAKE(false)
            :: who <= READY -> who = EMPTY
            fi }
#endif
    fi
}

init {
    atomic {
        queued = true;
        run Thread();
        run Thread();
        run Kernel();
        run Poller();
        run Clock();
        run Timers();
        run Timers();
        run Other()
    };
end:
    timeout -> assert(!running && !queued);
    assert(waiters == (done -> 0 : 1));
    assert(done || (who == GOROUTINE && !fresh) || (who == WISH && fresh));
    assert(done || (!data && !closing));
    assert(done || fresh || deadline == 0 || now < deadline)
}
