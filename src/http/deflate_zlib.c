/* SPDX-License-Identifier: MIT */
/*
 * deflate_zlib.c - a stream of gzip by zlib.
 *
 * A compressor with zlib's usual parameters takes 256 KiB; with half the window and half the hash
 * it takes 128 KiB and finds nearly as much in texts. No more than COUNT_MAX are at work at a time,
 * so the memory has a limit whatever comes; who gets none sends as it is.
 */
#include "http/deflate.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { COUNT_MAX = 64, WINDOW_BITS = 14, GZIP = 16, MEM_LEVEL = 7, LEVEL = 5, OUT = 4096 };
enum { PIECE = 64 * 1024 };

struct ag__http_deflate {
    z_stream z;
    unsigned char out[OUT];
};

static _Atomic int count; /* Relaxed: those at work */

ag__http_deflate *ag__http_deflate_new(void) {
    ag__http_deflate *d = NULL;
    if (atomic_fetch_add_explicit(&count, 1, memory_order_relaxed) < COUNT_MAX)
        d = calloc(1, sizeof *d);
    if (d && deflateInit2(&d->z, LEVEL, Z_DEFLATED, WINDOW_BITS + GZIP, MEM_LEVEL,
                          Z_DEFAULT_STRATEGY) == Z_OK)
        return d;
    atomic_fetch_sub_explicit(&count, 1, memory_order_relaxed);
    free(d);
    return NULL;
}

void ag__http_deflate_free(ag__http_deflate *d) {
    if (!d)
        return;
    deflateEnd(&d->z);
    free(d);
    atomic_fetch_sub_explicit(&count, 1, memory_order_relaxed);
}

static int put_piece(ag__http_deflate *d, int flush,
                     ssize_t (*out)(void *arg, const void *data, size_t n), void *arg) {
    do {
        d->z.next_out = d->out;
        d->z.avail_out = OUT;
        deflate(&d->z, flush);
        size_t n = OUT - d->z.avail_out;
        ssize_t r = n ? out(arg, d->out, n) : 0;
        if (r < 0)
            return (int)r;
    } while (d->z.avail_out == 0);
    return 0;
}

int ag__http_deflate_put(ag__http_deflate *d, const void *data, size_t n, int how,
                         ssize_t (*out)(void *arg, const void *data, size_t n), void *arg) {
    static const int flushes[] = {Z_NO_FLUSH, Z_SYNC_FLUSH, Z_FINISH};
    const char *at = data;
    int r = 0;
    do {
        size_t piece = n < PIECE ? n : PIECE;
        d->z.next_in = (unsigned char *)(uintptr_t)at;
        d->z.avail_in = (unsigned)piece;
        at += piece;
        n -= piece;
        r = put_piece(d, n ? Z_NO_FLUSH : flushes[how], out, arg);
    } while (r == 0 && n);
    return r;
}
