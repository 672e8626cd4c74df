/* SPDX-License-Identifier: MIT */
/*
 * detect_look.c - one look at the goroutines that wait: who needs whom, and who can never go on.
 *
 * Nobody is stopped. A look reads the records of those that wait, then what they wait for, then the
 * records again: who has waited all the time - the resume counter is the same - did nothing in
 * between, so what was read in between of what it holds is true, and stays true until it goes on.
 *
 * An edge says that `from` can't go on before `to` does: it waits for a lock that `to` holds, for a
 * group, scope or job that the end of `to` must count down, for a call that `to` runs. All of them
 * are needed, so one that is stuck is enough. A goroutine is *alone* if it waits for what nobody
 * has in hand: a nil channel, one without references, more of a semaphore than there is.
 *
 * Then those that may go on are taken away, until nobody is left of whom that is known: first those
 * that need nobody we know of and are not alone, then those that need only such. Who is left leads
 * to a circle or to one that is alone, and waits for ever.
 *
 * What is not known makes a goroutine one that may go on. So there are no edges from waits whose
 * wakers can't be told: channels, conditions, semaphores, groups counted by hand. With
 * AGLET_SCAN=heap memory is searched for what they wait for (detect_scan.c).
 */
#include "ctx/ctx.h"
#include "debug/detect.h"
#include "lang/lang.h"
#include "sync/sync.h"
#include <stdlib.h>
#include <string.h>

/* --- Which waits take part. --- */

static bool takes_part(int reason, bool orphans) {
    switch (reason) {
    case AG__WAIT_MUTEX:
    case AG__WAIT_RWMUTEX:
    case AG__WAIT_RWMUTEX_READ:
    case AG__WAIT_WAIT_GROUP:
    case AG__WAIT_SCOPE:
    case AG__WAIT_JOB:
    case AG__WAIT_FLIGHT:
    case AG__WAIT_CHAN_SEND_NIL:
    case AG__WAIT_CHAN_RECV_NIL:
    case AG__WAIT_SELECT_NIL:
    case AG__WAIT_SEM_NEVER:
        return true;
    case AG__WAIT_CHAN_SEND:
    case AG__WAIT_CHAN_RECV:
    case AG__WAIT_SELECT:
        return orphans;
    case AG__WAIT_COND:
    case AG__WAIT_SEM:
        return ag__scan_is_on();
    default:
        return false;
    }
}

static bool never_ends(int reason) {
    return reason == AG__WAIT_CHAN_SEND_NIL || reason == AG__WAIT_CHAN_RECV_NIL ||
           reason == AG__WAIT_SELECT_NIL || reason == AG__WAIT_SEM_NEVER;
}

/* --- The nodes. --- */

/* Records are looked at while their goroutines may run: TSan need not know. */
static AG__NO_SANITIZE bool read_record(ag__g *g, ag__node *n) {
    n->g = g;
    n->resumes = atomic_load_explicit(&g->resumes, memory_order_acquire);
    if (atomic_load_explicit(&g->state, memory_order_acquire) != AG__G_WAITING)
        return false;
    n->reason = atomic_load_explicit(&g->reason, AG__RLX);
    n->object = atomic_load_explicit(&g->wait_object, AG__RLX);
    n->id = __atomic_load_n(&g->id, __ATOMIC_RELAXED);
    n->site = __atomic_load_n(&g->site, __ATOMIC_RELAXED);
    n->cancellable = __atomic_load_n(&g->bound, __ATOMIC_RELAXED);
    return !(__atomic_load_n(&g->flags, __ATOMIC_RELAXED) & (AG__GF_LOST | AG__GF_FOREIGN));
}

struct collect {
    ag__look *l;
    bool orphans;
};

static bool collect(ag__g *g, void *arg) {
    struct collect *c = arg;
    ag__look *l = c->l;
    if (atomic_load_explicit(&g->state, AG__RLX) != AG__G_WAITING ||
        !takes_part(atomic_load_explicit(&g->reason, AG__RLX), c->orphans))
        return true;
    if (!ag__scan_grow((void **)&l->nodes, l->count, &l->size, sizeof *l->nodes)) {
        l->failed = true;
        return false;
    }
    ag__node *n = &l->nodes[l->count];
    memset(n, 0, sizeof *n);
    n->first_out = n->first_in = -1;
    if (read_record(g, n))
        l->count++;
    return true;
}

/* The fence orders what a record says of a wait behind the word that says that it waits. */
static void settle(ag__look *l) {
    ag__fence_heavy();
    for (int i = 0; i < l->count; i++) {
        ag__node *n = &l->nodes[i], before = *n;
        if (!read_record(before.g, n) || n->resumes != before.resumes || n->id != before.id)
            n->goes_on = true;
    }
}

/* Who moved meanwhile may go on. */
static void verify(ag__look *l) {
    ag__fence_heavy();
    for (int i = 0; i < l->count; i++) {
        ag__node now, *n = &l->nodes[i];
        if (!read_record(n->g, &now) || now.resumes != n->resumes || now.id != n->id ||
            now.reason != n->reason || now.object != n->object)
            n->goes_on = true;
    }
}

