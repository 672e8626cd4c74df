/* SPDX-License-Identifier: MIT */
/*
 * find.c - how a thread finds the next goroutine, robs others, spins, sleeps and is woken.
 *
 * The order: what was handed to us, due timers, the local queue (the global one first every
 * 64th time), the global queue, the poller, other Ps' queues and timers. A thread that robs is
 * "searching"; at most one thread is woken to search at a time, and one that finds work wakes
 * the next (chained), because waking a halted core costs the waker 7 to 9 us.
 *
 * Going idle must not lose work that is queued at the same moment:
 *
 *     one that queues work               one that goes idle
 *     store the goroutine                searching--, P on the idle list (idle_count++)
 *     light fence                        heavy fence
 *     idle_count > 0 && !searching?      look at all queues, timers, the poller once more
 *       wake one                           something there? take a P back and go on
 *
 * One idle thread sleeps in the poller until the earliest timer; the others sleep on their
 * futex, bounded by the earliest timer if the poller's sleeper can't serve it.
 *
 * `next` of another P is robbed only if it lay there for STEAL_NEXT_NS while that P made no
 * step: a goroutine there usually runs within the microsecond. And a P that was robbed is left
 * alone, for ROB_REST_FLOWING times as long as that took while it makes steps, else for ROB_REST
 * times: the heavy fence costs both sides microseconds, in a virtual machine tens of them, and a
 * loot that is used up sooner was not worth it. Left alone is not looked at, too: each look takes
 * the lines of the queue away from its thread.
 */
#include "sched/inner.h"
#include "sched/procs.h"

enum { STEAL_NEXT_NS = 30000, GRAB_SPINS = 2000 };
enum { ROB_REST = 4, ROB_REST_FLOWING = 40, ROB_REST_MAX_NS = 500000, REST_LOOK_NS = 5000 };
enum { COARSE_NS = 20000 };

/* --- Queues. --- */

AG__COLD void ag__rq_open_slow(ag__p *p) {
    do {
        atomic_store_explicit(&p->owner_in, 0, memory_order_release);
        for (int i = 0; atomic_load_explicit(&p->thief, memory_order_acquire); i++) {
            if (i > 200)
                ag__os_yield();
            ag__cpu_pause();
        }
        atomic_store_explicit(&p->owner_in, 1, AG__RLX);
        ag__fence_light();
    } while (atomic_load_explicit(&p->thief, memory_order_acquire));
}

AG__COLD void ag__rq_overflow(ag__p *p) {
    ag__g *half[AG__RING / 2];
    uint32_t head = atomic_load_explicit(&p->head, AG__RLX);
    for (uint32_t i = 0; i < AG__RING / 2; i++)
        half[i] = atomic_load_explicit(&p->ring[(head + i) % AG__RING], AG__RLX);
    atomic_store_explicit(&p->head, head + AG__RING / 2, AG__RLX);
    ag__global_put(half, AG__RING / 2);
}

/* Takes a fair share of the global queue, at most `max`: the first is returned, the rest goes
 * local. */
static ag__g *global_get(ag__p *p, uint32_t max) {
    uint32_t total = atomic_load_explicit(&ag__s.queue_count, AG__RLX);
    if (total == 0)
        return NULL;
    ag__g *taken[AG__RING / 2];
    uint32_t share = total / (uint32_t)ag__s.p_count + 1;
    if (share > max)
        share = max;
    uint32_t n = ag__global_take(taken, share);
    if (n == 0)
        return NULL;
    ag__rq_open(p);
    for (uint32_t i = 1; i < n; i++)
        ag__rq_push(p, taken[i]);
    if (max > 1)
        p->turn_end = atomic_load_explicit(&p->tail, AG__RLX);
    ag__rq_close(p);
    return taken[0];
}

/*
 * The global queue's turn while the local one has work: one goroutine, so that nobody starves; a
 * fair share when all that was queued here after the last share has left, so that goroutines that
 * yield all the time take turns with those there. A share every time would be run first, being
 * young, and whoever woke meanwhile would never get to the end of what was never run. The share
 * leaves room for some that wake, which would else be handed over to the global queue's end.
 */
