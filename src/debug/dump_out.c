/* SPDX-License-Identifier: MIT */
/*
 * dump_out.c - stderr for dumps that nobody may hold up: not who holds the lock of the C library's
 * stderr while he is stuck in a write, and not who should read the pipe and does not.
 *
 * A stream of our own, in pieces that a pipe takes at once if it takes anything. When none was
 * taken for a while the rest is dropped.
 */
#include "debug/dump_view.h"
#include "os/file.h"
#include "os/poll.h"
#include "os/stream.h"
#include <errno.h>
#include <stdlib.h>

enum { STDERR = 2, PIECE = 4096, BUFFER = 64 * 1024 };
#define PATIENCE (5 * AG_SEC)

struct sink {
    _Alignas(16) char buffer[BUFFER];
    bool given_up;
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

static bool put_out(void *sink, const char *bytes, size_t n) {
    struct sink *s = sink;
    for (size_t at = 0; at < n && !s->given_up;) {
        size_t piece = n - at < PIECE ? n - at : PIECE;
        bool ready = is_writable();
        ssize_t done = ready ? ag__file_write(STDERR, bytes + at, piece) : 0;
        if (done == -EAGAIN)
            continue;
        s->given_up = done <= 0;
        at += done > 0 ? (size_t)done : 0;
    }
    return true; /* an error would be tried again */
}

void ag__dump_to_stderr(void (*print)(FILE *out)) {
    struct sink *s = malloc(sizeof *s);
    FILE *own = NULL;
    if (s) {
        s->given_up = false;
        own = ag__stream_to(put_out, s, s->buffer, sizeof s->buffer);
    }
    print(own ? own : stderr);
    if (own)
        fclose(own);
    free(s);
}
