/* SPDX-License-Identifier: MIT */
/*
 * Connections from inside: what a short read says about readiness, ends that come with the last
 * data, descriptors that live as long as a call, life across worlds.
 */
#include "ag_test.h"
#include "net/net.h"
#include <aglet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

struct pair {
    ag_listener *listener;
    ag_conn *a, *b; /* a has dialed, b was accepted */
};

static struct pair open_pair(const char *net, const char *addr) {
    struct pair p;
    ag_check_int(ag_listen(net, addr, &p.listener), 0);
    ag_check_int(ag_dial(net, ag_listener_addr(p.listener), &p.a), 0);
    ag_check_int(ag_accept(p.listener, &p.b), 0);
    return p;
}

static struct pair tcp_pair(void) {
    return open_pair("tcp", "127.0.0.1:0");
}

static void end_pair(struct pair *p) {
    ag_unref(p->a);
    ag_unref(p->b);
    ag_unref(p->listener);
}

AG_TEST_RUN(an_idle_connection_is_small) {
    /* With the record of the poller (under 100 bytes) and a wish (an ag__g). */
    ag_check(sizeof(ag_conn) <= 112);
    ag_check(sizeof(ag_conn) + 100 + sizeof(ag__g) < 700);
}

AG_TEST_RUN(a_short_read_of_tcp_has_drained_the_socket) {
    struct pair p = tcp_pair();
    char buf[64];
    ag_check_int(ag_write(p.a, "12345678", 8), 8);
    ag_check_int(ag_read(p.b, buf, 4), 4);
    ag_check(ag__pd_is_ready(p.b->pd, AG__READ)); /* full: there may be more */
    ag_check_int(ag_read(p.b, buf, 64), 4);
    /* The event of this data may be under way still; then the next read goes on without. */
    ag_set_read_deadline(p.b, ag_now() + 5 * AG_MS);
    ag_check_int(ag_read(p.b, buf, 64), -ETIMEDOUT);
    ag_check(!ag__pd_is_ready(p.b->pd, AG__READ));
    ag_set_read_deadline(p.b, 0);
    ag_check_int(ag_write(p.a, "more", 4), 4);
    ag_check_int(ag_read(p.b, buf, 64), 4);
    end_pair(&p);
}

static void send_and_end(ag_conn *c) {
    ag_check_int(ag_write(c, "last", 4), 4);
    ag_conn_close(c);
}

AG_TEST_RUN(the_end_that_comes_with_the_last_data_is_not_lost) {
    for (int i = 0; i < 300 / ag_test_slow(); i++) {
        struct pair p = tcp_pair();
        char buf[64];
        if (i & 1) {
            ag_go(send_and_end, p.a);
        } else {
            ag_check_int(ag_write(p.b, "x", 1), 1);
            ag_check_int(ag_read(p.a, buf, 64), 1);
            send_and_end(p.a);
        }
        if (i % 3 == 0)
            ag_sleep(AG_MS / 2); /* data and end are one event */
        ag_check_int(ag_read(p.b, buf, 64), 4);
        ag_check_int(ag_read(p.b, buf, 64), 0);
        ag_check_int(ag_read(p.b, buf, 64), 0); /* and it stays */
        eventually(ag_count() == 1);
        end_pair(&p);
    }
}

AG_TEST_RUN(data_behind_an_urgent_byte_is_not_lost) {
    for (int i = 0; i < 50 / ag_test_slow(); i++) {
        struct pair p = tcp_pair();
        char buf[64];
        ag_check_int(send(ag_conn_fd(p.a), "abcX", 4, MSG_OOB), 4); /* X is out of band */
        ag_check_int(ag_write(p.a, "def", 3), 3);
        ssize_t total = 0;
        while (total < 6) {
            ssize_t n = ag_read(p.b, buf + total, sizeof buf - (size_t)total);
            ag_check(n > 0);
            total += n;
        }
        ag_check_mem(buf, "abcdef", 6);
        end_pair(&p);
    }
}

static void pass_descriptor(int fd, int passed, const char *text, size_t n) {
    struct iovec v = {(void *)text, n};
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr head;
    } control = {{0}};
    struct msghdr m = {.msg_iov = &v,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof control.bytes};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof passed);
    memcpy(CMSG_DATA(c), &passed, sizeof passed);
    ag_check_int(sendmsg(fd, &m, 0), (ssize_t)n);
}

