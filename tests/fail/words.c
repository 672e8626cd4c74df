/* SPDX-License-Identifier: MIT */
/*
 * Goroutines, channels, timers, locks, panics, signals, dumps: each word of the language while
 * memory, threads and system calls fail. What its header calls the end of the process is a death
 * test below.
 */
#include "inject.h"

#include <signal.h>

/* ---- Goroutines ----------------------------------------------------------------------------- */

static void pass(ag_mutex *m) {
    ag_mutex_lock(m);
    ag_mutex_unlock(m);
}

/* More than a slab of records, all alive at once. */
static void many_goroutines(void) {
    static ag_mutex m;
    const ag_go_opts opts = {.name = "a name", .stack_size = 65536};
    ag_mutex_lock(&m);
    for (int i = 0; i < 100; i++) {
        ok(ag_go(pass, &m));
        if (i % 20 == 0)
            ok(ag_go_with(&opts, pass, &m));
    }
    ag_mutex_unlock(&m);
}
AG_TEST_RUN(a_goroutine_starts_or_go_says_so) {
    WALK(MEMORY | GROW | THREAD | QUIET, many_goroutines);
}

static void *foreign_go(void *m) {
    ok(ag_go(pass, m));
    return NULL;
}
static void from_another_thread(void) {
    static ag_mutex m;
    pthread_t t;
    if (pthread_create(&t, NULL, foreign_go, &m) == 0)
        ag_blocking(pthread_join, t, (void **)NULL);
}
AG_TEST_RUN(go_on_a_new_thread_starts_one_or_says_so) {
    WALK(MEMORY | THREAD, from_another_thread);
}

static void group(void) {
    static ag_mutex m;
    ag_wg wg = AG_WG_INIT;
    ag_mutex_lock(&m);
    for (int i = 0; i < 100; i++)
        ok(ag_wg_go(&wg, pass, &m));
    ag_mutex_unlock(&m);
    ag_wg_wait(&wg); /* for those that were started */
}
AG_TEST_RUN(a_group_counts_only_what_was_started) {
    WALK(MEMORY | THREAD, group);
}

static void more_processors(void) {
    int before = ag_procs(0);
    if (ok(ag_procs(before + 3)))
        ag_check_int(ag_procs(before), before + 3);
    ag_check_int(ag_procs(0), before);
}
AG_TEST_RUN(processors_are_added_or_procs_says_so) {
    WALK(MEMORY, more_processors);
}

/* ---- What takes nothing, and must not fail -------------------------------------------------- */

static void panics(void) {
    ag_panic("on purpose");
}
static void nothing(void) {
}

static void without_memory(void) {
    static ag_chan(int) c, unbuffered;
    ag_mutex m = AG_MUTEX_INIT;
    ag_once once = AG_ONCE_INIT;
    ag_panic_info info;
    ag_stats stats;
    int v = 0;
    if (!c) {
        c = ag_make(int, 1);
        unbuffered = ag_make(int, 0);
    }
    ag_check_int(ag_send(c, 42), 0);
    ag_check(!ag_try_send(c, 1));
    ag_check(ag_recv(c, &v) && v == 42);
    ag_check_int(ag_try_recv(unbuffered, &v), -EAGAIN);
    ag_check_int(ag_select(AG_RECV(unbuffered, &v), AG_SEND(c, 7), AG_DEFAULT), 1);
    ag_check_int(ag_select_ordered(AG_RECV(c, &v), AG_DEFAULT), 0);
    ag_mutex_lock(&m);
    ag_check(!ag_mutex_try_lock(&m));
    ag_mutex_unlock(&m);
    ag_once_do(&once, nothing);
    ag_check_int(ag_try(&info, panics), AG_PANICKED);
    ag_check_str(info.msg, "on purpose");
    ag_lock_thread();
    ag_yield();
    ag_unlock_thread();
    ag_stats_read(&stats);
    ag_check(stats.goroutines > 0 && ag_now() > 0 && ag_wall() > 0);
    ag_check_int(ag_ctx_err(ag_ctx_current()), 0);
}
AG_TEST_RUN(what_takes_nothing_does_not_fail) {
    without_memory();
    walk(MEMORY | THREAD | SYSTEM | QUIET, without_memory);
}

/* ---- Time ----------------------------------------------------------------------------------- */

static void timers(void) {
    ag_timer *t[100];
    for (int i = 0; i < 100; i++)
        ok_ptr(t[i] = ag_timer_start(3600 * AG_SEC, nothing));
    for (int i = 0; i < 100; i++) {
        ag_check(ag_timer_stop(t[i]) == (t[i] != NULL));
        ag_unref(t[i]);
    }
}
AG_TEST_RUN(a_timer_is_started_or_is_null) {
    WALK(MEMORY | GROW, timers);
}

