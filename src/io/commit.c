/* SPDX-License-Identifier: MIT */
/*
 * commit.c - group commit: many append, one syncs.
 *
 * Whoever comes while nobody is busy is the leader: it writes and syncs its own bytes, outside of
 * the runtime. Those who come meanwhile wait in a line, their bytes where they are. The leader,
 * back, gives the lead to the first of the line, who takes the whole line as its batch. So nobody
 * works for others more than once, a batch is as large as what came during one sync, and there is
 * no copy and no memory.
 *
 *     a waiter:  linked --claimed by a leader--> in a batch --done--> woken with the result
 *                  |                       +---> first of the line, woken to LEAD
 *                  +--its context ends--> claims itself, unlinks itself, returns
 *
 * `busy` is 1 from the first leader to the one who finds the line empty; only the leader writes and
 * syncs. What is claimed goes on to its end, whatever becomes of its context: its bytes are in use.
 *
 * The first error is final. The kernel forgets a failed write-back once it has told one fsync of
 * it, so a second fsync that says 0 means nothing.
 *
 * Refused: a goroutine of its own for the writing (one more switch each way, and one to stop);
 * waiting a moment for more to come (under load they come by themselves, without it waits for
 * nothing).
 */
#include "io/io.h"
#include "os/file.h"
#include <aglet/file.h>
#include <errno.h>

enum { PIECES = AG__SIZE(64, 2) };
enum { WAITS, DONE, LEADS };

/* Lives on the stack of who waits. */
struct waiter {
    struct waiter *next; /* Guarded by the lock while linked, then the leader's. */
    ag__g *g;
    uint64_t epoch;
    const char *data;
    size_t n;
    int result, state; /* Written by who claimed it. */
    bool linked;       /* Guarded by the lock. */
};

struct commit {
    ag__lock lock;
    int fd;                     /* Constant. */
    int error;                  /* Guarded by lock; the first one, for ever. */
    uint32_t busy;              /* Guarded by lock. */
    struct waiter *head, *tail; /* Guarded by lock: the line. */
    _Atomic int64_t syncs;      /* Written by the leader. */
};
_Static_assert(sizeof(struct commit) == sizeof(ag_commit), "ag_commit holds a struct commit");

void ag_commit_init(ag_commit *c, int fd) {
    *c = (ag_commit)AG_COMMIT_INIT(fd);
}

int64_t ag_commit_syncs(ag_commit *c) {
    return atomic_load_explicit(&((struct commit *)c)->syncs, AG__RLX);
}

/* --- The line. The lock is held. --- */

static void link_last(struct commit *c, struct waiter *w) {
    w->linked = true;
    if (c->tail)
        c->tail->next = w;
    else
        c->head = w;
    c->tail = w;
}

/* The first one that does not go away by itself. */
static struct waiter *take_first(struct commit *c) {
    struct waiter *w;
    while ((w = c->head) != NULL) {
        if ((c->head = w->next) == NULL)
            c->tail = NULL;
        w->linked = false;
        w->next = NULL;
        if (ag__claim(w->g, w->epoch))
            return w;
    }
    return NULL;
}

static struct waiter *take_all(struct commit *c) {
    struct waiter *list = NULL, **end = &list, *w;
    while ((w = take_first(c)) != NULL) {
        *end = w;
        end = &w->next;
    }
    return list;
}

static void unlink_waiter(struct commit *c, struct waiter *w) {
    struct waiter *before = NULL, *at = c->head;
    for (; w->linked && at != w; at = at->next)
        before = at;
    if (!w->linked)
        return;
    *(before ? &before->next : &c->head) = w->next;
    if (c->tail == w)
        c->tail = before;
    w->linked = false;
}

/* --- Writing: with the processor handed on. --- */

/* Takes `put` bytes off the front of the pieces; returns how many pieces are done. */
static int advance(ag__piece *pieces, int count, size_t put) {
    int at = 0;
    for (; at < count && put >= pieces[at].n; at++)
        put -= pieces[at].n;
    if (at < count) {
        pieces[at].data += put;
        pieces[at].n -= put;
    }
    return at;
}

