/* SPDX-License-Identifier: MIT */
/*
 * fail.c - calls that fail to order.
 *
 * Calls of the system are stood in for by functions of the same names, defined here: the program's
 * own definition comes before the C library's for everybody, aglet's shared library included, and
 * for what is linked statically, too. The next one in the order, be it a sanitizer's, is found by
 * dlsym. Allocations are different: who replaces malloc replaces it for all, the runtime's
 * own needs included, which end the process where Go's would. So the linker sends those of the
 * program alone to wrappers (--wrap).
 *
 * A call belongs to the test of the goroutine that makes it; one without a test, or whose test has
 * ordered nothing, costs a look at that.
 *
 * Not stood in for, but hindered: preadv2, with which aglet asks whether a read needs to wait.
 * While reads are to fail it is told that this can't be asked, so that the read comes by itself.
 *
 * Refused: the address of the caller (says little of who it works for), a count over all threads
 * (the runtime reads and writes, too, and other tests do).
 */
#include "test/test.h"
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { SHORT = -1 };

int ag_test_inject(int calls, int n, int err) {
    struct ag__test *t = (struct ag__test *)ag__group_here();
    if (!t)
        ag_panic("ag_test_inject: not in a test");
    struct ag__plan *p = &t->plan;
    __atomic_store_n(&p->calls, 0, __ATOMIC_SEQ_CST);
    int failed = __atomic_exchange_n(&p->failed, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&p->nth, n, __ATOMIC_RELAXED);
    __atomic_store_n(&p->err, err ? -err : SHORT, __ATOMIC_RELAXED);
    __atomic_store_n(&p->seen, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&p->calls, calls, __ATOMIC_SEQ_CST);
    return failed;
}

static struct ag__plan *plan_for(int call) {
    struct ag__test *t = (struct ag__test *)ag__group_here();
    if (!t || !(__atomic_load_n(&t->plan.calls, __ATOMIC_SEQ_CST) & call))
        return NULL;
    return &t->plan;
}

/* 0, SHORT, or the errno of this call. */
static int fails(int call) {
    struct ag__plan *p = plan_for(call);
    if (!p || __atomic_add_fetch(&p->seen, 1, __ATOMIC_SEQ_CST) !=
                  __atomic_load_n(&p->nth, __ATOMIC_RELAXED))
        return 0;
    __atomic_store_n(&p->failed, 1, __ATOMIC_SEQ_CST);
    return __atomic_load_n(&p->err, __ATOMIC_RELAXED);
}

/* ---- Calls of the system -------------------------------------------------------------------- */

/* The next definition of a function, found once: before main, since later the caller may be a
 * sanitizer in the middle of a report. errno stays as it was. */
static void *next(void **cache, const char *name) {
    void *found = __atomic_load_n(cache, __ATOMIC_ACQUIRE);
    if (!found) {
        int saved = errno;
        found = dlsym(RTLD_NEXT, name);
        __atomic_store_n(cache, found, __ATOMIC_RELEASE);
        errno = saved;
    }
    return found;
}

#define NEXT(name)                                                                                 \
    static void *next_##name;                                                                      \
    __attribute__((constructor)) static void find_##name(void) {                                   \
        next(&next_##name, #name);                                                                 \
    }

/* Called ag__test_NAME here, where the headers declare NAME in ways that no definition fits. Seen
 * from outside: shared libraries must find them in the program. */
#define STAND_IN(type, name, kind, params, args, args_of_one)                                      \
    NEXT(name)                                                                                     \
    AG_API type ag__test_##name params __asm__(#name);                                             \
    type ag__test_##name params {                                                                  \
        type(*real) params = (type(*) params)next(&next_##name, #name);                            \
        int e = fails(kind);                                                                       \
        if (e == 0)                                                                                \
            return real args;                                                                      \
        if (e == SHORT)                                                                            \
            return real args_of_one;                                                               \
        errno = e;                                                                                 \
        return -1;                                                                                 \
    }

static int one(size_t n) {
    return n > 0;
}

STAND_IN(ssize_t, read, AG_FAIL_READ, (int fd, void *buf, size_t n), (fd, buf, n),
         (fd, buf, one(n)))
STAND_IN(ssize_t, pread, AG_FAIL_READ, (int fd, void *buf, size_t n, off_t at), (fd, buf, n, at),
         (fd, buf, one(n), at))
STAND_IN(ssize_t, pread64, AG_FAIL_READ, (int fd, void *buf, size_t n, off_t at), (fd, buf, n, at),
         (fd, buf, one(n), at))
STAND_IN(ssize_t, recv, AG_FAIL_READ, (int fd, void *buf, size_t n, int flags), (fd, buf, n, flags),
         (fd, buf, one(n), flags))
STAND_IN(ssize_t, recvfrom, AG_FAIL_READ,
         (int fd, void *buf, size_t n, int flags, struct sockaddr *from, socklen_t *size),
         (fd, buf, n, flags, from, size), (fd, buf, one(n), flags, from, size))
STAND_IN(ssize_t, write, AG_FAIL_WRITE, (int fd, const void *buf, size_t n), (fd, buf, n),
         (fd, buf, one(n)))
