/* SPDX-License-Identifier: MIT */
/*
 * inject.c - the wrappers, and the walk.
 *
 * Every wrapper asks `fails` first. Blocks of memory are noted in a table, so that the walk can
 * tell whether a failure left one behind.
 */
#include "inject.h"

#include <dirent.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

enum { SHORT = -1 };

enum call {
    NONE,
#define CALL(name, ...) CALL_##name,
#define RAW(name, ...) RAW_##name,
#include "inject.def"
#undef CALL
#undef RAW
    CALLS
};

static const struct {
    const char *name;
    int kind;
    int errors[8]; /* ended by 0 */
} table[CALLS] = {
#define CALL(name, kind, ...) [CALL_##name] = {#name, kind, {__VA_ARGS__}},
#define RAW(name, kind, ...) [RAW_##name] = {#name, kind, {__VA_ARGS__}},
#include "inject.def"
#undef CALL
#undef RAW
};

/* ---- What is to fail ------------------------------------------------------------------------ */

static _Atomic int target; /* a call, or the negative of kinds: any call of them */
static _Atomic int nth, calls, failed;
static _Atomic int error;            /* 0: the first one of the call */
static _Atomic bool ever;            /* the following ones, too */
static _Atomic int last, last_error; /* what failed */

static void begin(int call, int with, int n, bool and_ever) {
    atomic_store(&target, NONE);
    atomic_store(&error, with);
    atomic_store(&nth, n);
    atomic_store(&ever, and_ever);
    atomic_store(&calls, 0);
    atomic_store(&failed, 0);
    atomic_store(&target, call);
}

void inject(const char *name, int with, int n, bool and_ever) {
    for (int i = 1; i < CALLS; i++)
        if (strcmp(table[i].name, name) == 0) {
            begin(i, with, n, and_ever);
            return;
        }
    ag_fail("inject.def has no %s", name);
}

int inject_end(void) {
    atomic_store(&target, NONE);
    return atomic_load(&failed);
}

int injected(void) {
    return atomic_load(&failed);
}

/* 0, or the error of this call. */
static int fails(enum call call) {
    int wanted = atomic_load(&target);
    if (wanted < 0 ? !(table[call].kind & -wanted) : wanted != (int)call)
        return 0;
    int n = atomic_fetch_add(&calls, 1) + 1, which = atomic_load(&nth);
    if (n != which && !(n > which && atomic_load(&ever)))
        return 0;
    int e = atomic_load(&error);
    if (e == 0)
        e = table[call].errors[0];
    atomic_store(&last, call);
    atomic_store(&last_error, e);
    atomic_fetch_add(&failed, 1);
    return e;
}

/* ---- Blocks of memory ----------------------------------------------------------------------- */

enum { BLOCKS = 1 << 17 };
static void *blocks[BLOCKS]; /* Guarded by blocks_lock; open addressing. */
static int live;             /* Guarded by blocks_lock. */
static atomic_flag blocks_lock = ATOMIC_FLAG_INIT;
#define GONE ((void *)1)

