/* SPDX-License-Identifier: MIT */
/*
 * Contexts while memory, threads and system calls fail.
 */
#include "inject.h"

#include <signal.h>

static void nothing(void) {
}
static void count_up(atomic_int *count) {
    atomic_fetch_add(count, 1);
}

/* ---- The tree ------------------------------------------------------------------------------- */

enum { MANY = 200, HOURS = 10 };
static const ag_time far_off = HOURS * 60 * AG_MIN;

static ag_ctx *make(ag_ctx *parent, int i) {
    static const int key;
    switch (i % 4) {
    case 0:
        return ag_ctx_with_cancel(parent);
    case 1:
        return ag_ctx_with_timeout(parent, far_off);
    case 2:
        return ag_ctx_with_deadline(parent, ag_now() + far_off);
    default:
        return ag_ctx_with_value(parent, &key, &key);
    }
}

/* More than there is room for in a new heap of timers. */
static void tree(void) {
    ag_ctx *root = ag_ctx_with_timeout(NULL, far_off + AG_MIN), *c[MANY];
    if (!ok_ptr(root))
        return;
    for (int i = 0; i < MANY; i++)
        if (ok_ptr(c[i] = make(root, i)))
            ag_check_int(ag_ctx_err(c[i]), 0);
    ag_ctx_cancel_cause(root, -EPIPE);
    for (int i = 0; i < MANY; i++) {
        if (c[i])
            ag_check_int(ag_ctx_cause(c[i]), -EPIPE);
        ag_unref(c[i]);
    }
    ag_unref(root);
}
AG_TEST_RUN(a_context_is_made_or_is_null) {
    WALK(MEMORY | GROW, tree);
}

static void calls(void) {
    static atomic_int ran;
    int expected = 0;
    ag_ctx *c = ag_ctx_with_cancel(NULL);
    if (!ok_ptr(c))
        return;
    atomic_store(&ran, 0);
    ag_ctx_call *stopped = ag_ctx_after(c, nothing);
    bool waited = ok_ptr(stopped);
    for (int i = 0; i < 20; i++) {
        ag_ctx_call *call = ag_ctx_after(c, count_up, &ran);
        expected += ok_ptr(call);
        ag_unref(call);
    }
    ag_check(ag_ctx_call_stop(stopped) == waited);
    ag_unref(stopped);
    inject_end(); /* what comes below ends the process without memory */
    ag_ctx_cancel(c);
    eventually(atomic_load(&ran) == expected);
    ag_unref(c);
}
AG_TEST_RUN(a_call_waits_for_the_end_or_is_null) {
    WALK(MEMORY | GROW, calls);
}

/* Of a context that has ended already. All are alive at once: more than a slab of records. */
static void take_turn(ag_mutex *m, atomic_int *count) {
    ag_mutex_lock(m);
    atomic_fetch_add(count, 1);
    ag_mutex_unlock(m);
}
static void calls_at_once(void) {
    static atomic_int ran;
    static ag_mutex m;
    int expected = 0;
    ag_ctx *c = ag_ctx_with_timeout(NULL, 0);
    if (!ok_ptr(c))
        return;
    atomic_store(&ran, 0);
    ag_mutex_lock(&m);
    for (int i = 0; i < 100; i++) {
        ag_ctx_call *call = ag_ctx_after(c, take_turn, &m, &ran);
        expected += ok_ptr(call);
        ag_unref(call);
    }
    ag_mutex_unlock(&m);
    ag_unref(c);
    inject_end();
    eventually(atomic_load(&ran) == expected);
}
AG_TEST_RUN(a_call_for_what_has_ended_runs_or_is_null) {
    WALK(MEMORY | GROW, calls_at_once);
}

/* ---- The current context -------------------------------------------------------------------- */

static void shield_what_has_ended(void) {
    ag_chan(int) never = ag_make(int, 0);
    ag_defer(ag_unref, never);
    ag_ctx *c = ag_ctx_with_cancel(NULL);
    ag_ctx_enter(c);
    ag_ctx_cancel(c);
    ag_unref(c);
    ag_check_int(ag_select(AG_RECV(never, NULL)), -ECANCELED);
    ag_shield(far_off);
    ag_check_int(ag_select(AG_RECV(never, NULL), AG_DEFAULT), 1);
}

