/* SPDX-License-Identifier: MIT */
/*
 * aglet/run.h - starting the runtime and goroutines.
 *
 *     static void greet(const char *name, int times);
 *     static int app(void *arg) { ag_go(greet, "world", 3); ag_sleep(AG_SEC); return 0; }
 *     int main(void) { return ag_run(app, NULL); }
 *
 * Goroutines run on a fixed number of processors; a goroutine that blocks or burns a thread
 * outside the runtime loses its processor to another thread and goes on by itself, so any C
 * library may be called from any goroutine.
 *
 * Out of memory. A call whose result can tell returns -ENOMEM or NULL, and nothing has happened.
 * The others end the process with status 2 and `fatal error: out of memory for …`, as Go does:
 * channels, sleeping, deadlines, a select of many cases, and the first call of a thread that the
 * runtime did not start. So does a goroutine that begins to run when the system has no stack for
 * it; the message names the limit to raise. Out of threads, goroutines wait until there is one.
 */
#ifndef AGLET_RUN_H
#define AGLET_RUN_H

#include <aglet/base.h>
#include <stdio.h>

AG__BEGIN

/** What a panic carries; see aglet/defer.h. */
typedef struct ag_panic_info ag_panic_info;

/**
 * How ag_run_with runs. All-zero means the defaults; every member can also be set by the
 * environment, which wins. May be copied; read once at start; the caller keeps it.
 */
typedef struct ag_config {
    int procs;         /* AGLET_PROCS: processors; 0: the CPUs this process may use */
    size_t stack_size; /* AGLET_STACK_SIZE: bytes of a goroutine's stack; 0: 256 KiB */
    int max_threads;   /* AGLET_MAX_THREADS: threads that can run a goroutine; 0: 10,000 */
    int max_running;   /* AGLET_MAX_RUNNING: threads that burn CPU without a processor before
                          endless loops keep theirs; 0: 4 x procs */
    int spin_us;       /* AGLET_SPIN_US: how long an idle thread looks for work before it
                          sleeps, in microseconds; 0: 50, -1: not at all */
    int quiet;         /* AGLET_QUIET: 1 leaves out the warnings on stderr */
    int no_signals;    /* AGLET_NO_SIGNALS: 1 takes neither SIGQUIT nor a crash's signals */
    int no_socket;     /* AGLET_NO_SOCKET: 1 opens no socket for the tool `aglet` */
} ag_config;

/**
 * Starts the runtime and runs fn(arg) as the main goroutine (number 1), on a thread of the
 * runtime's own; the calling thread only waits.
 * When it returns, the other goroutines are dropped where they stand, without running their
 * deferred calls, as in Go. May be called again afterwards.
 * Waits: until fn returned. Returns: fn's result; 0 if main recovered a panic without ag_try; or,
 * without having called fn: -EBUSY inside a runtime or while one runs, -ENOMEM, -EMFILE, -ENFILE
 * without a descriptor for the poller, -EAGAIN if a thread can't be started.
 * From: a thread that is not a goroutine.
 * Limit: what a goroutine waited for when it was dropped must not be used again, if it is of
 * aglet/sync.h or a connection; channels may.
 */
AG_API int ag_run(int (*fn)(void *), void *arg);

/** ag_run with options; `config` may be NULL. Returns also -EINVAL for an impossible option. */
AG_API int ag_run_with(const ag_config *config, int (*fn)(void *), void *arg);

/** Options of ag_go_with; all-zero means the defaults. Read before ag_go_with returns. */
typedef struct ag_go_opts {
    const char *name;                        /* shown in dumps; copied, up to 31 characters */
    size_t stack_size;                       /* bytes; 0: the default; rounded up */
    void (*on_panic)(const ag_panic_info *); /* an unrecovered panic ends only this goroutine */
    bool lazy;                               /* hint: runs after the others that are queued now */
} ag_go_opts;

/**
 * ag_go(fn, args...): starts a goroutine that runs fn(args...), Go's `go fn(args...)`.
 * Up to six integer or pointer arguments, evaluated now (aglet/base.h). fn's result is dropped.
 * Returns: the goroutine's number (> 0), -ENOMEM, or -ECANCELED when no runtime runs.
 * Order: what happened before ag_go happens before fn starts.
 * From: goroutine, any thread. Go: same; the number is ours.
 */
#define ag_go(...)                                                                                 \
    __extension__({                                                                                \
        AG__CHECK(__VA_ARGS__)                                                                     \
        AG__SITE(ag__s, __VA_ARGS__);                                                              \
        ag__go(&ag__s, AG__FN(__VA_ARGS__), AG__ARGS(__VA_ARGS__));                                \
    })

/**
 * ag_go_with(opts, fn, args...): ag_go with a `const ag_go_opts *`. Returns also -EINVAL.
 * Limit: a compound literal with several members needs parentheses around it, because the commas
 * in its braces separate macro arguments: ag_go_with((&(ag_go_opts){.name = "x", .lazy = 1}), f).
 */
