/* SPDX-License-Identifier: MIT */
/*
 * ws_deflate_none.c - WebSocket without zlib: the extension is neither offered nor accepted, so
 * that no message is ever compressed.
 */
#include "http/ws_deflate.h"

#include <errno.h>

bool ag__ws_can_deflate(void) {
    return false;
}

ag__ws_inflater *ag__ws_inflate_begin(void) {
    return NULL;
}

ssize_t ag__ws_inflate(ag__ws_inflater *i, const uint8_t *in, size_t in_n, size_t *ret_taken,
                       uint8_t *out, size_t out_n) {
    (void)i;
    (void)in;
    (void)in_n;
    (void)ret_taken;
    (void)out;
    (void)out_n;
    return -EPROTO;
}

void ag__ws_inflate_end(ag__ws_inflater *i) {
    (void)i;
}

uint8_t *ag__ws_deflate(const void *data, size_t n, size_t *ret_n) {
    (void)data;
    (void)n;
    (void)ret_n;
    return NULL;
}
