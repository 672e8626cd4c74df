/* SPDX-License-Identifier: MIT */
/*
 * process_run.c - running a child and collecting what it writes.
 *
 * Both pipes are read at the same time, or a child that fills one while the other is waited for
 * would stand still; the second one has a goroutine for it. What is beyond the limit is read, too,
 * for the same reason. Buffers are made before the child, so that what runs out mostly does so
 * before anything has happened.
 */
#include "io/process.h"
#include <aglet/run.h>
#include <aglet/signal.h>
#include <aglet/time.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM_FIRST = 4096, DROPPED = 4096, RETRY_NS = 10000000 };

/* One of the child's two. Of the goroutine that reads it. */
struct stream {
    int fd; /* below 0: none */
    char *data;
    size_t size, room, limit; /* `room` without the 0 at the end */
    bool is_cut;
    int error; /* 0: it was read to its end, and there was room */
};

static bool open_stream(struct stream *s, size_t limit) {
    s->limit = limit;
    s->room = limit < ROOM_FIRST ? limit : ROOM_FIRST;
    s->data = malloc(s->room + 1);
    return s->data != NULL;
}

static bool make_room(struct stream *s) {
    size_t room = s->room > s->limit / 2 ? s->limit : 2 * s->room;
    char *more = room > s->room ? realloc(s->data, room + 1) : NULL;
    if (!more)
        return false;
    s->data = more;
    s->room = room;
    return true;
}

/* Returns what ag_fd_read does. */
static ssize_t read_some(struct stream *s) {
    char dropped[DROPPED];
    if (s->size == s->room && s->size < s->limit && !make_room(s)) {
        s->error = -ENOMEM;
        s->limit = s->size;
    }
    if (s->size == s->limit) {
        ssize_t n = ag_fd_read(s->fd, dropped, sizeof dropped);
        s->is_cut |= n > 0;
        return n;
    }
    ssize_t n = ag_fd_read(s->fd, s->data + s->size, s->room - s->size);
    if (n > 0)
        s->size += (size_t)n;
    return n;
}

/* There is nothing to wait with, now. */
static bool is_shortage(ssize_t n) {
    return n == -ENOMEM || n == -ENOSPC || n == -EMFILE || n == -ENFILE;
}

/* To the end, also when memory runs out: the child goes on writing. */
static void drain(struct stream *s) {
    ssize_t n;
    do {
        n = read_some(s);
        if (is_shortage(n))
            n = ag_sleep(RETRY_NS) == 0 ? 1 : ag__ended_here();
    } while (n > 0);
    if (n < 0)
        s->error = (int)n;
}

static int collect(ag_process *p, struct stream *out, struct stream *err,
                   ag_process_status *ret_status) {
    ag_wg wg = AG_WG_INIT;
    out->fd = ag_process_out(p);
    err->fd = ag_process_err(p);
    int64_t id = err->fd < 0 ? 0 : ag_wg_go(&wg, drain, err);
    if (id >= 0 && out->fd >= 0)
        drain(out);
    ag_wg_wait(&wg);
    int r = id < 0 ? (int)id : out->error ? out->error : err->error;
    if (r != 0 && ag__ended_here() == 0)
        ag__children_signal(p, SIGKILL, p->has_group); /* nobody reads its pipes any more */
    int joined = ag__process_join(p, ret_status);
    if (r == 0)
        r = joined;
    if (r == 0 && atomic_load(&p->was_ended))
        r = ag__ended_here();
    return r;
}

int ag_process_run(const ag_process_opts *opts, size_t limit, ag_process_output *ret_output) {
    if (!opts || opts->in == AG_PROCESS_PIPE)
        return -EINVAL;
    ag_process_opts o = *opts;
    o.ends_with_context = true;
    o.out = o.out == AG_PROCESS_SAME ? AG_PROCESS_PIPE : o.out;
    o.err = o.err == AG_PROCESS_SAME ? AG_PROCESS_PIPE : o.err;
    struct stream out = {.fd = -1}, err = {.fd = -1};
    ag_process_output got = {.out_size = 0};
    ag_process *p = NULL;
    ag_wg watching = AG_WG_INIT;
    bool room = open_stream(&out, limit) && open_stream(&err, limit);
    int r = room ? ag__process_start(&o, &watching, &p) : -ENOMEM;
    if (r == 0)
        r = collect(p, &out, &err, &got.status);
    ag_wg_wait(&watching);
    ag_unref(p);
    if (r != 0) {
        free(out.data);
        free(err.data);
        return r;
    }
    out.data[out.size] = 0;
    err.data[err.size] = 0;
    got.out = out.data;
    got.out_size = out.size;
    got.err = err.data;
    got.err_size = err.size;
    got.is_cut = out.is_cut || err.is_cut;
    *ret_output = got;
    return 0;
}

void ag_process_output_free(ag_process_output *output) {
    free(output->out);
    free(output->err);
    memset(output, 0, sizeof *output);
}
