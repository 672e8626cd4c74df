/* SPDX-License-Identifier: MIT */
/*
 * reader.c - the buffered reader.
 *
 *     buf        at              end              size
 *     |  taken   |  buffered     |  room          | one byte for the NUL of a last line
 *
 * Each read of the source is asked for as much as there is room for, at the end of what is
 * buffered; what is buffered moves to the front first. Nothing is remembered of an end or an error:
 * it is returned to the call that met it, and the next one asks again, since a deadline may have
 * been moved and a file may have grown.
 */
#include "io/io.h"
#include "lang/lang.h"
#include "os/file.h"
#include <aglet/bufio.h>
#include <errno.h>
#include <string.h>

static void set_up(ag_reader *r, ag_read_fn fn, void *arg, void *buf, size_t size, void *pc) {
    if (size < AG_READER_MIN)
        ag__panic_text(pc, "bufio: buffer too small");
    *r = (ag_reader){.ag__buf = buf, .ag__size = size - 1, .ag__read = fn, .ag__arg = arg};
}

void ag_reader_init(ag_reader *r, ag_read_fn fn, void *arg, void *buf, size_t size) {
    set_up(r, fn, arg, buf, size, __builtin_return_address(0));
}

static ssize_t read_file(void *fd, void *buf, size_t n) {
    return ag_file_read((int)(intptr_t)fd, buf, n);
}

static ssize_t read_fd(void *fd, void *buf, size_t n) {
    return ag_fd_read((int)(intptr_t)fd, buf, n);
}

void ag_reader_init_fd(ag_reader *r, int fd, void *buf, size_t size) {
    bool is_file = ag__file_kind(fd) == AG__FILE_DISK;
    set_up(r, is_file ? read_file : read_fd, (void *)(intptr_t)fd, buf, size,
           __builtin_return_address(0));
}

/* One read of the source. */
static ssize_t ask(ag_reader *r, void *buf, size_t n) {
    ssize_t got = r->ag__read(r->ag__arg, buf, n);
    if (AG__UNLIKELY(got > (ssize_t)n))
        ag__panic_text(NULL, "bufio: reader returned more than asked");
    return got;
}

size_t ag_reader_buffered(const ag_reader *r) {
    return r->ag__end - r->ag__at;
}

ssize_t ag_reader_fill(ag_reader *r) {
    size_t have = ag_reader_buffered(r);
    if (have == r->ag__size)
        return -ENOBUFS;
    if (r->ag__at > 0) {
        memmove(r->ag__buf, r->ag__buf + r->ag__at, have);
        r->ag__at = 0;
        r->ag__end = have;
    }
    ssize_t got = ask(r, r->ag__buf + have, r->ag__size - have);
    if (got > 0)
        r->ag__end += (size_t)got;
    return got;
}

/* Takes up to n bytes out of the buffer; `to` NULL drops them. */
static size_t take(ag_reader *r, char *to, size_t n) {
    size_t have = ag_reader_buffered(r);
    if (n > have)
        n = have;
    if (to && n > 0)
        memcpy(to, r->ag__buf + r->ag__at, n);
    r->ag__at += n;
    return n;
}

ssize_t ag_reader_read(ag_reader *r, void *buf, size_t n) {
    if (n == 0)
        return 0;
    if (r->ag__at == r->ag__end) {
        if (n > r->ag__size)
            return ask(r, buf, n);
        ssize_t got = ag_reader_fill(r);
        if (got <= 0)
            return got;
    }
    return (ssize_t)take(r, buf, n);
}

ssize_t ag_reader_read_full(ag_reader *r, void *buf, size_t n) {
    size_t done = 0;
    while (done < n) {
        ssize_t got = ag_reader_read(r, (char *)buf + done, n - done);
        if (got < 0)
            return got;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

ssize_t ag_reader_skip(ag_reader *r, size_t n) {
    size_t done = take(r, NULL, n);
    while (done < n) {
        ssize_t got = ag_reader_fill(r);
        if (got < 0)
            return got;
        if (got == 0)
            break;
        done += take(r, NULL, n - done);
    }
    return (ssize_t)done;
}

ssize_t ag_reader_peek(ag_reader *r, size_t n, const char **ret_data) {
    if (n > r->ag__size)
        return -ENOBUFS;
    while (ag_reader_buffered(r) < n) {
        ssize_t got = ag_reader_fill(r);
        if (got < 0)
            return got;
        if (got == 0) {
            n = ag_reader_buffered(r);
            break;
        }
    }
    *ret_data = r->ag__buf + r->ag__at;
    return (ssize_t)n;
}

int ag_reader_byte(ag_reader *r) {
    unsigned char byte;
    ssize_t got = ag_reader_read(r, &byte, 1);
    return got > 0 ? byte : got < 0 ? (int)got : -ENODATA;
}

/* A line of `length` bytes and its end of `ending` bytes. */
static int take_line(ag_reader *r, size_t length, size_t ending, char **ret_line,
                     size_t *ret_length) {
    char *line = r->ag__buf + r->ag__at;
    r->ag__at += length + ending;
    if (length > 0 && line[length - 1] == '\r')
        length--;
    line[length] = '\0';
    *ret_line = line;
    if (ret_length)
        *ret_length = length;
    return 1;
}

int ag_reader_line(ag_reader *r, char **ret_line, size_t *ret_length) {
    size_t seen = 0; /* without a newline */
    for (;;) {
        const char *line = r->ag__buf + r->ag__at;
        size_t have = ag_reader_buffered(r);
        const char *end = have > seen ? memchr(line + seen, '\n', have - seen) : NULL;
        if (end)
            return take_line(r, (size_t)(end - line), 1, ret_line, ret_length);
        seen = have;
        ssize_t got = ag_reader_fill(r);
        if (got < 0)
            return got == -ENOBUFS && have == r->ag__size ? -EMSGSIZE : (int)got;
        if (got == 0)
            return have > 0 ? take_line(r, have, 0, ret_line, ret_length) : 0;
    }
}

ssize_t ag_reader_read_until(ag_reader *r, int delimiter, void *buf, size_t n) {
    for (size_t done = 0; done < n;) {
        const char *from = r->ag__buf + r->ag__at;
        size_t have = ag_reader_buffered(r), most = have < n - done ? have : n - done;
        const char *end = most > 0 ? memchr(from, delimiter, most) : NULL;
        done += take(r, (char *)buf + done, end ? (size_t)(end - from) + 1 : most);
        if (end)
            return (ssize_t)done;
        if (done == n)
            break;
        ssize_t got = ag_reader_fill(r);
        if (got <= 0)
            return got < 0 ? got : (ssize_t)done;
    }
    return -EMSGSIZE;
}
