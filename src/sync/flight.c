/* SPDX-License-Identifier: MIT */
/*
 * flight.c - single flight: a table of the calls under way, by key.
 *
 * A call's record and its key live on the stack of the caller that runs the function: that one
 * returns last, after it has taken the record out of the table and told everybody. Nothing is
 * allocated or copied. Who finds a record links a waiter into it, under the lock, and waits.
 *
 * The end is a deferred call, so that a panic or ag_goexit ends the flight, too. It takes the
 * record out, unless ag_flight_forget did, lets `share` see the result once for each waiter, and
 * wakes them. A waiter copies what it needs of the outcome into itself, because the record is
 * gone when it runs.
 */
#include "sync/sync.h"
#include <errno.h>
#include <string.h>

enum { BUCKETS = 16, LOOKS = 1000 /* at records, by who looks from outside */ };

enum outcome { RETURNED, PANICKED, EXITED };

struct waiter {
    struct waiter *next;
    ag__g *g;
    uint64_t epoch;
    struct call *call; /* Guarded by the flight's lock; NULL once it is over, and its frame gone. */
    enum outcome outcome; /* Written by the waker, with what follows. */
    void *value;
    ag_panic_info panic;
};

struct call {
    struct call *next; /* Guarded by the flight's lock, as all but what is constant. */
    struct flight *flight;
    const char *key; /* Constant. */
    uint64_t hash;   /* Constant. */
    bool listed;
    struct waiter *head, *tail;
    bool returned; /* Of the caller that runs it. */
    void *value;
};

struct flight {
    void (*share)(void *); /* the user's; constant */
    ag__lock lock;
    uint32_t unused;
    struct call *buckets[BUCKETS]; /* Guarded by lock. */
};
_Static_assert(sizeof(struct flight) == sizeof(ag_flight), "ag_flight holds a struct flight");

/* FNV-1a. */
static uint64_t hash_of(const char *key) {
    uint64_t h = 0xcbf29ce484222325;
    for (; *key; key++)
        h = (h ^ (unsigned char)*key) * 0x100000001b3;
    return h ^ h >> 32;
}

static struct call *find(struct flight *f, const char *key, uint64_t hash) {
    for (struct call *c = f->buckets[hash % BUCKETS]; c; c = c->next)
        if (c->hash == hash && strcmp(c->key, key) == 0)
            return c;
    return NULL;
}

static void take_out(struct flight *f, struct call *c) {
    if (!c->listed)
        return;
    struct call **at = &f->buckets[c->hash % BUCKETS];
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    c->listed = false;
}

/* Takes the waiters out of c that are still there, c itself out of the table. */
static struct waiter *close_call(struct flight *f, struct call *c) {
    ag__m *m = ag__enter();
    ag__lock_acquire(&f->lock);
    take_out(f, c);
    struct waiter *list = NULL, **end = &list;
    for (struct waiter *w = c->head; w; w = w->next) {
        w->call = NULL;
        if (!ag__claim(w->g, w->epoch))
            continue; /* its context has ended */
        *end = w;
        end = &w->next;
    }
    *end = NULL;
    c->head = c->tail = NULL;
    ag__lock_release(&f->lock);
    ag__leave(m);
    return list;
}

/* The call is over, whatever way. */
static void land(struct call *c) {
    struct flight *f = c->flight;
    const ag_panic_info *panic = c->returned ? NULL : ag__panicking();
    AG__HB_RELEASE(&f->buckets[c->hash % BUCKETS]);
    struct waiter *list = close_call(f, c);
    for (struct waiter *w = list; w; w = w->next) {
        w->outcome = c->returned ? RETURNED : panic ? PANICKED : EXITED;
        w->value = c->value;
        if (panic)
            w->panic = *panic;
        else if (c->returned && f->share)
            f->share(c->value);
    }
    AG__HB_RELEASE(f);
    ag__m *m = ag__enter();
    for (struct waiter *w; (w = list) != NULL;) {
        list = w->next; /* before ready: it lives on the woken stack */
        ag__ready(m, w->g);
    }
    ag__leave(m);
}

