/* SPDX-License-Identifier: MIT */
/*
 * The chunked transfer coding (RFC 9112 7.1): a streaming decoder that works in place, and the
 * chunk header of the encoder. No allocation, no I/O.
 *
 *     ag__http_chunked d;
 *     ag__http_chunked_init(&d, NULL);
 *     do {
 *         len = read into buf
 *         n = ag__http_chunked_decode(&d, buf, len, &consumed);   // n bytes of body at buf
 *     } while (n >= 0 && !d.done);
 *     the next request starts at buf + consumed
 */
#ifndef AG_HTTP_CHUNK_H
#define AG_HTTP_CHUNK_H

#include "http/parse.h"

/* A zero means the default. */
typedef struct ag__http_chunk_limits {
    int64_t body_max;       /* decoded bytes: no limit */
    uint32_t extension_max; /* bytes of all chunk extensions of a body: 4096 */
    uint32_t trailer_max;   /* bytes of the trailer fields: 8192 */
} ag__http_chunk_limits;

/* One body. Not usable before ag__http_chunked_init; may be copied; one thread at a time; nothing
   to free. */
typedef struct ag__http_chunked {
    ag__http_chunk_limits limits; /* Constant. */
    int64_t body;                 /* decoded bytes so far */
    bool done;                    /* the body is complete */

    int verdict;                   /* 0, or what every later call returns */
    int64_t left;                  /* size of this chunk, then what is still to come of it */
    uint32_t extensions, trailers; /* bytes of them so far */
    uint8_t state, digits;
    /* Gets each byte of the trailer fields, once it is checked; false refuses it. NULL: nobody. */
    bool (*keep)(void *arg, char c);
    void *keep_arg;
} ag__http_chunked;

/* `limits` NULL: the defaults. */
void ag__http_chunked_init(ag__http_chunked *d, const ag__http_chunk_limits *limits);

/*
 * Decodes buf[0..len) in place: the body's bytes move to the front of `buf`. All input is consumed,
 * unless the body ends before: then `d->done` is set and what follows stays where it is. Trailer
 * fields are checked and, without somebody to keep them, dropped.
 * Returns: how many bytes of the body are at `buf` now, or enum ag__http_verdict; `*ret_consumed`
 * is set in the first case only.
 */
int64_t ag__http_chunked_decode(ag__http_chunked *d, char *buf, size_t len, size_t *ret_consumed);

enum { AG__CHUNK_HEAD_MAX = 18 };

/* The header of a chunk of `size` > 0 bytes; CRLF must follow the bytes. Returns: its length. */
size_t ag__http_chunk_head(char ret_head[AG__CHUNK_HEAD_MAX], uint64_t size);

/* What ends a body, behind the CRLF of the last chunk. */
#define AG__CHUNK_LAST "0\r\n\r\n"

#endif
