/* SPDX-License-Identifier: MIT */
/*
 * ask_waits.c - the graph of waits (wait_graph.h) as JSON, for the page that draws it.
 *
 *     {"goroutines": 3, "circles": 1, "each": true,
 *      "nodes": [{"count": 1, "id": 7, "state": ..., "stack": [["f", "a.c", 3]], ...}, ...],
 *      "objects": [{"kind": "mutex", "count": 1, "at": "0x...", "about": "", ...}, ...],
 *      "waits": [[node, object, how many, "send"], ...],     numbers of the arrays above
 *      "has": [[object, node, how many], ...],
 *      "left_out": {"nodes": 0, "goroutines": 0}}
 *
 * What is in a circle comes first, then what has links, then the greatest; after ?max= nodes, 150,
 * the rest is counted only.
 */
#include "debug/ask.h"
#include "debug/json.h"
#include "debug/prof_table.h"
#include "debug/wait_graph.h"
#include <errno.h>
#include <stdlib.h>

enum { NODES = 150, NODES_MAX = 10000, IDS = 8, FRAMES_SHOWN = 24 };

struct paper {
    ag__wait_graph *w;
    FILE *out;
    uint32_t *order;   /* nodes as they are shown */
    uint32_t *place;   /* of a node: its number in the answer + 1; 0: left out */
    uint32_t *objects; /* likewise of objects */
    uint32_t shown;
};

/* --- Which nodes. --- */

struct weight {
    uint32_t node, count, circle;
    bool linked;
};

static int heaviest_first(const void *a, const void *b) {
    const struct weight *x = a, *y = b;
    if (!x->circle != !y->circle)
        return x->circle ? -1 : 1;
    if (x->circle != y->circle)
        return x->circle < y->circle ? -1 : 1;
    if (x->linked != y->linked)
        return x->linked ? -1 : 1;
    if (x->count != y->count)
        return x->count > y->count ? -1 : 1;
    return (x->node > y->node) - (x->node < y->node);
}

static int choose(struct paper *p, uint32_t max) {
    ag__wait_graph *w = p->w;
    struct weight *all = calloc((size_t)w->node_count + 1, sizeof *all);
    p->order = calloc((size_t)w->node_count + 1, sizeof *p->order);
    p->place = calloc((size_t)w->node_count + 1, sizeof *p->place);
    p->objects = calloc((size_t)w->object_node_count + 1, sizeof *p->objects);
    if (!all || !p->order || !p->place || !p->objects) {
        free(all);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < w->node_count; i++)
        all[i] = (struct weight){i, w->nodes[i + 1] - w->nodes[i],
                                 w->circle_of[w->views_by[w->nodes[i]]], false};
    for (uint32_t i = 0; i < w->link_count; i++)
        all[w->node_of[w->links[i].view]].linked = true;
    for (uint32_t i = 0; i < w->object_count; i++)
        for (uint32_t k = w->objects[i].has; k < w->objects[i].has_end; k++)
            all[w->node_of[w->holders[k]]].linked = true;
    qsort(all, w->node_count, sizeof *all, heaviest_first);
    p->shown = w->node_count < max ? w->node_count : max;
    for (uint32_t i = 0; i < p->shown; i++) {
        p->order[i] = all[i].node;
        p->place[all[i].node] = i + 1;
    }
    free(all);
    return 0;
}

/* --- Goroutines. --- */

static void put_stack(struct paper *p, const ag__trail *trail) {
    ag__prof_place place;
    fputs(",\"stack\":[", p->out);
    for (int i = 0; trail && i < trail->frames && i < FRAMES_SHOWN; i++) {
        ag__prof_place_of(trail->words[i], true, &place);
        fputs(i ? ",[" : "[", p->out);
        ag__json_text(p->out, place.function ? place.function : "?");
        fputc(',', p->out);
        ag__json_text(p->out, place.file);
        fprintf(p->out, ",%d]", place.line);
    }
    fputc(']', p->out);
}

