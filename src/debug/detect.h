/* SPDX-License-Identifier: MIT */
/*
 * detect.h - what the files of the detector share: one look at all that wait.
 */
#ifndef AG_DETECT_H
#define AG_DETECT_H

#include "sched/sched.h"

enum { AG__DETECT_MS = 1000 };

/* A goroutine that waits and may never go on. */
typedef struct ag__node {
    ag__g *g;
    const struct ag__site *site;
    int64_t id;
    uint64_t resumes;
    const void *object;
    int first_out, first_in; /* edges; -1: none */
    int walk;                /* the last one that came by */
    int outs;                /* how many goroutines it needs that may be stuck, too */
    uint32_t orphans;        /* how many of the channels it waits for nobody has */
    int16_t reason;
    bool cancellable; /* a context may end its wait */
    bool alone;       /* nobody can wake it, whatever the others do */
    bool goes_on;     /* it may: it has moved, or somebody may wake it */
    bool in_cycle;
    bool taken;     /* with those that may go on */
    bool may_reach; /* alone unless somebody who may go on can reach what it waits for */
    bool scanned;   /* its stack, after it was found to go on */
} ag__node;

/* `from` can't go on before `to` does something. */
typedef struct ag__need {
    int from, to;
    int next_out, next_in; /* of the same `from`, of the same `to` */
} ag__need;

typedef struct ag__look {
    ag__node *nodes;
    ag__need *edges;
    int count, size, edge_count, edge_size;
    int *by_id; /* hash table: index + 1 */
    uint32_t mask;
    bool failed; /* out of memory, or reading is not allowed: it says nothing */
} ag__look;

/* Looks. Afterwards those that can never go on are the nodes without `goes_on`. `frames` is where
 * the caller's own frames begin if it is a goroutine, else 0. */
void ag__look_take(ag__look *l, uintptr_t frames);
void ag__look_free(ag__look *l);
int ag__look_find(const ag__look *l, int64_t id); /* its index; -1: it is not there */
/*
 * The next circle of goroutines that wait for each other: their indices, each needing the next.
 * Returns how many; 0: no more. The first call with *at == 0. `ret_path` has room for l->count.
 */
int ag__look_circle(ag__look *l, int *at, int *ret_path);

/* Those that may go on, and who needs only such, are marked. False: out of memory. */
bool ag__look_take_away(ag__look *l);
/* detect_scan.c. Whether memory is to be looked at; the same look with that. */
bool ag__scan_is_on(void);
void ag__scan(ag__look *l, uintptr_t frames);
/* Frees memory of the detector or a profile that held addresses of the program's: wiped, if memory
 * is searched, so that a later look finds nothing there. */
void ag__scan_free(void *memory, size_t bytes);
/* Makes room for one more behind `count` records of `each` bytes; what held them before is freed
 * like that. False: out of memory, and all is as it was. */
bool ag__scan_grow(void **all, int count, int *size, size_t each);
/* Sorts records of `size` bytes, a multiple of a word and at most four, by their first word; in
 * place, for qsort leaves a copy behind. */
void ag__scan_sort(void *records, size_t count, size_t size);

/* detect_report.c. Makes a finding of a circle, or of one that is alone (count 1, `alone`), or of
 * one that waits for such. NULL: out of memory. Outside the runtime. */
struct ag__report *ag__detect_report(const ag__look *l, const int *path, int count);

/* detect.c. Looks twice, now: how many can never go on, the nodes without `goes_on`. The caller
 * frees the look. Outside the runtime. */
int ag__detect_now(ag__look *ret);
/* Below it are only frames of the detector's thread, in its stack; 0: there is none. */
uintptr_t ag__detect_frames(void);
/* Grows when any goroutine has run. */
uint64_t ag__detect_activity(void);
/* For the hooks: the world begins, ends; the monitor is awake, or is about to sleep. */
void ag__detect_begin(void);
void ag__detect_end(void);
void ag__detect_watch(bool sleeps);

#endif