static ag__g *global_turn(ag__p *p) {
    if ((int32_t)(atomic_load_explicit(&p->head, AG__RLX) - p->turn_end) < 0)
        return global_get(p, 1);
    uint32_t len = ag__rq_len(p), limit = AG__RING - AG__RING / 8;
    bool roomy = len + AG__RING / 4 <= limit && len + AG__RING / 2 > limit;
    return global_get(p, roomy ? limit - len : AG__RING / 2);
}

static ag__g *local_get(ag__p *p) {
    ag__rq_open(p);
    ag__g *g = ag__rq_pop(p);
    ag__rq_close(p);
    return g;
}

/* What a searching thread remembers between its rounds. */
struct search {
    int64_t now, end;
    struct {
        uint32_t tick;  /* the step that was seen last, */
        int64_t since;  /* and when it was seen first */
        int64_t looked; /* when it was looked at during a rest */
    } seen[AG__SIZE(16, 2)];
};

static inline int slot_of(const struct search *s, const ag__p *v) {
    return v->index % (int)(sizeof s->seen / sizeof *s->seen);
}

/* Whether v has made no step for STEAL_NEXT_NS, as far as was seen. */
static bool next_is_old(struct search *s, ag__p *v) {
    int slot = slot_of(s, v);
    uint32_t tick = atomic_load_explicit(&v->tick, AG__RLX);
    if (s->seen[slot].since == 0 || s->seen[slot].tick != tick) {
        s->seen[slot].tick = tick;
        s->seen[slot].since = s->now;
        return false;
    }
    return s->now - s->seen[slot].since > STEAL_NEXT_NS;
}

/* Whether v is left alone. Its queue, which its thread writes all the time, is hardly looked at
 * meanwhile; if there is something in it, the search goes on until the rest is over. */
static bool rests(struct search *s, ag__p *v) {
    int64_t until = atomic_load_explicit(&v->rests_flowing, AG__RLX);
    if (s->now >= until)
        return false;
    int64_t *looked = &s->seen[slot_of(s, v)].looked;
    if (s->now - *looked <= REST_LOOK_NS)
        return true;
    *looked = s->now;
    if (next_is_old(s, v) && s->now >= atomic_load_explicit(&v->rests_until, AG__RLX))
        return false;
    if (s->end < until && (ag__rq_len(v) || atomic_load_explicit(&v->next, AG__RLX)))
        s->end = until;
    return true;
}

static int64_t at_most(int64_t rest) {
    return rest < ROB_REST_MAX_NS ? rest : ROB_REST_MAX_NS;
}

/* Robs half of v's queue, and its `next` if take_next. Returns one, the rest goes to p. */
static ag__g *rob(ag__m *m, struct search *s, ag__p *p, ag__p *v, bool take_next) {
    ag__g *loot[AG__RING / 2 + 1];
    uint32_t n = 0, expect = 0;
    if (ag__rq_len(v) == 0 && !(take_next && atomic_load_explicit(&v->next, AG__RLX)))
        return NULL;
    if (!atomic_compare_exchange_strong_explicit(&v->thief, &expect, 1, memory_order_acquire,
                                                 memory_order_relaxed))
        return NULL;
    ag__fence_heavy();
    int spins = 0;
    /* Acquire. Partner: the release store in ag__rq_close. */
    while (atomic_load_explicit(&v->owner_in, memory_order_acquire) && ++spins < GRAB_SPINS)
        ag__cpu_pause();
    if (spins < GRAB_SPINS) {
        uint32_t head = atomic_load_explicit(&v->head, AG__RLX), len = ag__rq_len(v);
        for (len -= len / 2; n < len; n++)
            loot[n] = atomic_load_explicit(&v->ring[(head + n) % AG__RING], AG__RLX);
        atomic_store_explicit(&v->head, head + n, AG__RLX);
        ag__g *next = atomic_load_explicit(&v->next, AG__RLX);
        if (n == 0 && take_next && next) {
            atomic_store_explicit(&v->next, NULL, AG__RLX);
            loot[n++] = next;
        }
    }
    int64_t now = ag__os_now(), took = now - s->now;
    atomic_store_explicit(&v->rests_until, now + at_most(ROB_REST * took), AG__RLX);
    atomic_store_explicit(&v->rests_flowing, now + at_most(ROB_REST_FLOWING * took), AG__RLX);
    atomic_store_explicit(&v->thief, 0, memory_order_release);
    if (n == 0)
        return NULL;
    atomic_store_explicit(&p->stolen, atomic_load_explicit(&p->stolen, AG__RLX) + n, AG__RLX);
    ag__note_steal(m, p, v, n);
    ag__rq_open(p);
    for (uint32_t i = 1; i < n; i++)
        ag__rq_push(p, loot[i]);
    ag__rq_close(p);
    return loot[0];
}

