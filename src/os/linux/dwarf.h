/* SPDX-License-Identifier: MIT */
/*
 * dwarf.h - reading tables byte by byte without ever leaving them. A cursor that is asked for
 * more than it has turns bad, stays at its end and gives zeros from then on, so that a reader
 * checks once, after a whole record.
 */
#ifndef AG_OS_LINUX_DWARF_H
#define AG_OS_LINUX_DWARF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct ag__cursor {
    const unsigned char *p, *end;
    bool bad;
} ag__cursor;

static inline size_t ag__cur_left(const ag__cursor *c) {
    return (size_t)(c->end - c->p);
}

static inline void ag__cur_fail(ag__cursor *c) {
    c->bad = true;
    c->p = c->end;
}

/* A cursor on nothing, bad from the start. */
static inline ag__cursor ag__cur_none(void) {
    static const unsigned char nothing;
    return (ag__cursor){&nothing, &nothing, true};
}

/* Moves over n bytes; returns where they are, NULL if they are not there. */
static inline const unsigned char *ag__cur_take(ag__cursor *c, uint64_t n) {
    const unsigned char *at = c->p;
    if (n > ag__cur_left(c)) {
        ag__cur_fail(c);
        return NULL;
    }
    c->p += n;
    return at;
}

/* An unsigned number of 1, 2, 4 or 8 bytes; both processors are little-endian. */
static inline __attribute__((always_inline)) uint64_t ag__cur_uint(ag__cursor *c, unsigned bytes) {
    uint64_t v = 0;
    const unsigned char *at = ag__cur_take(c, bytes);
    if (at)
        memcpy(&v, at, bytes);
    return v;
}

/* A number as wide as the offsets of a 32- or 64-bit DWARF unit. */
static inline uint64_t ag__cur_offset(ag__cursor *c, bool wide) {
    return wide ? ag__cur_uint(c, 8) : ag__cur_uint(c, 4);
}

static inline int64_t ag__cur_int(ag__cursor *c, unsigned bytes) {
    uint64_t sign = (uint64_t)1 << (bytes * 8 - 1);
    return (int64_t)((ag__cur_uint(c, bytes) ^ sign) - sign);
}

static inline unsigned ag__cur_u8(ag__cursor *c) {
    if (c->p == c->end) {
        c->bad = true;
        return 0;
    }
    return *c->p++;
}

static inline uint64_t ag__cur_uleb(ag__cursor *c) {
    uint64_t v = 0;
    unsigned shift = 0, byte;
    if (c->p != c->end && *c->p < 0x80) /* nearly always */
        return *c->p++;
    do {
        byte = ag__cur_u8(c);
        if (shift < 64)
            v |= (uint64_t)(byte & 0x7f) << shift;
        shift += 7;
    } while (byte & 0x80);
    return v;
}

static inline int64_t ag__cur_sleb(ag__cursor *c) {
    uint64_t v = 0;
    unsigned shift = 0, byte;
    do {
        byte = ag__cur_u8(c);
        if (shift < 64)
            v |= (uint64_t)(byte & 0x7f) << shift;
        shift += 7;
    } while (byte & 0x80);
    if (shift < 64 && (byte & 0x40))
        v |= ~(uint64_t)0 << shift;
    return (int64_t)v;
}

/* A string with its end; "" and a bad cursor if the end is missing. */
static inline const char *ag__cur_string(ag__cursor *c) {
    const unsigned char *at = c->p, *nul = memchr(at, 0, ag__cur_left(c));
    if (!nul) {
        ag__cur_fail(c);
        return "";
    }
    c->p = nul + 1;
    return (const char *)at;
}

/* The part of a cursor that the next n bytes are; the cursor goes on behind it. */
static inline ag__cursor ag__cur_part(ag__cursor *c, uint64_t n) {
    const unsigned char *at = ag__cur_take(c, n);
    return at ? (ag__cursor){at, at + n, false} : (ag__cursor){c->end, c->end, true};
}

/* The length that opens a DWARF unit or frame entry, 32- or 64-bit; *ret_wide tells which. */
static inline uint64_t ag__cur_length(ag__cursor *c, bool *ret_wide) {
    uint64_t n = ag__cur_uint(c, 4);
    *ret_wide = n == 0xffffffff;
    return *ret_wide ? ag__cur_uint(c, 8) : n;
}

#endif
