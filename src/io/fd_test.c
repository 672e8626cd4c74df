/* SPDX-License-Identifier: MIT */
/*
 * Bare descriptors: numbers that are used again behind our back, descriptors that something else
 * has registered, kinds of files, SIGPIPE.
 */
#include "ag_test.h"
#include "io/io.h"
#include <aglet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

static void open_pipe(int ends[2]) {
    ag_check_int(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
}

static void wait_into(int fd, int events, ag_time deadline, _Atomic int *result) {
    *result = ag_fd_wait(fd, events, deadline) - 1000;
}

static _Atomic int result;

/* Starts a goroutine that waits, and lets it park. */
static void start_waiter(int fd, ag_time deadline, _Atomic int *where) {
    *where = 0;
    int64_t before = ag__sched.poll_waiters;
    ag_go(wait_into, fd, AG_READABLE, deadline, where);
    eventually(ag__sched.poll_waiters > before || result != 0); /* it may have sent another away */
}

AG_TEST_RUN(a_number_that_means_another_file_is_noticed) {
    int a[2], b[2];
    _Atomic int second;
    open_pipe(a);
    open_pipe(b);
    start_waiter(a[0], 0, &result);
    ag_check_int(dup3(b[0], a[0], O_CLOEXEC), a[0]); /* behind our back */
    start_waiter(a[0], 0, &second);
    eventually(result != 0);
    ag_check_int(result, -EBADF - 1000);
    ag_check_int(second, 0);
    ag_check_int(write(b[1], "x", 1), 1);
    eventually(second != 0);
    ag_check_int(second, AG_READABLE - 1000);
    for (int i = 0; i < 2; i++) {
        ag_fd_close(a[i]);
        ag_fd_close(b[i]);
    }
}

AG_TEST_RUN(files_without_an_inode_are_told_apart_too) {
    _Atomic int second;
    int a = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), b = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    start_waiter(a, 0, &result);
    ag_check_int(dup3(b, a, O_CLOEXEC), a);
    start_waiter(a, 0, &second);
    eventually(result != 0);
    ag_check_int(result, -EBADF - 1000);
    ag_check_int(eventfd_write(b, 1), 0);
    eventually(second != 0);
    ag_check_int(second, AG_READABLE - 1000);
    ag_fd_close(a);
    ag_fd_close(b);
}

