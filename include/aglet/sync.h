/* SPDX-License-Identifier: MIT */
/*
 * aglet/sync.h - mutex, wait group, once. A zero-initialised value of each is ready to use.
 * None may be copied after first use. All work from goroutines and from any other thread; a
 * call that must wait parks the goroutine or blocks that thread. C11's <stdatomic.h> is the
 * atomics package.
 */
#ifndef AGLET_SYNC_H
#define AGLET_SYNC_H

#include <aglet/base.h>

AG__BEGIN

/**
 * Mutual exclusion, Go's sync.Mutex. Two modes: newcomers may overtake waiters, which is fast;
 * once a waiter has waited 1 ms the lock is handed on in arrival order until nobody waits long.
 * Usable when zero: yes. Copyable: no. Threads: any. Freed by: nobody, it owns nothing while
 * unlocked and unwaited.
 */
typedef struct ag_mutex {
    uint32_t ag__state, ag__lock;
    void *ag__bias;
    void *ag__owner;
    void *ag__head, *ag__tail;
} ag_mutex;
#define AG_MUTEX_INIT                                                                              \
    { 0, 0, 0, 0, 0, 0 }

/** Waits: until it is this caller's. Not ended by a context.
 * Order: an unlock happens before the lock that follows it. */
AG_API void ag_mutex_lock(ag_mutex *m);
/** Any goroutine may unlock, as in Go. Panics: `sync: unlock of unlocked mutex`. */
AG_API void ag_mutex_unlock(ag_mutex *m);
/** Never waits. Returns: true if it is this caller's now. */
AG_API bool ag_mutex_try_lock(ag_mutex *m);

/**
 * Waits for a number of goroutines, Go's sync.WaitGroup. Usable when zero: yes. Copyable: no.
 * Threads: any. May be freed right after ag_wg_wait returned.
 */
typedef struct ag_wg {
    void *ag__bias[3];
    int32_t ag__counter, ag__pad;
    void *ag__head;
} ag_wg;
#define AG_WG_INIT                                                                                 \
    { {0, 0, 0}, 0, 0, 0 }

/** Adds n, which may be negative; at 0 the waiters go on. Call it before starting the
 * goroutine, or use ag_wg_go. Panics: `sync: negative WaitGroup counter`,
 * `sync: WaitGroup misuse: Add called concurrently with Wait`. */
AG_API void ag_wg_add(ag_wg *wg, int n);
/** ag_wg_add(wg, -1). Order: happens before the ag_wg_wait that it ends returns. */
AG_API void ag_wg_done(ag_wg *wg);
/** Waits: until the counter is 0. Not ended by a context. */
AG_API void ag_wg_wait(ag_wg *wg);
/** ag_wg_go(wg, fn, args...): adds one, starts fn(args...) as ag_go does, and is done when it
 * ends, also by ag_goexit. Returns: as ag_go; on failure nothing was added. */
#define ag_wg_go(wg, ...)                                                                          \
    __extension__({                                                                                \
        AG__CHECK(__VA_ARGS__)                                                                     \
        AG__SITE(ag__s, __VA_ARGS__);                                                              \
        ag_wg *ag__w = (wg);                                                                       \
        intptr_t ag__a[6] = {AG__ARGS(__VA_ARGS__)};                                               \
        ag__wg_go(ag__w, &ag__s, AG__FN(__VA_ARGS__), ag__a);                                      \
    })

/**
 * Runs something once, Go's sync.Once. Usable when zero: yes. Copyable: no. Threads: any.
 */
typedef struct ag_once {
    uint32_t ag__done;
    uint32_t ag__pad;
    ag_mutex ag__mutex;
} ag_once;
#define AG_ONCE_INIT                                                                               \
    { 0, 0, AG_MUTEX_INIT }

/** ag_once_do(once, fn, args...): the first call runs fn(args...), all others wait until it has
 * returned. A panic in fn counts as having run. Calling it again inside fn deadlocks, as in Go.
 * Order: fn's return happens before every ag_once_do returns. */
#define ag_once_do(once, ...)                                                                      \
    __extension__({                                                                                \
        AG__CHECK(__VA_ARGS__)                                                                     \
        ag_once *ag__o = (once);                                                                   \
        if (__atomic_load_n(&ag__o->ag__done, __ATOMIC_ACQUIRE) == 0) {                            \
            intptr_t ag__a[6] = {AG__ARGS(__VA_ARGS__)};                                           \
            ag__once_do(ag__o, AG__FN(__VA_ARGS__), ag__a);                                        \
        }                                                                                          \
    })

AG_API int64_t ag__wg_go(ag_wg *wg, const struct ag__site *site, ag__fn fn, const intptr_t args[6]);
AG_API void ag__once_do(ag_once *once, ag__fn fn, const intptr_t args[6]);

AG__END
#endif
