/* SPDX-License-Identifier: MIT */
/*
 * writer.c - the buffered writer, and the errors that come late.
 *
 * Bytes are written when the buffer is full, at a flush, a sync and the close. So the call that
 * meets an error is not the one that caused it, and may be one whose result nobody looks at. Hence:
 * the first error stays, with the step at which it came, and whether it was told:
 *
 *     NOT_TOLD --a call returns it--> TOLD --another write--> IGNORED
 *         ^ met inside of ag_writer_done        | flush, sync, close, ag_writer_error
 *                                       TOLD <--+
 *
 * A program that looks at what its writes return makes no further one after an error; one that does
 * has not looked, which is fine as long as it looks at the close. ag_writer_done, for ag_defer,
 * closes what was not closed; an error that is not TOLD becomes a failure of the scope it happens
 * in, or is reported. `lose` is where a lost error goes.
 *
 * Refused: the deferred call setting the function's result (C has evaluated it by then); ending the
 * process for a lost error (others may do useful work).
 */
#include "ctx/ctx.h"
#include "io/io.h"
#include "lang/report.h"
#include "os/file.h"
#include <aglet/bufio.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NOT_TOLD, TOLD, IGNORED };
enum { WRITE, SYNC, CLOSE };
enum { NEVER_OPENED, DESCRIPTOR, SINK };

/* --- What is written to. --- */

static int fd_of(const void *arg) {
    return (int)(intptr_t)arg;
}

static ssize_t write_file(void *arg, const void *buf, size_t n) {
    return ag_file_write(fd_of(arg), buf, n);
}

static ssize_t write_fd(void *arg, const void *buf, size_t n) {
    return ag_fd_write(fd_of(arg), buf, n);
}

static int sync_file(void *arg) {
    return ag_file_sync(fd_of(arg));
}

static int close_fd(void *arg) {
    return ag_fd_close(fd_of(arg));
}

static const ag_sink file_sink = {write_file, sync_file, close_fd};
static const ag_sink fd_sink = {write_fd, NULL, close_fd};

void ag_writer_init(ag_writer *w, const ag_sink *sink, void *arg, void *buf, size_t size,
                    int flags) {
    *w = (ag_writer){.ag__buf = buf,
                     .ag__size = size,
                     .ag__sink = sink,
                     .ag__arg = arg,
                     .ag__flags = (int8_t)flags,
                     .ag__kind = SINK};
}

void ag_writer_init_fd(ag_writer *w, int fd, void *buf, size_t size, int flags) {
    bool is_file = ag__file_kind(fd) == AG__FILE_DISK;
    ag_writer_init(w, is_file ? &file_sink : &fd_sink, (void *)(intptr_t)fd, buf, size, flags);
    w->ag__kind = DESCRIPTOR;
}

/* --- The first error. --- */

static int fail(ag_writer *w, int step, int error) {
    if (w->ag__error == 0) {
        w->ag__error = error;
        w->ag__step = (int8_t)step;
    }
    return w->ag__error;
}

/* Of a call whose result is looked at: 0, or the first error, told now. */
static int tell(ag_writer *w) {
    if (w->ag__error != 0)
        w->ag__told = TOLD;
    return w->ag__error;
}

/* Of a write: 0 while it may write. */
static int may_write(ag_writer *w) {
    if (AG__LIKELY(w->ag__error == 0 && w->ag__sink != NULL))
        return 0;
    if (w->ag__error == 0)
        return w->ag__kind == NEVER_OPENED ? -EBADF : -ECANCELED;
    if (w->ag__sink)
        w->ag__told = w->ag__told == NOT_TOLD ? TOLD : IGNORED;
    return w->ag__error;
}

int ag_writer_error(ag_writer *w) {
    return tell(w);
}

size_t ag_writer_buffered(const ag_writer *w) {
    return w->ag__used;
}

/* --- Writing. --- */

static int write_out(ag_writer *w, const char *from, size_t n) {
    ssize_t put = w->ag__sink->write(w->ag__arg, from, n);
    return AG__LIKELY(put == (ssize_t)n) ? 0 : fail(w, WRITE, put < 0 ? (int)put : -EIO);
}

static int flush(ag_writer *w) {
    if (w->ag__error != 0 || w->ag__used == 0)
        return w->ag__error;
    int r = write_out(w, w->ag__buf, w->ag__used);
    if (r == 0)
        w->ag__used = 0;
    return r;
}

ssize_t ag_writer_write(ag_writer *w, const void *buf, size_t n) {
    const char *from = buf;
    int r = may_write(w);
    if (AG__UNLIKELY(r != 0))
        return r;
    size_t left = n, room;
    while (left > (room = w->ag__size - w->ag__used)) {
        /* What would fill the empty buffer goes out as it is. */
        if (w->ag__used == 0) {
            r = write_out(w, from, left);
            return r == 0 ? (ssize_t)n : tell(w);
        }
        memcpy(w->ag__buf + w->ag__used, from, room);
        w->ag__used += room;
        from += room;
        left -= room;
        if (flush(w) != 0)
            return tell(w);
    }
    if (left > 0)
        memcpy(w->ag__buf + w->ag__used, from, left);
    w->ag__used += left;
    return (ssize_t)n;
}

