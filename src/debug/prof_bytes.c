/* SPDX-License-Identifier: MIT */
/*
 * prof_bytes.c - bytes that grow, protobuf, gzip.
 *
 * A message inside a message needs its length in front. It is not known before the end, so room for
 * the longest length is left, and the message moved down to its real one at the end.
 *
 * The gzip file is made of stored blocks: the library depends on no other one, profiles are some
 * ten kilobytes, and whoever reads them unpacks anything that gzip can be.
 */
#include "debug/prof_bytes.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH_MAX = 5, BLOCK_MAX = 65535, WIRE_VARINT = 0, WIRE_BYTES = 2 };

void ag__bytes_free(ag__bytes *b) {
    free(b->at);
    *b = (ag__bytes){NULL, 0, 0, false};
}

static bool has_room(ag__bytes *b, size_t n) {
    if (b->failed || n <= b->room - b->size)
        return !b->failed;
    size_t room = b->room ? b->room * 2 : 4096;
    while (room - b->size < n)
        room *= 2;
    void *at = realloc(b->at, room);
    if (!at) {
        b->failed = true;
        return false;
    }
    b->at = at;
    b->room = room;
    return true;
}

void ag__bytes_put(ag__bytes *b, const void *data, size_t n) {
    if (n == 0 || !has_room(b, n))
        return;
    memcpy(b->at + b->size, data, n);
    b->size += n;
}

void ag__bytes_varint(ag__bytes *b, uint64_t value) {
    unsigned char text[10];
    ag__bytes_put(b, text, ag__varint(text, value));
}

static void put_key(ag__bytes *b, int field, int wire) {
    ag__bytes_varint(b, (uint64_t)field << 3 | (unsigned)wire);
}

void ag__bytes_number(ag__bytes *b, int field, uint64_t value) {
    if (value == 0)
        return;
    put_key(b, field, WIRE_VARINT);
    ag__bytes_varint(b, value);
}

void ag__bytes_field(ag__bytes *b, int field, const void *data, size_t n) {
    put_key(b, field, WIRE_BYTES);
    ag__bytes_varint(b, n);
    ag__bytes_put(b, data, n);
}

size_t ag__bytes_begin(ag__bytes *b, int field) {
    static const unsigned char room[LENGTH_MAX];
    put_key(b, field, WIRE_BYTES);
    ag__bytes_put(b, room, sizeof room);
    return b->size;
}

void ag__bytes_end(ag__bytes *b, size_t begun) {
    if (b->failed)
        return;
    size_t n = b->size - begun;
    unsigned char *to = b->at + begun - LENGTH_MAX;
    to += ag__varint(to, n);
    memmove(to, b->at + begun, n);
    b->size = (size_t)(to - b->at) + n;
}

/* --- gzip, RFC 1951 and 1952. --- */

static uint32_t crc_of(const unsigned char *at, size_t n) {
    uint32_t table[16], crc = ~UINT32_C(0);
    for (uint32_t i = 0; i < 16; i++) {
        table[i] = i;
        for (int bit = 0; bit < 4; bit++)
            table[i] = table[i] >> 1 ^ (table[i] & 1 ? UINT32_C(0xedb88320) : 0);
    }
    for (size_t i = 0; i < n; i++) {
        crc ^= at[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

static void put_little(FILE *out, uint32_t value, int bytes) {
    for (; bytes > 0; bytes--, value >>= 8)
        fputc((int)(value & 0xff), out);
}

int ag__bytes_gzip(const ag__bytes *b, FILE *out) {
    static const unsigned char head[10] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255};
    if (b->failed)
        return -ENOMEM;
    fwrite(head, 1, sizeof head, out);
    size_t done = 0;
    do {
        size_t n = b->size - done < BLOCK_MAX ? b->size - done : BLOCK_MAX;
        fputc(done + n == b->size, out);
        put_little(out, (uint32_t)n, 2);
        put_little(out, ~(uint32_t)n & 0xffff, 2);
        if (n > 0)
            fwrite(b->at + done, 1, n, out);
        done += n;
    } while (done < b->size);
    put_little(out, crc_of(b->at, b->size), 4);
    put_little(out, (uint32_t)b->size, 4);
    return ferror(out) ? -EIO : 0;
}
