/* SPDX-License-Identifier: MIT */
/*
 * trace_story.c - from events, which may have gaps, to a story without contradictions.
 *
 * What an event says is taken for true; what was believed before is corrected, by steps in between
 * at the same time: who starts somewhere while it runs elsewhere stopped there; who runs without
 * having been readied was readied; who has a processor that another one had took it over. Of a full
 * trace without losses none is needed, which is counted (`repairs`) and tested.
 *
 * Times grow by at least one nanosecond from step to step, so that no reader has to break ties.
 */
#include "debug/trace.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- Events of all threads, by time. --- */

static bool add(ag__noted_list *list, const ag__event *e, int tid) {
    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : 1024;
        ag__noted *more = realloc(list->all, room * sizeof *more);
        if (!more) {
            list->failed = true;
            return false;
        }
        list->all = more;
        list->room = room;
    }
    list->all[list->count] = (ag__noted){.e = *e, .tid = tid, .order = list->count};
    list->count++;
    return true;
}

/* Who noted events[i]: the ring may have changed hands, and then the one before said FINISH. */
static int tid_of(const ag__event *events, size_t n, size_t i, int tid) {
    for (; i < n; i++)
        if (events[i].kind == AG__EV_FINISH)
            return (int)events[i].x;
    return tid;
}

/* A DROP that tells who ran last is two events. */
static bool add_drop(ag__noted_list *list, ag__event e, int tid) {
    ag__event stop = e;
    stop.kind = e.g < 0 ? AG__EV_END : AG__EV_STOP;
    stop.g = e.g < 0 ? -e.g : e.g;
    stop.detail = AG__WAIT_NONE;
    if (e.x && (int64_t)e.x < e.when)
        stop.when = (int64_t)e.x;
    stop.x = 0;
    e.g = 0;
    return add(list, &stop, tid) && add(list, &e, tid);
}

bool ag__noted_take(void *arg, int tid, const ag__event *events, size_t n) {
    ag__noted_list *list = arg;
    int of = tid_of(events, n, 0, tid);
    for (size_t i = 0; i < n; i++) {
        if (events[i].when >= list->since) {
            bool drop = events[i].kind == AG__EV_DROP && events[i].g;
            if (!(drop ? add_drop(list, events[i], of) : add(list, &events[i], of)))
                return false;
        }
        if (events[i].kind == AG__EV_FINISH)
            of = tid_of(events, n, i + 1, tid);
    }
    return true;
}

