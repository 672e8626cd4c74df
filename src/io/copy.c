/* SPDX-License-Identifier: MIT */
/*
 * copy.c - pipes, and copies from one descriptor to another.
 *
 * There are three ways within the kernel, each for some pairs only, and which pairs depends on the
 * kernel and the file systems. So one is tried by what stands at the ends, and where it turns out
 * unfit before it has moved a byte, reading and writing does it - which also tells the true error
 * of a descriptor that is not open, or not for this. A way that says 0 at once is not believed
 * either: files of /proc have no size, and copy_file_range takes them for empty.
 *
 *     disk -> disk           copy_file_range   handed on, CHUNK at a time
 *     pipe on one side       splice            handed on if the other one is a disk
 *     disk -> anything       sendfile          handed on
 *     else                   read, write
 *
 * Refused: splice through a pipe of ours between two sockets (two more descriptors and system calls
 * for one copy less; worth it for a proxy's bulk only); a way remembered for the next call (it is
 * found in one call).
 */
#include "io/io.h"
#include "os/file.h"
#include <aglet/file.h>
#include <errno.h>
#include <stdlib.h>

enum { CHUNK = AG__SIZE(4 << 20, 8192), BUFFER = AG__SIZE(65536, 512) };

int ag_pipe(int ret_ends[2]) {
    return ag__file_pipe(ret_ends);
}

static size_t at_most(int64_t left, size_t most) {
    return left < (int64_t)most ? (size_t)left : most;
}

/* Through memory. Adds to *done. */
static int copy_by_hand(ag__copy *c, int64_t max, int64_t *done) {
    char *buf = malloc(BUFFER);
    int r = buf ? 0 : -ENOMEM;
    while (r == 0 && *done < max) {
        ssize_t got = c->take(c, buf, at_most(max - *done, BUFFER)), at = 0;
        if (got <= 0) {
            r = (int)got;
            break;
        }
        while (r == 0 && at < got) {
            ssize_t put = c->give(c, buf + at, (size_t)(got - at));
            r = put < 0 ? (int)put : put == 0 ? -EIO : 0;
            at += put > 0 ? put : 0;
            *done += put > 0 ? put : 0;
        }
    }
    free(buf);
    return r;
}

/* Within the kernel. Returns 0, an error, or -ENOSYS when the rest is to be done by hand. */
static int copy_inside(ag__copy *c, int64_t max, int64_t *done) {
    while (*done < max) {
        int r = ag__ended_here();
        if (r != 0 && c->from_kind == AG__FILE_DISK)
            return r;
        ssize_t n = c->move(c, at_most(max - *done, CHUNK));
        if (n == 0)
            return *done == 0 ? -ENOSYS : 0;
        if (n > 0) {
            *done += n;
        } else if (n == -EAGAIN) {
            r = c->wait(c);
            if (r < 0)
                return r;
        } else {
            return *done == 0 && ag__file_move_unfit((int)n) ? -ENOSYS : (int)n;
        }
    }
    return 0;
}

int ag__copy_run(ag__copy *c, int64_t max, int64_t *ret_copied) {
    int64_t done = 0;
    if (max < 0)
        max = INT64_MAX;
    int r = c->move ? copy_inside(c, max, &done) : -ENOSYS;
    if (r == -ENOSYS)
        r = copy_by_hand(c, max, &done);
    if (ret_copied)
        *ret_copied = done;
    return r;
}

/* --- Descriptors. --- */

ssize_t ag__copy_take_fd(ag__copy *c, void *buf, size_t n) {
    return c->from_kind == AG__FILE_DISK ? ag_file_read(c->from, buf, n)
                                         : ag_fd_read(c->from, buf, n);
}

ssize_t ag__copy_give_fd(ag__copy *c, const void *buf, size_t n) {
    if (c->to_kind == AG__FILE_DISK) {
        int ended = ag__ended_here();
        return ended != 0 ? ended : (ssize_t)ag_blocking(ag__file_write, c->to, buf, n);
    }
    for (;;) {
        ssize_t put = ag__file_write(c->to, buf, n);
        if (put != -EAGAIN)
            return put;
        int r = ag_fd_wait(c->to, AG_WRITABLE, 0);
        if (r < 0)
            return r;
    }
}

static ssize_t move_fd(ag__copy *c, size_t n) {
    bool waits = c->to_kind == AG__FILE_DISK || c->from_kind == AG__FILE_DISK;
    return waits ? (ssize_t)ag_blocking(ag__file_move, c->how, c->to, c->from, n)
                 : ag__file_move(c->how, c->to, c->from, n);
}

/* Which of the two was not ready is not told: both must be. */
static int wait_fd(ag__copy *c) {
    int r = c->from_kind == AG__FILE_DISK ? 0 : ag_fd_wait(c->from, AG_READABLE, 0);
    return r < 0 || c->to_kind == AG__FILE_DISK ? r : ag_fd_wait(c->to, AG_WRITABLE, 0);
}

int ag_copy(int to, int from, int64_t max, int64_t *ret_copied) {
    ag__copy c = {.take = ag__copy_take_fd,
                  .give = ag__copy_give_fd,
                  .move = move_fd,
                  .wait = wait_fd,
                  .to = to,
                  .from = from,
                  .to_kind = ag__file_kind(to),
                  .from_kind = ag__file_kind(from)};
    if (c.to_kind == AG__FILE_DISK && c.from_kind == AG__FILE_DISK)
        c.how = AG__MOVE_RANGE;
    else if (c.to_kind == AG__FILE_PIPE || c.from_kind == AG__FILE_PIPE)
        c.how = AG__MOVE_SPLICE;
    else if (c.from_kind == AG__FILE_DISK)
        c.how = AG__MOVE_SENDFILE;
    else
        c.move = NULL;
    return ag__copy_run(&c, max, ret_copied);
}
