/* SPDX-License-Identifier: MIT */
/*
 * file.h - what the machine must offer of descriptors that are no sockets. Results are negative
 * errno values; calls that a signal interrupted are repeated, but for ag__file_close, after which
 * the number is free in any case.
 */
#ifndef AG_FILE_H
#define AG_FILE_H

#include "base/base.h"
#include <sys/types.h>

ssize_t ag__file_read(int fd, void *buf, size_t n);
/* Reads what needs no waiting for a disk. -EAGAIN when something would, or can't be told. */
ssize_t ag__file_read_cached(int fd, void *buf, size_t n);
bool ag__file_is_regular(int fd);
/* Never raises SIGPIPE. */
ssize_t ag__file_write(int fd, const void *buf, size_t n);
int ag__file_sync(int fd);
int ag__file_close(int fd);
int ag__file_set_nonblocking(int fd);
/* A second number for the same open file, close-on-exec. */
int ag__file_dup(int fd);

/* A pipe, close-on-exec, both numbers above 2: ret_fds[0] is the end to read. */
int ag__file_pipe(int ret_fds[2]);
/* /dev/null, likewise. */
int ag__file_null(void);

/* What a number means: two files that are open at the same time differ in it, but for those
 * without an inode of their own (eventfd, timerfd …). */
typedef struct ag__file_id {
    uint64_t device, inode;
} ag__file_id;
int ag__file_identify(int fd, ag__file_id *ret_id);
/* The same of a path, which must be a socket: -ENOTSOCK. */
int ag__file_identify_socket(const char *path, ag__file_id *ret_id);
int ag__file_unlink(const char *path);

#endif
