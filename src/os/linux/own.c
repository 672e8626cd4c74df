/* SPDX-License-Identifier: MIT */
/*
 * own.c (Linux) - sockets that only their owner can find and use.
 *
 * /tmp is everybody's: another user may have made our folder first, or a link in its place. So it
 * is taken as it is without following a link, and refused unless it is ours and closed to others;
 * then the sticky bit keeps everybody from replacing it. $XDG_RUNTIME_DIR may be inherited from
 * another user (sudo -E), and a folder of ours in there would keep him from having his own.
 *
 * A socket is bound under another name and renamed once it listens: whoever finds it can connect,
 * and what an earlier process of this number left is replaced in one step.
 *
 * Refused: the abstract name space. It has no permissions, and is shared by all containers that
 * share a network, whose users have the same numbers.
 */
#include "os/own.h"
#include "os/os.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

int64_t ag__own_user(void) {
    return (int64_t)geteuid();
}

/* 0 if it is a folder of this user, with no permission of these for others. */
static int check_folder(const char *path, mode_t others) {
    struct stat st;
    if (lstat(path, &st) != 0)
        return -errno;
    return S_ISDIR(st.st_mode) && st.st_uid == geteuid() && (st.st_mode & others) == 0 ? 0 : -EPERM;
}

static int find_folder(char *path, size_t size) {
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    int n = -1;
    if (runtime && runtime[0] == '/' && check_folder(runtime, 022) == 0)
        n = snprintf(path, size, "%s/aglet", runtime);
    if (n < 0 || (size_t)n >= size)
        n = snprintf(path, size, "/tmp/aglet-%ld", (long)geteuid());
    if ((size_t)n >= size)
        return -ENAMETOOLONG;
    if (mkdir(path, 0700) == 0)
        chmod(path, 0700); /* whatever the umask takes away */
    else if (errno != EEXIST)
        return -errno;
    return check_folder(path, 077);
}

int ag__own_folder(char *ret_path, size_t size) {
    int saved = errno;
    int r = find_folder(ret_path, size);
    errno = saved;
    return r;
}

static int bind_new(int fd, const char *path) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int n = snprintf(a.sun_path, sizeof a.sun_path, "%s~", path);
    if ((size_t)n >= sizeof a.sun_path)
        return -ENAMETOOLONG;
    unlink(a.sun_path);
    if (bind(fd, (const struct sockaddr *)&a, sizeof a) != 0)
        return -errno;
    int r = 0;
    /* The queue is short: it is for a person or two. */
    if (chmod(a.sun_path, 0600) != 0 || listen(fd, 64) != 0 || rename(a.sun_path, path) != 0)
        r = -errno;
    if (r != 0)
        unlink(a.sun_path);
    return r;
}

int ag__own_listen(const char *path) {
    int saved = errno;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int r = fd < 0 ? -errno : bind_new(fd, path);
    if (r != 0 && fd >= 0)
        close(fd);
    errno = saved;
    return r != 0 ? r : fd;
}

int64_t ag__own_peer(int fd) {
    struct ucred peer;
    socklen_t size = sizeof peer;
    int saved = errno;
    int r = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 ? 0 : -errno;
    errno = saved;
    return r == 0 ? (int64_t)peer.uid : r;
}

/* --- Removal. --- */

static _Atomic(const char *) at_exit;
static _Atomic int at_exit_pid;

void ag__own_remove(void) {
    const char *path = atomic_exchange(&at_exit, NULL);
    if (path && atomic_load(&at_exit_pid) == (int)getpid())
        unlink(path);
}

int ag__own_remove_at_exit(const char *path) {
    static _Atomic bool is_registered;
    if (path && !atomic_exchange(&is_registered, true) && atexit(ag__own_remove) != 0) {
        atomic_store(&is_registered, false);
        return -ENOMEM;
    }
    atomic_store(&at_exit_pid, (int)getpid());
    atomic_store(&at_exit, path);
    return 0;
}