static ag__g *steal(ag__m *m, ag__p *p, struct search *s) {
    /* Acquire, here and below: so many are there. Partner: ag__procs_make. */
    uint32_t n = (uint32_t)atomic_load_explicit(&ag__s.p_made, memory_order_acquire);
    uint32_t at = ag__random_below(&p->random, n);
    for (uint32_t i = 0; i < n; i++, at = at + 1 == n ? 0 : at + 1) {
        ag__p *v = ag__s.p_all[at];
        if (v == p)
            continue;
        ag__g *g = rests(s, v) ? NULL : rob(m, s, p, v, next_is_old(s, v));
        if (g)
            return g;
        if (atomic_load_explicit(&v->heap.first, AG__RLX) <= s->now) {
            ag__timers_run(m, v, s->now);
            if ((g = local_get(p)) != NULL)
                return g;
        }
    }
    return NULL;
}

/* --- Sleeping and waking threads. --- */

void ag__m_wake(ag__m *m) {
    /* Release: what we gave the thread. Partner: the acquire exchange in ag__m_sleep. */
    if (atomic_exchange_explicit(&m->park, 1, memory_order_acq_rel) == 0)
        ag__os_futex_wake(&m->park, 1);
}

void ag__m_sleep(ag__m *m, int64_t until) {
    while (atomic_exchange_explicit(&m->park, 0, memory_order_acq_rel) == 0) {
        int64_t left = -1;
        if (until != INT64_MAX) {
            left = until - ag__os_now();
            if (left <= 0)
                return;
        }
        ag__os_futex_wait(&m->park, 0, left);
    }
}

ag__p *ag__p_take_idle(void) {
    ag__lock_acquire(&ag__s.lock);
    ag__p *p = ag__s.idle_p;
    if (p) {
        ag__s.idle_p = p->idle_link;
        p->idle = false;
        atomic_fetch_sub_explicit(&ag__s.idle_count, 1, AG__RLX);
    }
    ag__lock_release(&ag__s.lock);
    return p;
}

static void idle_remove_locked(ag__m *m) {
    for (ag__m **at = &ag__s.idle_m; *at; at = &(*at)->idle_link) {
        if (*at == m) {
            *at = m->idle_link;
            ag__s.m_idle--;
            return;
        }
    }
}

