/* SPDX-License-Identifier: MIT */
/*
 * ask_door.c - where a program can be asked: a Unix socket for its owner and the tool `aglet` (or
 * `curl --unix-socket PATH http://aglet/debug/list`), and the addresses of ag_debug_serve.
 *
 * The Unix socket is there from the beginning of a world to its end, without preparation: a program
 * is looked into when it is in trouble already. That costs a socket, a name and a sleeping thread,
 * some 150 us of ag_run. What was refused: opening it on a signal, which would kill programs that
 * leave SIGQUIT alone; letting the poller watch it, which would make programs without descriptors
 * poll; opening it a little later, which makes the number of descriptors a matter of luck.
 *
 * Nothing here depends on goroutines, processors or the poller. A thread for each door accepts;
 * each question has a thread of its own while it is answered, so a trace of a minute keeps nobody
 * from asking for a dump. There are ANSWERS_MAX at most, who comes then waits a little and is told
 * to come later; if there is no thread to be had - a reason to ask - the accepting one answers.
 *
 *     door.state   CLOSED -> OPENING (who opens it) -> OPEN -> CLOSED (its thread has gone, or is
 *                  lost)
 *     slot.state   FREE -> SERVED (an acceptor's, who fills in fd) -> GIVEN -> SERVED (a thread's)
 *                  -> FREE
 *
 * The end of a connection is a shutdown before the close, which also reaches a client while a
 * forked child still has a copy of the descriptor. The end of a world shuts down whatever is open,
 * so nobody waits for a client any more, answers that ask whether they are given up stop, and then
 * waits until all threads here have gone. A door whose number the program has closed, or given to
 * another file, is left alone; its thread may sleep for ever on what nobody can reach, and is
 * written off.
 */
#include "debug/ask.h"
#include "debug/ask_http.h"
#include "os/file.h"
#include "os/os.h"
#include "os/own.h"
#include "os/poll.h"
#include "os/sig.h"
#include "os/sock.h"
#include "sched/sched.h"
#include <aglet/debug.h>
#include <aglet/time.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ANSWERS_MAX = AG__SIZE(16, 2), DOORS_MAX = 8 };
/* How long a question waits for its turn, and the end for an accepting thread that is lost. */
enum { SLOT_MS = 2000, LOST_MS = 100 };

enum { CLOSED, OPENING, OPEN };
struct door {
    _Atomic int state;   /* Atomic; see above. */
    bool is_web;         /* Constant while open, as all but the numbers of threads. */
    _Atomic int fd;      /* -1: closed */
    ag__file_id id;      /* what the number must mean */
    _Atomic bool begins; /* its thread has not taken it yet */
    /* Atomic; the number of its thread, 0: none. Who sets it to 0 counts that thread out. */
    _Atomic uint32_t acceptor;
};

enum { FREE, GIVEN, SERVED };
struct slot {
    _Atomic int state; /* Atomic; see above. */
    bool is_owner;     /* Guarded by lock, as fd. */
    int fd;            /* -1: closed */
};

static struct door doors[DOORS_MAX];
static struct slot slots[ANSWERS_MAX];
static ag__lock lock;
static _Atomic bool closing = true; /* no world, or it ends */
static _Atomic bool at_doors;       /* somebody opens or closes one; others yield until then */
static _Atomic uint32_t threads;    /* Futex: how many there are here. */
static _Atomic uint32_t numbers;    /* of accepting threads, ever */
static _Atomic uint32_t freed;      /* Futex: grows when a slot gets free. */
static char path[AG__OWN_PATH];     /* Constant while the Unix socket is open. */

/* Whether a number still means our socket: programs that become daemons close all numbers. */
static bool is_ours(const struct door *d, int fd) {
    ag__file_id id;
    int r = fd >= 0 ? ag__file_identify(fd, &id) : -EBADF;
    return r == 0 ? id.device == d->id.device && id.inode == d->id.inode : r != -EBADF;
}

