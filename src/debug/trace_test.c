/* SPDX-License-Identifier: MIT */
/*
 * The story that traces tell: whatever the events are, it has no contradictions; of a full trace
 * it needs no correction; what the recorder did not see is said to be so.
 */
#include "debug/trace.h"
#include <aglet.h>

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "ag_test.h"

/* A teller that believes nothing. */
enum { PROCS = 8, THREADS = 8, GOS = 32 };
struct checker {
    ag__teller teller;
    int64_t last;
    int tid_of[AG__PROCS_MAX]; /* -1: not known yet, 0: idle */
    struct {
        int p;
        int64_t g;
        bool out;
    } thread[THREADS];
    struct {
        bool known;
        int state, tid, depth;
    } go[GOS + 2];
    long steps, turns;
    char text[4096]; /* of the first steps, in short */
};

static int go_index(const ag__trace_go *g) {
    ag_check(g->id > 0);
    if (g->id >= AG__TURNS)
        return GOS; /* one for all: it is not looked at closely */
    ag_check(g->id < GOS);
    return (int)g->id;
}

static void note_text(struct checker *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void note_text(struct checker *c, const char *fmt, ...) {
    size_t n = strlen(c->text);
    va_list args;
    va_start(args, fmt);
    vsnprintf(c->text + n, sizeof c->text - n, fmt, args);
    va_end(args);
}

static void check_proc(struct checker *c, const ag__tell *s) {
    int tid = s->thread ? s->thread->tid : 0;
    switch (s->kind) {
    case AG__TELL_PROC_IDLE:
        ag_check_int(c->tid_of[s->p], -1);
        c->tid_of[s->p] = 0;
        return;
    case AG__TELL_PROC_START:
        ag_check_int(c->tid_of[s->p], 0);
        ag_check_int(c->thread[tid].p, -1);
        c->tid_of[s->p] = tid;
        c->thread[tid].p = s->p;
        note_text(c, "%d+p%d ", tid, s->p);
        return;
    case AG__TELL_PROC_STOP:
        ag_check_int(c->tid_of[s->p], tid);
        ag_check_int(c->thread[tid].p, s->p);
        ag_check(c->thread[tid].g == 0 || c->thread[tid].out);
        c->tid_of[s->p] = 0;
        c->thread[tid].p = -1;
        note_text(c, "%d-p%d ", tid, s->p);
        return;
    default: { /* taken */
        int other = s->other->tid;
        ag_check_int(c->thread[other].p, s->p);
        ag_check_int(c->thread[other].g, s->g->id);
        ag_check(!c->thread[other].out);
        c->thread[other].p = -1;
        c->thread[other].out = true;
        c->tid_of[s->p] = 0;
        c->go[go_index(s->g)].state = AG__GO_OUT;
        note_text(c, "%d!p%d ", other, s->p);
    }
    }
}

static void check_go(struct checker *c, const ag__tell *s) {
    int g = go_index(s->g), tid = s->thread->tid;
    switch (s->kind) {
    case AG__TELL_GO_RUNNABLE:
    case AG__TELL_GO_WAITING:
    case AG__TELL_GO_CREATE:
        ag_check(!c->go[g].known || g == GOS);
        ag_check(s->kind != AG__TELL_GO_CREATE || c->thread[tid].p >= 0);
        c->go[g].known = true;
        c->go[g].depth = 0;
        c->go[g].state = s->kind == AG__TELL_GO_WAITING ? AG__GO_WAITING : AG__GO_RUNNABLE;
        return;
    case AG__TELL_GO_START:
        ag_check(c->go[g].known && (c->go[g].state == AG__GO_RUNNABLE || g == GOS));
        ag_check_int(c->thread[tid].g, 0);
        ag_check(c->thread[tid].p >= 0);
        c->go[g].state = AG__GO_RUNNING;
        c->go[g].tid = tid;
        c->thread[tid].g = s->g->id;
        c->turns += g == GOS;
        note_text(c, "%d>%d ", tid, g);
        return;
    case AG__TELL_GO_STOP:
    case AG__TELL_GO_END:
        ag_check(c->go[g].state == AG__GO_RUNNING || g == GOS);
        ag_check_int(c->thread[tid].g, s->g->id);
        ag_check(!c->thread[tid].out);
        c->thread[tid].g = 0;
        c->go[g].known = s->kind == AG__TELL_GO_STOP;
        c->go[g].state = s->detail == AG__WAIT_YIELD ? AG__GO_RUNNABLE : AG__GO_WAITING;
        note_text(c, s->kind == AG__TELL_GO_STOP ? "%d<%d " : "%d#%d ", tid, g);
        return;
    case AG__TELL_GO_READY:
        ag_check(c->go[g].state == AG__GO_WAITING || g == GOS);
        c->go[g].state = AG__GO_RUNNABLE;
        return;
    default: /* back */
        ag_check(c->thread[tid].out);
        ag_check_int(c->thread[tid].g, s->g->id);
        c->thread[tid].out = false;
        c->thread[tid].g = 0;
        c->go[g].state = AG__GO_RUNNABLE;
    }
}

static void check_user(struct checker *c, const ag__tell *s) {
    ag_check_int(c->thread[s->thread->tid].g, s->g->id);
    ag_check(!c->thread[s->thread->tid].out);
    int *depth = &c->go[go_index(s->g)].depth;
    *depth += s->kind == AG__TELL_REGION;
    *depth -= s->kind == AG__TELL_REGION_END;
    ag_check(*depth >= 0);
}

static void step(ag__teller *t, const ag__tell *s) {
    struct checker *c = (struct checker *)t;
    ag_check(s->when > c->last);
    c->last = s->when;
    c->steps++;
    if (s->kind <= AG__TELL_PROC_TAKEN)
        check_proc(c, s);
    else if (s->kind < AG__TELL_MARK)
        check_go(c, s);
    else if (s->kind > AG__TELL_MARK)
        check_user(c, s);
}

static void stop(ag__teller *t, int64_t when) {
    ag_check(when > ((struct checker *)t)->last);
}

static void check_init(struct checker *c, ag__story *story) {
    memset(c, 0, sizeof *c);
    c->last = INT64_MIN;
    c->teller = (ag__teller){.step = step, .stop = stop}; /* begun by nobody */
    memset(c->tid_of, -1, sizeof c->tid_of);
    for (int i = 0; i < THREADS; i++)
        c->thread[i].p = -1;
    ag_check_int(ag__story_init(story, &c->teller), 0);
}

/* --- Made up events. --- */

static struct checker checker;
static ag__story story;

#define TOLD(list) tell_events(list, sizeof(list) / sizeof *(list))
static const char *tell_events(const ag__noted *events, size_t n) {
    check_init(&checker, &story);
    ag__noted_list list = {.since = INT64_MIN};
    for (size_t i = 0; i < n; i++)
        ag_check(ag__noted_take(&list, events[i].tid, &events[i].e, 1));
    ag__noted_sort(&list);
    ag__noted_find_gaps(&list);
    for (size_t i = 0; i < list.count; i++)
        ag__story_add(&story, &list.all[i]);
    ag__story_done(&story, 1000000);
    free(list.all);
    checker.text[strcspn(checker.text, "\n")] = 0;
    if (checker.text[0])
        checker.text[strlen(checker.text) - 1] = 0;
    return checker.text;
}

#define E(t, thread, what, ...)                                                                    \
    {                                                                                              \
        .tid = thread, .e = {.when = t, .kind = AG__EV_##what, __VA_ARGS__ }                       \
    }

AG_TEST(what_fits_is_told_as_it_is) {
    const ag__noted events[] = {
        E(10, 1, TAKE, .p = 0),
        E(11, 1, START, .p = 0, .g = 1, .n = 1),
        E(12, 1, CREATE, .p = 0, .g = 2),
        E(13, 1, STOP, .p = 0, .g = 1, .detail = AG__WAIT_CHAN_RECV, .n = 2),
        E(14, 1, START, .p = 0, .g = 2, .n = 2),
        E(15, 1, READY, .p = 0, .g = 1),
        E(16, 1, END, .p = 0, .g = 2, .n = 3),
        E(17, 1, START, .p = 0, .g = 1, .n = 3),
        E(18, 1, STOP, .p = 0, .g = 1, .detail = AG__WAIT_YIELD, .n = 4),
        E(19, 1, DROP, .p = 0, .n = 4),
    };
    ag_check_str(TOLD(events), "1+p0 1>1 1<1 1>2 1#2 1>1 1<1 1-p0");
    ag_check_int(story.repairs, 0);
    ag_check_int(checker.turns, 0);
}

AG_TEST(events_of_threads_are_merged_by_time) {
    const ag__noted events[] = {
        E(10, 1, TAKE, .p = 0),          E(11, 1, START, .p = 0, .g = 1, .n = 1),
        E(20, 1, READY, .p = 0, .g = 2), E(12, 2, TAKE, .p = 1),
        E(21, 2, START, .p = 1, .g = 2), E(25, 2, END, .p = 1, .g = 2, .n = 1),
    };
    ag_check_str(TOLD(events), "1+p0 1>1 2+p1 2>2 2#2");
    ag_check_int(story.repairs, 0);
}

AG_TEST(a_hand_on_leaves_its_goroutine_without_a_processor) {
    const ag__noted events[] = {
        E(10, 1, TAKE, .p = 0),
        E(11, 1, START, .p = 0, .g = 1, .n = 1),
        E(12, 3, HAND_ON, .p = 0, .g = 1, .x = 1, .n = 1, .detail = AG__HAND_BLOCKED),
        E(13, 2, TAKE, .p = 0),
        E(14, 2, START, .p = 0, .g = 2, .n = 2),
        E(15, 1, TAKE, .p = 1),
        E(16, 1, BACK, .p = 1, .g = 1),
        E(17, 1, END, .p = 1, .g = 1, .n = 1),
        E(18, 2, HAND_ON, .p = 0, .g = 2, .x = 2, .n = 2, .detail = AG__HAND_ASKED),
        E(19, 2, BACK, .p = -1, .g = 2, .detail = 1),
        E(20, 1, START, .p = 1, .g = 2, .n = 2),
    };
    ag_check_str(TOLD(events), "1+p0 1>1 1!p0 2+p0 2>2 1+p1 1>1 1#1 2!p0 1>2");
    ag_check_int(story.repairs, 0);
}

AG_TEST(what_was_not_seen_is_not_made_up) {
    const ag__noted events[] = {
        E(10, 1, TAKE, .p = 0),
        E(11, 1, START, .p = 0, .g = 1, .n = 1),
        E(50, 1, STOP, .p = 0, .g = 7, .n = 64, .detail = AG__WAIT_SLEEP), /* 62 steps later */
        E(51, 1, START, .p = 0, .g = 3, .n = 65),
        E(60, 1, DROP, .p = 0, .g = 3, .x = 55, .n = 66), /* 3 ran to the end */
        E(70, 1, TAKE, .p = 0),
        E(71, 1, START, .p = 0, .g = 4, .n = 70),
        E(72, 1, REGION, .p = 0, .g = 4, .x = 1, .detail = 70),
        E(90, 1, DROP, .p = 0, .g = -4, .x = 80, .n = 71),
    };
    ag_check_str(TOLD(events), "1+p0 1>1 1<1 1>32 1<32 1>7 1<7 1>3 1<3 1-p0 1+p0 1>4 1#4 1-p0");
    ag_check_int(checker.turns, 1);
}

AG_TEST(contradictions_are_mended) {
    const ag__noted events[] = {
        E(10, 1, TAKE, .p = 0),
        E(11, 1, START, .p = 0, .g = 1, .n = 1),
        E(12, 2, TAKE, .p = 0),                  /* 1 never let go */
        E(13, 2, START, .p = 0, .g = 1, .n = 2), /* and 1 was never readied */
        E(14, 3, START, .p = 1, .g = 1, .n = 1), /* here, too */
        E(15, 3, BACK, .p = 1, .g = 5),
        E(16, 3, REGION_END, .p = 1, .g = 5, .x = 9),
    };
    TOLD(events);
    ag_check(story.repairs >= 3);
}

/* Anything in any order: the checker finds every contradiction. */
static void tell_random(uint64_t seed) {
    check_init(&checker, &story);
    int64_t when = 0;
    for (int i = 0; i < 400; i++) {
        uint32_t r = ag__random(&seed), q = ag__random(&seed);
        ag__noted n = {.tid = 1 + (int)(r % (THREADS - 1)), .steps = q % 3 == 0 ? q % 100 : 0};
        n.e = (ag__event){.when = when += (int64_t)(q >> 8) % 5 - 1,
                          .kind = (uint8_t)(1 + (r >> 4) % (AG__EV_COUNT - 1)),
                          .detail = (uint8_t)(q % 4),
                          .p = (int16_t)((r >> 10) % (PROCS + 1) - 1),
                          .g = 1 + (r >> 16) % (GOS - 1),
                          .n = r >> 24};
        n.e.x = n.e.kind == AG__EV_HAND_ON ? 1 + q % (THREADS - 1) : 0;
        if (n.e.kind >= AG__EV_REGION)
            n.e.x = 1 + q % 3;
        ag__story_add(&story, &n);
    }
    ag_check(!story.failed);
    ag__story_done(&story, 1000000);
}

AG_TEST(any_events_make_a_story_without_contradictions) {
    for (uint64_t seed = 1; seed <= 2000; seed++)
        tell_random(seed * 7919);
    ag_check(checker.steps > 100);
}

AG_TEST(events_of_a_ring_that_changed_hands_belong_to_whom_they_belong) {
    const ag__event events[] = {{.when = 1, .kind = AG__EV_STEAL},
                                {.when = 2, .kind = AG__EV_FINISH, .x = 5},
                                {.when = 3, .kind = AG__EV_BEGIN, .x = 6},
                                {.when = 4, .kind = AG__EV_STEAL}};
    ag__noted_list list = {.since = 2};
    ag__noted_take(&list, 6, events, 4);
    ag_check_int(list.count, 3);
    ag_check_int(list.all[0].tid, 5);
    ag_check_int(list.all[1].tid, 6);
    ag_check_int(list.all[2].tid, 6);
    free(list.all);
}

/* --- The program's own. --- */

static void talk(ag_chan(int) c, ag_chan(int) d, int n) {
    ag_region("talking");
    for (int i = 0; i < n; i++) {
        ag_send(c, i);
        ag_recv(d, NULL);
    }
}
static void answer(ag_chan(int) c, ag_chan(int) d, int n) {
    for (int i = 0; i < n; i++) {
        ag_recv(c, NULL);
        ag_send(d, i);
    }
}
static void yields(int n) {
    for (int i = 0; i < n; i++)
        ag_yield();
}
static void rests(int n) {
    for (int i = 0; i < n; i++)
        ag_sleep(20 * AG_US);
}
static void blocks(int n) {
    for (int i = 0; i < n; i++)
        ag_blocking(ag__os_sleep, 100000);
}

static int everything(void *arg) {
    (void)arg;
    int n = 300 / ag_test_slow();
    ag_chan(int) c = ag_make(int, 0), d = ag_make(int, 0);
    ag_wg wg = AG_WG_INIT;
    for (int i = 0; i < 4; i++) {
        ag_wg_go(&wg, talk, c, d, n);
        ag_wg_go(&wg, answer, c, d, n);
        ag_wg_go(&wg, yields, n);
        ag_wg_go(&wg, rests, n / 10);
        ag_wg_go(&wg, blocks, n / 30);
    }
    ag_wg_wait(&wg);
    ag_unref(c);
    ag_unref(d);
    return 0;
}

AG_TEST(a_full_trace_needs_no_correction) {
    FILE *out = tmpfile();
    for (int i = 0; i < 3; i++) {
        ag_check_int(ag_trace_start_json(out), 0);
        ag_check_int(ag_run(everything, NULL), 0);
        int r = ag_trace_stop();
        ag_check(r == 0 || r == -ENOBUFS);
        if (r == 0)
            ag_check_int(ag__trace_repairs, 0);
    }
    fclose(out);
}
