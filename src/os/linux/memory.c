/* SPDX-License-Identifier: MIT */
/*
 * memory.c (Linux) - address space, guards, residency.
 *
 * Reservations are PROT_NONE without swap accounting and become usable piece by piece, so they
 * cost nothing under any overcommit policy. A guard is a marker in the page table where the
 * kernel knows MADV_GUARD_INSTALL (6.13): no mapping is spent, and one process_madvise call
 * marks several hundred. Elsewhere it is mprotect, which splits a mapping in two each time, so
 * the number is bounded by a budget.
 */
#include "os/os.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

size_t ag__os_page(void) {
    static size_t page;
    if (!page)
        page = (size_t)sysconf(_SC_PAGESIZE);
    return page;
}

void *ag__os_reserve(size_t bytes) {
    int saved = errno;
    void *p = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    errno = saved;
    if (p == MAP_FAILED)
        return NULL;
    madvise(p, bytes, MADV_NOHUGEPAGE);
    errno = saved;
    return p;
}

int ag__os_commit(void *addr, size_t bytes) {
    int saved = errno;
    int r = mprotect(addr, bytes, PROT_READ | PROT_WRITE) == 0 ? 0 : -errno;
    errno = saved;
    return r;
}

void ag__os_discard(void *addr, size_t bytes) {
    int saved = errno;
    madvise(addr, bytes, MADV_DONTNEED);
    errno = saved;
}

void ag__os_unreserve(void *addr, size_t bytes) {
    int saved = errno;
    munmap(addr, bytes);
    errno = saved;
}

static int guard_kind; /* 0 unknown, 1 marker, 2 mprotect. Atomic enough: idempotent. */

static void guard_probe(void) {
    int saved = errno;
    size_t page = ag__os_page();
    int kind = 2;
    void *p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p != MAP_FAILED) {
        /* Emulators of old say yes to any advice, and don't take it. */
        const int nonsense = 1000;
        if (madvise(p, page, MADV_GUARD_INSTALL) == 0 && madvise(p, page, nonsense) != 0)
            kind = 1;
        munmap(p, page);
    }
    if (ag__os_env("AGLET_NO_GUARD_MARKER", 0))
        kind = 2;
    errno = saved;
    __atomic_store_n(&guard_kind, kind, __ATOMIC_RELEASE);
}

bool ag__os_guard_is_free(void) {
    if (__atomic_load_n(&guard_kind, __ATOMIC_ACQUIRE) == 0)
        guard_probe();
    return __atomic_load_n(&guard_kind, __ATOMIC_ACQUIRE) == 1;
}

/* One advice for the page at base + i * stride, i < count. Returns how many pages took it before
 * the kernel refused one. */
static size_t advise_pages(char *base, size_t stride, size_t count, int advice) {
    enum { BATCH = 64 };     /* small: this may run on a goroutine's stack */
    const int self = -10001; /* PIDFD_SELF_THREAD_GROUP, Linux 6.14 */
    size_t page = ag__os_page();
    struct iovec v[BATCH];
    size_t done = 0;
    while (done < count) {
        size_t n = count - done < BATCH ? count - done : BATCH;
        for (size_t i = 0; i < n; i++) {
            v[i].iov_base = base + (done + i) * stride;
            v[i].iov_len = page;
        }
        ssize_t r = -1;
        if (!ag__vg_here()) /* which complains about calls that it does not know */
            r = syscall(SYS_process_madvise, self, v, n, advice, 0);
        if (r != (ssize_t)(n * page))
            return done + (r > 0 ? (size_t)r / page : 0);
        done += n;
    }
    return done;
}

static int guard_markers(char *base, size_t stride, size_t count) {
    /* A kernel that does not know the name answers EBADF and gets the calls one by one. */
    size_t done = advise_pages(base, stride, count, MADV_GUARD_INSTALL);
    for (; done < count; done++)
        if (madvise(base + done * stride, ag__os_page(), MADV_GUARD_INSTALL) != 0)
            return -errno;
    return 0;
}

