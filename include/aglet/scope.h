/* SPDX-License-Identifier: MIT */
/*
 * aglet/scope.h - structured concurrency: goroutines that do not outlive the block that started
 * them, and jobs, whose result somebody waits for.
 *
 *     static int fetch_both(const char *a, const char *b) {
 *         ag_scope s;
 *         ag_scope_begin(&s, AG_SCOPE_FAIL_FAST);
 *         ag_scope_go(&s, fetch, a);             // int fetch(const char *)
 *         ag_scope_go(&s, fetch, b);             // the first that fails cancels the other
 *         return ag_scope_end(&s);               // waits for both: 0, or the first failure
 *     }
 *
 * Who belongs to whom. Every goroutine has a current scope: the innermost one that it has begun and
 * whose block it is in; else, in a child of a scope, that scope; else, in a job's function, the
 * job, which is a scope of its own; else none. A job belongs to the current scope of who makes it.
 * What belongs to a scope is gone before the scope is over, and is cancelled when it is. ag_go
 * starts a goroutine that belongs to nobody, inside of a scope, too.
 *
 * Go: golang.org/x/sync/errgroup, with panics carried to who waits. Kotlin: coroutineScope,
 * supervisorScope, async, Job.
 */
#ifndef AGLET_SCOPE_H
#define AGLET_SCOPE_H

#include <aglet/ctx.h>
#include <stdio.h>

AG__BEGIN

/* --- Scopes. --- */

enum {
    AG_SCOPE_FAIL_FAST = 0, /* the first failure cancels all that belongs to the scope */
    AG_SCOPE_SUPERVISOR = 1 /* the others go on */
};

/**
 * A scope. Usable when zero: no, after ag_scope_begin. Copyable: no. Threads: ag_scope_begin and
 * ag_scope_end are its owner's, on one goroutine or thread; the rest may be called by all that
 * belong to it, too. Freed by: nobody, it owns nothing once its block has ended.
 */
typedef struct ag_scope {
    uint64_t ag__words[24];
} ag_scope;

/**
 * ag_scope_begin(s, mode): begins a scope in the enclosing block, with a context below the current
 * one. Until ag_scope_end that is the current context, of the block and of all children: so a
 * failure ends the waits of who started them, too. A statement, in a block.
 *
 * No goroutine of the scope outlives the block. If it is left without ag_scope_end, by return,
 * break, panic or ag_goexit, the scope is cancelled there, and all are waited for. Their errors are
 * dropped then. A child's panic is raised in the block, where it replaces one that runs, unless
 * that came first.
 * Out of memory: ag_scope_go and ag_scope_end return -ENOMEM. Limit: skipped by longjmp.
 */
#define ag_scope_begin(s, mode) AG__SCOPE_BEGIN(AG__CAT(ag__b, __COUNTER__), s, mode)

/**
 * ag_scope_go(s, fn, args...): starts a goroutine that runs fn(args...), which returns int: below 0
 * is a failure, by an errno value. Its current context is that of the scope.
 * The first failure in time counts, others are dropped; a panic is one; ag_goexit is none.
 * A scope that has been cancelled still starts goroutines; they find their context ended.
 * Waits: where there is a limit, for room. Returns: as ag_go; -ECANCELED or -ETIMEDOUT also when
 * the current context has ended while there was no room: then nothing was started.
 * Panics: `ag_scope_go: the scope has ended`.
 * Order: what happened before it happens before fn starts; fn's end happens before ag_scope_end
 * returns.
 */
#define ag_scope_go(s, ...)                                                                        \
    __extension__({                                                                                \
        AG__CHECK(__VA_ARGS__)                                                                     \
        AG__STATIC_ASSERT(AG__IS_INT(__VA_ARGS__),                                                 \
                          "aglet: a function of ag_scope_go returns int");                         \
        AG__SITE(ag__s, __VA_ARGS__);                                                              \
        ag_scope *ag__at = (s);                                                                    \
        intptr_t ag__a[6] = {AG__ARGS(__VA_ARGS__)};                                               \
        ag__scope_go(ag__at, &ag__s, AG__FN(__VA_ARGS__), ag__a);                                  \
    })

/** At most n of ag_scope_go's goroutines at the same time; 0 or less: no limit. May be changed at
 * any time. Jobs do not count. A child that calls ag_scope_go for its own scope takes part: where
 * all of them do so, nobody makes room. Go: SetLimit. */
AG_API void ag_scope_limit(ag_scope *s, int n);

/** Ends the context of the scope: all that belongs to it is cancelled. No failure by itself. */
AG_API void ag_scope_cancel(ag_scope *s);

