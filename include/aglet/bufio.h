/* SPDX-License-Identifier: MIT */
/*
 * aglet/bufio.h - buffered reading and writing over descriptors, connections, and functions of
 * yours: Go's bufio, in buffers that you give.
 *
 *     int count_lines(int fd, long *ret_lines) {
 *         char buf[4096], *line;
 *         ag_reader in;
 *         ag_reader_init_fd(&in, fd, buf, sizeof buf);
 *         int r;
 *         while ((r = ag_reader_line(&in, &line, NULL)) > 0)
 *             ++*ret_lines;
 *         return r;                                    // 0 at the end, or the error
 *     }
 *
 * A write that went into a buffer has not been written, and the error comes later: at a flush, a
 * sync, the close. So a writer keeps its first error, every later call returns it, and the close
 * is the call to look at:
 *
 *     int save(int fd) {
 *         char buf[4096];
 *         ag_writer out;
 *         ag_writer_init_fd(&out, fd, buf, sizeof buf, AG_WRITER_SYNC);
 *         ag_defer(ag_writer_done, &out);              // whatever way this ends, it is closed
 *         ag_writer_printf(&out, "%d lines\n", 3);     // no check: the close will tell
 *         if (something_is_wrong())
 *             return -EINVAL;                          // ag_writer_done closes, and tells
 *         return ag_writer_close(&out);                // the first error of flush, fsync, close
 *     }
 *
 * A deferred call can't change what a C function returns: `return err;` is evaluated before the
 * block ends. So don't write `int err = 0; ag_defer(ag_writer_close_into, &out, &err); return err;`
 * in one block; return what ag_writer_close returned, or keep `err` outside of the block.
 *
 * Current context: what fills or flushes a buffer waits as ag_read, ag_fd_read or ag_file_write
 * do. In one that has ended a flush fails with -ECANCELED or -ETIMEDOUT, the close included, which
 * still closes; ag_shield gives clean-up its own time.
 */
#ifndef AGLET_BUFIO_H
#define AGLET_BUFIO_H

#include <aglet/base.h>
#include <aglet/net.h>
#include <sys/types.h>

AG__BEGIN

/* --- Reading. --- */

/** Gives up to n bytes, n > 0. Returns: how many, 0 at the end, a negative errno. */
typedef ssize_t (*ag_read_fn)(void *arg, void *buf, size_t n);

/**
 * A buffered reader, Go's bufio.Reader.
 * Usable when zero: no. Copyable: no. Threads: one at a time. Freed by: nobody; the buffer and
 * what is read from are the caller's.
 *
 * An error is returned by one call, after what came before it; the next call tries again.
 */
typedef struct ag_reader {
    char *ag__buf;
    size_t ag__size, ag__at, ag__end;
    ag_read_fn ag__read;
    void *ag__arg;
} ag_reader;

enum { AG_READER_MIN = 16 };

/** Reads from a descriptor: of a file as ag_file_read, of anything else as ag_fd_read, which parks
 * if it is non-blocking. Panics: `bufio: buffer too small` below AG_READER_MIN bytes. */
AG_API void ag_reader_init_fd(ag_reader *r, int fd, void *buf, size_t size);
/** Reads from a connection by ag_read. Owns: c must live as long as r is used. Panics: as above. */
AG_API void ag_reader_init_conn(ag_reader *r, ag_conn *c, void *buf, size_t size);
/** Reads by fn(arg, …). Panics: as above; `bufio: reader returned more than asked` later. */
AG_API void ag_reader_init(ag_reader *r, ag_read_fn fn, void *arg, void *buf, size_t size);

/** Reads once more into the buffer, behind what is there. Returns: how many bytes came, 0 at the
 * end, -ENOBUFS when the buffer is full, the source's error. */
AG_API ssize_t ag_reader_fill(ag_reader *r);
/** Bytes that the next call can have without reading. */
AG_API size_t ag_reader_buffered(const ag_reader *r);

/** What is there: of the buffer, else by one read, which goes straight into `buf` when n is at
 * least the buffer's size. Returns: bytes, 0 at the end (and for n 0), a negative errno. */
AG_API ssize_t ag_reader_read(ag_reader *r, void *buf, size_t n);
/** All n bytes. Returns: n; fewer at the end of the stream only; a negative errno when reading
 * failed: then `buf` may hold a part, and that part is gone from the reader. */
AG_API ssize_t ag_reader_read_full(ag_reader *r, void *buf, size_t n);
/** Looks at the next n bytes and leaves them there. Returns: n; fewer at the end of the stream
 * only; -ENOBUFS for n larger than the buffer (size - 1); another negative errno.
 * Owns: the reader; *ret_data is valid until its next call. */
AG_API ssize_t ag_reader_peek(ag_reader *r, size_t n, const char **ret_data);
/** Drops n bytes. Returns: as ag_reader_read_full. */
AG_API ssize_t ag_reader_skip(ag_reader *r, size_t n);
/** The next byte. Returns: 0 to 255, -ENODATA at the end, another negative errno. */
AG_API int ag_reader_byte(ag_reader *r);

