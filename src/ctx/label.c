/* SPDX-License-Identifier: MIT */
/*
 * label.c - labels: what dumps and profiles say about the goroutines of a context.
 *
 * The labels of a context are one record that never changes: a child of it has the same one, with
 * a reference, and a context that adds a label has a new record with a copy. The goroutine's own
 * record names that of its current context, so who looks at a goroutine follows one pointer.
 *
 * Who looks may be a dump that stops nobody, or a signal handler. So the text is copied into the
 * record, and records are never given back to malloc: their memory always is a record. A count,
 * odd while one is filled in, tells a reader whether it has seen one set of labels from its
 * beginning to its end; the goroutine still naming the record afterwards tells that it was its own.
 *
 *     text: key 0 value 0 key 0 value 0 ... 0
 *
 * Refused: following the contexts by their parents (they may be freed under the eyes of a dump),
 * and keeping the caller's pointers (the strings may be gone).
 */
#include "ctx/ctx.h"
#include <stdlib.h>
#include <string.h>

enum { SLAB = AG__SIZE(32, 2) };

static ag__lock pool_lock;
static ag__labels *pool; /* Guarded by pool_lock. */

static ag__labels *take(void) {
    ag__lock_acquire(&pool_lock);
    if (!pool) {
        ag__labels *slab = calloc(SLAB, sizeof *slab);
        for (int i = 0; slab && i < SLAB; i++) {
            slab[i].link = pool;
            pool = &slab[i];
        }
        AG__HB_RELEASE(&pool);
    }
    ag__labels *l = pool;
    if (l)
        pool = l->link;
    AG__HB_ACQUIRE(&pool);
    ag__lock_release(&pool_lock);
    return l;
}

ag__labels *ag__labels_ref(ag__labels *l) {
    if (l)
        atomic_fetch_add_explicit(&l->refs, 1, AG__RLX);
    return l;
}

void ag__labels_unref(ag__labels *l) {
    if (!l)
        return;
    AG__HB_RELEASE(l);
    /* As ag_unref. */
    if (atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) > 1)
        return;
    AG__HB_ACQUIRE(l);
    ag__lock_acquire(&pool_lock);
    AG__HB_RELEASE(&pool);
    l->link = pool;
    pool = l;
    ag__lock_release(&pool_lock);
}

/* Adds a string with its end; what is too long is cut. `room` counts what must stay free behind. */
static uint32_t add(char *text, uint32_t at, const char *more, uint32_t room) {
    while (*more && at + 1 + room < AG__LABEL_BYTES)
        text[at++] = *more++;
    text[at++] = 0;
    return at;
}

/* The labels of `from`, which may be NULL, but for `key`; and this one in front: it is what matters
 * if there is no room for all. */
static void fill_in(char *text, const ag__labels *from, const char *key, const char *value) {
    enum { KEY_ROOM = AG__LABEL_BYTES / 2 };
    uint32_t at = add(text, 0, key, KEY_ROOM);
    at = add(text, at, value, 1);
    for (const char *k = from ? from->text : ""; *k;) {
        const char *v = k + strlen(k) + 1, *next = v + strlen(v) + 1;
        size_t bytes = (size_t)(next - k);
        if (strcmp(k, text) != 0 && at + bytes < AG__LABEL_BYTES) {
            memcpy(text + at, k, bytes);
            at += (uint32_t)bytes;
        }
        k = next;
    }
    text[at] = 0;
}

ag__labels *ag__labels_plus(ag__labels *from, const char *key, const char *value) {
    ag__labels *l = take();
    if (!l)
        return NULL;
    uint32_t count = atomic_load_explicit(&l->count, AG__RLX);
    atomic_store_explicit(&l->count, count + 1, AG__RLX);
    /* Release: odd before the first byte changes. Partner: the acquire fence of a reader. */
    atomic_thread_fence(memory_order_release);
    fill_in(l->text, from, key, value);
    atomic_store_explicit(&l->refs, 1, AG__RLX);
    atomic_store_explicit(&l->count, count + 2, memory_order_release);
    return l;
}

AG__NO_SANITIZE bool ag__labels_copy(const ag__g *g, char ret_text[AG__LABEL_BYTES]) {
    ag__labels *l = atomic_load_explicit(&g->labels, memory_order_acquire);
    ret_text[0] = 0;
    if (!l)
        return false;
    uint32_t count = atomic_load_explicit(&l->count, memory_order_acquire);
    const volatile char *text = l->text;
    ag__vg_quiet_begin();
    for (uint32_t i = 0; i < AG__LABEL_BYTES; i++)
        ret_text[i] = text[i];
    ag__vg_quiet_end();
    ag__vg_defined(ret_text, AG__LABEL_BYTES);
    atomic_thread_fence(memory_order_acquire);
    if (!(count & 1) && atomic_load_explicit(&l->count, AG__RLX) == count &&
        atomic_load_explicit(&g->labels, AG__RLX) == l)
        return true;
    ret_text[0] = 0;
    return false;
}

/* --- The public side. --- */

ag_ctx *ag_ctx_with_label(ag_ctx *parent, const char *key, const char *value) {
    ag_ctx *c = ag_ctx_with_cancel(parent);
    if (c && !ag__ctx_label(c, key, value)) {
        ag_unref(c);
        c = NULL;
    }
    return c;
}

bool ag__ctx_label(ag_ctx *c, const char *key, const char *value) {
    if (!key || !*key)
        return true;
    ag__labels *l = ag__labels_plus(c->labels, key, value ? value : "");
    if (!l)
        return false;
    ag__labels_unref(c->labels);
    c->labels = l;
    return true;
}

const char *ag_ctx_label(ag_ctx *c, const char *key) {
    const ag__labels *l = c && c != &ag__ctx_nothing ? c->labels : NULL;
    for (const char *k = l ? l->text : ""; *k;) {
        const char *v = k + strlen(k) + 1;
        if (strcmp(k, key) == 0)
            return v;
        k = v + strlen(v) + 1;
    }
    return NULL;
}

AG__NO_SANITIZE size_t ag__labels_bytes(const char *labels) {
    size_t n = 0;
    while (labels[n])
        for (int part = 0; part < 2; part++) { /* key, and value, which may be empty */
            while (labels[n])
                n++;
            n++;
        }
    return n;
}
