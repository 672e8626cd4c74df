/* SPDX-License-Identifier: MIT */
/*
 * probe.h - the door of the floor on which the runtime notes what it does: events, in a ring for
 * each thread.
 *
 * A ring has two tapes. The *recorder's* is written over and over and holds the thread's last
 * events; it is always on, unless AGLET_RECORD=0. The *trace's* is drained by whoever writes a
 * trace, and nothing in it is lost while there is room; without room the thread waits a little.
 *
 * Only the thread itself writes. No lock is taken and nothing is allocated to note an event.
 *
 *     recorder, slot i of N             who reads
 *     fence (release)                   h1 = head (acquire)
 *     the four words of slot i % N      the words of the slots h1 - N .. h1
 *     head = i + 1 (release)            fence (acquire); h2 = head
 *                                       keeps what has a number > h2 - N: slot h2 may be half
 *                                       written, and it lies where h2 - N lay
 *
 * A reader that saw a word of slot i sees, by the two fences, head >= i afterwards.
 *
 *     trace's tape                      who drains
 *     head - tail == N? wait, or lose   cut = now
 *     writing = 1; light fence          heavy fence
 *     when = now                        writing? wait until it is 0 or head has moved
 *     the words; head++ (release)       h = head (acquire): events before `cut` are all there
 *     writing = 0 (release)             takes them; tail = as far (release)
 *
 * Of the light and the heavy side at least one sees the other: who is not seen writing reads its
 * clock after the cut. So the drained events, merged by time, are all events up to the cut.
 */
#ifndef AG_PROBE_H
#define AG_PROBE_H

#include "base/base.h"
#include "os/os.h"

enum {
#define EVENT(name, text) AG__EV_##name,
#include "probe/events.def"
#undef EVENT
    AG__EV_COUNT
};
enum { AG__DROP_SLEEP, AG__DROP_BOUND, AG__DROP_RETIRED, AG__DROP_END };
enum { AG__HAND_HOG = 1, AG__HAND_BLOCKED = 2, AG__HAND_ASKED = 3 };

typedef struct ag__event {
    int64_t when; /* ag__os_now; filled in when it is written */
    int64_t g;
    uint64_t x;
    uint8_t kind, detail;
    int16_t p;
    uint32_t n;
} ag__event;

typedef struct ag__ring ag__ring;

/* Atomic, relaxed. What is noted: AG__PROBE_*. */
enum { AG__PROBE_RECORD = 1, AG__PROBE_TRACE = 2 };
extern _Atomic uint32_t ag__probe_on AG__HIDDEN;
static inline bool ag__probe_traces(void) {
    return AG__UNLIKELY(atomic_load_explicit(&ag__probe_on, memory_order_relaxed) &
                        AG__PROBE_TRACE);
}

/* How many events the recorder keeps of each thread that begins from now on; 0: it is off. */
void ag__probe_configure(int64_t events);

/* A ring for the calling thread; NULL when out of memory: the thread's events are lost. */
ag__ring *ag__ring_join(int tid);
/* The thread ends. Its events stay until another thread needs the ring. */
void ag__ring_leave(ag__ring *r);
/* The n-th piece of memory that holds events; false: there are no more. */
bool ag__ring_memory(int n, uintptr_t *ret_lo, uintptr_t *ret_hi);
/* Notes e, with the time. The ring's thread only; r may be NULL. Returns the time. */
int64_t ag__ring_note(ag__ring *r, ag__event e);

/* --- Reading. --- */

/* Shows each ring's last events, oldest first, as they are when it is looked at; until `take`
 * returns false. 0, -ENOMEM. */
typedef bool (*ag__probe_take)(void *arg, int tid, const ag__event *events, size_t n);
int ag__probe_snapshot(ag__probe_take take, void *arg);

/* --- Tracing: one at a time, which is up to the caller. --- */
int ag__probe_begin(void); /* every thread gets a tape: 0, -ENOMEM. Then it is on */
void ag__probe_end(void);  /* off; what is on the tapes can still be drained */
/* Shows each thread's events before now, with none missing, until `take` returns false; returns
 * the time up to which that holds. */
int64_t ag__probe_drain(ag__probe_take take, void *arg);
int64_t ag__probe_lost(void); /* events for which there was no room, since the beginning */
/* Sleeps until a tape is half full or ns have passed. */
void ag__probe_wait(int64_t ns);
void ag__probe_nudge(void); /* ends such a sleep */

/* --- Names of regions and tasks: kept for the life of the process, up to a number. --- */
enum { AG__NAMES = AG__SIZE(4096, 8), AG__NAME_MAX = 2 * AG__NAMES };
uint32_t ag__name(const char *text);      /* up to AG__NAME_MAX; 0: too many */
const char *ag__name_text(uint32_t name); /* "?" for 0 */

const char *ag__event_name(int kind);

#endif
