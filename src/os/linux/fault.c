/* SPDX-License-Identifier: MIT */
/*
 * fault.c - signals that end the process because of what it did, and the stacks to handle them on.
 *
 * Our handler only has a look. Then the action from before is there again, and takes the signal
 * when the instruction is repeated, with registers and all as they were: the kernel's, which writes
 * a core file, or the handler of the program or of a sanitizer. What was sent by kill, raise or
 * abort would not come a second time, so it is sent again, as it was.
 *
 * A process that ignores such a signal goes on ignoring it when it is sent; when the machine raises
 * it the kernel ends the process in any case.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "os/os.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct {
    int sig;
    const char *name, *text;
} signals[] = {
    {SIGSEGV, "SIGSEGV", "segmentation violation"},
    {SIGBUS, "SIGBUS", "bus error"},
    {SIGFPE, "SIGFPE", "arithmetic error"},
    {SIGILL, "SIGILL", "illegal instruction"},
    {SIGABRT, "SIGABRT", "abort"},
};
enum { SIGNALS = sizeof signals / sizeof *signals };

static ag__os_fault_fn fault_fn;
static bool installed; /* Written between worlds. */
static struct sigaction before[SIGNALS];

static void on_signal(int sig, siginfo_t *info, void *context);

static int index_of(int sig) {
    int i = 0;
    while (i < SIGNALS - 1 && signals[i].sig != sig)
        i++;
    return i;
}

static bool is_function(const struct sigaction *a) {
    return a->sa_handler != SIG_DFL && a->sa_handler != SIG_IGN;
}

/* Not by the instruction that was interrupted: it won't be raised again. */
static bool is_sent(const siginfo_t *info) {
    return info->si_code <= 0 || (info->si_signo == SIGBUS && info->si_code == BUS_MCEERR_AO);
}

static void on_signal(int sig, siginfo_t *info, void *context) {
    int saved = errno, i = index_of(sig);
    bool sent = is_sent(info);
    if (sent && before[i].sa_handler == SIG_IGN)
        return;
    ag__os_fault fault = {
        .sig = sig,
        .code = info->si_code,
        .addr = info->si_addr,
        .context = context,
        .name = signals[i].name,
        .text = signals[i].text,
        .is_memory = !sent && (sig == SIGSEGV || sig == SIGBUS),
        .is_sent = sent,
        .sender = sent ? info->si_pid : 0,
        .is_last = !is_function(&before[i]),
    };
    if (fault_fn)
        fault_fn(&fault);
    sigaction(sig, &before[i], NULL);
    if (sent)
        syscall(SYS_rt_tgsigqueueinfo, (long)getpid(), (long)syscall(SYS_gettid), (long)sig, info);
    errno = saved;
}

static bool is_ours(const struct sigaction *a) {
    return a->sa_flags & SA_SIGINFO && a->sa_sigaction == on_signal;
}

/* Ours may still be there, where it could not be removed; the one before it is still known. */
static int take(int i) {
    struct sigaction ours, was;
    memset(&ours, 0, sizeof ours);
    ours.sa_sigaction = on_signal;
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&ours.sa_mask);
    for (int k = 0; k < SIGNALS; k++) /* a fault in the handler ends the process */
        sigaddset(&ours.sa_mask, signals[k].sig);
    if (sigaction(signals[i].sig, &ours, &was) != 0)
        return -errno;
    if (!is_ours(&was))
        before[i] = was;
    return 0;
}

/* A handler that the program has put in the place of ours stays. */
static void give_back(int i) {
    struct sigaction now;
    if (sigaction(signals[i].sig, NULL, &now) == 0 && is_ours(&now))
        sigaction(signals[i].sig, &before[i], NULL);
}

int ag__os_fault_install(ag__os_fault_fn fn) {
    int saved = errno, r = 0, i = 0;
    fault_fn = fn;
    while (i < SIGNALS && (r = take(i)) == 0)
        i++;
    while (r != 0 && i-- > 0)
        give_back(i);
    installed = r == 0;
    errno = saved;
    return r;
}

void ag__os_fault_remove(void) {
    if (!installed)
        return;
    installed = false;
    int saved = errno;
    for (int i = 0; i < SIGNALS; i++)
        give_back(i);
    errno = saved;
}

/* --- Alternate stacks. --- */

/* The last bytes keep the stack that the thread had before: a sanitizer's, which takes away at the
 * thread's end whatever it then finds set. */
typedef struct altstack {
    char bytes[64 * 1024 - sizeof(stack_t)];
    stack_t before;
} altstack;

void *ag__os_altstack_new(void) {
    int saved = errno;
    altstack *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (s == MAP_FAILED) {
        s = NULL;
    } else if (sigaltstack(&(stack_t){.ss_sp = s, .ss_size = sizeof s->bytes}, &s->before) != 0) {
        munmap(s, sizeof *s);
        s = NULL;
    }
    errno = saved;
    return s;
}

/* One that stays set is not unmapped: somebody else's memory may come to lie there. */
void ag__os_altstack_free(void *stack) {
    altstack *s = stack;
    if (!s)
        return;
    int saved = errno;
    if (sigaltstack(&s->before, NULL) == 0)
        munmap(s, sizeof *s);
    errno = saved;
}
