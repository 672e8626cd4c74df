/* SPDX-License-Identifier: MIT */
/*
 * order.c - the order in which locks are taken: a graph, and the search for a circle in it.
 *
 * An edge says: somebody held `from` and went to wait for `to`, and what else it held then. A
 * circle of edges is goroutines that could each wait for the next one, for ever, unless
 *
 * - two of them read the lock at which they meet (a reader does not wait for a reader), or
 * - two of them hold another lock, the gate, in a way that only one can at a time.
 *
 * What was held besides is the intersection of all times the edge was seen. An edge that is new,
 * or has lost a gate, is looked at; a circle is found when its last edge is seen, and is reported
 * once for each pair of places.
 *
 * Locks are named by numbers that are never used again, not by addresses: freed memory may become
 * another lock. The edges are a ring, so the oldest are forgotten.
 */
#include "sync/order.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EDGES = AG__SIZE(8192, 64), BUCKETS = 1024, GATES = 6, FRAMES = 12, DEPTH = 6, PLACES = 64 };

struct edge {
    ag__hold from, to; /* from.id 0: unused */
    ag__hold gates[GATES];
    int gate_count;
    ag__who who;
    uintptr_t pcs[FRAMES];
    int frames;
    uint32_t visit;
    struct edge *next; /* of the same bucket, by from.id */
};

struct ag__cycle {
    int count;
    struct edge edges[DEPTH]; /* the newest first */
};

/* Guarded by the caller's lock, all of it. */
static struct edge *ring; /* NULL before the first, or out of memory */
static struct edge *buckets[BUCKETS];
static uint32_t ring_at, visits;
static struct { uintptr_t from, to; } places[PLACES];
static uint32_t places_at;

static struct edge **bucket_of(uint32_t id) {
    return &buckets[id % BUCKETS];
}

static void drop(struct edge *e) {
    struct edge **at = bucket_of(e->from.id);
    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    e->from.id = 0;
}

static struct edge *new_edge(uint32_t from) {
    if (!ring && (ring = calloc(EDGES, sizeof *ring)) == NULL)
        return NULL;
    struct edge *e = &ring[ring_at++ % EDGES];
    if (e->from.id)
        drop(e);
    memset(e, 0, sizeof *e);
    e->next = *bucket_of(from);
    *bucket_of(from) = e;
    return e;
}

static bool is_same(ag__hold a, ag__hold b) {
    return a.id == b.id && a.writes == b.writes;
}

static struct edge *find(ag__hold from, ag__hold to) {
    for (struct edge *e = *bucket_of(from.id); e; e = e->next)
        if (is_same(e->from, from) && is_same(e->to, to))
            return e;
    return NULL;
}

static bool meet(ag__hold a, ag__hold b) {
    return a.id == b.id && (a.writes || b.writes);
}

/* Whether a gate keeps the two apart. */
static bool are_apart(const struct edge *a, const struct edge *b) {
    for (int i = 0; i < a->gate_count; i++)
        for (int k = 0; k < b->gate_count; k++)
            if (meet(a->gates[i], b->gates[k]))
                return true;
    return false;
}

static bool fits(struct edge *const *path, int depth, const struct edge *e) {
    for (int i = 0; i < depth; i++)
        if (are_apart(path[i], e))
            return false;
    return true;
}

/* Extends path[0 .. depth-1] to a circle; returns its length or 0. */
static int close_circle(struct edge **path, int depth) {
    if (depth == DEPTH)
        return 0;
    ag__hold at = path[depth - 1]->to;
    for (struct edge *e = *bucket_of(at.id); e; e = e->next) {
        if (e->visit == visits || !meet(at, e->from) || !fits(path, depth, e))
            continue;
        path[depth] = e;
        if (meet(e->to, path[0]->from))
            return depth + 1;
        e->visit = visits;
        int n = close_circle(path, depth + 1);
        if (n)
            return n;
    }
    return 0;
}

static bool was_reported(uintptr_t from, uintptr_t to) {
    for (int i = 0; i < PLACES; i++)
        if (places[i].from == from && places[i].to == to)
            return true;
    places[places_at % PLACES].from = from;
    places[places_at++ % PLACES].to = to;
    return false;
}

static ag__cycle *look_for_circle(struct edge *e) {
    struct edge *path[DEPTH] = {e};
    visits++;
    int n = close_circle(path, 1);
    ag__cycle *c = n ? malloc(sizeof *c) : NULL;
    /* Without memory it was not reported: the next time, perhaps. */
    if (!c || was_reported(e->from.pc, e->to.pc)) {
        free(c);
        return NULL;
    }
    c->count = n;
    for (int i = 0; i < n; i++)
        c->edges[i] = *path[i];
    return c;
}

/* Leaves of the gates of e those that are held now. Returns true if some are gone. */
static bool narrow(struct edge *e, const ag__hold *held, int count) {
    int kept = 0, before = e->gate_count;
    for (int i = 0; i < before; i++) {
        bool is_held = false;
        for (int k = 0; k < count && !is_held; k++)
            is_held = is_same(e->gates[i], held[k]);
        if (is_held)
            e->gates[kept++] = e->gates[i];
    }
    e->gate_count = kept;
    return kept < before;
}

bool ag__order_is_new(const ag__hold *held, int count, ag__hold wanted) {
    for (int i = 0; i < count; i++)
        if (!find(held[i], wanted))
            return true;
    return false;
}

static void fill(struct edge *e, ag__who who, const ag__hold *held, int count, int from,
                 ag__hold wanted) {
    e->from = held[from];
    e->to = wanted;
    e->who = who;
    for (int i = 0; i < count && e->gate_count < GATES; i++)
        if (held[i].id != held[from].id)
            e->gates[e->gate_count++] = held[i];
}

ag__cycle *ag__order_seen(ag__who who, const ag__hold *held, int count, ag__hold wanted,
                          const uintptr_t *pcs, int frames) {
    ag__cycle *found = NULL;
    for (int i = 0; i < count; i++) {
        struct edge *e = find(held[i], wanted);
        if (e && !narrow(e, held, count))
            continue;
        if (!e) {
            if ((e = new_edge(held[i].id)) == NULL)
                return found;
            fill(e, who, held, count, i, wanted);
            e->frames = frames < FRAMES ? frames : FRAMES;
            memcpy(e->pcs, pcs, (size_t)e->frames * sizeof *pcs);
        }
        if (!found)
            found = look_for_circle(e);
    }
    return found;
}

void ag__order_forget(uint32_t id) {
    for (int i = 0; ring && i < EDGES; i++)
        if (ring[i].from.id && (ring[i].from.id == id || ring[i].to.id == id))
            drop(&ring[i]);
}

void ag__order_report(ag__cycle *c) {
    ag__report *r = ag__report_new("lock order");
    if (r) {
        snprintf(r->text, sizeof r->text, "%d locks are taken in contradicting orders", c->count);
        for (int i = 0; i < c->count; i++) {
            const struct edge *e = &c->edges[i];
            ag__report_goroutine(r, e->who);
            ag__report_detail(r, "    held the lock at %p, taken by ", e->from.address);
            ag__report_place(r, e->from.pc);
            ag__report_detail(r, "    and then took the one at %p:\n", e->to.address);
            for (int k = 0; k < e->frames; k++) {
                ag__report_detail(r, "      ");
                ag__report_place(r, e->pcs[k]);
            }
        }
        ag__report_send(r);
    }
    free(c);
}
