/* SPDX-License-Identifier: MIT */
/*
 * process.c - child processes: starting, waiting, signals, pipes.
 *
 * Who waits looks whether the child has ended (children.c), and if not waits for a descriptor that
 * becomes readable when it has: a pidfd, opened at the start. Where the system has none, that is
 * the end of a pipe whose other end a thread closes; the thread sleeps in waitid(2), which leaves
 * the child to be collected. It is started for the first who waits. So a wait is that for any
 * descriptor, and contexts, other waiters and threads that are no goroutines need nothing here.
 *
 * A child that ends with its context has a goroutine that waits with that context, started before
 * the child, so that there is none without it. Until the child runs it waits for `opening`.
 */
#include "io/process.h"
#include "lang/lang.h"
#include "os/file.h"
#include <aglet/ctx.h>
#include <aglet/signal.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { RETRY_NS = 10000000, FDS_MAX = 1000 };
#define GRACE_NS (5 * AG_SEC)
#define EVER_NS (365 * 24 * 60 * AG_MIN)

/* --- Waiting. --- */

struct watcher {
    int pid, writes;
};

static void watcher_thread(void *arg) {
    struct watcher w = *(struct watcher *)arg;
    free(arg);
    ag__proc_wait(w.pid);
    ag__file_close(w.writes);
}

/* The end to read of a pipe that is closed when the child has ended, or an error. */
static int open_by_thread(int pid) {
    int fds[2];
    struct watcher *w = malloc(sizeof *w);
    int r = w ? ag__file_child_pipe(fds) : -ENOMEM;
    if (r != 0) {
        free(w);
        return r;
    }
    *w = (struct watcher){pid, fds[1]};
    r = ag__os_thread_start(watcher_thread, w, "aglet-child");
    if (r == 0)
        return fds[0];
    ag__file_close(fds[0]);
    ag__file_close(fds[1]);
    free(w);
    return r;
}

/* p->opening is held. */
static int open_watched(ag_process *p, bool by_thread) {
    if (atomic_load(&p->watched) >= 0)
        return 0;
    int fd = ag__proc_open(p->pid);
    bool is_pidfd = fd >= 0;
    if (fd == -ENOSYS && by_thread)
        fd = open_by_thread(p->pid);
    if (fd < 0)
        return fd;
    atomic_store(&p->watched, fd);
    atomic_store(&p->is_pidfd, is_pidfd);
    return 0;
}

static int open_now(ag_process *p) {
    if (atomic_load(&p->watched) >= 0)
        return 0;
    ag_mutex_lock(&p->opening);
    int r = open_watched(p, true);
    ag_mutex_unlock(&p->opening);
    return r == -ESRCH ? 0 : r; /* somebody has collected it just now */
}

static void fill(const ag_process *p, ag_process_status *ret_status) {
    *ret_status = (ag_process_status){.pid = p->pid,
                                      .exit_code = p->status.code,
                                      .signal = p->status.signal,
                                      .core_dumped = p->status.core,
                                      .user = p->status.user_ns,
                                      .system = p->status.system_ns,
                                      .max_rss = p->status.max_rss};
}

int ag_process_wait(ag_process *p, ag_process_status *ret_status) {
    while (!ag__children_collect(p)) {
        int r = open_now(p);
        if (r == 0 && atomic_load(&p->watched) >= 0)
            r = ag_fd_wait(atomic_load(&p->watched), AG_READABLE, 0);
        if (r < 0)
            return r;
    }
    if (p->error == 0 && ret_status)
        fill(p, ret_status);
    return p->error;
}

static bool is_end_of_context(int r) {
    return r == -ECANCELED || r == -ETIMEDOUT;
}

/* ag_process_wait that tries again when there is nothing to wait with. */
static int wait_in_spite(ag_process *p, ag_process_status *ret_status) {
    int r;
    while ((r = ag_process_wait(p, ret_status)) != 0 && r != -ECHILD && !is_end_of_context(r)) {
        r = ag_sleep(RETRY_NS);
        if (r != 0)
            return r;
    }
    return r;
}

int ag__process_join(ag_process *p, ag_process_status *ret_status) {
    ag_shield(EVER_NS);
    return wait_in_spite(p, ret_status);
}

