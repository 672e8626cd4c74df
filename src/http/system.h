/* SPDX-License-Identifier: MIT */
/*
 * What HTTP asks of the system by itself: files of a tree that must not be left, and random bits.
 */
#ifndef AG_HTTP_SYSTEM_H
#define AG_HTTP_SYSTEM_H

#include <aglet/base.h>

/* An open file, or what a path leads to. */
typedef struct ag__http_stat {
    int fd; /* open for reading; -1 for a folder */
    bool is_folder;
    int64_t size;
    int64_t mtime_ns; /* since 1970 */
} ag__http_stat;

/* Opens the regular file at `path`; no other kind is opened for reading, and none waits. Returns: 0
   and *ret, whose fd is the caller's; -ENOENT also for what is neither a file nor a folder. */
int ag__http_open(const char *path, ag__http_stat *ret);

/*
 * The same of `path` below the folder `root`. Without `leaves` no symbolic link, no ".." leads out
 * of the root: -EXDEV; on a kernel without openat2 no link is followed at all: -ELOOP. `path` has
 * no leading '/'; empty is the root itself.
 */
int ag__http_open_below(const char *root, const char *path, bool leaves, ag__http_stat *ret);

void ag__http_close(int fd);
/* Where the next read or copy of it begins. */
int ag__http_seek(int fd, int64_t at);

/* Random bits that nobody can guess. */
void ag__http_random(void *buf, size_t n);

/* For tests: as on a kernel without openat2. */
extern bool ag__http_no_openat2;

#endif
