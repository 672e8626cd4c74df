/* SPDX-License-Identifier: MIT */
/*
 * Bare descriptors and files.
 */
#include "common.h"

#include <sys/socket.h>

static void open_pipe(int ends[2]) {
    ag_check_int(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
}

static void end_pipe(const int ends[2]) {
    ag_fd_close(ends[0]);
    ag_fd_close(ends[1]);
}

static void read_to(int fd, atomic_int *status) {
    char byte;
    atomic_store(status, (int)ag_fd_read(fd, &byte, 1) - 1000);
}

static void write_later(int fd, const char *text) {
    ag_sleep(AG_MS);
    ag_check_int(ag_fd_write(fd, text, strlen(text)), strlen(text));
}

AG_TEST_RUN(wait_says_what_is_ready) {
    int ends[2];
    open_pipe(ends);
    ag_check_int(ag_fd_wait(ends[1], AG_WRITABLE, 0), AG_WRITABLE);
    ag_check_int(ag_fd_wait(ends[0], AG_READABLE, ag_now() + 2 * AG_MS), -ETIMEDOUT);
    ag_go(write_later, ends[1], "x");
    ag_check(ag_fd_wait(ends[0], AG_READABLE, 0) & AG_READABLE);
    ag_check(ag_fd_wait(ends[0], AG_READABLE, 1) & AG_READABLE); /* ready beats the past */
    eventually(ag_count() == 1);
    end_pipe(ends);
    int both[2];
    ag_check_int(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, both), 0);
    ag_check_int(ag_fd_wait(both[0], AG_READABLE | AG_WRITABLE, 0), AG_WRITABLE);
    ag_check_int(write(both[1], "x", 1), 1);
    ag_check_int(ag_fd_wait(both[0], AG_READABLE, ag_now() + 20 * AG_SEC), AG_READABLE);
    end_pipe(both);
}

AG_TEST_RUN(a_deadline_is_kept_and_not_ended_early) {
    int ends[2];
    open_pipe(ends);
    for (int i = 0; i < 20; i++) {
        ag_time deadline = ag_now() + i * AG_MS / 4;
        ag_check_int(ag_fd_wait(ends[0], AG_READABLE, deadline), -ETIMEDOUT);
        ag_check(ag_now() >= deadline);
    }
    end_pipe(ends);
}

AG_TEST_RUN(a_hang_up_ends_a_wait) {
    int ends[2];
    atomic_int status = 0;
    open_pipe(ends);
    until_waits_for(ag_go(read_to, ends[0], &status), "IO wait");
    ag_fd_close(ends[1]);
    eventually(atomic_load(&status) == 0 - 1000);
    ag_check(ag_fd_wait(ends[0], AG_READABLE, 0) > 0);
    ag_fd_close(ends[0]);
}

AG_TEST_RUN(a_read_parks_until_there_is_something) {
    int ends[2];
    char buf[16];
    open_pipe(ends);
    ag_go(write_later, ends[1], "hello");
    ag_check_int(ag_fd_read(ends[0], buf, sizeof buf), 5);
    ag_check_mem(buf, "hello", 5);
    ag_fd_close(ends[1]);
    ag_check_int(ag_fd_read(ends[0], buf, sizeof buf), 0);
    ag_fd_close(ends[0]);
}

static void drain(int fd, atomic_long *total) {
    char buf[3000];
    ssize_t n;
    while ((n = ag_fd_read(fd, buf, sizeof buf)) > 0)
        atomic_fetch_add(total, n);
    ag_check_int(n, 0);
    atomic_fetch_add(total, 1000000000);
}

AG_TEST_RUN(a_write_writes_all_of_it) {
    int ends[2];
    atomic_long total = 0;
    size_t size = 3u << 20;
    char *data = calloc(1, size);
    open_pipe(ends);
    ag_go(drain, ends[0], &total);
    ag_check_int(ag_fd_write(ends[1], data, size), (ssize_t)size);
    ag_fd_close(ends[1]);
    eventually(atomic_load(&total) == 1000000000 + (long)size);
    ag_fd_close(ends[0]);
    free(data);
}

