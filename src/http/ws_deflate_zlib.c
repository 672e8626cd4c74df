/* SPDX-License-Identifier: MIT */
/*
 * ws_deflate_zlib.c - messages through zlib.
 *
 * Each message is compressed by itself ("no context takeover"), so nothing is kept for an idle
 * WebSocket: a compressor of zlib takes 256 KiB, a decompressor 40. They are lent from pools for
 * the time of a message, a compressor of 64 KiB with a smaller window.
 *
 * A message ends at a byte, with an empty block whose last four bytes are not sent (7.2.1); who
 * inflates adds them. A sender may also end the stream (7.2.3.5): what follows begins a new one.
 */
#include "http/ws_deflate.h"

#include <aglet/sync.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <zlib.h>

enum { LEVEL = 1, WINDOW_BITS = 13, MEM_LEVEL = 6, ALL_WINDOWS = 15, TAIL = 4 };

struct ag__ws_inflater {
    z_stream z;
};

static void *new_inflater(void) {
    ag__ws_inflater *i = calloc(1, sizeof *i);
    if (i && inflateInit2(&i->z, -ALL_WINDOWS) == Z_OK)
        return i;
    free(i);
    return NULL;
}

static void free_inflater(void *i) {
    inflateEnd(&((ag__ws_inflater *)i)->z);
    free(i);
}

static void *new_deflater(void) {
    z_stream *z = calloc(1, sizeof *z);
    if (z &&
        deflateInit2(z, LEVEL, Z_DEFLATED, -WINDOW_BITS, MEM_LEVEL, Z_DEFAULT_STRATEGY) == Z_OK)
        return z;
    free(z);
    return NULL;
}

static void free_deflater(void *z) {
    deflateEnd(z);
    free(z);
}

static ag_pool inflaters = AG_POOL_INIT(new_inflater, free_inflater);
static ag_pool deflaters = AG_POOL_INIT(new_deflater, free_deflater);

bool ag__ws_can_deflate(void) {
    return true;
}

ag__ws_inflater *ag__ws_inflate_begin(void) {
    ag__ws_inflater *i = ag_pool_get(&inflaters);
    if (i)
        inflateReset(&i->z);
    return i;
}

void ag__ws_inflate_end(ag__ws_inflater *i) {
    ag_pool_put(&inflaters, i);
}

ssize_t ag__ws_inflate(ag__ws_inflater *i, const uint8_t *in, size_t in_n, size_t *ret_taken,
                       uint8_t *out, size_t out_n) {
    z_stream *z = &i->z;
    uInt given = out_n > INT_MAX ? INT_MAX : (uInt)out_n;
    uInt some = in_n > INT_MAX ? INT_MAX : (uInt)in_n;
    z->next_in = (uint8_t *)(uintptr_t)in;
    z->avail_in = some;
    z->next_out = out;
    z->avail_out = given;
    int r = Z_OK;
    do {
        r = inflate(z, Z_SYNC_FLUSH);
        if (r == Z_STREAM_END)
            r = inflateReset(z);
    } while (r == Z_OK && z->avail_in && z->avail_out);
    *ret_taken = some - z->avail_in;
    return r == Z_OK || r == Z_BUF_ERROR ? (ssize_t)(given - z->avail_out) : -EPROTO;
}

uint8_t *ag__ws_deflate(const void *data, size_t n, size_t *ret_n) {
    if (n <= TAIL || n > INT_MAX)
        return NULL;
    z_stream *z = ag_pool_get(&deflaters);
    uint8_t *out = z ? malloc(n) : NULL;
    int r = Z_BUF_ERROR;
    if (out) {
        deflateReset(z);
        z->next_in = (uint8_t *)(uintptr_t)data;
        z->avail_in = (uInt)n;
        z->next_out = out;
        z->avail_out = (uInt)n;
        r = deflate(z, Z_SYNC_FLUSH);
        *ret_n = n - z->avail_out - TAIL;
    }
    bool whole = r == Z_OK && !z->avail_in && z->avail_out; /* what fills it all may be cut */
    if (z)
        ag_pool_put(&deflaters, z);
    if (whole)
        return out;
    free(out);
    return NULL;
}