static int wait_for(ag_process *p, ag_time ns) {
    ag_shield(ns);
    ag_within(ns);
    return wait_in_spite(p, NULL);
}

/* --- Signals. --- */

int ag_process_signal(ag_process *p, int sig) {
    return ag__children_signal(p, sig, false);
}

int ag_process_signal_group(ag_process *p, int sig) {
    return p->has_group ? ag__children_signal(p, sig, true) : -EINVAL;
}

int ag_process_kill(ag_process *p) {
    return ag_process_signal(p, SIGKILL);
}

int ag_process_pid(const ag_process *p) {
    return p ? p->pid : ag__os_pid();
}

/* --- Ending with the context. --- */

static void end_it(ag_process *p, ag_time grace) {
    atomic_store(&p->was_ended, true);
    if (grace >= 0) {
        ag__children_signal(p, SIGTERM, p->has_group);
        if (!is_end_of_context(wait_for(p, grace > 0 ? grace : GRACE_NS)))
            return;
    }
    ag__children_signal(p, SIGKILL, p->has_group);
    ag__process_join(p, NULL);
}

/* In a goroutine of its own, with the context and a reference. */
static void watch(ag_process *p, ag_time grace, ag_wg *watching) {
    ag_mutex_lock(&p->opening);
    ag_mutex_unlock(&p->opening);
    if (p->pid != 0 && is_end_of_context(wait_in_spite(p, NULL)))
        end_it(p, grace);
    ag_unref(p);
    if (watching)
        ag_wg_done(watching);
}

static int start_watch(ag_process *p, ag_time grace, ag_wg *watching) {
    static const ag_go_opts opts = {.name = "child process"};
    if (watching)
        ag_wg_add(watching, 1);
    int64_t id = ag_go_with(&opts, watch, ag_ref(p), grace, watching);
    if (id >= 0)
        return 0;
    if (watching)
        ag_wg_done(watching);
    ag_unref(p);
    return (int)id;
}

/* --- Starting. --- */

static int end_of(const ag_process *p, int i) {
    int fd = atomic_load(&p->ends[i]);
    return fd < 0 ? -EBADF : fd;
}

static int close_end(ag_process *p, int i) {
    int fd = atomic_exchange(&p->ends[i], -1);
    return fd < 0 ? -EBADF : ag_fd_close(fd);
}

static void process_free(ag__object *o) {
    ag_process *p = ag__container_of(o, ag_process, object);
    for (int i = 0; i < 3; i++)
        close_end(p, i);
    ag__children_abandon(p);
}

static ag_process *process_new(bool has_group) {
    ag_process *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    ag__object_init(&p->object, process_free);
    p->has_group = has_group;
    atomic_store(&p->watched, -1);
    for (int i = 0; i < 3; i++)
        atomic_store(&p->ends[i], -1);
    return p;
}

static int add_pipe(ag_process *p, int i, int *ret_child) {
    int fds[2], r = ag__file_child_pipe(fds);
    if (r != 0)
        return r;
    int mine = i == 0 ? fds[1] : fds[0];
    *ret_child = i == 0 ? fds[0] : fds[1];
    atomic_store(&p->ends[i], mine);
    return ag__file_set_nonblocking(mine);
}

/* What the child gets as descriptor i. *ret_own is to be closed after the start, or -1. */
static int choose(ag_process *p, int i, int what, ag__proc_start *s, int *ret_own) {
    int r = 0;
    *ret_own = s->fds[i] = -1;
    switch (what) {
    case AG_PROCESS_SAME:
        return 0;
    case AG_PROCESS_PIPE:
        r = add_pipe(p, i, ret_own);
        break;
    case AG_PROCESS_NULL:
        r = *ret_own = ag__file_null();
        break;
    case AG_PROCESS_OUT:
        if (i != 2)
            return -EINVAL;
        s->fds[i] = s->fds[1] >= 0 ? s->fds[1] : 1;
        return 0;
    default:
        if (what < 0)
            return -EINVAL;
        if (what == i)
            return 0;
        if (what > 2) {
            s->fds[i] = what;
            return 0;
        }
        r = *ret_own = ag__file_dup(what); /* the child's may be replaced before its turn */
    }
    if (r < 0 && what != AG_PROCESS_PIPE)
        *ret_own = -1;
    s->fds[i] = *ret_own;
    return r < 0 ? r : 0;
}

