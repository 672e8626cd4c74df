/* SPDX-License-Identifier: MIT */
/*
 * os.c (Linux) - clocks, threads, futex, fences.
 *
 * Every function leaves errno as it found it: it belongs to the goroutine that called us. The
 * heavy fence is membarrier(PRIVATE_EXPEDITED), registered once at start; where the kernel
 * refuses it (before 4.14, user-mode emulators, some sandboxes) both sides are full fences.
 */
#include "os/os.h"
#include "os/cpu_timer.h"
#include "os/own.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

_Atomic bool ag__fence_full = true;

static int64_t read_clock(clockid_t id) {
    struct timespec t;
    int saved = errno;
    if (clock_gettime(id, &t) != 0) {
        int64_t error = -errno;
        errno = saved;
        return error;
    }
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t ag__os_now(void) {
    return read_clock(CLOCK_MONOTONIC);
}
int64_t ag__os_wall(void) {
    return read_clock(CLOCK_REALTIME);
}

int64_t ag__os_thread_cpu(int tid) {
    /* The kernel's encoding of the CPU clock of one thread (clock_getcpuclockid(3) has it for
     * processes only): inverted number, 4 = per thread, 2 = scheduled time. */
    return read_clock((clockid_t)((~(unsigned)tid << 3) | 6u));
}

uint64_t ag__os_random(void) {
    uint64_t x = 0;
    int saved = errno;
    if (getrandom(&x, sizeof x, GRND_NONBLOCK) != (ssize_t)sizeof x)
        x = (uint64_t)ag__os_now() * 0x9E3779B97F4A7C15ull + (uint64_t)(uintptr_t)&x;
    errno = saved;
    return x ? x : 1;
}

/* Threads of ours: started, and about to end. One is counted when it is there already, and no more
 * while it is there still. In between it is taken for a stranger; a stranger never for one of ours.
 */
static _Atomic uint32_t threads_begun, threads_over;

/* The kernel counts the threads of a process in the links of this directory, all in one look. A
 * walk through its entries stops early where a thread ends under it. */
static int threads_alive(void) {
    struct stat tasks;
    int saved = errno;
    int n = stat("/proc/self/task", &tasks) == 0 ? (int)tasks.st_nlink - 2 : 0;
    errno = saved;
#if AG__TSAN
    n -= n > 1; /* its own thread, which it starts with the first of the others */
#endif
    return n;
}

int ag__os_threads_beside(void) {
    for (;;) {
        uint32_t begun = atomic_load(&threads_begun), over = atomic_load(&threads_over);
        int alive = threads_alive();
        /* Who came or went in between may be in one of the counts only. */
        if (begun == atomic_load(&threads_begun) && over == atomic_load(&threads_over))
            return alive - (int)(begun - over); /* one may be over before it is counted as begun */
    }
}

/* In a forked child only the one that forked is left. */
static void threads_forget(void) {
    atomic_store(&threads_begun, 0);
    atomic_store(&threads_over, 0);
}

struct thread_start {
    void (*fn)(void *);
    void *arg;
    char name[16];
};

static void *thread_main(void *arg) {
    struct thread_start start = *(struct thread_start *)arg;
    free(arg);
    pthread_setname_np(pthread_self(), start.name);
    AG__TSAN_LOOK_AWAY();
    ag__cpu_timer_begin();
    start.fn(start.arg);
    ag__cpu_timer_end();
    AG__TSAN_LOOK();
    atomic_fetch_add(&threads_over, 1);
    return NULL;
}

int ag__os_thread_start(void (*fn)(void *), void *arg, const char *name) {
    int saved = errno;
    struct thread_start *start = malloc(sizeof *start);
    if (!start) {
        errno = saved;
        return -ENOMEM;
    }
    start->fn = fn;
    start->arg = arg;
    snprintf(start->name, sizeof start->name, "%s", name);
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, 256 * 1024);
    pthread_t thread;
    int r = pthread_create(&thread, &attr, thread_main, start);
    pthread_attr_destroy(&attr);
    if (r == 0)
        atomic_fetch_add(&threads_begun, 1);
    else
        free(start);
    errno = saved;
    return -r;
}

int ag__os_tid(void) {
    return (int)syscall(SYS_gettid);
}
int ag__os_pid(void) {
    return (int)getpid();
}
void ag__os_yield(void) {
    sched_yield();
}
int *ag__os_errno(void) {
    return &errno;
}

void ag__os_thread_stack(const void **ret_lo, size_t *ret_bytes) {
    pthread_attr_t attr;
    void *lo = NULL;
    *ret_bytes = 0;
    if (pthread_getattr_np(pthread_self(), &attr) == 0) {
        pthread_attr_getstack(&attr, &lo, ret_bytes);
        pthread_attr_destroy(&attr);
    }
    *ret_lo = lo;
}

