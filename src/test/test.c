/* SPDX-License-Identifier: MIT */
/*
 * test.c - runs a test, looks at the clock and at what it leaves behind.
 *
 * The test is a goroutine and the first member of its group; who called waits for it, outside of
 * the group and of every context. The verdict is passed in the order in which things can go wrong:
 * late, panicked, leaked. What leaks is told to go on by a cancel only after it was printed, so
 * that a leak that a cancel would have ended is one.
 *
 * A goroutine that has done its work may need a moment to end; so the look for leaks waits until
 * nobody is left, and a second at the most in which all of them have waited: on a busy machine one
 * that could end may not have come to run.
 *
 * Refused: a comparison of all goroutines before and after (others may run tests at the same time);
 * reading the dump as text.
 */
#include "test/test.h"
#include <aglet/ctx.h>
#include <aglet/debug.h>
#include <errno.h>
#include <stdlib.h>

enum { SHOWN_MAX = 16, WALK_MAX = 100000 };
#define GRACE AG_SEC
#define GRACE_OF_READY (20 * AG_SEC)

typedef intptr_t (*six)(intptr_t, intptr_t, intptr_t, intptr_t, intptr_t, intptr_t);

/* All arguments travel in registers, so more of them than fn has do no harm. */
#if defined(__clang__)
__attribute__((no_sanitize("function")))
#endif
static intptr_t
call(ag__fn fn, const intptr_t a[6]) {
    return ((six)fn)(a[0], a[1], a[2], a[3], a[4], a[5]);
}

static void test_free(struct ag__group *group) {
    struct ag__test *t = (struct ag__test *)group;
    ag_unref(t->done);
    free(t);
}

/* --- In the test's goroutine. --- */

static void call_test(struct ag__test *t) {
    t->value = call(t->fn, t->args);
}

static void end_test(struct ag__test *t) {
    ag_close(t->done);
}

static void body(struct ag__test *t) {
    ag__group_enter(&t->group);
    ag_defer(end_test, t);
    t->result = ag_try(&t->panic, call_test, t);
}

/* --- Beside it. --- */

/* Waits until `group` (NULL: everybody else) has no goroutines, or those that it has have waited
 * for a second. Returns how many there are. */
static int64_t settle(struct ag__group *group, int64_t allowed) {
    ag_time now = ag_now(), end = now + GRACE, last = now + GRACE_OF_READY, pause = 20 * AG_US;
    for (;;) {
        int64_t live = group ? ag__group_live(group) : ag_count() - 1;
        now = ag_now();
        if (live > allowed && now >= end && now < last && ag__group_goes_on(group))
            end = now + GRACE;
        if (live <= allowed || now >= end)
            return live;
        ag_sleep(pause);
        pause = pause < 5 * AG_MS ? 2 * pause : pause;
    }
}

static void print_leaks(struct ag__test *t, struct ag__group *group, int64_t live) {
    int64_t ids[SHOWN_MAX];
    size_t n = ag__group_ids(group, ids, SHOWN_MAX);
    fprintf(stderr, "aglet test %s: leak: %lld goroutines outlive it\n\n", t->name,
            (long long)live);
    for (size_t i = 0; i < n; i++)
        ag_dump_goroutine(stderr, ids[i]);
    if ((int64_t)n < live)
        fprintf(stderr, "and %lld more\n", (long long)(live - (int64_t)n));
}

static bool wait_until_done(struct ag__test *t, ag_time ns) {
    return ag_select(AG_RECV(t->done, NULL), AG_AFTER(ns)) == 0;
}

/* Waits for the test and passes the verdict. */
static int judge(struct ag__test *t, ag_ctx *c, bool own_runtime) {
    if (!wait_until_done(t, t->limit)) {
        fprintf(stderr, "aglet test %s: late: not done after %.3f s\n\n", t->name,
                (double)t->limit / 1e9);
        ag_dump(stderr);
        ag_ctx_cancel(c);
        t->is_left = !wait_until_done(t, GRACE);
        if (t->is_left)
            fprintf(stderr, "aglet test %s: left behind: a cancel does not end it\n", t->name);
        return AG_TEST_LATE;
    }
    if (t->result == AG_PANICKED)
        fprintf(stderr, "aglet test %s: panic: %s at %s:%d\n", t->name, t->panic.msg, t->panic.file,
                t->panic.line);
    struct ag__group *group = own_runtime ? NULL : &t->group;
    int64_t live = settle(group, 0);
    if (live > 0) {
        print_leaks(t, group, live);
        t->result = t->result ? t->result : AG_TEST_LEAKED;
    }
    return t->result;
}

/* In a runtime, on a goroutine or another thread. */
static int run_here(struct ag__test *t, bool own_runtime) {
    const ag_go_opts opts = {.name = t->name};
    const intptr_t args[6] = {(intptr_t)t};
    ag_ctx *c = ag_ctx_with_cancel(ag_ctx_current());
    if (!c)
        return -ENOMEM;
    int64_t id;
    {
        ag_ctx_enter(c);
        id = ag__go_with(&opts, t->site, (ag__fn)body, args);
    }
    if (id > 0) {
        ag_ctx_enter(NULL);
        t->result = judge(t, c, own_runtime);
    }
    ag_ctx_cancel(c);
    ag_unref(c);
    return id > 0 ? t->result : (int)id;
}

static int run_alone(void *test) {
    struct ag__test *t = test;
    t->began = true;
    return run_here(t, true);
}

int ag__test_run(const char *name, ag_time limit_ns, const struct ag__site *site, ag__fn fn,
                 const intptr_t args[6], intptr_t *ret_value) {
    struct ag__test *t = calloc(1, sizeof *t);
    if (!t)
        return -ENOMEM;
    ag__group_init(&t->group, test_free);
    t->name = name;
    t->limit = limit_ns;
    t->site = site;
    t->fn = fn;
    __builtin_memcpy(t->args, args, sizeof t->args);
    t->done = ag_make(char, 0);
    int r = ag_id() > 0 ? -EBUSY : ag_run(run_alone, t);
    if (r == -EBUSY && !t->began)
        r = run_here(t, false);
    if (r == 0)
        *ret_value = t->value;
    if (!t->is_left) /* else nobody knows what it still looks at */
        ag__group_unref(&t->group);
    return r;
}

int ag__test_walk(int calls, int err, ag__fn fn, const intptr_t args[6]) {
    struct ag__group *group = ag__group_here();
    ag_test_inject(0, 0, 0);
    int64_t before = ag__group_live(group);
    for (int n = 1; n < WALK_MAX; n++) {
        ag_test_inject(calls, n, err);
        call(fn, args);
        int failed = ag_test_inject(0, 0, 0);
        int64_t live = settle(group, before);
        if (live > before)
            ag_panic("ag_test_walk: failure %d leaves %lld goroutines behind", n,
                     (long long)(live - before));
        if (failed == 0)
            return n - 1;
    }
    ag_panic("ag_test_walk: no end after %d failures", WALK_MAX);
}
