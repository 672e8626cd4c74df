/* SPDX-License-Identifier: MIT */
/*
 * file.c (Linux) - descriptors that are no sockets.
 *
 * Writing to a pipe whose reader is gone raises SIGPIPE in the writing thread, and no flag of
 * write(2) prevents it. A socket is written with MSG_NOSIGNAL; for anything else SIGPIPE is
 * blocked around the call, and one that came of it is taken back - also of one that wrote a part
 * before the reader went, which says how much and raises the signal. So the process keeps its own
 * action for SIGPIPE, and its children inherit that. Refused: ignoring the signal, which every
 * program started from here would inherit.
 */
#include "os/file.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

ssize_t ag__file_read(int fd, void *buf, size_t n) {
    int saved = errno;
    ssize_t r;
    do {
        r = read(fd, buf, n);
    } while (r < 0 && errno == EINTR);
    if (r < 0)
        r = -errno;
    errno = saved;
    return r;
}

int ag__file_append(const char *path) {
    int saved = errno;
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        fd = -errno;
    errno = saved;
    return fd;
}

ssize_t ag__file_read_cached(int fd, void *buf, size_t n) {
    struct iovec v = {buf, n};
    int saved = errno;
    ssize_t r = preadv2(fd, &v, 1, -1, RWF_NOWAIT);
    if (r < 0)
        r = errno == EBADF ? -EBADF : -EAGAIN;
    errno = saved;
    return r;
}

/* Blocks SIGPIPE. Returns whether one that comes now is ours. */
static bool pipe_signal_off(sigset_t *ret_before) {
    sigset_t set, pending;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &set, ret_before);
    return sigpending(&pending) == 0 && !sigismember(&pending, SIGPIPE);
}

