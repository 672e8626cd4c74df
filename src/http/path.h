/* SPDX-License-Identifier: MIT */
/*
 * Paths and queries of a request target: percent-decoding, cleaning, look-up. No allocation.
 */
#ifndef AG_HTTP_PATH_H
#define AG_HTTP_PATH_H

#include "http/chars.h"

enum ag__http_decode {
    AG__DECODE_PATH, /* '+' is a plus */
    AG__DECODE_FORM, /* '+' is a space: keys and values of a query */
};

/*
 * Percent-decodes `s` into `dst`, which has room for s.n bytes and may be s.p itself.
 * Returns: the decoded length, or -EINVAL at a '%' without two hexadecimal digits or at an encoded
 * NUL; `dst` is then partly written.
 */
int64_t ag__http_decode(char *dst, ag__http_text s, enum ag__http_decode how);

/* True if `s`, decoded, is the `n` bytes at `plain`. Malformed escapes stand for themselves. */
bool ag__http_decodes_to(ag__http_text s, enum ag__http_decode how, const char *plain, size_t n);

/* True if `path` starts with '/' and has no empty, "." or ".." segment; it may end with '/'. A dot
   may be written %2e. */
bool ag__http_path_is_clean(ag__http_text path);

/*
 * Writes the clean form of `path` to `dst`, which has room for path.n + 1 bytes and does not
 * overlap it: rooted, empty and "." segments dropped, ".." resolved and never above the root; a
 * path that ends with '/', "/." or "/.." ends with '/'. Nothing is decoded. Returns: its length, at
 * least 1. Go: as ServeMux cleans, but %2e counts as a dot, and "/a/." becomes "/a/", not "/a" (RFC
 * 3986 5.2.4).
 */
size_t ag__http_path_clean(char *dst, ag__http_text path);

/* One key and value of a query, as they stand there, escaped. Without '=' the value is empty. */
typedef struct ag__http_pair {
    ag__http_text key, value;
} ag__http_pair;

/* Takes the next pair off `query`; empty ones are skipped. Returns: false at the end. */
bool ag__http_query_next(ag__http_text *query, ag__http_pair *ret_pair);

/* The value of the first pair whose decoded key is `key`; decode it with AG__DECODE_FORM.
   Returns: false if there is none. */
bool ag__http_query_find(ag__http_text query, const char *key, ag__http_text *ret_value);

#endif
