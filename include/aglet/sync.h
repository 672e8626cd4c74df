/* SPDX-License-Identifier: MIT */
/*
 * aglet/sync.h - mutex, readers' and writers' mutex, wait group, once, condition, weighted
 * semaphore, pool, single flight. A zero-initialised value of each is ready to use. None may be
 * copied after first use. All work from goroutines and from any other thread; a call that must
 * wait parks the goroutine or blocks that thread. C11's <stdatomic.h> is the atomics package.
 *
 * Waits of mutexes, wait groups, conditions and once are not ended by a context; those that return
 * int are.
 *
 * Debug checks, with AGLET_CHECK=1 or in a library built with them (AGLET_CHECK=0: not): what goes
 * wrong with mutexes of both kinds is reported on stderr, or to ag_on_report's hook
 * (aglet/debug.h), and the program goes on.
 * - `lock order`: locks are taken in different orders, so that goroutines could wait for each
 *   other for ever; both stacks are shown. Not if a third lock, held each time, keeps them apart.
 * - `lock held at exit`: a goroutine other than main has ended with a lock held.
 * A lock that was ever unlocked by another goroutine than its locker takes no part. Deadlocks are
 * found with and without the checks: see aglet/debug.h.
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
 * Many readers or one writer, Go's sync.RWMutex. A waiting writer stops new readers, and readers
 * that came while a writer had the lock go before the next writer: neither starves. So a goroutine
 * must not lock it for reading twice: a writer may come in between.
 * Usable when zero: yes. Copyable: no. Threads: any. Freed by: nobody, it owns nothing while
 * unlocked and unwaited.
 */
typedef struct ag_rwmutex {
    uint32_t ag__state, ag__lock;
    void *ag__bias;
    ag_mutex ag__writers;
    void *ag__readers, *ag__writer;
    int32_t ag__leaving;
    uint32_t ag__grants;
} ag_rwmutex;
#define AG_RWMUTEX_INIT                                                                            \
    { 0, 0, 0, AG_MUTEX_INIT, 0, 0, 0, 0 }

/** For writing. Waits: until nobody else has it. Not ended by a context.
 * Order: an unlock happens before the locks that follow it, also those of readers. */
AG_API void ag_rwmutex_lock(ag_rwmutex *rw);
/** Any goroutine may unlock. Panics: `sync: Unlock of unlocked RWMutex`. */
AG_API void ag_rwmutex_unlock(ag_rwmutex *rw);
/** For reading. Waits: until no writer has it or waits for it. Not ended by a context. */
AG_API void ag_rwmutex_rlock(ag_rwmutex *rw);
/** Any goroutine may. Panics: `sync: RUnlock of unlocked RWMutex`.
 * Order: happens before the next lock for writing. */
AG_API void ag_rwmutex_runlock(ag_rwmutex *rw);
/** Never waits. Returns: true if it is this caller's now, for writing. */
AG_API bool ag_rwmutex_try_lock(ag_rwmutex *rw);
/** Never waits. Returns: true if it is this caller's now, for reading. */
AG_API bool ag_rwmutex_try_rlock(ag_rwmutex *rw);

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

/**
 * A condition, Go's sync.Cond: goroutines wait until somebody says that what a mutex guards has
 * changed.
 *
 *     ag_mutex_lock(&m);
 *     while (!ready)
 *         ag_cond_wait(&c, &m);
 *
 * Usable when zero: yes. Copyable: no. Threads: any. Freed by: nobody, it owns nothing while nobody
 * waits.
 */
typedef struct ag_cond {
    uint32_t ag__lock, ag__pad;
    void *ag__head, *ag__tail;
} ag_cond;
#define AG_COND_INIT                                                                               \
    { 0, 0, 0, 0 }

/** Unlocks m, waits, locks m again. Waits: until a signal or broadcast that comes after the unlock,
 * and for m; never returns without. Not ended by a context. Others may have changed things before
 * m is locked again: look in a loop. Panics: `sync: unlock of unlocked mutex`. */
AG_API void ag_cond_wait(ag_cond *c, ag_mutex *m);
/** Wakes the one that has waited longest, if any. m need not be locked.
 * Order: happens before the wait that it ends returns. */
AG_API void ag_cond_signal(ag_cond *c);
/** Wakes all that wait. m need not be locked. */
AG_API void ag_cond_broadcast(ag_cond *c);

/**
 * A weighted semaphore, golang.org/x/sync/semaphore. Served in arrival order: one that waits for
 * much is not passed by those that want little. A zero one has size 0.
 * Usable when zero: yes. Copyable: no. Threads: any. Freed by: nobody, it owns nothing while nobody
 * waits.
 */
typedef struct ag_sem {
    void *ag__bias[3];
    int64_t ag__size, ag__taken;
    void *ag__head, *ag__tail;
} ag_sem;
#define AG_SEM_INIT(n)                                                                             \
    { {0, 0, 0}, (n), 0, 0, 0 }

/** Gives it the size n, all of it free. Before first use, or while nobody uses it.
 * Panics: `semaphore: negative size`. */