/**
 * Waits for all that belongs to the scope, and ends it; the context before it is current again.
 * Blocks that were opened since, and are open still, stay: ag_within's bound, a context entered.
 * Jobs that nobody has started when all others are gone are cancelled.
 * Waits: until all are gone, also from ag_count. Not ended by a context.
 * Returns: 0; the first failure; AG_PANICKED if that was a panic, of a child or of a job. Called
 * again: the same. Panics: `ag_scope_end: not by who began the scope`.
 */
AG_API int ag_scope_end(ag_scope *s);

/** The panic that made ag_scope_end return AG_PANICKED, else NULL. Owns: the scope, until its block
 * ends. A child that returns the AG_PANICKED of a scope of its own hands the panic on. */
AG_API const ag_panic_info *ag_scope_panic(ag_scope *s);
/** Panics with that panic. Unrecovered it is printed with the backtraces of the goroutine where it
 * was raised, of those it came through, and of this one. Does nothing without one. */
AG_API void ag_scope_repanic(ag_scope *s);

/**
 * Writes the tree of what lives now: who has begun which scope, what belongs to it, and the states;
 * how many scopes and jobs there have been. ag_dump writes it, too. Stops nobody; what changes
 * meanwhile may be seen before or after. From: goroutine, any thread.
 */
AG_API void ag_scope_dump(FILE *out);

/* --- Jobs. --- */

/**
 * A function that runs in a goroutine of its own and has a result. Reference counted; any thread;
 * not copyable. Who drops the reference of a job that runs lets it run; of one that was never
 * started: it is cancelled.
 *
 *          start, await           fn has returned              its jobs are gone
 *     NEW -------------> ACTIVE -------------------> COMPLETING ------------------> COMPLETED
 *      |                    |                             |
 *      |                    +--- cancel, panic, or the ---+
 *      |                         end of its context
 *      | cancel                          v
 *      |                            CANCELLING
 *      |                                 | fn has returned, its jobs are gone
 *      |                                 v
 *      +---------------------------> CANCELLED
 *
 * | state      | fn            | its jobs | done | ag_job_await                          |
 * | ---------- | ------------- | -------- | ---- | ------------------------------------- |
 * | NEW        | not started   | none     | no   | starts it, waits                      |
 * | ACTIVE     | runs          | may run  | no   | waits                                 |
 * | COMPLETING | has returned  | run      | no   | waits                                 |
 * | CANCELLING | runs or not   | may run  | no   | waits                                 |
 * | COMPLETED  | has returned  | gone     | yes  | 0 and the result                      |
 * | CANCELLED  | has ended, or | gone     | yes  | -ECANCELED, -ETIMEDOUT or AG_PANICKED |
 * |            | never began   |          |      |                                       |
 *
 * Parents and children. A job is a scope: the jobs that its function makes are its children. The
 * end of its context, by whomever, ends theirs. One that panics makes the job panic, and cancels
 * the others; one that is cancelled is nobody's failure. A job's context is below the one current
 * where it was made, or below that of its scope where the former is not.
 *
 * A panic of a job makes its scope fail. Of a job without one: whoever awaits it is told; if the
 * job goes and nobody ever looked at how it ended, the process ends as by an unrecovered panic. A
 * job that is not done when its world ends is cancelled.
 */
typedef struct ag_job ag_job;

/** The states of a job. */
enum {
    AG_JOB_NEW,
    AG_JOB_ACTIVE,
    AG_JOB_COMPLETING,
    AG_JOB_COMPLETED,
    AG_JOB_CANCELLING,
    AG_JOB_CANCELLED
};

/**
 * ag_async(fn, args...): a job that runs fn(args...), which returns a pointer: its result.
 * Returns: the job, with one reference; NULL when out of memory, or when no runtime runs. All calls
 * below accept NULL.
 * Owns: the result is passed on to who awaits. Order: what happened before it happens before fn
 * starts; fn's end happens before an await returns. From: goroutine, any thread. Kotlin: async.
 */
#define ag_async(...) AG__ASYNC(false, __VA_ARGS__)
/** The same; the job is started by ag_job_start or by the first ag_job_await. Until then its
 * scope need not wait for it. Kotlin: start = LAZY. */
#define ag_async_lazy(...) AG__ASYNC(true, __VA_ARGS__)

/** Starts a job. Returns: 1; 0 if it was started or cancelled before; -ENOMEM, or -ECANCELED when
 * no runtime runs: it is still NEW. NULL: -ENOMEM. */
AG_API int ag_job_start(ag_job *j);

/**
 * Waits for a job, which it starts if nobody has. Several may wait.
 * Returns: 0, and *ret_result (may be NULL) is what fn returned; -ECANCELED if the job was
 * cancelled, -ETIMEDOUT if its context ended that way, AG_PANICKED if it or a job of its own
 * panicked; -ECANCELED or -ETIMEDOUT also when the current context ended first: ag_job_state tells.
 * -ENOMEM if it could not be started, and for NULL.
 */
