/* SPDX-License-Identifier: MIT */
/*
 * probe.c - rings of events; probe.h tells the protocols.
 *
 * Rings are made when a thread first needs one and never freed: who reads follows the list without
 * a lock. A thread that ends leaves its ring, with what it did last, to the thread that begins
 * after all the rings that were left earlier are in use again.
 *
 * A tape is mapped lazily by the C library: what was never written costs no memory.
 *
 * A full tape of a trace makes its thread wait, ROOM_WAIT_NS at most, because it may hold locks
 * and a processor: the file that the trace goes to may be a pipe whose reader needs them. After
 * such a wait in vain events are dropped, and counted, until the tape was drained again.
 *
 * Refused: one ring for each processor (a hand-on is noted by who does it, while the processor's
 * thread is outside); a sequence number in each slot instead of the recount of `head` (the same
 * work for the reader, one word more for the writer).
 */
#include "probe/probe.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RLX memory_order_relaxed

enum { WORDS = 4, TRACE_EVENTS = AG__SIZE(32768, 32), ROOM_WAIT_NS = 50000000 };
enum { RECORD_MIN = 4, RECORD_MAX = 1 << 20, RECORD_DEFAULT = AG__SIZE(4096, 8) };

typedef _Atomic uint64_t slot[WORDS];

/* Constant once it is in a ring, but for the slots. */
struct tape {
    uint64_t size; /* a power of two */
    slot slots[];
};

struct ag__ring {
    ag__ring *next; /* Constant. */
    /* Owner only. */
    uint64_t hopeless; /* `tail` at the last wait in vain, plus one */
    /* Guarded by ring_lock. */
    ag__ring *free_link;
    int tid;
    uint32_t joins;
    uint64_t first; /* events before are of a thread that was here earlier */
    /* Atomic; the two protocols. */
    struct tape *_Atomic recorded, *_Atomic traced;
    _Atomic uint64_t head, traced_head;
    _Atomic uint32_t writing;
    _Atomic uint64_t lost;
    _Alignas(AG__CACHE_LINE) _Atomic uint64_t tail;
};

_Atomic uint32_t ag__probe_on;

static ag__lock ring_lock;
static ag__ring *_Atomic rings; /* Written under ring_lock; walked without. */
static ag__ring *oldest_free, **newest_free = &oldest_free; /* Guarded by ring_lock. */
static uint64_t record_size = RECORD_DEFAULT;               /* Guarded by ring_lock. */
static _Atomic uint32_t drain_word;                         /* futex: somebody wants a drain */

static struct tape *tape_new(uint64_t size) {
    struct tape *t = calloc(1, sizeof *t + size * sizeof(slot));
    if (t)
        t->size = size;
    return t;
}

void ag__probe_configure(int64_t events) {
    uint64_t size = RECORD_MIN;
    while (size < RECORD_MAX && (int64_t)size < events)
        size *= 2;
    ag__lock_acquire(&ring_lock);
    record_size = events == 1 ? RECORD_DEFAULT : size;
    ag__lock_release(&ring_lock);
    if (events > 0)
        atomic_fetch_or(&ag__probe_on, AG__PROBE_RECORD);
    else
        atomic_fetch_and(&ag__probe_on, ~(uint32_t)AG__PROBE_RECORD);
}

/* --- Rings. --- */

/* Gives r what it lacks for `on`. May be called while its thread writes. */
static bool equip(ag__ring *r, uint32_t on, uint64_t size) {
    bool all = true;
    if ((on & AG__PROBE_RECORD) && !atomic_load_explicit(&r->recorded, RLX)) {
        struct tape *t = tape_new(size);
        atomic_store_explicit(&r->recorded, t, memory_order_release);
        all = t != NULL;
    }
    if ((on & AG__PROBE_TRACE) && !atomic_load_explicit(&r->traced, RLX)) {
        struct tape *t = tape_new(TRACE_EVENTS), *none = NULL;
        if (t && !atomic_compare_exchange_strong(&r->traced, &none, t))
            free(t);
        all &= t != NULL;
    }
    return all;
}

ag__ring *ag__ring_join(int tid) {
    ag__lock_acquire(&ring_lock);
    ag__ring *r = oldest_free;
    if (r && !(oldest_free = r->free_link))
        newest_free = &oldest_free;
    ag__lock_release(&ring_lock);
    bool fresh = !r;
    if (fresh && !(r = aligned_alloc(AG__CACHE_LINE, sizeof *r)))
        return NULL;
    if (fresh)
        memset(r, 0, sizeof *r);
    ag__lock_acquire(&ring_lock);
    r->tid = tid;
    r->joins++;
    r->first = atomic_load_explicit(&r->head, RLX);
    if (fresh) {
        r->next = atomic_load_explicit(&rings, RLX);
        /* Release: the ring comes before who finds it. Partner: `first_ring`. */
        atomic_store_explicit(&rings, r, memory_order_release);
    }
    uint64_t size = record_size;
    ag__lock_release(&ring_lock);
    equip(r, atomic_load(&ag__probe_on), size);
    return r;
}

