/* SPDX-License-Identifier: MIT */
/*
 * poll.c (Linux) - edge-triggered epoll.
 *
 * One epoll descriptor for the process. Waits are in nanoseconds (epoll_pwait2, Linux 5.11;
 * before that rounded up to milliseconds). An eventfd ends a wait from outside; it stays
 * registered edge-triggered, so it is never read.
 *
 * The calls go to the kernel directly, past ThreadSanitizer: it would take the one poller for an
 * order between all goroutines, and see no races any more.
 */
#include "os/poll.h"
#include "os/os.h"
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int epoll_fd = -1; /* Constant while a runtime runs. */
static int break_fd = -1;
static bool has_pwait2 = true;
enum { BREAK_DATA = 0 };

int ag__poll_open(void) {
    int saved = errno;
    epoll_fd = (int)syscall(SYS_epoll_create1, EPOLL_CLOEXEC);
    break_fd = epoll_fd < 0 ? -1 : (int)syscall(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK);
    int r = break_fd < 0 ? -errno : ag__poll_add(break_fd, BREAK_DATA);
    if (r != 0)
        ag__poll_close();
    errno = saved;
    return r;
}

void ag__poll_close(void) {
    int saved = errno;
    if (epoll_fd >= 0)
        syscall(SYS_close, epoll_fd);
    if (break_fd >= 0)
        syscall(SYS_close, break_fd);
    epoll_fd = break_fd = -1;
    errno = saved;
}

static int control(int operation, int fd, uint32_t events, uint64_t data) {
    struct epoll_event e = {.events = events | EPOLLET, .data.u64 = data};
    int saved = errno;
    int r = syscall(SYS_epoll_ctl, epoll_fd, operation, fd, &e) == 0 ? 0 : -errno;
    errno = saved;
    return r;
}

int ag__poll_add(int fd, uint64_t data) {
    return control(EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI, data);
}

int ag__poll_set(int fd, uint64_t data, bool readable, bool writable, bool again) {
    uint32_t events = (readable ? EPOLLIN | EPOLLRDHUP : 0u) | (writable ? EPOLLOUT : 0u);
    return control(again ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, events, data);
}

int ag__poll_del(int fd) {
    return control(EPOLL_CTL_DEL, fd, 0, 0);
}

static int wait_for(struct epoll_event *events, int max, int64_t timeout_ns) {
    if (timeout_ns > 0 && has_pwait2) {
        struct timespec t = {timeout_ns / 1000000000, timeout_ns % 1000000000};
        long n = syscall(SYS_epoll_pwait2, epoll_fd, events, max, &t, NULL, 0);
        if (n >= 0 || errno != ENOSYS)
            return (int)n;
        has_pwait2 = false;
    }
    int64_t ms = timeout_ns < 0 ? -1 : (timeout_ns + 999999) / 1000000;
    if (ms > 1000000)
        ms = 1000000;
    return (int)syscall(SYS_epoll_pwait, epoll_fd, events, max, (int)ms, NULL, 0);
}

int ag__poll_wait(ag__poll_event *ret_events, int max, int64_t timeout_ns) {
    enum { BATCH = 128 };
    struct epoll_event events[BATCH];
    int saved = errno, count = 0;
    int n = wait_for(events, max < BATCH ? max : BATCH, timeout_ns);
    ag__os_kept_signals();
    for (int i = 0; i < n; i++) {
        if (events[i].data.u64 == BREAK_DATA)
            continue;
        uint32_t e = events[i].events;
        ret_events[count].data = events[i].data.u64;
        ret_events[count].readable = (e & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
        ret_events[count].writable = (e & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0;
        ret_events[count].ended = (e & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI)) != 0;
        count++;
    }
    errno = saved;
    return count;
}

void ag__poll_break(void) {
    uint64_t one = 1;
    int saved = errno;
    syscall(SYS_write, break_fd, &one, sizeof one); /* EAGAIN: the edge is there already */
    errno = saved;
}

int ag__poll_one(int fd, int bits, int64_t timeout_ns) {
    struct pollfd p = {.fd = fd};
    p.events = (short)((bits & AG__POLL_READABLE ? POLLIN | POLLRDHUP : 0) |
                       (bits & AG__POLL_WRITABLE ? POLLOUT : 0));
    struct timespec t = {timeout_ns / 1000000000, timeout_ns % 1000000000};
    int saved = errno;
    int n = fd < 0 ? -EBADF : ppoll(&p, 1, timeout_ns < 0 ? NULL : &t, NULL);
    if (n == -1)
        n = errno == EINTR ? 0 : -errno;
    errno = saved;
    if (n <= 0)
        return n;
    if (p.revents & POLLNVAL)
        return -EBADF;
    if (p.revents & (POLLERR | POLLHUP))
        return bits;
    return (p.revents & (POLLIN | POLLRDHUP) ? AG__POLL_READABLE : 0) |
           (p.revents & POLLOUT ? AG__POLL_WRITABLE : 0);
}