static void put_node(struct paper *p, uint32_t node) {
    const ag__wait_graph *w = p->w;
    uint32_t from = w->nodes[node], count = w->nodes[node + 1] - from;
    const ag__view *oldest = &w->dump.views[w->views_by[from]];
    bool timed = false;
    for (uint32_t i = from; i < from + count; i++) {
        const ag__view *v = &w->dump.views[w->views_by[i]];
        timed |= v->timer != 0;
        if (v->since && (!oldest->since || v->since < oldest->since))
            oldest = v;
    }
    bool waits = oldest->state == AG__G_WAITING;
    fprintf(p->out, "{\"count\":%u,\"id\":%lld,\"state\":", count, (long long)oldest->id);
    ag__json_text(p->out, ag__doing_name(oldest->state, oldest->reason));
    fprintf(p->out, ",\"waits\":%s,\"timed\":%s,\"circle\":%u,\"longest_ns\":%lld,\"name\":",
            waits ? "true" : "false", timed ? "true" : "false", w->circle_of[w->views_by[from]],
            waits && oldest->since ? (long long)(w->dump.now - oldest->since) : 0ll);
    ag__json_text(p->out, count == 1 ? oldest->name : NULL);
    fputs(",\"ids\":[", p->out);
    for (uint32_t i = 0; i < count && i < IDS; i++)
        fprintf(p->out, "%s%lld", i ? "," : "", (long long)w->dump.views[w->views_by[from + i]].id);
    fputc(']', p->out);
    if (oldest->site) {
        fputs(",\"site\":", p->out);
        ag__json_site(p->out, oldest->site);
    }
    put_stack(p, oldest->trail);
    fputc('}', p->out);
}

/* --- Objects. --- */

static const char *kind_name(const ag__wait_graph *w, const ag__wait_object *o) {
    static const char *const names[] = {"channel",   "mutex", "rwmutex", "wait group", "semaphore",
                                        "condition", "scope", "job",     "descriptor"};
    if (o->kind < sizeof names / sizeof *names)
        return names[o->kind];
    return ag__reason_name(w->dump.views[w->links[o->waits].view].reason);
}

/* What is worth knowing of a single one. */
static void put_about(FILE *out, const ag__wait_graph *w, const ag__wait_object *o) {
    const ag__wait_link *l = &w->links[o->waits];
    const ag__wait *wait = w->dump.views[l->view].wait;
    char text[80] = "";
    if (o->kind == AG__OBJECT_CHAN && l->chan)
        snprintf(text, sizeof text, "%u of %u buffered, %d reference%s", l->chan->len, l->chan->cap,
                 l->chan->refs, l->chan->refs == 1 ? "" : "s");
    else if (wait && o->kind == AG__OBJECT_GROUP)
        snprintf(text, sizeof text, "counter %lld", (long long)wait->size);
    else if (wait && o->kind == AG__OBJECT_SEM)
        snprintf(text, sizeof text, "%lld of %lld free", (long long)(wait->size - wait->taken),
                 (long long)wait->size);
    else if (wait && o->kind == AG__OBJECT_RWMUTEX && wait->size > 0)
        snprintf(text, sizeof text, "%lld readers", (long long)wait->size);
    else if (wait && (o->kind == AG__OBJECT_SCOPE || o->kind == AG__OBJECT_JOB))
        snprintf(text, sizeof text, "%d of %d left", wait->nest.count, wait->nest.created);
    else if (wait && o->kind == AG__OBJECT_MUTEX && wait->holder == AG__HOLDER_THREAD)
        snprintf(text, sizeof text, "a thread has it");
    else if (wait && o->kind == AG__OBJECT_FD && wait->about) {
        ag__json_text(out, wait->about);
        return;
    }
    ag__json_text(out, text);
}

/* Whether one of its links leads to a node that is shown. */
static bool is_shown(const struct paper *p, uint32_t node) {
    const ag__wait_graph *w = p->w;
    const ag__wait_object *o = &w->objects[w->objects_by[w->object_nodes[node]]];
    for (uint32_t i = o->waits; i < o->waits_end; i++)
        if (p->place[w->node_of[w->links[i].view]])
            return true;
    return false;
}

static void put_objects(struct paper *p) {
    const ag__wait_graph *w = p->w;
    uint32_t shown = 0;
    for (uint32_t i = 0; i < w->object_node_count; i++) {
        if (!is_shown(p, i))
            continue;
        const ag__wait_object *o = &w->objects[w->objects_by[w->object_nodes[i]]];
        uint32_t count = w->object_nodes[i + 1] - w->object_nodes[i];
        bool is_number = o->kind == AG__OBJECT_SCOPE || o->kind == AG__OBJECT_JOB;
        p->objects[i] = ++shown;
        fputs(shown > 1 ? ",\n{\"kind\":" : "\n{\"kind\":", p->out);
        ag__json_text(p->out, kind_name(w, o));
        fprintf(p->out,
                is_number ? ",\"count\":%u,\"circle\":%u,\"at\":\"%llu\",\"about\":"
                          : ",\"count\":%u,\"circle\":%u,\"at\":\"0x%llx\",\"about\":",
                count, o->circle, (unsigned long long)o->key);
        if (count == 1)
            put_about(p->out, w, o);
        else
            fputs("\"\"", p->out);
        fputc('}', p->out);
    }
}

