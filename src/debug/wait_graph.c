/* SPDX-License-Identifier: MIT */
/*
 * wait_graph.c - makes the graph of wait_graph.h from a dump.
 *
 *   1. Links: each goroutine that waits, and what for. Sorted by object they name the objects, and
 *      to each object those are added who have it.
 *   2. Circles: strongly connected parts of goroutines and objects, by Tarjan's way, without
 *      recursion. Only waits that need everybody at the other end count: locks, wait groups,
 *      scopes. A channel may be sent to by anybody who knows it, so it closes no circle.
 *   3. Nodes: goroutines with the same stack, state and circle; then objects of one kind whose
 *      links lead to the same nodes. What is in a small circle stays single.
 *
 * All of it is linear in the links, but for the sorting.
 */
#include "debug/wait_graph.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { EACH_MAX = 40, SINGLE_MAX = 16, CIRCLES_MAX = 64 };
enum { NOTHING = UINT32_MAX };

/* --- Links. --- */

static bool grow(ag__wait_graph *w, void **array, uint32_t count, uint32_t *room, size_t element) {
    if (count < *room)
        return true;
    uint32_t more = 2 * *room + 64;
    void *at = realloc(*array, more * element);
    if (!at) {
        w->failed = true;
        return false;
    }
    *array = at;
    *room = more;
    return true;
}

static void add_link(ag__wait_graph *w, ag__wait_link link) {
    if (link.key && grow(w, (void **)&w->links, w->link_count, &w->link_room, sizeof link))
        w->links[w->link_count++] = link;
}

static void link_select(ag__wait_graph *w, uint32_t view, const ag__wait *wait) {
    for (int i = 0; wait && i < wait->select.seen; i++) {
        const ag__chan_info *c = &wait->select.cases[i];
        add_link(w, (ag__wait_link){.key = (uintptr_t)c->chan,
                                    .view = view,
                                    .kind = AG__OBJECT_CHAN,
                                    .side = c->sends ? AG__SIDE_SENDS : AG__SIDE_RECEIVES,
                                    .chan = c});
    }
}

static void link_view(ag__wait_graph *w, uint32_t view) {
    const ag__view *v = &w->dump.views[view];
    const ag__wait *wait = v->wait;
    ag__wait_link l = {.key = (uintptr_t)v->object, .view = view, .kind = AG__OBJECT_OTHER};
    if (v->state != AG__G_WAITING)
        return;
    switch (v->reason) {
    case AG__WAIT_SELECT:
        link_select(w, view, wait);
        return;
    case AG__WAIT_CHAN_SEND:
    case AG__WAIT_CHAN_RECV:
        l.kind = AG__OBJECT_CHAN;
        l.side = v->reason == AG__WAIT_CHAN_SEND ? AG__SIDE_SENDS : AG__SIDE_RECEIVES;
        l.chan = wait ? &wait->chan : NULL;
        break;
    case AG__WAIT_MUTEX:
        l.kind = AG__OBJECT_MUTEX;
        l.must = true;
        break;
    case AG__WAIT_RWMUTEX:
    case AG__WAIT_RWMUTEX_READ:
        l.kind = AG__OBJECT_RWMUTEX;
        l.side = v->reason == AG__WAIT_RWMUTEX ? AG__SIDE_WAITS : AG__SIDE_READS;
        l.must = true;
        break;
    case AG__WAIT_WAIT_GROUP:
        l.kind = AG__OBJECT_GROUP;
        l.must = true;
        break;
    case AG__WAIT_SEM:
        l.kind = AG__OBJECT_SEM;
        break;
    case AG__WAIT_COND:
        l.kind = AG__OBJECT_COND;
        break;
    case AG__WAIT_SCOPE:
    case AG__WAIT_SCOPE_ROOM:
    case AG__WAIT_JOB:
        l.kind = v->reason == AG__WAIT_JOB ? AG__OBJECT_JOB : AG__OBJECT_SCOPE;
        l.must = v->reason != AG__WAIT_SCOPE_ROOM;
        l.key = wait ? (uintptr_t)wait->nest.id : 0;
        break;
    case AG__WAIT_IO:
    case AG__WAIT_IO_FD:
    case AG__WAIT_IO_TURN:
        l.kind = AG__OBJECT_FD;
        break;
    default:
        break;
    }
    add_link(w, l);
}

