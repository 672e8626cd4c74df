/* SPDX-License-Identifier: MIT */
/*
 * Route patterns: [METHOD ][HOST]/path/{name}/{rest...}, as in Go's ServeMux since Go 1.22.
 *
 *     /a/b        that path                 /a/{id}      one segment, not empty
 *     /a/         it and all below it       /a/{rest...} the same, with a name
 *     /a/{$}      "/a/" and nothing below   GET /a       GET and HEAD only
 *
 * One pattern is more specific than another if it matches a part of the requests of the other.
 * Two that match a common request although neither is more specific are in conflict, unless only
 * one of them has a host, which then wins.
 */
#ifndef AG_HTTP_PATTERN_H
#define AG_HTTP_PATTERN_H

#include "http/chars.h"

enum {
    AG__PATTERN_MAX = 1024, /* bytes of a pattern */
    AG__SEGMENTS_MAX = 64,  /* segments of a pattern */
    AG__WILDCARDS_MAX = 16, /* named wildcards of a pattern */
    AG__SEGMENT_MAX = 255,  /* bytes of a literal segment, decoded */
    AG__MESSAGE_MAX = 4096, /* room for what is wrong with a pattern */
};

enum ag__http_segment_kind {
    AG__SEGMENT_LITERAL, /* text: decoded */
    AG__SEGMENT_ONE,     /* {text} */
    AG__SEGMENT_REST,    /* {text...}, or a slash at the end: text is "" */
    AG__SEGMENT_END,     /* {$} */
};

typedef struct ag__http_segment {
    const char *text;
    uint32_t n, kind;
} ag__http_segment;

/* Constant after ag__http_pattern_parse. One allocation: all texts lie behind the segments. */
typedef struct ag__http_pattern {
    const char *source; /* as it was given */
    const char *method; /* "": any */
    const char *host;   /* in lower case; "": any */
    uint32_t segment_count, wildcard_count;
    ag__http_segment segments[]; /* at least one; REST and END only as the last */
} ag__http_pattern;

/*
 * Returns: 0, -ENOMEM or -EINVAL, both with a sentence in `ret_message`.
 * Owns: the caller frees `*ret_pattern` with free().
 */
int ag__http_pattern_parse(const char *source, ag__http_pattern **ret_pattern,
                           char ret_message[AG__MESSAGE_MAX]);

/* True if `a` and `b` are in conflict; `ret_message` then names both and says why. */
bool ag__http_pattern_conflict(const ag__http_pattern *a, const ag__http_pattern *b,
                               char ret_message[AG__MESSAGE_MAX]);

#endif
