/* SPDX-License-Identifier: MIT */
/*
 * Lists of names in the fields of a handshake, for both ends.
 */
#ifndef AG_HTTP_WS_NAMES_H
#define AG_HTTP_WS_NAMES_H

#include "http/chars.h"

/* As ag__http_same, with `other` in any case. */
static inline bool ag__ws_same(ag__http_text s, ag__http_text other) {
    if (s.n != other.n)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (ag__http_lower(s.p[i]) != ag__http_lower(other.p[i]))
            return false;
    return true;
}

/* Whether the comma-separated `list` has the element, byte for byte. */
static inline bool ag__ws_list_has(ag__http_text list, ag__http_text element) {
    ag__http_text e;
    while (ag__http_next_element(&list, &e))
        if (e.n && e.n == element.n && memcmp(e.p, element.p, e.n) == 0)
            return true;
    return false;
}

/* The same, in any case; `lower` is in lower case. */
static inline bool ag__ws_list_has_word(ag__http_text list, const char *lower) {
    ag__http_text e;
    while (ag__http_next_element(&list, &e))
        if (ag__http_same(e, lower))
            return true;
    return false;
}

/* A list of tokens, none of them empty. */
static inline bool ag__ws_is_list(ag__http_text list) {
    ag__http_text e;
    while (ag__http_next_element(&list, &e)) {
        if (!e.n)
            return false;
        for (size_t i = 0; i < e.n; i++)
            if (!ag__http_is(e.p[i], AG__CH_TOKEN))
                return false;
    }
    return true;
}

static inline ag__http_text ag__ws_text(const char *s) {
    return (ag__http_text){s, strlen(s)};
}

#endif
