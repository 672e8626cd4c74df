/* SPDX-License-Identifier: MIT */
/*
 * cpu_timer.c (Linux) - a timer on the CPU clock of each thread, which sends SIGPROF to it.
 *
 * A timer of the whole process (setitimer) would send its signals to whichever thread the kernel
 * likes, mostly the main one. So each thread has its own: those that are there at the start, found
 * in /proc/self/task, and those of ours that begin later. A thread takes its timer away when it
 * ends; of one that is not ours it stays, dead, until the end of the profile, or until a new thread
 * has the number. The first period is cut short by chance, so that threads that live less than one
 * are seen, too, as often as they deserve.
 *
 * Interrupted system calls. The handler has SA_RESTART, but that does not help poll, epoll_wait,
 * nanosleep and some more. What does: these timers run out while their thread uses the CPU, and
 * since Linux 5.9 on x86-64 and 6.x on aarch64 (CONFIG_POSIX_CPU_TIMERS_TASK_WORK) the signal is
 * then made on the way back to user code, so a thread that was about to sleep in a call does not
 * see it before the call is over.
 *
 * The handler stays for good once it was set: a signal may still be under way, and its default
 * action would end the process.
 *
 * Refused: perf_event_open, which containers forbid; a thread that looks at the others from
 * outside, which stops them.
 */
#include "os/cpu_timer.h"
#include "os/os.h"
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

struct timer {
    int tid, id;
};

static ag__lock lock;
static struct timer *timers; /* Guarded by lock. */
static int count, room;      /* Guarded by lock. */
static int64_t period;       /* Guarded by lock. */
static int64_t refused;      /* Guarded by lock. */
static _Atomic bool on;      /* Written under lock; read by handlers and threads that begin. */
static _Atomic(ag__cpu_tick_fn) tick_fn;

static AG__NO_SANITIZE void on_signal(int sig, siginfo_t *info, void *context) {
    (void)sig;
    int saved = errno;
    ag__cpu_tick_fn fn = atomic_load_explicit(&tick_fn, memory_order_relaxed);
    if (info->si_code == SI_TIMER && fn && atomic_load_explicit(&on, memory_order_relaxed))
        fn(context, 1 + (info->si_overrun > 0 ? info->si_overrun : 0));
    errno = saved;
}

/* 0, -EBUSY: the program has a handler. */
static int take_signal(void) {
    struct sigaction ours, now;
    memset(&ours, 0, sizeof ours);
    ours.sa_sigaction = on_signal;
    ours.sa_flags = SA_SIGINFO | SA_RESTART | (ag__vg_here() ? 0 : SA_ONSTACK);
    sigfillset(&ours.sa_mask);
    if (sigaction(SIGPROF, NULL, &now) != 0)
        return -errno;
    if (now.sa_flags & SA_SIGINFO ? now.sa_sigaction != on_signal
                                  : now.sa_handler != SIG_DFL && now.sa_handler != SIG_IGN)
        return -EBUSY;
    return sigaction(SIGPROF, &ours, NULL) == 0 ? 0 : -errno;
}

static int make(int tid, int *ret_id) {
    struct sigevent event;
    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGPROF;
    event.sigev_notify_thread_id = tid;
    /* The clock of the CPU time of one thread; see ag__os_thread_cpu. */
    clockid_t clock = (clockid_t)((~(unsigned)tid << 3) | 6u);
    if (syscall(SYS_timer_create, clock, &event, ret_id) != 0)
        return -errno;
    int64_t first = 1 + (int64_t)(ag__os_random() % (uint64_t)period);
    struct itimerspec spec = {{period / 1000000000, period % 1000000000},
                              {first / 1000000000, first % 1000000000}};
    syscall(SYS_timer_settime, *ret_id, 0, &spec, NULL);
    return 0;
}

static int add(int tid) {
    if (count == room) {
        int more = room ? room * 2 : 64;
        struct timer *at = realloc(timers, (size_t)more * sizeof *at);
        if (!at)
            return -ENOMEM;
        timers = at;
        room = more;
    }
    int r = make(tid, &timers[count].id);
    if (r == 0)
        timers[count++].tid = tid;
    else if (r != -EINVAL && r != -ESRCH) /* it has ended */
        refused++;
    return r;
}

static void take_away(int tid) {
    for (int i = 0; i < count; i++)
        if (timers[i].tid == tid) {
            syscall(SYS_timer_delete, timers[i].id);
            timers[i--] = timers[--count];
        }
}

static void take_all_away(void) {
    while (count > 0)
        syscall(SYS_timer_delete, timers[--count].id);
    free(timers);
    timers = NULL;
    room = 0;
}

/* Every thread that is there now. 0 if one got a timer, else why not. */
static int add_all(void) {
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *entry;
    int r = 0;
    if (!tasks)
        r = add(ag__os_tid());
    while (tasks && (entry = readdir(tasks)) != NULL) {
        int one = entry->d_name[0] == '.' ? 0 : add((int)strtol(entry->d_name, NULL, 10));
        r = one ? one : r;
    }
    if (tasks)
        closedir(tasks);
    return count > 0 ? 0 : r ? r : -EAGAIN;
}

int ag__cpu_timers_start(int64_t period_ns, ag__cpu_tick_fn fn) {
    int saved = errno, r = -EBUSY;
    ag__lock_acquire(&lock);
    if (!atomic_load_explicit(&on, memory_order_relaxed)) {
        period = period_ns;
        refused = 0;
        atomic_store_explicit(&tick_fn, fn, memory_order_relaxed);
        r = take_signal();
        if (r == 0) {
            atomic_store_explicit(&on, true, memory_order_relaxed);
            r = add_all();
            if (r != 0)
                atomic_store_explicit(&on, false, memory_order_relaxed);
        }
    }
    ag__lock_release(&lock);
    errno = saved;
    return r;
}

void ag__cpu_timers_stop(void) {
    int saved = errno;
    ag__lock_acquire(&lock);
    atomic_store_explicit(&on, false, memory_order_relaxed);
    take_all_away();
    ag__lock_release(&lock);
    errno = saved;
}

int64_t ag__cpu_timers_refused(void) {
    ag__lock_acquire(&lock);
    int64_t n = refused;
    ag__lock_release(&lock);
    return n;
}

/* Whoever begins while `on` is being set is found by add_all, or sees it under the lock. */
static void change(bool begins) {
    int saved = errno;
    ag__lock_acquire(&lock);
    if (atomic_load_explicit(&on, memory_order_relaxed)) {
        take_away(ag__os_tid());
        if (begins)
            add(ag__os_tid());
    }
    ag__lock_release(&lock);
    errno = saved;
}

void ag__cpu_timer_begin(void) {
    if (AG__UNLIKELY(atomic_load_explicit(&on, memory_order_relaxed)))
        change(true);
}
void ag__cpu_timer_end(void) {
    if (AG__UNLIKELY(atomic_load_explicit(&on, memory_order_relaxed)))
        change(false);
}