static int by_time(const void *a, const void *b) {
    const ag__noted *x = a, *y = b;
    if (x->e.when != y->e.when)
        return x->e.when < y->e.when ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

void ag__noted_sort(ag__noted_list *list) {
    if (list->count)
        qsort(list->all, list->count, sizeof *list->all, by_time);
}

static bool is_user(const ag__event *e) {
    return e->kind >= AG__EV_REGION && e->kind <= AG__EV_LOG;
}

/* Whether it tells who runs on its processor, or ran there. */
static bool tells_who(const ag__event *e) {
    return e->kind == AG__EV_START || e->kind == AG__EV_STOP || e->kind == AG__EV_END ||
           e->kind == AG__EV_DROP || e->kind == AG__EV_HAND_ON || is_user(e);
}

/* The steps from one event to the next; user events have only the last 8 bits of the count. */
static uint32_t steps_between(const ag__event *a, const ag__event *b) {
    if (!is_user(a) && !is_user(b))
        return b->n - a->n;
    return (uint8_t)((is_user(b) ? b->detail : b->n) - (is_user(a) ? a->detail : a->n));
}

/* From behind: the next event of the same processor tells by its count of steps, and by whom it
 * names, whether the goroutine that runs after this one ran until then. */
void ag__noted_find_gaps(ag__noted_list *list) {
    const ag__event **next = calloc(AG__PROCS_MAX, sizeof *next);
    if (!next) {
        list->failed = true;
        return;
    }
    for (size_t i = list->count; i-- > 0;) {
        ag__noted *n = &list->all[i];
        const ag__event *e = &n->e;
        if (!tells_who(e) || e->p < 0 || e->p >= AG__PROCS_MAX)
            continue;
        const ag__event *then = next[e->p];
        if (then && (e->kind == AG__EV_START || is_user(e))) {
            uint32_t steps = steps_between(e, then);
            if (steps > 1 || then->g != e->g)
                n->steps = steps ? steps : 1;
        }
        next[e->p] = e;
    }
    free(next);
}

/* --- What is known. --- */

static size_t slot_of(uint64_t key, size_t room) {
    return (size_t)((key * 0x9E3779B97F4A7C15ull) >> 20) & (room - 1);
}

static ag__trace_go *find_go(const ag__story *s, int64_t id) {
    for (size_t at = slot_of((uint64_t)id, s->go_room);; at = (at + 1) & (s->go_room - 1))
        if (s->gos[at].id == id || s->gos[at].id == 0)
            return &s->gos[at];
}

static bool grow_gos(ag__story *s) {
    size_t live = 0;
    for (size_t i = 0; i < s->go_room; i++)
        live += s->gos[i].id > 0;
    ag__story more = {.go_room = s->go_room};
    while (more.go_room < 4 * live + 64)
        more.go_room *= 2;
    more.gos = calloc(more.go_room, sizeof *more.gos);
    if (!more.gos)
        return false;
    for (size_t i = 0; i < s->go_room; i++)
        if (s->gos[i].id > 0)
            *find_go(&more, s->gos[i].id) = s->gos[i];
    free(s->gos);
    s->gos = more.gos;
    s->go_room = more.go_room;
    s->go_used = live;
    return true;
}

ag__trace_go *ag__story_go(const ag__story *s, int64_t id) {
    ag__trace_go *g = find_go(s, id);
    return g->id == id ? g : NULL;
}

struct census {
    ag__story *story;
    size_t count;
};

static bool count_one(ag__g *g, void *census) {
    (void)g;
    ((struct census *)census)->count++;
    return true;
}

static struct ag__trace_known *find_known(const ag__story *s, int64_t id) {
    for (size_t at = slot_of((uint64_t)id, s->known_room);; at = (at + 1) & (s->known_room - 1))
        if (s->known[at].id == id || s->known[at].id == 0)
            return &s->known[at];
}

static bool note_one(ag__g *g, void *census) {
    struct census *c = census;
    int64_t id = g->id;
    if (id > 0 && c->count > 0) {
        *find_known(c->story, id) = (struct ag__trace_known){id, g->site};
        c->count--;
    }
    return true;
}

/* Some start while we count: they will be told of. */
static bool know_the_living(ag__story *s) {
    struct census c = {s, 0};
    ag__g_each(count_one, &c);
    s->known_room = 64;
    while (s->known_room < 2 * c.count)
        s->known_room *= 2;
    s->known = calloc(s->known_room, sizeof *s->known);
    if (s->known)
        ag__g_each(note_one, &c);
    return s->known != NULL;
}

static const struct ag__site *site_known(const ag__story *s, int64_t id) {
    return find_known(s, id)->site;
}

static ag__trace_go *new_go(ag__story *s, int64_t id, const struct ag__site *site, int state) {
    if (4 * s->go_used > 3 * s->go_room && !grow_gos(s)) {
        s->failed = true;
        return NULL;
    }
    ag__trace_go *g = find_go(s, id);
    s->go_used++;
    if (!site)
        site = site_known(s, id);
    *g = (ag__trace_go){.id = id, .site = site, .state = state, .since = s->last};
    return g;
}

static void forget_go(ag__trace_go *g) {
    free(g->open);
    *g = (ag__trace_go){.id = -1};
}

static ag__trace_thread *find_thread(ag__trace_thread *all, size_t room, int tid) {
    for (size_t at = slot_of((uint64_t)tid, room);; at = (at + 1) & (room - 1))
        if (all[at].tid == tid || all[at].tid == 0)
            return &all[at];
}

/* Pointers to threads are valid until the next event. */
static ag__trace_thread *thread_of(ag__story *s, int tid) {
    ag__trace_thread *t = find_thread(s->threads, s->thread_room, tid);
    if (t->tid)
        return t;
    *t = (ag__trace_thread){.tid = tid, .p = -1};
    s->thread_used++;
    return t;
}

/* Room for the threads of one more event. */
static bool room_for_threads(ag__story *s) {
    if (2 * (s->thread_used + 2) <= s->thread_room)
        return true;
    size_t room = 2 * s->thread_room;
    ag__trace_thread *more = calloc(room, sizeof *more);
    if (!more)
        return false;
    for (size_t i = 0; i < s->thread_room; i++)
        if (s->threads[i].tid)
            *find_thread(more, room, s->threads[i].tid) = s->threads[i];
    free(s->threads);
    s->threads = more;
    s->thread_room = room;
    return true;
}

int ag__story_init(ag__story *s, ag__teller *teller) {
    enum { FIRST = 64 };
    *s = (ag__story){.teller = teller, .go_room = FIRST, .thread_room = FIRST, .last = INT64_MIN};
    teller->story = s;
    s->gos = calloc(FIRST, sizeof *s->gos);
    s->threads = calloc(FIRST, sizeof *s->threads);
    s->procs = calloc(AG__PROCS_MAX, sizeof *s->procs);
    return s->gos && s->threads && s->procs && know_the_living(s) ? 0 : -ENOMEM;
}

void ag__story_done(ag__story *s, int64_t when) {
    s->teller->stop(s->teller, when > s->last ? when : s->last + 1);
    for (size_t i = 0; s->gos && i < s->go_room; i++)
        free(s->gos[i].open);
    free(s->gos);
    free(s->threads);
    free(s->procs);
    free(s->known);
}

const char *ag__trace_name(const ag__trace_go *g) {
    if (g->id >= AG__TURNS)
        return "(goroutines in turn)";
    return g->site ? g->site->call : "?";
}

const char *ag__trace_reason(int reason) {
    return reason == AG__WAIT_NONE ? "not recorded" : ag__reason_name(reason);
}

const char *ag__trace_hand_on(int why) {
    static const char *const names[] = {"hand on", "hand on: hog", "hand on: blocked",
                                        "hand on: ag_blocking"};
    return names[why & 3];
}

/* --- Steps. --- */

static void tell(ag__story *s, ag__tell step) {
    step.when = s->last++;
    s->teller->step(s->teller, &step);
}

static void stop_here(ag__story *s, ag__trace_thread *t, int reason, uint64_t object) {
    ag__trace_go *g = t->g ? ag__story_go(s, t->g) : NULL;
    t->g = 0;
    if (!g)
        return;
    g->state = reason == AG__WAIT_YIELD ? AG__GO_RUNNABLE : AG__GO_WAITING;
    g->reason = reason;
    g->object = object;
    t->g = g->id; /* for the teller */
    tell(s, (ag__tell){AG__TELL_GO_STOP, .p = t->p, .thread = t, .g = g, .detail = reason,
                       .x = object});
    t->g = 0;
    g->tid = 0;
    g->since = s->last;
}

static void let_go(ag__story *s, ag__trace_thread *t) {
    if (t->p < 0)
        return;
    if (t->g && !t->out) {
        s->repairs++;
        stop_here(s, t, AG__WAIT_NONE, 0);
    }
    tell(s, (ag__tell){AG__TELL_PROC_STOP, .p = t->p, .thread = t});
    s->procs[t->p].tid = 0;
    t->p = -1;
}

static void know_proc(ag__story *s, ag__trace_thread *t, int p) {
    if (s->procs[p].known)
        return;
    s->procs[p].known = true;
    tell(s, (ag__tell){AG__TELL_PROC_IDLE, .p = p, .thread = t});
}

static void own(ag__story *s, ag__trace_thread *t, int p, bool is_told) {
    if (p < 0 || t->p == p)
        return;
    if (t->p >= 0 || s->procs[p].tid || (!is_told && s->procs[p].known))
        s->repairs++;
    let_go(s, t);
    if (s->procs[p].tid)
        let_go(s, thread_of(s, s->procs[p].tid));
    know_proc(s, t, p);
    t->p = p;
    t->since = s->last;
    s->procs[p].tid = t->tid;
    tell(s, (ag__tell){AG__TELL_PROC_START, .p = p, .thread = t});
}

static void come_back(ag__story *s, ag__trace_thread *t, ag__trace_go *g) {
    tell(s, (ag__tell){AG__TELL_GO_BACK, .p = t->p, .thread = t, .g = g});
    g->state = AG__GO_RUNNABLE;
    g->tid = 0;
    g->since = s->last;
    t->out = false;
    t->g = 0;
}

static void ready(ag__story *s, ag__trace_thread *t, ag__trace_go *g) {
    g->state = AG__GO_RUNNABLE;
    tell(s, (ag__tell){AG__TELL_GO_READY, .p = t->p, .thread = t, .g = g});
    g->since = s->last;
}

static ag__trace_go *start(ag__story *s, ag__trace_thread *t, int p, int64_t id,
                           const struct ag__site *site, bool is_told) {
    own(s, t, p, is_told);
    if (t->p < 0)
        return NULL;
    ag__trace_go *g = ag__story_go(s, id);
    if (g && t->g == id && !t->out)
        return g;
    if (t->g) {
        s->repairs++;
        ag__trace_go *left = ag__story_go(s, t->g);
        if (t->out && left)
            come_back(s, t, left);
        else
            stop_here(s, t, AG__WAIT_NONE, 0);
    }
    if (!g) {
        g = new_go(s, id, site, AG__GO_RUNNABLE);
        if (!g)
            return NULL;
        tell(s, (ag__tell){AG__TELL_GO_RUNNABLE, .p = t->p, .thread = t, .g = g});
    }
    if (!g->site)
        g->site = site;
    if (g->state != AG__GO_RUNNABLE) {
        s->repairs++;
        ag__trace_thread *where = g->tid ? thread_of(s, g->tid) : NULL;
        if (g->state == AG__GO_OUT && where)
            come_back(s, where, g);
        else if (g->state == AG__GO_RUNNING && where)
            stop_here(s, where, AG__WAIT_NONE, 0);
        if (g->state == AG__GO_WAITING)
            ready(s, t, g);
    }
    g->state = AG__GO_RUNNING;
    g->tid = t->tid;
    t->g = id;
    tell(s, (ag__tell){AG__TELL_GO_START, .p = t->p, .thread = t, .g = g});
    g->since = s->last - 1;
    return g;
}

/* --- Events. --- */

static const struct ag__site *site_in(const ag__event *e) {
    return (const struct ag__site *)(uintptr_t)e->x;
}

/* Behind e others ran, and nobody knows who. */
static void in_turn(ag__story *s, ag__trace_thread *t, const ag__noted *e) {
    if (!e->steps || t->g != e->e.g || t->out)
        return;
    stop_here(s, t, AG__WAIT_NONE, 0);
    ag__trace_go *g = start(s, t, t->p, AG__TURNS + t->p, NULL, true);
    if (g)
        g->steps = e->steps;
}

static void on_start(ag__story *s, ag__trace_thread *t, const ag__noted *e) {
    if (start(s, t, e->e.p, e->e.g, site_in(&e->e), true))
        in_turn(s, t, e);
}

static void on_stop(ag__story *s, ag__trace_thread *t, const ag__event *e) {
    if (!(t->g == e->g && t->p == e->p) && (t->g || ag__story_go(s, e->g)))
        s->repairs++;
    ag__trace_go *g = start(s, t, e->p, e->g, NULL, false);
    if (!g)
        return;
    if (e->kind == AG__EV_STOP) {
        stop_here(s, t, e->detail, e->x);
        return;
    }
    tell(s, (ag__tell){AG__TELL_GO_END, .p = t->p, .thread = t, .g = g});
    t->g = 0;
    forget_go(g);
}

static void on_create(ag__story *s, ag__trace_thread *t, const ag__event *e) {
    own(s, t, e->p, false);
    if (ag__story_go(s, e->g)) {
        s->repairs++;
        return;
    }
    ag__trace_go *g = new_go(s, e->g, site_in(e), AG__GO_RUNNABLE);
    if (g)
        tell(s, (ag__tell){t->p >= 0 && !t->out ? AG__TELL_GO_CREATE : AG__TELL_GO_RUNNABLE,
                           .p = t->p, .thread = t, .g = g});
}

static void on_ready(ag__story *s, ag__trace_thread *t, const ag__event *e) {
    own(s, t, e->p, false);
    ag__trace_go *g = ag__story_go(s, e->g);
    if (!g) {
        g = new_go(s, e->g, NULL, AG__GO_WAITING);
        if (!g)
            return;
        tell(s, (ag__tell){AG__TELL_GO_WAITING, .p = t->p, .thread = t, .g = g});
    }
    if (g->state == AG__GO_WAITING)
        ready(s, t, g);
    else
        s->repairs++;
}

static void on_drop(ag__story *s, ag__trace_thread *t, const ag__event *e) {
    if (e->p < 0)
        return;
    if (t->p != e->p)
        own(s, t, e->p, false);
    let_go(s, t);
}

static void on_hand_on(ag__story *s, ag__trace_thread *by, const ag__event *e) {
    ag__trace_thread *t = thread_of(s, (int)e->x);
    if (e->p < 0 || e->g <= 0)
        return;
    if (!(t->g == e->g && t->p == e->p) && (t->g || ag__story_go(s, e->g)))
        s->repairs++;
    ag__trace_go *g = start(s, t, e->p, e->g, NULL, false);
    if (!g)
        return;
    tell(s, (ag__tell){AG__TELL_PROC_TAKEN, .p = e->p, .thread = by, .other = t, .g = g,
                       .detail = e->detail});
    s->last++; /* two steps to some tellers */
    g->state = AG__GO_OUT;
    s->procs[e->p].tid = 0;
    t->p = -1;
    t->out = true;
    t->out_since = s->last;
}

static void on_back(ag__story *s, ag__trace_thread *t, const ag__event *e) {
    ag__trace_go *g = ag__story_go(s, e->g);
    if (!g) {
        g = new_go(s, e->g, site_in(e), AG__GO_RUNNABLE);
        if (!g)
            return;
        tell(s, (ag__tell){AG__TELL_GO_RUNNABLE, .p = t->p, .thread = t, .g = g});
    } else if (g->state == AG__GO_OUT && g->tid == t->tid) {
        come_back(s, t, g);
    } else {
        s->repairs++;
    }
    if (!g->site)
        g->site = site_in(e);
    if (e->detail == 0)
        start(s, t, e->p, e->g, site_in(e), false);
}

/* Regions end in the order in which they began, whatever was lost. */
static bool close_regions(ag__story *s, ag__trace_thread *t, ag__trace_go *g, uint64_t which) {
    int at = g->depth;
    while (at > 0 && g->open[at - 1].which != which)
        at--;
    if (at == 0)
        return false;
    while (g->depth >= at) {
        uint64_t top = g->open[--g->depth].which;
        tell(s, (ag__tell){AG__TELL_REGION_END, .p = t->p, .thread = t, .g = g, .x = (uint32_t)top,
                           .n = (uint32_t)(top >> 32)});
    }
    return true;
}

static void on_user(ag__story *s, ag__trace_thread *t, const ag__event *e) {
    ag__trace_go *g = start(s, t, e->p, e->g, NULL, false);
    if (!g)
        return;
    uint64_t which = (uint32_t)e->x | (uint64_t)e->n << 32;
    if (e->kind == AG__EV_REGION_END) {
        close_regions(s, t, g, which);
        return;
    }
    if (e->kind == AG__EV_REGION) {
        if (!g->open && !(g->open = calloc(AG__REGIONS_MAX, sizeof *g->open)))
            s->failed = true;
        if (!g->open || g->depth == AG__REGIONS_MAX)
            return;
        g->open[g->depth++] = (ag__trace_region){which, s->last};
    }
    int kind = e->kind == AG__EV_REGION     ? AG__TELL_REGION
               : e->kind == AG__EV_TASK     ? AG__TELL_TASK
               : e->kind == AG__EV_TASK_END ? AG__TELL_TASK_END
                                            : AG__TELL_LOG;
    tell(s, (ag__tell){kind, .p = t->p, .thread = t, .g = g, .x = e->x, .n = e->n});
}

void ag__story_add(ag__story *s, const ag__noted *n) {
    const ag__event *e = &n->e;
    if (s->failed || e->p >= AG__PROCS_MAX || !room_for_threads(s)) {
        s->failed = true;
        return;
    }
    if (e->when > s->last)
        s->last = e->when;
    ag__trace_thread *t = thread_of(s, n->tid);
    switch (e->kind) {
    case AG__EV_CREATE:
        on_create(s, t, e);
        break;
    case AG__EV_START:
        on_start(s, t, n);
        break;
    case AG__EV_STOP:
    case AG__EV_END:
        on_stop(s, t, e);
        break;
    case AG__EV_READY:
        on_ready(s, t, e);
        break;
    case AG__EV_TAKE:
        own(s, t, e->p, true);
        break;
    case AG__EV_DROP:
        on_drop(s, t, e);
        break;
    case AG__EV_HAND_ON:
        on_hand_on(s, t, e);
        break;
    case AG__EV_BACK:
        on_back(s, t, e);
        break;
    case AG__EV_REGION:
    case AG__EV_REGION_END:
    case AG__EV_TASK:
    case AG__EV_TASK_END:
    case AG__EV_LOG:
        on_user(s, t, e);
        in_turn(s, t, n);
        break;
    default:
        tell(s, (ag__tell){AG__TELL_MARK, .p = e->p, .thread = t, .detail = e->kind, .x = e->x,
                           .n = e->n});
    }
}