/* Further descriptors, under numbers that are none of the child's. *ret_more: to be closed and
 * freed. */
static int choose_more(const ag_process_opts *o, ag__proc_start *s, int **ret_more) {
    *ret_more = NULL;
    if (o->fd_count == 0)
        return 0;
    if (o->fd_count < 0 || o->fd_count > FDS_MAX || !o->fds)
        return -EINVAL;
    int *more = malloc((size_t)o->fd_count * sizeof *more);
    if (!more)
        return -ENOMEM;
    *ret_more = more;
    s->more = more;
    while (s->more_count < o->fd_count) {
        int fd = ag__file_dup_from(o->fds[s->more_count], 3 + o->fd_count);
        if (fd < 0)
            return fd;
        more[s->more_count++] = fd;
    }
    return 0;
}

static int start_it(ag_process *p, const ag_process_opts *o) {
    ag__proc_start s = {.file = o->path ? o->path : o->argv[0],
                        .argv = o->argv,
                        .env = o->env,
                        .dir = o->dir,
                        .new_group = o->new_group};
    const int what[3] = {o->in, o->out, o->err};
    int own[3] = {-1, -1, -1}, *more, r = choose_more(o, &s, &more);
    for (int i = 0; i < 3 && r == 0; i++)
        r = choose(p, i, what[i], &s, &own[i]);
    if (r == 0)
        r = (int)ag_blocking(ag__children_start, p, &s);
    for (int i = 0; i < 3; i++)
        if (own[i] >= 0)
            ag__file_close(own[i]);
    for (int i = 0; i < s.more_count; i++)
        ag__file_close(more[i]);
    free(more);
    return r;
}

int ag__process_start(const ag_process_opts *opts, ag_wg *watching, ag_process **ret_process) {
    if (!opts || !opts->argv || !opts->argv[0])
        return -EINVAL;
    int r = ag__ended_here();
    if (r != 0)
        return r;
    ag_process *p = process_new(opts->new_group);
    if (!p)
        return -ENOMEM;
    ag_mutex_lock(&p->opening);
    if (opts->ends_with_context)
        r = start_watch(p, opts->grace, watching);
    if (r == 0)
        r = start_it(p, opts);
    if (r == 0)
        (void)open_watched(p, false); /* else who waits tries again */
    ag_mutex_unlock(&p->opening);
    if (r == 0)
        *ret_process = p;
    else
        ag_unref(p);
    return r;
}

int ag_process_start(const ag_process_opts *opts, ag_process **ret_process) {
    return ag__process_start(opts, NULL, ret_process);
}

/* --- Its pipes. --- */

int ag_process_in(const ag_process *p) {
    return end_of(p, 0);
}
int ag_process_out(const ag_process *p) {
    return end_of(p, 1);
}
int ag_process_err(const ag_process *p) {
    return end_of(p, 2);
}
int ag_process_close_in(ag_process *p) {
    return close_end(p, 0);
}
int ag_process_close_out(ag_process *p) {
    return close_end(p, 1);
}
int ag_process_close_err(ag_process *p) {
    return close_end(p, 2);
}

/* --- A status as text. --- */

void ag_process_status_text(const ag_process_status *status, char *buf, size_t size) {
    if (status->signal == 0) {
        snprintf(buf, size, "exit status %d", status->exit_code);
        return;
    }
    char number[24];
    const char *name = ag__proc_signal_name(status->signal);
    if (!name) {
        snprintf(number, sizeof number, "signal %d", status->signal);
        name = number;
    }
    /* Go's names begin small, but for abbreviations. */
    char first = name[0];
    if (first >= 'A' && first <= 'Z' && name[1] >= 'a' && name[1] <= 'z')
        first = (char)(first - 'A' + 'a');
    snprintf(buf, size, "signal: %c%s%s", first, name + 1,
             status->core_dumped ? " (core dumped)" : "");
}
