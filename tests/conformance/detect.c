/* SPDX-License-Identifier: MIT */
/*
 * The detector as debug.h promises it: ag_leaks, the hook, the words of a finding, once each, and
 * its switch. Which bugs it finds, and that legal programs are left alone, is in tests/detect.
 */
#include "common.h"
#include <aglet/debug.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static ag_mutex a, b;
static ag_wg both = AG_WG_INIT;

static void crosswise(ag_mutex *first, ag_mutex *second) {
    ag_mutex_lock(first);
    ag_wg_done(&both);
    ag_wg_wait(&both);
    ag_mutex_lock(second);
}

static void cross(void) {
    ag_wg_add(&both, 2);
    ag_go(crosswise, &a, &b);
    ag_go(crosswise, &b, &a);
}

static void waits_behind(void) {
    ag_mutex_lock(&a);
}

static void receives_nil(void) {
    ag_recv((ag_chan(int))NULL, NULL);
}

/* ---- ag_leaks ------------------------------------------------------------------------------- */

AG_TEST(leaks_outside_of_a_world_are_none) {
    ag_check_int(ag_leaks(NULL), 0);
}

AG_TEST_RUN(leaks_of_a_healthy_program_are_none) {
    ag_chan(int) c = ag_make(int, 0);
    ag_defer(ag_unref, c);
    for (int i = 0; i < 10; i++) {
        ag_check_int(ag_leaks(NULL), 0);
        ag_yield();
    }
}

static void sends(ag_chan(int) c, int n) {
    while (n-- > 0)
        ag_send(c, n);
}

/* The wait is over between two looks each time; so it is never the same one. */
AG_TEST_RUN(who_moves_is_no_leak) {
    ag_chan(int) c = ag_make(int, 0);
    ag_defer(ag_unref, c);
    ag_go(sends, c, 20);
    for (int i = 0; i < 20; i++) {
        ag_check_int(ag_leaks(NULL), 0);
        ag_recv(c, NULL);
    }
}

/* Those in the circle, who waits behind them, and one that is alone. */
AG_TEST_RUN(leaks_counts_all_that_can_never_go_on) {
    cross();
    eventually(ag_leaks(NULL) == 2);
    ag_go(waits_behind);
    ag_go(receives_nil);
    eventually(ag_leaks(NULL) == 4);
    ag_check_int(ag_leaks(NULL), 4); /* each time */
}

static char *said(void) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    ag_leaks(out);
    fclose(out);
    return text;
}

AG_TEST_RUN(leaks_writes_the_findings) {
    cross();
    ag_go(receives_nil);
    eventually(ag_leaks(NULL) == 3);
    char *text = said();
    ag_check_contains(text, "aglet: deadlock: 2 goroutines wait for each other\n  goroutine ");
    ag_check_contains(text, " [sync.Mutex.Lock] crosswise created at ");
    ag_check_contains(text, "    waits for the lock at 0x");
    ag_check_contains(text, "aglet: leak: a goroutine waits for a nil channel\n  goroutine ");
    ag_check_contains(text, " [chan receive (nil chan)] receives_nil created at ");
    ag_check(strstr(text, "  goroutine 1 [") == NULL); /* main */
    free(text);
}

/* Main may wait for ever on purpose; its empty select is the idiom for it. */
static int main_waits_for_ever(void *arg) {
    (void)arg;
    ag_recv((ag_chan(int))NULL, NULL);
    return 0;
}

static void *looks_and_leaves(void *arg) {
    (void)arg;
    for (int i = 0; i < 50; i++) {
        struct timespec ms = {0, 1000000};
        nanosleep(&ms, NULL);
        ag_check_int(ag_leaks(NULL), 0);
    }
    ag_exit(0);
    return NULL;
}

AG_TEST_DEATH(main_may_wait_for_ever, 0, "") {
    pthread_t t;
    pthread_create(&t, NULL, looks_and_leaves, NULL);
    ag_run(main_waits_for_ever, NULL);
}

static void waits_with_context(ag_ctx *ctx) {
    ag_ctx_enter(ctx);
    ag_recv((ag_chan(int))NULL, NULL);
}

AG_TEST_RUN(what_a_context_may_end_is_no_leak) {
    ag_ctx *ctx = ag_ctx_with_cancel(NULL);
    ag_defer(ag_unref, ctx);
    ag_go(waits_with_context, ctx);
    for (int i = 0; i < 10; i++) {
        ag_check_int(ag_leaks(NULL), 0);
        ag_sleep(AG_MS);
    }
    ag_ctx_cancel(ctx);
    eventually(ag_count() == 1);
}

/* ---- By itself ------------------------------------------------------------------------------ */

static _Atomic int deadlocks, leaks, others, concerned;
static _Atomic int64_t ids[2];

static void note(const ag_report *r) {
    if (strcmp(r->kind, "deadlock") == 0) {
        ids[0] = r->ids[0];
        ids[1] = r->count > 1 ? r->ids[1] : 0;
        concerned = r->count;
        deadlocks++;
    } else if (strcmp(r->kind, "leak") == 0) {
        leaks++;
    } else if (strcmp(r->kind, "lock order") != 0) {
        others++;
    }
}

