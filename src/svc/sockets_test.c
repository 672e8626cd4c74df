/* SPDX-License-Identifier: MIT */
/*
 * Sockets that the process is given: whose words they are found by, and what is done to those that
 * nobody asks for. The protocols begin at descriptor 3, which is the harness's: it is put away
 * meanwhile.
 */
#include "ag_test.h"

#include "svc/svc.h"

#include <aglet.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A listening socket on this address of IPv4. */
static int tcp_socket(const char *ip) {
    struct sockaddr_in a = {.sin_family = AF_INET};
    ag_check_int(inet_pton(AF_INET, ip, &a.sin_addr), 1);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ag_check_int(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    ag_check_int(listen(fd, 10), 0);
    return fd;
}

static int port_of(int fd) {
    struct sockaddr_in a;
    socklen_t n = sizeof a;
    ag_check_int(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    return ntohs(a.sin_port);
}

static int unix_socket(char path[100]) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(path, 100, "%s/aglet-svc-%d", P_tmpdir, (int)getpid());
    memcpy(a.sun_path, path, 100);
    unlink(path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    ag_check_int(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    ag_check_int(listen(fd, 10), 0);
    return fd;
}

static int harness = -1; /* what was descriptor 3 */

/* They become 3, 4 … */
static void give(const int *fds, int n) {
    int high[8];
    for (int i = 0; i < n; i++) {
        high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 100);
        close(fds[i]);
    }
    harness = fcntl(3, F_DUPFD_CLOEXEC, 200);
    for (int i = 0; i < n; i++) {
        ag_check_int(dup2(high[i], 3 + i), 3 + i);
        close(high[i]);
    }
}

/* Runs it, and gives the harness its descriptor back. */
static void run(int (*fn)(void *)) {
    ag_check_int(ag_run(fn, NULL), 0);
    ag_check_int(dup2(harness, 3), 3);
    close(harness);
}

static void set_number(const char *variable, int n) {
    char text[16];
    snprintf(text, sizeof text, "%d", n);
    setenv(variable, text, 1);
}

static void by_systemd(int n, const char *names) {
    set_number("LISTEN_PID", getpid());
    set_number("LISTEN_FDS", n);
    if (names)
        setenv("LISTEN_FDNAMES", names, 1);
}

/* Who asks gets the socket that was given as descriptor `fd`; -1: a new one, or the error. */
static void expect_fd(const char *net, const char *addr, const char *name, int fd) {
    ag_listener *l;
    ag_check_int(ag_svc_listen_with(&(ag_svc_listen_opts){.name = name}, net, addr, &l), 0);
    if (fd >= 0)
        ag_check_int(ag_listener_fd(l), fd);
    else
        ag_check(ag_listener_fd(l) < 3 || ag_listener_fd(l) > 6);
    ag_unref(l);
}

static void is_free_of_the_protocol(void) {
    static const char *const names[] = {"LISTEN_PID",           "LISTEN_FDS",
                                        "LISTEN_FDNAMES",       "AGLET_LISTEN_FDS",
                                        "AGLET_LISTEN_FDNAMES", "AGLET_PREDECESSOR"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        ag_check(!getenv(names[i]));
}

/* ---- By systemd ----------------------------------------------------------------------------- */

static char path[100], any_addr[32], loopback_addr[32], localhost_addr[32];

static int finds_addresses(void *arg) {
    (void)arg;
    expect_fd("tcp", any_addr, NULL, 3);
    expect_fd("unix", path, NULL, 5);
    expect_fd("tcp4", localhost_addr, NULL, 4); /* by another name for it */
    expect_fd("tcp", "127.0.0.1:0", NULL, -1);  /* no port is none of these */
    is_free_of_the_protocol();
    ag__svc_sockets_forget();
    ag_check_int(access(path, F_OK), 0); /* it is the service manager's */
    unlink(path);
    return 0;
}

AG_TEST(a_socket_is_found_by_its_address) {
    int fds[] = {tcp_socket("0.0.0.0"), tcp_socket("127.0.0.1"), unix_socket(path)};
    snprintf(any_addr, sizeof any_addr, ":%d", port_of(fds[0]));
    snprintf(localhost_addr, sizeof localhost_addr, "localhost:%d", port_of(fds[1]));
    give(fds, 3);
    by_systemd(3, NULL);
    run(finds_addresses);
}

static int finds_names(void *arg) {
    (void)arg;
    expect_fd("tcp", "127.0.0.1:0", "web", 4);
    expect_fd("tcp", "127.0.0.1:0", "web", -1); /* each once */
    expect_fd("tcp", loopback_addr, "other", 3);
    ag__svc_sockets_forget();
    return 0;
}

AG_TEST(a_socket_is_found_by_its_name_before_its_address) {
    int fds[] = {tcp_socket("127.0.0.1"), tcp_socket("127.0.0.1")};
    snprintf(loopback_addr, sizeof loopback_addr, "127.0.0.1:%d", port_of(fds[0]));
    give(fds, 2);
    by_systemd(2, "api:web");
    run(finds_names);
}

static int finds_nothing(void *arg) {
    (void)arg;
    expect_fd("tcp", "127.0.0.1:0", "web", -1);
    is_free_of_the_protocol();
    ag__svc_sockets_forget();
    return 0;
}

AG_TEST(sockets_for_another_process_are_left_alone) {
    int fds[] = {tcp_socket("127.0.0.1")};
    give(fds, 1);
    by_systemd(1, "web");
    set_number("LISTEN_PID", getppid());
    run(finds_nothing);
}

AG_TEST(what_is_no_listening_socket_is_left_alone) {
    int fds[] = {socket(AF_INET, SOCK_DGRAM, 0), open("/dev/null", O_RDONLY)};
    give(fds, 2);
    by_systemd(2, "web:web");
    run(finds_nothing);
    ag_check_int(close(4), 0); /* 3 is the harness's again */
}

static int closes_the_rest(void *arg) {
    (void)arg;
    expect_fd("tcp", "127.0.0.1:0", "web", 4);
    ag__svc_sockets_close_unused();
    ag_check_int(fcntl(3, F_GETFD), -1);
    ag_check(fcntl(4, F_GETFD) >= 0);
    ag_check_int(fcntl(5, F_GETFD), -1);
    ag_check_int(access(path, F_OK), 0);
    unlink(path);
    ag__svc_sockets_forget();
    return 0;
}

AG_TEST(what_nobody_asks_for_is_closed) {
    int fds[] = {tcp_socket("127.0.0.1"), tcp_socket("127.0.0.1"), unix_socket(path)};
    give(fds, 3);
    by_systemd(3, "a:web:b");
    run(closes_the_rest);
}

/* Nonsense in the environment is no reason to fail. */
static void give_nonsense(const char *count) {
    setenv("LISTEN_FDS", count, 1);
    setenv("AGLET_LISTEN_FDS", count, 1);
    setenv("AGLET_LISTEN_FDNAMES", "%,%2:%zz:,,,,:::", 1);
    setenv("AGLET_PREDECESSOR", "x,", 1);
    set_number("LISTEN_PID", getpid());
    ag_check_int(ag_run(finds_nothing, NULL), 0);
}

AG_TEST(a_count_that_is_none_gives_nothing) {
    give_nonsense("2x");
}
AG_TEST(a_negative_count_gives_nothing) {
    give_nonsense("-1");
}
AG_TEST(a_count_without_end_gives_nothing) {
    give_nonsense("99999999999999999999");
}
AG_TEST(names_that_are_none_give_nothing) {
    give_nonsense("4");
}

/* ---- By a predecessor ----------------------------------------------------------------------- */

static int finds_words(void *arg) {
    (void)arg;
    expect_fd("tcp", ":0", NULL, 4);
    expect_fd("unix", path, "a, b:%", 5);
    expect_fd("tcp", ":0", NULL, -1);
    expect_fd("tcp", loopback_addr, NULL, 3); /* other words, the same address */
    is_free_of_the_protocol();
    ag__svc_handed h;
    ag_check_int(ag__svc_sockets_collect(&h), 0);
    ag_check_int(h.count, 4);
    ag_check_int(h.fds[0], 3);
    ag_check_int(h.fds[1], 4);
    ag_check_int(h.fds[2], 5);
    char expected[256];
    snprintf(expected, sizeof expected,
             "k,,tcp,127.0.0.1%%3A%s:-,,tcp,%%3A0:-,a%%2C%%20b%%3A%%25,unix,%s:-,,tcp,%%3A0",
             strchr(loopback_addr, ':') + 1, path);
    ag_check_str(h.words, expected);
    ag__svc_handed_free(&h);
    ag__svc_sockets_are_ours();
    ag__svc_sockets_forget();
    ag_check(access(path, F_OK) != 0); /* ours alone: it goes with us */
    return 0;
}

AG_TEST(a_successor_finds_sockets_by_the_words_of_its_predecessor) {
    char names[256];
    int fds[] = {tcp_socket("127.0.0.1"), tcp_socket("0.0.0.0"), unix_socket(path)};
    snprintf(loopback_addr, sizeof loopback_addr, "127.0.0.1:%d", port_of(fds[0]));
    give(fds, 3);
    setenv("AGLET_LISTEN_FDS", "3", 1);
    snprintf(names, sizeof names, "k,old,tcp,x%%3A1:-,,tcp,%%3A0:-,a%%2C%%20b%%3A%%25,unix,%s",
             path);
    setenv("AGLET_LISTEN_FDNAMES", names, 1);
    run(finds_words);
}

/* While the predecessor has it, a close here must not take its file away. */
static int leaves_the_file(void *arg) {
    (void)arg;
    expect_fd("unix", path, NULL, 3);
    ag__svc_sockets_forget();
    ag_check_int(access(path, F_OK), 0);
    unlink(path);
    return 0;
}

AG_TEST(a_socket_of_a_living_predecessor_is_not_stopped) {
    char names[256];
    int fds[] = {unix_socket(path)};
    give(fds, 1);
    setenv("AGLET_LISTEN_FDS", "1", 1);
    snprintf(names, sizeof names, "-,,unix,%s", path);
    setenv("AGLET_LISTEN_FDNAMES", names, 1);
    run(leaves_the_file);
}

static int hands_on(void *arg) {
    (void)arg;
    ag_listener *own, *file, *shared;
    ag_svc_listen_opts share = {.reuse_port = true};
    snprintf(path, sizeof path, "%s/aglet-svc-%d", P_tmpdir, (int)getpid());
    ag_check_int(ag_svc_listen("tcp", "127.0.0.1:0", &own), 0);
    ag_check_int(ag_svc_listen("unix", path, &file), 0);
    ag_check_int(ag_svc_listen_with(&share, "tcp", "127.0.0.1:0", &shared), 0);
    ag__svc_handed h;
    ag_check_int(ag__svc_sockets_collect(&h), 0);
    ag_check_int(h.count, 2); /* the third's successor makes its own */
    ag__svc_handed_free(&h);
    ag__svc_sockets_hand_on();
    ag_check_int(ag_listener_close(own), -ECANCELED);
    ag_check_int(ag_listener_close(file), -ECANCELED);
    ag_check_int(ag_listener_close(shared), 0);
    ag_check_int(unlink(path), 0);
    ag_unref(own);
    ag_unref(file);
    ag_unref(shared);
    ag__svc_sockets_forget();
    return 0;
}

AG_TEST(what_is_handed_on_is_closed_here_and_its_file_stays) {
    ag_check_int(ag_run(hands_on, NULL), 0);
}

static int refuses(void *arg) {
    (void)arg;
    ag_listener *l;
    ag_check_int(ag_svc_listen(NULL, ":0", &l), -EINVAL);
    ag_check_int(ag_svc_listen("tcp", NULL, &l), -EINVAL);
    ag_check_int(ag_svc_listen("tcp", "nonsense", &l), -EINVAL);
    return 0;
}

AG_TEST(no_address_is_refused) {
    ag_check_int(ag_run(refuses, NULL), 0);
}
