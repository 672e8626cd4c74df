/* SPDX-License-Identifier: MIT */
/*
 * fd.c - bare descriptors: waiting, reading, writing, closing by number.
 *
 * A number says nothing about whose it is: it may be closed with close(2) and used again for
 * another file at any moment. So nothing is remembered about a number but while goroutines wait
 * on it: the first registers it with the poller, the last takes it out again. Each waiter asks
 * poll(2) before it parks and after it was woken, so the poller's events are hints only.
 *
 * While there are waiters the entry knows which file they mean. One that comes and finds another
 * file there sends the old ones away with -EBADF. Files without an inode of their own look alike;
 * of those the poller itself knows (-ENOENT: never heard of).
 *
 * A number that something else of ours has registered, like the socket of a connection
 * (-EEXIST), is watched through a second number for the same file.
 *
 * Entries are found by number in a table of blocks that is only ever extended; late events may
 * come to an entry at any time. Refused: registering once and for good (an old registration is a
 * trap for the next file with that number).
 */
#include "io/io.h"
#include "os/file.h"
#include "os/poll.h"
#include <aglet/run.h>
#include <errno.h>
#include <stdlib.h>

enum { READY, CLOSED, GONE, ENDED };

/* Lives on the stack of who waits. */
struct waiter {
    struct waiter *next; /* Guarded by the entry's lock. */
    ag__g *g;
    uint64_t epoch;
    int events;
    int result;  /* READY …, written by who wins the claim. */
    bool linked; /* Guarded by the entry's lock. */
};

struct entry {
    ag__lock lock;
    int watched;          /* Guarded by lock: the number in the poller; 0 without waiters. */
    ag__pd *pd;           /* Guarded by lock; NULL without waiters. */
    ag__file_id file;     /* Guarded by lock; what the waiters wait for. */
    struct waiter *first; /* Guarded by lock. */
    uint32_t world;       /* Guarded by lock; to which the waiters and pd belong. */
};

/* --- The table. --- */

enum { BLOCK = AG__SIZE(512, 4), BLOCKS = AG__SIZE(4096, 1 << 18) };
static _Atomic(struct entry *) table[BLOCKS];

/* A number beyond all limits has no entry, and is waited for without the poller. */
static bool has_entry(int fd) {
    return fd >= 0 && fd / BLOCK < BLOCKS;
}

/* NULL: out of memory, or there is none. */
static struct entry *entry_of(int fd, bool make) {
    if (!has_entry(fd))
        return NULL;
    int block = fd / BLOCK;
    /* Acquire. Partner: the release below. */
    struct entry *entries = atomic_load_explicit(&table[block], memory_order_acquire);
    if (!entries && make) {
        struct entry *fresh = calloc(BLOCK, sizeof *fresh);
        if (!fresh)
            return NULL;
        if (atomic_compare_exchange_strong_explicit(&table[block], &entries, fresh,
                                                    memory_order_acq_rel, memory_order_acquire))
            entries = fresh;
        else
            free(fresh);
    }
    return entries ? &entries[fd % BLOCK] : NULL;
}

/* --- Waking. --- */

/* Takes out the waiters for some of `events` that are ours to wake. Lock held. */
static struct waiter *take(struct entry *e, int events, int result) {
    struct waiter *list = NULL, **at = &e->first;
    while (*at) {
        struct waiter *w = *at;
        /* One that lost its claim to its deadline unlinks itself. */
        if (!(w->events & events) || !ag__claim(w->g, w->epoch)) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        w->linked = false;
        w->result = result;
        w->next = list;
        list = w;
    }
    return list;
}

static void ready_all(ag__m *m, struct waiter *list) {
    while (list) {
        struct waiter *w = list;
        list = w->next; /* before ready: it lives on the woken stack */
        atomic_fetch_sub_explicit(&ag__sched.poll_waiters, 1, AG__RLX);
        ag__ready(m, w->g);
    }
}

static void on_event(ag__m *m, void *arg, bool readable, bool writable) {
    struct entry *e = arg;
    ag__lock_acquire(&e->lock);
    struct waiter *list =
        take(e, (readable ? AG_READABLE : 0) | (writable ? AG_WRITABLE : 0), READY);
    ag__lock_release(&e->lock);
    ready_all(m, list);
}

/* --- Registering. --- */

