/* SPDX-License-Identifier: MIT */
/*
 * aglet/test.h - for the tests of your programs. Link with -laglet-test as well (pkg-config
 * aglet-test, CMake aglet::test); it says itself what the linker must do.
 *
 *     static int stores_an_order(void) {
 *         store *s = store_open("test.db");
 *         ag_defer(store_close, s);
 *         return store_put(s, &order);
 *     }
 *     int main(void) {
 *         return ag_test_run("stores an order", 10 * AG_SEC, stores_an_order) == 0 ? 0 : 1;
 *     }
 *
 * It brings no checks and no list of tests: use it inside of whatever test library you have. A
 * test fails by its result, or by a panic.
 *
 * Whose. A goroutine belongs to the test that started it, be it through others that have ended
 * long since; so do the calls that it makes. Tests may therefore run side by side in one runtime,
 * each called from a goroutine of its own, and each sees its own leaks and failures only. What
 * timers, ag_ctx_after and other threads start belongs to no test.
 */
#ifndef AGLET_TEST_H
#define AGLET_TEST_H

#include <aglet/defer.h>
#include <aglet/run.h>
#include <aglet/time.h>

AG__BEGIN

/** Results of ag_test_run besides those of the test; AG_PANICKED is another one. */
#define AG_TEST_LEAKED (-4094) /* goroutines outlive it */
#define AG_TEST_LATE (-4093)   /* it did not end in time */

/**
 * ag_test_run(name, limit_ns, fn, args...): runs fn(args...), which returns int or nothing, as a
 * test, in a goroutine of this name. Outside of a runtime it starts one for the test; inside it
 * uses that, so that many tests may run at the same time. The test has a context of its own.
 *
 * Past `limit_ns` it is late: that, and a dump of all goroutines, is printed on stderr; then its
 * context is cancelled, and it gets one more second. Once it has ended, its goroutines must end,
 * too, within a second, and as long as one of them does not wait within 20 more; those that don't
 * leak, and are printed with their backtraces and the places where they were created; then the
 * test's context is cancelled. In a runtime of its own that goes for all goroutines, whoever
 * started them.
 *
 * Waits: for the test, but not longer than said. Not ended by a context.
 * Returns: fn's result; 0 also after ag_goexit. AG_PANICKED after a panic, which is printed;
 * AG_TEST_LATE; AG_TEST_LEAKED; what ag_run returns if it can't start a runtime; -ENOMEM.
 * From: goroutine, any thread.
 * Limit: a test that is late and stays so is left behind, with its arguments in use: end the
 * process then.
 */
#define ag_test_run(name, limit_ns, ...)                                                           \
    __extension__({                                                                                \
        AG__CHECK(__VA_ARGS__)                                                                     \
        AG__SITE(ag__s, __VA_ARGS__);                                                              \
        const char *ag__name = (name);                                                             \
        ag_time ag__limit = (limit_ns);                                                            \
        intptr_t ag__value = 0, ag__a[6] = {AG__ARGS(__VA_ARGS__)};                                \
        int ag__r =                                                                                \
            ag__test_run(ag__name, ag__limit, &ag__s, AG__FN(__VA_ARGS__), ag__a, &ag__value);     \
        ag__r ? ag__r : (int)AG__RETURNED(AG__CALL(__VA_ARGS__), ag__value);                       \
    })

/** Calls that can be made to fail, to be added up. Those of aglet on behalf of the test's
 * goroutines count as theirs: ag_write fails when its write does. */
enum {
    AG_FAIL_ALLOC = 1,   /* malloc, calloc, realloc, aligned_alloc, posix_memalign, strdup, strndup
                            of the program; not of libraries that are linked as shared ones */
    AG_FAIL_READ = 2,    /* read, readv, pread, recv, recvfrom, recvmsg */
    AG_FAIL_WRITE = 4,   /* write, writev, pwrite, send, sendto, sendmsg */
    AG_FAIL_CLOSE = 8,   /* close: the descriptor is closed all the same */
    AG_FAIL_SYNC = 16,   /* fsync, fdatasync */
    AG_FAIL_CONNECT = 32 /* connect */
};

/**
 * In a test: the n-th call of these, from now on and counted from 1 over all goroutines of the
 * test, fails with `err`, a negative errno value; 0 makes a read or write move one byte only.
 * Replaces what was ordered before; without calls, nothing fails any more. An allocation fails with
 * ENOMEM whatever `err` is.
 * Returns: how many calls have failed of those ordered before, 0 or 1.
 * Panics: `ag_test_inject: not in a test`.
 * Limit: calls that the C library makes by itself (in fclose, getaddrinfo …) don't count.
 */
AG_API int ag_test_inject(int calls, int n, int err);

/**
 * ag_test_walk(calls, err, fn, args...): in a test, runs fn(args...) again and again: the first of
 * these calls fails, then the second, and so on, until a run in which none does. Each run must
 * leave as many goroutines of the test as there were, a second later at the most.
 * Returns: how many runs had a failure; 0: nothing was reached, and nothing is proved.
 * Panics: as ag_test_inject; when a run leaves goroutines behind, `ag_test_walk: … goroutines`;
 * with fn.
 */
#define ag_test_walk(calls, err, ...)                                                              \
    __extension__({                                                                                \
        AG__CHECK(__VA_ARGS__)                                                                     \
        int ag__calls = (calls), ag__err = (err);                                                  \
        intptr_t ag__a[6] = {AG__ARGS(__VA_ARGS__)};                                               \
        ag__test_walk(ag__calls, ag__err, AG__FN(__VA_ARGS__), ag__a);                             \
    })

AG_API int ag__test_run(const char *name, ag_time limit_ns, const struct ag__site *site, ag__fn fn,
                        const intptr_t args[6], intptr_t *ret_value);
AG_API int ag__test_walk(int calls, int err, ag__fn fn, const intptr_t args[6]);

/* What the runtime knows of a test: a group, to which every goroutine belongs that a member
 * starts. A member that ends leaves it. */
struct ag__group {
    int64_t refs; /* the members', and those of ag__group_init's caller */
    int64_t live; /* members */
    void (*free)(struct ag__group *group);
};
/* With one reference. */
AG_API void ag__group_init(struct ag__group *group, void (*free)(struct ag__group *));
AG_API void ag__group_unref(struct ag__group *group);
/* The calling goroutine becomes a member until it ends. */
AG_API void ag__group_enter(struct ag__group *group);
/* The calling goroutine's; NULL: none. Any thread, also inside the runtime. */
AG_API struct ag__group *ag__group_here(void);
AG_API int64_t ag__group_live(struct ag__group *group);
/* The numbers of members, NULL: of all goroutines but the caller; at most `max`. */
AG_API size_t ag__group_ids(struct ag__group *group, int64_t *ret_ids, size_t max);
/* Whether one of them is not waiting, and may be about to end. */
AG_API bool ag__group_goes_on(struct ag__group *group);

AG__END
#endif
