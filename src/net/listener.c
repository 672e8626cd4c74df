/* SPDX-License-Identifier: MIT */
/*
 * listener.c - listening and accepting.
 *
 * Several goroutines may accept: they take turns at the gate. What the listening socket has set
 * (no delay) its connections inherit, which saves a system call for each.
 *
 * The file of a Unix socket outlives its process. An address in use whose file nobody listens
 * on, as a connect tells, is removed and taken. At the close the file goes, if it is still ours:
 * another process may have put its own there.
 *
 * A socket that another process has, too, is one for the system: what a stop does to it (a filter,
 * a shutdown) would stop the other as well. So a stop of a shared one only ends the accepting here.
 *
 * A connection that was accepted and then could not be opened, for lack of memory or of room in the
 * poller, is held for the next call: for the caller it has stayed in the queue.
 */
#include "net/net.h"
#include "os/file.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* How long handshakes under way have to arrive in the queue after a stop. */
enum { STOP_NS = 20000000 };

struct ag_listener {
    ag__object object;
    ag__gate gate;
    ag__pd *pd;
    int fd;
    int held;         /* The accepting one's: a connection that could not be opened, or -1. */
    bool tcp;         /* Constant. */
    bool has_file;    /* Constant. */
    ag__file_id file; /* Constant. */
    char addr[AG__ADDR_TEXT]; /* Constant. */
    _Atomic bool stopped;     /* Atomic; only grows. Set before the deadline of the stop. */
    _Atomic bool shared;      /* Atomic; another process goes on with the socket. */
    ag_layer *(*make_layer)(void *arg); /* Constant once it accepts; NULL: none. */
    void *layer_arg;                    /* Constant once it accepts; a reference. */
};

/* --- Binding. --- */

/* Whether the socket file at `a` is one that nobody listens on. */
static bool is_stale(const ag__addr *a, const char *path) {
    ag__file_id id;
    if (path[0] == '@' || ag__file_identify_socket(path, &id) != 0)
        return false;
    int fd = ag__sock_new(AG__ADDR_UNIX, false);
    if (fd < 0)
        return false;
    int r = ag__sock_connect(fd, a);
    ag__file_close(fd);
    return r == -ECONNREFUSED;
}

static int bind_unix(int fd, const ag__addr *a) {
    char path[AG__ADDR_TEXT];
    int r = ag__sock_bind(fd, a);
    if (r != -EADDRINUSE)
        return r;
    ag__addr_text(a, path, sizeof path);
    if (!is_stale(a, path) || ag__file_unlink(path) != 0)
        return r;
    return ag__sock_bind(fd, a);
}

static int bind_ip(int fd, const ag__addr *a, const ag__target *t) {
    int r = ag__sock_reuse_addr(fd);
    if (r == 0 && t->reuse_port)
        r = ag__sock_reuse_port(fd);
    if (r == 0 && ag__addr_kind(a) == AG__ADDR_IP6)
        r = ag__sock_only_ip6(fd, !t->both);
    if (r == 0)
        r = ag__sock_no_delay(fd);
    return r == 0 ? ag__sock_bind(fd, a) : r;
}

/* Takes away the file that a bind has made. */
static void remove_file(const ag__addr *a) {
    char path[AG__ADDR_TEXT];
    ag__addr_text(a, path, sizeof path);
    if (ag__addr_kind(a) == AG__ADDR_UNIX && path[0] != '@')
        ag__file_unlink(path);
}

/* A listening socket, or an error. */
static int open_socket(const ag__addr *a, const ag__target *t) {
    bool is_unix = ag__addr_kind(a) == AG__ADDR_UNIX;
    int fd = ag__sock_new(ag__addr_kind(a), false);
    if (fd < 0)
        return fd;
    int r = is_unix ? bind_unix(fd, a) : bind_ip(fd, a, t);
    bool bound = r == 0;
    if (bound)
        r = ag__sock_listen(fd);
    if (r == 0)
        return fd;
    if (bound)
        remove_file(a);
    ag__file_close(fd);
    return r;
}

