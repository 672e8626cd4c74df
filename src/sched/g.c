/* SPDX-License-Identifier: MIT */
/*
 * g.c - goroutine records: where they live, their numbers, how they start.
 *
 * Records are carved from slabs that are never given back while the process lives, so that a
 * dump may look at any record at any time and a stale timer or poller event finds memory of the
 * right type. Each slab is twice as large as the one before, up to 16 MiB. Each P keeps a list of
 * free ones; batches move to and from a central list.
 *
 * Numbers are handed out in blocks, one block a P, so that starting a goroutine touches no
 * shared line. Main is 1.
 *
 * gdb finds the records from here, too: its script (tools/gdb) lies in a section of this
 * object that gdb alone reads.
 */
#include "sched/inner.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An entry of .debug_gdb_scripts: 4, the text of a script in Python, its name first, 0. */
#ifdef AG_GDB_SCRIPT
__asm__(".pushsection .debug_gdb_scripts, \"\", %progbits\n\t"
        ".byte 4\n\t"
        ".ascii \"aglet-gdb.py\\n\"\n\t"
        ".incbin \"" AG_GDB_SCRIPT "\"\n\t"
        ".byte 0\n\t"
        ".popsection");
#endif

enum { ID_BLOCK = 64 };
#define SLAB_MIN AG__SIZE((size_t)32 << 10, (size_t)4 << 10)
#define SLAB_MAX ((size_t)16 << 20)

struct slab {
    struct slab *next; /* Constant. */
    uint32_t size;     /* Constant. */
    /* records[.. used) were handed out at least once. Written under slab_lock. */
    _Atomic uint32_t used;
    ag__g records[];
};

static ag__lock slab_lock;
static _Atomic(struct slab *) slabs; /* Written under slab_lock; walked without. */
static size_t slab_bytes;            /* Guarded by slab_lock: of the newest. */
static ag__g *central;               /* Guarded by slab_lock. */
static uint32_t central_count;       /* Guarded by slab_lock. */

static bool grow(void) {
    size_t bytes = slab_bytes ? slab_bytes * 2 : SLAB_MIN;
    if (bytes > SLAB_MAX)
        bytes = SLAB_MAX;
    struct slab *s = calloc(1, bytes); /* large ones are mapped, and not touched */
    if (!s)
        return false;
    slab_bytes = bytes;
    s->size = (uint32_t)((bytes - sizeof *s) / sizeof(ag__g));
    s->next = atomic_load_explicit(&slabs, AG__RLX);
    /* Release: next and size come before a dump sees them. Partner: ag__g_each. */
    atomic_store_explicit(&slabs, s, memory_order_release);
    return true;
}

/* Makes up to n records of the newest slab usable. Records are not touched before they are
 * needed: a slab costs address space only. slab_lock held. */
static void carve(uint32_t n) {
    struct slab *s = atomic_load_explicit(&slabs, AG__RLX);
    if (!s || atomic_load_explicit(&s->used, AG__RLX) == s->size) {
        if (!grow())
            return;
        s = atomic_load_explicit(&slabs, AG__RLX);
    }
    uint32_t from = atomic_load_explicit(&s->used, AG__RLX);
    uint32_t to = s->size - from < n ? s->size : from + n;
    for (uint32_t i = to; i-- > from;) {
        s->records[i].timer.when = INT64_MAX;
        s->records[i].link = central;
        central = &s->records[i];
    }
    central_count += to - from;
    atomic_store_explicit(&s->used, to, AG__RLX);
}

static AG__COLD ag__g *refill(ag__p *p) {
    uint32_t n = p ? AG__G_BATCH : 1;
    ag__lock_acquire(&slab_lock);
    if (!central)
        carve(n);
    ag__g *first = central;
    for (uint32_t i = 1; central && i <= n; i++) {
        ag__g *g = central;
        central = g->link;
        central_count--;
        if (i > 1) {
            g->link = p->g_free;
            p->g_free = g;
            p->g_free_count++;
        }
    }
    ag__lock_release(&slab_lock);
    return first;
}

ag__g *ag__g_alloc(ag__m *m) {
    ag__p *p = m->p;
    if (AG__LIKELY(p && p->g_free)) {
        ag__g *g = p->g_free;
        p->g_free = g->link;
        p->g_free_count--;
        return g;
    }
    return refill(p);
}

static AG__COLD void give_back(ag__p *p) {
    ag__lock_acquire(&slab_lock);
    while (p->g_free_count > AG__G_BATCH) {
        ag__g *g = p->g_free;
        p->g_free = g->link;
        p->g_free_count--;
        g->link = central;
        central = g;
        central_count++;
    }
    ag__lock_release(&slab_lock);
}

