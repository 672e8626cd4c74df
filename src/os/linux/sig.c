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
 * atomics only.
 */
#include "os/sig.h"
#include "base/base.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#if AG__TSAN && defined(__GLIBC__)
int __sigaction(int sig, const struct sigaction *action, struct sigaction *ret_before);
#define SIGACTION __sigaction
#else
#define SIGACTION sigaction
#endif

static struct sigaction before[AG__SIG_MAX + 1]; /* Guarded by the caller's lock. */
static void (*caught_by)(int);                   /* Constant after the first catch. */

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

int ag__sig_catch(int sig, void (*fn)(int sig)) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = fn;
    action.sa_flags = SA_RESTART | (ag__vg_here() ? 0 : SA_ONSTACK);
    sigfillset(&action.sa_mask);
    caught_by = fn;
    int saved = errno;
    int r = SIGACTION(sig, &action, &before[sig]) == 0 ? 0 : -EINVAL;
    errno = saved;
    return r;
}

void ag__sig_release(int sig) {
    struct sigaction now;
    int saved = errno;
    if (SIGACTION(sig, NULL, &now) == 0 && !(now.sa_flags & SA_SIGINFO) &&
        now.sa_handler == caught_by)
        SIGACTION(sig, &before[sig], NULL);
    errno = saved;
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
