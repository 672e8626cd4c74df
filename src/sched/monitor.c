/* SPDX-License-Identifier: MIT */
/*
 * monitor.c - the thread that watches the processors, and handing them on.
 *
 * Nobody is preempted. A thread that stays outside the runtime keeps running as a plain thread;
 * only its P is given to another. The handshake with a thread that is about to come back:
 *
 *     the thread                         the monitor, holding m->hand
 *     inside = 1                         revoked = ASKED
 *     light fence                        heavy fence (membarrier)
 *     revoked != NONE?                   wait a little for inside == 0
 *       inside = 0, take m->hand,        inside == 1?  revoked = NONE, leave it alone
 *       inside = 1, look again           else take the P, revoked = TAKEN
 *
 * One of the two always sees the other, so a P never has two users. The fast side is two plain
 * stores and a load. A goroutine that calls the runtime all the time and never waits there is
 * inside at most looks; the monitor meets it as it leaves.
 *
 * When a P is handed on: its thread made no step, and
 *   - it is outside the runtime and its CPU clock stood still over two looks: it is blocked; or
 *   - it has burnt CPU for 10 ms, and fewer than max_running such threads exist;
 * and somebody could use the P: goroutines are queued, or nobody watches the poller. Where stalls
 * are looked for (AGLET_STALL_MS) it is handed on in any case: only of a thread without its P is it
 * known that it has stayed outside all the time.
 *
 * The monitor also wakes a processor for goroutines that lie in a queue while others idle, pokes
 * a busy P whose timers are due, polls if nobody did for 10 ms, gives each P its wake-up credit,
 * and keeps the coarse clock. It sleeps 50 us, after a quiet millisecond twice as long each time
 * up to 10 ms (1 ms while timers are pending or the flight recorder is on), and without limit once
 * all Ps are idle - unless all goroutines are asleep and only a thread that is not ours could wake
 * one: then it looks every 100 ms whether that thread still exists. If no thread could be started
 * for work that there is, it tries again and again.
 */
#include "sched/inner.h"
#include <stdio.h>
#include <string.h>

enum {
    SLEEP_MIN = 50000,
    SLEEP_MAX = 10000000,
    SLEEP_OFTEN = 1000000,
    BURN = 10000000,
    SUSPICION = 100000000
};
enum { QUIET_ROUNDS = 20, IDLE_ROUNDS = 5, LEAVE_SPINS = 200 };

bool ag__hand_on(ag__m *m, int kind) {
    if (!ag__lock_try(&m->hand))
        return false;
    if (atomic_load_explicit(&m->revoked, AG__RLX) != AG__NONE) {
        ag__lock_release(&m->hand);
        return false;
    }
    atomic_store_explicit(&m->revoked, AG__ASKED, AG__RLX);
    ag__fence_heavy();
    bool inside = true;
    /* Acquire. Partner: the release store in ag__leave: the P is as its thread left it. */
    for (int i = 0; i < LEAVE_SPINS && inside; i++) {
        inside = atomic_load_explicit(&m->inside, memory_order_acquire);
        if (inside)
            ag__cpu_pause();
    }
    if (inside || !m->p) {
        atomic_store_explicit(&m->revoked, AG__NONE, AG__RLX);
        ag__lock_release(&m->hand);
        return false;
    }
    ag__note_hand_on(ag__m_now(), m->p, m, kind);
    ag__p *p = ag__m_drop_p(m);
    m->detached = (uint8_t)kind;
    m->out_since = ag__os_now();
    atomic_fetch_add_explicit(kind == 1 ? &ag__s.detached_running : &ag__s.detached_blocked, 1,
                              AG__RLX);
    atomic_fetch_add_explicit(&ag__s.handed_on, 1, AG__RLX);
    if (kind == 1)
        atomic_fetch_add_explicit(&ag__s.handed_on_burning, 1, AG__RLX);
    /* Release. Partner: the acquire load in ag__enter_slow. */
    atomic_store_explicit(&m->revoked, AG__TAKEN, memory_order_release);
    ag__lock_release(&m->hand);
    ag__p_release(m, p);
    return true;
}

static bool somebody_wants(ag__p *p) {
    return ag__rq_len(p) || atomic_load_explicit(&p->next, AG__RLX) ||
           atomic_load_explicit(&ag__s.queue_count, AG__RLX) ||
           (atomic_load_explicit(&ag__s.idle_count, AG__RLX) == 0 &&
            (atomic_load_explicit(&p->heap.first, AG__RLX) != INT64_MAX ||
             atomic_load_explicit(&ag__s.poll_waiters, AG__RLX) > 0));
}