static int by_object(const void *a, const void *b) {
    const ag__wait_link *x = a, *y = b;
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return (x->view > y->view) - (x->view < y->view);
}

/* --- Objects, and who has them. --- */

static void add_holder(ag__wait_graph *w, uint32_t view) {
    if (grow(w, (void **)&w->holders, w->holder_count, &w->holder_room, sizeof *w->holders))
        w->holders[w->holder_count++] = view;
}

static void add_members(ag__wait_graph *w, int kind, uintptr_t key) {
    const ag__edge *first;
    size_t n = ag__dump_edges(&w->dump, kind, key, &first);
    for (size_t i = 0; i < n; i++)
        add_holder(w, first[i].view);
}

/* Who has the lock. If readers have it, its owner is only the first who wants to write. */
static void add_owner(ag__wait_graph *w, const ag__wait_object *o) {
    for (uint32_t i = o->waits; i < o->waits_end; i++) {
        const ag__wait *wait = w->dump.views[w->links[i].view].wait;
        if (!wait || wait->holder <= 0 || (o->kind == AG__OBJECT_RWMUTEX && wait->size > 0))
            continue;
        const ag__view *v = ag__dump_find(&w->dump, wait->holder);
        if (v)
            add_holder(w, (uint32_t)(v - w->dump.views));
        return;
    }
}

static void find_holders(ag__wait_graph *w, ag__wait_object *o) {
    o->has = w->holder_count;
    if (o->kind == AG__OBJECT_MUTEX || o->kind == AG__OBJECT_RWMUTEX)
        add_owner(w, o);
    else if (o->kind == AG__OBJECT_GROUP)
        add_members(w, AG__EDGE_GROUP, o->key);
    else if (o->kind == AG__OBJECT_SCOPE || o->kind == AG__OBJECT_JOB)
        add_members(w, AG__EDGE_NEST, o->key);
    o->has_end = w->holder_count;
}

static void make_objects(ag__wait_graph *w) {
    if (w->link_count)
        qsort(w->links, w->link_count, sizeof *w->links, by_object);
    w->objects = calloc((size_t)w->link_count + 1, sizeof *w->objects);
    if (!w->objects) {
        w->failed = true;
        return;
    }
    for (uint32_t i = 0; i < w->link_count && !w->failed; i++) {
        ag__wait_link *l = &w->links[i];
        if (i == 0 || l->kind != l[-1].kind || l->key != l[-1].key)
            w->objects[w->object_count++] =
                (ag__wait_object){.key = l->key, .kind = l->kind, .waits = i};
        l->object = w->object_count - 1;
        w->objects[l->object].waits_end = i + 1;
    }
    for (uint32_t i = 0; i < w->object_count && !w->failed; i++)
        find_holders(w, &w->objects[i]);
}

/* --- Circles. --- */

/* Goroutines are 0 .. count - 1, then come the objects. */
struct walk {
    const ag__wait_graph *w;
    uint32_t count, size;
    uint32_t *links_of, *at; /* links by view: where each begins; where the walk stands */
    uint32_t *number, *low, *stack, *path;
    uint32_t next, depth, length;
    bool *on;
    uint32_t *by_view; /* links in the order of views */
};

static bool walk_begin(struct walk *k, const ag__wait_graph *w) {
    k->w = w;
    k->count = (uint32_t)w->dump.count;
    k->size = k->count + w->object_count;
    size_t n = (size_t)k->size + 1;
    k->links_of = calloc(n + 1, sizeof *k->links_of);
    k->at = calloc(n, sizeof *k->at);
    k->number = calloc(n, sizeof *k->number);
    k->low = calloc(n, sizeof *k->low);
    k->stack = calloc(n, sizeof *k->stack);
    k->path = calloc(n, sizeof *k->path);
    k->on = calloc(n, sizeof *k->on);
    k->by_view = calloc((size_t)w->link_count + 1, sizeof *k->by_view);
    if (!k->links_of || !k->at || !k->number || !k->low || !k->stack || !k->path || !k->on ||
        !k->by_view)
        return false;
    for (uint32_t i = 0; i < w->link_count; i++)
        k->links_of[w->links[i].view + 1]++;
    for (uint32_t i = 0; i < k->count; i++)
        k->links_of[i + 1] += k->links_of[i];
    for (uint32_t i = 0; i < w->link_count; i++)
        k->by_view[k->links_of[w->links[i].view] + k->at[w->links[i].view]++] = i;
    memset(k->at, 0, n * sizeof *k->at);
    return true;
}