void ag__ring_leave(ag__ring *r) {
    if (!r)
        return;
    ag__lock_acquire(&ring_lock);
    r->free_link = NULL;
    *newest_free = r;
    newest_free = &r->free_link;
    ag__lock_release(&ring_lock);
}

static ag__ring *first_ring(void) {
    return atomic_load_explicit(&rings, memory_order_acquire);
}

bool ag__ring_memory(int n, uintptr_t *ret_lo, uintptr_t *ret_hi) {
    for (ag__ring *r = first_ring(); r; r = r->next)
        for (int i = 0; i < 2; i++) {
            struct tape *t =
                atomic_load_explicit(i ? &r->traced : &r->recorded, memory_order_acquire);
            if (!t || n-- > 0)
                continue;
            *ret_lo = (uintptr_t)t;
            *ret_hi = (uintptr_t)(t->slots + t->size);
            return true;
        }
    return false;
}

/* --- Writing. --- */

static inline void put(struct tape *t, uint64_t at, const ag__event *e) {
    uint64_t words[WORDS];
    _Static_assert(sizeof words == sizeof *e, "an event has four words");
    memcpy(words, e, sizeof words);
    _Atomic uint64_t *to = t->slots[at & (t->size - 1)];
    for (int i = 0; i < WORDS; i++)
        atomic_store_explicit(&to[i], words[i], RLX);
}

static inline ag__event get(struct tape *t, uint64_t at) {
    uint64_t words[WORDS];
    ag__event e;
    _Atomic uint64_t *from = t->slots[at & (t->size - 1)];
    for (int i = 0; i < WORDS; i++)
        words[i] = atomic_load_explicit(&from[i], RLX);
    memcpy(&e, words, sizeof e);
    return e;
}

static void record(ag__ring *r, const ag__event *e) {
    struct tape *t = atomic_load_explicit(&r->recorded, memory_order_acquire);
    if (!t)
        return;
    uint64_t at = atomic_load_explicit(&r->head, RLX);
    /* Partner: the acquire fence in `copy`. */
    atomic_thread_fence(memory_order_release);
    put(t, at, e);
    atomic_store_explicit(&r->head, at + 1, memory_order_release);
}

/* Whether there is room. Not writing yet: who drains must not wait for us. */
static bool has_room(ag__ring *r, const struct tape *t) {
    uint64_t head = atomic_load_explicit(&r->traced_head, RLX);
    /* Acquire: the slot was read before we write it. Partner: the release store in drain_ring. */
    uint64_t tail = atomic_load_explicit(&r->tail, memory_order_acquire);
    if (AG__LIKELY(head - tail < t->size))
        return true;
    if (r->hopeless == tail + 1)
        return false;
    int64_t until = ag__os_now() + ROOM_WAIT_NS;
    while (ag__probe_traces() && ag__os_now() < until) {
        ag__probe_nudge();
        ag__os_sleep(20000);
        if (atomic_load_explicit(&r->tail, memory_order_acquire) != tail)
            return true;
    }
    r->hopeless = tail + 1;
    return false;
}

static int64_t trace(ag__ring *r, ag__event *e) {
    struct tape *t = atomic_load_explicit(&r->traced, memory_order_acquire);
    if (!t || !has_room(r, t)) {
        atomic_fetch_add_explicit(&r->lost, 1, RLX);
        return e->when = ag__os_now();
    }
    uint64_t at = atomic_load_explicit(&r->traced_head, RLX);
    /* Partner: the heavy fence in ag__probe_drain. */
    atomic_store_explicit(&r->writing, 1, RLX);
    ag__fence_light();
    e->when = ag__os_now();
    put(t, at, e);
    atomic_store_explicit(&r->traced_head, at + 1, memory_order_release);
    atomic_store_explicit(&r->writing, 0, memory_order_release);
    if ((at & (t->size / 2 - 1)) == 0)
        ag__probe_nudge();
    return e->when;
}

int64_t ag__ring_note(ag__ring *r, ag__event e) {
    if (!r)
        return ag__os_now();
    if (ag__probe_traces())
        trace(r, &e);
    else
        e.when = ag__os_now();
    if (atomic_load_explicit(&ag__probe_on, RLX) & AG__PROBE_RECORD)
        record(r, &e);
    return e.when;
}

/* --- Reading what was recorded. --- */

/* Copies the last events; returns how many, of which the first is ret_events[0]. */
static size_t copy(ag__ring *r, struct tape *t, uint64_t first, ag__event *ret_events) {
    uint64_t head = atomic_load_explicit(&r->head, memory_order_acquire);
    uint64_t from = head - first > t->size ? head - t->size : first;
    for (uint64_t i = from; i < head; i++)
        ret_events[i - from] = get(t, i);
    /* Partner: the release fence in `record`. */
    atomic_thread_fence(memory_order_acquire);
    uint64_t now = atomic_load_explicit(&r->head, RLX);
    uint64_t good = now + 1 > t->size ? now + 1 - t->size : 0;
    if (good <= from)
        return (size_t)(head - from);
    if (good >= head)
        return 0;
    memmove(ret_events, ret_events + (good - from), (size_t)(head - good) * sizeof *ret_events);
    return (size_t)(head - good);
}