static int reports_once(void *arg) {
    (void)arg;
    ag_on_report(note);
    cross();
    ag_go(receives_nil);
    eventually(deadlocks == 1 && leaks == 1);
    ag_check_int(concerned, 2);
    ag_check(ids[0] > 1 && ids[1] > 1 && ids[0] != ids[1]);
    ag_go(waits_behind);
    ag_go(receives_nil); /* when this one is told, the detector has looked twice again */
    eventually(leaks == 2);
    ag_check_int(deadlocks, 1);
    ag_check_int(others, 0);
    return 0;
}

AG_TEST(each_finding_is_reported_once_to_the_hook) {
    setenv("AGLET_DETECT_MS", "5", 1);
    ag_check_int(ag_run(reports_once, NULL), 0);
}

AG_TEST(it_looks_in_every_world) {
    setenv("AGLET_DETECT_MS", "5", 1);
    for (int i = 0; i < 3; i++) {
        deadlocks = leaks = 0;
        a = b = (ag_mutex)AG_MUTEX_INIT;
        both = (ag_wg)AG_WG_INIT;
        ag_check_int(ag_run(reports_once, NULL), 0);
    }
}

static void note_slowly(const ag_report *r) {
    note(r);
    usleep(500000);
}

static int reports_to_a_slow_hook(void *arg) {
    (void)arg;
    ag_on_report(note_slowly);
    for (int i = 1; i <= 3; i++) {
        ag_go(receives_nil);
        eventually(leaks == i);
    }
    return 0;
}

/* A pause is measured by what a look costs; by what it waits for, it would be a minute here. */
AG_TEST(a_hook_that_waits_does_not_hold_up_the_next_look) {
    setenv("AGLET_DETECT_MS", "5", 1);
    ag_check_int(ag_run(reports_to_a_slow_hook, NULL), 0);
}

static int never_told(void *arg) {
    (void)arg;
    ag_on_report(note);
    cross();
    eventually(ag_leaks(NULL) == 2);
    ag_sleep(50 * AG_MS); /* many times the interval of the test above */
    ag_check_int(deadlocks, 0);
    return 0;
}

AG_TEST(zero_switches_it_off) {
    setenv("AGLET_DETECT_MS", "0", 1);
    ag_check_int(ag_run(never_told, NULL), 0);
}

static int64_t cpu_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * AG_SEC + t.tv_nsec;
}

/* With a look each millisecond: a thousand would have to fit in. It has a descriptor to wait for,
 * so that it is idle and not dead. */
static int idles(void *fd) {
    int64_t before = 0, used = INT64_MAX;
    for (int i = 0; i < 20 && used > 0; i++) {
        before = cpu_now();
        ag_fd_wait(*(int *)fd, AG_READABLE, ag_now() + AG_SEC);
        int64_t now = cpu_now() - before;
        used = now < used ? now : used;
        if (used < 5 * AG_MS)
            return 0;
    }
    ag_fail("an idle process used %lld ns of CPU in a second", (long long)used);
}

AG_TEST(an_idle_process_uses_no_cpu) {
    int fds[2];
    setenv("AGLET_DETECT_MS", "1", 1);
    ag_check_int(pipe(fds), 0);
    ag_check_int(ag_run(idles, &fds[0]), 0);
    close(fds[0]);
    close(fds[1]);
}

/* ---- Looking while they run ----------------------------------------------------------------- */

static _Atomic bool stops;

static void quarrel(ag_mutex *x, ag_rwmutex *rw) {
    while (!stops) {
        ag_mutex *own = malloc(sizeof *own); /* memory that comes and goes */
        *own = (ag_mutex)AG_MUTEX_INIT;
        ag_mutex_lock(x);
        ag_mutex_lock(own);
        ag_yield();
        ag_mutex_unlock(own);
        ag_rwmutex_rlock(rw);
        ag_yield();
        ag_rwmutex_runlock(rw);
        ag_mutex_unlock(x);
        ag_rwmutex_lock(rw);
        ag_yield();
        ag_rwmutex_unlock(rw);
        free(own);
    }
}

static void short_lived(ag_mutex *x) {
    ag_mutex_lock(x);
    ag_mutex_unlock(x);
}

static void breeds(ag_mutex *x) {
    while (!stops) {
        ag_wg wg = AG_WG_INIT;
        for (int i = 0; i < 10; i++)
            ag_wg_go(&wg, short_lived, x);
        ag_wg_wait(&wg);
    }
}

/* A crowd that quarrels about two locks, legally, while it is looked at all the time. */
AG_TEST_RUN(a_crowd_at_work_is_never_reported) {
    static ag_mutex x;
    static ag_rwmutex rw;
    ag_wg wg = AG_WG_INIT;
    for (int i = 0; i < 20; i++)
        ag_wg_go(&wg, quarrel, &x, &rw);
    for (int i = 0; i < 3; i++)
        ag_wg_go(&wg, breeds, &x);
    for (int i = 0; i < 200 / ag_test_slow(); i++) {
        ag_check_int(ag_leaks(NULL), 0);
        ag_yield();
    }
    stops = true;
    ag_wg_wait(&wg);
}
