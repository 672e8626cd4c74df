/* SPDX-License-Identifier: MIT */
/*
 * os.h - what the machine must offer: clocks, random bits, threads, futex, memory, fences,
 * the number of processors. A port is one folder that defines these functions. Results are
 * negative errno values; the errno of the calling goroutine is never changed.
 */
#ifndef AG_OS_H
#define AG_OS_H

#include "base/base.h"
#include <sys/types.h>

/* --- Clocks, nanoseconds. --- */
int64_t ag__os_now(void);
int64_t ag__os_wall(void);
/* CPU time that the thread `tid` of this process has used, or -errno. */
int64_t ag__os_thread_cpu(int tid);

uint64_t ag__os_random(void);

/* --- Threads. --- */
/* Starts a detached thread with all signals but the synchronous ones blocked or not as in the
 * caller. -EAGAIN when the system has no more. */
int ag__os_thread_start(void (*fn)(void *), void *arg, const char *name);
int ag__os_tid(void);
/* How many threads the process has now that ag__os_thread_start did not start. One of those that
 * it did start may be among them for a moment while it begins or ends. Negative: it can't be told.
 */
int ag__os_threads_beside(void);
int ag__os_pid(void);
void ag__os_yield(void);
void ag__os_sleep(int64_t ns);
/* Where the calling thread's own stack lies. */
void ag__os_thread_stack(const void **ret_lo, size_t *ret_bytes);
/* The address of the calling thread's errno. */
int *ag__os_errno(void);
/* Calls fn(value) when the calling thread ends; one such function per process. */
int ag__os_at_thread_exit(void (*fn)(void *), void *value);
/* What the program and its libraries export by this name; NULL: nothing. */
void *ag__os_exported(const char *name);
/* Calls fn in the child of every fork. */
int ag__os_at_fork(void (*fn)(void));

/* --- Futex: sleeps while *word == expect, at most timeout_ns (< 0: no limit). --- */
void ag__os_futex_wait(_Atomic uint32_t *word, uint32_t expect, int64_t timeout_ns);
void ag__os_futex_wake(_Atomic uint32_t *word, int count);

/*
 * --- Asymmetric fence. ---
 * After X=1; light(); read Y  on the fast side  and  Y=1; heavy(); read X  on the rare side, at
 * least one of the two reads sees the other's store. Light costs nothing where the system has
 * membarrier; else it is a full fence.
 */
/* Atomic, relaxed; constant after ag__os_init. Before that it is true, which is always right. */
extern _Atomic bool ag__fence_full AG__HIDDEN;
static inline void ag__fence_light(void) {
    if (AG__UNLIKELY(atomic_load_explicit(&ag__fence_full, memory_order_relaxed)))
        atomic_thread_fence(memory_order_seq_cst);
    else
        AG__COMPILER_BARRIER();
}
void ag__fence_heavy(void);

/* --- A lock for sections of some ten instructions. Release is a plain store; a waiter spins,
 * then yields its thread, then sleeps shortly, because the holder may have lost its CPU. --- */
typedef struct ag__lock {
    _Atomic uint32_t held;
} ag__lock;
void ag__lock_slow(ag__lock *l);
static inline void ag__lock_acquire(ag__lock *l) {
    uint32_t expect = 0;
    /* Acquire. Partner: the release store of ag__lock_release. */
    if (AG__UNLIKELY(!atomic_compare_exchange_strong_explicit(
            &l->held, &expect, 1, memory_order_acquire, memory_order_relaxed)))
        ag__lock_slow(l);
}
static inline bool ag__lock_try(ag__lock *l) {
    uint32_t expect = 0;
    return atomic_compare_exchange_strong_explicit(&l->held, &expect, 1, memory_order_acquire,
                                                   memory_order_relaxed);
}
static inline void ag__lock_release(ag__lock *l) {
    atomic_store_explicit(&l->held, 0, memory_order_release);
}

