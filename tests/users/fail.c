/* SPDX-License-Identifier: MIT */
/*
 * aglet/test.h: calls that fail to order, the program's own and those that aglet makes for it.
 */
#include "../conformance/common.h"
#include <aglet/test.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define IN_A_TEST(name)                                                                            \
    static void body_##name(void);                                                                 \
    AG_TEST(name) {                                                                                \
        ag_check_int(ag_test_run(#name, AG_MIN, body_##name), 0);                                  \
    }                                                                                              \
    static void body_##name(void)

/* An anonymous file. */
static int scratch(void) {
    char path[] = "/tmp/aglet-test-XXXXXX";
    int fd = mkstemp(path);
    ag_check(fd >= 0);
    unlink(path);
    return fd;
}

/* ---- Calls of the program ---------------------------------------------------------------------
 */

/* Whether the n-th of ten calls, and no other, fails with err. */
static void check_nth(int calls, int err, bool (*try_it)(int *ret_errno)) {
    for (int n = 1; n <= 10; n++) {
        ag_test_inject(calls, n, -err);
        for (int i = 1; i <= 10; i++) {
            int e = 0;
            bool worked = try_it(&e);
            ag_check_int(worked, i != n);
            ag_check_int(e, i == n ? err : 0);
        }
        ag_check_int(ag_test_inject(0, 0, 0), 1);
    }
    int e = 0;
    ag_check(try_it(&e));
}

static int file = -1;

static bool writes(int *ret_errno) {
    bool worked = write(file, "x", 1) == 1;
    *ret_errno = worked ? 0 : errno;
    return worked;
}
static bool reads(int *ret_errno) {
    char c;
    bool worked = pread(file, &c, 1, 0) == 1;
    *ret_errno = worked ? 0 : errno;
    return worked;
}
static bool syncs(int *ret_errno) {
    bool worked = fsync(file) == 0;
    *ret_errno = worked ? 0 : errno;
    return worked;
}
static bool closes(int *ret_errno) {
    int fd = dup(file);
    bool worked = close(fd) == 0;
    *ret_errno = worked ? 0 : errno;
    ag_check_int(fcntl(fd, F_GETFD), -1); /* it is closed in any case */
    return worked;
}
static bool allocates(int *ret_errno) {
    void *volatile p = malloc(10);
    *ret_errno = p ? 0 : errno;
    free(p);
    return p != NULL;
}

IN_A_TEST(the_nth_call_fails_and_no_other) {
    file = scratch();
    check_nth(AG_FAIL_WRITE, ENOSPC, writes);
    check_nth(AG_FAIL_READ, EIO, reads);
    check_nth(AG_FAIL_SYNC, EIO, syncs);
    check_nth(AG_FAIL_CLOSE, EINTR, closes);
    check_nth(AG_FAIL_ALLOC, ENOMEM, allocates);
    close(file);
}

IN_A_TEST(every_way_to_allocate_counts) {
    void *p = malloc(8), *aligned;
    ag_test_inject(AG_FAIL_ALLOC, 1, -ENOMEM);
    ag_check_ptr(calloc(1, 8), NULL);
    ag_test_inject(AG_FAIL_ALLOC, 1, -ENOMEM);
    void *grown = realloc(p, 16);
    ag_check_ptr(grown, NULL);
    ag_test_inject(AG_FAIL_ALLOC, 1, -ENOMEM);
    ag_check_ptr(aligned_alloc(64, 64), NULL);
    ag_test_inject(AG_FAIL_ALLOC, 1, -ENOMEM);
    ag_check_ptr(strdup("x"), NULL);
    ag_test_inject(AG_FAIL_ALLOC, 1, -ENOMEM);
    ag_check_ptr(strndup("x", 1), NULL);
    ag_test_inject(AG_FAIL_ALLOC, 1, -ENOMEM);
    ag_check_int(posix_memalign(&aligned, 64, 64), ENOMEM);
    ag_check_int(ag_test_inject(0, 0, 0), 1);
    free(grown ? grown : p);
}

/* The runtime allocates for each of these; that is none of the program's allocations. */
static void nothing(void) {
}
IN_A_TEST(the_runtime_s_own_allocations_do_not_count) {
    ag_test_inject(AG_FAIL_ALLOC, 1, -ENOMEM);
    for (int i = 0; i < 1000; i++)
        ag_check(ag_go(nothing) > 0);
    ag_chan(int) c = ag_make(int, 1000);
    ag_unref(c);
    ag_check_int(ag_test_inject(0, 0, 0), 0);
}

IN_A_TEST(an_error_of_zero_is_a_short_transfer) {
    char buf[8] = "";
    struct iovec v[2] = {{(char *)"", 0}, {(char *)"abc", 3}};
    int ends[2];
    ag_check_int(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    ag_test_inject(AG_FAIL_WRITE, 1, 0);
    ag_check_int(write(ends[0], "hello", 5), 1);
    ag_test_inject(AG_FAIL_WRITE, 1, 0);
    ag_check_int(writev(ends[0], v, 2), 1);
    ag_test_inject(AG_FAIL_WRITE, 1, 0);
    ag_check_int(sendmsg(ends[0], &(struct msghdr){.msg_iov = v, .msg_iovlen = 2}, 0), 1);
    ag_test_inject(AG_FAIL_READ, 1, 0);
    ag_check_int(read(ends[1], buf, 8), 1);
    ag_test_inject(0, 0, 0);
    ag_check_int(read(ends[1], buf + 1, 7), 2);
    ag_check_str(buf, "haa");
    close(ends[0]);
    close(ends[1]);
}

/* ---- Calls that aglet makes for the test ------------------------------------------------------
 */

IN_A_TEST(files_fail_too) {
    char buf[4];
    int fd = scratch();
    ag_test_inject(AG_FAIL_WRITE, 1, -ENOSPC);
    ag_check_int(ag_file_write(fd, "abc", 3), -ENOSPC);
    ag_check_int(ag_test_inject(AG_FAIL_SYNC, 1, -EIO), 1);
    ag_check_int(ag_file_sync(fd), -EIO);
    ag_test_inject(0, 0, 0);
    ag_check_int(ag_file_write(fd, "abc", 3), 3);
    ag_check_int(lseek(fd, 0, SEEK_SET), 0);
    ag_test_inject(AG_FAIL_READ, 1, -EIO);
    ag_check_int(ag_file_read(fd, buf, 4), -EIO);
    ag_test_inject(0, 0, 0);
    ag_check_int(ag_file_read(fd, buf, 4), 3);
    ag_test_inject(AG_FAIL_CLOSE, 1, -EIO);
    ag_check_int(ag_fd_close(fd), -EIO);
}

static void echo(ag_listener *l) {
    ag_conn *c;
    ag_defer(ag_unref, l);
    if (ag_accept(l, &c) < 0)
        return;
    ag_defer(ag_unref, c);
    char buf[8];
    ssize_t n = ag_read(c, buf, sizeof buf);
    if (n > 0)
        ag_write(c, buf, (size_t)n);
}

IN_A_TEST(connections_fail_too) {
    ag_listener *l;
    ag_conn *c;
    ag_check_int(ag_listen("tcp", "127.0.0.1:0", &l), 0);
    ag_test_inject(AG_FAIL_CONNECT, 1, -ECONNREFUSED);
    ag_check_int(ag_dial("tcp", ag_listener_addr(l), &c), -ECONNREFUSED);
    ag_check_int(ag_test_inject(0, 0, 0), 1);
    ag_go(echo, ag_ref(l));
    ag_check_int(ag_dial("tcp", ag_listener_addr(l), &c), 0);
    ag_test_inject(AG_FAIL_WRITE, 1, -ECONNRESET);
    ag_check_int(ag_write(c, "abc", 3), -ECONNRESET);
    ag_check_int(ag_test_inject(0, 0, 0), 1);
    ag_unref(c);
    ag_unref(l);
}

/* ---- Whose calls ------------------------------------------------------------------------------
 */

static void write_much(int times, ag_chan(int) ret) {
    int failed = 0, fd = scratch();
    for (int i = 0; i < times; i++)
        failed += ag_file_write(fd, "x", 1) < 0;
    close(fd);
    ag_send(ret, failed);
}

static void fails_once(ag_chan(int) ret) {
    ag_chan(int) mine = ag_make(int, 4);
    ag_test_inject(AG_FAIL_WRITE, 250, -EIO);
    for (int i = 0; i < 4; i++)
        ag_go(write_much, 100, mine);
    int sum = 0;
    for (int i = 0, n; i < 4 && ag_recv(mine, &n); i++)
        sum += n;
    ag_unref(mine);
    ag_send(ret, sum);
}

/* All goroutines of a test count together; other tests' and nobody's don't. */
static void one_test(ag_chan(int) ret) {
    ag_check_int(ag_test_run("one", AG_MIN, fails_once, ret), 0);
}

AG_TEST_RUN(tests_side_by_side_have_their_own_failures) {
    enum { TESTS = 6 };
    ag_chan(int) ret = ag_make(int, TESTS), others = ag_make(int, 1);
    ag_go(write_much, 2000, others);
    for (int i = 0; i < TESTS; i++)
        ag_go(one_test, ret);
    int n;
    for (int i = 0; i < TESTS; i++) {
        ag_recv(ret, &n);
        ag_check_int(n, 1);
    }
    ag_recv(others, &n);
    ag_check_int(n, 0);
    ag_unref(ret);
    ag_unref(others);
}

AG_TEST_RUN(outside_of_a_test_nothing_can_be_ordered) {
    ag_panic_info info;
    ag_check_int(ag_try(&info, ag_test_inject, AG_FAIL_READ, 1, -EIO), AG_PANICKED);
    ag_check_str(info.msg, "ag_test_inject: not in a test");
}

/* ---- Walks ------------------------------------------------------------------------------------
 */

struct pair {
    char *a, *b;
};

static void pair_free(struct pair *p) {
    free(p->a);
    free(p->b);
    free(p);
}

/* Three allocations. */
static struct pair *pair_new(void) {
    struct pair *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->a = strdup("a");
    p->b = p->a ? strdup("b") : NULL;
    if (p->b)
        return p;
    pair_free(p);
    return NULL;
}

static int made, refused;
static void make_pair(void) {
    struct pair *p = pair_new();
    made += p != NULL;
    refused += p == NULL;
    if (p)
        pair_free(p);
}

IN_A_TEST(a_walk_lets_each_call_fail_once) {
    made = refused = 0;
    ag_check_int(ag_test_walk(AG_FAIL_ALLOC, -ENOMEM, make_pair), 3);
    ag_check_int(made, 1);
    ag_check_int(refused, 3);
}

IN_A_TEST(a_walk_that_reaches_nothing_says_so) {
    ag_check_int(ag_test_walk(AG_FAIL_CONNECT, -EIO, make_pair), 0);
}

/* Gives up, and forgets its helper, when a write fails. */
static void take_one(ag_chan(int) c) {
    ag_recv(c, NULL);
}
static void forgets_its_helper(ag_chan(int) c, int fd) {
    ag_go(take_one, c);
    if (ag_file_write(fd, "x", 1) == 1)
        ag_send(c, 1);
}

static void walk_carelessly(ag_chan(int) c, int fd) {
    ag_test_walk(AG_FAIL_WRITE, -EIO, forgets_its_helper, c, fd);
}

IN_A_TEST(a_walk_finds_goroutines_that_a_failure_leaves_behind) {
    ag_panic_info info;
    ag_chan(int) c = ag_make(int, 0);
    int fd = scratch();
    ag_check_int(ag_try(&info, walk_carelessly, c, fd), AG_PANICKED);
    ag_check_str(info.msg, "ag_test_walk: failure 1 leaves 1 goroutines behind");
    ag_close(c);
    close(fd);
}
