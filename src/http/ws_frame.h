/* SPDX-License-Identifier: MIT */
/*
 * Frames of RFC 6455 5.2, without allocation and without I/O: heads, masks, text, codes.
 *
 *      0                   1                   2                   3
 *     |F|R|R|R| opcode|M| length      | length, 16 or 64 bits …       | mask, 4 bytes … | payload
 */
#ifndef AG_HTTP_WS_FRAME_H
#define AG_HTTP_WS_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    AG__WS_CONTINUATION = 0,
    AG__WS_CLOSE = 8,
    AG__WS_PING = 9,
    AG__WS_PONG = 10,
    AG__WS_FIN = 0x80, /* of the first byte */
    AG__WS_DEFLATED = 0x40,
    AG__WS_HEAD_MAX = 14,     /* bytes of a head */
    AG__WS_CONTROL_MAX = 125, /* bytes of a control frame's payload */
};

typedef struct ag__ws_head {
    uint64_t length;
    uint8_t opcode;
    bool fin, masked;
    bool deflated;  /* reserved bit 1, RFC 7692 */
    uint8_t key[4]; /* if masked */
} ag__ws_head;

/*
 * Parses the head at p[0..n). `from_client`: it must be masked, else it must not. `deflates`: a
 * message may be compressed.
 * Returns: its length; 0 for more bytes; negative: the code of the Close that it deserves.
 */
int ag__ws_head_parse(const uint8_t *p, size_t n, bool from_client, bool deflates,
                      ag__ws_head *ret_head);

/* Writes a head; `key` NULL: not masked. Returns: its length. */
size_t ag__ws_head_write(uint8_t dst[AG__WS_HEAD_MAX], uint8_t first, uint64_t length,
                         const uint8_t *key);

/* Masks or unmasks p[0..n), whose first byte is number `at` of its payload. */
void ag__ws_mask(uint8_t *p, size_t n, const uint8_t key[4], uint64_t at);

/* UTF-8 that comes in pieces. Zero: at the beginning. */
typedef struct ag__utf8 {
    uint8_t left;   /* bytes that the character still needs; 0: complete */
    uint8_t lo, hi; /* bounds of the next one */
} ag__utf8;

/* Returns: false if p[0..n) can't go on what came before. */
bool ag__utf8_check(ag__utf8 *u, const uint8_t *p, size_t n);

/* Whether a Close may carry this code. */
bool ag__ws_is_code(unsigned code);

/* The answer to a key: 28 characters and a NUL. */
void ag__ws_accept_key(const char *key, size_t n, char ret_accept[29]);
/* Base64 of RFC 4648 with padding and a NUL. Returns: the length, 4 for each 3 bytes begun. */
size_t ag__ws_base64(const uint8_t *p, size_t n, char *dst);

#endif