/* Unblocks it again; takes one back first that may be ours. */
static void pipe_signal_on(const sigset_t *before, bool ours) {
    static const struct timespec now;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    while (ours && sigtimedwait(&set, NULL, &now) < 0 && errno == EINTR)
        continue;
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

/* A call that moves up to n bytes, and what it needs. */
struct output {
    ssize_t (*call)(const struct output *o);
    int fd;
    const void *data; /* bytes, or `count` pieces */
    size_t n;
    int count;
    int from, how; /* of a move */
};

/* The same without SIGPIPE. */
static ssize_t quietly(const struct output *o) {
    sigset_t before;
    bool ours = pipe_signal_off(&before);
    ssize_t r;
    do {
        r = o->call(o);
    } while (r < 0 && errno == EINTR);
    if (r < 0)
        r = -errno;
    pipe_signal_on(&before, ours && r != -EAGAIN && r != (ssize_t)o->n);
    return r;
}

static ssize_t write_once(const struct output *o) {
    return write(o->fd, o->data, o->n);
}

ssize_t ag__file_write(int fd, const void *buf, size_t n) {
    int saved = errno;
    ssize_t r;
    do {
        r = send(fd, buf, n, MSG_NOSIGNAL);
    } while (r < 0 && errno == EINTR);
    if (r < 0)
        r = errno == ENOTSOCK ? quietly(&(struct output){write_once, fd, buf, n, 0, 0, 0}) : -errno;
    errno = saved;
    return r;
}

_Static_assert(sizeof(ag__piece) == sizeof(struct iovec) &&
                   offsetof(ag__piece, n) == offsetof(struct iovec, iov_len),
               "a piece is a struct iovec");

static ssize_t write_pieces_once(const struct output *o) {
    return writev(o->fd, o->data, o->count);
}

ssize_t ag__file_write_pieces(int fd, const ag__piece *pieces, int count) {
    size_t n = 0;
    for (int i = 0; i < count; i++)
        n += pieces[i].n;
    int saved = errno;
    ssize_t r = quietly(&(struct output){write_pieces_once, fd, pieces, n, count, 0, 0});
    errno = saved;
    return r;
}

/* `call`: fsync or fdatasync. */
static int sync_by(int (*call)(int fd), int fd) {
    int saved = errno, r;
    do {
        r = call(fd) == 0 ? 0 : -errno;
    } while (r == -EINTR);
    errno = saved;
    return r;
}

int ag__file_sync(int fd) {
    return sync_by(fsync, fd);
}

int ag__file_datasync(int fd) {
    return sync_by(fdatasync, fd);
}

static ssize_t move_once(const struct output *o) {
    switch (o->how) {
    case AG__MOVE_RANGE:
        return copy_file_range(o->from, NULL, o->fd, NULL, o->n, 0);
    case AG__MOVE_SPLICE:
        return splice(o->from, NULL, o->fd, NULL, o->n, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    default:
        return sendfile(o->fd, o->from, NULL, o->n);
    }
}

ssize_t ag__file_move(int how, int to, int from, size_t n) {
    int saved = errno;
    ssize_t r = quietly(&(struct output){move_once, to, NULL, n, 0, from, how});
    errno = saved;
    return r;
}

bool ag__file_move_unfit(int error) {
    return error == -EINVAL || error == -ENOSYS || error == -EOPNOTSUPP || error == -EXDEV ||
           error == -EBADF || error == -EPERM || error == -ETXTBSY || error == -EISDIR;
}

int ag__file_kind(int fd) {
    struct stat st;
    int saved = errno;
    int r = fstat(fd, &st) != 0 ? -errno : AG__FILE_OTHER;
    errno = saved;
    if (r < 0)
        return r;
    return S_ISREG(st.st_mode) || S_ISBLK(st.st_mode) ? AG__FILE_DISK
           : S_ISFIFO(st.st_mode)                     ? AG__FILE_PIPE
                                                      : AG__FILE_OTHER;
}

int ag__file_pipe(int ret_ends[2]) {
    int saved = errno;
    int r = pipe2(ret_ends, O_NONBLOCK | O_CLOEXEC) == 0 ? 0 : -errno;
    errno = saved;
    return r;
}

int ag__file_close(int fd) {
    int saved = errno;
    int r = close(fd) == 0 || errno == EINTR ? 0 : -errno;
    errno = saved;
    return r;
}

int ag__file_set_nonblocking(int fd) {
    int saved = errno;
    int flags = fcntl(fd, F_GETFL);
    int r = flags >= 0 && (flags & O_NONBLOCK || fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0)
                ? 0
                : -errno;
    errno = saved;
    return r;
}

int ag__file_set_close_on_exec(int fd) {
    int saved = errno;
    int r = fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 ? 0 : -errno;
    errno = saved;
    return r;
}

int ag__file_dup(int fd) {
    return ag__file_dup_from(fd, 3);
}

int ag__file_dup_from(int fd, int least) {
    int saved = errno;
    int r = fcntl(fd, F_DUPFD_CLOEXEC, least);
    if (r < 0)
        r = -errno;
    errno = saved;
    return r;
}

/* The same open file under a number above 2, or -errno and it is closed. */
static int raise_number(int fd) {
    if (fd > 2 || fd < 0)
        return fd;
    int r = ag__file_dup(fd);
    ag__file_close(fd);
    return r;
}

int ag__file_child_pipe(int ret_fds[2]) {
    int fds[2], saved = errno;
    if (pipe2(fds, O_CLOEXEC) != 0) {
        int error = -errno;
        errno = saved;
        return error;
    }
    int reads = raise_number(fds[0]), writes = raise_number(fds[1]);
    if (reads < 0 || writes < 0) {
        ag__file_close(reads < 0 ? writes : reads);
        return reads < 0 ? reads : writes;
    }
    ret_fds[0] = reads;
    ret_fds[1] = writes;
    return 0;
}

int ag__file_null(void) {
    int saved = errno;
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        fd = -errno;
    errno = saved;
    return raise_number(fd);
}

static int id_of(int status, const struct stat *st, ag__file_id *ret_id) {
    if (status != 0)
        return -errno;
    ret_id->device = st->st_dev;
    ret_id->inode = st->st_ino;
    return 0;
}

int ag__file_identify(int fd, ag__file_id *ret_id) {
    struct stat st;
    int saved = errno;
    int r = id_of(fstat(fd, &st), &st, ret_id);
    errno = saved;
    return r;
}

int ag__file_identify_socket(const char *path, ag__file_id *ret_id) {
    struct stat st;
    int saved = errno;
    int r = id_of(lstat(path, &st), &st, ret_id);
    errno = saved;
    return r == 0 && !S_ISSOCK(st.st_mode) ? -ENOTSOCK : r;
}

int ag__file_unlink(const char *path) {
    int saved = errno;
    int r = unlink(path) == 0 ? 0 : -errno;
    errno = saved;
    return r;
}

void ag__file_name(int fd, char *buf, size_t size) {
    char path[32];
    int saved = errno;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(path, buf, size - 1);
    buf[n < 0 ? 0 : n] = 0;
    errno = saved;
}