/* & mask: where in by_id the search for it begins. */
static uint32_t hash_of(int64_t id) {
    return (uint32_t)(((uint64_t)id * 0x9e3779b97f4a7c15) >> 32);
}

static void index_nodes(ag__look *l) {
    uint32_t size = 16;
    while (size < 2 * (uint32_t)l->count)
        size *= 2;
    l->by_id = calloc(size, sizeof *l->by_id);
    l->mask = size - 1;
    if (!l->by_id) {
        l->failed = true;
        return;
    }
    for (int i = 0; i < l->count; i++) {
        uint32_t at = hash_of(l->nodes[i].id) & l->mask;
        while (l->by_id[at])
            at = (at + 1) & l->mask;
        l->by_id[at] = i + 1;
    }
}

int ag__look_find(const ag__look *l, int64_t id) {
    for (uint32_t at = hash_of(id) & l->mask; l->by_id[at]; at = (at + 1) & l->mask)
        if (l->nodes[l->by_id[at] - 1].id == id)
            return l->by_id[at] - 1;
    return -1;
}

/* --- The edges. --- */

static void add_edge(ag__look *l, int from, int to) {
    if (l->edge_count == l->edge_size) {
        int size = l->edge_size ? 2 * l->edge_size : 64;
        ag__need *edges = realloc(l->edges, (size_t)size * sizeof *edges);
        if (!edges) {
            l->failed = true;
            return;
        }
        l->edges = edges;
        l->edge_size = size;
    }
    ag__node *f = &l->nodes[from], *t = &l->nodes[to];
    l->edges[l->edge_count] = (ag__need){from, to, f->first_out, t->first_in};
    f->first_out = t->first_in = l->edge_count++;
    f->outs++;
}

/* Who waits for what, to be found by it. */
struct wait {
    const void *object;
    int node;
};

struct waits {
    struct wait *list;
    int count;
};

