/* SPDX-License-Identifier: MIT */
/*
 * tree.c - all scopes and jobs that live, and the picture of them.
 *
 * Each is in one of some lists, that of the processor where it was made, under that list's lock:
 * two processors rarely meet there. A dump copies the lists, one after the other, and all that it
 * prints is copied under the lock, so it prints at leisure. Of a lock that somebody holds for long
 * - the process may be in a strange state - it says that it is held, and goes on.
 *
 * The tree is put together from numbers: a goroutine's record has the number of what it belongs to,
 * a scope that of the goroutine that began it, a job that of its parent and of the goroutine that
 * runs it. Nothing is followed by address, so nothing need stand still meanwhile; what does not fit
 * together, because it changed in between, is printed at the root.
 *
 * Numbers are handed out in blocks, one a list.
 */
#include "ctx/ctx.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { SHARDS = AG__SIZE(16, 2), ID_BLOCK = 64, DEPTH = 32, TRIES = 1000 };

struct shard {
    _Alignas(AG__CACHE_LINE) ag__lock lock;
    ag__nest *list; /* Guarded by lock, as what follows. */
    int64_t id_next, id_end;
    int64_t scopes, jobs; /* ever */
    int64_t alive;
};

static struct shard shards[SHARDS];
static _Atomic int64_t id_block = 1; /* Relaxed. */

void ag__nest_list(ag__m *m, ag__nest *n) {
    n->shard = (uint8_t)(m->p ? m->p->index % SHARDS : 0);
    struct shard *s = &shards[n->shard];
    ag__lock_acquire(&s->lock);
    if (s->id_next == s->id_end) {
        s->id_next = atomic_fetch_add_explicit(&id_block, ID_BLOCK, AG__RLX);
        s->id_end = s->id_next + ID_BLOCK;
    }
    n->id = s->id_next++;
    *(n->is_job ? &s->jobs : &s->scopes) += 1;
    s->alive++;
    n->next = s->list;
    n->at = &s->list;
    if (n->next)
        n->next->at = &n->next;
    s->list = n;
    ag__lock_release(&s->lock);
}

/* Lock held. */
static void take_out(struct shard *s, ag__nest *n) {
    *n->at = n->next;
    if (n->next)
        n->next->at = n->at;
    n->at = NULL;
    s->alive--;
}

void ag__nest_unlist(ag__nest *n) {
    struct shard *s = &shards[n->shard];
    ag__lock_acquire(&s->lock);
    if (n->at)
        take_out(s, n);
    ag__lock_release(&s->lock);
}

/* Takes a job out that can still be had, with a reference, or a scope whose goroutine stands for
 * ever, which is just forgotten. */
static ag__nest *take_dropped(struct shard *s) {
    ag__lock_acquire(&s->lock);
    ag__nest *n = s->list, *next;
    for (; n; n = next) {
        next = n->next;
        /* A job begins with its object. */
        if (n->is_job ? !ag__object_try_ref((ag__object *)ag__job_of(n)) : n->foreign)
            continue;
        take_out(s, n);
        if (n->is_job)
            break;
    }
    ag__lock_release(&s->lock);
    return n;
}

/* All jobs are kept until each was told: a child looks for its parent. */
void ag__nests_end(void) {
    ag__m *m = ag__m_now();
    ag__nest *all = NULL, *n;
    for (int i = 0; i < SHARDS; i++)
        while ((n = take_dropped(&shards[i])) != NULL) {
            n->next = all;
            all = n;
        }
    for (n = all; n; n = n->next)
        ag__job_end_world(m, ag__job_of(n));
    while ((n = all) != NULL) {
        all = n->next;
        ag_unref(ag__job_of(n));
    }
    for (int i = 0; i < SHARDS; i++) {
        ag__lock_acquire(&shards[i].lock);
        for (n = shards[i].list; n; n = n->next)
            if (!n->is_job)
                ag__scope_end_world(m, n);
        ag__lock_release(&shards[i].lock);
    }
}

/* --- The picture. --- */

struct node {
    int64_t id, parent_id, owner;
    int32_t count, created;
    const struct ag__site *site;
    bool is_job, supervises, cancelled, seen;
    int state;
};

struct child {
    int64_t id, nest_id;
    const struct ag__site *site;
    char name[AG__NAME_BYTES];
    int state, reason;
    bool seen;
};

struct picture {
    FILE *out;
    struct node *nodes;
    size_t node_count, node_room;
    struct child *children;
    size_t child_count, child_room;
    int64_t scopes, jobs, scopes_now, jobs_now;
    int busy;
    bool no_memory;
};

