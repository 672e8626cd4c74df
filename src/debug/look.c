/* SPDX-License-Identifier: MIT */
/*
 * look.c - the stacks of goroutines that are not running; see look.h.
 */
#include "debug/look.h"
#include "os/unwind.h"
#include <string.h>

enum { TRIES = 4 };

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
bool ag__is_runtime_frame(const ag__symbol_info *symbol, uintptr_t pc, bool is_return) {
    static const char *const names[] = {
        "goroutine_main", "park",
        "switch_to_loop", "wait_in",
        "wait_for_one",   "lock_slow",
        "print_all",      "print_self",
        "dump",           "die",
        "closed_panic",   "start",
        "walk",           "main_entry",
        "wait_for_ever",  "print_backtrace_here",
        "backtrace",      "run",
        "select_any",     "nil_call",
        "leave",          "panic_closed",
        "park_foreign",   "park_foreign_until",
        "run_all",        "lock_checked",
        "wait_for_grant", "wait_for_readers",
        "read_lock",      "write_lock",
        "fly_along",      "wait_bound",
        "send_bound",     "recv_bound",
        "call_deferred",  "run_one",
        "child_main",     "child_over",
        "body_main",      "body_over",
        "wait_for_all",   "wait_for_room",
        "wait_for_job",   "close_scope",
        "stand_in_line",  "look_at_self",
        "look_at",        "visit",
        "gather",         "park_watched",
        "park_since",     "record",
        "wake_first",     "let_in",
        "tell_writer",    "switch_to",
        "note_leaving",   "lock_otherwise",
        "lock",           "read_lock_otherwise",
        "give_outside",
    };
    if (strncmp(symbol->name, "ag__", 4) == 0)
        return true;
    size_t n = (size_t)ag__symbol_length(symbol->name);
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

/* Copies the suspended stack of g into buf and unwinds the copy. 0 if g ran meanwhile. TSan does
 * not watch: g may run. */
static AG__NO_SANITIZE int copy_stack(ag__g *g, unsigned char *buf, uintptr_t *ret_pcs, int max,
                                      ag__stack_shape *ret_shape) {
    uint64_t before = atomic_load_explicit(&g->resumes, memory_order_acquire);
    char *sp = __atomic_load_n((char **)&g->sp, __ATOMIC_ACQUIRE);
    char *hi = __atomic_load_n(&g->stack_hi, __ATOMIC_RELAXED);
    char *lo = __atomic_load_n(&g->stack_lo, __ATOMIC_RELAXED);
    if (!sp || sp <= lo || sp >= hi)
        return 0;
    size_t n = (size_t)(hi - sp);
    *ret_shape = (ag__stack_shape){n, (size_t)(hi - lo)};
    if (n > AG__LOOK_BYTES)
        n = AG__LOOK_BYTES;
    copy_words((uintptr_t *)buf, sp, n);
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load_explicit(&g->resumes, memory_order_acquire) != before ||
        __atomic_load_n((char **)&g->sp, __ATOMIC_ACQUIRE) != sp)
        return 0;
    ag__regs regs = {.sp = (uintptr_t)sp + AG__FRAME_WORDS * sizeof(uintptr_t)};
    regs.pc = ag__frame_read((const uintptr_t *)buf, regs.callee);
    ag__stack_view stack = {(uintptr_t)sp, (uintptr_t)sp + n, buf};
    return ag__unwind(&regs, &stack, ret_pcs, max);
}

int ag__look_at_stack(ag__g *g, unsigned char *buf, uintptr_t *ret_pcs, int max,
                      ag__stack_shape *ret_shape) {
    int n = 0;
    *ret_shape = (ag__stack_shape){0, 0};
    for (int i = 0; i < TRIES && n == 0; i++)
        n = copy_stack(g, buf, ret_pcs, max, ret_shape);
    return n;
}

AG__NO_SANITIZE void ag__look_at_own_name(const ag__g *g, char ret_name[AG__NAME_BYTES]) {
    const volatile char *name = g->name;
    size_t n = 0;
    while (name && n < AG__NAME_BYTES - 1 && name[n]) {
        ret_name[n] = name[n];
        n++;
    }
    ret_name[n] = 0;
}