AG__COLD void ag__wake_one(void) {
    uint32_t none = 0;
    if (!atomic_compare_exchange_strong(&ag__s.searching, &none, 1))
        return;
    ag__lock_acquire(&ag__s.lock);
    ag__p *p = ag__s.idle_p;
    if (!p || atomic_load_explicit(&ag__s.stopping, AG__RLX)) {
        ag__lock_release(&ag__s.lock);
        atomic_fetch_sub(&ag__s.searching, 1);
        /* One that queued work meanwhile saw us searching, and left it to us. */
        if (atomic_load(&ag__s.idle_count) && !atomic_load_explicit(&ag__s.stopping, AG__RLX))
            ag__wake_one();
        return;
    }
    ag__m *m = ag__s.idle_m;
    if (!m && atomic_load_explicit(&ag__s.polling, AG__RLX)) {
        /* The only sleeper sleeps in the poller; it takes a P by itself. */
        ag__lock_release(&ag__s.lock);
        atomic_fetch_sub(&ag__s.searching, 1);
        ag__poll_break();
        return;
    }
    ag__s.idle_p = p->idle_link;
    p->idle = false;
    atomic_fetch_sub_explicit(&ag__s.idle_count, 1, AG__RLX);
    if (m) {
        ag__s.idle_m = m->idle_link;
        ag__s.m_idle--;
        m->next_p = p;
        m->searching = true;
        ag__lock_release(&ag__s.lock);
        ag__m_wake(m);
    } else {
        ag__lock_release(&ag__s.lock);
        if (ag__m_new(p, true) != 0) {
            atomic_fetch_sub(&ag__s.searching, 1);
            ag__lock_acquire(&ag__s.lock);
            ag__p_put_idle_locked(p);
            ag__lock_release(&ag__s.lock);
            /* Out of threads: who comes back takes the P; the monitor looks again. */
        }
    }
}

static bool any_queue(void) {
    if (atomic_load_explicit(&ag__s.queue_count, AG__RLX))
        return true;
    int n = atomic_load_explicit(&ag__s.p_made, memory_order_acquire);
    for (int i = 0; i < n; i++)
        if (ag__rq_len(ag__s.p_all[i]))
            return true;
    return false;
}

bool ag__work_somewhere(int64_t now) {
    return any_queue() || ag__first_timer() <= now;
}

/* p has no thread any more: gives it to an idle or new thread if there is something to do. */
void ag__p_release(ag__m *m, ag__p *p) {
    (void)m;
    bool work = ag__rq_len(p) || atomic_load_explicit(&p->next, AG__RLX) || any_queue() ||
                atomic_load_explicit(&p->heap.first, AG__RLX) != INT64_MAX;
    bool watched = atomic_load_explicit(&ag__s.polling, AG__RLX) ||
                   atomic_load_explicit(&ag__s.searching, AG__RLX);
    if ((work || !watched) && !atomic_load_explicit(&ag__s.stopping, AG__RLX) &&
        ag__m_new(p, false) == 0)
        return;
    ag__lock_acquire(&ag__s.lock);
    ag__p_put_idle_locked(p);
    ag__lock_release(&ag__s.lock);
    ag__fence_heavy();
    if (any_queue())
        ag__maybe_wake();
}

ag__p *ag__m_drop_p(ag__m *m) {
    ag__p *p = m->p;
    m->p = NULL;
    atomic_store_explicit(&p->m, NULL, memory_order_release);
    return p;
}

ag__p *ag__m_leave_p(ag__m *m, int why) {
    ag__note_drop(m, why);
    return ag__m_drop_p(m);
}

void ag__m_set_p(ag__m *m, ag__p *p) {
    m->p = p;
    ag__note_take(m);
    atomic_store_explicit(&p->m, m, memory_order_release);
    ag__monitor_nudge(); /* it sleeps while all Ps are idle */
}

/* --- Deadlock. --- */

/* Nothing that runs, is due or is watched could make a goroutine of this world run. */
static bool all_asleep_locked(void) {
    if (ag__s.m_idle + (int)atomic_load_explicit(&ag__s.polling, AG__RLX) < ag__s.m_count ||
        atomic_load_explicit(&ag__s.outside_waits, AG__RLX) > 0 ||
        atomic_load_explicit(&ag__s.poll_waiters, AG__RLX) > 0 ||
        atomic_load_explicit(&ag__s.monitor_polls, memory_order_acquire) ||
        atomic_load_explicit(&ag__s.stopping, AG__RLX) ||
        atomic_load_explicit(&ag__s.main_done, AG__RLX) ||
        (int)atomic_load_explicit(&ag__s.idle_count, AG__RLX) < ag__s.p_count || any_queue())
        return false;
    for (int i = 0; i < ag__s.p_made; i++) {
        ag__p *p = ag__s.p_all[i];
        if (atomic_load_explicit(&p->next, AG__RLX) || p->heap.count > p->heap.dead)
            return false;
    }
    return true;
}

