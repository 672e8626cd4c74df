/* SPDX-License-Identifier: MIT */
/*
 * dump_text.h - text put together in a buffer, without stdio: crash handlers use it, too. What does
 * not fit is cut; the text always ends.
 */
#ifndef AG_DUMP_TEXT_H
#define AG_DUMP_TEXT_H

#include <stddef.h>
#include <stdint.h>

typedef struct ag__text {
    char *buf;
    size_t size, n; /* n < size */
} ag__text;

static inline void ag__put(ag__text *t, const char *more) {
    while (*more && t->n + 1 < t->size)
        t->buf[t->n++] = *more++;
    t->buf[t->n] = 0;
}

static inline void ag__put_some(ag__text *t, const char *more, size_t bytes) {
    for (size_t i = 0; i < bytes && t->n + 1 < t->size; i++)
        t->buf[t->n++] = more[i];
    t->buf[t->n] = 0;
}

static inline void ag__put_base(ag__text *t, uint64_t x, unsigned base) {
    char digits[24];
    int i = (int)sizeof digits;
    digits[--i] = 0;
    do
        digits[--i] = "0123456789abcdef"[x % base];
    while ((x /= base) > 0);
    ag__put(t, digits + i);
}

static inline void ag__put_number(ag__text *t, int64_t x) {
    if (x < 0)
        ag__put(t, "-");
    ag__put_base(t, x < 0 ? 0 - (uint64_t)x : (uint64_t)x, 10);
}

static inline void ag__put_hex(ag__text *t, uint64_t x) {
    ag__put(t, "0x");
    ag__put_base(t, x, 16);
}

/* In quotes; the text is the program's, and nothing in it breaks the line. */
static inline void ag__put_quoted(ag__text *t, const char *text) {
    char one[2] = {0, 0};
    ag__put(t, "\"");
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < ' ' || c == 127) {
            ag__put(t, c < 16 ? "\\x0" : "\\x");
            ag__put_base(t, c, 16);
            continue;
        }
        if (c == '"' || c == '\\')
            ag__put(t, "\\");
        one[0] = *text;
        ag__put(t, one);
    }
    ag__put(t, "\"");
}

/* key="value", key="value" of: key 0 value 0 ... 0 */
static inline void ag__put_labels(ag__text *t, const char *labels) {
    for (const char *key = labels; *key;) {
        const char *value = key;
        while (*value++)
            continue;
        ag__put(t, key == labels ? "" : ", ");
        ag__put(t, key);
        ag__put(t, "=");
        ag__put_quoted(t, value);
        for (key = value; *key++;)
            continue;
    }
}

#endif
