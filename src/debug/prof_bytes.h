/* SPDX-License-Identifier: MIT */
/*
 * prof_bytes.h - bytes that grow, with what a protobuf message is made of, and as a gzip file.
 */
#ifndef AG_PROF_BYTES_H
#define AG_PROF_BYTES_H

#include "base/base.h"
#include <stdio.h>

/* Writes value in 7 bits a byte, the least first, as protobuf and Go's traces have it; at most 10
 * bytes. Returns how many. */
static inline size_t ag__varint(unsigned char *to, uint64_t value) {
    size_t n = 0;
    for (; value >= 0x80; value >>= 7)
        to[n++] = (unsigned char)(value | 0x80);
    to[n++] = (unsigned char)value;
    return n;
}

/* The zero value is empty. What did not fit into memory is remembered by `failed` and makes
 * everything after it a no-op. */
typedef struct ag__bytes {
    unsigned char *at;
    size_t size, room;
    bool failed;
} ag__bytes;

void ag__bytes_free(ag__bytes *b);
void ag__bytes_put(ag__bytes *b, const void *data, size_t n);
void ag__bytes_varint(ag__bytes *b, uint64_t value);

/* Fields of a message; a number that is 0 is left out, as in proto3. */
void ag__bytes_number(ag__bytes *b, int field, uint64_t value);
void ag__bytes_field(ag__bytes *b, int field, const void *data, size_t n);
/* A field that is a message: what is put in between. */
size_t ag__bytes_begin(ag__bytes *b, int field);
void ag__bytes_end(ag__bytes *b, size_t begun);

/* Writes it as a gzip file of stored blocks. Returns 0, -ENOMEM if `failed`, -EIO. */
int ag__bytes_gzip(const ag__bytes *b, FILE *out);

#endif