/* Beside the threads that we started there is the one that waits in ag_run. */
static bool no_strangers(void) {
    return ag__os_threads_beside() == 1;
}

bool ag__all_quiet(int callers) {
    ag__lock_acquire(&ag__s.lock);
    int asleep = ag__s.m_idle + (int)atomic_load_explicit(&ag__s.polling, AG__RLX);
    bool quiet = asleep + callers >= ag__s.m_count &&
                 (int)atomic_load_explicit(&ag__s.idle_count, AG__RLX) + callers >= ag__s.p_count &&
                 !any_queue();
    for (int i = 0; i < ag__s.p_made; i++)
        quiet = quiet && !atomic_load_explicit(&ag__s.p_all[i]->next, AG__RLX);
    ag__lock_release(&ag__s.lock);
    return quiet && no_strangers();
}

/* A thread that is not ours may still come and wake somebody, whether it has used the library or
 * not yet; when it has ended, nobody tells us, so the monitor looks again. */
AG__COLD bool ag__check_deadlock(void) {
    bool asleep = all_asleep_locked();
    atomic_store_explicit(&ag__s.suspicious, asleep, AG__RLX);
    if (!asleep || !no_strangers())
        return asleep;
    /* One that has ended since the look may have woken somebody before. */
    atomic_thread_fence(memory_order_seq_cst);
    if (!all_asleep_locked())
        return true;
    ag__lock_release(&ag__s.lock);
    ag__os_write_err("fatal error: all goroutines are asleep - deadlock!\n", 51);
    ag__hooks.deadlock();
    if (ag__on_end)
        ag__on_end();
    ag__os_exit_now(2);
}

/* The monitor looks, not the caller: that may hold locks that the report takes. */
void ag__suspect_deadlock(void) {
    ag__lock_acquire(&ag__s.lock); /* behind a look that is under way */
    atomic_store(&ag__s.suspicious, 1);
    ag__lock_release(&ag__s.lock);
    ag__monitor_nudge();
}

/* --- Going idle. --- */

static void stop_searching(ag__m *m, bool found) {
    if (!m->searching)
        return;
    m->searching = false;
    uint32_t before = atomic_fetch_sub(&ag__s.searching, 1);
    if (!found || before != 1 || !atomic_load_explicit(&ag__s.idle_count, AG__RLX))
        return;
    /* Chained: where one found work there may be more, perhaps not visible yet, from one that
     * saw us searching. */
    ag__fence_heavy();
    if (any_queue())
        ag__wake_one();
}

static int64_t time_left(int64_t until) {
    if (until == INT64_MAX)
        return -1;
    int64_t left = until - ag__os_now();
    return left < 0 ? 0 : left;
}

/* Becomes the one that sleeps in the poller, if nobody is. */
static bool try_polling(int64_t until) {
    uint32_t none = 0;
    if (!atomic_compare_exchange_strong(&ag__s.polling, &none, 1))
        return false;
    atomic_store_explicit(&ag__s.poll_until, until, AG__RLX);
    return true;
}

