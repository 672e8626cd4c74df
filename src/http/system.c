/* SPDX-License-Identifier: MIT */
/*
 * system.c - files of a tree that must not be left, and random bits.
 *
 * openat2 (Linux 5.6) resolves a path so that the kernel itself sees to it that it stays below the
 * root, whatever links are put there meanwhile. Where it is missing, or a sandbox refuses it, the
 * path is walked by its segments, without following any link.
 *
 * Files are opened without waiting for a writer of a FIFO or a terminal, looked at, and closed
 * again if they are anything but regular.
 */
#include "http/system.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { HOW = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, TRIES = 16 };

bool ag__http_no_openat2;

/* 0, which is not known, for a time that no clock has shown. */
static int64_t nanoseconds(const struct timespec *t) {
    int64_t ns;
    if (__builtin_mul_overflow((int64_t)t->tv_sec, 1000000000, &ns) ||
        __builtin_add_overflow(ns, t->tv_nsec, &ns))
        return 0;
    return ns;
}

/* Takes the descriptor, or the error. */
static int look_at(int fd, ag__http_stat *ret) {
    struct stat st = {.st_size = 0};
    if (fd < 0)
        return fd;
    int r = fstat(fd, &st) == 0 ? 0 : -errno;
    ret->fd = fd;
    ret->is_folder = r == 0 && S_ISDIR(st.st_mode);
    ret->size = st.st_size;
    ret->mtime_ns = nanoseconds(&st.st_mtim);
    if (r == 0 && !ret->is_folder && !S_ISREG(st.st_mode))
        r = -ENOENT;
    if (r != 0 || ret->is_folder) {
        close(fd);
        ret->fd = -1;
    }
    return r;
}

static int open_at(int folder, const char *name, int how) {
    int fd;
    do
        fd = openat(folder, name, how);
    while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

int ag__http_open(const char *path, ag__http_stat *ret) {
    int saved = errno;
    int r = look_at(open_at(AT_FDCWD, path, HOW), ret);
    errno = saved;
    return r;
}

/* Returns: a descriptor, an error; -ENOSYS where there is no such call. */
static int open_beneath(int root, const char *path) {
    struct open_how how = {.flags = HOW, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    for (int i = 0; i < TRIES; i++) {
        long fd = syscall(SYS_openat2, root, path, &how, sizeof how);
        if (fd >= 0)
            return (int)fd;
        if (errno != EAGAIN && errno != EINTR) /* something was renamed meanwhile: again */
            return -errno;
    }
    return -EAGAIN;
}

/* Segment by segment, without links. */
static int walk(int root, const char *path) {
    int folder = root, fd = -ENOENT;
    char *copy = strdup(path), *rest = copy, *name;
    if (!copy)
        return -ENOMEM;
    while ((name = strsep(&rest, "/")) != NULL) {
        fd = strcmp(name, "..") == 0 ? -EXDEV
             : rest ? open_at(folder, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                    : open_at(folder, name, HOW | O_NOFOLLOW);
        if (folder != root)
            close(folder);
        folder = fd;
        if (fd < 0)
            break;
    }
    free(copy);
    return fd;
}

int ag__http_open_below(const char *root, const char *path, bool leaves, ag__http_stat *ret) {
    int saved = errno, fd;
    int folder = open_at(AT_FDCWD, root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) {
        errno = saved;
        return folder;
    }
    if (!*path)
        path = ".";
    fd = leaves                ? open_at(folder, path, HOW)
         : ag__http_no_openat2 ? -ENOSYS
                               : open_beneath(folder, path);
    if (fd == -ENOSYS || (fd == -EPERM && !leaves))
        fd = walk(folder, path);
    int r = look_at(fd, ret);
    close(folder);
    errno = saved;
    return r;
}

void ag__http_close(int fd) {
    int saved = errno;
    close(fd);
    errno = saved;
}

int ag__http_seek(int fd, int64_t at) {
    int saved = errno;
    int r = lseek(fd, at, SEEK_SET) < 0 ? -errno : 0;
    errno = saved;
    return r;
}

void ag__http_random(void *buf, size_t n) {
    int saved = errno;
    for (char *at = buf; n > 0;) {
        ssize_t got = getrandom(at, n, 0);
        if (got < 0 && errno != EINTR)
            abort(); /* of a kernel before 3.17, on which nothing of this runs */
        at += got > 0 ? got : 0;
        n -= got > 0 ? (size_t)got : 0;
    }
    errno = saved;
}