/* Tries the addresses in turn. All addresses of the machine are one IPv6 socket for both
 * families, or IPv4 alone where there is no IPv6. */
static int open_target(ag__target *t) {
    int first = 0;
    for (int i = 0; i < t->count; i++) {
        int fd = open_socket(&t->addrs[i], t);
        if (fd >= 0)
            return fd;
        if (first == 0 || first == -EAFNOSUPPORT)
            first = fd;
        /* Of the two ways to say `all`, only a missing IPv6 leads to the second. */
        if (t->both && fd != -EAFNOSUPPORT && fd != -EADDRNOTAVAIL)
            break;
    }
    return first;
}

/* --- Life. --- */

static void release(ag_listener *l) {
    if (l->held >= 0)
        ag__file_close(l->held);
    ag__file_close(l->fd);
    ag__pd_free(l->pd);
}

static void listener_free(ag__object *o) {
    ag_listener *l = ag__container_of(o, ag_listener, object);
    ag_listener_close(l);
    ag_unref(l->layer_arg);
    free(l);
}

static int note_address(ag_listener *l) {
    ag__addr a;
    int r = ag__sock_local(l->fd, &a);
    if (r != 0)
        return r;
    ag__addr_text(&a, l->addr, sizeof l->addr);
    if (ag__addr_kind(&a) != AG__ADDR_UNIX || l->addr[0] == '@')
        return 0;
    r = ag__file_identify_socket(l->addr, &l->file);
    l->has_file = r == 0;
    return r == -ENOENT || r == -ENOTSOCK ? 0 : r; /* somebody was quick to take it away */
}

static int open_listener(ag_listener *l, int fd, bool tcp) {
    l->fd = fd;
    l->held = -1;
    l->tcp = tcp;
    int r = note_address(l);
    return r == 0 ? ag__pd_open(fd, &l->pd) : r;
}

/* The listener takes the socket over, or it is closed. */
static int open_own(ag_listener *l, int fd, const ag__target *t) {
    int r = open_listener(l, fd, t->kind != AG__ADDR_UNIX);
    if (r != 0) {
        remove_file(&t->addrs[0]); /* of a Unix socket there is only one */
        ag__file_close(fd);
    }
    return r;
}

int ag_listen_with(const ag_listen_opts *opts, const char *net, const char *addr,
                   ag_listener **ret_listener) {
    ag__target *t = malloc(sizeof *t);
    ag_listener *l = calloc(1, sizeof *l);
    int r = t && l ? ag__target_find(net, addr, true, t) : -ENOMEM;
    if (r == 0) {
        t->reuse_port = opts && opts->reuse_port;
        r = t->datagram ? -EINVAL : open_target(t);
    }
    if (r >= 0)
        r = open_own(l, r, t);
    free(t);
    if (r != 0) {
        free(l);
        return r;
    }
    ag__object_init(&l->object, listener_free);
    *ret_listener = l;
    return 0;
}

int ag_listen(const char *net, const char *addr, ag_listener **ret_listener) {
    return ag_listen_with(NULL, net, addr, ret_listener);
}

/* Whether the socket is one to accept streams from, made fit for that. */
static int prepare(int fd, bool *ret_tcp) {
    bool stream = false;
    int r = ag__sock_type(fd, &stream, ret_tcp);
    if (r == 0)
        r = ag__sock_listens(fd);
    if (r < 0)
        return r;
    if (r == 0 || !stream)
        return -EINVAL;
    if (*ret_tcp)
        ag__sock_no_delay(fd);
    r = ag__file_set_close_on_exec(fd);
    return r == 0 ? ag__file_set_nonblocking(fd) : r;
}

int ag_listener_from_fd(int fd, ag_listener **ret_listener) {
    bool tcp = false;
    ag_listener *l = NULL;
    int r = prepare(fd, &tcp);
    if (r == 0) {
        l = calloc(1, sizeof *l);
        r = l ? open_listener(l, fd, tcp) : -ENOMEM;
    }
    if (r != 0) {
        free(l);
        return r;
    }
    ag__object_init(&l->object, listener_free);
    *ret_listener = l;
    return 0;
}

