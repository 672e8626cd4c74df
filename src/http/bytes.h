/* SPDX-License-Identifier: MIT */
/*
 * Buffers that grow, twice as large each time: text behind text, and bytes that wait for a reader.
 */
#ifndef AG_HTTP_BYTES_H
#define AG_HTTP_BYTES_H

#include "http/chars.h"

#ifdef AG_TINY
enum { AG__HTTP_BYTES = 64 };
#else
enum { AG__HTTP_BYTES = 4096 }; /* what an empty buffer gets first */
#endif

/* Appends it. Returns: behind it. */
static inline char *ag__http_put_text(char *to, ag__http_text s) {
    if (s.n)
        memcpy(to, s.p, s.n);
    return to + s.n;
}

/* Bytes that came and were not read: p[at..n). Zero value: empty. Free: p. */
typedef struct ag__http_bytes {
    char *p;
    uint32_t size, at, n;
} ag__http_bytes;

static inline uint32_t ag__http_bytes_left(const ag__http_bytes *b) {
    return b->n - b->at;
}

/* Room for `room` bytes behind the first `n` of *buf, which is from malloc, or `own` at first.
 * Returns: false when out of memory; nothing has changed then. */
bool ag__http_grow(char **buf, uint32_t *size, const char *own, size_t n, size_t room);

/* Room for `n` more bytes, where there is little to move, or in a larger buffer; one of more than
 * `most` bytes only if it must be. Returns: where they begin; who writes them adds to b->n. NULL
 * when out of memory. */
char *ag__http_bytes_room(ag__http_bytes *b, size_t n, size_t most);

/* Takes up to `n` bytes out. Returns: how many. */
size_t ag__http_bytes_take(ag__http_bytes *b, char *buf, size_t n);

#endif
