/* SPDX-License-Identifier: MIT */
/*
 * json.c - a text may be anything: the name of a goroutine, a path. A parser must take it, so bytes
 * that are no UTF-8 are replaced, and control characters are written as numbers.
 */
#include "debug/json.h"

/* How many bytes the character at c has in UTF-8; 0: it is none. */
static int utf8(const unsigned char *c) {
    int n = *c < 0x80 ? 1 : *c >= 0xc2 && *c < 0xe0 ? 2 : *c >= 0xe0 && *c < 0xf0 ? 3 : 0;
    for (int i = 1; i < n; i++)
        if ((c[i] & 0xc0) != 0x80)
            return 0;
    return n == 3 && ((*c == 0xe0 && c[1] < 0xa0) || (*c == 0xed && c[1] > 0x9f)) ? 0 : n;
}

void ag__json_text(FILE *out, const char *text) {
    if (!text) {
        fputs("null", out);
        return;
    }
    fputc('"', out);
    for (const unsigned char *c = (const unsigned char *)text; *c;) {
        int n = utf8(c);
        if (*c == '"' || *c == '\\')
            fprintf(out, "\\%c", *c);
        else if (*c < 0x20 || *c == 0x7f)
            fprintf(out, "\\u%04x", *c);
        else if (n == 0)
            fputc('?', out);
        else
            fwrite(c, 1, (size_t)n, out);
        c += n ? n : 1;
    }
    fputc('"', out);
}

void ag__json_site(FILE *out, const struct ag__site *site) {
    fputc('[', out);
    ag__json_text(out, site->call);
    fputc(',', out);
    ag__json_text(out, site->func);
    fputc(',', out);
    ag__json_text(out, site->file);
    fprintf(out, ",%d]", site->line);
}
