/* SPDX-License-Identifier: MIT */
/*
 * gate.c - who is inside an object that can be closed: the rare paths.
 *
 * Waiting for a turn: under the lock, set the waiting bit of the direction while somebody is
 * busy in it, link, park. Whoever leaves takes the busy bit out in one instruction and sees the
 * waiting bit as it was then; if it was set, the first in the line is woken and tries again. A
 * newcomer may get in before it, and then it waits again, in front of the line.
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
};

static void link_waiter(ag__gate *x, int mode, struct ag__gate_waiter *w, bool first) {
    struct ag__gate_waiter **at = &x->turns[mode];
    while (*at && !first)
        at = &(*at)->next;
    w->next = *at;
    *at = w;
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
    struct ag__gate_waiter w = {NULL, NULL};
    int r = step(x, mode, 0);
    for (bool again = false; r == -EBUSY; again = true) {
        ag__m *m = ag__enter();
        ag__lock_acquire(&x->lock);
        r = step(x, mode, AG__GATE_WAITED(mode));
        if (r == -EBUSY) {
            w.g = m->g;
            link_waiter(x, mode, &w, again);
            m = ag__park(m, AG__WAIT_IO, x, &x->lock);
        } else {
            ag__lock_release(&x->lock);
        }
        ag__leave(m);
    }
    return r;
}

AG__COLD void ag__gate_pass_on(ag__gate *x, int mode) {
    ag__m *m = ag__enter();
    ag__lock_acquire(&x->lock);
    struct ag__gate_waiter *w = x->turns[mode];
    if (w)
        x->turns[mode] = w->next;
    if (!x->turns[mode])
        atomic_fetch_and(&x->word, ~AG__GATE_WAITED(mode));
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
        ag__lock_acquire(&x->lock);
        struct ag__gate_waiter *w = x->turns[mode];
        x->turns[mode] = NULL;
        ag__lock_release(&x->lock);
        while (w) {
            struct ag__gate_waiter *next = w->next; /* before ready: it lives on that stack */
            ag__ready(m, w->g);
            w = next;
        }
    }
    ag__leave(m);
    return 0;
}
