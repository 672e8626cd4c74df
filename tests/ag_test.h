/* SPDX-License-Identifier: MIT */
/*
 * The test harness. A test program is one file of tests and ag_test.c:
 *
 *     #include "ag_test.h"
 *
 *     AG_TEST(chan_len_of_nil_is_zero) {
 *         ag_check_int(ag_len((ag_chan(int))NULL), 0);
 *     }
 *
 * Every test runs in a process of its own, with a time limit, once for each number of processors
 * asked for (AGLET_PROCS). It passes when its body returns, all checks held, and no descriptor is
 * open that was not open before. A body that ends the process early fails, whatever the status.
 *
 * The checks may be used on any thread and any goroutine: a failed one prints file, line and
 * values, and ends the process.
 */
#ifndef AG_TEST_H
#define AG_TEST_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Functions that are looked for by name --------------------------------------------------- */

/* Not inlined, cloned, merged with another one, or renamed. */
#if defined(__GNUC__) && !defined(__clang__)
#define KEPT __attribute__((noipa))
#else
#define KEPT __attribute__((noinline))
#endif
/* At the end of a function: what it called last was no tail call, so its frame is seen. */
#define STAYS __asm__ volatile("" ::: "memory")

/* ---- Tests ---------------------------------------------------------------------------------- */

/* A test; the body runs on the main thread, outside the runtime. */
#define AG_TEST(name) AG_TEST_CASE_(name, -1, NULL)

/* A test whose body is the main goroutine: ag_run is called around it. */
#define AG_TEST_RUN(name)                                                                          \
    static void ag_test_main_##name(void);                                                         \
    static int ag_test_run_##name(void *arg) {                                                     \
        (void)arg;                                                                                 \
        ag_test_main_##name();                                                                     \
        return 0;                                                                                  \
    }                                                                                              \
    AG_TEST(name) {                                                                                \
        ag_check_int(ag_run(ag_test_run_##name, NULL), 0);                                         \
    }                                                                                              \
    static void ag_test_main_##name(void)

/* A test whose process must end by itself with this exit status (128 + n for signal n) and with
   these words on stderr. */
#define AG_TEST_DEATH(name, status, words) AG_TEST_CASE_(name, status, words)

/* In a body: this test is allowed to leave descriptors open. */
#define AG_TEST_LEAKY_FDS() ag_test_allow_open_fds()

/* Ends the test as skipped; the text says what is missing. */
#define ag_skip(...) ag_test_skip(__VA_ARGS__)

/* Waits, on a goroutine, until `cond` holds; fails after a bound that no healthy run comes near.
   For programs that include <aglet.h>. */
#define eventually(cond)                                                                           \
    do {                                                                                           \
        ag_time eventually_end = ag_now() + AG_TEST_PATIENCE * AG_SEC * ag_test_slow();            \
        while (!(cond)) {                                                                          \
            if (ag_now() > eventually_end)                                                         \
                ag_fail("never true: %s", #cond);                                                  \
            ag_sleep(AG_TEST_LOOK_AGAIN);                                                          \
        }                                                                                          \
    } while (0)
#ifndef AG_TEST_PATIENCE
#define AG_TEST_PATIENCE 20            /* seconds */
#define AG_TEST_LOOK_AGAIN (AG_MS / 4) /* how often */
#endif

/* How much slower than usual this run is (sanitizers, valgrind, qemu): 1, or more. Tests divide
   their rounds by it; the harness multiplies its time limit with it. */
int ag_test_slow(void);

/* Whether the tests run under this program: "valgrind", "qemu". */
bool ag_test_under(const char *program);

/* Skips a test that waits for the report of a total deadlock where the process has threads that
   are not the program's, as under qemu: any of them might wake somebody, so there is no report.
   Call it first, while the program has one thread. */
void ag_test_needs_deadlock_report(void);

/* ---- Checks: actual value first, expected value second -------------------------------------- */

#define ag_check(cond) ((cond) ? (void)0 : ag_fail("not true: %s", #cond))
#define ag_check_int(actual, expected)                                                             \
    ag_test_check_int(__FILE__, __LINE__, #actual, (long long)(actual), (long long)(expected))
#define ag_check_ptr(actual, expected)                                                             \
    ag_test_check_ptr(__FILE__, __LINE__, #actual, (const void *)(actual), (const void *)(expected))
#define ag_check_str(actual, expected)                                                             \
    ag_test_check_str(__FILE__, __LINE__, #actual, actual, expected)
#define ag_check_contains(haystack, needle)                                                        \
    ag_test_check_contains(__FILE__, __LINE__, #haystack, haystack, needle)
#define ag_check_mem(actual, expected, n)                                                          \
    ag_test_check_mem(__FILE__, __LINE__, #actual, actual, expected, n)
#define ag_fail(...) ag_test_fail(__FILE__, __LINE__, __VA_ARGS__)

/* ---- Below: what the macros use ------------------------------------------------------------- */

struct ag_test_case {
    const char *name, *file;
    int line;
    int death_status;        /* -1: an ordinary test */
    const char *death_words; /* NULL: an ordinary test */
    void (*body)(void);
    struct ag_test_case *next;
};

#define AG_TEST_CASE_(name, status, words)                                                         \
    static void ag_test_body_##name(void);                                                         \
    static struct ag_test_case ag_test_case_##name = {                                             \
        #name, __FILE__, __LINE__, status, words, ag_test_body_##name, NULL};                      \
    __attribute__((constructor)) static void ag_test_register_##name(void) {                       \
        ag_test_register(&ag_test_case_##name);                                                    \
    }                                                                                              \
    static void ag_test_body_##name(void)

#define AG_TEST_PRINTF_(fmt, first) __attribute__((format(printf, fmt, first), noreturn))

void ag_test_register(struct ag_test_case *test);
void ag_test_allow_open_fds(void);
void ag_test_skip(const char *fmt, ...) AG_TEST_PRINTF_(1, 2);
void ag_test_fail(const char *file, int line, const char *fmt, ...) AG_TEST_PRINTF_(3, 4);
void ag_test_check_int(const char *file, int line, const char *what, long long actual,
                       long long expected);
void ag_test_check_ptr(const char *file, int line, const char *what, const void *actual,
                       const void *expected);
void ag_test_check_str(const char *file, int line, const char *what, const char *actual,
                       const char *expected);
void ag_test_check_contains(const char *file, int line, const char *what, const char *haystack,
                            const char *needle);
void ag_test_check_mem(const char *file, int line, const char *what, const void *actual,
                       const void *expected, size_t size);

#ifdef __cplusplus
}
#endif

#endif
