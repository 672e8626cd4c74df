/* SPDX-License-Identifier: MIT */
/*
 * proc.h - what the machine must offer of child processes. Results are negative errno values.
 */
#ifndef AG_PROC_H
#define AG_PROC_H

#include "base/base.h"

typedef struct ag__proc_start {
    const char *file; /* looked for in PATH if it has no slash */
    const char *const *argv;
    const char *const *env; /* NULL: ours */
    const char *dir;        /* NULL: ours */
    int fds[3];             /* the child's 0, 1 and 2: -1 ours, the same number, or above 2 */
    const int *more;        /* its 3 and above; each 3 + more_count or above here */
    int more_count;
    bool new_group;
} ag__proc_start;

/* Starts it with no other descriptors than these. Blocks until it runs the file. */
int ag__proc_spawn(const ag__proc_start *start, int *ret_pid);

/* A descriptor that is readable once the child has ended. -ENOSYS where there are none. */
int ag__proc_open(int pid);
/* Blocks until the child has ended, and leaves it there. */
void ag__proc_wait(int pid);

typedef struct ag__proc_status {
    int code;   /* -1: a signal */
    int signal; /* or 0 */
    bool core;
    int64_t user_ns, system_ns, max_rss;
} ag__proc_status;

/* Takes the status of a child that has ended, by its descriptor (-1: by its number alone). 1, 0
 * when it has not, -ECHILD. */
int ag__proc_collect(int pid, int fd, ag__proc_status *ret_status);
/* The number of some child that has ended, which is left there; 0: none, or there are no children.
 */
int ag__proc_ended(void);

/* Without a descriptor (-1) only while nobody has collected it. */
int ag__proc_signal(int pid, int fd, int sig);
int ag__proc_signal_group(int pid, int sig);
/* "killed"; NULL: unknown. */
const char *ag__proc_signal_name(int sig);

#endif
