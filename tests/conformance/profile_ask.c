/* SPDX-License-Identifier: MIT */
/*
 * The profiles as answers to questions at /debug/pprof/, as `go tool pprof` reads them.
 */
#include "common.h"
#include "pprof.h"

static int status_of(const char *target) {
    struct answer a = {0};
    ask_within(&a, target);
    free(a.text);
    return a.status;
}

static KEPT void waits_here(ag_chan(int) c) {
    while (ag_recv(c, NULL)) {
    }
}

static KEPT void waits_for_nobody(void) {
    ag_recv((ag_chan(int))NULL, NULL);
    STAYS;
}

AG_TEST_RUN(leaks_in_three_ways) {
    needs_go();
    ag_chan(int) c = ag_make(int, 0);
    until_waits(ag_go(waits_here, c));
    char *text = asked("/debug/pprof/goroutineleak?debug=1", NULL);
    ag_check_contains(text, "goroutineleak profile: total 0\n");
    free(text);
    for (int i = 0; i < 3; i++)
        until_waits(ag_go(waits_for_nobody));
    text = asked("/debug/pprof/goroutineleak", "-top");
    ag_check_contains(text, "Type: goroutineleak\n");
    ag_check_int(pprof_flat(text, "waits_for_nobody"), 3);
    ag_check(!strstr(text, "waits_here"));
    free(text);
    text = asked("/debug/pprof/goroutineleak?debug=1", NULL);
    ag_check_contains(text, "goroutineleak profile: total 3\n");
    ag_check_contains(text, "\n3 @ 0x");
    ag_check_contains(text, "# state: chan receive (nil chan)\n");
    free(text);
    text = asked("/debug/pprof/goroutineleak?debug=2", NULL);
    ag_check_contains(text, " [chan receive (nil chan)]:\n");
    ag_check_contains(text, "\nwaits_for_nobody(...)");
    ag_check(!strstr(text, "waits_here") && !strstr(text, "[running]"));
    free(text);
    ag_close(c);
    ag_unref(c);
}

AG_TEST_RUN(goroutines_in_three_ways) {
    needs_go();
    ag_chan(int) c = ag_make(int, 0);
    for (int i = 0; i < 5; i++)
        until_waits(ag_go(waits_here, c));
    char *text = asked("/debug/pprof/goroutine", "-top");
    ag_check_int(pprof_flat(text, "waits_here"), 5);
    free(text);
    text = asked("/debug/pprof/goroutine?debug=1", NULL);
    ag_check_contains(text, "goroutine profile: total 6\n");
    ag_check_contains(text, "\n5 @ 0x");
    ag_check_contains(text, "# state: chan receive\n");
    ag_check_contains(text, "\twaits_here\t");
    ag_check_contains(text, "profile_ask.c:");
    free(text);
    text = asked("/debug/pprof/goroutine?debug=2", NULL);
    ag_check_contains(text, "goroutine 1 [running]:");
    ag_check_contains(text, " [chan receive]:\n");
    ag_check_contains(text, "\nwaits_here(...)");
    free(text);
    text = asked("/debug/pprof/spawn?debug=1", NULL);
    ag_check_contains(text, "# waits_here created by ");
    free(text);
    text = asked("/debug/pprof/", NULL);
    ag_check_contains(text, "href=\"/debug/pprof/goroutine?debug=1\"");
    ag_check_contains(text, "href=\"/debug/pprof/profile?debug=1\"");
    free(text);
    text = asked("/debug/pprof/cmdline", NULL);
    ag_check_contains(text, "conformance_profile_ask");
    free(text);
    ag_close(c);
    eventually(ag_count() == 1);
    ag_unref(c);
}

/* This program is not linked with aglet-heap. */
AG_TEST_RUN(without_its_library_the_heap_has_no_profile_and_says_what_to_do) {
    static const char *const targets[] = {"/debug/pprof/heap", "/debug/pprof/allocs?debug=1",
                                          "/debug/pprof/heap?seconds=1"};
    FILE *out = fopen("/dev/null", "w");
    if (getenv("LD_PRELOAD"))
        ag_skip("something is preloaded");
    ag_check_int(ag_profile_write("heap", out), -ENOSYS);
    ag_check_int(ag_profile_write("allocs", out), -ENOSYS);
    ag_check_int(ag_profile_heap_rate(1), -ENOSYS);
    fclose(out);
    for (size_t i = 0; i < COUNT(targets); i++) {
        ag_check_int(status_of(targets[i]), 501);
        char *text = asked(targets[i], NULL);
        ag_check_contains(text, "LD_PRELOAD=$(pkg-config --variable=libdir aglet-heap)"
                                "/libaglet-heap.so or ");
        ag_check_contains(text, "$(pkg-config --libs aglet-heap)");
        free(text);
    }
}

