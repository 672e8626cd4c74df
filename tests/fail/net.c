/* SPDX-License-Identifier: MIT */
/*
 * Listeners, connections, descriptors and files while memory and system calls fail.
 */
#include "inject.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>

/* ---- Talking -------------------------------------------------------------------------------- */

/* Of this process: others may run the same tests. */
static char abstract_name[48], stop_name[48], file_name[48];

__attribute__((constructor)) static void name_places(void) {
    snprintf(abstract_name, sizeof abstract_name, "@aglet-fail-abstract-%d", (int)getpid());
    snprintf(stop_name, sizeof stop_name, "@aglet-fail-stop-%d", (int)getpid());
    snprintf(file_name, sizeof file_name, "/tmp/aglet-fail-net-%d.sock", (int)getpid());
}

static const struct site {
    const char *net, *addr;
    const char *host; /* dial this host instead */
} tcp = {"tcp", "127.0.0.1:0", NULL}, named = {"tcp4", "127.0.0.1:0", "localhost"},
  abstract = {"unix", abstract_name, NULL}, file = {"unix", file_name, NULL};

/* Whether deadlines are set: a park with one may end the process when memory fails. */
static bool deadlines;

static ssize_t read_all(ag_conn *c, char *buf, size_t n) {
    size_t at = 0;
    while (at < n) {
        ssize_t got = ag_read(c, buf + at, n - at);
        if (got <= 0)
            return got < 0 ? got : (ssize_t)at;
        at += (size_t)got;
    }
    return (ssize_t)n;
}

/* Sends back what comes. What ran out leaves the connection in the queue. */
static void echo(ag_listener *l) {
    ag_conn *c;
    char buf[5];
    int r;
    while ((r = ag_accept(l, &c)) != 0 && r != -ECANCELED)
        ok(r);
    if (r != 0)
        return;
    if (ok_after(read_all(c, buf, 5))) {
        struct iovec pieces[] = {{buf, 2}, {buf + 2, 3}};
        ok_after(ag_writev(c, pieces, 2));
    }
    ag_conn_close(c);
    ag_unref(c);
}

static void say_hello(ag_conn *c) {
    char buf[5] = "";
    if (deadlines)
        ag_check_int(ag_set_deadline(c, ag_now() + 600 * AG_SEC), 0);
    ssize_t put = ag_write(c, "hello", 5);
    if (!ok_after(put))
        return;
    ag_check_int(put, 5);
    ssize_t got = read_all(c, buf, 5);
    if (ok_after(got) && got == 5)
        ag_check_mem(buf, "hello", 5);
    else
        ag_check(injected() > 0);
    ag_check_int(ag_conn_sent(c), 5);
    ok_after(ag_conn_shutdown(c, SHUT_WR));
}

static void names(ag_conn *c, const struct site *site) {
    const char *remote = ag_conn_remote(c), *local = ag_conn_local(c);
    ag_check(remote && local);
    if (!injected() && site->net[0] == 't')
        ag_check(remote[0] && local[0]);
}

static void talk(const struct site *site) {
    char addr[128];
    ag_listener *l;
    ag_conn *c;
    ag_wg wg = AG_WG_INIT;
    int r = ag_listen(site->net, site->addr, &l);
    if (!ok(r))
        return;
    snprintf(addr, sizeof addr, "%s", ag_listener_addr(l));
    ag_check(addr[0]);
    if (site->host)
        snprintf(addr, sizeof addr, "%s%s", site->host, strrchr(ag_listener_addr(l), ':'));
    bool served = ok(ag_wg_go(&wg, echo, l));
    r = served ? ag_dial(site->net, addr, &c) : -ENOMEM;
    if (ok_after(r)) {
        names(c, site);
        say_hello(c);
        ag_conn_close(c);
        ag_unref(c);
    }
    ag_check_int(ag_listener_close(l), 0);
    ag_wg_wait(&wg);
    ag_unref(l);
}

static void talk_tcp(void) {
    talk(&tcp);
}
static void talk_named(void) {
    talk(&named);
}
static void talk_abstract(void) {
    talk(&abstract);
}
static void talk_file(void) {
    talk(&file);
}