static unsigned home(const void *p) {
    return (unsigned)(((uintptr_t)p >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 40) % BLOCKS;
}

static void *noted(void *p) {
    if (!p)
        return p;
    while (atomic_flag_test_and_set(&blocks_lock))
        continue;
    unsigned i = home(p);
    while (blocks[i] && blocks[i] != GONE)
        i = (i + 1) % BLOCKS;
    blocks[i] = p;
    live++;
    atomic_flag_clear(&blocks_lock);
    return p;
}

/* Blocks that the C library handed out by itself are not in the table. */
static void forget(const void *p) {
    while (atomic_flag_test_and_set(&blocks_lock))
        continue;
    unsigned i = home(p);
    while (blocks[i] && blocks[i] != p)
        i = (i + 1) % BLOCKS;
    if (p && blocks[i]) {
        blocks[i] = GONE;
        live--;
    }
    atomic_flag_clear(&blocks_lock);
}

static int live_now(void) {
    while (atomic_flag_test_and_set(&blocks_lock))
        continue;
    int n = live;
    atomic_flag_clear(&blocks_lock);
    return n;
}

/* ---- The wrappers --------------------------------------------------------------------------- */

#define DECLARE(type, name, params)                                                                \
    type __real_##name params;                                                                     \
    type __wrap_##name params

/* One that reports by `bad` and errno. */
#define WRAP(type, name, bad, params, args)                                                        \
    DECLARE(type, name, params);                                                                   \
    type __wrap_##name params {                                                                    \
        int e = fails(CALL_##name);                                                                \
        if (e == 0)                                                                                \
            return __real_##name args;                                                             \
        errno = e;                                                                                 \
        return bad;                                                                                \
    }

/* One that makes memory. */
#define WRAP_BLOCK(name, params, args)                                                             \
    DECLARE(void *, name, params);                                                                 \
    void *__wrap_##name params {                                                                   \
        int e = fails(CALL_##name);                                                                \
        if (e == 0)                                                                                \
            return noted(__real_##name args);                                                      \
        errno = e;                                                                                 \
        return NULL;                                                                               \
    }

/* One that moves n bytes. */
#define WRAP_MOVE(name, params, args, args_of_one)                                                 \
    DECLARE(ssize_t, name, params);                                                                \
    ssize_t __wrap_##name params {                                                                 \
        int e = fails(CALL_##name);                                                                \
        if (e == 0)                                                                                \
            return __real_##name args;                                                             \
        if (e == SHORT)                                                                            \
            return __real_##name args_of_one;                                                      \
        errno = e;                                                                                 \
        return -1;                                                                                 \
    }

WRAP_BLOCK(malloc, (size_t n), (n))
WRAP_BLOCK(calloc, (size_t n, size_t size), (n, size))
WRAP_BLOCK(aligned_alloc, (size_t align, size_t n), (align, n))
DECLARE(void, free, (void *p));
void __wrap_free(void *p) {
    forget(p);
    __real_free(p);
}
DECLARE(void *, realloc, (void *p, size_t n));
void *__wrap_realloc(void *p, size_t n) {
    int e = fails(CALL_realloc);
    if (e) {
        errno = e;
        return NULL;
    }
    forget(p);
    return noted(__real_realloc(p, n));
}
DECLARE(int, posix_memalign, (void **ret, size_t align, size_t n));
int __wrap_posix_memalign(void **ret, size_t align, size_t n) {
    int e = fails(CALL_posix_memalign);
    if (e == 0 && (e = __real_posix_memalign(ret, align, n)) == 0)
        noted(*ret);
    return e;
}
DECLARE(char *, strdup, (const char *text));
char *__wrap_strdup(const char *text) {
    int e = fails(CALL_strdup);
    if (e == 0)
        return noted(__real_strdup(text));
    errno = e;
    return NULL;
}
WRAP(FILE *, open_memstream, NULL, (char **text, size_t *n), (text, n))

DECLARE(int, pthread_create,
        (pthread_t * t, const pthread_attr_t *a, void *(*fn)(void *), void *arg));
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg) {
    int e = fails(CALL_pthread_create);
    return e ? e : __real_pthread_create(t, a, fn, arg);
}

WRAP(void *, mmap, MAP_FAILED, (void *p, size_t n, int prot, int flags, int fd, off_t at),
     (p, n, prot, flags, fd, at))
WRAP(int, mprotect, -1, (void *p, size_t n, int prot), (p, n, prot))
WRAP(int, madvise, -1, (void *p, size_t n, int advice), (p, n, advice))
WRAP(int, mincore, -1, (void *p, size_t n, unsigned char *map), (p, n, map))
WRAP(int, sigaction, -1, (int sig, const struct sigaction *new, struct sigaction *old),
     (sig, new, old))
WRAP(int, sigaltstack, -1, (const stack_t *new, stack_t *old), (new, old))
WRAP(FILE *, fopen, NULL, (const char *path, const char *mode), (path, mode))
WRAP(DIR *, opendir, NULL, (const char *path), (path))
DECLARE(int, open, (const char *path, int flags, ...));
int __wrap_open(const char *path, int flags, ...) {
    va_list args;
    va_start(args, flags);
    unsigned mode = flags & O_CREAT ? va_arg(args, unsigned) : 0;
    va_end(args);
    int e = fails(CALL_open);
    if (e == 0)
        return __real_open(path, flags, mode);
    errno = e;
    return -1;
}

WRAP(int, socket, -1, (int family, int type, int protocol), (family, type, protocol))
WRAP(int, bind, -1, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n))
WRAP(int, listen, -1, (int fd, int n), (fd, n))
WRAP(int, accept4, -1, (int fd, struct sockaddr *a, socklen_t *n, int flags), (fd, a, n, flags))
WRAP(int, connect, -1, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n))
WRAP(int, shutdown, -1, (int fd, int how), (fd, how))
WRAP(int, getsockname, -1, (int fd, struct sockaddr *a, socklen_t *n), (fd, a, n))
WRAP(int, getpeername, -1, (int fd, struct sockaddr *a, socklen_t *n), (fd, a, n))
WRAP(int, getsockopt, -1, (int fd, int level, int option, void *value, socklen_t *n),
     (fd, level, option, value, n))