AG_TEST_RUN(data_behind_a_passed_descriptor_is_not_lost) {
    char name[64], buf[64];
    snprintf(name, sizeof name, "@aglet-conn-test-%d", (int)getpid());
    struct pair p = open_pair("unix", name);
    pass_descriptor(ag_conn_fd(p.a), 2, "one", 3);
    ag_check_int(ag_write(p.a, "two", 3), 3);
    ag_sleep(AG_MS); /* the events are delivered: the reads must not wait for another */
    ag_check_int(ag_read(p.b, buf, 64), 3); /* a read ends behind the descriptor */
    ag_check_int(ag_read(p.b, buf, 64), 3);
    ag_check_mem(buf, "two", 3);
    end_pair(&p);
}

AG_TEST_RUN(accepted_connections_do_not_delay) {
    struct pair p = tcp_pair();
    ag_conn *both[] = {p.a, p.b};
    for (int i = 0; i < 2; i++) {
        int on = 0;
        socklen_t size = sizeof on;
        int fd = ag_conn_fd(both[i]);
        ag_check_int(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &size), 0);
        ag_check(on != 0);
        ag_check(fcntl(fd, F_GETFL) & O_NONBLOCK);
        ag_check(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    }
    end_pair(&p);
}

static void read_once(ag_conn *c, _Atomic int *result) {
    char buf[8];
    *result = (int)ag_read(c, buf, sizeof buf) - 1000;
}

AG_TEST_RUN(a_descriptor_is_not_closed_under_a_call) {
    for (int i = 0; i < 200 / ag_test_slow(); i++) {
        struct pair p = tcp_pair();
        _Atomic int result = 0;
        int fd = ag_conn_fd(p.b);
        ag_go(read_once, p.b, &result);
        if (i & 1)
            ag_yield();
        if (i % 5 == 0)
            ag_sleep(AG_MS / 10);
        ag_check_int(ag__gate_enter(&p.b->gate), 0); /* as a call that is under way */
        ag_check_int(ag_conn_close(p.b), 0);
        eventually(result != 0);
        ag_check_int(result, -ECANCELED - 1000);
        ag_check(fcntl(fd, F_GETFD) >= 0);
        ag_check(ag__gate_leave(&p.b->gate));
        ag__pd_free(p.b->pd);
        close(fd);
        ag_check_int(ag_conn_fd(p.b), -ECANCELED);
        end_pair(&p);
    }
}

