/* SPDX-License-Identifier: MIT */
/*
 * proc.c (Linux) - child processes: posix_spawn, and pidfds.
 *
 * glibc's posix_spawn shares the memory until the exec (CLONE_VFORK), so it costs the same however
 * large this process is, runs no handlers of fork, and knows the error of the exec.
 *
 * A pidfd (Linux 5.3) means one process for ever, where a number may come to mean another one. The
 * status is taken through it, too (5.4): a program that waits for any child may have taken it, and
 * another child of ours may have the number now.
 */
#include "os/proc.h"
#include "os/os.h"
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BY_PIDFD = 3 /* P_PIDFD */ };

/* --- Starting. --- */

static int add_files(posix_spawn_file_actions_t *files, const ag__proc_start *start) {
    int r = start->dir ? posix_spawn_file_actions_addchdir_np(files, start->dir) : 0;
    for (int i = 0; i < 3 && r == 0; i++)
        if (start->fds[i] >= 0)
            r = posix_spawn_file_actions_adddup2(files, start->fds[i], i);
    for (int i = 0; i < start->more_count && r == 0; i++)
        r = posix_spawn_file_actions_adddup2(files, start->more[i], 3 + i);
#if __GLIBC_PREREQ(2, 34) /* before that, those that are not close-on-exec are inherited */
    if (r == 0)
        r = posix_spawn_file_actions_addclosefrom_np(files, 3 + start->more_count);
#endif
    return r;
}

static int spawn(const ag__proc_start *start, posix_spawn_file_actions_t *files,
                 posix_spawnattr_t *attr, pid_t *ret_pid) {
    int r = add_files(files, start);
    if (r == 0 && start->new_group)
        r = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETPGROUP);
    if (r == 0)
        r = posix_spawnp(ret_pid, start->file, files, attr, (char *const *)start->argv,
                         start->env ? (char *const *)start->env : environ);
    return r;
}

int ag__proc_spawn(const ag__proc_start *start, int *ret_pid) {
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    pid_t pid = 0;
    int saved = errno;
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attr);
    int r = spawn(start, &files, &attr, &pid);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&files);
    errno = saved;
    if (r == 0)
        *ret_pid = pid;
    return -r;
}

/* --- Waiting. --- */

static bool has_pidfds(void) {
    static _Atomic int known; /* 0: not yet; 1: no; 2: there may be */
    if (atomic_load(&known) == 0)
        atomic_store(&known, ag__os_env("AGLET_NO_PIDFD", 0) ? 1 : 2);
    return atomic_load(&known) == 2;
}

int ag__proc_open(int pid) {
    int saved = errno, r = -ENOSYS;
    if (has_pidfds())
        r = (int)syscall(SYS_pidfd_open, pid, 0);
    if (r == -1)
        r = errno == EPERM ? -ENOSYS : -errno; /* a sandbox that does not know the call */
    errno = saved;
    return r;
}

void ag__proc_wait(int pid) {
    siginfo_t info;
    int saved = errno;
    while (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) != 0 && errno == EINTR) {
    }
    errno = saved;
}

static int64_t ns_of(struct timeval t) {
    return (int64_t)t.tv_sec * 1000000000 + (int64_t)t.tv_usec * 1000;
}

/* waitid(2) of the kernel, which also tells the usage. */
static int wait_now(int type, int id, siginfo_t *info, struct rusage *usage) {
    memset(info, 0, sizeof *info);
    return syscall(SYS_waitid, type, id, info, WEXITED | WNOHANG, usage) == 0 ? 0 : -errno;
}

int ag__proc_collect(int pid, int fd, ag__proc_status *ret_status) {
    siginfo_t info;
    struct rusage usage;
    int saved = errno, r = fd < 0 ? -EINVAL : wait_now(BY_PIDFD, fd, &info, &usage);
    if (r == -EINVAL)
        r = wait_now(P_PID, pid, &info, &usage);
    errno = saved;
    if (r != 0)
        return r;
    if (info.si_pid == 0)
        return 0;
    bool exited = info.si_code == CLD_EXITED;
    ret_status->code = exited ? info.si_status : -1;
    ret_status->signal = exited ? 0 : info.si_status;
    ret_status->core = info.si_code == CLD_DUMPED;
    ret_status->user_ns = ns_of(usage.ru_utime);
    ret_status->system_ns = ns_of(usage.ru_stime);
    ret_status->max_rss = (int64_t)usage.ru_maxrss * 1024;
    return 1;
}

int ag__proc_ended(void) {
    siginfo_t info;
    int saved = errno;
    memset(&info, 0, sizeof info);
    int r = waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT);
    errno = saved;
    return r == 0 ? info.si_pid : 0;
}

/* --- Signals. --- */

int ag__proc_signal(int pid, int fd, int sig) {
    int saved = errno;
    int r = fd < 0 ? kill(pid, sig) : (int)syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0);
    if (r != 0)
        r = -errno;
    errno = saved;
    return r;
}

int ag__proc_signal_group(int pid, int sig) {
    int saved = errno;
    int r = kill(-pid, sig) == 0 ? 0 : -errno;
    errno = saved;
    return r;
}

const char *ag__proc_signal_name(int sig) {
    return sigdescr_np(sig);
}