void ag__g_free(ag__m *m, ag__g *g) {
    ag__tsan_end(g);
    if (AG__UNLIKELY(g->name != NULL)) {
        char *name = g->name;
        g->name = NULL; /* first: a profile's signal handler copies it */
        AG__COMPILER_BARRIER();
        free(name);
    }
    g->defers = NULL;
    g->panic = NULL;
    g->on_panic = NULL;
    g->end_fn = NULL;
    g->held = NULL;
    atomic_store_explicit(&g->read_lock, NULL, AG__RLX);
    g->saved_errno = 0;
    g->cxx[0] = g->cxx[1] = NULL;
    g->flags = 0;
    ag__hb_start_after(g, NULL);
    g->stack_size = 0;
    atomic_store_explicit(&g->state, AG__G_FREE, AG__RLX);
    ag__p *p = m->p;
    if (AG__UNLIKELY(!p)) {
        ag__lock_acquire(&slab_lock);
        g->link = central;
        central = g;
        central_count++;
        ag__lock_release(&slab_lock);
        return;
    }
    g->link = p->g_free;
    p->g_free = g;
    if (AG__UNLIKELY(++p->g_free_count > 16 * AG__G_BATCH))
        give_back(p);
}

void ag__g_each(bool (*visit)(ag__g *, void *), void *arg) {
    /* Acquire. Partner: the release store in grow. */
    for (struct slab *s = atomic_load_explicit(&slabs, memory_order_acquire); s; s = s->next) {
        uint32_t used = atomic_load_explicit(&s->used, AG__RLX);
        for (uint32_t i = 0; i < used; i++)
            if (atomic_load_explicit(&s->records[i].state, AG__RLX) != AG__G_FREE &&
                !visit(&s->records[i], arg))
                return;
    }
}

/* The goroutine may end meanwhile, and free its name. */
AG__NO_SANITIZE void ag__g_name(const ag__g *g, char ret_name[AG__NAME_BYTES]) {
    const char *name = __atomic_load_n(&g->name, __ATOMIC_ACQUIRE);
    int64_t id = __atomic_load_n(&g->id, __ATOMIC_RELAXED);
    ret_name[0] = 0;
    if (!name || ag__os_peek(name, ret_name, AG__NAME_BYTES) != 0 ||
        __atomic_load_n(&g->name, __ATOMIC_ACQUIRE) != name ||
        __atomic_load_n(&g->id, __ATOMIC_RELAXED) != id)
        ret_name[0] = 0;
    ret_name[AG__NAME_BYTES - 1] = 0;
}

bool ag__g_slab(int i, uintptr_t *ret_lo, uintptr_t *ret_hi) {
    struct slab *s = atomic_load_explicit(&slabs, memory_order_acquire);
    for (; s && i > 0; i--)
        s = s->next;
    if (!s)
        return false;
    *ret_lo = (uintptr_t)s;
    *ret_hi = (uintptr_t)&s->records[s->size];
    return true;
}

void ag__g_rebuild(void) {
    ag__lock_acquire(&slab_lock);
    central = NULL;
    central_count = 0;
    for (struct slab *s = atomic_load_explicit(&slabs, AG__RLX); s; s = s->next) {
        uint32_t used = atomic_load_explicit(&s->used, AG__RLX);
        for (uint32_t i = 0; i < used; i++) {
            ag__g *g = &s->records[i];
            if (g->flags & AG__GF_LOST)
                continue;
            free(g->name);
            ag__g zero = {.timer = {.when = INT64_MAX}};
            zero.claim = g->claim + 2;
            ag__tsan_drop(g);
            memcpy(g, &zero, sizeof zero);
            g->link = central;
            central = g;
            central_count++;
        }
    }
    ag__lock_release(&slab_lock);
}

static AG__COLD int64_t new_ids(ag__p *p) {
    int64_t first = atomic_fetch_add_explicit(&ag__s.id_block, p ? ID_BLOCK : 1, AG__RLX);
    if (p) {
        p->id_next = first + 1;
        p->id_end = first + ID_BLOCK;
    }
    return first;
}

static inline int64_t new_id(ag__p *p) {
    if (AG__LIKELY(p && p->id_next < p->id_end))
        return p->id_next++;
    return new_ids(p);
}

ag__g *ag__g_new(ag__m *m, const struct ag__site *site, ag__fn fn, const intptr_t args[6]) {
    ag__g *g = ag__g_alloc(m);
    if (AG__UNLIKELY(!g))
        return NULL;
    g->fn = fn;
    memcpy(g->args, args, sizeof g->args);
    g->site = site;
    g->id = new_id(m->p);
    g->creator = m->g ? m->g->id : 0;
    return g;
}

void ag__g_discard(ag__m *m, ag__g *g) {
    ag__g_free(m, g);
}

static bool no_world(void) {
    return atomic_load_explicit(&ag__s.running, memory_order_acquire) != 1;
}