AG_TEST_RUN(a_reset_and_a_broken_pipe_are_errors) {
    struct pair p = tcp_pair();
    struct linger hard = {1, 0};
    char buf[8];
    struct sigaction action;
    sigaction(SIGPIPE, NULL, &action);
    ag_check(action.sa_handler == SIG_DFL); /* nobody has made it harmless */
    setsockopt(ag_conn_fd(p.a), SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    ag_conn_close(p.a);
    ag_check_int(ag_read(p.b, buf, 8), -ECONNRESET);
    ag_check_int(ag_write(p.b, "x", 1), -EPIPE);
    struct iovec v = {(void *)"x", 1};
    ag_check_int(ag_writev(p.b, &v, 1), -EPIPE);
    end_pair(&p);
}

AG_TEST_RUN(impossible_vectors_are_refused_and_empty_ones_are_nothing) {
    struct pair p = tcp_pair();
    static struct iovec many[1025];
    struct iovec huge[2] = {{many, SIZE_MAX / 2}, {many, SIZE_MAX / 2}};
    ag_check_int(ag_writev(p.a, many, 1025), -EINVAL);
    ag_check_int(ag_writev(p.a, many, -1), -EINVAL);
    ag_check_int(ag_writev(p.a, huge, 2), -EINVAL);
    ag_check_int(ag_writev(p.a, many, 0), 0);
    ag_check_int(ag_writev(p.a, many, 1024), 0);
    ag_check_int(ag_write(p.a, "", 0), 0);
    ag_check_int(ag_read(p.a, many, 0), 0);
    ag_check_int(ag_conn_sent(p.a), 0);
    end_pair(&p);
}

/* --- Deadlines. --- */

static void stream(ag_conn *c, _Atomic int *stop) {
    static char data[1 << 16];
    while (!*stop && ag_write(c, data, sizeof data) > 0)
        continue;
}

AG_TEST_RUN(a_deadline_ends_a_read_that_never_has_to_wait) {
    struct pair p = tcp_pair();
    static char buf[4096];
    _Atomic int stop = 0;
    ssize_t n;
    ag_go(stream, p.a, &stop);
    ag_time deadline = ag_now() + 20 * AG_MS;
    ag_set_read_deadline(p.b, deadline);
    while ((n = ag_read(p.b, buf, sizeof buf)) > 0)
        continue;
    ag_check_int(n, -ETIMEDOUT);
    ag_check(ag_now() >= deadline);
    ag_set_read_deadline(p.b, 1);
    ag_check_int(ag_read(p.b, buf, 1), -ETIMEDOUT); /* though there is data */
    stop = 1;
    ag_conn_close(p.b);
    eventually(ag_count() == 1);
    end_pair(&p);
}

static void write_after(ag_conn *c, ag_time pause) {
    ag_sleep(pause);
    ag_check_int(ag_write(c, "x", 1), 1);
}

/* Data and deadline race: whatever wins, no data is lost. */
AG_TEST_RUN(data_that_races_with_a_deadline_is_not_lost) {
    struct pair p = tcp_pair();
    char buf[8];
    for (int i = 0; i < 200 / ag_test_slow(); i++) {
        ag_go(write_after, p.a, (ag_time)(i % 10) * 20 * AG_US);
        ag_set_read_deadline(p.b, ag_now() + 100 * AG_US);
        ssize_t n = ag_read(p.b, buf, 8);
        if (n == -ETIMEDOUT) {
            ag_set_read_deadline(p.b, 0);
            n = ag_read(p.b, buf, 8);
        }
        ag_check_int(n, 1);
        eventually(ag_count() == 1);
    }
    end_pair(&p);
}

static void change_deadlines(ag_conn *c, _Atomic int *stop) {
    for (int i = 0; !*stop; i++) {
        ag_set_read_deadline(c, i % 3 == 0 ? 0 : ag_now() + (i % 5) * AG_MS + AG_SEC);
        ag_yield();
    }
}

AG_TEST_RUN(deadlines_may_change_all_the_time) {
    struct pair p = tcp_pair();
    _Atomic int stop = 0;
    char buf[8];
    ag_go(change_deadlines, p.b, &stop);
    for (int i = 0; i < 300 / ag_test_slow(); i++) {
        ag_go(write_after, p.a, (ag_time)(i % 4) * 50 * AG_US);
        ag_check_int(ag_read(p.b, buf, 8), 1);
    }
    stop = 1;
    eventually(ag_count() == 1);
    end_pair(&p);
}

/* --- Wishes. --- */

static _Atomic int for_nothing;

static void granted(ag_conn *c, _Atomic int *result) {
    char buf[8];
    ssize_t n = ag_try_read(c, buf, sizeof buf);
    if (n == -EAGAIN) { /* by an event that was taken before the read and delivered after it */
        for_nothing++;
        ag_check_int(ag_conn_when_readable(c, granted, c, result), 0);
        return;
    }
    *result = (int)n + 1000;
}

AG_TEST_RUN(a_wish_is_not_granted_for_what_was_read_before) {
    struct pair p = tcp_pair();
    _Atomic int result = 0;
    char buf[8];
    int rounds = 100 / ag_test_slow();
    for (int i = 0; i < rounds; i++) {
        ag_check_int(ag_write(p.a, "x", 1), 1);
        ag_check_int(ag_read(p.b, buf, 1), 1); /* full: it stays ready though there is nothing */
        ag_check_int(ag_conn_when_readable(p.b, granted, p.b, &result), 0);
        ag_yield();
        ag_check_int(result, 0);
        ag_check_int(ag_write(p.a, "yz", 2), 2);
        eventually(result != 0);
        ag_check_int(result, 1002);
        result = 0;
        eventually(ag_count() == 1);
    }
    ag_check(for_nothing < rounds);
    end_pair(&p);
}

static void hold_reader(ag_conn *c, _Atomic int *result) {
    read_once(c, result);
}

AG_TEST_RUN(a_wish_and_a_reader_exclude_each_other) {
    struct pair p = tcp_pair();
    _Atomic int result = 0, wished = 0;
    ag_go(hold_reader, p.b, &result);
    eventually(p.b->gate.word & AG__GATE_BUSY(AG__READ));
    ag_check_int(ag_conn_when_readable(p.b, granted, p.b, &wished), -EBUSY);
    ag_check_int(ag_write(p.a, "x", 1), 1);
    eventually(result != 0);
    ag_check_int(ag_conn_when_readable(p.b, granted, p.b, &wished), 0);
    char buf[8];
    ag_check_int(ag_read(p.b, buf, 8), -EBUSY);
    ag_conn_close(p.b);
    eventually(wished != 0);
    ag_check_int(wished, 1000 - ECANCELED);
    eventually(ag_count() == 1);
    end_pair(&p);
}

static void note(_Atomic int *n) {
    ++*n;
}

AG_TEST_RUN(a_wish_holds_the_connection) {
    struct pair p = tcp_pair();
    _Atomic int n = 0;
    int fd = ag_conn_fd(p.b);
    ag_check_int(ag_conn_when_readable(p.b, note, &n), 0);
    ag_unref(p.b);
    p.b = NULL;
    ag_check(fcntl(fd, F_GETFD) >= 0);
    ag_conn_close(p.a);
    eventually(n == 1);
    eventually(fcntl(fd, F_GETFD) < 0); /* with the goroutine its reference went */
    end_pair(&p);
}

static void take_it_all(ag_conn *c, _Atomic int *n) {
    ag_unref(c);
    ++*n;
}

/* It is readable already, so on another processor all may be over before the call returns. */
AG_TEST_RUN(a_wish_may_take_the_last_reference_along) {
    _Atomic int n = 0;
    int rounds = 20000 / ag_test_slow();
    for (int i = 0; i < rounds; i++) {
        int ends[2];
        ag_conn *c;
        ag_check_int(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        ag_check_int(ag_conn_from_fd(ends[0], &c), 0);
        close(ends[1]);
        ag_check_int(ag_conn_when_readable(c, take_it_all, c, &n), 0);
        if (i % 16 == 15)
            eventually(n == i + 1);
    }
    eventually(n == rounds);
}

/* Fewer than come in one look at the poller, and than have room in a queue. */
enum { IN_TURN = AG__SIZE(40, 4) };

static void take_place(_Atomic int *turns, int *place, ag_wg *wg) {
    *place = (*turns)++;
    ag_wg_done(wg);
}

/* Writes to all from the first to the last, and lets them run. Returns how many pairs have run in
 * the other order. */
static int pairs_out_of_turn(ag_conn *const *conns, const int *peers) {
    _Atomic int turns = 0;
    int place[IN_TURN], n = 0;
    char buf[8];
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, IN_TURN);
    for (int i = 0; i < IN_TURN; i++)
        ag_check_int(ag_conn_when_readable(conns[i], take_place, &turns, &place[i], &wg), 0);
    for (int i = 0; i < IN_TURN; i++)
        ag_check_int(write(peers[i], "x", 1), 1);
    ag_wg_wait(&wg);
    for (int i = 0; i < IN_TURN; i++) {
        ag_check_int(ag_read(conns[i], buf, sizeof buf), 1);
        for (int j = 0; j < i; j++)
            n += place[j] > place[i];
    }
    return n;
}

static int looks_at_turns(void *unused) {
    enum { ROUNDS = 20, PAIRS = IN_TURN * (IN_TURN - 1) / 2 };
    ag_conn *conns[IN_TURN];
    int peers[IN_TURN], n = 0;
    (void)unused;
    for (int i = 0; i < IN_TURN; i++) {
        int ends[2];
        ag_check_int(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        ag_check_int(ag_conn_from_fd(ends[0], &conns[i]), 0);
        peers[i] = ends[1];
    }
    for (int i = 0; i < ROUNDS; i++)
        n += pairs_out_of_turn(conns, peers);
    /* None, unless the monitor took events that waited for long meanwhile. */
    if (n > ROUNDS * PAIRS / 8)
        ag_fail("%d of %d pairs are out of turn", n, ROUNDS * PAIRS);
    for (int i = 0; i < IN_TURN; i++) {
        ag_unref(conns[i]);
        close(peers[i]);
    }
    return 0;
}

AG_TEST(wishes_are_granted_in_the_order_of_their_events) {
    unsetenv("AGLET_PROCS"); /* on one processor, whatever the others have */
    ag_check_int(ag_run_with(&(ag_config){.procs = 1}, looks_at_turns, NULL), 0);
}

/* --- Many. --- */

static void echo_until_end(ag_conn *c) {
    char buf[256];
    ssize_t n;
    while ((n = ag_read(c, buf, sizeof buf)) > 0)
        ag_check_int(ag_write(c, buf, (size_t)n), n);
    ag_check_int(n, 0);
    ag_unref(c);
}

static void accept_all(ag_listener *l) {
    ag_conn *c;
    while (ag_accept(l, &c) == 0)
        ag_go(echo_until_end, c);
    ag_unref(l);
}

AG_TEST_RUN(a_thousand_connections_echo) {
    int many = 1000 / ag_test_slow();
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < 2100)
        ag_skip("2,100 descriptors");
    ag_listener *l;
    ag_conn **all = calloc((size_t)many, sizeof *all);
    char buf[16];
    ag_check_int(ag_listen("tcp", "127.0.0.1:0", &l), 0);
    ag_go(accept_all, ag_ref(l));
    for (int i = 0; i < many; i++)
        ag_check_int(ag_dial("tcp", ag_listener_addr(l), &all[i]), 0);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < many; i++)
            ag_check_int(ag_write(all[i], "0123456789", 10), 10);
        for (int i = many - 1; i >= 0; i--)
            ag_check_int(ag_read(all[i], buf, sizeof buf), 10);
    }
    for (int i = 0; i < many; i++)
        ag_unref(all[i]);
    ag_listener_close(l);
    ag_unref(l);
    eventually(ag_count() == 1);
    free(all);
}