void ag__os_sleep(int64_t ns) {
    int saved = errno;
    struct timespec t = {ns / 1000000000, ns % 1000000000};
    while (nanosleep(&t, &t) != 0 && errno == EINTR) {
    }
    errno = saved;
}

static pthread_key_t exit_key;
static pthread_once_t exit_once = PTHREAD_ONCE_INIT;
static void (*_Atomic exit_fn)(void *); /* the same for all threads */
static void exit_run(void *value) {
    atomic_load_explicit(&exit_fn, memory_order_relaxed)(value);
}
static void exit_init(void) {
    if (pthread_key_create(&exit_key, exit_run) != 0)
        ag__throw("no thread-specific key left");
}

int ag__os_at_thread_exit(void (*fn)(void *), void *value) {
    atomic_store_explicit(&exit_fn, fn, memory_order_relaxed);
    pthread_once(&exit_once, exit_init);
    return -pthread_setspecific(exit_key, value);
}

int ag__os_at_fork(void (*fn)(void)) {
    return -pthread_atfork(NULL, NULL, fn);
}

void ag__os_kept_signals(void) {
#if AG__TSAN
    static const struct timespec none;
    nanosleep(&none, NULL);
#endif
}

void ag__os_futex_wait(_Atomic uint32_t *word, uint32_t expect, int64_t timeout_ns) {
    int saved = errno;
#if AG__TSAN
    if (timeout_ns < 0) /* an endless wait would go on after a signal */
        timeout_ns = (int64_t)3600 * 1000000000;
#endif
    struct timespec t = {timeout_ns / 1000000000, timeout_ns % 1000000000};
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expect, timeout_ns < 0 ? NULL : &t, NULL, 0);
    ag__os_kept_signals();
    errno = saved;
}

/* Called by signal handlers, too, which are not watched. */
AG__NO_SANITIZE void ag__os_futex_wake(_Atomic uint32_t *word, int count) {
    int saved = errno;
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
    errno = saved;
}

static void fence_init(void) {
    int saved = errno;
    long have = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
    if (have >= 0 && (have & MEMBARRIER_CMD_PRIVATE_EXPEDITED) &&
        syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0 &&
        ag__os_env("AGLET_NO_MEMBARRIER", 0) == 0)
        atomic_store_explicit(&ag__fence_full, false, memory_order_relaxed);
    errno = saved;
}

static pthread_once_t init_once = PTHREAD_ONCE_INIT;
static void init(void) {
    fence_init();
    pthread_atfork(NULL, NULL, threads_forget);
}
void ag__os_init(void) {
    pthread_once(&init_once, init);
}

void ag__fence_heavy(void) {
    if (atomic_load_explicit(&ag__fence_full, memory_order_relaxed)) {
        atomic_thread_fence(memory_order_seq_cst);
        return;
    }
    int saved = errno;
    /* The kernel may need a mask of processors from its heap; without the fence nothing is right,
     * so there is no way but to ask again. */
    while (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0) {
        if (errno != ENOMEM)
            ag__throw("membarrier stopped working");
        sched_yield();
    }
    errno = saved;
}

void ag__lock_slow(ag__lock *l) {
    for (int round = 0;; round++) {
        for (int spin = 0; spin < 64; spin++) {
            if (atomic_load_explicit(&l->held, memory_order_relaxed) == 0 && ag__lock_try(l))
                return;
#if defined(__x86_64__)
            __builtin_ia32_pause();
#else
            AG__COMPILER_BARRIER();
#endif
        }
        if (round < 16)
            ag__os_yield();
        else
            ag__os_sleep(20000);
    }
}

int64_t ag__os_env(const char *name, int64_t otherwise) {
    const char *text = getenv(name);
    if (!text || !*text)
        return otherwise;
    char *end;
    int saved = errno;
    long long v = strtoll(text, &end, 10);
    errno = saved;
    if (end == text)
        return otherwise;
    switch (*end) {
    case 'k':
    case 'K':
        v <<= 10;
        end++;
        break;
    case 'm':
    case 'M':
        v <<= 20;
        end++;
        break;
    case 'g':
    case 'G':
        v <<= 30;
        end++;
        break;
    default:
        break;
    }
    return *end ? otherwise : v;
}

void ag__os_write_err(const char *text, size_t n) {
    int saved = errno;
    while (n > 0) {
        ssize_t w = write(2, text, n);
        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0)
            break;
        text += w;
        n -= (size_t)w;
    }
    errno = saved;
}

void ag__os_exit_now(int status) {
    ag__own_remove();
    /* Not _exit: sanitizers do their own work there, and may take another status. */
    syscall(SYS_exit_group, status);
    __builtin_unreachable();
}