static void walk_end(struct walk *k) {
    void *const all[] = {k->links_of, k->at,   k->number, k->low,
                         k->stack,    k->path, k->on,     k->by_view};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

/* The next neighbour of `node`; NOTHING: it has had all. */
static uint32_t step(struct walk *k, uint32_t node) {
    if (node >= k->count) {
        const ag__wait_object *o = &k->w->objects[node - k->count];
        uint32_t at = o->has + k->at[node]++;
        return at < o->has_end ? k->w->holders[at] : NOTHING;
    }
    while (k->links_of[node] + k->at[node] < k->links_of[node + 1]) {
        const ag__wait_link *l = &k->w->links[k->by_view[k->links_of[node] + k->at[node]++]];
        if (l->must)
            return k->count + l->object;
    }
    return NOTHING;
}

static void enter(struct walk *k, uint32_t node) {
    k->number[node] = k->low[node] = ++k->next;
    k->stack[k->depth++] = node;
    k->on[node] = true;
    k->path[k->length++] = node;
}

/* A part is complete: what lies on the stack from `root` on. Alone it is no circle. */
static void take_part(struct walk *k, ag__wait_graph *w, uint32_t root) {
    bool alone = k->stack[k->depth - 1] == root;
    uint32_t circle = alone ? 0 : w->circles + 1 < CIRCLES_MAX ? ++w->circles : CIRCLES_MAX;
    for (uint32_t node = NOTHING; node != root;) {
        node = k->stack[--k->depth];
        k->on[node] = false;
        if (node < k->count) {
            w->circle_of[node] = circle;
            w->circle_size[circle]++;
        } else {
            w->objects[node - k->count].circle = circle;
        }
    }
}

static void walk_from(struct walk *k, ag__wait_graph *w, uint32_t first) {
    enter(k, first);
    while (k->length) {
        uint32_t node = k->path[k->length - 1], to = step(k, node);
        if (to == NOTHING) {
            k->length--;
            if (k->low[node] == k->number[node])
                take_part(k, w, node);
            uint32_t up = k->length ? k->path[k->length - 1] : node;
            if (k->low[node] < k->low[up])
                k->low[up] = k->low[node];
        } else if (!k->number[to]) {
            enter(k, to);
        } else if (k->on[to] && k->number[to] < k->low[node]) {
            k->low[node] = k->number[to];
        }
    }
}

static void find_circles(ag__wait_graph *w) {
    struct walk k = {0};
    w->circle_of = calloc(w->dump.count + 1, sizeof *w->circle_of);
    w->circle_size = calloc(CIRCLES_MAX + 1, sizeof *w->circle_size);
    if (!walk_begin(&k, w) || !w->circle_of || !w->circle_size)
        w->failed = true;
    for (uint32_t i = 0; i < k.count && !w->failed; i++)
        if (!k.number[i])
            walk_from(&k, w, i);
    walk_end(&k);
}

/* --- Nodes. --- */

struct rank {
    uint64_t key;
    uint32_t index;
};

static int by_rank(const void *a, const void *b) {
    const struct rank *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

static uint64_t mix(uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
    return hash ^ hash >> 29;
}

static bool is_single(const ag__wait_graph *w, uint32_t circle) {
    return w->each || (circle && circle < CIRCLES_MAX && w->circle_size[circle] <= SINGLE_MAX);
}

static uint64_t key_of_view(const ag__wait_graph *w, uint32_t i) {
    const ag__view *v = &w->dump.views[i];
    uint64_t key = mix(v->state, v->reason);
    key = mix(key, (uintptr_t)v->trail);
    key = mix(key, (uintptr_t)v->site);
    key = mix(key, w->circle_of[i]);
    return is_single(w, w->circle_of[i]) ? mix(key, (uint64_t)v->id) : key;
}

static int by_number(const void *a, const void *b) {
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* To which nodes an object's links lead, and how; each once, in the same order for all. */
static uint64_t key_of_object(const ag__wait_graph *w, uint32_t i, uint64_t *room) {
    const ag__wait_object *o = &w->objects[i];
    size_t n = 0;
    for (uint32_t k = o->waits; k < o->waits_end; k++)
        room[n++] = (uint64_t)w->node_of[w->links[k].view] << 8 | w->links[k].side;
    for (uint32_t k = o->has; k < o->has_end; k++)
        room[n++] = (uint64_t)w->node_of[w->holders[k]] << 8 | 0x80;
    qsort(room, n, sizeof *room, by_number);
    uint64_t key = mix(o->kind, o->circle);
    for (size_t k = 0; k < n; k++)
        if (k == 0 || room[k] != room[k - 1])
            key = mix(key, room[k]);
    return is_single(w, o->circle) ? mix(key, o->key) : key;
}

/* From ranks to nodes: *ret_by is their order, *ret_first where each node begins. Returns how many
 * there are. */
static uint32_t make_nodes(ag__wait_graph *w, struct rank *ranks, uint32_t n, uint32_t **ret_by,
                           uint32_t **ret_first) {
    uint32_t count = 0, *by = calloc((size_t)n + 1, sizeof *by);
    uint32_t *first = calloc((size_t)n + 2, sizeof *first);
    *ret_by = by;
    *ret_first = first;
    if (!by || !first) {
        w->failed = true;
        return 0;
    }
    if (n)
        qsort(ranks, n, sizeof *ranks, by_rank);
    for (uint32_t i = 0; i < n; i++) {
        if (i == 0 || ranks[i].key != ranks[i - 1].key)
            first[count++] = i;
        by[i] = ranks[i].index;
    }
    first[count] = n;
    return count;
}

static void put_views_together(ag__wait_graph *w, struct rank *ranks) {
    uint32_t n = (uint32_t)w->dump.count;
    w->node_of = calloc((size_t)n + 1, sizeof *w->node_of);
    for (uint32_t i = 0; i < n; i++)
        ranks[i] = (struct rank){key_of_view(w, i), i};
    w->node_count = make_nodes(w, ranks, n, &w->views_by, &w->nodes);
    w->failed = w->failed || !w->node_of;
    for (uint32_t node = 0; node < w->node_count && !w->failed; node++)
        for (uint32_t i = w->nodes[node]; i < w->nodes[node + 1]; i++)
            w->node_of[w->views_by[i]] = node;
}

static void put_objects_together(ag__wait_graph *w, struct rank *ranks, uint64_t *room) {
    for (uint32_t i = 0; i < w->object_count; i++)
        ranks[i] = (struct rank){key_of_object(w, i, room), i};
    w->object_node_count = make_nodes(w, ranks, w->object_count, &w->objects_by, &w->object_nodes);
    for (uint32_t node = 0; node < w->object_node_count && !w->failed; node++)
        for (uint32_t i = w->object_nodes[node]; i < w->object_nodes[node + 1]; i++)
            w->objects[w->objects_by[i]].node = node;
}

int ag__wait_graph_make(ag__wait_graph *w, int each) {
    *w = (ag__wait_graph){.each = each > 0};
    ag__dump_begin(&w->dump);
    ag__dump_collect(&w->dump, 0);
    w->each = each > 0 || (each < 0 && w->dump.count <= EACH_MAX);
    for (uint32_t i = 0; i < w->dump.count; i++)
        link_view(w, i);
    if (!w->failed)
        make_objects(w);
    if (!w->failed)
        find_circles(w);
    size_t most = w->dump.count + w->link_count + 1;
    struct rank *ranks = malloc(most * sizeof *ranks);
    uint64_t *room = malloc((most + w->holder_count) * sizeof *room);
    if (!ranks || !room)
        w->failed = true;
    if (!w->failed)
        put_views_together(w, ranks);
    if (!w->failed)
        put_objects_together(w, ranks, room);
    free(ranks);
    free(room);
    return w->failed ? -ENOMEM : 0;
}

void ag__wait_graph_free(ag__wait_graph *w) {
    void *const all[] = {w->links,   w->objects,  w->holders, w->circle_of,  w->circle_size,
                         w->node_of, w->views_by, w->nodes,   w->objects_by, w->object_nodes};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    ag__dump_end(&w->dump);
}
