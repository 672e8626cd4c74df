/* SPDX-License-Identifier: MIT */
/*
 * trace_lanes.c - the story for the page that draws it: what ran on which processor, in an array
 * of arrays of numbers, small enough to be sent again every second.
 *
 *     {"lanes": [
 *      [0, processor, from, length, goroutine, site, word],   it ran there, until `word`
 *      [0, processor, from, length, 0, -steps, word],         others in turn, nobody knows who
 *      [1, processor, when, word, number, goroutine],         a mark
 *      [2, thread, from, length, goroutine, site, word],      it ran on without a processor
 *      [3, depth, from, length, goroutine, task, name],       it was in a region of the program
 *      ...],
 *      "base": T, "now": T, "cut": false, "sites": [["worker", "a.c", 12], ...], "words": [...],
 *      "names": [...]}
 *
 * Times are nanoseconds since `base`, which is a time of the clock of /debug/stats. A word of -1,
 * or a depth of -1 less the depth: it goes on. Of what ended before `since` nothing is told, and
 * after EVENTS_MAX it is cut.
 */
#include "debug/json.h"
#include "debug/trace.h"
#include <stdlib.h>

enum { EVENTS_MAX = 200000, WORDS_MAX = 256 };
enum { RAN, MARK, RAN_OUTSIDE, REGION };
enum { GOES_ON = -1 };

struct lanes {
    ag__teller teller;
    bool comma, has_base;
    int64_t base;
    int events;
    const struct ag__site **sites;
    int site_count, site_room, last_site;
    const char *words[WORDS_MAX]; /* constants */
    int word_count;
    uint16_t name_of[AG__NAME_MAX + 1]; /* by the name's own number: which of names it is, from 1 */
    uint32_t names[AG__NAME_MAX + 1];   /* of regions */
    int name_count;
};

/* The number of a site; 0 is no site. */
static int site_of(struct lanes *l, const struct ag__site *site) {
    if (!site)
        return 0;
    if (l->site_count && l->sites[l->last_site] == site)
        return l->last_site + 1;
    int i = 0;
    while (i < l->site_count && l->sites[i] != site)
        i++;
    if (i == l->site_room) {
        int room = l->site_room ? 2 * l->site_room : 64;
        const struct ag__site **more = realloc(l->sites, (size_t)room * sizeof *more);
        if (!more) {
            l->teller.failed = true;
            return 0;
        }
        l->sites = more;
        l->site_room = room;
    }
    if (i == l->site_count)
        l->sites[l->site_count++] = site;
    l->last_site = i;
    return i + 1;
}

static int word_of(struct lanes *l, const char *word) {
    int i = 0;
    while (i < l->word_count && l->words[i] != word)
        i++;
    if (i == l->word_count && l->word_count < WORDS_MAX)
        l->words[l->word_count++] = word;
    return i < WORDS_MAX ? i : 0;
}

static int name_of(struct lanes *l, uint32_t name) {
    if (!l->name_of[name]) {
        l->names[l->name_count++] = name;
        l->name_of[name] = (uint16_t)l->name_count;
    }
    return l->name_of[name] - 1;
}

/* Whether something that ended then is told of. */
static bool is_wanted(struct lanes *l, int64_t until) {
    return until >= l->teller.since && l->events < EVENTS_MAX;
}

static FILE *begin(struct lanes *l, int kind, int lane, int64_t when) {
    FILE *out = l->teller.out;
    if (!l->has_base) {
        l->has_base = true;
        l->base = when;
    }
    fprintf(out, "%s[%d,%d,%lld", l->comma ? ",\n" : "\n", kind, lane, (long long)(when - l->base));
    l->comma = true;
    l->events++;
    return out;
}

static void ran(struct lanes *l, const ag__tell *s, int word) {
    const ag__trace_go *g = s->g;
    if (!is_wanted(l, s->when))
        return;
    bool in_turn = g->id >= AG__TURNS;
    FILE *out = begin(l, RAN, s->p, g->since);
    fprintf(out, ",%lld,%lld,%lld,%d]", (long long)(s->when - g->since),
            in_turn ? 0ll : (long long)g->id,
            in_turn ? -(long long)g->steps : (long long)site_of(l, g->site), word);
}

static void mark(struct lanes *l, const ag__tell *s, const char *word, int64_t number) {
    if (s->p < 0 || !is_wanted(l, s->when))
        return;
    int number_of_word = word_of(l, word);
    fprintf(begin(l, MARK, s->p, s->when), ",%d,%lld,%lld]", number_of_word, (long long)number,
            s->g ? (long long)s->g->id : 0ll);
}