static bool try_lock(ag__lock *l) {
    for (int i = 0; i < TRIES; i++) {
        if (ag__lock_try(l))
            return true;
        ag__os_yield();
    }
    return false;
}

/* Lock held: as much as there is room for. */
static void copy_shard(struct picture *p, struct shard *s) {
    p->scopes += s->scopes;
    p->jobs += s->jobs;
    for (ag__nest *n = s->list; n; n = n->next) {
        *(n->is_job ? &p->jobs_now : &p->scopes_now) += 1;
        if (p->node_count == p->node_room)
            continue;
        p->nodes[p->node_count++] = (struct node){
            .id = n->id,
            .parent_id = n->parent_id,
            .owner = atomic_load_explicit(&n->owner, AG__RLX),
            .count = atomic_load_explicit(&n->count, AG__RLX),
            .created = atomic_load_explicit(&n->created, AG__RLX),
            .site = n->site,
            .is_job = n->is_job,
            .supervises = n->supervises,
            .cancelled = atomic_load_explicit(&n->ctx->cancel.err, AG__RLX) != 0,
            .state = n->is_job ? ag__job_state_inside(n) : 0,
        };
    }
}

/* Room for so many more. */
static bool make_room(struct picture *p, int64_t more) {
    size_t room = p->node_count + (size_t)more;
    struct node *nodes = realloc(p->nodes, (room ? room : 1) * sizeof *nodes);
    if (!nodes)
        return false;
    p->nodes = nodes;
    p->node_room = room;
    return true;
}

static void copy_nodes(struct picture *p) {
    for (int i = 0; i < SHARDS; i++) {
        struct shard *s = &shards[i];
        if (!try_lock(&s->lock)) {
            p->busy++;
            continue;
        }
        int64_t alive = s->alive;
        ag__lock_release(&s->lock);
        p->no_memory |= !make_room(p, alive + 16);
        if (!try_lock(&s->lock)) {
            p->busy++;
            continue;
        }
        copy_shard(p, s);
        ag__lock_release(&s->lock);
    }
}

static bool copy_child(ag__g *g, void *arg) {
    struct picture *p = arg;
    int state = atomic_load_explicit(&g->state, AG__RLX);
    if (!(g->flags & AG__GF_CHILD))
        return true;
    if (p->child_count == p->child_room) {
        size_t room = 2 * p->child_room + 64;
        struct child *more = realloc(p->children, room * sizeof *more);
        if (!more) {
            p->no_memory = true;
            return false;
        }
        p->children = more;
        p->child_room = room;
    }
    struct child *c = &p->children[p->child_count++];
    *c = (struct child){.id = g->id, .nest_id = g->nest_id, .site = g->site, .state = state};
    c->reason = atomic_load_explicit(&g->reason, AG__RLX);
    ag__g_name(g, c->name);
    return true;
}

static int by_parent(const void *a, const void *b) {
    const struct node *x = a, *y = b;
    int64_t p = x->is_job ? x->parent_id : -x->owner, q = y->is_job ? y->parent_id : -y->owner;
    return p != q ? (p > q) - (p < q) : (x->id > y->id) - (x->id < y->id);
}

static int by_nest(const void *a, const void *b) {
    const struct child *x = a, *y = b;
    if (x->nest_id != y->nest_id)
        return (x->nest_id > y->nest_id) - (x->nest_id < y->nest_id);
    return (x->id > y->id) - (x->id < y->id);
}