/* --- Threads and worlds. --- */

static _Atomic bool was_late;

static void *read_on_thread(void *arg) {
    ag_conn *c = arg;
    char buf[8];
    ag_check_int(ag_read(c, buf, 8), 5);
    ag_set_read_deadline(c, ag_now() + 2 * AG_MS);
    ag_check_int(ag_read(c, buf, 8), -ETIMEDOUT);
    ag_set_read_deadline(c, 0);
    was_late = true;
    ag_check_int(ag_read(c, buf, 8), -ECANCELED);
    return NULL;
}

AG_TEST_RUN(a_foreign_thread_may_read) {
    struct pair p = tcp_pair();
    pthread_t thread;
    pthread_create(&thread, NULL, read_on_thread, p.b);
    ag_sleep(2 * AG_MS);
    ag_check_int(ag_write(p.a, "hello", 5), 5);
    eventually(was_late);
    ag_sleep(2 * AG_MS);
    ag_conn_close(p.b);
    pthread_join(thread, NULL);
    end_pair(&p);
}

static struct pair across;

static int wait_for_ever(void *arg) {
    (void)arg;
    static _Atomic int never;
    char buf[8];
    ag_go(read_once, across.b, &never);
    ag_sleep(2 * AG_MS);
    ag_check_int(ag_write(across.b, "1", 1), 1);
    ag_check_int(ag_read(across.a, buf, 8), 1);
    return 0; /* the reader is dropped where it stands */
}

