/* SPDX-License-Identifier: MIT */
/*
 * dump_out.c - stderr for dumps that nobody may hold up: not who holds the lock of the C library's
 * stderr while he is stuck in a write, and not who should read the pipe and does not.
 *
 * A stream of our own, in pieces that a pipe takes at once if it takes anything. When none was
 * taken for a while the rest is dropped.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "debug/dump_view.h"
#include "os/file.h"
#include "os/poll.h"
#include <errno.h>
#include <stdlib.h>

enum { STDERR = 2, PIECE = 4096, BUFFER = 64 * 1024 };
#define PATIENCE (5 * AG_SEC)

struct sink {
    bool given_up;
    char buffer[BUFFER];
};

static bool is_writable(void) {
    int64_t until = ag__os_now() + PATIENCE, left = PATIENCE;
    for (; left > 0; left = until - ag__os_now()) {
        int r = ag__poll_one(STDERR, AG__POLL_WRITABLE, left);
        if (r != 0) /* an error is the write's to tell */
            return true;
    }
    return false;
}

static ssize_t put_out(void *cookie, const char *bytes, size_t n) {
    struct sink *s = cookie;
    for (size_t at = 0; at < n && !s->given_up;) {
        size_t piece = n - at < PIECE ? n - at : PIECE;
        bool ready = is_writable();
        ssize_t done = ready ? ag__file_write(STDERR, bytes + at, piece) : 0;
        if (done == -EAGAIN)
            continue;
        s->given_up = done <= 0;
        at += done > 0 ? (size_t)done : 0;
    }
    return (ssize_t)n; /* an error would be tried again */
}

static int put_away(void *cookie) {
    free(cookie);
    return 0;
}

FILE *ag__dump_stderr(void) {
    struct sink *s = malloc(sizeof *s);
    if (!s)
        return NULL;
    s->given_up = false;
    FILE *out = fopencookie(s, "w", (cookie_io_functions_t){.write = put_out, .close = put_away});
    if (out)
        setvbuf(out, s->buffer, _IOFBF, sizeof s->buffer);
    else
        free(s);
    return out;
}
