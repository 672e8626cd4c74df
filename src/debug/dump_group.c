/* SPDX-License-Identifier: MIT */
/*
 * dump_group.c - one entry for all goroutines that stand at the same place for the same reason.
 *
 *     1200 goroutines [chan receive, 3 to 12 minutes]:
 *     waits for channel 0x7f... (...)                   if it is the same for all
 *     function(...)
 *     \tfile:line +0x12
 *     created by function in goroutine 1 at file:line
 *     goroutines 17-80, 99, 101-1234
 *       goroutine 17 "name": labels: customer="ada"; waits for descriptor 7 ...
 *       and 1181 more
 *
 * The largest group comes first. Lines of single goroutines are for what is their own: a name,
 * labels, a descriptor, an object that the others don't wait for.
 */
#include "debug/dump_view.h"
#include <stdlib.h>

enum { OWN_LINES = 20, RANGES = 100 };

/* Views of the same place, in the order of their numbers. */
struct group {
    const ag__view **first;
    size_t count;
    int64_t since_min, since_max, timer_min, timer_max, ends_min, ends_max;
    bool same_object, same_creator;
};

static int by_place(const void *a, const void *b) {
    const ag__view *x = *(const ag__view *const *)a, *y = *(const ag__view *const *)b;
    if (x->is_self != y->is_self)
        return x->is_self ? -1 : 1;
    if (x->state != y->state)
        return x->state < y->state ? -1 : 1;
    if (x->reason != y->reason)
        return x->reason < y->reason ? -1 : 1;
    if (x->trail != y->trail)
        return (uintptr_t)x->trail < (uintptr_t)y->trail ? -1 : 1;
    if (x->site != y->site)
        return (uintptr_t)x->site < (uintptr_t)y->site ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

static bool same_place(const ag__view *x, const ag__view *y) {
    return x->is_self == y->is_self && x->state == y->state && x->reason == y->reason &&
           x->trail == y->trail && x->site == y->site;
}

static int by_count(const void *a, const void *b) {
    const struct group *x = a, *y = b;
    if (x->first[0]->is_self != y->first[0]->is_self)
        return x->first[0]->is_self ? -1 : 1;
    if (x->count != y->count)
        return x->count > y->count ? -1 : 1;
    return x->first[0]->id < y->first[0]->id ? -1 : 1;
}

/* 0 is none. */
static void widen(int64_t x, int64_t *min, int64_t *max) {
    if (x && (!*min || x < *min))
        *min = x;
    if (x && (!*max || x > *max))
        *max = x;
}

static void sum_up(struct group *g) {
    const ag__view *first = g->first[0];
    g->same_object = !ag__wait_is_own(first);
    g->same_creator = true;
    for (size_t i = 0; i < g->count; i++) {
        const ag__view *v = g->first[i];
        g->same_object &= v->object == first->object;
        g->same_creator &= v->creator == first->creator;
        widen(v->since, &g->since_min, &g->since_max);
        widen(v->timer, &g->timer_min, &g->timer_max);
        widen(v->ends_at, &g->ends_min, &g->ends_max);
    }
}

/* --- Printing. --- */

static void print_head(FILE *out, const ag__dump *d, const struct group *g) {
    fprintf(out, "%zu goroutines [%s", g->count,
            ag__doing_name(g->first[0]->state, g->first[0]->reason));
    if (g->first[0]->state == AG__G_WAITING) {
        long long least = (d->now - g->since_max) / AG_MIN, most = (d->now - g->since_min) / AG_MIN;
        if (most > 0 && least == most)
            fprintf(out, ", %lld minutes", most);
        else if (most > 0)
            fprintf(out, ", %lld to %lld minutes", least, most);
    }
    fprintf(out, "]:\n");
}

static void print_times(FILE *out, const ag__dump *d, const char *what, int64_t min, int64_t max) {
    if (min)
        fprintf(out, "%s in %.3f to %.3f s\n", what, (double)(min - d->now) / 1e9,
                (double)(max - d->now) / 1e9);
}

static void print_common(FILE *out, const ag__dump *d, const struct group *g) {
    ag__view common = *g->first[0];
    common.timer = 0;
    if (g->same_object && common.object && common.state == AG__G_WAITING) {
        fprintf(out, "waits for ");
        ag__wait_print(out, d, &common);
        fprintf(out, "\n");
    }
    print_times(out, d, "timers", g->timer_min, g->timer_max);
    print_times(out, d, "deadlines", g->ends_min, g->ends_max);
}

static void print_numbers(FILE *out, const struct group *g) {
    size_t i = 0;
    fprintf(out, "goroutines ");
    for (int range = 0; i < g->count && range < RANGES; range++) {
        size_t end = i + 1;
        while (end < g->count && g->first[end]->id == g->first[end - 1]->id + 1)
            end++;
        fprintf(out, "%s%lld", range ? ", " : "", (long long)g->first[i]->id);
        if (end > i + 1)
            fprintf(out, "%s%lld", end > i + 2 ? "-" : ", ", (long long)g->first[end - 1]->id);
        i = end;
    }
    if (i < g->count)
        fprintf(out, ", and %zu more", g->count - i);
    fprintf(out, "\n");
}

static bool has_own_wait(const struct group *g, const ag__view *v) {
    return v->state == AG__G_WAITING && !g->same_object && (v->object || v->wait);
}

static bool has_own_facts(const struct group *g, const ag__view *v) {
    return v->name || v->labels || v->is_bound || has_own_wait(g, v);
}

static void print_own(FILE *out, const ag__dump *d, const struct group *g, const ag__view *v) {
    fprintf(out, "  goroutine %lld", (long long)v->id);
    if (v->name)
        fprintf(out, " \"%s\"", v->name);
    fprintf(out, ":%s", v->is_bound ? " locked to thread" : "");
    const char *between = v->is_bound ? "; " : " ";
    if (v->labels) {
        fprintf(out, "%s", between);
        ag__labels_print(out, v->labels);
        between = "; ";
    }
    if (has_own_wait(g, v)) {
        fprintf(out, "%swaits for ", between);
        ag__wait_print(out, d, v);
    }
    fprintf(out, "\n");
}

static void print_group(FILE *out, ag__dump *d, struct group *g) {
    const ag__view *first = g->first[0];
    if (g->count == 1) {
        ag__view_print(out, d, first);
        return;
    }
    sum_up(g);
    print_head(out, d, g);
    print_common(out, d, g);
    if (!first->trail && first->state == AG__G_RUNNING)
        fprintf(out, "\tgoroutines running on other threads; stacks unavailable\n");
    ag__trail_print(out, d, first->trail);
    if (first->site && g->same_creator)
        fprintf(out, "created by %s in goroutine %lld at %s:%d\n", first->site->func,
                (long long)first->creator, first->site->file, first->site->line);
    else if (first->site)
        fprintf(out, "created by %s in several goroutines at %s:%d\n", first->site->func,
                first->site->file, first->site->line);
    print_numbers(out, g);
    size_t own = 0;
    for (size_t i = 0; i < g->count; i++)
        if (has_own_facts(g, g->first[i]) && own++ < OWN_LINES)
            print_own(out, d, g, g->first[i]);
    if (own > OWN_LINES)
        fprintf(out, "  and %zu more\n", own - OWN_LINES);
    fprintf(out, "\n");
}

void ag__groups_print(FILE *out, ag__dump *d) {
    size_t count = 0, room = d->count ? d->count : 1;
    const ag__view **order = malloc(room * sizeof *order);
    struct group *groups = malloc(room * sizeof *groups);
    for (size_t i = 0; order && i < d->count; i++)
        order[i] = &d->views[i];
    if (order && groups) {
        qsort(order, d->count, sizeof *order, by_place);
        for (size_t i = 0; i < d->count; i++) {
            if (i == 0 || !same_place(order[i - 1], order[i]))
                groups[count++] = (struct group){.first = order + i};
            groups[count - 1].count++;
        }
        qsort(groups, count, sizeof *groups, by_count);
        for (size_t i = 0; i < count; i++)
            print_group(out, d, &groups[i]);
    } else { /* out of memory: then each on its own */
        for (size_t i = 0; i < d->count; i++)
            ag__view_print(out, d, &d->views[i]);
    }
    free(order);
    free(groups);
}