static int go_on(void *arg) {
    (void)arg;
    char buf[8];
    ag_conn *c;
    ag_check_int(ag_write(across.b, "2", 1), 1);
    ag_check_int(ag_read(across.a, buf, 8), 1);
    ag_check_mem(buf, "2", 1);
    ag_set_read_deadline(across.a, ag_now() + 2 * AG_MS);
    ag_check_int(ag_read(across.a, buf, 8), -ETIMEDOUT);
    ag_set_read_deadline(across.a, 0);
    ag_go(write_after, across.b, 2 * AG_MS);
    ag_check_int(ag_read(across.a, buf, 8), 1);
    ag_check_int(ag_dial("tcp", ag_listener_addr(across.listener), &c), 0);
    ag_unref(c);
    ag_check_int(ag_accept(across.listener, &c), 0);
    ag_unref(c);
    return 0;
}

AG_TEST(sockets_live_across_worlds) {
    AG_TEST_LEAKY_FDS(); /* a goroutine that was dropped keeps its connection for ever */
    /* Opened without a world, used without one. */
    across = tcp_pair();
    char buf[8];
    ag_check_int(ag_write(across.a, "0", 1), 1);
    ag_check_int(ag_read(across.b, buf, 8), 1);
    ag_check_int(ag_run(wait_for_ever, NULL), 0);
    ag_check_int(ag_run(go_on, NULL), 0);
    ag_check_int(ag_run(go_on, NULL), 0);
    ag_check_int(ag_conn_close(across.b), 0);
    end_pair(&across);
}
