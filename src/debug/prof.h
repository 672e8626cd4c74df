/* SPDX-License-Identifier: MIT */
/*
 * prof.h - profiles: how often, how long or how much, by stack. What a profile is about is gathered
 * elsewhere (prof_*.c); here it becomes a file that `go tool pprof` opens, or text.
 *
 *     ag__prof *p = ag__prof_new(&kind);
 *     ag__prof_add(p, &sample, values);         as often as there are samples
 *     int r = ag__prof_end(p, true, out);       writes and frees it
 */
#ifndef AG_PROF_H
#define AG_PROF_H

#include "base/base.h"
#include "sched/sched.h"
#include <stdio.h>

enum { AG__PROF_VALUES = 4, AG__PROF_FRAMES = 64 };

/* What a profile counts; Go's words. Constant. */
typedef struct ag__prof_kind {
    const char *name;
    struct {
        const char *type, *unit;
    } values[AG__PROF_VALUES]; /* up to the first NULL */
    const char *period_type, *period_unit;
    int shown;          /* which value is looked at, if nobody asks for another one */
    bool hides_runtime; /* frames of the runtime are left out, as in dumps */
} ag__prof_kind;

/* Where, and of whom. Copied. */
typedef struct ag__prof_sample {
    const uintptr_t *pcs; /* innermost first, as ag__unwind gives them */
    int frames;
    bool is_exact;               /* pcs[0] is an instruction, not a return address */
    const char *name, *state;    /* labels; NULL: none. `state` is a constant */
    const char *labels;          /* the context's: key 0 value 0 ... 0; NULL, "": none */
    const struct ag__site *site; /* label: where its goroutine was made; NULL: none */
    bool is_site;                /* the stack is `site` itself: who made what */
} ag__prof_sample;

typedef struct ag__prof ag__prof;

ag__prof *ag__prof_new(const ag__prof_kind *kind); /* NULL: no memory */
/* Adds values to what is there of the same stack and labels; what sums up to 0 is left out. A lack
 * of memory is reported by ag__prof_end. */
void ag__prof_add(ag__prof *p, const ag__prof_sample *sample, const int64_t *values);
/* One unit of the period; over how long it was gathered, 0: at one moment. */
void ag__prof_set_period(ag__prof *p, int64_t period);
void ag__prof_set_time(ag__prof *p, int64_t began_wall_ns, int64_t duration_ns);
/* A remark, "n text", unless n is 0; a copy is kept. */
void ag__prof_note(ag__prof *p, int64_t n, const char *text);
/* Writes p as a pprof file, or as text for people, and frees it. NULL is out of memory. Returns 0,
 * -ENOMEM, -EIO. */
int ag__prof_end(ag__prof *p, bool as_text, FILE *out);
int ag__prof_end_with(ag__prof *p, int (*write)(ag__prof *p, FILE *out), FILE *out);
int ag__prof_json(ag__prof *p, FILE *out); /* for the pages; see prof_json.c */
void ag__prof_free(ag__prof *p);

/* The profiles by name; prof.def. `gather` adds what there is now, `times` 1 or -1: a profile of
 * a span of time is what is there at its end, less what was there at its beginning. */
typedef struct ag__prof_source {
    const ag__prof_kind *kind;
    int (*gather)(ag__prof *p, int times);
    const char *about;
} ag__prof_source;
const ag__prof_source *ag__prof_find(const char *name); /* NULL: there is none */
const ag__prof_source *ag__prof_sources(int *ret_count);

/* What the floors below tell; ag__hooks has the words. */
void ag__prof_waited(ag__m *m, int reason, int64_t ns);
void ag__prof_contended(ag__m *m, int64_t ns);
void ag__prof_thread_made(void);

/* The heap's. Where a world begins; why it has no profile, in words that say what to do, by the
 * error of its gather - NULL: another error. */
void ag__prof_heap_begin(void);
const char *ag__prof_heap_why(int error);

#define PROFILE(kind, gather, about)                                                               \
    extern const ag__prof_kind kind;                                                               \
    int gather(ag__prof *p, int times);
#include "debug/prof.def"
#undef PROFILE

#endif
