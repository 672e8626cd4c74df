/* SPDX-License-Identifier: MIT */
/*
 * The field Range, RFC 9110 14. Pure.
 */
#ifndef AG_HTTP_RANGE_H
#define AG_HTTP_RANGE_H

#include "http/chars.h"

enum { AG__RANGES_MAX = 16 };

typedef struct ag__http_range {
    int64_t at, n; /* n > 0 */
} ag__http_range;

/*
 * What of `size` bytes is asked for, in the order in which it is.
 * Returns: how many ranges; 0: the field is to be ignored; -ERANGE: none of them can be had, or the
 * field is malformed.
 */
int ag__http_ranges(ag__http_text field, int64_t size, ag__http_range ret[AG__RANGES_MAX]);

#endif
