/* SPDX-License-Identifier: MIT */
/*
 * Connecting: every address in turn, deadlines, full queues, small stacks.
 */
#include "ag_test.h"
#include "net/net.h"
#include <aglet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const char *port_of(ag_listener *l) {
    return strrchr(ag_listener_addr(l), ':');
}

AG_TEST_RUN(every_address_is_tried_and_the_first_error_told) {
    ag_listener *l;
    ag_conn *c = NULL;
    char addr[64];
    /* An empty host is 127.0.0.1 and ::1; here only the second listens. */
    if (ag_listen("tcp6", "[::1]:0", &l) != 0)
        ag_skip("IPv6");
    snprintf(addr, sizeof addr, "%s", port_of(l));
    ag_check_int(ag_dial("tcp", addr, &c), 0);
    ag_check_str(ag_conn_remote(c), ag_listener_addr(l));
    ag_unref(c);
    c = NULL;
    ag_check_int(ag_dial("tcp4", addr, &c), -ECONNREFUSED);
    ag_unref(l);
    ag_check_int(ag_dial("tcp", addr, &c), -ECONNREFUSED);
    ag_check_int(ag_dial("tcp", "no-such-host.invalid:80", &c), -ENOENT);
    ag_check_int(ag_dial("unix", "@aglet-nobody-listens-here", &c), -ECONNREFUSED);
    ag_check_ptr(c, NULL);
}

static int full_unix_listener(const char *name, int *ret_clients, int *ret_count) {
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    socklen_t size = (socklen_t)(sizeof un.sun_family + strlen(name));
    memcpy(un.sun_path, name, strlen(name));
    un.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ag_check_int(bind(fd, (struct sockaddr *)&un, size), 0);
    ag_check_int(listen(fd, 0), 0);
    *ret_count = 0;
    for (bool full = false; !full && *ret_count < 8;) {
        int client = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        full = connect(client, (struct sockaddr *)&un, size) != 0;
        ret_clients[(*ret_count)++] = client;
    }
    return fd;
}

static void accept_later(int fd, _Atomic int *ret_accepted) {
    ag_sleep(5 * AG_MS);
    *ret_accepted = accept(fd, NULL, NULL);
}

AG_TEST_RUN(a_full_unix_queue_is_waited_for) {
    char name[64];
    int clients[8], n;
    _Atomic int accepted = -1;
    snprintf(name, sizeof name, "@aglet-dial-test-%d", (int)getpid());
    int fd = full_unix_listener(name, clients, &n);
    ag_conn *c;
    ag_check_int(ag__dial("unix", name, ag_now() + 5 * AG_MS, &c), -ETIMEDOUT);
    ag_go(accept_later, fd, &accepted);
    ag_check_int(ag_dial("unix", name, &c), 0);
    eventually(accepted >= 0);
    ag_unref(c);
    while (n > 0)
        close(clients[--n]);
    close(accepted);
    close(fd);
}

