/* SPDX-License-Identifier: MIT */
/*
 * prof_stacks.c - counting stacks without a lock.
 *
 *     FREE --swap--> FILLING --release--> READY
 *
 * A table with open addressing. Whoever finds a free place on the way of its hash takes it, fills
 * it in, and makes it ready; from then on it is constant, but for its values, which anybody adds
 * to. One that is being filled in is passed by: at worst the same stack is there twice, and the
 * profile adds both up. So nobody ever waits, and a signal handler may come in between anywhere.
 * Where there is no place within some steps, the sample is lost, and counted as that.
 *
 * Closing: adders count themselves in `inside` before they look at `open`, and who closes looks at
 * `inside` after it has closed; both sequential. So nobody is in a table that is emptied.
 */
#include "debug/prof_stacks.h"
#include "ctx/ctx.h"
#include <errno.h>
#include <string.h>

enum { FREE, FILLING, READY };
enum { STEPS = AG__SIZE(64, 4) };

struct ag__stack_count {
    _Atomic uint32_t state; /* Atomic; above. */
    /* Guarded by state. */
    uint32_t hash;
    int frames;
    bool is_exact;
    char name[AG__NAME_BYTES];
    char labels[AG__LABEL_BYTES]; /* with the last 0 */
    const char *wait;
    const struct ag__site *site;
    uintptr_t pcs[AG__PROF_FRAMES];
    _Atomic int64_t values[AG__PROF_VALUES]; /* Atomic; relaxed. */
};

int ag__stacks_open(ag__stacks *s, uint32_t size) {
    if (!s->at) {
        size_t bytes = size * sizeof *s->at;
        ag__stack_count *at = ag__os_reserve(bytes);
        if (!at)
            return -ENOMEM;
        if (ag__os_commit(at, bytes) != 0) {
            ag__os_unreserve(at, bytes);
            return -ENOMEM;
        }
        s->at = at;
        s->size = size;
    }
    for (uint32_t i = 0; i < s->size; i++) {
        if (atomic_load_explicit(&s->at[i].state, AG__RLX) == FREE)
            continue;
        for (int k = 0; k < AG__PROF_VALUES; k++)
            atomic_store_explicit(&s->at[i].values[k], 0, AG__RLX);
        atomic_store_explicit(&s->at[i].state, FREE, AG__RLX);
    }
    atomic_store_explicit(&s->lost, 0, AG__RLX);
    atomic_store(&s->open, true);
    return 0;
}

void ag__stacks_close(ag__stacks *s) {
    atomic_store(&s->open, false);
    while (atomic_load(&s->inside) != 0)
        ag__os_yield();
}

/* No loops of the C library's: called by signal handlers, which TSan must not see. */
static AG__NO_SANITIZE uint32_t hash_of(const ag__prof_sample *s) {
    uint64_t h = (uintptr_t)s->site ^ (uintptr_t)s->state;
    for (int i = 0; i < s->frames; i++) {
        h = (h ^ s->pcs[i]) * UINT64_C(0xff51afd7ed558ccd);
        h ^= h >> 32;
    }
    size_t n = s->labels ? ag__labels_bytes(s->labels) : 0;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)s->labels[i]) * UINT64_C(0x100000001b3);
    return (uint32_t)(h ^ h >> 32);
}

static AG__NO_SANITIZE bool has_labels(const ag__stack_count *c, const ag__prof_sample *s) {
    size_t n = s->labels ? ag__labels_bytes(s->labels) : 0;
    for (size_t i = 0; i < n; i++)
        if (c->labels[i] != s->labels[i])
            return false;
    return c->labels[n] == 0;
}

static AG__NO_SANITIZE bool is_same(const ag__stack_count *c, const ag__prof_sample *s,
                                    uint32_t hash) {
    if (c->hash != hash || c->frames != s->frames || c->is_exact != s->is_exact ||
        c->wait != s->state || c->site != s->site || !has_labels(c, s))
        return false;
    for (int i = 0; i < s->frames; i++)
        if (c->pcs[i] != s->pcs[i])
            return false;
    const char *name = s->name ? s->name : "";
    for (int i = 0; i < AG__NAME_BYTES; i++)
        if (c->name[i] != name[i] || !name[i])
            return c->name[i] == name[i];
    return true;
}

static AG__NO_SANITIZE void fill(ag__stack_count *c, const ag__prof_sample *s, uint32_t hash) {
    c->hash = hash;
    c->frames = s->frames;
    c->is_exact = s->is_exact;
    c->wait = s->state;
    c->site = s->site;
    int n = 0;
    for (; s->name && s->name[n] && n < AG__NAME_BYTES - 1; n++)
        c->name[n] = s->name[n];
    c->name[n] = 0;
    size_t bytes = s->labels ? ag__labels_bytes(s->labels) : 0;
    for (size_t i = 0; i < bytes; i++)
        c->labels[i] = s->labels[i];
    c->labels[bytes] = 0;
    for (int i = 0; i < s->frames; i++)
        c->pcs[i] = s->pcs[i];
    /* Release. Partner: the acquire in find and gather. */
    atomic_store_explicit(&c->state, READY, memory_order_release);
}

static AG__NO_SANITIZE ag__stack_count *find(ag__stacks *s, const ag__prof_sample *sample) {
    uint32_t hash = hash_of(sample);
    for (uint32_t i = 0; i < STEPS; i++) {
        ag__stack_count *c = &s->at[(hash + i) & (s->size - 1)];
        uint32_t state = atomic_load_explicit(&c->state, memory_order_acquire);
        if (state == FREE && atomic_compare_exchange_strong(&c->state, &state, FILLING)) {
            fill(c, sample, hash);
            return c;
        }
        if (state == READY && is_same(c, sample, hash))
            return c;
    }
    return NULL;
}

AG__NO_SANITIZE void ag__stacks_add(ag__stacks *s, const ag__prof_sample *sample,
                                    const int64_t *values) {
    atomic_fetch_add(&s->inside, 1);
    if (atomic_load(&s->open)) {
        ag__stack_count *c = find(s, sample);
        for (int i = 0; c && i < AG__PROF_VALUES; i++)
            atomic_fetch_add_explicit(&c->values[i], values[i], AG__RLX);
        if (!c)
            atomic_fetch_add_explicit(&s->lost, 1, AG__RLX);
    }
    atomic_fetch_sub(&s->inside, 1);
}

void ag__stacks_gather(ag__stacks *s, ag__prof *p, int times) {
    for (uint32_t i = 0; i < s->size; i++) {
        ag__stack_count *c = &s->at[i];
        if (atomic_load_explicit(&c->state, memory_order_acquire) != READY)
            continue;
        int64_t values[AG__PROF_VALUES];
        for (int k = 0; k < AG__PROF_VALUES; k++)
            values[k] = atomic_load_explicit(&c->values[k], AG__RLX) * times;
        ag__prof_add(p,
                     &(ag__prof_sample){.pcs = c->pcs,
                                        .frames = c->frames,
                                        .is_exact = c->is_exact,
                                        .name = c->name,
                                        .labels = c->labels,
                                        .state = c->wait,
                                        .site = c->site},
                     values);
    }
    if (times > 0)
        ag__prof_note(p, atomic_load_explicit(&s->lost, AG__RLX),
                      "samples were lost: there are too many stacks");
}