int64_t ag__go(const struct ag__site *site, ag__fn fn, intptr_t a, intptr_t b, intptr_t c,
               intptr_t d, intptr_t e, intptr_t f) {
    if (AG__UNLIKELY(ag__m_now() == &ag__m_stranger) && ag__foreign_prepare() != 0)
        return -ENOMEM;
    ag__m *m = ag__enter();
    if (AG__UNLIKELY(m->foreign) && no_world()) {
        ag__leave(m);
        return -ECANCELED;
    }
    ag__g *g = ag__g_alloc(m);
    if (AG__UNLIKELY(!g)) {
        ag__leave(m);
        return -ENOMEM;
    }
    g->fn = fn;
    g->args[0] = a;
    g->args[1] = b;
    g->args[2] = c;
    g->args[3] = d;
    g->args[4] = e;
    g->args[5] = f;
    g->site = site;
    int64_t id = g->id = new_id(m->p);
    g->creator = m->g->id;
    if (AG__UNLIKELY(m->g->bound))
        ag__hooks.ctx_hand_on(m, g);
    ag__g_start(m, g);
    ag__leave(m);
    return id;
}

int64_t ag__go_with(const ag_go_opts *opts, const struct ag__site *site, ag__fn fn,
                    const intptr_t args[6]) {
    return ag__go_ending(opts, NULL, NULL, site, fn, args);
}

int64_t ag__go_ending(const ag_go_opts *opts, void (*end_fn)(void *), void *end_arg,
                      const struct ag__site *site, ag__fn fn, const intptr_t args[6]) {
    char *name = NULL;
    if (opts && opts->stack_size > AG__STACK_MAX)
        return -EINVAL;
    if (ag__foreign_prepare() != 0)
        return -ENOMEM;
    if (opts && opts->name) {
        name = malloc(AG__NAME_BYTES);
        if (!name)
            return -ENOMEM;
        snprintf(name, AG__NAME_BYTES, "%s", opts->name);
    }
    ag__m *m = ag__enter();
    ag__g *g = AG__UNLIKELY(m->foreign) && no_world() ? NULL : ag__g_new(m, site, fn, args);
    if (!g) {
        int r = m->foreign && no_world() ? -ECANCELED : -ENOMEM;
        ag__leave(m);
        free(name);
        return r;
    }
    g->name = name;
    g->end_fn = end_fn;
    g->end_arg = end_arg;
    if (opts) {
        g->on_panic = opts->on_panic;
        if (opts->lazy)
            g->flags |= AG__GF_LAZY;
        if (opts->stack_size && opts->stack_size != ag__s.stack_size) {
            g->flags |= AG__GF_CUSTOM;
            g->stack_size = (uint32_t)opts->stack_size;
        }
    }
    int64_t id = g->id;
    if (AG__UNLIKELY(m->g->bound))
        ag__hooks.ctx_hand_on(m, g);
    ag__g_start(m, g);
    ag__leave(m);
    return id;
}

int64_t ag_id(void) {
    ag__m *m = ag__m_now();
    return m->foreign || !m->g ? 0 : m->g->id;
}

static int64_t sum_ended(void) {
    int64_t n = atomic_load_explicit(&ag__s.ended, memory_order_acquire);
    for (int i = 0; i < ag__s.p_made; i++)
        n += atomic_load_explicit(&ag__s.p_all[i]->ended, memory_order_acquire);
    return n;
}

int64_t ag__g_created(void) {
    int64_t n = atomic_load_explicit(&ag__s.created, AG__RLX);
    for (int i = 0; i < ag__s.p_made; i++)
        n += atomic_load_explicit(&ag__s.p_all[i]->created, AG__RLX);
    return n;
}

int64_t ag_count(void) {
    if (no_world())
        return 0;
    /* Ended first: one that starts and ends in between is counted as created only. */
    int64_t ended = sum_ended();
    AG__HB_ACQUIRE(&ag__s.ended);
    return ag__g_created() - ended;
}

uint64_t ag__claim_begin(ag__g *g) {
    uint64_t epoch = (atomic_load_explicit(&g->claim, AG__RLX) >> 1) + 1;
    atomic_store_explicit(&g->claim, epoch << 1, AG__RLX);
    return epoch;
}

bool ag__claim(ag__g *g, uint64_t epoch) {
    uint64_t open = epoch << 1;
    /* Acquire-release: the winner sees the wait record, and the woken goroutine what it did. */
    return atomic_compare_exchange_strong_explicit(&g->claim, &open, open | 1, memory_order_acq_rel,
                                                   memory_order_relaxed);
}

/* "Used", also by gdb's script: clang would turn them into tables of distances otherwise. */
const char *ag__state_name(int state) {
    static const char *const names[] __attribute__((used)) = {
#define STATE(name, text) text,
#include "sched/states.def"
#undef STATE
    };
    return state >= 0 && state < (int)(sizeof names / sizeof *names) ? names[state] : "?";
}

const char *ag__reason_name(int reason) {
    static const char *const names[] __attribute__((used)) = {
#define REASON(name, text) text,
#include "sched/reasons.def"
#undef REASON
    };
    return reason >= 0 && reason < (int)(sizeof names / sizeof *names) ? names[reason] : "?";
}

const char *ag__doing_name(int state, int reason) {
    return state == AG__G_WAITING ? ag__reason_name(reason) : ag__state_name(state);
}
