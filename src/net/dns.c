/* SPDX-License-Identifier: MIT */
/*
 * dns.c - names to addresses.
 *
 * The system's resolver knows hosts files, search domains and whatever else the machine is set up
 * for, and it blocks its thread; nothing stops it. So it is asked by goroutines that are there for
 * this alone, with the processor handed on, and on a stack of their own size: resolver modules put
 * whole answers on the stack. Who waits for an answer can go at any time; the question stays until
 * it is answered. Refused: a resolver of our own, which would know less than the system's.
 *
 *     goroutine                               table                 askers, MAX at most
 *     finds the same question, or makes one   queued -> asked  <--  take the oldest; ask; tell who
 *     starts an asker, if there may be more   by name               waits; take the next, or end
 *     waits in the question's list
 *
 * So equal questions are asked once at a time: who comes while one is asked gets its answer. One
 * that is queued and that nobody waits for any more is taken out. The port is no part of a
 * question, unless it has a name; it is put into each copy of the answer.
 *
 * A question belongs to the table or its asker, and to those who wait, by counting. One lock guards
 * the table and all the lists: what is done under it is short beside a resolver.
 *
 * When a world ends, askers and waiters are dropped where they stand. The next one begins with an
 * empty table. A thread that is in the resolver then comes back some time, sees that its question
 * is an orphan, and frees it; all else that touches the table does so inside the runtime, where no
 * thread is that was left behind.
 *
 * A thread that is no goroutine asks by itself: it may block, and it may outlive the world.
 */
#include "lang/lang.h"
#include "net/net.h"
#include <aglet/ctx.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { STACK = 256 * 1024, BUCKETS = 32, MAX_DEFAULT = AG__SIZE(64, 2) };

/* Lives on the stack of who waits. */
struct waiter {
    struct waiter *next; /* Guarded by lock. */
    ag__g *g;
    uint64_t epoch;
    bool linked; /* Guarded by lock. */
};

struct question {
    ag__object object;
    ag__host_port parts; /* Constant; without the number of the port. */
    int kind;            /* Constant. */
    bool datagram;       /* Constant. */
    bool listens;        /* Constant. */
    uint32_t hash;       /* Constant. */
    bool asked;          /* Guarded by lock. */
    bool answered;       /* Guarded by lock. */
    bool returned;       /* Guarded by lock: the resolver has. */
    bool orphaned;       /* Guarded by lock: who comes from the resolver frees it. */
    int wanted;          /* Guarded by lock: who waits, or is about to. */
    struct question *in_bucket, *in_queue; /* Guarded by lock. */
    struct waiter *first;                  /* Guarded by lock. */
    int result; /* Of the asker; constant once answered, as the addresses. */
    ag__addr addrs[AG__TARGETS];
};

static ag__lock lock;
static struct question *buckets[BUCKETS];  /* Guarded by lock: queued or asked; by hash. */
static struct question *oldest, *youngest; /* Guarded by lock: the queue. */
static int askers;                         /* Guarded by lock. */
static uint32_t world;                     /* Guarded by lock: to which all that belongs. */

static void free_question(ag__object *o) {
    free(ag__container_of(o, struct question, object));
}

static int askers_max(void) {
    static _Atomic int max;
    int n = atomic_load_explicit(&max, AG__RLX);
    if (n == 0) {
        int64_t set = ag__os_env("AGLET_MAX_LOOKUPS", 0);
        n = set > 0 && set <= INT32_MAX ? (int)set : MAX_DEFAULT;
        atomic_store_explicit(&max, n, AG__RLX);
    }
    return n;
}

/* --- The table. Lock held. --- */

/* FNV-1a. */
static uint32_t hash_of(const char *text) {
    uint32_t h = 0x811c9dc5;
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * 0x01000193;
    return h ^ h >> 16;
}

static bool is_same(const struct question *a, const struct question *b) {
    return a->hash == b->hash && a->kind == b->kind && a->datagram == b->datagram &&
           a->listens == b->listens && strcmp(a->parts.host, b->parts.host) == 0 &&
           strcmp(a->parts.port_name, b->parts.port_name) == 0;
}

static struct question *find(const struct question *like) {
    struct question *q = buckets[like->hash % BUCKETS];
    while (q && !is_same(q, like))
        q = q->in_bucket;
    return q;
}