static void taken(struct lanes *l, const ag__tell *s) {
    const char *why = ag__trace_hand_on(s->detail);
    ran(l, s, word_of(l, why));
    mark(l, s, why, s->other->tid);
}

static void ran_outside(struct lanes *l, const ag__tell *s, int word) {
    const ag__trace_thread *t = s->thread;
    int64_t until = t->p >= 0 ? t->since : s->when;
    if (!is_wanted(l, until))
        return;
    fprintf(begin(l, RAN_OUTSIDE, t->tid, t->out_since), ",%lld,%lld,%d,%d]",
            (long long)(until - t->out_since), (long long)s->g->id, site_of(l, s->g->site), word);
}

static void region(struct lanes *l, const ag__trace_go *g, int depth, int64_t until, bool goes_on) {
    const ag__trace_region *r = &g->open[depth];
    if (!is_wanted(l, until))
        return;
    int name = name_of(l, (uint32_t)r->which);
    fprintf(begin(l, REGION, goes_on ? -1 - depth : depth, r->since), ",%lld,%lld,%u,%d]",
            (long long)(until - r->since), (long long)g->id, (unsigned)(r->which >> 32), name);
}

static void step(ag__teller *t, const ag__tell *s) {
    struct lanes *l = (struct lanes *)t;
    switch (s->kind) {
    case AG__TELL_PROC_TAKEN:
        taken(l, s);
        return;
    case AG__TELL_GO_STOP:
        ran(l, s, word_of(l, ag__trace_reason(s->detail)));
        return;
    case AG__TELL_GO_END:
        ran(l, s, word_of(l, "end"));
        for (int depth = 0; depth < s->g->depth; depth++)
            region(l, s->g, depth, s->when, false);
        return;
    case AG__TELL_GO_BACK:
        ran_outside(l, s, word_of(l, "back"));
        return;
    case AG__TELL_REGION_END:
        region(l, s->g, s->g->depth, s->when, false);
        return;
    case AG__TELL_MARK:
        mark(l, s, ag__event_name(s->detail), s->detail == AG__EV_STEAL ? (int64_t)s->x : s->n);
        return;
    default:
        return;
    }
}

/* What goes on when it ends is told up to there. */
static void finish(struct lanes *l, int64_t when) {
    const ag__story *story = l->teller.story;
    for (size_t i = 0; story->threads && i < story->thread_room; i++) {
        ag__trace_thread *t = &story->threads[i];
        ag__tell s = {.when = when, .p = t->p, .thread = t};
        if (t->g)
            s.g = ag__story_go(story, t->g);
        if (s.g && t->out)
            ran_outside(l, &s, GOES_ON);
        else if (s.g)
            ran(l, &s, GOES_ON);
    }
    for (size_t i = 0; story->gos && i < story->go_room; i++)
        for (int depth = 0; story->gos[i].id > 0 && depth < story->gos[i].depth; depth++)
            region(l, &story->gos[i], depth, when, true);
}

static void stop(ag__teller *t, int64_t when) {
    struct lanes *l = (struct lanes *)t;
    FILE *out = t->out;
    bool cut = l->events >= EVENTS_MAX;
    finish(l, when);
    fprintf(out, "],\n\"base\":%lld,\"now\":%lld,\"cut\":%s,\"sites\":[", (long long)l->base,
            (long long)when, cut ? "true" : "false");
    for (int i = 0; i < l->site_count; i++) {
        fputs(i ? ",[" : "[", out);
        ag__json_text(out, l->sites[i]->call);
        fputc(',', out);
        ag__json_text(out, l->sites[i]->file);
        fprintf(out, ",%d]", l->sites[i]->line);
    }
    fputs("],\"words\":[", out);
    for (int i = 0; i < l->word_count; i++) {
        fputs(i ? "," : "", out);
        ag__json_text(out, l->words[i]);
    }
    fputs("],\"names\":[", out);
    for (int i = 0; i < l->name_count; i++) {
        fputs(i ? "," : "", out);
        ag__json_text(out, ag__name_text(l->names[i]));
    }
    fputs("]}\n", out);
    free(l->sites);
    free(l);
}

static void head(ag__teller *t) {
    fputs("{\"lanes\":[", t->out);
}

ag__teller *ag__tell_lanes(FILE *out) {
    struct lanes *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    l->teller =
        (ag__teller){.out = out, .since = INT64_MIN, .begin = head, .step = step, .stop = stop};
    return &l->teller;
}
