/* SPDX-License-Identifier: MIT */
/*
 * check.c - the debug checks: who holds which lock, since where.
 *
 * Each goroutine or thread that holds a lock has a record of its locks, made with the first and
 * freed with the last, by itself. All records are under one lock, because a stranger may unlock
 * what another one holds. A record also watches the end of its goroutine: it stands in front of
 * the function that was to run then. Records of goroutines that were dropped at the end of a world
 * stay: their locks are locked for ever.
 *
 * A lock gets a number when it is first seen, kept in its `bias` word; it is never biased then. One
 * that a stranger has unlocked is marked there, and nothing is said about it from then on.
 *
 *     bias: number << 4 | AG__READ_ALONG | AG__STRANGER | AG__SHARED
 *
 * Nothing here is on the way of a program without checks, but for one look at ag__checks.
 */
#include "os/unwind.h"
#include "sync/order.h"
#include "sync/sync.h"
#include <stdio.h>
#include <stdlib.h>

enum { NUMBER_SHIFT = 4, FRAMES = 16 };

struct held {
    struct held *next, **at; /* all records */
    ag__g *g;
    void (*end_fn)(void *); /* what was to run at the end of g */
    void *end_arg;
    int count, size;
    ag__hold *locks;
};

bool ag__checks;

static ag__lock check_lock; /* Taken alone. Guards what follows. */
static struct held *all;    /* with all in it, and the graph of order.c */
static uint32_t last_number;

__attribute__((constructor)) static void decide(void) {
    enum {
        BY_DEFAULT =
#if AG_CHECK
            1
#else
            0
#endif
    };
    ag__checks = ag__os_env("AGLET_CHECK", BY_DEFAULT) != 0;
}

/* --- Records. check_lock is held. --- */

static void at_end(void *arg);

static struct held *record_of(ag__g *g) {
    struct held *h = g->held;
    if (h)
        return h;
    h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    h->g = g;
    h->next = all;
    h->at = &all;
    if (all)
        all->at = &h->next;
    all = h;
    g->held = h;
    if (!(g->flags & AG__GF_FOREIGN)) {
        h->end_fn = g->end_fn;
        h->end_arg = g->end_arg;
        g->end_fn = at_end;
        g->end_arg = h;
    }
    return h;
}

/* The caller's own. */
static void drop_record(struct held *h) {
    *h->at = h->next;
    if (h->next)
        h->next->at = h->at;
    h->g->held = NULL;
    if (h->g->end_fn == at_end) {
        h->g->end_fn = h->end_fn;
        h->g->end_arg = h->end_arg;
    }
    free(h->locks);
    free(h);
}

static void drop_if_empty(struct held *h) {
    if (h && h->count == 0)
        drop_record(h);
}

static void add(struct held *h, ag__hold lock) {
    if (h->count == h->size) {
        int size = h->size ? 2 * h->size : 4;
        ag__hold *locks = realloc(h->locks, (size_t)size * sizeof *locks);
        if (!locks)
            return;
        h->locks = locks;
        h->size = size;
    }
    h->locks[h->count++] = lock;
}

/* The newest hold of this kind; -1: none. */
static int find(const struct held *h, uint32_t id, bool writes) {
    for (int i = h ? h->count : 0; i-- > 0;)
        if (h->locks[i].id == id && h->locks[i].writes == writes)
            return i;
    return -1;
}

static void take_out(struct held *h, int i) {
    h->count--;
    for (; i < h->count; i++)
        h->locks[i] = h->locks[i + 1];
}

static bool holds(const struct held *h, const void *address) {
    for (int i = 0; h && i < h->count; i++)
        if (h->locks[i].address == address)
            return true;
    return false;
}

/* The lock's number; 0: it takes no part. */
static uint32_t number_of(ag__biased *w) {
    uintptr_t bias = atomic_load_explicit(&w->bias, AG__RLX);
    if (!bias) {
        bias = (uintptr_t)++last_number << NUMBER_SHIFT | AG__SHARED;
        /* Release. Partner: ag__is_shared. */
        atomic_store_explicit(&w->bias, bias, memory_order_release);
    }
    return bias & AG__STRANGER ? 0 : (uint32_t)(bias >> NUMBER_SHIFT);
}

static ag__m *check_begin(void) {
    ag__m *m = ag__enter();
    ag__lock_acquire(&check_lock);
    return m;
}