/* A listener with a full queue drops what comes then: the connect goes on until its deadline. */
AG_TEST_RUN(a_deadline_ends_a_connect) {
    ag_listener *l;
    ag_conn *kept[32];
    int n = 0, r = 0;
    ag_check_int(ag_listen("tcp", "127.0.0.1:0", &l), 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ag__addr a;
    char addr[AG__ADDR_TEXT];
    ag__addr_loopback(AG__ADDR_IP4, 0, &a);
    ag_check_int(bind(fd, (struct sockaddr *)a.raw, a.size), 0);
    ag_check_int(listen(fd, 0), 0);
    ag_check_int(ag__sock_local(fd, &a), 0);
    ag__addr_text(&a, addr, sizeof addr);
    ag_time begin = 0;
    while (n < 32) {
        begin = ag_now();
        if ((r = ag__dial("tcp", addr, begin + 20 * AG_MS, &kept[n])) != 0)
            break;
        n++;
    }
    ag_check_int(r, -ETIMEDOUT);
    ag_check(ag_now() >= begin + 20 * AG_MS);
    while (n > 0)
        ag_unref(kept[--n]);
    close(fd);
    ag_unref(l);
}

static void dial_by_name(const char *addr, _Atomic int *result) {
    ag_conn *c;
    int r = ag_dial("tcp4", addr, &c);
    if (r == 0)
        ag_unref(c);
    *result = r - 1000;
}

AG_TEST_RUN(a_small_stack_is_enough_to_look_up_a_name) {
    ag_listener *l;
    char addr[64];
    _Atomic int result = 0;
    ag_go_opts opts = {.stack_size = 16 * 1024};
    ag_check_int(ag_listen("tcp", "127.0.0.1:0", &l), 0);
    snprintf(addr, sizeof addr, "localhost%s", port_of(l));
    for (int i = 0; i < 10; i++) {
        result = 0;
        ag_check(ag_go_with(&opts, dial_by_name, addr, &result) > 0);
        eventually(result != 0);
        ag_check_int(result, -1000);
    }
    eventually(ag_count() == 1);
    ag_unref(l);
}

static void count_up(_Atomic int *n, _Atomic int *stop) {
    while (!*stop) {
        ++*n;
        ag_yield();
    }
}

AG_TEST_RUN(a_look_up_does_not_stall_the_others) {
    _Atomic int n = 0, stop = 0;
    ag_go(count_up, &n, &stop);
    for (int i = 0; i < 20; i++) {
        int before = n;
        ag_conn *c;
        ag_check_int(ag_dial("tcp4", "localhost:1", &c), -ECONNREFUSED);
        eventually(n > before);
    }
    stop = 1;
    eventually(ag_count() == 1);
}

AG_TEST_RUN(udp_tells_that_nobody_is_there_and_goes_on) {
    ag_conn *c;
    char buf[8];
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ag__addr a;
    char addr[AG__ADDR_TEXT];
    ag__addr_loopback(AG__ADDR_IP4, 0, &a);
    ag_check_int(bind(fd, (struct sockaddr *)a.raw, a.size), 0);
    ag_check_int(ag__sock_local(fd, &a), 0);
    ag__addr_text(&a, addr, sizeof addr);
    ag_check_int(ag_dial("udp", addr, &c), 0);
    ag_check_int(ag_write(c, "", 0), 0); /* an empty datagram is one */
    ag_check_int(recv(fd, buf, 8, 0), 0);
    struct iovec pieces[2] = {{(void *)"ab", 2}, {(void *)"cd", 2}};
    ag_check_int(ag_writev(c, pieces, 2), 4);
    ag_check_int(recv(fd, buf, 8, 0), 4);
    close(fd);
    ag_check_int(ag_write(c, "x", 1), 1);
    ag_check_int(ag_read(c, buf, 8), -ECONNREFUSED);
    ag_set_read_deadline(c, ag_now() + AG_MS);
    ag_check_int(ag_read(c, buf, 8), -ETIMEDOUT);
    ag_unref(c);
}

AG_TEST_RUN(unix_datagrams_keep_their_borders) {
    char name[64], buf[16];
    ag_conn *c;
    ag__addr a;
    snprintf(name, sizeof name, "@aglet-dial-test-%d", (int)getpid());
    ag_check_int(ag_dial("unixgram", name, &c), -ECONNREFUSED);
    ag_check_int(ag__addr_unix(name, &a), 0);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ag_check_int(bind(fd, (struct sockaddr *)a.raw, a.size), 0);
    ag_check_int(ag_dial("unixgram", name, &c), 0);
    ag_check_int(ag_write(c, "READY=1", 7), 7);
    ag_check_int(ag_write(c, "x", 1), 1);
    ag_check_int(recv(fd, buf, sizeof buf, 0), 7);
    ag_check_int(recv(fd, buf, sizeof buf, 0), 1);
    close(fd);
    ag_unref(c);
    ag_listener *l;
    ag_check_int(ag_listen("unixgram", name, &l), -EINVAL);
}
