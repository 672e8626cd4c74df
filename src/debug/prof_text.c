/* SPDX-License-Identifier: MIT */
/*
 * prof_text.c - a profile as text, for people and for `?debug=1`: as Go writes it, the greatest
 * first.
 */
#include "ctx/ctx.h"
#include "debug/dump_text.h"
#include "debug/look.h"
#include "debug/prof_table.h"
#include "os/unwind.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

void ag__prof_place_of(uintptr_t pc, bool is_return, ag__prof_place *ret) {
    ag__symbol_info symbol;
    ag__line_info line;
    *ret = (ag__prof_place){.line = 0};
    if (ag__symbol(pc, is_return, &symbol) == 0) {
        size_t n = (size_t)ag__symbol_length(symbol.name);
        bool is_cut = symbol.name[n] && n < sizeof ret->cut;
        if (is_cut)
            memcpy(ret->cut, symbol.name, n); /* the rest is 0 */
        ret->function = is_cut ? ret->cut : symbol.name;
        ret->is_runtime = ag__is_runtime_frame(&symbol, pc, is_return);
    }
    if (ag__line(pc, is_return, &line) == 0) {
        snprintf(ret->file, sizeof ret->file, "%s%s%s", line.dir ? line.dir : "",
                 line.dir ? "/" : "", line.file);
        ret->line = line.line;
    }
}

enum { SITE_SHIFT = 62 }; /* where a key tells: 0 an address, 2 and 3 the frames of a site */

int ag__prof_frames(const ag__prof_group *g) {
    return g->is_site ? 2 : g->frames;
}

uint64_t ag__prof_key(const ag__prof *p, const ag__prof_group *g, int i) {
    if (g->is_site)
        return (uint64_t)(uintptr_t)g->site | (uint64_t)(2 + i) << SITE_SHIFT;
    return p->pcs[g->pcs + (uint32_t)i] - (i > 0 || !g->is_exact);
}

bool ag__prof_key_is_address(uint64_t key) {
    return key >> SITE_SHIFT == 0;
}

void ag__prof_place_of_key(uint64_t key, ag__prof_place *ret) {
    if (ag__prof_key_is_address(key)) {
        ag__prof_place_of((uintptr_t)key, false, ret);
        return;
    }
    bool is_caller = key >> SITE_SHIFT & 1;
    key &= (UINT64_C(1) << SITE_SHIFT) - 1;
    const struct ag__site *site = (const struct ag__site *)(uintptr_t)key;
    *ret = (ag__prof_place){.function = is_caller ? site->func : site->call};
    if (is_caller) {
        snprintf(ret->file, sizeof ret->file, "%s", site->file);
        ret->line = site->line;
    }
}

static void print_frame(FILE *out, uintptr_t pc, bool is_return, bool hides, int *printed) {
    ag__prof_place place;
    ag__prof_place_of(pc, is_return, &place);
    if (hides && place.is_runtime)
        return;
    fprintf(out, "#\t%#llx\t%s", (unsigned long long)pc, place.function ? place.function : "?");
    if (*place.file)
        fprintf(out, "\t%s:%d", place.file, place.line);
    fprintf(out, "\n");
    ++*printed;
}

static int print_frames(ag__prof *p, const ag__prof_group *g, bool hides, FILE *out) {
    int printed = 0;
    for (int i = 0; i < g->frames; i++)
        print_frame(out, p->pcs[g->pcs + (uint32_t)i], i > 0 || !g->is_exact, hides, &printed);
    return printed;
}

static void print_labels(FILE *out, const char *labels) {
    char buf[4 * AG__LABEL_BYTES + 16];
    ag__text t = {buf, sizeof buf, 0};
    buf[0] = 0;
    ag__put_labels(&t, labels);
    fprintf(out, "# labels: %s\n", buf);
}

static void print_group(ag__prof *p, const ag__prof_group *g, FILE *out) {
    for (int i = 0; i < p->values; i++)
        fprintf(out, "%lld ", (long long)g->values[i]);
    fprintf(out, "@");
    for (int i = 0; i < g->frames; i++)
        fprintf(out, " %#llx", (unsigned long long)p->pcs[g->pcs + (uint32_t)i]);
    fprintf(out, "\n");
    if (g->name)
        fprintf(out, "# name: %s\n", p->strings[g->name]);
    if (g->labels)
        print_labels(out, p->labels[g->labels - 1]);
    if (g->state)
        fprintf(out, "# state: %s\n", g->state);
    if (g->site)
        fprintf(out, "# %s%screated by %s at %s:%d\n", g->is_site ? g->site->call : "",
                g->is_site ? " " : "", g->site->func, g->site->file, g->site->line);
    if (print_frames(p, g, p->kind->hides_runtime, out) == 0)
        print_frames(p, g, false, out);
    fprintf(out, "\n");
}

struct rank {
    int64_t value;
    uint32_t group;
};

static int greatest_first(const void *x, const void *y) {
    const struct rank *a = x, *b = y;
    if (a->value != b->value)
        return a->value < b->value ? 1 : -1;
    return a->group < b->group ? -1 : 1;
}

int ag__prof_text(ag__prof *p, FILE *out) {
    struct rank *ranks = malloc((p->group_count + 1) * sizeof *ranks);
    int64_t totals[AG__PROF_VALUES] = {0};
    uint32_t n = 0;
    if (!ranks)
        return -ENOMEM;
    for (uint32_t i = 0; i < p->group_count; i++) {
        if (!ag__prof_is_there(p, &p->groups[i]))
            continue;
        ranks[n++] = (struct rank){p->groups[i].values[p->kind->shown], i};
        for (int k = 0; k < p->values; k++)
            totals[k] += p->groups[i].values[k];
    }
    qsort(ranks, n, sizeof *ranks, greatest_first);
    fprintf(out, "%s profile: total", p->kind->name);
    for (int k = 0; k < p->values; k++)
        fprintf(out, " %lld", (long long)totals[k]);
    fprintf(out, "\n#");
    for (int k = 0; k < p->values; k++)
        fprintf(out, " %s/%s", p->kind->values[k].type, p->kind->values[k].unit);
    fprintf(out, "\n");
    for (int i = 0; i < p->note_count; i++)
        fprintf(out, "# %s\n", p->strings[p->notes[i]]);
    for (uint32_t i = 0; i < n; i++)
        print_group(p, &p->groups[ranks[i].group], out);
    free(ranks);
    return ferror(out) ? -EIO : 0;
}
