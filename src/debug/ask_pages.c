/* SPDX-License-Identifier: MIT */
/*
 * ask_pages.c - the pages at /debug/: files of pages/, embedded when the library is built. They ask
 * for the other answers as any client does, so nothing here knows what they show. Nothing comes
 * from outside: the headers of every answer forbid it (ask_guard.c), and the pages need no build of
 * their own.
 */
#include "debug/ask.h"
#include <errno.h>
#include <stddef.h>
#include <string.h>

struct page {
    const char *name;
    const unsigned char *bytes;
    size_t n;
};
#include "debug/pages.inc"

static const char *type_of(const char *name) {
    const char *end = strrchr(name, '.');
    if (end && strcmp(end, ".css") == 0)
        return "text/css; charset=utf-8";
    if (end && strcmp(end, ".js") == 0)
        return "text/javascript; charset=utf-8";
    return "text/html; charset=utf-8";
}

int ag__ask_page(const ag__question *q, FILE *out) {
    const char *path = ag__question_path(q);
    const char *name = strcmp(path, "/debug/") == 0 ? "index.html" : path + strlen("/debug/pages/");
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
        if (strcmp(pages[i].name, name) != 0)
            continue;
        ag__question_set_type(q, type_of(name));
        fwrite(pages[i].bytes, 1, pages[i].n, out);
        return 0;
    }
    return -ENOENT;
}