AG_TEST_RUN(errors_are_negative_numbers_and_no_signal) {
    int ends[2];
    char byte;
    open_pipe(ends);
    int gone = ends[0];
    ag_check_int(ag_fd_close(gone), 0);
    ag_check_int(ag_fd_wait(gone, AG_READABLE, 0), -EBADF);
    ag_check_int(ag_fd_read(gone, &byte, 1), -EBADF);
    ag_check_int(ag_fd_close(gone), -EBADF);
    ag_check_int(ag_fd_write(ends[1], "x", 1), -EPIPE);
    ag_fd_close(ends[1]);
    ag_check_int(ag_fd_wait(-1, AG_READABLE, 0), -EBADF);
}

static void close_when_full(int fd) {
    ag_check_int(ag_fd_wait(fd, AG_READABLE, 0), AG_READABLE); /* the write is under way */
    ag_fd_close(fd);
}

/* A part went into the pipe before its reader was gone: the kernel says how much, and raises the
 * signal all the same. */
AG_TEST_RUN(a_write_cut_by_the_end_of_its_reader_raises_no_signal) {
    int ends[2];
    size_t size = 1u << 20;
    char *data = calloc(1, size);
    ag_check_int(pipe2(ends, O_CLOEXEC), 0); /* blocking */
    ag_go(close_when_full, ends[0]);
    ag_check_int(ag_fd_write(ends[1], data, size), -EPIPE);
    ag_fd_close(ends[1]);
    free(data);
}

AG_TEST_RUN(close_wakes_everybody_who_waits) {
    int ends[2];
    atomic_int status[5];
    open_pipe(ends);
    for (int i = 0; i < 5; i++) {
        atomic_init(&status[i], 0);
        until_waits_for(ag_go(read_to, ends[0], &status[i]), "IO wait");
    }
    ag_check_int(ag_fd_close(ends[0]), 0);
    for (int i = 0; i < 5; i++)
        eventually(atomic_load(&status[i]) == -ECANCELED - 1000);
    ag_fd_close(ends[1]);
}

#if defined(__SANITIZE_THREAD__)
enum { WATCHED = 1 };
#else
enum { WATCHED = 0 };
#endif

AG_TEST_RUN(a_number_used_again_starts_fresh) {
    for (int i = 0; i < 500 / ag_test_slow(); i++) {
        int ends[2];
        atomic_int status = 0;
        open_pipe(ends);
        ag_go(read_to, ends[0], &status);
        if (i % 2)
            ag_yield();
        ag_check_int(ag_fd_write(ends[1], "x", 1), 1);
        if (WATCHED) /* a close beside a read is a race, and ThreadSanitizer rightly says so */
            eventually(atomic_load(&status) != 0);
        ag_fd_close(ends[i % 2]); /* the numbers come back in the next round */
        eventually(atomic_load(&status) != 0);
        int got = atomic_load(&status) + 1000;
        ag_check(got == 1 || got == -ECANCELED || got == -EBADF || got == 0);
        ag_fd_close(ends[!(i % 2)]);
    }
}

static void wait_read(int fd, atomic_int *n) {
    ag_check(ag_fd_wait(fd, AG_READABLE, 0) > 0);
    atomic_fetch_add(n, 1);
}

AG_TEST_RUN(several_wait_on_one_descriptor_and_all_go_on) {
    int ends[2];
    atomic_int n = 0;
    open_pipe(ends);
    for (int i = 0; i < 10; i++)
        until_waits_for(ag_go(wait_read, ends[0], &n), "IO wait");
    ag_check_int(ag_fd_write(ends[1], "x", 1), 1); /* and nobody reads it */
    eventually(atomic_load(&n) == 10);
    end_pipe(ends);
}

