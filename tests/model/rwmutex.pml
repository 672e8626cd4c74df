/* SPDX-License-Identifier: MIT */
/*
 * rwmutex.pml - the readers' and writers' mutex, once it is shared: a counting word, a mutex for
 * the writers, and a small lock over who waits.
 *
 *     rlock     word += 1; WRITER was set: under the lock take a grant, or wait for one
 *     runlock   word -= 1; WRITER was set: under the lock leaving -= 1; 0: wake the writer
 *     lock      take the mutex; word |= WRITER; r readers were counted: under the lock
 *               leaving += r; not 0: wait
 *     unlock    word &= ~WRITER; r readers were counted: under the lock wake r of those that wait,
 *               a grant for each that is not there yet; give the mutex back
 *
 * The word is changed by read-modify-write only, so there are no store buffers here; the biased
 * way to it is in bias.pml. A section under the lock is one step.
 *
 * Two readers lock twice, two writers once each. Checked: a writer is alone inside; when nothing
 * moves any more nobody waits and no grant is left over.
 *
 * Negative controls: NO_GRANT (a reader that is not there yet is forgotten), NO_DEBT (leaving never
 * goes below zero), KEEP_COUNT (unlock lets in one less), BARGE (a reader does not look at WRITER),
 * EARLY (the mutex is given back before WRITER is cleared).
 */
#define READERS 2
#define WRITERS 2
#define ROUNDS 2

byte count;       /* the word: readers, */
bool writer_bit;  /* and WRITER */
bool mutex;       /* of the writers */
short leaving;
byte grants, waiting; /* grants; readers that wait in the list */
byte woken;           /* of those, who may go on */
bool writer_waits, writer_woken;

byte readers_in, writers_in, finished;

proctype Reader() {
    byte n;
    bool saw;

again:
    atomic { count++; saw = writer_bit };
    if
#ifdef BARGE
    :: saw = false
#endif
    :: !saw -> skip
    :: saw ->
        if
        :: atomic { grants > 0 -> grants-- }
        :: atomic { grants == 0 -> waiting++ };
            atomic { woken > 0 -> woken-- }
        fi
    fi;
    atomic { readers_in++; assert(writers_in == 0) };
    readers_in--;
    atomic { count--; saw = writer_bit };
    if
    :: !saw -> skip
    :: saw ->
        atomic {
#ifdef NO_DEBT
            leaving = (leaving > 0 -> leaving - 1 : 0);
#else
            leaving--;
#endif
            if
            :: leaving == 0 && writer_waits -> writer_waits = false; writer_woken = true
            :: leaving != 0 || !writer_waits -> skip
            fi }
    fi;
    n++;
    if
    :: n < ROUNDS -> goto again
    :: n == ROUNDS -> finished++
    fi
}

proctype Writer() {
    byte r;

    atomic { !mutex -> mutex = true };
    atomic { writer_bit = true; r = count };
    if
    :: r == 0 -> skip
    :: r > 0 ->
        atomic { leaving = leaving + r; r = (leaving != 0 -> 1 : 0); writer_waits = (r == 1) };
        if
        :: r == 0 -> skip
        :: r == 1 -> atomic { writer_woken -> writer_woken = false }
        fi
    fi;
    atomic { writers_in++; assert(writers_in == 1 && readers_in == 0) };
    writers_in--;
#ifdef EARLY
    mutex = false;
#endif
    atomic { writer_bit = false; r = count };
#ifdef KEEP_COUNT
    r = (r > 0 -> r - 1 : 0);
#endif
    if
    :: r == 0 -> skip
    :: r > 0 ->
        atomic {
            if
            :: r <= waiting -> waiting = waiting - r; woken = woken + r
            :: r > waiting ->
#ifndef NO_GRANT
                grants = grants + r - waiting;
#endif
                woken = woken + waiting;
                waiting = 0
            fi }
    fi;
#ifndef EARLY
    mutex = false;
#endif
    finished++
}

init {
    atomic {
        run Reader();
        run Reader();
        run Writer();
        run Writer()
    };
end:
    timeout -> assert(finished == READERS + WRITERS && count == 0 && leaving == 0 && grants == 0)
}
