/* SPDX-License-Identifier: MIT */
/*
 * prof_goroutine.c - profiles of the goroutines that are there now: where they stand, how long they
 * have waited, where they were made, which of them can never go on. Nobody is stopped; one that
 * runs on another thread is shown without a stack of its own, as the function it was started with.
 */
#include "ctx/ctx.h"
#include "debug/detect.h"
#include "debug/look.h"
#include "debug/prof.h"
#include <errno.h>
#include <stdlib.h>

const ag__prof_kind ag__prof_goroutine = {.name = "goroutine",
                                          .values = {{"goroutine", "count"}},
                                          .period_type = "goroutine",
                                          .period_unit = "count",
                                          .hides_runtime = true};
const ag__prof_kind ag__prof_goroutineleak = {.name = "goroutineleak",
                                              .values = {{"goroutineleak", "count"}},
                                              .period_type = "goroutineleak",
                                              .period_unit = "count",
                                              .hides_runtime = true};
const ag__prof_kind ag__prof_offcpu = {.name = "offcpu",
                                       .values = {{"goroutine", "count"}, {"wait", "nanoseconds"}},
                                       .period_type = "wait",
                                       .period_unit = "nanoseconds",
                                       .shown = 1,
                                       .hides_runtime = true};
const ag__prof_kind ag__prof_spawn = {.name = "spawn",
                                      .values = {{"goroutine", "count"}},
                                      .period_type = "goroutine",
                                      .period_unit = "count"};

struct gathering {
    ag__prof *p;
    const ag__look *look; /* if not NULL: only those which can never go on */
    int times;
    bool by_wait, by_site; /* the kind */
    ag__g *self;
    int64_t now;
    unsigned char *buf;
    uintptr_t pcs[AG__PROF_FRAMES];
    char name[AG__NAME_BYTES], labels[AG__LABEL_BYTES];
};

/* Of one's own stack, from here outwards. */
static int look_at_self(uintptr_t *ret_pcs) {
    return ag__unwind_here(ret_pcs, AG__PROF_FRAMES, 0);
}

static void look_at(struct gathering *j, ag__g *g, ag__prof_sample *ret) {
    ag__stack_shape shape;
    ret->pcs = j->pcs;
    if (g == j->self) {
        ret->frames = look_at_self(j->pcs);
        return;
    }
    ret->frames = ag__look_at_stack(g, j->buf, j->pcs, AG__PROF_FRAMES, &shape);
    ret->is_exact = true;
    if (ret->frames == 0 && g->fn) {
        j->pcs[0] = (uintptr_t)g->fn;
        ret->frames = 1;
    }
}

/* One that can never go on, and so is as it was found. */
static AG__NO_SANITIZE bool leaks(const ag__look *l, const ag__g *g) {
    int at = ag__look_find(l, g->id);
    return at >= 0 && l->nodes[at].g == g && !l->nodes[at].goes_on;
}

/* TSan does not watch: g may run. */
static AG__NO_SANITIZE bool visit(ag__g *g, void *arg) {
    struct gathering *j = arg;
    int state = atomic_load_explicit(&g->state, AG__RLX);
    if (state == AG__G_FREE || state == AG__G_WISH || g->id <= 0 || (j->look && !leaks(j->look, g)))
        return true;
    int64_t since = atomic_load_explicit(&g->wait_since, AG__RLX);
    ag__prof_sample s = {.site = g->id == 1 ? NULL : g->site, .is_site = j->by_site};
    int64_t values[AG__PROF_VALUES] = {j->times};
    if (j->by_site) {
        if (s.site)
            ag__prof_add(j->p, &s, values);
        return true;
    }
    if (j->by_wait && state != AG__G_WAITING)
        return true;
    ag__g_name(g, j->name);
    s.name = j->name;
    if (ag__labels_copy(g, j->labels))
        s.labels = j->labels;
    s.state = ag__doing_name(state, atomic_load_explicit(&g->reason, AG__RLX));
    values[1] = since < j->now ? (j->now - since) * j->times : 0;
    look_at(j, g, &s);
    ag__prof_add(j->p, &s, values);
    return true;
}

static int gather(struct gathering *j) {
    j->now = ag__os_now();
    j->self = ag__m_now()->g;
    if (j->self && (j->self->flags & AG__GF_FOREIGN))
        j->self = NULL;
    j->buf = malloc(AG__LOOK_BYTES);
    if (!j->buf)
        return -ENOMEM;
    ag__g_each(visit, j);
    ag__scan_free(j->buf, AG__LOOK_BYTES); /* it holds what was on stacks */
    return 0;
}

int ag__prof_gather_goroutineleak(ag__prof *p, int times) {
    ag__look l;
    struct gathering j = {.p = p, .times = times, .look = &l};
    int r = ag__detect_now(&l) > 0 ? gather(&j) : l.failed ? -ENOMEM : 0;
    ag__look_free(&l);
    return r;
}
int ag__prof_gather_goroutine(ag__prof *p, int times) {
    struct gathering j = {.p = p, .times = times};
    return gather(&j);
}
int ag__prof_gather_offcpu(ag__prof *p, int times) {
    struct gathering j = {.p = p, .times = times, .by_wait = true};
    return gather(&j);
}
int ag__prof_gather_spawn(ag__prof *p, int times) {
    struct gathering j = {.p = p, .times = times, .by_site = true};
    return gather(&j);
}
