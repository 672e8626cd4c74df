/* SPDX-License-Identifier: MIT */
/*
 * trace_json.c - the story in the JSON trace format of Chrome, which Perfetto opens, too:
 * an object with an array of events, times in microseconds.
 *
 * Three groups of lanes. "Processors": what ran where, as slices; hand-ons, steals, timers and the
 * poller as marks; flows from where a goroutine was readied or created to where it starts.
 * "Threads": which processor a thread had, and goroutines that go on without one. "Goroutines": why
 * and how long each waited, and its regions. Tasks are asynchronous slices, which may cross lanes.
 *
 * A slice is written when it ends, so events are not in the order of their times; the format does
 * not ask for that.
 */
#include "debug/json.h"
#include "debug/trace.h"
#include <stdlib.h>

enum { LANE_PROCS = 1, LANE_THREADS = 2, LANE_GOS = 3 };

struct json {
    ag__teller teller;
    bool comma;
    int64_t origin; /* the first time told */
    bool has_origin;
    uint64_t flows;
    uint8_t named[(1024 + 7) / 8]; /* processors whose lane has a name */
};

static double us(struct json *j, int64_t when) {
    return (double)(when - j->origin) / 1000;
}

/* Begins an event: its phase, name, lane and time. The caller closes it. */
static FILE *begin(struct json *j, const char *phase, const char *name, int group, int64_t lane,
                   int64_t when) {
    FILE *out = j->teller.out;
    fprintf(out,
            "%s\n{\"ph\":\"%s\",\"pid\":%d,\"tid\":%lld,\"ts\":%.3f,\"name\":", j->comma ? "," : "",
            phase, group, (long long)lane, us(j, when));
    j->comma = true;
    ag__json_text(out, name);
    return out;
}

static void name_lane(struct json *j, int group, int64_t lane, const char *what, const char *fmt,
                      long long number) {
    char text[64];
    snprintf(text, sizeof text, fmt, number);
    FILE *out = begin(j, "M", what, group, lane, j->origin);
    fprintf(out, ",\"args\":{\"name\":");
    ag__json_text(out, text);
    fprintf(out, "}}");
}

static void slice(struct json *j, const char *name, int group, int64_t lane, int64_t from,
                  int64_t to) {
    FILE *out = begin(j, "X", name, group, lane, from);
    fprintf(out, ",\"dur\":%.3f", (double)(to - from) / 1000);
}

/* --- Steps. --- */

/* What ran on a processor until now. `end`: NULL, or how it ended. */
static void ran(struct json *j, const ag__tell *s, const char *end) {
    const ag__trace_go *g = s->g;
    char name[64];
    const char *shown = ag__trace_name(g);
    if (g->id >= AG__TURNS) {
        snprintf(name, sizeof name, "%u steps", g->steps);
        shown = name;
    }
    FILE *out = j->teller.out;
    slice(j, shown, LANE_PROCS, s->p, g->since, s->when);
    fprintf(out, ",\"args\":{");
    if (g->id < AG__TURNS)
        fprintf(out, "\"goroutine\":%lld,", (long long)g->id);
    fprintf(out, "\"thread\":%d", s->thread->tid);
    if (end)
        fprintf(out, ",\"end\":\"%s\"", end);
    if (s->x && s->kind == AG__TELL_GO_STOP)
        fprintf(out, ",\"object\":\"0x%llx\"", (unsigned long long)s->x);
    if (g->site)
        fprintf(out, ",\"line\":%d,\"file\":", g->site->line), ag__json_text(out, g->site->file);
    fprintf(out, "}}");
}

static void flow_from(struct json *j, const ag__tell *s) {
    if (!s->thread->g || s->thread->out || s->p < 0)
        return;
    s->g->flow = ++j->flows;
    FILE *out = begin(j, "s", "ready", LANE_PROCS, s->p, s->when);
    fprintf(out, ",\"cat\":\"ready\",\"id\":%llu}", (unsigned long long)s->g->flow);
}

