/* SPDX-License-Identifier: MIT */
/*
 * Profiles of what is over: waits (block), locks for which others waited (mutex), threads made.
 */
#include "common.h"
#include "pprof.h"

static char *top(const char *name, const char *options) {
    char *path = profile_of(name), all[128];
    snprintf(all, sizeof all, "-top -unit=ms %s", options);
    char *text = pprof(path, all);
    forget(path);
    return text;
}

/* --- block. --- */

static KEPT void waits_for_values(ag_chan(int) c) {
    while (ag_recv(c, NULL)) {
    }
}
static KEPT void waits_for_group(ag_wg *wg) {
    ag_wg_wait(wg);
    STAYS;
}
static void receives(ag_chan(int) c, ag_wg *done) {
    waits_for_values(c);
    ag_wg_done(done);
}
static void gathers(ag_wg *wg, ag_wg *done) {
    waits_for_group(wg);
    ag_wg_done(done);
}
/* 5 waits of 20 ms for values and 1 of 100 ms for a group. */
static void some_waits(void) {
    ag_chan(int) c = ag_make(int, 0);
    ag_wg wg = AG_WG_INIT, done = AG_WG_INIT;
    ag_wg_add(&wg, 1);
    ag_wg_add(&done, 2);
    int64_t a = ag_go_with(&(ag_go_opts){.name = "receiver"}, receives, c, &done);
    until_waits_for(ag_go(gathers, &wg, &done), "sync.WaitGroup");
    for (int i = 0; i < 5; i++) {
        until_waits_for(a, "chan receive");
        ag_sleep(20 * AG_MS);
        if (i < 4)
            ag_send(c, i);
    }
    ag_close(c);
    ag_wg_done(&wg);
    ag_wg_wait(&done);
    eventually(ag_count() == 1);
    ag_unref(c);
}

AG_TEST_RUN(waits_are_recorded_where_they_were) {
    needs_go();
    ag_check_int(ag_profile_block_rate(1), 0);
    ag_check_int(ag_profile_block_rate(-1), 1);
    some_waits();
    ag_check_int(ag_profile_block_rate(0), 1);
    char *text = top("block", "");
    ag_check_contains(text, "Type: delay");
    ag_check(pprof_cum(text, "waits_for_values") >= 99);
    ag_check(pprof_cum(text, "waits_for_group") >= 99);
    ag_check(strstr(text, "ag_sleep") == NULL);
    free(text);
    text = top("block", "-sample_index=contentions");
    ag_check_int(pprof_cum(text, "waits_for_values"), 5);
    ag_check_int(pprof_cum(text, "waits_for_group"), 1);
    free(text);
    text = top("block", "-sample_index=contentions -tagfocus=state=receive");
    ag_check_int(pprof_cum(text, "waits_for_values"), 5);
    ag_check(strstr(text, "waits_for_group") == NULL);
    free(text);
    text = top("block", "-sample_index=contentions -tagfocus=name=receiver");
    ag_check_int(pprof_cum(text, "waits_for_values"), 5);
    free(text);
}

AG_TEST_RUN(nothing_is_recorded_that_was_not_asked_for) {
    needs_go();
    some_waits();
    ag_check_int(ag_profile_block_rate(1), 0);
    ag_check_int(ag_profile_block_rate(0), 1);
    some_waits();
    ag_check_int(ag_profile_mutex_fraction(1), 0); /* the other one does not record waits */
    some_waits();
    char *text = top("block", "");
    ag_check(strstr(text, "waits_for") == NULL);
    free(text);
    ag_check_int(ag_profile_mutex_fraction(-5), 1);
    ag_check_int(ag_profile_mutex_fraction(0), 1);
}

