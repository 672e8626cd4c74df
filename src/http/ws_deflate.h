/* SPDX-License-Identifier: MIT */
/*
 * permessage-deflate, RFC 7692: what needs zlib. Two files have it, ws_deflate_zlib.c and
 * ws_deflate_none.c, of which a build takes one.
 */
#ifndef AG_HTTP_WS_DEFLATE_H
#define AG_HTTP_WS_DEFLATE_H

#include <aglet/net.h>

typedef struct ag__ws_inflater ag__ws_inflater;

/* Whether this library has zlib. */
bool ag__ws_can_deflate(void);

/* For one message. Returns: NULL when out of memory. */
ag__ws_inflater *ag__ws_inflate_begin(void);
/* Takes *taken of in[0..in_n) and gives up to out_n > 0 bytes. Returns: how many; 0 only if it has
   taken all; -EPROTO for what can't be inflated. */
ssize_t ag__ws_inflate(ag__ws_inflater *i, const uint8_t *in, size_t in_n, size_t *ret_taken,
                       uint8_t *out, size_t out_n);
/* NULL is accepted. */
void ag__ws_inflate_end(ag__ws_inflater *i);

/* A whole message. Returns: what is to be sent, to be freed; NULL if that would not be shorter, or
   there is no memory. */
uint8_t *ag__ws_deflate(const void *data, size_t n, size_t *ret_n);

#endif
