/* SPDX-License-Identifier: MIT */
/*
 * sig.c (Linux) - signal actions.
 *
 * Handlers run on the alternate stack of the thread (a goroutine's stack may be small) and
 * restart system calls, so that code which knows nothing of them sees nothing of them.
 *
 * Under valgrind they run where they are. When another thread ran during a handler's system call,
 * valgrind takes the return from an alternate stack for a stack switch when it notices it, which is
 * at the next large frame; that one it does not make valid.
 *
 * ThreadSanitizer keeps a signal back until the thread makes a call that it knows; a thread that
 * sleeps in the runtime never does. So there the action is set past it: our handler touches
 * atomics only, and is not watched. A thread that has only just begun and that it does not know
 * yet passes the signal on: calls that it intercepts, as that for the clock, would crash there.
 */
#include "os/sig.h"
#include "base/base.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#if AG__TSAN && defined(__GLIBC__)
int __sigaction(int sig, const struct sigaction *action, struct sigaction *ret_before);
#define SIGACTION __sigaction
#else
#define SIGACTION sigaction
#endif

enum { CAUGHT = 1, IGNORED = 2 };

static uint8_t ours[AG__SIG_MAX + 1]; /* Guarded by the caller's lock: CAUGHT, IGNORED. */
static struct sigaction before[AG__SIG_MAX + 1]; /* Likewise: from before ours was not 0. */
static void (*caught_by)(int);                   /* Constant after the first catch. */

#if AG__TSAN
static AG__NO_SANITIZE void catch_or_pass_on(int sig) {
    if (__tsan_get_current_fiber())
        caught_by(sig);
    else
        ag__sig_resend(sig);
}
#define CATCHER catch_or_pass_on
#else
#define CATCHER caught_by
#endif

int ag__sig_quit(void) {
    return SIGQUIT;
}

bool ag__sig_can_catch(int sig) {
    switch (sig) {
    case SIGKILL:
    case SIGSTOP:
    case SIGSEGV:
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
        return false;
    default:
        return sig > 0 && sig <= AG__SIG_MAX && (sig < 32 || sig >= SIGRTMIN);
    }
}

static int set(int sig, void (*fn)(int)) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = fn;
    action.sa_flags = SA_RESTART | (ag__vg_here() ? 0 : SA_ONSTACK);
    sigfillset(&action.sa_mask);
    int saved = errno;
    int r = SIGACTION(sig, &action, ours[sig] ? NULL : &before[sig]) == 0 ? 0 : -EINVAL;
    errno = saved;
    return r;
}

/* Whether the action is what we set. */
static bool is_still(int sig, void (*fn)(int)) {
    struct sigaction now;
    int saved = errno;
    bool same =
        SIGACTION(sig, NULL, &now) == 0 && !(now.sa_flags & SA_SIGINFO) && now.sa_handler == fn;
    errno = saved;
    return same;
}

static void put_back(int sig) {
    int saved = errno;
    SIGACTION(sig, &before[sig], NULL);
    errno = saved;
}

static void (*ignore_by(int sig))(int) {
    return sig == SIGCHLD ? SIG_DFL : SIG_IGN;
}

/* While the first thread blocks a signal, as glibc lets it during a pthread_create, the system
 * keeps one that is ignored; it throws away what it kept when it is told once more to ignore it. */
static void throw_away(int sig) {
    set(sig, ignore_by(sig));
}

int ag__sig_catch(int sig, void (*fn)(int sig)) {
    caught_by = fn;
    if (ours[sig] == IGNORED)
        throw_away(sig);
    int r = set(sig, CATCHER);
    if (r == 0)
        ours[sig] |= CAUGHT;
    return r;
}

void ag__sig_release(int sig) {
    if (is_still(sig, CATCHER)) {
        if (ours[sig] & IGNORED)
            set(sig, ignore_by(sig));
        else
            put_back(sig);
    }
    ours[sig] &= ~CAUGHT;
}

int ag__sig_ignore(int sig) {
    int r = set(sig, ignore_by(sig));
    if (r == 0)
        ours[sig] |= IGNORED;
    return r;
}

void ag__sig_unignore(int sig) {
    if (ours[sig] == IGNORED && is_still(sig, ignore_by(sig))) {
        throw_away(sig);
        put_back(sig);
    }
    ours[sig] &= ~IGNORED;
}

bool ag__sig_is_ignored(int sig) {
    return is_still(sig, SIG_IGN);
}

AG__NO_SANITIZE void ag__sig_resend(int sig) {
    int saved = errno;
    syscall(SYS_kill, getpid(), sig);
    errno = saved;
}

/* The system tells of those only that the asking thread blocks. */
bool ag__sig_is_pending(int sig) {
    sigset_t set, before_this, pending;
    sigemptyset(&set);
    sigaddset(&set, sig);
    sigemptyset(&pending);
    pthread_sigmask(SIG_BLOCK, &set, &before_this);
    sigpending(&pending);
    pthread_sigmask(SIG_SETMASK, &before_this, NULL);
    return sigismember(&pending, sig) == 1;
}

bool ag__sig_is_handled(int sig) {
    struct sigaction now;
    int saved = errno;
    int r = SIGACTION(sig, NULL, &now);
    errno = saved;
    return r == 0 &&
           (now.sa_flags & SA_SIGINFO || (now.sa_handler != SIG_DFL && now.sa_handler != SIG_IGN));
}

void ag__sig_receive_only(uint64_t signals) {
    sigset_t set;
    sigfillset(&set);
    for (int sig = 1; sig <= AG__SIG_MAX; sig++)
        if (signals & (uint64_t)1 << (sig - 1))
            sigdelset(&set, sig);
    /* A fault of this thread itself must not be held back. */
    sigdelset(&set, SIGSEGV);
    sigdelset(&set, SIGBUS);
    sigdelset(&set, SIGFPE);
    sigdelset(&set, SIGILL);
    pthread_sigmask(SIG_SETMASK, &set, NULL);
}
