/* SPDX-License-Identifier: MIT */
/*
 * dump.c - the text dump: every goroutine, what it waits for and where, without stopping any.
 *
 * How it is done is told in dump_view.h and the files named there. Here are the functions that
 * programs call, and what the floors below want of us: the last words of a panic and of a deadlock.
 *
 * A program with few goroutines wants to see each, one with 100,000 the dozen places where they
 * are. So from EACH_MAX on they are printed in groups, unless the caller has said.
 */
#include "debug/dump.h"
#include "debug/ask.h"
#include "debug/detect.h"
#include "debug/dump_view.h"
#include "debug/prof.h"
#include "debug/stall.h"
#include "debug/trace.h"
#include <aglet/debug.h>
#include <errno.h>
#include <string.h>

enum { EACH_MAX = AG__SIZE(250, 100) };

/* --- Stacks. --- */

static void print_mark(const ag__mark_info *mark, void *out) {
    fprintf(out, "stack of %s: deepest seen %zu of %zu bytes, %lld watched\n", mark->place,
            mark->used, mark->size, (long long)mark->watched);
}

/* How deep stacks have gone, by creation site and by size, as far as they were looked at. */
static void print_stacks(FILE *out) {
    ag__stack_size_info sizes[AG__STACK_SIZES];
    ag__marks_each(print_mark, out);
    if (ag__marks_are_full())
        fprintf(out, "stacks of more creation sites were not watched\n");
    int n = ag__stack_sizes(sizes);
    for (int i = 0; i < n; i++)
        fprintf(out, "stacks of %zu bytes: %lld in use, deepest seen %zu bytes\n", sizes[i].bytes,
                (long long)sizes[i].in_use, sizes[i].high_water);
}

/* --- Dumps. --- */

static void print_each(FILE *out, ag__dump *d, int64_t only) {
    const ag__view *self = NULL;
    for (size_t i = 0; i < d->count && !only; i++)
        if (d->views[i].is_self)
            ag__view_print(out, d, self = &d->views[i]);
    for (size_t i = 0; i < d->count; i++)
        if (&d->views[i] != self && (!only || d->views[i].id == only))
            ag__view_print(out, d, &d->views[i]);
}

static bool dump(FILE *out, int64_t only, int form) {
    ag__dump d;
    ag__dump_begin(&d);
    ag__dump_collect(&d, only);
    bool found = !only || ag__dump_find(&d, only);
    if (form == AG_DUMP_GROUPS || (form == AG_DUMP_AUTO && d.count > EACH_MAX))
        ag__groups_print(out, &d);
    else
        print_each(out, &d, only);
    if (d.no_memory)
        fprintf(out, "there is more, but no memory to show it\n\n");
    if (!only) {
        ag__nests_dump(out, false);
        print_stacks(out);
    }
    ag__dump_end(&d);
    fflush(out);
    return found;
}

void ag_dump(FILE *out) {
    dump(out, 0, AG_DUMP_AUTO);
}
void ag_dump_as(FILE *out, int form) {
    dump(out, 0, form);
}
int ag_dump_goroutine(FILE *out, int64_t id) {
    return id > 0 && dump(out, id, AG_DUMP_EACH) ? 0 : -ESRCH;
}

static void print_backtrace_here(FILE *out) {
    uintptr_t pcs[AG__FRAMES];
    int n = ag__unwind_here(pcs, AG__FRAMES, 1);
    for (int i = 0; i < n; i++)
        ag__frame_print(out, NULL, pcs[i]);
}

void ag_stats_read(ag_stats *ret_stats) {
    memset(ret_stats, 0, sizeof *ret_stats);
    if (!atomic_load(&ag__sched.running))
        return;
    ret_stats->goroutines = ag_count();
    ret_stats->created = ag__g_created();
    ret_stats->threads = ag__sched.m_count;
    ret_stats->procs = atomic_load(&ag__sched.p_count);
    ret_stats->handed_on = atomic_load(&ag__sched.handed_on);
    ret_stats->polls = atomic_load(&ag__sched.polls);
    for (int i = 0; i < ag__sched.p_made; i++)
        ret_stats->stolen += atomic_load_explicit(&ag__sched.p_all[i]->stolen, AG__RLX);
    ag__stack_stats(&ret_stats->stacks, &ret_stats->stack_bytes);
}

/* --- What the floors below want of us. --- */

static void print_on_quit(FILE *out) {
    fprintf(out, "SIGQUIT: quit\n\n");
    dump(out, 0, AG_DUMP_AUTO);
}
static void on_quit(void) {
    ag__dump_to_stderr(print_on_quit);
}

static void world_begins(void) {
    ag__trace_world_begins();
    ag__trace_crash_begin();
    ag__on_quit(on_quit);
    ag__ask_open();
    ag__detect_begin();
    ag__stall_begin();
    ag__prof_heap_begin();
}
static void world_ends(void) {
    ag__stall_end();
    ag__detect_end();
    ag__trace_world_ends();
    ag__ask_close();
}
static void deadlock(void) {
    fputs("\n", stderr);
    dump(stderr, 0, AG_DUMP_AUTO);
    ag__trace_at_end();
}
static void backtrace(void) {
    print_backtrace_here(stderr);
}

static void print_frames(const uintptr_t *pcs, int n) {
    for (int i = 0; i < n; i++)
        ag__frame_print(stderr, NULL, pcs[i]);
}

static void waiters_gone(void) {
    ag__chan_free_orphans();
    ag__nests_end();
}

static bool visit_blocked(ag__g *g, void *left) {
    if (atomic_load_explicit(&g->state, AG__RLX) != AG__G_RUNNING || !g->site)
        return true;
    fprintf(stderr, "\tgoroutine %lld: %s created at %s:%d\n", (long long)g->id, g->site->call,
            g->site->file, g->site->line);
    return --*(int *)left > 0;
}

static void threads_used_up(void) {
    int left = 10;
    ag__g_each(visit_blocked, &left);
}

static bool line_of(void *pc, const char **ret_file, int *ret_line) {
    ag__line_info line;
    if (ag__line((uintptr_t)pc, true, &line) != 0)
        return false;
    *ret_file = line.file;
    *ret_line = line.line;
    return true;
}

const struct ag__hooks ag__hooks = {.world_begins = world_begins,
                                    .world_ends = world_ends,
                                    .watch = ag__detect_watch,
                                    .waiters_gone = waiters_gone,
                                    .deadlock = deadlock,
                                    .dies = ag__trace_at_end,
                                    .threads_used_up = threads_used_up,
                                    .backtrace = backtrace,
                                    .line_of = line_of,
                                    .ctx_hand_on = ag__ctx_hand_on,
                                    .ctx_drop = ag__ctx_drop,
                                    .ctx_done = ag__ctx_done_of,
                                    .child_gone = ag__nest_child_gone,
                                    .print_frames = print_frames,
                                    .crash = ag__crash,
                                    .waited = ag__prof_waited,
                                    .contended = ag__prof_contended,
                                    .thread_made = ag__prof_thread_made};
