/* SPDX-License-Identifier: MIT */
/*
 * children.c - the children that nobody has collected yet, and the reaper.
 *
 * A child that has ended keeps its number until its parent collects the status. So what is in the
 * table is known by its number, and a signal sent under the table's lock means that child.
 * Whoever finds first that it has ended collects it, under the lock, and leaves the status in the
 * record: a goroutine that waits, the reaper, or, for a child that nobody has a reference of any
 * more, the next start.
 *
 * The reaper clears away every child, also those that are none of ours (orphans, of which process
 * 1 is the parent). What it must not do is to collect one of ours before that is in the table:
 * its number is known only when the start returns. So starts and the reaper take turns at a gate:
 *
 *     start:  wait while the reaper wants in; starting++    spawn, enter the table    starting--
 *     reaper: wants = true; wait until starting == 0;       collect all that ended    wants = false
 *
 * New starts wait for a reaper that waits, so it is not kept out for ever. The gate is a futex, not
 * one of the runtime's: a goroutine may be dropped where it stands, in the middle of a start, but
 * its thread goes through to the end. The reaper is a thread of its own, because a start may take
 * its time (a program on a network's disk), and signals must not wait for that. It is woken by
 * SIGCHLD.
 */
#include "io/process.h"
#include "os/file.h"
#include "os/sig.h"
#include <errno.h>
#include <stdlib.h>

enum { BUCKETS = 64, LOOK_MAX = AG__SIZE(64, 2) };

static ag__lock lock;
static ag_process *table[BUCKETS];   /* Guarded by lock; by number. */
static int abandoned;                /* Guarded by lock: how many in the table. */
static int starting;                 /* Guarded by lock. */
static bool reaper_wants;            /* Guarded by lock. */
static bool has_reaper, reaps;       /* Guarded by lock. */
static _Atomic uint32_t gate_word;   /* Futex: grows when the gate opens for somebody. */
static _Atomic uint32_t reaper_word; /* Futex: grows when there is something to clear away. */

/* --- The table. Lock held. --- */

static ag_process **place_of(int pid) {
    ag_process **at = &table[(unsigned)pid % BUCKETS];
    while (*at && (*at)->pid != pid)
        at = &(*at)->next;
    return at;
}

/* A number that is there already means one whose status the program took behind our back. */
static void enter(ag_process *p) {
    ag_process **at = &table[(unsigned)p->pid % BUCKETS];
    p->next = *at;
    *at = p;
}

static void take_out(ag_process *p) {
    ag_process **at = &table[(unsigned)p->pid % BUCKETS];
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
}

/* Returns whether it has ended; if it is abandoned then, it is in *gone, for the caller. */
static bool collect(ag_process *p, ag_process **gone) {
    if (p->ended)
        return true;
    int r = ag__proc_collect(p->pid, p->is_pidfd ? p->watched : -1, &p->status);
    if (r == 0)
        return false;
    p->error = r < 0 ? r : 0;
    p->ended = true;
    take_out(p);
    if (p->abandoned) {
        abandoned--;
        p->next = *gone;
        *gone = p;
    }
    return true;
}

static void free_all(ag_process *gone) {
    for (ag_process *p; (p = gone) != NULL;) {
        gone = p->next;
        AG__HB_ACQUIRE(p);
        if (p->watched >= 0)
            ag__file_close(p->watched);
        free(p);
    }
}

bool ag__children_collect(ag_process *p) {
    ag_process *gone = NULL;
    ag__lock_acquire(&lock);
    bool ended = collect(p, &gone);
    if (ended)
        AG__HB_ACQUIRE(p);
    ag__lock_release(&lock);
    return ended;
}

int ag__children_signal(ag_process *p, int sig, bool group) {
    ag__lock_acquire(&lock);
    int r = p->ended ? -ESRCH
            : group  ? ag__proc_signal_group(p->pid, sig)
                     : ag__proc_signal(p->pid, p->is_pidfd ? p->watched : -1, sig);
    ag__lock_release(&lock);
    return r;
}