/* Of the world before nobody waits any more, and nobody comes back but who is in the resolver. */
static void renew(void) {
    struct question *q, *next;
    if (world == ag__sched.world)
        return;
    for (int i = 0; i < BUCKETS; i++)
        for (q = buckets[i]; q; q = next) {
            next = q->in_bucket;
            if (q->asked && !q->returned)
                q->orphaned = true;
            else
                free(q);
        }
    memset(buckets, 0, sizeof buckets);
    oldest = youngest = NULL;
    askers = 0;
    world = ag__sched.world;
}

static void put_in(struct question *q) {
    struct question **bucket = &buckets[q->hash % BUCKETS];
    q->in_bucket = *bucket;
    *bucket = q;
    if (youngest)
        youngest->in_queue = q;
    else
        oldest = q;
    youngest = q;
}

static void take_out_of_bucket(struct question *q) {
    struct question **at = &buckets[q->hash % BUCKETS];
    while (*at != q)
        at = &(*at)->in_bucket;
    *at = q->in_bucket;
}

static void take_out_of_queue(struct question *q) {
    struct question *before = NULL, *at = oldest;
    for (; at != q; at = at->in_queue)
        before = at;
    if (before)
        before->in_queue = q->in_queue;
    else
        oldest = q->in_queue;
    if (youngest == q)
        youngest = before;
}

/* --- Asking. --- */

static void ask(struct question *q) {
    const ag__host_port *p = &q->parts;
    q->result = ag__addr_look_up(p->host[0] ? p->host : NULL, p->port_name[0] ? p->port_name : NULL,
                                 0, q->kind, q->datagram, q->listens, q->addrs, AG__TARGETS);
    ag__lock_acquire(&lock);
    q->returned = true;
    bool orphaned = q->orphaned;
    ag__lock_release(&lock);
    if (orphaned)
        free(q);
}

/* Tells who waits. Drops the table's reference. */
static void answer(struct question *q) {
    struct waiter *list = NULL, *next;
    ag__m *m = ag__enter();
    ag__lock_acquire(&lock);
    AG__HB_RELEASE(q);
    take_out_of_bucket(q);
    q->answered = true;
    for (struct waiter *w = q->first; w; w = next) {
        next = w->next;
        w->linked = false;
        if (!ag__claim(w->g, w->epoch))
            continue; /* its context has ended */
        w->next = list;
        list = w;
    }
    q->first = NULL;
    ag__lock_release(&lock);
    for (struct waiter *w; (w = list) != NULL;) {
        list = w->next; /* before ready: it lives on the woken stack */
        ag__ready(m, w->g);
    }
    ag__leave(m);
    ag_unref(q);
}

/* The oldest one in the queue; NULL, and one asker less, when there is none. */
static struct question *take_oldest(void) {
    ag__m *m = ag__enter();
    ag__lock_acquire(&lock);
    struct question *q = oldest;
    if (q) {
        take_out_of_queue(q);
        q->asked = true;
        AG__HB_ACQUIRE(q);
    } else {
        askers--;
    }
    ag__lock_release(&lock);
    ag__leave(m);
    return q;
}

/* In a goroutine of its own. */
static void ask_all(void) {
    for (struct question *q; (q = take_oldest()) != NULL;) {
        ag_blocking(ask, q);
        answer(q);
    }
}

/* The same, while there is no other asker; else NULL, and one less. */
static struct question *take_if_last(void) {
    ag__m *m = ag__enter();
    ag__lock_acquire(&lock);
    struct question *q = askers == 1 ? oldest : NULL;
    if (q)
        take_out_of_queue(q);
    else
        askers--;
    ag__lock_release(&lock);
    ag__leave(m);
    return q;
}

/* It may serve others for long, so it has no part in the context of who starts it. */
static void start_asker(void) {
    static const ag_go_opts opts = {.name = "name look-up", .stack_size = STACK};
    ag_ctx_enter(NULL);
    int64_t id = ag_go_with(&opts, ask_all);
    if (id >= 0)
        return;
    /* Without another asker, nobody would come to what is queued. */
    for (struct question *q; (q = take_if_last()) != NULL;) {
        q->result = (int)id;
        answer(q);
    }
}

/* --- Waiting. --- */