/* --- Threads that answer. --- */

/* What was not read is thrown away first: closed on top of it, the client would be told of an error
 * instead of the end. */
static void end_connection(int fd) {
    char rest[1024];
    for (int i = 0; i < 64 && ag__sock_recv(fd, rest, sizeof rest) > 0; i++)
        continue;
    (void)ag__sock_hang_up(fd);
    (void)ag__file_close(fd);
}

static void thread_gone(void) {
    atomic_fetch_sub(&threads, 1);
    ag__os_futex_wake(&threads, 1);
}

static void serve_slot(struct slot *s) {
    ag__ask_converse(s->fd, s->is_owner, &closing);
    ag__lock_acquire(&lock);
    int fd = s->fd;
    s->fd = -1;
    ag__lock_release(&lock);
    end_connection(fd);
    atomic_store(&s->state, FREE);
    atomic_fetch_add(&freed, 1);
    ag__os_futex_wake(&freed, 1);
}

static struct slot *take(int from, int to) {
    for (int i = 0; i < ANSWERS_MAX; i++) {
        int was = from;
        if (atomic_compare_exchange_strong(&slots[i].state, &was, to))
            return &slots[i];
    }
    return NULL;
}

static void answer_thread(void) {
    ag__sig_receive_only(0);
    struct slot *s = take(GIVEN, SERVED);
    if (s)
        serve_slot(s);
    thread_gone();
}

/* A slot for a new question, or NULL: so many are being answered, and for long. */
static struct slot *wait_for_slot(void) {
    int64_t until = ag__os_now() + SLOT_MS * AG_MS;
    for (;;) {
        uint32_t seen = atomic_load(&freed);
        struct slot *s = take(FREE, SERVED);
        int64_t left = until - ag__os_now();
        if (s || left <= 0 || atomic_load(&closing))
            return s;
        ag__os_futex_wait(&freed, seen, left);
    }
}

static void let_serve(int fd, bool is_owner) {
    struct slot *s = wait_for_slot();
    if (!s) {
        ag__ask_send_away(fd);
        end_connection(fd);
        return;
    }
    ag__lock_acquire(&lock);
    s->fd = fd;
    s->is_owner = is_owner;
    ag__lock_release(&lock);
    atomic_fetch_add(&threads, 1);
    atomic_store(&s->state, GIVEN);
    if (ag__helper_start(answer_thread, "aglet-answer") != 0) {
        thread_gone();
        struct slot *mine = take(GIVEN, SERVED);
        if (mine)
            serve_slot(mine);
    }
}

/* --- Threads that accept. --- */

static void leave_acceptor(struct door *d, uint32_t number) {
    if (atomic_compare_exchange_strong(&d->acceptor, &number, 0))
        thread_gone();
}

static void accept_next(const struct door *d, int fd) {
    int client = ag__sock_accept(fd);
    if (client < 0) { /* no descriptor, no memory: it waits in the queue */
        if (client != -EAGAIN && !ag__sock_accept_again(client))
            ag__os_sleep(20 * AG_MS);
        return;
    }
    int64_t user = d->is_web ? -1 : ag__own_peer(client);
    if (d->is_web || user == ag__own_user() || user == 0)
        let_serve(client, !d->is_web);
    else
        end_connection(client);
}

static bool goes_on(const struct door *d, uint32_t self, int fd) {
    return atomic_load(&d->acceptor) == self && !atomic_load(&closing) && is_ours(d, fd);
}

static void accept_thread(void) {
    ag__sig_receive_only(0);
    struct door *d = doors;
    for (bool begins = true; !atomic_compare_exchange_strong(&d->begins, &begins, false);
         begins = true)
        d = d + 1 < doors + DOORS_MAX ? d + 1 : doors;
    uint32_t self = atomic_load(&d->acceptor);
    int fd = atomic_load(&d->fd);
    while (goes_on(d, self, fd)) {
        int r = ag__poll_one(fd, AG__POLL_READABLE, -1);
        if (!goes_on(d, self, fd))
            break;
        if (r > 0)
            accept_next(d, fd);
        else if (r < 0) /* no memory */
            ag__os_sleep(20 * AG_MS);
    }
    leave_acceptor(d, self);
}