static uint32_t look_at(ag__ring *r, int *ret_tid, uint64_t *ret_first) {
    ag__lock_acquire(&ring_lock);
    *ret_tid = r->tid;
    *ret_first = r->first;
    uint32_t joins = r->joins;
    ag__lock_release(&ring_lock);
    return joins;
}

int ag__probe_snapshot(ag__probe_take take, void *arg) {
    ag__event *events = NULL;
    uint64_t room = 0;
    for (ag__ring *r = first_ring(); r; r = r->next) {
        struct tape *t = atomic_load_explicit(&r->recorded, memory_order_acquire);
        int tid, tid_after;
        uint64_t first, first_after;
        if (!t)
            continue;
        if (t->size > room) {
            free(events);
            room = t->size;
            if (!(events = malloc(room * sizeof *events)))
                return -ENOMEM;
        }
        uint32_t joins = look_at(r, &tid, &first);
        size_t n = copy(r, t, first, events);
        /* If another thread got the ring meanwhile, what we have is of both. */
        if (look_at(r, &tid_after, &first_after) == joins && !take(arg, tid, events, n))
            break;
    }
    free(events);
    return 0;
}

/* --- Tracing. --- */

int ag__probe_begin(void) {
    bool all = true;
    for (ag__ring *r = first_ring(); r; r = r->next) {
        atomic_store_explicit(&r->lost, 0, RLX);
        atomic_store_explicit(&r->tail, atomic_load_explicit(&r->traced_head, memory_order_acquire),
                              memory_order_release);
        all &= equip(r, AG__PROBE_TRACE, 0);
    }
    atomic_fetch_or(&ag__probe_on, AG__PROBE_TRACE);
    /* Those of threads that have begun since. */
    for (ag__ring *r = first_ring(); r; r = r->next)
        all &= equip(r, AG__PROBE_TRACE, 0);
    if (all)
        return 0;
    ag__probe_end();
    return -ENOMEM;
}

void ag__probe_end(void) {
    atomic_fetch_and(&ag__probe_on, ~(uint32_t)AG__PROBE_TRACE);
}

/* The tape's head, with all that was begun before the caller's fence. */
static uint64_t settled_head(ag__ring *r) {
    uint64_t head = atomic_load_explicit(&r->traced_head, memory_order_acquire);
    while (atomic_load_explicit(&r->writing, memory_order_acquire) &&
           atomic_load_explicit(&r->traced_head, memory_order_acquire) == head)
        ag__os_yield();
    return atomic_load_explicit(&r->traced_head, memory_order_acquire);
}

static bool drain_ring(ag__ring *r, int64_t cut, ag__event *buffer, ag__probe_take take,
                       void *arg) {
    struct tape *t = atomic_load_explicit(&r->traced, memory_order_acquire);
    if (!t)
        return true;
    int tid;
    uint64_t first, head = settled_head(r), at = atomic_load_explicit(&r->tail, RLX);
    look_at(r, &tid, &first);
    size_t n = 0;
    for (; at < head; at++) {
        ag__event e = get(t, at);
        if (e.when >= cut)
            break;
        buffer[n++] = e;
    }
    atomic_store_explicit(&r->tail, at, memory_order_release);
    return n == 0 || take(arg, tid, buffer, n);
}

int64_t ag__probe_drain(ag__probe_take take, void *arg) {
    ag__event *buffer = malloc(TRACE_EVENTS * sizeof *buffer);
    int64_t cut = ag__os_now();
    if (!buffer)
        return INT64_MIN;
    /* Partner: the light fence in `trace`. */
    ag__fence_heavy();
    for (ag__ring *r = first_ring(); r; r = r->next)
        if (!drain_ring(r, cut, buffer, take, arg))
            break;
    free(buffer);
    return cut;
}

int64_t ag__probe_lost(void) {
    int64_t n = 0;
    for (ag__ring *r = first_ring(); r; r = r->next)
        n += (int64_t)atomic_load_explicit(&r->lost, RLX);
    return n;
}

void ag__probe_wait(int64_t ns) {
    if (atomic_exchange(&drain_word, 0) == 0)
        ag__os_futex_wait(&drain_word, 0, ns);
}

void ag__probe_nudge(void) {
    if (atomic_exchange(&drain_word, 1) == 0)
        ag__os_futex_wake(&drain_word, 1);
}

const char *ag__event_name(int kind) {
    static const char *const names[] = {
#define EVENT(name, text) text,
#include "probe/events.def"
#undef EVENT
    };
    return kind >= 0 && kind < AG__EV_COUNT ? names[kind] : "?";
}