/* After every wait in the kernel: TSan keeps a signal of the program's back until the thread makes
 * a blocking call that it knows. Nothing in other builds. */
void ag__os_kept_signals(void);

/* --- Memory. --- */
size_t ag__os_page(void);
/* Address space without memory behind it, page aligned; NULL when refused. */
void *ag__os_reserve(size_t bytes);
int ag__os_commit(void *addr, size_t bytes);   /* readable and writable from now on */
void ag__os_discard(void *addr, size_t bytes); /* content may go, pages are given back */
void ag__os_unreserve(void *addr, size_t bytes);
/* Makes the page at base + i * stride fault, for i < count. `*mappings` counts mappings spent.
 * Returns 0; -ENOMEM when the mapping budget is used up. */
int ag__os_guard(void *base, size_t stride, size_t count, int64_t *mappings);
/* Backs the page at base + i * stride with memory, for i < count, where the system can do that in
 * one go; else they are backed when touched. */
void ag__os_populate(void *base, size_t stride, size_t count);
/* Whether guards cost no mapping (MADV_GUARD_INSTALL, Linux 6.13). */
bool ag__os_guard_is_free(void);
int64_t ag__os_mapping_budget(void); /* nine tenths of vm.max_map_count */
/* Bytes of [addr, addr+bytes) from the lowest page that is backed by memory to the high end.
 * Looks no further below a hole of a thousand pages. */
size_t ag__os_resident_top(const void *addr, size_t bytes);

/* Copies n bytes that may not be there, or change meanwhile: no sanitizer looks. 0; -EFAULT. */
int ag__os_peek(const void *from, void *to, size_t n);
/* Shows all memory of the process that may hold what it has written, until `visit` returns false.
 * False: not known. */
bool ag__os_memory(bool (*visit)(uintptr_t lo, uintptr_t hi, void *arg), void *arg);

/* --- Processors that this process may use: affinity and the whole cgroup chain. --- */
int ag__os_cpus(void);

/* --- What the system counts of this process. -1 where it does not tell. --- */
typedef struct ag__os_process {
    double cpu_seconds, start_seconds;            /* user and system; since 1970 */
    int64_t resident, virtual_bytes, virtual_max; /* bytes; max -1: no limit */
    int64_t fds, fds_max, threads;
} ag__os_process;
void ag__os_process_read(ag__os_process *ret_process);

/* --- Environment: the integer value of NAME, or `otherwise`. Accepts k, m, g suffixes. --- */
int64_t ag__os_env(const char *name, int64_t otherwise);

/* Probes the machine once: fences, guards. Thread safe, idempotent. */
void ag__os_init(void);

/* --- Crash handlers. ---
 * `fn` runs on the alternate stack for SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT, before the
 * action that was there before. Every thread that runs goroutines needs an alternate stack.
 * `altstack_new` gives the calling thread one (NULL: there is no memory), `altstack_free` gives it
 * back the one that it had. */
typedef struct ag__os_fault {
    int sig, code;
    const char *name, *text; /* "SIGSEGV", "segmentation violation" */
    const void *addr;        /* that could not be used, or of the instruction; not if sent */
    const void *context;     /* for ag__regs_of_signal */
    bool is_memory;          /* addr is of memory that could not be used */
    bool is_sent;            /* by kill, raise, abort; not by the instruction */
    bool is_last;            /* the process will end: no other handler follows */
    int sender;              /* if sent: the process */
} ag__os_fault;
typedef void (*ag__os_fault_fn)(const ag__os_fault *f);
int ag__os_fault_install(ag__os_fault_fn fn);
/* What the program has installed since stays. */
void ag__os_fault_remove(void);
void *ag__os_altstack_new(void);
void ag__os_altstack_free(void *stack);

/* Writes to stderr without locks. */
void ag__os_write_err(const char *text, size_t n);
void ag__os_exit_now(int status) __attribute__((noreturn));

#endif
