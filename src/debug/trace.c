/* SPDX-License-Identifier: MIT */
/*
 * trace.c - starting and stopping a trace, the snapshot of the flight recorder, regions and tasks.
 *
 * One trace at a time, in one `session`:
 *
 *            start                 stop, or the world ends          stop
 *     NONE --------> RUNS -----------------> ENDING --> ENDED ---------> NONE
 *                      the writer's thread drains  writes the rest, sets `done`
 *
 * The writer is a thread of its own, no goroutine: it works when every worker is stuck, and a file
 * that blocks stops nobody but itself. It takes what is on the tapes every 10 ms, or when one of
 * them is half full. Whoever ends the session waits for it on `done`.
 */
#include "debug/trace.h"
#include "os/sig.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { DRAIN_NS = 10000000 };
enum { NONE, RUNS, ENDING, ENDED };

static struct {
    ag__lock lock;
    int state;  /* Guarded by lock. */
    int result; /* The writer's until `done`. */
    ag__teller *teller;
    ag__story story;
    _Atomic uint32_t end, done; /* Futexes. */
} session;

_Atomic int64_t ag__trace_repairs;
static _Atomic int64_t world_since; /* goroutines' numbers are this world's since then */

/* --- The writer. --- */

static void tell_all(ag__noted_list *list, ag__story *story) {
    ag__noted_sort(list);
    for (size_t i = 0; i < list->count; i++)
        ag__story_add(story, &list->all[i]);
    list->count = 0;
}

static bool is_broken(const ag__noted_list *list) {
    return list->failed || session.story.failed || session.teller->failed ||
           ferror(session.teller->out);
}

static void writer(void) {
    FILE *out = session.teller->out;
    ag__noted_list list = {.since = INT64_MIN};
    ag__sig_receive_only(0); /* a pipe without a reader is an error, not a SIGPIPE */
    bool last = false, broken = false;
    session.teller->begin(session.teller);
    while (!last) {
        last = atomic_load(&session.end);
        if (last || broken)
            ag__probe_end();
        int64_t until = ag__probe_drain(ag__noted_take, &list);
        if (until == INT64_MIN)
            list.failed = true;
        if (!broken)
            tell_all(&list, &session.story);
        list.count = 0;
        broken = broken || is_broken(&list);
        if (!last && !atomic_load(&session.end))
            ag__probe_wait(DRAIN_NS);
    }
    ag__note_mode();
    bool failed = list.failed || session.story.failed || session.teller->failed;
    atomic_store(&ag__trace_repairs, session.story.repairs);
    ag__story_done(&session.story, ag__os_now());
    bool wrote = fflush(out) == 0 && !ferror(out);
    free(list.all);
    session.result = failed ? -ENOMEM : !wrote ? -EIO : ag__probe_lost() ? -ENOBUFS : 0;
    atomic_store(&session.done, 1);
    ag__os_futex_wake(&session.done, 1 << 30);
}

static bool claim(int from, int to) {
    ag__lock_acquire(&session.lock);
    bool mine = session.state == from;
    if (mine)
        session.state = to;
    ag__lock_release(&session.lock);
    return mine;
}

/* Who starts it is running already. */
static void note_self(void) {
    ag__m *m = ag__enter();
    if (!m->foreign) {
        ag__note_take(m);
        ag__note_start(m, m->g);
    }
    ag__leave(m);
}

int ag__trace_start(ag__teller *(*teller)(FILE *), FILE *out) {
    int r = ag__foreign_prepare();
    if (r != 0)
        return r;
    if (!claim(NONE, ENDING))
        return -EBUSY;
    atomic_store(&session.end, 0);
    atomic_store(&session.done, 0);
    session.teller = teller(out);
    r = session.teller ? ag__story_init(&session.story, session.teller) : -ENOMEM;
    if (r == 0)
        r = ag__probe_begin();
    if (r == 0) {
        ag__note_mode();
        note_self();
        r = ag__helper_start(writer, "aglet-trace");
    }
    if (r != 0) {
        ag__probe_end();
        ag__note_mode();
        if (session.teller)
            ag__story_done(&session.story, ag__os_now());
        claim(ENDING, NONE);
        return r;
    }
    claim(ENDING, RUNS);
    return 0;
}