/* Waits of some milliseconds each, of which some are recorded; the sum must come near. */
AG_TEST_RUN(short_waits_stand_for_others) {
    needs_go();
    enum { MANY = 500 };
    ag_chan(int) c = ag_make(int, 0);
    ag_wg done = AG_WG_INIT;
    int64_t waited = 0;
    ag_wg_add(&done, 1);
    int64_t a = ag_go(receives, c, &done);
    until_waits(a);
    ag_check_int(ag_profile_block_rate(AG_SEC / 20), 0);
    for (int i = 0; i < MANY; i++) {
        ag_send(c, i);
        int64_t began = ag_now();
        while (ag_now() - began < AG_MS)
            ag_yield();
        waited += ag_now() - began;
    }
    ag_check_int(ag_profile_block_rate(0), AG_SEC / 20);
    char *text = top("block", "");
    double found = pprof_cum(text, "waits_for_values"), ms = (double)waited / AG_MS;
    /* 10 waits and more are recorded on average; far off is one in a million. */
    if (ms < MANY || found < ms / 8 || found > ms * 4)
        ag_fail("%.0f ms waited, found\n%s", ms, text);
    free(text);
    ag_close(c);
    ag_wg_wait(&done);
    eventually(ag_count() == 1);
    ag_unref(c);
}

/* --- mutex. --- */

struct locks {
    ag_mutex mutex;
    ag_rwmutex rw;
};
static void wants_mutex(struct locks *l, ag_wg *wg) {
    ag_mutex_lock(&l->mutex);
    ag_mutex_unlock(&l->mutex);
    ag_wg_done(wg);
}
static void wants_to_read(struct locks *l, ag_wg *wg) {
    ag_rwmutex_rlock(&l->rw);
    ag_rwmutex_runlock(&l->rw);
    ag_wg_done(wg);
}
static void wants_to_write(struct locks *l, ag_wg *wg) {
    ag_rwmutex_lock(&l->rw);
    ag_rwmutex_unlock(&l->rw);
    ag_wg_done(wg);
}
static KEPT void gives_mutex(struct locks *l) {
    ag_mutex_unlock(&l->mutex);
    STAYS;
}
static KEPT void gives_write(struct locks *l) {
    ag_rwmutex_unlock(&l->rw);
    STAYS;
}
static KEPT void gives_read(struct locks *l) {
    ag_rwmutex_runlock(&l->rw);
    STAYS;
}
static void some_contention(void) {
    struct locks l = {AG_MUTEX_INIT, AG_RWMUTEX_INIT};
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 3);
    ag_mutex_lock(&l.mutex);
    until_waits(ag_go(wants_mutex, &l, &wg));
    ag_sleep(30 * AG_MS);
    gives_mutex(&l);
    ag_rwmutex_lock(&l.rw);
    until_waits(ag_go(wants_to_read, &l, &wg));
    ag_sleep(30 * AG_MS);
    gives_write(&l);
    ag_rwmutex_rlock(&l.rw);
    until_waits(ag_go(wants_to_write, &l, &wg));
    ag_sleep(30 * AG_MS);
    gives_read(&l);
    ag_wg_wait(&wg);
    eventually(ag_count() == 1);
}
AG_TEST_RUN(contention_is_where_the_lock_was_given_up) {
    needs_go();
    ag_check_int(ag_profile_mutex_fraction(1), 0);
    some_contention();
    ag_check_int(ag_profile_mutex_fraction(0), 1);
    some_contention();
    char *text = top("mutex", "");
    ag_check_contains(text, "Type: delay");
    ag_check(pprof_cum(text, "gives_mutex") >= 29);
    ag_check(pprof_cum(text, "gives_write") >= 29);
    ag_check(pprof_cum(text, "gives_read") >= 29);
    free(text);
    text = top("mutex", "-sample_index=contentions");
    ag_check_int(pprof_cum(text, "gives_mutex"), 1);
    ag_check_int(pprof_cum(text, "gives_write"), 1);
    ag_check_int(pprof_cum(text, "gives_read"), 1);
    ag_check(strstr(text, "wants") == NULL);
    free(text);
}
AG_TEST_RUN(of_locks_one_in_so_many_is_recorded) {
    needs_go();
    ag_check_int(ag_profile_mutex_fraction(1 << 30), 0);
    some_contention();
    char *text = top("mutex", "");
    ag_check(strstr(text, "gives") == NULL);
    free(text);
    /* One of three stands for three. */
    ag_check_int(ag_profile_mutex_fraction(3), 1 << 30);
    struct locks l = {AG_MUTEX_INIT, AG_RWMUTEX_INIT};
    ag_wg wg = AG_WG_INIT;
    enum { MANY = 300 };
    ag_wg_add(&wg, MANY);
    for (int i = 0; i < MANY; i++) {
        ag_mutex_lock(&l.mutex);
        until_waits(ag_go(wants_mutex, &l, &wg));
        gives_mutex(&l);
    }
    ag_wg_wait(&wg);
    ag_check_int(ag_profile_mutex_fraction(0), 3);
    text = top("mutex", "-sample_index=contentions");
    double found = pprof_cum(text, "gives_mutex");
    if (found < MANY / 2 || found > MANY * 3 / 2)
        ag_fail("%s", text);
    free(text);
    eventually(ag_count() == 1);
}

