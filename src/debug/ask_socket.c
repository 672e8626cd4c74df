/* SPDX-License-Identifier: MIT */
/*
 * ask_socket.c - the Unix socket at which a program answers its owner, with the tool `aglet` or
 * with any HTTP client (`curl --unix-socket PATH http://aglet/debug/list`).
 *
 * It is there from the beginning of a world to its end, without preparation: a program is looked
 * into when it is in trouble already. That costs a socket, a name and a sleeping thread, some 20 us
 * of ag_run. What was refused: opening it on a signal, which would kill programs that leave SIGQUIT
 * alone; letting the poller watch it, which would make programs without descriptors poll; opening
 * it a little later, which makes the number of descriptors a matter of luck.
 *
 * Nothing here depends on goroutines, processors or the poller. One thread accepts; each question
 * has a thread of its own while it is answered, so a trace of a minute keeps nobody from asking for
 * a dump. There are ANSWERS_MAX at most, who comes then is told to come later; if there is no
 * thread to be had - a reason to ask - the accepting one answers.
 *
 * One question, one connection, one answer: GET, HTTP/1.0 or 1.1, answered in chunks, so that an
 * answer that broke off can be told from a whole one. The end of a connection is a shutdown before
 * the close, which also reaches a client while a forked child still has a copy of the descriptor.
 *
 * slot.state:  FREE -> SERVED (the acceptor's, who fills in fd) -> GIVEN -> SERVED (a thread's) ->
 * FREE The end of a world shuts down whatever is open, so nobody waits for a client any more,
 * answers that ask whether they are given up stop, and then waits until all threads here have gone.
 */
#include "debug/ask.h"
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
#include <string.h>

enum { ANSWERS_MAX = AG__SIZE(16, 2), REQUEST_MAX = 4096 };
/* How long a client may take for its whole question, and for taking the next bytes. */
enum { ASK_MS = 5000, TAKE_MS = 20000 };
/* How long a question waits for its turn, and the end for an accepting thread that is lost. */
enum { SLOT_MS = 2000, LOST_MS = 100 };

enum { FREE, GIVEN, SERVED };
struct slot {
    _Atomic int state; /* Atomic; see above. */
    int fd;            /* Guarded by lock; -1: closed. */
};

static struct slot slots[ANSWERS_MAX];
static ag__lock lock;
static ag__file_id listener_id;   /* Constant while listening. */
static _Atomic int listener = -1; /* Atomic; set to -1 by who closes it. */
static _Atomic bool closing;
static _Atomic uint32_t threads;  /* Futex: how many there are here. */
static _Atomic uint32_t acceptor; /* Atomic; the number of the accepting thread, 0: none. Who sets
                                     it to 0 counts that thread out. */
static _Atomic uint32_t begun;    /* the last one that runs */
static _Atomic uint32_t freed;    /* Futex: grows when a slot gets free. */
static char path[AG__OWN_PATH];   /* Constant while listening. */

/* --- One client. --- */

struct client {
    int fd;
    bool chunks;
    char request[REQUEST_MAX];
    size_t used;
};

/* Waits until the client can be read or written. 0, or a negative errno value. */
static int wait_for(int fd, int bits, int64_t until) {
    for (;;) {
        int64_t left = until - ag__os_now();
        int r = left <= 0 ? -ETIMEDOUT : ag__poll_one(fd, bits, left);
        if (r != 0 || atomic_load(&closing))
            return atomic_load(&closing) ? -ECANCELED : r < 0 ? r : 0;
    }
}

static int send_all(int fd, const char *data, size_t n) {
    int64_t until = ag__os_now() + TAKE_MS * AG_MS;
    while (n > 0) {
        ssize_t r = ag__sock_send(fd, data, n);
        if (r == -EAGAIN)
            r = wait_for(fd, AG__POLL_WRITABLE, until);
        else if (r > 0)
            until = ag__os_now() + TAKE_MS * AG_MS;
        if (r < 0 && r != -EINTR)
            return (int)r;
        if (r > 0) {
            data += r;
            n -= (size_t)r;
        }
    }
    return 0;
}

static const char *reason_of(int status) {
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 409:
        return "Conflict";
    case 501:
        return "Not Implemented";
    case 503:
        return "Service Unavailable";
    default:
        return "Internal Server Error";
    }
}

