/* SPDX-License-Identifier: MIT */
/*
 * report.c - findings about the program: putting them together, printing them.
 *
 * A report is written with one call, so that two do not mix. The hook runs in the goroutine that
 * found it, outside the runtime, and sees it instead.
 */
#include "lang/report.h"
#include "os/unwind.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Atomic(ag_report_hook) report_hook;

ag_report_hook ag_on_report(ag_report_hook hook) {
    return atomic_exchange(&report_hook, hook);
}

ag__who ag__who_of(const ag__g *g) {
    if (g->flags & AG__GF_FOREIGN)
        return (ag__who){0, NULL};
    return (ag__who){g->id, g->site};
}

ag__report *ag__report_new(const char *kind) {
    ag__report *r = calloc(1, sizeof *r);
    if (r)
        r->kind = kind;
    return r;
}

void ag__report_detail(ag__report *r, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    size_t left = sizeof r->details - r->used;
    int n = vsnprintf(r->details + r->used, left, fmt, args);
    va_end(args);
    if (n > 0)
        r->used += (size_t)n < left ? (size_t)n : left - 1;
}

struct search {
    int64_t id;
    const char *state;
};

static bool look(ag__g *g, void *arg) {
    struct search *s = arg;
    if (g->id != s->id)
        return true;
    int state = atomic_load_explicit(&g->state, AG__RLX);
    s->state = ag__doing_name(state, atomic_load_explicit(&g->reason, AG__RLX));
    return false;
}

void ag__report_goroutine(ag__report *r, ag__who who) {
    for (int i = 0; i < r->count; i++)
        if (r->ids[i] == who.id)
            return;
    if (r->count < AG__REPORT_IDS)
        r->ids[r->count++] = who.id;
    if (!who.site) {
        ag__report_detail(r, "  a thread that is no goroutine\n");
        return;
    }
    struct search s = {who.id, "ended"};
    ag__g_each(look, &s);
    ag__report_detail(r, "  goroutine %lld [%s] %s created at %s:%d\n", (long long)who.id, s.state,
                      who.site->call, who.site->file, who.site->line);
}

void ag__report_place(ag__report *r, uintptr_t pc) {
    ag__symbol_info symbol;
    ag__line_info line;
    bool named = ag__symbol(pc, true, &symbol) == 0;
    ag__report_detail(r, "%.*s", named ? ag__symbol_length(symbol.name) : 1,
                      named ? symbol.name : "?");
    if (ag__line(pc, true, &line) == 0)
        ag__report_detail(r, " at %s:%d\n", line.file, line.line);
    else
        ag__report_detail(r, " at %s +0x%zx\n", symbol.module ? symbol.module : "?",
                          (size_t)symbol.offset);
}

/* By kind, which is constant text. A slot's kind is set once, by who finds it empty. */
static struct {
    const char *_Atomic kind;
    _Atomic int64_t count;
} sent[AG__REPORT_KINDS];

static void count_sent(const char *kind) {
    for (int i = 0; i < AG__REPORT_KINDS; i++) {
        const char *known = NULL;
        if (atomic_compare_exchange_strong(&sent[i].kind, &known, kind) ||
            strcmp(known, kind) == 0) {
            atomic_fetch_add(&sent[i].count, 1);
            return;
        }
    }
}

int ag__reports_sent(const char **ret_kinds, int64_t *ret_counts, int max) {
    int n = 0;
    for (; n < max && n < AG__REPORT_KINDS && atomic_load(&sent[n].kind); n++) {
        ret_kinds[n] = atomic_load(&sent[n].kind);
        ret_counts[n] = atomic_load(&sent[n].count);
    }
    return n;
}

void ag__report_write(ag__report *r, FILE *out) {
    fprintf(out, "aglet: %s: %s\n%.*s", r->kind, r->text, (int)r->used, r->details);
    free(r);
}

void ag__report_send(ag__report *r) {
    count_sent(r->kind);
    ag_report_hook hook = atomic_load(&report_hook);
    if (hook) {
        const ag_report report = {r->kind, r->text, r->count, r->ids};
        hook(&report);
    } else {
        char *all = malloc(sizeof r->details + sizeof r->text + 64);
        if (all) {
            int n = snprintf(all, sizeof r->text + 64, "aglet: %s: %s\n", r->kind, r->text);
            memcpy(all + n, r->details, r->used);
            ag__os_write_err(all, (size_t)n + r->used);
            free(all);
        }
    }
    free(r);
}