static void started(struct json *j, const ag__tell *s) {
    ag__trace_go *g = s->g;
    if (g->id < AG__TURNS && s->when > g->since) {
        slice(j, "runnable", LANE_GOS, g->id, g->since, s->when);
        fprintf(j->teller.out, "}");
    }
    if (!g->flow)
        return;
    FILE *out = begin(j, "f", "ready", LANE_PROCS, s->p, s->when);
    fprintf(out, ",\"cat\":\"ready\",\"bp\":\"e\",\"id\":%llu}", (unsigned long long)g->flow);
    g->flow = 0;
}

/* Before a goroutine is runnable: what it did until now. */
static void readied(struct json *j, const ag__tell *s) {
    const ag__trace_go *g = s->g;
    if (g->id >= AG__TURNS || g->since >= s->when)
        return;
    slice(j, ag__trace_reason(g->reason), LANE_GOS, g->id, g->since, s->when);
    fprintf(j->teller.out, ",\"args\":{\"object\":\"0x%llx\"}}", (unsigned long long)g->object);
}

static void taken(struct json *j, const ag__tell *s) {
    const char *why = ag__trace_hand_on(s->detail);
    ran(j, s, why);
    FILE *out = begin(j, "i", why, LANE_PROCS, s->p, s->when);
    fprintf(out, ",\"s\":\"t\",\"args\":{\"goroutine\":%lld,\"thread\":%d}}", (long long)s->g->id,
            s->other->tid);
    slice(j, "processor", LANE_THREADS, s->other->tid, s->other->since, s->when);
    fprintf(out, ",\"args\":{\"processor\":%d}}", s->p);
}

static void back(struct json *j, const ag__tell *s) {
    char name[80];
    snprintf(name, sizeof name, "outside: %s", ag__trace_name(s->g));
    /* It may have a processor again, a little before it says so. */
    int64_t until = s->thread->p >= 0 ? s->thread->since : s->when;
    slice(j, name, LANE_THREADS, s->thread->tid, s->thread->out_since, until);
    fprintf(j->teller.out, ",\"args\":{\"goroutine\":%lld}}", (long long)s->g->id);
}

static void mark(struct json *j, const ag__tell *s) {
    if (s->p < 0)
        return;
    FILE *out = begin(j, "i", ag__event_name(s->detail), LANE_PROCS, s->p, s->when);
    fprintf(out, ",\"s\":\"t\",\"args\":{\"count\":%u", s->n);
    if (s->detail == AG__EV_STEAL)
        fprintf(out, ",\"from\":%llu", (unsigned long long)s->x);
    fprintf(out, "}}");
}

static void user(struct json *j, const ag__tell *s) {
    const char *name = ag__name_text((uint32_t)s->x);
    FILE *out = j->teller.out;
    switch (s->kind) {
    case AG__TELL_REGION:
    case AG__TELL_REGION_END:
        begin(j, s->kind == AG__TELL_REGION ? "B" : "E", name, LANE_GOS, s->g->id, s->when);
        fprintf(out, ",\"cat\":\"region\",\"args\":{\"task\":%u}}", s->n);
        return;
    case AG__TELL_TASK:
        begin(j, "b", name, LANE_GOS, s->g->id, s->when);
        fprintf(out, ",\"cat\":\"task\",\"id\":%u,\"args\":{\"goroutine\":%lld,\"parent\":%u}}",
                s->n, (long long)s->g->id, (uint32_t)(s->x >> 32));
        return;
    case AG__TELL_TASK_END:
        begin(j, "e", name, LANE_GOS, s->g->id, s->when);
        fprintf(out, ",\"cat\":\"task\",\"id\":%u}", s->n);
        return;
    default:
        begin(j, "i", name, LANE_GOS, s->g->id, s->when);
        fprintf(out, ",\"cat\":\"log\",\"s\":\"t\",\"args\":{\"task\":%u}}", s->n);
    }
}

