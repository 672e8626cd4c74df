/* SPDX-License-Identifier: MIT */
/*
 * Unpacking gzip as it comes, by zlib where the build has it.
 *
 * A body that unpacks to far more than it is, is a bomb: deflate makes at most 1,032 bytes of one.
 * Refused is what is above 16 MiB and above 200 times its size; a stream that stays below 200 has
 * no limit of its own. Several members one behind the other are one body, as gzip(1) reads them; a
 * body that ends within one was cut.
 */
#include "http/client.h"

#include <errno.h>
#include <stdlib.h>

#if AG_HTTP_ZLIB
#include <zlib.h>

enum { PACKED = 4096, WINDOW_GZIP = 15 + 16, BOMB_BYTES = 16 << 20, BOMB_RATIO = 200 };

struct ag__client_gzip {
    z_stream z;
    int64_t in, out; /* bytes so far */
    bool inside;     /* a member has begun and not ended */
    char packed[PACKED];
};

bool ag__client_has_gzip(void) {
    return true;
}

ag__client_gzip *ag__gzip_new(void) {
    ag__client_gzip *z = calloc(1, sizeof *z);
    if (z && inflateInit2(&z->z, WINDOW_GZIP) != Z_OK) {
        free(z);
        return NULL;
    }
    return z;
}

void ag__gzip_free(ag__client_gzip *z) {
    if (!z)
        return;
    inflateEnd(&z->z);
    free(z);
}

static ssize_t refuse(ag_http_reply *r, int error, const char *why) {
    ag__reply_release(r, false);
    return ag__reply_fail(r, error, "%s", why);
}

/* More packed bytes. Returns: 1, 0 at the end, or the reply's error. */
static ssize_t fill(ag__client_gzip *z, ag_http_reply *r) {
    ssize_t n = ag__reply_read_raw(r, z->packed, sizeof z->packed);
    if (n < 0)
        return n;
    if (n == 0)
        return z->inside ? refuse(r, -EPROTO, "the packed answer was cut") : 0;
    z->in += n;
    z->z.next_in = (Bytef *)z->packed;
    z->z.avail_in = (uInt)n;
    return 1;
}

ssize_t ag__gzip_read(ag__client_gzip *z, ag_http_reply *r, char *buf, size_t n) {
    if (r->error)
        return r->error;
    z->z.next_out = (Bytef *)buf;
    z->z.avail_out = (uInt)(n < 1 << 30 ? n : 1 << 30);
    for (;;) {
        uInt room = z->z.avail_out;
        if (z->z.avail_in == 0 && z->z.next_out == (Bytef *)buf) {
            /* What zlib still holds comes first. */
            int left = z->inside ? inflate(&z->z, Z_SYNC_FLUSH) : Z_BUF_ERROR;
            if (left == Z_STREAM_END)
                z->inside = false;
            if (room == z->z.avail_out) {
                ssize_t got = fill(z, r);
                if (got <= 0)
                    return got;
            }
        }
        if (!z->inside && z->z.avail_in && inflateReset(&z->z) == Z_OK)
            z->inside = true;
        int e = z->z.avail_in ? inflate(&z->z, Z_SYNC_FLUSH) : Z_OK;
        if (e == Z_STREAM_END)
            z->inside = false;
        else if (e != Z_OK && e != Z_BUF_ERROR)
            return refuse(r, e == Z_MEM_ERROR ? -ENOMEM : -EPROTO, "the answer is no gzip");
        size_t made = room - z->z.avail_out;
        z->out += (int64_t)made;
        if (z->out > BOMB_BYTES && z->out / BOMB_RATIO > z->in)
            return refuse(r, -EMSGSIZE, "the packed answer is a bomb");
        if (made)
            return (ssize_t)made;
    }
}

#else

bool ag__client_has_gzip(void) {
    return false;
}

ag__client_gzip *ag__gzip_new(void) {
    return NULL;
}

void ag__gzip_free(ag__client_gzip *z) {
    (void)z;
}

ssize_t ag__gzip_read(ag__client_gzip *z, ag_http_reply *r, char *buf, size_t n) {
    (void)z;
    (void)buf;
    (void)n;
    return ag__reply_fail(r, -EPROTO, "this build has no zlib");
}

#endif
