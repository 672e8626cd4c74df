/* SPDX-License-Identifier: MIT */
/*
 * trace.h - what the files of the trace share; the functions are public (aglet/trace.h).
 *
 *     rings --merge--> events by time --story--> steps --teller--> a file
 *
 * Events may have gaps: the recorder notes a switch now and then, a full tape loses some, the
 * trace began in the middle. The story (trace_story.c) turns them into steps without a
 * contradiction: a goroutine runs on one processor at a time, a processor belongs to one thread,
 * who runs was runnable. What it can't know it says plainly ("not recorded"). So the tellers, one
 * for each format, need no judgement.
 */
#ifndef AG_TRACE_H
#define AG_TRACE_H

#include "probe/probe.h"
#include "sched/sched.h"
#include <aglet/trace.h>
#include <stdio.h>

/* What comes from the rings; `tid` is the thread that noted it. */
typedef struct ag__noted {
    ag__event e;
    int tid;
    uint32_t steps; /* if not 0: behind it so many steps follow of which nothing is known */
    uint64_t order; /* among those of the same time */
} ag__noted;

typedef struct ag__noted_list {
    ag__noted *all;
    size_t count, room;
    int64_t since; /* earlier ones are left out */
    bool failed;   /* out of memory */
} ag__noted_list;

/* As `take` of ag__probe_snapshot and ag__probe_drain. */
bool ag__noted_take(void *list, int tid, const ag__event *events, size_t n);
void ag__noted_sort(ag__noted_list *list);
/* Finds out between which events of a processor others are missing. Of sorted ones. */
void ag__noted_find_gaps(ag__noted_list *list);

/* --- Steps. --- */

enum {
    AG__TELL_PROC_IDLE,   /* p is known from here on, and idle */
    AG__TELL_PROC_START,  /* tid has p */
    AG__TELL_PROC_STOP,   /* tid lets go of p */
    AG__TELL_PROC_TAKEN,  /* p is taken from thread `other`, which runs g and goes on with it */
    AG__TELL_GO_RUNNABLE, /* g is known from here on, and runnable */
    AG__TELL_GO_WAITING,
    AG__TELL_GO_CREATE, /* by who runs on tid, which has p */
    AG__TELL_GO_START,
    AG__TELL_GO_STOP,
    AG__TELL_GO_END,
    AG__TELL_GO_READY,   /* by who runs on tid */
    AG__TELL_GO_BACK,    /* g, on tid, had lost p; runnable now */
    AG__TELL_MARK,       /* an event of its own: STEAL, TIMERS, POLL, BEGIN, FINISH */
    AG__TELL_REGION,     /* user events, of g, which runs on tid; a region is open[depth - 1] */
    AG__TELL_REGION_END, /* it was open[depth] */
    AG__TELL_TASK,
    AG__TELL_TASK_END,
    AG__TELL_LOG
};

enum { AG__GO_RUNNABLE, AG__GO_RUNNING, AG__GO_WAITING, AG__GO_OUT };
enum { AG__REGIONS_MAX = 32 };

typedef struct ag__trace_region {
    uint64_t which; /* name | task << 32 */
    int64_t since;
} ag__trace_region;

/* A goroutine, as far as the story knows it. */
typedef struct ag__trace_go {
    int64_t id; /* 0: a free place in the table; -1: one that was used */
    const struct ag__site *site;
    int state;
    int tid; /* where it runs, or is out */
    int64_t since;
    uint64_t seq;  /* the teller's */
    uint64_t flow; /* the teller's */
    int depth;     /* of regions, which have names and tasks */
    ag__trace_region *open;
    uint32_t steps; /* of those in turn */
    int reason;     /* why it stopped last */
    uint64_t object;
} ag__trace_go;

typedef struct ag__trace_thread {
    int tid; /* 0: free */
    int p;   /* -1: none */
    int64_t g;
    bool out; /* g goes on without a processor */
    int64_t since, out_since;
    void *own; /* the teller's */
} ag__trace_thread;

typedef struct ag__trace_proc {
    bool known;
    int tid;      /* 0: idle */
    uint64_t seq; /* the teller's */
} ag__trace_proc;

typedef struct ag__tell {
    int kind;
    int64_t when; /* grows with every step */
    int p;
    ag__trace_thread *thread, *other;
    ag__trace_go *g;
    int detail;
    uint64_t x;
    uint32_t n;
} ag__tell;

typedef struct ag__teller ag__teller;
struct ag__teller {
    FILE *out;
    bool failed;   /* out of memory */
    int64_t since; /* what ended before may be left out */
    struct ag__story *story;
    void (*begin)(ag__teller *t);
    void (*step)(ag__teller *t, const ag__tell *s);
    void (*stop)(ag__teller *t, int64_t when); /* the end; frees it */
};

/* A goroutine of its own for what ran on a processor, one after the other, without being noted. */
#define AG__TURNS ((int64_t)1 << 46)

typedef struct ag__story {
    ag__teller *teller;
    ag__trace_go *gos; /* a hash table */
    size_t go_room, go_used;
    ag__trace_thread *threads; /* likewise */
    size_t thread_room, thread_used;
    ag__trace_proc *procs;
    struct ag__trace_known {
        int64_t id; /* 0: free */
        const struct ag__site *site;
    } * known; /* who lived when the story began: a hash table, made once */
    size_t known_room;
    int64_t last;
    int64_t repairs; /* events that did not fit to what was known */
    bool failed;     /* out of memory */
} ag__story;

int ag__story_init(ag__story *s, ag__teller *teller);
void ag__story_add(ag__story *s, const ag__noted *e);
/* Ends the teller, too. */
void ag__story_done(ag__story *s, int64_t when);
/* NULL: it is not known. */
ag__trace_go *ag__story_go(const ag__story *s, int64_t id);

/* NULL: out of memory. */
ag__teller *ag__tell_json(FILE *out);
ag__teller *ag__tell_go(FILE *out);
ag__teller *ag__tell_lanes(FILE *out); /* for the pages; see trace_lanes.c */

/* What goroutine g is called: its function. */
const char *ag__trace_name(const ag__trace_go *g);
/* Why it stopped, AG__WAIT_*; why its processor was handed on, AG__HAND_*. Constants. */
const char *ag__trace_reason(int reason);
const char *ag__trace_hand_on(int why);

/* Of the last trace: how many events did not fit. */
extern _Atomic int64_t ag__trace_repairs AG__HIDDEN;

/* As the public functions, with any teller. */
int ag__trace_start(ag__teller *(*teller)(FILE *), FILE *out);
int ag__trace_snapshot(ag__teller *(*teller)(FILE *), FILE *out, int64_t since);

/* --- For others. --- */

/* trace_end.c. Writes what the recorder has to the file that AGLET_RECORD_FILE names, if it names
 * one: at the end of the process. It allocates, so not in a signal handler. */
void ag__trace_at_end(void);
/* The same for a signal handler; the world has said begin. Returns: the file's path, NULL if none
 * is asked for. */
void ag__trace_crash_begin(void);
const char *ag__trace_at_crash(bool *ret_wrote);
/* trace_keep.c. Writes it to a new file in the folder that AGLET_RECORD_DIR names, if it names one
 * and there is room in it, and adds to the finding r where it is. */
struct ag__report;
void ag__trace_keep(struct ag__report *r);
void ag__trace_world_begins(void);
void ag__trace_world_ends(void);

#endif
