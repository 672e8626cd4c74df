/* SPDX-License-Identifier: MIT */
/*
 * note.c - fills in the events of the scheduler. All of it runs on slow paths.
 *
 * Order. An event is noted before others can see what it tells of: that a goroutine is runnable
 * before it lies in a queue, that a P is free before it is on the idle list. So the events of all
 * threads, merged by time, tell a story without contradictions.
 */
#include "sched/inner.h"

static inline int16_t index_of(const ag__p *p) {
    return p ? (int16_t)p->index : -1;
}

static inline uint32_t steps_of(const ag__p *p) {
    return p ? atomic_load_explicit(&p->tick, AG__RLX) : 0;
}

static inline int64_t coarse(void) {
    return atomic_load_explicit(&ag__s.coarse_now, AG__RLX);
}

AG__COLD void ag__note_begin(ag__m *m) {
    m->notes = (ag__notes){.ring = ag__ring_join(m->tid), .sampled = INT64_MAX};
    ag__ring_note(m->notes.ring, (ag__event){.kind = AG__EV_BEGIN, .p = -1, .x = (uint64_t)m->tid});
}

AG__COLD void ag__note_finish(ag__m *m) {
    ag__ring *r = m->notes.ring;
    ag__ring_note(r, (ag__event){.kind = AG__EV_FINISH, .p = -1, .x = (uint64_t)m->tid});
    m->notes.ring = NULL;
    ag__ring_leave(r);
}

AG__COLD void ag__note_start(ag__m *m, ag__g *g) {
    bool records = atomic_load_explicit(&ag__probe_on, AG__RLX) & AG__PROBE_RECORD;
    m->notes.sampled = records && m->notes.ring ? coarse() : INT64_MAX;
    m->notes.last_g = 0;
    ag__ring_note(m->notes.ring, (ag__event){.kind = AG__EV_START,
                                             .p = index_of(m->p),
                                             .g = g->id,
                                             .x = (uintptr_t)g->site,
                                             .n = steps_of(m->p)});
}

AG__COLD void ag__note_stop(ag__m *m, ag__g *g, int kind, int reason, const void *object) {
    m->notes.sampled = INT64_MIN / 2; /* what starts next is noted, too */
    m->notes.last_g = 0;
    ag__ring_note(m->notes.ring, (ag__event){.kind = (uint8_t)kind,
                                             .detail = (uint8_t)reason,
                                             .p = index_of(m->p),
                                             .g = g->id,
                                             .x = (uintptr_t)object,
                                             .n = steps_of(m->p)});
}

static ag__ring *ring_of(ag__m *m) {
    return m ? m->notes.ring : NULL;
}

AG__COLD void ag__note_ready(ag__m *m, ag__g *g) {
    ag__ring_note(ring_of(m), (ag__event){.kind = AG__EV_READY, .p = index_of(m->p), .g = g->id});
}

AG__COLD void ag__note_create(ag__m *m, ag__g *g) {
    ag__ring_note(ring_of(m), (ag__event){.kind = AG__EV_CREATE,
                                          .p = index_of(m->p),
                                          .g = g->id,
                                          .x = (uintptr_t)g->site});
}

AG__COLD void ag__note_take(ag__m *m) {
    if (!m->notes.ring)
        return;
    if (atomic_load_explicit(&ag__probe_on, AG__RLX))
        m->notes.sampled = INT64_MIN / 2;
    ag__ring_note(m->notes.ring, (ag__event){.kind = AG__EV_TAKE, .p = index_of(m->p)});
}

AG__COLD void ag__note_drop(ag__m *m, int why) {
    uint32_t steps = m->notes.last_g ? m->notes.last_steps : steps_of(m->p);
    ag__ring_note(m->notes.ring, (ag__event){.kind = AG__EV_DROP,
                                             .detail = (uint8_t)why,
                                             .p = index_of(m->p),
                                             .g = m->notes.last_g,
                                             .x = (uint64_t)m->notes.stopped_at,
                                             .n = steps});
    m->notes.last_g = 0;
}

AG__COLD void ag__note_hand_on(ag__m *by, ag__p *p, ag__m *from, int kind) {
    ag__ring_note(ring_of(by), (ag__event){.kind = AG__EV_HAND_ON,
                                           .detail = (uint8_t)kind,
                                           .p = index_of(p),
                                           .g = from->g ? from->g->id : 0,
                                           .x = (uint64_t)from->tid,
                                           .n = steps_of(p)});
}

AG__COLD void ag__note_back(ag__m *m, ag__g *g, bool queued) {
    ag__ring_note(m->notes.ring, (ag__event){.kind = AG__EV_BACK,
                                             .detail = queued,
                                             .p = index_of(m->p),
                                             .g = g->id,
                                             .x = (uintptr_t)g->site,
                                             .n = steps_of(m->p)});
}

AG__COLD void ag__note_steal(ag__m *m, ag__p *by, ag__p *from, uint32_t n) {
    ag__ring_note(
        m->notes.ring,
        (ag__event){.kind = AG__EV_STEAL, .p = index_of(by), .x = (uint64_t)from->index, .n = n});
}

AG__COLD void ag__note_count(ag__m *m, int kind, uint32_t n) {
    ag__ring_note(ring_of(m), (ag__event){.kind = (uint8_t)kind, .p = index_of(m->p), .n = n});
}

void ag__note_user(int kind, uint64_t x, uint32_t n) {
    ag__m *m = ag__enter();
    if (!m->foreign)
        ag__ring_note(m->notes.ring, (ag__event){.kind = (uint8_t)kind,
                                                 .detail = (uint8_t)steps_of(m->p),
                                                 .p = index_of(m->p),
                                                 .g = m->g->id,
                                                 .x = x,
                                                 .n = n});
    ag__leave(m);
}

/* --- Modes. --- */

void ag__note_p_new(ag__p *p) {
    if (atomic_load(&ag__probe_on) & AG__PROBE_TRACE)
        atomic_fetch_or(&p->poke, AG__POKE_TRACE);
}

/* A P that is made meanwhile sees the mode after it has become visible here (ag__procs_make). */
void ag__note_mode(void) {
    bool traces = (atomic_load(&ag__probe_on) & AG__PROBE_TRACE) != 0;
    int n = atomic_load(&ag__s.p_made);
    for (int i = 0; i < n; i++) {
        if (traces)
            atomic_fetch_or(&ag__s.p_all[i]->poke, AG__POKE_TRACE);
        else
            atomic_fetch_and(&ag__s.p_all[i]->poke, ~(uint32_t)AG__POKE_TRACE);
    }
}
