/* SPDX-License-Identifier: MIT */
/*
 * aglet/debug.h - seeing inside a running program. ag_dump is in aglet/run.h; SIGQUIT prints it
 * on stderr and goes on, a second one within 2 s ends the process.
 */
#ifndef AGLET_DEBUG_H
#define AGLET_DEBUG_H

#include <aglet/base.h>
#include <stdio.h>

AG__BEGIN

/** Writes the goroutine with this number. Returns: 0, -ESRCH if there is none. */
AG_API int ag_dump_goroutine(FILE *out, int64_t id);

/** Counters of the runtime since its start. All-zero when none runs. */
typedef struct ag_stats {
    int64_t goroutines;  /* live now */
    int64_t created;     /* ever */
    int64_t threads;     /* that can run goroutines, now */
    int64_t procs;       /* processors */
    int64_t handed_on;   /* processors taken from threads outside the runtime */
    int64_t stolen;      /* goroutines taken from another processor's queue */
    int64_t stacks;      /* stacks in use now */
    int64_t stack_bytes; /* address space of those */
    int64_t polls;       /* looks at the poller */
} ag_stats;

/** Reads the counters; each is exact, together they are no snapshot. */
AG_API void ag_stats_read(ag_stats *ret_stats);

/** A finding about the program. `count` goroutines are concerned; 0 stands for a thread that is
 * none. All of it is valid until the hook returns. */
typedef struct ag_report {
    /* `lock order`, `deadlock`, `lock held at exit`, `lost error` */
    const char *kind;
    const char *text;
    int count;
    const int64_t *ids;
} ag_report;

/** Called for every finding instead of printing it on stderr; NULL prints again. A finding is
 * printed as `aglet: KIND: TEXT`, then one line `  goroutine N [STATE] FUNCTION created at
 * FILE:LINE` for each goroutine concerned, with more details below. aglet/sync.h and
 * aglet/bufio.h tell what is looked for. Returns: the hook before. From: goroutine, any thread. It
 * must not lock what the finding is about. */
typedef void (*ag_report_hook)(const ag_report *);
AG_API ag_report_hook ag_on_report(ag_report_hook hook);

AG__END
#endif
