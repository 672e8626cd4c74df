/* SPDX-License-Identifier: MIT */
/*
 * A stream of gzip. Which of the two sources is built depends on zlib being there.
 */
#ifndef AG_HTTP_DEFLATE_H
#define AG_HTTP_DEFLATE_H

#include <aglet/net.h> /* ssize_t */

typedef struct ag__http_deflate ag__http_deflate;

/* NULL: none can be had: no zlib, no memory, or as many as may be are at work. */
ag__http_deflate *ag__http_deflate_new(void);
void ag__http_deflate_free(ag__http_deflate *d);

enum { AG__DEFLATE_MORE, AG__DEFLATE_FLUSH, AG__DEFLATE_END };
/* Takes n bytes; what comes out goes to out(arg, …), which returns its n or an error. Returns: 0,
   or that error. */
int ag__http_deflate_put(ag__http_deflate *d, const void *data, size_t n, int how,
                         ssize_t (*out)(void *arg, const void *data, size_t n), void *arg);

#endif