/* --- Links. --- */

struct arrow {
    uint32_t object, node, side;
};

static int by_ends(const void *a, const void *b) {
    const struct arrow *x = a, *y = b;
    if (x->object != y->object)
        return x->object < y->object ? -1 : 1;
    if (x->node != y->node)
        return x->node < y->node ? -1 : 1;
    return (x->side > y->side) - (x->side < y->side);
}

/* Writes those of the same ends as one, with their number. */
static void put_arrows(struct paper *p, struct arrow *all, uint32_t n, bool waits) {
    static const char *const sides[] = {"", "send", "receive", "read"};
    bool comma = false;
    if (n)
        qsort(all, n, sizeof *all, by_ends);
    for (uint32_t i = 0, from = 0; i < n; i++) {
        if (i + 1 < n && by_ends(&all[i], &all[i + 1]) == 0)
            continue;
        uint32_t object = p->objects[all[i].object], node = p->place[all[i].node];
        uint32_t count = i + 1 - from;
        from = i + 1;
        if (!object || !node)
            continue;
        fputs(comma ? "," : "", p->out);
        comma = true;
        if (waits)
            fprintf(p->out, "[%u,%u,%u,\"%s\"]", node - 1, object - 1, count, sides[all[i].side]);
        else
            fprintf(p->out, "[%u,%u,%u]", object - 1, node - 1, count);
    }
}

static int put_links(struct paper *p) {
    const ag__wait_graph *w = p->w;
    size_t most = (size_t)w->link_count + w->holder_count + 1;
    struct arrow *all = calloc(most, sizeof *all);
    uint32_t n = 0;
    if (!all)
        return -ENOMEM;
    for (uint32_t i = 0; i < w->link_count; i++)
        all[n++] = (struct arrow){w->objects[w->links[i].object].node, w->node_of[w->links[i].view],
                                  w->links[i].side};
    fputs("],\n\"waits\":[", p->out);
    put_arrows(p, all, n, true);
    n = 0;
    for (uint32_t i = 0; i < w->object_count; i++)
        for (uint32_t k = w->objects[i].has; k < w->objects[i].has_end; k++)
            all[n++] = (struct arrow){w->objects[i].node, w->node_of[w->holders[k]], 0};
    fputs("],\n\"has\":[", p->out);
    put_arrows(p, all, n, false);
    free(all);
    return 0;
}

static int put_graph(struct paper *p) {
    const ag__wait_graph *w = p->w;
    uint64_t left = 0;
    fprintf(p->out, "{\"goroutines\":%zu,\"circles\":%u,\"each\":%s,\n\"nodes\":[", w->dump.count,
            w->circles, w->each ? "true" : "false");
    for (uint32_t i = 0; i < p->shown; i++) {
        fputs(i ? ",\n" : "\n", p->out);
        put_node(p, p->order[i]);
    }
    for (uint32_t i = 0; i < w->node_count; i++)
        left += p->place[i] ? 0 : w->nodes[i + 1] - w->nodes[i];
    fputs("],\n\"objects\":[", p->out);
    put_objects(p);
    int r = put_links(p);
    fprintf(p->out, "],\n\"left_out\":{\"nodes\":%u,\"goroutines\":%llu}}\n",
            w->node_count - p->shown, (unsigned long long)left);
    return r;
}

int ag__ask_waits(const ag__question *q, FILE *out) {
    int64_t each = ag__question_number(q, "each", -1);
    int64_t max = ag__question_number(q, "max", NODES);
    if (ag__question_is_given_up(q))
        return 0;
    if (each < -1 || each > 1 || max < 1 || max > NODES_MAX)
        return -EINVAL;
    ag__wait_graph w;
    struct paper p = {.w = &w, .out = out};
    int r = ag__wait_graph_make(&w, (int)each);
    if (r == 0)
        r = choose(&p, (uint32_t)max);
    if (r == 0)
        r = put_graph(&p);
    free(p.order);
    free(p.place);
    free(p.objects);
    ag__wait_graph_free(&w);
    return r;
}
