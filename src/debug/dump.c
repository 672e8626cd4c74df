/* SPDX-License-Identifier: MIT */
/*
 * dump.c - the text dump: every goroutine, what it waits for and where, without stopping any.
 *
 * A goroutine's record is read while it may run. What must be consistent - the stack of a parked
 * goroutine - is copied between two looks at its resume counter and saved stack pointer: if both
 * are unchanged, it did not run meanwhile, and the copy is unwound at leisure. One that moved is
 * tried a few times and then shown as running. Nothing waits for anybody, so a dump works when
 * every thread is stuck.
 *
 * The hooks at the end are what the floors below want of us: the last words of a panic and of a
 * deadlock.
 */
#include "debug/dump.h"
#include "ctx/ctx.h"
#include "io/io.h"
#include "lang/lang.h"
#include "os/unwind.h"
#include "sched/sched.h"
#include <aglet/debug.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FRAMES = 64, COPY_MAX = 64 * 1024, TRIES = 4 };

/* A goroutine as it stood at one moment. */
struct view {
    ag__g *g;
    int64_t id, creator, since, ends_at;
    int state, reason;
    const void *object;
    const struct ag__site *site;
    char name[32];
    bool has_stack;
    size_t stack_bytes, stack_used;
    uintptr_t pcs[FRAMES];
    int frames;
};

/* --- Looking. --- */

/* Whether the code at pc was compiled from a file of these folders, or nothing says otherwise. */
static bool is_ours(uintptr_t pc, bool is_return) {
    static const char *const folders[] = {"sched", "lang", "sync", "ctx", "debug", "arch/"};
    ag__line_info line;
    if (ag__line(pc, is_return, &line) != 0)
        return true;
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        if (strstr(line.file, folders[i]) || (line.dir && strstr(line.dir, folders[i])))
            return true;
    return false;
}

/* Frames of the runtime that are in everybody's way. Static functions by name: in a statically
 * linked program nothing else tells them from the user's. */
static bool is_runtime(const ag__symbol_info *symbol, uintptr_t pc, bool is_return) {
    static const char *const names[] = {
        "goroutine_main", "park",          "switch_to_loop", "wait_in",
        "wait_for_one",   "lock_slow",     "print_all",      "print_self",
        "dump",           "die",           "closed_panic",   "start",
        "walk",           "main_entry",    "wait_for_ever",  "print_backtrace_here",
        "backtrace",      "run",           "select_any",     "nil_call",
        "leave",          "panic_closed",  "park_foreign",   "park_foreign_until",
        "run_all",        "lock_checked",  "wait_for_grant", "wait_for_readers",
        "read_lock",      "write_lock",    "fly_along",      "wait_bound",
        "send_bound",     "recv_bound",    "call_deferred",  "run_one",
        "child_main",     "child_over",    "body_main",      "body_over",
        "wait_for_all",   "wait_for_room", "wait_for_job",   "close_scope",
        "stand_in_line",
    };
    if (strncmp(symbol->name, "ag__", 4) == 0)
        return true;
    size_t n = strcspn(symbol->name, ".");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i]) == n && strncmp(symbol->name, names[i], n) == 0)
            return is_ours(pc, is_return);
    return false;
}

/* The stack belongs to a goroutine that may be running by now, and is full of the sanitizers'
 * borders: plain words, each read once. */
static AG__NO_SANITIZE void copy_words(uintptr_t *to, const char *from, size_t n) {
    const volatile uintptr_t *words = (const volatile uintptr_t *)from;
    ag__vg_quiet_begin();
    for (size_t i = 0; i < n / sizeof *words; i++)
        to[i] = words[i];
    ag__vg_quiet_end();
    ag__vg_defined(to, n);
}

/* Copies the suspended stack of g into buf and unwinds the copy. False if g ran meanwhile. Here and
 * below TSan does not watch: g may run. */