/* Looks at one P that made no step since the last look. Returns true if it was handed on. */
static bool consider(ag__p *p, ag__m *m, int64_t now) {
    if (!somebody_wants(p)) {
        if (ag__s.stall_ns == 0) {
            p->seen_rounds = 0;
            p->seen_when = now;
            return false;
        }
        if (now - p->seen_when < ag__s.stall_ns / 2)
            return false;
    }
    bool still = false;
    if (atomic_load_explicit(&m->inside, AG__RLX)) {
        p->seen_rounds = 0;
    } else {
        int64_t cpu = ag__os_thread_cpu(m->tid);
        still = p->seen_rounds > 0 && cpu == p->seen_cpu;
        if (!still && cpu != p->seen_cpu)
            p->seen_rounds = 0;
        p->seen_cpu = cpu;
        p->seen_rounds++;
        if (still && p->seen_rounds > 2)
            return ag__hand_on(m, 2);
    }
    if (now - p->seen_when < BURN ||
        atomic_load_explicit(&ag__s.detached_running, AG__RLX) >= ag__s.running_max)
        return false;
    return ag__hand_on(m, still ? 2 : 1);
}

/* Returns true if something was done, so that the next look should come soon. */
static bool look_at(ag__p *p, int64_t now) {
    ag__m *m = atomic_load_explicit(&p->m, memory_order_acquire);
    uint32_t tick = atomic_load_explicit(&p->tick, AG__RLX);
    atomic_store_explicit(&p->credit, 1, AG__RLX);
    atomic_store_explicit(
        &p->steps, atomic_load_explicit(&p->steps, AG__RLX) + (uint32_t)(tick - p->counted_tick),
        AG__RLX);
    p->counted_tick = tick;
    if (!m) {
        p->seen_m = NULL;
        return false;
    }
    if (atomic_load_explicit(&p->heap.first, AG__RLX) <= now)
        atomic_fetch_or_explicit(&p->poke, AG__POKE_LOOK, AG__RLX);
    if (m != p->seen_m || tick != p->seen_tick) {
        p->seen_m = m;
        p->seen_tick = tick;
        p->seen_when = now;
        p->seen_rounds = 0;
        if (atomic_load_explicit(&ag__probe_on, AG__RLX) & AG__PROBE_RECORD)
            atomic_fetch_or_explicit(&p->poke, AG__POKE_NOTE, AG__RLX);
        return false;
    }
    return consider(p, m, now);
}

/* Goroutines that wait in a queue while a processor idles; also those in `next` of a P that
 * makes no step; and timers of any P that nobody has seen to, because those that should are
 * outside the runtime. */
static bool spread(int64_t now) {
    if (atomic_load_explicit(&ag__s.idle_count, AG__RLX) == 0)
        return false;
    if (ag__first_timer() <= now) {
        ag__maybe_wake();
        return true;
    }
    int n = atomic_load_explicit(&ag__s.p_count, memory_order_acquire);
    for (int i = 0; i < n; i++) {
        ag__p *p = ag__s.p_all[i];
        bool stuck = p->seen_m && atomic_load_explicit(&p->tick, AG__RLX) == p->seen_tick;
        if (ag__rq_len(p) || (stuck && atomic_load_explicit(&p->next, AG__RLX)) ||
            atomic_load_explicit(&ag__s.queue_count, AG__RLX)) {
            ag__maybe_wake();
            return true;
        }
    }
    return false;
}

static void poke_all(void) {
    int n = atomic_load_explicit(&ag__s.p_count, memory_order_acquire);
    for (int i = 0; i < n; i++)
        atomic_fetch_or_explicit(&ag__s.p_all[i]->poke, AG__POKE_LOOK, AG__RLX);
}

static void poll_if_nobody_did(int64_t now, int64_t *last_polls, int64_t *last_when) {
    int64_t polls = atomic_load_explicit(&ag__s.polls, AG__RLX);
    if (polls != *last_polls || atomic_load_explicit(&ag__s.polling, AG__RLX)) {
        *last_polls = polls;
        *last_when = now;
    } else if (now - *last_when > BURN) {
        /* Delivered to the global queue: this thread has no P. */
        ag__m *m = ag__enter();
        /* The count of waiters falls before they are in a queue. Partners: the acquire load and the
         * fence between two looks in find.c. */
        atomic_store(&ag__s.monitor_polls, true);
        atomic_thread_fence(memory_order_seq_cst);
        ag__netpoll(m, 0);
        atomic_store(&ag__s.monitor_polls, false);
        ag__suspect_deadlock();
        ag__leave(m);
        *last_when = now;
    }
}

