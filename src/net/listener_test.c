/* SPDX-License-Identifier: MIT */
/*
 * Listening: both families, the files of Unix sockets, closing while others accept, running out
 * of descriptors.
 */
#include "ag_test.h"
#include "net/net.h"
#include <aglet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static bool has_ip6(void) {
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    ag__addr a;
    ag__addr_loopback(AG__ADDR_IP6, 0, &a);
    bool has = fd >= 0 && bind(fd, (struct sockaddr *)a.raw, a.size) == 0;
    close(fd);
    return has;
}

static int port_of(ag_listener *l) {
    ag__host_port p;
    ag_check_int(ag__host_port_parse(ag_listener_addr(l), &p), 0);
    ag_check(p.port > 0);
    return p.port;
}

static int try_dial(const char *net, const char *host, int port) {
    char addr[64];
    ag_conn *c;
    snprintf(addr, sizeof addr, "%s:%d", host, port);
    int r = ag_dial(net, addr, &c);
    if (r == 0)
        ag_unref(c);
    return r;
}

AG_TEST_RUN(all_addresses_are_both_families) {
    ag_listener *l;
    if (!has_ip6())
        ag_skip("IPv6");
    ag_check_int(ag_listen("tcp", ":0", &l), 0);
    ag_check_int(strncmp(ag_listener_addr(l), "[::]:", 5), 0);
    ag_check_int(try_dial("tcp4", "127.0.0.1", port_of(l)), 0);
    ag_check_int(try_dial("tcp6", "[::1]", port_of(l)), 0);
    ag_check_int(try_dial("tcp", "", port_of(l)), 0);
    ag_conn *c;
    ag_check_int(ag_accept(l, &c), 0);
    ag_check_int(strncmp(ag_conn_remote(c), "127.0.0.1:", 10), 0); /* not ::ffff:127.0.0.1 */
    ag_unref(c);
    ag_unref(l);
    ag_check_int(ag_listen("tcp6", ":0", &l), 0);
    ag_check_int(try_dial("tcp4", "127.0.0.1", port_of(l)), -ECONNREFUSED);
    ag_check_int(try_dial("tcp6", "[::1]", port_of(l)), 0);
    ag_unref(l);
    ag_check_int(ag_listen("tcp4", ":0", &l), 0);
    ag_check_int(strncmp(ag_listener_addr(l), "0.0.0.0:", 8), 0);
    ag_unref(l);
}

AG_TEST_RUN(what_cannot_be_listened_on_is_refused) {
    ag_listener *l = NULL;
    ag_check_int(ag_listen("udp", "127.0.0.1:0", &l), -EINVAL);
    ag_check_int(ag_listen("tcp", "203.0.113.77:0", &l), -EADDRNOTAVAIL);
    ag_check_int(ag_listen("tcp", "no-such-host.invalid:0", &l), -ENOENT);
    ag_check_int(ag_listen("unix", "/nonexistent/x.sock", &l), -ENOENT);
    ag_check_int(ag_listen(NULL, NULL, &l), -EINVAL);
    ag_check_ptr(l, NULL);
    if (geteuid() != 0) {
        ag_check_int(ag_listen("tcp", "127.0.0.1:1", &l), -EACCES);
    }
}

static void path_of(char path[108]) {
    snprintf(path, 108, "/tmp/aglet-listener-test-%d", (int)getpid());
    unlink(path);
}

AG_TEST_RUN(a_file_that_is_no_socket_is_left_alone) {
    char path[108];
    ag_listener *l;
    struct stat st;
    path_of(path);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    ag_check_int(ag_listen("unix", path, &l), -EADDRINUSE);
    ag_check_int(stat(path, &st), 0);
    unlink(path);
}

AG_TEST_RUN(the_file_of_a_successor_is_left_alone) {
    char path[108], aside[128];
    ag_listener *first, *second;
    struct stat st;
    path_of(path);
    snprintf(aside, sizeof aside, "%s.old", path);
    ag_check_int(ag_listen("unix", path, &first), 0);
    ag_check_int(rename(path, aside), 0);
    ag_check_int(ag_listen("unix", path, &second), 0);
    ag_listener_close(first);
    ag_check_int(stat(path, &st), 0);
    ag_listener_close(second);
    ag_check(stat(path, &st) != 0);
    ag_check_int(unlink(aside), 0);
    ag_unref(first);
    ag_unref(second);
}