static int write_pieces(int fd, ag__piece *pieces, int count) {
    while (count > 0) {
        ssize_t put = ag__file_write_pieces(fd, pieces, count);
        if (put < 0)
            return (int)put;
        int done = advance(pieces, count, (size_t)put);
        if (put == 0 && done == 0)
            return -EIO;
        pieces += done;
        count -= done;
    }
    return 0;
}

static int write_batch(struct commit *c, const struct waiter *batch) {
    while (batch) {
        ag__piece pieces[PIECES];
        int count = 0;
        for (; batch && count < PIECES; batch = batch->next)
            if (batch->n > 0)
                pieces[count++] = (ag__piece){batch->data, batch->n};
        int r = write_pieces(c->fd, pieces, count);
        if (r != 0)
            return r;
    }
    atomic_fetch_add_explicit(&c->syncs, 1, AG__RLX);
    return ag__file_datasync(c->fd);
}

/* --- Leading. --- */

/* Wakes a list of claimed waiters. */
static void wake(ag__m *m, struct waiter *list, int result) {
    while (list) {
        struct waiter *w = list;
        list = w->next; /* before ready: it lives on the woken stack */
        w->state = DONE;
        w->result = result;
        ag__ready(m, w->g);
    }
}

/* Does what `me` and those in the line wait for. c->busy is 1 by us. Returns the result. */
static int lead(struct commit *c, struct waiter *me) {
    ag__m *m = ag__enter();
    ag__lock_acquire(&c->lock);
    me->next = take_all(c);
    ag__lock_release(&c->lock);
    ag__leave(m);
    AG__HB_ACQUIRE(c);
    int result = (int)ag_blocking(write_batch, c, (const struct waiter *)me);
    AG__HB_RELEASE(c);
    m = ag__enter();
    ag__lock_acquire(&c->lock);
    c->error = result;
    struct waiter *failed = result != 0 ? take_all(c) : NULL;
    struct waiter *next = result == 0 ? take_first(c) : NULL;
    c->busy = next != NULL;
    ag__lock_release(&c->lock);
    wake(m, me->next, result);
    wake(m, failed, result);
    if (next) {
        next->state = LEADS;
        ag__ready(m, next->g);
    }
    ag__leave(m);
    return result;
}

/* Waits in the line. Inside the runtime, lock held; both are left. Returns the state, or why not.
 */
static int stand_in_line(ag__m *m, struct commit *c, struct waiter *w) {
    w->g = m->g;
    w->epoch = ag__claim_begin(w->g);
    link_last(c, w);
    m = ag__park_until(m, AG__WAIT_COMMIT, c, &c->lock, w->epoch, 0);
    int ended = m->g->woken != AG__WOKEN_NORMAL ? ag__end_of(m->g) : 0;
    if (ended != 0) {
        ag__lock_acquire(&c->lock);
        unlink_waiter(c, w);
        ag__lock_release(&c->lock);
    }
    ag__leave(m);
    return ended != 0 ? ended : w->state;
}

int ag_commit_append(ag_commit *commit, const void *data, size_t n) {
    struct commit *c = (struct commit *)commit;
    struct waiter w = {.data = data, .n = n};
    AG__HB_RELEASE(c);
    ag__m *m = ag__enter();
    ag__lock_acquire(&c->lock);
    int r = c->error != 0 ? c->error : ag__ended(m->g);
    if (r != 0 || !c->busy) {
        c->busy |= r == 0;
        ag__lock_release(&c->lock);
        ag__leave(m);
        return r != 0 ? r : lead(c, &w);
    }
    r = stand_in_line(m, c, &w);
    if (r == LEADS)
        return lead(c, &w);
    AG__HB_ACQUIRE(c);
    return r < 0 ? r : w.result;
}