AG_TEST_RUN(reader_and_writer_wait_on_one_descriptor) {
    int ends[2];
    atomic_int reading = 0;
    char *data = calloc(1, 1 << 20);
    atomic_long total = 0;
    ag_check_int(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    until_waits(ag_go(read_to, ends[0], &reading));
    ag_go(drain, ends[1], &total);
    ag_check_int(ag_fd_write(ends[0], data, 1 << 20), 1 << 20); /* while a reader waits there */
    ag_check_int(atomic_load(&reading), 0);
    ag_check_int(ag_fd_write(ends[1], "x", 1), 1);
    eventually(atomic_load(&reading) == 1 - 1000);
    shutdown(ends[0], SHUT_WR);
    eventually(atomic_load(&total) == 1000000000 + (1 << 20));
    end_pipe(ends);
    free(data);
}

/* ---- Files ---------------------------------------------------------------------------------- */

static int temporary_file(void) {
    char path[] = "/tmp/aglet-test-XXXXXX";
    int fd = mkstemp(path);
    ag_check(fd >= 0);
    unlink(path);
    return fd;
}

AG_TEST_RUN(a_regular_file_is_always_ready) {
    int fd = temporary_file();
    ag_check(ag_fd_wait(fd, AG_READABLE, 0) & AG_READABLE);
    ag_check(ag_fd_wait(fd, AG_WRITABLE, ag_now() - 1) & AG_WRITABLE);
    ag_check_int(ag_fd_write(fd, "text", 4), 4);
    ag_fd_close(fd);
}

AG_TEST_RUN(files_are_written_synced_and_read) {
    int fd = temporary_file();
    size_t size = 5u << 20;
    char *data = malloc(size), *back = malloc(size);
    for (size_t i = 0; i < size; i++)
        data[i] = (char)(i ^ i >> 11);
    ag_check_int(ag_file_write(fd, data, size), (ssize_t)size);
    ag_check_int(ag_file_sync(fd), 0);
    ag_check_int(lseek(fd, 0, SEEK_SET), 0);
    size_t at = 0;
    for (ssize_t n; (n = ag_file_read(fd, back + at, size - at)) > 0;)
        at += (size_t)n;
    ag_check_int(at, size);
    ag_check_mem(back, data, size);
    ag_check_int(ag_file_read(fd, back, 1), 0);
    close(fd);
    ag_check_int(ag_file_read(fd, back, 1), -EBADF);
    ag_check_int(ag_file_write(fd, back, 1), -EBADF);
    ag_check_int(ag_file_sync(fd), -EBADF);
    free(data);
    free(back);
}

static void write_file(int fd, atomic_int *done) {
    static char block[1 << 16];
    for (int i = 0; i < 50; i++)
        ag_check_int(ag_file_write(fd, block, sizeof block), (ssize_t)sizeof block);
    ag_check_int(ag_file_sync(fd), 0);
    atomic_fetch_add(done, 1);
}

AG_TEST_RUN(files_do_not_stall_the_other_goroutines) {
    int fds[4];
    atomic_int done = 0;
    for (int i = 0; i < 4; i++)
        ag_go(write_file, fds[i] = temporary_file(), &done);
    while (atomic_load(&done) < 4)
        ag_sleep(AG_MS); /* somebody who lives beside them */
    for (int i = 0; i < 4; i++)
        close(fds[i]);
}

static atomic_int thread_was_late;

static void *wait_on_thread(void *arg) {
    int *ends = arg;
    char byte;
    ag_check_int(ag_fd_wait(ends[0], AG_READABLE, ag_now() + AG_MS), -ETIMEDOUT);
    atomic_store(&thread_was_late, 1);
    ag_check_int(ag_fd_read(ends[0], &byte, 1), 1);
    return NULL;
}

AG_TEST_RUN(a_foreign_thread_may_wait_on_a_descriptor) {
    int ends[2];
    pthread_t thread;
    open_pipe(ends);
    pthread_create(&thread, NULL, wait_on_thread, ends);
    eventually(atomic_load(&thread_was_late));
    ag_sleep(AG_MS);
    ag_check_int(ag_fd_write(ends[1], "x", 1), 1);
    pthread_join(thread, NULL);
    end_pipe(ends);
}
