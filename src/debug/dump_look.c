/* SPDX-License-Identifier: MIT */
/*
 * dump_look.c - looking at goroutines while they may run.
 *
 * What must be consistent - the stack of a parked goroutine, what it waits for, its deferred calls
 * - is copied between two looks at its resume counter and saved stack pointer: if both are
 * unchanged, it did not run meanwhile, and what it waits for was there all the time. One that moved
 * is tried a few times and then shown without. Nothing waits for anybody.
 *
 * Stacks are many and places few: trails are kept once each.
 */
#include "debug/dump_view.h"
#include "debug/look.h"
#include <stdlib.h>
#include <string.h>

enum { TRIES = 8, CHUNK = 64 * 1024 };

/* --- Memory. --- */

struct ag__arena {
    struct ag__arena *next;
    size_t used;
    _Alignas(16) char bytes[CHUNK - 32];
};

void *ag__dump_take(ag__dump *d, size_t bytes) {
    bytes = (bytes + 7) & ~(size_t)7;
    struct ag__arena *a = d->arena;
    if (!a || a->used + bytes > sizeof a->bytes) {
        a = bytes <= sizeof a->bytes ? malloc(sizeof *a) : NULL;
        if (!a) {
            d->no_memory = true;
            return NULL;
        }
        a->next = d->arena;
        a->used = 0;
        d->arena = a;
    }
    void *at = a->bytes + a->used;
    a->used += bytes;
    return at;
}

static const char *keep(ag__dump *d, const char *text, size_t bytes) {
    char *copy = ag__dump_take(d, bytes);
    return copy ? memcpy(copy, text, bytes) : NULL;
}

void ag__dump_begin(ag__dump *d) {
    memset(d, 0, sizeof *d);
    d->tables = calloc(1, sizeof *d->tables);
    d->stack = malloc(AG__LOOK_BYTES);
    d->no_memory = !d->tables || !d->stack;
    ag__g *self = ag__m_now()->g;
    d->self = self && !(self->flags & AG__GF_FOREIGN) ? self : NULL;
    d->now = ag__os_now();
}

void ag__dump_end(ag__dump *d) {
    for (struct ag__arena *a = d->arena, *next; a; a = next) {
        next = a->next;
        free(a);
    }
    free(d->tables);
    free(d->stack);
    if (d->views != &d->one)
        free(d->views);
    free(d->edges);
}

/* Room for one more view. */
static bool make_room(ag__dump *d) {
    if (d->count < d->room)
        return true;
    size_t room = 2 * d->room + 64;
    ag__view *more = d->views == &d->one ? NULL : realloc(d->views, room * sizeof *more);
    if (more) {
        d->views = more;
        d->room = room;
    } else {
        d->no_memory = true;
        if (d->room == 0) {
            d->views = &d->one;
            d->room = 1;
        }
    }
    return d->count < d->room;
}

/* --- Trails. --- */

static const ag__trail *intern(ag__dump *d, const uintptr_t *words, int frames, int pending) {
    size_t bytes = ((size_t)frames + 2 * (size_t)pending) * sizeof *words;
    uint64_t hash = (uint64_t)(frames * 64 + pending);
    for (size_t i = 0; i < bytes / sizeof *words; i++)
        hash = (hash ^ words[i]) * 0x9E3779B97F4A7C15ull, hash ^= hash >> 29;
    if (!d->tables)
        return NULL;
    ag__trail **bucket = &d->tables->trails[hash % AG__TRAIL_BUCKETS];
    for (ag__trail *t = *bucket; t; t = t->link)
        if (t->hash == hash && t->frames == frames && t->pending == pending &&
            memcmp(t->words, words, bytes) == 0)
            return t;
    ag__trail *t = ag__dump_take(d, sizeof *t + bytes);
    if (!t)
        return NULL;
    *t = (ag__trail){*bucket, hash, frames, pending};
    memcpy(t->words, words, bytes);
    return *bucket = t;
}