WRAP(int, setsockopt, -1, (int fd, int level, int option, const void *value, socklen_t n),
     (fd, level, option, value, n))
WRAP_MOVE(recv, (int fd, void *buf, size_t n, int flags), (fd, buf, n, flags), (fd, buf, 1, flags))
WRAP_MOVE(send, (int fd, const void *buf, size_t n, int flags), (fd, buf, n, flags),
          (fd, buf, n > 0, flags))
WRAP_MOVE(read, (int fd, void *buf, size_t n), (fd, buf, n), (fd, buf, n > 0))
WRAP_MOVE(write, (int fd, const void *buf, size_t n), (fd, buf, n), (fd, buf, n > 0))
DECLARE(ssize_t, sendmsg, (int fd, const struct msghdr *m, int flags));
ssize_t __wrap_sendmsg(int fd, const struct msghdr *m, int flags) {
    int e = fails(CALL_sendmsg);
    if (e == 0)
        return __real_sendmsg(fd, m, flags);
    for (size_t i = 0; e == SHORT && i < m->msg_iovlen; i++)
        if (m->msg_iov[i].iov_len > 0)
            return __real_send(fd, m->msg_iov[i].iov_base, 1, flags);
    errno = e == SHORT ? EINTR : e;
    return -1;
}
WRAP(ssize_t, preadv2, -1, (int fd, const struct iovec *v, int n, off_t at, int flags),
     (fd, v, n, at, flags))
DECLARE(ssize_t, writev, (int fd, const struct iovec *v, int n));
ssize_t __wrap_writev(int fd, const struct iovec *v, int n) {
    int e = fails(CALL_writev);
    if (e == 0 || (e == SHORT && n == 0))
        return __real_writev(fd, v, n);
    if (e == SHORT)
        return __real_write(fd, v->iov_base, v->iov_len > 0);
    errno = e;
    return -1;
}
WRAP(int, fsync, -1, (int fd), (fd))
WRAP(int, fdatasync, -1, (int fd), (fd))
WRAP_MOVE(sendfile, (int to, int from, off_t *at, size_t n), (to, from, at, n),
          (to, from, at, n > 0))
WRAP_MOVE(splice, (int from, off64_t *at, int to, off64_t *to_at, size_t n, unsigned flags),
          (from, at, to, to_at, n, flags), (from, at, to, to_at, n > 0, flags))
WRAP_MOVE(copy_file_range,
          (int from, off64_t *at, int to, off64_t *to_at, size_t n, unsigned flags),
          (from, at, to, to_at, n, flags), (from, at, to, to_at, n > 0, flags))