/* --- Threads. --- */

static int sleeps(void *unused) {
    (void)unused;
    usleep(50000);
    return 0;
}
static void blocks(ag_wg *wg) {
    ag_blocking(sleeps, NULL);
    ag_wg_done(wg);
}
AG_TEST_RUN(threads_are_counted) {
    needs_go();
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 10);
    for (int i = 0; i < 10; i++)
        ag_go(blocks, &wg);
    ag_wg_wait(&wg);
    ag_stats stats;
    ag_stats_read(&stats);
    ag_check(stats.threads > 1);
    char *path = profile_of("threadcreate"), *text = pprof(path, "-top");
    forget(path);
    ag_check_contains(text, "Type: threadcreate");
    const char *total = strstr(text, "% of ");
    ag_check(total && strtol(total + 5, NULL, 10) >= stats.threads);
    free(text);
}

/* --- Everything at once. --- */

static _Atomic bool go_on;
static void plays(ag_chan(int) c, struct locks *l, ag_wg *wg) {
    while (atomic_load(&go_on)) {
        ag_select(AG_SEND(c, 1), AG_RECV(c, NULL), AG_AFTER(AG_MS));
        ag_mutex_lock(&l->mutex);
        ag_yield();
        ag_mutex_unlock(&l->mutex);
        ag_rwmutex_rlock(&l->rw);
        ag_yield();
        ag_rwmutex_runlock(&l->rw);
        ag_rwmutex_lock(&l->rw);
        ag_rwmutex_unlock(&l->rw);
    }
    ag_wg_done(wg);
}
static void toggles(ag_wg *wg) {
    for (int i = 0; i < 200 / ag_test_slow() + 5; i++) {
        ag_profile_block_rate(i % 3);
        ag_profile_mutex_fraction(i % 2);
        forget(profile_of(i % 2 ? "block" : "mutex"));
        ag_sleep(AG_MS);
    }
    ag_wg_done(wg);
}
AG_TEST_RUN(recording_may_change_under_load) {
    needs_go();
    struct locks l = {AG_MUTEX_INIT, AG_RWMUTEX_INIT};
    ag_wg players = AG_WG_INIT, others = AG_WG_INIT;
    ag_chan(int) c = ag_make(int, 0);
    atomic_store(&go_on, true);
    ag_wg_add(&players, 8);
    for (int i = 0; i < 8; i++)
        ag_go(plays, c, &l, &players);
    ag_wg_add(&others, 2);
    for (int i = 0; i < 2; i++)
        ag_go(toggles, &others);
    ag_wg_wait(&others);
    ag_profile_block_rate(1);
    ag_profile_mutex_fraction(1);
    ag_sleep(20 * AG_MS);
    atomic_store(&go_on, false);
    ag_wg_wait(&players);
    char *text = top("block", "");
    ag_check(pprof_cum(text, "plays") > 0);
    free(text);
    text = top("mutex", "");
    ag_check(pprof_cum(text, "plays") > 0);
    free(text);
    ag_unref(c);
    eventually(ag_count() == 1);
}
