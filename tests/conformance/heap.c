/* SPDX-License-Identifier: MIT */
/*
 * The heap profile, as `go tool pprof` reads it: who allocated what is in use and what was, from
 * goroutines, threads and before main; the rate; under load, at a fork; in other people's programs.
 * This program is linked with aglet-heap, where there is one.
 */
#include "heap.h"
#include <sys/mman.h>

/* ---- Sums ----------------------------------------------------------------------------------- */

AG_TEST_RUN(a_leak_is_found_at_its_site_within_bounds) {
    enum { N = 20000, SIZE = 1000 };
    needs_go();
    needs_shim(16 * 1024);
    for (int i = 0; i < N; i++)
        leaks(SIZE);
    /* Some 1200 samples: a deviation of 3 %. */
    char *path = profile_of("heap"), *text = pprof(path, "-top -unit=b");
    double found = pprof_flat(text, "leaks");
    if (found < N * SIZE * 0.8 || found > N * SIZE * 1.2)
        ag_fail("%.0f bytes instead of %d", found, N * SIZE);
    free(text);
    text = pprof(path, "-top -sample_index=alloc_objects");
    found = pprof_flat(text, "leaks");
    free(text);
    forget(path);
    if (found < N * 0.8 || found > N * 1.2)
        ag_fail("%.0f blocks instead of %d", found, N);
}

AG_TEST_RUN(at_rate_one_the_numbers_are_exact) {
    needs_shim(1);
    for (int i = 0; i < 100; i++)
        leaks(123);
    for (int i = 0; i < 50; i++)
        drops(1000);
    ag_check_int(heap_value("heap", "inuse_space", "leaks"), 12300);
    ag_check_int(heap_value("heap", "inuse_objects", "leaks"), 100);
    ag_check_int(heap_value("heap", "inuse_space", "drops"), 0);
    ag_check_int(heap_value("heap", "alloc_space", "drops"), 50000);
    ag_check_int(heap_value("heap", "alloc_objects", "drops"), 50);
}

AG_TEST_RUN(heap_and_allocs_differ_in_what_is_shown_first) {
    needs_go();
    needs_shim(1);
    leaks(1000);
    drops(5000);
    char *path = profile_of("heap"), *text = pprof(path, "-top -unit=b -nodefraction=0");
    ag_check_contains(text, "Type: inuse_space");
    ag_check_int(pprof_flat(text, "leaks"), 1000);
    free(text);
    text = pprof(path, "-raw");
    ag_check_contains(text, "PeriodType: space bytes\nPeriod: 1\n");
    ag_check_contains(text, "alloc_objects/count alloc_space/bytes inuse_objects/count "
                            "inuse_space/bytes[dflt]");
    /* Neither malloc nor anything below it. */
    ag_check(strstr(text, " malloc") == NULL);
    ag_check(strstr(text, "heap/shim.c") == NULL);
    free(text);
    forget(path);
    path = profile_of("allocs");
    text = pprof(path, "-top -unit=b -nodefraction=0");
    ag_check_contains(text, "Type: alloc_space");
    ag_check_int(pprof_flat(text, "drops"), 5000);
    free(text);
    forget(path);
}

/* ---- Who allocates and who frees ------------------------------------------------------------ */

static KEPT void *grows(void *p, size_t n) {
    p = realloc(p, n);
    STAYS;
    return p;
}
AG_TEST_RUN(realloc_ends_one_block_and_begins_another) {
    needs_shim(1);
    void *p = leaks(1000);
    memset(p, 7, 1000);
    p = grows(p, 50000);
    ag_check(((char *)p)[0] == 7 && ((char *)p)[999] == 7);
    ag_check_int(heap_value("heap", "inuse_space", "leaks"), 0);
    ag_check_int(heap_value("heap", "inuse_space", "grows"), 50000);
    p = grows(p, 20);
    ag_check(((char *)p)[19] == 7);
    ag_check_int(heap_value("heap", "inuse_space", "grows"), 20);
    ag_check_int(heap_value("heap", "alloc_space", "grows"), 50020);
    volatile size_t too_much = PTRDIFF_MAX;
    ag_check_ptr(grows(p, too_much), NULL);
    ag_check_int(heap_value("heap", "inuse_space", "grows"), 20);
    ag_check_ptr(grows(p, 0), NULL);
    ag_check_int(heap_value("heap", "inuse_space", "grows"), 0);
    p = grows(NULL, 300);
    ag_check_int(heap_value("heap", "inuse_space", "grows"), 300);
    free(p);
    ag_check_int(heap_value("heap", "inuse_space", "grows"), 0);
    /* What was allocated while nothing was sampled. */
    ag_profile_heap_rate(0);
    p = leaks(100);
    ag_profile_heap_rate(1);
    lets_pass(2 << 20); /* now it is noticed */
    p = grows(p, 400);
    ag_check_int(heap_value("heap", "inuse_space", "grows"), 400);
    free(p);
    ag_check_int(heap_value("heap", "inuse_space", "grows"), 0);
}

