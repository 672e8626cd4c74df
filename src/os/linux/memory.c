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

/* --- Looking. --- */

/* Where the kernel may not copy, it is asked whether it can read a signal mask there, for a change
 * that does not exist. */
static bool is_readable(const char *page) {
    return syscall(SYS_rt_sigprocmask, -1L, page, NULL, 8L) == 0 || errno != EFAULT;
}

static AG__NO_SANITIZE bool peek_here(char *to, const char *from, size_t n) {
    size_t page = ag__os_page();
    for (uintptr_t p = (uintptr_t)from & ~(page - 1); p < (uintptr_t)from + n; p += page)
        if (!p || !is_readable((const char *)p))
            return false;
    const volatile char *bytes = from;
    for (size_t i = 0; i < n; i++)
        to[i] = bytes[i];
    return true;
}

int ag__os_peek(const void *from, void *to, size_t n) {
    int saved = errno;
    struct iovec local = {to, n}, remote = {(void *)(uintptr_t)from, n};
    long got = syscall(SYS_process_vm_readv, (long)getpid(), &local, 1L, &remote, 1L, 0L);
    bool ok = got == (long)n;
    if (got < 0 && (errno == ENOSYS || errno == EPERM))
        ok = peek_here(to, from, n);
    errno = saved;
    return ok ? 0 : -EFAULT;
}

/* A line of /proc/self/maps: `lo-hi perms offset device inode …`. False: it can't be read, or is a
 * file that can't be written. */
static bool parse_mapping(const char *line, uintptr_t *ret_lo, uintptr_t *ret_hi) {
    unsigned long lo, hi;
    unsigned long inode;
    char perms[8];
    if (sscanf(line, "%lx-%lx %7s %*s %*s %lu", &lo, &hi, perms, &inode) != 4 || perms[0] != 'r' ||
        (perms[1] != 'w' && inode != 0))
        return false;
    *ret_lo = lo;
    *ret_hi = hi;
    return true;
}

bool ag__os_memory(bool (*visit)(uintptr_t lo, uintptr_t hi, void *arg), void *arg) {
    char buffer[4096];
    size_t have = 0;
    int saved = errno, fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    bool goes_on = fd >= 0;
    ssize_t n;
    while (goes_on && (n = read(fd, buffer + have, sizeof buffer - 1 - have)) > 0) {
        have += (size_t)n;
        buffer[have] = '\0';
        char *line = buffer, *end;
        for (; goes_on && (end = strchr(line, '\n')) != NULL; line = end + 1) {
            uintptr_t lo, hi;
            *end = '\0';
            if (parse_mapping(line, &lo, &hi))
                goes_on = visit(lo, hi, arg);
        }
        have -= (size_t)(line - buffer);
        memmove(buffer, line, have);
    }
    if (fd >= 0)
        close(fd);
    errno = saved;
    return fd >= 0;
}