/* It closes, also where the kernel does not let it reset. */
static void resets(void) {
    ag_listener *l;
    ag_conn *c;
    if (!ok(ag_listen("tcp", "127.0.0.1:0", &l)))
        return;
    if (ok(ag_dial("tcp", ag_listener_addr(l), &c))) {
        ag_check_int(ag_conn_reset(c), 0);
        ag_check_int(ag_conn_close(c), -ECANCELED);
        ag_unref(c);
    }
    ag_listener_close(l);
    ag_unref(l);
}

AG_TEST_RUN(a_reset_closes_whatever_fails) {
    WALK(MEMORY | SYSTEM, resets);
}

AG_TEST_RUN(tcp_works_or_says_so_without_memory) {
    WALK(MEMORY, talk_tcp);
}
AG_TEST_RUN(tcp_works_or_says_so_when_calls_fail) {
    deadlines = true;
    WALK(SYSTEM | QUIET, talk_tcp);
}
AG_TEST_RUN(a_name_is_found_or_the_dial_says_so) {
    WALK(MEMORY | SYSTEM, talk_named);
}
AG_TEST_RUN(unix_sockets_work_or_say_so) {
    WALK(MEMORY | SYSTEM, talk_abstract);
}
AG_TEST_RUN(unix_socket_files_go_whatever_fails) {
    unlink(file.addr);
    WALK(MEMORY | SYSTEM, talk_file);
    ag_check_int(access(file.addr, F_OK), -1);
}

/* The file of a socket that could not listen is gone at once. From the n-th call on: a thread that
 * begins meanwhile makes calls, too. */
static void listen_fails_at(const char *call, int error, int n) {
    ag_listener *l;
    inject(call, error, n, true);
    ag_check_int(ag_listen(file.net, file.addr, &l), -error);
    ag_check(inject_end() >= 1);
    ag_check_int(access(file.addr, F_OK), -1);
}
AG_TEST_RUN(a_listener_that_fails_leaves_no_file) {
    unlink(file.addr);
    listen_fails_at("calloc", ENOMEM, 2);
    listen_fails_at("listen", EADDRINUSE, 1);
    listen_fails_at("getsockname", ENOBUFS, 1);
    listen_fails_at("lstat", ENOMEM, 1);
    listen_fails_at("epoll_ctl", ENOSPC, 1);
}

/* Accepted, but there is no room in the poller: the next call gets this connection. */
static void accept_twice(bool and_close) {
    ag_listener *l;
    ag_conn *c, *s;
    char buf[5];
    ag_check_int(ag_listen("tcp", "127.0.0.1:0", &l), 0);
    ag_check_int(ag_dial("tcp", ag_listener_addr(l), &c), 0);
    ag_check_int(ag_write(c, "hello", 5), 5);
    inject("epoll_ctl", ENOSPC, 1, false);
    ag_check_int(ag_accept(l, &s), -ENOSPC);
    ag_check_int(inject_end(), 1);
    if (!and_close) {
        ag_check_int(ag_accept(l, &s), 0);
        ag_check_int(read_all(s, buf, 5), 5);
        ag_unref(s);
    }
    ag_listener_close(l);
    ag_unref(l);
    ag_unref(c);
}
AG_TEST_RUN(a_connection_stays_queued_when_resources_ran_out) {
    accept_twice(false);
}
AG_TEST_RUN(a_connection_left_in_the_queue_goes_with_the_listener) {
    accept_twice(true);
}