/* The question that is the same as `fresh`, with a reference: an older one, or `fresh` itself. */
static struct question *join(struct question *fresh, bool *ret_start) {
    ag__m *m = ag__enter();
    ag__lock_acquire(&lock);
    renew();
    struct question *q = find(fresh);
    *ret_start = !q && askers < askers_max();
    if (q) {
        ag__ref(q);
    } else {
        q = ag_ref(fresh);
        put_in(q);
        askers += *ret_start;
        AG__HB_RELEASE(q);
    }
    q->wanted++;
    ag__lock_release(&lock);
    ag__leave(m);
    return q;
}

/* Nobody may wait for it any more. Lock held. Returns whether the table's reference is to go. */
static bool leave(struct question *q) {
    if (--q->wanted > 0 || q->asked || q->answered)
        return false;
    take_out_of_queue(q);
    take_out_of_bucket(q);
    return true;
}

static void unlink_waiter(struct question *q, struct waiter *w) {
    if (!w->linked)
        return;
    struct waiter **at = &q->first;
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
}

/* 0 when there is an answer, or why the current context has ended. */
static int wait_for_answer(struct question *q) {
    struct waiter w = {.linked = true};
    ag__m *m = ag__enter();
    ag__lock_acquire(&lock);
    int err = q->answered ? 0 : ag__ended(m->g);
    if (!q->answered && err == 0) {
        w.g = m->g;
        w.epoch = ag__claim_begin(m->g);
        w.next = q->first;
        q->first = &w;
        m = ag__park_until(m, AG__WAIT_BLOCKING, q, &lock, w.epoch, 0);
        if (m->g->woken == AG__WOKEN_ENDED)
            err = ag__end_of(m->g);
        ag__lock_acquire(&lock);
        unlink_waiter(q, &w);
    }
    bool gone = leave(q);
    ag__lock_release(&lock);
    AG__HB_ACQUIRE(q);
    ag__leave(m);
    if (gone)
        ag_unref(q);
    return err;
}

static struct question *question_new(const ag__host_port *parts, int kind, bool datagram,
                                     bool listens) {
    struct question *q = calloc(1, sizeof *q);
    if (!q)
        return NULL;
    ag__object_init(&q->object, free_question);
    q->parts = *parts;
    q->parts.port = 0;
    q->kind = kind;
    /* What makes no difference to the answer is not asked. */
    q->datagram = parts->port_name[0] && datagram;
    q->listens = !parts->host[0] && listens;
    q->hash = hash_of(parts->host);
    return q;
}

static bool is_goroutine(void) {
    ag__m *m = ag__enter();
    bool is = !ag__is_foreign(m);
    ag__leave(m);
    return is;
}

int ag__dns_look_up(const ag__host_port *parts, int kind, bool datagram, bool listens,
                    ag__addr *ret_addrs, int max) {
    bool start = false;
    int r = ag__ended_here();
    if (r != 0)
        return r;
    struct question *fresh = question_new(parts, kind, datagram, listens), *q = fresh;
    if (!fresh)
        return -ENOMEM;
    if (is_goroutine()) {
        q = join(fresh, &start);
        if (q != fresh)
            ag_unref(fresh);
        if (start)
            start_asker();
        r = wait_for_answer(q);
    } else {
        ask(q);
    }
    if (r == 0)
        r = q->result < max ? q->result : max;
    for (int i = 0; i < r; i++) {
        ret_addrs[i] = q->addrs[i];
        if (!parts->port_name[0])
            ag__addr_set_port(&ret_addrs[i], parts->port);
    }
    ag_unref(q);
    return r;
}

int ag_lookup_host(const char *host, ag_host_addr *ret_addrs, int max) {
    ag__host_port parts = {.port = 0};
    ag__addr addrs[AG__TARGETS];
    if (!host || !host[0] || strlen(host) >= sizeof parts.host || max < 1)
        return -EINVAL;
    int n = 1;
    if (ag__addr_number(host, AG__ADDR_NONE, 0, &addrs[0]) != 0) {
        memcpy(parts.host, host, strlen(host));
        n = ag__dns_look_up(&parts, AG__ADDR_NONE, false, false, addrs,
                            max < AG__TARGETS ? max : AG__TARGETS);
    }
    for (int i = 0; i < n; i++)
        ag__addr_host_text(&addrs[i], ret_addrs[i].text, sizeof ret_addrs[i].text);
    return n;
}
