/* SPDX-License-Identifier: MIT */
/*
 * aglet/io.h - bare descriptors and files. Buffers are in aglet/bufio.h; pipes, copies, whole files
 * and durable appends in aglet/file.h.
 */
#ifndef AGLET_IO_H
#define AGLET_IO_H

#include <aglet/base.h>
#include <sys/types.h>

AG__BEGIN

enum { AG_READABLE = 1, AG_WRITABLE = 2 };

/**
 * Parks until `fd` is ready for one of `events` (AG_READABLE | AG_WRITABLE), has failed or hung
 * up, or `deadline` (a point of ag_now(); 0: none) has passed. The descriptor should be
 * non-blocking; one that epoll can't watch (a regular file) is always ready.
 * Returns: the ready events (> 0), -ETIMEDOUT, -EBADF, -ECANCELED when ag_fd_close closed it,
 * -ENOMEM, -ENOSPC when it can't be watched for lack of something; also -ECANCELED / -ETIMEDOUT
 * when the current context has ended and it would have to wait.
 */
AG_API int ag_fd_wait(int fd, int events, ag_time deadline);
/** read(2) that parks on EAGAIN. Returns: bytes, 0 at the end, a negative errno. */
AG_API ssize_t ag_fd_read(int fd, void *buf, size_t n);
/** Writes all of it, parking on EAGAIN. Returns: n or a negative errno. */
AG_API ssize_t ag_fd_write(int fd, const void *buf, size_t n);
/** close(2) that wakes everybody who waits on `fd` with -ECANCELED first. Returns: 0 or a negative
 * errno; the number is free in any case, unless it is -EBADF. */
AG_API int ag_fd_close(int fd);

/** File reads, writes and syncs that never stall other goroutines. ag_file_write writes all.
 * Returns: bytes or 0, a negative errno; -ECANCELED / -ETIMEDOUT, with nothing done, when the
 * current context has ended and it is not in the system's cache. One that is under way goes on to
 * its end. */
AG_API ssize_t ag_file_read(int fd, void *buf, size_t n);
AG_API ssize_t ag_file_write(int fd, const void *buf, size_t n);
AG_API int ag_file_sync(int fd);

AG__END
#endif
