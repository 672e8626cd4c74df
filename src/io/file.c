/* SPDX-License-Identifier: MIT */
/*
 * file.c - files, which no poller can watch: a disk takes its time inside the call.
 *
 * What is in the system's cache is read at once; everything else runs with the processor handed
 * on. A read of a file that was served from the cache in part asks for the rest, so that a short
 * read means what it means for read(2); a pipe or a terminal gives what it has. Reads of more than
 * CACHED_MAX are handed on without asking: copying takes its time, too. For who must not wait any
 * more, all but the cache is a wait; a call that is in the kernel already goes on to its end.
 */
#include "os/file.h"
#include "io/io.h"
#include <aglet/run.h>
#include <errno.h>

enum { CACHED_MAX = 256 * 1024 };

struct transfer {
    int fd;
    char *to;
    const char *from;
    size_t n;
    ssize_t result;
};

static void read_blocking(struct transfer *t) {
    t->result = ag__file_read(t->fd, t->to, t->n);
}

ssize_t ag_file_read(int fd, void *buf, size_t n) {
    ssize_t got = n <= CACHED_MAX ? ag__file_read_cached(fd, buf, n) : -EAGAIN;
    if (got == -EBADF || got == 0 || got == (ssize_t)n)
        return got;
    size_t have = got > 0 ? (size_t)got : 0;
    if (have > 0 && ag__file_kind(fd) != AG__FILE_DISK)
        return got;
    int ended = ag__ended_here();
    if (ended != 0)
        return have > 0 ? (ssize_t)have : ended;
    struct transfer t = {.fd = fd, .to = (char *)buf + have, .n = n - have};
    ag_blocking(read_blocking, &t);
    if (t.result < 0)
        return have > 0 ? (ssize_t)have : t.result;
    return (ssize_t)have + t.result;
}

static void write_blocking(struct transfer *t) {
    t->result = (ssize_t)t->n;
    while (t->n > 0) {
        ssize_t put = ag__file_write(t->fd, t->from, t->n);
        if (put <= 0) {
            t->result = put < 0 ? put : -EIO;
            return;
        }
        t->from += put;
        t->n -= (size_t)put;
    }
}

ssize_t ag_file_write(int fd, const void *buf, size_t n) {
    struct transfer t = {.fd = fd, .from = buf, .n = n};
    int ended = ag__ended_here();
    if (ended != 0)
        return ended;
    ag_blocking(write_blocking, &t);
    return t.result;
}

int ag_file_sync(int fd) {
    int ended = ag__ended_here();
    return ended != 0 ? ended : (int)ag_blocking(ag__file_sync, fd);
}