static void *leaks_outside(void *n) {
    return leaks((size_t)(uintptr_t)n);
}
static void *frees_outside(void *p) {
    free(p);
    return NULL;
}
AG_TEST_RUN(threads_that_nobody_knows_of_are_seen) {
    needs_shim(1);
    pthread_t thread;
    void *p;
    ag_check_int(pthread_create(&thread, NULL, leaks_outside, (void *)7777), 0);
    pthread_join(thread, &p);
    ag_check_int(heap_value("heap", "inuse_space", "leaks"), 7777);
    ag_check_int(heap_value("heap", "inuse_space", "leaks_outside"), 0); /* only cumulative */
    ag_check_int(pthread_create(&thread, NULL, frees_outside, p), 0);
    pthread_join(thread, NULL);
    ag_check_int(heap_value("heap", "inuse_space", "leaks"), 0);
}

static void makes_and_sends(ag_chan(void *) c, int n) {
    for (int i = 0; i < n; i++) {
        void *p = leaks(100 + (size_t)i % 7);
        ag_yield();
        ag_send(c, p);
    }
}
static void takes_and_frees(ag_chan(void *) c, ag_wg *wg) {
    void *p;
    while (ag_recv(c, &p)) {
        ag_yield();
        free(p);
    }
    ag_wg_done(wg);
}
/* Between malloc and free a goroutine waits, and goes on elsewhere; another one frees. */
AG_TEST_RUN(blocks_travel_between_goroutines_and_threads) {
    needs_shim(1);
    int n = 2000 / ag_test_slow();
    ag_chan(void *) c = ag_make(void *, 3);
    ag_wg makers = AG_WG_INIT, takers = AG_WG_INIT;
    for (int i = 0; i < 4; i++) {
        ag_wg_go(&makers, makes_and_sends, c, n);
        ag_wg_add(&takers, 1);
        ag_go(takes_and_frees, c, &takers);
    }
    ag_wg_wait(&makers);
    ag_close(c);
    ag_wg_wait(&takers);
    ag_check_int(heap_value("heap", "alloc_objects", "leaks"), 4 * n);
    ag_check_int(heap_value("heap", "inuse_objects", "leaks"), 0);
    eventually(ag_count() == 1);
    ag_unref(c);
}

static void leaks_for(const char *customer, size_t n) {
    ag_label("customer", customer);
    leaks(n);
}
AG_TEST_RUN(samples_have_the_labels_of_the_goroutine) {
    needs_go();
    needs_shim(1);
    ag_wg wg = AG_WG_INIT;
    ag_wg_go(&wg, leaks_for, "adams", 3000);
    ag_wg_go(&wg, leaks_for, "bell", 500);
    ag_wg_wait(&wg);
    leaks(40);
    char *path = profile_of("heap"),
         *text = pprof(path, "-tagfocus=customer=adams -top -unit=b -nodefraction=0");
    ag_check_int(pprof_flat(text, "leaks"), 3000);
    free(text);
    text = pprof(path, "-top -unit=b -nodefraction=0");
    ag_check_int(pprof_flat(text, "leaks"), 3540);
    free(text);
    text = pprof(path, "-raw");
    ag_check_contains(text, "heap.c:");
    ag_check_contains(text, "created_at:[");
    free(text);
    forget(path);
}

AG_TEST(what_is_allocated_before_main_is_seen) {
    needs_shim(1);
    ag_check_int(heap_value("heap", "inuse_space", "leaks_early"), EARLY);
    free(early_block);
    ag_check_int(heap_value("heap", "inuse_space", "leaks_early"), 0);
}

/* ---- The rate ------------------------------------------------------------------------------- */

AG_TEST_RUN(the_rate_is_set_and_told) {
    needs_shim(4096);
    ag_check_int(ag_profile_heap_rate(-1), 4096);
    ag_check_int(ag_profile_heap_rate(0), 4096);
    ag_check_int(ag_profile_heap_rate(1), 0);
    ag_check_int(ag_profile_heap_rate(INT64_MAX), 1);
    ag_check_int(ag_profile_heap_rate(512 * 1024), INT64_MAX);
}

