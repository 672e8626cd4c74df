/* SPDX-License-Identifier: MIT */
/*
 * log.h - what the files of the log share.
 */
#ifndef AG_OBS_LOG_H
#define AG_OBS_LOG_H

#include "obs/obs.h"
#include <aglet/log.h>

enum { AG__LINE_BYTES = 2048, AG__LINE_FIELDS = 30 };

/*
 * A line under construction. Pieces that do not fit are left out as a whole or, of a text, at the
 * end; `reserve` bytes stay free for what closes the line, so that it is whole in any case.
 */
typedef struct ag__line {
    char *at;
    size_t n, max, reserve;
    bool json, cut;
} ag__line;

/* Makes a line of it, newline included; returns its length. buf has AG__LINE_BYTES. */
size_t ag__line_make(char *buf, bool json, int level, const char *file, int source_line,
                     const char *text, const ag_field *fields, int n);

/* The levels with a name: debug, info, warn, error. The number of the one that `level` counts as:
 * the next lower one, or the lowest. */
enum { AG__LEVELS = 4 };
int ag__level_of(int level);

/* What runtime.c tells: lines by level, lines dropped. */
void ag__log_counts(int64_t ret_lines[AG__LEVELS], int64_t *ret_dropped);
#endif