/* Everybody who waits for `object` in one of two ways needs `to`. */
static void needed_by(ag__look *l, const struct waits *w, const void *object, int reason, int or,
                      int to) {
    int lo = 0, hi = w->count;
    while (lo < hi) {
        int mid = lo + (hi - lo) / 2;
        if ((uintptr_t)w->list[mid].object < (uintptr_t)object)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (; lo < w->count && w->list[lo].object == object; lo++) {
        int r = l->nodes[w->list[lo].node].reason;
        if (r == reason || r == or)
            add_edge(l, w->list[lo].node, to);
    }
}

/* What a waiting goroutine stands for in the waits of others: its group, its scope or job and the
 * jobs above, what it reads. */
static AG__NO_SANITIZE void edges_to(ag__look *l, const struct waits *w, int i) {
    enum { DEPTH = 64 };
    ag__g *g = l->nodes[i].g;
    const void *group = ag__wg_of(g);
    if (group)
        needed_by(l, w, group, AG__WAIT_WAIT_GROUP, -1, i);
    const void *read = atomic_load_explicit(&g->read_lock, AG__RLX);
    if (read && ag__rwmutex_is_read(read))
        needed_by(l, w, read, AG__WAIT_RWMUTEX, -1, i);
    if (!(__atomic_load_n(&g->flags, __ATOMIC_RELAXED) & AG__GF_CHILD))
        return;
    const ag__nest *n = __atomic_load_n(&g->nest, __ATOMIC_RELAXED);
    for (int d = 0; n && d < DEPTH; d++, n = ag__nest_above(n))
        needed_by(l, w, n, AG__WAIT_SCOPE, AG__WAIT_JOB, i);
}

static AG__NO_SANITIZE int runner_of(const ag__look *l, const void *call) {
    for (int i = 0; i < l->count; i++) {
        const ag__g *g = l->nodes[i].g;
        if ((const char *)call >= g->stack_lo && (const char *)call < g->stack_hi)
            return i;
    }
    return -1;
}

/* Whom it needs by what it waits for. */
static AG__NO_SANITIZE void edges_from(ag__look *l, int i) {
    const ag__node *n = &l->nodes[i];
    int64_t owner = 0;
    int to = -1;
    switch (n->reason) {
    case AG__WAIT_MUTEX:
        owner = ag__mutex_look(n->object);
        break;
    case AG__WAIT_RWMUTEX_READ:
        owner = ag__rwmutex_look(n->object);
        break;
    case AG__WAIT_FLIGHT: {
        const void *call = ag__flight_look(n->object, n->g);
        to = call ? runner_of(l, call) : -1;
        break;
    }
    default:
        break;
    }
    if (owner)
        to = ag__look_find(l, owner);
    if (to >= 0)
        add_edge(l, i, to);
}

/* A wait that a context may end: in what direction it is written down when. */
static AG__NO_SANITIZE bool ends_by_itself(const ag__node *n) {
    const ag__g *g = n->g;
    return n->cancellable && (__atomic_load_n(&g->until, __ATOMIC_RELAXED) != 0 ||
                              atomic_load_explicit(&g->ends_at, AG__RLX) != 0);
}

/* An own job or a call is awaited with the context, which may have a time. */
static bool may_be_cancelled(const ag__node *n) {
    return (n->reason == AG__WAIT_JOB && ends_by_itself(n)) ||
           (n->reason == AG__WAIT_FLIGHT && n->cancellable);
}

static void find_edges(ag__look *l) {
    struct waits w = {malloc((size_t)(l->count ? l->count : 1) * sizeof *w.list), 0};
    if (!w.list) {
        l->failed = true;
        return;
    }
    for (int i = 0; i < l->count; i++) {
        const ag__node *n = &l->nodes[i];
        const void *object = n->reason == AG__WAIT_JOB ? ag__job_nest(n->object) : n->object;
        if (may_be_cancelled(n))
            l->nodes[i].goes_on = true;
        w.list[w.count++] = (struct wait){object, i};
    }
    ag__scan_sort(w.list, (size_t)w.count, sizeof *w.list);
    for (int i = 0; i < l->count && !l->failed; i++) {
        edges_to(l, &w, i);
        edges_from(l, i);
    }
    ag__scan_free(w.list, (size_t)l->count * sizeof *w.list);
}

/* --- Those that are alone. --- */

static void count_orphan(ag__g *g, void *arg) {
    ag__look *l = arg;
    int i = ag__look_find(l, g->id);
    if (i >= 0 && l->nodes[i].g == g)
        l->nodes[i].orphans++;
}

/* Main may wait for ever on purpose, while others work. */
static void find_alone(ag__look *l) {
    if (ag__chan_has_orphans())
        ag__chan_orphans_each(count_orphan, l);
    for (int i = 0; i < l->count; i++) {
        ag__node *n = &l->nodes[i];
        size_t channels = 1;
        if (n->cancellable || n->g == ag__sched.main_g)
            continue;
        if (n->reason == AG__WAIT_SELECT)
            channels = n->orphans ? ag__select_look(n->g) : 0;
        n->alone = never_ends(n->reason) || (n->orphans > 0 && n->orphans == channels);
    }
}

/* --- Who can go on. --- */

bool ag__look_take_away(ag__look *l) {
    int *line = malloc((size_t)(l->count ? l->count : 1) * sizeof *line), first = 0, last = 0;
    if (!line)
        return false;
    for (int i = 0; i < l->count; i++) {
        ag__node *n = &l->nodes[i];
        n->goes_on = n->goes_on || (n->outs == 0 && !n->alone);
        if (n->goes_on && !n->taken)
            line[last++] = i;
        n->taken = n->goes_on;
    }
    while (first < last) {
        for (int e = l->nodes[line[first++]].first_in; e >= 0; e = l->edges[e].next_in) {
            ag__node *n = &l->nodes[l->edges[e].from];
            if (--n->outs > 0 || n->alone || n->goes_on)
                continue;
            n->goes_on = n->taken = true;
            line[last++] = l->edges[e].from;
        }
    }
    free(line);
    return true;
}

void ag__look_take(ag__look *l, uintptr_t frames) {
    memset(l, 0, sizeof *l);
    struct collect c = {l, ag__chan_has_orphans() || ag__scan_is_on()};
    ag__g_each(collect, &c);
    settle(l);
    if (!l->failed)
        index_nodes(l);
    if (l->failed)
        return;
    find_edges(l);
    find_alone(l);
    if (ag__scan_is_on())
        ag__scan(l, frames);
    verify(l);
    if (!ag__look_take_away(l))
        l->failed = true;
}

void ag__look_free(ag__look *l) {
    ag__scan_free(l->nodes, (size_t)l->size * sizeof *l->nodes);
    free(l->edges);
    free(l->by_id);
}

/* --- Circles. --- */

/* The first edge to one that is stuck, too; -1: none. */
static int next_of(const ag__look *l, int i) {
    for (int e = l->nodes[i].first_out; e >= 0; e = l->edges[e].next_out)
        if (!l->nodes[l->edges[e].to].goes_on)
            return l->edges[e].to;
    return -1;
}

/* From each that is stuck one edge is followed; who leads into a circle is not in it, unless it
 * comes round to itself. Circles that share a goroutine are told once. */
int ag__look_circle(ag__look *l, int *at, int *ret_path) {
    for (; *at < l->count; (*at)++) {
        if (l->nodes[*at].goes_on || l->nodes[*at].in_cycle)
            continue;
        int n = 0, i = *at;
        do {
            l->nodes[i].walk = *at + 1;
            ret_path[n++] = i;
            i = next_of(l, i);
        } while (i >= 0 && l->nodes[i].walk != *at + 1 && !l->nodes[i].in_cycle);
        if (i != *at)
            continue;
        for (int k = 0; k < n; k++)
            l->nodes[ret_path[k]].in_cycle = true;
        return n;
    }
    return 0;
}