AG_TEST_RUN(switched_off_nothing_new_is_sampled_and_what_was_leaves) {
    needs_shim(1);
    void *p = leaks(1234);
    ag_profile_heap_rate(0);
    lets_pass(2 << 20); /* by now it is noticed */
    for (int i = 0; i < 5000; i++)
        leaks(3000);
    ag_check_int(heap_value("heap", "inuse_space", "leaks"), 1234);
    free(p);
    ag_check_int(heap_value("heap", "inuse_space", "leaks"), 0);
    ag_check_int(heap_value("heap", "alloc_space", "leaks"), 1234);
}

/* ---- Under load ----------------------------------------------------------------------------- */

static _Atomic bool go_on;
static void *allocates(void *seed) {
    enum { HELD = 64 };
    void *held[HELD] = {NULL};
    uint32_t x = (uint32_t)(uintptr_t)seed | 1;
    while (atomic_load(&go_on)) {
        x = x * 1664525 + 1013904223;
        void **at = &held[x >> 24 & (HELD - 1)];
        size_t n = x >> 12 & 2047;
        switch (x >> 8 & 3) {
        case 0:
            *at = grows(*at, n + 1);
            break;
        default:
            free(*at);
            *at = leaks(n);
        }
    }
    for (int i = 0; i < HELD; i++)
        free(held[i]);
    return NULL;
}
static void allocates_as_goroutine(uintptr_t seed, ag_wg *wg) {
    allocates((void *)seed);
    ag_wg_done(wg);
}
static void writes_profiles(int times, ag_wg *wg) {
    for (int i = 0; i < times; i++)
        forget(profile_of(i % 2 ? "heap" : "allocs"));
    ag_wg_done(wg);
}
static void under_load(void (*during)(void)) {
    enum { THREADS = 2, GOROUTINES = 2, WRITERS = 2 };
    pthread_t threads[THREADS];
    ag_wg load = AG_WG_INIT, writers = AG_WG_INIT;
    atomic_store(&go_on, true);
    for (uintptr_t i = 0; i < THREADS; i++)
        ag_check_int(pthread_create(&threads[i], NULL, allocates, (void *)(i * 7 + 1)), 0);
    ag_wg_add(&load, GOROUTINES);
    for (uintptr_t i = 0; i < GOROUTINES; i++)
        ag_go(allocates_as_goroutine, i * 31 + 5, &load);
    ag_wg_add(&writers, WRITERS);
    for (int i = 0; i < WRITERS; i++)
        ag_go(writes_profiles, 20 / ag_test_slow() + 2, &writers);
    if (during)
        during();
    ag_wg_wait(&writers);
    atomic_store(&go_on, false);
    ag_wg_wait(&load);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    ag_check_int(heap_value("heap", "inuse_space", "leaks"), 0);
    ag_check_int(heap_value("heap", "inuse_objects", "grows"), 0);
    ag_check(heap_value("heap", "alloc_objects", "leaks") > 0);
}
AG_TEST_RUN(profiles_are_written_while_all_allocate_and_nothing_is_left_over) {
    needs_shim(1);
    under_load(NULL);
}
AG_TEST_RUN(at_a_usual_rate_too) {
    needs_shim(10000);
    under_load(NULL);
}
static void changes_the_rate(void) {
    static const int64_t rates[] = {1, 1000, 0, 100000, 16};
    for (int i = 0; i < 100; i++) {
        ag_profile_heap_rate(rates[i % 5]);
        ag_yield();
    }
}
AG_TEST_RUN(while_the_rate_changes) {
    needs_shim(1);
    under_load(changes_the_rate);
}

/* The child goes on with what it was given: what it frees is gone there, and nowhere else. */
static void forks(void) {
    void *p = leaks(100000);
    for (int i = 0; i < 3 / ag_test_slow() + 1; i++) {
        pid_t pid = fork();
        ag_check(pid >= 0);
        if (pid == 0) {
            free(p);
            for (int k = 0; k < 1000; k++)
                drops((size_t)k);
            p = grows(leaks(5), 500);
            free(p);
            _exit(42);
        }
        int status;
        ag_check_int(waitpid(pid, &status, 0), pid);
        ag_check(WIFEXITED(status) && WEXITSTATUS(status) == 42);
    }
    free(p);
}
AG_TEST_RUN(children_of_a_fork_allocate_and_free) {
    needs_shim(1);
    if (ag_test_under("qemu"))
        ag_skip("under qemu-user a child of a fork may wait for a lock of its allocator");
    under_load(forks);
}

/* ---- Asked for while the program runs ------------------------------------------------------- */