/* Whether the number still means the file that the waiters wait for. Lock held. */
static bool is_same_file(const struct entry *e, int fd) {
    ag__file_id id;
    return ag__file_identify(fd, &id) == 0 && id.device == e->file.device &&
           id.inode == e->file.inode;
}

/* Lock held. */
static void forget(struct entry *e, int fd) {
    if (!e->pd)
        return;
    bool own_number = e->watched == fd;
    ag__pd_close_watch(e->pd, !own_number || is_same_file(e, fd));
    if (!own_number)
        ag__file_close(e->watched);
    e->pd = NULL;
}

static int watch_new(struct entry *e, int fd, int events) {
    bool r = events & AG_READABLE, w = events & AG_WRITABLE;
    int error = ag__file_identify(fd, &e->file);
    if (error != 0)
        return error;
    e->watched = fd;
    error = ag__pd_open_watch(fd, on_event, e, r, w, &e->pd);
    if (error != -EEXIST)
        return error;
    int second = ag__file_dup(fd);
    if (second < 0)
        return second;
    e->watched = second;
    error = ag__pd_open_watch(second, on_event, e, r, w, &e->pd);
    if (error != 0)
        ag__file_close(second);
    return error;
}

/* Has the poller report `events`, besides what others wait for. *ret_gone are waiters for a file
 * that is not there any more. Lock held. */
static int watch(struct entry *e, int fd, int events, struct waiter **ret_gone) {
    for (struct waiter *w = e->first; w; w = w->next)
        events |= w->events;
    if (e->pd && is_same_file(e, fd)) {
        int r = ag__pd_watch(e->pd, events & AG_READABLE, events & AG_WRITABLE);
        if (r != -ENOENT)
            return r;
    }
    *ret_gone = take(e, AG_READABLE | AG_WRITABLE, GONE);
    forget(e, fd);
    return watch_new(e, fd, events);
}

/* Goroutines of a world that has ended wait no more. Lock held. */
static void renew(struct entry *e, int fd) {
    if (AG__LIKELY(e->world == ag__sched.world))
        return;
    e->first = NULL;
    forget(e, fd);
    e->world = ag__sched.world;
}

/* --- Waiting. --- */

enum { SLICE = 50000000 }; /* how long who nobody wakes goes without a look, in nanoseconds */

/* Without a world, or for a number beyond the table. */
static AG__COLD int wait_blocking(int fd, int events, ag_time deadline) {
    for (;;) {
        int64_t left = deadline ? deadline - ag__os_now() : -1;
        if (deadline && left <= 0)
            return -ETIMEDOUT;
        int r = ag__ended_here();
        if (r != 0)
            return r;
        bool bound = ag__m_now()->g->bound;
        r = (int)ag_blocking(ag__poll_one, fd, events,
                             bound && (left < 0 || left > SLICE) ? SLICE : left);
        if (r != 0)
            return r;
    }
}

static void unlink_waiter(struct entry *e, struct waiter *w) {
    if (!w->linked)
        return;
    struct waiter **at = &e->first;
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    w->linked = false;
}

/* Parks once. Returns READY … ENDED, -ETIMEDOUT or an error. */
static int park(struct entry *e, int fd, int events, ag_time deadline) {
    struct waiter *gone = NULL, w = {.events = events, .linked = true};
    ag__m *m = ag__enter();
    ag__lock_acquire(&e->lock);
    renew(e, fd);
    int r = watch(e, fd, events, &gone);
    if (r != 0) {
        ag__lock_release(&e->lock);
        ready_all(m, gone);
        ag__leave(m);
        return r;
    }
    w.g = m->g;
    w.epoch = ag__claim_begin(w.g);
    w.next = e->first;
    e->first = &w;
    AG__HB_RELEASE(e); /* a close comes behind us */
    atomic_fetch_add_explicit(&ag__sched.poll_waiters, 1, AG__RLX);
    ready_all(m, gone);
    m = ag__park_until(m, AG__WAIT_IO_FD, e, &e->lock, w.epoch, deadline);
    int woken = m->g->woken;
    if (woken != AG__WOKEN_NORMAL)
        atomic_fetch_sub_explicit(&ag__sched.poll_waiters, 1, AG__RLX);
    ag__lock_acquire(&e->lock);
    unlink_waiter(e, &w);
    if (!e->first)
        forget(e, fd);
    ag__lock_release(&e->lock);
    ag__leave(m);
    return woken == AG__WOKEN_LATE ? -ETIMEDOUT : woken == AG__WOKEN_ENDED ? ENDED : w.result;
}

