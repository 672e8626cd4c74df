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

enum { AG__FILE_DISK, AG__FILE_PIPE, AG__FILE_OTHER };
/* What is behind a descriptor: a file or a block device, whose reads and writes take the time of a
 * disk; a pipe; all else. */
int ag__file_kind(int fd);
ssize_t ag__file_read(int fd, void *buf, size_t n);
/* Reads what needs no waiting for a disk. -EAGAIN when something would, or can't be told. */
ssize_t ag__file_read_cached(int fd, void *buf, size_t n);
/* Never raises SIGPIPE. */
ssize_t ag__file_write(int fd, const void *buf, size_t n);
/* Pieces of one write: a struct iovec. */
typedef struct ag__piece {
    const char *data;
    size_t n;
} ag__piece;
ssize_t ag__file_write_pieces(int fd, const ag__piece *pieces, int count);
int ag__file_sync(int fd);
int ag__file_datasync(int fd);
int ag__file_close(int fd);
/* Opens it for appending, close-on-exec; makes it if it is not there. */
int ag__file_append(const char *path);
int ag__file_set_nonblocking(int fd);
int ag__file_set_close_on_exec(int fd);
/* A second number for the same open file, close-on-exec, above 2. */
int ag__file_dup(int fd);
/* The same, `least` or above. */
int ag__file_dup_from(int fd, int least);

int ag__file_pipe(int ret_ends[2]); /* non-blocking, close-on-exec */

/* Moves up to n bytes within the kernel, from where both stand: between files; where one of them is
 * a pipe; from a file. -EAGAIN when one of them is not ready and non-blocking. Never raises
 * SIGPIPE. */
enum { AG__MOVE_RANGE, AG__MOVE_SPLICE, AG__MOVE_SENDFILE };
ssize_t ag__file_move(int how, int to, int from, size_t n);
/* Whether an error of it says that this pair can't be copied this way. */
bool ag__file_move_unfit(int error);

/* Names in an open folder. */
int ag__folder_open(const char *path);
int ag__folder_create(int folder, const char *name, int mode); /* -EEXIST if it is there */
int ag__folder_mode(int folder, const char *name);             /* of a file, its permissions */
int ag__folder_rename(int folder, const char *from, const char *to);
int ag__folder_unlink(int folder, const char *name);
int ag__file_set_mode(int fd, int mode);

/* A pipe, close-on-exec, both numbers above 2: ret_fds[0] is the end to read. */
int ag__file_child_pipe(int ret_fds[2]);
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

/* What a descriptor is: a path, `pipe:[7]`, `socket:[7]`; "" when it is none. */
void ag__file_name(int fd, char *buf, size_t size);

#endif