/* The session's end, once; everybody else waits for it. */
static void end(void) {
    if (claim(RUNS, ENDING)) {
        atomic_store(&session.end, 1);
        ag__probe_nudge();
        while (!atomic_load(&session.done))
            ag__os_futex_wait(&session.done, 0, -1);
        claim(ENDING, ENDED);
    }
}

int ag_trace_start(FILE *out) {
    return ag__trace_start(ag__tell_go, out);
}
int ag_trace_start_json(FILE *out) {
    return ag__trace_start(ag__tell_json, out);
}

int ag_trace_stop(void) {
    end();
    ag__lock_acquire(&session.lock);
    int r = session.state == ENDED ? session.result : -ESRCH;
    if (session.state == ENDED)
        session.state = NONE;
    ag__lock_release(&session.lock);
    return r;
}

void ag__trace_world_begins(void) {
    atomic_store(&world_since, ag__os_now());
}

void ag__trace_world_ends(void) {
    end();
}

/* --- The flight recorder. --- */

int ag__trace_snapshot(ag__teller *(*teller)(FILE *), FILE *out, int64_t since) {
    ag__noted_list list = {.since = atomic_load(&world_since)};
    int r = ag__probe_snapshot(ag__noted_take, &list);
    int64_t now = ag__os_now();
    ag__teller *t = r == 0 && !list.failed ? teller(out) : NULL;
    ag__story story;
    if (!t || ag__story_init(&story, t) != 0) {
        if (t)
            ag__story_done(&story, now);
        free(list.all);
        return -ENOMEM;
    }
    ag__noted_sort(&list);
    ag__noted_find_gaps(&list);
    t->since = since;
    t->begin(t);
    tell_all(&list, &story);
    bool failed = list.failed || story.failed || t->failed;
    ag__story_done(&story, now);
    free(list.all);
    if (fflush(out) != 0 || ferror(out))
        return -EIO;
    return failed ? -ENOMEM : 0;
}

int ag_trace_snapshot(FILE *out) {
    return ag__trace_snapshot(ag__tell_go, out, INT64_MIN);
}
int ag_trace_snapshot_json(FILE *out) {
    return ag__trace_snapshot(ag__tell_json, out, INT64_MIN);
}

/* --- Regions and tasks. --- */

static bool is_on(void) {
    return atomic_load_explicit(&ag__probe_on, memory_order_relaxed) != 0;
}

static uint32_t next_task(void) {
    static _Atomic uint32_t last;
    uint32_t task = atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
    return task ? task : next_task();
}

uint64_t ag__task_region_begin(uint32_t task, const char *name) {
    if (!is_on())
        return 0;
    uint64_t which = ag__name(name) | (uint64_t)task << 32;
    ag__note_user(AG__EV_REGION, (uint32_t)which, task);
    return which;
}

uint64_t ag__region_begin(const char *name) {
    return ag__task_region_begin(0, name);
}

void ag__region_end(uint64_t region) {
    if (region)
        ag__note_user(AG__EV_REGION_END, (uint32_t)region, (uint32_t)(region >> 32));
}

uint32_t ag_task_begin(uint32_t parent, const char *name) {
    uint32_t task = next_task();
    if (is_on())
        ag__note_user(AG__EV_TASK, ag__name(name) | (uint64_t)parent << 32, task);
    return task;
}

void ag_task_end(uint32_t task) {
    if (is_on())
        ag__note_user(AG__EV_TASK_END, 0, task);
}

uint64_t ag__task_open(const char *name) {
    return ag__task_region_begin(ag_task_begin(0, name), name);
}

void ag__task_over(uint64_t region) {
    ag__region_end(region);
    ag_task_end((uint32_t)(region >> 32));
}

void ag_trace_log(uint32_t task, const char *text) {
    if (is_on())
        ag__note_user(AG__EV_LOG, ag__name(text), task);
}