static void lock_doors(void) {
    while (atomic_exchange(&at_doors, true))
        ag__os_yield();
}
static void unlock_doors(void) {
    atomic_store(&at_doors, false);
}

/* So that a thread that does not start leaves nothing that another one could take for its own. */
static void wait_until_begun(void) {
    for (struct door *d = doors; d < doors + DOORS_MAX; d++)
        while (atomic_load(&d->begins))
            ag__os_yield();
}

/* Doors locked. Lets a thread accept at fd, which is ours from now on. 0, or an error: it is
 * closed. */
static int open_door(int fd, bool is_web) {
    struct door *d = doors;
    int was = CLOSED;
    while (d < doors + DOORS_MAX && !atomic_compare_exchange_strong(&d->state, &was, OPENING)) {
        was = CLOSED;
        d++;
    }
    if (d == doors + DOORS_MAX) {
        (void)ag__file_close(fd);
        return -EMFILE;
    }
    int r = ag__file_identify(fd, &d->id);
    if (r == 0) {
        d->is_web = is_web;
        atomic_store(&d->fd, fd);
        atomic_store(&d->acceptor, atomic_fetch_add(&numbers, 1) + 1);
        atomic_store(&d->state, OPEN);
        atomic_fetch_add(&threads, 1);
        atomic_store(&d->begins, true);
        r = ag__helper_start(accept_thread, "aglet-answers");
    }
    if (r == 0)
        return 0;
    if (atomic_exchange(&d->begins, false))
        thread_gone();
    atomic_store(&d->acceptor, 0);
    atomic_store(&d->fd, -1);
    atomic_store(&d->state, CLOSED);
    (void)ag__file_close(fd);
    return r;
}

/* --- Addresses. --- */

/* Takes HOST:PORT apart. A loopback address unless HOST is another number. */
static int web_address(const char *text, ag__addr *ret_addr, bool *ret_is_loopback) {
    char host[64];
    const char *colon = strrchr(text, ':');
    char *end;
    long port = strtol(colon ? colon + 1 : text, &end, 10);
    size_t n = colon ? (size_t)(colon - text) : 0;
    if (*end || end == (colon ? colon + 1 : text) || port < 0 || port > 65535 || n >= sizeof host)
        return -EINVAL;
    memcpy(host, text, n);
    host[n] = 0;
    *ret_is_loopback = true;
    if (n == 0 || strcmp(host, "localhost") == 0) {
        ag__addr_loopback(AG__ADDR_IP4, (int)port, ret_addr);
        return 0;
    }
    char *number = host;
    if (host[0] == '[' && host[n - 1] == ']') {
        host[n - 1] = 0;
        number = host + 1;
    }
    *ret_is_loopback = strncmp(number, "127.", 4) == 0 || strcmp(number, "::1") == 0;
    return ag__addr_number(number, AG__ADDR_NONE, (int)port, ret_addr);
}

/* Returns the descriptor, and the port that it got. */
static int web_listen(const ag__addr *at, int *ret_port) {
    char text[AG__ADDR_TEXT];
    ag__addr local;
    int fd = ag__sock_new(ag__addr_kind(at), false);
    if (fd < 0)
        return fd;
    int r = ag__sock_reuse_addr(fd);
    if (r == 0)
        r = ag__sock_bind(fd, at);
    if (r == 0)
        r = ag__sock_listen(fd);
    if (r == 0)
        r = ag__sock_local(fd, &local);
    if (r < 0) {
        (void)ag__file_close(fd);
        return r;
    }
    ag__addr_text(&local, text, sizeof text);
    const char *colon = strrchr(text, ':');
    *ret_port = colon ? (int)strtol(colon + 1, NULL, 10) : 0;
    return fd;
}

