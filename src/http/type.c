/* SPDX-License-Identifier: MIT */
/*
 * Types of content, by the extension of a name: a small table of our own, because the system's
 * (/etc/mime.types) is another one on each machine. Nothing is guessed from the content: what a
 * client may upload must not become a page by looking like one.
 */
#include "http/content.h"

static const struct {
    const char *extension, *type;
    bool shrinks;
} types[] = {
#define AG__HTTP_TYPE_OF(extension, type, shrinks) {extension, type, shrinks},
#include "http/types.def"
#undef AG__HTTP_TYPE_OF
};

enum { COUNT = sizeof types / sizeof *types };

const char *ag_http_type_of(const char *name) {
    const char *slash = strrchr(name, '/'), *dot = strrchr(slash ? slash : name, '.');
    if (!dot)
        return NULL;
    ag__http_text extension = {dot + 1, strlen(dot + 1)};
    for (size_t i = 0; i < COUNT; i++)
        if (ag__http_same(extension, types[i].extension))
            return types[i].type;
    return NULL;
}

static bool ends_with(ag__http_text s, const char *end) {
    size_t n = strlen(end);
    return s.n > n && ag__http_same((ag__http_text){s.p + s.n - n, n}, end);
}

bool ag__http_type_is_text(ag__http_text type) {
    const char *semicolon = type.n ? memchr(type.p, ';', type.n) : NULL;
    if (semicolon)
        type = ag__http_trim((ag__http_text){type.p, (size_t)(semicolon - type.p)});
    if (type.n > 5 && ag__http_same((ag__http_text){type.p, 5}, "text/"))
        return true;
    if (ends_with(type, "+json") || ends_with(type, "+xml") || ends_with(type, "/javascript") ||
        ends_with(type, "/x-ndjson"))
        return true;
    for (size_t i = 0; i < COUNT; i++) {
        const char *end = strchr(types[i].type, ';');
        size_t n = end ? (size_t)(end - types[i].type) : strlen(types[i].type);
        if (types[i].shrinks && n == type.n && strncasecmp(types[i].type, type.p, n) == 0)
            return true;
    }
    return false;
}
