/* SPDX-License-Identifier: MIT */
/*
 * dial.c - connecting.
 *
 * A connect goes on in the background; the socket becomes writable when it has ended, and a
 * second connect(2) tells how. It is registered with the poller after the first one only: a
 * socket that is not connected counts as hung up there, which would be remembered.
 *
 * The addresses of a name are tried in turn, each for as long as the system tries; the first
 * error is the one to report.
 *
 * A Unix socket whose listener has a full queue gives EAGAIN and no event when there is room, so
 * it is asked again after a while.
 */
#include "net/net.h"
#include "os/file.h"
#include <aglet/time.h>
#include <errno.h>
#include <stdlib.h>

static bool is_past(ag_time deadline) {
    return deadline && ag_now() >= deadline;
}

/* Starts connecting: 0 connected, -EINPROGRESS, or the error. */
static int start(int fd, const ag__addr *a, ag_time deadline) {
    ag_time pause = AG_MS / 4;
    for (;;) {
        int r = ag__sock_connect(fd, a);
        if (r == -EINTR)
            return -EINPROGRESS; /* it goes on all the same */
        if (r != -EAGAIN || ag__addr_kind(a) != AG__ADDR_UNIX)
            return r;
        if (is_past(deadline))
            return -ETIMEDOUT;
        r = ag_sleep(pause);
        if (r != 0)
            return r;
        if (pause < 16 * AG_MS)
            pause *= 2;
    }
}

/* An interrupted one has told nothing, and no event would come for it. */
static int connect_again(int fd, const ag__addr *a) {
    int r;
    do {
        r = ag__sock_connect(fd, a);
    } while (r == -EINTR);
    return r;
}

static int finish(ag_conn *c, const ag__addr *a, ag_time deadline) {
    int r;
    ag__pd_set_deadline(c->pd, AG__WRITE, deadline);
    do {
        r = ag__pd_wait(c->pd, AG__WRITE);
        if (r == 0)
            r = connect_again(c->fd, a);
    } while (r == -EALREADY || r == -EINPROGRESS);
    ag__pd_set_deadline(c->pd, AG__WRITE, 0);
    return r == -EISCONN ? 0 : r;
}

static int dial_one(const ag__addr *a, bool datagram, ag_time deadline, ag_conn **ret_conn) {
    bool tcp = ag__addr_kind(a) != AG__ADDR_UNIX && !datagram;
    int fd = ag__sock_new(ag__addr_kind(a), datagram);
    if (fd < 0)
        return fd;
    if (tcp)
        ag__sock_no_delay(fd);
    int started = start(fd, a, deadline);
    if (started != 0 && started != -EINPROGRESS) {
        ag__file_close(fd);
        return started;
    }
    ag_conn *c;
    int r = ag__conn_new(fd, !datagram, tcp, &c);
    if (r != 0)
        return r;
    if (started != 0)
        r = finish(c, a, deadline);
    if (r == 0)
        *ret_conn = c;
    else
        ag_unref(c);
    return r;
}

int ag__dial(const char *net, const char *addr, ag_time deadline, ag_conn **ret_conn) {
    ag__target *t = malloc(sizeof *t);
    if (!t)
        return -ENOMEM;
    int r = ag__target_find(net, addr, false, t), first = 0;
    if (r != 0)
        first = r;
    for (int i = 0; r == 0 && i < t->count; i++) {
        int got = is_past(deadline) ? -ETIMEDOUT
                                    : dial_one(&t->addrs[i], t->datagram, deadline, ret_conn);
        if (got == 0) {
            free(t);
            return 0;
        }
        if (ag__ended_here() != 0) {
            first = got;
            break;
        }
        if (first == 0)
            first = got;
    }
    free(t);
    return first;
}

int ag_dial(const char *net, const char *addr, ag_conn **ret_conn) {
    return ag__dial(net, addr, 0, ret_conn);
}