/* A stack as it was copied: n bytes that were at sp. */
struct copy {
    const unsigned char *bytes;
    uintptr_t sp;
    size_t n;
};

static bool read_defer(const struct copy *c, uintptr_t at, struct ag__defer *ret) {
    if (c->n >= sizeof *ret && at - c->sp <= c->n - sizeof *ret) {
        memcpy(ret, c->bytes + (at - c->sp), sizeof *ret);
        return true;
    }
    return ag__os_peek((const void *)at, ret, sizeof *ret) == 0;
}

/* The deferred calls of g, innermost first: those that are whole, see lang/panic.c. Returns how
 * many. */
static AG__NO_SANITIZE int pending_of(ag__g *g, const struct copy *c, uintptr_t *ret_words) {
    uintptr_t at = (uintptr_t)__atomic_load_n(&g->defers, __ATOMIC_RELAXED);
    int n = 0;
    for (int steps = 0; at && n < AG__DEFERS && steps < 4 * AG__DEFERS; steps++) {
        struct ag__defer d;
        if (!read_defer(c, at, &d) || d.head != &g->defers)
            break;
        if (d.site && !ag__defer_is_try(d.fn)) {
            ret_words[2 * n] = (uintptr_t)d.fn;
            ret_words[2 * n + 1] = (uintptr_t)d.site;
            n++;
        }
        at = (uintptr_t)d.next;
    }
    return n;
}

/* Where the suspended g stands. */
static void look_at_stack(ag__dump *d, ag__g *g, char *sp, ag__view *v) {
    uintptr_t words[AG__FRAMES + 2 * AG__DEFERS];
    ag__stack_shape shape;
    int frames = d->stack ? ag__look_at_stack(g, d->stack, words, AG__FRAMES, &shape) : 0;
    if (frames == 0)
        return;
    v->stack_used = shape.used;
    v->stack_bytes = shape.bytes;
    struct copy c = {d->stack, (uintptr_t)sp, shape.used};
    if (c.n > AG__LOOK_BYTES)
        c.n = AG__LOOK_BYTES;
    frames = ag__frames_shown(d, words, frames, false);
    int pending = pending_of(g, &c, words + frames);
    v->trail = intern(d, words, frames, pending);
}

/* --- Goroutines. --- */

static void look_at_texts(ag__dump *d, ag__g *g, ag__view *v) {
    char text[AG__LABEL_BYTES];
    ag__g_name(g, text);
    if (text[0])
        v->name = keep(d, text, strlen(text) + 1);
    if (ag__labels_copy(g, text))
        v->labels = keep(d, text, ag__labels_bytes(text) + 1);
}

/* The figures, each read on its own. */
static AG__NO_SANITIZE void look_at_record(ag__g *g, ag__view *v) {
    memset(v, 0, sizeof *v);
    v->id = g->id;
    v->creator = g->creator;
    v->site = g->site;
    v->state = atomic_load_explicit(&g->state, AG__RLX);
    v->ends_at = atomic_load_explicit(&g->ends_at, AG__RLX);
    v->group = ag__wg_of(g);
    v->nest_id = g->flags & AG__GF_CHILD ? g->nest_id : 0;
    v->is_bound = __atomic_load_n(&g->locked_m, __ATOMIC_RELAXED) != NULL;
    if (v->state != AG__G_WAITING)
        return;
    v->reason = atomic_load_explicit(&g->reason, AG__RLX);
    v->object = atomic_load_explicit(&g->wait_object, AG__RLX);
    v->since = atomic_load_explicit(&g->wait_since, AG__RLX);
    int64_t timer = __atomic_load_n(&g->timer.when, __ATOMIC_RELAXED);
    bool is_lock = v->reason == AG__WAIT_MUTEX || v->reason == AG__WAIT_RWMUTEX ||
                   v->reason == AG__WAIT_RWMUTEX_READ;
    v->timer = timer == INT64_MAX || is_lock ? 0 : timer; /* of locks it is the checks' */
}