WRAP(int, pipe2, -1, (int ends[2], int flags), (ends, flags))
int a_pipe(int ret_ends[2]) {
    return __real_pipe2(ret_ends, O_CLOEXEC | O_NONBLOCK);
}
DECLARE(int, openat, (int folder, const char *path, int flags, ...));
int __wrap_openat(int folder, const char *path, int flags, ...) {
    va_list args;
    va_start(args, flags);
    unsigned mode = flags & O_CREAT ? va_arg(args, unsigned) : 0;
    va_end(args);
    int e = fails(CALL_openat);
    if (e == 0)
        return __real_openat(folder, path, flags, mode);
    errno = e;
    return -1;
}
WRAP(int, renameat, -1, (int a, const char *from, int b, const char *to), (a, from, b, to))
WRAP(int, unlinkat, -1, (int folder, const char *name, int flags), (folder, name, flags))
WRAP(int, fstatat, -1, (int folder, const char *name, struct stat *st, int flags),
     (folder, name, st, flags))
WRAP(int, fchmod, -1, (int fd, mode_t mode), (fd, mode))
WRAP(int, fstat, -1, (int fd, struct stat *st), (fd, st))
WRAP(int, lstat, -1, (const char *path, struct stat *st), (path, st))
WRAP(int, unlink, -1, (const char *path), (path))
WRAP(int, ppoll, -1, (struct pollfd * p, nfds_t n, const struct timespec *t, const sigset_t *set),
     (p, n, t, set))
WRAP(ssize_t, getrandom, -1, (void *to, size_t n, unsigned flags), (to, n, flags))
WRAP(int, getentropy, -1, (void *to, size_t n), (to, n))

/* These return the error. */
DECLARE(int, posix_spawnp,
        (pid_t * pid, const char *file, const posix_spawn_file_actions_t *files,
         const posix_spawnattr_t *attr, char *const argv[], char *const env[]));
int __wrap_posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *files,
                        const posix_spawnattr_t *attr, char *const argv[], char *const env[]) {
    int e = fails(CALL_posix_spawnp);
    return e ? e : __real_posix_spawnp(pid, file, files, attr, argv, env);
}
DECLARE(int, posix_spawn_file_actions_adddup2,
        (posix_spawn_file_actions_t * files, int fd, int as));
int __wrap_posix_spawn_file_actions_adddup2(posix_spawn_file_actions_t *files, int fd, int as) {
    int e = fails(CALL_posix_spawn_file_actions_adddup2);
    return e ? e : __real_posix_spawn_file_actions_adddup2(files, fd, as);
}

DECLARE(int, close, (int fd));
int __wrap_close(int fd) {
    int r = __real_close(fd), e = fails(CALL_close);
    if (e == 0)
        return r;
    errno = e; /* the descriptor is gone all the same */
    return -1;
}
DECLARE(int, fcntl, (int fd, int command, ...));
int __wrap_fcntl(int fd, int command, ...) {
    va_list args;
    va_start(args, command);
    long arg = va_arg(args, long);
    va_end(args);
    int e = fails(CALL_fcntl);
    if (e == 0)
        return __real_fcntl(fd, command, arg);
    errno = e;
    return -1;
}
DECLARE(int, getaddrinfo,
        (const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **ret));
int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **ret) {
    int e = fails(CALL_getaddrinfo);
    if (e == 0)
        return __real_getaddrinfo(host, port, hints, ret);
    errno = e;
    return e == ENOMEM ? EAI_MEMORY : e == EAGAIN ? EAI_AGAIN : EAI_SYSTEM;
}

