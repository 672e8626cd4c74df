/* SPDX-License-Identifier: MIT */
/*
 * Goroutines that keep their thread, as debug.h promises with AGLET_STALL_MS: told once a stay, and
 * nobody else.
 */
#include "common.h"
#include <aglet/debug.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static atomic_int stalls, others;
static _Atomic int64_t stalled;
static char words[256]; /* of the first finding */

static void note(const ag_report *r) {
    if (strcmp(r->kind, "stall") != 0) {
        atomic_fetch_add(&others, 1);
        return;
    }
    if (atomic_load(&stalls) == 0) {
        snprintf(words, sizeof words, "%s", r->text);
        atomic_store(&stalled, r->count == 1 ? r->ids[0] : -1);
    }
    atomic_fetch_add(&stalls, 1);
}

static void run(int (*fn)(void *), int ms) {
    char text[16];
    snprintf(text, sizeof text, "%d", ms);
    setenv("AGLET_STALL_MS", text, 1);
    ag_on_report(note);
    ag_check_int(ag_run(fn, NULL), 0);
    ag_on_report(NULL);
    ag_check_int(atomic_load(&others), 0);
}

/* A lock of the system's, which the test holds until it has seen enough. */
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static void blocks(ag_wg *wg) {
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    ag_wg_done(wg);
}

static int meets_a_blocked_one(void *arg) {
    ag_wg wg = AG_WG_INIT;
    (void)arg;
    pthread_mutex_lock(&gate);
    ag_wg_add(&wg, 1);
    int64_t id = ag_go(blocks, &wg);
    eventually(atomic_load(&stalls) == 1);
    ag_sleep(100 * AG_MS); /* it is not told again */
    ag_check_int(atomic_load(&stalls), 1);
    ag_check_int(atomic_load(&stalled), id);
    pthread_mutex_unlock(&gate);
    ag_wg_wait(&wg);
    return 0;
}
AG_TEST(a_call_that_blocks_is_told_once) {
    run(meets_a_blocked_one, 20);
    ag_check_contains(words, "a goroutine has kept its thread for ");
}

static int meets_two_stays(void *arg) {
    ag_wg wg = AG_WG_INIT;
    (void)arg;
    for (int i = 1; i <= 2; i++) {
        pthread_mutex_lock(&gate);
        ag_wg_add(&wg, 1);
        ag_go(blocks, &wg);
        eventually(atomic_load(&stalls) == i);
        pthread_mutex_unlock(&gate);
        ag_wg_wait(&wg);
    }
    return 0;
}
AG_TEST(each_stay_is_told) {
    run(meets_two_stays, 20);
    ag_check_int(atomic_load(&stalls), 2);
}

static atomic_bool enough;
static void burns(void) {
    while (!atomic_load(&enough)) {
    }
}
static int meets_a_loop(void *arg) {
    (void)arg;
    int64_t id = ag_go(burns);
    eventually(atomic_load(&stalls) == 1);
    ag_check_int(atomic_load(&stalled), id);
    atomic_store(&enough, true);
    return 0;
}
AG_TEST(a_loop_is_told) {
    run(meets_a_loop, 20);
}

static void sleeps_in_c(int ms) {
    usleep((unsigned)ms * 1000);
}
/* Far above what a busy machine keeps a thread from running. */
static int limit_ms(void) {
    return 300 * ag_test_slow();
}
static int is_busy_with_us(void *arg) {
    ag_mutex m = AG_MUTEX_INIT;
    int ms = limit_ms() * 2;
    (void)arg;
    ag_blocking(sleeps_in_c, ms);
    for (ag_time end = ag_now() + ms * AG_MS; ag_now() < end;) {
        ag_mutex_lock(&m);
        ag_mutex_unlock(&m);
    }
    ag_sleep(ms * AG_MS);
    return 0;
}
AG_TEST(announced_calls_users_of_the_library_and_waits_are_no_stalls) {
    run(is_busy_with_us, limit_ms());
    ag_check_int(atomic_load(&stalls), 0);
}

static int main_blocks(void *arg) {
    (void)arg;
    sleeps_in_c(200);
    return 0;
}
AG_TEST(nothing_is_told_unless_it_is_asked_for) {
    ag_on_report(note);
    ag_check_int(ag_run(main_blocks, NULL), 0);
    ag_check_int(atomic_load(&stalls), 0);
}
