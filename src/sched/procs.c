/* SPDX-License-Identifier: MIT */
/*
 * procs.c - changing the number of processors while goroutines run.
 *
 * A P beyond the new number retires: its thread, at its next look for work, moves its queue to
 * the global one and lets go of it; an idle one just leaves the idle list. Timers stay in a
 * retired P's heap, where thieves and sleepers still see them. Growing brings retired ones
 * back first.
 *
 * Records of Ps are never freed: biased locks of another world may still name them.
 */
#include "sched/procs.h"
#include "sched/inner.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static ag__lock resize_lock; /* Taken before sched.lock. */

static ag__p *all[AG__PROCS_MAX];

static void p_init(ag__p *p, int index) {
    uint64_t random = ag__os_random();
    memset(p, 0, sizeof *p);
    p->index = index;
    p->random = random;
    p->heap.first = INT64_MAX;
    p->retired = true;
}

int ag__procs_make(int n) {
    if (!ag__s.p_all)
        ag__s.p_all = all;
    while (ag__s.p_made < n) {
        ag__p *p = all[ag__s.p_made];
        if (!p)
            p = aligned_alloc(AG__CACHE_LINE, (sizeof *p + 63) & ~(size_t)63);
        if (!p)
            return -ENOMEM;
        p_init(p, ag__s.p_made);
        all[ag__s.p_made] = p;
        ag__s.p_made++;
        ag__note_p_new(p);
    }
    return 0;
}

void ag__procs_free(void) {
    for (int i = 0; i < ag__s.p_made; i++)
        ag__heap_free(&all[i]->heap);
    ag__s.p_made = 0;
    ag__s.idle_p = NULL;
}

void ag__p_put_idle_locked(ag__p *p) {
    if (p->index >= ag__s.p_count) {
        p->retired = true;
        return;
    }
    p->idle = true;
    p->idle_link = ag__s.idle_p;
    ag__s.idle_p = p;
    atomic_fetch_add_explicit(&ag__s.idle_count, 1, AG__RLX);
}

/* Idle Ps beyond the number leave the list; retired ones below it join. */
static void settle_locked(void) {
    for (ag__p **at = &ag__s.idle_p; *at;) {
        ag__p *p = *at;
        if (p->index < ag__s.p_count) {
            at = &p->idle_link;
            continue;
        }
        *at = p->idle_link;
        p->idle = false;
        p->retired = true;
        atomic_fetch_sub_explicit(&ag__s.idle_count, 1, AG__RLX);
    }
    for (int i = 0; i < ag__s.p_made; i++) {
        ag__p *p = ag__s.p_all[i];
        if (p->index < ag__s.p_count && p->retired) {
            p->retired = false;
            ag__p_put_idle_locked(p);
        }
    }
}

int ag__procs_set(int n) {
    ag__lock_acquire(&resize_lock);
    int r = ag__procs_make(n);
    if (r == 0) {
        ag__lock_acquire(&ag__s.lock);
        atomic_store(&ag__s.p_count, n);
        settle_locked();
        ag__lock_release(&ag__s.lock);
        for (int i = 0; i < ag__s.p_made; i++)
            atomic_fetch_or_explicit(&ag__s.p_all[i]->poke, AG__POKE_LOOK, AG__RLX);
        ag__fence_heavy();
        ag__maybe_wake();
    }
    ag__lock_release(&resize_lock);
    return r;
}

void ag__p_retire(ag__m *m) {
    ag__p *p = m->p;
    ag__rq_open(p);
    ag__g *g;
    while ((g = ag__rq_pop(p)) != NULL)
        ag__global_put(&g, 1);
    ag__rq_close(p);
    ag__stack_p_drop(p);
    ag__m_leave_p(m, AG__DROP_RETIRED);
    ag__lock_acquire(&ag__s.lock);
    ag__p_put_idle_locked(p); /* retires it, or not if the number grew again */
    ag__lock_release(&ag__s.lock);
    ag__maybe_wake();
}