DECLARE(long, syscall, (long number, ...));
long __wrap_syscall(long number, ...) {
    va_list args;
    long a[6];
    int e = 0;
    va_start(args, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(args, long);
    va_end(args);
    switch (number) {
#define CALL(...)
#define RAW(name, ...)                                                                             \
    case SYS_##name:                                                                               \
        e = fails(RAW_##name);                                                                     \
        break;
#include "inject.def"
#undef CALL
#undef RAW
    default:
        break;
    }
    if (e == 0)
        return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    errno = e;
    return -1;
}

/* ---- The walk ------------------------------------------------------------------------------- */

/* Some are told by another name: no room for a socket is no memory, and a resolver or a thread
 * start has its own words. */
bool ok_at(const char *file, int line, const char *what, long long result) {
    int e = atomic_load(&last_error), call = atomic_load(&last), kind = table[call].kind;
    if (result >= 0)
        return true;
    bool explained = result == -e || (e == ENOBUFS && result == -ENOMEM) ||
                     (kind & (MEMORY | GROW | THREAD) && (result == -ENOMEM || result == -EAGAIN));
    if (!injected() || !explained)
        ag_test_fail(file, line, "%s is %lld (%s), %d calls of %s have failed with %s", what,
                     result, strerrorname_np((int)-result), injected(), table[call].name,
                     e > 0 ? strerrorname_np(e) : "SHORT");
    return false;
}

bool ok_after_at(const char *file, int line, const char *what, long long result) {
    if (result < 0 && !injected())
        ag_test_fail(file, line, "%s is %lld (%s), and nothing has failed", what, result,
                     strerrorname_np((int)-result));
    return result >= 0;
}

bool ok_ptr_at(const char *file, int line, const char *what, const void *result) {
    if (!result && !injected())
        ag_test_fail(file, line, "%s is NULL, and nothing has failed", what);
    return result != NULL;
}

static int open_fds(void) {
    int n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += __real_fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* Waits until as much is there as before; closing may be another goroutine's work. */
static void settle(const char *what, int fds, int64_t goroutines) {
    ag_time end = ag_now() + 10 * AG_SEC * ag_test_slow();
    while (open_fds() != fds || ag_count() != goroutines) {
        if (ag_now() > end) {
            ag_dump(stderr);
            ag_fail("%s: %d descriptors are open, there were %d; %lld goroutines, there were %lld",
                    what, open_fds(), fds, (long long)ag_count(), (long long)goroutines);
        }
        ag_sleep(AG_MS / 4);
    }
}

/* One way: the first, the second … call fails. Returns how many did. */
static int go_along(int call, int with, void (*step)(void), int *ret_live) {
    enum { QUIET_MAX = 12 };
    const char *name = call > 0 ? table[call].name : -call & MEMORY ? "any memory" : "any call";
    int all = 0, most = call > 0 && table[call].kind == QUIET ? QUIET_MAX : INT32_MAX;
    for (int n = 1; n <= most; n++) {
        char what[96];
        snprintf(what, sizeof what, "%s %d: %s", name, n,
                 with == SHORT ? "SHORT"
                 : with        ? strerrorname_np(with)
                               : "fails");
        dprintf(STDOUT_FILENO, "%s\n", what);
        int fds = open_fds();
        int64_t goroutines = ag_count();
        begin(call, with, n, false);
        step();
        int now = inject_end();
        settle(what, fds, goroutines);
        if (now == 0)
            break;
        all += now;
    }
    *ret_live = live_now();
    return all;
}

/* Records in caches of the processors make pools grow now and then; a loss comes every time. To the
 * race sanitizer all rounds are the same, and each goroutine is dear: one will do. */
static int many_times(const char *file, int line, int call, int with, void (*step)(void)) {
#if defined(__SANITIZE_THREAD__)
    enum { TIMES_MIN = 1, TIMES_MAX = 1 };
#else
    enum { TIMES_MIN = 3, TIMES_MAX = 12 };
#endif
    int before, after, grown = 0, all = go_along(call, with, step, &after);
    for (int i = 1; all > 0 && i < TIMES_MAX && (i < TIMES_MIN || grown == i - 1); i++) {
        before = after;
        all += go_along(call, with, step, &after);
        grown += after > before;
    }
    if (TIMES_MAX > 1 && grown == TIMES_MAX - 1)
        ag_test_fail(file, line, "memory is lost in each of %d walks, %d blocks are there", grown,
                     after);
    return all;
}

int walk_at(const char *file, int line, int kinds, void (*step)(void)) {
    int all = 0, memory = kinds & (MEMORY | GROW), calls_too = kinds & (SYSTEM | THREAD);
    /* Before anything has filled a pool. */
    if (memory)
        all += many_times(file, line, -memory, 0, step);
    if (calls_too)
        all += many_times(file, line, -calls_too, 0, step);
    for (int call = 1; call < CALLS; call++) {
        if (!(table[call].kind & kinds & ~memory))
            continue;
        for (const int *with = table[call].errors; *with; with++) {
            int some = many_times(file, line, call, *with, step);
            if (some == 0)
                break; /* it isn't called at all */
            all += some;
        }
    }
    return all;
}