int ag_listener_fd(ag_listener *l) {
    int r = ag__gate_enter(&l->gate);
    if (r != 0)
        return r;
    int fd = l->fd;
    if (ag__gate_leave(&l->gate))
        release(l);
    return fd;
}

void ag_listener_share(ag_listener *l, bool shared) {
    atomic_store(&l->shared, shared);
}

int ag_listener_close(ag_listener *l) {
    int r = ag__gate_close(&l->gate);
    if (r != 0)
        return r;
    ag__file_id id;
    if (l->has_file && !atomic_load(&l->shared) && ag__file_identify_socket(l->addr, &id) == 0 &&
        id.device == l->file.device && id.inode == l->file.inode)
        ag__file_unlink(l->addr);
    ag__pd_close(l->pd);
    if (ag__gate_leave(&l->gate))
        release(l);
    return 0;
}

int ag_listener_stop(ag_listener *l) {
    int r = ag__gate_enter(&l->gate);
    if (r != 0)
        return r;
    bool shared = atomic_load(&l->shared);
    r = shared ? 0 : ag__sock_refuse_new(l->fd, l->tcp);
    atomic_store(&l->stopped, true);
    ag__pd_set_deadline(l->pd, AG__READ, ag__os_now() + (shared ? 0 : STOP_NS));
    if (ag__gate_leave(&l->gate))
        release(l);
    return r;
}

const char *ag_listener_addr(ag_listener *l) {
    return l->addr;
}

/* --- Accepting. --- */

/* The only deadline of a listener is that of its stop; a context may have one, too. */
static int wait_error(ag_listener *l, int r) {
    bool over = r == -ETIMEDOUT && atomic_load(&l->stopped) && ag__ended_here() == 0;
    return over ? -ECANCELED : r;
}

static int accept_inside(ag_listener *l, ag_conn *c) {
    while (!atomic_load(&l->stopped) || !atomic_load(&l->shared)) {
        int fd = l->held >= 0 ? l->held : ag__sock_accept(l->fd);
        if (fd >= 0) {
            int r = ag__conn_open(c, fd, true, l->tcp);
            l->held = r == 0 ? -1 : fd;
            return r;
        }
        if (fd == -EAGAIN) {
            int r = ag__pd_wait(l->pd, AG__READ);
            if (r != 0)
                return wait_error(l, r);
        } else if (fd == -EINVAL && atomic_load(&l->stopped)) {
            return -ECANCELED; /* a Unix socket that was shut down, and whose queue is empty */
        } else if (!ag__sock_accept_again(fd)) {
            return fd == -ENOBUFS ? -ENOMEM : fd;
        }
    }
    return -ECANCELED;
}

int ag_layer_put_on_accepted(ag_listener *l, ag_layer *(*make)(void *arg), void *arg) {
    if (l->make_layer)
        return -EALREADY;
    l->make_layer = make;
    l->layer_arg = ag_ref(arg);
    return 0;
}

static bool dress(ag_listener *l, ag_conn *c) {
    if (!l->make_layer)
        return true;
    ag_layer *y = l->make_layer(l->layer_arg);
    if (y)
        y->conn = c;
    atomic_store_explicit(&c->layer, y, AG__RLX);
    atomic_store_explicit(&c->gate.word, AG__GATE_MARKED, AG__RLX);
    return y != NULL;
}

int ag_accept(ag_listener *l, ag_conn **ret_conn) {
    /* Before the socket: one that there is no memory for stays in the queue. */
    ag_conn *c = ag__conn_alloc();
    if (!c || !dress(l, c)) {
        free(c);
        return -ENOMEM;
    }
    int r = ag__gate_lock(&l->gate, AG__READ);
    if (r == 0) {
        r = accept_inside(l, c);
        if (ag__gate_unlock(&l->gate, AG__READ))
            release(l);
    }
    if (r == 0)
        *ret_conn = c;
    else
        ag__conn_discard(c);
    ag__leave(ag__enter());
    return r;
}