/**
 * The next line, without its "\n" or "\r\n", ended by a NUL. The last one need not end with a
 * newline. *ret_length (may be NULL) is for lines with a NUL in them.
 * Returns: 1 for a line, 0 at the end, -EMSGSIZE for one that is too long (it stays there,
 * ag_reader_read_until gets past it), another negative errno: a part of a line that came before it
 * stays, too.
 * Owns: the reader; valid until its next call. Limit: lines of the buffer's size - 2.
 */
AG_API int ag_reader_line(ag_reader *r, char **ret_line, size_t *ret_length);
/**
 * Copies up to and with the next byte `delimiter` into `buf`, n bytes at most, n > 0.
 * Returns: how many, the last one being the delimiter unless the stream ends there; 0 at the end;
 * -EMSGSIZE when n bytes hold none: those are in `buf`, and the next call goes on behind them;
 * another negative errno: `buf` may hold a part, which is gone from the reader.
 */
AG_API ssize_t ag_reader_read_until(ag_reader *r, int delimiter, void *buf, size_t n);

/* --- Writing. --- */

/** Where a writer of yours writes to. */
typedef struct ag_sink {
    ssize_t (*write)(void *arg, const void *buf, size_t n); /* all of it; n or a negative errno */
    int (*sync)(void *arg);                                 /* 0 or a negative errno; may be NULL */
    int (*close)(void *arg);                                /* the same */
} ag_sink;

enum {
    AG_WRITER_SYNC = 1, /* the close syncs first */
    AG_WRITER_KEEP = 2  /* the close leaves the descriptor or connection open */
};

/**
 * A buffered writer, Go's bufio.Writer and the file below it. The first error is kept: from then
 * on nothing more is written, and every call returns it.
 * Usable when zero: as a closed one. Copyable: no. Threads: one at a time. Freed by:
 * ag_writer_close or ag_writer_done; the buffer is the caller's.
 */
typedef struct ag_writer {
    char *ag__buf;
    size_t ag__size, ag__used;
    const ag_sink *ag__sink; /* NULL: closed */
    void *ag__arg;
    int ag__error; /* the first one */
    int8_t ag__flags, ag__step, ag__kind, ag__told;
} ag_writer;

/** Writes to a descriptor, which it owns from now on unless AG_WRITER_KEEP says otherwise: of a
 * file as ag_file_write, of anything else as ag_fd_write. `size` may be 0: then nothing is
 * buffered. `flags`: AG_WRITER_SYNC, AG_WRITER_KEEP. */
AG_API void ag_writer_init_fd(ag_writer *w, int fd, void *buf, size_t size, int flags);
/** Writes to a connection by ag_write. Owns: the close closes it, but drops no reference; c must
 * live until then. */
AG_API void ag_writer_init_conn(ag_writer *w, ag_conn *c, void *buf, size_t size, int flags);
/** Writes by the functions of a sink. A sink that returns less than n fails with -EIO. */
AG_API void ag_writer_init(ag_writer *w, const ag_sink *sink, void *arg, void *buf, size_t size,
                           int flags);

/** Returns: n, or the first error; -ECANCELED after the close, -EBADF of a zero one. */
AG_API ssize_t ag_writer_write(ag_writer *w, const void *buf, size_t n);
/** ag_writer_write of a string. */
AG_API ssize_t ag_writer_text(ag_writer *w, const char *text);
/** ag_writer_write of one byte. Returns: 1, or the first error. */
AG_API int ag_writer_byte(ag_writer *w, int byte);
/** printf(3) into it. A text that does not fit into the buffer takes memory for the time of the
 * call. Returns: bytes, or the first error; -ENOMEM, -EILSEQ count as errors of the writer. */
AG_API int ag_writer_printf(ag_writer *w, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/** Bytes that were not written yet. */
AG_API size_t ag_writer_buffered(const ag_writer *w);
/** The first error so far, or 0. Counts as telling it. */
AG_API int ag_writer_error(ag_writer *w);

/** Writes what is buffered. Returns: 0, or the first error. */
AG_API int ag_writer_flush(ag_writer *w);
/** ag_writer_flush, then fsync(2); of what is no file, the flush alone. Returns: 0: all that was
 * written is on the disk; or the first error. */
AG_API int ag_writer_sync(ag_writer *w);
/** Flushes, syncs (AG_WRITER_SYNC) and closes (but for AG_WRITER_KEEP), each checked; it is closed
 * in any case. Again: the same result, nothing is done. Returns: 0, or the first error of all. */
AG_API int ag_writer_close(ag_writer *w);

/**
 * For ag_defer, when somebody looks at *err afterwards: ag_writer_close, whose error goes to *err
 * if that is 0. `err` must live outside of the block that defers; see above.
 */
AG_API void ag_writer_close_into(ag_writer *w, int *err);
/**
 * For ag_defer: ag_writer_close, and if an error was never returned by a call of this writer - so
 * that nobody can know of it - it is a failure of the current scope (aglet/scope.h), whose
 * ag_scope_end then returns it unless there was an earlier one. Outside of a scope, and in a job's
 * function, it is a finding, `aglet: lost error: …` (ag_on_report). Nothing is done to one that is
 * closed.
 */
AG_API void ag_writer_done(ag_writer *w);

AG__END
#endif