/* A stop: who waits in the queue is still accepted, then no more. */
static int accept_or_end(ag_listener *l, ag_conn **ret_conn) {
    int r;
    while ((r = ag_accept(l, ret_conn)) != 0 && r != -ECANCELED)
        ok(r);
    return r;
}
static void stop(const char *net, const char *addr) {
    ag_listener *l;
    ag_conn *c = NULL, *s;
    if (!ok(ag_listen(net, addr, &l)))
        return;
    bool dialled = ok_after(ag_dial(net, ag_listener_addr(l), &c));
    ok(ag_listener_stop(l));
    int accepted = accept_or_end(l, &s);
    if (dialled && !injected())
        ag_check_int(accepted, 0);
    if (accepted == 0)
        ag_unref(s);
    if (!injected()) /* it takes the 20 ms of a handshake under way */
        ag_check_int(accept_or_end(l, &s), -ECANCELED);
    ag_check_int(ag_listener_close(l), 0);
    ag_check_int(ag_listener_stop(l), -ECANCELED);
    ag_unref(l);
    if (dialled)
        ag_unref(c);
}
static void stop_abstract(void) {
    stop("unix", stop_name);
}
AG_TEST_RUN(a_stop_ends_what_is_accepted_whatever_fails) {
    WALK(MEMORY | SYSTEM, stop_abstract);
    stop("tcp", "127.0.0.1:0");
    inject("setsockopt", ENOMEM, 1, true);
    stop("tcp", "127.0.0.1:0");
    ag_check(inject_end() > 0);
}

/* A listening socket that another process has, too: whatever fails here, it goes on there. */
static void hand_over(void) {
    ag_listener *l;
    ag_conn *c = NULL, *s;
    struct sockaddr_in a = {.sin_family = AF_INET};
    int there = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), here;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ag_check(there >= 0);
    ag_check_int(bind(there, (struct sockaddr *)&a, sizeof a), 0);
    ag_check_int(listen(there, 10), 0);
    here = fcntl(there, F_DUPFD_CLOEXEC, 3);
    if (ok(ag_listener_from_fd(here, &l))) {
        ag_listener_share(l, true);
        if (ok_after(ag_dial("tcp", ag_listener_addr(l), &c))) {
            ok(ag_listener_stop(l));
            ag_check_int(accept_or_end(l, &s), -ECANCELED);
            ag_unref(c);
        }
        ag_unref(l);
    } else {
        close(here);
    }
    ag_check_int(fcntl(there, F_GETFD), FD_CLOEXEC);
    close(there);
}
AG_TEST_RUN(a_socket_handed_over_is_a_listener_or_stays_the_callers) {
    WALK(MEMORY, hand_over);
    for (int error = 0; error < 2; error++) {
        inject(error ? "epoll_ctl" : "getsockname", error ? ENOSPC : ENOBUFS, 1, false);
        hand_over();
        ag_check_int(inject_end(), 1);
    }
}

/* ---- Connections over sockets made elsewhere, wishes ---------------------------------------- */

/* Starts once the connection is readable. */
static void wished(atomic_int *ran) {
    atomic_fetch_add(ran, 1);
}

static void wishes(void) {
    enum { PAIRS = 10 };
    static atomic_int ran;
    int ends[PAIRS][2], expected = 0;
    ag_conn *c[PAIRS];
    atomic_store(&ran, 0);
    for (int i = 0; i < PAIRS; i++) {
        ag_check_int(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends[i]), 0);
        if (!ok(ag_conn_from_fd(ends[i][0], &c[i])))
            c[i] = NULL;
    }
    for (int i = 0; i < PAIRS; i++)
        if (c[i])
            expected += ok(ag_conn_when_readable(c[i], wished, &ran));
    inject_end();
    for (int i = 0; i < PAIRS; i++) {
        ag_check(send(ends[i][1], "x", 1, MSG_NOSIGNAL) == 1 || !c[i]);
        close(ends[i][1]);
    }
    eventually(atomic_load(&ran) == expected);
    for (int i = 0; i < PAIRS; i++)
        ag_unref(c[i]);
}
AG_TEST_RUN(a_wish_comes_true_or_is_refused) {
    WALK(MEMORY | SYSTEM, wishes);
}