void ag__os_populate(void *base, size_t stride, size_t count) {
    int saved = errno;
    advise_pages(base, stride, count, MADV_POPULATE_WRITE);
    errno = saved;
}

int ag__os_guard(void *base, size_t stride, size_t count, int64_t *mappings) {
    int saved = errno;
    int r = 0;
    if (ag__os_guard_is_free()) {
        r = guard_markers(base, stride, count);
    } else {
        int64_t budget = ag__os_mapping_budget();
        for (size_t i = 0; i < count && r == 0; i++) {
            if (*mappings + 2 > budget)
                r = -ENOMEM;
            else if (mprotect((char *)base + i * stride, ag__os_page(), PROT_NONE) != 0)
                r = -errno;
            else
                *mappings += 2;
        }
    }
    errno = saved;
    return r;
}

int64_t ag__os_mapping_budget(void) {
    static int64_t budget;
    if (budget)
        return budget;
    int64_t max = 65530;
    char text[32];
    int saved = errno;
    int fd = open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t n = read(fd, text, sizeof text - 1);
        if (n > 0) {
            text[n] = 0;
            max = atoll(text);
        }
        close(fd);
    }
    errno = saved;
    budget = max * 9 / 10;
    return budget;
}

size_t ag__os_resident_top(const void *addr, size_t bytes) {
    unsigned char map[256]; /* small: this may run on a goroutine's stack */
    size_t page = ag__os_page(), pages = bytes / page, top = 0, seen = 0;
    int saved = errno;
    while (pages > 0) {
        size_t n = pages < sizeof map ? pages : sizeof map;
        if (mincore((char *)addr + (pages - n) * page, n * page, map) != 0)
            break;
        size_t i = 0;
        while (i < n && !(map[i] & 1))
            i++;
        if (i == n)
            break;
        top = (seen + n - i) * page;
        seen += n;
        pages -= n;
    }
    errno = saved;
    return top;
}

/* --- Faults. --- */

static ag__os_fault_fn fault_fn;
static bool fault_installed; /* Written between worlds. */
static struct sigaction fault_before_segv, fault_before_bus;

static void fault_handler(int sig, siginfo_t *info, void *context) {
    if (fault_fn && fault_fn(sig, info->si_addr, context))
        return;
    /* Not ours: the old action takes the fault when the instruction is repeated. */
    sigaction(sig, sig == SIGSEGV ? &fault_before_segv : &fault_before_bus, NULL);
}

/* Ours may still be there, where it could not be removed; the one before it is still known. */
static int take_fault(int sig, const struct sigaction *ours, struct sigaction *ret_before) {
    struct sigaction before;
    if (sigaction(sig, ours, &before) != 0)
        return -errno;
    if (!(before.sa_flags & SA_SIGINFO) || before.sa_sigaction != fault_handler)
        *ret_before = before;
    return 0;
}

int ag__os_fault_install(ag__os_fault_fn fn) {
    struct sigaction sa;
    memset(&sa, 0, sizeof sa);
    sa.sa_sigaction = fault_handler;
    sa.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&sa.sa_mask);
    fault_fn = fn;
    int saved = errno;
    int r = take_fault(SIGSEGV, &sa, &fault_before_segv);
    if (r == 0 && (r = take_fault(SIGBUS, &sa, &fault_before_bus)) != 0)
        sigaction(SIGSEGV, &fault_before_segv, NULL);
    fault_installed = r == 0;
    errno = saved;
    return r;
}

void ag__os_fault_remove(void) {
    if (!fault_installed)
        return;
    fault_installed = false;
    int saved = errno;
    sigaction(SIGSEGV, &fault_before_segv, NULL);
    sigaction(SIGBUS, &fault_before_bus, NULL);
    errno = saved;
}

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
