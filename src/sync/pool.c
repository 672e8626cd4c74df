/* SPDX-License-Identifier: MIT */
/*
 * pool.c - objects kept for reuse, in magazines: Bonwick and Adams, "Magazines and Vmem", 2001.
 *
 * A magazine is a stack of some pointers. Each P has two, which it uses by plain loads and stores:
 * while its thread is inside the runtime nobody can take the P away. It needs the depot, which has
 * a lock, only when both are empty or both are full, and then trades a whole magazine; with two of
 * them that is at most once in ROUNDS calls, whatever the order of gets and puts. So what one P
 * puts another one gets. One more lies beside them, `warm`: a get after a put waits for one store,
 * not for a magazine's count and its item one after the other. Threads without a P use the depot's
 * own pair, under its lock.
 *
 * Go empties a pool after two collections. Here the depot notes the fewest full magazines it had
 * during a period: so many were not needed, and are destroyed at its end, that is with the next
 * trade. Without a `destroy` nothing is.
 *
 * The user's functions run outside of the runtime.
 */
#include "sync/sync.h"
#include <stdlib.h>

enum { ROUNDS = AG__SIZE(16, 2) };

#define PERIOD_NS 1000000000

struct magazine {
    struct magazine *next; /* Guarded by the depot's lock while it is there. */
    int count;
    void *items[ROUNDS];
};

/* Of a P: its thread's, inside the runtime. The depot's own: guarded by its lock. */
struct pair {
    void *warm; /* not in the depot's own */
    struct magazine *loaded, *before;
};

struct shard {
    _Alignas(AG__CACHE_LINE) struct pair pair;
};

struct depot {
    ag__lock lock;
    int shards;             /* Constant: Ps with an index below have one. */
    struct magazine *full;  /* Guarded by lock; the last one put is the first. */
    struct magazine *empty; /* Guarded by lock. */
    int full_count, low;    /* Guarded by lock; `low`: the fewest since `since`. */
    int64_t since;          /* Guarded by lock. */
    struct pair own;        /* Guarded by lock. */
    struct shard shard[];
};

/* The public struct, with the meaning of its words. */
struct pool {
    void *(*create)(void); /* the user's, as destroy; constant */
    void (*destroy)(void *);
    struct depot *_Atomic depot; /* Atomic; NULL before the first put, then constant. */
};
_Static_assert(sizeof(struct pool) == sizeof(ag_pool), "ag_pool holds a struct pool");

static AG__COLD struct depot *new_depot(struct pool *pool) {
    int shards = atomic_load(&ag__sched.p_made);
    if (shards < 8)
        shards = 8;
    size_t bytes = sizeof(struct depot) + (size_t)shards * sizeof(struct shard);
    bytes = (bytes + AG__CACHE_LINE - 1) & ~(size_t)(AG__CACHE_LINE - 1);
    struct depot *d = aligned_alloc(AG__CACHE_LINE, bytes), *there = NULL;
    if (!d)
        return NULL;
    *d = (struct depot){.shards = shards};
    for (int i = 0; i < shards; i++)
        d->shard[i].pair = (struct pair){NULL, NULL, NULL};
    if (atomic_compare_exchange_strong(&pool->depot, &there, d))
        return d;
    free(d);
    return there;
}

static inline struct pair *pair_of(ag__m *m, struct depot *d) {
    return m->p && m->p->index < d->shards ? &d->shard[m->p->index].pair : NULL;
}

/* --- A pair. --- */

static inline void swap(struct pair *at) {
    struct magazine *loaded = at->loaded;
    at->loaded = at->before;
    at->before = loaded;
}

static inline void *pop(struct pair *at) {
    if (AG__UNLIKELY(!at->loaded || at->loaded->count == 0)) {
        if (!at->before || at->before->count == 0)
            return NULL;
        swap(at);
    }
    return at->loaded->items[--at->loaded->count];
}

static inline bool push(struct pair *at, void *item) {
    if (AG__UNLIKELY(!at->loaded || at->loaded->count == ROUNDS)) {
        if (!at->before || at->before->count == ROUNDS)
            return false;
        swap(at);
    }
    at->loaded->items[at->loaded->count++] = item;
    return true;
}

/* --- The depot. Its lock is held. --- */

static void keep(struct depot *d, struct magazine *x) {
    if (!x)
        return;
    struct magazine **list = x->count ? &d->full : &d->empty;
    d->full_count += x->count != 0;
    x->next = *list;
    *list = x;
}

/* What nobody needed since a while. */
static struct magazine *take_idle(struct depot *d, const struct pool *pool) {
    int64_t now = atomic_load_explicit(&ag__sched.coarse_now, memory_order_relaxed);
    if (now - d->since < PERIOD_NS || !pool->destroy)
        return NULL;
    int keep_count = d->full_count - d->low;
    struct magazine **at = &d->full;
    for (int i = 0; i < keep_count; i++)
        at = &(*at)->next;
    struct magazine *idle = *at;
    *at = NULL;
    d->full_count = d->low = keep_count;
    d->since = now;
    return idle;
}

/* An empty one of the pair for a full one. */
static void *refill(struct depot *d, struct pair *at) {
    struct magazine *x = d->full;
    if (!x)
        return NULL;
    d->full = x->next;
    if (--d->full_count < d->low)
        d->low = d->full_count;
    keep(d, at->before);
    at->before = at->loaded;
    at->loaded = x;
    return pop(at);
}

