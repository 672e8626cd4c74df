/* SPDX-License-Identifier: MIT */
/*
 * Sockets under load: listeners closed while many accept and dial, connections closed while
 * others read and write them, descriptor numbers that come back at once, idle ones that wish.
 */
#include "stress.h"

#include <sys/socket.h>

static void echo(ag_conn *c) {
    char buf[512];
    ssize_t n;
    while ((n = ag_read(c, buf, sizeof buf)) > 0)
        if (ag_write(c, buf, (size_t)n) != n)
            break;
    ag_conn_close(c);
    ag_unref(c);
}

static void accept_all(ag_listener *l, atomic_int *accepted, ag_wg *wg) {
    ag_conn *c;
    int status;
    while ((status = ag_accept(l, &c)) == 0) {
        atomic_fetch_add(accepted, 1);
        ag_go(echo, c);
    }
    ag_check_int(status, -ECANCELED);
    ag_unref(l);
    ag_wg_done(wg);
}

static void dial_until_refused(const char *addr, atomic_int *talked, ag_wg *wg) {
    for (;;) {
        ag_conn *c;
        char buf[8];
        int status = ag_dial("tcp", addr, &c);
        if (status < 0) {
            ag_check(status == -ECONNREFUSED || status == -ECONNRESET || status == -EADDRNOTAVAIL);
            break;
        }
        ssize_t n = ag_write(c, "01234567", 8);
        for (ssize_t at = 0; n > 0 && at<8; at += n> 0 ? n : 0)
            n = ag_read(c, buf, sizeof buf);
        ag_check(n > 0 || n == 0 || n == -ECONNRESET || n == -EPIPE);
        if (n > 0)
            atomic_fetch_add(talked, 1);
        ag_conn_close(c);
        ag_unref(c);
    }
    ag_wg_done(wg);
}

AG_TEST_RUN(listeners_are_closed_while_many_accept_and_dial) {
    for (int i = 0; i < scaled(15); i++) {
        ag_listener *l;
        char addr[64];
        atomic_int accepted = 0, talked = 0;
        ag_wg wg = AG_WG_INIT;
        ag_check_int(ag_listen("tcp", "127.0.0.1:0", &l), 0);
        snprintf(addr, sizeof addr, "%s", ag_listener_addr(l));
        ag_wg_add(&wg, 30);
        for (int k = 0; k < 10; k++)
            ag_go(accept_all, ag_ref(l), &accepted, &wg);
        for (int k = 0; k < 20; k++)
            ag_go(dial_until_refused, addr, &talked, &wg);
        eventually(atomic_load(&talked) > 20);
        ag_check_int(ag_listener_close(l), 0);
        ag_unref(l);
        ag_wg_wait(&wg);
        eventually(ag_count() == 1);
        ag_check(atomic_load(&accepted) >= atomic_load(&talked));
    }
}

static void read_to_the_end(ag_conn *c, ag_wg *wg) {
    char buf[256];
    ssize_t n;
    while ((n = ag_read(c, buf, sizeof buf)) > 0)
        continue;
    ag_check(n == 0 || n == -ECANCELED || n == -ECONNRESET);
    ag_unref(c);
    ag_wg_done(wg);
}

static void write_to_the_end(ag_conn *c, ag_wg *wg) {
    static char data[10000];
    ssize_t n;
    while ((n = ag_write(c, data, sizeof data)) > 0)
        continue;
    ag_check(n == -ECANCELED || n == -EPIPE || n == -ECONNRESET);
    ag_unref(c);
    ag_wg_done(wg);
}

static void close_after(ag_conn *c, int us, ag_wg *wg) {
    ag_sleep(us * AG_US);
    ag_conn_close(c);
    ag_unref(c);
    ag_wg_done(wg);
}

