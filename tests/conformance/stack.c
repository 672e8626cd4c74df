/* SPDX-License-Identifier: MIT */
/*
 * Stacks: their size, what happens at the end of one, and that a goroutine finds its stack as it
 * left it. Overflows end the process, so each is a death test.
 */
#include "common.h"

#include <sys/resource.h>

/* Uses about `bytes` of stack; returns something that depends on all of it. */
static __attribute__((noinline)) long use_stack(long bytes) {
    volatile char room[1024];
    room[0] = (char)bytes;
    room[1023] = 1;
    if (bytes <= 1024)
        return room[0];
    long below = use_stack(bytes - 1024);
    return below + room[1023];
}

static void use_and_report(long bytes, atomic_int *done) {
    use_stack(bytes);
    atomic_fetch_add(done, 1);
}

AG_TEST_RUN(the_default_stack_holds_most_of_its_256_kib) {
    if (ag_test_slow() > 1)
        ag_skip("a build whose frames are of the usual size");
    atomic_int done = 0;
    for (int i = 0; i < 20; i++)
        ag_go(use_and_report, 180 * 1024L, &done);
    eventually(atomic_load(&done) == 20);
}

AG_TEST_RUN(a_goroutine_gets_the_stack_it_asks_for) {
    atomic_int done = 0;
    ag_go_opts large = {.stack_size = 16 << 20}, small = {.stack_size = 64 << 10};
    ag_check(ag_go_with(&large, use_and_report, 8L << 20, &done) > 0);
    ag_check(ag_go_with(&small, use_and_report, 16L << 10, &done) > 0);
    eventually(atomic_load(&done) == 2);
    for (int i = 0; i < 100; i++) /* and again, from the caches */
        ag_go_with(i % 2 ? &large : &small, use_and_report, i % 2 ? 4L << 20 : 8L << 10, &done);
    eventually(atomic_load(&done) == 102);
}

static int main_uses_much(void *arg) {
    atomic_int done = 0;
    (void)arg;
    ag_go(use_and_report, 2L << 20, &done);
    eventually(atomic_load(&done) == 1);
    return 0;
}

AG_TEST(the_configuration_sets_the_default_size) {
    unsetenv("AGLET_STACK_SIZE");
    ag_check_int(ag_run_with(&(ag_config){.stack_size = 8 << 20}, main_uses_much, NULL), 0);
    setenv("AGLET_STACK_SIZE", "8388608", 1);
    ag_check_int(ag_run(main_uses_much, NULL), 0);
}

static void fill_and_check(int seed, ag_wg *wg) {
    volatile unsigned char room[4000];
    for (size_t i = 0; i < sizeof room; i++)
        room[i] = (unsigned char)(i + (size_t)seed);
    for (int round = 0; round < 3; round++) {
        ag_yield();
        ag_sleep(AG_US * (seed % 100));
        for (size_t i = 0; i < sizeof room; i++)
            ag_check_int(room[i], (unsigned char)(i + (size_t)seed));
    }
    ag_wg_done(wg);
}

AG_TEST_RUN(every_goroutine_finds_its_stack_as_it_left_it) {
    int many = 3000 / ag_test_slow();
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, many);
    for (int i = 0; i < many; i++)
        ag_go(fill_and_check, i, &wg);
    ag_wg_wait(&wg);
}

static void aligned(ag_wg *wg) {
    _Alignas(64) volatile char room[64];
    _Alignas(16) volatile long double number = 1.5L;
    room[0] = 1;
    ag_check_int((uintptr_t)room % 64, 0);
    ag_check_int((uintptr_t)&number % 16, 0);
    ag_check(number * 2 == 3.0L && room[0] == 1);
    ag_wg_done(wg);
}

AG_TEST_RUN(stacks_are_aligned_as_the_abi_asks) {
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 50);
    for (int i = 0; i < 50; i++)
        ag_go(aligned, &wg);
    ag_wg_wait(&wg);
}

/* ---- Address space -------------------------------------------------------------------------- */

static void receive(ag_chan(int) c) {
    ag_recv(c, NULL);
}

/* As many goroutines as arg says, of 16 MiB each, all at once. */
static int main_starts_large_ones(void *arg) {
    ag_chan(int) c = ag_make(int, 0);
    for (int i = 0; i < *(int *)arg; i++)
        until_waits_for(ag_go_with(&(ag_go_opts){.stack_size = 16 << 20}, receive, c),
                        "chan receive");
    ag_close(c);
    eventually(ag_count() == 1);
    ag_unref(c);
    return 0;
}