/* A connection got a number that somebody still waits on: it keeps its own events. */
AG_TEST_RUN(a_waiter_that_was_left_behind_does_not_disturb_a_connection) {
    int pipes[2], ends[2];
    ag_conn *c;
    char buf[8];
    open_pipe(pipes);
    ag_check_int(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    start_waiter(pipes[0], ag_now() + 20 * AG_MS, &result);
    int number = pipes[0];
    ag_check_int(dup3(ends[0], number, O_CLOEXEC), number);
    close(ends[0]);
    ag_check_int(ag_conn_from_fd(number, &c), 0);
    eventually(result != 0);
    ag_check_int(result, -ETIMEDOUT - 1000);
    _Atomic int second;
    start_waiter(number, 0, &second); /* beside the connection, which has it registered */
    ag_set_read_deadline(c, ag_now() + AG_MS);
    ag_check_int(ag_read(c, buf, 8), -ETIMEDOUT);
    ag_set_read_deadline(c, 0);
    ag_check_int(second, 0);
    ag_check_int(write(ends[1], "hello", 5), 5);
    eventually(second != 0);
    ag_check_int(ag_read(c, buf, 8), 5);
    ag_unref(c);
    close(ends[1]);
    close(pipes[1]);
}

AG_TEST_RUN(what_epoll_knows_can_be_waited_for) {
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct itimerspec in_2_ms = {.it_value.tv_nsec = 2000000};
    uint64_t times = 0;
    ag_check_int(timerfd_settime(timer, 0, &in_2_ms, NULL), 0);
    ag_check_int(ag_fd_read(timer, &times, sizeof times), sizeof times);
    ag_check_int(times, 1);
    ag_fd_close(timer);
    int pty = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (pty < 0)
        ag_skip("pseudo terminals");
    ag_check_int(grantpt(pty), 0);
    ag_check_int(unlockpt(pty), 0);
    char name[64], buf[16];
    ag_check_int(ptsname_r(pty, name, sizeof name), 0);
    int tty = open(name, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    ag_check(tty >= 0);
    start_waiter(tty, 0, &result);
    ag_check_int(ag_fd_write(pty, "line\n", 5), 5);
    eventually(result != 0);
    ag_check_int(result, AG_READABLE - 1000);
    ag_check_int(ag_fd_read(tty, buf, sizeof buf), 5);
    ag_fd_close(tty);
    ag_fd_close(pty);
}

AG_TEST_RUN(wrong_events_are_refused) {
    ag_check_int(ag_fd_wait(0, 0, 0), -EINVAL);
    ag_check_int(ag_fd_wait(0, 4, 0), -EINVAL);
    ag_check_int(ag_fd_wait(1 << 30, AG_READABLE, 0), -EBADF);
}

AG_TEST_RUN(both_directions_at_once) {
    int ends[2];
    static char much[1 << 16];
    ag_check_int(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    while (write(ends[0], much, sizeof much) > 0)
        continue;
    int both = AG_READABLE | AG_WRITABLE;
    ag_check_int(ag_fd_wait(ends[0], both, ag_now() + AG_MS), -ETIMEDOUT);
    ag_go(wait_into, ends[0], both, (ag_time)0, &result);
    ag_sleep(AG_MS);
    ag_check_int(write(ends[1], "x", 1), 1);
    eventually(result != 0);
    ag_check_int(result, AG_READABLE - 1000);
    ag_check_int(read(ends[0], much, 1), 1);
    result = 0;
    ag_go(wait_into, ends[0], both, (ag_time)0, &result);
    ag_sleep(AG_MS);
    while (read(ends[1], much, sizeof much) > 0)
        continue;
    eventually(result != 0);
    ag_check_int(result, AG_WRITABLE - 1000);
    ag_fd_close(ends[0]);
    ag_fd_close(ends[1]);
}

static void wait_many_times(int fd, int rounds, _Atomic int *done) {
    for (int i = 0; i < rounds; i++) {
        int r = ag_fd_wait(fd, AG_READABLE, ag_now() + (i % 7) * 50 * AG_US);
        ag_check(r == -ETIMEDOUT || r == AG_READABLE);
    }
    ++*done;
}

AG_TEST_RUN(deadlines_and_events_race) {
    int ends[2], rounds = 500 / ag_test_slow();
    _Atomic int done = 0;
    char byte = 0;
    open_pipe(ends);
    for (int i = 0; i < 6; i++)
        ag_go(wait_many_times, ends[0], rounds, &done);
    while (done < 6) {
        ag_check_int(write(ends[1], &byte, 1), 1);
        ag_yield();
        ag_check_int(read(ends[0], &byte, 1), 1);
        ag_sleep(60 * AG_US);
    }
    ag_check_int(ag__sched.poll_waiters, 0);
    ag_fd_close(ends[0]);
    ag_fd_close(ends[1]);
}

/* --- SIGPIPE. --- */

static void *write_to_closed(void *arg) {
    int *ends = arg;
    sigset_t set, after;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    ag_check_int(ag_fd_write(ends[1], "x", 1), -EPIPE);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    ag_check(!sigismember(&after, SIGPIPE));
    /* One that was pending before is not taken away. */
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    pthread_kill(pthread_self(), SIGPIPE);
    ag_check_int(ag_fd_write(ends[1], "x", 1), -EPIPE);
    struct timespec none = {0, 0};
    ag_check_int(sigtimedwait(&set, NULL, &none), SIGPIPE);
    ag_check_int(sigtimedwait(&set, NULL, &none), -1);
    return NULL;
}

AG_TEST_RUN(a_pipe_without_reader_is_an_error_and_no_signal) {
    int ends[2];
    pthread_t thread;
    struct sigaction action;
    sigaction(SIGPIPE, NULL, &action);
    ag_check(action.sa_handler == SIG_DFL);
    open_pipe(ends);
    close(ends[0]);
    ag_check_int(ag_fd_write(ends[1], "x", 1), -EPIPE);
    ag_check_int(ag_file_write(ends[1], "x", 1), -EPIPE);
    pthread_create(&thread, NULL, write_to_closed, ends);
    pthread_join(thread, NULL);
    close(ends[1]);
    ag_check_int(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    close(ends[0]);
    ag_check_int(ag_fd_write(ends[1], "x", 1), -EPIPE);
    close(ends[1]);
}

/* --- Worlds. --- */

static int kept[2];

static int leave_a_waiter(void *arg) {
    (void)arg;
    start_waiter(kept[0], 0, &result);
    return 0;
}

static int wait_again(void *arg) {
    (void)arg;
    _Atomic int second;
    start_waiter(kept[0], 0, &second);
    ag_check_int(write(kept[1], "x", 1), 1);
    eventually(second != 0);
    ag_check_int(second, AG_READABLE - 1000);
    char byte;
    ag_check_int(ag_fd_read(kept[0], &byte, 1), 1);
    return 0;
}

AG_TEST(a_waiter_of_a_world_that_ended_is_forgotten) {
    open_pipe(kept);
    ag_check_int(ag_fd_wait(kept[0], AG_READABLE, ag_now() + AG_MS), -ETIMEDOUT); /* no world */
    ag_check_int(ag_run(leave_a_waiter, NULL), 0);
    ag_check_int(ag_run(wait_again, NULL), 0);
    ag_check_int(ag_run(leave_a_waiter, NULL), 0);
    ag_check_int(ag_fd_close(kept[0]), 0);
    ag_check_int(ag_fd_close(kept[1]), 0);
    ag_check_int(result, 0);
}

/* --- Files. --- */

AG_TEST_RUN(a_read_of_a_file_is_short_at_its_end_only) {
    char path[] = "/tmp/aglet-file-test-XXXXXX";
    int fd = mkostemp(path, O_CLOEXEC);
    ag_check(fd >= 0);
    unlink(path);
    size_t size = 300000;
    char *data = malloc(size), *back = malloc(size + 100000);
    for (size_t i = 0; i < size; i++)
        data[i] = (char)(i * 7 >> 4);
    ag_check_int(ag_file_write(fd, data, size), (ssize_t)size);
    lseek(fd, 0, SEEK_SET);
    ag_check_int(ag_file_read(fd, back, 200000), 200000);
    ag_check_int(ag_file_read(fd, back + 200000, 200000), 100000);
    ag_check_mem(back, data, size);
    ag_check_int(ag_file_read(fd, back, 10), 0);
    ag_check_int(ag_file_read(fd, back, 0), 0);
    ag_check_int(ag_file_write(fd, back, 0), 0);
    close(fd);
    free(data);
    free(back);
}

AG_TEST_RUN(a_pipe_read_as_a_file_gives_what_it_has) {
    int ends[2];
    char buf[8];
    ag_check_int(pipe2(ends, O_CLOEXEC), 0);
    ag_check_int(write(ends[1], "abc", 3), 3);
    ag_check_int(ag_file_read(ends[0], buf, sizeof buf), 3);
    ag_check_mem(buf, "abc", 3);
    close(ends[0]);
    close(ends[1]);
}

static void put(int fd, const char *text) {
    ag_sleep(2 * AG_MS);
    ag_check_int(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

AG_TEST_RUN(a_blocking_pipe_read_as_a_file_stalls_nobody) {
    int ends[2];
    char buf[8];
    ag_check_int(pipe2(ends, O_CLOEXEC), 0);
    ag_go(put, ends[1], "abc");
    ag_check_int(ag_file_read(ends[0], buf, sizeof buf), 3);
    close(ends[0]);
    close(ends[1]);
}
