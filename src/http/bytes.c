/* SPDX-License-Identifier: MIT */
/*
 * bytes.c - buffers that grow.
 *
 * Doubling keeps what is copied below what has come. For the same reason what is unread is moved to
 * the front only when it is at most half of the buffer, or the buffer has reached its bound: a
 * reader that is always a little behind would else have all of it moved for each frame.
 *
 * Refused: a ring, whose bytes would not lie in one piece for who parses a head.
 */
#include "http/bytes.h"

#include <stdlib.h>

bool ag__http_grow(char **buf, uint32_t *size, const char *own, size_t n, size_t room) {
    bool is_own = own && *buf == own;
    size_t larger = *size ? *size : AG__HTTP_BYTES;
    while (larger - n < room)
        larger *= 2;
    if (larger == *size)
        return true;
    char *to = larger <= INT32_MAX ? realloc(is_own ? NULL : *buf, larger) : NULL;
    if (!to)
        return false;
    if (is_own && n)
        memcpy(to, own, n);
    *buf = to;
    *size = (uint32_t)larger;
    return true;
}

char *ag__http_bytes_room(ag__http_bytes *b, size_t n, size_t most) {
    uint32_t left = ag__http_bytes_left(b);
    if (n > b->size - b->n && b->at && (left <= b->size / 2 || (size_t)b->size * 2 > most)) {
        memmove(b->p, b->p + b->at, left);
        b->at = 0;
        b->n = left;
    }
    return ag__http_grow(&b->p, &b->size, NULL, b->n, n) ? b->p + b->n : NULL;
}

size_t ag__http_bytes_take(ag__http_bytes *b, char *buf, size_t n) {
    uint32_t left = ag__http_bytes_left(b);
    if (n > left)
        n = left;
    memcpy(buf, b->p + b->at, n);
    b->at += (uint32_t)n;
    if (b->at == b->n)
        b->at = b->n = 0;
    return n;
}