ssize_t ag_writer_text(ag_writer *w, const char *text) {
    return ag_writer_write(w, text, strlen(text));
}

int ag_writer_byte(ag_writer *w, int byte) {
    char c = (char)byte;
    return (int)ag_writer_write(w, &c, 1);
}

/* Formats into memory of its own, which it then writes. */
static AG__COLD int print_long(ag_writer *w, size_t n, const char *fmt, va_list args) {
    char *text = malloc(n + 1);
    if (!text) {
        fail(w, WRITE, -ENOMEM);
        return tell(w);
    }
    vsnprintf(text, n + 1, fmt, args);
    int r = (int)ag_writer_write(w, text, n);
    free(text);
    return r;
}

int ag_writer_printf(ag_writer *w, const char *fmt, ...) {
    va_list args, again;
    int r = may_write(w);
    if (r != 0)
        return r;
    size_t room = w->ag__size - w->ag__used;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(room > 0 ? w->ag__buf + w->ag__used : NULL, room, fmt, args);
    if (n < 0) {
        fail(w, WRITE, -EILSEQ);
        n = tell(w);
    } else if ((size_t)n < room) {
        w->ag__used += (size_t)n;
    } else {
        n = print_long(w, (size_t)n, fmt, again);
    }
    va_end(again);
    va_end(args);
    return n;
}

/* --- Flush, sync, close. --- */

static int may_flush(ag_writer *w) {
    if (w->ag__sink || w->ag__error != 0)
        return tell(w);
    return w->ag__kind == NEVER_OPENED ? -EBADF : -ECANCELED;
}

int ag_writer_flush(ag_writer *w) {
    int r = may_flush(w);
    if (r != 0)
        return r;
    flush(w);
    return tell(w);
}

static void sync_out(ag_writer *w) {
    int r = w->ag__sink->sync ? w->ag__sink->sync(w->ag__arg) : 0;
    if (r != 0)
        fail(w, SYNC, r);
}

int ag_writer_sync(ag_writer *w) {
    int r = may_flush(w);
    if (r != 0)
        return r;
    if (flush(w) == 0)
        sync_out(w);
    return tell(w);
}

/* Closed, whatever happens. */
static void close_out(ag_writer *w) {
    const ag_sink *sink = w->ag__sink;
    if (!sink)
        return;
    if (flush(w) == 0 && w->ag__flags & AG_WRITER_SYNC)
        sync_out(w);
    w->ag__sink = NULL;
    int r = sink->close && !(w->ag__flags & AG_WRITER_KEEP) ? sink->close(w->ag__arg) : 0;
    if (r != 0)
        fail(w, CLOSE, r);
}

int ag_writer_close(ag_writer *w) {
    close_out(w);
    return tell(w);
}

void ag_writer_close_into(ag_writer *w, int *err) {
    int r = ag_writer_close(w);
    if (*err == 0)
        *err = r;
}

/* To the scope that the caller is in, if there is one: a failure of it like any other. */
static bool tell_scope(const ag_writer *w) {
    ag__m *m = ag__enter();
    ag__nest *n = ag__nest_of(m->g);
    bool told = n && !n->is_job;
    if (told) {
        AG__HB_RELEASE(n);
        ag__nest_fail(m, n, w->ag__error, NULL);
    }
    ag__leave(m);
    return told;
}

/* Where an error goes that nobody has seen. */
static AG__COLD void lose(const ag_writer *w) {
    if (tell_scope(w))
        return;
    static const char *const steps[] = {"write", "sync", "close"};
    static const char nothing_more[] = "aglet: lost error: out of memory for details\n";
    char what[32] = "a sink", words[64];
    if (w->ag__kind == DESCRIPTOR)
        snprintf(what, sizeof what, "descriptor %d", fd_of(w->ag__arg));
    ag__m *m = ag__enter();
    ag__who who = ag__who_of(m->g);
    ag__leave(m);
    ag__report *r = ag__report_new("lost error");
    if (!r) {
        ag__os_write_err(nothing_more, sizeof nothing_more - 1);
        return;
    }
    snprintf(r->text, sizeof r->text, "ag_writer_done: %s of %s: %s", steps[w->ag__step], what,
             strerror_r(-w->ag__error, words, sizeof words));
    ag__report_goroutine(r, who);
    ag__report_send(r);
}

void ag_writer_done(ag_writer *w) {
    if (!w->ag__sink)
        return;
    close_out(w);
    if (w->ag__error != 0 && w->ag__told != TOLD)
        lose(w);
}