/* `more` is how the end of the body can be told. */
static int send_head(struct client *c, int status, const char *content_type, const char *more) {
    char head[256];
    int n = snprintf(head, sizeof head,
                     "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nCache-Control: no-store\r\n"
                     "Connection: close\r\n%s\r\n",
                     status, reason_of(status), content_type, more);
    return send_all(c->fd, head, (size_t)n);
}

static int answer_begins(void *arg, int status, const char *content_type) {
    struct client *c = arg;
    return send_head(c, status, content_type, c->chunks ? "Transfer-Encoding: chunked\r\n" : "");
}

static int answer_goes_on(void *arg, const void *data, size_t n) {
    struct client *c = arg;
    char size[32];
    if (n == 0)
        return 0;
    int length = snprintf(size, sizeof size, "%zx\r\n", n);
    int r = c->chunks ? send_all(c->fd, size, (size_t)length) : 0;
    if (r == 0)
        r = send_all(c->fd, data, n);
    if (r == 0 && c->chunks)
        r = send_all(c->fd, "\r\n", 2);
    return r;
}

static bool has_gone(void *arg) {
    struct client *c = arg;
    return atomic_load(&closing) || ag__own_peer_is_gone(c->fd);
}

static void refuse(struct client *c, int status, const char *text) {
    char length[64];
    snprintf(length, sizeof length, "Content-Length: %zu\r\n", strlen(text));
    if (send_head(c, status, "text/plain; charset=utf-8", length) == 0)
        (void)send_all(c->fd, text, strlen(text));
}

/* Reads up to the empty line. 0, or a negative errno value. */
static int read_request(struct client *c) {
    int64_t until = ag__os_now() + ASK_MS * AG_MS;
    c->used = 0;
    for (;;) {
        ssize_t r = ag__sock_recv(c->fd, c->request + c->used, REQUEST_MAX - 1 - c->used);
        if (r == 0)
            return -EPIPE;
        if (r == -EAGAIN)
            r = wait_for(c->fd, AG__POLL_READABLE, until);
        if (r < 0 && r != -EINTR)
            return (int)r;
        c->used += r > 0 ? (size_t)r : 0;
        c->request[c->used] = 0;
        if (strlen(c->request) != c->used)
            return -EINVAL;
        if (strstr(c->request, "\r\n\r\n") || strstr(c->request, "\n\n"))
            return 0;
        if (c->used == REQUEST_MAX - 1)
            return -ENAMETOOLONG;
    }
}

/* The target of `GET target HTTP/1.x`, cut out in place; NULL after an answer that says what is
 * wrong. */
static char *target_of(struct client *c) {
    char *line = c->request;
    line[strcspn(line, "\r\n")] = 0;
    char *target = strchr(line, ' ');
    char *version = target ? strchr(target + 1, ' ') : NULL;
    if (!version || strncmp(version, " HTTP/1.", 8) != 0 || target[1] != '/') {
        refuse(c, 400, "this is no HTTP/1 request\n");
        return NULL;
    }
    *target++ = 0;
    *version = 0;
    if (strcmp(line, "GET") != 0) {
        refuse(c, 405, "only GET is answered\n");
        return NULL;
    }
    c->chunks = version[8] != '0';
    return target;
}

static void serve(int fd) {
    struct client c = {.fd = fd};
    int r = read_request(&c);
    if (r == -EINVAL || r == -ENAMETOOLONG)
        refuse(&c, 400, "the request is too long, or no text\n");
    char *target = r == 0 ? target_of(&c) : NULL;
    if (!target)
        return;
    const ag_debug_client client = {&c, answer_begins, answer_goes_on, has_gone};
    r = ag_debug_answer(target, &client);
    if (r == -ENOMEM)
        refuse(&c, 503, "there is no memory for the answer\n");
    else if (r == 0 && c.chunks)
        (void)send_all(fd, "0\r\n\r\n", 5);
}

/* --- Threads. --- */

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
    serve(s->fd);
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

