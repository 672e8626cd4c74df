/* SPDX-License-Identifier: MIT */
/*
 * gate.c - who is inside an object that can be closed: the rare paths.
 *
 * Waiting for a turn: under the lock, set the waiting bit of the direction while somebody is
 * busy in it, link, park. Whoever leaves takes the busy bit out in one instruction and sees the
 * waiting bit as it was then; if it was set, the first in the line is woken and tries again. A
 * newcomer may get in before it, and then it waits again, in front of the line. So one that was
 * woken tries before it looks whether its context has ended: the turn must not be lost. One whose
 * context ends while it waits takes itself out of the line; who passes the turn on claims whom it
 * wakes.
 *
 * Those who wait are not inside: they hold no descriptor, only their caller's reference to the
 * object.
 *
 * Refused: a mutex for each direction and a counter (40 bytes more in every connection, and two
 * more atomic instructions in every call).
 */
#include "io/io.h"
#include <errno.h>

struct ag__gate_waiter {
    struct ag__gate_waiter *next;
    ag__g *g;
    uint64_t epoch;
    bool linked; /* Guarded by the gate's lock. */
};

/* The gate's lock is held in these four. */
static void link_waiter(ag__gate *x, int mode, struct ag__gate_waiter *w, bool first) {
    struct ag__gate_waiter **at = &x->turns[mode];
    while (*at && !first)
        at = &(*at)->next;
    w->next = *at;
    w->linked = true;
    *at = w;
}

static struct ag__gate_waiter *take_first(ag__gate *x, int mode) {
    struct ag__gate_waiter *w;
    while ((w = x->turns[mode]) != NULL) {
        x->turns[mode] = w->next;
        w->linked = false;
        if (ag__claim(w->g, w->epoch))
            return w;
    }
    return NULL;
}

static void unlink_waiter(ag__gate *x, int mode, struct ag__gate_waiter *w) {
    struct ag__gate_waiter **at = &x->turns[mode];
    while (w->linked && *at != w)
        at = &(*at)->next;
    if (w->linked)
        *at = w->next;
    w->linked = false;
}

static void note_nobody(ag__gate *x, int mode) {
    if (!x->turns[mode])
        atomic_fetch_and(&x->word, ~AG__GATE_WAITED(mode));
}

/* One step of getting in: 0 inside, -ECANCELED, -EBUSY with the bits `mark` set. */
static int step(ag__gate *x, int mode, uint64_t mark) {
    uint64_t word = atomic_load_explicit(&x->word, AG__RLX);
    for (;;) {
        if (word & AG__GATE_CLOSED)
            return -ECANCELED;
        bool busy = word & AG__GATE_BUSY(mode);
        uint64_t to = busy ? word | mark : (word | AG__GATE_BUSY(mode)) + AG__GATE_ONE;
        if (atomic_compare_exchange_weak(&x->word, &word, to))
            return busy ? -EBUSY : 0;
    }
}

AG__COLD int ag__gate_lock_slow(ag__gate *x, int mode) {
    struct ag__gate_waiter w = {NULL, NULL, 0, false};
    int r = step(x, mode, 0);
    for (bool again = false; r == -EBUSY; again = true) {
        ag__m *m = ag__enter();
        ag__lock_acquire(&x->lock);
        r = step(x, mode, AG__GATE_WAITED(mode));
        int ended = r == -EBUSY ? ag__ended(m->g) : 0;
        if (r == -EBUSY && ended == 0) {
            w.g = m->g;
            w.epoch = ag__claim_begin(w.g);
            link_waiter(x, mode, &w, again);
            m = ag__park_until(m, AG__WAIT_IO_TURN, x, &x->lock, w.epoch, 0);
            ag__lock_acquire(&x->lock);
            unlink_waiter(x, mode, &w);
        }
        if (r == -EBUSY)
            note_nobody(x, mode);
        r = ended ? ended : r;
        ag__lock_release(&x->lock);
        ag__leave(m);
    }
    /* Set with both turns, so whoever has one sees it. */
    return r == 0 && atomic_load_explicit(&x->word, AG__RLX) & AG__GATE_MARKED ? 1 : r;
}

AG__COLD void ag__gate_pass_on(ag__gate *x, int mode) {
    ag__m *m = ag__enter();
    ag__lock_acquire(&x->lock);
    struct ag__gate_waiter *w = take_first(x, mode);
    note_nobody(x, mode);
    ag__g *g = w ? w->g : NULL;
    ag__lock_release(&x->lock);
    if (g)
        ag__ready(m, g);
    ag__leave(m);
}

int ag__gate_try_lock(ag__gate *x, int mode) {
    return step(x, mode, 0);
}

int ag__gate_enter(ag__gate *x) {
    uint64_t word = atomic_load_explicit(&x->word, AG__RLX);
    do {
        if (word & AG__GATE_CLOSED)
            return -ECANCELED;
    } while (!atomic_compare_exchange_weak(&x->word, &word, word + AG__GATE_ONE));
    return 0;
}

bool ag__gate_leave(ag__gate *x) {
    AG__HB_RELEASE(x);
    return ag__gate_was_last(x, atomic_fetch_sub(&x->word, AG__GATE_ONE), AG__GATE_ONE);
}

int ag__gate_close(ag__gate *x) {
    uint64_t word = atomic_load_explicit(&x->word, AG__RLX);
    do {
        if (word & AG__GATE_CLOSED)
            return -ECANCELED;
    } while (
        !atomic_compare_exchange_weak(&x->word, &word, (word | AG__GATE_CLOSED) + AG__GATE_ONE));
    ag__m *m = ag__enter();
    for (int mode = 0; mode < 2; mode++) {
        struct ag__gate_waiter *list = NULL, *w;
        ag__lock_acquire(&x->lock);
        while ((w = take_first(x, mode)) != NULL) {
            w->next = list;
            list = w;
        }
        ag__lock_release(&x->lock);
        while ((w = list) != NULL) {
            list = w->next; /* before ready: it lives on that stack */
            ag__ready(m, w->g);
        }
    }
    ag__leave(m);
    return 0;
}
