/* SPDX-License-Identifier: MIT */
/*
 * What a frame looks like, and what is wrong with one. Everything is pure, so that it can be tested
 * and fuzzed without a connection.
 *
 * Strict: reserved bits and opcodes are refused, lengths must have the shortest encoding (5.2), and
 * who must mask must, who must not must not (5.1). UTF-8 is that of RFC 3629: no surrogates, no
 * overlong forms, nothing above U+10FFFF. It is refused at the first byte that can't be right, not
 * at the end of the character.
 *
 * Masks are applied eight bytes at a time, which the compiler makes wider where it can.
 */
#include "http/ws_frame.h"

enum { PROTOCOL_ERROR = 1002 };

static bool is_known(uint8_t opcode) {
    return opcode <= 2 || (opcode >= AG__WS_CLOSE && opcode <= AG__WS_PONG);
}

/* The length that `bytes` bytes at `p` encode. */
static uint64_t big_endian(const uint8_t *p, size_t bytes) {
    uint64_t n = 0;
    for (size_t i = 0; i < bytes; i++)
        n = n << 8 | p[i];
    return n;
}

int ag__ws_head_parse(const uint8_t *p, size_t n, bool from_client, bool deflates, ag__ws_head *h) {
    if (n < 1)
        return 0;
    h->fin = (p[0] & AG__WS_FIN) != 0;
    h->opcode = p[0] & 15;
    h->deflated = (p[0] & AG__WS_DEFLATED) != 0;
    if ((p[0] & 0x30) || !is_known(h->opcode) || (h->opcode >= AG__WS_CLOSE && !h->fin))
        return -PROTOCOL_ERROR;
    bool begins = h->opcode != AG__WS_CONTINUATION && h->opcode < AG__WS_CLOSE;
    if (h->deflated && !(deflates && begins))
        return -PROTOCOL_ERROR;
    if (n < 2)
        return 0;
    h->masked = (p[1] & 0x80) != 0;
    h->length = p[1] & 127;
    if (h->masked != from_client)
        return -PROTOCOL_ERROR;
    if (h->opcode >= AG__WS_CLOSE && h->length > AG__WS_CONTROL_MAX)
        return -PROTOCOL_ERROR;
    size_t more = h->length == 126 ? 2 : h->length == 127 ? 8 : 0, size = 2 + more;
    if (n < size)
        return 0;
    if (more) {
        h->length = big_endian(p + 2, more);
        if (h->length <= (more == 2 ? 125 : UINT16_MAX) || h->length > INT64_MAX)
            return -PROTOCOL_ERROR;
    }
    if (!h->masked)
        return (int)size;
    if (n < size + 4)
        return 0;
    memcpy(h->key, p + size, 4);
    return (int)size + 4;
}

size_t ag__ws_head_write(uint8_t dst[AG__WS_HEAD_MAX], uint8_t first, uint64_t length,
                         const uint8_t *key) {
    size_t more = length < 126 ? 0 : length <= UINT16_MAX ? 2 : 8, size = 2 + more;
    dst[0] = first;
    dst[1] = (uint8_t)((key ? 0x80 : 0) | (more == 0 ? length : more == 2 ? 126 : 127));
    for (size_t i = 0; i < more; i++)
        dst[2 + i] = (uint8_t)(length >> 8 * (more - 1 - i));
    if (!key)
        return size;
    memcpy(dst + size, key, 4);
    return size + 4;
}

void ag__ws_mask(uint8_t *p, size_t n, const uint8_t key[4], uint64_t at) {
    uint8_t turned[8];
    for (size_t i = 0; i < 8; i++)
        turned[i] = key[(at + i) & 3];
    uint64_t mask, word;
    memcpy(&mask, turned, 8);
    size_t i = 0;
    for (; n - i >= 8; i += 8) {
        memcpy(&word, p + i, 8);
        word ^= mask;
        memcpy(p + i, &word, 8);
    }
    for (; i < n; i++)
        p[i] ^= turned[i & 7];
}

/* ---- Text ----------------------------------------------------------------------------------- */

/* The first byte of a character beyond ASCII. */
static bool begin_character(ag__utf8 *u, uint8_t b) {
    u->lo = b == 0xe0 ? 0xa0 : b == 0xf0 ? 0x90 : 0x80;
    u->hi = b == 0xed ? 0x9f : b == 0xf4 ? 0x8f : 0xbf;
    if (b < 0xc2 || b > 0xf4)
        return false;
    u->left = b < 0xe0 ? 1 : b < 0xf0 ? 2 : 3;
    return true;
}

bool ag__utf8_check(ag__utf8 *u, const uint8_t *p, size_t n) {
    for (size_t i = 0; i < n;) {
        if (u->left) {
            if (p[i] < u->lo || p[i] > u->hi)
                return false;
            u->lo = 0x80;
            u->hi = 0xbf;
            u->left--;
            i++;
            continue;
        }
        uint64_t word = 0;
        for (; n - i >= 8; i += 8) {
            memcpy(&word, p + i, 8);
            if (word & UINT64_C(0x8080808080808080))
                break;
        }
        while (i < n && p[i] < 0x80)
            i++;
        if (i < n && !begin_character(u, p[i++]))
            return false;
    }
    return true;
}

bool ag__ws_is_code(unsigned code) {
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}
