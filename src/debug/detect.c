/* SPDX-License-Identifier: MIT */
/*
 * detect.c - the detector of deadlocks and leaks: when it looks, and what it says.
 *
 * A thread of its own looks every AGLET_DETECT_MS. It is started by the monitor when the world has
 * lived that long, or is about to be idle for the first time; so a short program never has it. What
 * one look finds (detect_look.c) is only remembered; what the next one finds again, with no
 * goroutine concerned having moved, is told, once. When nothing has run since the look before, and
 * that has been so twice, there is nothing to find: the thread sleeps until the monitor, which
 * wakes when anything runs, wakes it. A look costs time with the number of goroutines, so there is
 * a pause of SHARE times that after it: CPU time of the thread, since a machine that is busy, or a
 * hook that waits, costs nothing, and would blind it for a minute.
 *
 * ag_leaks and the profile goroutineleak look twice at once, from the caller's thread, and share
 * nothing with it.
 */
#include "debug/detect.h"
#include "debug/trace.h"
#include "lang/report.h"
#include <aglet/debug.h>
#include <aglet/time.h>
#include <stdlib.h>
#include <string.h>

enum { SHARE = 200, QUIET_ROUNDS = 2, LOOK_AGAIN_NS = 1000000 };
enum { OFF, ON, ASLEEP };

/* One that was found stuck by a look. */
struct known {
    int64_t id;
    uint64_t resumes;
    bool told;
};

struct list {
    struct known *all; /* by id */
    int count;
};

static struct {
    ag__lock lock;            /* Guards starting and stopping. */
    int64_t interval_ns;      /* Guarded by lock; 0: off. Constant while the thread lives. */
    int64_t start_at;         /* Constant in a world. */
    _Atomic uint32_t state;   /* Futex: OFF … */
    _Atomic uint32_t stop;    /* Futex. */
    _Atomic uint32_t gone;    /* Futex. */
    _Atomic uintptr_t frames; /* Relaxed; of the thread: see rt.h. 0: there is none. */
} d;

/* --- What was found before. --- */

static int compare_known(const void *a, const void *b) {
    int64_t x = ((const struct known *)a)->id, y = ((const struct known *)b)->id;
    return x < y ? -1 : x > y;
}

static struct known *find(const struct list *k, const ag__node *n) {
    struct known key = {.id = n->id};
    struct known *found =
        k->count ? bsearch(&key, k->all, (size_t)k->count, sizeof key, compare_known) : NULL;
    return found && found->resumes == n->resumes ? found : NULL;
}

/* All that are stuck in this look; what was told of them stays told. */
static struct list remember(const ag__look *l, const struct list *before) {
    struct list k = {NULL, 0};
    int stuck = 0;
    for (int i = 0; i < l->count; i++)
        stuck += !l->nodes[i].goes_on;
    if (stuck && (k.all = malloc((size_t)stuck * sizeof *k.all)) == NULL)
        return k;
    for (int i = 0; i < l->count; i++) {
        const ag__node *n = &l->nodes[i];
        const struct known *old = n->goes_on ? NULL : find(before, n);
        if (!n->goes_on)
            k.all[k.count++] = (struct known){n->id, n->resumes, old && old->told};
    }
    if (k.count)
        qsort(k.all, (size_t)k.count, sizeof *k.all, compare_known);
    return k;
}

/* --- Telling. --- */

/* Whether all of a finding were stuck in the look before, and some were not told of. */
static bool is_news(const ag__look *l, const struct list *before, const int *path, int n) {
    bool news = false;
    for (int i = 0; i < n; i++) {
        const struct known *k = find(before, &l->nodes[path[i]]);
        if (!k)
            return false;
        news |= !k->told;
    }
    return news;
}

static void tell(const ag__look *l, struct list *now, const int *path, int n) {
    for (int i = 0; i < n; i++) {
        struct known *k = find(now, &l->nodes[path[i]]);
        if (k)
            k->told = true;
    }
    ag__report *r = ag__detect_report(l, path, n);
    if (!r)
        return;
    ag__trace_keep(r);
    ag__report_send(r);
}

static void tell_news(ag__look *l, const struct list *before, struct list *now) {
    int *path = before->count && now->count ? malloc((size_t)l->count * sizeof *path) : NULL;
    if (!path)
        return;
    int at = 0, n;
    while ((n = ag__look_circle(l, &at, path)) > 0)
        if (is_news(l, before, path, n))
            tell(l, now, path, n);
    for (int i = 0; i < l->count; i++)
        if (l->nodes[i].alone && !l->nodes[i].goes_on && is_news(l, before, &i, 1))
            tell(l, now, &i, 1);
    free(path);
}

static void round_of(struct list *known) {
    ag__look l;
    ag__look_take(&l, 0);
    if (!l.failed) {
        struct list now = remember(&l, known);
        tell_news(&l, known, &now);
        free(known->all);
        *known = now;
    }
    ag__look_free(&l);
}

/* --- The thread. --- */

uint64_t ag__detect_activity(void) {
    uint64_t sum = 0;
    for (int i = 0; i < ag__sched.p_made; i++)
        sum += atomic_load_explicit(&ag__sched.p_all[i]->tick, AG__RLX);
    return sum;
}

uintptr_t ag__detect_frames(void) {
    return atomic_load_explicit(&d.frames, AG__RLX);
}

static bool stops(void) {
    return atomic_load(&d.stop) != 0;
}

static void pause_for(int64_t ns) {
    for (int64_t now, end = ag__os_now() + ns; !stops() && (now = ag__os_now()) < end;)
        ag__os_futex_wait(&d.stop, 0, end - now);
}

