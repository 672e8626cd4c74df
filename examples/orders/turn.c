/* SPDX-License-Identifier: MIT */
/*
 * A file beside the database, and a lock for each of its first two bytes:
 *
 *     byte 0   who has it ships
 *     byte 1   who has it is next
 *
 * A wait for such a lock is a call that blocks, so it says so with ag_blocking, and costs a thread
 * as long as it lasts; the kernel wakes it. The locks are of the open file (F_OFD_…), not of the
 * process: no other descriptor's close can lose them.
 *
 * Refused: a row in the database with a time until which it holds. It has to be renewed, to be
 * looked at again and again, and lets two ship when a clock is wrong.
 */
#include "turn.h"

#include <aglet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { SHIPS, NEXT };

static struct flock lock_of(int byte, short type) {
    return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
}

static int lock(int fd, int command, int byte, int type) {
    struct flock l = lock_of(byte, (short)type);
    while (fcntl(fd, command, &l) != 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

static int wait_lock(int fd, int byte) {
    return (int)ag_blocking(lock, fd, F_OFD_SETLKW, byte, F_WRLCK);
}

static int take_place(int fd, bool successor) {
    if (successor)
        return wait_lock(fd, NEXT);
    int err = lock(fd, F_OFD_SETLK, NEXT, F_WRLCK);
    return err == 0 ? lock(fd, F_OFD_SETLK, SHIPS, F_WRLCK) : err;
}

int turn_queue(const char *db, bool successor, struct turn *ret_turn) {
    char name[4096];
    if ((size_t)snprintf(name, sizeof name, "%s.lock", db) >= sizeof name)
        return -ENAMETOOLONG;
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    int err = fd < 0 ? -errno : take_place(fd, successor);
    if (err == 0) {
        ret_turn->fd = fd;
        return 0;
    }
    if (fd < 0)
        ag_logf(AG_LOG_ERROR, "cannot make %s: %s; see --db", name, strerror(-err));
    else
        ag_logf(AG_LOG_ERROR, "%s is in use by another process; stop that one, or see --db", db);
    if (fd >= 0)
        close(fd);
    return err;
}

int turn_take(const struct turn *t) {
    int err = wait_lock(t->fd, SHIPS);
    return err == 0 ? lock(t->fd, F_OFD_SETLK, NEXT, F_UNLCK) : err;
}

bool turn_wanted(const struct turn *t) {
    struct flock l = lock_of(NEXT, F_WRLCK);
    return fcntl(t->fd, F_OFD_GETLK, &l) == 0 && l.l_type != F_UNLCK;
}

void turn_leave(struct turn *t) {
    close(t->fd);
}