static AG__NO_SANITIZE bool copy_stack(ag__g *g, struct view *v, unsigned char *buf) {
    uint64_t before = atomic_load_explicit(&g->resumes, memory_order_acquire);
    char *sp = __atomic_load_n((char **)&g->sp, __ATOMIC_ACQUIRE);
    char *hi = __atomic_load_n(&g->stack_hi, __ATOMIC_RELAXED);
    char *lo = __atomic_load_n(&g->stack_lo, __ATOMIC_RELAXED);
    if (!sp || sp <= lo || sp >= hi)
        return false;
    size_t n = (size_t)(hi - sp);
    v->stack_used = n;
    v->stack_bytes = (size_t)(hi - lo);
    if (n > COPY_MAX)
        n = COPY_MAX;
    copy_words((uintptr_t *)buf, sp, n);
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load_explicit(&g->resumes, memory_order_acquire) != before ||
        __atomic_load_n((char **)&g->sp, __ATOMIC_ACQUIRE) != sp)
        return false;
    ag__regs regs = {.sp = (uintptr_t)sp + AG__FRAME_WORDS * sizeof(uintptr_t)};
    regs.pc = ag__frame_read((const uintptr_t *)buf, regs.callee);
    ag__stack_view stack = {(uintptr_t)sp, (uintptr_t)sp + n, buf};
    v->frames = ag__unwind(&regs, &stack, v->pcs, FRAMES);
    v->has_stack = true;
    return true;
}

static AG__NO_SANITIZE void look(ag__g *g, struct view *v, unsigned char *buf) {
    memset(v, 0, offsetof(struct view, pcs));
    v->frames = 0;
    v->g = g;
    v->id = g->id;
    v->creator = g->creator;
    v->site = g->site;
    v->state = atomic_load_explicit(&g->state, memory_order_relaxed);
    v->reason = atomic_load_explicit(&g->reason, memory_order_relaxed);
    v->object = atomic_load_explicit(&g->wait_object, memory_order_relaxed);
    v->since = atomic_load_explicit(&g->wait_since, memory_order_relaxed);
    v->ends_at = atomic_load_explicit(&g->ends_at, memory_order_relaxed);
    const char *name = g->name;
    if (name)
        snprintf(v->name, sizeof v->name, "%s", name);
    for (int i = 0; i < TRIES && buf && !copy_stack(g, v, buf); i++) {
    }
    if (v->has_stack)
        ag__mark_depth(v->site, v->stack_used, v->stack_bytes);
    ag__mark_look(g);
}

/* --- Printing. --- */

static void print_frame(FILE *out, uintptr_t pc, bool is_return) {
    ag__symbol_info symbol;
    ag__line_info line;
    int known = ag__symbol(pc, is_return, &symbol);
    if (known == 0 && is_runtime(&symbol, pc, is_return))
        return;
    fprintf(out, "%s(...)\n\t", known == 0 ? symbol.name : "?");
    if (ag__line(pc, is_return, &line) == 0)
        fprintf(out, "%s%s%s:%d", line.dir ? line.dir : "", line.dir ? "/" : "", line.file,
                line.line);
    else
        fprintf(out, "%s", symbol.module ? symbol.module : "?");
    fprintf(out, " +0x%zx\n", (size_t)symbol.offset);
}

static void print_waiting(FILE *out, const struct view *v, int64_t now) {
    const char *text = ag__state_name(v->state);
    if (v->state == AG__G_WAITING)
        text = ag__reason_name(v->reason);
    fprintf(out, "%s", text);
    int64_t minutes = v->state == AG__G_WAITING ? (now - v->since) / AG_MIN : 0;
    if (minutes > 0)
        fprintf(out, ", %lld minutes", (long long)minutes);
}

static void print_view(FILE *out, const struct view *v, int64_t now) {
    fprintf(out, "goroutine %lld", (long long)v->id);
    if (v->name[0])
        fprintf(out, " \"%s\"", v->name);
    fprintf(out, " [");
    print_waiting(out, v, now);
    fprintf(out, "]:\n");
    if (v->state == AG__G_WAITING && v->object)
        fprintf(out, "waits for %p since %.3f s, stack %zu of %zu bytes\n", v->object,
                (double)(now - v->since) / 1e9, v->stack_used, v->stack_bytes);
    if (v->ends_at)
        fprintf(out, "deadline in %.3f s\n", (double)(v->ends_at - now) / 1e9);
    if (!v->has_stack && v->state == AG__G_RUNNING)
        fprintf(out, "\tgoroutine running on other thread; stack unavailable\n");
    for (int i = 0; i < v->frames; i++)
        print_frame(out, v->pcs[i], i > 0);
    if (v->site && v->id != 1)
        fprintf(out, "created by %s in goroutine %lld at %s:%d\n", v->site->func,
                (long long)v->creator, v->site->file, v->site->line);
    fprintf(out, "\n");
}