AG_API void ag_sem_init(ag_sem *s, int64_t n);
/** Takes n of it. Waits: until n are free and those before have theirs; for n larger than the
 * size for ever, in nobody's way. Returns: 0; -ECANCELED or -ETIMEDOUT when the current context has
 * ended first, then nothing was taken. Panics: `semaphore: negative weight`.
 * Order: a release happens before the acquire that it lets go on returns. */
AG_API int ag_sem_acquire(ag_sem *s, int64_t n);
/** Never waits. Returns: true if it took n. Panics: `semaphore: negative weight`. */
AG_API bool ag_sem_try_acquire(ag_sem *s, int64_t n);
/** Gives n back, in parts as you like. From: goroutine, any thread, also others than who took
 * it. Panics: `semaphore: released more than held`, `semaphore: negative weight`. */
AG_API void ag_sem_release(ag_sem *s, int64_t n);

/**
 * Objects kept for reuse, Go's sync.Pool. Each processor has a cache of its own, so get and put
 * are cheap and rarely meet. There is no promise that what was put comes back: after a while of
 * use, objects that were not needed are destroyed. What a get returns is as it was put.
 *
 *     static ag_pool buffers = {.create = new_buffer, .destroy = free};
 *
 * Usable when zero: yes; then get returns NULL when nothing is there, and nothing is destroyed.
 * Copyable: no. Threads: any. Freed by: ag_pool_done; one that lives as long as the program needs
 * none.
 */
typedef struct ag_pool {
    void *(*create)(void);   /* called by a get that finds nothing; may be NULL, and return it */
    void (*destroy)(void *); /* for objects that are not needed; may be NULL */
    void *ag__depot;
} ag_pool;
#define AG_POOL_INIT(create, destroy)                                                              \
    { (create), (destroy), 0 }

/** Returns: an object that was put, else what create returns, else NULL.
 * Owns: the caller. */
AG_API void *ag_pool_get(ag_pool *pool);
/** Keeps an object for a later get. NULL is ignored. create and destroy run in the caller, who may
 * wait in them. Owns: the pool.
 * Order: happens before the get that returns it, and before its destroy. */
AG_API void ag_pool_put(ag_pool *pool, void *object);
/** Destroys all objects in it and frees what it owns. It may be used again. Nobody may use it
 * meanwhile. */
AG_API void ag_pool_done(ag_pool *pool);

/**
 * Single flight, golang.org/x/sync/singleflight: of those that want the same at the same time, one
 * does the work and all get the result.
 * Usable when zero: yes. Copyable: no. Threads: any. Freed by: nobody, it owns nothing while no
 * call is under way.
 */
typedef struct ag_flight {
    /* May be NULL; else called on the result once for each caller besides the one that ran the
     * function, before that caller gets it: to add a reference, for example. It runs on the
     * goroutine that ran the function, and must not panic. */
    void (*share)(void *value);
    uint32_t ag__lock, ag__pad;
    void *ag__buckets[16];
} ag_flight;
#define AG_FLIGHT_INIT(share)                                                                      \
    {                                                                                              \
        (share), 0, 0, {                                                                           \
            0                                                                                      \
        }                                                                                          \
    }

/**
 * int ag_flight_do(flight, key, ret_value, fn, args...): runs fn(args...), which returns a void *,
 * unless a call with this key is under way: then it waits for that and takes its result.
 * *ret_value (may be NULL) is the result.
 * Returns: 0 if it ran fn, 1 if it got another one's result; -ECANCELED or -ETIMEDOUT when the
 * current context ended while it waited, then *ret_value is untouched and the call goes on.
 * Waits: for fn. A panic in fn reaches all callers, with the same text and value; ag_goexit in fn
 * ends all their goroutines. A call with the same key inside fn deadlocks.
 * Owns: the result is each caller's, see `share`. The key, a C string, is only looked at until the
 * call returns, and never kept.
 * Order: fn's return happens before every call that takes its result returns, and before fn of the
 * next call with this key starts.
 */
#define ag_flight_do(flight, key, ret_value, ...)                                                  \
    __extension__({                                                                                \
        AG__CHECK(__VA_ARGS__)                                                                     \
        if (0) {                                                                                   \
            void *ag__type = AG__CALL(__VA_ARGS__);                                                \
            (void)ag__type;                                                                        \
        }                                                                                          \
        ag_flight *ag__f = (flight);                                                               \
        const char *ag__k = (key);                                                                 \
        void **ag__v = (ret_value);                                                                \
        intptr_t ag__a[6] = {AG__ARGS(__VA_ARGS__)};                                               \
        ag__flight_do(ag__f, ag__k, ag__v, AG__FN(__VA_ARGS__), ag__a);                            \
    })
/** The next ag_flight_do with this key runs its function, even if a call is under way now; who
 * waits for that one still gets its result. */
AG_API void ag_flight_forget(ag_flight *flight, const char *key);

AG_API int64_t ag__wg_go(ag_wg *wg, const struct ag__site *site, ag__fn fn, const intptr_t args[6]);
AG_API void ag__once_do(ag_once *once, ag__fn fn, const intptr_t args[6]);
AG_API int ag__flight_do(ag_flight *flight, const char *key, void **ret_value, ag__fn fn,
                         const intptr_t args[6]);

AG__END
#endif