static void *fly(struct call *c, ag__fn fn, const intptr_t args[6]) {
    ag_defer(land, c);
    c->value = (void *)ag__call(fn, args);
    c->returned = true;
    return c->value;
}

/* Its context has ended while it waited: out of the call's list, unless the call is over. */
static AG__COLD void give_up(struct flight *f, struct waiter *w) {
    ag__lock_acquire(&f->lock);
    struct call *c = w->call;
    if (c) {
        struct waiter *before = NULL, *at = c->head;
        for (; at != w; at = at->next)
            before = at;
        *(before ? &before->next : &c->head) = w->next;
        if (c->tail == w)
            c->tail = before;
    }
    ag__lock_release(&f->lock);
}

/* f->lock is held, and released. */
static int fly_along(ag__m *m, struct flight *f, struct call *c, void **ret_value) {
    int ended = ag__ended(m->g);
    if (ended) {
        ag__lock_release(&f->lock);
        ag__leave(m);
        return ended;
    }
    struct waiter w;
    w.next = NULL;
    w.g = m->g;
    w.call = c;
    w.epoch = ag__claim_begin(m->g);
    if (c->tail)
        c->tail->next = &w;
    else
        c->head = &w;
    c->tail = &w;
    m = ag__park_claimed(m, AG__WAIT_FLIGHT, f, &f->lock, w.epoch);
    if (m->g->woken != AG__WOKEN_NORMAL) {
        give_up(f, &w);
        ended = ag__end_of(m->g);
    }
    ag__leave(m);
    AG__HB_ACQUIRE(f);
    if (ended)
        return ended;
    if (w.outcome == PANICKED)
        ag__panic_at(w.panic.file, w.panic.line, w.panic.value, "%s", w.panic.msg);
    if (w.outcome == EXITED)
        ag_goexit();
    if (ret_value)
        *ret_value = w.value;
    return 1;
}

int ag__flight_do(ag_flight *flight, const char *key, void **ret_value, ag__fn fn,
                  const intptr_t args[6]) {
    struct flight *f = (struct flight *)flight;
    struct call call = {.flight = f, .key = key, .hash = hash_of(key), .listed = true};
    ag__m *m = ag__enter();
    ag__lock_acquire(&f->lock);
    struct call *c = find(f, key, call.hash);
    if (c)
        return fly_along(m, f, c, ret_value);
    struct call **bucket = &f->buckets[call.hash % BUCKETS];
    call.next = *bucket;
    *bucket = &call;
    ag__lock_release(&f->lock);
    ag__leave(m);
    AG__HB_ACQUIRE(bucket);
    void *value = fly(&call, fn, args);
    if (ret_value)
        *ret_value = value;
    return 0;
}

void ag_flight_forget(ag_flight *flight, const char *key) {
    struct flight *f = (struct flight *)flight;
    uint64_t hash = hash_of(key);
    ag__m *m = ag__enter();
    ag__lock_acquire(&f->lock);
    struct call *c = find(f, key, hash);
    if (c)
        take_out(f, c);
    ag__lock_release(&f->lock);
    ag__leave(m);
}

/* --- For who looks from outside. --- */

static bool waits_for(const struct call *c, const ag__g *g) {
    struct waiter copy;
    int left = LOOKS;
    for (const struct waiter *w = c->head; w && left-- > 0; w = copy.next)
        if (ag__os_peek(w, &copy, sizeof copy) != 0)
            return false;
        else if (copy.g == g)
            return true;
    return false;
}

const void *ag__flight_look(const void *flight, const ag__g *g) {
    struct flight f;
    struct call copy;
    int left = LOOKS;
    if (ag__os_peek(flight, &f, sizeof f) != 0)
        return NULL;
    for (int i = 0; i < BUCKETS; i++)
        for (const struct call *c = f.buckets[i]; c && left-- > 0; c = copy.next)
            if (ag__os_peek(c, &copy, sizeof copy) != 0)
                return NULL;
            else if (waits_for(&copy, g))
                return c;
    return NULL;
}