static void print_backtrace_here(FILE *out) {
    uintptr_t pcs[FRAMES];
    int n = ag__unwind_here(pcs, FRAMES, 1);
    for (int i = 0; i < n; i++)
        print_frame(out, pcs[i], true);
}

/* The caller itself runs; its backtrace is taken from here. */
static void print_self(FILE *out, ag__g *g, int64_t now) {
    struct view v;
    look(g, &v, NULL);
    fprintf(out, "goroutine %lld", (long long)v.id);
    if (v.name[0])
        fprintf(out, " \"%s\"", v.name);
    fprintf(out, " [running]:\n");
    if (v.ends_at)
        fprintf(out, "deadline in %.3f s\n", (double)(v.ends_at - now) / 1e9);
    print_backtrace_here(out);
    if (v.site && v.id != 1)
        fprintf(out, "created by %s in goroutine %lld at %s:%d\n", v.site->func,
                (long long)v.creator, v.site->file, v.site->line);
    fprintf(out, "\n");
}

struct job {
    FILE *out;
    ag__g *self;
    int64_t only, now;
    bool found;
    unsigned char *buf;
};

static bool visit(ag__g *g, void *arg) {
    struct job *j = arg;
    int state = atomic_load_explicit(&g->state, memory_order_relaxed);
    if (g == j->self || state == AG__G_FREE || state == AG__G_WISH || (j->only && g->id != j->only))
        return true;
    struct view v;
    look(g, &v, j->buf);
    if (v.id <= 0)
        return true;
    if (v.since > j->now) /* it has come to wait while we print */
        v.since = j->now;
    print_view(j->out, &v, j->now);
    j->found = true;
    return !j->only;
}

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

static bool dump(FILE *out, int64_t only) {
    ag__g *self = ag__m_now()->g;
    if (self && (self->flags & AG__GF_FOREIGN))
        self = NULL;
    struct job j = {out, self, only, ag__os_now(), false, malloc(COPY_MAX)};
    if (self && (!only || self->id == only)) {
        print_self(out, self, j.now);
        j.found = true;
    }
    if (!only || !j.found)
        ag__g_each(visit, &j);
    if (!only) {
        ag__nests_dump(out, false);
        print_stacks(out);
    }
    free(j.buf);
    fflush(out);
    return j.found;
}

void ag_dump(FILE *out) {
    dump(out, 0);
}
int ag_dump_goroutine(FILE *out, int64_t id) {
    return id > 0 && dump(out, id) ? 0 : -ESRCH;
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

static void on_quit(void) {
    fprintf(stderr, "SIGQUIT: quit\n\n");
    dump(stderr, 0);
}

static void world_begins(void) {
    ag__on_quit(on_quit);
}
static void world_ends(void) {
}
static void deadlock(void) {
    fputs("\n", stderr);
    dump(stderr, 0);
}
static void backtrace(void) {
    print_backtrace_here(stderr);
}

static void print_frames(const uintptr_t *pcs, int n) {
    for (int i = 0; i < n; i++)
        print_frame(stderr, pcs[i], true);
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
                                    .waiters_gone = waiters_gone,
                                    .deadlock = deadlock,
                                    .threads_used_up = threads_used_up,
                                    .backtrace = backtrace,
                                    .line_of = line_of,
                                    .ctx_hand_on = ag__ctx_hand_on,
                                    .ctx_drop = ag__ctx_drop,
                                    .ctx_done = ag__ctx_done_of,
                                    .child_gone = ag__nest_child_gone,
                                    .print_frames = print_frames};