static void let_serve(int fd) {
    struct slot *s = wait_for_slot();
    if (!s) {
        struct client c = {.fd = fd};
        refuse(&c, 503, "too many questions are being answered; ask again later\n");
        end_connection(fd);
        return;
    }
    ag__lock_acquire(&lock);
    s->fd = fd;
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

/* Whether the number still means our socket: programs that become daemons close all numbers. */
static bool is_ours(int fd) {
    ag__file_id id;
    return fd >= 0 && ag__file_identify(fd, &id) == 0 && id.device == listener_id.device &&
           id.inode == listener_id.inode;
}

static void leave_acceptor(uint32_t number) {
    if (atomic_compare_exchange_strong(&acceptor, &number, 0))
        thread_gone();
}

static void accept_next(int fd) {
    int client = ag__sock_accept(fd);
    if (client < 0) { /* no descriptor, no memory: it waits in the queue */
        if (client != -EAGAIN && !ag__sock_accept_again(client))
            ag__os_sleep(20 * AG_MS);
        return;
    }
    int64_t user = ag__own_peer(client);
    if (user == ag__own_user() || user == 0)
        let_serve(client);
    else
        end_connection(client);
}

static void accept_thread(void) {
    uint32_t self = atomic_load(&acceptor);
    int fd = atomic_load(&listener);
    atomic_store(&begun, self);
    ag__sig_receive_only(0);
    while (atomic_load(&acceptor) == self && !atomic_load(&closing) && is_ours(fd)) {
        int r = ag__poll_one(fd, AG__POLL_READABLE, -1);
        if (atomic_load(&acceptor) != self || atomic_load(&closing) || !is_ours(fd))
            break;
        if (r > 0)
            accept_next(fd);
        else if (r < 0) /* no memory */
            ag__os_sleep(20 * AG_MS);
    }
    leave_acceptor(self);
}

/* --- Where a world begins and ends. --- */

/* The child has no threads: who connects must not wait for it. */
static void in_forked_child(void) {
    int fd = atomic_exchange(&listener, -1);
    if (is_ours(fd))
        (void)ag__file_close(fd);
    atomic_store(&threads, 0);
}

static void prepare(void) {
    static bool is_prepared;
    for (int i = 0; i < ANSWERS_MAX; i++)
        slots[i].fd = -1;
    if (!is_prepared)
        is_prepared = ag__os_at_fork(in_forked_child) == 0;
}

void ag__ask_open(void) {
    char folder[AG__OWN_PATH - 32];
    if (ag__sched.no_socket || ag__own_folder(folder, sizeof folder) != 0)
        return;
    prepare();
    snprintf(path, sizeof path, "%s/%d.sock", folder, ag__os_pid());
    int fd = ag__own_listen(path);
    if (fd < 0)
        return;
    atomic_store(&closing, false);
    atomic_store(&listener, fd);
    int r = ag__file_identify(fd, &listener_id);
    if (r == 0)
        r = ag__own_remove_at_exit(path);
    if (r == 0) {
        static uint32_t number;
        atomic_store(&acceptor, ++number);
        atomic_store(&threads, 1);
        r = ag__helper_start(accept_thread, "aglet-answers");
    }
    if (r != 0) {
        atomic_store(&acceptor, 0);
        atomic_store(&threads, 0);
        ag__ask_close();
    }
}

/* Ends what waits for a client. */
static void hang_up(void) {
    ag__lock_acquire(&lock);
    for (int i = 0; i < ANSWERS_MAX; i++)
        if (slots[i].fd >= 0)
            (void)ag__sock_hang_up(slots[i].fd);
    ag__lock_release(&lock);
}

void ag__ask_close(void) {
    int fd = atomic_load(&listener);
    if (fd < 0)
        return;
    int64_t until = ag__os_now() + LOST_MS * AG_MS;
    ag__own_remove();
    atomic_store(&closing, true);
    if (is_ours(fd))
        (void)ag__sock_hang_up(fd);
    atomic_fetch_add(&freed, 1);
    ag__os_futex_wake(&freed, 1);
    for (uint32_t n; (n = atomic_load(&threads)) > 0;) {
        hang_up();
        ag__os_futex_wait(&threads, n, 10 * AG_MS);
        /* Its number means something else, and it sleeps on what nobody can reach any more. */
        uint32_t number = atomic_load(&acceptor);
        if (number && number == atomic_load(&begun) && !is_ours(fd) && ag__os_now() > until)
            leave_acceptor(number);
    }
    atomic_store(&listener, -1);
    if (is_ours(fd))
        (void)ag__file_close(fd);
}
