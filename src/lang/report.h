/* SPDX-License-Identifier: MIT */
/*
 * report.h - findings about the program: one line, and one for each goroutine concerned, on stderr
 * or to the hook of ag_on_report (aglet/debug.h).
 *
 *     aglet: KIND: TEXT
 *       goroutine N [STATE] FUNCTION created at FILE:LINE
 *         further details
 */
#ifndef AG_REPORT_H
#define AG_REPORT_H

#include "lang/lang.h"
#include <aglet/debug.h>

enum { AG__REPORT_IDS = 8 };

/* 8 KiB: on the heap. */
typedef struct ag__report {
    const char *kind;
    char text[160];
    char details[7800];
    size_t used; /* of details; what does not fit is cut */
    int count;
    int64_t ids[AG__REPORT_IDS];
} ag__report;

/* A goroutine as reports name it; `site` may be NULL: a thread that is none. */
typedef struct ag__who {
    int64_t id;
    const struct ag__site *site;
} ag__who;
ag__who ag__who_of(const ag__g *g);

/* NULL: out of memory. */
ag__report *ag__report_new(const char *kind);
/* Adds a line for a goroutine concerned, unless it has one. Its state is looked up. */
void ag__report_goroutine(ag__report *r, ag__who who);
void ag__report_detail(ag__report *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Adds "FUNCTION at FILE:LINE\n" for a return address. */
void ag__report_place(ag__report *r, uintptr_t pc);
/* How many were sent of each kind: fills in up to `max`, in the order of their first; returns how
 * many kinds. */
enum { AG__REPORT_KINDS = 16 }; /* further ones are not counted */
int ag__reports_sent(const char **ret_kinds, int64_t *ret_counts, int max);
/* Prints it or gives it to the hook, and frees it. Outside the runtime. */
void ag__report_send(ag__report *r);
/* Writes it, and frees it. */
void ag__report_write(ag__report *r, FILE *out);

#endif
