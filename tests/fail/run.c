/* SPDX-License-Identifier: MIT */
/*
 * Starting and ending a world while memory, threads and descriptors run out.
 */
#include "inject.h"

static int seven(void *arg) {
    (void)arg;
    return 7;
}

/* Main's result, or an error; the next one runs. */
static void run(void) {
    int r = ag_run(seven, NULL);
    if (ok(r))
        ag_check_int(r, 7);
}

AG_TEST(a_world_that_cannot_begin_says_so) {
    WALK(MEMORY | GROW | THREAD | SYSTEM | QUIET | STACK, run);
}

static void nothing(atomic_int *ran) {
    atomic_fetch_add(ran, 1);
}

static int some_work(void *arg) {
    static atomic_int ran;
    ag_wg wg = AG_WG_INIT;
    int started = 0;
    (void)arg;
    atomic_store(&ran, 0);
    for (int i = 0; i < 100; i++)
        started += ok(ag_wg_go(&wg, nothing, &ran));
    ag_wg_wait(&wg);
    ag_check_int(atomic_load(&ran), started);
    ag_check_int(ag_sleep(AG_US), 0);
    return 7;
}

static void run_some_work(void) {
    int r = ag_run(some_work, NULL);
    if (ok(r))
        ag_check_int(r, 7);
}

AG_TEST(work_is_done_without_threads) {
    WALK(THREAD, run_some_work);
}

/* The first world of a process makes room for stacks. */
static void cold(const char *call) {
    inject(call, ENOMEM, 1, true);
    ag_check_int(ag_run(seven, NULL), -ENOMEM);
    ag_check(inject_end() > 0);
    ag_check_int(ag_run(seven, NULL), 7);
}
AG_TEST(without_address_space_no_world_begins) {
    cold("mmap");
}
AG_TEST(without_memory_for_a_stack_no_world_begins) {
    cold("mprotect");
}

/* The processor is handed on, but there is no thread to take it. */
static atomic_int answered;
static void wait_for_the_answer(void) {
    usleep(20000);
    inject_end();
    for (int i = 0; i < 20000 * ag_test_slow() && !atomic_load(&answered); i++)
        usleep(1000);
}
static void answer(void) {
    ag_sleep(AG_MS);
    atomic_store(&answered, 1);
}
AG_TEST_RUN(what_waits_for_a_thread_goes_on_once_there_is_one) {
    ag_check(ag_go(answer) > 0);
    inject("pthread_create", EAGAIN, 1, true);
    ag_blocking(wait_for_the_answer);
    ag_check_int(atomic_load(&answered), 1);
}

AG_TEST_RUN(a_queue_without_memory_loses_no_goroutine) {
    enum { MANY = 5000 };
    static atomic_int ran;
    ag_wg wg = AG_WG_INIT;
    inject("malloc", ENOMEM, 1, true);
    for (int i = 0; i < MANY; i++)
        ag_check(ag_wg_go(&wg, nothing, &ran) > 0);
    ag_check(inject_end() > 0);
    ag_wg_wait(&wg);
    ag_check_int(atomic_load(&ran), MANY);
}

/* Nothing but `seven` was asked of a world: what is counted is what the library does itself. */
AG_TEST(the_failures_reach_the_library) {
    inject("calloc", ENOMEM, 1, false);
    ag_check_int(ag_run(seven, NULL), -ENOMEM);
    ag_check_int(inject_end(), 1);
    ag_check_int(ag_run(seven, NULL), 7);
    inject("epoll_create1", EMFILE, 1, false);
    ag_check_int(ag_run(seven, NULL), -EMFILE);
    ag_check_int(inject_end(), 1);
    inject("calloc", ENOMEM, 1 << 30, false);
    ag_check_int(ag_run(seven, NULL), 7);
    ag_check_int(inject_end(), 0);
}
