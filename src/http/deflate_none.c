/* SPDX-License-Identifier: MIT */
/*
 * deflate_none.c - of a build without zlib: there never is a compressor, so every answer is sent as
 * it is.
 */
#include "http/deflate.h"

#include <errno.h>

ag__http_deflate *ag__http_deflate_new(void) {
    return NULL;
}

void ag__http_deflate_free(ag__http_deflate *d) {
    (void)d;
}

int ag__http_deflate_put(ag__http_deflate *d, const void *data, size_t n, int how,
                         ssize_t (*out)(void *arg, const void *data, size_t n), void *arg) {
    (void)d, (void)data, (void)n, (void)how, (void)out, (void)arg;
    return -ENOSYS;
}