static void check_end(ag__m *m) {
    ag__lock_release(&check_lock);
    ag__leave(m);
}

/* --- Locking. --- */

static int stack_from(uintptr_t pc, uintptr_t *ret_pcs) {
    uintptr_t pcs[FRAMES + 4];
    int n = ag__unwind_here(pcs, FRAMES + 4, 1), from = 0;
    while (from < n && pcs[from] != pc)
        from++;
    if (from == n)
        from = 0;
    int count = n - from < FRAMES ? n - from : FRAMES;
    for (int i = 0; i < count; i++)
        ret_pcs[i] = pcs[from + i];
    return count;
}

void ag__check_meet(ag__biased *w) {
    ag__m *m = check_begin();
    number_of(w);
    check_end(m);
}

void ag__check_before(ag__biased *w, bool writes, void *pc) {
    uintptr_t pcs[FRAMES];
    ag__cycle *cycle = NULL;
    ag__m *m = check_begin();
    ag__hold wanted = {w, number_of(w), writes, (uintptr_t)pc};
    struct held *h = m->g->held;
    if (h && wanted.id && !holds(h, w)) {
        int frames =
            ag__order_is_new(h->locks, h->count, wanted) ? stack_from((uintptr_t)pc, pcs) : 0;
        cycle = ag__order_seen(ag__who_of(m->g), h->locks, h->count, wanted, pcs, frames);
    }
    check_end(m);
    if (cycle)
        ag__order_report(cycle);
}

void ag__check_locked(ag__biased *w, bool writes, void *pc) {
    ag__m *m = check_begin();
    uint32_t number = number_of(w);
    struct held *h = m->g->held;
    if (number && (h = record_of(m->g)) != NULL)
        add(h, (ag__hold){w, number, writes, (uintptr_t)pc});
    drop_if_empty(m->g->held);
    check_end(m);
}

void ag__check_unlock(ag__biased *w, bool writes) {
    ag__m *m = check_begin();
    uint32_t number = number_of(w);
    int i = number ? find(m->g->held, number, writes) : -1;
    if (i >= 0) {
        take_out(m->g->held, i);
        drop_if_empty(m->g->held);
    } else if (number) {
        struct held *h = all;
        while (h && (i = find(h, number, writes)) < 0)
            h = h->next;
        if (h) {
            take_out(h, i);
            atomic_fetch_or_explicit(&w->bias, AG__STRANGER, AG__RLX);
            ag__order_forget(number);
        }
    }
    check_end(m);
}

/* --- The end of a goroutine that holds locks. --- */

static void at_end(void *arg) {
    struct held *h = arg;
    ag__m *m = check_begin();
    ag__g *g = m->g;
    void (*end_fn)(void *) = h->end_fn;
    void *end_arg = h->end_arg;
    ag__who who = ag__who_of(g);
    int count = h->count;
    bool silent = count == 0 || g == ag__sched.main_g;
    ag__report *r = silent ? NULL : ag__report_new("lock held at exit");
    ag__hold *locks = h->locks;
    h->locks = NULL;
    drop_record(h);
    check_end(m);
    if (r) {
        snprintf(r->text, sizeof r->text, "a goroutine ended with %d lock%s held", count,
                 count == 1 ? "" : "s");
        ag__report_goroutine(r, who);
        for (int i = 0; i < count; i++) {
            ag__report_detail(r, "    holds the lock at %p, taken by ", locks[i].address);
            ag__report_place(r, locks[i].pc);
        }
        ag__report_send(r);
    }
    free(locks);
    if (end_fn)
        end_fn(end_arg);
}

/* --- For who looks from outside. --- */

uintptr_t ag__check_taken_at(ag__g *g, const void *lock) {
    uintptr_t pc = 0;
    ag__m *m = check_begin();
    const struct held *h = g->held;
    for (int i = 0; h && i < h->count; i++)
        if (h->locks[i].address == lock)
            pc = h->locks[i].pc;
    check_end(m);
    return pc;
}

/* No lock: dumps ask, too, and wait for nobody. */
void ag__check_end_of(void (**ret_fn)(void *), void **ret_arg) {
    struct held h;
    if (*ret_fn == at_end && ag__os_peek(*ret_arg, &h, sizeof h) == 0) {
        *ret_fn = h.end_fn;
        *ret_arg = h.end_arg;
    }
}
