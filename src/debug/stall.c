/* SPDX-License-Identifier: MIT */
/*
 * stall.c - goroutines that keep their thread outside the runtime for longer than AGLET_STALL_MS.
 *
 * The monitor takes the processor of a thread that stays outside (sched/monitor.c); from then on it
 * is known that the thread has not been back. A thread of its own looks at these four times in the
 * limit, and tells of each stay once. Calls through ag_blocking are none: they were announced.
 */
#include "debug/stall.h"
#include "debug/trace.h"
#include "lang/report.h"
#include <aglet/time.h>
#include <stdio.h>

enum { LOOKS = 4, STAYS_MAX = 64 };

static struct {
    ag__lock lock;         /* Guards starting and stopping. */
    bool lives;            /* Guarded by lock. */
    _Atomic uint32_t stop; /* Futex. */
    _Atomic uint32_t gone; /* Futex. */
} t;

/* What was told: of which goroutine, and which stay. The thread's own. */
struct told {
    int64_t id, since;
};

static bool was_told(const struct told *told, int n, const ag__outside *o) {
    for (int i = 0; i < n; i++)
        if (told[i].id == o->id && told[i].since == o->since)
            return true;
    return false;
}

static void tell(const ag__outside *o, int64_t now) {
    ag__report *r = ag__report_new("stall");
    if (!r)
        return;
    snprintf(r->text, sizeof r->text, "a goroutine has kept its thread for %lld ms",
             (long long)((now - o->since) / AG_MS));
    ag__report_goroutine(r, (ag__who){o->id, o->site});
    ag__report_detail(r, "    %s, in thread %d\n", o->burns ? "it runs" : "it waits in a call",
                      o->tid);
    ag__trace_keep(r);
    ag__report_send(r);
}

/* Tells what is new; returns how many stays there are, which are `told` then. */
static int look(struct told *told, int n) {
    ag__outside all[STAYS_MAX];
    struct told now_told[STAYS_MAX];
    int count = ag__outside_list(all, STAYS_MAX), kept = 0;
    int64_t now = ag__os_now();
    for (int i = 0; i < count && i < STAYS_MAX; i++) {
        if (now - all[i].since < ag__sched.stall_ns)
            continue;
        if (!was_told(told, n, &all[i]))
            tell(&all[i], now);
        now_told[kept++] = (struct told){all[i].id, all[i].since};
    }
    for (int i = 0; i < kept; i++)
        told[i] = now_told[i];
    return kept;
}

static void stall_main(void) {
    struct told told[STAYS_MAX];
    int n = 0;
    while (!atomic_load(&t.stop)) {
        ag__os_futex_wait(&t.stop, 0, ag__sched.stall_ns / LOOKS);
        n = look(told, n);
    }
    atomic_store(&t.gone, 1);
    ag__os_futex_wake(&t.gone, 1);
}

void ag__stall_begin(void) {
    if (ag__sched.stall_ns == 0)
        return;
    ag__lock_acquire(&t.lock);
    atomic_store(&t.stop, 0);
    atomic_store(&t.gone, 0);
    t.lives = ag__helper_start(stall_main, "aglet-stall") == 0;
    ag__lock_release(&t.lock);
}

void ag__stall_end(void) {
    ag__lock_acquire(&t.lock);
    bool lives = t.lives;
    t.lives = false;
    ag__lock_release(&t.lock);
    if (!lives)
        return;
    atomic_store(&t.stop, 1);
    ag__os_futex_wake(&t.stop, 1);
    while (!atomic_load(&t.gone))
        ag__os_futex_wait(&t.gone, 0, -1);
}