/* The first node with this key in the order of by_parent: a nest's jobs, or -goroutine's scopes. */
static size_t first_node(const struct picture *p, int64_t key) {
    size_t lo = 0, hi = p->node_count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const struct node *n = &p->nodes[mid];
        if ((n->is_job ? n->parent_id : -n->owner) < key)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static size_t first_child(const struct picture *p, int64_t nest_id) {
    size_t lo = 0, hi = p->child_count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (p->children[mid].nest_id < nest_id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static void print_node(struct picture *p, struct node *n, int depth);

static void print_jobs_of(struct picture *p, int64_t nest_id, int depth) {
    for (size_t i = first_node(p, nest_id); i < p->node_count; i++) {
        struct node *n = &p->nodes[i];
        if (!n->is_job || n->parent_id != nest_id)
            break;
        print_node(p, n, depth);
    }
}

static void print_scopes_of(struct picture *p, int64_t goroutine, int depth) {
    for (size_t i = first_node(p, -goroutine); goroutine > 0 && i < p->node_count; i++) {
        struct node *n = &p->nodes[i];
        if (n->is_job || n->owner != goroutine)
            break;
        print_node(p, n, depth);
    }
}

static void print_goroutine(struct picture *p, struct child *c, int depth) {
    c->seen = true;
    fprintf(p->out, "%*sgoroutine %lld", 2 * depth, "", (long long)c->id);
    if (c->name[0])
        fprintf(p->out, " \"%s\"", c->name);
    fprintf(p->out, " [%s]", ag__doing_name(c->state, c->reason));
    if (c->site)
        fprintf(p->out, " %s created at %s:%d", c->site->call, c->site->file, c->site->line);
    fprintf(p->out, "\n");
    if (depth < DEPTH)
        print_scopes_of(p, c->id, depth + 1);
}

static void print_job_line(struct picture *p, const struct node *n, int depth,
                           const struct child *body) {
    fprintf(p->out, "%*sjob %lld [%s] %s made at %s:%d", 2 * depth, "", (long long)n->id,
            ag_job_state_name(n->state), n->site->call, n->site->file, n->site->line);
    if (body)
        fprintf(p->out, ", goroutine %lld [%s]", (long long)body->id,
                ag__doing_name(body->state, body->reason));
    fprintf(p->out, "\n");
}

static void print_node(struct picture *p, struct node *n, int depth) {
    if (n->seen)
        return;
    struct child *first = p->children, *end = first, *body = NULL;
    if (p->child_count > 0) {
        first += first_child(p, n->id);
        end += p->child_count;
    }
    n->seen = true;
    for (struct child *c = first; n->is_job && c < end && c->nest_id == n->id; c++)
        if (c->id == n->owner)
            body = c;
    if (n->is_job)
        print_job_line(p, n, depth, body);
    else
        fprintf(p->out, "%*sscope, %s, at %s:%d%s: %d of %d left\n", 2 * depth, "",
                n->supervises ? "supervisor" : "fail fast", n->site->file, n->site->line,
                n->cancelled ? ", cancelled" : "", n->count, n->created);
    if (depth >= DEPTH)
        return;
    for (struct child *c = first; c < end && c->nest_id == n->id; c++)
        if (c != body)
            print_goroutine(p, c, depth + 1);
    if (body) {
        body->seen = true;
        print_scopes_of(p, body->id, depth + 1);
    }
    print_jobs_of(p, n->id, depth + 1);
}

/* Whether a goroutine is a child, and so is printed below what it belongs to. */
static bool is_child(const struct picture *p, int64_t id) {
    for (size_t i = 0; i < p->child_count; i++)
        if (p->children[i].id == id)
            return true;
    return false;
}

static void print_roots(struct picture *p) {
    for (size_t i = 0; i < p->node_count; i++) {
        struct node *n = &p->nodes[i];
        if (n->seen || n->is_job || is_child(p, n->owner))
            continue;
        if (n->owner > 0)
            fprintf(p->out, "goroutine %lld\n", (long long)n->owner);
        else
            fprintf(p->out, "a thread that is no goroutine\n");
        print_node(p, n, 1);
        print_scopes_of(p, n->owner, 1);
    }
    print_jobs_of(p, 0, 0);
    for (size_t i = 0; i < p->node_count; i++)
        print_node(p, &p->nodes[i], 0);
}

void ag__nests_dump(FILE *out, bool always) {
    struct picture p = {.out = out};
    copy_nodes(&p);
    if (p.node_count > 0)
        ag__g_each(copy_child, &p);
    if (p.node_count > 0) {
        qsort(p.nodes, p.node_count, sizeof *p.nodes, by_parent);
        if (p.child_count > 0)
            qsort(p.children, p.child_count, sizeof *p.children, by_nest);
    }
    if (always || p.node_count > 0 || p.busy) {
        fprintf(out, "scopes: %lld of %lld left; jobs: %lld of %lld left\n",
                (long long)p.scopes_now, (long long)p.scopes, (long long)p.jobs_now,
                (long long)p.jobs);
        print_roots(&p);
        if (p.no_memory)
            fprintf(out, "there are more, but no memory to show them\n");
        if (p.busy)
            fprintf(out, "there may be more, in lists that are in use\n");
        fprintf(out, "\n");
    }
    free(p.nodes);
    free(p.children);
}

void ag_scope_dump(FILE *out) {
    ag__nests_dump(out, true);
    fflush(out);
}

void ag__nest_tree_memory(uintptr_t *ret_lo, uintptr_t *ret_hi) {
    *ret_lo = (uintptr_t)shards;
    *ret_hi = (uintptr_t)(shards + SHARDS);
}
