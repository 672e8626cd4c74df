/* SPDX-License-Identifier: MIT */
/*
 * waitgroup.c - the wait group: a counter and a list of waiters under a biased lock.
 *
 * The group may be freed as soon as one waiter has returned. So whoever brings the counter to 0
 * takes the waiters out, lets go of the lock, which is its last touch of the group, and only
 * then readies them; and a caller of ag_wg_wait that need not wait has held the lock, too.
 */
#include "sync/sync.h"

struct waiter {
    struct waiter *next;
    ag__g *g;
};

struct group {
    ag__bias lock;
    int32_t counter; /* Guarded by lock. */
    int32_t unused;
    struct waiter *head; /* Guarded by lock. */
};
_Static_assert(sizeof(struct group) == sizeof(ag_wg), "ag_wg holds a struct group");

static AG__COLD void misuse(ag__m *m, struct group *w, bool cheap, int64_t sum, void *pc) {
    ag__bias_unlock(m, &w->lock, cheap);
    ag__leave(m);
    ag__panic_text(pc, sum < 0 ? "sync: negative WaitGroup counter"
                               : "sync: WaitGroup misuse: Add called concurrently with Wait");
}

static inline void add(struct group *w, int n, void *pc) {
    if (n < 0)
        AG__HB_RELEASE(w);
    ag__m *m = ag__enter();
    bool cheap = ag__bias_lock(m, &w->lock);
    int64_t sum = (int64_t)w->counter + n;
    if (AG__UNLIKELY(sum < 0 || sum > INT32_MAX || (w->head && w->counter == 0)))
        misuse(m, w, cheap, sum, pc);
    w->counter = (int32_t)sum;
    struct waiter *list = NULL;
    if (sum == 0) {
        list = w->head;
        w->head = NULL;
    }
    ag__bias_unlock(m, &w->lock, cheap);
    while (list) {
        struct waiter *x = list;
        list = x->next; /* before ready: the waiter lives on the woken stack */
        ag__ready(m, x->g);
    }
    ag__leave(m);
}

void ag_wg_add(ag_wg *wg, int n) {
    add((struct group *)wg, n, __builtin_return_address(0));
}
void ag_wg_done(ag_wg *wg) {
    add((struct group *)wg, -1, __builtin_return_address(0));
}

void ag_wg_wait(ag_wg *wg) {
    struct group *w = (struct group *)wg;
    ag__m *m = ag__enter();
    bool cheap = ag__bias_lock(m, &w->lock);
    if (w->counter == 0) {
        ag__bias_unlock(m, &w->lock, cheap);
    } else {
        struct waiter x = {w->head, m->g};
        w->head = &x;
        m = ag__park(m, AG__WAIT_WAIT_GROUP, w, cheap ? NULL : &w->lock.lock);
    }
    ag__leave(m);
    AG__HB_ACQUIRE(w);
}

static void end(void *wg) {
    add(wg, -1, NULL);
}

int64_t ag__wg_go(ag_wg *wg, const struct ag__site *site, ag__fn fn, const intptr_t args[6]) {
    ag_wg_add(wg, 1);
    int64_t r = ag__go_ending(NULL, end, wg, site, fn, args);
    if (r < 0)
        ag_wg_done(wg);
    return r;
}

bool ag__wg_peek(const void *wg, int *ret_counter) {
    struct group w;
    if (ag__os_peek(wg, &w, sizeof w) != 0)
        return false;
    *ret_counter = w.counter;
    return true;
}

AG__NO_SANITIZE const void *ag__wg_of(ag__g *g) {
    void (*fn)(void *) = __atomic_load_n(&g->end_fn, __ATOMIC_RELAXED);
    void *arg = __atomic_load_n(&g->end_arg, __ATOMIC_RELAXED);
    if (AG__UNLIKELY(ag__checks) && fn)
        ag__check_end_of(&fn, &arg);
    return fn == end ? arg : NULL;
}
