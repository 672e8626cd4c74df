/* SPDX-License-Identifier: MIT */
/*
 * dump_crash.c - the last words of a process that a signal ends: which goroutine, where, created by
 * whom. Afterwards the signal does what it would have done without us: os/linux/fault.c.
 *
 *     SIGSEGV: segmentation violation
 *     PC=0x5581... sigcode=1 addr=0x10
 *
 *     goroutine 17 "name" [running]:
 *     labels: customer="ada"
 *     function(...)
 *     \tfile:line +0x12
 *     created by function in goroutine 1 at file:line
 *     what ran before: go tool trace last.trace
 *
 * It runs in a signal handler, on the alternate stack, perhaps in the midst of malloc or with a
 * broken heap: no stdio, no malloc, no lock. The text lies in static memory, since the stack may be
 * small; so of several threads that crash at the same time the first one speaks, and the others
 * give it some time. Memory that is read may be gone: the unwinder probes it, names and labels are
 * copied with care, and a fault in here ends the process, since the signals are blocked.
 *
 * A stack overflow ends the process with status 2, as a panic does; with AGLET_TRACEBACK=crash it
 * ends as the signal does.
 */
#include "debug/dump_view.h"
#include "debug/trace.h"
#include <stdlib.h>
#include <string.h>

enum { TIME_OF_OTHERS_MS = 5000 };

static _Atomic int speaker; /* Atomic; the thread that reports, 0: none. */
static char buffer[4096];   /* Of the speaker, as what follows. */
static uintptr_t pcs[AG__FRAMES];

static void flush(ag__text *t) {
    ag__os_write_err(t->buf, t->n);
    t->n = 0;
    t->buf[0] = 0;
}

static void put_texts(ag__text *t, const ag__g *g) {
    char text[AG__LABEL_BYTES];
    ag__g_name(g, text);
    if (text[0]) {
        ag__put(t, " \"");
        ag__put(t, text);
        ag__put(t, "\"");
    }
    ag__put(t, " [running]:\n");
    if (!ag__labels_copy(g, text))
        return;
    ag__put(t, "labels: ");
    ag__put_labels(t, text);
    ag__put(t, "\n");
}

static void put_head(ag__text *t, const ag__os_fault *f, const ag__g *g, bool overflow,
                     uintptr_t pc) {
    if (overflow) {
        ag__put(t, "aglet: goroutine stack exceeds ");
        ag__put_number(t, g->stack_hi - g->stack_lo);
        ag__put(t, "-byte limit\nfatal error: stack overflow\n\n");
        return;
    }
    ag__put(t, f->name);
    ag__put(t, ": ");
    ag__put(t, f->text);
    ag__put(t, "\nPC=");
    ag__put_hex(t, pc);
    ag__put(t, " sigcode=");
    ag__put_number(t, f->code);
    if (f->is_sent && f->sender) {
        ag__put(t, " sent by process ");
        ag__put_number(t, f->sender);
    } else if (!f->is_sent) {
        ag__put(t, " addr=");
        ag__put_hex(t, (uintptr_t)f->addr);
    }
    ag__put(t, "\n\n");
}

static void put_frames(ag__text *t, const ag__regs *regs) {
    int n = ag__unwind(regs, NULL, pcs, AG__FRAMES);
    for (int i = 0; i < n; i++) {
        ag__frame_text(t, pcs[i], i > 0, i == 0);
        flush(t);
    }
    if (n == AG__FRAMES)
        ag__put(t, "...additional frames elided...\n");
}

static void put_creation(ag__text *t, const ag__g *g, bool overflow) {
    const struct ag__site *site = g->site;
    if (!site || g->id == 1)
        return;
    if (overflow) { /* the frames of its function may be far away */
        ag__put(t, site->call);
        ag__put(t, "\n");
    }
    ag__put(t, "created by ");
    ag__put(t, site->func);
    ag__put(t, " in goroutine ");
    ag__put_number(t, g->creator);
    ag__put(t, " at ");
    ag__put(t, site->file);
    ag__put(t, ":");
    ag__put_number(t, site->line);
    ag__put(t, "\n");
}

static void put_record(ag__text *t) {
    bool wrote = false;
    const char *path = ag__trace_at_crash(&wrote);
    if (!path)
        return;
    ag__put(t, wrote ? "\nwhat ran before: go tool trace " : "\naglet: could not write ");
    ag__put(t, path);
    ag__put(t, "\n");
    flush(t);
}

static void report(const ag__os_fault *f, bool overflow) {
    ag__text t = {buffer, sizeof buffer, 0};
    ag__regs regs;
    ag__regs_of_signal(f->context, &regs);
    const ag__m *m = ag__m_now();
    const ag__g *g = m->g && !(m->g->flags & AG__GF_FOREIGN) ? m->g : NULL;
    put_head(&t, f, g, overflow, regs.pc);
    if (g) {
        ag__put(&t, "goroutine ");
        ag__put_number(&t, g->id);
        put_texts(&t, g);
    } else {
        ag__put(&t, "thread ");
        ag__put_number(&t, ag__os_tid());
        ag__put(&t, ", no goroutine:\n");
    }
    flush(&t);
    put_frames(&t, &regs);
    if (g)
        put_creation(&t, g, overflow);
    if (overflow)
        ag__put(&t, "Give it a larger stack: ag_go_with(&(ag_go_opts){ .stack_size = ... }, ...), "
                    "ag_config.stack_size or AGLET_STACK_SIZE.\n");
    flush(&t);
    put_record(&t);
}

static bool ends_by_signal(void) {
    const char *traceback = getenv("AGLET_TRACEBACK");
    return traceback && strcmp(traceback, "crash") == 0;
}

void ag__crash(const ag__os_fault *f, bool overflow) {
    if (!overflow && !f->is_last)
        return;
    int self = ag__os_tid(), none = 0;
    if (atomic_compare_exchange_strong(&speaker, &none, self))
        report(f, overflow);
    else
        for (int i = 0; none != self && i < TIME_OF_OTHERS_MS; i++)
            ag__os_sleep(1000000);
    if (overflow && !ends_by_signal())
        ag__os_exit_now(2);
}
