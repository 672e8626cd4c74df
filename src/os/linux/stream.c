/* SPDX-License-Identifier: MIT */
/*
 * stream.c (Linux) - a FILE whose bytes go to a function, by fopencookie. The stream's lock is off
 * because it belongs to a thread, and who writes may park and come back on another one. The record
 * that joins the two functions lies in front of the buffer, so closing has nothing to free.
 */
#include "os/stream.h"
#include <stdio_ext.h>
#include <sys/types.h>

struct cookie {
    bool (*put)(void *arg, const char *data, size_t n);
    void *arg;
};

static ssize_t write_cookie(void *cookie, const char *data, size_t n) {
    struct cookie *c = cookie;
    return c->put(c->arg, data, n) ? (ssize_t)n : 0;
}

FILE *ag__stream_to(bool (*put)(void *arg, const char *data, size_t n), void *arg, char *buffer,
                    size_t bytes) {
    struct cookie *c = (struct cookie *)(void *)buffer;
    *c = (struct cookie){put, arg};
    FILE *out = fopencookie(c, "w", (cookie_io_functions_t){.write = write_cookie});
    if (!out)
        return NULL;
    __fsetlocking(out, FSETLOCKING_BYCALLER);
    setvbuf(out, buffer + sizeof *c, _IOFBF, bytes - sizeof *c);
    return out;
}