static _Atomic bool go_on;
static void sends(ag_chan(int) c, ag_wg *wg) {
    while (atomic_load(&go_on)) {
        ag_send(c, 1);
        ag_sleep(10 * AG_MS);
    }
    ag_close(c);
    ag_wg_done(wg);
}
/* Waits that were before the question are not in the answer. */
AG_TEST_RUN(a_span_of_time_has_what_happens_in_it) {
    needs_go();
    ag_chan(int) c = ag_make(int, 0);
    ag_wg wg = AG_WG_INIT;
    ag_profile_block_rate(1);
    atomic_store(&go_on, true);
    ag_wg_add(&wg, 1);
    ag_go(waits_here, c);
    ag_go(sends, c, &wg);
    ag_sleep(500 * AG_MS);
    ag_time began = ag_now();
    char *text = asked("/debug/pprof/block?seconds=1", "-top -unit=ms");
    double most = (double)(ag_now() - began) / AG_MS, found = pprof_cum(text, "waits_here");
    if (found < 1 || found > most + 100)
        ag_fail("%.0f ms, %s", most, text);
    ag_check_contains(text, "Duration: ");
    free(text);
    /* A goroutine that is there at both ends is no news. */
    text = asked("/debug/pprof/spawn?seconds=1", "-top");
    ag_check(strstr(text, "waits_here") == NULL);
    free(text);
    atomic_store(&go_on, false);
    ag_wg_wait(&wg);
    eventually(ag_count() == 1);
    ag_unref(c);
}

static KEPT void burns(void) {
    for (volatile int i = 0; i < 100000; i = i + 1) {
    }
}
static void burns_on(ag_wg *wg) {
    while (atomic_load(&go_on))
        burns();
    ag_wg_done(wg);
}
static void *asks_for_cpu(void *ret_text) {
    *(char **)ret_text = asked("/debug/pprof/profile?seconds=1&hz=200", "-top -unit=ms");
    return NULL;
}
AG_TEST_RUN(cpu_time_is_asked_for_by_one_at_a_time) {
    needs_go();
    needs_thread_timers();
    ag_wg wg = AG_WG_INIT;
    char *text = NULL;
    pthread_t thread;
    atomic_store(&go_on, true);
    ag_wg_add(&wg, 2);
    ag_go(burns_on, &wg);
    ag_go(burns_on, &wg);
    ag_check_int(pthread_create(&thread, NULL, asks_for_cpu, &text), 0);
    int r;
    while ((r = ag_profile_start(0)) == 0) { /* until it has begun */
        ag_profile_stop();
        ag_yield();
    }
    ag_check_int(r, -EBUSY);
    ag_check_int(status_of("/debug/pprof/profile?seconds=1"), 409);
    pthread_join(thread, NULL);
    atomic_store(&go_on, false);
    ag_wg_wait(&wg);
    ag_check_contains(text, "Type: cpu");
#if !defined(__SANITIZE_THREAD__) /* which keeps signals back */
    ag_check(pprof_cum(text, "burns_on") > 50);
#endif
    free(text);
    eventually(ag_count() == 1);
}

AG_TEST_RUN(a_client_that_leaves_ends_its_profile) {
    needs_thread_timers();
    struct answer a = {.leaves_at = ag_now() + 100 * AG_MS};
    ag_time began = ag_now();
    ask_within(&a, "/debug/pprof/profile?seconds=1000");
    ag_check(a.status != 200);
    free(a.text);
    a = (struct answer){.leaves_at = ag_now() + 100 * AG_MS};
    ask_within(&a, "/debug/pprof/block?seconds=1000");
    ag_check(a.status != 200);
    free(a.text);
    ag_check(ag_now() - began < 500 * AG_SEC);
    ag_check_int(ag_profile_stop(), -ESRCH); /* it has ended */
}

AG_TEST_RUN(what_makes_no_sense_is_refused) {
    ag_check_int(status_of("/debug/pprof/nothing"), 404);
    ag_check_int(status_of("/debug/pprof/block?seconds=-1"), 400);
    ag_check_int(status_of("/debug/pprof/block?seconds=10000000"), 400);
    ag_check_int(status_of("/debug/pprof/block?seconds=x"), 400);
    ag_check_int(status_of("/debug/pprof/profile?seconds=0"), 400);
    ag_check_int(status_of("/debug/pprof/profile?seconds=1&hz=5000"), 400);
    ag_check_int(status_of("/debug/pprof/profile?seconds=1&hz=x"), 400);
}