static void know(struct json *j, int p) {
    if (j->named[p / 8] & 1 << p % 8)
        return;
    j->named[p / 8] |= (uint8_t)(1 << p % 8);
    name_lane(j, LANE_PROCS, p, "thread_name", "P %lld", p);
}

static void step(ag__teller *t, const ag__tell *s) {
    struct json *j = (struct json *)t;
    if (!j->has_origin) {
        j->has_origin = true;
        j->origin = s->when;
        name_lane(j, LANE_PROCS, 0, "process_name", "Processors", 0);
        name_lane(j, LANE_THREADS, 0, "process_name", "Threads", 0);
        name_lane(j, LANE_GOS, 0, "process_name", "Goroutines", 0);
    }
    switch (s->kind) {
    case AG__TELL_PROC_IDLE:
        know(j, s->p);
        return;
    case AG__TELL_PROC_STOP:
        slice(j, "processor", LANE_THREADS, s->thread->tid, s->thread->since, s->when);
        fprintf(t->out, ",\"args\":{\"processor\":%d}}", s->p);
        return;
    case AG__TELL_PROC_TAKEN:
        taken(j, s);
        return;
    case AG__TELL_GO_CREATE:
        flow_from(j, s);
        return;
    case AG__TELL_GO_START:
        started(j, s);
        return;
    case AG__TELL_GO_STOP:
        ran(j, s, ag__trace_reason(s->detail));
        return;
    case AG__TELL_GO_END:
        ran(j, s, "end");
        return;
    case AG__TELL_GO_READY:
        readied(j, s);
        flow_from(j, s);
        return;
    case AG__TELL_GO_BACK:
        back(j, s);
        return;
    case AG__TELL_MARK:
        mark(j, s);
        return;
    case AG__TELL_REGION:
    case AG__TELL_REGION_END:
    case AG__TELL_TASK:
    case AG__TELL_TASK_END:
    case AG__TELL_LOG:
        user(j, s);
        return;
    default:
        return;
    }
}

/* What goes on when the trace ends is shown up to there. */
static void finish_threads(struct json *j, int64_t when) {
    const ag__story *story = j->teller.story;
    for (size_t i = 0; story->threads && i < story->thread_room; i++) {
        ag__trace_thread *t = &story->threads[i];
        if (!t->tid)
            continue;
        ag__tell s = {.when = when, .p = t->p, .thread = t};
        if (t->g)
            s.g = ag__story_go(story, t->g);
        if (s.g && t->out)
            back(j, &s);
        else if (s.g)
            ran(j, &s, NULL);
        if (t->p >= 0) {
            s.kind = AG__TELL_PROC_STOP;
            step(&j->teller, &s);
        }
    }
}

static void finish_gos(struct json *j, int64_t when) {
    const ag__story *story = j->teller.story;
    for (size_t i = 0; story->gos && i < story->go_room; i++) {
        ag__trace_go *g = &story->gos[i];
        if (g->id <= 0)
            continue;
        while (g->depth > 0) {
            uint64_t top = g->open[--g->depth].which;
            begin(j, "E", ag__name_text((uint32_t)top), LANE_GOS, g->id, when);
            fprintf(j->teller.out, ",\"cat\":\"region\"}");
        }
        ag__tell s = {.when = when, .g = g};
        if (g->state == AG__GO_WAITING)
            readied(j, &s);
        name_lane(j, LANE_GOS, g->id, "thread_name", "goroutine %lld", (long long)g->id);
    }
}

static void stop(ag__teller *t, int64_t when) {
    struct json *j = (struct json *)t;
    finish_threads(j, when);
    finish_gos(j, when);
    fprintf(t->out, "\n]}\n");
    free(j);
}

static void head(ag__teller *t) {
    fprintf(t->out, "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[");
}

ag__teller *ag__tell_json(FILE *out) {
    struct json *j = calloc(1, sizeof *j);
    if (!j)
        return NULL;
    j->teller = (ag__teller){.out = out, .begin = head, .step = step, .stop = stop};
    return &j->teller;
}