/* What is there, without waiting for more. */
static void try_read(void) {
    int ends[2];
    char buf[4] = "";
    ssize_t n = 0, got = 0;
    ag_conn *c;
    ag_check_int(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    if (ok(ag_conn_from_fd(ends[0], &c))) {
        n = ag_try_read(c, buf, 3);
        if (n != -EAGAIN)
            ok(n);
        ag_check_int(sendto(ends[1], "abc", 3, MSG_NOSIGNAL, NULL, 0), 3); /* not wrapped */
        do {
            eventually((n = ag_try_read(c, buf + got, 3 - (size_t)got)) != -EAGAIN);
            got += n > 0 ? n : 0;
        } while (ok(n) && n > 0 && got < 3);
        if (n > 0)
            ag_check_str(buf, "abc");
        else
            ag_check(injected() > 0);
        ag_unref(c);
    }
    close(ends[1]);
}
AG_TEST_RUN(what_is_there_is_read_or_it_says_so) {
    WALK(MEMORY | SYSTEM, try_read);
}

/* ---- Bare descriptors ----------------------------------------------------------------------- */

struct reading {
    int fd;
    ssize_t result;
    atomic_bool over;
};

static void read_three(struct reading *r) {
    char buf[3];
    for (r->result = 0; r->result >= 0 && r->result < 3;) {
        ssize_t n = ag_fd_read(r->fd, buf, 3 - (size_t)r->result);
        r->result = n > 0 ? r->result + n : n;
        if (n == 0)
            break;
    }
    ok(r->result);
}

static void descriptors(void) {
    int ends[2];
    ag_wg wg = AG_WG_INIT;
    ag_check_int(a_pipe(ends), 0);
    struct reading r = {ends[0], 0, false};
    bool reads = ok(ag_wg_go(&wg, read_three, &r));
    for (int i = 0; i < 10; i++)
        ag_yield(); /* so that it waits, most of the time */
    ssize_t n = ag_fd_write(ends[1], "abc", 3);
    if (ok(n))
        ag_check_int(n, 3);
    n = ag_fd_close(ends[1]); /* the reader sees the end, at the latest */
    ok(n);
    ag_wg_wait(&wg);
    if (reads && !injected())
        ag_check_int(r.result, 3);
    ok(ag_fd_close(ends[0]));
}
AG_TEST_RUN(descriptors_are_read_or_say_so) {
    WALK(MEMORY | SYSTEM | QUIET, descriptors);
}

/* A wait that the poller has no room for is refused: it would not see the close. */
static void waits_for_close(struct reading *r) {
    r->result = ag_fd_wait(r->fd, AG_READABLE, 0);
    atomic_store(&r->over, true);
}
static void closes(void) {
    int ends[2];
    ag_wg wg = AG_WG_INIT;
    ag_check_int(a_pipe(ends), 0);
    struct reading r = {ends[0], 0, false};
    int64_t id = ag_wg_go(&wg, waits_for_close, &r);
    for (int i = 0; i < 100; i++)
        ag_yield();
    inject_end();
    eventually(id < 0 || atomic_load(&r.over) || waits(id, "IO wait"));
    ag_check_int(ag_fd_close(ends[0]), 0);
    ag_wg_wait(&wg);
    if (id > 0 && r.result != -ECANCELED)
        ok(r.result);
    close(ends[1]);
}
AG_TEST_RUN(a_close_ends_every_wait_that_was_not_refused) {
    WALK(MEMORY | SYSTEM, closes);
}

static void files(void) {
    static int fd = -1;
    char buf[8] = "";
    if (fd < 0)
        fd = memfd_create("fail", MFD_CLOEXEC);
    ag_check(fd >= 0 && lseek(fd, 0, SEEK_SET) == 0);
    ssize_t n = ag_file_write(fd, "abcdefgh", 8);
    if (ok(n))
        ag_check_int(n, 8);
    ok(ag_file_sync(fd));
    ag_check_int(lseek(fd, 0, SEEK_SET), 0);
    n = ag_file_read(fd, buf, 8);
    if (ok(n) && !injected())
        ag_check_mem(buf, "abcdefgh", 8);
}
AG_TEST_RUN(files_are_written_or_say_so) {
    AG_TEST_LEAKY_FDS();
    files();
    WALK(MEMORY | SYSTEM | QUIET, files);
}