static void leaks_now_and_then(void) {
    while (atomic_load(&go_on)) {
        leaks(1000);
        ag_sleep(5 * AG_MS);
    }
}
AG_TEST_RUN(the_answers_are_what_is_in_use_and_what_changes) {
    needs_go();
    needs_shim(1);
    leaks(1 << 20);
    ag_wg wg = AG_WG_INIT;
    atomic_store(&go_on, true);
    ag_wg_go(&wg, leaks_now_and_then);
    char *text = asked("/debug/pprof/heap?seconds=1", "-top -unit=b -nodefraction=0");
    double found = pprof_flat(text, "leaks");
    if (found < 1000 || found > 500000)
        ag_fail("%s", text);
    free(text);
    atomic_store(&go_on, false);
    ag_wg_wait(&wg);
    text = asked("/debug/pprof/heap", "-top -unit=b -nodefraction=0");
    ag_check(pprof_flat(text, "leaks") >= (1 << 20) + 1000);
    free(text);
    text = asked("/debug/pprof/allocs?debug=1", NULL);
    ag_check_contains(text, "allocs profile: total ");
    ag_check_contains(text, "\n# alloc_objects/count alloc_space/bytes inuse_objects/count "
                            "inuse_space/bytes\n");
    ag_check_contains(text, "\n1 1048576 1 1048576 @ 0x");
    ag_check_contains(text, "\tleaks\t");
    free(text);
}

/* ---- Other people's programs ---------------------------------------------------------------- */

/* What a shell says about a command; with the library preloaded. */
static char *said(const char *command, const char *rate) {
    char line[8192], *text = NULL;
    size_t size;
    if (rate)
        snprintf(line, sizeof line, "export LD_PRELOAD='%s' AGLET_HEAP_RATE=%s; %s", shim_path(),
                 rate, command);
    else
        snprintf(line, sizeof line, "%s", command);
    FILE *in = popen(line, "r"), *out = open_memstream(&text, &size);
    ag_check(in && out);
    for (int c; (c = fgetc(in)) != EOF;)
        fputc(c, out);
    ag_check_int(pclose(in), 0);
    fclose(out);
    return text;
}
AG_TEST(programs_that_know_nothing_of_it_do_what_they_do) {
    static const char *const commands[] = {
        "ls -lR /usr/share/doc/bash* /usr/bin/env 2>&1",
        "for i in 1 2 3; do echo $(echo $i | cat); done",
        "sort /etc/services /etc/passwd | sha256sum",
        "command -v python3 >/dev/null && python3 -c '"
        "import threading, json, subprocess\n"
        "l = []\n"
        "def f(): l.append(json.dumps([str(i) * (i % 90) for i in range(5000)]))\n"
        "t = [threading.Thread(target=f) for i in range(4)]\n"
        "[x.start() for x in t]; [x.join() for x in t]\n"
        "print(len(set(l)), len(l[0]), subprocess.check_output([\"echo\", \"x\"]))' || true",
    };
    needs_library();
    if (ag_test_under("qemu"))
        ag_skip("the programs here are for another processor");
    for (size_t i = 0; i < COUNT(commands); i++) {
        char *plain = said(commands[i], NULL);
        ag_check(*plain);
        for (int k = 0; k < 2; k++) {
            static const char *const rates[] = {"1", "64k"};
            char *text = said(commands[i], rates[k]);
            ag_check_str(text, plain);
            free(text);
        }
        free(plain);
    }
}

AG_TEST(the_environment_sets_the_rate) {
    static const struct {
        const char *text;
        int64_t rate;
    } cases[] = {{"0", 0},         {"1", 1},        {"64k", 65536},
                 {"2M", 2 << 20},  {"1g", 1 << 30}, {"\"\"", 524288},
                 {"many", 524288}, {"12x", 524288}, {"-5", 524288}};
    needs_library();
    if (ag_test_under("qemu"))
        ag_skip("needs to start itself");
    for (size_t i = 0; i < COUNT(cases); i++) {
        char command[4200], expect[32];
        snprintf(command, sizeof command, "/proc/%d/exe --run prints_the_rate 2>&1 3>/dev/null",
                 (int)getpid());
        snprintf(expect, sizeof expect, "rate %lld\n", (long long)cases[i].rate);
        char *text = said(command, cases[i].text);
        ag_check_contains(text, expect);
        free(text);
    }
}
/* Run by the test above, as a program of its own. */
AG_TEST(prints_the_rate) {
    needs_library();
    fprintf(stderr, "rate %lld\n", (long long)rate_at_start);
}