AG_TEST(all_of_the_space_for_stacks_can_be_used) {
    int few = 8;
    setenv("AGLET_STACK_SPACE", "192m", 1); /* 64 MiB for main's size, 128 for these */
    ag_check_int(ag_run(main_starts_large_ones, &few), 0);
}

AG_TEST_DEATH(the_space_for_stacks_has_the_size_that_was_asked_for, 2, "AGLET_STACK_SPACE") {
    int many = 9;
    setenv("AGLET_STACK_SPACE", "192m", 1);
    ag_run(main_starts_large_ones, &many);
}

AG_TEST(stacks_are_reserved_as_they_are_needed) {
    int few = 8, many = 40; /* 640 MiB: more than the first reservation holds */
    if (ag_test_slow() > 1)
        ag_skip("a process whose address space is its own");
    struct rlimit limit = {(rlim_t)1536 << 20, (rlim_t)1536 << 20};
    ag_check_int(setrlimit(RLIMIT_AS, &limit), 0);
    ag_check_int(ag_run(main_starts_large_ones, &few), 0);
    ag_check_int(ag_run(main_starts_large_ones, &many), 0);
}

/* ---- Overflow ------------------------------------------------------------------------------- */

static volatile long bottom = INT64_MAX;

static __attribute__((noinline)) long recurse_forever(long depth) {
    volatile char room[256];
    room[0] = (char)depth;
    if (depth == bottom)
        return 0;
    return recurse_forever(depth + 1) + room[0];
}

static int main_overflows(void *arg) {
    (void)arg;
    return (int)recurse_forever(0);
}

AG_TEST_DEATH(main_overflows_its_stack, 2, "stack overflow") {
    ag_run(main_overflows, NULL);
}

static void overflows(void) {
    recurse_forever(0);
}

static int main_starts_one_that_overflows(void *arg) {
    (void)arg;
    ag_go_with(&(ag_go_opts){.name = "deep diver"}, overflows);
    return ag_select();
}

AG_TEST_DEATH(a_goroutine_overflows_its_stack, 2, "stack overflow") {
    ag_run(main_starts_one_that_overflows, NULL);
}

static int main_starts_one_with_a_large_stack(void *arg) {
    (void)arg;
    ag_go_with((&(ag_go_opts){.name = "large diver", .stack_size = 1 << 20}), overflows);
    return ag_select();
}

AG_TEST_DEATH(a_goroutine_overflows_a_stack_of_its_own_size, 2, "stack overflow") {
    ag_run(main_starts_one_with_a_large_stack, NULL);
}

AG_TEST(an_overflow_names_the_goroutine) {
    static struct child child;
    run_child(&child, "main_overflows_its_stack");
    ag_check_int(child.status, 2);
    ag_check_contains(child.text, "stack overflow");
    ag_check_contains(child.text, "goroutine 1 ");
    run_child(&child, "a_goroutine_overflows_its_stack");
    ag_check_int(child.status, 2);
    ag_check_contains(child.text, "stack overflow");
    ag_check_contains(child.text, "deep diver");
    ag_check_contains(child.text, "created by main_starts_one_that_overflows");
    run_child(&child, "a_goroutine_overflows_a_stack_of_its_own_size");
    ag_check_contains(child.text, "large diver");
    ag_check_contains(child.text, "exceeds 1048576-byte limit");
    ag_check_contains(child.text, "created by main_starts_one_with_a_large_stack");
    ag_check_contains(child.text, "/stack.c:");
}

static volatile char *volatile nowhere;

static int main_writes_to_null(void *arg) {
    (void)arg;
    *nowhere = 1;
    return 0;
}

AG_TEST(another_bad_access_is_not_taken_for_an_overflow) {
    static struct child child;
    if (getenv("CONFORMANCE_CHILD"))
        ag_run(main_writes_to_null, NULL);
    setenv("CONFORMANCE_CHILD", "1", 1);
    run_child(&child, "another_bad_access_is_not_taken_for_an_overflow");
    ag_check(child.status != 0);
    ag_check(!strstr(child.text, "stack overflow"));
    if (ag_test_slow() == 1)
        ag_check_int(child.status, 128 + SIGSEGV); /* what it is in C */
}