int ag_debug_serve(const char *addr) {
    ag__addr at;
    bool is_loopback;
    int port, r = addr ? web_address(addr, &at, &is_loopback) : -EINVAL;
    if (r != 0)
        return r;
    if (!is_loopback && !ag__ask_token())
        return -EACCES;
    lock_doors();
    wait_until_begun();
    int fd = atomic_load(&closing) ? -ECANCELED : web_listen(&at, &port);
    r = fd < 0 ? fd : open_door(fd, true);
    unlock_doors();
    return r == 0 ? port : r;
}

/* --- Where a world begins and ends. --- */

/* The child has no threads: who connects must not wait for it. */
static void in_forked_child(void) {
    for (struct door *d = doors; d < doors + DOORS_MAX; d++) {
        int fd = atomic_exchange(&d->fd, -1);
        if (atomic_load(&d->state) == OPEN && is_ours(d, fd))
            (void)ag__file_close(fd);
    }
    atomic_store(&threads, 0);
}

static void prepare(void) {
    static bool is_prepared;
    for (int i = 0; i < ANSWERS_MAX; i++)
        slots[i].fd = -1;
    for (int i = 0; i < DOORS_MAX; i++)
        atomic_store(&doors[i].fd, -1);
    if (!is_prepared)
        is_prepared = ag__os_at_fork(in_forked_child) == 0;
}

static void open_socket(void) {
    char folder[AG__OWN_PATH - 32];
    if (ag__sched.no_socket || ag__own_folder(folder, sizeof folder) != 0)
        return;
    snprintf(path, sizeof path, "%s/%d.sock", folder, ag__os_pid());
    int fd = ag__own_listen(path);
    if (fd < 0)
        return;
    int r = ag__own_remove_at_exit(path);
    if (r != 0)
        (void)ag__file_close(fd);
    else
        r = open_door(fd, false);
    if (r != 0) {
        (void)ag__file_unlink(path);
        (void)ag__own_remove_at_exit(NULL);
    }
}

void ag__ask_open(void) {
    lock_doors();
    prepare();
    atomic_store(&closing, false);
    open_socket();
    unlock_doors();
}

/* Ends what waits for a client. */
static void hang_up(void) {
    for (struct door *d = doors; d < doors + DOORS_MAX; d++)
        if (atomic_load(&d->state) == OPEN && is_ours(d, atomic_load(&d->fd)))
            (void)ag__sock_hang_up(atomic_load(&d->fd));
    ag__lock_acquire(&lock);
    for (int i = 0; i < ANSWERS_MAX; i++)
        if (slots[i].fd >= 0)
            (void)ag__sock_hang_up(slots[i].fd);
    ag__lock_release(&lock);
}

/* A thread whose number means something else sleeps on what nobody can reach any more. */
static void write_off_lost(void) {
    for (struct door *d = doors; d < doors + DOORS_MAX; d++) {
        uint32_t number = atomic_load(&d->acceptor);
        if (number && !atomic_load(&d->begins) && !is_ours(d, atomic_load(&d->fd)))
            leave_acceptor(d, number);
    }
}

void ag__ask_close(void) {
    int64_t until = ag__os_now() + LOST_MS * AG_MS;
    lock_doors();
    atomic_store(&closing, true);
    unlock_doors();
    ag__own_remove();
    atomic_fetch_add(&freed, 1);
    ag__os_futex_wake(&freed, DOORS_MAX);
    for (uint32_t n; (n = atomic_load(&threads)) > 0;) {
        hang_up();
        ag__os_futex_wait(&threads, n, 10 * AG_MS);
        if (ag__os_now() > until)
            write_off_lost();
    }
    for (struct door *d = doors; d < doors + DOORS_MAX; d++) {
        int fd = atomic_exchange(&d->fd, -1);
        if (is_ours(d, fd))
            (void)ag__file_close(fd);
        atomic_store(&d->state, CLOSED);
    }
}