static void blocks_without_memory(void) {
    static ag_chan(int) never;
    static ag_ctx *ended;
    if (!never) {
        never = ag_make(int, 0);
        ended = ag_ctx_with_timeout(NULL, 0);
        shield_what_has_ended();
    }
    ag_ctx_enter(ended);
    ag_check_int(ag_sleep(AG_MIN), -ETIMEDOUT);
    ag_check_int(ag_select(AG_RECV(never, NULL)), -ETIMEDOUT);
    ag_within(far_off);
    ag_check_int(ag_sleep(AG_MIN), -ETIMEDOUT);
    ag_shield(0);
    ag_check(!ag_recv(never, NULL));
}
AG_TEST_RUN(blocks_and_waits_of_what_has_ended_take_nothing) {
    blocks_without_memory();
    walk(MEMORY | GROW | THREAD | SYSTEM | QUIET, blocks_without_memory);
}

static void waits_in_vain(atomic_int *late) {
    static ag_chan(int) never;
    if (ag_select(AG_RECV(never, NULL)) == -ETIMEDOUT)
        atomic_fetch_add(late, 1);
}

/* Goroutines that are started in the block are bounded by it, and those that they start. */
static void starts_another(ag_wg *wg, atomic_int *late) {
    ok(ag_wg_go(wg, waits_in_vain, late));
    waits_in_vain(late);
}
static void within(void) {
    static atomic_int late;
    ag_wg wg = AG_WG_INIT;
    int started = 0;
    atomic_store(&late, 0);
    {
        ag_within(AG_MS);
        started += ok(ag_wg_go(&wg, waits_in_vain, &late));
        started += ok(ag_wg_go(&wg, starts_another, &wg, &late));
    }
    ag_wg_wait(&wg);
    ag_check(atomic_load(&late) >= started);
    ag_check(injected() > 0 || atomic_load(&late) == 3);
}
AG_TEST_RUN(who_is_started_in_a_block_is_bounded_by_it) {
    WALK(MEMORY | THREAD, within);
}

/* ---- Signals -------------------------------------------------------------------------------- */

static bool is_default(int sig) {
    struct sigaction now;
    return sigaction(sig, NULL, &now) == 0 && now.sa_handler == SIG_DFL;
}

static void notify(void) {
    ag_ctx *c = ag_notify_ctx(NULL, SIGUSR1, SIGUSR2);
    inject_end();
    if (ok_ptr(c)) {
        raise(SIGUSR2);
        ag_recv(ag_ctx_done(c), NULL);
        ag_check_int(ag_ctx_cause(c), SIGUSR2);
        ag_unref(c);
    }
    eventually(is_default(SIGUSR1) && is_default(SIGUSR2));
}
AG_TEST_RUN(a_context_listens_to_all_its_signals_or_is_null) {
    WALK(MEMORY | THREAD, notify);
    inject("sigaction", EINVAL, 2, false);
    ag_ctx *c = ag_notify_ctx(NULL, SIGUSR1, SIGUSR2);
    /* With the thread sanitizer the library goes past its sigaction, and past ours. */
    bool reached = inject_end() == 1;
    ag_check(reached || ag_test_slow() > 1);
    ag_check((c == NULL) == reached);
    ag_unref(c);
    notify();
}

/* ---- Where the process ends ----------------------------------------------------------------- */

#define DIES_OF(name, call, words, statement)                                                      \
    static int name##_main(void *arg) {                                                            \
        ag_ctx *c = ag_ctx_with_cancel(NULL);                                                      \
        ag_unref(ag_ctx_after(c, nothing));                                                        \
        ag_within(far_off);                                                                        \
        (void)arg;                                                                                 \
        inject(call, ENOMEM, 1, true);                                                             \
        statement;                                                                                 \
        return 0;                                                                                  \
    }                                                                                              \
    AG_TEST_DEATH(name, 2, words) {                                                                \
        ag_run(name##_main, NULL);                                                                 \
    }

static void use_all_records(void) {
    static ag_mutex m;
    ag_mutex_lock(&m);
    while (ag_go(take_turn, &m, (atomic_int *)NULL) > 0)
        continue;
}

DIES_OF(done_without_memory_is_fatal, "aligned_alloc", "fatal error: out of memory for a channel",
        ag_ctx_done(c))
DIES_OF(current_in_a_bound_without_memory_is_fatal, "calloc",
        "fatal error: out of memory for a context", ag_ctx_current())
DIES_OF(shield_without_memory_is_fatal, "calloc", "fatal error: out of memory for a ",
        ag_shield(far_off))
DIES_OF(a_call_without_memory_for_its_goroutine_is_fatal, "calloc",
        "fatal error: out of memory for a goroutine of ag_ctx_after",
        (use_all_records(), ag_ctx_cancel(c)))