/* Nothing has run for a while: until something does. */
static void sleep_until_woken(uint64_t seen) {
    atomic_store(&d.state, ASLEEP);
    if (ag__detect_activity() != seen || stops())
        atomic_store(&d.state, ON);
    while (atomic_load(&d.state) == ASLEEP)
        ag__os_futex_wait(&d.state, ASLEEP, -1);
}

static void detector_main(void) {
    struct list known = {NULL, 0};
    atomic_store_explicit(&d.frames, ag__m_now()->frames, AG__RLX);
    uint64_t seen = ag__detect_activity();
    int64_t wait = d.interval_ns;
    int quiet = 0, self = ag__os_tid();
    for (pause_for(wait); !stops(); pause_for(wait)) {
        uint64_t now = ag__detect_activity();
        quiet = now == seen ? quiet + 1 : 0;
        seen = now;
        int64_t begin = ag__os_thread_cpu(self);
        round_of(&known);
        int64_t rest = SHARE * (ag__os_thread_cpu(self) - begin);
        wait = rest > d.interval_ns ? rest : d.interval_ns;
        if (quiet >= QUIET_ROUNDS) {
            sleep_until_woken(seen);
            quiet = 0;
        }
    }
    free(known.all);
    atomic_store_explicit(&d.frames, 0, AG__RLX);
    atomic_store(&d.gone, 1);
    ag__os_futex_wake(&d.gone, 1);
}

static AG__COLD void start(void) {
    ag__lock_acquire(&d.lock);
    bool starts = d.interval_ns > 0 && atomic_load(&d.state) == OFF;
    if (starts)
        atomic_store(&d.state, ON);
    ag__lock_release(&d.lock);
    if (starts && ag__helper_start(detector_main, "aglet-detect") != 0) {
        atomic_store(&d.gone, 1); /* no thread, no detector */
        ag__os_futex_wake(&d.gone, 1);
    }
}

void ag__detect_watch(bool sleeps) {
    uint32_t state = atomic_load_explicit(&d.state, AG__RLX);
    if (state == ASLEEP && !sleeps) {
        if (atomic_compare_exchange_strong(&d.state, &state, ON))
            ag__os_futex_wake(&d.state, 1);
    } else if (state == OFF &&
               (sleeps || atomic_load_explicit(&ag__sched.coarse_now, AG__RLX) >= d.start_at)) {
        start();
    }
}

void ag__detect_begin(void) {
    int64_t ms = ag__os_env("AGLET_DETECT_MS", AG__DETECT_MS);
    ag__lock_acquire(&d.lock);
    d.interval_ns = ms > 0 ? ms * AG_MS : 0;
    d.start_at = d.interval_ns ? ag__os_now() + d.interval_ns : INT64_MAX;
    atomic_store(&d.state, OFF);
    atomic_store(&d.stop, 0);
    atomic_store(&d.gone, 0);
    ag__lock_release(&d.lock);
}

void ag__detect_end(void) {
    ag__lock_acquire(&d.lock);
    d.interval_ns = 0;
    bool lives = atomic_load(&d.state) != OFF;
    ag__lock_release(&d.lock);
    if (!lives)
        return;
    atomic_store(&d.stop, 1);
    atomic_store(&d.state, ON);
    /* Again and again: a call that wakes may fail. */
    while (!atomic_load(&d.gone)) {
        ag__os_futex_wake(&d.stop, 1);
        ag__os_futex_wake(&d.state, 1);
        ag__os_futex_wait(&d.gone, 0, 10 * AG_MS);
    }
}

/* --- On demand. --- */

static void print(const ag__look *l, const int *path, int n, FILE *out) {
    ag__report *r = ag__detect_report(l, path, n);
    if (r)
        ag__report_write(r, out);
}

static void print_all(ag__look *l, FILE *out) {
    int *path = malloc((size_t)l->count * sizeof *path), at = 0, n;
    if (!path)
        return;
    while ((n = ag__look_circle(l, &at, path)) > 0)
        print(l, path, n, out);
    for (int i = 0; i < l->count; i++)
        if (!l->nodes[i].goes_on && !l->nodes[i].in_cycle)
            print(l, &i, 1, out);
    fflush(out);
    free(path);
}

/* Two looks, from a thread whose own frames begin at `frames`. Returns how many were stuck in both:
 * the nodes without `goes_on`. */
static AG__NOINLINE int look_twice(ag__look *l, uintptr_t frames) {
    ag__look_take(l, frames);
    struct list none = {NULL, 0}, first = remember(l, &none);
    if (first.count == 0)
        return 0;
    ag__look_free(l);
    ag__os_sleep(LOOK_AGAIN_NS);
    int count = 0;
    ag__look_take(l, frames);
    for (int i = 0; i < l->count && !l->failed; i++) {
        ag__node *n = &l->nodes[i];
        n->goes_on = n->goes_on || !find(&first, n);
        count += !n->goes_on;
    }
    free(first.all);
    return count;
}

int ag__detect_now(ag__look *ret) {
    memset(ret, 0, sizeof *ret);
    if (atomic_load(&ag__sched.running) != 1)
        return 0;
    /* The caller's registers are in this frame, for who looks at memory. */
    __builtin_unwind_init();
    volatile uintptr_t here = 0;
    const ag__m *m = ag__m_now();
    bool inside = m->g && !(m->g->flags & AG__GF_FOREIGN);
    int count = look_twice(ret, inside ? (uintptr_t)&here & ~(uintptr_t)63 : 0);
    return count + (int)here;
}

int ag_leaks(FILE *out) {
    ag__look l;
    int count = ag__detect_now(&l);
    if (out && count)
        print_all(&l, out);
    ag__look_free(&l);
    return count;
}
