/* SPDX-License-Identifier: MIT */
/*
 * The pool of works, and request memory.
 *
 * A work is borrowed each time a connection becomes readable, so taking one must cost next to
 * nothing and bring memory that is still in the cache. The slots are tried first, from a place that
 * depends on the stack's address: stacks are reused warm by their processor, so in a quiet server
 * each processor finds the work that it put back last. What does not fit there lies under the lock,
 * and beyond AG__HTTP_SPARE of those it is freed; its counters live on in s->retired.
 *
 * Refused: buffers on the goroutine's stack, which may be configured too small for them; one free
 * list under the lock, which every request of every processor would go through twice.
 */
#include "http/server.h"

#include <stdlib.h>
#include <string.h>

/* ---- The pool ------------------------------------------------------------------------------- */

static unsigned home_slot(void) {
    uintptr_t stack = (uintptr_t)__builtin_frame_address(0) >> 15;
    return (unsigned)((stack * UINT64_C(0x9e3779b97f4a7c15)) >> 60) % AG__HTTP_SLOTS;
}

static ag__http_work *from_slots(ag_http_server *s) {
    unsigned home = home_slot();
    for (unsigned i = 0; i < AG__HTTP_SLOTS; i++) {
        _Atomic(ag__http_work *) *slot = &s->slots[(home + i) % AG__HTTP_SLOTS].work;
        if (!atomic_load_explicit(slot, AG__RELAXED))
            continue;
        /* Acquire: what its last owner left in it. */
        ag__http_work *w = atomic_exchange_explicit(slot, NULL, memory_order_acquire);
        if (w)
            return w;
    }
    return NULL;
}

static bool into_slots(ag_http_server *s, ag__http_work *w) {
    unsigned home = home_slot();
    for (unsigned i = 0; i < AG__HTTP_SLOTS; i++) {
        _Atomic(ag__http_work *) *slot = &s->slots[(home + i) % AG__HTTP_SLOTS].work;
        ag__http_work *empty = NULL;
        if (!atomic_load_explicit(slot, AG__RELAXED) &&
            atomic_compare_exchange_strong_explicit(slot, &empty, w, memory_order_release,
                                                    AG__RELAXED))
            return true;
    }
    return false;
}

static ag__http_work *work_new(ag_http_server *s) {
    size_t fields = (size_t)s->opt.fields_max * sizeof(ag__http_field);
    ag__http_work *w = aligned_alloc(16, (sizeof *w + fields + 15) & ~(size_t)15);
    if (!w)
        return NULL;
    memset(w, 0, offsetof(ag__http_work, arena));
    w->s = s;
    w->in = w->in_own;
    w->in_size = AG__HTTP_IN;
    w->fields = (ag__http_field *)(void *)(w + 1);
    w->req.w = w->res.w = w;
    ag__http_limits limits = {.head_max = s->opt.head_max};
    ag__http_head_init(&w->head, w->fields, s->opt.fields_max, &limits);
    return w;
}

static void link_all(ag_http_server *s, ag__http_work *w) {
    w->all_next = s->all;
    if (w->all_next)
        w->all_next->all_prev = w;
    s->all = w;
}

static void unlink_all(ag_http_server *s, ag__http_work *w) {
    if (w->all_prev)
        w->all_prev->all_next = w->all_next;
    else
        s->all = w->all_next;
    if (w->all_next)
        w->all_next->all_prev = w->all_prev;
}

static ag__http_work *from_lock(ag_http_server *s) {
    ag_mutex_lock(&s->lock);
    ag__http_work *w = s->spare;
    if (w) {
        s->spare = w->spare;
        s->spare_count--;
    } else {
        w = work_new(s);
        if (w)
            link_all(s, w);
    }
    ag_mutex_unlock(&s->lock);
    return w;
}

ag__http_work *ag__http_work_take(ag_http_server *s) {
    ag__http_work *w = from_slots(s);
    if (!w)
        w = from_lock(s);
    if (w) {
        atomic_store_explicit(&w->busy, true, AG__RELAXED);
        w->finished = w->answering = w->waits_for_client = w->taken = false;
        w->wire = &ag__http_wire_1;
        w->then = AG__THEN_WAIT;
        w->broken = 0;
        w->req.ctx = NULL;
        w->at = w->in_n = w->out_n = 0;
    }
    return w;
}

static void work_free(ag__http_work *w) {
    free(w->res.fields);
    free(w);
}

void ag__http_work_put(ag__http_work *w) {
    ag_http_server *s = w->s;
    ag__http_arena_reset(w);
    if (w->in != w->in_own) {
        free(w->in);
        w->in = w->in_own;
        w->in_size = AG__HTTP_IN;
    }
    w->hc = NULL;
    atomic_store_explicit(&w->goroutine, 0, AG__RELAXED);
    atomic_store_explicit(&w->busy, false, AG__RELAXED);
    if (into_slots(s, w))
        return;
    ag_mutex_lock(&s->lock);
    bool keep = s->spare_count < AG__HTTP_SPARE;
    if (keep) {
        w->spare = s->spare;
        s->spare = w;
        s->spare_count++;
    } else {
        ag__http_counters_add(&s->retired, &w->counters);
        unlink_all(s, w);
    }
    ag_mutex_unlock(&s->lock);
    if (!keep)
        work_free(w);
}

void ag__http_work_free_all(ag_http_server *s) {
    for (ag__http_work *next, *w = s->all; w; w = next) {
        next = w->all_next;
        work_free(w);
    }
}

/* ---- Request memory ------------------------------------------------------------------------- */

static void *from_block(ag__http_work *w, size_t n) {
    size_t head = (sizeof(ag__http_block) + 15) & ~(size_t)15;
    ag__http_block *b = w->blocks;
    if (!b || b->size - b->at < n) {
        size_t size = n > 4096 - head ? head + n : 4096;
        b = malloc(size);
        if (!b)
            return NULL;
        *b = (ag__http_block){w->blocks, head, size};
        w->blocks = b;
    }
    void *p = (char *)b + b->at;
    b->at += n;
    return p;
}

void *ag__http_arena(ag__http_work *w, size_t n) {
    if (n > PTRDIFF_MAX - 8192)
        return NULL;
    n = (n + 15) & ~(size_t)15;
    if (n > AG__HTTP_ARENA - w->arena_at)
        return from_block(w, n);
    void *p = w->arena + w->arena_at;
    w->arena_at += (uint32_t)n;
    return p;
}

void ag__http_arena_reset(ag__http_work *w) {
    w->arena_at = 0;
    for (ag__http_block *next, *b = w->blocks; b; b = next) {
        next = b->link;
        free(b);
    }
    w->blocks = NULL;
    if (w->in_old != NULL) {
        if (w->in_old != w->in_own)
            free(w->in_old);
        w->in_old = NULL;
    }
}