void ag__children_abandon(ag_process *p) {
    ag_process *gone = NULL;
    AG__HB_RELEASE(p);
    ag__lock_acquire(&lock);
    if (p->ended || p->pid == 0) {
        p->next = NULL;
        gone = p;
    } else {
        p->abandoned = true;
        abandoned++;
        collect(p, &gone);
    }
    ag__lock_release(&lock);
    free_all(gone);
}

/* Those of whom nobody has a reference, and that have ended. Goes on where it stopped the last
 * time: each is a system call, and there may be many that run. */
static void clear_abandoned(void) {
    static unsigned bucket; /* Guarded by lock. */
    ag_process *gone = NULL, *next;
    int looked = 0;
    ag__lock_acquire(&lock);
    for (int i = 0; i < BUCKETS && abandoned > 0 && looked < LOOK_MAX; i++)
        for (ag_process *p = table[++bucket % BUCKETS]; p; p = next) {
            next = p->next;
            looked += p->abandoned;
            if (p->abandoned)
                collect(p, &gone);
        }
    ag__lock_release(&lock);
    free_all(gone);
}

/* --- The gate. --- */

static void gate_wake(void) {
    atomic_fetch_add(&gate_word, 1);
    ag__os_futex_wake(&gate_word, INT32_MAX);
}

static void begin_start(void) {
    for (;;) {
        uint32_t seen = atomic_load(&gate_word);
        ag__lock_acquire(&lock);
        bool wait = reaper_wants;
        starting += !wait;
        ag__lock_release(&lock);
        if (!wait)
            return;
        ag__os_futex_wait(&gate_word, seen, -1);
    }
}

static void end_start(ag_process *p) {
    ag__lock_acquire(&lock);
    if (p)
        enter(p);
    bool last = --starting == 0 && reaper_wants;
    ag__lock_release(&lock);
    if (last)
        gate_wake();
}

int ag__children_start(ag_process *p, const ag__proc_start *start) {
    int pid;
    clear_abandoned();
    begin_start();
    int r = ag__proc_spawn(start, &pid);
    if (r == 0)
        p->pid = pid;
    end_start(r == 0 ? p : NULL);
    return r;
}

static void reaper_in(void) {
    ag__lock_acquire(&lock);
    reaper_wants = true;
    while (starting > 0) {
        uint32_t seen = atomic_load(&gate_word);
        ag__lock_release(&lock);
        ag__os_futex_wait(&gate_word, seen, -1);
        ag__lock_acquire(&lock);
    }
    ag__lock_release(&lock);
}

static void reaper_out(void) {
    ag__lock_acquire(&lock);
    reaper_wants = false;
    ag__lock_release(&lock);
    gate_wake();
}

/* --- The reaper. --- */

/* One child that has ended. Returns whether there was one. */
static bool reap_one(void) {
    ag_process *gone = NULL;
    ag__proc_status unused;
    int pid = ag__proc_ended();
    if (pid == 0)
        return false;
    ag__lock_acquire(&lock);
    ag_process *p = *place_of(pid);
    if (p)
        collect(p, &gone);
    else
        ag__proc_collect(pid, -1, &unused);
    ag__lock_release(&lock);
    free_all(gone);
    return true;
}

static void reaper_thread(void) {
    ag__sig_receive_only(0);
    for (;;) {
        uint32_t seen = atomic_load(&reaper_word);
        ag__lock_acquire(&lock);
        bool on = reaps;
        ag__lock_release(&lock);
        if (on && ag__proc_ended() != 0) {
            reaper_in();
            while (reap_one())
                continue;
            reaper_out();
        }
        ag__os_futex_wait(&reaper_word, seen, -1);
    }
}

static void nudge_reaper(void) {
    atomic_fetch_add(&reaper_word, 1);
    ag__os_futex_wake(&reaper_word, 1);
}

int ag_reap_children(bool on) {
    int r = 0;
    ag__lock_acquire(&lock);
    if (on && !has_reaper) {
        r = ag__helper_start(reaper_thread, "aglet-reaper");
        has_reaper = r == 0;
    }
    ag__lock_release(&lock);
    if (r == 0)
        r = ag__on_child(on ? nudge_reaper : NULL);
    if (r != 0)
        return r;
    ag__lock_acquire(&lock);
    reaps = on;
    ag__lock_release(&lock);
    nudge_reaper();
    return 0;
}