static bool all_idle(void) {
    return (int)atomic_load_explicit(&ag__s.idle_count, AG__RLX) >=
           atomic_load_explicit(&ag__s.p_count, AG__RLX);
}

/* While all Ps are idle, the last thread that had one sleeps in the poller and sees to the timers.
 * Without it no thread could be started. */
static bool somebody_watches(void) {
    return atomic_load(&ag__s.polling) || atomic_load(&ag__s.searching);
}

static void sleep_until_nudged(void) {
    ag__hooks.watch(true);
    atomic_store(&ag__s.monitor_asleep, 1);
    ag__fence_heavy();
    while (all_idle() && !atomic_load(&ag__s.stopping) && atomic_load(&ag__s.monitor_asleep)) {
        bool look = atomic_load(&ag__s.suspicious);
        ag__os_futex_wait(&ag__s.monitor_asleep, 1, look ? SUSPICION : -1);
        if (look) {
            ag__lock_acquire(&ag__s.lock);
            ag__check_deadlock();
            ag__lock_release(&ag__s.lock);
        }
    }
    atomic_store(&ag__s.monitor_asleep, 0);
}

static int64_t next_sleep(int64_t sleep, int quiet) {
    if (quiet < QUIET_ROUNDS)
        return SLEEP_MIN;
    sleep *= 2;
    bool often = ag__first_timer() != INT64_MAX ||
                 (atomic_load_explicit(&ag__probe_on, AG__RLX) & AG__PROBE_RECORD);
    int64_t most = often ? SLEEP_OFTEN : SLEEP_MAX;
    return sleep < most ? sleep : most;
}

static void monitor_main(void) {
    int64_t sleep = SLEEP_MIN, last_polls = 0, last_when = 0;
    int quiet = 0, idle = 0;
    while (!atomic_load(&ag__s.stopping)) {
        ag__os_futex_wait(&ag__s.monitor_word, 0, sleep);
        int64_t now = ag__os_now();
        atomic_store_explicit(&ag__s.coarse_now, now, AG__RLX);
        ag__hooks.watch(false);
        bool busy = false;
        /* Acquire, here as above: so many are there. Partner: the store of ag__procs_set. */
        int n = atomic_load_explicit(&ag__s.p_count, memory_order_acquire);
        for (int i = 0; i < n; i++)
            busy |= look_at(ag__s.p_all[i], now);
        busy |= spread(now);
        if (all_idle()) {
            if (++idle > IDLE_ROUNDS) {
                if (somebody_watches())
                    sleep_until_nudged();
                else
                    ag__maybe_wake();
                idle = 0;
                quiet = 0;
            }
            sleep = SLEEP_MAX;
            continue;
        }
        idle = 0;
        poll_if_nobody_did(now, &last_polls, &last_when);
        quiet = busy ? 0 : quiet + 1;
        sleep = next_sleep(sleep, quiet);
    }
    poke_all();
    atomic_store(&ag__s.monitor_gone, 1);
    ag__os_futex_wake(&ag__s.monitor_gone, 1);
}

int ag__monitor_start(void) {
    atomic_store(&ag__s.monitor_gone, 0);
    atomic_store(&ag__s.monitor_asleep, 0);
    atomic_store(&ag__s.monitor_word, 0);
    int r = ag__helper_start(monitor_main, "aglet-monitor");
    if (r != 0)
        atomic_store(&ag__s.monitor_gone, 1);
    return r;
}

void ag__monitor_nudge(void) {
    /* Partner: the heavy fence before it sleeps. */
    ag__fence_light();
    if (atomic_load_explicit(&ag__s.monitor_asleep, AG__RLX) &&
        atomic_exchange(&ag__s.monitor_asleep, 0) == 1)
        ag__os_futex_wake(&ag__s.monitor_asleep, 1);
}

void ag__monitor_stop(void) {
    atomic_store(&ag__s.monitor_word, 1);
    ag__os_futex_wake(&ag__s.monitor_word, 1);
    atomic_store(&ag__s.monitor_asleep, 0);
    ag__os_futex_wake(&ag__s.monitor_asleep, 1);
    while (!atomic_load(&ag__s.monitor_gone))
        ag__os_futex_wait(&ag__s.monitor_gone, 0, -1);
}