AG_API int ag_job_await(ag_job *j, void **ret_result);

/** Cancels a job and all jobs below it; those that are done stay as they are. A job that was
 * cancelled before it was done has no result for who awaits it, whatever fn does. */
AG_API void ag_job_cancel(ag_job *j);
/** The same, and waits until it is done. Returns: 0; -ECANCELED or -ETIMEDOUT when the current
 * context ended first (ag_shield gives clean-up its time). Kotlin: cancelAndJoin. */
AG_API int ag_job_cancel_and_join(ag_job *j);

/** Returns: AG_JOB_NEW … AG_JOB_CANCELLED; of NULL: AG_JOB_CANCELLED. */
AG_API int ag_job_state(ag_job *j);
/** `New`, `Active` …: Kotlin's names of the states; `?` for what is none. */
AG_API const char *ag_job_state_name(int state);

/** What fn has returned, also where the job was cancelled; NULL if it is not done, was never
 * started, or panicked. For freeing what nobody takes any more. */
AG_API void *ag_job_result(ag_job *j);
/** The panic by which it ended, else NULL. Owns: the job. */
AG_API const ag_panic_info *ag_job_panic(ag_job *j);
/** Panics with that panic, as ag_scope_repanic. Does nothing without one. */
AG_API void ag_job_repanic(ag_job *j);

/**
 * int ag_job_on_done(j, fn, args...): runs fn(args...) in a goroutine of its own once j is done, at
 * once if it is. That goroutine's current context is the background. Kotlin: invokeOnCompletion.
 * Returns: 0, -ENOMEM. Limit: dropped where j is done while no runtime runs.
 */
#define ag_job_on_done(j, ...)                                                                     \
    __extension__({                                                                                \
        AG__CHECK(__VA_ARGS__)                                                                     \
        AG__SITE(ag__s, __VA_ARGS__);                                                              \
        ag_job *ag__j = (j);                                                                       \
        intptr_t ag__a[6] = {AG__ARGS(__VA_ARGS__)};                                               \
        ag__job_on_done(ag__j, &ag__s, AG__FN(__VA_ARGS__), ag__a);                                \
    })

/* --- Below: what the macros use. --- */

/* Of one ag_scope_begin; lives in its block. */
struct ag__scope_frame {
    struct ag__ctx_block block;
    ag_scope *scope;
    void *carried;            /* the panic of a scope that has ended here */
    const void *panic_before; /* the one that ran already when it began */
};

#define AG__SCOPE_BEGIN(name, s, mode)                                                             \
    AG__STATIC_ASSERT(1, "so that it can't be the body of an if or a loop without braces");        \
    static const struct ag__site AG__CAT(name, _site) = {__FILE__, __func__, "scope", __LINE__,    \
                                                         0};                                       \
    struct ag__scope_frame name;                                                                   \
    ag__scope_begin(&name, s, mode, &AG__CAT(name, _site));                                        \
    ag_defer(ag__scope_leave, &name)

#ifdef __cplusplus
extern "C++" {
template <typename T> struct ag__int { static const bool is = false; };
template <> struct ag__int<int> { static const bool is = true; };
}
#define AG__IS_INT(...) (ag__int<__typeof__(AG__CALL(__VA_ARGS__))>::is)
#else
#define AG__IS_INT(...) __builtin_types_compatible_p(__typeof__(AG__CALL(__VA_ARGS__)), int)
#endif

#define AG__ASYNC(lazy, ...)                                                                       \
    __extension__({                                                                                \
        AG__CHECK(__VA_ARGS__)                                                                     \
        if (0) {                                                                                   \
            void *ag__type = AG__CALL(__VA_ARGS__);                                                \
            (void)ag__type;                                                                        \
        }                                                                                          \
        AG__SITE(ag__s, __VA_ARGS__);                                                              \
        intptr_t ag__a[6] = {AG__ARGS(__VA_ARGS__)};                                               \
        ag__async(lazy, &ag__s, AG__FN(__VA_ARGS__), ag__a);                                       \
    })

AG_API void ag__scope_begin(struct ag__scope_frame *f, ag_scope *s, int mode,
                            const struct ag__site *site);
AG_API void ag__scope_leave(struct ag__scope_frame *f);
AG_API int64_t ag__scope_go(ag_scope *s, const struct ag__site *site, ag__fn fn,
                            const intptr_t args[6]);
AG_API ag_job *ag__async(bool lazy, const struct ag__site *site, ag__fn fn, const intptr_t args[6]);
AG_API int ag__job_on_done(ag_job *j, const struct ag__site *site, ag__fn fn,
                           const intptr_t args[6]);

AG__END
#endif