/* Gives up the P and sleeps until there may be work again. */
static void idle(ag__m *m) {
    ag__p *p = ag__m_leave_p(m, AG__DROP_SLEEP);
    int64_t until = ag__first_timer();
    bool poller = try_polling(until);
    ag__lock_acquire(&ag__s.lock);
    ag__p_put_idle_locked(p);
    if (!poller) {
        m->idle_link = ag__s.idle_m;
        ag__s.idle_m = m;
        ag__s.m_idle++;
    }
    if (m->searching) {
        m->searching = false;
        atomic_fetch_sub(&ag__s.searching, 1);
    }
    bool suspicious = ag__check_deadlock();
    ag__lock_release(&ag__s.lock);
    ag__fence_heavy();
    /* The monitor may have gone to sleep since the P was put on the list. */
    if (AG__UNLIKELY(suspicious))
        ag__monitor_nudge();
    int64_t first = ag__first_timer();
    bool again = any_queue() || first < until || atomic_load(&ag__s.stopping);
    ag__poll_event events[AG__POLL_BATCH];
    int event_count = 0;
    if (poller) {
        if (!again)
            event_count = ag__netpoll_take(events, time_left(until));
        atomic_store(&ag__s.polling, 0);
    } else if (!again) {
        /* The sleeper in the poller serves timers up to its own wake-up. */
        bool served = atomic_load(&ag__s.polling) && atomic_load(&ag__s.poll_until) <= until;
        ag__m_sleep(m, served ? INT64_MAX : until);
    }
    ag__lock_acquire(&ag__s.lock);
    if (!poller && !m->next_p)
        idle_remove_locked(m);
    p = m->next_p;
    m->next_p = NULL;
    if (!p && (p = ag__s.idle_p) != NULL) {
        ag__s.idle_p = p->idle_link;
        p->idle = false;
        atomic_fetch_sub_explicit(&ag__s.idle_count, 1, AG__RLX);
    }
    ag__lock_release(&ag__s.lock);
    if (p) {
        ag__m_set_p(m, p);
        /* Counts as searching, so that finding work wakes the next. */
        if (!m->searching) {
            m->searching = true;
            atomic_fetch_add(&ag__s.searching, 1);
        }
    }
    /* With a P the woken goroutines stay here; without one they go to the global queue. */
    ag__netpoll_deliver(m, events, event_count);
}

/* Sleeps without a P until somebody brings one. */
static void idle_without_p(ag__m *m) {
    ag__lock_acquire(&ag__s.lock);
    ag__p *p = m->locked_g ? NULL : ag__s.idle_p;
    if (p) {
        ag__s.idle_p = p->idle_link;
        p->idle = false;
        atomic_fetch_sub_explicit(&ag__s.idle_count, 1, AG__RLX);
        ag__lock_release(&ag__s.lock);
        ag__m_set_p(m, p);
        return;
    }
    if (!m->locked_g) {
        m->idle_link = ag__s.idle_m;
        ag__s.idle_m = m;
    }
    ag__s.m_idle++;
    ag__check_deadlock();
    ag__lock_release(&ag__s.lock);
    if (!atomic_load(&ag__s.stopping))
        ag__m_sleep(m, INT64_MAX);
    ag__lock_acquire(&ag__s.lock);
    if (!m->next_p) {
        if (m->locked_g)
            ag__s.m_idle--;
        else
            idle_remove_locked(m);
    }
    p = m->next_p;
    m->next_p = NULL;
    m->next_g = m->given_g;
    m->given_g = NULL;
    ag__lock_release(&ag__s.lock);
    if (p)
        ag__m_set_p(m, p);
}

/* --- Goroutines bound to a thread. --- */

/* g belongs to another thread: give it our P and g, and go without. */
static void pass_to_locked(ag__m *m, ag__g *g) {
    ag__m *owner = g->locked_m;
    ag__p *p = ag__m_leave_p(m, AG__DROP_BOUND);
    ag__lock_acquire(&ag__s.lock);
    owner->next_p = p;
    owner->given_g = g;
    ag__s.m_idle--;
    ag__lock_release(&ag__s.lock);
    ag__m_wake(owner);
}

/* --- The search. --- */

static ag__g *look(ag__m *m, ag__p *p) {
    uint32_t tick = atomic_load_explicit(&p->tick, AG__RLX);
    uint32_t poke = atomic_load_explicit(&p->poke, AG__RLX);
    /* While a trace runs each switch comes here, and has been counted. */
    if (!(poke & AG__POKE_TRACE))
        atomic_store_explicit(&p->tick, tick + 1, AG__RLX);
    if (poke & AG__POKE_NOTE)
        atomic_fetch_and_explicit(&p->poke, ~(uint32_t)AG__POKE_NOTE, AG__RLX);
    bool full = (tick & 63) == 0 || (poke & AG__POKE_LOOK);
    ag__g *g;
    if (full || atomic_load_explicit(&p->heap.first, AG__RLX) != INT64_MAX) {
        if (poke & AG__POKE_LOOK)
            atomic_fetch_and_explicit(&p->poke, ~(uint32_t)AG__POKE_LOOK, AG__RLX);
        if (atomic_load_explicit(&p->heap.first, AG__RLX) != INT64_MAX)
            ag__timers_run(m, p, ag__os_now());
        if (full && (g = global_turn(p)) != NULL)
            return g;
    }
    if ((g = local_get(p)) != NULL || (g = global_get(p, AG__RING / 2)) != NULL)
        return g;
    if (ag__netpoll(m, 0) > 0 && (g = local_get(p)) != NULL)
        return g;
    return NULL;
}