AG_TEST_RUN(connections_are_closed_while_others_read_and_write_them) {
    int rounds = scaled(400);
    ag_wg wg = AG_WG_INIT;
    for (int i = 0; i < rounds; i++) {
        int ends[2];
        ag_conn *a, *b;
        ag_check_int(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
        ag_check_int(ag_conn_from_fd(ends[0], &a), 0);
        ag_check_int(ag_conn_from_fd(ends[1], &b), 0);
        ag_wg_add(&wg, 6);
        ag_go(read_to_the_end, ag_ref(a), &wg);
        ag_go(read_to_the_end, ag_ref(b), &wg);
        ag_go(write_to_the_end, ag_ref(a), &wg);
        ag_go(write_to_the_end, ag_ref(b), &wg);
        ag_go(close_after, ag_ref(a), i % 10 * 50, &wg);
        ag_go(close_after, ag_ref(a), i % 7 * 80, &wg);
        ag_unref(a);
        ag_unref(b);
        if (i % 20 == 19)
            ag_wg_wait(&wg);
    }
    ag_wg_wait(&wg);
}

static void pump(ag_conn *c, int kib) {
    char buf[1024];
    for (int i = 0; i < kib; i++) {
        for (size_t k = 0; k < sizeof buf; k++)
            buf[k] = (char)((size_t)i + k);
        ag_check_int(ag_write(c, buf, sizeof buf), (ssize_t)sizeof buf);
    }
    ag_check_int(ag_conn_shutdown(c, SHUT_WR), 0);
}

static void check_stream(ag_conn *c, int kib) {
    char buf[777];
    size_t at = 0;
    ssize_t n;
    while ((n = ag_read(c, buf, sizeof buf)) > 0)
        for (ssize_t i = 0; i < n; i++, at++)
            ag_check_int(buf[i], (char)(at / 1024 + at % 1024));
    ag_check_int(n, 0);
    ag_check_int(at, (size_t)kib * 1024);
}

static void both_ways(int kib, ag_wg *wg) {
    int ends[2];
    ag_conn *a, *b;
    ag_wg mine = AG_WG_INIT;
    ag_check_int(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    ag_check_int(ag_conn_from_fd(ends[0], &a), 0);
    ag_check_int(ag_conn_from_fd(ends[1], &b), 0);
    ag_wg_go(&mine, pump, a, kib);
    ag_wg_go(&mine, pump, b, kib);
    ag_wg_go(&mine, check_stream, a, kib);
    check_stream(b, kib);
    ag_wg_wait(&mine);
    ag_unref(a);
    ag_unref(b);
    ag_wg_done(wg);
}

AG_TEST_RUN(streams_both_ways_on_many_connections) {
    ag_wg wg = AG_WG_INIT;
    int many = 100;
    ag_wg_add(&wg, many);
    for (int i = 0; i < many; i++)
        ag_go(both_ways, scaled(300), &wg);
    ag_wg_wait(&wg);
}

static void deadline_storm(ag_conn *c, int rounds, int seed, ag_wg *wg) {
    struct dice d = {(uint64_t)seed};
    for (int i = 0; i < rounds; i++) {
        ag_time at = roll(&d, 3) ? ag_now() + roll(&d, 200) * AG_US : 0;
        ag_check_int(ag_set_read_deadline(c, at), 0);
        if (roll(&d, 4) == 0)
            ag_sleep(roll(&d, 100) * AG_US);
    }
    ag_wg_done(wg);
}

static void read_under_deadlines(ag_conn *c, atomic_llong *bytes, ag_wg *wg) {
    char buf[64];
    for (;;) {
        ssize_t n = ag_read(c, buf, sizeof buf);
        if (n == 0)
            break;
        ag_check(n > 0 || n == -ETIMEDOUT);
        if (n > 0)
            atomic_fetch_add(bytes, n);
        else
            ag_set_read_deadline(c, 0); /* until the next one sets it */
    }
    ag_wg_done(wg);
}

AG_TEST_RUN(deadlines_move_while_a_reader_waits) {
    int ends[2], rounds = scaled(3000);
    ag_conn *a, *b;
    atomic_llong bytes = 0;
    ag_wg setters = AG_WG_INIT, reader = AG_WG_INIT;
    ag_check_int(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    ag_check_int(ag_conn_from_fd(ends[0], &a), 0);
    ag_check_int(ag_conn_from_fd(ends[1], &b), 0);
    ag_wg_add(&reader, 1);
    ag_wg_add(&setters, 4);
    ag_go(read_under_deadlines, a, &bytes, &reader);
    for (int i = 0; i < 4; i++)
        ag_go(deadline_storm, a, rounds, i, &setters);
    for (int i = 0; i < rounds; i++)
        ag_check_int(ag_write(b, "abc", 3), 3);
    ag_wg_wait(&setters);
    ag_set_read_deadline(a, 0);
    ag_conn_shutdown(b, SHUT_WR);
    ag_wg_wait(&reader);
    ag_check_int(atomic_load(&bytes), 3LL * rounds);
    ag_unref(a);
    ag_unref(b);
}

static void wish_again(ag_conn *c, atomic_int *left) {
    char byte;
    ssize_t n = ag_read(c, &byte, 1);
    if (n == 1) {
        atomic_fetch_sub(left, 1);
        ag_check_int(ag_conn_when_readable(c, wish_again, c, left), 0);
    } else {
        ag_check(n == 0);
        ag_unref(c);
        atomic_fetch_sub(left, 1);
    }
}

AG_TEST_RUN(idle_connections_that_wish) {
    enum { CONNS = 100 };
    static ag_conn *ours[CONNS];
    int rounds = scaled(300);
    atomic_int left = CONNS * rounds;
    for (int i = 0; i < CONNS; i++) {
        int ends[2];
        ag_conn *theirs;
        ag_check_int(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
        ag_check_int(ag_conn_from_fd(ends[0], &ours[i]), 0);
        ag_check_int(ag_conn_from_fd(ends[1], &theirs), 0);
        ag_check_int(ag_conn_when_readable(theirs, wish_again, theirs, &left), 0);
    }
    for (int i = 0; i < rounds; i++)
        for (int k = 0; k < CONNS; k++)
            ag_check_int(ag_write(ours[k], "x", 1), 1);
    eventually(atomic_load(&left) == 0);
    for (int i = 0; i < CONNS; i++) {
        ag_conn_close(ours[i]);
        ag_unref(ours[i]);
    }
    eventually(atomic_load(&left) == -CONNS); /* all have seen the end */
    eventually(ag_count() == 1);
}

static void pipe_round(int rounds, ag_wg *wg) {
    for (int i = 0; i < rounds; i++) {
        int ends[2];
        char byte = 0;
        ag_check_int(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
        ag_check_int(ag_fd_wait(ends[0], AG_READABLE, ag_now() + i % 3 * 20 * AG_US), -ETIMEDOUT);
        ag_check_int(ag_fd_write(ends[1], "y", 1), 1);
        ag_check_int(ag_fd_read(ends[0], &byte, 1), 1);
        ag_check_int(byte, 'y');
        ag_fd_close(ends[i % 2]);
        ag_fd_close(ends[!(i % 2)]);
    }
    ag_wg_done(wg);
}

AG_TEST_RUN(descriptor_numbers_come_back_at_once) {
    ag_wg wg = AG_WG_INIT;
    ag_wg_add(&wg, 50);
    for (int i = 0; i < 50; i++)
        ag_go(pipe_round, scaled(300), &wg);
    ag_wg_wait(&wg);
}