/* A listener whose queue is full is alive, too. */
AG_TEST_RUN(a_busy_unix_socket_is_not_stale) {
    char path[108];
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    ag_listener *l;
    path_of(path);
    memcpy(un.sun_path, path, sizeof un.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0), clients[8], n = 0;
    ag_check_int(bind(fd, (struct sockaddr *)&un, sizeof un), 0);
    ag_check_int(listen(fd, 0), 0);
    for (bool full = false; n < 8 && !full; n++) {
        clients[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        full = connect(clients[n], (struct sockaddr *)&un, sizeof un) != 0;
    }
    ag_check_int(ag_listen("unix", path, &l), -EADDRINUSE);
    while (n > 0)
        close(clients[--n]);
    close(fd);
    unlink(path);
}

static void accept_one(ag_listener *l, _Atomic int *result) {
    ag_conn *c;
    int r = ag_accept(l, &c);
    if (r == 0)
        ag_unref(c);
    *result = r - 1000;
}

AG_TEST_RUN(a_close_wakes_all_who_accept_and_frees_the_port) {
    for (int i = 0; i < 50 / ag_test_slow(); i++) {
        enum { MANY = 4 };
        _Atomic int results[MANY] = {0};
        ag_listener *l, *next;
        char addr[AG__ADDR_TEXT];
        ag_check_int(ag_listen("tcp", "127.0.0.1:0", &l), 0);
        snprintf(addr, sizeof addr, "%s", ag_listener_addr(l));
        for (int k = 0; k < MANY; k++)
            ag_go(accept_one, l, &results[k]);
        if (i & 1)
            ag_sleep(AG_MS / 2);
        ag_check_int(ag_listener_close(l), 0);
        for (int k = 0; k < MANY; k++) {
            eventually(results[k] != 0);
            ag_check_int(results[k], -ECANCELED - 1000);
        }
        ag_check_int(ag_listen("tcp", addr, &next), 0);
        ag_unref(next);
        ag_unref(l);
    }
}

AG_TEST_RUN(the_last_reference_closes) {
    ag_listener *l;
    char addr[AG__ADDR_TEXT], path[108];
    struct stat st;
    ag_conn *c;
    path_of(path);
    ag_check_int(ag_listen("unix", path, &l), 0);
    snprintf(addr, sizeof addr, "%s", ag_listener_addr(l));
    ag_check_str(addr, path);
    ag_unref(l);
    ag_check(stat(path, &st) != 0);
    ag_check_int(ag_dial("unix", addr, &c), -ENOENT);
}

AG_TEST_RUN(without_descriptors_accept_fails_and_goes_on_later) {
    if (ag_test_under("valgrind"))
        ag_skip("a tool that needs no descriptors of its own while the test leaves none");
    ag_listener *l;
    ag_conn *a[2], *b;
    struct rlimit limit, none;
    _Atomic int result = 0;
    ag_check_int(ag_listen("tcp", "127.0.0.1:0", &l), 0);
    getrlimit(RLIMIT_NOFILE, &limit);
    none = limit;
    int spare = dup(0);
    close(spare);
    /* One that waits already gets the error, too. */
    ag_go(accept_one, l, &result);
    eventually(result == 0);
    ag_sleep(2 * AG_MS);
    none.rlim_cur = (rlim_t)spare + 1;
    setrlimit(RLIMIT_NOFILE, &none);
    ag_check_int(ag_dial("tcp", ag_listener_addr(l), &a[0]), 0);
    eventually(result != 0);
    ag_check_int(result, -EMFILE - 1000);
    ag_check_int(ag_dial("tcp", ag_listener_addr(l), &a[1]), -EMFILE);
    ag_check_int(ag_accept(l, &b), -EMFILE);
    setrlimit(RLIMIT_NOFILE, &limit);
    ag_check_int(ag_accept(l, &b), 0);
    ag_unref(a[0]);
    ag_unref(b);
    ag_unref(l);
}

/* ---- Sockets of several processes ----------------------------------------------------------- */

static ag_listener *second_of(ag_listener *l) {
    ag_listener *second;
    ag_check_int(ag_listener_from_fd(dup(ag_listener_fd(l)), &second), 0);
    ag_check_str(ag_listener_addr(second), ag_listener_addr(l));
    ag_check_int(fcntl(ag_listener_fd(second), F_GETFD), FD_CLOEXEC);
    return second;
}

/* What was in the queue and what comes afterwards is the other's. */
static void stop_shared(const char *net, const char *addr) {
    ag_listener *first, *second;
    ag_conn *before, *after, *c;
    ag_check_int(ag_listen(net, addr, &first), 0);
    second = second_of(first);
    ag_check_int(ag_dial(net, ag_listener_addr(first), &before), 0);
    ag_listener_share(first, true);
    ag_check_int(ag_listener_stop(first), 0);
    ag_check_int(ag_accept(first, &c), -ECANCELED);
    ag_check_int(ag_listener_close(first), 0);
    ag_check_int(ag_listener_fd(first), -ECANCELED);
    ag_check_int(ag_dial(net, ag_listener_addr(second), &after), 0);
    for (int i = 0; i < 2; i++) {
        ag_check_int(ag_accept(second, &c), 0);
        ag_unref(c);
    }
    ag_unref(before);
    ag_unref(after);
    ag_unref(first);
    ag_unref(second);
}

AG_TEST_RUN(a_stop_of_a_shared_listener_is_its_own) {
    char path[108];
    stop_shared("tcp", "127.0.0.1:0");
    path_of(path);
    stop_shared("unix", path);
    ag_check(access(path, F_OK) != 0); /* the second was not shared */
}

static void accept_until_closed(ag_listener *l, _Atomic int *result) {
    ag_conn *c;
    atomic_store(result, ag_accept(l, &c));
}

AG_TEST_RUN(a_stop_of_a_shared_listener_wakes_who_accepts) {
    ag_listener *l;
    _Atomic int result = 1;
    ag_check_int(ag_listen("tcp", "127.0.0.1:0", &l), 0);
    ag_go(accept_until_closed, l, &result);
    ag_yield();
    ag_listener_share(l, true);
    ag_check_int(ag_listener_stop(l), 0);
    eventually(result != 1);
    ag_check_int(result, -ECANCELED);
    ag_unref(l);
}

AG_TEST_RUN(what_does_not_listen_is_no_listener_and_stays_the_callers) {
    ag_listener *l;
    int fds[] = {open("/dev/null", O_RDONLY | O_CLOEXEC), socket(AF_INET, SOCK_STREAM, 0),
                 socket(AF_INET, SOCK_DGRAM, 0)};
    ag_check_int(ag_listener_from_fd(-1, &l), -EBADF);
    ag_check_int(ag_listener_from_fd(fds[0], &l), -ENOTSOCK);
    ag_check_int(ag_listener_from_fd(fds[1], &l), -EINVAL);
    ag_check_int(ag_listener_from_fd(fds[2], &l), -EINVAL);
    for (int i = 0; i < 3; i++)
        ag_check_int(close(fds[i]), 0);
}

AG_TEST_RUN(a_port_is_shared_by_those_who_ask_for_it) {
    const ag_listen_opts share = {.reuse_port = true};
    ag_listener *first, *second, *third;
    ag_check_int(ag_listen_with(&share, "tcp", "127.0.0.1:0", &first), 0);
    const char *addr = ag_listener_addr(first);
    ag_check_int(ag_listen("tcp", addr, &third), -EADDRINUSE);
    ag_check_int(ag_listen_with(NULL, "tcp", addr, &third), -EADDRINUSE);
    ag_check_int(ag_listen_with(&share, "tcp", addr, &second), 0);
    ag_check_str(ag_listener_addr(second), addr);
    ag_unref(first);
    ag_check_int(try_dial("tcp", "127.0.0.1", port_of(second)), 0);
    ag_unref(second);
}