/* Whether this thread may search: at most half of the busy processors do. */
static bool may_search(ag__m *m) {
    if (m->searching)
        return true;
    uint32_t n = atomic_load_explicit(&ag__s.searching, AG__RLX);
    uint32_t busy = (uint32_t)ag__s.p_count - atomic_load_explicit(&ag__s.idle_count, AG__RLX);
    if (2 * n >= busy && n > 0)
        return false;
    m->searching = true;
    atomic_fetch_add(&ag__s.searching, 1);
    return true;
}

/* Robs and spins for a while. */
static ag__g *search(ag__m *m, ag__p *p) {
    struct search s = {.now = ag__os_now()};
    if (!m->notes.stopped_at)
        m->notes.stopped_at = s.now;
    s.end = s.now + ag__s.spin_ns;
    for (int round = 0;; round++) {
        ag__g *g = steal(m, p, &s);
        if (g || (g = global_get(p, AG__RING / 2)) != NULL)
            return g;
        if ((round & 3) == 3 && ag__netpoll(m, 0) > 0 && (g = local_get(p)) != NULL)
            return g;
        if (atomic_load_explicit(&p->heap.first, AG__RLX) <= s.now) {
            ag__timers_run(m, p, s.now);
            if ((g = local_get(p)) != NULL)
                return g;
        }
        if (s.now >= s.end || atomic_load_explicit(&ag__s.stopping, AG__RLX))
            return NULL;
        for (int i = 0; i < 20; i++)
            ag__cpu_pause();
        s.now = ag__os_now();
        if (s.now - atomic_load_explicit(&ag__s.coarse_now, AG__RLX) > COARSE_NS)
            atomic_store_explicit(&ag__s.coarse_now, s.now, AG__RLX);
    }
}

/* Something this thread was given, or must do first. */
static ag__g *handed(ag__m *m) {
    ag__g *g = m->next_g;
    m->next_g = NULL;
    return g;
}

/* A bound goroutine's thread runs nothing else. */
static bool wait_for_locked(ag__m *m) {
    if (!m->locked_g)
        return false;
    if (m->p)
        ag__p_release(m, ag__m_leave_p(m, AG__DROP_BOUND));
    idle_without_p(m);
    return true;
}

ag__g *ag__find(ag__m *m) {
    for (;;) {
        if (atomic_load_explicit(&ag__s.stopping, AG__RLX) ||
            atomic_load_explicit(&m->revoked, AG__RLX) == AG__STOP) {
            stop_searching(m, false);
            return NULL;
        }
        ag__g *g = handed(m);
        if (!g && wait_for_locked(m))
            continue;
        if (!g && !m->p) {
            idle_without_p(m);
            continue;
        }
        if (!g && m->p->index >= atomic_load_explicit(&ag__s.p_count, AG__RLX)) {
            ag__p_retire(m);
            continue;
        }
        if (!g)
            g = look(m, m->p);
        if (!g && may_search(m))
            g = search(m, m->p);
        if (!g) {
            idle(m);
            continue;
        }
        stop_searching(m, true);
        if (AG__UNLIKELY(g->flags & AG__GF_LOCKED) && g->locked_m != m) {
            pass_to_locked(m, g);
            continue;
        }
        if (AG__UNLIKELY(g->flags & AG__GF_SAMPLED))
            ag__sample_end(m->p, g);
        return g;
    }
}