/* A full one of the pair for an empty one. */
static bool make_room(struct depot *d, struct pair *at, void *item) {
    struct magazine *x = d->empty;
    if (!x)
        return false;
    d->empty = x->next;
    keep(d, at->before);
    at->before = at->loaded;
    at->loaded = x;
    return push(at, item);
}

/* --- The public functions. --- */

static void destroy_one(const struct pool *pool, void *item) {
    AG__HB_ACQUIRE(item);
    pool->destroy(item);
}

static void destroy_all(const struct pool *pool, struct magazine *list) {
    for (struct magazine *x; (x = list) != NULL;) {
        list = x->next;
        while (pool->destroy && x->count > 0)
            destroy_one(pool, x->items[--x->count]);
        free(x);
    }
}

/* The pair of this P had nothing to pop, or is the depot's. */
static AG__COLD ag__m *get_slow(ag__m *m, struct pool *pool, struct depot *d, struct pair *at,
                                void **ret_item) {
    ag__lock_acquire(&d->lock);
    void *item = at ? NULL : pop(&d->own);
    if (!item)
        item = refill(d, at ? at : &d->own);
    struct magazine *idle = take_idle(d, pool);
    ag__lock_release(&d->lock);
    *ret_item = item;
    if (idle) {
        ag__leave(m);
        destroy_all(pool, idle);
        m = ag__enter();
    }
    return m;
}

/* Nothing is warm. */
static AG__COLD void *get_cold(struct pool *pool, struct depot *d) {
    void *item = NULL;
    if (d) {
        ag__m *m = ag__enter();
        struct pair *at = pair_of(m, d);
        if (at && at->warm) {
            item = at->warm;
            at->warm = NULL;
        } else if (at) {
            item = pop(at);
        }
        if (!item)
            m = get_slow(m, pool, d, at, &item);
        ag__leave(m);
    }
    if (item)
        AG__HB_ACQUIRE(item);
    else if (pool->create)
        item = pool->create();
    return item;
}

void *ag_pool_get(ag_pool *public) {
    struct pool *pool = (struct pool *)public;
    /* Acquire. Partner: the exchange of new_depot. */
    struct depot *d = atomic_load_explicit(&pool->depot, memory_order_acquire);
    if (AG__LIKELY(d != NULL)) {
        ag__m *m = ag__enter();
        struct pair *at = pair_of(m, d);
        void *item = at ? at->warm : NULL;
        if (AG__LIKELY(item != NULL)) {
            at->warm = NULL;
            ag__leave(m);
            AG__HB_ACQUIRE(item);
            return item;
        }
        ag__leave(m);
    }
    return get_cold(pool, d);
}

/* Neither magazine of this P has room, or the pair is the depot's. False: no empty one there. */
static AG__COLD bool put_slow(struct pool *pool, struct depot *d, void *item) {
    ag__m *m = ag__enter();
    struct pair *at = pair_of(m, d); /* perhaps of another P by now */
    bool kept = at && push(at, item);
    struct magazine *idle = NULL;
    if (!kept) {
        ag__lock_acquire(&d->lock);
        kept = (!at && push(&d->own, item)) || make_room(d, at ? at : &d->own, item);
        idle = take_idle(d, pool);
        ag__lock_release(&d->lock);
    }
    ag__leave(m);
    destroy_all(pool, idle);
    return kept;
}

static bool add_empty(struct depot *d) {
    struct magazine *x = malloc(sizeof *x);
    if (!x)
        return false;
    x->count = 0;
    ag__m *m = ag__enter();
    ag__lock_acquire(&d->lock);
    keep(d, x);
    ag__lock_release(&d->lock);
    ag__leave(m);
    return true;
}

/* There is something warm already. */
static AG__COLD void put_cold(struct pool *pool, struct depot *d, void *item) {
    if (!d)
        d = new_depot(pool);
    bool kept = false;
    while (d && !(kept = put_slow(pool, d, item)))
        if (!add_empty(d))
            break;
    if (!kept && pool->destroy)
        pool->destroy(item); /* out of memory */
}

void ag_pool_put(ag_pool *public, void *item) {
    struct pool *pool = (struct pool *)public;
    if (!item)
        return;
    struct depot *d = atomic_load_explicit(&pool->depot, memory_order_acquire);
    AG__HB_RELEASE(item);
    if (AG__LIKELY(d != NULL)) {
        ag__m *m = ag__enter();
        struct pair *at = pair_of(m, d);
        if (AG__LIKELY(at && !at->warm)) {
            at->warm = item;
            ag__leave(m);
            return;
        }
        ag__leave(m);
    }
    put_cold(pool, d, item);
}

void ag_pool_done(ag_pool *public) {
    struct pool *pool = (struct pool *)public;
    struct depot *d = atomic_exchange(&pool->depot, NULL);
    if (!d)
        return;
    for (int i = -1; i < d->shards; i++) {
        struct pair *at = i < 0 ? &d->own : &d->shard[i].pair;
        keep(d, at->loaded);
        keep(d, at->before);
        if (at->warm && pool->destroy)
            destroy_one(pool, at->warm);
    }
    destroy_all(pool, d->full);
    destroy_all(pool, d->empty);
    free(d);
}