/* One look. False: g ran meanwhile. */
static AG__NO_SANITIZE bool look_once(ag__dump *d, ag__g *g, ag__view *v, bool with_stack) {
    uint64_t before = atomic_load_explicit(&g->resumes, memory_order_acquire);
    char *sp = __atomic_load_n((char **)&g->sp, __ATOMIC_ACQUIRE);
    look_at_record(g, v);
    look_at_texts(d, g, v);
    if (v->state == AG__G_WAITING)
        v->wait = ag__wait_look(d, g, v->reason, v->object);
    if (sp && with_stack)
        look_at_stack(d, g, sp, v);
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&g->resumes, memory_order_acquire) == before &&
           __atomic_load_n((char **)&g->sp, __ATOMIC_ACQUIRE) == sp && sp;
}

static AG__NO_SANITIZE void look(ag__dump *d, ag__g *g, ag__view *v, bool with_stack) {
    bool stood = look_once(d, g, v, with_stack);
    for (int i = 1; i < TRIES && !stood && v->state == AG__G_WAITING; i++) {
        ag__os_yield(); /* it is about to be parked */
        stood = look_once(d, g, v, with_stack);
    }
    if (!stood) { /* it runs, or has never run: what it left behind means nothing */
        v->trail = NULL;
        v->wait = NULL;
        v->stack_used = 0;
    }
    if (v->since > d->now) /* it has come to wait while we look */
        v->since = d->now;
    if (v->trail)
        ag__mark_depth(v->site, v->stack_used, v->stack_bytes);
    if (with_stack)
        ag__mark_look(g);
}

/* The caller runs; its stack is as it stood when the dump began. */
static void look_at_self(ag__dump *d, ag__g *g, ag__view *v) {
    uintptr_t words[AG__FRAMES + 2 * AG__DEFERS];
    look_at_record(g, v);
    look_at_texts(d, g, v);
    v->state = AG__G_RUNNING;
    v->is_self = true;
    memcpy(words, d->self_pcs, (size_t)d->self_frames * sizeof *words);
    int frames = ag__frames_shown(d, words, d->self_frames, true);
    int pending = pending_of(g, &(struct copy){NULL, 0, 0}, words + frames);
    v->trail = intern(d, words, frames, pending);
    ag__mark_look(g);
}

static AG__NO_SANITIZE bool visit(ag__g *g, void *arg) {
    ag__dump *d = arg;
    int state = atomic_load_explicit(&g->state, AG__RLX);
    if (state == AG__G_FREE || state == AG__G_WISH ||
        (d->only && (g->id == d->only) != d->only_first))
        return true;
    if (!make_room(d))
        return false;
    ag__view *v = &d->views[d->count];
    if (g == d->self)
        look_at_self(d, g, v);
    else
        look(d, g, v, !d->only || g->id == d->only);
    d->count += v->id > 0 && v->state != AG__G_FREE && v->state != AG__G_WISH;
    return true;
}

static int by_id(const void *a, const void *b) {
    const ag__view *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

void ag__dump_collect(ag__dump *d, int64_t only) {
    d->only = only;
    if (d->self)
        d->self_frames = ag__unwind_here(d->self_pcs, AG__FRAMES, 0);
    d->only_first = only != 0;
    ag__g_each(visit, d);
    if (d->only_first && d->count > 0 && d->views[0].wait) { /* the others have to do with it */
        d->only_first = false;
        ag__g_each(visit, d);
    }
    if (d->count > 0)
        qsort(d->views, d->count, sizeof *d->views, by_id);
    ag__dump_link(d);
}

const ag__view *ag__dump_find(const ag__dump *d, int64_t id) {
    ag__view key = {.id = id};
    return d->count > 0 ? bsearch(&key, d->views, d->count, sizeof key, by_id) : NULL;
}
