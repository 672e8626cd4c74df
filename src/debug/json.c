/* SPDX-License-Identifier: MIT */
/*
 * json.c - a text may be anything: the name of a goroutine, a path. A parser must take it, so bytes
 * that are no UTF-8 are replaced, and control characters are written as numbers.
 */
#include "debug/json.h"
#include "obs/obs.h"
#include <string.h>

void ag__json_text(FILE *out, const char *text) {
    if (!text) {
        fputs("null", out);
        return;
    }
    fputc('"', out);
    for (size_t left = strlen(text), n; left > 0; text += n, left -= n) {
        unsigned char c = (unsigned char)*text;
        n = ag__utf8_len(text, left);
        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            fprintf(out, "\\u%04x", c);
        else if (n == 0)
            fputc('?', out);
        else
            fwrite(text, 1, n, out);
        n += n == 0;
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