#define ag_go_with(opts, ...)                                                                      \
    __extension__({                                                                                \
        AG__CHECK(__VA_ARGS__)                                                                     \
        AG__SITE(ag__s, __VA_ARGS__);                                                              \
        const ag_go_opts *ag__o = (opts);                                                          \
        intptr_t ag__a[6] = {AG__ARGS(__VA_ARGS__)};                                               \
        ag__go_with(ag__o, &ag__s, AG__FN(__VA_ARGS__), ag__a);                                    \
    })

/**
 * Lets the other runnable goroutines of this processor run first, Go's runtime.Gosched.
 * On a foreign thread it yields the thread.
 */
AG_API void ag_yield(void);

/**
 * Runs this goroutine's deferred calls, innermost first, then ends it, Go's runtime.Goexit.
 * It is no panic: ag_recover returns NULL. In main: the others go on; when none is left that
 * could run, that is a deadlock. Does not return. Panics: on a foreign thread.
 */
AG_API void ag_goexit(void) __attribute__((noreturn));

/** The number of this goroutine, 1 for main; 0 on a foreign thread. */
AG_API int64_t ag_id(void);

/** How many goroutines live now, without the runtime's own; 0 when no runtime runs. */
AG_API int64_t ag_count(void);

/**
 * Sets the number of processors to n > 0, or only asks with 0.
 * Returns: the old number; -EINVAL for n < 0 or above 1024, -ENOMEM. From: goroutine, any thread.
 */
AG_API int ag_procs(int n);

/**
 * ag_blocking(fn, args...): runs fn(args...) on this goroutine's own thread with its processor
 * handed on at once, for calls that are known to block: a library's look-up, a lock of another
 * world, a disk. Calls that are not marked are handed on, too, only a little later.
 * Waits: for fn, then for a processor. Returns: what fn returned, as an intptr_t; 0 for void.
 * errno is what fn left there. The end of the current context does not end it.
 */
#define ag_blocking(...)                                                                           \
    __extension__({                                                                                \
        AG__CHECK(__VA_ARGS__)                                                                     \
        AG__RETURNED(AG__CALL(__VA_ARGS__),                                                        \
                     ag__blocking(AG__FN(__VA_ARGS__), AG__ARGS(__VA_ARGS__)));                    \
    })

/**
 * Binds this goroutine to its thread until as many ag_unlock_thread calls came, Go's
 * runtime.LockOSThread: nothing else runs on that thread. For libraries with thread-local
 * state. A goroutine that ends while bound ends its thread.
 */
AG_API void ag_lock_thread(void);
/** Undoes one ag_lock_thread; without one it does nothing. */
AG_API void ag_unlock_thread(void);

/**
 * ag_exit(code): runs this goroutine's deferred calls, then exit(code). exit() itself skips
 * the deferred calls, as Go's os.Exit does.
 */
AG_API void ag_exit(int code) __attribute__((noreturn));

/** Writes every goroutine to `out`: number, name, state, what it waits for, who holds that, and how
 * long, backtrace, where it was created; many in groups (aglet/debug.h). Stops nobody. From:
 * goroutine, any thread. */
AG_API void ag_dump(FILE *out);

/* The functions behind the macros. */
AG_API int64_t ag__go(const struct ag__site *site, ag__fn fn, intptr_t a, intptr_t b, intptr_t c,
                      intptr_t d, intptr_t e, intptr_t f);
AG_API int64_t ag__go_with(const ag_go_opts *opts, const struct ag__site *site, ag__fn fn,
                           const intptr_t args[6]);
AG_API intptr_t ag__blocking(ag__fn fn, intptr_t a, intptr_t b, intptr_t c, intptr_t d, intptr_t e,
                             intptr_t f);

AG__END

/* A returned register holds rubbish above the bits of a narrow result; cut it to the type. */
#ifdef __cplusplus
extern "C++" {
template <typename T> static inline intptr_t ag__narrow(intptr_t word) {
    return (intptr_t)(T)word;
}
template <> inline intptr_t ag__narrow<void>(intptr_t) {
    return 0;
}
}
#define AG__RETURNED(call, word) ag__narrow<__typeof__(call)>(word)
#else
#define AG__RETURNED(call, word)                                                                   \
    ag__narrow(_Generic((__typeof__(call) *)0,                                                     \
               void *: 0, _Bool *: 8, char *: (char)-1 < 0 ? -8 : 8, signed char *: -8,           \
               unsigned char *: 8, short *: -16, unsigned short *: 16, int *: -32,                 \
               unsigned *: 32, default: 64), word)
static inline intptr_t ag__narrow(int bits, intptr_t word) {
    int keep = bits < 0 ? -bits : bits;
    if (keep == 0)
        return 0;
    if (keep == 64)
        return word;
    uintptr_t high = (uintptr_t)word << (64 - keep);
    return bits < 0 ? (intptr_t)high >> (64 - keep) : (intptr_t)(high >> (64 - keep));
}
#endif

#endif
