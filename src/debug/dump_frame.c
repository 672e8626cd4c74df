/* SPDX-License-Identifier: MIT */
/*
 * dump_frame.c - frames as text: function, file, line. The runtime's own are left out.
 *
 * A look into the line tables takes some microseconds, and the same few places come again and
 * again: a dump keeps the text of each.
 */
#include "debug/dump_view.h"
#include <string.h>

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

void ag__frame_text(ag__text *t, uintptr_t pc, bool is_return, bool always) {
    ag__symbol_info symbol;
    ag__line_info line;
    int known = ag__symbol(pc, is_return, &symbol);
    if (!always && known == 0 && is_runtime(&symbol, pc, is_return))
        return;
    ag__put(t, known == 0 ? symbol.name : "?");
    ag__put(t, "(...)\n\t");
    if (ag__line(pc, is_return, &line) == 0) {
        ag__put(t, line.dir ? line.dir : "");
        ag__put(t, line.dir ? "/" : "");
        ag__put(t, line.file);
        ag__put(t, ":");
        ag__put_number(t, line.line);
    } else {
        ag__put(t, symbol.module ? symbol.module : "?");
    }
    ag__put(t, " +");
    ag__put_hex(t, symbol.offset);
    ag__put(t, "\n");
}

/* The slot of this place, or a free one; NULL: the table is full. */
static struct ag__frame_slot *slot_of(ag__dump *d, uintptr_t pc, bool is_return) {
    enum { TRIES = 16 };
    size_t at = (size_t)((pc * 2 + is_return) * 0x9E3779B97F4A7C15ull >> 40);
    for (int i = 0; i < TRIES; i++) {
        struct ag__frame_slot *s = &d->frames[(at + (size_t)i) % AG__FRAME_SLOTS];
        if (!s->text || (s->pc == pc && s->is_return == is_return))
            return s;
    }
    return NULL;
}

/* The text of a frame, kept or in buf. */
static const char *text_of(ag__dump *d, uintptr_t pc, bool is_return, char buf[AG__FRAME_TEXT]) {
    struct ag__frame_slot *s = d ? slot_of(d, pc, is_return) : NULL;
    if (s && s->text)
        return s->text;
    ag__text t = {buf, AG__FRAME_TEXT, 0};
    buf[0] = 0;
    ag__frame_text(&t, pc, is_return, false);
    char *copy = s ? ag__dump_take(d, t.n + 1) : NULL;
    if (copy)
        *s = (struct ag__frame_slot){pc, is_return, memcpy(copy, buf, t.n + 1)};
    return buf;
}

void ag__frame_print(FILE *out, ag__dump *d, uintptr_t pc) {
    char buf[AG__FRAME_TEXT];
    fputs(text_of(d, pc, true, buf), out);
}

int ag__frames_shown(ag__dump *d, uintptr_t *pcs, int n, bool is_self) {
    char buf[AG__FRAME_TEXT];
    int shown = 0;
    for (int i = 0; i < n; i++)
        if (text_of(d, pcs[i], i > 0 || is_self, buf)[0])
            pcs[shown++] = pcs[i];
    return shown;
}

const char *ag__pending_name(const ag__pending *p) {
    ag__symbol_info symbol;
    uintptr_t pc = (uintptr_t)p->fn;
    if (ag__symbol(pc, false, &symbol) != 0)
        return "?";
    return is_runtime(&symbol, pc, false) ? NULL : symbol.name;
}
