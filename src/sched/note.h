/* SPDX-License-Identifier: MIT */
/*
 * note.h - what the scheduler notes of itself; src/probe tells where that goes.
 *
 * The switch from one goroutine to the next is as it would be without: not one instruction more.
 * What is noted of it is noted where a thread goes through its loop (find.c), which it does every
 * 64th time anyway, and when the monitor says so (`poke`).
 *
 *   - Recorder: where the coarse clock has moved by SAMPLE_NS the switch is noted: who stopped and
 *     why, who goes on, and the count of steps, which tells what happened since the last one. The
 *     monitor moves the clock, and pokes each P that makes steps (AG__POKE_NOTE).
 *   - Trace: AG__POKE_TRACE stays set in `poke` of each P, so that every switch goes through the
 *     loop. Readying and starting goroutines test it: one load, one branch.
 */
#ifndef AG_NOTE_H
#define AG_NOTE_H

#include "probe/probe.h"

struct ag__g;
struct ag__m;
struct ag__p;

enum { AG__POKE_LOOK = 1, AG__POKE_TRACE = 2, AG__POKE_NOTE = 4 };
enum { AG__SAMPLE_NS = 250000 };

/* Of a thread. Owner only. */
typedef struct ag__notes {
    ag__ring *ring;
    int64_t sampled;    /* the coarse clock when a switch was last noted; INT64_MAX: never again */
    int64_t last_g;     /* who stopped without a note, -g: ended; or 0 */
    int64_t stopped_at; /* soon after that; 0: not known yet */
    uint32_t last_steps;
} ag__notes;

void ag__note_begin(struct ag__m *m);
void ag__note_finish(struct ag__m *m);
void ag__note_start(struct ag__m *m, struct ag__g *g);
void ag__note_stop(struct ag__m *m, struct ag__g *g, int kind, int reason, const void *object);
void ag__note_ready(struct ag__m *m, struct ag__g *g);
void ag__note_create(struct ag__m *m, struct ag__g *g);
void ag__note_take(struct ag__m *m);
void ag__note_drop(struct ag__m *m, int why);
void ag__note_hand_on(struct ag__m *by, struct ag__p *p, struct ag__m *from, int kind);
void ag__note_back(struct ag__m *m, struct ag__g *g, bool queued);
void ag__note_steal(struct ag__m *m, struct ag__p *by, struct ag__p *from, uint32_t n);
void ag__note_count(struct ag__m *m, int kind, uint32_t n);

/* Notes something of the current goroutine: a region, a task. From anywhere. */
void ag__note_user(int kind, uint64_t x, uint32_t n);

/* Has every switch of every P go through the loop, as long as the probe traces. */
void ag__note_mode(void);
void ag__note_p_new(struct ag__p *p);

#endif