static void tickers(void) {
    ag_ticker *t[100];
    for (int i = 0; i < 100; i++) {
        t[i] = ag_ticker_start(3600 * AG_SEC);
        if (ok_ptr(t[i]))
            ag_check_int(ag_cap(ag_ticker_chan(t[i])), 1);
    }
    for (int i = 0; i < 100; i++) {
        ag_ticker_stop(t[i]);
        ag_unref(t[i]);
    }
}
AG_TEST_RUN(a_ticker_is_started_or_is_null) {
    WALK(MEMORY | GROW, tickers);
}

/* All records are taken, and no slab comes, for a while. One processor: others keep some records
 * for themselves. */
static void fired(atomic_int *count) {
    atomic_fetch_add(count, 1);
}
AG_TEST_RUN(a_timer_without_memory_for_its_goroutine_fires_late) {
    static ag_mutex m;
    static atomic_int count;
    ag_mutex_lock(&m);
    ag_procs(1);
    ag_sleep(AG_MS);
    ag_timer *t = ag_timer_start(AG_MS, fired, &count);
    ag_check(t != NULL);
    inject("calloc", ENOMEM, 1, true);
    while (ag_go(pass, &m) > 0)
        continue;
    eventually(injected() > 3);
    ag_check_int(atomic_load(&count), 0);
    inject_end();
    ag_mutex_unlock(&m);
    eventually(atomic_load(&count) == 1);
    ag_unref(t);
}

/* ---- Signals, dumps ------------------------------------------------------------------------- */

static ag_chan(int) signals;

static void notify(void) {
    struct sigaction now;
    int got = 0;
    if (ok(ag_notify(signals, SIGUSR1, SIGUSR2))) {
        raise(SIGUSR2);
        ag_recv(signals, &got);
        ag_check_int(got, SIGUSR2);
    }
    inject_end();
    ag_notify_stop(signals);
    sigaction(SIGUSR1, NULL, &now);
    ag_check(now.sa_handler == SIG_DFL);
    ag_check_int(ag_try_recv(signals, &got), -EAGAIN);
}
AG_TEST_RUN(signals_are_caught_all_or_none) {
    signals = ag_make(int, 4);
    WALK(MEMORY | THREAD, notify);
    inject("sigaction", EINVAL, 2, false);
    int r = ag_notify(signals, SIGUSR1, SIGUSR2);
    /* With the thread sanitizer the library goes past its sigaction, and past ours. */
    bool reached = inject_end() == 1;
    ag_check(reached || ag_test_slow() > 1);
    ag_check_int(r, reached ? -EINVAL : 0);
    notify();
    ag_unref(signals);
}

static FILE *null;
static void dumps(void) {
    ag_dump(null);
    ag_check_int(ag_dump_goroutine(null, 1), 0);
}
AG_TEST_RUN(a_dump_leaves_out_what_it_can_not_find) {
    AG_TEST_LEAKY_FDS();
    null = fopen("/dev/null", "w");
    ag_check(null != NULL);
    WALK(MEMORY | SYSTEM | QUIET, dumps);
}

/* ---- Where the process ends ----------------------------------------------------------------- */

#define DIES_OF(name, call, words, statement)                                                      \
    static int name##_main(void *arg) {                                                            \
        (void)arg;                                                                                 \
        inject(call, ENOMEM, 1, true);                                                             \
        (void)statement;                                                                           \
        return 0;                                                                                  \
    }                                                                                              \
    AG_TEST_DEATH(name, 2, words) {                                                                \
        ag_run(name##_main, NULL);                                                                 \
    }

DIES_OF(make_without_memory_is_fatal, "aligned_alloc", "fatal error: out of memory for a channel",
        ag_make(int, 1))
DIES_OF(after_without_memory_is_fatal, "calloc", "fatal error: out of memory for a timer",
        ag_after(AG_SEC))
DIES_OF(sleep_without_memory_is_fatal, "realloc", "fatal error: out of memory for timers",
        ag_sleep(AG_MS))

static int select_many(void) {
    static const ag_case cases[9];
    return ag_select_n(cases, COUNT(cases));
}
DIES_OF(select_of_many_without_memory_is_fatal, "malloc", "fatal error: out of memory for a select",
        select_many())

static int give_stack(void) {
    const ag_go_opts opts = {.stack_size = 1 << 20};
    ag_go_with(&opts, nothing);
    return ag_sleep(AG_MIN);
}
DIES_OF(no_stack_for_a_goroutine_is_fatal, "mprotect", "vm.overcommit_memory", give_stack())

static void *sends(void *c) {
    int v = 1;
    ag__chan_send(c, &v);
    return NULL;
}
static int send_on_a_new_thread(void) {
    pthread_t t;
    ag_chan(int) c = ag_make(int, 1);
    ag_check_int(pthread_create(&t, NULL, sends, (void *)c), 0);
    return (int)ag_blocking(pthread_join, t, (void **)NULL);
}
DIES_OF(a_new_thread_without_memory_is_fatal, "calloc",
        "fatal error: out of memory for a thread that uses the library", send_on_a_new_thread())