STAND_IN(ssize_t, pwrite, AG_FAIL_WRITE, (int fd, const void *buf, size_t n, off_t at),
         (fd, buf, n, at), (fd, buf, one(n), at))
STAND_IN(ssize_t, pwrite64, AG_FAIL_WRITE, (int fd, const void *buf, size_t n, off_t at),
         (fd, buf, n, at), (fd, buf, one(n), at))
STAND_IN(ssize_t, send, AG_FAIL_WRITE, (int fd, const void *buf, size_t n, int flags),
         (fd, buf, n, flags), (fd, buf, one(n), flags))
STAND_IN(ssize_t, sendto, AG_FAIL_WRITE,
         (int fd, const void *buf, size_t n, int flags, const struct sockaddr *to, socklen_t size),
         (fd, buf, n, flags, to, size), (fd, buf, one(n), flags, to, size))

/* The first byte of the pieces; no piece has one: the call as it is. */
static struct iovec first_byte(const struct iovec *v, size_t n) {
    struct iovec first = {NULL, 0};
    for (size_t i = 0; i < n && first.iov_len == 0; i++)
        if (v[i].iov_len > 0)
            first = (struct iovec){v[i].iov_base, 1};
    return first;
}

#define OF_PIECES                                                                                  \
    (fd, &(struct iovec){first_byte(v, (size_t)n).iov_base, first_byte(v, (size_t)n).iov_len}, 1)
STAND_IN(ssize_t, readv, AG_FAIL_READ, (int fd, const struct iovec *v, int n), (fd, v, n),
         OF_PIECES)
STAND_IN(ssize_t, writev, AG_FAIL_WRITE, (int fd, const struct iovec *v, int n), (fd, v, n),
         OF_PIECES)

/* A copy of the message with room for a byte. */
#define OF_MESSAGE                                                                                 \
    (fd,                                                                                           \
     &(struct msghdr){m->msg_name, m->msg_namelen,                                                 \
                      &(struct iovec){first_byte(m->msg_iov, m->msg_iovlen).iov_base,              \
                                      first_byte(m->msg_iov, m->msg_iovlen).iov_len},              \
                      1, m->msg_control, m->msg_controllen, 0},                                    \
     flags)
STAND_IN(ssize_t, sendmsg, AG_FAIL_WRITE, (int fd, const struct msghdr *m, int flags),
         (fd, m, flags), OF_MESSAGE)
STAND_IN(ssize_t, recvmsg, AG_FAIL_READ, (int fd, struct msghdr *m, int flags), (fd, m, flags),
         OF_MESSAGE)

STAND_IN(int, fsync, AG_FAIL_SYNC, (int fd), (fd), (fd))
STAND_IN(int, fdatasync, AG_FAIL_SYNC, (int fd), (fd), (fd))
STAND_IN(int, connect, AG_FAIL_CONNECT, (int fd, const struct sockaddr *to, socklen_t size),
         (fd, to, size), (fd, to, size))

NEXT(close)
AG_API int ag__test_close(int fd) __asm__("close");
int ag__test_close(int fd) {
    int (*real)(int) = (int (*)(int))next(&next_close, "close");
    int e = fails(AG_FAIL_CLOSE), r = real(fd);
    if (e <= 0)
        return r;
    errno = e; /* the descriptor is gone all the same */
    return -1;
}

NEXT(preadv2)
AG_API ssize_t ag__test_preadv2(int fd, const struct iovec *v, int n, off_t at,
                                int flags) __asm__("preadv2");
ssize_t ag__test_preadv2(int fd, const struct iovec *v, int n, off_t at, int flags) {
    ssize_t (*real)(int, const struct iovec *, int, off_t, int) =
        (ssize_t(*)(int, const struct iovec *, int, off_t, int))next(&next_preadv2, "preadv2");
    if (!plan_for(AG_FAIL_READ))
        return real(fd, v, n, at, flags);
    errno = EOPNOTSUPP;
    return -1;
}

/* ---- Allocations of the program ------------------------------------------------------------- */

/* Not hidden: where a shared library has the same name, as a sanitizer's does, the linker asks. */
#define WRAP(name, params, args)                                                                   \
    void *__real_##name params;                                                                    \
    AG_API void *__wrap_##name params;                                                             \
    void *__wrap_##name params {                                                                   \
        if (fails(AG_FAIL_ALLOC) == 0)                                                             \
            return __real_##name args;                                                             \
        errno = ENOMEM;                                                                            \
        return NULL;                                                                               \
    }

WRAP(malloc, (size_t n), (n))
WRAP(calloc, (size_t n, size_t size), (n, size))
WRAP(realloc, (void *p, size_t n), (p, n))
WRAP(aligned_alloc, (size_t align, size_t n), (align, n))
WRAP(strdup, (const char *s), (s))
WRAP(strndup, (const char *s, size_t n), (s, n))

int __real_posix_memalign(void **ret, size_t align, size_t n);
AG_API int __wrap_posix_memalign(void **ret, size_t align, size_t n);
int __wrap_posix_memalign(void **ret, size_t align, size_t n) {
    return fails(AG_FAIL_ALLOC) == 0 ? __real_posix_memalign(ret, align, n) : ENOMEM;
}
