/* SPDX-License-Identifier: MIT */
/*
 * The bytes of HTTP: one table says what each byte may be part of, and text is a pointer with a
 * length. Everything here is pure; nothing allocates.
 */
#ifndef AG_HTTP_CHARS_H
#define AG_HTTP_CHARS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* What a byte may be part of; the bits of ag__http_class. */
enum {
    AG__CH_TOKEN = 1,  /* tchar of RFC 9110 5.6.2: methods, field names, codings */
    AG__CH_TARGET = 2, /* query of a request target, and '%' */
    AG__CH_PATH = 4,   /* path of a request target, '/' and '%' */
    AG__CH_HOST = 8,   /* reg-name of RFC 3986 3.2.2, without '%' */
    AG__CH_HEX = 16,   /* HEXDIG, both cases */
    AG__CH_DIGIT = 32, /* DIGIT */
    AG__CH_VALUE = 64, /* field value: HTAB, SP, VCHAR, obs-text */
};

/* Constant. */
extern const uint8_t ag__http_class[256];

/* Text that somebody else owns, not ended by a NUL. Zero value: empty. May be copied. */
typedef struct ag__http_text {
    const char *p;
    size_t n;
} ag__http_text;

static inline bool ag__http_is(char c, unsigned classes) {
    return (ag__http_class[(unsigned char)c] & classes) != 0;
}

/* ASCII only; HTTP knows no other case. */
static inline char ag__http_lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* 0-15, or -1 if `c` is not a hexadecimal digit. */
static inline int ag__http_hex(char c) {
    if (!ag__http_is(c, AG__CH_HEX))
        return -1;
    return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* True if `s`, in whatever case, is `lower`, which is written in lower case. */
static inline bool ag__http_same(ag__http_text s, const char *lower) {
    size_t n = strlen(lower);
    if (s.n != n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (ag__http_lower(s.p[i]) != lower[i])
            return false;
    return true;
}

/* `s` without the spaces and tabs around it (OWS of RFC 9110 5.6.3). */
static inline ag__http_text ag__http_trim(ag__http_text s) {
    while (s.n && (s.p[0] == ' ' || s.p[0] == '\t')) {
        s.p++;
        s.n--;
    }
    while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

/* Takes the next element off a comma-separated list and trims it; elements may be empty.
   Returns: false at the end. A list is finished when its `p` is NULL. */
static inline bool ag__http_next_element(ag__http_text *list, ag__http_text *ret_element) {
    if (!list->p)
        return false;
    const char *comma = list->n ? memchr(list->p, ',', list->n) : NULL;
    size_t n = comma ? (size_t)(comma - list->p) : list->n;
    *ret_element = ag__http_trim((ag__http_text){list->p, n});
    *list = comma ? (ag__http_text){comma + 1, list->n - n - 1} : (ag__http_text){NULL, 0};
    return true;
}

#endif