/* Parks a goroutine, or a thread that is none: that looks up now and then, because the world
 * whose poller would wake it may end. -EAGAIN: nothing has happened yet. */
static int park_for(int fd, int events, ag_time deadline, bool foreign) {
    bool world = !foreign || atomic_load(&ag__sched.running) == 1;
    if (!world || !has_entry(fd))
        return wait_blocking(fd, events, deadline);
    struct entry *e = entry_of(fd, true);
    if (!e)
        return -ENOMEM; /* a wait that no close could end would be worse */
    int64_t until = deadline;
    if (foreign) {
        int64_t slice = ag__os_now() + SLICE;
        until = deadline && deadline < slice ? deadline : slice;
    }
    int r = park(e, fd, events, until);
    switch (r) {
    case READY:
    case ENDED: /* looked at after what is there */
        return -EAGAIN;
    case CLOSED:
        return -ECANCELED;
    case GONE:
        return -EBADF;
    case -EPERM:
        return events; /* it can't be watched: always ready */
    case -ETIMEDOUT:
        return until == deadline ? r : -EAGAIN;
    default:
        return r;
    }
}

static int wait_once(int fd, int events, ag_time deadline, bool foreign) {
    int r = ag__poll_one(fd, events, 0);
    if (r != 0)
        return r;
    if (deadline && ag__os_now() >= deadline)
        return -ETIMEDOUT;
    r = ag__ended_here();
    return r != 0 ? r : park_for(fd, events, deadline, foreign);
}

int ag_fd_wait(int fd, int events, ag_time deadline) {
    _Static_assert(AG_READABLE == (int)AG__POLL_READABLE && AG_WRITABLE == (int)AG__POLL_WRITABLE,
                   "the same bits");
    if (events == 0 || events & ~(AG_READABLE | AG_WRITABLE))
        return -EINVAL;
    ag__m *m = ag__enter();
    bool foreign = ag__is_foreign(m);
    ag__leave(m);
    int r;
    do
        r = wait_once(fd, events, deadline, foreign);
    while (r == -EAGAIN);
    if (foreign) /* it may have counted among those that wait */
        ag__suspect_deadlock();
    return r;
}

ssize_t ag_fd_read(int fd, void *buf, size_t n) {
    for (;;) {
        ssize_t got = ag__file_read(fd, buf, n);
        if (got != -EAGAIN)
            return got;
        int r = ag_fd_wait(fd, AG_READABLE, 0);
        if (r < 0)
            return r;
    }
}

ssize_t ag_fd_write(int fd, const void *buf, size_t n) {
    const char *from = buf;
    size_t left = n;
    do {
        ssize_t put = ag__file_write(fd, from, left);
        if (put == -EAGAIN) {
            int r = ag_fd_wait(fd, AG_WRITABLE, 0);
            if (r < 0)
                return r;
        } else if (put < 0) {
            return put;
        } else if (put == 0 && left > 0) {
            return -EIO;
        } else {
            from += put;
            left -= (size_t)put;
        }
    } while (left > 0);
    return (ssize_t)n;
}

int ag_fd_close(int fd) {
    struct entry *e = entry_of(fd, false);
    if (e) {
        ag__m *m = ag__enter();
        ag__lock_acquire(&e->lock);
        renew(e, fd);
        struct waiter *list = take(e, AG_READABLE | AG_WRITABLE, CLOSED);
        forget(e, fd);
        AG__HB_ACQUIRE(e);
        ag__lock_release(&e->lock);
        ready_all(m, list);
        ag__leave(m);
    }
    return ag__file_close(fd);
}

bool ag__fd_peek(const void *entry, const ag__g *g, int *ret_fd, int *ret_events) {
    for (int i = 0; i < BLOCKS; i++) {
        struct entry *entries = atomic_load_explicit(&table[i], memory_order_acquire);
        size_t at = entries ? (uintptr_t)entry - (uintptr_t)entries : SIZE_MAX;
        if (at >= BLOCK * sizeof *entries)
            continue;
        struct entry *e = &entries[at / sizeof *entries];
        *ret_fd = i * BLOCK + (int)(at / sizeof *entries);
        *ret_events = 0;
        if (ag__lock_try(&e->lock)) {
            for (struct waiter *w = e->first; w; w = w->next)
                if (w->g == g)
                    *ret_events = w->events;
            ag__lock_release(&e->lock);
        }
        return true;
    }
    return false;
}
